//! Against guessing: failed sign-ins are counted, and too many are refused for a while. Successful ones do not count.
//!
//! | counted by | allowed | then |
//! |---|---|---|
//! | account and client | 5 failures | refused for 1, 2, 4 … 60 minutes, longer with each further failure |
//! | client | 30 failures within a minute | refused until that minute is over |
//! | account | 100 failures within an hour | every client has one failure instead of five |
//!
//! An account is never locked as a whole: from an address without failures the right password always works. An unknown
//! address is an account like any other here, so that nobody learns which exist. Whoever hashes passwords must limit how
//! many are hashed at a time: that bounds how many guesses pass before the first of them is counted.
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, RunQueryDsl, sql_types as st};
use sha2::{Digest, Sha256};

use crate::{Error, Result, statement::Statement};

const PAIR_FREE: i32 = 5;
const PAIR_FREE_UNDER_ATTACK: i32 = 1;
const PAIR_FORGETS: TimeDelta = TimeDelta::days(1);
const CLIENT_ALLOWED: i32 = 30;
const CLIENT_WINDOW: TimeDelta = TimeDelta::minutes(1);
const ACCOUNT_ALLOWED: i32 = 100;
const ACCOUNT_WINDOW: TimeDelta = TimeDelta::hours(1);
const LONGEST_REFUSAL: i64 = 60;

/// How many rows that count for nothing any more each failure removes.
const SWEEP: &str = "DELETE FROM login_attempts WHERE bucket IN (SELECT bucket FROM login_attempts \
     WHERE window_started_at < {} ORDER BY window_started_at LIMIT 10 FOR UPDATE SKIP LOCKED)";

/// Removes all rows that count for nothing any more.
pub(crate) fn forget(conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<()> {
    let old = "DELETE FROM login_attempts WHERE bucket IN (SELECT bucket FROM login_attempts \
               WHERE window_started_at < {} FOR UPDATE SKIP LOCKED)";
    Statement::<st::Integer>::new(old, None).bind(now - PAIR_FORGETS).execute(conn)?;
    Ok(())
}

/// The failures of one bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bucket {
    failures: i32,
    /// When the count began; for account and client, when the last failure was.
    window_started_at: DateTime<Utc>,
    blocked_until: Option<DateTime<Utc>>,
}

impl Bucket {
    fn empty(now: DateTime<Utc>) -> Self {
        Self { failures: 0, window_started_at: now, blocked_until: None }
    }

    /// The failures that still count.
    fn counted(&self, window: TimeDelta, now: DateTime<Utc>) -> i32 {
        if self.window_started_at + window > now { self.failures } else { 0 }
    }

    fn count_one(&mut self, window: TimeDelta, now: DateTime<Utc>) {
        let counted = self.counted(window, now);
        if counted == 0 {
            self.window_started_at = now;
        }
        self.failures = counted.saturating_add(1);
    }
}

/// The failures that bear upon one try.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Attempts {
    account: Bucket,
    client: Bucket,
    pair: Bucket,
}

impl Attempts {
    /// Until when tries are refused, if they are.
    fn refused_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let client = self.client.window_started_at + CLIENT_WINDOW;
        let client = (self.client.counted(CLIENT_WINDOW, now) >= CLIENT_ALLOWED).then_some(client);
        client.max(self.pair.blocked_until.filter(|until| *until > now))
    }

    /// The same after one more failure.
    fn failed(mut self, now: DateTime<Utc>) -> Self {
        self.client.count_one(CLIENT_WINDOW, now);
        self.account.count_one(ACCOUNT_WINDOW, now);
        self.pair.count_one(PAIR_FORGETS, now);
        self.pair.window_started_at = now;
        let under_attack = self.account.failures > ACCOUNT_ALLOWED;
        let free = if under_attack { PAIR_FREE_UNDER_ATTACK } else { PAIR_FREE };
        let beyond = self.pair.failures - free;
        self.pair.blocked_until = (beyond > 0).then(|| now + TimeDelta::minutes(refusal(beyond)));
        self
    }
}

/// Minutes of refusal after the n-th failure beyond the free ones: 1, 2, 4 … 60.
fn refusal(beyond: i32) -> i64 {
    let doublings = u32::try_from(beyond - 1).unwrap_or(0).min(6);
    (1_i64 << doublings).min(LONGEST_REFUSAL)
}

/// The buckets of one try, by name: hashed, so that the table names nobody.
#[derive(Debug, Clone)]
pub(crate) struct Buckets {
    /// In the order in which they are locked.
    names: [String; 3],
}

impl Buckets {
    /// The buckets of an account, by the key of its address, and of a client, by its network address.
    pub(crate) fn new(email_key: &str, client: &str) -> Self {
        let client = network(client);
        let name = |kind: &str, what: &str| format!("{kind}:{}", hex::encode(&Sha256::digest(what)[..16]));
        let pair = format!("{email_key}\n{client}");
        Self { names: [name("account", email_key), name("client", &client), name("pair", &pair)] }
    }

    /// Refuses the try where there were too many failures.
    ///
    /// # Errors
    /// [`Error::Limited`].
    pub(crate) fn check(&self, conn: &mut PgConnection, now: DateTime<Utc>) -> Result<()> {
        let attempts = self.load(conn, "", now)?;
        let Some(until) = attempts.refused_until(now) else { return Ok(()) };
        let retry_after = u64::try_from((until - now).num_seconds()).unwrap_or(0) + 1;
        let detail = format!("Too many failed sign-ins. Try again in {}.", wait(retry_after));
        Err(Error::Limited { retry_after, detail })
    }

