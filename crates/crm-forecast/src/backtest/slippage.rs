//! How far deals close from the day that was stated for them, and what pushing that day says of the next.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, TimeZone, Utc};

use crate::histories::{Change, Event, state_at};
use crate::probability::{Belief, Prior};

/// How one deal closed against its stated day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slip {
    /// Days from the stated to the actual close; negative where it closed early.
    pub days: i64,
    /// How often the stated day had been moved to a later one.
    pub pushes: u32,
}

/// Closes among deals that were pushed equally often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OnTime {
    /// Deals that closed on their stated day or before.
    pub on_time: u32,
    /// Deals that closed.
    pub closed: u32,
    /// What is believed of the share on time, with Jeffreys' prior.
    pub belief: Belief,
}

/// How the deals of some closes slipped.
#[derive(Debug, Clone, PartialEq)]
pub struct Slippage {
    /// Days from the stated to the actual close on average.
    pub mean_days: f64,
    /// Days that half of the deals slipped at most.
    pub median_days: f64,
    /// Closes on time among all.
    pub all: OnTime,
    /// The same by the number of pushes.
    pub by_pushes: BTreeMap<u32, OnTime>,
}

/// Sums up how deals slipped; `None` where none did close against a stated day. Deals that were pushed `most_pushes` times or
/// more are told together.
#[must_use]
pub fn slippage(slips: &[Slip], most_pushes: u32) -> Option<Slippage> {
    let capped: Vec<Slip> = slips.iter().map(|slip| Slip { pushes: slip.pushes.min(most_pushes), ..*slip }).collect();
    let unpushed: Vec<Slip> = slips.iter().map(|slip| Slip { pushes: 0, ..*slip }).collect();
    let mut days: Vec<i64> = slips.iter().map(|slip| slip.days).collect();
    days.sort_unstable();
    let middle = days.len().checked_sub(1)?;
    Some(Slippage {
        mean_days: days.iter().sum::<i64>() as f64 / days.len() as f64,
        median_days: (days[middle / 2] + days[middle.div_ceil(2)]) as f64 / 2.0,
        all: *on_time_by_pushes(&unpushed).get(&0)?,
        by_pushes: on_time_by_pushes(&capped),
    })
}

/// When a deal closed last, whatever came then.
#[must_use]
pub fn last_closed_at<S>(events: &[Event<S>]) -> Option<DateTime<Utc>> {
    last_close(events).map(|at| events[at].recorded_at)
}

fn last_close<S>(events: &[Event<S>]) -> Option<usize> {
    events.iter().rposition(|event| matches!(event.change, Change::Won | Change::Lost))
}

/// The slip of a deal's last close against the day that was stated `lead_days` before it; `None` for a deal that did not
/// close or had no day stated then. Days are those of `zone`.
#[must_use]
pub fn slip<S: Clone, Z: TimeZone>(events: &[Event<S>], lead_days: u16, zone: &Z) -> Option<Slip> {
    let last = last_close(events)?;
    let closed_at = events[last].recorded_at;
    let stated_at = closed_at.checked_sub_signed(TimeDelta::days(i64::from(lead_days)))?;
    let stated = state_at(events, stated_at)?.expected_close_on?;
    let closed_on = closed_at.with_timezone(zone).date_naive();
    Some(Slip { days: (closed_on - stated).num_days(), pushes: pushes(&events[..last]) })
}

/// Shares of closes on time by the number of pushes.
#[must_use]
pub fn on_time_by_pushes(slips: &[Slip]) -> BTreeMap<u32, OnTime> {
    let mut counts: BTreeMap<u32, (u32, u32)> = BTreeMap::new();
    for slip in slips {
        let (on_time, closed) = counts.entry(slip.pushes).or_default();
        *on_time += u32::from(slip.days <= 0);
        *closed += 1;
    }
    let judge = |(on_time, closed): (u32, u32)| {
        let share = f64::from(on_time) / f64::from(closed);
        OnTime { on_time, closed, belief: Prior::configured(None, 1.0).shrink(share, f64::from(closed)) }
    };
    counts.into_iter().map(|(pushes, count)| (pushes, judge(count))).collect()
}

