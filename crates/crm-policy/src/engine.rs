//! The engine: a loaded set of policies, and what it decides.

use std::collections::{BTreeSet, HashSet};

use crate::attributes::{Caller, Context, Facts};
use crate::clocks::Clock;
use crate::conditions::Truth;
use crate::decisions::Decision;
use crate::policies::{Action, Effect, Policy, Role};
use crate::resource_patterns::ResourcePattern;
use crate::scalars::Rates;
use crate::tables::Table;

pub use crate::tables::EngineError;

/// A loaded set of policies. Immutable: a changed set is a new engine.
pub struct Engine {
    policies: Vec<Policy>,
    table: Table,
}

/// May somebody do something?
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The role of the caller; `None` for somebody without a role of the product, who may do nothing.
    pub role: Option<Role>,
    /// What they want to do.
    pub action: Action,
    /// What they want to do it to: `deal`, and `deal.value` where the action is on fields.
    pub resource: &'a str,
    /// Who asks, on which record, at which rates.
    pub context: Context<'a>,
}

impl<'a> Request<'a> {
    /// A question without exchange rates and without a clock: amounts in other currencies are unknown, and so is the time.
    pub fn new(
        role: impl Into<Option<Role>>,
        action: Action,
        resource: &'a str,
        caller: &'a Caller,
        facts: &'a Facts,
    ) -> Self {
        Self { role: role.into(), action, resource, context: Context::new(caller, facts) }
    }

    /// The same question at these rates.
    #[must_use]
    pub fn at(mut self, rates: &'a dyn Rates) -> Self {
        self.context.rates = rates;
        self
    }

    /// The same question at that instant.
    #[must_use]
    pub fn when(mut self, clock: Clock) -> Self {
        self.context.clock = Some(clock);
        self
    }
}

impl Engine {
    /// Loads a set. Inactive policies are left out, drafts are watched alone ([`Engine::shadow`]).
    ///
    /// # Errors
    /// [`EngineError`]; whoever has no engine refuses everything.
    pub fn compile(policies: Vec<Policy>) -> Result<Engine, EngineError> {
        let mut ids = HashSet::new();
        if let Some(policy) = policies.iter().find(|policy| !ids.insert(policy.id.as_str())) {
            return Err(EngineError::DuplicateId(policy.id.clone()));
        }
        let table = Table::compile(&policies)?;
        Ok(Engine { policies, table })
    }

    /// Decides: any refusal refuses; else what needs approval and is allowed waits for approval; else what is allowed is
    /// allowed; everything else is refused. The order of the policies does not matter to that, only to which of several
    /// equal ones is named.
    pub fn decide(&self, request: &Request<'_>) -> Decision {
        let (effect, policy) = self.outcome(request, |policy| !policy.is_draft);
        self.decision(request, effect, policy)
    }

    /// The policies that require an approval of this, in the order of the set: whoever gives it is told of all.
    pub fn requiring(&self, request: &Request<'_>) -> Vec<&Policy> {
        let speaking = self.speaking(request.role, request.action, request.resource);
        let requires = |policy: &&Policy| {
            policy.effect == Effect::RequireApproval && !policy.is_draft && policy.fires(&request.context)
        };
        speaking.filter(requires).collect()
    }

    /// Decides a question that is asked before the record is known: refused is what is refused on every record, and the
    /// rest may still be refused on the one that it comes to. What is known before, the time say, is known of every record.
    pub fn foresee(&self, request: &Request<'_>) -> Decision {
        let speaking = || self.speaking(request.role, request.action, request.resource).filter(|p| !p.is_draft);
        let refuses =
            |policy: &&Policy| policy.effect == Effect::Deny && policy.foreseen(&request.context) == Truth::True;
        if let Some(policy) = speaking().find(refuses) {
            return self.decision(request, Effect::Deny, Some(policy));
        }
        let may_allow = |p: &&Policy| p.effect == Effect::Allow && p.foreseen(&request.context) != Truth::False;
        let allow = speaking().find(may_allow);
        self.decision(request, if allow.is_some() { Effect::Allow } else { Effect::Deny }, allow)
    }

