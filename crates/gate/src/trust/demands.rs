//! The signed policy, made into what judges by it.

use std::sync::Arc;

use farside_crossing::PolicyDocument;
use farside_crossing::cedar::Policies;
use farside_verify::Policy;

use super::{TrustFault, unreadable};

/// The signed policy as demands on a token.
pub(crate) fn of_tokens(policy: &PolicyDocument) -> Policy {
    let demands = Policy::undemanding()
        .issuer(&policy.issuer)
        .audiences(policy.audiences.iter().map(|audience| audience.name.as_str()))
        .types(policy.typ.iter().map(String::as_str))
        .leeway_seconds(policy.leeway_seconds)
        .lifetime_seconds_max(policy.lifetime_seconds_max);
    match &policy.algorithms {
        Some(names) => demands.algorithm_names(names.iter().map(String::as_str)),
        None => demands,
    }
}

/// What of the policy binds a JWT-SVID: its key has an algorithm of its own, and it has no issuer.
pub(crate) fn of_svids(policy: &PolicyDocument) -> Policy {
    Policy::undemanding()
        .audiences(policy.audiences.iter().map(|audience| audience.name.as_str()))
        .types([farside_verify::PLAIN_TYP])
        .leeway_seconds(policy.leeway_seconds)
        .lifetime_seconds_max(policy.lifetime_seconds_max)
}

/// The site's Cedar policies, read, unless those held before are the same.
pub(super) fn cedar(
    policy: &PolicyDocument,
    before: Option<(&PolicyDocument, &Option<Arc<Policies>>)>,
) -> Result<Option<Arc<Policies>>, TrustFault> {
    match (&policy.cedar, before) {
        (None, _) => Ok(None),
        (same, Some((held, read))) if *same == held.cedar => Ok(read.clone()),
        (Some(text), _) => {
            let read = Policies::read(text).map_err(|refusal| unreadable("Cedar policies", refusal))?;
            Ok(Some(Arc::new(read)))
        }
    }
}
