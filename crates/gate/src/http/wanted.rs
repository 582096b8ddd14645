//! The action that a token is shown for, as a proxy's or a resource server's own configuration names it.

use farside_crossing::Action;

use super::answer::RequestFault;
use super::form::Form;

/// The parameter's name, at every door that knows it.
pub(crate) const ACTION: &str = "action";

/// The action named; without one the strictest tier will hold, and a word that means nothing is refused.
// bundle.md §13.4
pub(crate) fn action_of(form: &Form<'_>) -> Result<Option<Action>, RequestFault> {
    let Some(name) = form.get(ACTION) else { return Ok(None) };
    let unknown = || RequestFault::ParametersInvalid("the action is none of read, write and safety".into());
    Action::from_name(name).map(Some).ok_or_else(unknown)
}
