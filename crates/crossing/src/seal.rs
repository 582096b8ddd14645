//! Sealing to a site: HPKE (RFC 9180) with X-Wing, HKDF-SHA256 and AES-256-GCM, in chunks, so that neither
//! side ever holds more than one chunk in clear. The gate's secret is a 32-byte seed that its program keeps
//! and passes in.
//!
//! ```text
//! <1,120 bytes encapsulated key> <chunk>…<last chunk>     each chunk at most 256 KiB and 16 bytes tag
//! ```
//!
//! HPKE numbers the chunks, and the last is sealed with other associated data: none can be dropped, doubled
//! or moved.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, BufRead, Read, Write};
use std::str::FromStr;

use hpke::aead::{AeadCtxR, AeadCtxS, AesGcm256};
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::rand_core::{TryCryptoRng, TryRng};
use hpke::{Deserializable as _, Kem as _, OpModeR, OpModeS, Serializable as _, setup_receiver};
use zeroize::Zeroizing;

use crate::digest::Digest;
use crate::fingerprint::Fingerprint;
use crate::refusal::{Code, Refusal};
use crate::text::{base64_decode, base64_encode, base64url_encode, check_name};

/// Most plaintext in one chunk.
const CHUNK_BYTES: usize = 256 << 10;

/// AES-GCM's tag.
const TAG_BYTES: usize = 16;

/// X-Wing's encapsulated key.
const ENCAPSULATED_BYTES: usize = 1_120;

/// Longest text form of a recipient, in bytes.
const RECIPIENT_LINE_BYTES_MAX: usize = 2 << 10;

/// Key ids are eight base64url characters of the key's digest.
const KEY_ID_CHARS: usize = 8;

type PublicKey = <XWing as hpke::Kem>::PublicKey;
type PrivateKey = <XWing as hpke::Kem>::PrivateKey;

/// What a sealed component is bound to: it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub struct SealContext<'c> {
    /// Realm.
    pub realm: &'c str,
    /// Site.
    pub site: &'c str,
    /// Number of the bundle.
    pub seq: u64,
}

impl SealContext<'_> {
    /// bundle.md §9.2
    fn info(&self, key_id: &str) -> String {
        format!("farside-parcels/1\n{}\n{}\n{key_id}", self.realm, self.site)
    }

    /// bundle.md §9.3
    fn aad(&self, last: bool) -> String {
        format!("{}{}", self.seq, if last { " last" } else { "" })
    }
}

/// A site's public key, to which parcels are sealed.
#[derive(Clone, PartialEq, Eq)]
pub struct RecipientPublic {
    site: String,
    key: PublicKey,
}

impl RecipientPublic {
    /// The site whose gates can open what is sealed.
    pub fn site(&self) -> &str {
        &self.site
    }

    /// Eight characters that name the key.
    pub fn key_id(&self) -> String {
        key_id(&self.key)
    }

    /// The key's fingerprint, for people who compare it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from(Digest::of(self.to_string().as_bytes()))
    }

    /// The same as sixteen words.
    pub fn words(&self) -> String {
        self.fingerprint().words()
    }
}

impl fmt::Display for RecipientPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "farside-recipient/1 {} {}", self.site, base64_encode(&self.key.to_bytes()))
    }
}

impl fmt::Debug for RecipientPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientPublic({} {})", self.site, self.key_id())
    }
}

impl FromStr for RecipientPublic {
    type Err = Refusal;

    /// bundle.md §9.1: `farside-recipient/1 <site> <base64 key>`.
    fn from_str(line: &str) -> Result<RecipientPublic, Refusal> {
        let malformed = || Refusal::new(Code::Malformed, "not a recipient's line");
        if line.len() > RECIPIENT_LINE_BYTES_MAX {
            return Err(Refusal::new(Code::TooLarge, "a recipient's line"));
        }
        let words: Vec<&str> = line.trim_ascii().split(' ').collect();
        let ["farside-recipient/1", site, key] = words[..] else { return Err(malformed()) };
        check_name("site", site)?;
        let key = base64_decode(key).ok_or_else(malformed)?;
        let key = PublicKey::from_bytes(&key).map_err(|_| malformed())?;
        Ok(RecipientPublic { site: site.to_owned(), key })
    }
}

/// A site's secret key. It is made from the seed each time and shows nothing of itself.
#[derive(Clone)]
pub struct RecipientSecret {
    secret: PrivateKey,
    public: PublicKey,
}

impl RecipientSecret {
    /// Derives the key pair from 32 random bytes (RFC 9180 DeriveKeyPair).
    pub fn from_seed(seed: &[u8; 32]) -> RecipientSecret {
        let (secret, public) = XWing::derive_keypair(seed);
        RecipientSecret { secret, public }
    }

    /// The public half, under the name of its site.
    ///
    /// # Errors
    /// `malformed` where the site is not a name.
    pub fn public(&self, site: &str) -> Result<RecipientPublic, Refusal> {
        check_name("site", site)?;
        Ok(RecipientPublic { site: site.to_owned(), key: self.public.clone() })
    }
}

impl fmt::Debug for RecipientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientSecret({})", key_id(&self.public))
    }
}

