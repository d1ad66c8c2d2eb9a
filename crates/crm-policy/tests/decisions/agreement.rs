//! The compiled table, a reference evaluator, casbin's own enforcement, masks and list filters all say the same.

use casbin::function_map::{OperatorFunction, dynamic_to_str};
use casbin::{CoreApi, DefaultModel, EnforceContext, Enforcer, MgmtApi, NullAdapter};
use crm_policy::{Action, Caller, Context, Effect, Engine, Policy, Request, Role, Subject, Truth};
use futures_util::FutureExt;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::world::{above, facts, policy, registry};

const NAMES: [&str; 8] =
    ["deal", "deal.value", "deal.value.part", "deal.title", "deal.ownerId", "lead.value", "dealx.title", "other"];
const ACTIONS: [Action; 3] = [Action::ViewField, Action::Edit, Action::MarkWonLost];

/// The rules in twenty lines, without a table and without casbin.
fn reference(policies: &[Policy], request: &Request<'_>) -> Effect {
    let covers = |pattern: &str| match pattern.split_once('*') {
        Some(("", _)) => true,
        Some((prefix, _)) => request.resource.starts_with(prefix),
        None if pattern.contains('.') => format!("{}.", request.resource).starts_with(&format!("{pattern}.")),
        None => request.resource == pattern,
    };
    let fired = |effect: Effect| {
        policies.iter().any(|policy| {
            let role = request.role.is_some_and(|role| [Subject::Any, Subject::Role(role)].contains(&policy.role));
            let truth = policy.condition.as_ref().map_or(Truth::True, |condition| condition.evaluate(&request.context));
            let holds = truth == Truth::True || (truth == Truth::Unknown && effect != Effect::Allow);
            let speaks = role && policy.action == request.action && covers(&policy.target().unwrap().to_string());
            policy.is_active && !policy.is_draft && policy.effect == effect && speaks && holds
        })
    };
    match (fired(Effect::Deny), fired(Effect::Allow), fired(Effect::RequireApproval)) {
        (true, _, _) | (_, false, _) => Effect::Deny,
        (_, _, true) => Effect::RequireApproval,
        _ => Effect::Allow,
    }
}

/// casbin's own decision on policies without conditions.
fn casbin_decides(policies: &[Policy], request: &Request<'_>) -> Effect {
    let model = DefaultModel::from_str(include_str!("../../src/model.conf")).now_or_never().unwrap().unwrap();
    let mut enforcer = Enforcer::new(model, NullAdapter).now_or_never().unwrap().unwrap();
    let covers = OperatorFunction::Arg2(|name, pattern| {
        let (name, pattern) = (dynamic_to_str(&name), dynamic_to_str(&pattern));
        let is_part = pattern.contains('.') && name.starts_with(&format!("{pattern}."));
        let under = pattern.strip_suffix('*').is_some_and(|root| name.starts_with(root));
        (pattern == "*" || name == pattern || is_part || under).into()
    });
    enforcer.add_function("resourceMatch", covers);
    for policy in policies.iter().filter(|policy| policy.is_active && !policy.is_draft) {
        let (set, effect) = match policy.effect {
            Effect::RequireApproval => ("p2", "allow"),
            effect => ("p", effect.as_str()),
        };
        let target = policy.target().unwrap().to_string();
        let row =
            [policy.id.as_str(), policy.role.as_str(), policy.action.as_str(), &target, effect].map(str::to_owned);
        enforcer.add_named_policy(set, row.to_vec()).now_or_never().unwrap().unwrap();
    }
    for role in Role::ALL {
        let link = vec![role.to_string(), "ANY".to_owned()];
        enforcer.add_grouping_policy(link).now_or_never().unwrap().unwrap();
    }
    let question = (request.role.map_or("", Role::as_str), request.action.as_str(), request.resource);
    let allowed = enforcer.enforce(question).unwrap();
    let approval = enforcer.enforce_with_context(EnforceContext::new("2"), question).unwrap();
    match (allowed, approval) {
        (false, _) => Effect::Deny,
        (true, true) => Effect::RequireApproval,
        (true, false) => Effect::Allow,
    }
}

fn conditions() -> impl Strategy<Value = Value> {
    let own = json!({"attr": "ownerId", "op": "eq", "ref": "caller.id"});
    let unit = json!({"attr": "businessUnitId", "op": "in", "ref": "caller.businessUnitIds"});
    let leaf = prop_oneof![(0..4_i64).prop_map(above), Just(own), Just(unit)];
    leaf.prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!({"all": parts})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!({"any": parts})),
            inner.prop_map(|part| json!({"not": part})),
        ]
    })
}

