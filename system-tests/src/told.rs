//! The tokens in what a program told the world, and the leaf that each must have.

use farside_verify::encode::base64url_decode;
use farside_verify::leaf::{self, TokenPosition};
use serde_json::Value;

use crate::crash::Image;

/// What stands before the token's id in answers that admit.
const TOKEN_ID: &[u8] = b"x-farside-token-id: ";

/// A token that was told.
pub struct Told {
    /// Where its telling ended.
    pub end: usize,
    /// Its position in the log.
    pub position: TokenPosition,
    /// The hash of its leaf.
    pub leaf: [u8; 32],
}

/// Every token in what was told, in order.
pub fn tokens(told: &[u8]) -> Vec<Told> {
    let part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    let words = told.split(|byte| !part(byte));
    words.filter_map(|word| token(word, word.as_ptr_range().end as usize - told.as_ptr() as usize)).collect()
}

/// Those of them that were told before the cut.
pub fn before<'a>(told: &'a [Told], image: &Image) -> &'a [Told] {
    &told[..told.partition_point(|token| token.end <= image.told().len())]
}

/// The ids of the tokens that a door said it admitted, each with the place where its telling ended.
pub fn admitted(told: &[u8]) -> Vec<(usize, String)> {
    let after = |at: usize| told[at..].strip_prefix(TOKEN_ID).map(|rest| (at + TOKEN_ID.len(), rest));
    let id = |(starts, rest): (usize, &[u8])| {
        let id: Vec<u8> = rest.iter().copied().take_while(|byte| *byte != b'\r').collect();
        (starts + id.len(), String::from_utf8(id).expect("a token id is text"))
    };
    (0..told.len()).filter_map(after).map(id).collect()
}

fn token(word: &[u8], end: usize) -> Option<Told> {
    let word = std::str::from_utf8(word).ok().filter(|word| word.starts_with("eyJ"))?;
    let (input, _) = word.rsplit_once('.').filter(|(input, _)| input.matches('.').count() == 1)?;
    let claims: Value = serde_json::from_slice(&base64url_decode(input.split('.').nth(1)?)?).ok()?;
    let position: TokenPosition = claims["jti"].as_str()?.parse().ok()?;
    let leaf = leaf::hash(&position, &leaf::signing_input_sha256(input.as_bytes()));
    Some(Told { end, position, leaf })
}
