//! Writing what this crate reads: base64url, JSON strings, token headers. For the mint, so that spelling has
//! one home.

use base64::Engine as _;

use crate::algorithm::Algorithm;

/// Strict in all that matters: no padding, and no trailing bits but zeros.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
static BASE64URL: std::sync::LazyLock<base64::engine::Simd> =
    std::sync::LazyLock::new(|| base64::engine::Simd::url_safe(base64::engine::general_purpose::NO_PAD));
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;

/// `bytes` in base64url without padding (RFC 7515 §2).
///
/// ```
/// assert_eq!(farside_verify::encode::base64url([0xfb, 0xff]), "-_8");
/// ```
pub fn base64url(bytes: impl AsRef<[u8]>) -> String {
    BASE64URL.encode(bytes)
}

/// [`base64url`] at the end of `out`, without an allocation of its own.
///
/// ```
/// let mut token = String::from("header.");
/// farside_verify::encode::push_base64url(&mut token, [0xfb, 0xff]);
/// assert_eq!(token, "header.-_8");
/// ```
pub fn push_base64url(out: &mut String, bytes: impl AsRef<[u8]>) {
    BASE64URL.encode_string(bytes, out);
}

/// Strictly decoded base64url: no padding, no other alphabet, no non-zero trailing bits; else `None`.
///
/// ```
/// assert_eq!(farside_verify::encode::base64url_decode("-_8"), Some(vec![0xfb, 0xff]));
/// assert_eq!(farside_verify::encode::base64url_decode("-_9"), None); // same bytes, second spelling
/// ```
// token.md §3.3
pub fn base64url_decode(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    let text = text.as_ref();
    // Not asked for as zeros, which costs some allocators three times as much.
    let mut bytes = Vec::with_capacity(decoded_bytes_max(text.len()));
    BASE64URL.decode_vec(text, &mut bytes).ok()?;
    Some(bytes)
}

/// Decodes strictly into the front of `out` and says how many bytes; `None` where `out` is too small.
pub(crate) fn base64url_decode_into(text: &[u8], out: &mut [u8]) -> Option<usize> {
    BASE64URL.decode_slice(text, out).ok()
}

/// The most bytes that `text_bytes` characters of base64url can hold.
pub(crate) const fn decoded_bytes_max(text_bytes: usize) -> usize {
    text_bytes / 4 * 3 + 3
}

/// Appends `text` to `out` as a JSON string with its quotes (RFC 8259 §7), escaping only what must be.
///
/// ```
/// let mut out = String::new();
/// farside_verify::encode::json_string(&mut out, "a\"\n\u{7f}é");
/// assert_eq!(out, "\"a\\\"\\u000a\u{7f}é\"");
/// ```
pub fn json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => {
                out.push_str("\\u00");
                out.extend([hex_digit(u32::from(c) >> 4), hex_digit(u32::from(c))]);
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The header segment of a token: `alg`, `kid` and `typ`, in this order and nothing else.
///
/// ```
/// use farside_verify::{Algorithm, encode};
/// let header = encode::header(Algorithm::Es256, "x7QdT0aB", "at+jwt");
/// assert_eq!(header, encode::base64url(r#"{"alg":"ES256","kid":"x7QdT0aB","typ":"at+jwt"}"#));
/// ```
// token.md §8
pub fn header(algorithm: Algorithm, kid: &str, typ: &str) -> String {
    let mut json = String::from("{\"alg\":");
    json_string(&mut json, algorithm.name());
    json.push_str(",\"kid\":");
    json_string(&mut json, kid);
    json.push_str(",\"typ\":");
    json_string(&mut json, typ);
    json.push('}');
    base64url(json)
}

fn hex_digit(value: u32) -> char {
    char::from_digit(value & 0xf, 16).unwrap_or('0')
}
