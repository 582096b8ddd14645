//! Why policies did not decide: for people who ask, never on the way into a door.

use cedar_policy::{Effect, Entities, Entity, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};

use super::ask::{self, Question};
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
        let Some(asked) = Asked::new(question) else { return Vec::new() };
        let permits = self.all.policies().filter(|policy| policy.effect() == Effect::Permit);
        let mut misses: Vec<(String, Miss)> =
            permits.map(|policy| (policy.id().to_string(), self.miss(policy, &asked))).collect();
        misses.sort_by_key(|(id, miss)| (std::cmp::Reverse(*miss as u8), id.clone()));
        misses
    }

    /// A policy as it is written.
    pub fn text_of(&self, id: &str) -> Option<String> {
        self.all.policy(&cedar_policy::PolicyId::new(id)).map(ToString::to_string)
    }

    fn miss(&self, policy: &Policy, asked: &Asked) -> Miss {
        let meant = |policies: &cedar_policy::PolicySet| policies.policy(policy.id()).is_some();
        let (principal, resource) = (asked.principal.uid(), asked.resource.uid());
        if !self.by_action.get(&asked.action).is_some_and(meant) {
            Miss::Action
        } else if !fits_principal(&policy.principal_constraint(), &principal, &asked.known) {
            Miss::Principal
        } else if !fits_resource(&policy.resource_constraint(), &resource, &asked.known) {
            Miss::Resource
        } else {
            Miss::Condition
        }
    }
}

struct Asked {
    action: EntityUid,
    principal: Entity,
    resource: Entity,
    known: Entities,
}

impl Asked {
    fn new(question: &Question<'_>) -> Option<Asked> {
        let action = ask::uid("Action", question.doing.action()).ok()?;
        let principal = ask::principal(&question.principal).ok()?;
        let resource = ask::resource(&question.doing, question.circumstances.audience).ok()?;
        let known = [principal.clone(), resource.clone()];
        let known =
            Entities::from_entities(known, Farside::get().ok().map(|farside| &farside.schema)).ok()?;
        Some(Asked { action, principal, resource, known })
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
