use crm_core::{
    Ctx, Patch,
    saved_views::{self, SavedView},
    users::Role,
};
use serde_json::{Value, json};

use crate::house::{House, bad, code, patch, query};

fn view(house: &House, ctx: &Ctx, name: &str, is_shared: bool) -> SavedView {
    let body = json!({
        "entityType": "deal", "name": name, "isShared": is_shared, "sort": "-value",
        "filters": {"status": "open", "ownerId": "me", "value[gte]": 1000, "expectedCloseBefore": "2025-12-31"},
        "columns": ["title", "value", "createdAt", "customFields.region"],
    });
    house.run(ctx, |tx| saved_views::create(tx, patch(body))).unwrap()
}

fn names(house: &House, ctx: &Ctx, parameters: &[(&str, &str)]) -> Vec<String> {
    let page = house.run(ctx, |tx| saved_views::list(tx, &query(parameters))).unwrap();
    page.items.into_iter().map(|view| view.fields.name).collect()
}

#[test]
fn everybody_sees_their_own_views_and_the_shared_ones() {
    let house = House::new();
    let (one, two) = (house.rep(), house.admin());
    let private = view(&house, &one, "a private", false);
    let shared = view(&house, &one, "b shared", true);
    view(&house, &two, "c private", false);
    assert_eq!(private.fields.owner_id, one.actor.user().unwrap());
    assert_eq!(serde_json::to_value(&private).unwrap()["filters"]["value[gte]"], json!(1000));
    assert_eq!(names(&house, &one, &[]), ["a private", "b shared"]);
    assert_eq!(names(&house, &two, &[]), ["b shared", "c private"]);
    assert_eq!(names(&house, &two, &[("sort", "-name"), ("isShared", "true")]), ["b shared"]);
    let page = house.run(&two, |tx| saved_views::list(tx, &query(&[("limit", "1"), ("count", "true")]))).unwrap();
    assert_eq!(page.total, Some(2));
    assert_eq!(names(&house, &two, &[("limit", "1"), ("cursor", &page.next_cursor.unwrap())]), ["c private"]);
    assert_eq!(code(house.run(&two, |tx| saved_views::read(tx, private.id))), "not_found");
    assert_eq!(house.run(&two, |tx| saved_views::read(tx, shared.id)).unwrap().id, shared.id);
    let stranger = house.stranger();
    assert_eq!(names(&house, &stranger, &[]), [""; 0]);
    assert_eq!(code(house.run(&stranger, |tx| saved_views::read(tx, shared.id))), "not_found");
    let body = json!({"entityType": "deal", "name": "Nobody's"});
    assert_eq!(code(house.run(&stranger, |tx| saved_views::create(tx, patch(body)))), "no_owner");
}

#[test]
fn only_the_owner_and_an_admin_for_shared_ones_change_a_view() {
    let house = House::new();
    let (owner, admin) = (house.rep(), house.admin());
    let manager = house.person("manager", Role::Manager, None);
    let private = view(&house, &owner, "private", false);
    let shared = view(&house, &owner, "shared", true);
    let rename = || patch(json!({"name": "renamed"}));
    for (ctx, id, refusal) in
        [(&manager, shared.id, "not_owner"), (&manager, private.id, "not_found"), (&admin, private.id, "not_found")]
    {
        assert_eq!(code(house.run(ctx, |tx| saved_views::update(tx, id, rename()))), refusal);
        assert_eq!(code(house.run(ctx, |tx| saved_views::delete(tx, id, &Patch::default()))), refusal);
    }
    assert_eq!(house.run(&admin, |tx| saved_views::update(tx, shared.id, rename())).unwrap().version, 2);
    assert_eq!(house.run(&owner, |tx| saved_views::update(tx, private.id, rename())).unwrap().version, 2);
    house.run(&admin, |tx| saved_views::delete(tx, shared.id, &Patch::default())).unwrap();
    house.run(&owner, |tx| saved_views::delete(tx, private.id, &Patch::default())).unwrap();
    assert_eq!(names(&house, &owner, &[]), [""; 0]);
}

#[test]
fn a_view_holds_only_what_its_list_understands() {
    let house = House::new();
    let rep = house.rep();
    let cases: [(Value, &[&str]); 6] = [
        (json!({"name": "x"}), &["entityType required"]),
        (json!({"entityType": "user", "name": "x"}), &["entityType not_allowed"]),
        (
            json!({"entityType": "lead", "name": "x", "filters": {"stageId": "none", "limit": 5, "status": ["new"]}}),
            &["filters.stageId not_in_list", "filters.limit not_in_list", "filters.status not_in_list"],
        ),
        (json!({"entityType": "lead", "name": "x", "filters": "status=new"}), &["filters not_in_list"]),
        (
            json!({"entityType": "lead", "name": "x", "sort": "tags", "columns": ["email", "salary"]}),
            &["sort not_in_list", "columns[1] not_in_list"],
        ),
        (
            json!({"entityType": "task", "name": "x", "columns": ["title", "customFields.a"]}),
            &["columns[1] not_in_list"],
        ),
    ];
    for (body, errors) in cases {
        assert_eq!(bad(house.run(&rep, |tx| saved_views::create(tx, patch(body.clone())))), errors, "{body}");
    }
    let body = json!({"entityType": "lead", "name": "x", "ownerId": rep.actor.user()});
    assert_eq!(code(house.run(&rep, |tx| saved_views::create(tx, patch(body)))), "read_only_member");
    let view = view(&house, &rep, "mine", false);
    for (body, errors) in [
        (json!({"entityType": "lead"}), "entityType immutable"),
        (json!({"filters": {"status": "new"}}), "filters.status not_in_list"),
        (json!({"sort": "score"}), "sort not_in_list"),
    ] {
        assert_eq!(bad(house.run(&rep, |tx| saved_views::update(tx, view.id, patch(body)))), [errors]);
    }
    let replaced = house.run(&rep, |tx| saved_views::update(tx, view.id, patch(json!({"filters": {"q": "acme"}}))));
    assert_eq!(replaced.unwrap().fields.filters, json!({"q": "acme"}));
}
