//! Reads over HTTP next to the same SQL by `pgbench -M prepared`, on the same rows, in turns: the ratio is what counts,
//! since both share the machine with their load generator and with whatever else runs on it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use crm_core::{
    Door, clock,
    database::{Database, Settings},
    testing::{Person, TestDatabase, TestOrganization},
};
use crm_policy::PolicyGates;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use self::wire::{between, get, instant, psql, request, serve};

mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DEALS: usize = 100_000;
const CLIENTS: usize = 16;
const THREADS: usize = 2;
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
    let house = TestOrganization::judged_by(&database, "acme", Arc::new(PolicyGates::new()));
    psql(&database, &fill(&house));
    // As `heimdell serve` has it, and not as small as the pools of tests.
    let pool = Database::open(&database.url(), Settings::default()).unwrap();
    let address = serve(&Door::new(pool, Arc::new(PolicyGates::new())));
    let admin = Person::sign_in(&house.door, &house.admin.email, clock::now()).unwrap();
    let token = admin.caller.bearer.as_ref().unwrap().expose();
    println!("{DEALS} deals; {CLIENTS} clients; {ROUNDS} rounds of {} s each, in turns\n", SPELL.as_secs());
    println!(
        "{:<30} {:>11} {:>12} {:>6} {:>24} {:>11}",
        "", "HTTP req/s", "pgbench tps", "ratio", "CPU µs (server + PG)", "PG alone"
    );
    for case in cases(&database, &address, token, &house) {
        let (mut ratios, mut last) = (Vec::new(), [(0.0, 0.0, 0.0); 2]);
        for _ in 0..ROUNDS {
            let ours = measured(&database, || requests_per_second(&address, token, &case.path));
            let bare = measured(&database, || pgbench(&database, &case.sql));
            ratios.push(ours.0 / bare.0);
            last = [ours, bare];
        }
        ratios.sort_by(f64::total_cmp);
        let [(ours, server, postgres), (bare, _, alone)] = last;
        let cpu = format!("{:.0} ({server:.0} + {postgres:.0})", server + postgres);
        println!("{:<30} {ours:>11.0} {bare:>12.0} {:>6.2} {cpu:>24} {alone:>11.0}", case.name, ratios[ROUNDS / 2]);
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

/// Runs `work`, which says how often a second it was done, and tells how many µs of processor time each took in this
/// program, its clients apart, and in the database's processes.
fn measured(database: &TestDatabase, work: impl FnOnce() -> f64) -> (f64, f64, f64) {
    let name = database.name();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            std::thread::sleep(SPELL / 8);
            let (began, server, postgres) = (instant(), server_time(), postgres_time(name));
            std::thread::sleep(SPELL * 3 / 4);
            let seconds = began.elapsed().as_secs_f64();
            ((server_time() - server) / seconds, (postgres_time(name) - postgres) / seconds)
        });
        let rate = work();
        let (server, postgres) = load.join().unwrap();
        (rate, server / rate, postgres / rate)
    })
}

/// µs of processor time of the threads of this program that are no clients.
fn server_time() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok())
        .map(|stat| time(&stat, "client"))
        .sum()
}

/// µs of processor time of the processes that serve this database.
fn postgres_time(database: &str) -> f64 {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let serves = |process: &std::path::Path| {
        std::fs::read_to_string(process.join("cmdline"))
            .is_ok_and(|line| line.starts_with("postgres: ") && line.contains(database))
    };
    let stats = processes.map(|process| process.path()).filter(|path| serves(path));
    stats.filter_map(|path| std::fs::read_to_string(path.join("stat")).ok()).map(|stat| time(&stat, "client")).sum()
}

/// The µs that a line of `/proc/…/stat` tells (proc(5): ticks of 10 ms), unless it is of a thread of this name.
fn time(stat: &str, except: &str) -> f64 {
    let (name, rest) = stat.rsplit_once(')').unwrap();
    if name.ends_with(except) {
        return 0.0;
    }
    rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() * 10_000.0).sum()
}

/// As many clients as pgbench has, on as many threads as it has.
fn requests_per_second(address: &str, token: &str, path: &str) -> f64 {
    let (done, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let request = request(address, token, path);
    let began = instant();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            let clients = std::thread::Builder::new().name("client".into());
            let run = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
                let clients = (0..CLIENTS / THREADS).map(|_| client(address, &request, &done, &over));
                runtime.block_on(futures_util::future::join_all(clients));
            };
            clients.spawn_scoped(scope, run).unwrap();
        }
        std::thread::sleep(SPELL);
        over.store(true, Ordering::Relaxed);
    });
    done.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64()
}

async fn client(address: &str, request: &[u8], done: &AtomicUsize, over: &AtomicBool) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut buffer = vec![0; 256 * 1024];
    while !over.load(Ordering::Relaxed) {
        stream.write_all(request).await.unwrap();
        let (mut read, mut whole) = (0, usize::MAX);
        while read < whole {
            read += stream.read(&mut buffer[read..]).await.unwrap();
            if whole == usize::MAX {
                whole = length(&buffer[..read]).unwrap_or(usize::MAX);
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// How long an answer is, once its head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let body: usize = between(text, "content-length: ", "\r").parse().unwrap();
    Some(head + body)
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
