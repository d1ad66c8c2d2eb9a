//! What is hidden of one record after the other, as lists tell it, is what is hidden of each by itself.

use chrono::{NaiveDate, TimeDelta};
use crm_core::change;
use crm_core::custom_fields::{CustomField, CustomValues};
use crm_core::deals::{Deal, DealFields};
use crm_core::masks::{Masked, masked_all};
use crm_core::money::{Currency, Money};
use crm_core::users::Role;
use crm_core::{Id, clock};
use serde_json::{Map, Value, json};

use crate::world::{World, patch};

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
        is("tags", "contains", json!("vip")),
        json!({"not": is("tags", "containsAny", json!(["new", "old"]))}),
        is("customFields.region", "eq", json!("north")),
        is("customFields.seats", "gt", json!(2.5)),
        is("customFields.seats", "isNull", json!(true)),
        is("customFields.signedOn", "lt", json!("2026-06-01")),
        is("customFields.signedOn", "isNull", json!(false)),
        is("customFields.isPublic", "eq", json!(true)),
        is("customFields.size", "in", json!(["large"])),
        json!({"attr": "expectedCloseDate", "op": "lt", "ref": "today", "days": -30}),
        json!({"attr": "stageEnteredAt", "op": "ge", "ref": "now", "days": -1}),
        is("request.on", "ge", json!("2000-01-01")),
        is("customFields", "isNull", json!(false)),
        mine.clone(),
        json!({"attr": "ownerId", "op": "ne", "ref": "caller.id"}),
        is("businessUnitId", "isNull", json!(true)),
        json!({"all": [large.clone(), {"not": mine.clone()}]}),
        json!({"any": [{"not": large}, late, mine]}),
    ]
}

/// The custom fields that conditions compare, and one that none does.
fn custom_fields(world: &World) {
    for (key, kind) in [
        ("region", "text"),
        ("seats", "number"),
        ("signedOn", "date"),
        ("isPublic", "boolean"),
        ("size", "select"),
        ("unused", "text"),
    ] {
        let options = if kind == "select" { json!(["small", "large"]) } else { json!([]) };
        let field = json!({"entityType": "deal", "key": key, "label": key, "type": kind, "options": options});
        world.as_role(Role::Admin, |tx| change::create::<CustomField>(tx, patch(&field))).unwrap();
    }
}

/// Some values of them, in another order each time.
fn custom(n: usize) -> Map<String, Value> {
    let values = [
        ("unused", json!("x")),
        ("size", json!(["small", "large"][n % 2])),
        ("region", json!(["north", "south"][n / 2 % 2])),
        ("seats", json!(n % 6)),
        ("signedOn", if n.is_multiple_of(7) { Value::Null } else { json!("2026-05-31") }),
        ("isPublic", json!(n.is_multiple_of(3))),
    ];
    let turned = values.iter().cycle().skip(n % 6).take(n % 7).cloned();
    turned.map(|(key, value)| (key.to_owned(), value)).collect()
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
            tags: [&[][..], &["vip"], &["new", "vip"]][n / 5 % 3].iter().map(|tag| (*tag).to_owned()).collect(),
            custom_fields: CustomValues(custom(n)),
            ..DealFields::default()
        };
        Deal { id: Id::new(), fields, created_at: now, updated_at: now, version: 1 }
    };
    (0..60).map(deal).collect()
}

#[test]
fn a_list_hides_in_each_record_what_is_hidden_of_it_alone() {
    let world = World::new();
    custom_fields(&world);
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
    assert!((1_000..60 * 30 * 4).contains(&hidden), "hidden in some and not in others: {hidden}");
}
