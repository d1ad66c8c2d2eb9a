//! When recurring work is due, by the wall clock of a zone.
//!
//! | local time | then it is due |
//! |---|---|
//! | is skipped, since clocks go forward | at the first instant after the gap |
//! | comes twice, since clocks go back | the first time |
//! | on a day that the month does not have | on the month's last day |
//!
//! ```
//! use crm_core::jobs::Schedule;
//!
//! let nightly = Schedule::daily(2, 30);
//! let berlin = chrono_tz::Europe::Berlin;
//! let next = nightly.next_after("2026-03-28T12:00:00Z".parse()?, berlin);
//! assert_eq!(next.to_rfc3339(), "2026-03-29T01:00:00+00:00", "02:30 is not there that night, 03:00 is");
//! # Ok::<(), chrono::ParseError>(())
//! ```
use std::fmt;

use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc, Weekday,
};
use chrono_tz::Tz;

/// When recurring work is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule(Rule);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    Every { minutes: u32 },
    Daily(Time),
    Weekly(Weekday, Time),
    Monthly(u32, Time),
}

/// A local time of day, in whole minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Time {
    hour: u32,
    minute: u32,
}

/// The longest gap in any zone's clock that is looked through: Samoa once left out a whole day.
const LONGEST_GAP: i64 = 25 * 60;

impl Schedule {
    /// Every so many minutes, at least one, counted from the beginning of 1970 in UTC, whatever the zone.
    pub const fn every_minutes(minutes: u32) -> Self {
        Self(Rule::Every { minutes: if minutes == 0 { 1 } else { minutes } })
    }

    /// Each day at this local time. Hours beyond 23 count as 23, minutes beyond 59 as 59.
    pub const fn daily(hour: u32, minute: u32) -> Self {
        Self(Rule::Daily(Time::new(hour, minute)))
    }

    /// Each week on this day, at a local time as [`Schedule::daily`] has it.
    pub const fn weekly(day: Weekday, hour: u32, minute: u32) -> Self {
        Self(Rule::Weekly(day, Time::new(hour, minute)))
    }

    /// Each month on this day, or on its last where it has fewer, at a local time as [`Schedule::daily`] has it.
    pub const fn monthly(day: u32, hour: u32, minute: u32) -> Self {
        Self(Rule::Monthly(day, Time::new(hour, minute)))
    }

    /// The first instant after this one at which it is due.
    pub fn next_after(&self, after: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        let (time, falls): (Time, &dyn Fn(NaiveDate) -> bool) = match &self.0 {
            Rule::Every { minutes } => return next_multiple(after, *minutes),
            Rule::Daily(time) => (*time, &|_| true),
            Rule::Weekly(weekday, time) => (*time, &|day: NaiveDate| day.weekday() == *weekday),
            Rule::Monthly(wanted, time) => (*time, &|day: NaiveDate| is_in_month(day, *wanted)),
        };
        let local = after.with_timezone(&zone).date_naive();
        let days = local.checked_sub_days(Days::new(1)).unwrap_or(local).iter_days();
        let due = days.filter(|day| falls(*day)).filter_map(|day| instant(day.and_time(time.naive()), zone));
        due.into_iter().find(|at| *at > after).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// The last instant up to `now` at which it was due, counted on from `due`, at which it was due too.
    pub fn latest(&self, due: DateTime<Utc>, now: DateTime<Utc>, zone: Tz) -> DateTime<Utc> {
        let following = std::iter::successors(Some(due), |at| Some(self.next_after(*at, zone)));
        following.take_while(|at| *at <= now).last().unwrap_or(due)
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Rule::Every { minutes } => write!(f, "every {minutes} minutes"),
            Rule::Daily(time) => write!(f, "daily at {time}"),
            Rule::Weekly(day, time) => write!(f, "weekly on {day} at {time}"),
            Rule::Monthly(day, time) => write!(f, "monthly on day {day} at {time}"),
        }
    }
}

impl Time {
    const fn new(hour: u32, minute: u32) -> Self {
        Self { hour: if hour > 23 { 23 } else { hour }, minute: if minute > 59 { 59 } else { minute } }
    }

