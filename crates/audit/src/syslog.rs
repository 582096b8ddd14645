//! Journal lines as syslog messages (RFC 5424), and the ways to send them: UDP (RFC 5426), TCP with octet
//! counting (RFC 6587), TLS (RFC 5425), a local socket.
//!
//! ```text
//!   <110>1 2026-11-23T20:00:00Z moon farside-gate - decision [farside@32473 journal="gate" …] {"n":7,…}
//! ```
//!
//! The message is the journal's line, byte for byte: whoever receives it can check its hash. It has no byte
//! order mark (RFC 5424 §6.4 lets it be of any encoding then): a mark would not be part of the line.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use farside_service::cli::{Failure, OrFailure as _};
use farside_service::tls::{self, Identity};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::lines::Line;

/// RFC 5424 §6.2.1: `log audit`.
const FACILITY: u32 = 13;
/// The private enterprise number of documentation (RFC 5612): Farside has none of its own.
const ENTERPRISE: u32 = 32_473;
/// How long a receiver may take to answer a connection, or to take a message.
const WAIT_SECONDS: u64 = 30;
/// What a UDP datagram over IPv4 can hold.
const DATAGRAM_BYTES_MAX: usize = 65_507;

/// One message.
pub(crate) fn message(line: &Line<'_>, host: &str) -> String {
    let (event, hash) = (line.text_of("event"), line.text_of("hash"));
    let priority = FACILITY * 8 + severity(line);
    let program = line.journal.split('-').next().unwrap_or_default();
    let mut text = format!("<{priority}>1 {} {}", header(line.text_of("at"), 32), header(host, 255));
    // Writing to a String cannot fail. RFC 5424 §6.2.5 to §6.2.7: names of limited length, `-` for none.
    let _ = write!(text, " farside-{} - {}", header(program, 40), header(event, 32));
    let (journal, n) = (header(line.journal, 64), line.number());
    let _ =
        write!(text, " [farside@{ENTERPRISE} journal=\"{journal}\" n=\"{n}\" hash=\"{hash}\"] {}", line.text);
    text
}

/// RFC 5424 §6.2.1: 6 is informational, 5 notice, 4 warning.
fn severity(line: &Line<'_>) -> u32 {
    match line.text_of("event") {
        "bundle_refused" | "bundle_not_made" | "not_sent" | "not_received" => 4,
        "bundle_accepted" if line.members.contains_key("missing") => 4,
        "decision" | "pickup" if line.text_of("verdict") == "refuse" => 5,
        "token_refused" => 5,
        _ => 6,
    }
}

/// Printable ASCII without spaces, `"`, `]` and `\`, as header fields and parameters need it.
fn header(text: &str, characters_max: usize) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | ']' | '\\');
    let text: String = text.chars().map(|c| if plain(c) { c } else { '_' }).take(characters_max).collect();
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Receiver {
    Udp(String),
    Tcp(String),
    Tls(String),
    Unix(PathBuf),
}

impl FromStr for Receiver {
    type Err = String;

    fn from_str(text: &str) -> Result<Receiver, String> {
        let wrong =
            || format!("`{text}` is none of udp://HOST:PORT tcp://HOST:PORT tls://HOST:PORT unix:PATH");
        if let Some(path) = text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
            return Ok(Receiver::Unix(PathBuf::from(path)));
        }
        let (scheme, address) = text.split_once("://").ok_or_else(wrong)?;
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        match scheme {
            "udp" if has_port => Ok(Receiver::Udp(address.to_owned())),
            "tcp" if has_port => Ok(Receiver::Tcp(address.to_owned())),
            "tls" if has_port => Ok(Receiver::Tls(address.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// Whom to believe, and who we are, where TLS is spoken.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Tls {
    /// The certificates that vouch for the receiver, in PEM; demanded for tls://.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Our own certificate, where the receiver asks for one.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub(crate) key: Option<PathBuf>,
}

/// An open way to a receiver.
pub(crate) enum Sender {
    Udp(UdpSocket),
    Unix(UnixDatagram),
    Stream(Box<dyn Write>),
}

impl Sender {
    pub(crate) fn open(receiver: &Receiver, tls: &Tls) -> Result<Sender, Failure> {
        let what = || format!("reach {receiver:?}");
        match receiver {
            Receiver::Udp(address) => {
                let any = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(any).or_could_not(what)?;
                socket.connect(address).or_could_not(what)?;
                Ok(Sender::Udp(socket))
            }
            Receiver::Unix(path) => {
                let socket = UnixDatagram::unbound().or_could_not(what)?;
                socket.connect(path).or_could_not(what)?;
                Ok(Sender::Unix(socket))
            }
            Receiver::Tcp(address) => Ok(Sender::Stream(Box::new(connect(address).or_could_not(what)?))),
            Receiver::Tls(address) => {
                let config = client_config(tls)?;
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
                let name = ServerName::try_from(host).or_could_not(what)?;
                let connection = ClientConnection::new(Arc::new(config), name).or_could_not(what)?;
                let mut stream = StreamOwned::new(connection, connect(address).or_could_not(what)?);
                // The handshake, so that a receiver that is not believed gets nothing.
                stream.conn.complete_io(&mut stream.sock).or_could_not(what)?;
                Ok(Sender::Stream(Box::new(Closing(stream))))
            }
        }
    }

    /// Sends one message. TCP and TLS say nothing about its arrival, only that the connection stood.
    pub(crate) fn send(&mut self, message: &str) -> io::Result<()> {
        let bytes = message.as_bytes();
        match self {
            Sender::Udp(_) if bytes.len() > DATAGRAM_BYTES_MAX => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "too long for a datagram: use tcp:// or tls://",
            )),
            Sender::Udp(socket) => socket.send(bytes).map(drop),
            Sender::Unix(socket) => socket.send(bytes).map(drop),
            // RFC 5425 §4.3, RFC 6587 §3.4.1
            Sender::Stream(stream) => {
                stream.write_all(format!("{} {message}", bytes.len()).as_bytes())?;
                stream.flush()
            }
        }
    }
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    let wait = Some(Duration::from_secs(WAIT_SECONDS));
    stream.set_read_timeout(wait)?;
    stream.set_write_timeout(wait)?;
    Ok(stream)
}

/// Says goodbye before the connection closes, so that the receiver keeps the last message (RFC 5425 §4.4).
struct Closing(StreamOwned<ClientConnection, TcpStream>);

impl Write for Closing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.conn.send_close_notify();
        // Whoever has gone away needs no goodbye.
        let _ = self.0.flush();
    }
}

fn client_config(tls: &Tls) -> Result<ClientConfig, Failure> {
    let Some(ca) = &tls.ca else {
        return Err(Failure::could_not("tls:// needs to know whom to believe")
            .hint("name the certificates that vouch for the receiver with --ca FILE"));
    };
    let shown = tls.certificate.as_deref().zip(tls.key.as_deref());
    let identity = shown.map(|(certificates, key)| Identity { certificates, key });
    tls::client(ca, identity).or_could_not(|| "speak TLS".to_owned())
}
