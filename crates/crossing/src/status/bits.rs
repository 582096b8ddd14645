//! Revoked tokens as bits: one for each log index, in lists that begin where they are needed.

use std::collections::BTreeMap;

use miniz_oxide::deflate::compress_to_vec_zlib;

use super::TokenList;
use crate::refusal::{Code, Refusal};
use crate::text::base64url_encode;

/// Most bits of one list; a list never crosses a multiple of this. 2^26 bits are 8 MiB before compression.
pub const LIST_BITS_MAX: u64 = 1 << 26;

/// Most bytes of all lists of one status together, decompressed.
pub const LISTS_BYTES_MAX: usize = 64 << 20;

/// zlib's best compression: lists are made once and read often.
const ZLIB_LEVEL: u8 = 9;

/// A status list in the making: one bit for each log index, set where revoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BitList {
    bits: TokenBits,
}

/// The bits of one list, decompressed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TokenBits {
    /// Index of the first bit.
    first: u64,
    bytes: Vec<u8>,
}

impl BitList {
    /// Nothing revoked; the first bit is that of index 0.
    pub fn new() -> BitList {
        BitList::default()
    }

    /// Nothing revoked, with room for so many tokens, so that whoever looks past the end is told.
    ///
    /// # Errors
    /// `too_large` beyond [`LIST_BITS_MAX`].
    pub fn of_zeros(tokens: u64) -> Result<BitList, Refusal> {
        let mut list = BitList::new();
        match tokens {
            0 => {}
            1..=LIST_BITS_MAX => list.bits.reach(0, tokens - 1),
            _ => return Err(Refusal::new(Code::TooLarge, format!("{tokens} tokens in a status list"))),
        }
        Ok(list)
    }

    /// Revokes one index.
    ///
    /// # Errors
    /// `too_large` beyond [`LIST_BITS_MAX`].
    pub fn set(&mut self, index: u64) -> Result<(), Refusal> {
        if index >= LIST_BITS_MAX {
            return Err(Refusal::new(Code::TooLarge, format!("log index {index} in a status list")));
        }
        self.bits.set(index);
        Ok(())
    }

    /// The list before compression.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits.bytes
    }

    /// `lst`: zlib (RFC 1950), then unpadded base64url. An empty list is one zero byte.
    pub fn encode(&self) -> String {
        self.bits.encode()
    }
}

impl TokenBits {
    /// Whether this index is set.
    pub fn get(&self, index: u64) -> bool {
        let place = index.checked_sub(self.first).and_then(|at| usize::try_from(at / 8).ok());
        place.and_then(|place| self.bytes.get(place)).is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// How many are set.
    pub fn ones(&self) -> u64 {
        self.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }

    /// Every index that is set, in order.
    pub fn indices(&self) -> impl Iterator<Item = u64> + '_ {
        (self.first..)
            .step_by(8)
            .zip(&self.bytes)
            .filter(|(_, byte)| **byte != 0)
            .flat_map(|(at, byte)| (0..8).filter(move |bit| byte >> bit & 1 == 1).map(move |bit| at + bit))
    }

    /// Sets what the other has set.
    pub fn add(&mut self, other: &TokenBits) {
        if other.bytes.is_empty() {
            return;
        }
        self.reach(other.first, other.first + 8 * (other.bytes.len() as u64 - 1));
        let from = place(other.first - self.first);
        for (byte, more) in self.bytes.iter_mut().skip(from).zip(&other.bytes) {
            *byte |= more;
        }
    }

    fn set(&mut self, index: u64) {
        self.reach(index, index);
        let at = place(index - self.first);
        if let Some(byte) = self.bytes.get_mut(at) {
            // draft-ietf-oauth-status-list §4.1: the least significant bit comes first.
            *byte |= 1 << (index % 8);
        }
    }

    /// Makes room from `low` to `high`.
    fn reach(&mut self, low: u64, high: u64) {
        let low = low - low % 8;
        if low < self.first {
            let before = vec![0; place(self.first - low)];
            self.bytes.splice(0..0, before);
            self.first = low;
        }
        let needed = place(high - self.first) + 1;
        if self.bytes.len() < needed {
            self.bytes.resize(needed, 0);
        }
    }

    /// The same bits without empty bytes at either end.
    fn trimmed(&self) -> TokenBits {
        let begin = self.bytes.iter().position(|byte| *byte != 0).unwrap_or(0);
        let end = self.bytes.iter().rposition(|byte| *byte != 0).map_or(begin, |last| last + 1);
        TokenBits { first: self.first + 8 * begin as u64, bytes: self.bytes[begin..end].to_vec() }
    }

    fn encode(&self) -> String {
        let raw = if self.bytes.is_empty() { &[0][..] } else { &self.bytes };
        base64url_encode(&compress_to_vec_zlib(raw, ZLIB_LEVEL))
    }
}

