//! A set of policies that nobody could change any more is refused.

use crate::attributes::{Caller, Facts};
use crate::engine::{Engine, Request};
use crate::policies::{Action, Role};

/// The resource under which policies are administered.
pub const POLICY_RESOURCE: &str = "policy";

/// The set would lock everybody out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("With these policies no role could manage policies any more.")]
pub struct Lockout;

/// What somebody has to be allowed to take a policy back.
const NEEDED: [Action; 5] = [Action::View, Action::Create, Action::Edit, Action::Delete, Action::Manage];

/// Checks a set before it takes effect: some role has to see, write and remove policies without condition and without
/// approval.
///
/// # Errors
/// [`Lockout`] where none does.
pub fn check_lockout(engine: &Engine) -> Result<(), Lockout> {
    let (nobody, nothing) = (Caller::default(), Facts::none());
    let may =
        |role: Role, action| engine.decide(&Request::new(role, action, POLICY_RESOURCE, &nobody, &nothing)).allowed;
    let manages = |role: &Role| NEEDED.iter().all(|&action| may(*role, action));
    if Role::ALL.iter().any(manages) { Ok(()) } else { Err(Lockout) }
}
