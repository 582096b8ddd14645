//! A role is a threshold over signers, and here stands the only function that counts towards one. What it
//! lets through is [`Believed`]; nothing else makes that type.

use serde::{Deserialize, Serialize};

use crate::note::{Note, SignatureLine};
use crate::refusal::{Code, Refusal};
use crate::signer::{MlDsaLevel, SignerPublic};

/// Most signers of one role.
pub const SIGNERS_MAX: usize = 16;

/// The roles whose signatures are pairs. (One more, log, signs checkpoints with Ed25519 alone.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// k of n, offline: signs charters.
    Root,
    /// k of n people: signs whatever loosens.
    Release,
    /// The mint, unattended: signs whatever tightens or refreshes.
    Online,
    /// m of n people at the far side, by their cards: sign break-glass orders.
    Breakglass,
}

impl RoleName {
    /// The role as texts name it.
    pub fn as_str(self) -> &'static str {
        match self {
            RoleName::Root => "root",
            RoleName::Release => "release",
            RoleName::Online => "online",
            RoleName::Breakglass => "breakglass",
        }
    }
}

/// A threshold over distinct signers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    name: RoleName,
    threshold: usize,
    signers: Vec<SignerPublic>,
}

impl Role {
    /// A role whose threshold can be met and whose signers are distinct in name and in both keys.
    ///
    /// # Errors
    /// `charter_unsafe`, saying what is wrong.
    pub fn new(name: RoleName, threshold: usize, signers: Vec<SignerPublic>) -> Result<Role, Refusal> {
        let unsafe_role =
            |what: String| Refusal::new(Code::CharterUnsafe, format!("{}: {what}", name.as_str()));
        // bundle.md §4.2
        if signers.len() > SIGNERS_MAX {
            return Err(unsafe_role(format!("more than {SIGNERS_MAX} signers")));
        }
        if threshold == 0 || threshold > signers.len() {
            return Err(unsafe_role(format!("{threshold} of {} signers", signers.len())));
        }
        // bundle.md §4.3: one key under two names would vote twice.
        for (n, one) in signers.iter().enumerate() {
            let twin = |other: &&SignerPublic| other.name() == one.name() || other.shares_key_with(one);
            if let Some(other) = signers[n + 1..].iter().find(twin) {
                return Err(unsafe_role(format!("{} and {} are not distinct", one.name(), other.name())));
            }
            // bundle.md §4.4
            if name != RoleName::Online && one.level() == MlDsaLevel::MlDsa44 {
                return Err(unsafe_role(format!("{} signs with ML-DSA-44", one.name())));
            }
        }
        Ok(Role { name, threshold, signers })
    }

    /// Which role this is.
    pub fn name(&self) -> RoleName {
        self.name
    }

    /// How many signers must have signed.
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The signers.
    pub fn signers(&self) -> &[SignerPublic] {
        &self.signers
    }

    /// Believes a note that enough of this role's signers have signed.
    ///
    /// # Errors
    /// `signature_invalid` where a signature of a known key does not hold, `threshold_unmet` where too few
    /// signed.
    pub fn verify<'n>(&self, note: &Note<'n>) -> Result<Believed<'n>, Refusal> {
        let signers: Vec<String> = self.signed_by(note)?.into_iter().map(str::to_owned).collect();
        if signers.len() < self.threshold {
            return Err(Refusal::new(
                Code::ThresholdUnmet,
                format!("{} needs {}, {} signed", self.name.as_str(), self.threshold, signers.len()),
            ));
        }
        Ok(Believed { text: note.text(), role: self.name, signers })
    }

    /// Believes a note as [`Role::verify`] does; where not this role but one of the others has signed,
    /// somebody used the wrong key, and that is the news.
    ///
    /// # Errors
    /// As [`Role::verify`]; `role_forbidden`.
    // bundle.md §4.12
    pub(crate) fn verify_rather_than<'n>(
        &self,
        others: &[&Role],
        note: &Note<'n>,
    ) -> Result<Believed<'n>, Refusal> {
        let verdict = self.verify(note);
        let unmet = matches!(&verdict, Err(refusal) if refusal.code() == Code::ThresholdUnmet);
        match others.iter().find(|other| unmet && other.verify(note).is_ok()) {
            Some(other) => {
                let (other, own) = (other.name.as_str(), self.name.as_str());
                Err(Refusal::new(Code::RoleForbidden, format!("{other} signed what only {own} may")))
            }
            None => verdict,
        }
    }

    /// The names of those signers of this role who have signed with both keys: the one counter of signatures.
    ///
    /// # Errors
    /// `signature_invalid` where a signature of a known key does not hold.
    pub fn signed_by(&self, note: &Note<'_>) -> Result<Vec<&str>, Refusal> {
        let message = note.text().as_bytes();
        let mut counted: Vec<&str> = Vec::new();
        for signer in &self.signers {
            let (ed25519_id, ml_dsa_id) = signer.key_ids();
            let ed25519 = line_of(note, signer.name(), ed25519_id);
            let ml_dsa = line_of(note, signer.name(), ml_dsa_id);
            // bundle.md §4.6: a bad signature of a known key rejects the whole note, whoever else signed.
            let bad = ed25519.is_some_and(|line| !signer.verifies_ed25519(message, &line.signature))
                || ml_dsa.is_some_and(|line| !signer.verifies_ml_dsa(message, &line.signature));
            if bad {
                return Err(Refusal::new(
                    Code::SignatureInvalid,
                    format!("{} of role {}", signer.name(), self.name.as_str()),
                ));
            }
            // bundle.md §4.5: both halves, or it is no signature at all.
            if ed25519.is_some() && ml_dsa.is_some() {
                counted.push(signer.name());
            }
        }
        Ok(counted)
    }
}

fn line_of<'s, 'n>(note: &'s Note<'n>, name: &str, key_id: [u8; 4]) -> Option<&'s SignatureLine<'n>> {
    note.signatures().iter().find(|line| line.name == name && line.key_id == key_id)
}

/// A note's text that a role's threshold has signed. Made by [`Role::verify`] alone.
#[derive(Debug, Clone)]
pub struct Believed<'n> {
    text: &'n str,
    role: RoleName,
    signers: Vec<String>,
}

impl<'n> Believed<'n> {
    /// The text, exactly as signed.
    pub fn text(&self) -> &'n str {
        self.text
    }

    /// The role that signed it.
    pub fn role(&self) -> RoleName {
        self.role
    }

    /// The names that counted towards the threshold.
    pub fn signers(&self) -> &[String] {
        &self.signers
    }
}

/// A role as a charter spells it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleText {
    threshold: usize,
    signers: Vec<SignerPublic>,
}

impl RoleText {
    pub(crate) fn of(role: &Role) -> RoleText {
        RoleText { threshold: role.threshold, signers: role.signers.clone() }
    }

    pub(crate) fn into_role(self, name: RoleName) -> Result<Role, Refusal> {
        Role::new(name, self.threshold, self.signers)
    }
}
