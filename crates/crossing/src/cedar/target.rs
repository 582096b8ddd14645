//! What a request is aimed at, in the one spelling that policies see.
//!
//! Behind every proxy stands a server that reads paths in a way of its own: some join dot segments, some
//! decode twice, some cut off what follows a `;`. So nothing is mended here. What two programs could read
//! differently is refused, and what is left has one spelling.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr as _;

use crate::text::turns_direction;

/// Longest path, in bytes as received.
const PATH_BYTES_MAX: usize = 4_096;

/// Most segments of a path.
const SEGMENTS_MAX: usize = 64;

/// Longest host name, in bytes (RFC 1035 §2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// Where a request goes: scheme, host, port and decoded path. Made by [`Target::read`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    scheme: &'static str,
    host: String,
    port: u16,
    path: String,
}

/// Why nobody can say for sure what a request is aimed at.
// policy.md §4
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ambiguous {
    /// Neither http nor https.
    #[error("its scheme is neither http nor https")]
    Scheme,
    /// Not a name, an IPv4 or an IPv6 address, with or without a port.
    #[error("its host is not a plain name or address")]
    Host,
    /// No number from 1 to 65535.
    #[error("its port is no port")]
    Port,
    /// It does not begin with a slash.
    #[error("its path does not begin with a slash")]
    NoPath,
    /// Longer, or of more segments, than is looked at.
    #[error("its path is longer than 4096 bytes or 64 segments")]
    TooLong,
    /// A byte that RFC 3986 §3.3 does not let stand in a path.
    #[error("its path holds a character that must be percent-encoded")]
    Character,
    /// A `%` without two hexadecimal digits.
    #[error("its path holds a broken percent-encoding")]
    Encoding,
    /// `/`, `\`, `%`, `?`, `#`, `;` or a dot, encoded.
    #[error(
        "its path holds an encoded slash, backslash, percent sign, question mark, hash, semicolon or dot"
    )]
    Hidden,
    /// Encoded bytes that are no text, or hide what they are.
    #[error("its path decodes to control characters or to no UTF-8")]
    Unreadable,
    /// `;`: some servers cut off what follows.
    #[error("its path holds a semicolon")]
    Parameter,
    /// `.` or `..`: some servers walk them, some do not.
    #[error("its path holds a dot segment")]
    DotSegment,
    /// `//`: some servers make one slash of it.
    #[error("its path holds an empty segment")]
    EmptySegment,
    /// Some servers take a dot or a space off the end of a name.
    #[error("a segment of its path ends in a dot or a space")]
    LooseEnd,
}

impl Target {
    /// Reads what a proxy received: the scheme, the authority (`Host`, `:authority`), and the path as the
    /// client spelled it, with or without a query, which is no part of what policies see.
    ///
    /// ```
    /// use farside_crossing::cedar::Target;
    ///
    /// let target = Target::read("https", "HMI.example:443", "/line%2D1/R%C3%B6hre?x=1")?;
    /// assert_eq!((target.host(), target.port(), target.path()), ("hmi.example", 443, "/line-1/Röhre"));
    /// assert!(Target::read("https", "hmi.example", "/line-1/%2e%2e/admin").is_err());
    /// # Ok::<(), farside_crossing::cedar::Ambiguous>(())
    /// ```
    ///
    /// # Errors
    /// What two programs could read differently.
    pub fn read(scheme: &str, authority: &str, path: &str) -> Result<Target, Ambiguous> {
        let (scheme, usual_port) = match scheme {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return Err(Ambiguous::Scheme),
        };
        let (host, port) = parted(authority)?;
        let port = port.map_or(Ok(usual_port), port_number)?;
        let path = path.split_once('?').map_or(path, |(path, _query)| path);
        Ok(Target { scheme, host: host_name(host)?, port, path: plain_path(path)? })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// In lower case, without port.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// As received, or the scheme's usual one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Decoded; begins with a slash.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `host/a/b`, as policies name it.
    pub(super) fn id(&self) -> String {
        format!("{}{}", self.host, self.path)
    }

    /// What it lies within: `host/a`, then `host`'s own paths up to the first segment.
    pub(super) fn above(&self) -> impl Iterator<Item = String> {
        let cuts = self.path.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at);
        cuts.map(|at| format!("{}{}", self.host, &self.path[..at]))
    }
}

