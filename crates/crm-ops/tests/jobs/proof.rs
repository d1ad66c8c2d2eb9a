//! The proof of the queue: worker processes are killed with SIGKILL again and again, their leases are torn away besides,
//! and still each job has its effect once.
use std::{
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::sleep,
    time::Duration,
};

use crm_core::{
    database::{Database, Settings},
    gate::Roles,
    jobs::{Failure, Job, JobRun},
};
use crm_ops::runner::Runner;
use serde::{Deserialize, Serialize};

use crate::house::{House, effect};

/// How many jobs are done, unless it is said otherwise.
const JOBS: usize = 2_000;
/// Says otherwise: `HEIMDELL_PROOF_JOBS=10000`.
const SIZE: &str = "HEIMDELL_PROOF_JOBS";
/// How long one worker process lives before it is killed.
const LIFE: Duration = Duration::from_millis(500);
/// How long a job takes at least, its effect written and not committed yet.
const WORK: Duration = Duration::from_millis(5);

/// Names the database to the worker process.
const URL: &str = "HEIMDELL_PROOF_DATABASE_URL";

#[derive(Debug, Serialize, Deserialize)]
struct Effect {}

impl Job for Effect {
    const NAME: &'static str = "effect";
    fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
        run.finish(|tx| {
            effect(tx, run.id(), "done")?;
            sleep(WORK);
            Ok(())
        })
    }
}

#[allow(clippy::disallowed_methods, reason = "a test that is two programs tells the other one by its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Is the worker process when it is told a database, and nothing otherwise.
#[test]
fn a_worker_process() {
    let Some(url) = variable(URL) else { return };
    let database = Database::open(&url, Settings { max_size: 4, ..Settings::default() }).unwrap();
    let _running = Runner::new(database, Arc::new(Roles)).register::<Effect>().slots("default", 2).start().unwrap();
    loop {
        sleep(Duration::from_secs(3600));
    }
}

/// A worker process, killed with SIGKILL with this value.
struct Worker(Child);

impl Worker {
    fn start(house: &House) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "proof::a_worker_process"]).env(URL, house.url());
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn killed_workers_lose_no_job_and_do_none_twice() {
    let house = House::new(4);
    let wanted = variable(SIZE).map_or(JOBS, |size| size.parse().unwrap());
    let jobs = wanted / 4 * 4;
    house.run(&format!(
        "INSERT INTO queue_jobs (organization_id, id, queue, kind, payload, run_at, created_at, updated_at, max_attempts) \
         SELECT o.id, gen_random_uuid(), 'default', 'effect', '{{}}', now(), now(), now(), 1000 \
         FROM (SELECT id FROM organizations) o, generate_series(1, {})",
        jobs / 4
    ));
    let survivor = Worker::start(&house);
    let mut kills = 0;
    while house.text("SELECT count(*) FROM queue_jobs WHERE status IN ('waiting', 'active')") != "0" {
        let victim = Worker::start(&house);
        sleep(LIFE);
        drop(victim);
        kills += 1;
        // What the dead held is taken over at once, and what the living hold is torn away from them in the middle.
        house.run("UPDATE queue_jobs SET lease_until = now() - interval '1 s' WHERE status = 'active'");
    }
    drop(survivor);
    println!("{jobs} jobs, {kills} kills, {} tries counted", house.text("SELECT sum(attempts) FROM queue_jobs"));
    let jobs = jobs.to_string();
    assert!(kills > 1, "it was over before anybody was killed");
    assert_eq!(house.text("SELECT count(*) FROM queue_jobs WHERE status = 'completed'"), jobs, "lost or given up");
    assert_eq!(house.text("SELECT count(*) FROM effects"), jobs, "an effect twice, or none");
    assert_eq!(house.text("SELECT count(DISTINCT job) FROM effects"), jobs);
}