    fn naive(self) -> NaiveTime {
        NaiveTime::from_hms_opt(self.hour, self.minute, 0).unwrap_or_default()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

fn next_multiple(after: DateTime<Utc>, minutes: u32) -> DateTime<Utc> {
    let step = i64::from(minutes) * 60;
    let next = (after.timestamp().div_euclid(step) + 1).saturating_mul(step);
    DateTime::from_timestamp(next, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// Is this the wanted day of its month, or its last one where the month ends before?
fn is_in_month(day: NaiveDate, wanted: u32) -> bool {
    let is_last = day.succ_opt().is_none_or(|next| next.day() == 1);
    day.day() == wanted.max(1) || (is_last && wanted > day.day())
}

/// The instant of a local time: the first of two, and the first one after a gap.
fn instant(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    let there = |minutes| match zone.from_local_datetime(&local.checked_add_signed(TimeDelta::minutes(minutes))?) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => Some(at.to_utc()),
        LocalResult::None => None,
    };
    (0..=LONGEST_GAP).find_map(there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono_tz::{America::New_York, Asia::Kolkata, Europe::Berlin, Pacific::Apia, UTC};
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_next_run_follows_the_clock_on_the_wall() {
        let table = [
            (Schedule::daily(2, 30), UTC, "2026-01-05T02:30:00Z", "2026-01-06T02:30:00Z"),
            (Schedule::daily(2, 30), UTC, "2026-01-05T02:29:59Z", "2026-01-05T02:30:00Z"),
            (Schedule::daily(2, 30), Kolkata, "2026-01-05T12:00:00Z", "2026-01-05T21:00:00Z"),
            (Schedule::daily(0, 0), New_York, "2026-01-05T04:59:59Z", "2026-01-05T05:00:00Z"),
            // Clocks go forward: 02:30 is skipped, 03:00 is the first instant after it, and the next night is usual.
            (Schedule::daily(2, 30), Berlin, "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z"),
            (Schedule::daily(2, 30), Berlin, "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"),
            // Clocks go back: 02:30 comes twice, and it runs the first time alone.
            (Schedule::daily(2, 30), Berlin, "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"),
            (Schedule::daily(2, 30), Berlin, "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"),
            // Samoa left out 30 December 2011.
            (Schedule::daily(2, 30), Apia, "2011-12-29T12:30:00Z", "2011-12-30T10:00:00Z"),
            (Schedule::daily(2, 30), Apia, "2011-12-30T10:00:00Z", "2011-12-30T12:30:00Z"),
            (Schedule::weekly(Weekday::Mon, 6, 0), UTC, "2026-01-05T06:00:00Z", "2026-01-12T06:00:00Z"),
            (Schedule::weekly(Weekday::Sun, 6, 0), UTC, "2026-01-05T06:00:00Z", "2026-01-11T06:00:00Z"),
            (Schedule::monthly(31, 1, 0), UTC, "2026-01-31T01:00:00Z", "2026-02-28T01:00:00Z"),
            (Schedule::monthly(31, 1, 0), UTC, "2026-02-28T01:00:00Z", "2026-03-31T01:00:00Z"),
            (Schedule::monthly(1, 1, 0), UTC, "2026-01-31T01:00:00Z", "2026-02-01T01:00:00Z"),
            (Schedule::every_minutes(15), Berlin, "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"),
            (Schedule::every_minutes(15), UTC, "2026-03-29T01:14:59.9Z", "2026-03-29T01:15:00Z"),
        ];
        for (schedule, zone, after, next) in table {
            assert_eq!(schedule.next_after(at(after), zone), at(next), "{schedule} in {zone} after {after}");
        }
    }

    #[test]
    fn what_was_missed_counts_as_its_latest() {
        let nightly = Schedule::daily(2, 30);
        let due = at("2026-01-05T02:30:00Z");
        for (now, latest) in [("2026-01-05T02:30:00Z", due), ("2026-01-09T02:29:00Z", at("2026-01-08T02:30:00Z"))] {
            assert_eq!(nightly.latest(due, at(now), UTC), latest, "{now}");
        }
    }

    #[test]
    fn impossible_times_become_possible_ones() {
        assert_eq!(Schedule::daily(24, 60), Schedule::daily(23, 59));
        assert_eq!(Schedule::every_minutes(0).to_string(), "every 1 minutes");
        assert_eq!(Schedule::weekly(Weekday::Mon, 6, 5).to_string(), "weekly on Mon at 06:05");
    }

    proptest! {
        #[test]
        fn each_local_day_has_one_run(start in 0_i64..4_000_000_000, hour in 0_u32..24, minute in 0_u32..60) {
            let nightly = Schedule::daily(hour, minute);
            let start = DateTime::from_timestamp(start, 0).unwrap();
            for zone in [Berlin, New_York, Kolkata, UTC] {
                let first = nightly.next_after(start, zone);
                let second = nightly.next_after(first, zone);
                prop_assert!(first > start && second > first);
                let days = second.with_timezone(&zone).date_naive() - first.with_timezone(&zone).date_naive();
                prop_assert_eq!(days.num_days(), 1);
                prop_assert!(first - start <= TimeDelta::hours(25));
            }
        }
    }
}
