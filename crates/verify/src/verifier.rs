//! One call from a token's text to claims that may be believed: the only place where `Verified` is made.
//!
//! ```text
//!   text ─▶ Parsed ─▶ Authentic ─▶ Verified<Claims>
//!        strict    key, signature   types, times, policy
//! ```
//! Each arrow may refuse; nothing after an arrow is looked at before it has been passed. Only what the clock
//! decides can change afterwards, so whoever keeps a `Verified` asks it again: [`Verified::still`].

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::algorithm::Algorithm;
use crate::claims::Claims;
use crate::compact::{Header, Parsed, Scratch};
use crate::jwk::Purpose;
use crate::keys::{Key, KeySet, Signed};
use crate::leaf;
use crate::policy::{ACCESS_TOKEN_TYP, PLAIN_TYP, Policy, same_media_type};
use crate::refusal::{Code, Refusal};
use crate::strings::Str;
use crate::time::Moment;

/// Keys and demands: all that is needed to judge a token but the time.
#[derive(Debug)]
pub struct Verifier {
    keys: KeySet,
    policy: Policy,
}

/// Something that a good signature covers and every demand was made of. Only this file can make one.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified<T> {
    content: T,
    key_id: Arc<str>,
    algorithm: Algorithm,
    typ: Option<Cow<'static, str>>,
    signing_input: Box<[u8]>,
    /// Its SHA-256, where the signature's check needed it.
    sha256: Option<[u8; leaf::HASH_BYTES]>,
    /// Until when its key is accepted.
    accept_until: Option<u64>,
    /// The tolerance of whoever verified it.
    leeway_seconds: u64,
}

/// The bytes that a signature covers, of whatever kind.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(Vec<u8>);

/// A token whose signature holds; its claims are still unread.
struct Authentic<'t> {
    key: &'t Key,
    header: Header<'t>,
    signing_input: &'t [u8],
    signed: Signed,
    payload: Vec<u8>,
}

impl Verifier {
    /// A verifier of tokens that one of `keys` signed and that meet `policy`.
    pub fn new(keys: KeySet, policy: Policy) -> Self {
        Verifier { keys, policy }
    }

    /// The keys.
    pub fn keys(&self) -> &KeySet {
        &self.keys
    }

    /// The demands.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Checks a token whole at the Unix time `now`: form, key, signature, claims, times, policy.
    ///
    /// ```
    /// use farside_verify::{Code, KeySet, Policy, Verifier};
    /// let keys = KeySet::from_jwks(br#"{"keys":[]}"#).unwrap();
    /// let verifier = Verifier::new(keys, Policy::access_token("https://gate.example", ["db"]));
    /// let refusal = verifier.verify("no token", 1_800_000_000).unwrap_err();
    /// assert_eq!(refusal.code(), Code::Malformed);
    /// ```
    pub fn verify(&self, token: impl AsRef<[u8]>, now: u64) -> Result<Verified<Claims>, Refusal> {
        let mut scratch = Scratch::new();
        let mut authentic = self.authenticate(token.as_ref(), &mut scratch)?;
        let claims = Claims::read(std::mem::take(&mut authentic.payload))?;
        let judge = Judge { policy: &self.policy, claims: &claims, now };
        judge.typ(&authentic.header)?;
        judge.key(authentic.key, &authentic.header)?;
        judge.clock().times()?;
        judge.lifetime()?;
        judge.parties()?;
        Ok(authentic.into_verified(claims, &self.policy))
    }

    /// Checks the signature alone (RFC 7515 §5.2), over a payload of any kind.
    /// Of the policy only the algorithms matter; neither times nor claims are looked at.
    pub fn verify_jws(&self, token: impl AsRef<[u8]>) -> Result<Verified<Payload>, Refusal> {
        let mut scratch = Scratch::new();
        let mut authentic = self.authenticate(token.as_ref(), &mut scratch)?;
        let payload = Payload(std::mem::take(&mut authentic.payload));
        Ok(authentic.into_verified(payload, &self.policy))
    }

    fn authenticate<'t>(
        &'t self,
        token: &'t [u8],
        scratch: &'t mut Scratch,
    ) -> Result<Authentic<'t>, Refusal> {
        let Parsed { header, signing_input, signature, payload } =
            Parsed::new(token, self.keys.known_headers(), scratch)?;
        if self.policy.algorithms.as_ref().is_some_and(|allowed| !allowed.contains(&header.algorithm)) {
            let detail = format!("{} is not among the allowed algorithms", header.algorithm);
            return Err(Refusal::because(Code::AlgNotAllowed, detail));
        }
        let key = self.keys.select(&header)?;
        let signed = key.signed(signing_input, header.algorithm, signature);
        let signed = signed.ok_or_else(|| Refusal::because(Code::SignatureInvalid, ""))?;
        Ok(Authentic { key, header, signing_input, signed, payload })
    }
}

