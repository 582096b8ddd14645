//! The admin address: `/metrics` for Prometheus, `/healthz` for whoever restarts programs. No tokens, no
//! secrets.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::Handle;

/// The media type of Prometheus text.
const EXPOSITION: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The admin pages. `healthy` answers, in words without secrets, what is wrong; or, where the program does
/// its work all the same, what people should see to.
pub fn admin_router(
    metrics: Handle,
    healthy: impl Fn() -> Result<Vec<String>, String> + Send + Sync + 'static,
) -> Router {
    let healthy = Arc::new(healthy);
    let health = move || {
        let healthy = Arc::clone(&healthy);
        async move {
            match healthy() {
                Ok(alarms) => {
                    let alarms: String = alarms.iter().map(|alarm| format!("alarm: {alarm}\n")).collect();
                    (StatusCode::OK, format!("ok\n{alarms}"))
                }
                Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
            }
        }
    };
    let exposition = move || {
        let text = metrics.render();
        async move { ([(header::CONTENT_TYPE, EXPOSITION)], text).into_response() }
    };
    Router::new().route("/healthz", get(health)).route("/metrics", get(exposition))
}