/// Host and port; the brackets of an IPv6 address stay.
fn parted(authority: &str) -> Result<(&str, Option<&str>), Ambiguous> {
    let host_ends = match authority.strip_prefix('[') {
        Some(inner) => inner.find(']').ok_or(Ambiguous::Host)? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    match authority.split_at_checked(host_ends).ok_or(Ambiguous::Host)? {
        (host, "") => Ok((host, None)),
        (host, rest) => Ok((host, Some(rest.strip_prefix(':').ok_or(Ambiguous::Host)?))),
    }
}

fn port_number(text: &str) -> Result<u16, Ambiguous> {
    let digits = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return Err(Ambiguous::Port);
    }
    text.parse().map_err(|_| Ambiguous::Port)
}

// policy.md §4.2
fn host_name(text: &str) -> Result<String, Ambiguous> {
    if let Some(inner) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address = Ipv6Addr::from_str(inner).map_err(|_| Ambiguous::Host)?;
        return Ok(format!("[{address}]"));
    }
    // The root's own dot: the same name, and proxies choose their server alike.
    let text = text.strip_suffix('.').unwrap_or(text);
    let label = |label: &str| {
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !label.is_empty() && label.len() <= 63 && label.bytes().all(legal)
    };
    if text.len() > HOST_BYTES_MAX || !text.split('.').all(label) {
        return Err(Ambiguous::Host);
    }
    // What ends in a number is an address to many, and only four plain decimals are the same one to all.
    let last = text.rsplit('.').next().unwrap_or_default();
    let numeric =
        last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    if numeric && Ipv4Addr::from_str(text).is_err() {
        return Err(Ambiguous::Host);
    }
    Ok(text.to_ascii_lowercase())
}

// policy.md §4.3
fn plain_path(text: &str) -> Result<String, Ambiguous> {
    let inner = text.strip_prefix('/').ok_or(Ambiguous::NoPath)?;
    if text.len() > PATH_BYTES_MAX || inner.split('/').count() > SEGMENTS_MAX {
        return Err(Ambiguous::TooLong);
    }
    let decoded = String::from_utf8(decoded(text)?).map_err(|_| Ambiguous::Unreadable)?;
    if decoded.chars().any(|c| c.is_control() || turns_direction(c)) {
        return Err(Ambiguous::Unreadable);
    }
    let mut segments = decoded.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => return Err(Ambiguous::DotSegment),
            // The last may be empty: a folder's own page.
            "" if segments.peek().is_some() => return Err(Ambiguous::EmptySegment),
            other if other.ends_with(['.', ' ']) => return Err(Ambiguous::LooseEnd),
            _ => {}
        }
    }
    Ok(decoded)
}

fn decoded(text: &str) -> Result<Vec<u8>, Ambiguous> {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16));
                let (high, low) = (digit().ok_or(Ambiguous::Encoding)?, digit().ok_or(Ambiguous::Encoding)?);
                match u8::try_from(high * 16 + low).map_err(|_| Ambiguous::Encoding)? {
                    b'/' | b'\\' | b'%' | b'?' | b'#' | b';' | b'.' => return Err(Ambiguous::Hidden),
                    byte => plain.push(byte),
                }
            }
            b';' => return Err(Ambiguous::Parameter),
            byte if stands_in_path(byte) => plain.push(byte),
            _ => return Err(Ambiguous::Character),
        }
    }
    Ok(plain)
}

/// RFC 3986 §3.3: `pchar` without what is judged by itself, and the slash between segments.
fn stands_in_path(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/".contains(&byte)
}
