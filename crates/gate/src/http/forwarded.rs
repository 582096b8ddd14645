//! What the proxy in front says that it received, for gates whose configuration says that their proxy sets it
//! (`[proxy] request = "x-forwarded"`).
//!
//! ```text
//!   X-Forwarded-Method   X-Forwarded-Proto   X-Forwarded-Host   X-Forwarded-Uri  ─▶  Requested
//! ```
//! Each stands exactly once, or the request is wrong. Which certificate its client has shown (RFC 8705) it
//! says in a header of its own kind (`[proxy] certificate`), once or, where there is none, not at all. Where
//! nothing is configured these headers are anybody's and are not looked at.

use hyper::HeaderMap;
use hyper::header::HeaderName;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use farside_service::digest;

use super::answer::RequestFault;
use crate::config::{CertificateHeader, Proxy};
use crate::judge::{Requested, RequestedFault};

const METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const SCHEME: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const TARGET: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// The request that the proxy received; nothing where no proxy is configured to say it.
///
/// # Errors
/// `forwarded_invalid`: one of the four is missing, stands twice, or is not what it must be.
pub(super) fn request<'a>(
    headers: &'a HeaderMap,
    proxy: &Proxy,
) -> Result<Option<Requested<'a>>, RequestFault> {
    if proxy.request.is_none() {
        return Ok(None);
    }
    let read = Requested::read(
        only(headers, &METHOD)?,
        only(headers, &SCHEME)?,
        only(headers, &HOST)?,
        only(headers, &TARGET)?,
    );
    let named = |fault: RequestedFault| match fault {
        RequestedFault::Method => METHOD,
        RequestedFault::Scheme => SCHEME,
        RequestedFault::Host => HOST,
        RequestedFault::Target => TARGET,
    };
    read.map(Some).map_err(|fault| RequestFault::ForwardedInvalid(format!("{}: {fault}", named(fault))))
}

/// The value of a header that stands once.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, RequestFault> {
    let wrong = |what: &str| RequestFault::ForwardedInvalid(format!("{name} {what}"));
    let mut values = headers.get_all(name).iter();
    let value = values.next().ok_or_else(|| wrong("is missing"))?;
    if values.next().is_some() {
        return Err(wrong("stands more than once"));
    }
    value.to_str().map_err(|_| wrong("is not visible ASCII"))
}

/// What Caddy writes over TLS whose client has shown no certificate: the name of what it does not have.
const CADDYS_NONE: &str = ":{http.request.tls.client.certificate_der_base64}:";

/// SHA-256 of the certificate that the proxy's client has shown, where the proxy names one.
///
/// # Errors
/// `forwarded_invalid`: the header stands twice, or does not hold one certificate in its form.
// RFC 8705 §3.1
pub(super) fn certificate(
    headers: &HeaderMap,
    header: CertificateHeader,
) -> Result<Option<[u8; 32]>, RequestFault> {
    let name = header_name(header);
    if !headers.contains_key(&name) {
        return Ok(None);
    }
    let value = only(headers, &name)?.trim();
    // What a proxy writes whose client has shown none.
    if value.is_empty() || value == "::" || value == CADDYS_NONE {
        return Ok(None);
    }
    let hash = match header {
        CertificateHeader::ClientCert => rfc9440(value).map(|der| digest::sha256(&der)),
        CertificateHeader::XForwardedClientCert => envoys(value),
        CertificateHeader::XSslClientCert => pem(value).map(|der| digest::sha256(&der)),
    };
    let wrong = || RequestFault::ForwardedInvalid(format!("{name} does not hold one certificate"));
    hash.map(Some).ok_or_else(wrong)
}

/// The same of an escaped PEM that stands in no header; empty where the client has shown none.
pub(super) fn certificate_of_pem(text: &str) -> Result<Option<[u8; 32]>, RequestFault> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || RequestFault::ForwardedInvalid("the client's certificate is none".to_owned());
    pem(text).map(|der| Some(digest::sha256(&der))).ok_or_else(wrong)
}

fn header_name(header: CertificateHeader) -> HeaderName {
    HeaderName::from_static(match header {
        CertificateHeader::ClientCert => "client-cert",
        CertificateHeader::XSslClientCert => "x-ssl-client-cert",
        CertificateHeader::XForwardedClientCert => "x-forwarded-client-cert",
    })
}

// RFC 9440 §2.2, RFC 8941 §3.3.5
fn rfc9440(value: &str) -> Option<Vec<u8>> {
    let text = value.strip_prefix(':')?.strip_suffix(':')?;
    STANDARD.decode(text).ok().filter(|der| is_whole(der))
}

