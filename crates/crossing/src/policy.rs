//! The policy component: what a site's gates demand of a token. Release people sign it, so a stolen online
//! key loosens nothing.

use serde::{Deserialize, Serialize};

use crate::cedar::Policies;
use crate::document::{self, Binding, Document};
use crate::refusal::{Code, Refusal};
use crate::role::Believed;
use crate::text::check_line;

/// Most audiences of one site.
pub const AUDIENCES_MAX: usize = 1_024;

/// Longest issuer, audience, `typ` or algorithm name, in bytes.
const LINE_BYTES_MAX: usize = 1_024;

/// Longest leeway for clocks that a policy may grant.
pub const LEEWAY_SECONDS_MAX: u64 = 600;

/// Longest token lifetime that a policy may grant: 400 days.
pub const LIFETIME_SECONDS_MAX: u64 = 400 * 24 * 3_600;

/// What the gates of one site demand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    /// Realm it binds.
    pub realm: String,
    /// Site it binds.
    pub site: String,
    /// Rises with every release, from 1.
    pub version: u64,
    /// When it was drafted, Unix seconds.
    pub issued_at: u64,
    /// The site's issuer, as tokens carry it in `iss`.
    pub issuer: String,
    /// The audiences of the site; a token names one of them in `aud`.
    pub audiences: Vec<AudiencePolicy>,
    /// Longest lifetime of a token.
    pub lifetime_seconds_max: u64,
    /// Tolerance between clocks.
    pub leeway_seconds: u64,
    /// Accepted `typ` values; absent means `at+jwt` alone.
    #[serde(default = "typ_default")]
    pub typ: Vec<String>,
    /// Accepted algorithms; absent means whatever the keys say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Vec<String>>,
    /// Cedar policies, where the site uses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cedar: Option<String>,
}

/// What is demanded for one audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudiencePolicy {
    /// The audience, as tokens carry it in `aud`.
    pub name: String,
    /// Freshness tiers: the oldest state on which each kind of action is still admitted.
    #[serde(default, skip_serializing_if = "StaleMax::is_empty")]
    pub stale_seconds_max: StaleMax,
    /// Which proof of logging is demanded.
    #[serde(default)]
    pub logged: Logged,
    /// Whether only tokens bound to a holder's key are accepted.
    #[serde(default)]
    pub holder_bound: bool,
    /// Whether each token is admitted once.
    #[serde(default)]
    pub single_use: bool,
    /// Whether cards may open it in an emergency, where the charter names any.
    #[serde(default)]
    pub breakglass: Breakglass,
}

/// Whether an audience may be opened by break-glass.
// breakglass.md §4.2
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Breakglass {
    /// It may.
    #[default]
    Allowed,
    /// It may not, whoever signs.
    Forbidden,
}

impl Breakglass {
    /// As policies, stores and command lines spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Breakglass::Allowed => "allowed",
            Breakglass::Forbidden => "forbidden",
        }
    }

    /// What is spelled so.
    pub fn from_name(name: &str) -> Option<Breakglass> {
        [Breakglass::Allowed, Breakglass::Forbidden].into_iter().find(|one| one.as_str() == name)
    }
}

impl AudiencePolicy {
    /// Whether a pass may be given for it: a bearer's secret opens no audience that wants a key proven.
    // breakglass.md §4.2
    pub fn opens_by_breakglass(&self) -> bool {
        self.breakglass == Breakglass::Allowed && !self.holder_bound
    }
}

/// What a token is shown for, from the laxest tier of freshness to the strictest.
// bundle.md §6.3
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To look at something.
    Read,
    /// To change something.
    Write,
    /// To do what may hurt somebody if it is done by the wrong one.
    Safety,
}

impl Action {
    /// Every one, the laxest first.
    pub const ALL: [Action; 3] = [Action::Read, Action::Write, Action::Safety];

    /// As policies, doors and command lines spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Action::Read => "read",
            Action::Write => "write",
            Action::Safety => "safety",
        }
    }

    /// The action that is spelled so.
    pub fn from_name(name: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.as_str() == name)
    }
}

/// How old, in seconds since the newest applied bundle was issued, a gate's state may be for each action.
/// What is absent is as the next laxer one; without any, and beyond any, the bundle's `not_after` holds.
///
/// ```
/// use farside_crossing::{Action, StaleMax};
///
/// let tiers = StaleMax { read: None, write: Some(86_400), safety: Some(3_600) };
/// assert_eq!(tiers.of(Action::Read), None);
/// assert_eq!(tiers.of(Action::Safety), Some(3_600));
/// ```
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaleMax {
    /// For reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<u64>,
    /// For writing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<u64>,
    /// For safety actions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety: Option<u64>,
}

