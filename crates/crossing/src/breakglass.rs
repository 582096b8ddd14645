//! The break-glass order: with it enough people's cards, put together on the far side, let one named person
//! into one audience with one role, for an hour at most.
//!
//! ```text
//! farside-breakglass/1 acme plant-7
//! { "realm": "acme", "site": "plant-7", "id": "9f1c…", "subject": "ada", "audience": …, "role": …, … }
//! ```
//!
//! For whoever signs one, for the gate that opens it, and for auditors. Refuses more than an hour, and
//! anything that the charter's `breakglass` role has not signed. `spec/breakglass.md` has the rules.

use serde::{Deserialize, Serialize};

use crate::charter::Charter;
use crate::document::{check_binding, first_line, from_json, split, to_json};
use crate::note::Note;
use crate::refusal::{Code, Refusal};
use crate::text::{check_integer, check_name, check_named, hex_digits};

/// Longest life of what an order opens.
pub const LIFETIME_SECONDS_MAX: u64 = 3_600;

/// Largest order with all its signatures: sixteen cards sign with 100 KiB.
pub const ORDER_BYTES_MAX: usize = 128 << 10;

/// Hexadecimal digits of an order's id.
pub const ID_DIGITS: usize = 16;

/// First word of an order's first line.
const KIND: &str = "farside-breakglass";

/// Longest subject or role, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Longest audience or reason, in bytes.
const LINE_BYTES_MAX: usize = 1_024;

/// What cards sign: who may enter where, as what, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GlassOrder {
    /// Realm it binds.
    pub realm: String,
    /// Site it binds.
    pub site: String,
    /// Its name, given by chance: an order opens once.
    pub id: String,
    /// Who will use it: a person's name.
    pub subject: String,
    /// Where to.
    pub audience: String,
    /// As what.
    pub role: String,
    /// Why.
    pub reason: String,
    /// From when, Unix seconds.
    pub drafted_at: u64,
    /// Until when.
    pub not_after: u64,
}

impl GlassOrder {
    /// The text that cards sign.
    ///
    /// # Errors
    /// `malformed`, saying what does not fit.
    pub fn text(&self) -> Result<String, Refusal> {
        self.check()?;
        Ok(format!("{KIND}/1 {} {}\n{}\n", self.realm, self.site, to_json(self)?))
    }

    /// All of it but its id as names and values, for whoever is to read it before signing or opening; `time`
    /// spells a moment.
    // breakglass.md §3.5
    pub fn rows(&self, time: impl Fn(u64) -> String) -> Vec<Vec<String>> {
        let minutes = self.not_after.saturating_sub(self.drafted_at).div_ceil(60);
        let span = format!("{} to {} ({minutes} min)", time(self.drafted_at), time(self.not_after));
        let rows = [
            ("realm", self.realm.clone()),
            ("site", self.site.clone()),
            ("who", self.subject.clone()),
            ("where", self.audience.clone()),
            ("as", self.role.clone()),
            ("why", self.reason.clone()),
            ("when", span),
        ];
        rows.map(|(name, value)| vec![name.to_owned(), value]).to_vec()
    }

    /// Whether it may be opened at `now`.
    ///
    /// # Errors
    /// `not_yet_issued`, `expired`.
    // breakglass.md §4.3
    pub fn timely(&self, now: u64, leeway_seconds: u64) -> Result<(), Refusal> {
        if self.drafted_at > now.saturating_add(leeway_seconds) {
            let detail = format!("drafted {} s ahead of this gate's time", self.drafted_at - now);
            return Err(Refusal::new(Code::NotYetIssued, detail));
        }
        if now >= self.not_after {
            let detail = format!("its time ended {} s ago", now - self.not_after);
            return Err(
                Refusal::new(Code::Expired, detail).with_cure("draft a new order, and have it signed")
            );
        }
        Ok(())
    }

    /// How long its pass counts when it is opened at `now`.
    // breakglass.md §5.3
    pub fn seconds_left(&self, now: u64) -> u64 {
        self.not_after.saturating_sub(now.max(self.drafted_at))
    }

