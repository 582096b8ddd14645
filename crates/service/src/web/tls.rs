//! TLS for a listener: certificate and key from PEM files, the one crypto provider named explicitly.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use super::peer::AnyKeyProven;
use super::{ClientCertificates, Tls};
use crate::durable::{self, Failed, failed};

const PEM_BYTES_MAX: u64 = 1 << 20;

/// Why certificate and key were not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    /// A file cannot be read.
    #[error(transparent)]
    Unreadable(#[from] Failed),
    /// Everyone on the machine could read the key.
    #[error("{0} can be read by everyone: chmod 600 it")]
    Exposed(PathBuf),
    /// No PEM of that kind in the file.
    #[error("{path} holds no {what} in PEM")]
    NoPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key do not go together, or are of a kind not supported.
    #[error("certificate and key are not usable: {0}")]
    Unusable(#[from] rustls::Error),
}

pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsFault> {
    let certificates = certificates(&tls.certificates)?;
    let key = key(&tls.key)?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match tls.client_certificates {
        ClientCertificates::Ignore => builder.with_no_client_auth(),
        ClientCertificates::Ask => builder.with_client_cert_verifier(Arc::new(AnyKeyProven(provider))),
    };
    let mut config = builder.with_single_cert(certificates, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFault> {
    let pem = durable::read_limited(path, PEM_BYTES_MAX)?;
    let missing = || TlsFault::NoPem { path: path.to_owned(), what: "certificate" };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|_| missing())?;
    if found.is_empty() { Err(missing()) } else { Ok(found) }
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsFault> {
    let mode = std::fs::metadata(path).map_err(|source| failed("read", path, source))?.mode();
    if mode & 0o007 != 0 {
        return Err(TlsFault::Exposed(path.to_owned()));
    }
    let pem = Zeroizing::new(durable::read_limited(path, PEM_BYTES_MAX)?);
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| TlsFault::NoPem { path: path.to_owned(), what: "private key" })
}
