//! Alerts on a real database: raised by jobs that are given up, counted, told to a channel seldom, resolved.
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use crm_core::{
    alerts::{self, AlertNotification, Cause, Channel, NewAlert, Notice, Severity, Undelivered},
    history::HistoryVerification,
    jobs,
};
use serde_json::json;

use crate::{
    house::{Fragile, House},
    stop,
};

/// A channel that remembers what it heard, after it has asked for patience once.
#[derive(Default)]
struct Ear {
    heard: Mutex<Vec<Notice>>,
    asked: Mutex<bool>,
}

impl Channel for Ear {
    fn deliver(&self, notice: &Notice) -> Result<(), Undelivered> {
        if !std::mem::replace(&mut *self.asked.lock().unwrap(), true) {
            return Err(Undelivered::Wait(Duration::from_secs(1)));
        }
        self.heard.lock().unwrap().push(notice.clone());
        Ok(())
    }
}

fn cause(severity: Severity) -> Cause<'static> {
    Cause { fingerprint: "disk", severity, source: "disk", title: "The disk is nearly full", message: "3 %".into() }
}

const STATE: &str = "SELECT status || occurrences || severity FROM alerts WHERE fingerprint = 'disk'";
const NOTIFICATIONS: &str = "SELECT count(*) FROM queue_jobs WHERE kind = 'alert_notification'";

#[test]
fn one_row_counts_what_has_the_same_fingerprint() {
    let house = House::new(2);
    let [one, two] = [house.organizations[0], house.organizations[1]];
    let raise = |organization, severity| house.write(organization, |tx| alerts::raise(tx, &cause(severity))).unwrap();
    let first = raise(one, Severity::Warning);
    assert_eq!(house.text(NOTIFICATIONS), "0", "a warning stays inside");
    assert_eq!(raise(one, Severity::Error), first);
    assert_eq!(house.text(STATE), "open2error");
    assert_eq!(house.text(NOTIFICATIONS), "1");
    for _ in 0..3 {
        raise(one, Severity::Critical);
    }
    assert_eq!(house.text(NOTIFICATIONS), "1", "once in ten minutes");
    house.run("UPDATE alerts SET notified_at = notified_at - interval '10 minutes'");
    raise(one, Severity::Error);
    assert_eq!(house.text(NOTIFICATIONS), "2");
    assert_ne!(raise(two, Severity::Info), first);
    assert!(house.write(two, |tx| alerts::resolve(tx, "disk")).unwrap());
    assert!(!house.write(two, |tx| alerts::resolve(tx, "disk")).unwrap());
    assert_eq!(house.text("SELECT string_agg(status, ',' ORDER BY status) FROM alerts"), "open,resolved");
}

#[test]
fn a_standing_cause_is_seen_again_and_not_counted_again() {
    let house = House::new(1);
    let stand = |severity| house.write(house.organizations[0], |tx| alerts::stand(tx, &cause(severity))).unwrap();
    stand(Severity::Warning);
    house.run("UPDATE alerts SET last_seen_at = now() - interval '5 minutes'");
    stand(Severity::Warning);
    assert_eq!(house.text(STATE), "open1warning");
    assert_eq!(house.text("SELECT last_seen_at > now() - interval '1 minute' FROM alerts"), "true");
    stand(Severity::Critical);
    assert_eq!(house.text(STATE), "open2critical", "worse than it was");
    house.write(house.organizations[0], |tx| alerts::resolve(tx, "disk")).unwrap();
    stand(Severity::Critical);
    assert_eq!(house.text(STATE), "open3critical");
}

#[test]
fn an_alert_comes_with_its_transaction_or_not_at_all() {
    let house = House::new(1);
    let undone = house.write(house.organizations[0], |tx| {
        alerts::raise(tx, &cause(Severity::Error))?;
        Err::<(), _>(crm_core::Error::NotFound)
    });
    assert!(undone.is_err());
    assert_eq!(house.text("SELECT (SELECT count(*) FROM alerts) + (SELECT count(*) FROM queue_jobs)"), "0");
}

