//! Progress of long work, drawn on stderr, and only where stderr is a terminal that a person watches.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printable;

/// A bar that fills; removed from the screen when dropped.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// A bar of `total` bytes.
    #[must_use]
    pub fn bytes(label: &str, total: u64) -> Self {
        Self::draw(label, total, "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    }

    /// A bar of `total` things.
    #[must_use]
    pub fn count(label: &str, total: u64) -> Self {
        Self::draw(label, total, "{msg} {bar:30} {pos}/{len} {eta}")
    }

    /// More is done.
    pub fn advance(&self, more: u64) {
        self.0.inc(more);
    }

    /// All is done; the bar goes away.
    pub fn finish(self) {
        self.0.finish_and_clear();
    }

    fn draw(label: &str, total: u64, shape: &str) -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template(shape).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style);
        Self(bar.with_message(printable(label).into_owned()))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
