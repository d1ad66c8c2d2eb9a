//! Hours in which somebody can be expected to answer.

use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, TimeDelta, Utc, Weekday};
use chrono_tz::Tz;

/// When a working day begins and ends, on the wall's clock.
const DAY: (u32, u32) = (9, 17);

/// Business hours of a week.
const WEEK_HOURS: f64 = 40.0;

/// The business hours between two instants: Monday to Friday, 09:00 to 17:00 of the zone, holidays not known of. Zero where
/// `until` comes first. Clocks are not put forward or back within these hours anywhere, so that the wall's clock measures
/// them.
#[must_use]
pub fn business_hours(from: DateTime<Utc>, until: DateTime<Utc>, zone: Tz) -> f64 {
    let local = |at: DateTime<Utc>| at.with_timezone(&zone).naive_local();
    let (from, until) = (local(from), local(until));
    let weeks = (until - from).num_weeks().max(0);
    // The same instant of the week, so that at most a week is left to walk through.
    let mut day = (from + TimeDelta::weeks(weeks)).date();
    let start = from + TimeDelta::weeks(weeks);
    let mut hours = weeks as f64 * WEEK_HOURS;
    while day <= until.date() {
        if !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) {
            hours += overlap(day.and_time(hour(DAY.0)), day.and_time(hour(DAY.1)), start, until);
        }
        let Some(next) = day.succ_opt() else { break };
        day = next;
    }
    hours
}

fn overlap(opens: NaiveDateTime, closes: NaiveDateTime, from: NaiveDateTime, until: NaiveDateTime) -> f64 {
    let span = closes.min(until) - opens.max(from);
    span.max(TimeDelta::zero()).num_milliseconds() as f64 / 3_600_000.0
}

fn hour(hour: u32) -> NaiveTime {
    NaiveTime::from_hms_opt(hour, 0, 0).unwrap_or(NaiveTime::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn only_the_hours_of_working_days_count() {
        // 2 June 2025 is a Monday.
        let cases = [
            ("2025-06-02T09:00:00Z", "2025-06-02T13:00:00Z", 4.0),
            ("2025-06-02T07:00:00Z", "2025-06-02T20:00:00Z", 8.0),
            ("2025-06-02T16:30:00Z", "2025-06-03T09:30:00Z", 1.0),
            ("2025-06-06T16:00:00Z", "2025-06-09T10:00:00Z", 2.0),
            ("2025-06-07T00:00:00Z", "2025-06-08T23:59:59Z", 0.0),
            ("2025-06-02T12:00:00Z", "2025-06-16T12:00:00Z", 80.0),
            ("2025-06-04T10:00:00Z", "2025-06-02T10:00:00Z", 0.0),
        ];
        for (from, until, hours) in cases {
            assert!((business_hours(at(from), at(until), Tz::UTC) - hours).abs() < 1e-9, "{from} to {until}");
        }
        let (from, until) = (at("2025-06-02T07:00:00Z"), at("2025-06-02T13:00:00Z"));
        assert!((business_hours(from, until, Tz::Europe__Berlin) - 6.0).abs() < 1e-9, "from 9:00 to 15:00");
    }

    proptest! {
        #[test]
        fn hours_add_up(start in 0_i64..40_000_000, a in 0_i64..5_000_000, b in 0_i64..5_000_000) {
            let from = at("2025-01-01T00:00:00Z") + TimeDelta::seconds(start);
            let (middle, until) = (from + TimeDelta::seconds(a), from + TimeDelta::seconds(a + b));
            let hours = |from, until| business_hours(from, until, Tz::America__New_York);
            prop_assert!((hours(from, until) - hours(from, middle) - hours(middle, until)).abs() < 1e-6);
            prop_assert!(hours(from, until) <= (a + b) as f64 / 3600.0 + 1.0);
        }
    }
}
