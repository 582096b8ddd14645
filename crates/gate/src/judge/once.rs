//! What may be seen once: a token where its audience says so, a proof of a holder's key always.
//!
//! ```text
//!   key = SHA-256("farside-once/1" ‖ kind ‖ length ‖ owner ‖ id)      owner: issuer, or the key's thumbprint
//! ```
//!
//! It hangs on ids and never on text: a token has more than one spelling of its signature (token.md §7.1).

use farside_crossing::LEEWAY_SECONDS_MAX;
use farside_service::digest::Sha256;
use farside_verify::{Claims, Code, Refusal};

use crate::trust::TrustState;

/// What stands before everything that is hashed.
const DOMAIN: &[u8] = b"farside-once/1";

/// One thing that may be seen once.
///
/// Its times depend on what is signed alone, never on a policy: what was forgotten under a small leeway must
/// not come back under a larger one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once {
    kind: Kind,
    key: [u8; 32],
    prover: Option<Prover>,
    from: u64,
    until: u64,
}

/// Whose proof it is: the beginning of the thumbprint of its key. Whoever finds another key with the same
/// shares what it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Prover([u8; PROVER_BYTES]);

/// Bytes of a thumbprint that are kept.
const PROVER_BYTES: usize = 8;

/// What it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A token, by its issuer and `jti`.
    Token,
    /// A holder's proof, by its key and `jti`.
    Proof,
}

impl Kind {
    /// As it stands in keys and stores.
    pub(crate) fn number(self) -> u8 {
        match self {
            Kind::Token => 1,
            Kind::Proof => 2,
        }
    }

    /// As journals, metrics and stores spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Token => "token",
            Kind::Proof => "proof",
        }
    }
}

impl Once {
    /// A token, for the whole time in which any leeway could let it be shown.
    ///
    /// # Errors
    /// `claim_missing`: one without an id, a beginning or an end could not be remembered.
    // replay.md §2
    fn token(issuer: &str, claims: &Claims) -> Result<Once, Refusal> {
        let missing = |claim: &'static str| Refusal::new(Code::ClaimMissing, claim, "");
        let id = claims.token_id().ok_or_else(|| missing("jti"))?;
        let issued_at = claims.issued_at().ok_or_else(|| missing("iat"))?;
        // Both are rounded down: a fraction of a second still counts.
        let expires_at = claims.expires_at().ok_or_else(|| missing("exp"))?.saturating_add(1);
        Ok(Once {
            kind: Kind::Token,
            key: key(Kind::Token, issuer.as_bytes(), id.as_bytes()),
            prover: None,
            from: issued_at.saturating_sub(LEEWAY_SECONDS_MAX),
            until: expires_at.saturating_add(LEEWAY_SECONDS_MAX),
        })
    }

    /// A proof by the key of a thumbprint, which any gate could take at `from` at the earliest, and no more
    /// at `until`.
    pub fn proof(thumbprint: &[u8; 32], id: &str, from: u64, until: u64) -> Once {
        let key = key(Kind::Proof, thumbprint, id.as_bytes());
        let prover = thumbprint.first_chunk().map(|first| Prover(*first));
        Once { kind: Kind::Proof, key, prover, from, until }
    }

    /// Whose proof it is, where it is one.
    pub(crate) fn prover(&self) -> Option<Prover> {
        self.prover
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it is remembered by.
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// The earliest moment at which it can have been shown.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// From when on it is refused for its time alone, and may be forgotten.
    pub fn until(&self) -> u64 {
        self.until
    }
}

/// What of a token counts once at an audience; of several that it may be for, the strictest holds.
// replay.md §1
pub(super) fn of_token(
    trust: &TrustState,
    claims: &Claims,
    audience: Option<&str>,
) -> Result<Option<Once>, Refusal> {
    let Some(policy) = trust.policy() else { return Ok(None) };
    let meant = |name: &str| match audience {
        Some(audience) => name == audience,
        None => claims.audiences().any(|aud| aud == name),
    };
    let single = policy.audiences.iter().any(|one| one.single_use && meant(&one.name));
    if single { Once::token(&policy.issuer, claims).map(Some) } else { Ok(None) }
}

fn key(kind: Kind, owner: &[u8], id: &[u8]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    hash.update(&[kind.number()]);
    hash.update(&(owner.len() as u64).to_be_bytes());
    hash.update(owner);
    hash.update(id);
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_kind_owner_or_id_is_not_the_same() {
        let keys = [
            key(Kind::Token, b"https://a", b"x-1"),
            key(Kind::Token, b"https://a", b"x-2"),
            key(Kind::Token, b"https://ax", b"-1"),
            key(Kind::Token, b"https://b", b"x-1"),
            key(Kind::Proof, b"https://a", b"x-1"),
        ];
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }
}
