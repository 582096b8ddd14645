//! The long receipt: what a gate lets be carried back, where anything may be: that it has applied bundle N,
//! how far its journals have come, and what it has counted. For the mint, which keeps the heads, so that
//! nothing can be cut off the far side's journals unseen. Refuses to be believed without the bundle's nonce.
//!
//! ```text
//!   farside-receipt/1 dome 41 <digest> 7K2M-9QXD-WF3A
//!   counted 39 applied, 2 missing, 5 superseded, 1 breakglass
//!   journal gate 81234 <hash of its last line>
//!   journal gate-import 97 <hash of its last line>
//!   tag <64 hex digits>
//! ```

use std::fmt::Write as _;

use crate::digest::Digest;
use crate::manifest::{JournalHead, check_journals};
use crate::receipt::ReceiptCode;
use crate::refusal::{Code, Refusal};
use crate::text::check_name;

/// First word of a long receipt.
pub const KIND: &str = "farside-receipt/1";

/// Largest long receipt, in bytes.
pub const TEXT_BYTES_MAX: usize = 4096;

/// What only the mint and the gate can make of a bundle's nonce.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReceiptKey([u8; 32]);

impl ReceiptKey {
    /// The key of one bundle.
    // bundle.md §12.4
    pub fn new(nonce: &[u8; 16], seq: u64, digest: &Digest) -> ReceiptKey {
        let input = [b"farside-receipt-key/1\n", &nonce[..], &seq.to_be_bytes(), digest.as_bytes()].concat();
        ReceiptKey(*Digest::of(&input).as_bytes())
    }

    /// A key that was kept.
    pub fn from_bytes(bytes: [u8; 32]) -> ReceiptKey {
        ReceiptKey(bytes)
    }

    /// To be kept where nobody else reads.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    // The text's own digest stands last, so that nothing can be appended to what was tagged.
    fn tag(&self, text: &str) -> Digest {
        let text = Digest::of(text.as_bytes());
        Digest::of(&[b"farside-receipt-tag/1\n", &self.0[..], text.as_bytes()].concat())
    }
}

impl std::fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReceiptKey(…)")
    }
}

/// What a gate has counted since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Counted {
    /// Bundles applied.
    pub applied: u64,
    /// Numbers that never came.
    pub missing: u64,
    /// Bundles that came too late to be applied.
    pub superseded: u64,
    /// Break-glass orders opened.
    pub breakglass: u64,
}

/// What a gate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LongReceipt {
    /// Its site.
    pub site: String,
    /// The bundle applied.
    pub seq: u64,
    /// That bundle's digest.
    pub digest: Digest,
    /// The short receipt.
    pub code: ReceiptCode,
    /// What it has counted.
    pub counted: Counted,
    /// How far its journals have come.
    pub journals: Vec<JournalHead>,
}

/// A long receipt that has been read, but that anybody could have written.
#[derive(Debug, Clone)]
pub struct UnprovenReceipt {
    receipt: LongReceipt,
    text: String,
    tag: Digest,
}

impl LongReceipt {
    /// The text to be carried back.
    ///
    /// # Errors
    /// A name or number that cannot be spelled.
    pub fn text(&self, key: &ReceiptKey) -> Result<String, Refusal> {
        let text = self.untagged()?;
        let tag = key.tag(&text);
        Ok(format!("{text}tag {tag}\n", tag = tag.hex()))
    }

    /// Reads a long receipt, believing nothing.
    ///
    /// # Errors
    /// `malformed`, `too_large`.
    pub fn read(text: &str) -> Result<UnprovenReceipt, Refusal> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "a long receipt"));
        }
        // Line ends and white space suffer on the way through mail and scanners.
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let read = Self::read_lines(&lines).ok_or_else(|| Refusal::new(Code::Malformed, "a long receipt"))?;
        let text = read.0.untagged()?;
        Ok(UnprovenReceipt { receipt: read.0, text, tag: read.1 })
    }

    fn read_lines(lines: &[&str]) -> Option<(LongReceipt, Digest)> {
        let [first, counted, journals @ .., tag] = lines else { return None };
        let [KIND, site, seq, digest, code] = words(first)? else { return None };
        let ["tag", tag] = words(tag)? else { return None };
        let receipt = LongReceipt {
            site: site.to_owned(),
            seq: seq.parse().ok()?,
            digest: digest.parse().ok()?,
            code: code.parse().ok()?,
            counted: read_counted(counted)?,
            journals: journals.iter().map(|line| journal(line)).collect::<Option<_>>()?,
        };
        Some((receipt, tag.parse().ok()?))
    }

    fn untagged(&self) -> Result<String, Refusal> {
        check_name("site", &self.site)?;
        check_journals(&self.journals)?;
        let Counted { applied, missing, superseded, breakglass } = self.counted;
        let mut text = format!("{KIND} {} {} {} {}\n", self.site, self.seq, self.digest.hex(), self.code);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "counted {applied} applied, {missing} missing, {superseded} superseded, {breakglass} breakglass"
        );
        for JournalHead { name, lines, head } in &self.journals {
            let _ = writeln!(text, "journal {name} {lines} {}", head.hex());
        }
        Ok(text)
    }
}

