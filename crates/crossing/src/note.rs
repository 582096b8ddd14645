//! C2SP signed notes (c2sp.org/signed-note): text, a blank line, signature lines. The only thing signed
//! outside JWTs.
//!
//! For every document that crosses. Refuses what is too large, not UTF-8 or badly framed; signatures of
//! unknown keys are ignored here and a bad one of a known key is refused where keys are known, in
//! [`crate::role`].

use crate::refusal::{Code, Refusal};
use crate::role::Role;
use crate::signer::{SignFailed, Signer};
use crate::text::{base64_decode, base64_encode};

/// Largest note, text and signatures together.
pub const NOTE_BYTES_MAX: usize = 2 << 20;

/// Most signature lines of a note: 16 old and 16 new root signers with two each. (C2SP demands at least 16.)
pub const SIGNATURE_LINES_MAX: usize = 64;

/// Longest signature line: a 64-byte name and an ML-DSA-87 signature in base64 need 6,250.
const SIGNATURE_LINE_BYTES_MAX: usize = 8 << 10;

/// Em dash and space: how each signature line begins.
const SIGNATURE_PREFIX: &str = "\u{2014} ";

/// A note whose framing holds. Nothing in it is believed yet: see [`crate::Role::verify`].
#[derive(Debug, Clone)]
pub struct Note<'a> {
    text: &'a str,
    signatures: Vec<SignatureLine<'a>>,
}

/// One signature line, read but not verified.
#[derive(Debug, Clone)]
pub(crate) struct SignatureLine<'a> {
    /// Key name as the line has it.
    pub(crate) name: &'a str,
    /// First four bytes of the decoded part.
    pub(crate) key_id: [u8; 4],
    /// What follows them.
    pub(crate) signature: Vec<u8>,
    line: &'a str,
}

impl<'a> Note<'a> {
    /// Reads the framing of a note; a note without signature lines is a draft and reads as well.
    ///
    /// # Errors
    /// `too_large`, `malformed`.
    pub fn parse(bytes: &'a [u8]) -> Result<Note<'a>, Refusal> {
        // bundle.md §2.1
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, format!("a note is at most {NOTE_BYTES_MAX} bytes")));
        }
        // bundle.md §2.2
        let whole = str::from_utf8(bytes).map_err(|_| malformed("a note that is not UTF-8"))?;
        if whole.bytes().any(|b| b < 0x20 && b != b'\n') {
            return Err(malformed("a control character in a note"));
        }
        // bundle.md §2.3: the last empty line divides text from signatures.
        let cut = whole.rfind("\n\n").ok_or_else(|| malformed("a note without a blank line"))?;
        let (text, lines) = (&whole[..=cut], &whole[cut + 2..]);
        Ok(Note { text, signatures: read_signature_lines(lines)? })
    }

    /// What the signatures cover, final newline included. Not believed: for drafts and for display.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The names on the signature lines, in order, each once. Nobody has checked them.
    pub fn signer_names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for line in &self.signatures {
            if !names.contains(&line.name) {
                names.push(line.name);
            }
        }
        names
    }

    /// Whether it bears a line of a key that `before` does not bear. Nobody has checked them.
    pub fn bears_more_than(&self, before: &Note<'_>) -> bool {
        let same = |line: &SignatureLine<'_>, other: &SignatureLine<'_>| {
            line.name == other.name && line.key_id == other.key_id
        };
        self.signatures.iter().any(|line| !before.signatures.iter().any(|other| same(line, other)))
    }

    /// All signature lines, for the one place that verifies them.
    pub(crate) fn signatures(&self) -> &[SignatureLine<'a>] {
        &self.signatures
    }
}

/// A draft: the text, ready to be signed by one person after the other with [`add_signature`].
pub fn unsigned(text: &str) -> Vec<u8> {
    format!("{text}\n").into_bytes()
}

/// Adds one signer's pair of lines to a note or draft. Older lines of the same keys are replaced, so that
/// signing twice changes nothing.
///
/// # Errors
/// [`NoteFault`]; the signature is verified before it is added.
pub fn add_signature(note: &[u8], signer: &dyn Signer) -> Result<Vec<u8>, NoteFault> {
    let note = Note::parse(note)?;
    check_text(note.text)?;
    let public = signer.public();
    let pair = signer.sign(note.text.as_bytes())?;
    if !public.verifies(note.text.as_bytes(), &pair) {
        return Err(NoteFault::SignatureWrong { signer: public.name().to_owned() });
    }
    let (ed25519_id, ml_dsa_id) = public.key_ids();
    let own = |line: &SignatureLine| {
        line.name == public.name() && (line.key_id == ed25519_id || line.key_id == ml_dsa_id)
    };
    let mut out = format!("{}\n", note.text);
    for line in note.signatures.iter().filter(|line| !own(line)) {
        out.push_str(line.line);
        out.push('\n');
    }
    push_signature_line(&mut out, public.name(), ed25519_id, &pair.ed25519);
    push_signature_line(&mut out, public.name(), ml_dsa_id, &pair.ml_dsa);
    Note::parse(out.as_bytes())?;
    Ok(out.into_bytes())
}

