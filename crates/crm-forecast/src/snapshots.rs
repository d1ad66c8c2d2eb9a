//! What changed in a pipeline between two days: a waterfall from the opening value to the closing value, of which the
//! parts add up to the difference exactly.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use crate::amounts::AmountError;
use crate::histories::{Event, Status, state_at};
use crate::pipeline::Period;

/// A deal as it stood on the day of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its status.
    pub status: Status,
    /// Its value, in the currency of the whole snapshot; nothing counts as zero.
    pub value: Decimal,
    /// The day on which it was expected to close.
    pub expected_close_on: Option<NaiveDate>,
}

/// All deals on one day, by id.
pub type Snapshot<D> = BTreeMap<D, Standing>;

/// Why a part of the pipeline came or went, in the order in which a waterfall shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = MovementCause)]
pub enum Cause {
    /// The deal was not there before.
    Created,
    /// The deal was closed before.
    Reopened,
    /// The deal's close day moved into the period from a later one, or it had none.
    PulledIn,
    /// The deal's close day moved into the period from an earlier one: it was to close before the period began.
    PushedIn,
    /// The deal's value rose.
    Increased,
    /// The deal's value fell.
    Decreased,
    /// The deal's close day moved out of the period to an earlier one.
    PulledOut,
    /// The deal's close day moved out of the period to a later one, or was cleared.
    PushedOut,
    /// The deal was won.
    Won,
    /// The deal was lost.
    Lost,
    /// The deal is no longer there.
    Removed,
}

impl Cause {
    /// All of them, in that order.
    pub const ALL: [Self; 11] = [
        Self::Created,
        Self::Reopened,
        Self::PulledIn,
        Self::PushedIn,
        Self::Increased,
        Self::Decreased,
        Self::PulledOut,
        Self::PushedOut,
        Self::Won,
        Self::Lost,
        Self::Removed,
    ];
}

/// One deal's part in the change. A deal may have two: pulled in, and raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement<D> {
    /// The deal.
    pub deal: D,
    /// Why the pipeline changed.
    pub cause: Cause,
    /// By how much; negative where the pipeline shrank.
    pub amount: Decimal,
}

/// The way from the opening to the closing value of a period's open pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waterfall<D> {
    /// Value of the open deals in the period on the first day.
    pub opening_value: Decimal,
    /// Value of the open deals in the period on the second day.
    pub closing_value: Decimal,
    /// What happened in between, by deal.
    pub movements: Vec<Movement<D>>,
    /// How much each cause changed the pipeline. With the opening value they add up to the closing value.
    pub by_cause: BTreeMap<Cause, Decimal>,
}

/// Takes the snapshot of an instant from the deals' histories.
#[must_use]
pub fn snapshot_at<D: Ord + Clone, S: Clone>(histories: &BTreeMap<D, Vec<Event<S>>>, at: DateTime<Utc>) -> Snapshot<D> {
    let standing = |events: &Vec<Event<S>>| {
        state_at(events, at).map(|state| Standing {
            status: state.status,
            value: state.value.unwrap_or_default(),
            expected_close_on: state.expected_close_on,
        })
    };
    histories.iter().filter_map(|(deal, events)| Some((deal.clone(), standing(events)?))).collect()
}

/// Explains the difference between two snapshots of the deals that are expected to close within the period.
///
/// A deal that leaves does so at its former value. One whose close day moves into the period enters at its former value, and the change of
/// value is told apart; one that is new or reopened enters at its present value.
///
/// # Errors
/// [`AmountError::TooLarge`] when a sum cannot be written as an amount.
pub fn waterfall<D: Ord + Clone>(
    before: &Snapshot<D>,
    after: &Snapshot<D>,
    period: &Period,
) -> Result<Waterfall<D>, AmountError> {
    let mut movements = Vec::new();
    for (deal, then) in before {
        let parts = parts(then, after.get(deal), period)?.into_iter().flatten();
        movements.extend(parts.map(|(cause, amount)| Movement { deal: deal.clone(), cause, amount }));
    }
    let created = after.iter().filter(|(deal, now)| !before.contains_key(*deal) && counts(now, period));
    movements.extend(created.map(|(deal, now)| Movement {
        deal: deal.clone(),
        cause: Cause::Created,
        amount: now.value,
    }));
    let mut by_cause = BTreeMap::new();
    for movement in &movements {
        let sum = by_cause.entry(movement.cause).or_default();
        *sum = add(*sum, movement.amount)?;
    }
    let (opening_value, closing_value) = (open_value(before, period)?, open_value(after, period)?);
    Ok(Waterfall { opening_value, closing_value, movements, by_cause })
}

