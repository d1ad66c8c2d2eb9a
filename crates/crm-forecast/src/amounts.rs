//! Amounts of money, exact: sums and products carry every digit and are rounded once, at the end.

use std::collections::BTreeMap;

use bigdecimal::{BigDecimal, RoundingMode, Zero, num_bigint::BigInt};
use chrono::NaiveDate;
pub use iso_currency::Currency;
use rust_decimal::{Decimal, prelude::ToPrimitive};

/// Why a number is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// A deal cannot be worth less than nothing.
    #[error("A deal's value cannot be negative.")]
    Negative,
    /// The sum has more digits than a decimal of 96 bits holds.
    #[error("The sum is too large to be written as an amount.")]
    TooLarge,
}

/// A value that is never negative, in a currency of ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount {
    value: Decimal,
    currency: Currency,
}

impl Amount {
    /// An amount in major units (12.50, not 1250).
    ///
    /// # Errors
    /// [`AmountError::Negative`] when `value` is below zero.
    pub fn new(value: Decimal, currency: Currency) -> Result<Self, AmountError> {
        if value < Decimal::ZERO { Err(AmountError::Negative) } else { Ok(Self { value, currency }) }
    }

    /// The value in major units.
    #[must_use]
    pub fn value(&self) -> Decimal {
        self.value
    }

    /// The currency of the value.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The value in the currency's smallest unit, rounded half to even.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] beyond 2^64 - 1 units.
    pub fn minor_units(&self) -> Result<u64, AmountError> {
        let factor = Decimal::from(10_u64.pow(digits(self.currency)));
        let units = self.value.checked_mul(factor).ok_or(AmountError::TooLarge)?.round();
        units.to_u64().ok_or(AmountError::TooLarge)
    }
}

/// The digits after the decimal point that ISO 4217 gives a currency; two where it gives none (gold, test codes).
#[must_use]
pub fn digits(currency: Currency) -> u32 {
    currency.exponent().map_or(2, u32::from)
}

/// What one unit of each currency is worth in one target currency, day by day.
#[derive(Debug, Clone)]
pub struct ExchangeRates {
    into: Currency,
    by_day: BTreeMap<(Currency, NaiveDate), Decimal>,
}

impl ExchangeRates {
    /// An empty table: converts nothing but the target currency itself.
    #[must_use]
    pub fn new(into: Currency) -> Self {
        Self { into, by_day: BTreeMap::new() }
    }

    /// Sets the rate of `from` as of a day; it holds until a later day's.
    #[must_use]
    pub fn with(mut self, from: Currency, day: NaiveDate, rate: Decimal) -> Self {
        self.by_day.insert((from, day), rate);
        self
    }

    /// The currency into which the table converts.
    #[must_use]
    pub fn into_currency(&self) -> Currency {
        self.into
    }

    /// The latest rate of `from` on or before a day; 1 for the target currency; `None` where no rate is known.
    #[must_use]
    pub fn rate_on(&self, from: Currency, day: NaiveDate) -> Option<Decimal> {
        if from == self.into { Some(Decimal::ONE) } else { self.quoted_on(from, day).map(|(_, rate)| rate) }
    }

    /// The latest rate of `from` that was set as of that day or an earlier one, and the day from which on it holds.
    #[must_use]
    pub fn quoted_on(&self, from: Currency, day: NaiveDate) -> Option<(NaiveDate, Decimal)> {
        let mut until = self.by_day.range((from, NaiveDate::MIN)..=(from, day));
        until.next_back().map(|((_, effective_on), rate)| (*effective_on, *rate))
    }

    /// The amount in the target currency, rounded half to even to its digits; `None` where no rate is known.
    ///
    /// # Errors
    /// [`AmountError`] when the product cannot be written as an amount.
    pub fn convert(&self, amount: Amount, day: NaiveDate) -> Result<Option<Amount>, AmountError> {
        let Some(rate) = self.rate_on(amount.currency, day) else { return Ok(None) };
        let mut sum = ExactSum::default();
        sum.add(&[amount.value, rate]);
        Amount::new(sum.rounded(self.into)?, self.into).map(Some)
    }
}

