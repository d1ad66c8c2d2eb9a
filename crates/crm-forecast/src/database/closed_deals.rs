//! The deals that were won on some days.

use chrono::NaiveDate;
use crm_core::{Currency, Money, Result, Tx, organizations};
use diesel::sql_types as st;
use rust_decimal::Decimal;

use super::{
    Days, DealFilter, count, deals_in_question,
    exchange::{self, Exchange},
    internal, money,
};
use crate::{amounts::Amount, pipeline::closed_won_value};

/// Deals that were won.
pub(super) struct Won {
    pub(super) deals_count: u64,
    /// The sum of their values, each at the rate of the day on which it was won.
    pub(super) value: Money,
    /// Those among them that no rate converts, which the sum does not count.
    pub(super) unconverted_deals_count: u64,
}

const WON: &str = concat!(
    "SELECT d.currency, (d.closed_at AT TIME ZONE {})::date, count(*), coalesce(sum(d.value), 0) FROM deals d WHERE ",
    deals_in_question!(),
    " AND d.status = 'won' AND (d.closed_at AT TIME ZONE {})::date \
     BETWEEN coalesce({}, '-infinity') AND coalesce({}, 'infinity') GROUP BY 1, 2"
);

/// The deals in question that were won on the days named, which are those of the organization's zone.
pub(super) fn won(tx: &mut Tx<'_>, filter: &DealFilter, days: &Days, exchange: &Exchange) -> Result<Won> {
    let zone = organizations::read(tx)?.fields.timezone;
    let ctx = tx.ctx;
    let rows: Vec<(Currency, NaiveDate, i64, Decimal)> = tx
        .sql::<(st::Text, st::Date, st::BigInt, st::Numeric)>(WON)
        .with(|s| filter.bind(ctx, s.bind(zone.as_str())))
        .with(|s| s.bind(zone.as_str()).bind(days.from_on).bind(days.until_on))
        .all(tx)?;
    let foreign = rows.iter().map(|row| &row.0).filter(|currency| **currency != exchange.currency);
    let foreign: Vec<String> = foreign.map(ToString::to_string).collect();
    let rates = if foreign.is_empty() { exchange.table()? } else { exchange.history(tx, foreign)? };
    let amount = |row: &(Currency, NaiveDate, i64, Decimal)| {
        Ok((Amount::new(row.3, exchange::iso(&row.0)?).map_err(internal)?, row.1))
    };
    let amounts = rows.iter().map(amount).collect::<Result<Vec<_>>>()?;
    let (value, unconverted) = closed_won_value(&amounts, &rates).map_err(internal)?;
    let unconverted = unconverted.into_iter().filter_map(|index| rows.get(index)).map(|row| count(row.2)).sum();
    let deals_count = rows.iter().map(|row| count(row.2)).sum();
    Ok(Won { deals_count, value: money(value)?, unconverted_deals_count: unconverted })
}
