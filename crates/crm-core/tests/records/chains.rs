//! The chain of the field history: whole as long as nobody meddles, and broken where somebody does.
use crm_core::{
    Ctx, Error, Patch,
    companies::{self, Company},
    history::{self, Finding, Verification},
    leads,
    users::Role,
};
use diesel::{RunQueryDsl, connection::SimpleConnection};
use serde_json::json;

use crate::house::{House, code, now, patch};

/// Ten changes of a company, each in a transaction of its own, with a word of explanation.
fn ten_changes(house: &House, ctx: &Ctx) -> Company {
    let company: Company = house.make(ctx, json!({"name": "Acme"}));
    for i in 1..=10 {
        let body = json!({"employees": i, "note": format!("Change {i}"), "reasonCode": "correction"});
        house.run(ctx, |tx| companies::update(tx, company.id, patch(body))).unwrap();
    }
    company
}

fn verify(house: &House, ctx: &Ctx) -> Verification {
    house.run(ctx, history::verify).unwrap()
}

#[test]
fn an_untouched_chain_is_whole_and_managers_may_know() {
    let house = House::new();
    let (rep, manager) = (house.rep(), house.person("manager", Role::Manager, None));
    let empty = verify(&house, &manager);
    assert_eq!((empty.ok, empty.checked, empty.head.seq), (true, 0, 0));
    ten_changes(&house, &rep);
    let found = verify(&house, &manager);
    assert_eq!((found.ok, found.checked, found.first_broken, found.finding), (true, 10, None, None));
    assert_eq!((found.head.seq, found.head.hash.len()), (10, 64));
    assert_eq!(code(house.run(&rep, history::verify)), "role_required");
    assert_eq!(verify(&house, &house.stranger()).checked, 0, "every organization has a chain of its own");
}

#[test]
fn whatever_is_done_to_the_rows_is_found_where_it_was_done() {
    use Finding::{Edited, Inserted, Removed, Truncated};
    let house = House::new();
    let admin = house.admin();
    ten_changes(&house, &admin);
    let copy = "INSERT INTO field_history SELECT (r).* FROM (SELECT jsonb_populate_record(h, jsonb_build_object(\
                'seq', 11, 'id', gen_random_uuid())) AS r FROM field_history h WHERE seq = 10) t";
    let cases = [
        ("UPDATE field_history SET new_value = '99' WHERE seq = 4", 4, Edited),
        ("UPDATE field_history SET old_value = NULL WHERE seq = 4", 4, Edited),
        ("UPDATE field_history SET note = 'Nothing' WHERE seq = 1", 1, Edited),
        ("UPDATE field_history SET new_label = 'Ada' WHERE seq = 2", 2, Edited),
        ("UPDATE field_history SET changed_by = NULL WHERE seq = 10", 10, Edited),
        ("UPDATE field_history SET changed_at = changed_at - interval '1 s' WHERE seq = 7", 7, Edited),
        ("UPDATE field_history SET entity_version = 5 WHERE seq = 7", 7, Edited),
        ("UPDATE field_history SET reason_code = NULL WHERE seq = 3", 3, Edited),
        (
            "UPDATE field_history SET new_digest = old_digest, new_salt = old_salt, new_value = old_value WHERE seq = 3",
            3,
            Edited,
        ),
        ("UPDATE history_heads SET hash = sha256('other')", 10, Edited),
        ("DELETE FROM field_history WHERE seq = 1", 1, Removed),
        ("DELETE FROM field_history WHERE seq IN (5, 6)", 5, Removed),
        ("DELETE FROM field_history WHERE seq = 10", 10, Truncated),
        ("DELETE FROM field_history WHERE seq > 8", 9, Truncated),
        ("DELETE FROM field_history", 1, Truncated),
        ("DELETE FROM history_heads", 1, Inserted),
        (copy, 11, Inserted),
    ];
    for (sql, at, finding) in cases {
        let conn = &mut house.database.connect();
        conn.batch_execute("CREATE TABLE kept AS TABLE field_history; CREATE TABLE heads AS TABLE history_heads")
            .unwrap();
        conn.batch_execute(sql).unwrap();
        let found = verify(&house, &admin);
        assert_eq!((found.ok, found.first_broken, found.finding), (false, Some(at), Some(finding)), "{sql}");
        assert_eq!(found.checked, at - 1, "{sql}");
        conn.batch_execute(
            "TRUNCATE field_history, history_heads; INSERT INTO field_history TABLE kept; \
             INSERT INTO history_heads TABLE heads; DROP TABLE kept, heads",
        )
        .unwrap();
        assert!(verify(&house, &admin).ok, "{sql} was not undone by the test");
    }
}

