//! Bounces that may pass by themselves: counted by days, so that an address at which nothing arrives any more is given up.
//!
//! The limits are of the field: three days with a bounce within fifteen (a mailbox that is full for two weeks is nobody's any
//! more), and two within seven where the server says that the mailbox is disabled. Several on a day are one: a server that
//! is away for an hour sends back all that comes. A delivery in between forgets them.
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use crm_core::{
    Result, Tx,
    jobs::{Failure, Job, JobRun, Recurring, Schedule},
};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};

/// On so many days, within so many.
const SOFT: (usize, u64) = (3, 15);
/// The same, where the mailbox is said to be disabled.
const DISABLED: (usize, u64) = (2, 7);

/// How many rows one transaction removes.
const BATCH: i64 = 2_000;

/// Is it enough? Of each day on which something came back, with whether the mailbox was said to be disabled; the latest
/// day is the one from which one looks back.
///
/// ```
/// use crm_deliverability::soft_bounces::is_enough;
///
/// let day = |day: u32| chrono::NaiveDate::from_ymd_opt(2026, 1, day).unwrap();
/// assert!(is_enough(&[(day(1), false), (day(8), false), (day(15), false)]));
/// assert!(!is_enough(&[(day(1), false), (day(8), false), (day(16), false)]), "the first is too long ago");
/// ```
pub fn is_enough(days: &[(NaiveDate, bool)]) -> bool {
    let Some(latest) = days.iter().map(|(day, _)| *day).max() else { return false };
    let reaches = |(count, within): (usize, u64), is_meant: fn(bool) -> bool| {
        let after = latest.checked_sub_days(Days::new(within)).unwrap_or(NaiveDate::MIN);
        days.iter().filter(|(day, is_disabled)| *day > after && is_meant(*is_disabled)).count() >= count
    };
    reaches(SOFT, |_| true) || reaches(DISABLED, |is_disabled| is_disabled)
}

/// Notes that mail to an address, in its normal form, came back. Tells whether that is enough to send nothing there again.
///
/// # Errors
/// What the database says.
pub(crate) fn note(tx: &mut Tx<'_>, email: &str, at: DateTime<Utc>, is_disabled: bool) -> Result<bool> {
    let day = at.date_naive();
    tx.sql::<st::Integer>(
        "INSERT INTO soft_bounces (organization_id, email, bounced_on, is_disabled) VALUES ({org}, {}, {}, {}) \
         ON CONFLICT (organization_id, email, bounced_on) DO UPDATE \
         SET is_disabled = soft_bounces.is_disabled OR excluded.is_disabled",
    )
    .with(|s| s.bind(email).bind(day).bind(is_disabled))
    .run(tx)?;
    let days = tx.sql::<(st::Date, st::Bool)>(
        "SELECT bounced_on, is_disabled FROM soft_bounces WHERE organization_id = {org} AND email = {} \
         ORDER BY bounced_on DESC LIMIT {}",
    );
    let limit = i64::try_from(SOFT.1).unwrap_or_default();
    Ok(is_enough(&days.with(|s| s.bind(email).bind(limit)).all(tx)?))
}

/// Forgets what came back from an address until something arrived there; all of it where the address is suppressed.
///
/// # Errors
/// What the database says.
pub(crate) fn forget(tx: &mut Tx<'_>, email: &str, arrived_at: Option<DateTime<Utc>>) -> Result<()> {
    let day = arrived_at.map(|at| at.date_naive());
    let forget = tx.sql::<st::Integer>(
        "DELETE FROM soft_bounces WHERE organization_id = {org} AND email = {} AND bounced_on <= coalesce({}, 'infinity')",
    );
    forget.with(|s| s.bind(email).bind(day)).run(tx)?;
    Ok(())
}

/// Removes days of one organization that count no more.
#[derive(Debug, Serialize, Deserialize)]
pub struct PruneSoftBounces {}

impl Job for PruneSoftBounces {
    const NAME: &'static str = "prune_soft_bounces";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        while !run.finish_if(|tx| Ok(prune(tx)? == 0))? {
            if run.is_stopping() {
                return Err(run.leave());
            }
        }
        Ok(())
    }
}

impl Recurring for PruneSoftBounces {
    const SCHEDULE: Schedule = Schedule::daily(3, 50);

    fn due(_at: DateTime<Utc>) -> Self {
        Self {}
    }
}

/// Removes some days that count no more. Gives back how many.
///
/// # Errors
/// What the database says.
pub fn prune(tx: &mut Tx<'_>) -> Result<usize> {
    let before = (tx.ctx.now - TimeDelta::days(i64::try_from(SOFT.1).unwrap_or_default())).date_naive();
    let old = tx.sql::<st::Integer>(
        "DELETE FROM soft_bounces WHERE organization_id = {org} AND (email, bounced_on) IN (SELECT email, bounced_on \
         FROM soft_bounces WHERE organization_id = {org} AND bounced_on < {} ORDER BY bounced_on LIMIT {})",
    );
    Ok(old.with(|s| s.bind(before).bind(BATCH)).run(tx)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_within_their_windows() {
        let day = |number: u64| NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + Days::new(number);
        let table: [(&[(u64, bool)], bool); 9] = [
            (&[], false),
            (&[(0, false)], false),
            (&[(0, false), (1, false)], false),
            (&[(0, false), (1, false), (2, false)], true),
            (&[(14, false), (0, false), (7, false)], true),
            (&[(0, false), (1, false), (15, false)], false),
            (&[(0, true), (6, true)], true),
            (&[(0, true), (7, true)], false),
            (&[(0, true), (3, false)], false),
        ];
        for (days, enough) in table {
            let days: Vec<_> = days.iter().map(|(number, is_disabled)| (day(*number), *is_disabled)).collect();
            assert_eq!(is_enough(&days), enough, "{days:?}");
        }
    }
}
