//! The gate of an organization: what its policies make of what is asked.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crm_core::gate::{Action as Asked, Ask, Gate};
use crm_core::{Ctx, Error, Result};
use serde_json::{Map, Value};

use crate::attributes::{Caller, Context, Facts};
use crate::catalogue::catalogue;
use crate::decisions::Decision;
use crate::engine::{Engine, Request};
use crate::masks::Mask;
use crate::policies::{Action, Effect, Role};
use crate::stored_policies::is_asked_at_once;

/// The gate of one organization, as its policies stood when they were loaded.
pub struct PolicyGate {
    engine: Engine,
    /// Whether there are drafts to watch.
    is_watched: bool,
    /// What is hidden from a role, by kind of record; a kind of which nothing is hidden has no mask.
    masks: HashMap<Role, HashMap<String, Mask>>,
}

impl PolicyGate {
    /// The gate of a loaded set.
    pub fn new(engine: Engine) -> Self {
        let masks = Role::ALL.iter().map(|role| (*role, masks(&engine, *role))).collect();
        Self { is_watched: engine.has_drafts(), masks, engine }
    }

    /// What decides.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Decides on every state of the record that is known, as it is and as it would be: the strictest answer holds.
    fn decide(&self, ctx: &Ctx, action: Action, resource: &str, states: &[Facts]) -> Option<Decision> {
        let caller = caller(ctx);
        let decisions = states.iter().map(|facts| {
            let request = Request::new(role(ctx), action, resource, &caller, facts);
            self.watch(ctx, &request);
            self.engine.decide(&request)
        });
        decisions.min_by_key(|decision| Reverse(strictness(decision.effect)))
    }

    /// A question before the record is known.
    fn foresee(&self, ctx: &Ctx, action: Action, resource: &str) -> Decision {
        let (caller, nothing) = (caller(ctx), Facts::none());
        let request = Request::new(role(ctx), action, resource, &caller, &nothing);
        self.watch(ctx, &request);
        match action {
            // What a representative sees of records is bound to the own business units by every read of records.
            _ if action == Action::View || !is_asked_at_once(action) => self.engine.foresee(&request),
            _ => self.engine.decide(&request),
        }
    }

    /// Logs what the drafts would have decided otherwise, without naming anybody or anything but the rule.
    fn watch(&self, ctx: &Ctx, request: &Request<'_>) {
        let Some(would) = self.is_watched.then(|| self.engine.shadow(request)).flatten() else { return };
        tracing::info!(
            request_id = ctx.request_id,
            organization = %ctx.organization,
            policy = would.policy_id,
            role = %ctx.role,
            action = %request.action,
            resource = request.resource,
            effect = %would.effect,
            "a draft policy would decide otherwise"
        );
    }

    /// Writing a field takes both seeing and editing it: the answer to a write would tell what is there.
    fn check_field(&self, ctx: &Ctx, kind: &str, name: &str, states: &[Facts]) -> Result<()> {
        let field = format!("{kind}.{name}");
        if let Some(hidden) = self.decide(ctx, Action::ViewField, &field, states).filter(|decision| !decision.allowed) {
            return Err(Error::Forbidden { code: "field_not_viewable", reason: hidden.reason });
        }
        self.decide(ctx, Action::EditField, &field, states).map_or(Ok(()), allowed)
    }
}

impl Gate for PolicyGate {
    fn check(&self, ctx: &Ctx, ask: &Ask<'_>) -> Result<()> {
        let action = action(ask.action);
        let states: Vec<Facts> = [ask.before, ask.after].into_iter().flatten().map(|it| facts(ask.kind, it)).collect();
        if states.is_empty() {
            return allowed(self.foresee(ctx, action, ask.kind));
        }
        self.decide(ctx, action, ask.kind, &states).map_or(Ok(()), allowed)?;
        ask.given.iter().try_for_each(|name| self.check_field(ctx, ask.kind, name, &states))
    }

    fn hidden(&self, ctx: &Ctx, kind: &str, record: Option<&Map<String, Value>>) -> Vec<String> {
        let mask = role(ctx).and_then(|role| self.masks.get(&role)?.get(kind));
        match (mask, record) {
            (None, _) => Vec::new(),
            (Some(mask), None) => mask
                .hidden
                .iter()
                .chain(mask.conditional.keys())
                .cloned()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
            (Some(mask), Some(record)) => {
                let (caller, facts) = (caller(ctx), facts(kind, record));
                mask.hidden_in(&Context::new(&caller, &facts)).into_iter().map(str::to_owned).collect()
            }
        }
    }
}

fn masks(engine: &Engine, role: Role) -> HashMap<String, Mask> {
    let masks = catalogue().resources().map(|resource| (resource.name().to_owned(), engine.mask(role, resource)));
    masks.filter(|(_, mask)| !mask.hidden.is_empty() || !mask.conditional.is_empty()).collect()
}

/// A decision as the domain takes it: the reason of a refusal names the policy.
fn allowed(decision: Decision) -> Result<()> {
    metrics::counter!("heimdell_policy_decisions_total", "effect" => decision.effect.as_str()).increment(1);
    match decision.effect {
        Effect::Allow => Ok(()),
        Effect::Deny => Err(Error::Forbidden { code: "policy_denied", reason: decision.reason }),
        Effect::RequireApproval => Err(Error::Forbidden { code: "approval_required", reason: decision.reason }),
    }
}

fn strictness(effect: Effect) -> u8 {
    match effect {
        Effect::Allow => 0,
        Effect::RequireApproval => 1,
        Effect::Deny => 2,
    }
}

fn facts(kind: &str, record: &Map<String, Value>) -> Facts {
    catalogue().resource(kind).map_or_else(Facts::none, |resource| Facts::of(resource, record))
}

/// Who asks, as conditions know them.
pub(crate) fn caller(ctx: &Ctx) -> Caller {
    let caller = Caller::new(ctx.actor.user().map(|user| user.to_string()).unwrap_or_default());
    match &ctx.scope.units {
        Some(units) => caller.within(units.iter().map(ToString::to_string)),
        None => caller,
    }
}

/// The role of who asks, as policies know it.
pub(crate) fn role(ctx: &Ctx) -> Option<Role> {
    Role::from_name(ctx.role.as_str())
}

fn action(asked: Asked) -> Action {
    match asked {
        Asked::View => Action::View,
        Asked::Create => Action::Create,
        Asked::Edit => Action::Edit,
        Asked::Delete => Action::Delete,
        Asked::ExportData => Action::ExportData,
        Asked::ChangeStage => Action::ChangeStage,
        Asked::MarkWonLost => Action::MarkWonLost,
        Asked::Manage => Action::Manage,
    }
}
