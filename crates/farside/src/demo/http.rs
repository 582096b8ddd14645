//! The least HTTP client a story needs: one request, one connection, loopback, clear text, bounded answer.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use farside_service::cli::{Failure, OrFailure};

const ANSWER_SECONDS_MAX: u64 = 10;
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// What a server answered.
pub(crate) struct Answer {
    /// The status code.
    pub(crate) status: u16,
    head: String,
    /// The body, as text.
    pub(crate) body: String,
}

impl Answer {
    /// The value of the first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (held, value) = line.split_once(':')?;
            held.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// GET with the given headers.
pub(crate) fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Result<Answer, Failure> {
    request(address, "GET", path, headers, "")
}

/// POST of a form.
pub(crate) fn post_form(address: SocketAddr, path: &str, form: &[(&str, &str)]) -> Result<Answer, Failure> {
    let body: Vec<String> = form.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    request(address, "POST", path, &[("content-type", "application/x-www-form-urlencoded")], &body.join("&"))
}

fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Answer, Failure> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    text += &format!("content-length: {}\r\n\r\n{body}", body.len());
    let answer = exchange(address, &text).or_could_not(|| format!("talk to http://{address}{path}"))?;
    parse(&answer).ok_or_else(|| Failure::could_not(format!("http://{address}{path} did not answer in HTTP")))
}

fn exchange(address: SocketAddr, text: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(ANSWER_SECONDS_MAX)))?;
    stream.write_all(text.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn parse(answer: &str) -> Option<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Percent-encodes everything but letters, digits and `-._~`.
pub(crate) fn escaped(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let each = |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    value.bytes().map(each).collect()
}