fn policies(conditional: bool) -> impl Strategy<Value = Vec<Policy>> {
    let condition = if conditional { prop::option::of(conditions()).boxed() } else { Just(None).boxed() };
    let role = prop::sample::select(vec!["ANY", "ADMIN", "MANAGER", "SALES_REP"]);
    let (field, state) =
        (prop::sample::select(vec!["*", "deal.*", "deal.value", "deal.value.part", "deal.title", "lead.*"]), 0..8_u8);
    let terms = (role, prop::sample::select(ACTIONS.to_vec()), field, prop::sample::select(Effect::ALL.to_vec()));
    let policy = (terms, condition, state).prop_map(|((role, action, pattern, effect), condition, state)| {
        let resource = if action.is_on_fields() || pattern == "*" { pattern } else { &pattern[..4] };
        let effect = if action.is_reading() && effect == Effect::RequireApproval { Effect::Deny } else { effect };
        let read = policy("?", &format!("{role} {action} {resource} {effect}"), &condition.unwrap_or_default());
        Policy { is_active: state != 0, is_draft: state == 1, ..read }
    });
    prop::collection::vec(policy, 0..12).prop_map(|policies| {
        let numbered = policies.into_iter().enumerate();
        numbered.map(|(index, policy)| Policy { id: index.to_string(), ..policy }).collect()
    })
}

fn records() -> impl Strategy<Value = Value> {
    let id = |names: [&'static str; 2]| prop::option::of(prop::sample::select(names.to_vec()));
    let known = (prop::option::of(0..5_i64), id(["me", "you"]), id(["north", "south"]), any::<bool>());
    known.prop_map(|(value, owner, unit, complete)| {
        let mut record = json!({"value": value, "currency": "EUR", "ownerId": owner, "businessUnitId": unit});
        if !complete {
            record.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        record
    })
}

fn callers() -> impl Strategy<Value = Caller> {
    prop_oneof![
        Just(Caller::new("me")),
        Just(Caller::new("me").within(["north"])),
        Just(Caller::default().within(["south"]))
    ]
}

/// Every question of the small world, on one record.
fn questions<'a>(context: Context<'a>) -> impl Iterator<Item = Request<'a>> {
    let roles = Role::ALL.iter().copied().map(Some).chain([None]);
    roles.flat_map(move |role| {
        ACTIONS
            .into_iter()
            .flat_map(move |action| NAMES.into_iter().map(move |resource| Request { role, action, resource, context }))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn the_table_decides_as_the_reference(policies in policies(true), record in records(), caller in callers()) {
        let (engine, facts) = (Engine::compile(policies.clone()).unwrap(), facts(&record));
        for request in questions(Context::new(&caller, &facts)) {
            let decided = engine.decide(&request);
            prop_assert_eq!(decided.effect, reference(&policies, &request));
            let named = policies.iter().find(|policy| Some(&policy.id) == decided.policy_id.as_ref());
            prop_assert!(named.is_none_or(|policy| policy.effect == decided.effect && policy.fires(&request.context)));
            prop_assert!(named.is_some() || decided.effect == Effect::Deny);
        }
    }

    #[test]
    fn the_order_of_the_policies_does_not_matter(policies in policies(true), record in records(), caller in callers()) {
        let (engine, facts) = (Engine::compile(policies.clone()).unwrap(), facts(&record));
        let turned = Engine::compile(policies.into_iter().rev().collect()).unwrap();
        prop_assert!(engine.flips(&turned, questions(Context::new(&caller, &facts))).is_empty());
    }

    #[test]
    fn filters_and_masks_agree_with_decisions(policies in policies(true), record in records(), caller in callers()) {
        let (engine, registry, facts) = (Engine::compile(policies).unwrap(), registry(), facts(&record));
        let context = Context::new(&caller, &facts);
        for request in questions(context).filter(|request| request.role.is_some()) {
            let filter = engine.list_filter(request.role.unwrap(), request.action, request.resource);
            prop_assert_eq!(filter.admits(&context), engine.decide(&request).allowed);
        }
        let deal = registry.resource("deal").unwrap();
        for &role in Role::ALL {
            let mask = engine.mask(role, deal);
            let hidden = mask.hidden_in(&context);
            for field in deal.attributes().keys() {
                let name = format!("deal.{field}");
                let seen = engine.decide(&Request { role: Some(role), action: Action::ViewField, resource: &name, context });
                prop_assert_eq!(hidden.contains(field.as_str()), !seen.allowed);
                prop_assert_eq!(mask.check_write(field, &context).is_ok(), seen.allowed);
                prop_assert!(mask.check_use(field).is_err() || seen.allowed);
            }
            // Of a part is seen what is seen of the whole.
            let seen = ["deal.value", "deal.value.part"].map(|resource| {
                engine.decide(&Request { role: Some(role), action: Action::ViewField, resource, context }).allowed
            });
            prop_assert_eq!(hidden.contains("value") || hidden.contains("value.part"), seen != [true, true]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_table_decides_as_casbin_enforces(policies in policies(false)) {
        let (caller, facts) = (Caller::default(), crm_policy::Facts::none());
        let engine = Engine::compile(policies.clone()).unwrap();
        for request in questions(Context::new(&caller, &facts)) {
            prop_assert_eq!(engine.decide(&request).effect, casbin_decides(&policies, &request));
        }
    }
}
