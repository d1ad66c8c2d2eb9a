//! When a data subject's request must be answered (GDPR Art. 12(3) and 12(6)).
//!
//! Periods are counted by Regulation 1182/71: in months by date, to the last day of a shorter month, and on to the next
//! working day when they would end on a Saturday, a Sunday or a holiday.

use chrono::{Datelike, Days, Months, NaiveDate, Weekday};
use serde::Serialize;
use std::collections::BTreeSet;
use thiserror::Error;

/// Months to answer in, and months that the one extension adds.
const MONTHS: Months = Months::new(1);
const EXTENSION: Months = Months::new(2);

/// What determines the due date of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    received_on: NaiveDate,
    extension_reason: Option<String>,
    doubts: Vec<Doubt>,
}

/// Days on which it was in doubt who asks, so that the clock stood still.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// The day on which the person was asked to identify themselves.
    pub asked_on: NaiveDate,
    /// The day on which they did; `None` while they have not.
    pub resolved_on: Option<NaiveDate>,
}

/// Why a deadline cannot be extended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ExtensionError {
    /// There is one extension.
    #[error("The request has already been extended once.")]
    AlreadyExtended,
    /// The person must hear of the extension before the first period ends.
    #[error("The request is overdue and can no longer be extended.")]
    Overdue,
    /// The person must be told why.
    #[error("An extension needs a reason that the person can be told.")]
    ReasonMissing,
}

/// How near a due date is; each step is worth an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Urgency {
    /// More than ten days.
    None,
    /// Ten days or less.
    TenDays,
    /// Five days or less.
    FiveDays,
    /// Due today or tomorrow.
    OneDay,
    /// The due date has passed.
    Overdue,
}

impl Deadline {
    /// The deadline of a request received on `received_on`, a date in the organization's zone.
    pub fn new(received_on: NaiveDate) -> Self {
        Self { received_on, extension_reason: None, doubts: Vec::new() }
    }

    /// The same deadline with the clock stopped on the days of `doubt`.
    #[must_use]
    pub fn with_doubt(mut self, doubt: Doubt) -> Self {
        self.doubts.push(doubt);
        self
    }

    /// The same deadline two months later, if that is told by the end of its due date and for the first time.
    ///
    /// A stopped clock has no due date that could have passed.
    pub fn extended(
        mut self,
        today: NaiveDate,
        reason: &str,
        holidays: &BTreeSet<NaiveDate>,
    ) -> Result<Self, ExtensionError> {
        if self.extension_reason.is_some() {
            return Err(ExtensionError::AlreadyExtended);
        }
        if self.due_on(holidays).is_some_and(|due_on| today > due_on) {
            return Err(ExtensionError::Overdue);
        }
        if reason.trim().is_empty() {
            return Err(ExtensionError::ReasonMissing);
        }
        self.extension_reason = Some(reason.trim().to_owned());
        Ok(self)
    }

    /// Why it was extended, if it was.
    pub fn extension_reason(&self) -> Option<&str> {
        self.extension_reason.as_deref()
    }

    /// The last day to answer on; `None` while the clock stands still, or beyond the calendar.
    ///
    /// The days in doubt are added to the period; what ends on no working day then moves to the next.
    pub fn due_on(&self, holidays: &BTreeSet<NaiveDate>) -> Option<NaiveDate> {
        let months =
            if self.extension_reason.is_some() { MONTHS.as_u32() + EXTENSION.as_u32() } else { MONTHS.as_u32() };
        let by_calendar = self.received_on.checked_add_months(Months::new(months))?;
        let stopped = Days::new(self.days_in_doubt()?);
        next_working_day(by_calendar.checked_add_days(stopped)?, holidays)
    }

    /// Days in doubt, each counted once; the day of the answer counts again.
    fn days_in_doubt(&self) -> Option<u64> {
        let mut stopped = BTreeSet::new();
        for doubt in &self.doubts {
            let resolved_on = doubt.resolved_on?;
            stopped.extend(doubt.asked_on.max(self.received_on).iter_days().take_while(|day| *day < resolved_on));
        }
        u64::try_from(stopped.len()).ok()
    }
}

impl Urgency {
    /// How near `due_on` is on the day `today`.
    pub fn of(due_on: NaiveDate, today: NaiveDate) -> Self {
        match (due_on - today).num_days() {
            ..0 => Self::Overdue,
            0..=1 => Self::OneDay,
            2..=5 => Self::FiveDays,
            6..=10 => Self::TenDays,
            11.. => Self::None,
        }
    }
}

