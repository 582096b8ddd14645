//! Which key of a site follows which, and when: for whoever asks before it matters.

use std::fmt;

use farside_service::time::rfc3339;

use super::{Purpose, Site, TokenKeyRecord};

/// When a site that cannot sign now will be able to, or what is missing.
#[derive(Debug, Clone, Copy)]
pub enum Ahead<'a> {
    /// This key signs from then on.
    Signs {
        /// The key.
        key: &'a TokenKeyRecord,
        /// From when.
        from: u64,
    },
    /// This key is released, and no bundle has carried it yet.
    Uncarried(&'a TokenKeyRecord),
    /// This key waits for the release people's signatures.
    Unreleased(&'a TokenKeyRecord),
    /// There is no key that will ever sign.
    Nothing,
}

impl fmt::Display for Ahead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signs { key, from } if *from > key.sign_from => write!(
                f,
                "key {} signs from {}, when the bundle with it has had the courier interval, or once its \
                 receipt is entered",
                key.kid,
                rfc3339(*from)
            ),
            Self::Signs { key, from } => write!(f, "key {} signs from {}", key.kid, rfc3339(*from)),
            Self::Uncarried(key) => {
                write!(f, "key {} is released, and no bundle has carried it yet: make one", key.kid)
            }
            Self::Unreleased(key) => write!(f, "key {} waits for the release people's signatures", key.kid),
            Self::Nothing => f.write_str("no key is planned: `mint keys plan` makes the next ones"),
        }
    }
}

impl Site {
    /// The keys of that purpose that may still sign, now or later, oldest period first.
    fn living(&self, purpose: Purpose, now: u64) -> impl Iterator<Item = &TokenKeyRecord> {
        let lives = move |key: &&TokenKeyRecord| {
            key.purpose == purpose && !key.revoked && key.destroyed_at.is_none() && key.sign_until > now
        };
        self.keys.iter().filter(lives)
    }

    /// When a key may sign, from `now` on.
    pub fn ahead(&self, purpose: Purpose, now: u64) -> Ahead<'_> {
        let signs = self.living(purpose, now).filter_map(|key| {
            let from = key.usable_from?.max(key.sign_from).max(now);
            (from < key.sign_until).then_some(Ahead::Signs { key, from })
        });
        let first = signs.min_by_key(|ahead| match ahead {
            Ahead::Signs { from, .. } => *from,
            _ => u64::MAX,
        });
        let unusable = || self.living(purpose, now).filter(|key| key.usable_from.is_none());
        let uncarried = || unusable().find(|key| key.adopted_at.is_some()).map(Ahead::Uncarried);
        let unreleased = || unusable().next().map(Ahead::Unreleased);
        first.or_else(uncarried).or_else(unreleased).unwrap_or(Ahead::Nothing)
    }

    /// The key that is to take over from the one that signs now.
    pub fn next_key(&self, purpose: Purpose, now: u64) -> Option<&TokenKeyRecord> {
        let signing = self.signing_key(purpose, now);
        let after = |key: &&TokenKeyRecord| match signing {
            Some(signing) => key.kid != signing.kid && key.sign_until > signing.sign_until,
            None => true,
        };
        self.living(purpose, now).filter(after).min_by_key(|key| (key.sign_from, key.created_at))
    }

    /// Until when released keys follow each other without a gap; `None` where none signs now.
    pub fn calendar_reaches(&self, purpose: Purpose, now: u64) -> Option<u64> {
        let mut reaches = self.signing_key(purpose, now)?.sign_until;
        loop {
            let covers = |key: &&TokenKeyRecord| {
                key.adopted_at.is_some() && key.sign_from <= reaches && key.sign_until > reaches
            };
            match self.living(purpose, now).filter(covers).map(|key| key.sign_until).max() {
                Some(further) => reaches = further,
                None => return Some(reaches),
            }
        }
    }

    /// The purposes for which this site has keys at all.
    pub fn purposes(&self) -> impl Iterator<Item = Purpose> {
        Purpose::ALL.into_iter().filter(|purpose| self.keys.iter().any(|key| key.purpose == *purpose))
    }
}
