//! One question to a server over one connection: what commands and background work need of HTTP, and no more.
//!
//! The whole exchange has one deadline, so that a server which drips its answer byte by byte keeps nobody.
//! Over TLS only the certificates handed in are believed.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use crate::tls;

/// Whom to ask, and how long and large an answer may be.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// The name that its certificate must bear and the PEM file of certificates believed; `None`: in clear.
    pub tls: Option<(&'a str, &'a Path)>,
    /// How long all of it may take.
    pub seconds_max: u64,
    /// How many bytes of an answer are taken.
    pub answer_bytes_max: u64,
}

impl Asked<'_> {
    /// Sends a request, which must ask for the connection to be closed, and hands over all that comes back.
    ///
    /// # Errors
    /// The server cannot be reached or believed, or took too long.
    pub fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let until = Instant::now() + Duration::from_secs(self.seconds_max);
        let stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(self.seconds_max))?;
        let stream = Until { stream, until };
        match self.tls {
            None => self.talk(stream, request),
            Some((name, certificates)) => {
                let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
                let config = tls::client(certificates, None).map_err(io::Error::other)?;
                let connection = ClientConnection::new(Arc::new(config), name);
                self.talk(StreamOwned::new(connection.map_err(io::Error::other)?, stream), request)
            }
        }
    }

    fn talk(&self, mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(request)?;
        stream.flush()?;
        let mut answer = Vec::new();
        stream.take(self.answer_bytes_max).read_to_end(&mut answer)?;
        Ok(answer)
    }
}

/// The status and the body of an answer that ends with its connection.
#[must_use]
pub fn split(answer: &[u8]) -> Option<(u16, &[u8])> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let (version, rest) = head.lines().next()?.split_once(' ')?;
    let known = matches!(version, "HTTP/1.1" | "HTTP/1.0");
    Some((rest.get(..3).filter(|_| known)?.parse().ok()?, &answer[end + 4..]))
}

/// A connection on which nothing waits beyond one moment.
struct Until {
    stream: TcpStream,
    until: Instant,
}

impl Until {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::Error::from(io::ErrorKind::TimedOut)) } else { Ok(left) }
    }
}

impl Read for Until {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(bytes)
    }
}

impl Write for Until {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_split_and_noise_is_none() {
        assert_eq!(split(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n{}"), Some((200, &b"{}"[..])));
        assert_eq!(split(b"HTTP/1.0 409 Conflict\r\n\r\n7\n"), Some((409, &b"7\n"[..])));
        for noise in [&b""[..], b"HTTP/1.1 200", b"SSH-2.0-x 200\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n"] {
            assert_eq!(split(noise), None);
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_left_at_the_deadline() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = silent.local_addr().unwrap();
        let asked = Asked { address, tls: None, seconds_max: 1, answer_bytes_max: 100 };
        let fault = asked.exchange(b"GET / HTTP/1.0\r\n\r\n").unwrap_err();
        assert!(matches!(fault.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock), "{fault}");
    }
}
