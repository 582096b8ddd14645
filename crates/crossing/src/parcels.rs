//! The parcels component: tokens for holders, sealed to the site. Compressed, then sealed; opened as a
//! stream, line by line, so that a hundred thousand of them need no more memory than one.
//!
//! ```text
//! {"farside-parcels":1,"nonce":"…"}       the nonce makes the receipt code
//! {"token":"…","sub":"…","claim":…}       one line for each parcel
//! ```

use std::fmt;
use std::io::{BufRead, BufReader, Read, Write};

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::document::from_json;
use crate::refusal::{Code, Refusal};
use crate::seal::{Opener, RecipientPublic, RecipientSecret, SealContext, Sealer};
use crate::text::{RawJson, base64url_decode, base64url_encode, check_line};

/// Most bytes after opening and decompression.
pub const OPENED_BYTES_MAX: u64 = 256 << 20;

/// Most parcels in one bundle.
pub const PARCELS_MAX: u64 = 1_000_000;

/// Largest token in a parcel, in bytes: what the gate would look at.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;

/// Longest line of the plaintext.
const LINE_BYTES_MAX: u64 = 32 << 10;

/// Longest subject or audience.
const NAME_LINE_BYTES_MAX: usize = 1_024;

/// zstd's level: signatures do not compress, and what does is found early.
const ZSTD_LEVEL: i32 = 6;

/// Largest zstd window that is opened, as a power of two: 8 MiB.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// One token for one holder.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parcel {
    /// The token, compact JWS.
    pub token: String,
    /// Whom it is for.
    pub sub: String,
    /// For which audience, where the holder has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// How the holder proves to be the one.
    pub claim: Claim,
}

/// How a parcel is claimed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Claim {
    /// By a phrase whose SHA-256 (base64url) is this.
    Phrase {
        /// Digest of the phrase.
        sha256: String,
    },
    /// By proof of possession of this key.
    Key {
        /// Public key (RFC 7517).
        jwk: RawJson,
    },
    /// By reading the file that the gate keeps for it.
    File,
}

impl fmt::Debug for Parcel {
    /// Never the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parcel(for {:?})", self.sub)
    }
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Claim::Phrase { .. } => "Phrase",
            Claim::Key { .. } => "Key",
            Claim::File => "File",
        })
    }
}

impl Parcel {
    fn check(&self) -> Result<(), Refusal> {
        if self.token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "a token in a parcel"));
        }
        let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if self.token.is_empty() || !self.token.bytes().all(legal) {
            return Err(Refusal::new(Code::Malformed, "a parcel that holds no compact token"));
        }
        check_line("holder of a parcel", &self.sub, NAME_LINE_BYTES_MAX)?;
        self.aud.iter().try_for_each(|aud| check_line("audience of a parcel", aud, NAME_LINE_BYTES_MAX))?;
        match &self.claim {
            Claim::Phrase { sha256 } if base64url_decode(sha256).is_none_or(|d| d.len() != 32) => {
                Err(Refusal::new(Code::Malformed, "the digest of a claim phrase"))
            }
            _ => Ok(()),
        }
    }
}

/// First line of the plaintext.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heading {
    #[serde(rename = "farside-parcels")]
    version: u64,
    nonce: String,
}

/// Packs parcels for one bundle, streaming: at no time is there a second copy of them.
pub struct Packer<'c> {
    zstd: zstd::stream::write::Encoder<'static, Sealer<'c>>,
    parcels: u64,
    bytes: u64,
}

impl<'c> Packer<'c> {
    /// `nonce` goes into the receipt code; `dice` are 32 fresh random bytes for the seal.
    ///
    /// # Errors
    /// `seal_broken` where the recipient's key is unusable, `wrong_site` where it is another site's.
    pub fn new(
        recipient: &RecipientPublic,
        context: SealContext<'c>,
        nonce: &[u8; 16],
        dice: &[u8; 32],
    ) -> Result<Packer<'c>, Refusal> {
        if recipient.site() != context.site {
            return Err(Refusal::new(Code::WrongSite, "the recipient's key is another site's"));
        }
        let sealer = Sealer::new(recipient, context, dice)?;
        let zstd = zstd::stream::write::Encoder::new(sealer, ZSTD_LEVEL).map_err(unpacked)?;
        let mut packer = Packer { zstd, parcels: 0, bytes: 0 };
        packer.push_line(&Heading { version: 1, nonce: base64url_encode(nonce) })?;
        Ok(packer)
    }

    /// Adds a parcel.
    ///
    /// # Errors
    /// `malformed`, `too_large`: the bundler starts another bundle then.
    pub fn push(&mut self, parcel: &Parcel) -> Result<(), Refusal> {
        parcel.check()?;
        self.parcels += 1;
        if self.parcels > PARCELS_MAX {
            return Err(Refusal::new(Code::TooLarge, format!("more than {PARCELS_MAX} parcels")));
        }
        self.push_line(parcel)
    }

    /// The sealed component.
    ///
    /// # Errors
    /// `seal_broken` where sealing failed, which it does not short of 2^96 chunks.
    pub fn finish(self) -> Result<Vec<u8>, Refusal> {
        self.zstd.finish().and_then(Sealer::finish).map_err(unpacked)
    }

    fn push_line<T: Serialize>(&mut self, value: &T) -> Result<(), Refusal> {
        let line = serde_json::to_vec(value)
            .map_err(|_| Refusal::new(Code::Malformed, "a parcel that cannot be written as JSON"))?;
        let mut line = zeroize::Zeroizing::new(line);
        // Raw JSON from elsewhere (a JWK) may bring line breaks between its members.
        line.iter_mut().filter(|b| matches!(b, b'\n' | b'\r' | b'\t')).for_each(|b| *b = b' ');
        line.push(b'\n');
        self.bytes += line.len() as u64;
        if line.len() as u64 > LINE_BYTES_MAX || self.bytes > OPENED_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "a parcel, or all parcels together"));
        }
        self.zstd.write_all(&line).map_err(unpacked)
    }
}