/// The first certificate, which is the client's own; its issuers may follow behind commas.
fn pem(value: &str) -> Option<Vec<u8>> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let text = unescaped(value.split(',').next()?)?;
    let body = match text.trim().strip_prefix(BEGIN) {
        Some(rest) => rest.split_once(END).filter(|(_, behind)| behind.trim().is_empty())?.0,
        None => text.trim(),
    };
    let packed: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(packed).ok().filter(|der| is_whole(der))
}

/// `Hash=<64 hexadecimal digits>` of the one element. Several elements would be of proxies behind one
/// another.
fn envoys(value: &str) -> Option<[u8; 32]> {
    // Quoted values may hold both dividers; only what stands before the first quote is read.
    let plain = value.split('"').next()?;
    if plain.contains(',') {
        return None;
    }
    let mut hashes = plain.split(';').filter_map(|pair| pair.strip_prefix("Hash="));
    hashes.next().filter(|_| hashes.next().is_none()).and_then(digest::unhex)
}

/// Percent-decoded; a plus is a plus.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digit =
            |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match byte {
            b'%' => bytes.push(digit(rest.next())? << 4 | digit(rest.next())?),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

/// Whether it is one DER SEQUENCE with nothing behind it, so that a certificate has one thumbprint.
fn is_whole(der: &[u8]) -> bool {
    let length = match der {
        [0x30, 0x82, high, low, ..] => 4 + (usize::from(*high) << 8 | usize::from(*low)),
        [0x30, 0x81, length, ..] => 3 + usize::from(*length),
        [0x30, length @ 0..=0x7f, ..] => 2 + usize::from(*length),
        _ => return false,
    };
    der.len() == length
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    const BASE64: &str = "MAMCASo=";

    fn told(header: CertificateHeader, values: &[&str]) -> Result<Option<[u8; 32]>, RequestFault> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header_name(header), HeaderValue::from_str(value).unwrap());
        }
        certificate(&headers, header)
    }

    #[test]
    fn each_proxys_form_gives_the_same_thumbprint() {
        use CertificateHeader::{ClientCert, XForwardedClientCert, XSslClientCert};
        let hash = digest::sha256(&STANDARD.decode(BASE64).unwrap());
        let hex = digest::hex(&hash);
        let escaped = "-----BEGIN%20CERTIFICATE-----%0AMAMC%0AASo%3D%0A-----END%20CERTIFICATE-----%0A";
        for (header, value) in [
            (ClientCert, ":MAMCASo=:".to_owned()),
            (XSslClientCert, escaped.to_owned()),
            (XSslClientCert, BASE64.to_owned()),
            (XSslClientCert, format!("{BASE64},MAMCASs=")),
            (XForwardedClientCert, format!("Hash={hex}")),
            (XForwardedClientCert, format!("By=spiffe://a;Hash={hex};Subject=\"CN=a;Hash=0,b\"")),
        ] {
            assert_eq!(told(header, &[&value]), Ok(Some(hash)), "{value}");
            assert!(told(header, &[&value, &value]).is_err(), "twice: {value}");
        }
        for header in [ClientCert, XSslClientCert, XForwardedClientCert] {
            assert_eq!(told(header, &[]), Ok(None));
            assert_eq!(told(header, &[""]), Ok(None));
        }
        assert_eq!(told(ClientCert, &["::"]), Ok(None));
        assert_eq!(told(ClientCert, &[CADDYS_NONE]), Ok(None));
    }

    #[test]
    fn what_is_not_one_certificate_is_wrong() {
        use CertificateHeader::{ClientCert, XForwardedClientCert, XSslClientCert};
        let hash = "a".repeat(64);
        for (header, value) in [
            (ClientCert, "MAMCASo=".to_owned()),
            (ClientCert, ":MAMCASo:".to_owned()),
            (ClientCert, ":MAMCASoA:".to_owned()),
            (ClientCert, ":MAMCASo=:, :MAMCASo=:".to_owned()),
            (XSslClientCert, "MAMCASo%3".to_owned()),
            (XSslClientCert, "-----BEGIN CERTIFICATE-----MAMCASo=".to_owned()),
            (
                XSslClientCert,
                "-----BEGIN CERTIFICATE-----MAMCASo=-----END CERTIFICATE-----MAMCASo=".to_owned(),
            ),
            (XForwardedClientCert, format!("Hash={hash},Hash={hash}")),
            (XForwardedClientCert, format!("Hash={hash};Hash={hash}")),
            (XForwardedClientCert, format!("Subject=\"a\";Hash={hash}")),
            (XForwardedClientCert, "Hash=abc".to_owned()),
        ] {
            assert!(told(header, &[&value]).is_err(), "{value}");
        }
    }
}
