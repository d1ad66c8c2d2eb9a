//! The gate of an organization: what its policies make of what is asked.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use chrono_tz::Tz;
use crm_core::gate::{Action as Asked, Ask, Gate, Hiding};
use crm_core::masks::not_viewable;
use crm_core::proposals::{Proposal, RequiringPolicy};
use crm_core::{Ctx, Error, Record, Result};
use serde_json::{Map, Value};

use crate::approvals::Approval;
use crate::attributes::{Caller, Context, Facts, Registry};
use crate::catalogue::catalogue;
use crate::clocks::Clock;
use crate::decisions::{Decision, reason};
use crate::engine::{Engine, Request};
use crate::policies::{Action, Effect, Role};
use crate::shadows::Shadows;
use crate::sights::Sight;
use crate::stored_policies::is_asked_at_once;

/// The gate of one organization, as its policies stood when they were loaded.
pub struct PolicyGate {
    house: House,
    /// Whether there are drafts to watch.
    is_watched: bool,
    /// What is hidden from a role, by kind of record; a kind of which nothing is hidden is not among them.
    sights: HashMap<Role, HashMap<String, Sight>>,
    /// The fields that drafts would hide or show besides, in some records at least, at some time, by kind of record.
    drafted: HashMap<(Role, String), Vec<String>>,
    shadows: Arc<Shadows>,
}

/// A decision, and every policy that requires an approval where it waits for one.
struct Judged {
    decision: Decision,
    requiring: Vec<Requiring>,
}

/// A policy that requires an approval, and why in a sentence.
struct Requiring {
    policy: RequiringPolicy,
    reason: String,
}

/// What an organization decides by.
pub(crate) struct House {
    /// Its policies.
    pub(crate) engine: Engine,
    /// What there is in the house, with the custom fields that its policies compare.
    pub(crate) registry: Cow<'static, Registry>,
    /// The zone of its days and of its times of day.
    pub(crate) zone: Tz,
}

impl PolicyGate {
    /// The gate of a loaded set in a house without custom fields, whose days are those of UTC.
    pub fn new(engine: Engine) -> Self {
        Self::watched(House { engine, registry: Cow::Borrowed(catalogue()), zone: Tz::UTC }, Arc::default())
    }

    /// The gate of an organization, with what its drafts come to noted where others note it too.
    pub(crate) fn watched(house: House, shadows: Arc<Shadows>) -> Self {
        let sights = Role::ALL.iter().map(|role| (*role, sights(&house, *role))).collect();
        let is_watched = house.engine.has_drafts();
        let drafted = if is_watched { drafted(&house) } else { HashMap::new() };
        Self { is_watched, sights, drafted, shadows, house }
    }

    /// What decides.
    pub fn engine(&self) -> &Engine {
        &self.house.engine
    }

    /// The instant of a request, on the clocks of the organization.
    fn clock(&self, ctx: &Ctx) -> Clock {
        Clock::new(ctx.now, self.house.zone)
    }

    fn facts(&self, kind: &str, record: &Map<String, Value>) -> Facts {
        self.house.registry.resource(kind).map_or_else(Facts::none, |resource| Facts::of(resource, record))
    }

    /// Decides on every state of the record that is known, as it is and as it would be: the strictest answer holds.
    /// Every policy that requires an approval on some of them is named.
    fn decide(&self, ctx: &Ctx, action: Action, resource: &str, states: &[Facts]) -> Option<Judged> {
        let (caller, clock) = (caller(ctx), self.clock(ctx));
        let mut requiring: Vec<Requiring> = Vec::new();
        let decisions = states.iter().map(|facts| {
            let request = Request::new(role(ctx), action, resource, &caller, facts).when(clock);
            self.watch(ctx, &request);
            let decision = self.engine().decide(&request);
            if decision.needs_approval() {
                for policy in self.engine().requiring(&request) {
                    requiring.push(Requiring {
                        policy: RequiringPolicy { id: policy.id.clone(), name: policy.name.clone() },
                        reason: reason(&request, Effect::RequireApproval, Some(policy)),
                    });
                }
            }
            decision
        });
        let decision = decisions.min_by_key(|decision| Reverse(strictness(decision.effect)))?;
        Some(Judged { decision, requiring })
    }

