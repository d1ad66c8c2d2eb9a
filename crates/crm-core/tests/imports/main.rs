//! Imports on a real database: dirty files, duplicates, references, history, crashes and taking back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod deals;
mod house;
mod runs;
mod warnings;

use crm_core::{Error, FieldError, imports};
use serde_json::{Value, json};

use house::{House, NOBODY, counters, new_import};

fn companies() -> Value {
    json!({"Account": "name", "Domain": "domain", "Staff": "employees", "Parent": "parentCompany", "Key": "externalId"})
}

#[test]
fn a_dirty_file_lands_row_by_row() {
    let house = House::new();
    let csv = "Account,Domain,Staff,Parent,Key\n\
               Acme,acme.example,\"2,822\",,A1\n\
               ,,5,,A2\n\
               Globex,not a domain,many,,A3\n\
               Short,row\n\
               Initech,initech.example,10,,A1\n\
               \"Zo\u{eb}, Ltd\",,0,,A5\n";
    let import = house.import("company", csv, &companies(), &json!({"dedupe": "create"}));
    assert_eq!(counters(&import), [2, 0, 0, 4]);
    assert_eq!(house.text("SELECT string_agg(name, '; ' ORDER BY id) FROM companies"), "Acme; Zo\u{eb}, Ltd");
    assert_eq!(house.text("SELECT employees FROM companies WHERE name = 'Acme'"), "2822");
    let report = house.errors(import.id);
    let lines: Vec<_> = report.lines().collect();
    assert_eq!(lines[0].trim_start_matches('\u{feff}'), "Account,Domain,Staff,Parent,Key,row,field,code,message");
    let told: Vec<_> = lines[1..].iter().map(|line| line.split(',').skip(5).take(3).collect::<Vec<_>>()).collect();
    let wanted = [
        vec!["3", "name", "required"],
        vec!["4", "employees", "invalid_integer"],
        vec!["5", "", "ragged_row"],
        vec!["6", "", "already_exists"],
    ];
    assert_eq!(told, wanted);
    assert_eq!(
        house.text("SELECT string_agg(DISTINCT actor, ',') FROM field_history WHERE entity_type = 'company'"),
        "null"
    );
}

