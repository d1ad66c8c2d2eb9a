//! Who has work that is due, and which jobs are taken: found by an index, however much waits beside it, and fair.
use std::{sync::Arc, time::Duration};

use crm_core::{
    database::{Database, Settings},
    gate::Roles,
    jobs::{Claim, Outcome, Queue, Share, Until},
};

use crate::{
    house::{House, Note},
    stop,
};

/// How many jobs wait beside those that are looked for.
const JOBS: usize = 100_000;

/// Pages that a look may read: a few to each organization, and not the thousands that the jobs fill.
const PAGES: i64 = 400;

fn kinds() -> Vec<String> {
    vec!["note".to_owned(), "fragile".to_owned()]
}

/// Twenty organizations. The first has most of the jobs, due; the second as many for later and two that are due, less
/// urgent than those; every other one of the rest has one that is due, the others one for later.
fn crowded() -> House {
    let house = House::new(20);
    let jobs = |organization: usize, count: usize, priority: i32, run_at: &str| {
        format!(
            "INSERT INTO queue_jobs (organization_id, id, queue, kind, payload, priority, run_at, created_at, updated_at) \
             SELECT '{}', gen_random_uuid(), 'default', 'note', '\"x\"', {priority}, {run_at}, now(), now() \
             FROM generate_series(1, {count}); ",
            house.organizations[organization]
        )
    };
    let later = "now() + interval '1 day'";
    let mut fill = jobs(0, JOBS / 2, 100, "now()") + &jobs(1, JOBS / 2, 100, later) + &jobs(1, 2, 200, "now()");
    for organization in 2..20 {
        fill += &jobs(organization, 1, 100, if organization % 2 == 0 { "now()" } else { later });
    }
    house.run(&fill);
    house.run("ANALYZE queue_jobs");
    house
}

/// What a piece of work reads of the queue's table and indexes, in pages, on connections of its own.
fn pages<T>(house: &House, work: impl Fn(&Queue) -> T) -> (i64, T) {
    let read = "SELECT heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit \
                FROM pg_statio_user_tables WHERE relname = 'queue_jobs'";
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                  AND application_name <> 'heimdell'";
    // The server has counted what a connection read once that is gone.
    house.until(others, "0");
    let before: i64 = house.text(read).parse().unwrap();
    let settings = Settings { application_name: "looks".into(), max_size: 1, min_idle: 0, ..Settings::default() };
    let database = Database::open(&house.url(), settings).unwrap();
    let done = work(&Queue::new(database, Arc::new(Roles)));
    house.until(others, "0");
    (house.text(read).parse::<i64>().unwrap() - before, done)
}

#[test]
fn who_has_work_is_found_by_an_index() {
    let house = crowded();
    let due: Vec<_> = house.organizations.iter().enumerate().filter(|(n, _)| *n < 2 || n % 2 == 0).collect();
    let mut due: Vec<_> = due.into_iter().map(|(_, organization)| *organization).collect();
    due.sort();
    let (read, found) = pages(&house, |queue| queue.ready("default", &kinds(), due[4]).unwrap());
    due.rotate_left(5);
    assert_eq!(found, due, "those behind the place first, then those up to it");
    assert!(read < PAGES, "{read} pages");
    let (read, found) = pages(&house, |queue| queue.ready("imports", &kinds(), due[0]).unwrap());
    assert_eq!(found, []);
    assert!(read < PAGES / 4, "{read} pages for a queue that is empty");
    let unknown = ["of_another_version".to_owned()];
    let (read, found) = pages(&house, |queue| queue.ready("default", &unknown, due[0]).unwrap());
    assert_eq!(found, []);
    assert!(read < PAGES, "{read} pages for a kind that is not there");
}

