//! A key file: a header that anyone may read, and the private key encrypted under a passphrase.
//!
//! ```text
//! farside-key/1
//! kind signer
//! name anna
//! public farside-signer/1 anna …
//! ed25519 pkcs11:token=vault;id=…    only where that half of the key lies in a PKCS#11 token
//! argon2id 65536 3 1 <salt>          KiB, passes, lanes; files made together share the salt
//! hkdf-sha256 <salt>                 the file's own
//! aes-256-gcm <nonce>
//!                                    here the header ends: every byte so far is authenticated with it
//! <ciphertext and tag, base64url>
//! ```
//!
//! What the header says is believed only after the file has opened.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};
use farside_service::durable::{self, Mode};
use farside_verify::encode::{base64url, base64url_decode};
use zeroize::Zeroizing;

use super::stretch::{FILE_SALT_BYTES, SALT_BYTES};
use super::uri::KeyUri;
use super::{KeyFault, PASSPHRASE_BYTES_MIN, Passphrase};

const MAGIC: &str = "farside-key/1";
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// What a new file costs to try one passphrase on.
pub(super) const COST: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 1 };
/// The most that a file may ask of the machine that opens it.
const COST_MAX: Cost = Cost { memory_kib: 1024 * 1024, passes: 16, lanes: 8 };

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyKind {
    /// Sign notes for a role of the charter.
    Signer,
    /// Sign the log's checkpoints.
    Log,
    /// Sign tokens of one site.
    Token,
}

impl KeyKind {
    const ALL: [Self; 3] = [Self::Signer, Self::Log, Self::Token];

    fn as_str(self) -> &'static str {
        match self {
            Self::Signer => "signer",
            Self::Log => "log",
            Self::Token => "token",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The readable part of a key file. From [`inspect`] it is a claim; from an opened file it is authentic.
#[derive(Debug, Clone)]
pub struct Header {
    /// What the key may do.
    pub kind: KeyKind,
    /// Its name.
    pub name: String,
    /// The public key as the kind writes it: a signer's line, a verifier key, a JWK.
    pub public: String,
    /// The token that holds the Ed25519 half, where the file does not.
    pub ed25519: Option<KeyUri>,
}

impl Header {
    pub(super) fn new(kind: KeyKind, name: String, public: String) -> Header {
        Header { kind, name, public, ed25519: None }
    }

    fn ed25519_line(&self) -> String {
        self.ed25519.as_ref().map_or_else(String::new, |uri| format!("ed25519 {uri}\n"))
    }
}

/// Reads the header alone; nothing vouches for it.
pub fn inspect(path: &Path) -> Result<Header, KeyFault> {
    let bytes = durable::read_limited(path, FILE_BYTES_MAX)?;
    Ok(Envelope::parse(path, &bytes)?.header)
}

/// Encrypts `secret` into a new file; an existing file is left alone and reported.
pub(super) fn create(
    path: &Path,
    header: &Header,
    secret: &[u8],
    passphrase: &Passphrase,
) -> Result<(), KeyFault> {
    Ok(durable::write_new(path, seal(header, secret, passphrase)?.as_bytes(), Mode::Private)?)
}

/// The token that holds the other half of the key in this file, where there is one: said once the passphrase
/// has vouched for it. Of a file that is not there, nothing.
pub(super) fn held_elsewhere(path: &Path, passphrase: &Passphrase) -> Result<Option<KeyUri>, KeyFault> {
    let named = match inspect(path) {
        Err(KeyFault::File(fault)) if fault.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        header => header?,
    };
    match named.ed25519 {
        Some(_) => Ok(open(path, named.kind, passphrase)?.0.ed25519),
        None => Ok(None),
    }
}

/// Encrypts the key in an existing file under another passphrase, with fresh salt and nonce. The old file
/// stands until the new one is durable; what was written has been opened before.
pub(super) fn change_passphrase(path: &Path, old: &Passphrase, new: &Passphrase) -> Result<(), KeyFault> {
    let kind = inspect(path)?.kind;
    let (header, secret) = open(path, kind, old)?;
    let file = seal(&header, &secret, new)?;
    unseal(path, file.as_bytes(), kind, new)?;
    Ok(durable::write(path, file.as_bytes(), Mode::Private)?)
}

/// The text of a key file.
fn seal(header: &Header, secret: &[u8], passphrase: &Passphrase) -> Result<String, KeyFault> {
    if passphrase.bytes().len() < PASSPHRASE_BYTES_MIN {
        return Err(KeyFault::PassphraseShort);
    }
    let random = |_| KeyFault::Crypto("random salt");
    let stretched = passphrase.for_new_files()?;
    let salt = farside_service::random::bytes::<FILE_SALT_BYTES>().map_err(random)?;
    let nonce = farside_service::random::bytes::<NONCE_LEN>().map_err(random)?;
    let mut file = format!(
        "{MAGIC}\nkind {}\nname {}\npublic {}\n{}argon2id {} {} {} {}\nhkdf-sha256 {}\n\
         aes-256-gcm {}\n\n",
        header.kind,
        header.name,
        header.public,
        header.ed25519_line(),
        passphrase.cost.memory_kib,
        passphrase.cost.passes,
        passphrase.cost.lanes,
        base64url(stretched.salt),
        base64url(salt),
        base64url(nonce),
    );
    let mut sealed = Zeroizing::new(secret.to_vec());
    stretched
        .cipher(&salt)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(file.as_bytes()),
            &mut *sealed,
        )
        .map_err(|_| KeyFault::Crypto("encrypted key"))?;
    file.push_str(&base64url(&*sealed));
    file.push('\n');
    Ok(file)
}

/// Opens a key file of the `wanted` kind.
pub(super) fn open(
    path: &Path,
    wanted: KeyKind,
    passphrase: &Passphrase,
) -> Result<(Header, Zeroizing<Vec<u8>>), KeyFault> {
    unseal(path, &durable::read_limited(path, FILE_BYTES_MAX)?, wanted, passphrase)
}

fn unseal(
    path: &Path,
    bytes: &[u8],
    wanted: KeyKind,
    passphrase: &Passphrase,
) -> Result<(Header, Zeroizing<Vec<u8>>), KeyFault> {
    let mut envelope = Envelope::parse(path, bytes)?;
    if envelope.header.kind != wanted {
        return Err(KeyFault::Kind { path: path.display().to_string(), held: envelope.header.kind, wanted });
    }
    let locked = |_| KeyFault::Locked { path: path.display().to_string() };
    let stretched = passphrase.stretched(envelope.cost, &envelope.salt)?;
    let length = stretched
        .cipher(&envelope.file_salt)?
        .open_in_place(
            Nonce::assume_unique_for_key(envelope.nonce),
            Aad::from(envelope.authenticated),
            &mut envelope.sealed,
        )
        .map_err(locked)?
        .len();
    envelope.sealed.truncate(length);
    passphrase.has_opened(&stretched);
    Ok((envelope.header, envelope.sealed))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cost {
    pub(super) memory_kib: u32,
    pub(super) passes: u32,
    pub(super) lanes: u32,
}

struct Envelope<'a> {
    header: Header,
    cost: Cost,
    salt: [u8; SALT_BYTES],
    file_salt: [u8; FILE_SALT_BYTES],
    nonce: [u8; NONCE_LEN],
    authenticated: &'a [u8],
    sealed: Zeroizing<Vec<u8>>,
}

impl<'a> Envelope<'a> {
    fn parse(path: &Path, bytes: &'a [u8]) -> Result<Self, KeyFault> {
        Self::read(bytes).map_err(|reason| KeyFault::Malformed { path: path.display().to_string(), reason })
    }

    fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(bytes).map_err(|_| "it is no text")?;
        let (head, body) = text.split_once("\n\n").ok_or("its header does not end")?;
        let mut lines = head.split('\n');
        if lines.next() != Some(MAGIC) {
            return Err("its first line is another");
        }
        let mut member = |name: &'static str| {
            lines
                .next()
                .and_then(|line| line.strip_prefix(name)?.strip_prefix(' '))
                .ok_or("a header line is missing")
        };
        let kind = member("kind")?;
        let mut header = Header {
            kind: KeyKind::ALL
                .into_iter()
                .find(|known| known.as_str() == kind)
                .ok_or("its kind is unknown")?,
            name: member("name")?.to_owned(),
            public: member("public")?.to_owned(),
            ed25519: None,
        };
        if head.contains("\ned25519 ") {
            let uri = member("ed25519")?.parse();
            header.ed25519 = Some(uri.map_err(|_| "its key in a token has a name that is not understood")?);
        }
        let (cost, salt) = read_cost(member("argon2id")?)?;
        let file_salt = base64url_decode(member("hkdf-sha256")?).and_then(|salt| salt.try_into().ok());
        let nonce = base64url_decode(member("aes-256-gcm")?).and_then(|nonce| nonce.try_into().ok());
        if lines.next().is_some() {
            return Err("it has a header line too many");
        }
        let body = body.strip_suffix('\n').ok_or("it is cut short")?;
        Ok(Self {
            header,
            cost,
            salt,
            file_salt: file_salt.ok_or("its salt cannot be read")?,
            nonce: nonce.ok_or("its nonce cannot be read")?,
            authenticated: bytes.get(..head.len() + 2).ok_or("it is cut short")?,
            sealed: Zeroizing::new(base64url_decode(body).ok_or("its ciphertext cannot be read")?),
        })
    }
}

fn read_cost(text: &str) -> Result<(Cost, [u8; SALT_BYTES]), &'static str> {
    let fault = "its Argon2id line cannot be read";
    let fields: Vec<&str> = text.split(' ').collect();
    let [memory, passes, lanes, salt] = fields[..] else { return Err(fault) };
    let number = |text: &str| text.parse::<u32>().map_err(|_| fault);
    let cost = Cost { memory_kib: number(memory)?, passes: number(passes)?, lanes: number(lanes)? };
    let salt = base64url_decode(salt).and_then(|salt| salt.try_into().ok()).ok_or(fault)?;
    let dear =
        cost.memory_kib > COST_MAX.memory_kib || cost.passes > COST_MAX.passes || cost.lanes > COST_MAX.lanes;
    if dear { Err("it asks for more memory or time than a key file may") } else { Ok((cost, salt)) }
}