impl UnprovenReceipt {
    /// What it says, whoever wrote it.
    pub fn unproven(&self) -> &LongReceipt {
        &self.receipt
    }

    /// Believes it: only who knows the bundle's nonce can have written it.
    ///
    /// # Errors
    /// `signature_invalid`: it was changed, or is another bundle's.
    pub fn prove(self, key: &ReceiptKey) -> Result<LongReceipt, Refusal> {
        if key.tag(&self.text) == self.tag {
            return Ok(self.receipt);
        }
        Err(Refusal::new(Code::SignatureInvalid, "the tag of the long receipt"))
    }
}

fn words<const N: usize>(line: &str) -> Option<[&str; N]> {
    line.split(' ').collect::<Vec<_>>().try_into().ok()
}

fn read_counted(line: &str) -> Option<Counted> {
    let ["counted", applied, "applied,", missing, "missing,", superseded, "superseded,", glass, "breakglass"] =
        words(line)?
    else {
        return None;
    };
    Some(Counted {
        applied: applied.parse().ok()?,
        missing: missing.parse().ok()?,
        superseded: superseded.parse().ok()?,
        breakglass: glass.parse().ok()?,
    })
}

fn journal(line: &str) -> Option<JournalHead> {
    let ["journal", name, lines, head] = words(line)? else { return None };
    Some(JournalHead { name: name.to_owned(), lines: lines.parse().ok()?, head: head.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt() -> (LongReceipt, ReceiptKey) {
        let digest = Digest::of(b"manifest");
        let head =
            |name: &str, lines| JournalHead { name: name.to_owned(), lines, head: Digest::of(b"line") };
        let receipt = LongReceipt {
            site: "dome".to_owned(),
            seq: 41,
            digest,
            code: ReceiptCode::new(&[7; 16], 41, &digest),
            counted: Counted { applied: 39, missing: 2, superseded: 5, breakglass: 1 },
            journals: vec![head("gate", 81_234), head("gate-import", 97)],
        };
        (receipt, ReceiptKey::new(&[7; 16], 41, &digest))
    }

    #[test]
    fn a_long_receipt_survives_mail_and_is_proven_by_the_nonce() {
        let (receipt, key) = receipt();
        let text = receipt.text(&key).unwrap();
        let mailed = format!("\r\n  {}\r\n", text.replace('\n', "\r\n"));
        let read = LongReceipt::read(&mailed).unwrap();
        assert_eq!(read.unproven(), &receipt);
        assert_eq!(read.prove(&key), Ok(receipt));
    }

    #[test]
    fn a_changed_long_receipt_or_one_of_another_bundle_is_not_believed() {
        let (receipt, key) = receipt();
        let text = receipt.text(&key).unwrap();
        let code = |text: &str, key: &ReceiptKey| {
            LongReceipt::read(text).and_then(|read| read.prove(key)).unwrap_err().code()
        };
        assert_eq!(code(&text.replace("81234", "81233"), &key), Code::SignatureInvalid);
        assert_eq!(code(&text.replace("39 applied", "40 applied"), &key), Code::SignatureInvalid);
        assert_eq!(code(&text.replace("1 breakglass", "0 breakglass"), &key), Code::SignatureInvalid);
        let other = ReceiptKey::new(&[8; 16], 41, &receipt.digest);
        assert_eq!(code(&text, &other), Code::SignatureInvalid);
        for broken in ["", "tag 00", &text.replace("journal gate ", "journal ../gate "), &text[..90]] {
            assert_eq!(code(broken, &key), Code::Malformed, "{broken}");
        }
        assert_eq!(code(&"x".repeat(TEXT_BYTES_MAX + 1), &key), Code::TooLarge);
    }
}