/// The parcels of an opened bundle, one after the other. After the first error it yields nothing more.
pub struct ParcelReader<'b> {
    lines: BufReader<zstd::stream::read::Decoder<'static, Opener<'b>>>,
    nonce: [u8; 16],
    line: Vec<u8>,
    parcels: u64,
    bytes: u64,
    ended: bool,
}

impl<'b> ParcelReader<'b> {
    /// Opens the seal and reads the heading.
    pub(crate) fn open(
        sealed: &'b [u8],
        secret: &RecipientSecret,
        context: SealContext<'_>,
    ) -> Result<ParcelReader<'b>, Refusal> {
        let opener = Opener::new(sealed, secret, context)?;
        let mut zstd = zstd::stream::read::Decoder::with_buffer(opener).map_err(unopened)?.single_frame();
        // bundle.md §9.6
        zstd.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(unopened)?;
        let (lines, line) = (BufReader::new(zstd), Vec::new());
        let mut reader = ParcelReader { lines, nonce: [0; 16], line, parcels: 0, bytes: 0, ended: false };
        let heading: Heading = match reader.next_line()? {
            true => from_json(reader.line_text()?)?,
            false => return Err(malformed("parcels without a heading")),
        };
        if heading.version != 1 {
            return Err(Refusal::new(Code::VersionUnsupported, "parcels of another version"));
        }
        let nonce = base64url_decode(&heading.nonce).and_then(|nonce| nonce.try_into().ok());
        reader.nonce = nonce.ok_or_else(|| malformed("the nonce of the parcels"))?;
        Ok(reader)
    }

    /// What the receipt code is made of.
    pub fn nonce(&self) -> [u8; 16] {
        self.nonce
    }

    fn next_parcel(&mut self) -> Result<Option<Parcel>, Refusal> {
        if !self.next_line()? {
            return Ok(None);
        }
        // bundle.md §9.5
        self.parcels += 1;
        if self.parcels > PARCELS_MAX {
            return Err(Refusal::new(Code::TooLarge, format!("more than {PARCELS_MAX} parcels")));
        }
        let parcel: Parcel = from_json(self.line_text()?)?;
        parcel.check()?;
        Ok(Some(parcel))
    }

    /// Reads one whole line into `self.line`; false at the end of everything.
    fn next_line(&mut self) -> Result<bool, Refusal> {
        self.line.zeroize();
        let read = self.lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut self.line);
        let count = read.map_err(unopened)? as u64;
        self.bytes += count;
        if self.bytes > OPENED_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "the parcels after opening"));
        }
        if count == 0 {
            self.check_end()?;
            return Ok(false);
        }
        match self.line.pop() {
            Some(b'\n') => Ok(true),
            _ if count == LINE_BYTES_MAX => Err(Refusal::new(Code::TooLarge, "a line of the parcels")),
            _ => Err(malformed("parcels that end within a line")),
        }
    }

    /// Nothing may follow the one zstd frame, and the seal's last chunk must have been opened.
    fn check_end(&mut self) -> Result<(), Refusal> {
        let rest = self.lines.get_mut().get_mut().fill_buf().map_err(unopened)?;
        if !rest.is_empty() {
            return Err(malformed("bytes after the parcels"));
        }
        Ok(())
    }

    fn line_text(&self) -> Result<&str, Refusal> {
        str::from_utf8(&self.line).map_err(|_| malformed("a parcel that is not UTF-8"))
    }
}

impl Iterator for ParcelReader<'_> {
    type Item = Result<Parcel, Refusal>;

    fn next(&mut self) -> Option<Result<Parcel, Refusal>> {
        if self.ended {
            return None;
        }
        let item = self.next_parcel().transpose();
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }
}

impl fmt::Debug for ParcelReader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParcelReader({} read)", self.parcels)
    }
}

/// A refusal of the seal comes through zstd as an I/O error; anything else is zstd's own.
fn unopened(error: std::io::Error) -> Refusal {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Refusal>()) {
        Some(refusal) => refusal.clone(),
        None => malformed("parcels that do not decompress"),
    }
}

fn unpacked(error: std::io::Error) -> Refusal {
    Refusal::new(Code::SealBroken, format!("packing failed: {error}"))
}

fn malformed(what: &str) -> Refusal {
    Refusal::new(Code::Malformed, what)
}
