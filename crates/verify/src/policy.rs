//! What a verifier demands of tokens beyond a good signature. Whatever is not set is not demanded.

use crate::algorithm::Algorithm;

/// Default tolerance between the clocks of issuer and verifier.
pub const LEEWAY_SECONDS_DEFAULT: u64 = 60;

/// Default cap on a token's lifetime.
pub const LIFETIME_SECONDS_MAX_DEFAULT: u64 = 24 * 60 * 60;

/// The type of OAuth access tokens (RFC 9068 §2.1). Where it is demanded, so are that RFC's claims.
pub const ACCESS_TOKEN_TYP: &str = "at+jwt";

/// The type of other tokens (RFC 7519 §5.1).
pub const PLAIN_TYP: &str = "JWT";

/// The demands of one verifier.
///
/// ```
/// use farside_verify::Policy;
/// let lean = Policy::undemanding().issuer("https://gate.example").audiences(["db"]).typ("JWT");
/// let full = Policy::access_token("https://gate.example", ["db"]);
/// # let _ = (lean, full);
/// ```
// token.md §6
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub(crate) issuer: Option<String>,
    pub(crate) audiences: Option<Vec<String>>,
    pub(crate) types: Option<Vec<String>>,
    pub(crate) algorithms: Option<Vec<Algorithm>>,
    pub(crate) leeway_seconds: u64,
    pub(crate) lifetime_seconds_max: Option<u64>,
}

impl Policy {
    /// Demands nothing but a good signature by a key of the set and, as always, that `exp`, `nbf` and
    /// `iat` are kept where they are present, without leeway.
    pub fn undemanding() -> Self {
        Policy::default()
    }

    /// Demands an OAuth access token with all that RFC 9068 requires, for one of `audiences`, with the
    /// default leeway and lifetime cap.
    pub fn access_token<A: Into<String>>(
        issuer: impl Into<String>,
        audiences: impl IntoIterator<Item = A>,
    ) -> Self {
        Policy::undemanding()
            .issuer(issuer)
            .audiences(audiences)
            .typ(ACCESS_TOKEN_TYP)
            .leeway_seconds(LEEWAY_SECONDS_DEFAULT)
            .lifetime_seconds_max(LIFETIME_SECONDS_MAX_DEFAULT)
    }

    /// Demands this `iss`, to the byte.
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Demands an `aud` that names one of these, to the byte. None given means that none will do.
    pub fn audiences<A: Into<String>>(mut self, audiences: impl IntoIterator<Item = A>) -> Self {
        self.audiences = Some(audiences.into_iter().map(Into::into).collect());
        self
    }

    /// Demands this `typ`, compared as a media type. `at+jwt` brings RFC 9068's claims with it.
    pub fn typ(self, typ: impl Into<String>) -> Self {
        self.types([typ])
    }

    /// Demands one of these `typ`s.
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = Some(types.into_iter().map(Into::into).collect());
        self
    }

    /// Allows these algorithms only.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(algorithms.into_iter().collect());
        self
    }

    /// [`algorithms`](Self::algorithms) by name; names that are unknown here allow nothing.
    pub fn algorithm_names<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.algorithms(names.into_iter().filter_map(Algorithm::from_name))
    }

    /// Tolerates clocks that differ by this much.
    pub fn leeway_seconds(mut self, seconds: u64) -> Self {
        self.leeway_seconds = seconds;
        self
    }

    /// Demands `iat` and `exp`, no further apart than this.
    pub fn lifetime_seconds_max(mut self, seconds: u64) -> Self {
        self.lifetime_seconds_max = Some(seconds);
        self
    }
}

/// Whether two media types are the same: case does not matter, nor whether `application/` is written
/// where no other slash is (RFC 7515 §4.1.9).
// token.md §6.3
pub(crate) fn same_media_type(one: &str, other: &str) -> bool {
    one == other || bare_media_type(one).eq_ignore_ascii_case(bare_media_type(other))
}

fn bare_media_type(typ: &str) -> &str {
    const PREFIX: &str = "application/";
    match typ.split_at_checked(PREFIX.len()) {
        Some((prefix, rest)) if prefix.eq_ignore_ascii_case(PREFIX) && !rest.contains('/') => rest,
        _ => typ,
    }
}
