//! The hours of the night in which an identity sends nothing, exact on the days that clocks change.

use crate::zones;
use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use std::ops::Range;
use thiserror::Error;

/// A daily window `[start, end)` of wall time in one zone; an end before the start lies on the next day.
///
/// The zone is the sending identity's, or the recipient's where that is known and preferred. On each local date the
/// window runs from the *first* instant that clocks show `start` to the *last* that they show `end`, and a wall time
/// that clocks skip is the instant of the transition: so the window never opens and closes twice in one night.
/// Invariant: `start != end`.
///
/// ```
/// use crm_deliverability::quiet_hours::QuietHours;
///
/// let nights = QuietHours::parse("22:00", "08:00", "Europe/London")?;
/// // Clocks go back this night: it lasts eleven hours.
/// let evening = "2025-10-25T21:00:00Z".parse()?;
/// assert_eq!(nights.quiet_until(evening), Some("2025-10-26T08:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    start: NaiveTime,
    end: NaiveTime,
    zone: Tz,
}

/// Why quiet hours cannot be set.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuietHoursError {
    /// The window would be empty, or the whole day.
    #[error("Quiet hours must not start and end at the same time.")]
    EqualEnds,
    /// Not a time of day.
    #[error("`{0}` is not a time of day such as 22:00.")]
    InvalidTime(String),
    /// Not a name of the IANA time zone database.
    #[error("`{0}` is not a time zone such as Europe/London.")]
    UnknownZone(String),
}

impl QuietHours {
    /// The window from `start` to `end` in `zone`; equal ends are refused.
    pub fn new(start: NaiveTime, end: NaiveTime, zone: Tz) -> Result<Self, QuietHoursError> {
        if start == end { Err(QuietHoursError::EqualEnds) } else { Ok(Self { start, end, zone }) }
    }

