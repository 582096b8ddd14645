//! Fingerprints for people: a digest as hex, or as sixteen words that can be read over a telephone.
//!
//! Sixteen words are 128 bits: too many for anyone to find a second charter or key with the same ones.

use std::fmt;
use std::str::FromStr;

use crate::digest::{Digest, hex, unhex};

/// How many words a fingerprint has; one byte each.
pub const WORDS: usize = 16;

/// Longest text that is read as a fingerprint, in bytes.
const TEXT_BYTES_MAX: usize = 512;

/// The fingerprint of a charter or of a recipient's key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// 64 hex digits.
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// Sixteen words for the first sixteen bytes.
    pub fn words(&self) -> String {
        let words: Vec<&str> = self.0.iter().take(WORDS).map(|byte| LIST[usize::from(*byte)]).collect();
        words.join(" ")
    }
}

impl From<Digest> for Fingerprint {
    fn from(digest: Digest) -> Fingerprint {
        Fingerprint(*digest.as_bytes())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

/// What a person says the fingerprint is: all of it in hex, or the sixteen words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedFingerprint {
    /// From 64 hex digits.
    Whole([u8; 32]),
    /// From sixteen words.
    Words([u8; WORDS]),
}

impl ExpectedFingerprint {
    /// Whether it is the one expected.
    pub fn matches(&self, seen: &Fingerprint) -> bool {
        match self {
            ExpectedFingerprint::Whole(bytes) => *bytes == seen.0,
            ExpectedFingerprint::Words(bytes) => seen.0.starts_with(bytes),
        }
    }
}

impl From<Fingerprint> for ExpectedFingerprint {
    fn from(fingerprint: Fingerprint) -> ExpectedFingerprint {
        ExpectedFingerprint::Whole(fingerprint.0)
    }
}

/// The text is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintFault {
    /// A word is not of the list.
    #[error("{0:?} is not one of the fingerprint words")]
    UnknownWord(String),
    /// Neither form.
    #[error("a fingerprint is 64 hex digits or sixteen words")]
    Form,
}

impl FromStr for ExpectedFingerprint {
    type Err = FingerprintFault;

    /// Case, spaces, colons, commas and dashes between the parts do not matter.
    fn from_str(text: &str) -> Result<ExpectedFingerprint, FingerprintFault> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(FingerprintFault::Form);
        }
        let lower = text.to_ascii_lowercase();
        let between = |c: char| c.is_whitespace() || matches!(c, ':' | ',' | '-');
        let parts: Vec<&str> = lower.split(between).filter(|part| !part.is_empty()).collect();
        if let Some(bytes) = unhex(&parts.concat()) {
            return Ok(ExpectedFingerprint::Whole(bytes));
        }
        if parts.len() != WORDS {
            return Err(FingerprintFault::Form);
        }
        let mut bytes = [0; WORDS];
        for (byte, part) in bytes.iter_mut().zip(parts) {
            *byte = value_of(part).ok_or_else(|| FingerprintFault::UnknownWord(part.to_owned()))?;
        }
        Ok(ExpectedFingerprint::Words(bytes))
    }
}

fn value_of(word: &str) -> Option<u8> {
    LIST.iter().position(|known| *known == word).and_then(|place| u8::try_from(place).ok())
}

/// 256 short words of plain things, told apart by their first four letters.
#[rustfmt::skip]
const LIST: [&str; 256] = [
    "acorn", "actor", "adobe", "agate", "album", "alder", "amber", "anchor",
    "angle", "ankle", "apple", "apron", "arch", "arrow", "aspen", "atlas",
    "attic", "autumn", "axle", "bacon", "badge", "bamboo", "banjo", "barrel",
    "basil", "beacon", "beaver", "bell", "bench", "berry", "birch", "bison",
    "blanket", "bloom", "boat", "bonnet", "book", "bottle", "boulder", "bow",
    "bramble", "bread", "brick", "bridge", "broom", "bucket", "bugle", "bunker",
    "button", "cabin", "cactus", "camel", "candle", "canoe", "canyon", "carpet",
    "castle", "cedar", "cello", "chalk", "cherry", "chimney", "cinder", "circle",
    "clam", "clay", "cliff", "clock", "clover", "cobalt", "comet", "copper",
    "coral", "cotton", "cradle", "crane", "crater", "cricket", "crown", "crystal",
    "cupboard", "curtain", "cymbal", "daisy", "dawn", "delta", "desert", "diamond",
    "dome", "donkey", "door", "dragon", "drum", "duck", "dune", "eagle",
    "earth", "easel", "echo", "eclipse", "elbow", "elder", "elm", "ember",
    "engine", "fabric", "falcon", "feather", "fence", "fern", "fiddle", "field",
    "finch", "flame", "flint", "flute", "forest", "fossil", "fountain", "fox",
    "frost", "galaxy", "garden", "garlic", "gate", "gecko", "ginger", "glacier",
    "glove", "goat", "gold", "goose", "grain", "granite", "grape", "guitar",
    "hammer", "harbor", "harp", "hazel", "helmet", "heron", "hill", "honey",
    "hood", "horizon", "horse", "hotel", "iceberg", "igloo", "indigo", "ink",
    "iris", "iron", "island", "ivory", "ivy", "jacket", "jade", "jasmine",
    "jelly", "jewel", "jungle", "kayak", "kettle", "kite", "kiwi", "knight",
    "knot", "ladder", "lagoon", "lake", "lamp", "lantern", "lark", "lava",
    "leaf", "lemon", "library", "lily", "linen", "lion", "lizard", "lobster",
    "lotus", "lumber", "lunar", "lute", "magnet", "mango", "maple", "marble",
    "meadow", "melon", "meteor", "mill", "mint", "mirror", "mitten", "moon",
    "moss", "motor", "mountain", "mouse", "museum", "napkin", "needle", "nest",
    "nickel", "nutmeg", "oak", "oasis", "ocean", "olive", "onion", "opal",
    "orange", "orbit", "orchid", "otter", "oven", "owl", "oyster", "paddle",
    "palm", "panda", "paper", "parrot", "pebble", "pelican", "pencil", "pepper",
    "piano", "pigeon", "pillow", "pine", "planet", "plum", "pocket", "pond",
    "poppy", "potato", "prism", "pumpkin", "quartz", "quill", "rabbit", "radish",
    "raven", "ribbon", "river", "robin", "rocket", "saddle", "salmon", "tulip",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart_by_their_first_four_letters() {
        let mut seen = std::collections::BTreeSet::new();
        for word in LIST {
            assert!(seen.insert(&word[..word.len().min(4)]), "{word}");
        }
    }

    #[test]
    fn what_is_shown_is_what_is_expected() {
        let seen = Fingerprint::from(Digest::of(b"charter"));
        for text in [seen.hex(), seen.words(), seen.words().to_uppercase(), seen.hex().replace("ab", "ab:")] {
            assert!(text.parse::<ExpectedFingerprint>().unwrap().matches(&seen), "{text}");
        }
        let other = Fingerprint::from(Digest::of(b"another"));
        assert!(!seen.words().parse::<ExpectedFingerprint>().unwrap().matches(&other));
        assert!("acorn actor".parse::<ExpectedFingerprint>().is_err());
    }
}
