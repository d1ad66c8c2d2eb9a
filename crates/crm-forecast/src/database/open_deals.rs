//! The open deals in question, put together by PostgreSQL so that a pipeline of a million of them need not be read row by
//! row: sums are exact, and for the distribution deals of nearly the same value are pooled.
//!
//! Deals are grouped by what their figures depend on: stage, currency, age in the stage, probability of their own. Up to
//! [`EXACT_DEALS`] of them are also told apart by value. More are told apart by value up to a tenth or so (see [`bounds`])
//! and count at their pool's mean: the sum and so the mean of the distribution stay exact. What is neglected is the variance
//! within a pool, usually a twelfth of its squared width (Sheppard 1898), 0.11 % of the deals' own, and never above a quarter of
//! it, 0.33 %. The variance that comes of the shared doubt, most of it in a large house, has no part in that.

use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{Currency, Id, Result, Tx, pipelines::Stage};
use diesel::sql_types as st;
use rust_decimal::Decimal;

use super::{Days, DealFilter, count, deals_in_question};
use crate::{conversion::Settings, histories::SECONDS_PER_DAY};

/// Deals up to which each value counts by itself.
const EXACT_DEALS: u64 = 2_000;

/// Open deals that agree in all that their figures depend on.
pub(super) struct Group {
    pub(super) stage: Id<Stage>,
    pub(super) currency: Currency,
    /// Which of the landmarks the deals' time in the stage has passed last, from 0.
    pub(super) landmark: usize,
    pub(super) own_probability: Option<Decimal>,
    /// How many they are.
    pub(super) deals: u64,
    /// The sum of their values; absent where they have none.
    pub(super) value: Option<Decimal>,
}

/// The parts that both statements share. `$pool` tells deals of one group apart.
macro_rules! grouped {
    ($pool:literal) => {
        concat!(
            "SELECT d.stage_id, d.currency, width_bucket(d.stage_entered_at, (SELECT {}::timestamptz[])), d.probability, \
             count(*), sum(d.value) FROM deals d WHERE ",
            deals_in_question!(),
            " AND d.status = 'open' \
             AND ({} OR d.expected_close_date BETWEEN coalesce({}, '-infinity') AND coalesce({}, 'infinity')) \
             GROUP BY 1, 2, 3, 4, ",
            $pool
        )
    };
}

const POOLED: &str = grouped!("width_bucket(d.value::bigint, (SELECT {}::bigint[]))");
const EXACT: &str = grouped!("d.value");

type GroupTypes = (st::Uuid, st::Text, st::Integer, st::Nullable<st::Numeric>, st::BigInt, st::Nullable<st::Numeric>);
type GroupRow = (Id<Stage>, Currency, i32, Option<Decimal>, i64, Option<Decimal>);

/// The open deals in question; where days are named, those expected to close on them.
pub(super) fn groups(tx: &mut Tx<'_>, filter: &DealFilter, closing: &Days) -> Result<Vec<Group>> {
    let pooled = rows(tx, filter, closing, true)?;
    let deals: u64 = pooled.iter().map(|row| count(row.4)).sum();
    let rows = if deals > EXACT_DEALS { pooled } else { rows(tx, filter, closing, false)? };
    let landmarks = Settings::default().landmarks.len();
    let group = |(stage, currency, later, own_probability, deals, value)| Group {
        stage,
        currency,
        landmark: landmarks.saturating_sub(usize::try_from(later).unwrap_or_default()).saturating_sub(1),
        own_probability,
        deals: count(deals),
        value,
    };
    Ok(rows.into_iter().map(group).collect())
}

fn rows(tx: &mut Tx<'_>, filter: &DealFilter, closing: &Days, is_pooled: bool) -> Result<Vec<GroupRow>> {
    let ctx = tx.ctx;
    let asked = tx
        .sql::<GroupTypes>(if is_pooled { POOLED } else { EXACT })
        .with(|s| filter.bind(ctx, s.bind(entries(ctx.now))))
        .with(|s| s.bind(closing.is_open()).bind(closing.from_on).bind(closing.until_on));
    let rows = if is_pooled { asked.with(|s| s.bind(bounds())).all(tx) } else { asked.all(tx) };
    Ok(rows?)
}

/// The instants behind which a deal has not yet passed each landmark, ascending. One that has stood for exactly as long has.
fn entries(now: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let ago = |days: f64| now - TimeDelta::milliseconds((days * SECONDS_PER_DAY * 1e3) as i64);
    Settings::default().landmarks.into_iter().rev().map(|days| ago(days) + TimeDelta::microseconds(1)).collect()
}

/// Lower bounds of the pools: 20 to each power of ten, so that the values in one lie within 12.3 % of each other.
fn bounds() -> Vec<Decimal> {
    const DECADES: i32 = 15;
    const PER_DECADE: i32 = 20;
    let bound = |step: i32| 10_f64.powf(f64::from(step) / f64::from(PER_DECADE)).round() as i64;
    let mut bounds: Vec<i64> = (0..=DECADES * PER_DECADE).map(bound).collect();
    bounds.dedup();
    bounds.into_iter().map(Decimal::from).collect()
}

/// How many open deals have no day on which they are expected to close.
pub(super) fn undated(tx: &mut Tx<'_>, filter: &DealFilter) -> Result<u64> {
    const UNDATED: &str = concat!(
        "SELECT count(*) FROM deals d WHERE ",
        deals_in_question!(),
        " AND d.status = 'open' AND d.expected_close_date IS NULL"
    );
    let ctx = tx.ctx;
    Ok(count(tx.sql::<st::BigInt>(UNDATED).with(|s| filter.bind(ctx, s)).one(tx)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_narrow_and_reach_beyond_every_amount() {
        let bounds = bounds();
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "ascending");
        // Below a hundred, whole numbers are as far apart as that.
        let wide = |pair: &[Decimal]| pair[0] > Decimal::ONE_HUNDRED && pair[1] > pair[0] * Decimal::new(1_13, 2);
        assert!(!bounds.windows(2).any(wide));
        assert_eq!(bounds.last(), Some(&Decimal::from(10_i64.pow(15))));
    }

    #[test]
    fn landmarks_are_passed_on_the_second() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(1_000);
        let entries = entries(now);
        let bucket = |days: i64, micros: i64| {
            let entered_at = now - TimeDelta::days(days) + TimeDelta::microseconds(micros);
            entries.len() - entries.iter().filter(|entry| **entry <= entered_at).count()
        };
        let seen = [(0, 0), (7, 1), (7, 0), (14, 0), (180, 0), (400, 0)].map(|(days, micros)| bucket(days, micros));
        assert_eq!(seen, [1, 1, 2, 3, 7, 7], "landmarks passed");
    }
}
