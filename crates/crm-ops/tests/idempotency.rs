//! How long answers are kept, and what becomes of them then.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{
    Error, Result,
    testing::{Person, TestDatabase, TestOrganization, now},
};
use crm_ops::idempotency::{self, Claim, IdempotencyKey, KEPT, Kept, Request, digest};

fn kept(status: u16) -> Kept {
    Kept { status, headers: vec![("etag".into(), "\"v1\"".into())], body: "{\"a\": \"ä\"}".into() }
}

/// Sends a request at an instant: the status of what it was answered, and whether that was an answer of before.
fn send(person: &Person, key: &str, at: DateTime<Utc>, status: u16) -> Result<(u16, bool)> {
    let key = IdempotencyKey::parse(key).unwrap();
    let request = Request { key: &key, method: "POST", address: "/api/leads", content: digest([b"{}".as_slice()]) };
    person.clone().at(at).write(|tx| match idempotency::claim(tx, &request)? {
        Claim::Again(answer) => {
            assert_eq!(answer, kept(answer.status));
            Ok((answer.status, true))
        }
        Claim::First(claimed) => {
            idempotency::keep(tx, &claimed, &kept(status))?;
            Ok((status, false))
        }
    })
}

/// The access token of the tests is good for a quarter of an hour, so a person who comes later signs in again.
fn later(acme: &TestOrganization, after: TimeDelta) -> (Person, DateTime<Utc>) {
    let at = now() + after;
    (Person::sign_in(&acme.door, &acme.rep.email, at).unwrap(), at)
}

#[test]
fn an_answer_is_kept_for_a_day_and_then_the_key_is_new() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    assert_eq!(send(&acme.rep, "k", now(), 201).unwrap(), (201, false));
    for (after, expected) in [
        (TimeDelta::zero(), (201, true)),
        (KEPT - TimeDelta::seconds(1), (201, true)),
        (KEPT, (202, false)),
        (KEPT + KEPT - TimeDelta::seconds(1), (202, true)),
    ] {
        let (rep, at) = later(&acme, after);
        assert_eq!(send(&rep, "k", at, 202).unwrap(), expected, "{after}");
    }
}

#[test]
fn what_is_old_is_thrown_away_in_pieces_and_what_is_not_stays() {
    let database = TestDatabase::new();
    let (acme, globex) = (TestOrganization::new(&database, "acme"), TestOrganization::new(&database, "globex"));
    for key in ["a", "b", "c"] {
        send(&acme.rep, key, now(), 201).unwrap();
    }
    send(&globex.rep, "a", now(), 201).unwrap();
    let (rep, at) = later(&acme, TimeDelta::hours(1));
    send(&rep, "young", at, 201).unwrap();
    let prune = |limit| acme.door.system_write(acme.id, now() + KEPT, |tx| idempotency::prune(tx, limit)).unwrap();
    assert_eq!((prune(2), prune(2), prune(2)), (2, 1, 0));
    assert_eq!(send(&rep, "young", at, 202).unwrap(), (201, true));
    assert_eq!(send(&globex.rep, "a", now(), 202).unwrap(), (201, true), "another organization's stay");
}

#[test]
fn an_effect_that_fails_takes_its_key_along() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let key = IdempotencyKey::parse("k").unwrap();
    let request = Request { key: &key, method: "POST", address: "/api/leads", content: digest([b"{}".as_slice()]) };
    let failed: Result<()> = acme.rep.write(|tx| {
        let Claim::First(claimed) = idempotency::claim(tx, &request)? else { panic!("nobody was before") };
        idempotency::keep(tx, &claimed, &kept(201))?;
        Err(Error::NotFound)
    });
    assert!(matches!(failed, Err(Error::NotFound)));
    assert_eq!(send(&acme.rep, "k", now(), 202).unwrap(), (202, false));
}

#[test]
fn the_program_itself_has_no_keys() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let key = IdempotencyKey::parse("k").unwrap();
    let request = Request { key: &key, method: "POST", address: "/api/leads", content: digest([]) };
    let refused = acme.door.system_write(acme.id, now(), |tx| idempotency::claim(tx, &request).map(|_| ()));
    assert!(matches!(refused, Err(Error::Internal(_))));
}