#[test]
fn what_is_wrong_with_a_request_is_told_at_once_and_nothing_stored() {
    let house = House::new();
    let told =
        |kind: &str, csv: &str, mapping: &Value, options: &Value| match house.take_in(kind, csv, mapping, options) {
            Err(Error::Invalid(errors)) => {
                errors.into_iter().map(|FieldError { field, code, .. }| format!("{field} {code}")).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
    let (csv, none) = ("a,b,c\n1,2,3\n", json!({}));
    let mapping = json!({"a": "nmae", "d": "city", "b": "industry", "c": "industry"});
    let wanted = ["mapping.a unknown_field", "mapping.d unknown_column", "mapping duplicate_field", "mapping required"];
    assert_eq!(told("company", csv, &mapping, &none), wanted);
    assert_eq!(told("company", "a,a\n1,2\n", &json!({"a": "name"}), &none), ["file duplicate_column"]);
    assert_eq!(told("company", "a\n", &json!({"a": "name"}), &none), ["file no_rows"]);
    assert_eq!(told("pony", csv, &mapping, &none), ["entityType not_allowed"]);
    let unit = json!({"businessUnitId": NOBODY, "wait": 1});
    let wanted = ["options.wait unknown_option"];
    assert_eq!(told("company", csv, &json!({"a": "name"}), &unit), wanted);
    let unit = json!({"businessUnitId": NOBODY});
    let wanted = ["options.businessUnitId unknown_reference"];
    assert_eq!(told("company", csv, &json!({"a": "name"}), &unit), wanted);
    assert_eq!(house.text("SELECT count(*) FROM imports"), "0");
    assert_eq!(house.text("SELECT count(*) FROM queue_jobs"), "0");
}

#[test]
fn an_import_is_its_makers_and_never_more_than_they_may() {
    let house = House::new();
    let new = || new_import("lead", "Mail\na@b.example\n", &json!({"Mail": "email"}), &json!({}));
    let own = house.acting(house.rep, |tx| imports::create(tx, new())).unwrap();
    let others = house.acting(house.admin, |tx| imports::create(tx, new())).unwrap();
    house.work();
    assert_eq!(house.acting(house.rep, |tx| imports::read(tx, own.id)).unwrap().fields.created, 1);
    assert!(matches!(house.acting(house.rep, |tx| imports::read(tx, others.id)), Err(Error::NotFound)));
    assert!(matches!(house.acting(house.rep, |tx| imports::errors(tx, others.id, Vec::new())), Err(Error::NotFound)));
    assert_eq!(house.acting(house.rep, |tx| imports::list(tx, &[])).unwrap().items.len(), 1);
    assert_eq!(house.acting(house.admin, |tx| imports::list(tx, &[])).unwrap().items.len(), 2);
    let revert = house.acting(house.rep, |tx| imports::revert(tx, own.id));
    assert!(matches!(revert, Err(Error::Forbidden { .. })), "a rep may not delete leads");
    let past = json!({"asHistory": true});
    let history = new_import("lead", "Mail\na@b.example\n", &json!({"Mail": "email"}), &past);
    let refused = house.acting(house.rep, |tx| imports::create(tx, history));
    assert!(matches!(refused, Err(Error::Forbidden { code: "role_required", .. })));

    house.acting(house.rep, |tx| imports::create(tx, new())).unwrap();
    house.run("UPDATE users SET is_active = false WHERE role = 'SALES_REP'");
    house.work();
    let ended = house.text("SELECT status || ' ' || error FROM imports ORDER BY id DESC LIMIT 1");
    assert_eq!(ended, "failed not_active");
}

#[test]
fn records_are_known_again_by_their_keys() {
    let house = House::new();
    house.company(&json!({"name": "ACME  Inc", "domain": "acme.example"}));
    house.company(&json!({"name": "K\u{f6}ln Werke"}));
    let csv = "Account,Domain,Staff,Parent,Key\n\
               Acme incorporated,ACME.example,1,,\n\
               Acme Inc,acme.de,2,,\n\
               koln werke,,3,,\n\
               New,,4,,\n\
               new,,5,,\n";
    let skipped = house.import("company", csv, &companies(), &json!({}));
    assert_eq!(counters(&skipped), [2, 0, 3, 0]);
    assert_eq!(counters(&house.import("company", csv, &companies(), &json!({"dedupe": "skip"}))), [0, 0, 5, 0]);
    let updated = house.import("company", csv, &companies(), &json!({"dedupe": "update"}));
    assert_eq!(counters(&updated), [0, 3, 2, 0], "what says the same as before changes nothing");
    assert_eq!(house.text("SELECT count(*) FROM companies"), "4");
    assert_eq!(
        house.text("SELECT string_agg(name || employees, '; ' ORDER BY id) FROM companies"),
        "Acme incorporated1; koln werke3; Acme Inc2; new5"
    );
    let blank = "Account,Domain,Staff,Parent,Key\nNew,,,,\n";
    house.import("company", blank, &companies(), &json!({"dedupe": "update"}));
    assert_eq!(house.text("SELECT employees FROM companies WHERE name = 'New'"), "5", "a blank cell leaves it alone");
    assert_eq!(house.text("SELECT string_agg(DISTINCT actor, ',') FROM field_history"), "import");
}

#[test]
fn mail_addresses_and_foreign_ids_tell_people() {
    let house = House::new();
    let mapping = json!({"id": "externalId", "mail": "email", "last": "lastName", "who": "owner"});
    let csv =
        "id,mail,last,who\n1,a@x.example,Ann,rob rep\n,A@X.example,Anna,\n1,b@x.example,Bob,ROB@x.example\n2,,Cy,\n";
    for (kind, wanted) in [("lead", [2, 2, 0, 0]), ("contact", [2, 2, 0, 0])] {
        let import = house.import(kind, csv, &mapping, &json!({"dedupe": "update"}));
        assert_eq!(counters(&import), wanted, "{kind}");
        let people =
            format!("SELECT string_agg(concat_ws(' ', external_id, email, last_name), '; ' ORDER BY id) FROM {kind}s");
        assert_eq!(house.text(&people), "1 b@x.example Bob; 2 Cy");
        let owners = format!("SELECT count(*) FROM {kind}s WHERE owner_id = '{}'", house.rep);
        assert_eq!(house.text(&owners), "1");
    }
}

#[test]
fn parents_may_stand_anywhere_in_the_file() {
    let house = House::new();
    house.company(&json!({"name": "Holding"}));
    let mut csv = "Account,Parent\nChild,Parent Co\nParent Co,GRAND Parent\n".to_owned();
    (0..600).for_each(|number| csv.push_str(&format!("Filler {number},Holding\n")));
    csv.push_str("Grand parent,Holding\nOrphan,Nobody\nRing A,Ring B\nRing B,Ring A\n");
    let mapping = json!({"Account": "name", "Parent": "parentCompany"});
    let import = house.import("company", &csv, &mapping, &json!({}));
    assert_eq!(counters(&import), [603, 0, 0, 3]);
    let chain = "SELECT concat_ws(' < ', c.name, p.name, g.name, h.name) FROM companies c \
                 JOIN companies p ON p.id = c.parent_company_id JOIN companies g ON g.id = p.parent_company_id \
                 JOIN companies h ON h.id = g.parent_company_id WHERE c.name = 'Child'";
    assert_eq!(house.text(chain), "Child < Parent Co < Grand parent < Holding");
    let report = house.errors(import.id);
    assert!(report.contains("Orphan,Nobody,605,parentCompany,unknown_reference,There is no company named “Nobody”."));
    let again = house.import("company", &csv, &mapping, &json!({"dedupe": "update"}));
    assert_eq!(counters(&again), [0, 0, 603, 3], "nothing has changed");
    house.company(&json!({"name": "HOLDING"}));
    let twice = house.import("company", "Account,Parent\nLate,holding\n", &mapping, &json!({}));
    assert_eq!(counters(&twice), [0, 0, 0, 1]);
    assert!(house.errors(twice.id).contains("ambiguous_reference"));
}

#[test]
fn the_organizations_own_fields_are_columns_too() {
    let house = House::new();
    for (key, kind, options) in [("seats", "number", json!([])), ("tier", "select", json!(["gold", "tin"]))] {
        let fields = json!({"entityType": "company", "key": key, "label": key, "type": kind, "options": options});
        let own = |tx: &mut crm_core::Tx<'_>| {
            crm_core::change::create::<crm_core::custom_fields::CustomField>(tx, house::patch(&fields))
        };
        house.system(own).unwrap();
    }
    let mapping = json!({"n": "name", "s": "customFields.seats", "t": "customFields.tier"});
    let import = house.import("company", "n,s,t\nA,\"1,5\",gold\nB,2,lead\n", &mapping, &json!({"decimalComma": true}));
    assert_eq!(counters(&import), [1, 0, 0, 1]);
    assert_eq!(house.text("SELECT custom_fields FROM companies"), r#"{"tier": "gold", "seats": 1.5}"#);
    assert!(house.errors(import.id).contains("3,customFields.tier,not_allowed,\"One of: gold, tin.\""));
    let fields = house.acting(house.rep, |tx| imports::importable_fields(tx, "company")).unwrap();
    assert!(fields.iter().any(|field| field.name == "customFields.seats"));
    let options = imports::PreviewOptions::default();
    let seen = house.acting(house.rep, |tx| {
        imports::preview_file(tx, "company", b"Account,Seats\nA,1\n", &options, &serde_json::Map::new())
    });
    let guesses: Vec<_> = seen.unwrap().columns.into_iter().map(|column| column.field).collect();
    assert_eq!(guesses, [Some("name".into()), Some("customFields.seats".into())]);
}
