//! What a token is shown for, and with what proof: all that a judgement rests on beside the token, this
//! gate's trust and the time.

use farside_crossing::Action;

use super::{Deed, Requested};

/// What a token is shown for: an audience, and there an action. Whoever leaves out the action is held to the
/// strictest freshness that the audience knows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The audience.
    pub audience: Option<&'a str>,
    /// What is to be done there.
    pub action: Option<Action>,
    /// The request that the proxy received, where the gate is told. `None` is never taken for "any".
    pub request: Option<&'a Requested<'a>>,
    /// How the token was shown, and with what proof of whose it is.
    pub holder: Holder<'a>,
    /// What the site's Cedar policies are asked about.
    pub deed: Deed<'a>,
}

/// What came with a token to show that it is its holder's. Nothing here has been checked.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Holder<'a> {
    /// Under which scheme the token was shown.
    pub shown: ShownAs<'a>,
    /// SHA-256 of the certificate whose key the client has proven to hold, to this gate's own TLS or to a
    /// proxy that the gate's configuration names.
    pub certificate_sha256: Option<[u8; 32]>,
}

/// The scheme of the `Authorization` header that a token came in.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum ShownAs<'a> {
    /// `Bearer` (RFC 6750).
    #[default]
    Bearer,
    /// `DPoP` (RFC 9449 §7.1), with the proof from the header of that name.
    Dpop(&'a str),
}

impl<'a> From<&'a str> for Wanted<'a> {
    fn from(audience: &'a str) -> Self {
        Some(audience).into()
    }
}

impl<'a> From<Option<&'a str>> for Wanted<'a> {
    fn from(audience: Option<&'a str>) -> Self {
        Wanted { audience, ..Wanted::default() }
    }
}

/// [`Wanted`], kept for a thread that outlives the request's borrow.
pub(crate) struct Kept {
    audience: Option<String>,
    action: Option<Action>,
    request: Option<Requested<'static>>,
    proof: Option<String>,
    certificate_sha256: Option<[u8; 32]>,
    deed: Deed<'static>,
    account: Option<String>,
}

impl Kept {
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            audience: self.audience.as_deref(),
            action: self.action,
            request: self.request.as_ref(),
            holder: Holder {
                shown: self.proof.as_deref().map_or(ShownAs::Bearer, ShownAs::Dpop),
                certificate_sha256: self.certificate_sha256,
            },
            deed: self.account.as_deref().map_or(self.deed, |account| Deed::Login { account }),
        }
    }
}

impl From<Wanted<'_>> for Kept {
    fn from(wanted: Wanted<'_>) -> Self {
        let proof = match wanted.holder.shown {
            ShownAs::Bearer => None,
            ShownAs::Dpop(proof) => Some(proof.to_owned()),
        };
        let (deed, account) = match wanted.deed {
            Deed::Request => (Deed::Request, None),
            Deed::Introspect => (Deed::Introspect, None),
            Deed::Authenticate => (Deed::Authenticate, None),
            Deed::Collect => (Deed::Collect, None),
            Deed::Login { account } => (Deed::Request, Some(account.to_owned())),
        };
        Kept {
            audience: wanted.audience.map(str::to_owned),
            action: wanted.action,
            request: wanted.request.map(Requested::to_static),
            proof,
            certificate_sha256: wanted.holder.certificate_sha256,
            deed,
            account,
        }
    }
}
