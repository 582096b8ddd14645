//! DPoP (RFC 9449): proof that whoever shows a token holds the key that it is bound to.
//!
//! ```text
//!   proof ─▶ form, `typ` ─▶ public key in its header ─▶ signature ─▶ method, address, time, token ─▶ Proof
//! ```
//! For gates and for the mint's token endpoint. It says whose key it was and what was proven; whether that
//! key is the token's, and whether the proof is new, is for the caller to ask. This is the one place where a
//! key that came with a text is used, and it is believed to be nothing but itself.

use crate::claims::Claims;
use crate::compact::{Header, KnownHeaders, Parsed, Scratch};
use crate::encode;
use crate::json::{self, Value};
use crate::jwk::{Jwk, Purpose};
use crate::keys;
use crate::leaf::sha256;
use crate::policy::same_media_type;
use crate::refusal::{Code, Refusal};
use crate::strings::Str;
use crate::time::Moment;
use crate::uri::HttpUri;

/// The `typ` of a proof (RFC 9449 §4.2).
pub const PROOF_TYP: &str = "dpop+jwt";

/// How old a proof may be, beside the leeway between the clocks.
// token.md §10.6
pub const PROOF_AGE_SECONDS_MAX: u64 = 60;

/// Longest `jti` of a proof: it has to be remembered.
pub const PROOF_ID_BYTES_MAX: usize = 256;

/// What a proof has to be about.
#[derive(Debug, Clone, Copy)]
pub struct Demand<'a> {
    /// The method of the request that it came with.
    pub method: &'a str,
    /// The address of that request; `None` where it has none that a proof could name.
    pub uri: Option<&'a HttpUri>,
    /// The access token that it came with, as it stands in the `Authorization` header; `None` where a token
    /// is only asked for.
    pub token: Option<&'a str>,
    /// Tolerance between the clocks of the holder and of whoever checks.
    pub leeway_seconds: u64,
}

/// A proof that holds. Only [`verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    thumbprint: [u8; 32],
    id: String,
    issued_at: u64,
}

impl Proof {
    /// The RFC 7638 thumbprint of the key that made it: what `cnf.jkt` of its token must be.
    pub fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// Its `jti`, unique among the proofs of its key.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it was made, rounded down to a second.
    pub fn issued_at(&self) -> u64 {
        self.issued_at
    }
}

/// Checks a proof whole, at the Unix time `now`.
///
/// ```
/// use farside_verify::{Code, dpop, uri::HttpUri};
/// let uri = HttpUri::read("https://wiki.example/page").unwrap();
/// let demand = dpop::Demand { method: "GET", uri: Some(&uri), token: Some("a.b.c"), leeway_seconds: 60 };
/// assert_eq!(dpop::verify("no proof", &demand, 1_800_000_000).unwrap_err().code(),
/// Code::HolderProofInvalid);
/// ```
///
/// # Errors
/// `holder_proof_invalid`, with what is wrong about it.
// token.md §10
pub fn verify(proof: &str, demand: &Demand<'_>, now: u64) -> Result<Proof, Refusal> {
    let (mut scratch, known) = (Scratch::new(), KnownHeaders::default());
    let parsed = Parsed::new(proof.as_bytes(), &known, &mut scratch).map_err(of_proof)?;
    let thumbprint = signed_by(&parsed)?;
    let claims = Claims::read(parsed.payload).map_err(of_proof)?;
    let (issued, id) = issued_now(&claims, demand, now)?;
    about_this_request(&claims, demand)?;
    Ok(Proof { thumbprint, id, issued_at: issued.seconds_floor() })
}

