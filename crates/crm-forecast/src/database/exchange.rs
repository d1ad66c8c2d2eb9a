//! Amounts of several currencies in one: by the rates that hold today, or held on the day of a win.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use crm_core::{
    Currency, Error, Money, Result, Tx,
    exchange_rates::{self, AppliedRate},
    organizations,
};
use diesel::sql_types as st;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use super::money;
use crate::amounts;

/// Deals in a currency that cannot be converted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Unconverted {
    /// Their currency.
    pub currency: Currency,
    /// How many they are.
    pub deals_count: u64,
    /// The sum of their values, in their currency.
    pub pipeline_value: Money,
}

/// The organization's currency, and the rates into it that hold on a day.
pub(super) struct Exchange {
    pub(super) currency: Currency,
    /// The same as the pure functions know it.
    pub(super) iso: amounts::Currency,
    /// The day, in the organization's zone.
    pub(super) day: NaiveDate,
    rates: BTreeMap<Currency, AppliedRate>,
}

impl Exchange {
    /// The rates that hold today.
    pub(super) fn today(tx: &mut Tx<'_>) -> Result<Self> {
        let settings = organizations::read(tx)?.fields;
        let (day, currency) = (settings.day_of(tx.ctx.now), settings.base_currency);
        let iso = iso(&currency)?;
        let rates = exchange_rates::on(tx, &currency, day)?;
        Ok(Self { currency, iso, day, rates })
    }

    /// What one unit of a currency counts for; `None` where no rate is known.
    pub(super) fn rate(&self, from: &Currency) -> Option<Decimal> {
        if *from == self.currency {
            return Some(Decimal::ONE);
        }
        self.rates.get(from).map(|applied| applied.rate)
    }

    /// The rates of those currencies, to be named beside the figures.
    pub(super) fn applied<'c>(&self, currencies: impl Iterator<Item = &'c Currency>) -> Vec<AppliedRate> {
        let found: BTreeMap<_, _> = currencies.filter_map(|from| self.rates.get_key_value(from)).collect();
        found.into_values().cloned().collect()
    }

    /// The same rates for the pure functions.
    pub(super) fn table(&self) -> Result<amounts::ExchangeRates> {
        let table = amounts::ExchangeRates::new(self.iso);
        self.rates.values().try_fold(table, |table, applied| {
            Ok(table.with(iso(&applied.from_currency)?, applied.effective_on, applied.rate))
        })
    }

    /// Every rate from these currencies that ever held.
    pub(super) fn history(&self, tx: &mut Tx<'_>, from: Vec<String>) -> Result<amounts::ExchangeRates> {
        let rows: Vec<(Currency, NaiveDate, Decimal)> = tx
            .sql::<(st::Text, st::Date, st::Numeric)>(
                "SELECT from_currency, effective_on, rate FROM exchange_rates \
                 WHERE organization_id = {org} AND to_currency = {} AND from_currency = ANY({})",
            )
            .with(|s| s.bind(self.currency.code()).bind(from))
            .all(tx)?;
        let table = amounts::ExchangeRates::new(self.iso);
        rows.into_iter().try_fold(table, |table, (from, day, rate)| Ok(table.with(iso(&from)?, day, rate)))
    }
}

/// A currency as the pure functions know it.
pub(super) fn iso(currency: &Currency) -> Result<amounts::Currency> {
    amounts::Currency::from_code(currency.code()).ok_or_else(|| Error::internal("an unknown currency"))
}

/// Deals without a rate, put together by currency.
#[derive(Default)]
pub(super) struct LeftOut(BTreeMap<Currency, (u64, Decimal)>);

impl LeftOut {
    /// Adds deals and their value together.
    pub(super) fn add(&mut self, currency: &Currency, deals: u64, value: Decimal) {
        if deals > 0 {
            let (count, sum) = self.0.entry(currency.clone()).or_default();
            *count += deals;
            *sum += value;
        }
    }

    /// The list for the answer.
    pub(super) fn list(self) -> Result<Vec<Unconverted>> {
        let one =
            |(currency, (deals_count, value))| Ok(Unconverted { currency, deals_count, pipeline_value: money(value)? });
        self.0.into_iter().map(one).collect()
    }
}
