//! The clock of a decision: the instant it is taken at, and what the organization's clocks and calendars show then.

use std::sync::LazyLock;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike, Utc, Weekday};
use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;

use crate::names::named;
use crate::scalars::{Kind, Scalar};

/// An instant in a zone. Whoever asks for a decision brings it along: nothing that is kept between decisions holds one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    at: DateTime<Utc>,
    local: NaiveDateTime,
    zone: Tz,
}

/// What a clock shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClockReading {
    /// The instant.
    pub at: DateTime<Utc>,
    /// The day there.
    pub on: NaiveDate,
    /// The time of day there, to the minute.
    #[schema(example = "09:30")]
    pub time: String,
    /// The day of the week there.
    #[schema(example = "monday")]
    pub weekday: String,
    /// The IANA zone of that day and time: the organization's.
    #[schema(example = "Europe/London")]
    pub timezone: String,
}

named! {
    /// What conditions may compare of the request itself, whatever it is about.
    pub enum RequestAttribute {
        /// The instant.
        At = "request.at",
        /// The day, in the organization's zone.
        On = "request.on",
        /// The time of day to the minute, in the organization's zone.
        Time = "request.time",
        /// The day of the week, in the organization's zone: `monday` to `sunday`.
        Weekday = "request.weekday",
    }
}

const WEEKDAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

static WEEKDAY: LazyLock<Kind> = LazyLock::new(|| Kind::Enum(WEEKDAYS.map(str::to_owned).to_vec()));

impl Clock {
    /// The clock of that zone at that instant.
    pub fn new(at: DateTime<Utc>, zone: Tz) -> Self {
        Self { at, local: at.with_timezone(&zone).naive_local(), zone }
    }

    /// What the clock shows.
    pub fn shown(&self) -> ClockReading {
        ClockReading {
            at: self.at,
            on: self.local.date(),
            time: self.time().format("%H:%M").to_string(),
            weekday: weekday(self.local.weekday()).to_owned(),
            timezone: self.zone.name().to_owned(),
        }
    }

    /// The instant some days of 86,400 seconds away; `None` beyond what there is of time.
    pub(crate) fn now_and(&self, days: i32) -> Option<Scalar> {
        self.at.checked_add_signed(TimeDelta::days(days.into())).map(Scalar::Instant)
    }

    /// The day some days away; `None` beyond what there is of time.
    pub(crate) fn today_and(&self, days: i32) -> Option<Scalar> {
        let (today, away) = (self.local.date(), Days::new(days.unsigned_abs().into()));
        let day = if days < 0 { today.checked_sub_days(away) } else { today.checked_add_days(away) };
        day.map(Scalar::Date)
    }

    fn time(&self) -> NaiveTime {
        let time = self.local.time();
        time.with_second(0).and_then(|time| time.with_nanosecond(0)).unwrap_or(time)
    }
}

impl RequestAttribute {
    /// Its type.
    pub(crate) fn kind(self) -> &'static Kind {
        match self {
            Self::At => &Kind::Instant,
            Self::On => &Kind::Date,
            Self::Time => &Kind::Time,
            Self::Weekday => &WEEKDAY,
        }
    }

    /// What it is at that instant.
    pub(crate) fn of(self, clock: &Clock) -> Scalar {
        match self {
            Self::At => Scalar::Instant(clock.at),
            Self::On => Scalar::Date(clock.local.date()),
            Self::Time => Scalar::Time(clock.time()),
            Self::Weekday => Scalar::Text(weekday(clock.local.weekday()).to_owned()),
        }
    }
}

fn weekday(day: Weekday) -> &'static str {
    WEEKDAYS.get(day.num_days_from_monday() as usize).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(at: &str, zone: Tz) -> (String, String, String) {
        let shown = Clock::new(at.parse().unwrap(), zone).shown();
        (shown.on.to_string(), shown.time, shown.weekday)
    }

    #[test]
    fn day_time_and_weekday_are_those_of_the_zone() {
        let expected = |on: &str, time: &str, weekday: &str| (on.to_owned(), time.to_owned(), weekday.to_owned());
        let late = "2026-11-29T23:30:59.999Z";
        assert_eq!(shown(late, Tz::UTC), expected("2026-11-29", "23:30", "sunday"));
        assert_eq!(shown(late, Tz::Europe__Berlin), expected("2026-11-30", "00:30", "monday"));
        assert_eq!(shown(late, Tz::Pacific__Kiritimati), expected("2026-11-30", "13:30", "monday"));
        // The clocks of Berlin go back at 01:00 UTC: half past two comes twice.
        for (at, time) in [("2026-10-25T00:30:00Z", "02:30"), ("2026-10-25T01:30:00Z", "02:30")] {
            assert_eq!(shown(at, Tz::Europe__Berlin), expected("2026-10-25", time, "sunday"));
        }
    }

    #[test]
    fn days_away_are_counted_on_the_calendar_and_on_the_clock() {
        let clock = Clock::new("2026-03-28T23:30:00Z".parse().unwrap(), Tz::Europe__Berlin);
        assert_eq!(clock.today_and(0), Some(Scalar::Date("2026-03-29".parse().unwrap())));
        assert_eq!(clock.today_and(-29), Some(Scalar::Date("2026-02-28".parse().unwrap())));
        assert_eq!(clock.now_and(1), Some(Scalar::Instant("2026-03-29T23:30:00Z".parse().unwrap())));
        assert_eq!((clock.today_and(i32::MAX), clock.now_and(i32::MIN)), (None, None));
    }
}