fn open_value<D>(snapshot: &Snapshot<D>, period: &Period) -> Result<Decimal, AmountError> {
    let open = snapshot.values().filter(|standing| counts(standing, period));
    open.map(|standing| standing.value).try_fold(Decimal::ZERO, add)
}

fn add(a: Decimal, b: Decimal) -> Result<Decimal, AmountError> {
    a.checked_add(b).ok_or(AmountError::TooLarge)
}

fn counts(standing: &Standing, period: &Period) -> bool {
    standing.status == Status::Open && is_within(standing, period)
}

fn is_within(standing: &Standing, period: &Period) -> bool {
    standing.expected_close_on.map_or(*period == Period::ALWAYS, |day| period.contains(day))
}

/// A deal's causes and amounts, none, one or two.
type Parts = [Option<(Cause, Decimal)>; 2];

/// What a deal that was there before contributed.
fn parts(then: &Standing, now: Option<&Standing>, period: &Period) -> Result<Parts, AmountError> {
    let now_counting = now.filter(|now| counts(now, period));
    Ok(match (counts(then, period), now_counting) {
        (false, None) => [None, None],
        (true, None) => [Some((leaving(then, now), -then.value)), None],
        (true, Some(now)) => [revaluation(then, now)?, None],
        (false, Some(now)) if then.status == Status::Open => {
            let cause = if is_pushed(then, now) { Cause::PushedIn } else { Cause::PulledIn };
            [Some((cause, then.value)), revaluation(then, now)?]
        }
        (false, Some(now)) => [Some((Cause::Reopened, now.value)), None],
    })
}

fn leaving(then: &Standing, now: Option<&Standing>) -> Cause {
    let Some(now) = now else { return Cause::Removed };
    match now.status {
        Status::Won => Cause::Won,
        Status::Lost => Cause::Lost,
        Status::Open if is_pushed(then, now) => Cause::PushedOut,
        Status::Open => Cause::PulledOut,
    }
}

/// True when the close day moved to a later one. No day at all is later than any.
fn is_pushed(then: &Standing, now: &Standing) -> bool {
    match (then.expected_close_on, now.expected_close_on) {
        (Some(then), Some(now)) => now > then,
        (then, now) => then.is_some() && now.is_none(),
    }
}

