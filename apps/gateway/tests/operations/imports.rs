//! An import goes on after the program was killed in the middle of it, and each row lands once.
use crm_core::testing::TestDatabase;
use diesel::{RunQueryDsl, sql_types as st};
use serde_json::Value;

use super::kit::{Client, Process, eventually, program};

/// How many rows the file has.
const ROWS: i64 = 2_000;

/// A form with a file of deals.
fn form() -> String {
    let rows: String = (1..=ROWS).map(|row| format!("D-{row},Deal {row},{row}\r\n")).collect();
    let mapping = r#"{"id": "externalId", "deal": "title", "value": "value"}"#;
    let part =
        |name: &str, text: &str| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n");
    let file = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"deals.csv\"\r\n\r\n";
    let (kind, mapping) = (part("entityType", "deal"), part("mapping", mapping));
    format!("{kind}{mapping}{file}id,deal,value\r\n{rows}\r\n--x--\r\n")
}

fn read(client: &Client, import: &str) -> Value {
    let answer = client.get(&format!("/api/imports/{import}")).unwrap();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["import"].clone()
}

#[test]
fn an_import_goes_on_after_the_program_was_killed_and_each_row_lands_once() {
    let database = TestDatabase::new();
    let count = |what: &str| -> i64 {
        let query = diesel::dsl::sql::<st::BigInt>(&format!("SELECT {what}"));
        query.get_result(&mut database.connect()).unwrap()
    };
    let server = Process::start(program(&database.url()));
    let client = server.client(&database.url());
    let begun = client.upload("/api/imports", form()).unwrap();
    assert_eq!(begun.status, 202, "{}", begun.body);
    let import = begun.body["import"]["id"].as_str().unwrap();
    eventually("the first rows land", || read(&client, import)["rowsDone"].as_i64() > Some(0));
    // SIGKILL: nothing of it runs any more.
    drop(server);
    let landed = count("count(*) FROM deals");
    assert!((1..ROWS).contains(&landed), "it died before the first row or after the last one: {landed}");

    let again = Process::start(program(&database.url()));
    let client = client.at(&again);
    eventually("the import ends", || read(&client, import)["status"] == "completed");
    let ended = read(&client, import);
    let counters = ["created", "failed", "rowsDone"].map(|name| ended[name].as_i64().unwrap());
    assert_eq!(counters, [ROWS, 0, ROWS]);
    assert_eq!([count("count(*) FROM deals"), count("count(DISTINCT external_id) FROM deals")], [ROWS; 2]);
    assert_eq!(count("count(*) FROM import_rows WHERE outcome = 'created'"), ROWS);
}