    /// The window from its parts as they are written: `HH:MM`, `HH:MM`, IANA name.
    pub fn parse(start: &str, end: &str, zone: &str) -> Result<Self, QuietHoursError> {
        let time = |text: &str| {
            NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| QuietHoursError::InvalidTime(text.to_owned()))
        };
        let zone = zone.parse().map_err(|_| QuietHoursError::UnknownZone(zone.to_owned()))?;
        Self::new(time(start)?, time(end)?, zone)
    }

    /// The first instant after `now` at which sending is open again; `None` when it is open now.
    pub fn quiet_until(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut open_at = now;
        while let Some(window) = self.window_at(open_at) {
            open_at = window.end;
        }
        (open_at > now).then_some(open_at)
    }

    /// The window that holds `at`.
    ///
    /// It begins on the local date or the one before; where clocks cross midnight during a transition, the repeated
    /// hour may also lie in the window of the date after, or in one that began two dates before.
    fn window_at(&self, at: DateTime<Utc>) -> Option<Range<DateTime<Utc>>> {
        let today = zones::wall_clock(self.zone, at).date();
        let first = today.checked_sub_days(Days::new(2)).unwrap_or(today);
        first.iter_days().take(4).map(|date| self.window_of(date)).find(|window| window.contains(&at))
    }

    /// The window that begins on the local date `date`.
    fn window_of(&self, date: NaiveDate) -> Range<DateTime<Utc>> {
        let end_date = if self.end > self.start { date } else { date.succ_opt().unwrap_or(date) };
        zones::earliest(self.zone, date.and_time(self.start))..zones::latest(self.zone, end_date.and_time(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{at, instants, zone_names};
    use chrono::TimeDelta;
    use proptest::prelude::*;

    #[test]
    fn windows_open_at_the_exact_instant() {
        let london = ("22:00", "08:00", "Europe/London");
        let berlin = ("22:00", "02:30", "Europe/Berlin");
        let early = ("02:30", "06:00", "Europe/Berlin");
        let kolkata = ("21:00", "09:00", "Asia/Kolkata");
        let newfoundland = ("00:00", "06:00", "America/St_Johns");
        let table = [
            (london, "2025-01-15T22:00:00Z", Some("2025-01-16T08:00:00Z")),
            (london, "2025-01-15T21:59:59Z", None),
            (london, "2025-01-15T07:59:59Z", Some("2025-01-15T08:00:00Z")),
            (london, "2025-01-15T08:00:00Z", None),
            (london, "2025-07-15T21:30:00Z", Some("2025-07-16T07:00:00Z")),
            // Eight hours in the night that loses one, ten and more in the night that gains one.
            (london, "2025-03-29T23:00:00Z", Some("2025-03-30T07:00:00Z")),
            (london, "2025-10-25T22:00:00Z", Some("2025-10-26T08:00:00Z")),
            (berlin, "2025-03-30T00:59:59Z", Some("2025-03-30T01:00:00Z")),
            (berlin, "2025-03-30T01:00:00Z", None),
            (berlin, "2025-10-26T00:15:00Z", Some("2025-10-26T01:30:00Z")),
            (berlin, "2025-10-26T00:45:00Z", Some("2025-10-26T01:30:00Z")),
            (berlin, "2025-10-26T01:29:59Z", Some("2025-10-26T01:30:00Z")),
            (berlin, "2025-10-26T01:30:00Z", None),
            (early, "2025-03-30T01:00:00Z", Some("2025-03-30T04:00:00Z")),
            (early, "2025-10-26T01:05:00Z", Some("2025-10-26T05:00:00Z")),
            (kolkata, "2025-05-01T03:29:59Z", Some("2025-05-01T03:30:00Z")),
            (kolkata, "2025-05-01T03:30:00Z", None),
            // One minute past midnight clocks went back to 23:01 of the day before: still night.
            (newfoundland, "2010-11-07T02:30:00Z", Some("2010-11-07T09:30:00Z")),
            (newfoundland, "2010-11-07T03:00:00Z", Some("2010-11-07T09:30:00Z")),
        ];
        for ((start, end, zone), now, expected) in table {
            let hours = QuietHours::parse(start, end, zone).unwrap();
            assert_eq!(hours.quiet_until(at(now)), expected.map(at), "{start}-{end} {zone} {now}");
        }
    }

    #[test]
    fn windows_that_meet_are_one() {
        // 02:30 comes twice, so the day's window begins before the last one's end at the second 02:15.
        let hours = QuietHours::parse("02:30", "02:15", "Europe/Berlin").unwrap();
        assert_eq!(hours.quiet_until(at("2025-10-25T12:00:00Z")), Some(at("2025-10-27T01:15:00Z")));
    }

    #[test]
    fn what_is_no_window_is_refused() {
        use QuietHoursError::{EqualEnds, InvalidTime, UnknownZone};
        let table = [
            (("22:00", "22:00", "UTC"), EqualEnds),
            (("25:00", "08:00", "UTC"), InvalidTime("25:00".into())),
            (("22:00", "8 am", "UTC"), InvalidTime("8 am".into())),
            (("22:00", "08:00", "Mars/Olympus"), UnknownZone("Mars/Olympus".into())),
        ];
        for ((start, end, zone), error) in table {
            assert_eq!(QuietHours::parse(start, end, zone), Err(error));
        }
    }

    proptest! {
        #[test]
        fn the_answer_is_the_first_open_instant(
            zone in zone_names(), now in instants(), start in 0_u32..1440, length in 1_u32..1440,
        ) {
            let time = |minute: u32| NaiveTime::from_hms_opt(minute / 60 % 24, minute % 60, 0).unwrap();
            let hours = QuietHours::new(time(start), time(start + length), zone.parse().unwrap()).unwrap();
            if let Some(open_at) = hours.quiet_until(now) {
                prop_assert!(open_at > now);
                prop_assert_eq!(hours.quiet_until(open_at), None);
                let mut still = open_at - TimeDelta::seconds(1);
                while still > now {
                    prop_assert_eq!(hours.quiet_until(still), Some(open_at));
                    still -= TimeDelta::minutes(13);
                }
            }
        }

        #[test]
        fn far_instants_do_not_panic(share in 0_u32..=1000) {
            let ends = [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC];
            let [first, last] = ends.map(|end| end.timestamp_millis());
            let millis = first + (last / 1000 - first / 1000) * i64::from(share);
            let hours = QuietHours::parse("22:00", "08:00", "Pacific/Apia").unwrap();
            let now = DateTime::from_timestamp_millis(millis).unwrap();
            prop_assert!(hours.quiet_until(now).is_none_or(|open_at| open_at > now));
        }
    }
}
