//! `/healthz` and `/readyz`: whether the process lives, and whether it can judge.
//!
//! Open to anyone, so they answer in a word and reveal nothing of what the gate holds but whether it is
//! late, and since when; the reason for "not ready" stands in the log, in `farside gate status` and on the
//! admin address.

use farside_service::time::rfc3339;
use hyper::StatusCode;

use super::Doors;
use super::answer::{self, Answer};

/// The process lives.
pub(crate) fn alive() -> Answer {
    answer::typed(StatusCode::OK, "text/plain", "ok\n".into())
}

/// The gate holds trust that has not expired, its clock is sane and its journal can be written. A second line
/// says since when it is late, or expired.
pub(crate) fn ready(doors: &Doors) -> Answer {
    let (status, word) = if can_judge(doors) {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let freshness = doors.gate.last().freshness(doors.now());
    let late = freshness.since().map(|since| format!("{} since {}\n", freshness.name(), rfc3339(since)));
    answer::typed(status, "text/plain", format!("{word}\n{}", late.unwrap_or_default()).into())
}

fn can_judge(doors: &Doors) -> bool {
    let trusted = doors.gate.trust().and_then(|trust| trust.ready(doors.now()));
    if let Err(refusal) = &trusted {
        tracing::debug!(code = refusal.code().as_str(), detail = refusal.detail(), "not ready");
    }
    trusted.is_ok() && doors.can_write()
}
