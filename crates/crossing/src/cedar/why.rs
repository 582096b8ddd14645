//! Why policies did not decide: for people who ask, never on the way into a door.

use cedar_policy::{Effect, Entities, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

use super::ask::{self, Parties, Question};
use super::slices::Slices;
use super::{Farside, Policies};

/// Why a policy says nothing to a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Miss {
    /// Its scope names other actions.
    Action,
    /// Its scope names others than who asks.
    Principal,
    /// Its scope names another resource.
    Resource,
    /// A `when` is not met, or an `unless` is.
    Condition,
}

impl Miss {
    /// In a sentence that begins with the policy's name.
    pub fn sentence(self) -> &'static str {
        match self {
            Miss::Action => "is about other actions",
            Miss::Principal => "is about somebody else",
            Miss::Resource => "is about another resource",
            Miss::Condition => "has a condition that does not hold",
        }
    }
}

impl Policies {
    /// The permits that say nothing to a question, and why not, by name: those that nearly fit first.
    pub fn misses(&self, question: &Question<'_>) -> Vec<(String, Miss)> {
        let Some(asked) = self.asked(question) else { return Vec::new() };
        let permits = self.all.policies().filter(|policy| policy.effect() == Effect::Permit);
        let mut misses: Vec<(String, Miss)> =
            permits.map(|policy| (policy.id().to_string(), asked.miss(policy))).collect();
        misses.sort_by_key(|(id, miss)| (std::cmp::Reverse(*miss as u8), id.clone()));
        misses
    }

    /// A policy as it is written.
    pub fn text_of(&self, id: &str) -> Option<String> {
        self.all.policy(&cedar_policy::PolicyId::new(id)).map(ToString::to_string)
    }

    fn asked(&self, question: &Question<'_>) -> Option<Asked<'_>> {
        let slices = self.by_action.get(question.doing.action())?;
        let kinds = &Farside::get().ok()?.kinds;
        let context = ask::context(kinds, question).ok()?;
        let asked = Parties::new(kinds, question).asked(slices, context, None).ok()?;
        let (principal, resource) = (asked.request.principal()?.clone(), asked.request.resource()?.clone());
        Some(Asked { slices, principal, resource, known: asked.known })
    }
}

struct Asked<'a> {
    slices: &'a Slices,
    principal: EntityUid,
    resource: EntityUid,
    known: Entities,
}

impl Asked<'_> {
    fn miss(&self, policy: &Policy) -> Miss {
        if !self.slices.hold(policy.id()) {
            Miss::Action
        } else if !fits_principal(&policy.principal_constraint(), &self.principal, &self.known) {
            Miss::Principal
        } else if !fits_resource(&policy.resource_constraint(), &self.resource, &self.known) {
            Miss::Resource
        } else {
            Miss::Condition
        }
    }
}

fn within(uid: &EntityUid, named: &EntityUid, known: &Entities) -> bool {
    uid == named || known.is_ancestor_of(named, uid)
}

fn fits_principal(constraint: &PrincipalConstraint, uid: &EntityUid, known: &Entities) -> bool {
    match constraint {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Eq(named) => named == uid,
        PrincipalConstraint::In(named) => within(uid, named, known),
        PrincipalConstraint::Is(kind) => kind == uid.type_name(),
        PrincipalConstraint::IsIn(kind, named) => kind == uid.type_name() && within(uid, named, known),
    }
}

fn fits_resource(constraint: &ResourceConstraint, uid: &EntityUid, known: &Entities) -> bool {
    match constraint {
        ResourceConstraint::Any => true,
        ResourceConstraint::Eq(named) => named == uid,
        ResourceConstraint::In(named) => within(uid, named, known),
        ResourceConstraint::Is(kind) => kind == uid.type_name(),
        ResourceConstraint::IsIn(kind, named) => kind == uid.type_name() && within(uid, named, known),
    }
}
