//! A token's claims (RFC 7519 §4), read once to their types from exactly the bytes that were signed.
//!
//! A claim of the wrong type is a refusal, never an absence; a name with control or direction-changing
//! characters in it is none. Made only by `Claims::read`, which the verifier calls after the signature.

use std::borrow::Cow;
use std::fmt;

use crate::binding::{Confirmation, StatusRef, confirmation, status, whole};
use crate::json::{self, Checked, Value};
use crate::refusal::{Code, Refusal};
use crate::strings::Str;
use crate::time::Moment;

/// The claims of a token. Values that are not there are `None` or empty.
#[derive(Clone, PartialEq, Eq)]
pub struct Claims {
    json: String,
    /// Naming claims that are spelled with escapes, decoded; most tokens have none.
    decoded: String,
    issuer: Option<Text>,
    subject: Option<Text>,
    token_id: Option<Text>,
    client_id: Option<Text>,
    scope: Option<Text>,
    audience: Audience,
    roles: Option<Span>,
    groups: Option<Span>,
    entitlements: Option<Span>,
    expires: Option<Moment>,
    not_before: Option<Moment>,
    issued: Option<Moment>,
    floor: Option<u64>,
    actor: Option<Span>,
    confirmation: Option<Box<Confirmation>>,
    status: Option<Box<StatusRef>>,
}

/// A part of the payload's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// Payloads are far shorter than 2^32 bytes, so nothing is cut off.
    fn new(start: usize, end: usize) -> Span {
        Span { start: start as u32, end: end as u32 }
    }

    /// Where `part`, a slice of `text`, lies in it.
    fn within(text: &str, part: &str) -> Span {
        let start = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        Span::new(start, start + part.len())
    }

    fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or_default()
    }
}

/// A string, either as it stands in the payload or among the decoded ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Text {
    Plain(Span),
    Decoded(Span),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Audience {
    Absent,
    One(Text),
    Several(Span),
}

impl Claims {
    /// Reads the payload of a token whose signature has been checked.
    // token.md §5
    pub(crate) fn read(payload: Vec<u8>) -> Result<Self, Refusal> {
        let json = String::from_utf8(payload).map_err(|_| invalid("the payload is not UTF-8"))?;
        let mut members = Members::default();
        json::read_object(&json, |name, value| members.take(name, value))
            .map_err(|fault| invalid(format!("the payload {fault}")))?;
        let mut decoded = String::new();
        let mut names = Names { json: &json, decoded: &mut decoded };
        Ok(Claims {
            issuer: names.text(members.iss, "iss")?,
            subject: names.text(members.sub, "sub")?,
            token_id: names.text(members.jti, "jti")?,
            client_id: names.text(members.client_id, "client_id")?,
            scope: names.text(members.scope, "scope")?,
            audience: names.audience(members.aud)?,
            roles: names.list(members.roles, "roles")?,
            groups: names.list(members.groups, "groups")?,
            entitlements: names.list(members.entitlements, "entitlements")?,
            expires: moment(members.exp, "exp")?,
            not_before: moment(members.nbf, "nbf")?,
            issued: moment(members.iat, "iat")?,
            floor: floor(members.flr)?,
            actor: names.actor(members.act)?,
            confirmation: confirmation(members.cnf)?.map(Box::new),
            status: status(members.status)?.map(Box::new),
            decoded,
            json,
        })
    }

    /// The payload, exactly as it was signed.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// `iss`
    pub fn issuer(&self) -> Option<&str> {
        self.text(self.issuer)
    }

    /// `sub`
    pub fn subject(&self) -> Option<&str> {
        self.text(self.subject)
    }

    /// `aud`, whether it is one string or several.
    pub fn audiences(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let (one, several) = match self.audience {
            Audience::Absent => (None, None),
            Audience::One(text) => (self.text(Some(text)).map(Cow::Borrowed), None),
            Audience::Several(span) => (None, Some(span)),
        };
        one.into_iter().chain(self.list(several))
    }

    /// `exp` in whole Unix seconds, rounded down.
    pub fn expires_at(&self) -> Option<u64> {
        self.expires.map(Moment::seconds_floor)
    }

    /// `iat` in whole Unix seconds, rounded down.
    pub fn issued_at(&self) -> Option<u64> {
        self.issued.map(Moment::seconds_floor)
    }

    /// `nbf` in whole Unix seconds, rounded up.
    pub fn not_before(&self) -> Option<u64> {
        self.not_before.map(Moment::seconds_ceil)
    }

    /// `jti`
    pub fn token_id(&self) -> Option<&str> {
        self.text(self.token_id)
    }

    /// `client_id`
    pub fn client_id(&self) -> Option<&str> {
        self.text(self.client_id)
    }

