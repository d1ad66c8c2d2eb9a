use chrono::TimeDelta;
use crm_core::{
    Patch,
    activities::{self, Activity},
    deals, page,
    users::Role,
};
use serde_json::json;

use crate::house::{House, bad, code, now, patch, query};

#[test]
fn an_activity_takes_time_author_and_unit_from_what_is_there_and_touches_its_record() {
    let house = House::new();
    let rep = house.rep();
    let lead = house.lead(&rep, json!({"lastName": "Ada", "businessUnitId": house.north}));
    let deal = house.run(&rep, |tx| deals::create(tx, patch(json!({"title": "40 seats"})))).unwrap();
    let body = json!({"type": "call", "subject": "First call", "durationMinutes": 30, "leadId": lead.id});
    let call = house.run(&rep, |tx| activities::create(tx, patch(body))).unwrap();
    assert_eq!(call.fields.occurred_at, now());
    assert_eq!(call.fields.user_id, rep.actor.user());
    assert_eq!(call.fields.business_unit_id, Some(house.north));
    assert_eq!(house.find(&rep, lead.id).fields.last_activity_at, Some(now()));
    assert_eq!(house.find(&rep, lead.id).version, lead.version, "a touch is no edit");

    let earlier = now() - TimeDelta::days(3);
    let note = json!({"type": "note", "occurredAt": earlier, "dealId": deal.id});
    let note = house.run(&rep, |tx| activities::create(tx, patch(note))).unwrap();
    assert_eq!(note.fields.business_unit_id, None);
    assert_eq!(house.find(&rep, deal.id).fields.last_activity_at, Some(earlier));
    let ahead = json!({"type": "meeting", "occurredAt": now() + TimeDelta::days(3), "dealId": deal.id});
    house.run(&rep, |tx| activities::create(tx, patch(ahead))).unwrap();
    assert_eq!(house.find(&rep, deal.id).fields.last_activity_at, Some(earlier), "what is planned is no touch");

    let page = house.run(&rep, |tx| page::list::<Activity>(tx, &query(&[("limit", "2")]))).unwrap();
    assert_eq!(page.items.iter().map(|a| a.fields.type_.as_str()).collect::<Vec<_>>(), ["meeting", "call"]);
    let next = page.next_cursor.unwrap();
    let page = house.run(&rep, |tx| page::list::<Activity>(tx, &query(&[("limit", "2"), ("cursor", &next)]))).unwrap();
    assert_eq!(page.items[0].id, note.id);
    let of_lead = query(&[("leadId", &lead.id.to_string()), ("type", "call,email"), ("q", "first")]);
    assert_eq!(house.run(&rep, |tx| page::list::<Activity>(tx, &of_lead)).unwrap().items.len(), 1);
}

#[test]
fn an_activity_is_about_exactly_one_record() {
    let house = House::new();
    let rep = house.rep();
    let lead = house.lead(&rep, json!({"lastName": "Ada"}));
    let deal = house.run(&rep, |tx| deals::create(tx, patch(json!({"title": "40 seats"})))).unwrap();
    for (body, errors) in [
        (json!({}), vec!["type required", "leadId exactly_one"]),
        (json!({"type": "note"}), vec!["leadId exactly_one"]),
        (json!({"type": "note", "leadId": lead.id, "dealId": deal.id}), vec!["leadId exactly_one"]),
        (json!({"type": "fax", "leadId": lead.id}), vec!["type not_allowed"]),
        (json!({"type": "fax", "direction": "in", "leadId": lead.id}), vec!["type not_allowed"]),
        (json!({"type": "email", "direction": "inbound", "leadId": lead.id}), vec!["direction not_allowed"]),
        (json!({"type": "note", "direction": "in", "leadId": lead.id}), vec!["direction not_applicable"]),
        (json!({"type": "meeting", "direction": "out", "leadId": lead.id}), vec!["direction not_applicable"]),
        (
            json!({"type": "note", "leadId": deal.id, "durationMinutes": -1}),
            vec!["durationMinutes range", "leadId unknown_reference"],
        ),
        (json!({"type": "note", "leadId": lead.id, "occurredAt": "noon"}), vec!["occurredAt invalid_instant"]),
        (json!({"type": "note", "leadId": lead.id, "occurredAt": null}), vec!["occurredAt required"]),
    ] {
        assert_eq!(bad(house.run(&rep, |tx| activities::create(tx, patch(body.clone())))), errors, "{body}");
    }
    let body = json!({"type": "note", "leadId": lead.id, "userId": rep.actor.user()});
    assert_eq!(code(house.run(&rep, |tx| activities::create(tx, patch(body)))), "read_only_member");
    let body = json!({"type": "note", "leadId": lead.id});
    let note = house.run(&rep, |tx| activities::create(tx, patch(body))).unwrap();
    let both = patch(json!({"dealId": deal.id}));
    assert_eq!(bad(house.run(&rep, |tx| activities::update(tx, note.id, both))), ["leadId exactly_one"]);
    let moved = patch(json!({"dealId": deal.id, "leadId": null}));
    assert_eq!(house.run(&rep, |tx| activities::update(tx, note.id, moved)).unwrap().fields.deal_id, Some(deal.id));
    assert_eq!(house.find(&rep, deal.id).fields.last_activity_at, Some(now()));
}

