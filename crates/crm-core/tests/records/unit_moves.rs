//! Records that move to another business unit, and what is about them.
use crm_core::{
    Ctx, Error, Id,
    activities::{self, Activity},
    business_units,
    companies::{self, Company},
    contacts::Contact,
    deals::{self, Deal},
    history,
    leads::{self, Lead},
    tasks::{self, Task},
    users::Role,
};
use serde_json::{Value, json};

use crate::house::{House, patch};

fn activity(house: &House, ctx: &Ctx, about: Value) -> Id<Activity> {
    let mut body = about;
    body["type"] = "call".into();
    house.run(ctx, |tx| activities::create(tx, patch(body))).unwrap().id
}

fn task(house: &House, ctx: &Ctx, about: Value) -> Id<Task> {
    let mut body = about;
    body["title"] = "Call back".into();
    house.run(ctx, |tx| tasks::create(tx, patch(body))).unwrap().id
}

fn deal(house: &House, ctx: &Ctx, title: &str) -> Deal {
    let body = json!({"title": title, "businessUnitId": house.north});
    house.run(ctx, |tx| deals::create(tx, patch(body))).unwrap()
}

#[test]
fn activities_and_tasks_go_where_their_record_goes() {
    let house = House::new();
    let admin = house.admin();
    let northerner = house.person("northerner", Role::SalesRep, Some(&[house.north]));
    let southerner = house.southerner();
    let north = json!({"lastName": "A", "businessUnitId": house.north});
    let company: Company = house.make(&admin, json!({"name": "A", "businessUnitId": house.north}));
    let (contact, lead): (Contact, Lead) = (house.make(&admin, north.clone()), house.lead(&admin, north));
    let deal = deal(&house, &admin, "A");
    let abouts = [
        json!({"companyId": company.id}),
        json!({"contactId": contact.id}),
        json!({"leadId": lead.id}),
        json!({"dealId": deal.id}),
    ];
    let about: Vec<_> = abouts
        .into_iter()
        .map(|about| (activity(&house, &admin, about.clone()), task(&house, &admin, about)))
        .collect();
    let other = task(&house, &admin, json!({"businessUnitId": house.north}));
    let south = || patch(json!({"businessUnitId": house.south, "note": "Merged"}));
    house.run(&admin, |tx| companies::update(tx, company.id, south())).unwrap();
    house.run(&admin, |tx| crm_core::contacts::update(tx, contact.id, south())).unwrap();
    house.run(&admin, |tx| leads::update(tx, lead.id, south())).unwrap();
    let bulk = patch(json!({"ids": [deal.id], "set": {"businessUnitId": house.south}}));
    assert_eq!(house.run(&admin, |tx| deals::bulk(tx, bulk)).unwrap().updated, 1);
    for (activity, task) in about {
        let seen = house.find(&southerner, activity);
        assert_eq!((seen.fields.business_unit_id, seen.version), (Some(house.south), 2));
        assert_eq!(house.find(&southerner, task).version, 2);
        for gone in [
            house.run(&northerner, |tx| tx.find(activity)).map(drop),
            house.run(&northerner, |tx| tx.find(task)).map(drop),
        ] {
            assert!(matches!(gone, Err(Error::NotFound)));
        }
    }
    assert_eq!(house.find(&northerner, other).version, 1, "what is about no record stays");
    let told = house.run(&admin, |tx| history::recent(tx, &[])).unwrap().items;
    let moves: Vec<_> = told.iter().filter(|row| row.field_name == "businessUnitId").collect();
    assert_eq!(moves.len(), 12);
    assert!(
        moves.iter().all(|row| row.old_label.as_deref() == Some("north") && row.new_label.as_deref() == Some("south"))
    );
    assert_eq!(moves.iter().filter(|row| row.note.as_deref() == Some("Merged")).count(), 9);

    house.run(&admin, |tx| deals::update(tx, deal.id, patch(json!({"businessUnitId": null})))).unwrap();
    let task = house.run(&northerner, |tx| tasks_of(tx, deal.id)).unwrap();
    assert_eq!(task, 1, "what belongs to no unit is seen by all");
}

fn tasks_of(tx: &mut crm_core::Tx<'_>, deal: Id<Deal>) -> crm_core::Result<usize> {
    let query = [("dealId".to_owned(), deal.to_string())];
    Ok(crm_core::page::list::<Task>(tx, &query)?.items.len())
}

