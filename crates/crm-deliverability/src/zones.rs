//! From what a zone's clocks show to instants, on every day of the year.
//!
//! Clocks skip some wall times and show others twice. The rules here are total: a wall time that is skipped stands for
//! the instant of the transition, one shown twice for its first or its last occurrence, as the caller asks.
//! Near the ends of the calendar (some 262 000 years away) instants saturate instead of overflowing.

use chrono::{DateTime, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use std::ops::Range;

/// Clocks anywhere have always been within this of UTC.
const FARTHEST: TimeDelta = TimeDelta::hours(26);

/// The first instant at which clocks in `zone` show `wall`, or the transition that skips it.
pub fn earliest(zone: Tz, wall: NaiveDateTime) -> DateTime<Utc> {
    occurrences(zone, wall).start
}

/// The last instant at which clocks in `zone` show `wall`, or the transition that skips it.
pub fn latest(zone: Tz, wall: NaiveDateTime) -> DateTime<Utc> {
    occurrences(zone, wall).end
}

/// What clocks in `zone` show at `at`.
pub fn wall_clock(zone: Tz, at: DateTime<Utc>) -> NaiveDateTime {
    let utc = at.naive_utc();
    utc.checked_add_offset(zone.offset_from_utc_datetime(&utc).fix()).unwrap_or(utc)
}

/// The calendar day that holds `now`: from the first instant of a local date up to the first of the next date.
///
/// Days follow each other without hole or overlap. They last 24 hours but for those with a transition: 23, 24.5 or
/// 25 hours, or none at all for a date that a zone left out. Where clocks fall back across midnight, the repeated
/// minutes before midnight belong to the day that has begun.
pub fn day(zone: Tz, now: DateTime<Utc>) -> Range<DateTime<Utc>> {
    let midnight = |date: NaiveDate| earliest(zone, date.and_time(NaiveTime::MIN));
    let after = |date: NaiveDate| date.succ_opt().unwrap_or(date);
    let today = wall_clock(zone, now).date();
    let tomorrow = after(today);
    if now < midnight(tomorrow) {
        midnight(today)..midnight(tomorrow)
    } else {
        midnight(tomorrow)..midnight(after(tomorrow))
    }
}

/// The first and the last instant at which clocks show `wall`; both the transition when they skip it.
fn occurrences(zone: Tz, wall: NaiveDateTime) -> Range<DateTime<Utc>> {
    let at = |local: DateTime<Tz>| local.with_timezone(&Utc);
    match zone.from_local_datetime(&wall) {
        MappedLocalTime::Single(only) => at(only)..at(only),
        MappedLocalTime::Ambiguous(first, last) => at(first)..at(last),
        MappedLocalTime::None => {
            let jump = transition(zone, wall);
            jump..jump
        }
    }
}

/// The second at which clocks jump over `wall`, by bisection: before it they show less, from it on more.
fn transition(zone: Tz, wall: NaiveDateTime) -> DateTime<Utc> {
    let bound = |shifted: Option<NaiveDateTime>| shifted.unwrap_or(wall).and_utc().timestamp();
    let mut before = bound(wall.checked_sub_signed(FARTHEST));
    let mut from = bound(wall.checked_add_signed(FARTHEST));
    let instant = |second: i64| DateTime::from_timestamp(second, 0).unwrap_or(wall.and_utc());
    while from - before > 1 {
        let middle = before + (from - before) / 2;
        if wall_clock(zone, instant(middle)) < wall { before = middle } else { from = middle }
    }
    instant(from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, instants, zone_names};
    use chrono_tz::{America, Europe};
    use proptest::prelude::*;

    #[test]
    fn days_begin_with_the_first_instant_of_their_date() {
        let table = [
            ("Africa/Cairo", "2024-04-26T10:00:00Z", "2024-04-25T22:00:00Z", 23 * 60),
            ("America/Havana", "2025-11-02T12:00:00Z", "2025-11-02T04:00:00Z", 25 * 60),
            ("Europe/London", "2025-10-26T12:00:00Z", "2025-10-25T23:00:00Z", 25 * 60),
            ("Asia/Kathmandu", "2025-01-01T00:00:00Z", "2024-12-31T18:15:00Z", 24 * 60),
            ("Australia/Lord_Howe", "2025-04-06T00:00:00Z", "2025-04-05T13:00:00Z", 24 * 60 + 30),
            // The 30th of December 2011 did not happen in Samoa: the 31st follows the 29th.
            ("Pacific/Apia", "2011-12-30T09:59:59Z", "2011-12-29T10:00:00Z", 24 * 60),
            ("Pacific/Apia", "2011-12-30T10:00:00Z", "2011-12-30T10:00:00Z", 24 * 60),
        ];
        for (zone, now, start, minutes) in table {
            let day = day(zone.parse().unwrap(), at(now));
            assert_eq!(day.start, at(start), "{zone} {now}");
            assert_eq!((day.end - day.start).num_minutes(), minutes, "{zone} {now}");
        }
    }

    #[test]
    fn a_day_that_has_begun_is_not_reopened_when_clocks_fall_back_across_midnight() {
        // In Newfoundland clocks showed 00:01 of the 7th, then 23:01 of the 6th once more.
        let repeated = at("2010-11-07T03:00:00Z");
        assert_eq!(wall_clock(America::St_Johns, repeated).to_string(), "2010-11-06 23:30:00");
        assert_eq!(day(America::St_Johns, repeated).start, at("2010-11-07T02:30:00Z"));
    }

    #[test]
    fn a_skipped_wall_time_is_the_transition_and_a_repeated_one_has_two_instants() {
        let wall = |text: &str| text.parse::<NaiveDateTime>().unwrap();
        let skipped = wall("2025-03-30T02:17:00");
        assert_eq!(earliest(Europe::Berlin, skipped), at("2025-03-30T01:00:00Z"));
        assert_eq!(latest(Europe::Berlin, skipped), at("2025-03-30T01:00:00Z"));
        let repeated = wall("2025-10-26T02:17:00");
        assert_eq!(earliest(Europe::Berlin, repeated), at("2025-10-26T00:17:00Z"));
        assert_eq!(latest(Europe::Berlin, repeated), at("2025-10-26T01:17:00Z"));
    }

    #[test]
    fn the_ends_of_the_calendar_saturate() {
        for zone in [America::St_Johns, chrono_tz::Pacific::Kiritimati, chrono_tz::Pacific::Niue] {
            for end in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
                let day = day(zone, end);
                assert!(day.start <= day.end, "{zone} {end}");
            }
        }
    }

    proptest! {
        #[test]
        fn days_partition_time(zone in zone_names(), now in instants()) {
            let zone: Tz = zone.parse().unwrap();
            let today = day(zone, now);
            prop_assert!(today.contains(&now));
            prop_assert_eq!(day(zone, today.start), today.clone());
            prop_assert_eq!(day(zone, today.end).start, today.end);
        }
    }
}
