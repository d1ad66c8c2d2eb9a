//! The queue and its worker on a real database: leases, fencing, fairness, failures and a stop without loss.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod alerts;
mod discord;
mod house;
mod looks;
mod proof;
mod recurrences;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::Duration,
};

use crm_core::{
    Actor, Error, Tx,
    jobs::{self, Claim, Enqueue, Failure, JobRun, Outcome, Share, Until},
    vital_signs::VitalSigns,
};
use crm_ops::runner::Running;
use uuid::Uuid;

use house::{Fragile, House, LATCH, Note, Stubborn, ZOMBIE_LOST, effect};

fn stop(running: Vec<Running>) {
    assert_eq!(running.into_iter().map(Running::stop).sum::<usize>(), 0);
}

#[test]
fn four_workers_do_each_job_once() {
    let house = House::new(3);
    for number in 0..200 {
        house.enqueue(house.organizations[number % 3], &Note(number.to_string()));
    }
    let workers: Vec<_> = (0..4).map(|_| house.worker().slots("default", 2).start().unwrap()).collect();
    house.until("SELECT count(*) FROM queue_jobs WHERE status = 'completed'", "200");
    stop(workers);
    assert_eq!(house.text("SELECT count(*) FROM effects"), "200");
    assert_eq!(house.text("SELECT count(DISTINCT (organization_id, job, what)) FROM effects"), "200");
    assert_eq!(house.text("SELECT max(attempts) FROM queue_jobs"), "1");
    assert_eq!(house.text("SELECT count(*) FROM queue_jobs WHERE lease_token IS NOT NULL"), "0");
}

fn claim(house: &House, kind: &str) -> Claim {
    let kinds = [kind.to_owned()];
    let mut claims =
        house.queue().claim(house.organizations[0], "default", &kinds, Share { begun: 10, held: 0 }).unwrap();
    assert_eq!(claims.len(), 1);
    claims.remove(0)
}

const EXPIRE: &str = "UPDATE queue_jobs SET lease_until = now() - interval '1 s' WHERE status = 'active'";

#[test]
fn a_worker_taken_for_dead_commits_nothing_more() {
    let house = House::new(1);
    house.enqueue(house.organizations[0], &Note("x".into()));
    let (queue, running) = (house.queue(), AtomicBool::new(false));
    let dead = claim(&house, "note");
    let zombie = JobRun::new(&queue, &dead, &running);
    zombie.step(|tx| effect(tx, zombie.id(), "first step")).unwrap();
    assert_eq!(house.text("SELECT lease_until > now() + interval '8 s' FROM queue_jobs"), "true");
    assert!(queue.expired(&["note".into()]).unwrap().is_empty(), "its lease still holds");

    house.run(EXPIRE);
    let heir = house.worker().start().unwrap();
    house.until("SELECT status FROM queue_jobs", "completed");
    stop(vec![heir]);
    assert_eq!(house.text("SELECT attempts FROM queue_jobs"), "2");
    let late = zombie.step(|tx| effect(tx, zombie.id(), "late step"));
    assert_eq!(late, Err(Failure::Lost));
    assert_eq!(zombie.finish(|tx| effect(tx, zombie.id(), "late end")), Err(Failure::Lost));
    let back = Outcome::Waiting { until: Until::After(Duration::ZERO), counted: true, reason: None };
    assert_eq!(queue.settle(&dead, &back, |_| Ok(())), Err(Failure::Lost));
    assert_eq!(house.text("SELECT string_agg(what, ', ' ORDER BY n) FROM effects"), "first step, x");
}

#[test]
fn an_active_job_without_a_lease_is_nobodys() {
    let house = House::new(1);
    house.enqueue(house.organizations[0], &Note("x".into()));
    house.run("UPDATE queue_jobs SET status = 'active'");
    assert_eq!(house.queue().expired(&["note".into()]).unwrap(), house.organizations);
    let worker = house.worker().start().unwrap();
    house.until("SELECT status FROM queue_jobs", "completed");
    stop(vec![worker]);
    assert_eq!(house.text("SELECT what FROM effects"), "x");
}

