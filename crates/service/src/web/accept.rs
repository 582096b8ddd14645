//! What a client will take (RFC 9110 §12.5.1), for resources that have one form.

use hyper::header::{self, HeaderMap};

/// Whether a client that sent these headers takes this media type. There is one form, so that quality only
/// matters where it is 0.
#[must_use]
pub fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let mut asked = headers.get_all(header::ACCEPT).iter().peekable();
    if asked.peek().is_none() {
        return true;
    }
    let main_type = media_type.split('/').next().unwrap_or_default();
    let ranges = asked.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    let mut best: Option<(usize, bool)> = None;
    for range in ranges {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let precision = match name.split_once('/') {
            Some(("*", "*")) => 0,
            Some((main, "*")) if main.eq_ignore_ascii_case(main_type) => 1,
            _ if name.eq_ignore_ascii_case(media_type) => 2,
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
            let headers = HeaderMap::from_iter([(header::ACCEPT, header::HeaderValue::from_static(text))]);
            accepts(&headers, "application/statuslist+jwt")
        };
        assert!(accepts(&HeaderMap::new(), "text/plain"));
        for good in ["*/*", "application/*;q=0.1", "application/statuslist+jwt", "text/html, */*;q=0.5"] {
            assert!(accepted(good), "{good}");
        }
        for bad in ["application/statuslist+cwt", "text/html", "*/*, application/statuslist+jwt;q=0"] {
            assert!(!accepted(bad), "{bad}");
        }
    }
}
