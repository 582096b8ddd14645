//! A C2SP verifier key: one name, one Ed25519 key, one type of signature, written
//! `<name>+<key id in hex>+<base64 of type and key>`. For the keys of logs and of witnesses, which differ in
//! their type alone.

use std::fmt;

use aws_lc_rs::signature::ParsedPublicKey;

use crate::digest::{hex, unhex};
use crate::note::{Note, SignatureLine};
use crate::refusal::{Code, Refusal};
use crate::signer::{check_signer_name, key_id, parse_ed25519};
use crate::text::{base64_decode, base64_encode};

/// Who signs lines of one type in notes.
#[derive(Clone)]
pub(crate) struct VerifierKey {
    name: String,
    note_type: &'static [u8],
    ed25519: [u8; 32],
    parsed: ParsedPublicKey,
}

impl VerifierKey {
    /// Refuses a name or a key that cannot be used.
    pub(crate) fn new(
        name: &str,
        note_type: &'static [u8],
        ed25519: [u8; 32],
    ) -> Result<VerifierKey, Refusal> {
        check_signer_name(name)?;
        let parsed = parse_ed25519(&ed25519)
            .ok_or_else(|| Refusal::new(Code::Malformed, format!("{name}: its Ed25519 key")))?;
        Ok(VerifierKey { name: name.to_owned(), note_type, ed25519, parsed })
    }

    /// Reads the text form; refuses one of another type, or whose id is another key's.
    pub(crate) fn read(line: &str, note_type: &'static [u8]) -> Result<VerifierKey, Refusal> {
        let malformed = || Refusal::new(Code::Malformed, "not a verifier key of this type");
        let parts: Vec<&str> = line.splitn(3, '+').collect();
        let [name, id, key] = parts[..] else { return Err(malformed()) };
        let typed = base64_decode(key).ok_or_else(malformed)?;
        let ed25519: Option<[u8; 32]> = typed.strip_prefix(note_type).and_then(|key| key.try_into().ok());
        let key = VerifierKey::new(name, note_type, ed25519.ok_or_else(malformed)?)?;
        if unhex(id) == Some(key.key_id()) { Ok(key) } else { Err(malformed()) }
    }

    /// What its lines begin with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn ed25519(&self) -> &[u8; 32] {
        &self.ed25519
    }

    /// The same key under another name, whose id is another.
    pub(crate) fn renamed(&self, name: String) -> VerifierKey {
        VerifierKey { name, ..self.clone() }
    }

    pub(crate) fn key_id(&self) -> [u8; 4] {
        key_id(&self.name, self.note_type, &self.ed25519)
    }

    /// Its line under a note, whatever that holds.
    pub(crate) fn line_of<'n, 'b>(&self, note: &'n Note<'b>) -> Option<&'n SignatureLine<'b>> {
        let id = self.key_id();
        note.signatures().iter().find(|line| line.name == self.name && line.key_id == id)
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = base64_encode(&[self.note_type, &self.ed25519].concat());
        write!(f, "{}+{}+{key}", self.name, hex(&self.key_id()))
    }
}

impl PartialEq for VerifierKey {
    fn eq(&self, other: &VerifierKey) -> bool {
        (&self.name, self.note_type, &self.ed25519) == (&other.name, other.note_type, &other.ed25519)
    }
}

impl Eq for VerifierKey {}