/// Which byte the bit `distance` after the first stands in.
fn place(distance: u64) -> usize {
    usize::try_from(distance / 8).unwrap_or(usize::MAX)
}

/// Every list of a status, opened: by shard, by the time at which its tokens have expired, by window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lists {
    lists: BTreeMap<(String, u64, u64), TokenBits>,
}

impl Lists {
    /// Opens the lists of a status. `decode` undoes [`BitList::encode`] within a number of bytes: that code
    /// lives with whoever verifies tokens.
    ///
    /// # Errors
    /// `malformed` where one does not decode, or leaves its window; `too_large` beyond [`LISTS_BYTES_MAX`].
    // bundle.md §7.2
    pub fn open(
        tokens: &[TokenList],
        decode: impl Fn(&str, usize) -> Option<Vec<u8>>,
    ) -> Result<Lists, Refusal> {
        let mut opened = Lists::default();
        let mut room = LISTS_BYTES_MAX;
        for list in tokens {
            let malformed = || {
                let shard = &list.shard;
                Refusal::new(Code::Malformed, format!("a status list of shard {shard}, or it is too large"))
            };
            let bytes = decode(&list.lst, room).ok_or_else(malformed)?;
            room -= bytes.len().min(room);
            let window = list.first / LIST_BITS_MAX;
            let last = list.first.saturating_add(8 * bytes.len().saturating_sub(1) as u64);
            if last / LIST_BITS_MAX != window {
                return Err(malformed());
            }
            let bits = TokenBits { first: list.first, bytes };
            opened.take(&list.shard, list.until, window, &bits);
        }
        Ok(opened)
    }

    /// The lists as they cross.
    pub fn close(&self) -> Vec<TokenList> {
        let closed = self.lists.iter().map(|((shard, until, _), bits)| {
            let bits = bits.trimmed();
            TokenList { shard: shard.clone(), first: bits.first, until: *until, lst: bits.encode() }
        });
        closed.collect()
    }

    /// Revokes the token at one position, which has expired by `until`.
    pub fn set(&mut self, shard: &str, until: u64, index: u64) {
        let window = index / LIST_BITS_MAX;
        match self.lists.get_mut(&(shard.to_owned(), until, window)) {
            Some(bits) => bits.set(index),
            None => {
                let mut bits = TokenBits { first: index - index % 8, bytes: Vec::new() };
                bits.set(index);
                self.lists.insert((shard.to_owned(), until, window), bits);
            }
        }
    }

    /// Revokes what the other revokes.
    pub fn add(&mut self, other: &Lists) {
        for ((shard, until, window), bits) in &other.lists {
            self.take(shard, *until, *window, bits);
        }
    }

    /// Keeps the lists whose tokens may still be good.
    pub fn retain(&mut self, keep: impl Fn(u64) -> bool) {
        self.lists.retain(|(_, until, _), _| keep(*until));
    }

    /// The bits of each shard and window, whatever the time.
    pub fn by_shard(&self) -> BTreeMap<&str, Vec<TokenBits>> {
        let mut joined: BTreeMap<(&str, u64), TokenBits> = BTreeMap::new();
        for ((shard, _, window), bits) in &self.lists {
            let held = joined.entry((shard, *window));
            held.and_modify(|held| held.add(bits)).or_insert_with(|| bits.clone());
        }
        let mut shards: BTreeMap<&str, Vec<TokenBits>> = BTreeMap::new();
        for ((shard, _), bits) in joined {
            shards.entry(shard).or_default().push(bits);
        }
        shards
    }

    /// Tokens whose list's time has not come, as `due` has it, and that `new` revokes no longer, or only in a
    /// list of an earlier time.
    pub(super) fn lost<'l>(
        &'l self,
        new: &'l Lists,
        due: impl Fn(u64) -> bool + 'l,
    ) -> impl Iterator<Item = (&'l str, u64)> {
        let kept = self.lists.iter().filter(move |((_, until, _), _)| !due(*until));
        kept.flat_map(|((shard, until, window), old)| {
            let covers = |(key, bits): (&'l (String, u64, u64), &'l TokenBits)| {
                (key.0 == *shard && key.1 >= *until && key.2 == *window).then_some(bits)
            };
            let still: Vec<&TokenBits> = new.lists.iter().filter_map(covers).collect();
            let gone = move |index: &u64| !still.iter().any(|bits| bits.get(*index));
            old.indices().filter(gone).map(|index| (shard.as_str(), index))
        })
    }

    fn take(&mut self, shard: &str, until: u64, window: u64, bits: &TokenBits) {
        let key = (shard.to_owned(), until, window);
        self.lists.entry(key).and_modify(|held| held.add(bits)).or_insert_with(|| bits.clone());
    }
}