fn revaluation(then: &Standing, now: &Standing) -> Result<Option<(Cause, Decimal)>, AmountError> {
    let cause = if now.value > then.value { Cause::Increased } else { Cause::Decreased };
    let change = add(now.value, -then.value)?;
    Ok((!change.is_zero()).then_some((cause, change)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histories::tests::{any_history, on};
    use chrono::TimeDelta;
    use proptest::prelude::*;

    fn day(n: u32) -> NaiveDate {
        NaiveDate::from_yo_opt(2025, n).unwrap()
    }

    const FIRST_QUARTER: fn() -> Period = || Period { from_on: Some(day(1)), until_on: Some(day(90)) };

    fn standing(status: Status, value: i64, close: u32) -> Standing {
        Standing { status, value: value.into(), expected_close_on: Some(day(close)) }
    }

    #[test]
    fn every_change_has_its_cause() {
        use Cause::*;
        let open = |value, close| Some(standing(Status::Open, value, close));
        let won = |value| Some(standing(Status::Won, value, 50));
        let lost = |value| Some(standing(Status::Lost, value, 50));
        let undated = Some(Standing { expected_close_on: None, ..standing(Status::Open, 100, 1) });
        let before = Some(Standing {
            expected_close_on: NaiveDate::from_ymd_opt(2024, 12, 31),
            ..standing(Status::Open, 100, 1)
        });
        type Case = (Option<Standing>, Option<Standing>, &'static [(Cause, i64)]);
        let cases: [Case; 19] = [
            (None, open(100, 50), &[(Created, 100)]),
            (None, open(100, 91), &[]),
            (None, won(100), &[]),
            (open(100, 50), None, &[(Removed, -100)]),
            (open(100, 50), won(120), &[(Won, -100)]),
            (open(100, 50), lost(100), &[(Lost, -100)]),
            (open(100, 50), open(100, 91), &[(PushedOut, -100)]),
            (open(100, 91), open(100, 90), &[(PulledIn, 100)]),
            (open(100, 91), open(70, 90), &[(PulledIn, 100), (Decreased, -30)]),
            (undated, open(100, 90), &[(PulledIn, 100)]),
            (before, open(130, 50), &[(PushedIn, 100), (Increased, 30)]),
            (open(90, 50), before, &[(PulledOut, -90)]),
            (open(90, 50), undated, &[(PushedOut, -90)]),
            (before, open(100, 91), &[]),
            (open(100, 50), open(130, 60), &[(Increased, 30)]),
            (open(100, 50), open(100, 60), &[]),
            (won(100), open(90, 50), &[(Reopened, 90)]),
            (lost(100), open(90, 91), &[]),
            (open(100, 91), won(100), &[]),
        ];
        for (before, after, expected) in cases {
            let snapshot = |standing: Option<Standing>| standing.map(|standing| (1, standing)).into_iter().collect();
            let seen = waterfall(&snapshot(before), &snapshot(after), &FIRST_QUARTER()).unwrap();
            let causes: Vec<_> = seen.movements.iter().map(|movement| (movement.cause, movement.amount)).collect();
            let expected: Vec<_> = expected.iter().map(|(cause, amount)| (*cause, Decimal::from(*amount))).collect();
            assert_eq!(causes, expected, "{before:?} to {after:?}");
        }
    }

    #[test]
    fn undated_deals_belong_to_all_time_only() {
        let undated = Standing { expected_close_on: None, ..standing(Status::Open, 100, 1) };
        let snapshot = Snapshot::from([(1, undated)]);
        assert_eq!(waterfall(&snapshot, &snapshot, &Period::ALWAYS).unwrap().opening_value, 100.into());
        assert_eq!(waterfall(&snapshot, &snapshot, &FIRST_QUARTER()).unwrap().opening_value, 0.into());
    }

    #[test]
    fn sums_beyond_what_can_be_written_are_refused() {
        let huge = Standing { value: Decimal::MAX, ..standing(Status::Open, 0, 1) };
        let both = Snapshot::from([(1, huge), (2, huge)]);
        assert_eq!(waterfall(&both, &Snapshot::new(), &Period::ALWAYS), Err(AmountError::TooLarge));
    }

    proptest! {
        #[test]
        fn the_parts_add_up_exactly(
            histories in prop::collection::vec(any_history(), 0..25),
            (first, second) in (0_i64..400, 0_i64..400),
            (from, until) in (prop::option::of(1_u32..200), prop::option::of(1_u32..200)),
        ) {
            let histories: BTreeMap<usize, _> = histories.into_iter().enumerate().collect();
            let period = Period { from_on: from.map(day), until_on: until.map(day) };
            let before = snapshot_at(&histories, on(1, 1) + TimeDelta::days(first.min(second)));
            let after = snapshot_at(&histories, on(1, 1) + TimeDelta::days(first.max(second)));
            let seen = waterfall(&before, &after, &period).unwrap();
            let changed: Decimal = seen.by_cause.values().sum();
            prop_assert_eq!(seen.opening_value + changed, seen.closing_value);
            for Movement { deal, cause, .. } in &seen.movements {
                let close = |snapshot: &Snapshot<usize>| snapshot.get(deal).and_then(|deal| deal.expected_close_on);
                // No day is later than all.
                let [then, now] = [close(&before), close(&after)].map(|day| day.unwrap_or(NaiveDate::MAX));
                match cause {
                    Cause::PulledIn | Cause::PulledOut => prop_assert!(now < then, "{cause:?} from {then} to {now}"),
                    Cause::PushedIn | Cause::PushedOut => prop_assert!(now > then, "{cause:?} from {then} to {now}"),
                    _ => {}
                }
            }
        }
    }
}
