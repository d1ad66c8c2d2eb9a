//! When people work: instants in office hours, with seasons, weekends and a business that grows.
use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, Utc, Weekday};

use super::chance::Chance;

/// How busy each month is: a slow summer, a rush in autumn, little at the turn of the year.
const SEASONS: [f64; 12] = [0.9, 1.0, 1.15, 1.0, 1.05, 1.0, 0.85, 0.6, 1.15, 1.2, 1.2, 0.65];

/// How much busier the end of a span is than its beginning.
const GROWTH: f64 = 1.5;

/// When something comes in between two instants: by season and growth, seldom at the weekend.
pub(super) fn arrival(chance: &mut Chance, from: DateTime<Utc>, until: DateTime<Utc>) -> DateTime<Utc> {
    let heaviest = SEASONS.iter().copied().fold(0.0, f64::max) * GROWTH;
    loop {
        let at = within(chance, from, until);
        let passed = days(until - from).max(1.0);
        let growth = 1.0 + (GROWTH - 1.0) * days(at - from) / passed;
        let weekend = if is_weekend(at.date_naive()) { 0.06 } else { 1.0 };
        if chance.happens(SEASONS[at.month0() as usize] * growth * weekend / heaviest) {
            return at;
        }
    }
}

/// Some days later, in office hours, and at least minutes later.
pub(super) fn later(chance: &mut Chance, from: DateTime<Utc>, days: f64) -> DateTime<Utc> {
    let at = in_office(chance, from + span(days));
    if at > from { at } else { from + TimeDelta::minutes(15 + minutes(chance, 90)) }
}

/// Between two instants, in office hours where there are any between them.
pub(super) fn within(chance: &mut Chance, from: DateTime<Utc>, until: DateTime<Utc>) -> DateTime<Utc> {
    let at = from + span(days(until - from) * chance.between(0.02, 0.98));
    let office = in_office(chance, at);
    if office > from && office < until { office } else { at }
}

/// A day that people work, that one or the next.
pub(super) fn working_day(day: NaiveDate) -> NaiveDate {
    let weekend = match day.weekday() {
        Weekday::Sat => 2,
        Weekday::Sun => 1,
        _ => 0,
    };
    day.checked_add_days(Days::new(weekend)).unwrap_or(day)
}

/// A span of days as a span of time.
pub(super) fn span(days: f64) -> TimeDelta {
    TimeDelta::seconds((days * 86_400.0) as i64)
}

/// A span of time in days.
pub(super) fn days(span: TimeDelta) -> f64 {
    span.num_seconds() as f64 / 86_400.0
}

fn in_office(chance: &mut Chance, at: DateTime<Utc>) -> DateTime<Utc> {
    let midnight = working_day(at.date_naive()).and_time(NaiveTime::MIN).and_utc();
    midnight + TimeDelta::hours(7) + TimeDelta::minutes(minutes(chance, 600))
}

fn minutes(chance: &mut Chance, end: usize) -> i64 {
    i64::try_from(chance.below(end)).unwrap_or_default()
}

fn is_weekend(day: NaiveDate) -> bool {
    working_day(day) != day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_later_is_later_and_on_a_working_day() {
        let mut chance = Chance::new(7);
        let mut at: DateTime<Utc> = "2026-02-28T23:59:00Z".parse().unwrap();
        for days in [0.0, 0.01, 3.0, 40.5] {
            let next = later(&mut chance, at, days);
            assert!(next > at, "{at} {next}");
            assert!(days < 1.0 || !is_weekend(next.date_naive()), "{next}");
            at = next;
        }
    }

    #[test]
    fn arrivals_follow_the_seasons_and_stay_between() {
        let mut chance = Chance::new(8);
        let (from, until) = ("2025-01-01T00:00:00Z".parse().unwrap(), "2026-01-01T00:00:00Z".parse().unwrap());
        let arrivals: Vec<_> = (0..4_000).map(|_| arrival(&mut chance, from, until)).collect();
        assert!(arrivals.iter().all(|at| (from..until).contains(at)));
        let in_month = |month| arrivals.iter().filter(|at| at.month() == month).count();
        assert!(in_month(10) > in_month(8) * 3 / 2, "{} {}", in_month(10), in_month(8));
        let weekend = arrivals.iter().filter(|at| is_weekend(at.date_naive())).count();
        assert!(weekend < 200, "{weekend}");
    }
}