impl Authentic<'_> {
    #[inline]
    fn into_verified<T>(self, content: T, policy: &Policy) -> Verified<T> {
        Verified {
            content,
            key_id: Arc::clone(&self.key.id),
            algorithm: self.header.algorithm,
            typ: self.header.typ.map(kept_typ),
            signing_input: self.signing_input.into(),
            sha256: self.signed.sha256,
            accept_until: self.key.calendar.accept_until,
            leeway_seconds: policy.leeway_seconds,
        }
    }
}

/// The usual spellings cost no allocation.
fn kept_typ(typ: Str<'_>) -> Cow<'static, str> {
    const USUAL: [&str; 4] = [ACCESS_TOKEN_TYP, PLAIN_TYP, "jwt", "application/at+jwt"];
    match USUAL.iter().find(|usual| typ.is(usual)) {
        Some(usual) => Cow::Borrowed(usual),
        None => Cow::Owned(typ.decoded().into_owned()),
    }
}

/// The demands on claims, one method a kind.
struct Judge<'a> {
    policy: &'a Policy,
    claims: &'a Claims,
    now: u64,
}

impl Judge<'_> {
    // token.md §6.3
    fn typ(&self, header: &Header<'_>) -> Result<(), Refusal> {
        let Some(demanded) = &self.policy.types else { return Ok(()) };
        let typ = header.typ.map(Str::decoded);
        let met = typ.as_ref().and_then(|typ| demanded.iter().find(|one| same_media_type(one, typ)));
        match met {
            Some(met) if same_media_type(met, ACCESS_TOKEN_TYP) => self.access_token_complete(),
            Some(_) => Ok(()),
            None => {
                let found = if typ.is_some() { "`typ` is another" } else { "`typ` is missing" };
                Err(Refusal::because(
                    Code::TypMismatch,
                    format!("{found}; demanded: {}", demanded.join(", ")),
                ))
            }
        }
    }

    // token.md §6.4, RFC 9068 §2.2: seven claims, and none of the names empty.
    fn access_token_complete(&self) -> Result<(), Refusal> {
        let claims = self.claims;
        let named = |name: Option<&str>| name.is_some_and(|name| !name.is_empty());
        let demanded = [
            ("iss", named(claims.issuer())),
            ("exp", claims.expires().is_some()),
            ("aud", claims.audiences().next().is_some()),
            ("sub", named(claims.subject())),
            ("client_id", named(claims.client_id())),
            ("iat", claims.issued().is_some()),
            ("jti", named(claims.token_id())),
        ];
        match demanded.iter().find(|(_, present)| !present) {
            Some((claim, _)) => Err(missing(claim, "RFC 9068 demands it of access tokens")),
            None => Ok(()),
        }
    }

    // token.md §4.6 and §4.7
    fn key(&self, key: &Key, header: &Header<'_>) -> Result<(), Refusal> {
        if key.purpose == Purpose::JwtSvid && !is_svid_typ(header) {
            let detail = "the key is for JWT-SVIDs, whose `typ` is JWT, JOSE or absent";
            return Err(Refusal::because(Code::TypMismatch, detail));
        }
        self.clock().key_accepted(&key.id, key.calendar.accept_until)?;
        let (from, until) = (key.calendar.sign_from, key.calendar.sign_until);
        if from.is_none() && until.is_none() {
            return Ok(());
        }
        let issued =
            self.claims.issued().ok_or_else(|| missing("iat", "the key signs in a certain period only"))?;
        let leeway = i128::from(self.policy.leeway_seconds);
        let early = from.is_some_and(|from| issued.is_before(i128::from(from) - leeway));
        let late = until.is_some_and(|until| issued.is_after(i128::from(until) + leeway));
        if early || late {
            Err(retired(&key.id, "the token was signed outside its key's period"))
        } else {
            Ok(())
        }
    }

    fn clock(&self) -> Clock<'_> {
        Clock { claims: self.claims, leeway_seconds: self.policy.leeway_seconds, now: self.now }
    }

    // token.md §6.5
    fn lifetime(&self) -> Result<(), Refusal> {
        let Some(seconds_max) = self.policy.lifetime_seconds_max else { return Ok(()) };
        let why = "the lifetime is limited here";
        let expires = self.claims.expires().ok_or_else(|| missing("exp", why))?;
        let issued = self.claims.issued().ok_or_else(|| missing("iat", why))?;
        if expires.is_more_than_after(seconds_max, issued) {
            let seconds = self.claims.lifetime_seconds().unwrap_or(u64::MAX);
            let detail = format!("{seconds} s from `iat` to `exp`; at most {seconds_max} s are allowed");
            return Err(Refusal::because(Code::LifetimeTooLong, detail));
        }
        Ok(())
    }

    // token.md §6.1 and §6.2: compared to the byte.
    fn parties(&self) -> Result<(), Refusal> {
        if let Some(demanded) = &self.policy.issuer {
            let issuer = self.claims.issuer().ok_or_else(|| missing("iss", "an issuer is demanded"))?;
            if issuer != demanded {
                return Err(Refusal::because(Code::IssuerMismatch, format!("demanded: {demanded}")));
            }
        }
        if let Some(demanded) = &self.policy.audiences {
            let mut audiences = self.claims.audiences().peekable();
            if audiences.peek().is_none() {
                return Err(missing("aud", "an audience is demanded"));
            }
            if !audiences.any(|audience| demanded.iter().any(|one| *one == audience)) {
                let detail = format!("demanded: {}", demanded.join(" or "));
                return Err(Refusal::because(Code::AudienceMismatch, detail));
            }
        }
        Ok(())
    }
}

