//! Reads the body of a request: bounded in bytes and in time, and only where its type was declared.

use std::error::Error;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::CONTENT_TYPE;
use hyper::http::request::Parts;

use super::answer::RequestFault;

/// A client that takes longer than this to send a body is given up.
const BODY_SECONDS_MAX: u64 = 10;

/// What a door reads a request's body from.
pub trait RequestBody: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send {}

impl<B> RequestBody for B where B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send {}

/// The whole body, if it is declared to be of this media type (whatever its parameters), is at most
/// `bytes_max` long and arrives in time.
pub(crate) async fn read(
    request: &Parts,
    media_type: &str,
    body: impl RequestBody,
    bytes_max: usize,
) -> Result<Bytes, RequestFault> {
    if !is_of_type(request, media_type) {
        return Err(RequestFault::BodyInvalid(format!("the body is not {media_type}")));
    }
    let collected = Box::pin(Limited::new(body, bytes_max).collect());
    match tokio::time::timeout(Duration::from_secs(BODY_SECONDS_MAX), collected).await {
        Ok(Ok(whole)) => Ok(whole.to_bytes()),
        Ok(Err(_)) => {
            Err(RequestFault::BodyInvalid(format!("the body was cut short or is over {bytes_max} bytes")))
        }
        Err(_) => Err(RequestFault::BodyInvalid(format!("the body took longer than {BODY_SECONDS_MAX} s"))),
    }
}

fn is_of_type(request: &Parts, wanted: &str) -> bool {
    let mut values = request.headers.get_all(CONTENT_TYPE).iter();
    let declared = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = declared.split(';').next().unwrap_or_default().trim();
    values.next().is_none() && media_type.eq_ignore_ascii_case(wanted)
}
