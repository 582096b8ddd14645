//! The fast base64url decoder and the plain one agree on everything, so speed loosens nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as PLAIN;
use farside_verify::encode::{base64url, base64url_decode, json_string};
use proptest::prelude::*;

proptest! {
    #[test]
    fn whole_texts_decode_alike(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        let text = PLAIN.encode(&bytes);
        prop_assert_eq!(base64url(&bytes), text.clone());
        prop_assert_eq!(base64url_decode(text), Some(bytes));
    }

    #[test]
    fn damaged_texts_are_refused_alike(
        bytes in prop::collection::vec(any::<u8>(), 1..400),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in 0..4_usize,
    ) {
        let mut text = PLAIN.encode(&bytes).into_bytes();
        let at = at.index(text.len());
        text[at] = byte;
        text.truncate(text.len().saturating_sub(cut));
        prop_assert_eq!(base64url_decode(&text), PLAIN.decode(&text).ok());
    }

    #[test]
    fn every_string_is_written_so_that_others_read_it(text in any::<String>()) {
        let mut json = String::new();
        json_string(&mut json, &text);
        prop_assert_eq!(serde_json::from_str::<String>(&json).ok(), Some(text));
    }
}
