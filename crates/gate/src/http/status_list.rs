//! `/status/<shard>/<number>`: signed status lists, for software that verifies by itself and looks a token's
//! status up (draft-ietf-oauth-status-list §8).

use farside_service::web::accepts;
use hyper::StatusCode;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, RETRY_AFTER};
use hyper::http::request::Parts;

use super::Doors;
use super::answer::{self, Answer};
use crate::shown_lists::Shown;

const MEDIA_TYPE: &str = "application/statuslist+jwt";

/// When to ask again for a list that a bundle has still to bring.
const RETRY_SECONDS: &str = "60";

/// Answers with the list as it was signed. It is no secret: it says of numbers whether they are revoked.
pub(crate) fn answer(doors: &Doors, request: &Parts) -> Answer {
    let trust = match doors.gate.trust() {
        Ok(trust) => trust,
        Err(refusal) => return answer::refused(&refusal),
    };
    let (token, max_age_seconds) = match trust.lists().at(request.uri.path(), doors.now()) {
        Shown::List { token, max_age_seconds } => (token, max_age_seconds),
        Shown::NotYet => {
            let mut answer = answer::bare(StatusCode::SERVICE_UNAVAILABLE);
            answer::insert(&mut answer, RETRY_AFTER, RETRY_SECONDS);
            return answer;
        }
        Shown::Nothing => return answer::bare(StatusCode::NOT_FOUND),
    };
    if !accepts(&request.headers, MEDIA_TYPE) {
        return answer::bare(StatusCode::NOT_ACCEPTABLE);
    }
    let mut answer = answer::typed(StatusCode::OK, MEDIA_TYPE, token.to_owned().into());
    answer::insert(&mut answer, CACHE_CONTROL, &format!("max-age={max_age_seconds}"));
    // Web pages verify tokens too.
    answer::insert(&mut answer, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    answer
}
