//! Where a server listens and what it bears: the `[listen]`, `[admin]` and `[limits]` tables of the
//! configuration.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use super::WebFault;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// IP address and port, such as `127.0.0.1:8700`. Port 0 lets the system choose.
    pub address: SocketAddr,
    /// TLS; without it the address must be a loopback one, or `clear_beyond_loopback` must say why not.
    #[serde(default)]
    pub tls: Option<Tls>,
    /// Who makes clear text beyond loopback acceptable.
    #[serde(default)]
    pub clear_beyond_loopback: Option<ClearBeyondLoopback>,
}

/// A server's certificate and key.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// PEM file: the server's certificate, then its issuers.
    pub certificates: PathBuf,
    /// PEM file: the private key, for its owner's and group's eyes only.
    pub key: PathBuf,
    /// Whether clients are asked for a certificate; none is demanded.
    #[serde(default)]
    pub client_certificates: ClientCertificates,
}

/// What is asked of clients in the handshake.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientCertificates {
    /// Nothing.
    #[default]
    Ignore,
    /// A certificate, whoever issued it and whatever it says: that its key is the client's is proven, and
    /// nothing else is believed of it.
    Ask,
}

/// Why clear text beyond loopback is acceptable there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClearBeyondLoopback {
    /// A proxy that speaks TLS to the world is the only one that can connect.
    TrustedProxy,
    /// Everyone on that network may read and change what crosses it.
    TrustedNetwork,
}

/// What a server bears before it refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections served at once; more wait in the kernel's queue.
    pub connections_max: usize,
    /// Seconds for a handshake, for a request's header to arrive, and for a connection to stand idle.
    pub header_seconds_max: u64,
    /// Bytes of a request's header, at least 8,192; room for a token of 16 KiB by default.
    pub header_bytes_max: u32,
    /// Header lines of a request.
    pub header_lines_max: usize,
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Seconds until an answer must begin.
    pub request_seconds_max: u64,
}

/// What hyper's buffer cannot go below.
pub(super) const HEADER_BYTES_MIN: u32 = 8192;

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            header_seconds_max: 10,
            header_bytes_max: 32 << 10,
            header_lines_max: 100,
            body_bytes_max: 64 << 10,
            request_seconds_max: 30,
        }
    }
}

impl Listen {
    /// Loopback needs nothing; beyond it there is TLS, or a sentence in the configuration.
    pub(super) fn refuse_clear_beyond_loopback(&self) -> Result<(), WebFault> {
        let loopback = self.address.ip().to_canonical().is_loopback();
        if loopback || self.tls.is_some() || self.clear_beyond_loopback.is_some() {
            Ok(())
        } else {
            Err(WebFault::ClearBeyondLoopback(self.address))
        }
    }
}
