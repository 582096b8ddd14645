//! The certificate that a client has shown in its handshake: taken from whoever made it, as proof of its key
//! and of nothing else, and laid beside each request of the connection.
//!
//! For those who hold a thumbprint that they compare it with (RFC 8705 §3). No name, no issuer and no date in
//! it is believed, so no authority is needed.

use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, ServerConnection, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::digest;

/// A certificate whose key the client of this connection has proven to hold; found among a request's
/// extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of its DER.
    pub sha256: [u8; 32],
}

impl PeerCertificate {
    pub(super) fn of(connection: &ServerConnection) -> Option<Self> {
        let shown = connection.peer_certificates()?.first()?;
        Some(Self { sha256: digest::sha256(shown) })
    }
}

/// Takes any certificate whose key signs the handshake, and clients without one.
#[derive(Debug)]
pub(super) struct AnyKeyProven(pub(super) Arc<CryptoProvider>);

impl ClientCertVerifier for AnyKeyProven {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _issuers: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Nothing that it says is believed: see above.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// A service whose every request bears what is known of the connection's client.
#[derive(Debug, Clone)]
pub(super) struct Attested<S> {
    pub(super) service: S,
    pub(super) certificate: Option<PeerCertificate>,
}

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for Attested<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        if let Some(certificate) = self.certificate {
            request.extensions_mut().insert(certificate);
        }
        self.service.call(request)
    }
}