/// How often the stated close day was moved to a later one.
#[must_use]
pub fn pushes<S>(events: &[Event<S>]) -> u32 {
    let stated = events.iter().filter_map(|event| match &event.change {
        Change::Created { expected_close_on, .. } | Change::Rescheduled(expected_close_on) => Some(*expected_close_on),
        _ => None,
    });
    let days: Vec<NaiveDate> = stated.flatten().collect();
    days.windows(2).map(|pair| u32::from(pair[1] > pair[0])).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histories::tests::on;
    use chrono::FixedOffset;

    fn history(stated: &[(u32, u32, u32)], end: Change<char>) -> Vec<Event<char>> {
        let day = |n: u32| NaiveDate::from_yo_opt(2025, n);
        let mut events: Vec<Event<char>> = stated
            .iter()
            .map(|(month, at, close)| Event { recorded_at: on(*month, *at), change: Change::Rescheduled(day(*close)) })
            .collect();
        events[0].change = Change::Created { stage: 'Q', value: None, expected_close_on: day(stated[0].2) };
        events.push(Event { recorded_at: on(4, 1), change: end });
        events
    }

    #[test]
    fn slips_are_measured_against_what_was_stated_before() {
        // The deal closes on April 1, day 91 of the year.
        type Case = (&'static [(u32, u32, u32)], u16, Option<Slip>);
        let cases: [Case; 5] = [
            (&[(1, 1, 80)], 30, Some(Slip { days: 11, pushes: 0 })),
            (&[(1, 1, 60), (2, 1, 100)], 30, Some(Slip { days: -9, pushes: 1 })),
            (&[(1, 1, 60), (3, 20, 91)], 30, Some(Slip { days: 31, pushes: 1 })),
            (&[(1, 1, 60), (1, 2, 50), (3, 20, 91)], 5, Some(Slip { days: 0, pushes: 1 })),
            (&[(3, 20, 91)], 30, None),
        ];
        for (stated, lead_days, expected) in cases {
            assert_eq!(slip(&history(stated, Change::Won), lead_days, &Utc), expected, "{stated:?}");
        }
        assert_eq!(slip(&history(&[(1, 1, 80)], Change::Moved('P')), 30, &Utc), None);
        let west = FixedOffset::west_opt(3600).unwrap();
        assert_eq!(slip(&history(&[(1, 1, 80)], Change::Lost), 30, &west).map(|slip| slip.days), Some(10));
    }

    #[test]
    fn slips_are_summed_up() {
        assert_eq!(slippage(&[], 2), None);
        let slips = [(0, 0), (-3, 0), (5, 1), (20, 7), (9, 2)].map(|(days, pushes)| Slip { days, pushes });
        let seen = slippage(&slips, 2).unwrap();
        assert_eq!((seen.mean_days, seen.median_days), (6.2, 5.0));
        assert_eq!((seen.all.on_time, seen.all.closed), (2, 5));
        let told: Vec<_> = seen.by_pushes.iter().map(|(pushes, it)| (*pushes, it.on_time, it.closed)).collect();
        assert_eq!(told, [(0, 2, 2), (1, 0, 1), (2, 0, 2)], "two pushes and more are told together");
        assert_eq!(slippage(&slips[..2], 2).unwrap().median_days, -1.5);
        assert_eq!(last_closed_at(&history(&[(1, 1, 80)], Change::Lost)), Some(on(4, 1)));
        assert_eq!(last_closed_at(&history(&[(1, 1, 80)], Change::Moved('P'))), None);
    }

    #[test]
    fn shares_on_time_are_told_by_pushes() {
        let slips = [(0, 0), (-3, 0), (5, 0), (9, 2)].map(|(days, pushes)| Slip { days, pushes });
        let shares = on_time_by_pushes(&slips);
        assert_eq!((shares[&0].on_time, shares[&0].closed, shares[&0].belief.mean()), (2, 3, 2.5 / 4.0));
        assert_eq!((shares[&2].on_time, shares[&2].closed, shares[&2].belief.mean()), (0, 1, 0.25));
    }
}
