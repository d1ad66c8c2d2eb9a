//! The compiled table, a reference evaluator, casbin's own enforcement, masks and list filters all say the same.

use casbin::function_map::{OperatorFunction, dynamic_to_str};
use casbin::{CoreApi, DefaultModel, EnforceContext, Enforcer, MgmtApi, NullAdapter};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use crm_policy::{Action, Caller, Clock, Context, Effect, Engine, Policy, Request, Role, Subject, Truth};
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
    let compare = |attr: &str, op: &str, value: Value| json!({"attr": attr, "op": op, "value": value});
    let order = prop::sample::select(vec!["lt", "le", "gt", "ge", "eq", "ne"]);
    let due = (order.clone(), -2..3_i64)
        .prop_map(|(op, days)| json!({"attr": "dueOn", "op": op, "ref": "today", "days": days}));
    let touched = (order.clone(), -2..3_i64)
        .prop_map(|(op, days)| json!({"attr": "touchedAt", "op": op, "ref": "now", "days": days}));
    let hours = (order.clone(), 0..24_u8)
        .prop_map(move |(op, hour)| compare("request.time", op, json!(format!("{hour:02}:30"))));
    let from = order.prop_map(move |op| compare("request.on", op, json!("2026-11-30")));
    let request = prop_oneof![
        hours,
        from,
        Just(compare("request.weekday", "in", json!(["sunday", "monday"]))),
        Just(compare("request.at", "ge", json!("2026-11-30T00:00:00Z"))),
    ];
    let listed = prop_oneof![
        Just(compare("tags", "contains", json!("vip"))),
        Just(compare("tags", "containsAny", json!(["vip", "new"]))),
        Just(json!({"attr": "tags", "op": "isNull"})),
    ];
    // On leads none of the two is known, and there alone they are looked at under a star.
    let leaf = prop_oneof![(0..4_i64).prop_map(above), Just(own), Just(unit), due, touched, request, listed];
    leaf.prop_recursive(2, 8, 2, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!({"all": parts})),
            prop::collection::vec(inner.clone(), 1..3).prop_map(|parts| json!({"any": parts})),
            inner.prop_map(|part| json!({"not": part})),
        ]
    })
}

fn policies(conditional: bool) -> impl Strategy<Value = Vec<Policy>> {
    let condition = if conditional { prop::option::of((conditions(), of_deals())).boxed() } else { Just(None).boxed() };
    let role = prop::sample::select(vec!["ANY", "ADMIN", "MANAGER", "SALES_REP"]);
    let (field, state) =
        (prop::sample::select(vec!["*", "deal.*", "deal.value", "deal.value.part", "deal.title", "lead.*"]), 0..8_u8);
    let terms = (role, prop::sample::select(ACTIONS.to_vec()), field, prop::sample::select(Effect::ALL.to_vec()));
    let policy = (terms, condition, state).prop_map(|((role, action, pattern, effect), condition, state)| {
        let resource = if action.is_on_fields() || pattern == "*" { pattern } else { &pattern[..4] };
        let effect = if action.is_reading() && effect == Effect::RequireApproval { Effect::Deny } else { effect };
        let condition = condition.map(|(any, of_deals)| if resource.starts_with("deal") { of_deals } else { any });
        let read = policy("?", &format!("{role} {action} {resource} {effect}"), &condition.unwrap_or_default());
        Policy { is_active: state != 0, is_draft: state == 1, ..read }
    });
    prop::collection::vec(policy, 0..12).prop_map(|policies| {
        let numbered = policies.into_iter().enumerate();
        numbered.map(|(index, policy)| Policy { id: index.to_string(), ..policy }).collect()
    })
}

/// Conditions on custom fields are for deals alone.
fn of_deals() -> impl Strategy<Value = Value> {
    let region = prop::sample::select(vec!["eq", "ne"])
        .prop_map(|op| json!({"attr": "customFields.region", "op": op, "value": "north"}));
    let seats = (0..3_i64).prop_map(|seats| json!({"attr": "customFields.seats", "op": "gt", "value": seats}));
    let unset = Just(json!({"attr": "customFields.seats", "op": "isNull"}));
    let parts = prop_oneof![region, seats, unset];
    (conditions(), parts, any::<bool>())
        .prop_map(|(one, other, all)| json!({if all { "all" } else { "any" }: [one, other]}))
}