#[test]
fn a_job_that_kills_its_workers_is_given_up() {
    let house = House::new(1);
    house.enqueue(house.organizations[0], &Fragile::Panics);
    for _ in 0..2 {
        claim(&house, "fragile");
        house.run("UPDATE queue_jobs SET status = 'waiting' WHERE attempts = 1");
    }
    house.run(EXPIRE);
    let worker = house.worker().start().unwrap();
    house.until("SELECT status FROM queue_jobs WHERE kind = 'fragile'", "failed");
    stop(vec![worker]);
    let told = "SELECT (last_error = 'the worker died while it ran' AND finished_at IS NOT NULL) FROM queue_jobs WHERE kind = 'fragile'";
    assert_eq!(house.text(told), "true");
    assert_eq!(house.text("SELECT what FROM effects"), "the worker died while it ran");
}

#[test]
fn a_lease_in_use_is_kept_alive_and_never_taken() {
    let house = House::new(1);
    house.enqueue(house.organizations[0], &Note("x".into()));
    let (queue, running) = (house.queue(), AtomicBool::new(false));
    let held = claim(&house, "note");
    let run = JobRun::new(&queue, &held, &running);
    house.run(EXPIRE);
    run.step(|_| {
        assert!(queue.take_over(house.organizations[0], &["note".into()]).unwrap().is_empty(), "it is in a step");
        Ok(())
    })
    .unwrap();
    house.run(EXPIRE);
    queue.keep_alive(house.organizations[0], std::slice::from_ref(&held)).unwrap();
    assert_eq!(house.text("SELECT lease_until > now() + interval '8 s' FROM queue_jobs"), "true");
    assert!(queue.take_over(house.organizations[0], &["note".into()]).unwrap().is_empty());
    run.finish(|_| Ok(())).unwrap();
    assert!(run.is_finished());
}

#[test]
fn organizations_are_served_in_turn() {
    let house = House::new(3);
    for number in 0..30 {
        house.enqueue(house.organizations[0], &Note(format!("a{number}")));
    }
    house.enqueue(house.organizations[1], &Note("b".into()));
    house.enqueue(house.organizations[2], &Note("c".into()));
    let worker = house.worker().slots("default", 1).start().unwrap();
    house.until("SELECT count(*) FROM effects", "32");
    stop(vec![worker]);
    let early = "SELECT count(*) FROM (SELECT what FROM effects ORDER BY n LIMIT 4) x WHERE what IN ('b', 'c')";
    assert_eq!(house.text(early), "2");
    let in_order = "SELECT bool_and(substr(what, 2)::int = place) FROM (SELECT what, row_number() OVER (ORDER BY n) - 1 \
                    AS place FROM effects WHERE what LIKE 'a%') x";
    assert_eq!(house.text(in_order), "true");
}

#[test]
fn a_key_is_unique_while_its_job_is_alive() {
    let house = House::new(2);
    let keyed = |organization, key: &str| {
        let how = Enqueue { unique_key: Some(key.into()), ..Enqueue::default() };
        house.write(organization, |tx| jobs::enqueue(tx, &Note(key.into()), &how)).unwrap()
    };
    let [one, two] = [house.organizations[0], house.organizations[1]];
    let first = keyed(one, "k");
    assert_eq!(keyed(one, "k"), first);
    assert_ne!(keyed(one, "other"), first);
    assert_ne!(keyed(two, "k"), first);
    let worker = house.worker().start().unwrap();
    house.until("SELECT count(*) FROM queue_jobs WHERE status = 'completed'", "3");
    stop(vec![worker]);
    assert_ne!(keyed(one, "k"), first);
}

