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
    use std::collections::BTreeMap;

    use crm_core::testing::{TestDatabase, TestOrganization};
    use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query};

    use super::*;
    use crate::{
        distribution::{Chance, Distribution, Portion},
        probability::Belief,
    };

    #[test]
    fn pools_are_narrow_and_reach_beyond_every_amount() {
        let bounds = bounds();
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "ascending");
        // Below a hundred, whole numbers are as far apart as that.
        let wide = |pair: &[Decimal]| pair[0] > Decimal::ONE_HUNDRED && pair[1] > pair[0] * Decimal::new(1_13, 2);
        assert!(!bounds.windows(2).any(wide));
        assert_eq!(bounds.last(), Some(&Decimal::from(10_i64.pow(15))));
    }

    /// Pools told by their means, next to all deals by themselves.
    #[test]
    fn pooled_deals_have_the_same_distribution() {
        let values: Vec<u64> =
            (0..3_000).map(|i| (1e4 * 10_f64.powf(f64::from(i * 7_919 % 3_000) / 1e3)) as u64).collect();
        let mut pools: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for value in &values {
            let major = Decimal::from(value / 100);
            pools.entry(bounds().partition_point(|bound| *bound <= major)).or_default().push(*value);
        }
        let mean = |pool: &Vec<u64>| vec![pool.iter().sum::<u64>() / pool.len() as u64; pool.len()];
        let pooled: Vec<u64> = pools.values().flat_map(mean).collect();
        let deciles = |values: &[u64]| {
            let stage = |part: &[u64], won, lost| Portion::new(Chance::Shared(Belief { won, lost }), part.to_vec());
            let (one, other) = (values.iter().step_by(2), values.iter().skip(1).step_by(2));
            let parts: [Vec<u64>; 2] = [one.copied().collect(), other.copied().collect()];
            let won = Distribution::of(&[stage(&parts[0], 3.0, 7.0), stage(&parts[1], 12.0, 28.0)]);
            [0.1, 0.5, 0.9].map(|level| won.quantile(level) as f64)
        };
        let mut sorted = values;
        sorted.sort_unstable();
        for (pooled, single) in deciles(&pooled).into_iter().zip(deciles(&sorted)) {
            assert!((pooled / single - 1.0).abs() < 1e-3, "{pooled} {single}");
        }
    }

    #[derive(QueryableByName)]
    struct Line {
        #[diesel(sql_type = st::Text, column_name = "QUERY PLAN")]
        text: String,
    }

    /// Else it sorts all deals, or leaves them to one process.
    #[test]
    fn the_planner_expects_no_more_groups_than_there_are_pools() {
        let database = TestDatabase::new();
        let house = TestOrganization::new(&database, "acme");
        let mut conn = database.connect();
        conn.batch_execute(&format!(
            "INSERT INTO deals (organization_id, id, title, value, currency, pipeline_id, stage_id, stage_entered_at, \
             created_at, updated_at) SELECT '{org}', gen_random_uuid(), 'Deal', n, 'USD', s.pipeline_id, s.id, t.at, t.at, t.at \
             FROM generate_series(1, 5000) n CROSS JOIN LATERAL (SELECT now() - n * interval '1 hour' AS at) t \
             CROSS JOIN (SELECT id, pipeline_id FROM stages WHERE organization_id = '{org}' ORDER BY id LIMIT 1) s; \
             ANALYZE deals",
            org = house.id
        ))
        .unwrap();
        let plan: Vec<Line> = sql_query(
            "EXPLAIN SELECT count(*) FROM deals GROUP BY width_bucket(stage_entered_at, ARRAY[now()]), \
             width_bucket(value::bigint, ARRAY[1::bigint, 10])",
        )
        .load(&mut conn)
        .unwrap();
        let rows = plan[0].text.split("rows=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(rows.parse::<u32>().unwrap() <= 800, "{}", plan[0].text);
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
