//! Undoing what one request has changed.
use crm_core::{
    Ctx, Id, Patch, Result,
    companies::{self, Company},
    deals::{self, Deal},
    history::{self, Reversion, RevertStatus},
    leads::{self, Lead},
    pipelines,
    users::Role,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::house::{House, code, patch};

/// The same person in another request.
fn request(ctx: &Ctx, number: u128) -> Ctx {
    Ctx { change_set: Uuid::from_u128(number), ..ctx.clone() }
}

fn revert(house: &House, ctx: &Ctx, number: u128, body: Value) -> Result<Reversion> {
    house.run(ctx, |tx| history::revert(tx, &[], Uuid::from_u128(number), &patch(body)))
}

fn status(reversion: &Reversion, id: Uuid) -> RevertStatus {
    reversion.results.iter().find(|result| result.entity_id == id).unwrap().status
}

#[test]
fn each_record_goes_back_unless_it_has_been_changed_since() {
    let house = House::new();
    let (rep, manager) = (house.rep(), house.person("manager", Role::Manager, None));
    let lead = |name: &str| house.lead(&rep, json!({"lastName": name, "score": 1, "tags": ["old"]})).id;
    let (plain, edited, unrelated, deleted) = (lead("A"), lead("B"), lead("C"), lead("D"));
    let body =
        json!({"ids": [plain, edited, unrelated, deleted], "set": {"score": 9, "tags": ["new"], "source": "fair"}});
    house.run(&request(&rep, 7), |tx| leads::bulk(tx, patch(body))).unwrap();
    house.run(&rep, |tx| leads::update(tx, edited, patch(json!({"score": 5})))).unwrap();
    house.run(&rep, |tx| leads::update(tx, unrelated, patch(json!({"lastName": "Cc"})))).unwrap();
    house.run(&manager, |tx| tx.delete(deleted, &Patch::default())).unwrap();

    let reversion = revert(&house, &request(&rep, 8), 7, json!({"note": "Wrong list"})).unwrap();
    assert_eq!((reversion.reverted, reversion.conflicts, reversion.failed, reversion.skipped), (2, 2, 0, 0));
    assert_eq!(status(&reversion, edited.uuid()), RevertStatus::Conflict);
    assert_eq!(status(&reversion, deleted.uuid()), RevertStatus::Conflict);
    let fields = |id: Id<Lead>| house.find(&rep, id).fields;
    assert_eq!(
        (fields(plain).score, fields(plain).tags, fields(plain).source),
        (Some(1), vec!["old".to_owned()], None)
    );
    assert_eq!(fields(unrelated).last_name.as_deref(), Some("Cc"));
    assert_eq!((fields(edited).score, fields(edited).source.as_deref()), (Some(5), Some("fair")));
    let told = house.run(&rep, |tx| history::of_field(tx, "lead", plain.uuid(), "score", &[])).unwrap().items;
    assert_eq!((told[0].reason_code.as_deref(), told[0].note.as_deref()), (Some("revert"), Some("Wrong list")));

    let again = revert(&house, &rep, 7, json!({})).unwrap();
    assert_eq!((again.reverted, again.conflicts), (0, 4), "what is undone is not undone twice");
    let redone = revert(&house, &rep, 8, json!({})).unwrap();
    assert_eq!((redone.reverted, fields(plain).score), (2, Some(9)), "an undoing can be undone");
}

#[test]
fn rules_and_rights_hold_for_the_way_back() {
    let house = House::new();
    let (rep, manager) = (house.rep(), house.person("manager", Role::Manager, None));
    let deal = house.run(&rep, |tx| deals::create(tx, patch(json!({"title": "D", "value": 10.5})))).unwrap();
    let stages = house.run(&rep, |tx| pipelines::stages_of(tx, &[deal.fields.pipeline_id])).unwrap();
    let won = stages.iter().find(|stage| stage.fields.kind == "won").unwrap().id;
    let body = json!({"stageId": won, "value": 12.50, "winLossReview": {"primaryReasonCode": "best_fit"}});
    house.run(&request(&manager, 7), |tx| deals::update(tx, deal.id, patch(body))).unwrap();
    let reversion = revert(&house, &rep, 7, json!({})).unwrap();
    assert_eq!(reversion.results[0].error.as_ref().unwrap().code, "role_required", "a rep does not reopen deals");
    assert_eq!(reversion.failed, 1);
    assert_eq!(revert(&house, &manager, 7, json!({})).unwrap().reverted, 1);
    let fields = house.find::<Deal>(&rep, deal.id).fields;
    assert_eq!((fields.stage_id, fields.status.as_str(), fields.episode), (deal.fields.stage_id, "open", 2));
    assert_eq!(fields.value, deal.fields.value);
    let lead = house.lead(&rep, json!({"lastName": "Ada"}));
    house.run(&request(&rep, 9), |tx| leads::convert(tx, lead.id, patch(json!({})))).unwrap();
    let reversion = revert(&house, &rep, 9, json!({})).unwrap();
    assert_eq!(reversion.results[0].error.as_ref().unwrap().code, "converted");
    let reversion = revert(&house, &manager, 7, json!({"reasonCode": "best_fit"})).unwrap();
    assert_eq!(reversion.conflicts, 1);
}

#[test]
fn what_is_derived_deleted_or_not_the_callers_to_see_stays() {
    let house = House::new();
    let admin = house.admin();
    let stages = {
        let deal = house.run(&admin, |tx| deals::create(tx, patch(json!({"title": "D"})))).unwrap();
        house.run(&admin, |tx| pipelines::stages_of(tx, &[deal.fields.pipeline_id])).unwrap()
    };
    let pipeline = stages[0].fields.pipeline_id;
    let order: Vec<_> = [1, 0, 2, 3, 4, 5].map(|i: usize| stages[i].id).to_vec();
    house.run(&request(&admin, 7), |tx| pipelines::order_stages(tx, pipeline, &order, &Patch::default())).unwrap();
    assert_eq!(revert(&house, &admin, 7, json!({})).unwrap().skipped, 2, "places of stages follow from their order");
    house
        .run(&request(&admin, 8), |tx| pipelines::update_stage(tx, pipeline, stages[0].id, patch(json!({"name": "X"}))))
        .unwrap();
    assert_eq!(revert(&house, &admin, 8, json!({})).unwrap().reverted, 1);
    let company: Company = house.make(&admin, json!({"name": "Acme", "businessUnitId": house.north}));
    let ctx = request(&admin, 9);
    house.run(&ctx, |tx| companies::update(tx, company.id, patch(json!({"city": "York"})))).unwrap();
    let southerner = house.southerner();
    for (ctx, number) in [(&southerner, 9), (&house.stranger(), 9), (&admin, 10)] {
        assert_eq!(code(revert(&house, ctx, number, json!({}))), "not_found");
    }
    house.run(&ctx, |tx| tx.delete(company.id, &Patch::default())).unwrap();
    let reversion = revert(&house, &admin, 9, json!({})).unwrap();
    assert_eq!(status(&reversion, company.id.uuid()), RevertStatus::Skipped);
}
