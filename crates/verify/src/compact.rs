//! A compact JWS taken apart (RFC 7515 §7.1): three strictly spelled segments and a header that is sane.
//!
//! `Parsed` shows which key is asked for and nothing of the payload. Refuses whatever has a second spelling.

use std::collections::BTreeMap;

use crate::algorithm::Algorithm;
use crate::encode::{self, base64url_decode, base64url_decode_into, decoded_bytes_max};
use crate::json::{self, Checked, Value};
use crate::policy::{ACCESS_TOKEN_TYP, PLAIN_TYP};
use crate::refusal::{Code, Refusal};
use crate::strings::Str;

/// The largest token that is looked at.
// token.md §3.1
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// Room for the decoded header and signature of one token: on the stack, or on the heap where that is
/// too small.
pub(crate) struct Scratch {
    stack: [u8; Scratch::STACK_BYTES],
    heap: Vec<u8>,
}

impl Scratch {
    const STACK_BYTES: usize = 512;

    pub(crate) fn new() -> Self {
        Scratch { stack: [0; Scratch::STACK_BYTES], heap: Vec::new() }
    }

    fn of(&mut self, bytes: usize) -> &mut [u8] {
        if bytes <= Scratch::STACK_BYTES {
            return &mut self.stack[..bytes];
        }
        self.heap.resize(bytes, 0);
        &mut self.heap
    }
}

/// A token whose signature is still to be checked.
pub(crate) struct Parsed<'t> {
    pub(crate) header: Header<'t>,
    pub(crate) signing_input: &'t [u8],
    pub(crate) signature: &'t [u8],
    pub(crate) payload: Vec<u8>,
}

/// The members of a header that mean something here.
pub(crate) struct Header<'t> {
    pub(crate) algorithm: Algorithm,
    pub(crate) key_id: Option<Str<'t>>,
    pub(crate) typ: Option<Str<'t>>,
    /// A key that the token brings along: read of DPoP proofs, and of nothing else.
    // token.md §3.6
    pub(crate) jwk: Option<Checked<'t>>,
}

/// The headers that a set's keys are foreseen to write, by their segments: what such a header says is known
/// without reading it again.
// token.md §8
#[derive(Default)]
pub(crate) struct KnownHeaders(BTreeMap<Vec<u8>, KnownHeader>);

struct KnownHeader {
    algorithm: Algorithm,
    kid: String,
    typ: &'static str,
}

impl KnownHeaders {
    /// Foresees the headers of one key. Others of its headers are read like any.
    pub(crate) fn foresee(&mut self, algorithm: Algorithm, kid: &str) {
        if Str::plain(kid).is_none() {
            return;
        }
        for typ in [ACCESS_TOKEN_TYP, PLAIN_TYP] {
            let segment = encode::header(algorithm, kid, typ).into_bytes();
            self.0.insert(segment, KnownHeader { algorithm, kid: kid.to_owned(), typ });
        }
    }

    fn find(&self, segment: &[u8]) -> Option<Header<'_>> {
        let KnownHeader { algorithm, kid, typ } = self.0.get(segment)?;
        Some(Header { algorithm: *algorithm, key_id: Str::plain(kid), typ: Str::plain(typ), jwk: None })
    }
}

impl<'t> Parsed<'t> {
    /// `known` are headers that need not be read again.
    pub(crate) fn new(
        token: &'t [u8],
        known: &'t KnownHeaders,
        scratch: &'t mut Scratch,
    ) -> Result<Self, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            let detail = format!("{} bytes; at most {TOKEN_BYTES_MAX} are read", token.len());
            return Err(Refusal::because(Code::TooLarge, detail));
        }
        let (header, payload, signature) = three_segments(token)?;
        let signing_input = &token[..header.len() + 1 + payload.len()];

        let header_room = decoded_bytes_max(header.len());
        let room = scratch.of(header_room + decoded_bytes_max(signature.len()));
        let (header_out, signature_out) = room.split_at_mut(header_room);
        let header = match known.find(header) {
            Some(known) => Ok(known),
            None => decode(header, header_out, "header").map(Header::parse)?,
        };
        // A fourth segment would be part of this one, and its dot is no base64url.
        let signature = decode(signature, signature_out, "signature")
            .map_err(|refusal| if signature.contains(&b'.') { not_three_segments(token) } else { refusal })?;
        let payload = base64url_decode(payload).ok_or_else(|| misspelled("payload"))?;

        Ok(Parsed { header: header?, signing_input, signature, payload })
    }
}

// token.md §3.2
fn three_segments(token: &[u8]) -> Result<(&[u8], &[u8], &[u8]), Refusal> {
    let segments = split_at_dot(token).and_then(|(header, rest)| {
        let (payload, signature) = split_at_dot(rest)?;
        Some((header, payload, signature))
    });
    segments.ok_or_else(|| not_three_segments(token))
}

#[cold]
fn not_three_segments(token: &[u8]) -> Refusal {
    let dots = token.iter().filter(|&&byte| byte == b'.').count();
    Refusal::because(Code::Malformed, format!("{} segments; a compact JWS has three", dots + 1))
}

fn split_at_dot(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = position(text, b'.')?;
    Some((&text[..at], &text[at + 1..]))
}