#[test]
fn a_job_comes_with_its_transaction_or_not_at_all() {
    let house = House::new(1);
    let undone = house.write(house.organizations[0], |tx| {
        jobs::enqueue(tx, &Note("x".into()), &Enqueue::default())?;
        Err::<(), _>(Error::NotFound)
    });
    assert!(matches!(undone, Err(Error::NotFound)));
    assert_eq!(house.text("SELECT count(*) FROM queue_jobs"), "0");
}

#[test]
fn a_failed_job_set_to_waiting_by_hand_is_taken_again() {
    let house = House::new(1);
    let id = house.enqueue(house.organizations[0], &Fragile::Fails);
    let worker = house.worker().start().unwrap();
    house.until(
        "SELECT status || ' ' || attempts || ' ' || last_error FROM queue_jobs WHERE kind = 'fragile'",
        "failed 1 the other side says no",
    );
    assert_eq!(house.text("SELECT string_agg(what, ',') FROM effects"), "the other side says no");
    let mended = format!("INSERT INTO effects (organization_id, what) VALUES ('{}', 'mended')", house.organizations[0]);
    house.run(&mended);
    // The statements of the runbook, as they stand there.
    let failed = "SELECT * FROM queue_jobs WHERE status = 'failed' ORDER BY created_at DESC LIMIT 20";
    assert_eq!(house.text(&format!("SELECT id FROM ({failed}) x")), id.to_string());
    house.run(&format!("UPDATE queue_jobs SET status = 'waiting', attempts = 0 WHERE id = '{id}'"));
    house.until("SELECT status || ' ' || attempts FROM queue_jobs WHERE kind = 'fragile'", "completed 1");
    stop(vec![worker]);
    assert_eq!(house.text("SELECT last_error IS NULL FROM queue_jobs WHERE kind = 'fragile'"), "true");
}

#[test]
fn panics_and_failures_cost_attempts_and_harm_nobody_else() {
    let house = House::new(1);
    let one = house.organizations[0];
    let jobs = [Fragile::Panics, Fragile::Retries, Fragile::Snoozes];
    for job in &jobs {
        house.enqueue(one, job);
    }
    house.enqueue(one, &Note("after".into()));
    let worker = house.worker().start().unwrap();
    let states = "SELECT string_agg(status || attempts || coalesce(last_error, '-'), ' | ' ORDER BY id) \
                  FROM queue_jobs WHERE kind = 'fragile'";
    house.until(states, "waiting1the job's code panicked | waiting1no answer | waiting0-");
    house.until("SELECT string_agg(what, ',') FROM effects", "after");
    let waits = "SELECT bool_and(run_at - updated_at BETWEEN interval '13 s' AND interval '17 s') \
                 FROM queue_jobs WHERE attempts = 1 AND kind = 'fragile'";
    assert_eq!(house.text(waits), "true");
    house.run("UPDATE queue_jobs SET run_at = now() WHERE attempts = 1");
    house.until(states, "failed2the job's code panicked | failed2no answer | waiting0-");
    stop(vec![worker]);
    assert_eq!(house.text("SELECT count(*) FROM effects"), "3", "both said farewell");
}

#[test]
fn a_stop_lets_jobs_leave_and_takes_back_those_that_stay() {
    let house = House::new(1);
    for leaves in [true, false] {
        house.enqueue(house.organizations[0], &Stubborn { leaves });
    }
    let worker = house.worker().drain(Duration::from_millis(300)).start().unwrap();
    house.until("SELECT count(*) FROM effects", "2");
    assert!(worker.load().iter().any(|load| load.name == "slow" && load.running == 2 && load.slots == 2));
    assert_eq!(worker.stop(), 1, "one left by itself");
    assert_eq!(house.text("SELECT string_agg(status || attempts, ',') FROM queue_jobs"), "waiting0,waiting0");
    LATCH.store(true, Ordering::Relaxed);
    while !ZOMBIE_LOST.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(5));
    }
    assert_eq!(house.text("SELECT count(*) FROM effects WHERE what = 'by a zombie'"), "0");
}

