//! The request that a token came with, as the proxy in front of the gate received it: method, scheme, host
//! and target, each bounded and read in one way alone.
//!
//! Refuses what is no plain request to a server: control characters, bytes beyond ASCII, fragments, targets
//! with a scheme of their own, hosts with a user in them. A path that two servers could take for two
//! different ones is kept, since the application may know what to do with it; policies read the target
//! themselves, more strictly (`farside_crossing::cedar::Target`).

use std::borrow::Cow;

use farside_verify::uri::{Authority, HttpUri, Scheme};

/// Longest method; registered ones have at most 17 characters.
pub const METHOD_BYTES_MAX: usize = 32;
/// Longest target: what RFC 9112 §3 recommends servers to take at least, and some more.
pub const TARGET_BYTES_MAX: usize = 8192;

/// Why something is no request that could be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestedFault {
    /// RFC 9110 §9.1: a token.
    #[error("the method is no token of at most {METHOD_BYTES_MAX} characters")]
    Method,
    /// Nothing else is proxied.
    #[error("the scheme is neither http nor https")]
    Scheme,
    /// RFC 3986 §3.2.2, without user, escapes and empty names.
    #[error("the host is no name or address with at most a port behind it")]
    Host,
    /// RFC 9112 §3.2.1: origin form, nothing but visible ASCII.
    #[error(
        "the target is not a path of visible ASCII, perhaps with a query, of at most {TARGET_BYTES_MAX} bytes"
    )]
    Target,
}

/// A request as the proxy received it. A made one has been read strictly; whether it is true is the word of
/// whoever forwarded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requested<'a> {
    method: Cow<'a, str>,
    scheme: Scheme,
    authority: Authority,
    target: Cow<'a, str>,
}

impl<'a> Requested<'a> {
    /// Reads the four parts of a request: method, `http` or `https`, host (with its port, if any), and path
    /// with query.
    ///
    /// ```
    /// use farside_gate::judge::Requested;
    /// let asked = Requested::read("GET", "https", "Wiki.Example:8443", "/%7Eanna/page?a=1").unwrap();
    /// assert_eq!((asked.host(), asked.port()), ("wiki.example", 8443));
    /// assert_eq!((asked.path(), asked.query()), ("/%7Eanna/page", Some("a=1")));
    /// ```
    ///
    /// # Errors
    /// The first part that is not what it must be.
    pub fn read(method: &'a str, scheme: &str, host: &str, target: &'a str) -> Result<Self, RequestedFault> {
        if method.is_empty() || method.len() > METHOD_BYTES_MAX || !method.bytes().all(is_token) {
            return Err(RequestedFault::Method);
        }
        let scheme = Scheme::from_name(scheme).ok_or(RequestedFault::Scheme)?;
        let authority = Authority::read(host).ok_or(RequestedFault::Host)?;
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'#';
        if !target.starts_with('/') || target.len() > TARGET_BYTES_MAX || !target.bytes().all(plain) {
            return Err(RequestedFault::Target);
        }
        Ok(Self { method: method.into(), scheme, authority, target: target.into() })
    }

    /// The same, free of what it was read from.
    pub fn to_static(&self) -> Requested<'static> {
        Requested {
            method: Cow::Owned(self.method.clone().into_owned()),
            scheme: self.scheme,
            authority: self.authority.clone(),
            target: Cow::Owned(self.target.clone().into_owned()),
        }
    }

    /// The method, to the letter.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// The scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host in lower case, without port and final dot; an IPv6 address in brackets and its shortest form.
    pub fn host(&self) -> &str {
        self.authority.host()
    }

    /// The port: the one named, or the scheme's own.
    pub fn port(&self) -> u16 {
        self.authority.port(self.scheme)
    }

    /// Path and query, exactly as they were received.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path exactly as it was received, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The query without its question mark, exactly as it was received.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The address as a DPoP proof may name it; `None` where an escape in its path is broken.
    pub(super) fn uri(&self) -> Option<HttpUri> {
        HttpUri::of(self.scheme, &self.authority, self.path())
    }
}

/// RFC 9110 §5.6.2
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked<'a>(host: &str, target: &'a str) -> Result<Requested<'a>, RequestedFault> {
        Requested::read("GET", "https", host, target)
    }

    #[test]
    fn what_is_no_plain_request_is_refused() {
        let long = format!("/{}", "a".repeat(TARGET_BYTES_MAX));
        for target in [
            "",
            "*",
            "page",
            "http://a/page",
            "//a#",
            "/page#top",
            "/a b",
            "/a\tb",
            "/a\0",
            "/a\u{7f}",
            "/\u{e9}",
            "/?\u{1}",
            &long,
        ] {
            assert_eq!(asked("a", target), Err(RequestedFault::Target), "{target:?}");
        }
        for host in ["", "anna@wiki", "a b", "a,b"] {
            assert_eq!(asked(host, "/"), Err(RequestedFault::Host), "{host:?}");
        }
        for method in ["", "GET /", "GE\u{e9}T", "G,T", "G\0", &"A".repeat(METHOD_BYTES_MAX + 1)] {
            assert_eq!(Requested::read(method, "https", "a", "/"), Err(RequestedFault::Method), "{method:?}");
        }
        for scheme in ["", "HTTPS", "ws", "https://", "http, https"] {
            assert_eq!(Requested::read("GET", scheme, "a", "/"), Err(RequestedFault::Scheme), "{scheme:?}");
        }
    }
}
