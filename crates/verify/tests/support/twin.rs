//! The other spelling of an ECDSA signature: whoever has (r, s) has (r, n - s).

use farside_verify::encode::{base64url, base64url_decode};

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The ES256 token with the twin of its signature.
pub(crate) fn twin(token: &str) -> String {
    let (input, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = base64url_decode(signature).unwrap();
    let mut borrow = 0;
    for (n, s) in ORDER.iter().zip(&mut bytes[32..]).rev() {
        let difference = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(difference < 0);
        *s = difference.rem_euclid(256) as u8;
    }
    format!("{input}.{}", base64url(&bytes))
}