#[test]
fn a_move_is_undone_with_what_it_took_along() {
    let house = House::new();
    let admin = house.admin();
    let deal = deal(&house, &admin, "A");
    let (activity, task) =
        (activity(&house, &admin, json!({"dealId": deal.id})), task(&house, &admin, json!({"dealId": deal.id})));
    let mover = Ctx { change_set: Id::<Deal>::new().uuid(), ..admin.clone() };
    house.run(&mover, |tx| deals::update(tx, deal.id, patch(json!({"businessUnitId": house.south})))).unwrap();
    let undone = house.run(&admin, |tx| history::revert(tx, &[], mover.change_set, &patch(json!({})))).unwrap();
    assert_eq!((undone.reverted, undone.skipped, undone.conflicts), (1, 2, 0));
    assert_eq!(house.find(&admin, activity).fields.business_unit_id, Some(house.north));
    assert_eq!(house.find(&admin, task).fields.business_unit_id, Some(house.north));
}

#[test]
fn a_unit_hands_over_all_that_it_works_on() {
    let house = House::new();
    let admin = house.admin();
    let unit = |house: &House, body: Value| {
        let mut body = body;
        body["businessUnitId"] = json!(house.north);
        body
    };
    let company: Company = house.make(&admin, unit(&house, json!({"name": "A"})));
    let contact: Contact = house.make(&admin, unit(&house, json!({"lastName": "A"})));
    let lead = house.lead(&admin, unit(&house, json!({"lastName": "L"})));
    let converted = house.lead(&admin, unit(&house, json!({"lastName": "C", "companyName": "C"})));
    house.run(&admin, |tx| leads::convert(tx, converted.id, patch(json!({})))).unwrap();
    let (open, lost) = (deal(&house, &admin, "Open"), deal(&house, &admin, "Lost"));
    let close = "UPDATE deals d SET status = 'lost', closed_at = now(), stage_id = s.id FROM stages s \
                 WHERE d.title = 'Lost' AND s.kind = 'lost' AND s.pipeline_id = d.pipeline_id";
    diesel::RunQueryDsl::execute(diesel::sql_query(close), &mut house.database.connect()).unwrap();
    let (call, late) =
        (activity(&house, &admin, json!({"dealId": open.id})), activity(&house, &admin, json!({"dealId": lost.id})));
    let own = task(&house, &admin, unit(&house, json!({})));
    let done = task(&house, &admin, unit(&house, json!({"status": "done"})));
    let stranger: Company = house.make(&admin, json!({"name": "None's"}));

    let hand_over = patch(json!({"note": "Closing north"}));
    house.run(&admin, |tx| business_units::deactivate(tx, house.north, Some(house.south), hand_over)).unwrap();
    let southerner = house.southerner();
    let south = Some(house.south);
    assert_eq!(house.find(&southerner, company.id).fields.business_unit_id, south);
    assert_eq!(house.find(&southerner, contact.id).fields.business_unit_id, south);
    assert_eq!(house.find(&southerner, lead.id).fields.business_unit_id, south);
    assert_eq!(house.find(&southerner, open.id).fields.business_unit_id, south);
    assert_eq!(house.find(&southerner, call).fields.business_unit_id, south);
    assert_eq!(house.find(&southerner, own).fields.business_unit_id, south);
    let north = Some(house.north);
    assert_eq!(house.find(&admin, converted.id).fields.business_unit_id, north);
    assert_eq!(house.find(&admin, lost.id).fields.business_unit_id, north);
    assert_eq!(house.find(&admin, late).fields.business_unit_id, north);
    assert_eq!(house.find(&admin, done).fields.business_unit_id, north);
    assert_eq!(house.find(&admin, stranger.id).fields.business_unit_id, None);
    assert_eq!(house.find(&admin, open.id).version, open.version + 1);
    let told = house.run(&admin, |tx| history::of_entity(tx, "company", company.id.uuid(), &[])).unwrap().items;
    let last = &told[0];
    assert_eq!((last.field_name.as_str(), last.note.as_deref()), ("businessUnitId", Some("Closing north")));
    assert!(house.run(&admin, history::verify).unwrap().ok);
}
