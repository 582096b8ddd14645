//! `/status/<shard>/<number>`: signed status lists, for software that verifies by itself and looks a token's
//! status up (draft-ietf-oauth-status-list §8).

use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL};
use hyper::http::request::Parts;
use hyper::{HeaderMap, StatusCode, header};

use super::Doors;
use super::answer::{self, Answer};

const MEDIA_TYPE: &str = "application/statuslist+jwt";

/// Answers with the list as it was signed. It is no secret: it says of numbers whether they are revoked.
pub(crate) fn answer(doors: &Doors, request: &Parts) -> Answer {
    let trust = match doors.gate.trust() {
        Ok(trust) => trust,
        Err(refusal) => return answer::refused(&refusal),
    };
    let Some(list) = trust.lists().at(request.uri.path(), doors.now()) else {
        return answer::bare(StatusCode::NOT_FOUND);
    };
    if !accepts(&request.headers) {
        return answer::bare(StatusCode::NOT_ACCEPTABLE);
    }
    let mut answer = answer::typed(StatusCode::OK, MEDIA_TYPE, list.token.to_owned().into());
    answer::insert(&mut answer, CACHE_CONTROL, &format!("max-age={}", list.max_age_seconds));
    // Web pages verify tokens too.
    answer::insert(&mut answer, ACCESS_CONTROL_ALLOW_ORIGIN, "*");
    answer
}

// RFC 9110 §12.5.1; there is one form, so that quality only matters where it is 0.
fn accepts(headers: &HeaderMap) -> bool {
    let mut asked = headers.get_all(header::ACCEPT).iter().peekable();
    if asked.peek().is_none() {
        return true;
    }
    let ranges = asked.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut best: Option<(usize, bool)> = None;
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let precision = match name {
            "*/*" => 0,
            _ if name.eq_ignore_ascii_case("application/*") => 1,
            _ if name.eq_ignore_ascii_case(MEDIA_TYPE) => 2,
            _ => continue,
        };
        let zero = |part: &str| {
            let quality = part.strip_prefix("q=").or_else(|| part.strip_prefix("Q="));
            quality.is_some_and(|quality| quality.trim_matches(['0', '.']).is_empty())
        };
        if best.is_none_or(|(held, _)| precision >= held) {
            best = Some((precision, !parts.any(zero)));
        }
    }
    best.is_some_and(|(_, wanted)| wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_another_form_gets_none() {
        let accepted = |text: &'static str| {
            accepts(&HeaderMap::from_iter([(header::ACCEPT, header::HeaderValue::from_static(text))]))
        };
        assert!(accepts(&HeaderMap::new()));
        for good in ["*/*", "application/*;q=0.1", "application/statuslist+jwt", "text/html, */*;q=0.5"] {
            assert!(accepted(good), "{good}");
        }
        for bad in ["application/statuslist+cwt", "text/html", "*/*, application/statuslist+jwt;q=0"] {
            assert!(!accepted(bad), "{bad}");
        }
    }
}
