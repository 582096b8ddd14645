//! `farside gate pickup`: the holder's side of `/pickup`, for people with a phrase and bots with a key.
//!
//! Talks to the running gate of this configuration over one connection, once. Refuses an answer that is
//! larger or slower than a gate's, and over TLS believes only the certificates it was given.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use farside_service::cli::Failure;
use farside_service::time::now_unix;
use farside_service::web::Listen;
use farside_service::web::client::{Asked, split};
use serde_json::{Value, json};

use super::proof;

/// A gate that says nothing for so long is not there.
const ANSWER_SECONDS_MAX: u64 = 15;
/// Larger answers are refused.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The name that a certificate for this machine alone is made out to.
const CERTIFICATE_NAME_DEFAULT: &str = "localhost";

/// Where the running gate is, and how to know it.
pub struct Doorstep {
    address: SocketAddr,
    /// The name in its certificate, and the PEM file of certificates that are believed.
    tls: Option<(String, PathBuf)>,
}

impl Doorstep {
    /// The gate of this machine's configuration, with the name that its certificate is for, where that is not
    /// `localhost`.
    pub fn of(listen: &Listen, name: Option<String>) -> Doorstep {
        let certificates = listen.tls.as_ref().map(|tls| tls.certificates.clone());
        Doorstep::at(reachable(listen.address), certificates, name)
    }

    /// A gate anywhere: over TLS where certificates are named, else in clear.
    pub fn at(address: SocketAddr, certificates: Option<PathBuf>, name: Option<String>) -> Doorstep {
        let name = name.unwrap_or_else(|| CERTIFICATE_NAME_DEFAULT.to_owned());
        Doorstep { address, tls: certificates.map(|certificates| (name, certificates)) }
    }
}

/// How a holder proves who it is.
pub enum Proof<'a> {
    /// The claim phrase that was handed over.
    Phrase(&'a str),
    /// The private key whose public half the mint knows: a PKCS#8 file, PEM or DER.
    Key(&'a Path),
}

/// A carried token, as the gate hands it out. Its text is the whole point, so it has no `Debug`.
pub struct Token {
    /// The token.
    pub text: String,
    /// The audience it is for, if it has one alone.
    pub audience: Option<String>,
    /// When it expires, in Unix seconds.
    pub expires_at: Option<u64>,
}

/// Collects the tokens of `subject` from the running gate.
///
/// # Errors
/// The gate cannot be reached, or refuses; its code and cure are repeated.
pub fn collect(doorstep: &Doorstep, subject: &str, proof: &Proof<'_>) -> Result<Vec<Token>, Failure> {
    let claim = match proof {
        Proof::Phrase(phrase) => json!({"subject": subject, "phrase": phrase}),
        Proof::Key(path) => {
            let configuration = ask(doorstep, "GET", "/.well-known/openid-configuration", "")?;
            let issuer = configuration["issuer"].as_str().unwrap_or_default();
            json!({"subject": subject, "assertion": proof::assertion(path, subject, issuer, now_unix())?})
        }
    };
    let answer = ask(doorstep, "POST", "/pickup", &claim.to_string())?;
    let tokens = answer["tokens"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(tokens.iter().filter_map(token).collect())
}

/// The lines of `authorized_keys` for this key and account: one, or none.
///
/// # Errors
/// The gate cannot be reached, or cannot judge.
pub fn ssh_keys(doorstep: &Doorstep, user: &str, key: &str) -> Result<Vec<String>, Failure> {
    let body = json!({"user": user, "key": key}).to_string();
    let answer = ask(doorstep, "POST", "/ssh/authorized-keys", &body)?;
    let keys = answer["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(keys.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn token(shown: &Value) -> Option<Token> {
    Some(Token {
        text: shown["token"].as_str()?.to_owned(),
        audience: shown["audience"].as_str().map(str::to_owned),
        expires_at: shown["expires_at"].as_u64(),
    })
}

fn ask(doorstep: &Doorstep, method: &str, path: &str, body: &str) -> Result<Value, Failure> {
    let address = doorstep.address;
    let hint = format!("start it with `farside gate serve`, or look whether it listens on {address}");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = exchange(doorstep, &request)
        .map_err(|failed| Failure::could_not(format!("ask the gate at {address}: {failed}")).hint(hint))?;
    let (status, body) = split(&answer)
        .ok_or_else(|| Failure::could_not(format!("what answers at {address} is not a gate")))?;
    let said: Value = serde_json::from_slice(body).unwrap_or_default();
    if status == 200 { Ok(said) } else { Err(repeat(status, &said)) }
}

/// The gate's own words, as this command's.
fn repeat(status: u16, said: &Value) -> Failure {
    let code = said["code"].as_str().unwrap_or("no code");
    let detail = said["detail"].as_str().filter(|text| !text.is_empty()).or(said["sentence"].as_str());
    let words = format!("the gate answered {status} {code}: {}", detail.unwrap_or("no more was said"));
    let failure = if status >= 500 { Failure::could_not(words) } else { Failure::refused(words) };
    match said["cure"].as_str() {
        Some(cure) => failure.hint(cure.to_owned()),
        None => failure,
    }
}

fn exchange(doorstep: &Doorstep, request: &str) -> std::io::Result<Vec<u8>> {
    let tls = doorstep.tls.as_ref().map(|(name, certificates)| (name.as_str(), certificates.as_path()));
    let (seconds_max, answer_bytes_max) = (ANSWER_SECONDS_MAX, ANSWER_BYTES_MAX);
    Asked { address: doorstep.address, tls, seconds_max, answer_bytes_max }.exchange(request.as_bytes())
}

/// A gate that listens everywhere is reached over loopback.
fn reachable(listening: SocketAddr) -> SocketAddr {
    if listening.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), listening.port())
    } else {
        listening
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_listens_everywhere_is_asked_at_home() {
        assert_eq!(reachable("0.0.0.0:8710".parse().unwrap()), "127.0.0.1:8710".parse().unwrap());
        assert_eq!(reachable("[::1]:8710".parse().unwrap()), "[::1]:8710".parse().unwrap());
    }
}