/// Where `byte` first stands. Blocks without it are looked through at one go.
fn position(text: &[u8], byte: u8) -> Option<usize> {
    let lacks_it = |block: &&[u8; 32]| !block.iter().fold(false, |found, &other| found | (other == byte));
    let (blocks, _) = text.as_chunks();
    let passed = blocks.iter().take_while(lacks_it).count() * 32;
    text[passed..].iter().position(|&other| other == byte).map(|at| passed + at)
}

// token.md §3.3
fn decode<'o>(segment: &[u8], out: &'o mut [u8], which: &str) -> Result<&'o [u8], Refusal> {
    let len = base64url_decode_into(segment, out).ok_or_else(|| misspelled(which))?;
    Ok(&out[..len])
}

#[cold]
fn misspelled(which: &str) -> Refusal {
    Refusal::because(Code::Malformed, format!("the {which} is not canonical base64url without padding"))
}

#[derive(Default)]
struct Members<'t> {
    alg: Option<Value<'t>>,
    kid: Option<Value<'t>>,
    typ: Option<Value<'t>>,
    jwk: Option<Checked<'t>>,
    crit: bool,
    fault: Option<&'static str>,
}

impl<'t> Header<'t> {
    // token.md §3.4
    fn parse(bytes: &'t [u8]) -> Result<Self, Refusal> {
        let mut members = Members::default();
        json::read_object_bytes(bytes, |name, value| members.take(name, value))
            .map_err(|fault| invalid(format!("the header {fault}")))?;
        // token.md §3.5: presence alone refuses, an empty list included.
        if members.crit {
            return Err(Refusal::because(Code::CritUnsupported, "`crit` is present"));
        }
        if let Some(fault) = members.fault {
            return Err(invalid(fault));
        }
        Ok(Header {
            algorithm: algorithm(members.alg)?,
            key_id: optional_string(members.kid, "`kid` is not a string")?,
            typ: optional_string(members.typ, "`typ` is not a string")?,
            jwk: members.jwk,
        })
    }
}

impl<'t> Members<'t> {
    fn take(&mut self, name: Str<'t>, value: Value<'t>) {
        match &*name.decoded() {
            "alg" => self.alg = Some(value),
            "kid" => self.kid = Some(value),
            "typ" => self.typ = Some(value),
            "crit" => self.crit = true,
            // token.md §3.6: never followed, but a value that RFC 7515 §4.1 forbids condemns the header.
            "jku" | "x5u" | "x5t" | "x5t#S256" | "cty" => {
                self.demand(matches!(value, Value::String(_)), "a registered member is not a string");
            }
            "jwk" => match value {
                Value::Object(jwk) => self.jwk = Some(jwk),
                _ => self.demand(false, "`jwk` is not an object"),
            },
            "x5c" => self.demand(matches!(value, Value::Array(_)), "`x5c` is not an array"),
            // RFC 7797 §6: `b64` may not be anything but true without `crit`, and no `crit` is understood.
            "b64" => self.demand(matches!(value, Value::True), "`b64` is not true"),
            // RFC 7516 §9: where there is `enc`, it is a JWE.
            "enc" => self.demand(false, "`enc` makes it a JWE, which is never opened here"),
            _ => (),
        }
    }

    fn demand(&mut self, fine: bool, fault: &'static str) {
        if !fine {
            self.fault = Some(fault);
        }
    }
}

fn algorithm(alg: Option<Value<'_>>) -> Result<Algorithm, Refusal> {
    let name = optional_string(alg, "`alg` is not a string")?.ok_or_else(|| invalid("`alg` is missing"))?;
    Algorithm::from_name(&name.decoded()).ok_or_else(|| {
        Refusal::because(Code::AlgNotAllowed, "`alg` names none of the algorithms that are known here")
    })
}

fn optional_string<'t>(value: Option<Value<'t>>, fault: &'static str) -> Result<Option<Str<'t>>, Refusal> {
    match value {
        None => Ok(None),
        Some(Value::String(string)) => Ok(Some(string)),
        Some(_) => Err(invalid(fault)),
    }
}

fn invalid(detail: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    Refusal::because(Code::HeaderInvalid, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_known_says_what_reading_it_says() {
        for &algorithm in Algorithm::ALL {
            for kid in ["x7QdT0aB", "", "é", "a/b", "a\u{7f}", "quo\"te", "back\\slash", "line\n"] {
                let mut known = KnownHeaders::default();
                known.foresee(algorithm, kid);
                for typ in [ACCESS_TOKEN_TYP, PLAIN_TYP] {
                    let segment = encode::header(algorithm, kid, typ);
                    let bytes = base64url_decode(&segment).unwrap();
                    let read = Header::parse(&bytes).unwrap();
                    let Some(found) = known.find(segment.as_bytes()) else {
                        assert!(kid.contains(['"', '\\', '\n']), "{kid:?} is not foreseen");
                        continue;
                    };
                    assert_eq!(found.algorithm, read.algorithm);
                    assert!(found.key_id.unwrap().is(kid) && read.key_id.unwrap().is(kid));
                    assert!(found.typ.unwrap().is(typ) && read.typ.unwrap().is(typ));
                }
            }
        }
    }
}
