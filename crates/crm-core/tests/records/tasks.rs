use chrono::TimeDelta;
use crm_core::{
    Patch, deals, page,
    tasks::{self, Task},
};
use serde_json::json;

use crate::house::{House, bad, code, now, patch, query};

#[test]
fn a_task_is_completed_by_its_status_and_that_touches_its_record() {
    let house = House::new();
    let rep = house.rep();
    let lead = house.lead(&rep, json!({"lastName": "Ada", "businessUnitId": house.south}));
    let body = json!({"title": "Call back", "leadId": lead.id, "dueAt": now() + TimeDelta::days(1)});
    let task = house.run(&rep, |tx| tasks::create(tx, patch(body))).unwrap();
    assert_eq!((task.fields.status.as_str(), task.fields.priority.as_str()), ("open", "normal"));
    assert_eq!((task.fields.assignee_id, task.fields.completed_at), (rep.actor.user(), None));
    assert_eq!(task.fields.business_unit_id, Some(house.south));
    assert_eq!(house.find(&rep, lead.id).fields.last_activity_at, None);

    let mut later = rep.clone();
    later.now += TimeDelta::hours(5);
    let done = house.run(&later, |tx| tasks::update(tx, task.id, patch(json!({"status": "done"})))).unwrap();
    assert_eq!(done.fields.completed_at, Some(later.now));
    assert_eq!(house.find(&rep, lead.id).fields.last_activity_at, Some(later.now));
    let renamed = house.run(&rep, |tx| tasks::update(tx, task.id, patch(json!({"title": "Called back"})))).unwrap();
    assert_eq!(renamed.fields.completed_at, Some(later.now), "only the status moves it");
    for status in ["cancelled", "open"] {
        let task = house.run(&rep, |tx| tasks::update(tx, task.id, patch(json!({"status": status})))).unwrap();
        assert_eq!(task.fields.completed_at, None, "{status}");
    }
    let body = json!({"title": "Done before it was written down", "status": "done"});
    let task = house.run(&rep, |tx| tasks::create(tx, patch(body))).unwrap();
    assert_eq!(task.fields.completed_at, Some(now()));
}

#[test]
fn tasks_are_found_by_their_due_time() {
    let house = House::new();
    let rep = house.rep();
    for (title, due) in [("late", Some(-1)), ("soon", Some(1)), ("later", Some(9)), ("some day", None)] {
        let due_at = due.map(|days| now() + TimeDelta::days(days));
        let body = json!({"title": title, "dueAt": due_at});
        house.run(&rep, |tx| tasks::create(tx, patch(body))).unwrap();
    }
    type Parameters = [(&'static str, &'static str)];
    let cases: [(&Parameters, &[&str]); 5] = [
        (&[("dueBefore", "2025-06-01T12:00:00Z")], &["late"]),
        (&[("dueAfter", "2025-06-01"), ("dueBefore", "2025-06-05"), ("status", "open")], &["soon"]),
        (&[("sort", "dueAt"), ("assigneeId", "me")], &["late", "soon", "later", "some day"]),
        (&[("sort", "-dueAt"), ("priority", "normal,high")], &["later", "soon", "late", "some day"]),
        (&[("dueAt[empty]", "true")], &["some day"]),
    ];
    for (parameters, titles) in cases {
        let page = house.run(&rep, |tx| page::list::<Task>(tx, &query(parameters))).unwrap();
        assert_eq!(page.items.iter().map(|t| t.fields.title.as_str()).collect::<Vec<_>>(), titles, "{parameters:?}");
    }
}

#[test]
fn bad_tasks_are_refused() {
    let house = House::new();
    let rep = house.rep();
    let lead = house.lead(&rep, json!({"lastName": "Ada"}));
    let deal = house.run(&rep, |tx| deals::create(tx, patch(json!({"title": "40 seats"})))).unwrap();
    for (body, errors) in [
        (json!({}), vec!["title required"]),
        (
            json!({"title": " ", "priority": "urgent", "status": 1}),
            vec!["status not_allowed", "priority not_allowed", "title required"],
        ),
        (json!({"title": "x", "leadId": lead.id, "dealId": deal.id}), vec!["leadId at_most_one"]),
        (json!({"title": "x", "assigneeId": lead.id}), vec!["assigneeId unknown_reference"]),
    ] {
        assert_eq!(bad(house.run(&rep, |tx| tasks::create(tx, patch(body.clone())))), errors, "{body}");
    }
    let body = json!({"title": "x", "completedAt": now()});
    assert_eq!(code(house.run(&rep, |tx| tasks::create(tx, patch(body)))), "read_only_member");
    let task = house.run(&rep, |tx| tasks::create(tx, patch(json!({"title": "x", "leadId": lead.id})))).unwrap();
    let both = patch(json!({"dealId": deal.id}));
    assert_eq!(bad(house.run(&rep, |tx| tasks::update(tx, task.id, both))), ["leadId at_most_one"]);
    let stale = Patch { expected: Some(7), ..patch(json!({"title": "y"})) };
    assert_eq!(code(house.run(&rep, |tx| tasks::update(tx, task.id, stale))), "stale_version");
}

#[test]
fn tasks_of_other_units_and_organizations_do_not_exist() {
    let house = House::new();
    let rep = house.rep();
    let body = json!({"title": "Northern", "businessUnitId": house.north});
    let task = house.run(&rep, |tx| tasks::create(tx, patch(body))).unwrap();
    for ctx in [&house.southerner(), &house.stranger()] {
        let change = patch(json!({"status": "done"}));
        assert_eq!(code(house.run(ctx, |tx| tasks::update(tx, task.id, change))), "not_found");
        assert_eq!(house.run(ctx, |tx| page::list::<Task>(tx, &[])).unwrap().items.len(), 0);
    }
    let own = house.run(&house.person("s", crm_core::users::Role::SalesRep, Some(&[house.south])), |tx| {
        tasks::create(tx, patch(json!({"title": "Southern"})))
    });
    assert_eq!(own.unwrap().fields.business_unit_id, Some(house.south), "the only unit that they work in");
}
