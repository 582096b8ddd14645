//! Every reason for which a token is refused, in one place: a stable code, a sentence and a cure.
//!
//! For callers, logs and people. Refuses to carry token text: details name claims, keys and numbers only.

use std::borrow::Cow;
use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident $name:literal, $sentence:literal, $cure:literal;)*) => {
        /// Why a token is refused. The names are stable: scripts and other programs rely on them.
        // token.md §9
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code { $(#[doc = $sentence] $(#[$doc])* $variant,)* }

        impl Code {
            /// Every code, in the order of `spec/token.md` §9.
            pub const ALL: &[Code] = &[$(Code::$variant,)*];

            /// The stable snake_case name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// What is wrong, in one sentence.
            pub const fn sentence(self) -> &'static str {
                match self { $(Code::$variant => $sentence,)* }
            }

            /// What to do about it, where the refusal itself says nothing more exact.
            pub const fn cure(self) -> &'static str {
                match self { $(Code::$variant => $cure,)* }
            }
        }
    };
}

codes! {
    TooLarge "too_large", "The token is larger than any token may be.",
        "Ask for fewer roles or groups, or issue the token with a smaller signature.";
    Malformed "malformed", "The token is not three canonical base64url segments joined by dots.",
        "Hand over the token exactly as it was issued, without spaces, quotes or padding.";
    HeaderInvalid "header_invalid", "The token's header is not what RFC 7515 allows.",
        "Have the token issued anew; its issuer writes headers that no verifier should take.";
    CritUnsupported "crit_unsupported", "The header demands an extension that is not understood here.",
        "Issue the token without `crit`: no extension is understood.";
    AlgNotAllowed "alg_not_allowed", "The header's algorithm is not one that is accepted here.",
        "Issue the token with an algorithm that the policy allows; `none` and HMAC never are.";
    AlgMismatch "alg_mismatch", "The header's algorithm is not the algorithm of the key.",
        "Issue the token with the algorithm that the key was published for.";
    KeysInvalid "keys_invalid", "The key set cannot be used.",
        "Publish a JWK Set after RFC 7517 in which every key id is used once.";
    KeyUnknown "key_unknown", "No key of this set has the id that the token names.",
        "Bring the key set up to date: import the newest bundle.";
    KeyAmbiguous "key_ambiguous", "The token names no key and more than one could have signed it.",
        "Issue tokens with a `kid` header.";
    KeyUnusable "key_unusable", "The key that the token names cannot be used to verify tokens.",
        "Publish a key that is strong enough, meant for signatures and complete.";
    KeyRetired "key_retired", "The key that the token names is outside its period.",
        "Ask for a new token; it will be signed with a current key.";
    SignatureInvalid "signature_invalid", "The signature does not fit the token and the key.",
        "Ask for a new token: this one was changed, cut short or forged.";
    ClaimsInvalid "claims_invalid", "The claims are not what RFC 7519 allows.",
        "Have the token issued anew with claims of the right types.";
    ClaimMissing "claim_missing", "A claim that is demanded here is missing.",
        "Issue the token with every claim that the verifier's policy demands.";
    TypMismatch "typ_mismatch", "The token is of another type than is demanded here.",
        "Use a token that was issued for this purpose.";
    IssuerMismatch "issuer_mismatch", "The token is from another issuer.",
        "Use a token of this site's issuer.";
    AudienceMismatch "audience_mismatch", "The token is for another audience.",
        "Ask for a token for this audience.";
    Expired "expired", "The token has expired.",
        "Ask for a new token; if it is new, compare the clocks of both sides.";
    NotYetValid "not_yet_valid", "The token is not valid yet.",
        "Wait until its time has come; if it should have, compare the clocks of both sides.";
    IssuedInFuture "issued_in_future", "The token was issued later than it is now.",
        "Compare the clocks of both sides.";
    LifetimeTooLong "lifetime_too_long", "The token lives longer than tokens may here.",
        "Ask for a token with a shorter lifetime.";
    MissingToken "missing_token", "The request carries no token.",
        "Send the token as `Authorization: Bearer …`.";
    FloorAhead "floor_ahead", "The token demands a newer bundle than this gate has applied.",
        "Import the missing bundles.";
    Revoked "revoked", "The token, its subject or its key has been revoked.",
        "Ask the realm's operators; if it was a mistake, a new token is needed.";
    Stale "stale", "What this gate knows is too old to admit anyone to this audience.",
        "Import the newest bundle.";
    ClockFault "clock_fault", "This machine's clock is behind a time that is proven to have passed.",
        "Set the clock of this machine.";
    HolderProofRequired "holder_proof_required",
        "The token is bound to a key, and no proof of that key came with it.",
        "Send the proof of possession that the token's `cnf` claim asks for.";
    HolderProofInvalid "holder_proof_invalid",
        "The proof that came with the token does not show that it is the sender's.",
        "Make a new proof with the key that the token is bound to, for this very request and token.";
    RequestUnknown "request_unknown",
        "What was requested decides here, and this gate is not told what it was.",
        "Name in `[proxy]` of gate.toml the headers in which the proxy says what it received.";
    NotLogged "not_logged", "The token is not proven to be in the issuance log.",
        "Import the bundle that carries the token's log leaf.";
    Replayed "replayed", "The token or its proof has been used before.",
        "Ask for a new token, or make a new proof for each request.";
    PolicyDenied "policy_denied", "The site's policy does not admit this holder here.",
        "Ask the site's operators for the role that this needs.";
    PolicyFailed "policy_failed", "A policy of the site cannot be evaluated for this request, so nobody is admitted by any.",
        "Have the site's operators mend the policy that is named.";
    RequestAmbiguous "request_ambiguous", "Two programs could read differently what this request is for.",
        "Ask for the plain path: no dot segments, empty segments, semicolons or encoded delimiters.";
    BreakglassOver "breakglass_over", "No glass is broken for this pass, or its time is over.",
        "Have another order drafted, signed and opened at this gate.";
    RequestInvalid "request_invalid", "The request itself is not understood.",
        "Ask in the form that is documented: nothing in a request is ignored.";
    ReplayFull "replay_full", "This gate cannot remember that one more token or proof has been used.",
        "Wait until some have expired, or raise `entries_max` in [replay] of gate.toml.";
    ReplayUnavailable "replay_unavailable", "What has been used before could not be looked up or written down.",
        "Mend the disk under the gate's replay folder, or the Redis that [replay] names.";
    JournalUnavailable "journal_unavailable", "The decision could not be written to the journal.",
        "Free space on the journal's disk or mend it, then restart the gate.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refused token: the code, what exactly was found, and what to do. It holds no token text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    detail: Cow<'static, str>,
    cure: Cow<'static, str>,
    policies: Option<Vec<String>>,
}

