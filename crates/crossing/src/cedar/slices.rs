//! The policies of one action, sorted by what their scope names, so that a question meets only those that can
//! be about it: a site may have a thousand, and few name this path or these roles.
//!
//! A policy whose scope does not fit is false, and nothing can go wrong in finding that out. So leaving it
//! unasked changes no answer; a test asks both ways.

use std::collections::HashMap;

use cedar_policy::{Entity, EntityUid, Policy, PolicyId, PolicySet, PrincipalConstraint, ResourceConstraint};

use super::kinds::Kinds;

/// The policies that could apply to one action.
#[derive(Debug)]
pub(super) struct Slices {
    /// The action.
    pub(super) action: EntityUid,
    /// The same, in its groups.
    pub(super) entity: Entity,
    /// Those that name nobody and nothing.
    broad: PolicySet,
    /// Each of the others, once.
    named: HashMap<EntityUid, PolicySet>,
}

impl Slices {
    pub(super) fn new<'p>(
        entity: Entity,
        policies: impl Iterator<Item = &'p Policy>,
        kinds: &Kinds,
    ) -> Result<Slices, String> {
        let mut slices =
            Slices { action: entity.uid(), entity, broad: PolicySet::new(), named: HashMap::new() };
        for policy in policies {
            let slice = match name(policy, kinds) {
                Some(name) => slices.named.entry(name).or_default(),
                None => &mut slices.broad,
            };
            slice.add(policy.clone()).map_err(|error| error.to_string())?;
        }
        Ok(slices)
    }

    /// All that can fit a principal and a resource which are, or are within, these.
    pub(super) fn fitting<'a, 'n>(
        &'a self,
        names: impl Iterator<Item = &'n EntityUid>,
    ) -> impl Iterator<Item = &'a PolicySet> {
        std::iter::once(&self.broad)
            .chain(names.filter_map(|name| self.named.get(name)))
            .filter(|slice| !slice.is_empty())
    }

    /// Whether the policy of that name could apply to this action.
    pub(super) fn hold(&self, id: &PolicyId) -> bool {
        std::iter::once(&self.broad).chain(self.named.values()).any(|slice| slice.policy(id).is_some())
    }
}

/// What a policy's scope names; of two the one that fewer questions are about: hosts and audiences are for
/// all.
fn name(policy: &Policy, kinds: &Kinds) -> Option<EntityUid> {
    let wide = |name: &EntityUid| [&kinds.host, &kinds.audience].contains(&name.type_name());
    let resource = resource(policy);
    match resource {
        Some(name) if !wide(&name) => Some(name),
        resource => principal(policy).or(resource),
    }
}

fn principal(policy: &Policy) -> Option<EntityUid> {
    match policy.principal_constraint() {
        PrincipalConstraint::Any | PrincipalConstraint::Is(_) => None,
        PrincipalConstraint::Eq(name)
        | PrincipalConstraint::In(name)
        | PrincipalConstraint::IsIn(_, name) => Some(name),
    }
}

fn resource(policy: &Policy) -> Option<EntityUid> {
    match policy.resource_constraint() {
        ResourceConstraint::Any | ResourceConstraint::Is(_) => None,
        ResourceConstraint::Eq(name) | ResourceConstraint::In(name) | ResourceConstraint::IsIn(_, name) => {
            Some(name)
        }
    }
}