    /// A question before the record is known.
    fn foresee(&self, ctx: &Ctx, action: Action, resource: &str) -> Decision {
        let (caller, nothing) = (caller(ctx), Facts::none());
        let request = Request::new(role(ctx), action, resource, &caller, &nothing).when(self.clock(ctx));
        if is_asked_at_once(action) {
            // Whatever is asked about the record later is watched then, when it is known.
            self.watch(ctx, &request);
        }
        match action {
            // What a representative sees of records is bound to the own business units by every read of records.
            _ if action == Action::View || !is_asked_at_once(action) => self.engine().foresee(&request),
            _ => self.engine().decide(&request),
        }
    }

    /// Notes what the drafts would have decided otherwise.
    fn watch(&self, ctx: &Ctx, request: &Request<'_>) {
        let Some(would) = self.is_watched.then(|| self.engine().shadow(request)).flatten() else { return };
        let policy = would.policy_id.unwrap_or_default();
        self.shadows.note(ctx, &policy, request.action.as_str(), request.resource, would.effect);
    }

    /// Notes what the drafts would have hidden or shown of a kind of record.
    fn watch_fields(&self, ctx: &Ctx, kind: &str) {
        let Some(role) = role(ctx).filter(|_| self.is_watched) else { return };
        let (caller, nothing, clock) = (caller(ctx), Facts::none(), self.clock(ctx));
        for field in self.drafted.get(&(role, kind.to_owned())).into_iter().flatten() {
            self.watch(ctx, &Request::new(role, Action::ViewField, field, &caller, &nothing).when(clock));
        }
    }

    fn sight(&self, ctx: &Ctx, kind: &str) -> Option<&Sight> {
        role(ctx).and_then(|role| self.sights.get(&role)?.get(kind))
    }

    /// Writing a field takes both seeing and editing it: the answer to a write would tell what is there.
    fn decide_field(&self, ctx: &Ctx, kind: &str, name: &str, states: &[Facts]) -> Result<Option<Judged>> {
        let field = format!("{kind}.{name}");
        let hidden = self.decide(ctx, Action::ViewField, &field, states).filter(|judged| !judged.decision.allowed);
        if let Some(hidden) = hidden {
            return Err(not_viewable(hidden.decision.reason));
        }
        Ok(self.decide(ctx, Action::EditField, &field, states))
    }
}

impl Gate for PolicyGate {
    fn check(&self, ctx: &Ctx, ask: &Ask<'_>) -> Result<()> {
        let action = action(ask.action);
        let states: Vec<Facts> =
            [ask.before, ask.after].into_iter().flatten().map(|it| self.facts(ask.kind, it)).collect();
        if states.is_empty() {
            let decision = self.foresee(ctx, action, ask.kind);
            return judge(ask, vec![Judged { decision, requiring: Vec::new() }]);
        }
        let mut decisions: Vec<Judged> = self.decide(ctx, action, ask.kind, &states).into_iter().collect();
        for name in ask.given {
            match name.strip_suffix(".*") {
                None => decisions.extend(self.decide_field(ctx, ask.kind, name, &states)?),
                Some(whole) => {
                    let is_part = |name: &&str| name.strip_prefix(whole).is_some_and(|rest| rest.starts_with('.'));
                    for part in self.engine().parts(ask.kind).into_iter().filter(is_part) {
                        decisions.extend(self.decide_field(ctx, ask.kind, part, &states)?);
                    }
                }
            }
        }
        judge(ask, decisions)
    }