#[test]
fn an_erased_person_leaves_a_chain_that_still_proves_the_rest() {
    let house = House::new();
    let admin = house.admin();
    ten_changes(&house, &admin);
    let lead = house.lead(&admin, json!({"lastName": "Lovelace", "email": "ada@example.com"}));
    let body = json!({"lastName": "Byron", "note": "Ada called", "status": "contacted"});
    house.run(&admin, |tx| leads::update(tx, lead.id, patch(body))).unwrap();
    let deal = house
        .run(&admin, |tx| {
            let deal = crm_core::deals::create(tx, patch(json!({"title": "D"})))?;
            crm_core::deals::update(tx, deal.id, patch(json!({"leadId": lead.id})))
        })
        .unwrap();
    let text = || {
        let sql = "SELECT string_agg(h::text, '|') AS line FROM field_history h";
        #[derive(diesel::QueryableByName)]
        struct Line {
            #[diesel(sql_type = diesel::sql_types::Text)]
            line: String,
        }
        diesel::sql_query(sql).get_result::<Line>(&mut house.database.connect()).unwrap().line
    };
    assert!(text().contains("Byron") && text().contains("Ada called"));
    let touched = house
        .run(&admin, |tx| {
            crm_core::deals::update(tx, deal.id, patch(json!({"leadId": null})))?;
            tx.delete(lead.id, &Patch::default())?;
            history::erase(tx, "lead", lead.id.uuid())
        })
        .unwrap_or_else(|error: Error| panic!("{error}"));
    assert!(touched > 5, "{touched}");
    for word in ["Lovelace", "Byron", "ada@example.com", "Ada called"] {
        assert!(!text().contains(word), "{word} is still there");
    }
    let found = verify(&house, &admin);
    assert!(found.ok && found.erased > 5, "{found:?}");
    let conn = &mut house.database.connect();
    diesel::sql_query(
        "UPDATE field_history SET old_value = '\"Forged\"' WHERE old_salt IS NULL AND field_name = 'lastName'",
    )
    .execute(conn)
    .unwrap();
    assert!(!verify(&house, &admin).ok, "what was erased cannot be filled again");
}

#[test]
fn what_a_savepoint_undoes_is_not_in_the_history() {
    let house = House::new();
    let admin = house.admin();
    let company: Company = house.make(&admin, json!({"name": "Acme"}));
    let set = |tx: &mut crm_core::Tx<'_>, employees: i32| {
        companies::update(tx, company.id, patch(json!({"employees": employees})))
    };
    let told = house
        .run(&admin, |tx| {
            set(tx, 1)?;
            let undone = tx.savepoint(|tx| {
                set(tx, 2)?;
                // Reading the history writes what is waiting, which the savepoint undoes too.
                assert_eq!(history::of_entity(tx, "company", company.id.uuid(), &[])?.items.len(), 2);
                Err::<(), _>(Error::NotFound)
            });
            assert!(undone.is_err());
            set(tx, 3)?;
            history::of_entity(tx, "company", company.id.uuid(), &[])
        })
        .unwrap();
    let values: Vec<_> = told.items.iter().map(|change| change.new_value.clone()).collect();
    assert_eq!(values.iter().map(ToString::to_string).collect::<std::collections::BTreeSet<_>>().len(), 2);
    assert!(values.contains(&json!(1)) && values.contains(&json!(3)));
    assert_eq!(verify(&house, &admin).checked, 2);
}

#[test]
fn writers_who_cross_each_other_do_not_block_each_other() {
    let house = House::new();
    let admin = house.admin();
    let ids: Vec<_> = (0..4).map(|i| house.make::<Company>(&admin, json!({"name": format!("C{i}")})).id).collect();
    std::thread::scope(|scope| {
        for (worker, id) in ids.iter().enumerate() {
            let (house, admin) = (&house, &admin);
            scope.spawn(move || {
                for round in 0..10 {
                    let body = json!({"employees": round * 10 + worker, "city": format!("{round}")});
                    house.run(admin, |tx| companies::update(tx, *id, patch(body))).unwrap();
                }
            });
        }
    });
    let found = verify(&house, &admin);
    assert!(found.ok, "{found:?}");
    assert_eq!(found.checked, 4 * 10 * 2);
}

#[test]
fn references_are_told_as_they_read_at_the_time() {
    let house = House::new();
    let mut admin = house.admin();
    let company: Company = house.make(&admin, json!({"name": "Acme"}));
    let parent: Company = house.make(&admin, json!({"name": "Old parent"}));
    let owner = admin.actor.user().unwrap();
    let body = json!({"parentCompanyId": parent.id, "ownerId": owner, "businessUnitId": house.north});
    house.run(&admin, |tx| companies::update(tx, company.id, patch(body))).unwrap();
    admin.now = now() + chrono::TimeDelta::hours(1);
    house
        .run(&admin, |tx| {
            companies::update(tx, parent.id, patch(json!({"name": "New parent"})))?;
            companies::update(tx, company.id, patch(json!({"parentCompanyId": null, "city": "York"})))
        })
        .unwrap();
    let told = house.run(&admin, |tx| history::of_entity(tx, "company", company.id.uuid(), &[])).unwrap().items;
    let labels = |field: &str| {
        let of_field = told.iter().filter(|change| change.field_name == field);
        of_field.map(|change| (change.old_label.as_deref(), change.new_label.as_deref())).collect::<Vec<_>>()
    };
    assert_eq!(labels("parentCompanyId"), [(Some("New parent"), None), (None, Some("Old parent"))]);
    assert_eq!(labels("ownerId"), [(None, Some("admin"))]);
    assert_eq!(labels("businessUnitId"), [(None, Some("north"))]);
    assert_eq!(labels("city"), [(None, None)]);
}
