//! How the open pipeline stood at the end of each day, and what led from one day to another.
//!
//! A job takes the snapshots at night, from the field history: so days that it missed are made up for to the day, and the
//! first run tells the whole past. Days are those of the organization's zone. A past day keeps the business units and owners
//! that deals had then.

use std::collections::BTreeMap;

use chrono::{DateTime, Days as DaysOf, NaiveDate, Utc};
use crm_core::{
    Currency, Error, Money, Result, Tx, exchange_rates::AppliedRate, jobs::Recurring, masks, organizations,
};
use diesel::sql_types as st;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    Days, DealFilter, check_may_view, count,
    deal_histories::status,
    deal_snapshots::DealSnapshotsJob,
    deals_in_question,
    exchange::{self, Exchange, LeftOut, Unconverted},
    internal, money,
};
use crate::{
    amounts::{Amount, ExchangeRates},
    pipeline::{Period, Sums},
    probability::Probability,
    snapshots::{Cause, Snapshot, Standing, Waterfall, waterfall},
};

/// Days of a question that names no first one.
const USUAL_DAYS: u64 = 30;

/// The longest span of days that a question may name.
pub const MOST_DAYS: i64 = 1_100;

/// The open pipeline day by day, and what led from the first to the last.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSnapshots {
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub to: NaiveDate,
    /// The last day of which there is a snapshot; absent where none was taken yet.
    pub taken_until_on: Option<NaiveDate>,
    /// Why `days` is empty and there is no `waterfall`; absent where there are both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaited: Option<AwaitedSnapshot>,
    /// The pipeline on the first day and on each day after which it differed from the one before.
    pub days: Vec<PipelineDay>,
    /// What led from the first day to the last; absent where there is no snapshot of both.
    pub waterfall: Option<PipelineWaterfall>,
    /// The currency of every amount here, which is the organization's.
    pub currency: Currency,
    /// Does every deal in question count?
    pub complete: bool,
    /// Deals open on the last day that do not count because no rate leads from their currency.
    pub unconverted: Vec<Unconverted>,
    /// The exchange rates by which deals in other currencies count on every day alike: those of today.
    pub exchange_rates: Vec<AppliedRate>,
}

/// A snapshot that is still to come.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AwaitedSnapshot {
    /// What is missing.
    pub reason: AwaitedReason,
    /// The day of which the next snapshot will be: yesterday at that time.
    pub next_on: NaiveDate,
    /// When it is taken. The first run tells all days back to the first deal.
    pub next_at: DateTime<Utc>,
}

/// Why a snapshot is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AwaitedReason {
    /// None has been taken yet: they are taken at night.
    NoneTakenYet,
    /// The last day in question is not over, or was not taken yet: see `takenUntilOn`.
    LastDayNotTakenYet,
}

/// The open pipeline at the end of a day.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineDay {
    /// The day.
    pub on: NaiveDate,
    /// Open deals, those that cannot be converted left out.
    pub deals_count: i64,
    /// The sum of their values.
    pub pipeline_value: Money,
}

/// The way from one value to another: opening value and movements add up to the closing value exactly.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineWaterfall {
    /// The open pipeline on the first day.
    pub opening_value: Money,
    /// The open pipeline on the last day.
    pub closing_value: Money,
    /// How much each cause changed it.
    pub movements: Vec<PipelineMovement>,
}

/// How much one cause changed the pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineMovement {
    /// `created`, or come from where the question does not look; `reopened`; `pulled_in` and `pushed_in`: the close day moved
    /// into the period from a later or an earlier one; `increased`; `decreased`; `pulled_out` and `pushed_out`: it moved out
    /// of the period to an earlier or a later one, and no day is later than all; `won`; `lost`; or `removed`: deleted, or gone
    /// to where the question does not look.
    pub cause: Cause,
    /// How many deals.
    pub deals_count: usize,
    /// By how much; negative where the pipeline shrank.
    pub amount: Money,
}