/// What the clock decides: all of a verification that may end otherwise the next time.
struct Clock<'a> {
    claims: &'a Claims,
    leeway_seconds: u64,
    now: u64,
}

impl Clock<'_> {
    // token.md §4.7
    fn key_accepted(&self, key_id: &str, accept_until: Option<u64>) -> Result<(), Refusal> {
        if accept_until.is_some_and(|until| self.now > until) {
            return Err(retired(key_id, "its tokens are accepted no more"));
        }
        Ok(())
    }

    // token.md §6.5
    fn times(&self) -> Result<(), Refusal> {
        let (now, leeway) = (i128::from(self.now), i128::from(self.leeway_seconds));
        let claims = self.claims;
        // RFC 7519 §4.1.4: the current time must be before `exp`.
        if let Some(expires) = claims.expires().filter(|expires| !expires.is_after(now - leeway)) {
            return Err(self.against(Code::Expired, "exp", expires));
        }
        // RFC 7519 §4.1.5: the current time must be `nbf` or after.
        if let Some(from) = claims.valid_from().filter(|from| from.is_after(now + leeway)) {
            return Err(self.against(Code::NotYetValid, "nbf", from));
        }
        if let Some(issued) = claims.issued().filter(|issued| issued.is_after(now + leeway)) {
            return Err(self.against(Code::IssuedInFuture, "iat", issued));
        }
        Ok(())
    }

    #[cold]
    fn against(&self, code: Code, claim: &str, moment: Moment) -> Refusal {
        let (at, now, leeway) = (moment.seconds_floor(), self.now, self.leeway_seconds);
        let (apart, side) = if at >= now { (at - now, "ahead of") } else { (now - at, "behind") };
        let detail = format!("`{claim}` {at} is {apart} s {side} the time {now}; leeway {leeway} s");
        Refusal::because(code, detail)
    }
}

// SPIFFE JWT-SVID §2.3
fn is_svid_typ(header: &Header<'_>) -> bool {
    header.typ.is_none_or(|typ| typ.is("JWT") || typ.is("JOSE"))
}

fn missing(claim: &str, why: &str) -> Refusal {
    Refusal::because(Code::ClaimMissing, format!("`{claim}`: {why}"))
}

fn retired(key_id: &str, why: &str) -> Refusal {
    let id = crate::refusal::shown_id(key_id);
    Refusal::because(Code::KeyRetired, format!("key {id}: {why}"))
}

impl<T> Verified<T> {
    /// The id of the key that signed: its `kid`, or one made of its thumbprint where the set gives none.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The algorithm, as the header names it.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The header's `typ`.
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// The text that was signed: the token without its signature.
    pub fn signing_input(&self) -> &[u8] {
        &self.signing_input
    }

    /// SHA-256 of the signing input: the token's one identity, which its log leaf commits to.
    /// Computed when asked, if the signature's check did not need it.
    // token.md §7.1
    pub fn signing_input_sha256(&self) -> [u8; leaf::HASH_BYTES] {
        self.sha256.unwrap_or_else(|| leaf::signing_input_sha256(&self.signing_input))
    }

    /// The content alone.
    pub fn into_inner(self) -> T {
        self.content
    }
}

impl Verified<Claims> {
    /// Judges again, at the Unix time `now`, all that the clock decides: whether the key is still accepted,
    /// `exp`, `nbf` and `iat`. Everything else was judged once and for all of the same bytes, so this says
    /// what [`Verifier::verify`] of the same verifier would say of the same token.
    ///
    /// ```
    /// # use farside_verify::{Claims, Code, Verified};
    /// fn admit_again(remembered: &Verified<Claims>, now: u64) -> bool {
    ///     remembered.still(now).is_ok()
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`Verifier::verify`], for the same reasons.
    // token.md §6.6
    pub fn still(&self, now: u64) -> Result<(), Refusal> {
        let clock = Clock { claims: &self.content, leeway_seconds: self.leeway_seconds, now };
        clock.key_accepted(&self.key_id, self.accept_until)?;
        clock.times()
    }

    /// With the token's identity worked out, so that whoever keeps this never hashes it again.
    #[must_use]
    pub fn identified(mut self) -> Self {
        self.sha256 = Some(self.signing_input_sha256());
        self
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.content
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<T> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("key_id", &self.key_id)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.0.len())
    }
}
