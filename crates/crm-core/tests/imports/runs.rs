//! How imports run: through crashes, dry, cancelled, and taken back.
use crm_core::{Error, imports, jobs::Failure};
use serde_json::{Value, json};

use crate::house::{House, counters, run};

fn people(count: usize) -> String {
    (0..count).fold("last,mail\n".to_owned(), |csv, n| csv + &format!("Name {n},p{n}@x.example\n"))
}

fn mapping() -> Value {
    json!({"last": "lastName", "mail": "email"})
}

#[test]
fn an_import_goes_on_where_a_dead_worker_stopped() {
    let house = House::new();
    let rows = imports::BATCH * 8 + 20;
    let import = house.take_in("contact", &people(rows), &mapping(), &json!({})).unwrap();
    let (queue, dead) = (house.queue(), house.claim().unwrap());
    // Another takes the job over in the middle of the file, as after an expired lease; the zombie goes on meanwhile.
    let zombie = std::thread::scope(|scope| {
        let zombie = scope.spawn(|| run(&queue, &dead));
        while house.read(import.id).fields.rows_done == 0 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        house.run("UPDATE queue_jobs SET status = 'waiting', lease_token = NULL");
        house.work();
        zombie.join().unwrap()
    });
    assert_eq!(zombie, Err(Failure::Lost));
    assert_eq!(counters(&house.read(import.id)), [i32::try_from(rows).unwrap(), 0, 0, 0]);
    assert_eq!(house.text("SELECT count(*) FROM contacts"), rows.to_string());
    assert_eq!(house.text("SELECT count(DISTINCT email) FROM contacts"), rows.to_string());
    assert_eq!(house.text("SELECT count(*) FROM import_rows"), rows.to_string());
    assert_eq!(house.text("SELECT status || attempts FROM queue_jobs"), "completed2");
}

#[test]
fn a_dry_run_counts_what_would_happen_and_keeps_nothing() {
    let house = House::new();
    house.company(&json!({"name": "There"}));
    let csv = "n,p\nChild,Parent\nParent,\nthere,\nchild,\n,Parent\n";
    let mapping = json!({"n": "name", "p": "parentCompany"});
    let dry = house.import("company", csv, &mapping, &json!({"dryRun": true}));
    assert!(dry.fields.dry_run);
    assert_eq!(house.text("SELECT count(*) FROM companies"), "1");
    assert_eq!(house.text("SELECT count(*) FROM field_history WHERE actor = 'import'"), "0");
    assert!(house.errors(dry.id).contains("6,name,required"));
    let real = house.import("company", csv, &mapping, &json!({}));
    assert_eq!(counters(&dry), counters(&real));
    assert_eq!(counters(&real), [2, 0, 2, 1]);
    let revert = house.acting(house.admin, |tx| imports::revert(tx, dry.id));
    assert!(matches!(revert, Err(Error::Conflict { code: "not_revertible", .. })));
}

#[test]
fn a_cancelled_import_reads_no_further() {
    let house = House::new();
    for begun in [false, true] {
        let rows = imports::BATCH * 8;
        let import = house.take_in("contact", &people(rows), &mapping(), &json!({"dedupe": "create"})).unwrap();
        let cancel = || house.acting(house.admin, |tx| imports::cancel(tx, import.id));
        if begun {
            let (queue, claim) = (house.queue(), house.claim().unwrap());
            std::thread::scope(|scope| {
                let worker = scope.spawn(|| run(&queue, &claim));
                while house.read(import.id).fields.rows_done == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(2));
                }
                cancel().unwrap();
                house.end(&claim, worker.join().unwrap());
            });
        } else {
            cancel().unwrap();
            house.work();
        }
        let fields = house.read(import.id).fields;
        assert_eq!(fields.status, "cancelled");
        assert_eq!(fields.rows_done > 0, begun);
        assert!(fields.finished_at.is_some() && usize::try_from(fields.rows_done).unwrap() < rows);
        assert!(matches!(cancel(), Err(Error::Conflict { code: "not_running", .. })));
    }
    assert_eq!(house.text("SELECT count(*) FROM queue_jobs WHERE status <> 'completed'"), "0");
}

#[test]
fn an_import_is_taken_back_but_for_what_has_been_touched() {
    let house = House::new();
    let there = house.company(&json!({"name": "There"}));
    let csv = "n,p,c\nChild,Parent,\nParent,,Rome\nTouched,,\nUsed,,\nThere,,Oslo\n";
    let mapping = json!({"n": "name", "p": "parentCompany", "c": "city"});
    let import = house.import("company", csv, &mapping, &json!({"dedupe": "update"}));
    assert_eq!(counters(&import), [4, 1, 0, 0]);
    house.run("UPDATE companies SET city = 'Bern', version = version + 1 WHERE name = 'Touched'");
    house.run(&format!(
        "UPDATE companies SET parent_company_id = (SELECT id FROM companies WHERE name = 'Used') WHERE id = '{there}'"
    ));
    let begun = house.acting(house.admin, |tx| imports::revert(tx, import.id)).unwrap();
    assert_eq!(begun.fields.status, "reverting");
    house.work();
    let fields = house.read(import.id).fields;
    assert_eq!((fields.status.as_str(), fields.reverted, fields.kept), ("reverted", 2, 2));
    assert_eq!(
        house.text("SELECT string_agg(name || coalesce(city, ''), ', ' ORDER BY name) FROM companies"),
        "ThereOslo, TouchedBern, Used"
    );
    let told = "SELECT count(*) FROM field_history WHERE field_name = 'deletedAt' AND actor = 'import' \
                AND reason_code = 'revert'";
    assert_eq!(house.text(told), "2");
    let again = house.acting(house.admin, |tx| imports::revert(tx, import.id));
    assert!(matches!(again, Err(Error::Conflict { code: "not_revertible", .. })));
}

#[test]
fn an_import_that_can_no_longer_be_read_fails_with_its_reason() {
    let house = House::new();
    let import = house.take_in("contact", &people(2), &mapping(), &json!({})).unwrap();
    house.run(r#"UPDATE imports SET mapping = '{"last": "customFields.gone", "mail": "email"}'"#);
    house.work();
    let fields = house.read(import.id).fields;
    assert_eq!((fields.status.as_str(), fields.error.as_deref()), ("failed", Some("mapping.last: unknown_field")));
    assert_eq!(house.text("SELECT status FROM queue_jobs WHERE kind = 'import'"), "failed");
}