fn records() -> impl Strategy<Value = Value> {
    let id = |names: [&'static str; 2]| prop::option::of(prop::sample::select(names.to_vec()));
    let day = prop::option::of(prop::sample::select(vec!["2026-11-28", "2026-11-29", "2026-11-30", "2026-12-01"]));
    let tags = prop::collection::vec(prop::sample::select(vec!["vip", "new", "old"]), 0..3);
    let custom = (prop::option::of(prop::sample::select(vec!["north", "south"])), prop::option::of(0..4_i64));
    let custom = custom.prop_map(|(region, seats)| {
        let mut custom = json!({});
        if let Some(region) = region {
            custom["region"] = json!(region);
        }
        if let Some(seats) = seats {
            custom["seats"] = json!(seats);
        }
        custom
    });
    let known =
        (prop::option::of(0..5_i64), id(["me", "you"]), id(["north", "south"]), any::<bool>(), day, tags, custom);
    known.prop_map(|(value, owner, unit, complete, day, tags, custom)| {
        let touched = day.map(|day| format!("{day}T12:00:00Z"));
        let mut record = json!({"value": value, "currency": "EUR", "ownerId": owner, "businessUnitId": unit,
            "dueOn": day, "touchedAt": touched, "tags": tags, "customFields": custom});
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

/// Some moments around a night from Sunday to Monday, each in a zone; or nobody knows when.
fn clocks() -> impl Strategy<Value = Option<Clock>> {
    let start: DateTime<Utc> = "2026-11-28T00:00:00Z".parse().unwrap();
    let zone = prop::sample::select(vec![Tz::UTC, Tz::Europe__Berlin, Tz::Pacific__Kiritimati, Tz::Pacific__Niue]);
    let clock = (0..96_i64, zone).prop_map(move |(hours, zone)| Clock::new(start + TimeDelta::hours(hours), zone));
    prop::option::of(clock)
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
    fn the_table_decides_as_the_reference(policies in policies(true), record in records(), caller in callers(), clock in clocks()) {
        let (engine, facts) = (Engine::compile(policies.clone()).unwrap(), facts(&record));
        for request in questions(Context { clock, ..Context::new(&caller, &facts) }) {
            let decided = engine.decide(&request);
            prop_assert_eq!(decided.effect, reference(&policies, &request));
            let named = policies.iter().find(|policy| Some(&policy.id) == decided.policy_id.as_ref());
            prop_assert!(named.is_none_or(|policy| policy.effect == decided.effect && policy.fires(&request.context)));
            prop_assert!(named.is_some() || decided.effect == Effect::Deny);
        }
    }

    #[test]
    fn the_order_of_the_policies_does_not_matter(policies in policies(true), record in records(), caller in callers(), clock in clocks()) {
        let (engine, facts) = (Engine::compile(policies.clone()).unwrap(), facts(&record));
        let turned = Engine::compile(policies.into_iter().rev().collect()).unwrap();
        let context = Context { clock, ..Context::new(&caller, &facts) };
        prop_assert!(engine.flips(&turned, questions(context)).is_empty());
    }

    #[test]
    fn filters_and_masks_agree_with_decisions(policies in policies(true), record in records(), caller in callers(), clock in clocks()) {
        let (engine, registry, facts) = (Engine::compile(policies).unwrap(), registry(), facts(&record));
        let context = Context { clock, ..Context::new(&caller, &facts) };
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
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Masks and filters are made once and asked at many moments: none of them keeps a moment.
    #[test]
    fn what_is_compiled_once_is_asked_at_any_time(policies in policies(true), record in records(), caller in callers(),
        clocks in prop::collection::vec(clocks(), 1..6)) {
        let (engine, registry, facts) = (Engine::compile(policies).unwrap(), registry(), facts(&record));
        let nothing = crm_policy::Facts::none();
        for &role in Role::ALL {
            let mask = engine.mask(role, registry.resource("deal").unwrap());
            let filters = ACTIONS.map(|action| (action, engine.list_filter(role, action, "deal")));
            for &clock in &clocks {
                let context = Context { clock, ..Context::new(&caller, &facts) };
                let ask = |action, resource| engine.decide(&Request { role: Some(role), action, resource, context });
                for (action, filter) in &filters {
                    prop_assert_eq!(filter.admits(&context), ask(*action, "deal").allowed);
                }
                let hidden = mask.hidden_in(&context);
                prop_assert_eq!(hidden.contains("title"), !ask(Action::ViewField, "deal.title").allowed);
                // What is certain before the record is known is so on every record.
                let unknown = Context { clock, ..Context::new(&caller, &nothing) };
                for action in ACTIONS {
                    let question = Request { role: Some(role), action, resource: "deal", context: unknown };
                    let foreseen = engine.foresee(&question);
                    prop_assert!(foreseen.allowed || ask(action, "deal").effect == Effect::Deny);
                }
            }
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
