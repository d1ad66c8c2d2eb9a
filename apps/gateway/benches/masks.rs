//! A list of 200 deals over HTTP: as it is, with a field hidden in all of them, and with one hidden in some. The ratios to
//! the first are what counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
use std::{io::BufReader, net::TcpStream, sync::Arc};

use crm_core::{
    clock,
    testing::{Person, TestDatabase, TestOrganization, body},
};
use crm_policy::{PolicyGates, stored_policies};
use serde_json::{Value, json};

use self::wire::{exchange, instant, psql, request, serve};

mod wire;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PATH: &str = "/api/deals?limit=200";
const ROUNDS: usize = 600;

/// An open connection to the list of one organization.
struct Reader {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    body: Vec<u8>,
    /// How long each answer took, in microseconds.
    times: Vec<f64>,
}

impl Reader {
    /// A manager of a house of their own with 200 deals, under a policy or without one.
    fn new(database: &TestDatabase, name: &str, policy: Option<&Value>) -> Self {
        let house = TestOrganization::judged_by(database, name, Arc::new(PolicyGates::new()));
        psql(database, &deals(&house));
        if let Some(policy) = policy {
            house.admin.write(|tx| stored_policies::create(tx, body(&policy.to_string()))).unwrap();
        }
        let address = serve(&house.door);
        let manager = Person::sign_in(&house.door, &house.manager.email, clock::now()).unwrap();
        let token = manager.caller.bearer.as_ref().unwrap().expose();
        let stream = BufReader::new(TcpStream::connect(&address).unwrap());
        Self { stream, request: request(&address, token, PATH), body: Vec::new(), times: Vec::new() }
    }

    fn read(&mut self) {
        let began = instant();
        exchange(&mut self.stream, &self.request, &mut self.body);
        self.times.push(began.elapsed().as_secs_f64() * 1e6);
    }

    fn median(&mut self) -> f64 {
        self.times.sort_by(f64::total_cmp);
        self.times[self.times.len() / 2]
    }
}

fn deals(house: &TestOrganization) -> String {
    let (org, owner) = (house.id, house.rep.id);
    format!(
        "INSERT INTO deals (organization_id, id, title, value, currency, pipeline_id, stage_id, owner_id, \
         expected_close_date, stage_entered_at, search_text, custom_fields, tags, created_at, updated_at) \
         SELECT '{org}', gen_random_uuid(), 'Deal number ' || n, n * 79, 'USD', s.pipeline_id, s.id, \
         CASE n % 2 WHEN 0 THEN '{owner}'::uuid END, date '2026-01-01' + n, now(), 'deal number ' || n, \
         '{{\"region\": \"north\"}}', '{{large,new}}', now(), now() FROM generate_series(1, 200) n, \
         (SELECT id, pipeline_id FROM stages WHERE organization_id = '{org}' AND kind = 'open' LIMIT 1) s; ANALYZE deals;"
    )
}

fn main() {
    let database = TestDatabase::new();
    let hides = |condition: Value| {
        json!({"name": "P", "role": "MANAGER", "action": "view_field", "resource": "deal", "field": "value",
            "effect": "deny", "condition": condition})
    };
    let (always, sometimes) = (hides(Value::Null), hides(json!({"attr": "ownerId", "op": "isNull"})));
    let mut readers = [
        ("nothing hidden", Reader::new(&database, "acme", None)),
        ("a field hidden in all", Reader::new(&database, "globex", Some(&always))),
        ("a field hidden in some", Reader::new(&database, "initech", Some(&sometimes))),
    ];
    for _ in 0..ROUNDS {
        readers.iter_mut().for_each(|(_, reader)| reader.read());
    }
    let usual = readers[0].1.median();
    println!("{ROUNDS} lists of 200 deals each, in turns\n");
    for (name, reader) in &mut readers {
        let (median, bytes) = (reader.median(), reader.body.len());
        println!("{name:<24} {median:>8.0} µs {bytes:>8} bytes {:>6.2}", median / usual);
    }
}
