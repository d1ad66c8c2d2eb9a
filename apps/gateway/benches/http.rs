//! Reads over HTTP next to the same SQL by `pgbench -M prepared`, on the same rows, in turns: the ratio is what counts,
//! since both share the machine with their load generator and with whatever else runs on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
use std::{
    io::BufReader,
    net::TcpStream,
    process::Command,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use crm_core::{
    clock,
    testing::{Person, TestDatabase, TestOrganization},
};

use self::wire::{between, exchange, get, instant, psql, request, serve};

mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEALS: usize = 100_000;
const CLIENTS: usize = 16;
const SPELL: Duration = Duration::from_secs(4);
const ROUNDS: usize = 3;

/// One read as a request, and as the statements that it runs.
struct Case {
    name: &'static str,
    path: String,
    sql: String,
}

fn main() {
    let database = TestDatabase::new();
    let house = TestOrganization::new(&database, "acme");
    psql(&database, &fill(&house));
    let address = serve(&house.door);
    let admin = Person::sign_in(&house.door, &house.admin.email, clock::now()).unwrap();
    let token = admin.caller.bearer.as_ref().unwrap().expose();
    println!("{DEALS} deals; {CLIENTS} clients; {ROUNDS} rounds of {} s each, in turns\n", SPELL.as_secs());
    println!("{:<34} {:>12} {:>12} {:>8}", "", "HTTP req/s", "pgbench tps", "ratio");
    for case in cases(&database, &address, token, &house) {
        let mut ratios = Vec::new();
        let (mut ours, mut bare) = (0.0, 0.0);
        for _ in 0..ROUNDS {
            ours = requests_per_second(&address, token, &case.path);
            bare = pgbench(&database, &case.sql);
            ratios.push(ours / bare);
        }
        ratios.sort_by(f64::total_cmp);
        println!("{:<34} {ours:>12.0} {bare:>12.0} {:>8.2}", case.name, ratios[ROUNDS / 2]);
    }
    deep_pages(&address, token);
}

/// Rows straight into the tables: the benchmark is about reading.
fn fill(house: &TestOrganization) -> String {
    let org = house.id;
    format!(
        "INSERT INTO deals (organization_id, id, business_unit_id, title, value, currency, pipeline_id, stage_id, owner_id, \
         expected_close_date, stage_entered_at, search_text, created_at, updated_at) \
         SELECT '{org}', gen_random_uuid(), CASE n % 3 WHEN 0 THEN NULL WHEN 1 THEN '{}'::uuid ELSE '{}'::uuid END, \
         'Deal number ' || n, (n * 7919 % 100000)::numeric, 'USD', s.pipeline_id, s.id, '{}', date '2026-01-01' + (n % 365), \
         t.at, 'deal number ' || n, t.at, t.at \
         FROM generate_series(1, {DEALS}) n \
         CROSS JOIN LATERAL (SELECT timestamptz '2025-01-01' + n * interval '1 minute' AS at) t \
         CROSS JOIN LATERAL (SELECT id, pipeline_id FROM stages WHERE organization_id = '{org}' AND position = 1 + n % 4 LIMIT 1) s; \
         ANALYZE;",
        house.units[0], house.units[1], house.rep.id
    )
}

/// The one value that a statement finds.
fn ask(database: &TestDatabase, sql: &str) -> String {
    let found = Command::new("psql").args(["-qAt", "-d", &database.url(), "-c", sql]).output().unwrap();
    assert!(found.status.success());
    String::from_utf8(found.stdout).unwrap().trim().to_owned()
}

fn cases(database: &TestDatabase, address: &str, token: &str, house: &TestOrganization) -> Vec<Case> {
    let org = house.id;
    // What stands before each read: who asks, with their units and the version of the policies that they are judged by.
    let session = ask(database, &format!("SELECT id FROM sessions WHERE organization_id = '{org}' LIMIT 1"));
    let who = format!(
        "SELECT c.access_hash, c.access_expires_at, c.last_used_at, ARRAY[]::text[], u.id, u.is_active, u.role, \
         ARRAY(SELECT m.business_unit_id FROM business_unit_members m WHERE m.organization_id = :org AND m.user_id = u.id \
         ORDER BY m.business_unit_id), (SELECT o.policy_version FROM organizations o WHERE o.id = :org) \
         FROM sessions c JOIN users u ON u.organization_id = c.organization_id AND u.id = c.user_id \
         WHERE c.organization_id = :org AND c.id = '{session}';"
    );
    let columns = "id, business_unit_id, title, value, currency, pipeline_id, stage_id, status, company_id, contact_id, lead_id, \
         owner_id, expected_close_date, closed_at, probability, last_activity_at, stage_entered_at, episode, external_id, tags, \
         custom_fields, created_at, updated_at, version";
    let list = |and: &str| {
        format!(
            "{who}\nSELECT {columns} FROM deals WHERE organization_id = :org{and} ORDER BY created_at DESC, id DESC LIMIT 51;"
        )
    };
    let first = get(address, token, "/api/deals?limit=1");
    let id = between(&first, "\"id\":\"", "\"");
    let literal = |sql: String| sql.replace(":org", &format!("'{org}'"));
    vec![
        Case { name: "list of 50 deals", path: "/api/deals".into(), sql: literal(list("")) },
        Case {
            name: "list of 50 deals of one unit",
            path: format!("/api/deals?businessUnitId={}", house.units[0]),
            sql: literal(list(&format!(" AND business_unit_id = '{}'", house.units[0]))),
        },
        Case {
            name: "one deal",
            path: format!("/api/deals/{id}"),
            sql: literal(format!("{who}\nSELECT {columns} FROM deals WHERE organization_id = :org AND id = '{id}';")),
        },
    ]
}

fn pgbench(database: &TestDatabase, sql: &str) -> f64 {
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), sql).unwrap();
    let clients = CLIENTS.to_string();
    let output = Command::new("pgbench")
        .args(["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-T", &SPELL.as_secs().to_string()])
        .arg("-f")
        .arg(script.path())
        .arg(database.url())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    between(&text, "tps = ", " ").parse().unwrap()
}

fn requests_per_second(address: &str, token: &str, path: &str) -> f64 {
    let (done, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let began = instant();
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
                let (request, mut body) = (request(address, token, path), Vec::new());
                while !over.load(Ordering::Relaxed) {
                    exchange(&mut stream, &request, &mut body);
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(SPELL);
        over.store(true, Ordering::Relaxed);
    });
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

/// Walks a thousand pages and compares what the last ones cost with what the first ones did.
fn deep_pages(address: &str, token: &str) {
    let mut path = "/api/deals?limit=50".to_owned();
    let mut times = Vec::new();
    for _ in 0..1_000 {
        let began = instant();
        let page = get(address, token, &path);
        times.push(began.elapsed());
        path = format!("/api/deals?limit=50&cursor={}", between(&page, "\"nextCursor\":\"", "\""));
    }
    let median = |times: &[Duration]| {
        let mut times = times.to_vec();
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e6
    };
    let (first, last) = (median(&times[..100]), median(&times[900..]));
    println!("\npages 1 to 100: {first:.0} µs each; pages 901 to 1000: {last:.0} µs each; ratio {:.2}", last / first);
}