#[test]
fn a_job_given_up_raises_an_alert_that_goes_when_it_is_done() {
    let house = House::new(1);
    let one = house.organizations[0];
    house.enqueue(one, &Fragile::Fails);
    let ear = Arc::new(Ear::default());
    let channel: Arc<dyn Channel> = Arc::<Ear>::clone(&ear);
    let worker = house.worker().plug(channel).register::<AlertNotification>().start().unwrap();
    house.until("SELECT status || severity || source || fingerprint FROM alerts", "openerrorjobsjob_failed:fragile");
    house.until("SELECT status FROM queue_jobs WHERE kind = 'alert_notification'", "completed");
    let attempts = "SELECT attempts FROM queue_jobs WHERE kind = 'alert_notification'";
    assert_eq!(house.text(attempts), "1", "to wait as asked is no failure");
    let heard = ear.heard.lock().unwrap().clone();
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].title.as_str(), heard[0].severity.as_str()), ("A job has failed for good", "error"));

    assert_eq!(house.write(one, jobs::resolve_failures).unwrap(), 0, "it has still failed");
    house.run(&format!("INSERT INTO effects (organization_id, what) VALUES ('{one}', 'mended')"));
    house.run("UPDATE queue_jobs SET status = 'waiting', attempts = 0 WHERE kind = 'fragile'");
    house.until("SELECT status FROM queue_jobs WHERE kind = 'fragile'", "completed");
    assert_eq!(house.write(one, jobs::resolve_failures).unwrap(), 1);
    assert_eq!(house.text("SELECT status FROM alerts"), "resolved");
    stop(vec![worker]);
}

#[test]
fn of_an_alert_that_somebody_wrote_no_word_leaves_the_house() {
    let house = House::new(1);
    let new: NewAlert = serde_json::from_value(
        json!({"severity": "error", "title": "Ann Example called", "source": "ann@example.com"}),
    )
    .unwrap();
    house.write(house.organizations[0], |tx| alerts::create(tx, &new)).unwrap();
    let ear = Arc::new(Ear { asked: Mutex::new(true), ..Ear::default() });
    let channel: Arc<dyn Channel> = Arc::<Ear>::clone(&ear);
    let worker = house.idle_worker().plug(channel).register::<AlertNotification>().start().unwrap();
    house.until("SELECT status FROM queue_jobs", "completed");
    stop(vec![worker]);
    let heard = ear.heard.lock().unwrap().clone();
    assert_eq!((heard[0].source.as_str(), heard[0].title.as_str()), ("manual", "Somebody has raised an alert"));
}

#[test]
fn a_history_that_is_not_whole_raises_a_critical_alert() {
    let house = House::new(2);
    let one = house.organizations[0];
    let rename = |name: &str| {
        let fields = json!({ "name": name }).as_object().unwrap().clone();
        house.write(one, |tx| crm_core::organizations::update(tx, crm_core::Patch::from(fields))).unwrap();
    };
    rename("Acme");
    rename("Globex");
    let verify = || {
        for organization in &house.organizations {
            house.enqueue(*organization, &serde_json::from_value::<HistoryVerification>(json!({})).unwrap());
        }
        let worker = house.idle_worker().register::<HistoryVerification>().start().unwrap();
        house.until(
            "SELECT count(*) FROM queue_jobs WHERE status <> 'completed' AND kind = 'history_verification'",
            "0",
        );
        stop(vec![worker]);
    };
    verify();
    assert_eq!(house.text("SELECT count(*) FROM alerts"), "0");
    house.run("UPDATE field_history SET hash = sha256(hash) WHERE seq = 1");
    verify();
    verify();
    let told = "SELECT organization_id || severity || occurrences || status FROM alerts";
    assert_eq!(house.text(told), format!("{one}critical1open"));
}