/// The thumbprint of the key in the header, once the signature has proven to be that key's.
fn signed_by(parsed: &Parsed<'_>) -> Result<[u8; 32], Refusal> {
    let Header { algorithm, typ, jwk, .. } = &parsed.header;
    // token.md §10.2
    if !typ.is_some_and(|typ| same_media_type(PROOF_TYP, &typ.decoded())) {
        return Err(wrong("its `typ` is not dpop+jwt"));
    }
    // token.md §10.3
    let jwk = Jwk::of(jwk.ok_or_else(|| wrong("its header has no `jwk`"))?);
    if jwk.has_private_members() {
        return Err(wrong("its `jwk` holds a private or symmetric key"));
    }
    let unusable = |reason| wrong(format!("its `jwk` is not usable: {reason}"));
    let material = jwk.material_for(*algorithm).map_err(unusable)?;
    if material.purpose != Purpose::AnyToken || !material.algorithm.answers_to(*algorithm) {
        return Err(wrong("its `alg` or use is not that of its key"));
    }
    let signed = keys::signed(&material.parsed, parsed.signing_input, *algorithm, parsed.signature);
    signed.ok_or_else(|| wrong("its signature does not fit the key in it"))?;
    let input = jwk.thumbprint_input().map_err(unusable)?;
    Ok(sha256(&[input.as_bytes()]))
}

// token.md §10.5, §10.6
fn issued_now(claims: &Claims, demand: &Demand<'_>, now: u64) -> Result<(Moment, String), Refusal> {
    let id = claims.token_id().filter(|id| !id.is_empty()).ok_or_else(|| wrong("it has no `jti`"))?;
    if id.len() > PROOF_ID_BYTES_MAX {
        return Err(wrong(format!("its `jti` is longer than {PROOF_ID_BYTES_MAX} bytes")));
    }
    let issued = claims.issued().ok_or_else(|| wrong("it has no `iat`"))?;
    let (now, leeway) = (i128::from(now), i128::from(demand.leeway_seconds));
    let oldest = now - leeway - i128::from(PROOF_AGE_SECONDS_MAX);
    if issued.is_after(now + leeway) || claims.valid_from().is_some_and(|from| from.is_after(now + leeway)) {
        return Err(out_of_time("made in the future", issued, now));
    }
    if issued.is_before(oldest) || claims.expires().is_some_and(|expires| !expires.is_after(now - leeway)) {
        return Err(out_of_time("too old", issued, now));
    }
    Ok((issued, id.to_owned()))
}

/// The claims that a proof has beyond those of any JWT.
#[derive(Default)]
struct About<'a> {
    method: Option<Str<'a>>,
    uri: Option<Str<'a>>,
    token_hash: Option<Str<'a>>,
    mistyped: bool,
}

// token.md §10.7, §10.8
fn about_this_request(claims: &Claims, demand: &Demand<'_>) -> Result<(), Refusal> {
    let mut about = About::default();
    let read = json::read_object(claims.json(), |name, value| {
        let slot = match &*name.decoded() {
            "htm" => &mut about.method,
            "htu" => &mut about.uri,
            "ath" => &mut about.token_hash,
            _ => return,
        };
        match value {
            Value::String(string) => *slot = Some(string),
            _ => about.mistyped = true,
        }
    });
    if read.is_err() || about.mistyped {
        return Err(wrong("`htm`, `htu` or `ath` is not a string"));
    }
    if !about.method.is_some_and(|method| method.is(demand.method)) {
        return Err(wrong("its `htm` is not the method of this request"));
    }
    let uri = about.uri.and_then(|uri| HttpUri::read(&uri.decoded()));
    if uri.is_none() || uri.as_ref() != demand.uri {
        return Err(wrong("its `htu` is not the address of this request"));
    }
    let Some(token) = demand.token else { return Ok(()) };
    let hash = encode::base64url(sha256(&[token.as_bytes()]));
    if !about.token_hash.is_some_and(|said| said.is(&hash)) {
        return Err(wrong("its `ath` is not the hash of the token that it came with"));
    }
    Ok(())
}

fn out_of_time(what: &str, issued: Moment, now: i128) -> Refusal {
    wrong(format!("it is {what}: `iat` {}, and the time here is {now}", issued.seconds_floor()))
}

fn wrong(what: impl Into<std::borrow::Cow<'static, str>>) -> Refusal {
    let what = what.into();
    Refusal::because(Code::HolderProofInvalid, format!("the DPoP proof does not hold: {what}"))
}

/// What is wrong with a proof as with any JWT, said of the proof.
fn of_proof(refusal: Refusal) -> Refusal {
    wrong(format!("{}: {}", refusal.code(), refusal.detail()))
}
