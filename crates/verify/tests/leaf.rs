//! A token has one position with one spelling, and its leaf commits to that and to what was signed.
#![allow(clippy::unwrap_used, reason = "a failure here is a failed test")]

mod support;

use farside_verify::leaf::{self, PositionError, TokenPosition};
use proptest::prelude::*;
use support::{NOW, Signer};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn leaf_hashes_are_those_of_the_spec() {
    let position = TokenPosition::new("alpha-1", 100).unwrap();
    let commitment = leaf::signing_input_sha256(b"eyJhbGciOiJFUzI1NiJ9.e30");
    // Computed apart from this code, from token.md §7.2.
    let signed = "8285331b1b26159b1dc81df1119bace030160d87c39cdf4bf42ade1456cc89b9";
    let void = "80d172616358c1f5bad0ecd660a0769af26658903de8501760e3643d0bc3e178";
    assert_eq!(hex(&leaf::hash(&position, &commitment)), signed);
    assert_eq!(hex(&leaf::void_hash(&position)), void);
}

#[test]
fn the_leaf_of_a_verified_token_follows_from_the_token_alone() {
    let signer = Signer::fixed("k1");
    let token = signer.token(r#"{"jti":"alpha-2s"}"#);
    let verified = signer.undemanding().verify(&token, NOW).unwrap();
    let position: TokenPosition = verified.token_id().unwrap().parse().unwrap();
    let (input, _signature) = token.rsplit_once('.').unwrap();
    let expected = leaf::hash(&position, &leaf::signing_input_sha256(input.as_bytes()));
    assert_eq!(leaf::hash(&position, &verified.signing_input_sha256()), expected);
}

#[test]
fn positions_have_one_spelling() {
    let fault = |text: &str| text.parse::<TokenPosition>().unwrap_err();
    for text in ["a-", "a-00", "a-01", "a-A", "a-+1", "a- 1", "a-1 ", "a-3w5e11264sgsg", "a-é"] {
        assert_eq!(fault(text), PositionError::Index, "{text}");
    }
    for text in ["-1", "A-1", "a b-1", "é-1", "a/b-1"] {
        assert_eq!(fault(text), PositionError::Shard, "{text}");
    }
    assert_eq!(fault(&format!("{}-1", "a".repeat(33))), PositionError::Shard);
    assert_eq!(fault("a1"), PositionError::Undivided);
    assert_eq!("a-3w5e11264sgsf".parse::<TokenPosition>().unwrap().index(), u64::MAX);
}

proptest! {
    #[test]
    fn every_position_reads_back(shard in "[a-z0-9._-]{1,32}", index in any::<u64>()) {
        let position = TokenPosition::new(&shard, index).unwrap();
        prop_assert_eq!(position.to_string().parse::<TokenPosition>().unwrap(), position);
    }

    #[test]
    fn what_reads_as_a_position_is_written_alike(text in "[a-z0-9._-]{1,20}") {
        if let Ok(position) = text.parse::<TokenPosition>() {
            prop_assert_eq!(position.to_string(), text);
        }
    }
}
