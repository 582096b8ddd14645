//! What a request brings to a door: one token, perhaps with its proof of logging stapled on, perhaps with the
//! DPoP proof that it is its holder's, and nothing else that could decide anything.
//!
//! A credential is taken from exactly one `Authorization` header (RFC 6750 §2.1, RFC 9449 §7.1). A request
//! that already carries one of the gate's own identity headers, in any spelling a server behind the proxy
//! might fold into ours, is refused whole.

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, HeaderName};

use crate::judge::ShownAs;

/// A token longer than this is refused before anything reads it (token.md, size cap).
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Every identity header of ours begins so; a client that sends one, however spelled, is refused.
pub const IDENTITY_PREFIX: &str = "x-farside-";

const BEARER: &[u8] = b"bearer";
/// RFC 9449 §7.1, and the header of the proof.
const DPOP: &str = "dpop";

/// Why a request brings no usable credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialFault {
    /// There is no `Authorization` header.
    #[error("the request carries no Authorization header")]
    Absent,
    /// There is an `Authorization` header of another scheme.
    #[error("the Authorization header is of neither the Bearer nor the DPoP scheme")]
    OtherScheme,
    /// There are several `Authorization` headers, and none of them may be preferred.
    #[error("the request carries more than one Authorization header")]
    Duplicate,
    /// What follows the scheme is not one token.
    #[error("the Authorization header does not hold exactly one token")]
    Malformed,
    /// The token is longer than any token may be.
    #[error("the token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLarge,
    /// The scheme is DPoP, and no proof came with it.
    #[error("the token was shown under the DPoP scheme without a DPoP header")]
    ProofAbsent,
    /// There are several proofs, or what stands in the header is no text.
    #[error("the request does not carry exactly one DPoP header of visible ASCII")]
    ProofMalformed,
}

/// One token, and how it was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credential<'a> {
    /// The token, with what is stapled to it.
    pub token: &'a str,
    /// Its scheme, and what that brings along.
    pub shown: ShownAs<'a>,
}

/// The one credential of a request.
///
/// # Errors
/// A [`CredentialFault`] where there is none, or more than one, or something else in its place.
pub fn shown(headers: &HeaderMap) -> Result<Credential<'_>, CredentialFault> {
    let value = authorization(headers)?;
    let proof = proof_of(headers)?;
    match token_of(value, DPOP.as_bytes()) {
        Err(CredentialFault::OtherScheme) => {
            Ok(Credential { token: token_of(value, BEARER)?, shown: ShownAs::Bearer })
        }
        token => {
            let (token, proof) = (token?, proof.ok_or(CredentialFault::ProofAbsent)?);
            Ok(Credential { token, shown: ShownAs::Dpop(proof) })
        }
    }
}

/// The one bearer token of a request.
///
/// # Errors
/// A [`CredentialFault`] where there is none, or more than one, or something else in its place.
pub fn bearer(headers: &HeaderMap) -> Result<&str, CredentialFault> {
    token_of(authorization(headers)?, BEARER)
}

/// Whether a token was shown under the DPoP scheme, for the scheme of the answer.
pub(crate) fn is_dpop(headers: &HeaderMap) -> bool {
    let scheme =
        |value: &[u8]| value.split(|byte| *byte == b' ').next().unwrap_or_default().to_ascii_lowercase();
    authorization(headers).is_ok_and(|value| scheme(value) == DPOP.as_bytes())
}

fn authorization(headers: &HeaderMap) -> Result<&[u8], CredentialFault> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(CredentialFault::Absent)?;
    if values.next().is_some() { Err(CredentialFault::Duplicate) } else { Ok(value.as_bytes()) }
}

// RFC 9449 §4.3, item 1
fn proof_of(headers: &HeaderMap) -> Result<Option<&str>, CredentialFault> {
    let mut values = headers.get_all(DPOP).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let proof = value.to_str().map_err(|_| CredentialFault::ProofMalformed)?;
    if values.next().is_some() { Err(CredentialFault::ProofMalformed) } else { Ok(Some(proof)) }
}

/// The name of an incoming header that could be taken for one of the gate's, if there is one.
pub fn forged_identity(headers: &HeaderMap) -> Option<&HeaderName> {
    headers.keys().find(|name| is_ours_when_folded(name.as_str()))
}