impl StaleMax {
    /// What holds for an action: the strictest of its own tier and the laxer ones.
    pub fn of(&self, action: Action) -> Option<u64> {
        let upto = Action::ALL.into_iter().filter(|tier| *tier <= action);
        upto.filter_map(|tier| self.own(tier)).min()
    }

    /// What the policy says of this very action.
    pub fn own(&self, action: Action) -> Option<u64> {
        match action {
            Action::Read => self.read,
            Action::Write => self.write,
            Action::Safety => self.safety,
        }
    }

    /// Whether it says nothing at all.
    pub fn is_empty(&self) -> bool {
        *self == StaleMax::default()
    }

    /// Whether each tier allows something, and no stricter action more than a laxer one.
    pub fn is_sound(&self) -> bool {
        let sound = |action| self.own(action).is_none_or(|own| own > 0 && self.of(action) == Some(own));
        Action::ALL.into_iter().all(sound)
    }
}

/// Which proof of logging an audience demands.
// log.md §8.1
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Logged {
    /// None.
    #[default]
    No,
    /// The token's leaf must have crossed, or a proof must come stapled to the token.
    Staple,
    /// The token's leaf must have crossed; nothing that comes with the token counts.
    Leaf,
}

impl Logged {
    /// As policies, stores and command lines spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Logged::No => "no",
            Logged::Staple => "staple",
            Logged::Leaf => "leaf",
        }
    }

    /// The demand that is spelled so.
    pub fn from_name(name: &str) -> Option<Logged> {
        [Logged::No, Logged::Staple, Logged::Leaf].into_iter().find(|logged| logged.as_str() == name)
    }
}

impl PolicyDocument {
    /// The text that release people sign.
    ///
    /// # Errors
    /// `malformed` or `too_large`, saying what does not fit.
    pub fn text(&self) -> Result<String, Refusal> {
        document::write(self)
    }

    /// Reads what release has signed, for one realm and site.
    ///
    /// # Errors
    /// `malformed`, `wrong_realm`, `wrong_site`, `role_forbidden` where another role than release signed it.
    pub fn read(believed: &Believed<'_>, realm: &str, site: &str) -> Result<PolicyDocument, Refusal> {
        document::read_released(believed, realm, site)
    }

    /// The policy of one audience.
    pub fn audience(&self, name: &str) -> Option<&AudiencePolicy> {
        self.audiences.iter().find(|audience| audience.name == name)
    }
}

impl Document for PolicyDocument {
    const KIND: &'static str = "farside-policy";

    fn binding(&self) -> Binding<'_> {
        Binding { realm: &self.realm, site: &self.site, version: self.version, issued_at: self.issued_at }
    }

    fn check(&self) -> Result<(), Refusal> {
        let malformed = |what: &str| Err(Refusal::new(Code::Malformed, what));
        // bundle.md §6.3
        check_line("issuer", &self.issuer, LINE_BYTES_MAX)?;
        if self.audiences.is_empty() || self.audiences.len() > AUDIENCES_MAX {
            return malformed("a policy without audiences, or with too many");
        }
        let mut names = std::collections::BTreeSet::new();
        for audience in &self.audiences {
            check_line("audience", &audience.name, LINE_BYTES_MAX)?;
            if !names.insert(&audience.name) {
                return malformed("an audience named twice");
            }
            if !audience.stale_seconds_max.is_sound() {
                return malformed("a freshness tier of nothing, or one laxer than that of a laxer action");
            }
        }
        if self.typ.is_empty() || self.algorithms.as_ref().is_some_and(Vec::is_empty) {
            return malformed("an empty list of typ or algorithms");
        }
        for word in self.typ.iter().chain(self.algorithms.iter().flatten()) {
            check_line("typ or algorithm", word, LINE_BYTES_MAX)?;
        }
        if self.leeway_seconds > LEEWAY_SECONDS_MAX {
            return malformed("a leeway of more than 600 seconds");
        }
        if self.lifetime_seconds_max == 0 || self.lifetime_seconds_max > LIFETIME_SECONDS_MAX {
            return malformed("a longest lifetime of nothing, or of more than 400 days");
        }
        // policy.md §1: whoever signs, adopts or applies it reads its Cedar first.
        self.cedar.as_deref().map_or(Ok(()), |text| Policies::read(text).map(drop))
    }
}

fn typ_default() -> Vec<String> {
    vec!["at+jwt".to_owned()]
}
