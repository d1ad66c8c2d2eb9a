//! Policies that hold at some times: one gate, kept by one process, asked at many moments.

use crm_core::deals::{self, Deal};
use crm_core::gate::{Action, Ask};
use crm_core::users::Role;
use crm_core::{Actor, Id, Result, Tx, leads, masks, organizations, page};
use crm_policy::simulations::{Simulation, simulate};
use serde_json::{Value, json};

use crate::world::{World, patch, refusal};

/// Does something as the user of this role at that instant.
fn at<T>(world: &World, role: Role, now: &str, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
    world.door.acting(world.organization, &Actor::User(world.user(role)), now.parse().unwrap(), work)
}

fn move_to(world: &World, zone: &str) {
    world.as_role(Role::Admin, |tx| organizations::update(tx, patch(&json!({"timezone": zone})))).unwrap();
}

const SUNDAY: &str = "2026-11-29T12:00:00Z";
const MONDAY: &str = "2026-11-30T12:00:00Z";

fn on_sundays() -> Value {
    json!({"attr": "request.weekday", "op": "eq", "value": "sunday"})
}

#[test]
fn nothing_is_exported_outside_office_hours() {
    let world = World::new();
    move_to(&world, "Europe/Berlin");
    let time = |op: &str, time: &str| json!({"attr": "request.time", "op": op, "value": time});
    let closed = json!({"any": [time("lt", "08:00"), time("ge", "18:00"), on_sundays()]});
    let policy = json!({"name": "Office hours", "role": "MANAGER", "action": "export_data", "resource": "lead", "effect": "deny",
        "condition": closed});
    world.policy(&policy).unwrap();
    let export = |now: &str| {
        at(&world, Role::Manager, now, |tx| tx.ctx.gate.check(tx.ctx, &Ask::about(Action::ExportData, "lead")))
    };
    for (now, is_open) in [
        ("2026-11-30T06:59:59Z", false),
        ("2026-11-30T07:00:00Z", true),
        ("2026-11-30T16:59:59Z", true),
        ("2026-11-30T17:00:00Z", false),
        (SUNDAY, false),
        (MONDAY, true),
    ] {
        match export(now) {
            Ok(()) => assert!(is_open, "{now}"),
            refused => assert!(!is_open && refusal(refused).1.contains("“Office hours”"), "{now}"),
        }
    }
    move_to(&world, "UTC");
    assert_eq!([export("2026-11-30T07:00:00Z").is_ok(), export("2026-11-30T17:00:00Z").is_ok()], [false, true]);
}

#[test]
fn what_is_hidden_on_sundays_is_seen_on_mondays() {
    let world = World::new();
    let deal =
        world.as_role(Role::Manager, |tx| deals::create(tx, patch(&json!({"title": "Acme", "value": 5})))).unwrap();
    let policy = json!({"name": "Sundays", "role": "MANAGER", "action": "view_field", "resource": "deal", "field": "value",
        "effect": "deny", "condition": on_sundays()});
    world.policy(&policy).unwrap();
    let seen = |now: &str| {
        at(&world, Role::Manager, now, |tx| {
            let json = serde_json::to_value(masks::masked(tx.ctx, &deal)?).unwrap();
            let alone = tx.ctx.gate.hidden(tx.ctx, "deal", json.as_object());
            let sorted = page::list::<Deal>(tx, &[("sort".into(), "-value".into())]).map(|page| page.items.len());
            let (each, never) = (masks::hidden::<Deal>(tx.ctx), tx.ctx.gate.never_seen(tx.ctx, "deal"));
            Ok((json.get("value").is_some(), alone, each, never, sorted))
        })
        .unwrap()
    };
    for _ in 0..2 {
        let (shows, alone, each, never, sorted) = seen(SUNDAY);
        assert!(!shows && [alone, each, never].iter().all(|names| *names == ["value"]));
        let (code, reason) = refusal(sorted);
        assert!(code == "field_not_viewable" && reason.contains("“Sundays”"), "{reason}");
        let (shows, alone, each, never, sorted) = seen(MONDAY);
        assert!(shows && [alone, each, never].iter().all(Vec::is_empty));
        assert_eq!(sorted.unwrap(), 1);
    }
}

