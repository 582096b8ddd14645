//! What a token hangs on besides its own claims: a key of the holder's (`cnf`) and a status list (`status`).
//!
//! Values of another form than their RFCs give them are refused, never taken as absent.

use crate::claims::mistyped;
use crate::encode;
use crate::json::Value;
use crate::refusal::Refusal;

/// SHA-256 thumbprints in `cnf` are this long.
const THUMBPRINT_BYTES: usize = 32;

/// What a token is bound to (`cnf`, RFC 7800). Each is the SHA-256 of something the holder must prove
/// to hold; where all are `None`, the token is bound in a way that is not known here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// `jkt`: the RFC 7638 thumbprint of a DPoP key (RFC 9449 §6.1).
    pub jkt: Option<[u8; 32]>,
    /// `x5t#S256`: the thumbprint of a client certificate (RFC 8705 §3.1).
    pub x5t_s256: Option<[u8; 32]>,
    /// `ssh`: the SHA-256 fingerprint of an SSH public key, as OpenSSH prints it (token.md §5.6).
    pub ssh: Option<[u8; 32]>,
}

/// Where a token's status is kept (Token Status List, `status.status_list`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusRef {
    /// The status list token's address.
    pub uri: String,
    /// The token's place in the list.
    pub index: u64,
}

// token.md §5.6
pub(crate) fn confirmation(value: Option<Value<'_>>) -> Result<Option<Confirmation>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    let Value::Object(object) = value else { return Err(mistyped("cnf", "an object")) };
    let (mut confirmation, mut fine) = (Confirmation::default(), true);
    object.members(|name, value| {
        let slot = match &*name.decoded() {
            "jkt" => &mut confirmation.jkt,
            "x5t#S256" => &mut confirmation.x5t_s256,
            "ssh" => &mut confirmation.ssh,
            _ => return,
        };
        *slot = thumbprint(value);
        fine &= slot.is_some();
    });
    if fine { Ok(Some(confirmation)) } else { Err(mistyped("cnf", "made of SHA-256 thumbprints")) }
}

fn thumbprint(value: Value<'_>) -> Option<[u8; THUMBPRINT_BYTES]> {
    match value {
        Value::String(string) => encode::base64url_decode(string.decoded().as_bytes())?.try_into().ok(),
        _ => None,
    }
}

// Token Status List §6.1; other mechanisms than lists are not read.
pub(crate) fn status(value: Option<Value<'_>>) -> Result<Option<StatusRef>, Refusal> {
    let Some(value) = value else { return Ok(None) };
    let Value::Object(object) = value else { return Err(mistyped("status", "an object")) };
    let mut list = None;
    object.members(|name, value| {
        if name.is("status_list") {
            list = Some(value);
        }
    });
    let Some(list) = list else { return Ok(None) };
    let fault = || mistyped("status", "a status list's `uri` and `idx`");
    let Value::Object(list) = list else { return Err(fault()) };
    let (mut uri, mut index) = (None, None);
    list.members(|name, value| match (&*name.decoded(), value) {
        ("uri", Value::String(string)) => uri = Some(string.decoded().into_owned()),
        ("idx", value) => index = whole(value),
        _ => (),
    });
    match (uri, index) {
        (Some(uri), Some(index)) => Ok(Some(StatusRef { uri, index })),
        _ => Err(fault()),
    }
}

/// A number without sign, fraction or exponent.
pub(crate) fn whole(value: Value<'_>) -> Option<u64> {
    match value {
        Value::Number(number) => number.parse().ok(),
        _ => None,
    }
}
