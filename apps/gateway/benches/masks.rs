//! A list of 200 deals over HTTP: as it is, with a field hidden in all of them, and with one hidden in some, by a field
//! that is often the same and by one that never is. The ratios to the first are what counts: they are taken of many short
//! runs, in each of which the lists take turns, so that whatever else the machine does slows all of them alike.
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
const RUNS: usize = 15;
const ROUNDS: usize = 80;

/// An open connection to the list of one organization.
struct Reader {
    stream: BufReader<TcpStream>,
    request: Vec<u8>,
    body: Vec<u8>,
    /// How long each answer took, in microseconds.
    times: Vec<f64>,
}

impl Reader {
    /// Connects once all houses stand: the server closes what is silent for long.
    fn open((address, request): (String, Vec<u8>)) -> Self {
        let stream = BufReader::new(TcpStream::connect(address).unwrap());
        Self { stream, request, body: Vec::new(), times: Vec::new() }
    }

    fn read(&mut self) {
        let began = instant();
        exchange(&mut self.stream, &self.request, &mut self.body);
        self.times.push(began.elapsed().as_secs_f64() * 1e6);
    }

    /// What a tenth of what was read since it was last asked for stayed below: what it takes where nothing disturbs.
    fn undisturbed(&mut self) -> f64 {
        let mut times = std::mem::take(&mut self.times);
        times.sort_by(f64::total_cmp);
        times[times.len() / 10]
    }
}

fn median(numbers: &mut [f64]) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

/// A manager of a house of their own with 200 deals, under a policy or without one: where to ask, and what.
fn house(database: &TestDatabase, name: &str, policy: Option<&Value>) -> (String, Vec<u8>) {
    let house = TestOrganization::judged_by(database, name, Arc::new(PolicyGates::new()));
    psql(database, &deals(&house));
    if let Some(policy) = policy {
        house.admin.write(|tx| stored_policies::create(tx, body(&policy.to_string()))).unwrap();
    }
    let address = serve(&house.door);
    let manager = Person::sign_in(&house.door, &house.manager.email, clock::now()).unwrap();
    let token = manager.caller.bearer.as_ref().unwrap().expose();
    let request = request(&address, token, PATH);
    (address, request)
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
    let unowned = hides(json!({"attr": "ownerId", "op": "isNull"}));
    let large = json!({"attr": "value", "op": "gt", "value": {"amount": 7900, "currency": "USD"}});
    let mut readers = [
        ("nothing hidden", house(&database, "acme", None)),
        ("hidden in all", house(&database, "globex", Some(&hides(Value::Null)))),
        ("hidden in half, by the owner", house(&database, "initech", Some(&unowned))),
        ("hidden in half, by the value", house(&database, "hooli", Some(&hides(large)))),
    ]
    .map(|(name, house)| (name, Reader::open(house)));
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        for round in 0..ROUNDS {
            (0..4).for_each(|n| readers[(round + n) % 4].1.read());
        }
        runs.push(readers.each_mut().map(|(_, reader)| reader.undisturbed()));
    }
    println!("{RUNS} runs of {ROUNDS} lists of 200 deals each, in turns\n");
    println!("{:<32} {:>8} {:>10} {:>8} {:>8} {:>8}", "", "µs", "bytes", "least", "ratio", "most");
    for (n, (name, reader)) in readers.iter().enumerate() {
        let mut times: Vec<f64> = runs.iter().map(|run| run[n]).collect();
        let mut ratios: Vec<f64> = runs.iter().map(|run| run[n] / run[0]).collect();
        let (time, ratio, bytes) = (median(&mut times), median(&mut ratios), reader.body.len());
        println!("{name:<32} {time:>8.0} {bytes:>10} {:>8.2} {ratio:>8.2} {:>8.2}", ratios[0], ratios[RUNS - 1]);
    }
}
