//! The deals that were won on some days.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use crm_core::{Currency, Money, Result, Tx, exchange_rates::AppliedRate, organizations};
use diesel::sql_types as st;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    Days, DealFilter, count, deals_in_question,
    exchange::{self, Exchange},
    internal, money,
};
use crate::{
    amounts::{Amount, ExchangeRates},
    pipeline::closed_won_value,
};

/// Rates that are named beside a sum of won deals.
const MOST_RATES: usize = 1_000;

/// Won deals in a currency that no rate converted on the day on which they were won.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClosedWonUnconverted {
    /// Their currency.
    pub currency: Currency,
    /// How many they are.
    pub deals_count: u64,
    /// The sum of their values, in their currency.
    pub value: Money,
}

/// Deals that were won.
pub(super) struct Won {
    pub(super) deals_count: u64,
    /// The sum of their values, each at the rate of the day on which it was won.
    pub(super) value: Money,
    /// The rates behind that sum, the latest first, at most [`MOST_RATES`].
    pub(super) rates: Vec<AppliedRate>,
    /// Those among them that no rate converts, which the sum does not count.
    pub(super) unconverted: Vec<ClosedWonUnconverted>,
}

/// Deals of one currency that were won on one day.
struct DayOfWins {
    currency: Currency,
    won_on: NaiveDate,
    deals: i64,
    valued_deals: i64,
    value: Decimal,
}

const WON: &str = concat!(
    "SELECT d.currency, (d.closed_at AT TIME ZONE {})::date, count(*), count(d.value), coalesce(sum(d.value), 0) \
     FROM deals d WHERE ",
    deals_in_question!(),
    " AND d.status = 'won' AND (d.closed_at AT TIME ZONE {})::date \
     BETWEEN coalesce({}, '-infinity') AND coalesce({}, 'infinity') GROUP BY 1, 2"
);

/// The deals in question that were won on the days named, which are those of the organization's zone.
pub(super) fn won(tx: &mut Tx<'_>, filter: &DealFilter, days: &Days, exchange: &Exchange) -> Result<Won> {
    let zone = organizations::read(tx)?.fields.timezone;
    let ctx = tx.ctx;
    let rows: Vec<(Currency, NaiveDate, i64, i64, Decimal)> = tx
        .sql::<(st::Text, st::Date, st::BigInt, st::BigInt, st::Numeric)>(WON)
        .with(|s| filter.bind(ctx, s.bind(zone.as_str())))
        .with(|s| s.bind(zone.as_str()).bind(days.from_on).bind(days.until_on))
        .all(tx)?;
    let rows = rows.into_iter().map(|(currency, won_on, deals, valued_deals, value)| DayOfWins {
        currency,
        won_on,
        deals,
        valued_deals,
        value,
    });
    let rows: Vec<DayOfWins> = rows.collect();
    let deals_count = rows.iter().map(|row| count(row.deals)).sum();
    // What has no value needs no rate.
    let valued: Vec<DayOfWins> = rows.into_iter().filter(|row| row.valued_deals > 0).collect();
    let foreign = valued.iter().map(|row| &row.currency).filter(|currency| **currency != exchange.currency);
    let foreign: Vec<String> = foreign.map(ToString::to_string).collect();
    let rates = if foreign.is_empty() { exchange.table()? } else { exchange.history(tx, foreign)? };
    let amount =
        |row: &DayOfWins| Ok((Amount::new(row.value, exchange::iso(&row.currency)?).map_err(internal)?, row.won_on));
    let amounts = valued.iter().map(amount).collect::<Result<Vec<_>>>()?;
    let (value, unconverted) = closed_won_value(&amounts, &rates).map_err(internal)?;
    let left_out = unconverted.into_iter().filter_map(|index| valued.get(index));
    Ok(Won { deals_count, value: money(value)?, rates: applied(&valued, &rates)?, unconverted: together(left_out)? })
}

/// The rates that converted them, each once.
fn applied(rows: &[DayOfWins], rates: &ExchangeRates) -> Result<Vec<AppliedRate>> {
    let mut applied = BTreeMap::new();
    for row in rows {
        if let Some((effective_on, rate)) = rates.quoted_on(exchange::iso(&row.currency)?, row.won_on) {
            applied.insert((effective_on, &row.currency), rate);
        }
    }
    let latest = applied.into_iter().rev().take(MOST_RATES);
    let named =
        latest.map(|((effective_on, from), rate)| AppliedRate { from_currency: from.clone(), rate, effective_on });
    Ok(named.collect())
}

/// By currency.
fn together<'r>(rows: impl Iterator<Item = &'r DayOfWins>) -> Result<Vec<ClosedWonUnconverted>> {
    let mut sums: BTreeMap<&Currency, (u64, Decimal)> = BTreeMap::new();
    for row in rows {
        let (deals, value) = sums.entry(&row.currency).or_default();
        *deals += count(row.valued_deals);
        *value += row.value;
    }
    let one = |(currency, (deals_count, value)): (&Currency, _)| {
        Ok(ClosedWonUnconverted { currency: currency.clone(), deals_count, value: money(value)? })
    };
    sums.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use chrono::Days as Later;

    use super::*;

    fn wins(currency: &str, won_on: NaiveDate) -> DayOfWins {
        let currency = currency.parse().unwrap();
        DayOfWins { currency, won_on, deals: 1, valued_deals: 1, value: Decimal::ONE }
    }

    #[test]
    fn each_rate_is_named_once_and_the_latest_where_there_are_too_many() {
        let first = NaiveDate::from_ymd_opt(2020, 1, 1).unwrap();
        let day = |n: u64| first + Later::new(n);
        let iso = |code| crate::amounts::Currency::from_code(code).unwrap();
        let rates = (10..=2_000)
            .fold(ExchangeRates::new(iso("USD")), |rates, n| rates.with(iso("EUR"), day(n), Decimal::from(n)));
        let few = [wins("EUR", day(9)), wins("EUR", day(3_000)), wins("EUR", day(2_500)), wins("USD", day(20))];
        let seen = applied(&few, &rates).unwrap();
        assert_eq!(seen.iter().map(|rate| rate.effective_on).collect::<Vec<_>>(), [day(2_000)]);
        let many: Vec<_> = (0..2_000).map(|n| wins("EUR", day(n))).collect();
        let seen = applied(&many, &rates).unwrap();
        assert_eq!((seen.len(), seen[0].effective_on, seen[999].rate), (1_000, day(1_999), Decimal::from(1_000)));
    }
}
