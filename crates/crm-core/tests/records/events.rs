use chrono::TimeDelta;
use crm_core::{
    Ctx, Error, Patch, bulk, companies,
    companies::Company,
    contacts::Contact,
    deals,
    events::{self, Announcement, DomainEvent},
    leads::{self, Lead},
    pipelines, tasks,
};
use diesel::{Connection, RunQueryDsl, connection::SimpleConnection};
use serde_json::json;
use uuid::Uuid;

use crate::house::{House, now, patch};

fn told(house: &House, ctx: &Ctx) -> Vec<DomainEvent> {
    house
        .run(ctx, |tx| {
            events::number(tx)?;
            events::after(tx, 0, 1_000)
        })
        .unwrap()
}

fn kinds(events: &[DomainEvent]) -> Vec<&str> {
    events.iter().map(|event| event.kind.as_str()).collect()
}

#[test]
fn every_change_of_a_record_is_told_once_by_its_most_telling_name() {
    let house = House::new();
    let admin = house.admin();
    let deal = house.run(&admin, |tx| deals::create(tx, patch(json!({"title": "D"})))).unwrap();
    let stages = house.run(&admin, |tx| pipelines::stages_of(tx, &[deal.fields.pipeline_id])).unwrap();
    let won = stages.iter().find(|stage| stage.fields.kind == "won").unwrap().id;
    let review = json!({"outcome": "won", "primaryReasonCode": "best_fit"});
    for body in [
        json!({"title": "Deal"}),
        json!({"title": "Deal"}),
        json!({"stageId": stages[1].id, "value": 5}),
        json!({"stageId": won, "winLossReview": review}),
        json!({"stageId": stages[0].id}),
    ] {
        house.run(&admin, |tx| deals::update(tx, deal.id, patch(body))).unwrap();
    }
    house.run(&admin, |tx| tx.delete(deal.id, &Patch::default())).unwrap();
    let task = house.run(&admin, |tx| tasks::create(tx, patch(json!({"title": "T"})))).unwrap();
    house.run(&admin, |tx| tasks::update(tx, task.id, patch(json!({"status": "done"})))).unwrap();
    let lead = house.lead(&admin, json!({"lastName": "L", "companyName": "C", "businessUnitId": house.south}));
    house.run(&admin, |tx| leads::convert(tx, lead.id, patch(json!({"deal": "none"})))).unwrap();

    let events = told(&house, &admin);
    let expected = [
        "deal.created",
        "deal.updated",
        "deal.stage_changed",
        "deal.won",
        "deal.reopened",
        "deal.deleted",
        "task.created",
        "task.completed",
        "lead.created",
        "company.created",
        "contact.created",
        "lead.converted",
    ];
    assert_eq!(kinds(&events), expected);
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    assert_eq!(events[1].changed_fields, ["title"]);
    assert!(events[2].changed_fields.iter().any(|field| field == "value"), "{:?}", events[2]);
    assert_eq!((events[1].entity_id, events[1].entity_version), (deal.id.uuid(), 2));
    assert_eq!((events[0].business_unit_id, events[8].business_unit_id), (None, Some(house.south)));
    assert_eq!((events[0].actor.as_str(), events[0].actor_user_id), ("user", admin.actor.user()));
    assert!(told(&house, &house.stranger()).is_empty());
}

#[test]
fn what_is_undone_is_not_told() {
    let house = House::new();
    let admin = house.admin();
    let refused: Result<(), _> = house.run(&admin, |tx| {
        leads::create(tx, patch(json!({"lastName": "Gone"})))?;
        Err(Error::NotFound)
    });
    assert!(refused.is_err());
    let ada = house.lead(&admin, json!({"lastName": "Ada"}));
    house
        .run(&admin, |tx| {
            let undone: Result<Lead, _> = tx.savepoint(|tx| {
                leads::create(tx, patch(json!({"lastName": "Gone too"})))?;
                Err(Error::NotFound)
            });
            assert!(undone.is_err());
            let commands = bulk::Commands { update: leads::update, delete: |tx, id, p| tx.delete(id, p).map(drop) };
            let body = json!({"ids": [ada.id, Uuid::nil()], "set": {"lastName": "Lovelace"}});
            bulk::edit::<Lead>(tx, patch(body), &commands)
        })
        .unwrap();
    assert_eq!(kinds(&told(&house, &admin)), ["lead.created", "lead.updated"]);
}

#[test]
fn a_number_is_never_given_behind_a_readers_back() {
    let house = House::new();
    let admin = house.admin();
    let mut slow = house.database.connect();
    let insert = format!(
        "INSERT INTO domain_events (organization_id, id, kind, entity_type, entity_id, entity_version, changed_fields, actor, \
         change_set_id, occurred_at) SELECT '{}', gen_random_uuid(), 'deal.won', 'deal', gen_random_uuid(), 1, '{{}}', \
         'system', gen_random_uuid(), now()",
        house.organization
    );
    let after_all = slow
        .transaction::<_, diesel::result::Error, _>(|slow| {
            slow.batch_execute(&insert)?;
            house.lead(&admin, json!({"lastName": "Quick"}));
            let events = told(&house, &admin);
            assert_eq!((kinds(&events), events[0].seq), (vec!["lead.created"], 1));
            Ok(events[0].seq)
        })
        .unwrap();
    let events = house
        .run(&admin, |tx| {
            assert_eq!(events::number(tx)?, 2);
            events::after(tx, after_all, 10)
        })
        .unwrap();
    assert_eq!((kinds(&events), events[0].seq), (vec!["deal.won"], 2));
}