/// The open pipeline from one day to another, over the deals that were expected to close within a period. Without a last day
/// it is the last one of which there is a snapshot; without a first, thirty days before that.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Malformed`] for a span that ends before it begins or is too long.
pub fn read(tx: &mut Tx<'_>, filter: &DealFilter, span: &Days, closing: &Days) -> Result<PipelineSnapshots> {
    check_may_view(tx)?;
    masks::check_uses(tx.ctx, "deal", &["value", "currency", "status", "expectedCloseDate"])?;
    let exchange = Exchange::today(tx)?;
    let taken_until_on: Option<NaiveDate> =
        tx.sql::<st::Date>("SELECT taken_until_on FROM snapshot_heads WHERE organization_id = {org}").first(tx)?;
    let to = span.until_on.unwrap_or_else(|| taken_until_on.unwrap_or(exchange.day));
    let usual = || to.checked_sub_days(DaysOf::new(USUAL_DAYS)).unwrap_or(to);
    let from = span.from_on.unwrap_or_else(usual);
    if from > to || (to - from).num_days() > MOST_DAYS {
        let detail = format!("`from` must not lie behind `to`, nor more than {MOST_DAYS} days before it.");
        return Err(Error::Malformed { code: "invalid_value", detail });
    }
    let question = Question { filter, closing, exchange: &exchange };
    let is_taken = taken_until_on.is_some_and(|taken| to <= taken);
    let deltas = if is_taken { question.deltas(tx, from, to)? } else { Vec::new() };
    let waterfall = if is_taken { Some(question.waterfall(tx, from, to)?) } else { None };
    let unconverted = question.left_out(&deltas)?;
    let awaited = if is_taken { None } else { Some(awaited(tx, taken_until_on)?) };
    Ok(PipelineSnapshots {
        from,
        to,
        taken_until_on,
        awaited,
        days: question.days(from, &deltas)?,
        waterfall,
        complete: unconverted.is_empty(),
        unconverted,
        exchange_rates: exchange.applied(deltas.iter().map(|delta| &delta.currency)),
        currency: exchange.currency,
    })
}

/// When the next snapshot is taken, and of which day.
fn awaited(tx: &mut Tx<'_>, taken_until_on: Option<NaiveDate>) -> Result<AwaitedSnapshot> {
    let zone = organizations::read(tx)?.fields.zone();
    let next_at = DealSnapshotsJob::SCHEDULE.next_after(tx.ctx.now, zone);
    let reason = taken_until_on.map_or(AwaitedReason::NoneTakenYet, |_| AwaitedReason::LastDayNotTakenYet);
    let day = next_at.with_timezone(&zone).date_naive();
    Ok(AwaitedSnapshot { reason, next_on: day.pred_opt().unwrap_or(day), next_at })
}

/// By how much the deals of one currency differ on a day from those of the day before.
struct Delta {
    on: NaiveDate,
    currency: Currency,
    deals: i64,
    value: Decimal,
}

struct Question<'q> {
    filter: &'q DealFilter,
    closing: &'q Days,
    exchange: &'q Exchange,
}

/// The open spans in question that touch the days, which a pair of places names: the last and the first.
macro_rules! open_spans {
    () => {
        concat!(
            deals_in_question!(),
            " AND d.status = 'open' AND d.from_on <= {} AND (d.until_on IS NULL OR d.until_on > {}) \
             AND ({} OR d.expected_close_date BETWEEN coalesce({}, '-infinity') AND coalesce({}, 'infinity'))"
        )
    };
}

/// What comes and goes on each day. What was there on the first day comes on it.
const DELTAS: &str = concat!(
    "SELECT day, currency, sum(deals)::bigint, sum(value) FROM (\
     SELECT greatest(d.from_on, {}) AS day, d.currency, 1 AS deals, coalesce(d.value, 0) AS value \
     FROM deal_snapshots d WHERE ",
    open_spans!(),
    " UNION ALL SELECT d.until_on, d.currency, -1, -coalesce(d.value, 0) FROM deal_snapshots d WHERE ",
    open_spans!(),
    " AND d.until_on <= {}) moved GROUP BY 1, 2 ORDER BY 1, 2"
);

/// How the deals that were open on one of two days stood on the first, and on the second.
const STANDINGS: &str = concat!(
    "WITH open_deals AS (SELECT DISTINCT d.deal_id FROM deal_snapshots d WHERE ",
    deals_in_question!(),
    " AND d.status = 'open' AND d.from_on <= {} AND (d.until_on IS NULL OR d.until_on > {}) \
      AND (d.from_on <= {} OR d.until_on IS NULL OR d.until_on > {})) \
     SELECT d.deal_id, d.from_on <= {} AND (d.until_on IS NULL OR d.until_on > {}), \
     d.from_on <= {} AND (d.until_on IS NULL OR d.until_on > {}), d.status, d.value, d.currency, d.expected_close_date \
     FROM open_deals o JOIN deal_snapshots d ON d.deal_id = o.deal_id AND ",
    deals_in_question!(),
    " AND d.from_on <= {} AND (d.until_on IS NULL OR d.until_on > {})"
);

type StandingTypes =
    (st::Uuid, st::Bool, st::Bool, st::Text, st::Nullable<st::Numeric>, st::Text, st::Nullable<st::Date>);
type StandingRow = (Uuid, bool, bool, String, Option<Decimal>, Currency, Option<NaiveDate>);

