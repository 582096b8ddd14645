//! What the proxy in front says that it received, for gates whose configuration says that their proxy sets it
//! (`[proxy] request = "x-forwarded"`).
//!
//! ```text
//!   X-Forwarded-Method   X-Forwarded-Proto   X-Forwarded-Host   X-Forwarded-Uri  ─▶  Requested
//! ```
//! Each stands exactly once, or the request is wrong. Where nothing is configured these headers are anybody's
//! and are not looked at.

use hyper::HeaderMap;
use hyper::header::HeaderName;

use super::answer::RequestFault;
use crate::config::Proxy;
use crate::judge::{Requested, RequestedFault};

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const SCHEME: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const TARGET: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// The request that the proxy received; nothing where no proxy is configured to say it.
///
/// # Errors
/// `forwarded_invalid`: one of the four is missing, stands twice, or is not what it must be.
pub(super) fn request<'a>(
    headers: &'a HeaderMap,
    proxy: &Proxy,
) -> Result<Option<Requested<'a>>, RequestFault> {
    if proxy.request.is_none() {
        return Ok(None);
    }
    let read = Requested::read(
        only(headers, &METHOD)?,
        only(headers, &SCHEME)?,
        only(headers, &HOST)?,
        only(headers, &TARGET)?,
    );
    let named = |fault: RequestedFault| match fault {
        RequestedFault::Method => METHOD,
        RequestedFault::Scheme => SCHEME,
        RequestedFault::Host => HOST,
        RequestedFault::Target => TARGET,
    };
    read.map(Some).map_err(|fault| RequestFault::ForwardedInvalid(format!("{}: {fault}", named(fault))))
}

/// The value of a header that stands once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, RequestFault> {
    let wrong = |what: &str| RequestFault::ForwardedInvalid(format!("{name} {what}"));
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| wrong("is missing"))?;
    if values.next().is_some() {
        return Err(wrong("stands more than once"));
    }
    value.to_str().map_err(|_| wrong("is not visible ASCII"))
}
