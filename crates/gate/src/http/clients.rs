//! The resource servers that may ask `/introspect`, and how they prove who they are (RFC 6749 §2.3.1, HTTP
//! Basic).
//!
//! A secret is 32 random bytes, printed once; the configuration holds the SHA-256 of its text. Such a secret
//! cannot be guessed, so a plain hash is enough; the comparison takes the same time whatever differs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_service::digest;
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;

use super::form;
use crate::config::IntrospectionClient;

/// Longer credentials than these are refused unread.
const BASIC_BYTES_MAX: usize = 1024;

const SCHEME: &[u8] = b"basic ";

/// The configured resource servers.
pub(crate) struct Clients(Vec<IntrospectionClient>);

impl Clients {
    /// Takes the clients of the configuration.
    pub(crate) fn new(configured: &[IntrospectionClient]) -> Self {
        Self(configured.to_vec())
    }

    /// The client whose credentials a request carries, or nobody.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Option<&IntrospectionClient> {
        let (id, secret) = basic(headers)?;
        let offered = digest::sha256(secret.as_bytes());
        // Every client is compared, so that the time taken does not tell which ids exist.
        self.0.iter().fold(None, |found, client| {
            let same =
                aws_lc_rs::constant_time::verify_slices_are_equal(&offered, &client.secret_sha256).is_ok();
            if same && client.id == id { Some(client) } else { found }
        })
    }
}

// RFC 7617 §2 with the form encoding that RFC 6749 §2.3.1 puts inside.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?.as_bytes();
    if values.next().is_some() || value.len() > BASIC_BYTES_MAX {
        return None;
    }
    let (scheme, encoded) = value.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let decoded = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let id = form::decode(&decoded[..colon]).ok()?.into_owned();
    let secret = form::decode(&decoded[colon + 1..]).ok()?.into_owned();
    Some((id, secret))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(values: &[String]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn credentials(text: &str) -> String {
        format!("Basic {}", STANDARD.encode(text))
    }

    fn clients() -> Clients {
        let client = |id: &str, secret: &str| IntrospectionClient {
            id: id.to_owned(),
            secret_sha256: digest::sha256(secret.as_bytes()),
            audience: None,
        };
        Clients::new(&[client("wiki", "s3cret"), client("git:lab", "p a:ss")])
    }

    #[test]
    fn knows_its_clients_by_id_and_secret() {
        let clients = clients();
        let who = |value: String| clients.authenticate(&headers(&[value])).map(|client| client.id.clone());
        assert_eq!(who(credentials("wiki:s3cret")).as_deref(), Some("wiki"));
        assert_eq!(who(credentials("git%3Alab:p+a%3Ass")).as_deref(), Some("git:lab"));
        assert_eq!(who(credentials("wiki:s3cret").replace("Basic", "BASIC")).as_deref(), Some("wiki"));
        for wrong in ["wiki:S3cret", "wiki:", "wiki", ":s3cret", "other:s3cret", "wiki:p a:ss", "wiki:%zz"] {
            assert_eq!(who(credentials(wrong)), None, "{wrong}");
        }
        assert_eq!(who("Bearer a.b.c".into()), None);
        assert_eq!(who("Basic !!!".into()), None);
        assert_eq!(who("Basic".into()), None);
    }

    #[test]
    fn refuses_two_authorizations() {
        let good = credentials("wiki:s3cret");
        assert!(clients().authenticate(&headers(&[good.clone(), good])).is_none());
        assert!(clients().authenticate(&HeaderMap::new()).is_none());
    }
}
