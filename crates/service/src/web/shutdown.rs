//! The end of a server: asked for by a signal or by the program, heard by everything that serves.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// A bell that rings once; clones hear the same bell.
#[derive(Debug, Clone)]
pub struct Shutdown {
    rung: Arc<watch::Sender<bool>>,
}

impl Shutdown {
    /// Rung by [`Shutdown::trigger`] alone.
    #[must_use]
    pub fn manual() -> Self {
        Self { rung: Arc::new(watch::Sender::new(false)) }
    }

    /// Rung by SIGTERM or SIGINT too. Call it inside the runtime.
    ///
    /// # Errors
    /// The signals cannot be caught.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::manual();
        let (mut terminate, mut interrupt) =
            (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let bell = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!("asked to end");
            bell.trigger();
        });
        Ok(shutdown)
    }

    /// Rings the bell.
    pub fn trigger(&self) {
        self.rung.send_replace(true);
    }

    /// Returns once the bell has rung, at once if it has already.
    pub async fn wait(&self) {
        // The sender lives as long as `self`, so the wait cannot fail before the bell rings.
        let _ = self.rung.subscribe().wait_for(|rung| *rung).await;
    }
}
