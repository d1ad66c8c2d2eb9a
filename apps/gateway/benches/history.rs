//! The field history of an organization at a million rows: what each read of it costs and how many rows it visits, as
//! PostgreSQL counts them. And how many rows of a true chain are verified in a second.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
use crm_core::{
    Page, Result, Tx,
    history::{self, FieldChange},
    leads,
    testing::{Person, TestDatabase, TestOrganization, body},
};
use diesel::sql_types::BigInt;
use serde_json::json;
use uuid::Uuid;

use self::wire::{instant, psql};

mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: u32 = 1_000_000;
const RECORDS: u32 = 100_000;
const TURNS: usize = 21;

/// A row a second; a user, a kind of record, a field and a reason in a thousand are rare.
fn fill(house: &TestOrganization, lead: Uuid) -> String {
    let (org, rep, manager) = (house.id, house.rep.id, house.manager.id);
    format!(
        "INSERT INTO field_history (organization_id, id, seq, entity_type, entity_id, entity_version, field_name, old_value, \
         new_value, actor, changed_by, reason_code, request_id, change_set_id, changed_at, old_digest, new_digest, hash) \
         SELECT '{org}', gen_random_uuid(), 1000 + n, CASE WHEN n % 1000 = 7 THEN 'pipeline' WHEN n % 3 = 0 THEN 'deal' ELSE 'lead' END, \
         CASE n % {RECORDS} WHEN 1 THEN '{lead}'::uuid ELSE md5((n % {RECORDS})::text)::uuid END, 1 + n / {RECORDS}, \
         CASE WHEN n % 1000 = 7 THEN 'name' WHEN n % 2 = 0 THEN 'score' ELSE 'status' END, '1', '2', 'user', \
         CASE WHEN n % 1000 = 9 THEN '{manager}'::uuid ELSE '{rep}'::uuid END, \
         CASE WHEN n % 1000 = 11 THEN 'correction' WHEN n % 50 = 0 THEN 'other' END, 'r', md5((n / 10)::text)::uuid, \
         timestamptz '2025-01-01' + n * interval '1 s', '', '', '' FROM generate_series(1, {ROWS}) n; ANALYZE field_history;"
    )
}

type Read<'r> = Box<dyn Fn(&mut Tx<'_>) -> Result<Page<FieldChange>> + 'r>;

fn main() {
    let database = TestDatabase::new();
    let house = TestOrganization::new(&database, "acme");
    let lead = house.admin.write(|tx| leads::create(tx, body(r#"{"lastName": "Ada"}"#))).unwrap().id.uuid();
    let began = instant();
    psql(&database, &fill(&house, lead));
    println!("{ROWS} rows of {RECORDS} records, filled in {:.0} s\n", began.elapsed().as_secs_f64());
    println!("{:<44} {:>8} {:>10} {:>10} {:>12}", "", "rows", "µs", "seq scans", "rows visited");
    let recent = |query: &'static str| -> Read<'_> {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query: Vec<_> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Box::new(move |tx| history::recent(tx, &query))
    };
    let of_rep = format!("userId={}", house.rep.id).leak();
    let of_manager = format!("userId={}", house.manager.id).leak();
    let reads: Vec<(&str, Read<'_>)> = vec![
        ("one record", Box::new(|tx| history::of_entity(tx, "lead", lead, &[]))),
        ("one field of one record", Box::new(|tx| history::of_field(tx, "lead", lead, "status", &[]))),
        ("recent", recent("")),
        ("recent, a common kind", recent("entityType=lead")),
        ("recent, a rare kind", recent("entityType=pipeline")),
        ("recent, a common user", recent(of_rep)),
        ("recent, a rare user", recent(of_manager)),
        ("recent, a user who changed nothing", recent("userId=me")),
        ("recent, a common field", recent("fieldName=status")),
        ("recent, a rare field", recent("fieldName=name")),
        ("recent, a common reason", recent("reasonCode=other")),
        ("recent, a rare reason", recent("reasonCode=correction")),
        ("recent, a day long ago", recent("from=2025-01-02&to=2025-01-03")),
        ("recent, a rare user and field, long ago", recent("entityType=pipeline&fieldName=name&to=2025-01-03")),
    ];
    for (name, read) in &reads {
        measure(&house.admin, name, read);
    }
    verification(&database);
}

fn measure(person: &Person, name: &str, read: &Read<'_>) {
    let mut times = Vec::new();
    let mut told = None;
    for _ in 0..TURNS {
        let began = instant();
        told = person
            .write(|tx| {
                let before = visited(tx)?;
                let rows = read(tx)?.items.len();
                let after = visited(tx)?;
                Ok((rows, (after.0 - before.0, after.1 - before.1)))
            })
            .ok();
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let (rows, (scans, visited)) = told.unwrap();
    println!("{name:<44} {rows:>8} {:>10.0} {scans:>10} {visited:>12}", times[TURNS / 2]);
}

/// How often the history was read from end to end and how many rows of it were found by an index, as PostgreSQL counts for
/// this connection.
fn visited(tx: &mut Tx<'_>) -> Result<(i64, i64)> {
    let text = "SELECT s.seq_scan, s.idx_tup_fetch FROM pg_stat_xact_user_tables s, organizations o \
                WHERE s.relname = 'field_history' AND o.organization_id = {org}";
    Ok(tx.sql::<(BigInt, BigInt)>(text).one(tx)?)
}

/// A chain that was written by changes, and is walked whole.
fn verification(database: &TestDatabase) {
    const LEADS: usize = 1_000;
    const CHANGES: usize = 100;
    let house = TestOrganization::new(database, "globex");
    let names = (0..LEADS).map(|n| json!({"lastName": format!("Lead {n}")}).to_string());
    let made: Result<Vec<_>> =
        house.admin.write(|tx| names.map(|name| Ok(leads::create(tx, body(&name))?.id)).collect());
    let ids = made.unwrap();
    let began = instant();
    for score in 1..=CHANGES {
        let edit = json!({"ids": ids, "set": {"score": score}}).to_string();
        let done = house.admin.write(|tx| leads::bulk(tx, body(&edit))).unwrap();
        assert_eq!(done.updated, LEADS);
    }
    let written = (LEADS * CHANGES) as f64;
    println!("\n{written:.0} changes written in bulk: {:.0} a second", written / began.elapsed().as_secs_f64());
    let began = instant();
    let verified = house.admin.read(history::verify).unwrap();
    assert!(verified.ok);
    println!(
        "{} rows verified: {:.0} a second",
        verified.checked,
        verified.checked as f64 / began.elapsed().as_secs_f64()
    );
}