#[test]
fn jobs_are_claimed_by_an_index() {
    let house = crowded();
    let claim = |organization: usize| {
        let organization = house.organizations[organization];
        pages(&house, |queue| queue.claim(organization, "default", &kinds(), Share { begun: 4, held: 12 }).unwrap())
    };
    let (read, claims) = claim(0);
    assert_eq!(claims.len(), 16);
    assert!(read < PAGES, "{read} pages");
    let (read, claims) = claim(1);
    assert_eq!(claims.len(), 2, "those that are due, behind fifty thousand that are not");
    assert!(read < PAGES, "{read} pages");
}

fn attempts(house: &House) -> String {
    house.text("SELECT string_agg(status || attempts, ' ' ORDER BY id) FROM queue_jobs")
}

fn take(house: &House, begun: usize, held: usize) -> Vec<Claim> {
    house.queue().claim(house.organizations[0], "default", &kinds(), Share { begun, held }).unwrap()
}

#[test]
fn what_is_held_costs_no_attempt_and_has_no_past() {
    let house = House::new(1);
    let ids: Vec<_> = (0..5).map(|n| house.enqueue(house.organizations[0], &Note(n.to_string()))).collect();
    house.run(&format!("UPDATE queue_jobs SET attempts = 1, last_error = 'the worker died' WHERE id = '{}'", ids[2]));
    let first = take(&house, 1, 10);
    assert_eq!(first.iter().map(|claim| (claim.job, claim.attempt)).collect::<Vec<_>>(), [(ids[0], 1), (ids[1], 1)]);
    assert_eq!(attempts(&house), "active1 active0 waiting1 waiting0 waiting0", "the third may be what workers die of");
    assert!(take(&house, 0, 10).is_empty(), "nor does anything pass it");
    house.queue().give_back(house.organizations[0], &first).unwrap();
    assert_eq!(attempts(&house), "waiting0 waiting0 waiting1 waiting0 waiting0");
    assert_eq!(take(&house, 3, 10).len(), 5);
    assert_eq!(attempts(&house), "active1 active1 active2 active0 active0");

    // Their worker dies.
    house.run("UPDATE queue_jobs SET lease_until = now() - interval '1 s'");
    for claim in house.queue().take_over(house.organizations[0], &kinds()).unwrap() {
        let why = Some("the worker died while it ran".into());
        let again = Outcome::Waiting { until: Until::After(Duration::ZERO), counted: true, reason: why };
        house.queue().settle(&claim, &again, |_| Ok(())).unwrap();
    }
    assert_eq!(attempts(&house), "waiting1 waiting1 waiting2 waiting0 waiting0");
    let worker = house.worker().start().unwrap();
    house.until("SELECT count(*) FROM effects", "5");
    stop(vec![worker]);
    assert_eq!(attempts(&house), "completed2 completed2 completed3 completed1 completed1");
}

#[test]
fn a_job_that_was_tried_before_is_not_kept_waiting_by_thousands_of_new_ones() {
    let house = House::new(2);
    house.run(&format!(
        "INSERT INTO queue_jobs (organization_id, id, queue, kind, payload, run_at, created_at, updated_at) \
         SELECT '{}', gen_random_uuid(), 'default', 'note', '\"new\"', now(), now(), now() FROM generate_series(1, 3000)",
        house.organizations[0]
    ));
    let worker = house.worker().slots("default", 2).start().unwrap();
    house.until("SELECT count(*) > 300 FROM effects", "true");
    house.enqueue(house.organizations[1], &Note("tried".into()));
    house.run("UPDATE queue_jobs SET attempts = 1, last_error = 'no answer' WHERE payload = '\"tried\"'");
    house.until("SELECT count(*) FROM effects WHERE what = 'tried'", "1");
    house.until("SELECT count(*) FROM effects", "3001");
    stop(vec![worker]);
    let behind = "SELECT count(*) FROM effects WHERE n > (SELECT n FROM effects WHERE what = 'tried')";
    assert!(house.text(behind).parse::<i64>().unwrap() > 500, "{} were done after it", house.text(behind));
    assert_eq!(house.text("SELECT max(attempts) FROM queue_jobs WHERE payload = '\"new\"'"), "1");
}
