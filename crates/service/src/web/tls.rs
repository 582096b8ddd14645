//! TLS for a listener.

use std::sync::Arc;

use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::peer::AnyKeyProven;
use super::{ClientCertificates, Tls};
use crate::tls::{TlsFault, certificates, key, provider};

pub(super) fn acceptor(tls: &Tls) -> Result<TlsAcceptor, TlsFault> {
    let certificates = certificates(&tls.certificates)?;
    let key = key(&tls.key)?;
    let provider = provider();
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
