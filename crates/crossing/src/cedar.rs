//! Cedar policies of a site: who may do what, beyond the audience that a token names.
//!
//! ```text
//!   text ─▶ bounds ─▶ parsed ─▶ fits the schema ─▶ Policies ── decide(Question) ─▶ Verdict
//!           §1.1, §1.2          §1.3                           §5
//! ```
//!
//! One function reads them, [`Policies::read`]: for the mint, when people draft and sign them, and for the
//! gate, before it applies a bundle. Text that does not read, or does not fit Farside's schema to the last
//! attribute, is refused with Cedar's own words and their place. `spec/policy.md` has the rules.

mod ask;
mod bounds;
mod kinds;
mod place;
mod slices;
mod target;
mod why;

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr as _;
use std::sync::LazyLock;

use cedar_policy::{
    ActionConstraint, Entities, Policy, PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning,
    Validator,
};

pub use ask::{Circumstances, Doing, Principal, Question, TokenFacts, Verdict};
pub use target::{Ambiguous, Target};
pub use why::Miss;

use crate::refusal::{Code, Refusal};
use crate::text::{check_name, check_named};
use kinds::Kinds;
use slices::Slices;

/// Largest text, in bytes.
pub const CEDAR_BYTES_MAX: usize = 256 << 10;

/// Most policies of one site.
pub const POLICIES_MAX: usize = 1_000;

/// Longest `@cure`, in bytes.
const CURE_BYTES_MAX: usize = 512;

/// What policies are written against, as it is shipped.
pub const SCHEMA: &str = include_str!("cedar/farside.cedarschema");

/// Read once; the tests read it, so it always reads.
static FARSIDE: LazyLock<Result<Farside, String>> = LazyLock::new(Farside::read);

/// The schema, and what never changes of a question.
struct Farside {
    validator: Validator,
    actions: Entities,
    kinds: Kinds,
}

impl Farside {
    fn read() -> Result<Farside, String> {
        let schema = Schema::from_str(SCHEMA).map_err(|error| error.to_string())?;
        let actions = schema.action_entities().map_err(|error| error.to_string())?;
        let kinds = Kinds::read()?;
        Ok(Farside { validator: Validator::new(schema), actions, kinds })
    }

    fn get() -> Result<&'static Farside, Refusal> {
        FARSIDE.as_ref().map_err(|error| invalid(format!("this program's own schema: {error}")))
    }
}

/// The Cedar policies of one site: they parse, they fit the schema, each has a name.
#[derive(Debug)]
pub struct Policies {
    all: PolicySet,
    /// For each action, by its name, those that could apply to it: what is evaluated.
    by_action: HashMap<String, Slices>,
    /// What Cedar holds to be a slip: policies that can never apply.
    idle: Vec<String>,
}

impl Policies {
    /// Parses and validates.
    ///
    /// ```
    /// use farside_crossing::cedar::Policies;
    ///
    /// let text = r#"
    ///     @id("operators-look")
    ///     permit(principal in Role::"operator", action in Action::"read", resource in Host::"hmi.example");
    /// "#;
    /// assert_eq!(Policies::read(text)?.ids().collect::<Vec<_>>(), ["operators-look"]);
    ///
    /// let odd = r#"@id("a") permit(principal, action, resource) when { principal.shoe_size > 40 };"#;
    /// assert_eq!(Policies::read(odd).unwrap_err().code().as_str(), "policy_invalid");
    /// # Ok::<(), farside_crossing::Refusal>(())
    /// ```
    ///
    /// # Errors
    /// `too_large`; `policy_invalid` with what is wrong, in which line and column.
    // policy.md §1
    pub fn read(text: &str) -> Result<Policies, Refusal> {
        bounds::check(text)?;
        let farside = Farside::get()?;
        let parsed = PolicySet::from_str(text).map_err(|errors| invalid(place::told(text, &errors)))?;
        let named = named(&parsed)?;
        let all = PolicySet::from_policies(named).map_err(|error| invalid(error.to_string()))?;
        let result = farside.validator.validate(&all, ValidationMode::Strict);
        if let Some(error) = result.validation_errors().next() {
            return Err(invalid(place::told(text, error)));
        }
        let idle = result.validation_warnings().filter(|warning| never_applies(warning));
        // Of each policy once, whatever the validator says twice.
        let idle: BTreeMap<String, String> =
            idle.map(|warning| (warning.policy_id().to_string(), place::told(text, warning))).collect();
        let idle = idle.into_values().collect();
        let by_action = by_action(farside, &all)?;
        Ok(Policies { all, by_action, idle })
    }