/// A sum of products of decimals with all their digits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExactSum(BigDecimal);

impl Default for ExactSum {
    fn default() -> Self {
        Self(BigDecimal::zero())
    }
}

impl ExactSum {
    /// Adds the product of the factors.
    pub(crate) fn add(&mut self, factors: &[Decimal]) {
        let product = factors.iter().map(wide).reduce(|product, factor| product * factor);
        self.0 += product.unwrap_or_default();
    }

    /// The sum rounded half to even to the currency's digits.
    pub(crate) fn rounded(&self, currency: Currency) -> Result<Decimal, AmountError> {
        let digits = digits(currency);
        let (units, _) = self.0.with_scale_round(i64::from(digits), RoundingMode::HalfEven).into_bigint_and_exponent();
        let units = i128::try_from(units).map_err(|_| AmountError::TooLarge)?;
        Decimal::try_from_i128_with_scale(units, digits).map_err(|_| AmountError::TooLarge)
    }
}

fn wide(decimal: &Decimal) -> BigDecimal {
    BigDecimal::new(BigInt::from(decimal.mantissa()), i64::from(decimal.scale()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(n: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2025, 1, n).unwrap()
    }

    #[test]
    fn a_rate_holds_until_the_next_one() {
        let rates = ExchangeRates::new(Currency::EUR).with(Currency::USD, day(5), Decimal::new(9, 1)).with(
            Currency::USD,
            day(10),
            Decimal::new(8, 1),
        );
        let cases = [(4, None), (5, Some("0.9")), (9, Some("0.9")), (10, Some("0.8")), (31, Some("0.8"))];
        for (n, expected) in cases {
            let rate = rates.rate_on(Currency::USD, day(n)).map(|rate| rate.to_string());
            assert_eq!(rate.as_deref(), expected, "day {n}");
        }
        assert_eq!(rates.quoted_on(Currency::USD, day(9)), Some((day(5), Decimal::new(9, 1))));
        assert_eq!(rates.quoted_on(Currency::EUR, day(9)), None, "no rate leads from a currency to itself");
        assert_eq!(rates.rate_on(Currency::EUR, day(1)), Some(Decimal::ONE));
        assert_eq!(rates.rate_on(Currency::GBP, day(31)), None);
    }

    #[test]
    fn minor_units_follow_the_currency() {
        let cases = [("12.5", Currency::EUR, 1250), ("12.5", Currency::JPY, 12), ("1.2345", Currency::KWD, 1234)];
        for (value, currency, expected) in cases {
            let amount = Amount::new(value.parse().unwrap(), currency).unwrap();
            assert_eq!(amount.minor_units(), Ok(expected), "{value} {currency}");
        }
        assert_eq!(Amount::new(Decimal::NEGATIVE_ONE, Currency::EUR), Err(AmountError::Negative));
        assert_eq!(Amount::new(Decimal::MAX, Currency::EUR).unwrap().minor_units(), Err(AmountError::TooLarge));
    }

    #[test]
    fn a_product_beyond_decimal_keeps_its_last_digit() {
        // 999999999999999.9999 x 1.0000000001 x 0.5 has 30 digits; a 96-bit decimal would drop the last two.
        let mut sum = ExactSum::default();
        sum.add(&["999999999999999.9999".parse().unwrap(), Decimal::new(10_000_000_001, 10), Decimal::new(5, 1)]);
        assert_eq!(sum.0.to_string(), "500000000049999.999949999999995");
    }

    proptest! {
        #[test]
        fn the_order_of_adding_does_not_matter(values in prop::collection::vec((0_i64..i64::MAX, 0_u32..10), 1..20)) {
            let decimals: Vec<Decimal> = values.iter().map(|(value, scale)| Decimal::new(*value, *scale)).collect();
            let (mut forward, mut backward) = (ExactSum::default(), ExactSum::default());
            decimals.iter().for_each(|value| forward.add(&[*value, Decimal::new(125, 3)]));
            decimals.iter().rev().for_each(|value| backward.add(&[*value, Decimal::new(125, 3)]));
            prop_assert_eq!(forward, backward);
        }
    }
}
