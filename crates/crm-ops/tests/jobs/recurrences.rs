//! Recurring jobs on a real database: once each, however many look, in the zone of the organization, caught up once.
use chrono::{DateTime, Utc};
use crm_core::{
    jobs::{Failure, Job, JobRun, Recurrence, Recurring, Schedule},
    pruning::Pruning,
};
use serde::{Deserialize, Serialize};

use crate::{
    house::{House, effect},
    stop,
};

/// Writes when it was due.
#[derive(Debug, Serialize, Deserialize)]
struct Nightly(DateTime<Utc>);

impl Job for Nightly {
    const NAME: &'static str = "nightly";
    fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
        run.finish(|tx| effect(tx, run.id(), &self.0.to_rfc3339()))
    }
}

impl Recurring for Nightly {
    const SCHEDULE: Schedule = Schedule::daily(2, 30);
    fn due(at: DateTime<Utc>) -> Self {
        Self(at)
    }
}

const NEXT: &str = "SELECT string_agg(to_char(next_run_at AT TIME ZONE timezone, 'HH24:MI'), ',') FROM schedules";

#[test]
fn a_run_that_is_due_is_enqueued_once_by_many_workers() {
    let house = House::new(3);
    let recurrences = [Recurrence::of::<Nightly>()];
    assert_eq!(house.queue().recur(&recurrences).unwrap(), 0, "nothing is due before its first time");
    assert_eq!(house.text(NEXT), "02:30,02:30,02:30");
    house.run("UPDATE schedules SET next_run_at = next_run_at - interval '1 day'");
    let enqueued: usize = std::thread::scope(|scope| {
        let look = || house.queue().recur(&recurrences).unwrap();
        let looks: Vec<_> = (0..8).map(|_| scope.spawn(look)).collect();
        looks.into_iter().map(|look| look.join().unwrap()).sum()
    });
    assert_eq!(enqueued, 3, "one to an organization");
    assert_eq!(house.text("SELECT count(*) FROM queue_jobs"), "3");
    assert_eq!(house.text("SELECT bool_and(next_run_at > now() AND last_due_at <= now()) FROM schedules"), "true");

    let workers: Vec<_> = (0..2).map(|_| house.idle_worker().recurring::<Nightly>().start().unwrap()).collect();
    house.until("SELECT count(*) FROM queue_jobs WHERE status = 'completed'", "3");
    stop(workers);
    assert_eq!(house.text("SELECT count(*) FROM effects"), "3");
}

#[test]
fn what_was_missed_is_made_up_for_by_one_run_of_the_latest() {
    let house = House::new(1);
    let recurrences = [Recurrence::of::<Nightly>()];
    house.queue().recur(&recurrences).unwrap();
    house.run("UPDATE schedules SET next_run_at = next_run_at - interval '5 days'");
    let worker = house.idle_worker().recurring::<Nightly>().start().unwrap();
    house.until("SELECT count(*) FROM effects", "1");
    stop(vec![worker]);
    assert_eq!(house.queue().recur(&recurrences).unwrap(), 0);
    let latest = "SELECT what::timestamptz = last_due_at AND now() - last_due_at < interval '1 day' \
                  AND next_run_at - last_due_at = interval '1 day' FROM effects, schedules";
    assert_eq!(house.text(latest), "true");
}

#[test]
fn another_zone_or_rule_holds_from_the_next_look_on() {
    let house = House::new(1);
    let recurrences = [Recurrence::of::<Nightly>()];
    house.queue().recur(&recurrences).unwrap();
    house.run("UPDATE organizations SET timezone = 'Asia/Kolkata'");
    assert_eq!(house.queue().recur(&recurrences).unwrap(), 0);
    let kolkata = "SELECT timezone || to_char(next_run_at AT TIME ZONE 'UTC', ' HH24:MI') FROM schedules";
    assert_eq!(house.text(kolkata), "Asia/Kolkata 21:00");
    house.run("UPDATE schedules SET rule = 'daily at 05:00', next_run_at = next_run_at + interval '2 hours'");
    house.queue().recur(&recurrences).unwrap();
    assert_eq!(house.text("SELECT rule FROM schedules"), "daily at 02:30");
    assert_eq!(house.text(kolkata), "Asia/Kolkata 21:00");
    assert_eq!(house.text("SELECT count(*) FROM queue_jobs"), "0");
}

#[test]
fn what_has_served_its_purpose_is_pruned() {
    let house = House::new(2);
    let jobs = "INSERT INTO queue_jobs (organization_id, id, queue, kind, payload, status, run_at, created_at, updated_at, finished_at) \
                SELECT o.id, gen_random_uuid(), 'default', 'old', '{}', j.status, now(), now(), now(), now() - j.age * interval '1 day' \
                FROM organizations o, (VALUES ('completed', 13), ('completed', 15), ('cancelled', 15), ('failed', 15), \
                ('failed', 91), ('waiting', 91)) AS j(status, age), generate_series(1, 2)";
    house.run(jobs);
    let sessions = "INSERT INTO users (organization_id, id, email, name, role, created_at, updated_at) \
                    SELECT id, id, 'a@' || id || '.test', 'A', 'ADMIN', now(), now() FROM organizations; \
                    INSERT INTO sessions (organization_id, id, user_id, access_hash, access_expires_at, expires_at, created_at, last_used_at) \
                    SELECT id, gen_random_uuid(), id, '', now(), now() + n * interval '1 hour', now(), now() \
                    FROM organizations, (VALUES (-1), (1)) AS s(n); \
                    INSERT INTO refresh_tokens (organization_id, id, session_id, hash, created_at) \
                    SELECT organization_id, id, id, '', now() FROM sessions; \
                    INSERT INTO login_attempts (bucket, failures, window_started_at) \
                    VALUES ('old', 9, now() - interval '2 days'), ('new', 9, now())";
    house.run(sessions);
    let recurrences = [Recurrence::of::<Pruning>()];
    house.queue().recur(&recurrences).unwrap();
    house.run("UPDATE schedules SET next_run_at = now()");
    let worker = house.idle_worker().recurring::<Pruning>().start().unwrap();
    house.until("SELECT count(*) FROM queue_jobs WHERE status = 'completed' AND kind = 'pruning'", "2");
    stop(vec![worker]);
    let left = "SELECT string_agg(status || n, ',' ORDER BY status) FROM \
                (SELECT status, count(*) AS n FROM queue_jobs WHERE kind = 'old' GROUP BY status) x";
    assert_eq!(house.text(left), "completed4,failed4,waiting4");
    for (table, rows) in [("sessions", "2"), ("refresh_tokens", "2"), ("login_attempts", "1")] {
        assert_eq!(house.text(&format!("SELECT count(*) FROM {table}")), rows, "{table}");
    }
}
