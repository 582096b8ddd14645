//! How bots and agents prove themselves at the token endpoint: by a key whose public half is kept here, or by
//! a secret that is shown once and kept as its hash.

use aws_lc_rs::digest::{SHA256, digest};
use farside_service::random;
use farside_verify::KeySet;
use farside_verify::encode::base64url;
use rusqlite::OptionalExtension;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::store::{Kind, Store, StoreFault};

/// Random bytes of a secret: so many that a plain hash of it is safe to keep.
const SECRET_BYTES: usize = 32;
/// Members that a public key never has (RFC 7518 §6, RFC 9964 §3).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "k", "priv"];

/// Why a client's proof was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientFault {
    /// The key is none that signatures could be checked with.
    #[error("this is no usable public key: {0}")]
    Key(String),
    /// Private keys stay with their bot.
    #[error("this is a private key: enter the public half alone, and take the file out of harm's way")]
    Private,
    /// There is no such subject.
    #[error("there is no bot or agent {0}")]
    Unknown(String),
    /// People do not sign in here.
    #[error("{0} is a person; only bots and agents are clients of the token endpoint")]
    Person(String),
    /// No randomness.
    #[error("{0}")]
    Random(#[from] random::Failed),
    /// The database failed.
    #[error("{0}")]
    Store(#[from] StoreFault),
}

impl From<rusqlite::Error> for ClientFault {
    fn from(fault: rusqlite::Error) -> Self {
        Self::Store(fault.into())
    }
}

impl From<ClientFault> for farside_service::cli::Failure {
    fn from(fault: ClientFault) -> Self {
        match fault {
            ClientFault::Store(fault) => fault.into(),
            ClientFault::Random(_) => Self::could_not(fault.to_string()),
            fault => Self::refused(fault.to_string()),
        }
    }
}

/// A JWK Set of one or several public keys, from the text of a JWK or of a JWK Set.
pub fn jwks_of(text: &str) -> Result<String, ClientFault> {
    let no_json = |_| ClientFault::Key("it is not JSON".into());
    let value: Value = serde_json::from_str(text).map_err(no_json)?;
    let keys = match value.get("keys").and_then(Value::as_array) {
        Some(keys) => keys.clone(),
        None => vec![value],
    };
    let private = |key: &Value| PRIVATE_MEMBERS.iter().any(|member| key.get(member).is_some());
    if keys.iter().any(private) {
        return Err(ClientFault::Private);
    }
    let jwks = serde_json::json!({ "keys": keys }).to_string();
    let set = KeySet::from_jwks(jwks.as_bytes()).map_err(|fault| ClientFault::Key(fault.to_string()))?;
    if let Some(unusable) = set.unusable().first() {
        return Err(ClientFault::Key(unusable.reason.to_string()));
    }
    if set.is_empty() { Err(ClientFault::Key("the set is empty".into())) } else { Ok(jwks) }
}

/// Sets the public keys of a bot or agent, in place of those there were.
pub fn set_keys(store: &Store, name: &str, jwks: &str) -> Result<(), ClientFault> {
    store.write(|transaction| {
        refuse_person(transaction, name)?;
        transaction.execute("UPDATE subject SET jwks = ?2 WHERE name = ?1", (name, jwks))?;
        Ok(())
    })
}

/// Makes a new secret for a bot or agent, in place of the one there was. It is returned to be shown this
/// once.
pub fn new_secret(store: &Store, name: &str) -> Result<Zeroizing<String>, ClientFault> {
    let bytes = Zeroizing::new(random::bytes::<SECRET_BYTES>()?);
    let secret = Zeroizing::new(base64url(*bytes));
    let hash = digest(&SHA256, secret.as_bytes());
    store.write(|transaction| {
        refuse_person(transaction, name)?;
        transaction
            .execute("UPDATE subject SET secret_sha256 = ?2 WHERE name = ?1", (name, hash.as_ref()))?;
        Ok::<_, ClientFault>(())
    })?;
    Ok(secret)
}

fn refuse_person(connection: &rusqlite::Connection, name: &str) -> Result<(), ClientFault> {
    let kind: Option<String> = connection
        .query_row("SELECT kind FROM subject WHERE name = ?1", [name], |row| row.get(0))
        .optional()?;
    match kind.as_deref().and_then(Kind::from_name) {
        None => Err(ClientFault::Unknown(name.to_owned())),
        Some(Kind::Person) => Err(ClientFault::Person(name.to_owned())),
        Some(Kind::Bot | Kind::Agent) => Ok(()),
    }
}
