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
use diesel::{RunQueryDsl, connection::SimpleConnection, sql_types::BigInt};
use serde::{Deserialize, Serialize};
use serde_json::json;

const JOBS: usize = 5_000;
const ROUNDS: usize = 3;
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
    println!("{JOBS} jobs that do nothing, {SLOTS} at a time; jobs per second\n");
    println!("{:>10} {:>10} {:>8}", "queue", "bare SQL", "ratio");
    for _ in 0..ROUNDS {
        let ours = rate(&test, || work(&test, &database));
        let bare = rate(&test, || bare(&test));
        println!("{ours:>10.0} {bare:>10.0} {:>8.2}", ours / bare);
    }
}

/// Jobs per second of a way to do all of them.
#[allow(clippy::cast_precision_loss, reason = "a few thousand")]
fn rate(test: &TestDatabase, work: impl FnOnce()) -> f64 {
    let fill = format!(
        "TRUNCATE queue_jobs; INSERT INTO queue_jobs (organization_id, id, queue, kind, payload, run_at, created_at, updated_at) \
         SELECT id, gen_random_uuid(), 'default', 'nothing', '{{}}', now(), now(), now() \
         FROM organizations, generate_series(1, {JOBS}); ANALYZE queue_jobs"
    );
    test.connect().batch_execute(&fill).unwrap();
    let began = instant();
    work();
    JOBS as f64 / began.elapsed().as_secs_f64()
}

fn work(test: &TestDatabase, database: &Database) {
    let runner = Runner::new(database.clone(), Arc::new(Roles)).register::<Nothing>();
    let running = runner.slots("default", SLOTS).start().unwrap();
    let mut connection = test.connect();
    let left = "SELECT count(*) FROM queue_jobs WHERE status <> 'completed'";
    while diesel::dsl::sql::<BigInt>(left).get_result::<i64>(&mut connection).unwrap() > 0 {
        sleep(Duration::from_millis(20));
    }
    running.stop();
}

/// Two transactions to a job, as the queue needs them too: one claims, one completes.
fn bare(test: &TestDatabase) {
    let claim = "UPDATE queue_jobs SET status = 'active', attempts = attempts + 1 WHERE (organization_id, id) = \
                 (SELECT organization_id, id FROM queue_jobs WHERE status = 'waiting' AND queue = 'default' \
                 ORDER BY priority, run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id";
    scope(|scope| {
        for _ in 0..SLOTS {
            scope.spawn(|| {
                let mut connection = test.connect();
                while let Some(id) = first(&mut connection, claim) {
                    let complete = "UPDATE queue_jobs SET status = 'completed', finished_at = now() WHERE id = $1 \
                                    AND organization_id = (SELECT id FROM organizations)";
                    let complete = diesel::sql_query(complete).bind::<diesel::sql_types::Uuid, _>(id);
                    complete.execute(&mut connection).unwrap();
                }
            });
        }
    });
}

fn first(connection: &mut diesel::PgConnection, sql: &str) -> Option<uuid::Uuid> {
    use diesel::OptionalExtension;
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Uuid)]
        id: uuid::Uuid,
    }
    diesel::sql_query(sql).get_result::<Row>(connection).optional().unwrap().map(|row| row.id)
}
