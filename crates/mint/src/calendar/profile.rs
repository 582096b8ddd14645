//! What regulators let a token key do: which algorithms, for how long, and how old a site's knowledge may
//! grow.

use farside_verify::Algorithm;

const DAY: u64 = 86_400;

/// A regulator's rules for a calendar. [`PROFILES`] are all there are.
#[derive(Debug, PartialEq, Eq)]
pub struct CryptoProfile {
    /// As commands name it.
    pub name: &'static str,
    /// Where its figures come from.
    pub source: &'static str,
    /// Algorithms that keys may have; empty: any that Farside signs with.
    pub algorithms: &'static [Algorithm],
    /// How long a key signs where nobody says otherwise, in seconds.
    pub cryptoperiod_seconds_default: u64,
    /// How long a key may sign, in seconds.
    pub cryptoperiod_seconds_max: u64,
    /// How old a site's knowledge of revocations may grow in ordinary service, in seconds.
    pub bundle_age_seconds_max: Option<u64>,
}

/// Every profile.
pub static PROFILES: [CryptoProfile; 4] = [
    CryptoProfile {
        name: "default",
        source: "90 days; never beyond NIST SP 800-57 part 1",
        algorithms: &[],
        cryptoperiod_seconds_default: 90 * DAY,
        cryptoperiod_seconds_max: 3 * 366 * DAY,
        bundle_age_seconds_max: None,
    },
    CryptoProfile {
        name: "sp800-57",
        source: "NIST SP 800-57 part 1 revision 5, table 1: private signature keys, one to three years",
        algorithms: &[],
        cryptoperiod_seconds_default: 365 * DAY,
        cryptoperiod_seconds_max: 3 * 366 * DAY,
        bundle_age_seconds_max: None,
    },
    CryptoProfile {
        name: "cnsa-2.0",
        source: "NSA CNSA 2.0: ML-DSA-87; periods as in SP 800-57",
        algorithms: &[Algorithm::MlDsa87],
        cryptoperiod_seconds_default: 365 * DAY,
        cryptoperiod_seconds_max: 3 * 366 * DAY,
        bundle_age_seconds_max: None,
    },
    CryptoProfile {
        name: "nerc-cip",
        source: "NERC CIP-004 R5: access removed within 24 hours; CIP-007 R5.6: changed within 15 months",
        algorithms: &[],
        cryptoperiod_seconds_default: 90 * DAY,
        cryptoperiod_seconds_max: 15 * 30 * DAY,
        bundle_age_seconds_max: Some(DAY),
    },
];

impl CryptoProfile {
    /// The profile called `name`.
    pub fn from_name(name: &str) -> Option<&'static CryptoProfile> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// Whether a key may have that algorithm.
    pub fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.is_empty() || self.algorithms.contains(&algorithm)
    }
}