/// Folds case, `-`, `_` and `.`: servers behind a proxy (CGI, WSGI, Java, PHP) take these for one another.
fn is_ours_when_folded(name: &str) -> bool {
    let folded = name.bytes().map(|byte| match byte {
        b'_' | b'.' => b'-',
        other => other.to_ascii_lowercase(),
    });
    folded.take(IDENTITY_PREFIX.len()).eq(IDENTITY_PREFIX.bytes())
}

// RFC 6750 §2.1: "Bearer" 1*SP b64token; RFC 9449 §7.1: "DPoP" 1*SP token68; RFC 9110 §11.1: the scheme is
// case-insensitive.
fn token_of<'a>(value: &'a [u8], demanded: &[u8]) -> Result<&'a str, CredentialFault> {
    let scheme_end = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(scheme_end);
    if !scheme.eq_ignore_ascii_case(demanded) {
        return Err(CredentialFault::OtherScheme);
    }
    let token = rest.trim_ascii();
    if token.is_empty() {
        return Err(CredentialFault::Malformed);
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(CredentialFault::TooLarge);
    }
    if !token.iter().all(is_b64token) {
        return Err(CredentialFault::Malformed);
    }
    std::str::from_utf8(token).map_err(|_| CredentialFault::Malformed)
}

fn is_b64token(byte: &u8) -> bool {
    const IS: [bool; 256] = {
        let mut is = [false; 256];
        let mut byte = 0;
        while byte < 256 {
            is[byte] = (byte as u8).is_ascii_alphanumeric()
                || matches!(byte as u8, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=');
            byte += 1;
        }
        is
    };
    IS[usize::from(*byte)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn with(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn takes_one_token_whatever_the_case_of_the_scheme() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", "bEaReR   a.b.c", "Bearer a.b.c  "] {
            assert_eq!(bearer(&with(&[value])), Ok("a.b.c"), "{value}");
        }
    }

    #[test]
    fn refuses_everything_that_is_not_one_token() {
        let cases = [
            (vec![], CredentialFault::Absent),
            (vec!["Basic YTpi"], CredentialFault::OtherScheme),
            (vec!["Bearera.b.c"], CredentialFault::OtherScheme),
            (vec!["Bearer\ta.b.c"], CredentialFault::OtherScheme),
            (vec![""], CredentialFault::OtherScheme),
            (vec!["Bearer"], CredentialFault::Malformed),
            (vec!["Bearer   "], CredentialFault::Malformed),
            (vec!["Bearer a.b.c d.e.f"], CredentialFault::Malformed),
            (vec!["Bearer a.b.c, Bearer d.e.f"], CredentialFault::Malformed),
            (vec!["Bearer a.b.c,d.e.f"], CredentialFault::Malformed),
            (vec!["Bearer \"a.b.c\""], CredentialFault::Malformed),
            (vec!["Bearer a.b.c", "Bearer a.b.c"], CredentialFault::Duplicate),
            (vec!["Bearer a.b.c", "Basic YTpi"], CredentialFault::Duplicate),
        ];
        for (values, fault) in cases {
            assert_eq!(bearer(&with(&values)), Err(fault), "{values:?}");
        }
    }

    #[test]
    fn bounds_the_token_before_reading_it() {
        let longest = format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX));
        assert!(bearer(&with(&[&longest])).is_ok());
        let longer = format!("Bearer {}", "a".repeat(TOKEN_BYTES_MAX + 1));
        assert_eq!(bearer(&with(&[&longer])), Err(CredentialFault::TooLarge));
    }

    #[test]
    fn sees_an_identity_header_through_every_spelling() {
        for name in [
            "x-farside-subject",
            "X-Farside-Subject",
            "x_farside_subject",
            "X.Farside.Subject",
            "x-farside_roles",
            "x_farside.groups",
            "x-farside-anything-later",
        ] {
            let mut headers = HeaderMap::new();
            headers
                .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("admin"));
            assert!(forged_identity(&headers).is_some(), "{name}");
        }
    }

    #[test]
    fn leaves_other_headers_alone() {
        for name in ["x-forwarded-user", "x-far", "farside", "authorization", "x-farsidesubject"] {
            let mut headers = HeaderMap::new();
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
            assert!(forged_identity(&headers).is_none(), "{name}");
        }
    }
}
