//! Metrics: the `metrics` crate's counters and histograms, rendered as Prometheus text on the admin address.

use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// How often a histogram's samples are folded into its buckets. Until then each is kept, and a server that
/// nobody scrapes would keep them all.
const FOLD: Duration = Duration::from_secs(1);

/// Upper bounds, in seconds, of the buckets of every histogram whose name ends in `_seconds`.
pub const SECONDS_BUCKETS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 10.0];

/// Renders what this process has counted.
#[derive(Clone)]
pub struct Handle(PrometheusHandle);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handle")
    }
}

/// A recorder was installed before in this process, or a bucket list is empty.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be set up: {0}")]
pub struct MetricsFault(#[from] metrics_exporter_prometheus::BuildError);

/// Installs the process's recorder.
///
/// # Errors
/// It was called before.
pub fn install() -> Result<Handle, MetricsFault> {
    let seconds = metrics_exporter_prometheus::Matcher::Suffix("_seconds".to_owned());
    let handle =
        PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS_BUCKETS)?.install_recorder()?;
    let folding = handle.clone();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(FOLD);
            folding.run_upkeep();
        }
    });
    metrics::gauge!("farside_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(Handle(handle))
}

impl Handle {
    /// The Prometheus text of this moment.
    #[must_use]
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}
