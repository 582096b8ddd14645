//! Logging: what happened, once, at the boundary, to stderr; message plus fields, units in names, never a
//! token.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The environment variable that overrides the level, in the syntax of `tracing_subscriber::EnvFilter`.
pub const VARIABLE: &str = "FARSIDE_LOG";

/// How a program logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The least important level shown.
    pub level: tracing::Level,
    /// Lines for people, or one JSON object per line.
    pub shape: Shape,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// For eyes; coloured on a terminal.
    Text,
    /// For collectors.
    Json,
}

impl Default for Options {
    fn default() -> Self {
        Self { level: tracing::Level::INFO, shape: Shape::Text }
    }
}

/// Logging was set up before in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("logging is already set up in this process")]
pub struct AlreadySet;

/// Sends the process's log to stderr.
///
/// # Errors
/// It was called before.
pub fn init(options: Options) -> Result<(), AlreadySet> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::from_level(options.level).into())
        .with_env_var(VARIABLE)
        .from_env_lossy();
    let start = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let done = match options.shape {
        Shape::Text => start.with_ansi(colour).try_init(),
        Shape::Json => start.json().flatten_event(true).try_init(),
    };
    done.map_err(|_| AlreadySet)
}