#[test]
fn kinds_that_a_worker_does_not_know_wait_for_one_that_does() {
    let house = House::new(1);
    house.enqueue(house.organizations[0], &Note("known".into()));
    house.run("UPDATE queue_jobs SET kind = 'of_a_later_version'");
    house.enqueue(house.organizations[0], &Note("known".into()));
    let worker = house.worker().start().unwrap();
    house.until("SELECT count(*) FROM effects", "1");
    stop(vec![worker]);
    assert_eq!(house.text("SELECT status FROM queue_jobs WHERE kind = 'of_a_later_version'"), "waiting");
}

#[test]
fn a_step_in_the_name_of_a_user_has_their_present_rights() {
    let house = House::new(1);
    let one = house.organizations[0];
    let (user, unit) = (Uuid::from_u128(1), Uuid::from_u128(2));
    house.run(&format!(
        "INSERT INTO users (organization_id, id, email, name, role, password_hash, created_at, updated_at) \
         VALUES ('{one}', '{user}', 'a@b.example', 'A', 'SALES_REP', '', now(), now()); \
         INSERT INTO business_units (organization_id, id, name, slug, created_at, updated_at) \
         VALUES ('{one}', '{unit}', 'U', 'u', now(), now()); \
         INSERT INTO business_unit_members VALUES ('{one}', '{user}', '{unit}')"
    ));
    house.enqueue(one, &Note("x".into()));
    let (queue, stopping) = (house.queue(), AtomicBool::new(false));
    let held = claim(&house, "note");
    let run = JobRun::new(&queue, &held, &stopping);
    let actor = Actor::Import { import: Uuid::from_u128(3), user: user.into() };
    let seen = |tx: &mut Tx<'_>| {
        let units = tx.ctx.scope.units.clone().map(|units| units.len());
        Ok((tx.ctx.role.to_string(), units, tx.ctx.actor.kind()))
    };
    assert_eq!(run.step_as(&actor, seen), Ok(("SALES_REP".into(), Some(1), "import")));
    house.run("UPDATE users SET role = 'ADMIN'");
    assert_eq!(run.step_as(&actor, seen), Ok(("ADMIN".into(), None, "import")));
    house.run("UPDATE users SET is_active = false");
    assert_eq!(run.step_as(&actor, seen), Err(Failure::Fail("not_active".into())));
}

#[test]
fn administrators_see_jobs_and_run_failed_ones_again() {
    let house = House::new(2);
    let [one, two] = [house.organizations[0], house.organizations[1]];
    let id = house.enqueue(one, &Note("x".into()));
    house.enqueue(two, &Note("y".into()));
    let seen = house.write(one, |tx| jobs::list(tx, &[("status".into(), "waiting".into())])).unwrap();
    assert_eq!((seen.items.len(), seen.items[0].id), (1, id));
    let waiting = house.write(one, |tx| jobs::retry(tx, id));
    assert!(matches!(waiting, Err(Error::Conflict { code: "not_failed", .. })));
    house.run("UPDATE queue_jobs SET status = 'failed', attempts = 12, finished_at = now()");
    let again = house.write(one, |tx| jobs::retry(tx, id)).unwrap();
    assert_eq!((again.fields.status.as_str(), again.fields.attempts), ("waiting", 0));
    assert!(matches!(house.write(two, |tx| jobs::retry(tx, id)), Err(Error::NotFound)));
    let figures = VitalSigns::read(house.queue().database()).unwrap().queues;
    let lies = |f: &jobs::QueueFigures| (f.name.clone(), f.waiting, f.active, f.failed, f.completed_24h);
    assert_eq!(figures.iter().map(lies).collect::<Vec<_>>(), [("default".into(), 1, 0, 1, 0)]);
    assert!(figures[0].oldest_waiting_seconds.is_some());
}