/// `day` itself or the first after it that is neither at a weekend nor in `holidays`.
pub fn next_working_day(day: NaiveDate, holidays: &BTreeSet<NaiveDate>) -> Option<NaiveDate> {
    let works = |day: &NaiveDate| !matches!(day.weekday(), Weekday::Sat | Weekday::Sun) && !holidays.contains(day);
    day.iter_days().find(works)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn on(date: &str) -> NaiveDate {
        date.parse().unwrap()
    }

    fn holidays(dates: &[&str]) -> BTreeSet<NaiveDate> {
        dates.iter().map(|date| on(date)).collect()
    }

    #[test]
    fn a_month_ends_on_a_working_day() {
        let none: &[&str] = &[];
        let table = [
            ("2025-01-31", none, "2025-02-28"),
            ("2024-01-31", none, "2024-02-29"),
            ("2025-03-15", none, "2025-04-15"),
            ("2025-10-15", none, "2025-11-17"),
            ("2025-10-16", none, "2025-11-17"),
            ("2025-10-15", &["2025-11-17"], "2025-11-18"),
            // Christmas Day and the day after, then a weekend.
            ("2025-11-25", &["2025-12-25", "2025-12-26"], "2025-12-29"),
        ];
        for (received_on, free, due_on) in table {
            assert_eq!(Deadline::new(on(received_on)).due_on(&holidays(free)), Some(on(due_on)), "{received_on}");
        }
    }

    #[test]
    fn an_extension_makes_it_three_months_from_receipt() {
        let none = holidays(&[]);
        let deadline = Deadline::new(on("2025-11-30"));
        assert_eq!(deadline.due_on(&none), Some(on("2025-12-30")));
        let extended = deadline.clone().extended(on("2025-12-30"), " Six years of mail. ", &none).unwrap();
        assert_eq!(extended.due_on(&none), Some(on("2026-03-02")));
        assert_eq!((deadline.extension_reason(), extended.extension_reason()), (None, Some("Six years of mail.")));
        let table = [
            (extended, "2025-12-30", "More mail.", ExtensionError::AlreadyExtended),
            (deadline.clone(), "2025-12-31", "Six years of mail.", ExtensionError::Overdue),
            (deadline, "2025-12-30", " ", ExtensionError::ReasonMissing),
        ];
        for (deadline, today, reason, error) in table {
            assert_eq!(deadline.extended(on(today), reason, &none), Err(error));
        }
    }

    #[test]
    fn the_clock_stands_still_while_it_is_in_doubt_who_asks() {
        let none = holidays(&[]);
        let doubt =
            |asked_on, resolved_on: Option<&str>| Doubt { asked_on: on(asked_on), resolved_on: resolved_on.map(on) };
        let deadline = Deadline::new(on("2025-03-10"));
        let open = deadline.clone().with_doubt(doubt("2025-03-12", None));
        assert_eq!(open.due_on(&none), None);
        assert!(open.extended(on("2025-08-01"), "Still unknown.", &none).is_ok());
        let table = [
            (deadline.clone(), "2025-04-10"),
            (deadline.clone().with_doubt(doubt("2025-03-12", Some("2025-03-12"))), "2025-04-10"),
            (deadline.clone().with_doubt(doubt("2025-03-12", Some("2025-03-17"))), "2025-04-15"),
            // Days asked about twice count once, and those before the receipt not at all.
            (
                deadline
                    .with_doubt(doubt("2025-03-12", Some("2025-03-17")))
                    .with_doubt(doubt("2025-03-14", Some("2025-03-18")))
                    .with_doubt(doubt("2025-03-01", Some("2025-03-10"))),
                "2025-04-16",
            ),
        ];
        for (deadline, due_on) in table {
            assert_eq!(deadline.due_on(&none), Some(on(due_on)), "{deadline:?}");
        }
    }

    #[test]
    fn urgency_rises_in_steps() {
        let table = [
            ("2025-04-20", Urgency::None),
            ("2025-04-21", Urgency::TenDays),
            ("2025-04-25", Urgency::TenDays),
            ("2025-04-26", Urgency::FiveDays),
            ("2025-04-30", Urgency::OneDay),
            ("2025-05-01", Urgency::OneDay),
            ("2025-05-02", Urgency::Overdue),
        ];
        for (today, urgency) in table {
            assert_eq!(Urgency::of(on("2025-05-01"), on(today)), urgency, "{today}");
        }
        assert_eq!(serde_json::to_string(&Urgency::FiveDays).unwrap(), "\"five_days\"");
    }

    #[test]
    fn the_end_of_the_calendar_has_no_due_date() {
        assert_eq!(Deadline::new(NaiveDate::MAX).due_on(&holidays(&[])), None);
    }

    proptest! {
        #[test]
        fn a_due_date_is_the_first_working_day_from_the_period_s_end(
            received in 0_u64..40_000, free in prop::collection::btree_set(0_u64..60, 0..10),
        ) {
            let received_on = on("1990-01-01") + Days::new(received);
            let holidays: BTreeSet<_> = free.into_iter().map(|day| received_on + Days::new(day)).collect();
            let due_on = Deadline::new(received_on).due_on(&holidays).unwrap();
            let works = |day: NaiveDate| next_working_day(day, &holidays) == Some(day);
            prop_assert!(works(due_on));
            let period_end = received_on + MONTHS;
            prop_assert!(period_end <= due_on);
            prop_assert!(period_end.iter_days().take_while(|day| *day < due_on).all(|day| !works(day)));
        }
    }
}