/// Signs a text by several signers at once.
///
/// # Errors
/// [`NoteFault`], as [`add_signature`].
pub fn sign(text: &str, signers: &[&dyn Signer]) -> Result<Vec<u8>, NoteFault> {
    signers.iter().try_fold(unsigned(text), |note, signer| add_signature(&note, *signer))
}

/// The note with the lines of these roles' signers alone: lines of people who have gone would add up.
///
/// # Errors
/// As [`Note::parse`].
pub fn keep_signers(note: &[u8], roles: &[&Role]) -> Result<Vec<u8>, Refusal> {
    let note = Note::parse(note)?;
    let known = |line: &&SignatureLine<'_>| {
        let signers = roles.iter().flat_map(|role| role.signers());
        signers.into_iter().any(|signer| {
            let (ed25519_id, ml_dsa_id) = signer.key_ids();
            signer.name() == line.name && (line.key_id == ed25519_id || line.key_id == ml_dsa_id)
        })
    };
    let mut out = format!("{}\n", note.text);
    for line in note.signatures.iter().filter(known) {
        out.push_str(line.line);
        out.push('\n');
    }
    Ok(out.into_bytes())
}

/// Why a note could not be signed.
#[derive(Debug, thiserror::Error)]
pub enum NoteFault {
    /// What should be signed is not a note.
    #[error("it is not a note that can be signed: {0}")]
    Unfit(#[from] Refusal),
    /// The signer could not sign.
    #[error("{0}")]
    SignFailed(#[from] SignFailed),
    /// The signer's public half does not verify what its private half signed.
    #[error("the signature of {signer} does not verify with its own public key")]
    SignatureWrong {
        /// The signer's name.
        signer: String,
    },
}

/// The note with these lines added; one that stands there already stays once.
pub(crate) fn with_lines(note: &Note<'_>, added: &[&SignatureLine<'_>]) -> Vec<u8> {
    let replaced = |line: &&SignatureLine<'_>| {
        added.iter().any(|new| new.name == line.name && new.key_id == line.key_id)
    };
    let kept = note.signatures.iter().filter(|line| !replaced(line));
    let mut out = format!("{}\n", note.text);
    for line in kept.chain(added.iter().copied()) {
        out.push_str(line.line);
        out.push('\n');
    }
    out.into_bytes()
}

/// A note with one signature line.
pub(crate) fn with_line(text: &str, name: &str, key_id: [u8; 4], signature: &[u8]) -> Vec<u8> {
    let mut out = format!("{text}\n");
    push_signature_line(&mut out, name, key_id, signature);
    out.into_bytes()
}

/// Refuses a text that [`Note::parse`] would not give back unchanged.
fn check_text(text: &str) -> Result<(), Refusal> {
    if text.is_empty() || !text.ends_with('\n') || text.ends_with("\n\n") {
        return Err(malformed("a note's text is empty or does not end in exactly one newline"));
    }
    Ok(())
}

fn push_signature_line(out: &mut String, name: &str, key_id: [u8; 4], signature: &[u8]) {
    let tagged = [&key_id, signature].concat();
    out.push_str(SIGNATURE_PREFIX);
    out.push_str(name);
    out.push(' ');
    out.push_str(&base64_encode(&tagged));
    out.push('\n');
}

fn read_signature_lines(lines: &str) -> Result<Vec<SignatureLine<'_>>, Refusal> {
    let mut signatures: Vec<SignatureLine> = Vec::new();
    for line in lines.split_inclusive('\n') {
        // bundle.md §2.1
        if signatures.len() == SIGNATURE_LINES_MAX || line.len() > SIGNATURE_LINE_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "too many or too long signature lines"));
        }
        let read = read_signature_line(line).ok_or_else(|| malformed("a signature line"))?;
        // bundle.md §2.5
        if signatures.iter().any(|other| other.name == read.name && other.key_id == read.key_id) {
            return Err(malformed("two signature lines of one key"));
        }
        signatures.push(read);
    }
    Ok(signatures)
}

/// bundle.md §2.4: `— <name> <base64 of key id and signature>\n`.
fn read_signature_line(line: &str) -> Option<SignatureLine<'_>> {
    let line = line.strip_suffix('\n')?;
    let (name, encoded) = line.strip_prefix(SIGNATURE_PREFIX)?.split_once(' ')?;
    if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c == '+') {
        return None;
    }
    let decoded = base64_decode(encoded)?;
    let (key_id, signature) = decoded.split_first_chunk::<4>()?;
    if signature.is_empty() {
        return None;
    }
    Some(SignatureLine { name, key_id: *key_id, signature: signature.to_vec(), line })
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Code::Malformed, what)
}
