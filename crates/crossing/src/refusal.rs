//! Every reason for which something that crossed is refused: a stable code, one sentence, what exactly was
//! seen, and the cure. `spec/bundle.md` §11 lists the same codes; a test compares the two.

use std::fmt;

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// Why a note, a charter, a bundle or a component was refused.
///
/// Holds no secret and no token text, so it may be logged, journalled and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    code: Code,
    detail: String,
    cure: Option<String>,
}

impl Refusal {
    /// A refusal with what exactly was seen. `detail` continues the code's sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Refusal {
        Refusal { code, detail: detail.into(), cure: None }
    }

    /// The same refusal with a cure that fits the case better than the code's own.
    pub fn with_cure(mut self, cure: impl Into<String>) -> Refusal {
        self.cure = Some(cure.into());
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// One sentence for a person.
    pub fn sentence(&self) -> &'static str {
        self.code.sentence()
    }

    /// What exactly was seen.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// What to do about it.
    pub fn cure(&self) -> &str {
        self.cure.as_deref().unwrap_or(self.code.cure())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.sentence(), self.detail)
    }
}

impl std::error::Error for Refusal {}

impl Serialize for Refusal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("Refusal", 4)?;
        members.serialize_field("code", self.code.as_str())?;
        members.serialize_field("sentence", self.sentence())?;
        members.serialize_field("detail", self.detail())?;
        members.serialize_field("cure", self.cure())?;
        members.end()
    }
}

/// One row of the list: variant, code, sentence, cure.
macro_rules! codes {
    ($($variant:ident $code:literal $sentence:literal $cure:literal)*) => {
        /// The stable codes. Scripts and journals rely on their spelling.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $(#[doc = $sentence] $variant,)* }

        impl Code {
            /// Every code there is, in the order of the specification.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as scripts see it: snake_case, never changed once released.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $code,)* }
            }

            /// One sentence for a person.
            pub fn sentence(self) -> &'static str {
                match self { $(Code::$variant => $sentence,)* }
            }

            /// What to do about it, where the case at hand knows nothing better.
            pub fn cure(self) -> &'static str {
                match self { $(Code::$variant => $cure,)* }
            }
        }
    };
}

codes! {
    Truncated "truncated"
        "The file ends before what its own lengths announce."
        "copy it again from the sender's outbox; the carrier may have been pulled out too early"
    TooLarge "too_large"
        "A part is larger than its limit."
        "pack it again in smaller parts at the mint"
    Malformed "malformed"
        "The text or its framing does not follow the format."
        "copy it again; if it stays so, it was not written by a Farside mint"
    VersionUnsupported "version_unsupported"
        "It is written in a version of the format that this program does not know."
        "update this program, or pack for the version it knows"
    WrongRealm "wrong_realm"
        "It belongs to another realm."
        "import the files of your own realm; a gate trusts one realm only"
    WrongSite "wrong_site"
        "It is addressed to another site."
        "import it at that site's gate"
    SignatureInvalid "signature_invalid"
        "A signature of a known signer does not hold."
        "do not use this file; fetch it again over a trusted path and find out who changed it"
    ThresholdUnmet "threshold_unmet"
        "Too few of the signers that the charter names have signed."
        "have the missing people sign, or check that this gate follows the newest charter"
    RoleForbidden "role_forbidden"
        "It was signed by a role that may not say this."
        "treat the signing key as stolen: what loosens trust needs the signatures of the release people"
    FingerprintMismatch "fingerprint_mismatch"
        "The charter is not the one whose fingerprint was expected."
        "compare the fingerprint again with the people who founded the realm"
    CharterBroken "charter_broken"
        "The charter does not follow from the one this gate trusts."
        "import a bundle that carries every charter since the one this gate trusts"
    CharterUnsafe "charter_unsafe"
        "The charter's roles would not protect the realm."
        "draft the charter anew: distinct keys, thresholds between one and the number of signers"
    DigestMismatch "digest_mismatch"
        "A component's bytes are not those that the manifest names."
        "copy the file again from the sender's outbox"
    ComponentMissing "component_missing"
        "A component that this kind of bundle must carry is absent."
        "pack a full bundle at the mint"
    ComponentUnknown "component_unknown"
        "The manifest names a component type that this program does not know."
        "update this program before importing"
    ComponentRollback "component_rollback"
        "A component is older than the one this gate already holds."
        "look for a mint restored from an old backup, or a stolen online key"
    ComponentConflict "component_conflict"
        "A component differs from the held one although both carry the same version."
        "look for two mints working on one realm, or a stolen online key"
    PolicyInvalid "policy_invalid"
        "A Cedar policy does not read, or does not fit Farside's schema."
        "mend the policies at the mint, which says the same before it signs, and have them released again"
    Loosening "loosening"
        "Without the release people's pardon it takes back a revocation that this gate holds."
        "have the release people sign a pardon, or treat the online key as stolen"
    Gap "gap"
        "It builds on a bundle that this gate has not applied."
        "import the missing bundles first, or ask the mint for a full bundle"
    Fork "fork"
        "Two different bundles claim the same place in the sequence."
        "keep both files, look for a second mint or a stolen online key; a signed fence goes on"
    Frozen "frozen"
        "The stream is frozen since two histories came to light: of its bundles, or of the log."
        "once it is explained, have release people sign a fence and import the full bundle with it"
    SequenceJump "sequence_jump"
        "The number jumps further than is allowed without a fence."
        "if the jump is wanted, have the release people sign a fence for it"
    Rollback "rollback"
        "It is older than what this gate has already applied."
        "import the newest bundle; nothing is lost by leaving this one out"
    Expired "expired"
        "It is no longer valid."
        "carry a newer bundle across; if this one is new, check the gate's clock"
    NotYetIssued "not_yet_issued"
        "It was issued in the future."
        "set the gate's clock, which runs behind; if the clock is right, the mint's is not"
    LogInvalid "log_invalid"
        "A run of log leaves does not make the head that the log key has signed."
        "do not use this file; pack anew, and look for a stolen online key"
    LogForked "log_forked"
        "The log's signed head is not a continuation of one that this gate holds."
        "keep the file, look for a mint restored from a backup or a stolen log key; a signed fence goes on"
    LogGap "log_gap"
        "Nothing links the log's new head to the one that this gate holds."
        "import a bundle between, or have the mint pack one with a link from the size held"
    SealBroken "seal_broken"
        "The sealed parcels do not open with this gate's key."
        "enrol this gate's recipient key at the mint again and pack anew"
    BreakglassUnnamed "breakglass_unnamed"
        "The charter names nobody whose cards could break the glass."
        "have root sign a charter with break-glass cards, and carry it across; until then nothing opens"
    BreakglassForbidden "breakglass_forbidden"
        "The site's policy lets nobody into this audience by break-glass."
        "choose another audience, or have release people allow this one"
    BreakglassSpent "breakglass_spent"
        "The order has been opened before, and an order opens once."
        "draft a new order, and have it signed"
    BreakglassCrowded "breakglass_crowded"
        "As many passes count already as may at once."
        "close one that is no longer needed"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_snake_case() {
        let mut seen = std::collections::BTreeSet::new();
        for code in Code::ALL {
            assert!(seen.insert(code.as_str()), "{} twice", code.as_str());
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert!(code.sentence().ends_with('.'));
            assert!(!code.cure().ends_with('.'));
        }
    }

    #[test]
    fn the_specification_lists_every_code() {
        let spec = include_str!("../../../spec/bundle.md");
        for code in Code::ALL {
            assert!(spec.contains(&format!("| `{}` |", code.as_str())), "{} not in the spec", code.as_str());
        }
    }
}
