//! Decisions: what was decided, by which policy, and the reason in a sentence.

use serde::Serialize;
use utoipa::ToSchema;

use crate::conditions::{FailedClause, Truth};
use crate::engine::Request;
use crate::policies::{Effect, Policy};

/// What an engine decided.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Whether it may be done at once.
    pub allowed: bool,
    /// What was decided: a refusal by default is a refusal.
    pub effect: Effect,
    /// A sentence for the person who asked, with the name of the policy that decided.
    pub reason: String,
    /// The policy that decided, absent where none allows.
    pub policy_id: Option<String>,
    /// Its name.
    pub policy_name: Option<String>,
    /// What every policy on this question came to; empty unless it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub trace: Vec<TraceEntry>,
}

/// What one policy came to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TraceEntry {
    /// The policy.
    pub policy_id: String,
    /// Its name.
    pub policy_name: String,
    /// Its effect.
    pub effect: Effect,
    /// Whether it took effect. A draft never decides, here it tells whether it would have taken effect.
    pub fired: bool,
    /// Whether it is a draft.
    pub is_draft: bool,
    /// What its condition came to; true without one.
    pub condition: Truth,
    /// The comparison that kept the condition from being true.
    pub failed_clause: Option<FailedClause>,
}

impl Decision {
    /// Whether somebody else has to approve first.
    pub fn needs_approval(&self) -> bool {
        self.effect == Effect::RequireApproval
    }

    /// The same decision for somebody who may know the reason and not how it came about.
    #[must_use]
    pub fn without_trace(self) -> Decision {
        Decision { trace: Vec::new(), ..self }
    }

    /// A refusal since nothing allows: `why` names what would, and under which condition or to whom.
    pub(crate) fn by_default(request: &Request<'_>, why: &str) -> Decision {
        let refused = Decision::new(request, Effect::Deny, None);
        if why.is_empty() {
            return refused;
        }
        Decision { reason: format!("{}; {why}.", refused.reason.trim_end_matches('.')), ..refused }
    }

    pub(crate) fn new(request: &Request<'_>, effect: Effect, policy: Option<&Policy>) -> Decision {
        Decision {
            allowed: effect == Effect::Allow,
            effect,
            reason: reason(request, effect, policy),
            policy_id: policy.map(|policy| policy.id.clone()),
            policy_name: policy.map(|policy| policy.name.clone()),
            trace: Vec::new(),
        }
    }
}

impl TraceEntry {
    pub(crate) fn new(request: &Request<'_>, policy: &Policy) -> TraceEntry {
        let condition = policy.condition.as_ref();
        TraceEntry {
            policy_id: policy.id.clone(),
            policy_name: policy.name.clone(),
            effect: policy.effect,
            fired: policy.fires(&request.context),
            is_draft: policy.is_draft,
            condition: condition.map_or(Truth::True, |condition| condition.evaluate(&request.context)),
            failed_clause: condition.and_then(|condition| condition.failed_clause(&request.context)),
        }
    }
}

/// Why something has to be approved, as [`Decision::reason`] has it for one of the policies that say so.
pub(crate) fn reason(request: &Request<'_>, effect: Effect, policy: Option<&Policy>) -> String {
    let Request { action, resource, .. } = request;
    let role = request.role.map_or("somebody without a role", |role| role.as_str());
    match (policy, effect) {
        (None, _) => format!("No policy allows {action} on {resource} to {role}."),
        (Some(policy), Effect::Deny) => format!("Policy “{}” refuses {action} on {resource} to {role}.", policy.name),
        (Some(policy), Effect::RequireApproval) => {
            format!("Policy “{}” requires approval for {action} on {resource} by {role}.", policy.name)
        }
        (Some(policy), Effect::Allow) => format!("Policy “{}” allows {action} on {resource} to {role}.", policy.name),
    }
}
