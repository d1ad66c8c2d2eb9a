//! What is hidden of one record after the other, as lists tell it, is what is hidden of each by itself.

use chrono::{NaiveDate, TimeDelta};
use crm_core::deals::{Deal, DealFields};
use crm_core::masks::{Masked, masked_all};
use crm_core::money::{Currency, Money};
use crm_core::users::Role;
use crm_core::{Id, clock};
use serde_json::{Value, json};

use crate::world::World;

/// Conditions on attributes of every type, and on several at once.
fn conditions() -> Vec<Value> {
    let is = |attr: &str, op: &str, value: Value| json!({"attr": attr, "op": op, "value": value});
    let large = is("value", "gt", json!({"amount": 99.5, "currency": "EUR"}));
    let mine = json!({"attr": "ownerId", "op": "eq", "ref": "caller.id"});
    let late = is("expectedCloseDate", "lt", json!("2026-06-01"));
    vec![
        large.clone(),
        is("value", "le", json!({"amount": 100, "currency": "USD"})),
        is("value", "isNull", json!(true)),
        is("currency", "eq", json!("EUR")),
        is("probability", "ge", json!(0.5)),
        is("episode", "eq", json!(2)),
        is("status", "in", json!(["won", "lost"])),
        is("title", "ne", json!("Acme")),
        late.clone(),
        is("stageEnteredAt", "gt", json!("2000-01-01T00:00:00Z")),
        is("createdAt", "lt", json!("2100-01-01T00:00:00Z")),
        is("tags", "isNull", json!(true)),
        is("customFields", "isNull", json!(false)),
        mine.clone(),
        json!({"attr": "ownerId", "op": "ne", "ref": "caller.id"}),
        is("businessUnitId", "isNull", json!(true)),
        json!({"all": [large.clone(), {"not": mine.clone()}]}),
        json!({"any": [{"not": large}, late, mine]}),
    ]
}

/// Deals that differ in all of that, in an order in which each forgets what the one before held.
fn deals(world: &World) -> Vec<Deal> {
    let now = clock::now();
    let amounts = [None, Some("99.5"), Some("99.51"), Some("100"), Some("0")];
    let amount = |text: Option<&str>| text.map(|text| Money::new(text.parse().unwrap()).unwrap());
    let deal = |n: usize| {
        let fields = DealFields {
            title: if n.is_multiple_of(3) { "Acme" } else { "" }.into(),
            value: amount(amounts[n % 5]),
            currency: if n.is_multiple_of(2) { "EUR" } else { "USD" }.parse::<Currency>().unwrap(),
            probability: amount([None, Some("0.5"), Some("0.25")][n % 3]),
            status: ["open", "won", "lost"][n / 2 % 3].into(),
            owner_id: [None, Some(world.user(Role::Manager)), Some(world.user(Role::SalesRep))][n / 3 % 3],
            expected_close_date: [None, NaiveDate::from_ymd_opt(2026, 5, 31), NaiveDate::from_ymd_opt(2026, 6, 1)]
                [n / 4 % 3],
            stage_entered_at: now - TimeDelta::days(20_000 * i64::from(n.is_multiple_of(7))),
            episode: 1 + i32::from(n.is_multiple_of(4)),
            ..DealFields::default()
        };
        Deal { id: Id::new(), fields, created_at: now, updated_at: now, version: 1 }
    };
    (0..60).map(deal).collect()
}

#[test]
fn a_list_hides_in_each_record_what_is_hidden_of_it_alone() {
    let world = World::new();
    let deals = deals(&world);
    let mut hidden = 0;
    for (n, condition) in conditions().into_iter().enumerate() {
        let field = ["value", "title", "tags", "ownerId"][n % 4];
        let policy = json!({"name": format!("P{n}"), "role": "MANAGER", "action": "view_field", "resource": "deal",
            "field": field, "effect": "deny", "condition": condition});
        world.policy(&policy).unwrap();
        world
            .as_role(Role::Manager, |tx| {
                for (deal, seen) in deals.iter().zip(masked_all(tx.ctx, &deals)?) {
                    let names: Vec<String> = match seen {
                        Masked::Whole(_) => Vec::new(),
                        Masked::Part(_, names) => names.to_vec(),
                    };
                    let json = serde_json::to_value(deal).unwrap();
                    let alone = tx.ctx.gate.hidden(tx.ctx, "deal", json.as_object());
                    assert_eq!(names, alone, "{policy}: {json}");
                    hidden += names.len();
                }
                Ok(())
            })
            .unwrap();
    }
    assert!((1_000..60 * 18 * 4).contains(&hidden), "hidden in some and not in others: {hidden}");
}