#[test]
fn lists_can_be_closed_for_a_time() {
    let world = World::new();
    let policy = json!({"name": "Sundays", "role": "MANAGER", "action": "view", "resource": "lead", "effect": "deny",
        "condition": on_sundays()});
    world.policy(&policy).unwrap();
    let list = |now: &str| at(&world, Role::Manager, now, |tx| page::list::<leads::Lead>(tx, &[])).map(|_| ());
    assert!(refusal(list(SUNDAY)).1.contains("“Sundays”"));
    list(MONDAY).unwrap();
}

#[test]
fn today_is_a_day_of_the_organization() {
    let world = World::new();
    let create = |day: &str| {
        let deal = json!({"title": "Acme", "expectedCloseDate": day});
        world.as_role(Role::Manager, |tx| deals::create(tx, patch(&deal))).unwrap().id
    };
    let (long_due, due) = (create("2026-10-29"), create("2026-10-31"));
    let policy = json!({"name": "Overdue", "role": "MANAGER", "action": "edit", "resource": "deal", "effect": "deny",
        "condition": {"attr": "expectedCloseDate", "op": "lt", "ref": "today", "days": -30}});
    world.policy(&policy).unwrap();
    let edit = |id: Id<Deal>, now: &str| {
        at(&world, Role::Manager, now, |tx| deals::update(tx, id, patch(&json!({"title": now})))).map(drop)
    };
    let late = "2026-11-30T12:00:00Z";
    assert_eq!([edit(long_due, late).is_ok(), edit(due, late).is_ok()], [false, true]);
    // There it is the first of December already.
    move_to(&world, "Pacific/Kiritimati");
    assert!(refusal(edit(due, late)).1.contains("“Overdue”"));
    edit(due, "2026-11-29T12:00:00Z").unwrap();
}

#[test]
fn a_simulation_answers_for_another_moment() {
    let world = World::new();
    move_to(&world, "Europe/Berlin");
    let policy = json!({"name": "Sundays", "role": "MANAGER", "action": "edit", "resource": "deal", "effect": "deny",
        "condition": {"all": [on_sundays(), {"attr": "tags", "op": "contains", "value": "vip"},
            {"attr": "expectedCloseDate", "op": "lt", "ref": "today", "days": 7}]}});
    let id = world.policy(&policy).unwrap().id;
    let ask = |now: Value, attributes: Value| {
        let question =
            json!({"role": "MANAGER", "action": "edit", "resource": "deal", "at": now, "attributes": attributes});
        let question: Simulation = serde_json::from_value(question).unwrap();
        let told = at(&world, Role::Admin, MONDAY, |tx| simulate(tx, &question)).unwrap();
        let told = serde_json::to_value(told).unwrap();
        let entries = told["trace"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["policyId"] == json!(id)).unwrap().clone();
        (told, entry)
    };
    let vip = json!({"tags": ["new", "vip"], "expectedCloseDate": "2026-12-05"});
    let (told, entry) = ask(json!("2026-11-28T23:30:00Z"), vip.clone());
    let clock = json!({"at": "2026-11-28T23:30:00Z", "on": "2026-11-29", "time": "00:30", "weekday": "sunday",
        "timezone": "Europe/Berlin"});
    assert_eq!((&told["clock"], &told["policyName"], &entry["fired"]), (&clock, &json!("Sundays"), &json!(true)));
    let (told, entry) = ask(Value::Null, vip);
    assert_eq!((&told["clock"]["at"], &told["allowed"]), (&json!(MONDAY), &json!(true)));
    let failed = json!({"pointer": "/all/0", "attr": "request.weekday", "op": "eq", "wanted": "sunday", "found": "monday",
        "truth": "false"});
    assert_eq!(entry["failedClause"], failed);
    let (_, entry) = ask(json!(SUNDAY), json!({"tags": ["new"], "expectedCloseDate": "2026-12-05"}));
    let failed = json!({"pointer": "/all/1", "attr": "tags", "op": "contains", "wanted": "vip", "found": ["new"],
        "truth": "false"});
    assert_eq!(entry["failedClause"], failed);
    let (told, entry) = ask(json!(SUNDAY), json!({"tags": ["vip"]}));
    let failed = json!({"pointer": "/all/2", "attr": "expectedCloseDate", "op": "lt", "wanted": "2026-12-06",
        "truth": "unknown"});
    assert_eq!((&entry["failedClause"], &entry["fired"], &told["allowed"]), (&failed, &json!(true), &json!(false)));
}