#[test]
fn what_goes_in_or_out_is_told_and_found() {
    let house = House::new();
    let rep = house.rep();
    let lead = house.lead(&rep, json!({"lastName": "Ada"}));
    let make = |members: serde_json::Value| {
        let mut body = members;
        body["leadId"] = json!(lead.id);
        house.run(&rep, |tx| activities::create(tx, patch(body))).unwrap()
    };
    let question = make(json!({"type": "email", "direction": "in"}));
    make(json!({"type": "call", "direction": "out"}));
    make(json!({"type": "other", "direction": "out"}));
    make(json!({"type": "email"}));
    let found = |way: &str| {
        let of_way = query(&[("direction", way)]);
        house.run(&rep, |tx| page::list::<Activity>(tx, &of_way)).unwrap().items
    };
    assert_eq!(found("in").iter().map(|it| it.id).collect::<Vec<_>>(), [question.id]);
    assert_eq!(found("out").len(), 2);
    let noted = patch(json!({"type": "note"}));
    assert_eq!(bad(house.run(&rep, |tx| activities::update(tx, question.id, noted))), ["direction not_applicable"]);
    let noted = patch(json!({"type": "note", "direction": null}));
    assert_eq!(house.run(&rep, |tx| activities::update(tx, question.id, noted)).unwrap().fields.direction, None);
}

#[test]
fn only_its_author_and_an_admin_change_or_delete_an_activity() {
    let house = House::new();
    let rep = house.rep();
    let others = [house.person("other", Role::SalesRep, None), house.person("manager", Role::Manager, None)];
    let lead = house.lead(&rep, json!({"lastName": "Ada"}));
    let note = || {
        let body = json!({"type": "note", "leadId": lead.id});
        house.run(&rep, |tx| activities::create(tx, patch(body))).unwrap().id
    };
    let id = note();
    for other in &others {
        let change = patch(json!({"subject": "Mine now"}));
        assert_eq!(code(house.run(other, |tx| activities::update(tx, id, change))), "not_author");
        assert_eq!(code(house.run(other, |tx| activities::delete(tx, id, &Patch::default()))), "not_author");
    }
    for ctx in [&rep, &house.admin()] {
        let id = note();
        let change = patch(json!({"subject": "Better words"}));
        let changed = house.run(ctx, |tx| activities::update(tx, id, change)).unwrap();
        assert_eq!((changed.version, changed.fields.user_id), (2, rep.actor.user()));
        house.run(ctx, |tx| activities::delete(tx, id, &Patch::default())).unwrap();
        assert_eq!(code(house.run(ctx, |tx| tx.find(id))), "not_found");
    }
}

#[test]
fn activities_of_other_units_and_organizations_do_not_exist() {
    let house = House::new();
    let (rep, southerner) = (house.rep(), house.southerner());
    let lead = house.lead(&rep, json!({"lastName": "Ada", "businessUnitId": house.north}));
    let body = || patch(json!({"type": "note", "leadId": lead.id}));
    let note = house.run(&rep, |tx| activities::create(tx, body())).unwrap();
    for ctx in [&southerner, &house.stranger()] {
        assert_eq!(bad(house.run(ctx, |tx| activities::create(tx, body()))), ["leadId unknown_reference"]);
        assert_eq!(code(house.run(ctx, |tx| activities::update(tx, note.id, Patch::default()))), "not_found");
        assert_eq!(code(house.run(ctx, |tx| activities::delete(tx, note.id, &Patch::default()))), "not_found");
        assert_eq!(house.run(ctx, |tx| page::list::<Activity>(tx, &[])).unwrap().items.len(), 0);
    }
}