    /// `roles`
    pub fn roles(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.list(self.roles)
    }

    /// `groups`
    pub fn groups(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.list(self.groups)
    }

    /// `entitlements`
    pub fn entitlements(&self) -> impl Iterator<Item = Cow<'_, str>> {
        self.list(self.entitlements)
    }

    /// `scope`: names with spaces between them.
    pub fn scope(&self) -> Option<&str> {
        self.text(self.scope)
    }

    /// `flr`: the bundle sequence number that a gate must have applied.
    pub fn floor(&self) -> Option<u64> {
        self.floor
    }

    /// `cnf`: where it is `Some`, the token must not be accepted from a mere bearer.
    pub fn confirmation(&self) -> Option<&Confirmation> {
        self.confirmation.as_deref()
    }

    /// `act` as JSON: who acts for the subject (RFC 8693 §4.1).
    pub fn actor(&self) -> Option<&str> {
        self.actor.map(|span| self.span(span))
    }

    /// `status.status_list`
    pub fn status(&self) -> Option<&StatusRef> {
        self.status.as_deref()
    }

    /// Whole seconds from `iat` to `exp`, rounded up; `None` where one of them is missing.
    pub fn lifetime_seconds(&self) -> Option<u64> {
        Some(self.expires?.seconds_ceil().saturating_sub(self.issued?.seconds_floor()))
    }

    /// The JSON text of any claim.
    pub fn get(&self, name: &str) -> Option<&str> {
        let mut found = None;
        let checked = Checked::again(self.json.trim_ascii());
        checked.members(|member, value| {
            if member.is(name) {
                found = Some(value);
            }
        });
        Some(match found? {
            Value::Null => "null",
            Value::True => "true",
            Value::False => "false",
            Value::Number(text) => text,
            Value::String(string) => {
                let Span { start, end } = Span::within(&self.json, string.raw());
                self.span(Span { start: start - 1, end: end + 1 }) // with its quotes
            }
            Value::Array(checked) | Value::Object(checked) => checked.text(),
        })
    }

    pub(crate) fn expires(&self) -> Option<Moment> {
        self.expires
    }

    pub(crate) fn issued(&self) -> Option<Moment> {
        self.issued
    }

    pub(crate) fn valid_from(&self) -> Option<Moment> {
        self.not_before
    }

    fn text(&self, text: Option<Text>) -> Option<&str> {
        match text? {
            Text::Plain(span) => Some(self.span(span)),
            Text::Decoded(span) => Some(span.of(&self.decoded)),
        }
    }

    fn list(&self, span: Option<Span>) -> impl Iterator<Item = Cow<'_, str>> {
        span.into_iter().flat_map(|span| json::strings(Checked::again(self.span(span))))
    }

    fn span(&self, span: Span) -> &str {
        span.of(&self.json)
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims").field("bytes", &self.json.len()).finish_non_exhaustive()
    }
}

/// The members of the payload that mean something here, not yet of any type.
#[derive(Default)]
struct Members<'a> {
    iss: Option<Value<'a>>,
    sub: Option<Value<'a>>,
    aud: Option<Value<'a>>,
    exp: Option<Value<'a>>,
    nbf: Option<Value<'a>>,
    iat: Option<Value<'a>>,
    jti: Option<Value<'a>>,
    client_id: Option<Value<'a>>,
    scope: Option<Value<'a>>,
    roles: Option<Value<'a>>,
    groups: Option<Value<'a>>,
    entitlements: Option<Value<'a>>,
    act: Option<Value<'a>>,
    cnf: Option<Value<'a>>,
    flr: Option<Value<'a>>,
    status: Option<Value<'a>>,
}

impl<'a> Members<'a> {
    fn take(&mut self, name: Str<'a>, value: Value<'a>) {
        let slot = match &*name.decoded() {
            "iss" => &mut self.iss,
            "sub" => &mut self.sub,
            "aud" => &mut self.aud,
            "exp" => &mut self.exp,
            "nbf" => &mut self.nbf,
            "iat" => &mut self.iat,
            "jti" => &mut self.jti,
            "client_id" => &mut self.client_id,
            "scope" => &mut self.scope,
            "roles" => &mut self.roles,
            "groups" => &mut self.groups,
            "entitlements" => &mut self.entitlements,
            "act" => &mut self.act,
            "cnf" => &mut self.cnf,
            "flr" => &mut self.flr,
            "status" => &mut self.status,
            _ => return,
        };
        *slot = Some(value);
    }
}

/// Reads the claims that name someone or something.
struct Names<'a> {
    json: &'a str,
    decoded: &'a mut String,
}