impl Refusal {
    /// A refusal with its own detail and cure. `detail` is one clause without a final stop, and must
    /// not quote the token; an empty `cure` stands for the code's own.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>, cure: impl Into<Cow<'static, str>>) -> Self {
        let (detail, mut cure) = (detail.into(), cure.into());
        if cure.is_empty() {
            cure = Cow::Borrowed(code.cure());
        }
        Refusal { code, detail, cure, policies: None }
    }

    /// A refusal with the code's own cure.
    pub(crate) fn because(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Refusal::new(code, detail, "")
    }

    /// The same refusal, as the word of these policies of the site.
    pub fn decided_by(mut self, policies: Vec<String>) -> Self {
        self.policies = Some(policies);
        self
    }

    /// The names of the policies that decided, where the site's policies were asked; none where no policy
    /// permits.
    pub fn policies(&self) -> Option<&[String]> {
        self.policies.as_deref()
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What is wrong, in one sentence that depends on the code alone.
    pub fn sentence(&self) -> &'static str {
        self.code.sentence()
    }

    /// What exactly was found.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What to do about it.
    pub fn cure(&self) -> &str {
        &self.cure
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.sentence())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

impl std::error::Error for Refusal {}

/// A key id as it may be shown: ids come from strangers, so odd characters and long ones are not repeated.
pub(crate) fn shown_id(id: &str) -> Cow<'_, str> {
    const SHOWN_BYTES_MAX: usize = 64;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/~@".contains(&b);
    if id.is_empty() {
        Cow::Borrowed("with the empty id")
    } else if id.len() <= SHOWN_BYTES_MAX && id.bytes().all(plain) {
        Cow::Borrowed(id)
    } else {
        Cow::Borrowed("with an unprintable id")
    }
}
