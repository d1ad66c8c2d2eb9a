//! How long a decision takes among 1,000 policies, and how long loading them takes.

#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a benchmark fails by panicking; criterion makes a public function"
)]

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use crm_policy::{
    Action, Caller, Context, Effect, Engine, Facts, Kind, Policy, Registry, Request, Resource, ResourceClass,
    ResourcePattern, Role, Subject, Truth,
};
use serde_json::json;

const POLICIES: usize = 1_000;

fn registry() -> Registry {
    let record = |name: &str| {
        let resource = Resource::new(name, ResourceClass::Record)
            .with("value", Kind::Money { currency: "currency".into() })
            .with("currency", Kind::Text)
            .with("ownerId", Kind::Id)
            .with("businessUnitId", Kind::Id);
        (0..20).fold(resource, |resource, field| resource.with(format!("field{field}"), Kind::Text))
    };
    Registry::new(["lead", "deal", "company", "contact", "task"].map(record))
}

/// Policies of all roles, actions, resources and effects, three in four with a condition.
fn policies(registry: &Registry) -> Vec<Policy> {
    let policy = |index: usize| {
        let action = Action::ALL[index % Action::ALL.len()];
        let resource = ["lead", "deal", "company", "contact", "task", "*"][index / 11 % 6];
        let field = (action.is_on_fields() && resource != "*" && !index.is_multiple_of(5))
            .then(|| format!("field{}", index % 20));
        let effect = if index.is_multiple_of(7) { "deny" } else { "allow" };
        let own = json!({"attr": "ownerId", "op": "eq", "ref": "caller.id"});
        let large = json!({"attr": "value", "op": "gt", "value": {"amount": index, "currency": "EUR"}});
        let condition = match index % 4 {
            0 if effect == "allow" => json!(null),
            0 | 1 => json!({"all": [large, {"not": own}]}),
            2 => json!({"any": [own, large]}),
            _ => json!({"all": [own, {"attr": "businessUnitId", "op": "in", "ref": "caller.businessUnitIds"}]}),
        };
        let role = ["ADMIN", "MANAGER", "SALES_REP", "ANY"][index / 66 % 4];
        let json = json!({
            "name": format!("Policy {index}"), "role": role,
            "action": action, "resource": resource, "field": field, "effect": effect, "condition": condition
        });
        Policy::read(format!("p{index}"), &json, registry).unwrap()
    };
    (0..POLICIES).map(policy).collect()
}

/// The worst case: all speak about the one question, and none of them decides it.
fn crowded(policies: &[Policy], context: &Context<'_>) -> Vec<Policy> {
    let silent =
        policies.iter().filter(|policy| policy.condition.as_ref().is_some_and(|c| c.evaluate(context) == Truth::False));
    let moved = silent.cycle().take(POLICIES).enumerate().map(|(index, policy)| Policy {
        id: index.to_string(),
        role: Subject::Any,
        action: Action::Edit,
        resource: ResourcePattern::Everything,
        field: None,
        effect: Effect::Deny,
        ..policy.clone()
    });
    moved.collect()
}

fn decide(criterion: &mut Criterion) {
    let registry = registry();
    let policies = policies(&registry);
    let engine = Engine::compile(policies.clone()).unwrap();
    let record = json!({"value": 0, "currency": "EUR", "ownerId": "you", "businessUnitId": "south", "field7": "x"});
    let facts = Facts::of(registry.resource("deal").unwrap(), record.as_object().unwrap());
    // Neither owned by the caller nor in their unit: no condition decides early.
    let caller = Caller::new("me").within(["north"]);

    for (name, action, resource) in [
        ("record", Action::Edit, "deal"),
        ("field", Action::ViewField, "deal.field7"),
        ("default", Action::Edit, "none"),
    ] {
        let request = Request::new(Role::Manager, action, resource, &caller, &facts);
        criterion.bench_function(&format!("decide/{name}"), |bencher| {
            bencher.iter(|| black_box(engine.decide(black_box(&request))));
        });
    }

    let crowded = Engine::compile(crowded(&policies, &Context::new(&caller, &facts))).unwrap();
    let request = Request::new(Role::Manager, Action::Edit, "deal", &caller, &facts);
    criterion.bench_function("decide/all in one cell", |bencher| bencher.iter(|| black_box(crowded.decide(&request))));

    let mut group = criterion.benchmark_group("load");
    group.sample_size(10);
    for count in [100, POLICIES] {
        group.bench_function(format!("{count} policies"), |bencher| {
            bencher.iter_batched(
                || policies[..count].to_vec(),
                |set| Engine::compile(set).unwrap(),
                BatchSize::LargeInput,
            );
        });
    }
}

criterion_group!(benches, decide);
criterion_main!(benches);