impl Question<'_> {
    fn deltas(&self, tx: &mut Tx<'_>, from: NaiveDate, to: NaiveDate) -> Result<Vec<Delta>> {
        let (ctx, closing) = (tx.ctx, self.closing);
        let rows: Vec<(NaiveDate, Currency, i64, Decimal)> = tx
            .sql::<(st::Date, st::Text, st::BigInt, st::Numeric)>(DELTAS)
            .with(|s| self.filter.bind(ctx, s.bind(from)).bind(to).bind(from))
            .with(|s| s.bind(closing.is_open()).bind(closing.from_on).bind(closing.until_on))
            .with(|s| self.filter.bind(ctx, s).bind(to).bind(from))
            .with(|s| s.bind(closing.is_open()).bind(closing.from_on).bind(closing.until_on).bind(to))
            .all(tx)?;
        Ok(rows.into_iter().map(|(on, currency, deals, value)| Delta { on, currency, deals, value }).collect())
    }

    /// The pipeline on each day on which it changed.
    fn days(&self, from: NaiveDate, deltas: &[Delta]) -> Result<Vec<PipelineDay>> {
        let mut open: BTreeMap<&Currency, (i64, Decimal)> = BTreeMap::new();
        let mut days = Vec::new();
        if deltas.first().is_some_and(|delta| delta.on > from) {
            days.push(PipelineDay { on: from, deals_count: 0, pipeline_value: Money::ZERO });
        }
        for of_day in deltas.chunk_by(|a, b| a.on == b.on) {
            for delta in of_day.iter().filter(|delta| self.exchange.rate(&delta.currency).is_some()) {
                let (deals, value) = open.entry(&delta.currency).or_default();
                *deals += delta.deals;
                *value += delta.value;
            }
            let mut sums = Sums::default();
            let certain = Probability::new(Decimal::ONE).map_err(internal)?;
            for (currency, (_, value)) in &open {
                let rate = self.exchange.rate(currency).unwrap_or_default();
                sums.add(0, Some([*value, rate]), certain, certain);
            }
            let totals = sums.rounded(self.exchange.iso).map_err(internal)?;
            let deals_count = open.values().map(|(deals, _)| deals).sum();
            days.push(PipelineDay { on: of_day[0].on, deals_count, pipeline_value: money(totals.pipeline_value)? });
        }
        Ok(days)
    }

    /// What is open on the last day and cannot be converted.
    fn left_out(&self, deltas: &[Delta]) -> Result<Vec<Unconverted>> {
        let mut sums: BTreeMap<&Currency, (i64, Decimal)> = BTreeMap::new();
        for delta in deltas.iter().filter(|delta| self.exchange.rate(&delta.currency).is_none()) {
            let (deals, value) = sums.entry(&delta.currency).or_default();
            *deals += delta.deals;
            *value += delta.value;
        }
        let mut left_out = LeftOut::default();
        sums.into_iter().for_each(|(currency, (deals, value))| left_out.add(currency, count(deals), value));
        left_out.list()
    }

    fn waterfall(&self, tx: &mut Tx<'_>, from: NaiveDate, to: NaiveDate) -> Result<PipelineWaterfall> {
        let ctx = tx.ctx;
        let rows: Vec<StandingRow> = tx
            .sql::<StandingTypes>(STANDINGS)
            .with(|s| self.filter.bind(ctx, s).bind(to).bind(from).bind(from).bind(to))
            .with(|s| s.bind(from).bind(from).bind(to).bind(to))
            .with(|s| self.filter.bind(ctx, s).bind(to).bind(from))
            .all(tx)?;
        let rates = self.exchange.table()?;
        let (mut before, mut after) = (Snapshot::new(), Snapshot::new());
        for (deal, was, is, word, value, currency, expected_close_on) in rows {
            let Some(value) = self.convert(&rates, value, &currency)? else { continue };
            let standing = Standing { status: status(&word), value, expected_close_on };
            if was {
                before.insert(deal, standing);
            }
            if is {
                after.insert(deal, standing);
            }
        }
        let period = Period { from_on: self.closing.from_on, until_on: self.closing.until_on };
        told(&waterfall(&before, &after, &period).map_err(internal)?)
    }

    /// A value in the organization's currency; `None` where no rate is known.
    fn convert(&self, rates: &ExchangeRates, value: Option<Decimal>, currency: &Currency) -> Result<Option<Decimal>> {
        let amount = Amount::new(value.unwrap_or_default(), exchange::iso(currency)?).map_err(internal)?;
        let converted = rates.convert(amount, self.exchange.day).map_err(internal)?;
        Ok(converted.map(|amount| amount.value()))
    }
}

fn told(waterfall: &Waterfall<Uuid>) -> Result<PipelineWaterfall> {
    let movement = |cause: Cause| {
        let deals_count = waterfall.movements.iter().filter(|movement| movement.cause == cause).count();
        let amount = money(waterfall.by_cause.get(&cause).copied().unwrap_or_default())?;
        Ok(PipelineMovement { cause, deals_count, amount })
    };
    Ok(PipelineWaterfall {
        opening_value: money(waterfall.opening_value)?,
        closing_value: money(waterfall.closing_value)?,
        movements: Cause::ALL.into_iter().map(movement).collect::<Result<_>>()?,
    })
}