/// Seals what is written to it. [`Sealer::finish`] gives the sealed bytes.
pub(crate) struct Sealer<'c> {
    context: SealContext<'c>,
    cipher: AeadCtxS<AesGcm256, HkdfSha256, XWing>,
    chunk: Zeroizing<Vec<u8>>,
    sealed: Vec<u8>,
}

impl<'c> Sealer<'c> {
    /// `dice` are 32 random bytes, never used again.
    pub(crate) fn new(
        recipient: &RecipientPublic,
        context: SealContext<'c>,
        dice: &[u8; 32],
    ) -> Result<Sealer<'c>, Refusal> {
        let info = context.info(&recipient.key_id());
        let mut dice = Dice { seed: Zeroizing::new(*dice), thrown: 0 };
        let (encapsulated, cipher) =
            hpke::setup_sender_with_rng(&OpModeS::Base, &recipient.key, info.as_bytes(), &mut dice)
                .map_err(|_| Refusal::new(Code::SealBroken, "the recipient's key does not take a seal"))?;
        let chunk = Zeroizing::new(Vec::with_capacity(CHUNK_BYTES));
        Ok(Sealer { context, cipher, chunk, sealed: encapsulated.to_bytes().to_vec() })
    }

    /// Seals the rest and gives everything.
    pub(crate) fn finish(mut self) -> io::Result<Vec<u8>> {
        self.seal_chunk(true)?;
        Ok(self.sealed)
    }

    fn seal_chunk(&mut self, last: bool) -> io::Result<()> {
        let sealed = self.cipher.seal(&self.chunk, self.context.aad(last).as_bytes());
        self.sealed.extend_from_slice(&sealed.map_err(|_| io::Error::other("sealing failed"))?);
        self.chunk.clear();
        Ok(())
    }
}

impl Write for Sealer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.chunk.len() == CHUNK_BYTES {
            self.seal_chunk(false)?;
        }
        let taken = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Opens sealed bytes chunk by chunk; each is authenticated before any of it is given out.
pub(crate) struct Opener<'b> {
    seq: u64,
    cipher: AeadCtxR<AesGcm256, HkdfSha256, XWing>,
    sealed: &'b [u8],
    ended: bool,
    clear: Zeroizing<Vec<u8>>,
    given: usize,
}

impl<'b> Opener<'b> {
    /// Decapsulates and opens nothing yet.
    pub(crate) fn new(
        sealed: &'b [u8],
        secret: &RecipientSecret,
        context: SealContext<'_>,
    ) -> Result<Opener<'b>, Refusal> {
        let (encapsulated, rest) =
            sealed.split_at_checked(ENCAPSULATED_BYTES).ok_or_else(|| broken("it is too short"))?;
        let encapsulated = <XWing as hpke::Kem>::EncappedKey::from_bytes(encapsulated)
            .map_err(|_| broken("its encapsulated key"))?;
        let info = context.info(&key_id(&secret.public));
        let cipher = setup_receiver(&OpModeR::Base, &secret.secret, &encapsulated, info.as_bytes())
            .map_err(|_| broken("its encapsulated key"))?;
        let clear = Zeroizing::new(Vec::new());
        Ok(Opener { seq: context.seq, cipher, sealed: rest, ended: false, clear, given: 0 })
    }

    fn next_chunk(&mut self) -> Result<(), Refusal> {
        // bundle.md §9.4: every chunk but the last is full; what does not exceed a full chunk is the last.
        let last = self.sealed.len() <= CHUNK_BYTES + TAG_BYTES;
        let (chunk, rest) = self.sealed.split_at(self.sealed.len().min(CHUNK_BYTES + TAG_BYTES));
        let aad = SealContext { realm: "", site: "", seq: self.seq }.aad(last);
        let clear = self.cipher.open(chunk, aad.as_bytes()).map_err(|_| broken("a chunk does not open"))?;
        (self.sealed, self.ended, self.given, self.clear) = (rest, last, 0, Zeroizing::new(clear));
        Ok(())
    }
}

impl BufRead for Opener<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.given == self.clear.len() && !self.ended {
            self.next_chunk().map_err(|refusal| io::Error::new(io::ErrorKind::InvalidData, refusal))?;
        }
        Ok(&self.clear[self.given..])
    }

    fn consume(&mut self, count: usize) {
        self.given = (self.given + count).min(self.clear.len());
    }
}

impl Read for Opener<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut clear = self.fill_buf()?;
        let count = clear.read(out)?;
        self.consume(count);
        Ok(count)
    }
}

/// The caller's random bytes, stretched by SHA-256 in counter mode: sealing is a function of its arguments.
struct Dice {
    seed: Zeroizing<[u8; 32]>,
    thrown: u64,
}

impl TryRng for Dice {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        for part in out.chunks_mut(32) {
            let input = [&b"farside-dice/1"[..], &*self.seed, &self.thrown.to_be_bytes()].concat();
            part.copy_from_slice(&Digest::of(&Zeroizing::new(input)).as_bytes()[..part.len()]);
            self.thrown += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Dice {}

fn key_id(key: &PublicKey) -> String {
    base64url_encode(Digest::of(&key.to_bytes()).as_bytes()).chars().take(KEY_ID_CHARS).collect()
}

fn broken(what: &str) -> Refusal {
    Refusal::new(Code::SealBroken, what)
}