    /// Their names, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let ids: BTreeMap<&str, ()> = self.all.policies().map(|policy| (policy.id().as_ref(), ())).collect();
        ids.into_keys()
    }

    /// Policies that can never apply, in Cedar's words: whoever drafts them is told, gates take them.
    pub fn idle(&self) -> &[String] {
        &self.idle
    }

    /// What the policy of that name says of it in an annotation.
    fn annotation(&self, id: &str, key: &str) -> Option<&str> {
        self.all.policy(&PolicyId::new(id))?.annotation(key)
    }
}

fn invalid(detail: String) -> Refusal {
    Refusal::new(Code::PolicyInvalid, detail)
}

/// Each policy under the name that its author gave it: that is what journals and refusals say.
// policy.md §1.2
fn named(parsed: &PolicySet) -> Result<Vec<Policy>, Refusal> {
    if parsed.templates().next().is_some() {
        return Err(invalid("a template: nothing fills `?principal` and `?resource` here".to_owned()));
    }
    if parsed.num_of_policies() > POLICIES_MAX {
        return Err(Refusal::new(Code::TooLarge, format!("more than {POLICIES_MAX} Cedar policies")));
    }
    let mut seen = BTreeMap::new();
    for (number, policy) in in_order(parsed) {
        let at = place::of_policy(number);
        let id = policy.annotation("id").ok_or_else(|| invalid(format!("{at}: it has no @id(\"…\")")))?;
        check_name("@id", id).map_err(|_| invalid(format!("{at}: its @id is not [A-Za-z0-9._-]{{1,64}}")))?;
        if let Some(cure) = policy.annotation("cure") {
            let fine = check_named("@cure", cure, CURE_BYTES_MAX);
            fine.map_err(|refusal| invalid(format!("{at}: {}", refusal.detail())))?;
        }
        if seen.insert(id.to_owned(), policy.new_id(PolicyId::new(id))).is_some() {
            return Err(invalid(format!("{at}: the @id {id} is another policy's")));
        }
    }
    Ok(seen.into_values().collect())
}

/// Cedar counts the policies of a text from 0: `policy0`, `policy1`, …
fn in_order(parsed: &PolicySet) -> BTreeMap<usize, &Policy> {
    let number = |policy: &Policy| AsRef::<str>::as_ref(policy.id()).strip_prefix("policy")?.parse().ok();
    parsed.policies().map(|policy| (number(policy).unwrap_or(usize::MAX), policy)).collect()
}

fn never_applies(warning: &ValidationWarning) -> bool {
    matches!(warning, ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_))
}

/// A policy whose scope names other actions is false without being looked at, so it may as well be left out.
fn by_action(farside: &Farside, all: &PolicySet) -> Result<HashMap<String, Slices>, Refusal> {
    let mut sorted = HashMap::new();
    for entity in farside.actions.iter() {
        let action = entity.uid();
        let within = |named| action == named || farside.actions.is_ancestor_of(&named, &action);
        let meant = |policy: &&Policy| match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(named) => named == action,
            ActionConstraint::In(named) => named.into_iter().any(within),
        };
        let slices =
            Slices::new(entity.clone(), all.policies().filter(meant), &farside.kinds).map_err(invalid)?;
        sorted.insert(action.id().unescaped().to_owned(), slices);
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests;