impl Names<'_> {
    fn text(&mut self, value: Option<Value<'_>>, claim: &str) -> Result<Option<Text>, Refusal> {
        match value {
            None => Ok(None),
            Some(Value::String(string)) => self.keep(string, claim).map(Some),
            Some(_) => Err(mistyped(claim, "a string")),
        }
    }

    // RFC 7519 §4.1.3: one string or an array of strings.
    fn audience(&mut self, value: Option<Value<'_>>) -> Result<Audience, Refusal> {
        match value {
            None => Ok(Audience::Absent),
            Some(Value::String(string)) => self.keep(string, "aud").map(Audience::One),
            Some(Value::Array(array)) => {
                names_only(array, "aud")?;
                Ok(Audience::Several(self.place(array.text())))
            }
            Some(_) => Err(mistyped("aud", "a string or an array of strings")),
        }
    }

    // RFC 9068 §2.2.3.1
    fn list(&self, value: Option<Value<'_>>, claim: &str) -> Result<Option<Span>, Refusal> {
        match value {
            None => Ok(None),
            Some(Value::Array(array)) => {
                names_only(array, claim)?;
                Ok(Some(self.place(array.text())))
            }
            Some(_) => Err(mistyped(claim, "an array of strings")),
        }
    }

    // RFC 8693 §4.1: an object, with the actor before this one as its own `act`.
    fn actor(&self, value: Option<Value<'_>>) -> Result<Option<Span>, Refusal> {
        let Some(value) = value else { return Ok(None) };
        let Value::Object(actor) = value else { return Err(mistyped("act", "an object")) };
        let mut next = Some(actor);
        while let Some(actor) = next.take() {
            let mut outcome = Ok(());
            actor.members(|name, value| match (&*name.decoded(), value) {
                ("act", Value::Object(earlier)) => next = Some(earlier),
                ("act", _) => outcome = Err(mistyped("act", "an object")),
                ("sub" | "iss" | "client_id", Value::String(string)) => {
                    outcome = outcome.clone().and(name_only(string, "act"));
                }
                ("sub" | "iss" | "client_id", _) => outcome = Err(mistyped("act", "named by strings")),
                _ => (),
            });
            outcome?;
        }
        Ok(Some(self.place(actor.text())))
    }

    fn keep(&mut self, string: Str<'_>, claim: &str) -> Result<Text, Refusal> {
        name_only(string, claim)?;
        if !string.is_escaped() {
            return Ok(Text::Plain(self.place(string.raw())));
        }
        let start = self.decoded.len();
        self.decoded.extend(string.chars());
        Ok(Text::Decoded(Span::new(start, self.decoded.len())))
    }

    /// Where `part`, a slice of the payload, lies in it.
    fn place(&self, part: &str) -> Span {
        Span::within(self.json, part)
    }
}

fn names_only(array: Checked<'_>, claim: &str) -> Result<(), Refusal> {
    if array.is_printable_strings() {
        return Ok(());
    }
    array.elements().try_for_each(|value| match value {
        Value::String(string) => name_only(string, claim),
        _ => Err(mistyped(claim, "made of strings")),
    })
}

// token.md §5.4
fn name_only(string: Str<'_>, claim: &str) -> Result<(), Refusal> {
    if string.is_printable() || !string.chars().any(is_unfit_for_names) {
        Ok(())
    } else {
        Err(invalid(format!("`{claim}` holds a control, line-breaking or direction-changing character")))
    }
}

/// Controls, line and paragraph separators, and the marks, embeddings, overrides and isolates of the
/// Unicode bidirectional algorithm (UAX #9 §2).
fn is_unfit_for_names(c: char) -> bool {
    let breaks_or_turns = |c| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}');
    c.is_control() || breaks_or_turns(c) || ('\u{2066}'..='\u{2069}').contains(&c)
}

// token.md §5.3
fn moment(value: Option<Value<'_>>, claim: &str) -> Result<Option<Moment>, Refusal> {
    match value {
        None => Ok(None),
        Some(Value::Number(number)) => match Moment::from_number(number) {
            Some(moment) => Ok(Some(moment)),
            None => Err(invalid(format!("`{claim}` lies outside the years 1 to 9999"))),
        },
        Some(_) => Err(mistyped(claim, "a number of seconds")),
    }
}

// token.md §5.5
fn floor(value: Option<Value<'_>>) -> Result<Option<u64>, Refusal> {
    match value {
        None => Ok(None),
        Some(value) => whole(value).map(Some).ok_or_else(|| mistyped("flr", "a whole number")),
    }
}

#[cold]
pub(crate) fn mistyped(claim: &str, expected: &str) -> Refusal {
    invalid(format!("`{claim}` is not {expected}"))
}

#[cold]
fn invalid(detail: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal::because(Code::ClaimsInvalid, detail)
}