    /// Counts a failure. The caller commits it.
    pub(crate) fn record_failure(&self, conn: &mut PgConnection, now: DateTime<Utc>) -> QueryResult<()> {
        let names = || self.names.to_vec();
        Statement::<st::Integer>::new(
            "INSERT INTO login_attempts (bucket, failures, window_started_at) \
             SELECT name, 0, {} FROM unnest({}) AS name ORDER BY name ON CONFLICT (bucket) DO NOTHING",
            None,
        )
        .bind(now)
        .bind(names())
        .execute(conn)?;
        let attempts = self.load(conn, " FOR UPDATE", now)?.failed(now);
        let buckets = [attempts.account, attempts.client, attempts.pair];
        for (name, bucket) in self.names.iter().zip(buckets) {
            Statement::<st::Integer>::new(
                "UPDATE login_attempts SET failures = {}, window_started_at = {}, blocked_until = {} WHERE bucket = {}",
                None,
            )
            .bind(bucket.failures)
            .bind(bucket.window_started_at)
            .bind(bucket.blocked_until)
            .bind(name.as_str())
            .execute(conn)?;
        }
        Statement::<st::Integer>::new(SWEEP, None).bind(now - PAIR_FORGETS).execute(conn)?;
        Ok(())
    }

    /// Forgets the failures of this account from this client, after it has signed in.
    pub(crate) fn clear(&self, conn: &mut PgConnection) -> QueryResult<()> {
        let [.., pair] = &self.names;
        Statement::<st::Integer>::new("DELETE FROM login_attempts WHERE bucket = {}", None)
            .bind(pair.as_str())
            .execute(conn)?;
        Ok(())
    }

    fn load(&self, conn: &mut PgConnection, lock: &str, now: DateTime<Utc>) -> QueryResult<Attempts> {
        type Columns = (st::Text, st::Integer, st::Timestamptz, st::Nullable<st::Timestamptz>);
        type Row = (String, i32, DateTime<Utc>, Option<DateTime<Utc>>);
        let text = format!(
            "SELECT bucket, failures, window_started_at, blocked_until FROM login_attempts \
             WHERE bucket = ANY({{}}) ORDER BY bucket{lock}"
        );
        let rows: Vec<Row> = Statement::<Columns>::new(text, None).bind(self.names.to_vec()).load(conn)?;
        let bucket = |name: &String| {
            let row = rows.iter().find(|row| row.0 == *name);
            row.map_or(Bucket::empty(now), |(_, failures, started, blocked)| Bucket {
                failures: *failures,
                window_started_at: *started,
                blocked_until: *blocked,
            })
        };
        let [account, client, pair] = self.names.each_ref().map(bucket);
        Ok(Attempts { account, client, pair })
    }
}

/// The part of a client's address that it cannot choose freely: the whole of an IPv4 address, the network (/64) of an
/// IPv6 address.
fn network(client: &str) -> String {
    match client.trim().parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V6(address)) => hex::encode(&address.octets()[..8]),
        Ok(IpAddr::V4(address)) => address.to_string(),
        Err(_) => client.trim().to_owned(),
    }
}

fn wait(seconds: u64) -> String {
    match seconds.div_ceil(60) {
        1 => "a minute".into(),
        minutes => format!("{minutes} minutes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn none() -> Attempts {
        let empty = Bucket::empty(at(0));
        Attempts { account: empty, client: empty, pair: empty }
    }

    #[test]
    fn refusals_grow_to_an_hour() {
        let mut attempts = none();
        let mut now = at(0);
        for expected in [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60] {
            attempts = attempts.failed(now);
            let minutes = attempts.refused_until(now).map_or(0, |until| (until - now).num_minutes());
            assert_eq!(minutes, expected);
            now += TimeDelta::minutes(61);
        }
        assert_eq!(attempts.failed(now + PAIR_FORGETS).pair.failures, 1, "a day without failures is a new start");
    }

    #[test]
    fn a_client_has_thirty_failures_a_minute_over_all_accounts() {
        let mut attempts = none();
        for second in 0..30 {
            attempts.pair = Bucket::empty(at(second));
            assert_eq!(attempts.refused_until(at(second)), None);
            attempts = attempts.failed(at(second));
        }
        attempts.pair = Bucket::empty(at(30));
        assert_eq!(attempts.refused_until(at(30)), Some(at(60)));
        assert_eq!(attempts.refused_until(at(60)), None);
    }

    #[test]
    fn an_account_under_attack_slows_everybody_and_locks_nobody() {
        let mut attempts = none();
        for second in 0..100 {
            attempts.pair = Bucket::empty(at(second));
            attempts.client = Bucket::empty(at(second));
            attempts = attempts.failed(at(second));
        }
        attempts.pair = Bucket::empty(at(100));
        assert_eq!(attempts.refused_until(at(100)), None, "a new client may try");
        attempts = attempts.failed(at(100));
        assert_eq!(attempts.refused_until(at(100)), None, "and fail once");
        attempts = attempts.failed(at(101));
        assert_eq!(attempts.refused_until(at(101)), Some(at(161)));
    }

    #[test]
    fn buckets_name_nobody_and_know_networks() {
        let names = |client: &str| Buckets::new("ada@example.com", client).names;
        assert_eq!(names("::ffff:192.0.2.7"), names("192.0.2.7"));
        assert_eq!(names("2001:db8::1"), names("2001:db8:0:0:ffff::2"));
        assert_ne!(names("2001:db8::1"), names("2001:db8:0:1::1"));
        assert_ne!(names("192.0.2.7"), names("192.0.2.8"));
        assert!(names("192.0.2.7").is_sorted(), "they are locked in this order");
        assert!(!names("192.0.2.7").concat().contains("ada"));
    }
}