    fn hiding<'g>(&'g self, ctx: &Ctx, kind: &str) -> Option<Box<dyn Hiding + 'g>> {
        let sight = self.sight(ctx, kind).filter(|sight| sight.depends())?;
        Some(Box::new(sight.seen_by(caller(ctx), self.clock(ctx))))
    }

    fn never_seen(&self, ctx: &Ctx, kind: &str) -> Vec<String> {
        let (caller, nothing) = (caller(ctx), Facts::none());
        let context = Context::new(&caller, &nothing).when(self.clock(ctx));
        self.sight(ctx, kind).map_or_else(Vec::new, |sight| sight.hidden_everywhere(&context))
    }

    fn why_hidden(&self, ctx: &Ctx, kind: &str, field: &str) -> String {
        let (caller, nothing, field) = (caller(ctx), Facts::none(), format!("{kind}.{field}"));
        let request = Request::new(role(ctx), Action::ViewField, &field, &caller, &nothing).when(self.clock(ctx));
        self.engine().why_not_everywhere(&request).reason
    }

    fn hidden(&self, ctx: &Ctx, kind: &str, record: Option<&Map<String, Value>>) -> Vec<String> {
        if record.is_none() {
            self.watch_fields(ctx, kind);
        }
        let Some(sight) = self.sight(ctx, kind) else { return Vec::new() };
        let (caller, clock) = (caller(ctx), self.clock(ctx));
        let facts = record.map_or_else(Facts::none, |record| self.facts(kind, record));
        let context = Context::new(&caller, &facts).when(clock);
        match record {
            None => sight.hidden_somewhere(&context),
            Some(_) => sight.mask.hidden_in(&context).into_iter().map(str::to_owned).collect(),
        }
    }
}

fn sights(house: &House, role: Role) -> HashMap<String, Sight> {
    let resources = house.registry.resources();
    let sights = resources.map(|resource| (resource.name().to_owned(), Sight::of(&house.engine, role, resource)));
    sights.filter(|(_, sight)| !sight.is_whole()).collect()
}

/// What is unknown hides a field, so that what a draft would hide in some records alone, or at some time, is among it.
fn drafted(house: &House) -> HashMap<(Role, String), Vec<String>> {
    let (caller, nothing) = (Caller::default(), Facts::none());
    let mut drafted: HashMap<_, Vec<_>> = HashMap::new();
    for (role, resource) in Role::ALL.iter().flat_map(|role| house.registry.resources().map(move |it| (*role, it))) {
        let whole = resource.attributes().keys().map(String::as_str);
        let fields = whole.chain(house.engine.parts(resource.name()));
        for field in fields.map(|field| format!("{}.{field}", resource.name())) {
            let request = Request::new(role, Action::ViewField, &field, &caller, &nothing);
            if house.engine.shadow(&request).is_some() {
                drafted.entry((role, resource.name().to_owned())).or_default().push(field);
            }
        }
    }
    drafted
}

/// Decisions as the domain takes them: a refusal comes before what waits for approval, and the reason names the policy.
fn judge(ask: &Ask<'_>, decisions: Vec<Judged>) -> Result<()> {
    let strictest = decisions.iter().min_by_key(|judged| Reverse(strictness(judged.decision.effect)));
    let Some(decision) = strictest.map(|judged| &judged.decision) else { return Ok(()) };
    metrics::counter!("heimdell_policy_decisions_total", "effect" => decision.effect.as_str()).increment(1);
    if decision.allowed {
        return Ok(());
    }
    if decision.needs_approval() && ask.kind == Approval::KIND {
        // Asking for an approval and giving it wait for nobody, or nothing would ever be approved.
        return Ok(());
    }
    if !decision.needs_approval() {
        return Err(Error::Forbidden { code: "policy_denied", reason: decision.reason.clone() });
    }
    let (mut policies, mut reasons) = (Vec::new(), Vec::new());
    for Requiring { policy, reason } in decisions.into_iter().flat_map(|judged| judged.requiring) {
        if !policies.contains(&policy) {
            policies.push(policy);
            reasons.push(reason);
        }
    }
    Err(Error::NeedsApproval(Box::new(Proposal::of(ask, policies, reasons.join(" ")))))
}

fn strictness(effect: Effect) -> u8 {
    match effect {
        Effect::Allow => 0,
        Effect::RequireApproval => 1,
        Effect::Deny => 2,
    }
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
