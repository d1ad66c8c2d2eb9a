//! Two gateways on one database, each with workers of its own, of which one is killed with SIGKILL again and again while
//! imports are handed in over HTTP: none is lost, and each row lands once.
use std::{
    collections::HashSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crm_core::testing::TestDatabase;
use diesel::{RunQueryDsl, connection::SimpleConnection, dsl::sql, sql_types::Text};

use super::kit::{Client, Process, program};

/// How many imports are handed in at least, unless it is said otherwise; it goes on until enough were killed.
const IMPORTS: usize = 40;
/// Says otherwise: `HEIMDELL_PROOF_IMPORTS=1000`.
const SIZE: &str = "HEIMDELL_PROOF_IMPORTS";
/// How many rows each has.
const ROWS: usize = 20;
/// How many gateways are killed at least.
const KILLS: usize = 5;
/// How long a client rests between two imports.
const REST: Duration = Duration::from_millis(50);
/// How many clients hand them in.
const CLIENTS: usize = 3;
/// How long a gateway lives before it is killed.
const LIFE: Duration = Duration::from_millis(700);

#[allow(clippy::disallowed_methods, reason = "the size of a proof is said by the environment")]
fn imports() -> usize {
    std::env::var(SIZE).map_or(IMPORTS, |size| size.parse().unwrap())
}

fn text(database: &TestDatabase, query: &str) -> String {
    sql::<Text>(&format!("SELECT ({query})::text")).get_result(&mut database.connect()).unwrap()
}

/// The form with which one file is handed in.
fn form(number: usize) -> String {
    let rows: String = (0..ROWS).map(|row| format!("I{number}-R{row},Deal {number} {row}\r\n")).collect();
    let parts = [("entityType", "deal"), ("mapping", r#"{"id": "externalId", "deal": "title"}"#)];
    let parts: String = parts
        .iter()
        .map(|(name, text)| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"))
        .collect();
    format!(
        "{parts}--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{number}.csv\"\r\n\r\nid,deal\r\n{rows}\r\n--x--\r\n"
    )
}

/// Hands a file in until a gateway says that it has it. The key makes it one import, however often it is sent.
fn hand_in(client: &Client, addresses: &Mutex<[String; 2]>, number: usize) -> String {
    for attempt in number.. {
        let address = addresses.lock().unwrap_or_else(PoisonError::into_inner)[attempt % 2].clone();
        let headers =
            [("content-type", "multipart/form-data; boundary=x"), ("idempotency-key", &format!("import-{number}"))];
        match client.at(&address).upload("/api/imports", &headers, form(number).as_bytes()) {
            Ok(answer) if answer.status == 202 => return answer.body["import"]["id"].as_str().unwrap().to_owned(),
            // Refused for the moment, or nobody there: it is being killed or started.
            Ok(answer) => assert!(matches!(answer.status, 409 | 503), "{answer:?}"),
            Err(_) => {}
        }
        thread::sleep(Duration::from_millis(50));
    }
    unreachable!("it goes on until it is done")
}

#[test]
fn killed_gateways_lose_no_import_and_do_none_twice() {
    let database = TestDatabase::new();
    let start = || Process::start(program(&database.url()));
    let mut gateways = [Some(start()), Some(start())];
    let client = gateways[0].as_ref().unwrap().client(&database.url());
    let addresses = Mutex::new(gateways.each_ref().map(|gateway| gateway.as_ref().unwrap().address.clone()));
    let (next, handed_in, kills) = (AtomicUsize::new(0), Mutex::new(Vec::new()), AtomicUsize::new(0));
    thread::scope(|scope| {
        let hand_in_all = || {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= imports() && kills.load(Ordering::Relaxed) >= KILLS {
                    return;
                }
                let import = hand_in(&client, &addresses, number);
                handed_in.lock().unwrap().push(import);
                thread::sleep(REST);
            }
        };
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(hand_in_all)).collect();
        let open = "SELECT count(*) FROM queue_jobs WHERE kind = 'import' AND status IN ('waiting', 'active')";
        while !clients.iter().all(|client| client.is_finished()) || text(&database, open) != "0" {
            thread::sleep(LIFE);
            // Dropping it kills it.
            let victim = kills.fetch_add(1, Ordering::Relaxed) % 2;
            gateways[victim] = None;
            let heir = start();
            addresses.lock().unwrap()[victim] = heir.address.clone();
            gateways[victim] = Some(heir);
            // What the dead held is taken over at once, and what the living hold is torn away from them in the middle.
            let tear = "UPDATE queue_jobs SET lease_until = now() - interval '1 s' WHERE status = 'active'";
            database.connect().batch_execute(tear).unwrap();
        }
    });
    let handed_in = handed_in.into_inner().unwrap();
    let (imports, kills) = (handed_in.len(), kills.into_inner());
    let runs = text(&database, "SELECT sum(attempts) FROM queue_jobs WHERE kind = 'import'");
    println!("{imports} imports of {ROWS} rows, {kills} kills, {runs} tries counted");
    assert_eq!(handed_in.iter().collect::<HashSet<_>>().len(), imports, "each answer names an import of its own");
    let all = (imports * ROWS).to_string();
    for (what, wanted) in [
        ("SELECT count(*) FROM imports", imports.to_string()),
        ("SELECT count(*) FROM imports WHERE status = 'completed' AND created = rows_total", imports.to_string()),
        ("SELECT count(*) FROM queue_jobs WHERE kind = 'import' AND status = 'completed'", imports.to_string()),
        ("SELECT count(*) FROM deals", all.clone()),
        ("SELECT count(DISTINCT external_id) FROM deals", all),
    ] {
        assert_eq!(text(&database, what), wanted, "{what}");
    }
}
