//! Jobs per second of the queue, next to the bare SQL that claims and completes the same rows one by one, in turns.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a benchmark fails by panicking")]
use std::{
    sync::Arc,
    thread::{scope, sleep},
    time::{Duration, Instant},
};

use crm_core::{
    Door, Id, Patch, clock,
    database::{Database, Settings},
    gate::Roles,
    jobs::{Failure, Job, JobRun},
    organizations,
    testing::TestDatabase,
};
use crm_ops::runner::Runner;
use diesel::{
    OptionalExtension, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query,
    sql_types as st,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

const JOBS: usize = 5_000;
const ROUNDS: usize = 5;
const SLOTS: usize = 4;

#[derive(Serialize, Deserialize)]
struct Nothing {}

impl Job for Nothing {
    const NAME: &'static str = "nothing";
    fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
        run.finish(|_| Ok(()))
    }
}

#[allow(clippy::disallowed_methods)] // a benchmark reads the clock
fn instant() -> Instant {
    Instant::now()
}

fn main() {
    let test = TestDatabase::new();
    let settings = Settings { max_size: 8, ..Settings::default() };
    let database = Database::open(&test.url(), settings).unwrap();
    let door = Door::new(database.clone(), Arc::new(Roles));
    let fields = json!({"name": "Acme"}).as_object().unwrap().clone();
    door.system_write(Id::new(), clock::now(), |tx| organizations::found(tx, Patch::from(fields))).unwrap();
    check_the_plan(&test);
    println!("{JOBS} jobs that do nothing, {SLOTS} at a time; jobs per second\n");
    println!("{:>10} {:>10} {:>8}", "queue", "bare SQL", "ratio");
    let mut ratios: Vec<f64> = (0..ROUNDS).map(|_| round(&test, &database)).collect();
    ratios.sort_by(f64::total_cmp);
    println!("{:>10} {:>10} {:>8.2}", "", "median", ratios[ROUNDS / 2]);
}

/// One turn each: the ratio.
fn round(test: &TestDatabase, database: &Database) -> f64 {
    let ours = rate(test, || work(test, database));
    let bare = rate(test, || bare(test));
    println!("{ours:>10.0} {bare:>10.0} {:>8.2}", ours / bare);
    ours / bare
}

/// Jobs per second of a way to do all of them.
#[allow(clippy::cast_precision_loss, reason = "a few thousand")]
fn rate(test: &TestDatabase, work: impl FnOnce()) -> f64 {
    fill(test);
    let began = instant();
    work();
    JOBS as f64 / began.elapsed().as_secs_f64()
}

fn fill(test: &TestDatabase) {
    let fill = format!(
        "TRUNCATE queue_jobs; INSERT INTO queue_jobs (organization_id, id, queue, kind, payload, run_at, created_at, updated_at) \
         SELECT id, gen_random_uuid(), 'default', 'nothing', '{{}}', now(), now(), now() \
         FROM organizations, generate_series(1, {JOBS}); ANALYZE queue_jobs"
    );
    test.connect().batch_execute(&fill).unwrap();
}

fn work(test: &TestDatabase, database: &Database) {
    let runner = Runner::new(database.clone(), Arc::new(Roles)).register::<Nothing>();
    let running = runner.slots("default", SLOTS).start().unwrap();
    let mut connection = test.connect();
    let left = "SELECT count(*) FROM queue_jobs WHERE status <> 'completed'";
    while diesel::dsl::sql::<st::BigInt>(left).get_result::<i64>(&mut connection).unwrap() > 0 {
        sleep(Duration::from_millis(20));
    }
    running.stop();
}

/// Two transactions to a job, as the queue needs them too: one claims, one completes. Both are prepared, and claim by the
/// index that the queue claims by.
fn bare(test: &TestDatabase) {
    scope(|scope| {
        for _ in 0..SLOTS {
            scope.spawn(|| {
                let mut connection = test.connect();
                connection.batch_execute(&prepared(&organization(test))).unwrap();
                while let Some(id) = taken(&mut connection) {
                    connection.batch_execute(&format!("EXECUTE complete ('{id}')")).unwrap();
                }
            });
        }
    });
}

/// Claims the next job.
const CLAIM: &str = "UPDATE queue_jobs SET status = 'active', attempts = attempts + 1 WHERE organization_id = {org} \
                     AND id = (SELECT id FROM queue_jobs WHERE organization_id = {org} AND queue = 'default' \
                     AND status = 'waiting' AND run_at <= now() ORDER BY priority, run_at, id LIMIT 1 \
                     FOR UPDATE SKIP LOCKED) RETURNING id";

fn prepared(organization: &str) -> String {
    let claim = CLAIM.replace("{org}", &format!("'{organization}'"));
    format!(
        "PREPARE claim AS {claim}; PREPARE complete (uuid) AS UPDATE queue_jobs SET status = 'completed', \
         finished_at = now() WHERE organization_id = '{organization}' AND id = $1"
    )
}

fn taken(connection: &mut PgConnection) -> Option<Uuid> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = st::Uuid)]
        id: Uuid,
    }
    sql_query("EXECUTE claim").get_result::<Row>(connection).optional().unwrap().map(|row| row.id)
}

fn text(connection: &mut PgConnection, query: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = st::Text, column_name = "QUERY PLAN")]
        line: String,
    }
    sql_query(query).load::<Line>(connection).unwrap().into_iter().map(|row| row.line).collect()
}

fn organization(test: &TestDatabase) -> String {
    text(&mut test.connect(), "SELECT id::text AS \"QUERY PLAN\" FROM organizations").remove(0)
}

/// A comparison with a statement that reads the whole queue would flatter us.
fn check_the_plan(test: &TestDatabase) {
    fill(test);
    let claim = CLAIM.replace("{org}", &format!("'{}'", organization(test)));
    let plan = text(&mut test.connect(), &format!("EXPLAIN {claim}")).join("\n");
    assert!(plan.contains("queue_jobs_ready_idx") && !plan.contains("Sort"), "{plan}");
}