    /// Why something is not allowed on every record: refused by the first policy that refuses it on some, else by none that
    /// allows it on all.
    pub fn why_not_everywhere(&self, request: &Request<'_>) -> Decision {
        let mut speaking = self.speaking(request.role, request.action, request.resource).filter(|it| !it.is_draft);
        let refuses =
            |policy: &&Policy| policy.effect == Effect::Deny && policy.foreseen(&request.context) != Truth::False;
        self.decision(request, Effect::Deny, speaking.find(refuses))
    }

    /// Whether some policy is a draft, so that there is something to watch.
    pub fn has_drafts(&self) -> bool {
        self.policies.iter().any(|policy| policy.is_draft && policy.is_active)
    }

    /// The parts of a resource's fields of which some policy speaks by name, sorted: `customFields.region`. Of any other what
    /// is decided of the whole holds.
    pub(crate) fn parts(&self, resource: &str) -> BTreeSet<&str> {
        let named = self.policies.iter().filter(|policy| policy.is_active && policy.action.is_on_fields());
        let names = named.filter_map(|policy| match (&policy.resource, policy.field.as_deref()) {
            (ResourcePattern::Exact(name), Some(field)) if name == resource => Some(field),
            (ResourcePattern::Exact(name), None) => name.strip_prefix(resource)?.strip_prefix('.'),
            _ => None,
        });
        names.filter(|name| name.contains('.')).collect()
    }

    /// The policies of the set, in its order.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// The policies that speak about a question, drafts included, in the order of the set.
    pub(crate) fn speaking(&self, role: Option<Role>, action: Action, resource: &str) -> impl Iterator<Item = &Policy> {
        let cell = role.map_or(&[][..], |role| self.table.cell(role, action, resource));
        cell.iter().map(|&position| &self.policies[position])
    }

    /// A decision with its reason. What nothing allows is refused with the name of what would allow it under its condition, or
    /// else to another role.
    fn decision(&self, request: &Request<'_>, effect: Effect, policy: Option<&Policy>) -> Decision {
        if policy.is_some() {
            return Decision::new(request, effect, policy);
        }
        let allowing = |role| {
            self.speaking(role, request.action, request.resource).find(|it| it.effect == Effect::Allow && !it.is_draft)
        };
        if let Some(near) = allowing(request.role) {
            let why = format!("policy “{}” does so under a condition that does not hold here", near.name);
            return Decision::by_default(request, &why);
        }
        let refused = |role| {
            let mut speaking = self.speaking(Some(role), request.action, request.resource).filter(|it| !it.is_draft);
            speaking.any(|it| it.effect == Effect::Deny && it.condition.is_none())
        };
        let others = [Role::Manager, Role::Admin].into_iter().filter(|role| !refused(*role));
        let other = others.filter_map(|role| Some((role, allowing(Some(role))?))).next();
        let why = other.map(|(role, policy)| format!("policy “{}” does so to {role}", policy.name));
        Decision::by_default(request, &why.unwrap_or_default())
    }

    /// What the counted policies come to, and the one that decided; `None` where none did.
    pub(crate) fn outcome(&self, request: &Request<'_>, counts: impl Fn(&Policy) -> bool) -> (Effect, Option<&Policy>) {
        let (mut approval, mut allow) = (None, None);
        for policy in self.speaking(request.role, request.action, request.resource).filter(|policy| counts(policy)) {
            let slot = match policy.effect {
                Effect::Deny if policy.fires(&request.context) => return (Effect::Deny, Some(policy)),
                Effect::Deny => continue,
                Effect::RequireApproval => &mut approval,
                Effect::Allow => &mut allow,
            };
            if slot.is_none() && policy.fires(&request.context) {
                *slot = Some(policy);
            }
        }
        match (allow, approval) {
            (None, _) => (Effect::Deny, None),
            (Some(_), Some(policy)) => (Effect::RequireApproval, Some(policy)),
            (Some(policy), None) => (Effect::Allow, Some(policy)),
        }
    }
}