fn jobs(house: &House) -> i64 {
    diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT count(*) FROM queue_jobs WHERE kind = 'dispatch_events'")
        .get_result(&mut house.database.connect())
        .unwrap()
}

#[test]
fn who_follows_is_woken_once_and_hears_of_all_that_happens_from_then_on() {
    let house = House::new();
    let admin = house.admin();
    house.lead(&admin, json!({"lastName": "Before"}));
    assert_eq!(jobs(&house), 0);
    house.run(&admin, |tx| events::follow(tx, true)).unwrap();
    assert!(house.run(&admin, events::is_dispatched).unwrap());
    for name in ["One", "Two"] {
        house.lead(&admin, json!({"lastName": name}));
    }
    assert_eq!(jobs(&house), 1);
    assert!(!house.run(&admin, events::is_dispatched).unwrap());
    let events = house.run(&admin, |tx| events::undispatched(tx, 1)).unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [2]);
    house.run(&admin, |tx| events::mark_dispatched(tx, 2)).unwrap();
    house.run(&admin, |tx| events::follow(tx, true)).unwrap();
    let events = house.run(&admin, |tx| events::undispatched(tx, 9)).unwrap();
    assert_eq!(events.iter().map(|event| event.seq).collect::<Vec<_>>(), [3], "following again skips nothing");
    house.run(&admin, |tx| events::mark_dispatched(tx, 3)).unwrap();
    assert!(house.run(&admin, events::is_dispatched).unwrap());
    house.run(&admin, |tx| events::follow(tx, false)).unwrap();
    diesel::sql_query("UPDATE queue_jobs SET status = 'completed'").execute(&mut house.database.connect()).unwrap();
    house.lead(&admin, json!({"lastName": "Three"}));
    assert_eq!(jobs(&house), 1, "nobody follows any more");
}

#[test]
fn other_things_are_told_by_their_names_and_old_events_go() {
    let house = House::new();
    let admin = house.admin();
    let announcement = Announcement {
        kind: "alert.raised",
        entity_type: "alert",
        entity_id: Uuid::from_u128(7),
        details: Some(json!({"severity": "error"})),
        ..Announcement::default()
    };
    house.run(&admin, |tx| events::announce(tx, announcement.clone())).unwrap();
    let unknown = Announcement { kind: "alert.lowered", ..announcement };
    assert!(house.run(&admin, |tx| events::announce(tx, unknown)).is_err());
    let [event] = told(&house, &admin).try_into().unwrap();
    assert_eq!(event.details, Some(json!({"severity": "error"})));
    assert_eq!(house.run(&admin, |tx| events::find(tx, event.id)).unwrap(), event);
    assert_eq!(house.run(&admin, events::oldest).unwrap(), 1);
    assert_eq!(house.run(&admin, |tx| events::prune(tx, now())).unwrap(), 0);
    // The row was written now, by the clock of this machine, though the tests live in the past.
    let later = now() + TimeDelta::days(36_500);
    assert_eq!(house.run(&admin, |tx| events::prune(tx, later)).unwrap(), 1);
    assert_eq!(house.run(&admin, events::oldest).unwrap(), 2);
    assert!(matches!(house.run(&admin, |tx| events::find(tx, event.id)), Err(Error::NotFound)));
}

#[test]
fn a_record_is_read_as_its_receiver_may_see_it() {
    let house = House::new();
    let admin = house.admin();
    let company: Company = house.make(&admin, json!({"name": "North", "businessUnitId": house.north}));
    let contact: Contact = house.make(&admin, json!({"lastName": "South", "businessUnitId": house.south}));
    house.run(&admin, |tx| companies::update(tx, company.id, patch(json!({"city": "Oslo"})))).unwrap();
    let southerner = house.southerner();
    let seen = |ctx: &Ctx, kind: &str, id: Uuid| house.run(ctx, |tx| events::record_as_seen(tx, kind, id)).unwrap();
    assert_eq!(seen(&admin, "company", company.id.uuid()).unwrap()["city"], "Oslo");
    assert_eq!(seen(&southerner, "company", company.id.uuid()), None);
    assert_eq!(seen(&southerner, "contact", contact.id.uuid()).unwrap()["lastName"], "South");
    assert_eq!(seen(&admin, "company", contact.id.uuid()), None);
    assert_eq!(seen(&admin, "alert", contact.id.uuid()), None);
    assert_eq!(seen(&house.stranger(), "company", company.id.uuid()), None);
}
