//! `/healthz` and `/readyz`: whether the process lives, and whether it can judge.
//!
//! Open to anyone, so they answer in one word each and reveal nothing of what the gate holds; the reason for
//! "not ready" stands in the log, in `farside gate status` and in the metrics of the admin address.

use hyper::StatusCode;

use super::Doors;
use super::answer::{self, Answer};

/// The process lives.
pub(crate) fn alive() -> Answer {
    answer::typed(StatusCode::OK, "text/plain", "ok\n".into())
}

/// The gate holds trust that has not expired, its clock is sane and its journal can be written.
pub(crate) fn ready(doors: &Doors) -> Answer {
    if can_judge(doors) {
        answer::typed(StatusCode::OK, "text/plain", "ready\n".into())
    } else {
        answer::typed(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "not ready\n".into())
    }
}

fn can_judge(doors: &Doors) -> bool {
    let trusted = doors.gate.trust().and_then(|trust| trust.ready(doors.now()));
    if let Err(refusal) = &trusted {
        tracing::debug!(code = refusal.code().as_str(), detail = refusal.detail(), "not ready");
    }
    trusted.is_ok() && doors.can_write()
}