    fn parse(text: &str) -> Result<GlassOrder, Refusal> {
        let (line, json) = split(text)?;
        let [realm, site] = first_line(line, KIND)?;
        let order: GlassOrder = from_json(json)?;
        if (order.realm.as_str(), order.site.as_str()) != (realm, site) {
            return Err(Refusal::new(Code::Malformed, "an order whose first line says otherwise"));
        }
        order.check()?;
        Ok(order)
    }

    fn check(&self) -> Result<(), Refusal> {
        check_name("realm", &self.realm)?;
        check_name("site", &self.site)?;
        if self.id.len() != ID_DIGITS || !hex_digits(&self.id) {
            return Err(Refusal::new(Code::Malformed, "the id of an order"));
        }
        // breakglass.md §3.2
        check_named("subject", &self.subject, NAME_BYTES_MAX)?;
        check_named("role", &self.role, NAME_BYTES_MAX)?;
        check_named("audience", &self.audience, LINE_BYTES_MAX)?;
        check_named("reason", &self.reason, LINE_BYTES_MAX)?;
        check_integer("end of the order", self.not_after)?;
        // breakglass.md §3.3
        match self.not_after.checked_sub(self.drafted_at) {
            Some(1..=LIFETIME_SECONDS_MAX) => Ok(()),
            _ => Err(Refusal::new(Code::Malformed, "an order for no time, or for more than an hour")),
        }
    }
}

/// An order that enough cards have signed. Made by [`open`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedOrder {
    order: GlassOrder,
    signers: Vec<String>,
}

impl SignedOrder {
    /// What was signed.
    pub fn order(&self) -> &GlassOrder {
        &self.order
    }

    /// Whose cards counted.
    pub fn signers(&self) -> &[String] {
        &self.signers
    }
}

/// Believes an order by the cards that a charter names, for one site. Time is another question.
///
/// # Errors
/// `breakglass_unnamed`, `too_large`, `wrong_realm`, `wrong_site`, `signature_invalid`, `threshold_unmet`,
/// `role_forbidden`, `malformed`.
// breakglass.md §3.4
pub fn open(bytes: &[u8], charter: &Charter, site: &str) -> Result<SignedOrder, Refusal> {
    let cards = charter.breakglass().ok_or_else(|| {
        Refusal::new(Code::BreakglassUnnamed, format!("charter {} has no such role", charter.version()))
    })?;
    let note = bounded(bytes)?;
    let [of_realm, of_site] = first_line(split(note.text())?.0, KIND)?;
    check_binding(of_realm, of_site, charter.realm(), site)?;
    let others = [charter.root(), charter.release(), charter.online()];
    let believed = cards.verify_rather_than(&others, &note)?;
    let order = GlassOrder::parse(believed.text())?;
    Ok(SignedOrder { order, signers: believed.signers().to_vec() })
}

/// What an order or its draft says, for people who are to sign or open it. Nothing of it is verified.
///
/// # Errors
/// `malformed`, `too_large`, `version_unsupported`.
// breakglass.md §3.5
pub fn review(bytes: &[u8]) -> Result<Review, Refusal> {
    let note = bounded(bytes)?;
    let order = GlassOrder::parse(note.text())?;
    let signer_names = note.signer_names().into_iter().map(str::to_owned).collect();
    Ok(Review { order, signer_names })
}

/// An order as [`review`] read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// What it says.
    pub order: GlassOrder,
    /// Names on its signature lines; nobody has checked them.
    pub signer_names: Vec<String>,
}

/// The cards of `charter` whose signatures stand on an order and hold, however few.
///
/// # Errors
/// `breakglass_unnamed`, `signature_invalid`, `malformed`, `too_large`.
pub fn signed_by(bytes: &[u8], charter: &Charter) -> Result<Vec<String>, Refusal> {
    let Some(cards) = charter.breakglass() else {
        return Err(Refusal::new(Code::BreakglassUnnamed, "the charter has no such role"));
    };
    Ok(cards.signed_by(&bounded(bytes)?)?.into_iter().map(str::to_owned).collect())
}

// breakglass.md §3.1
fn bounded(bytes: &[u8]) -> Result<Note<'_>, Refusal> {
    if bytes.len() > ORDER_BYTES_MAX {
        return Err(Refusal::new(Code::TooLarge, format!("an order is at most {ORDER_BYTES_MAX} bytes")));
    }
    Note::parse(bytes)
}
