//! The three values of a pipeline: what stands in it, what the stages' configured probabilities make of it, and what
//! history makes of it. Sums are exact; each total and each group is rounded once, half to even, so that groups need
//! not add up to the total to the last digit.

use std::collections::{BTreeMap, BTreeSet};

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::amounts::{Amount, AmountError, Currency, ExactSum, ExchangeRates};
use crate::probability::Probability;

/// An open deal as the forecast sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenDeal<D, S> {
    /// The deal.
    pub id: D,
    /// The stage it stands in.
    pub stage: S,
    /// Its value, if it has one.
    pub amount: Option<Amount>,
    /// The day on which it is expected to close, in its business unit's zone.
    pub expected_close_on: Option<NaiveDate>,
    /// A probability that a person set for this deal; it beats the stage's.
    pub own_probability: Option<Probability>,
    /// What history says of a deal like this one, see [`crate::conversion`].
    pub estimate: Probability,
}

/// Days from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    /// The first day; open to the past when absent.
    pub from_on: Option<NaiveDate>,
    /// The last day; open to the future when absent.
    pub until_on: Option<NaiveDate>,
}

impl Period {
    /// Every day there is.
    pub const ALWAYS: Self = Self { from_on: None, until_on: None };

    /// True when the day lies within.
    #[must_use]
    pub fn contains(&self, day: NaiveDate) -> bool {
        self.from_on.is_none_or(|from| from <= day) && self.until_on.is_none_or(|until| day <= until)
    }
}

/// The three values and the count of some deals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Deals in scope, those without a value included.
    pub deals_count: usize,
    /// Sum of the values.
    pub pipeline_value: Decimal,
    /// Sum of value times probability: the deal's own, else the stage's, else the estimate.
    pub expected_value: Decimal,
    /// Sum of value times estimate.
    pub probable_value: Decimal,
}

/// A forecast in one currency.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast<D, S> {
    /// The currency of every amount.
    pub currency: Currency,
    /// Over all deals.
    pub totals: Totals,
    /// By stage, over the stages that hold deals.
    pub by_stage: BTreeMap<S, Totals>,
    /// Stages whose deals took the estimate because no probability is configured.
    pub unconfigured_stages: BTreeSet<S>,
    /// Deals left out because the period asks for a close day and they have none.
    pub undated_deals: Vec<D>,
    /// Deals that count but have no value.
    pub unvalued_deals: Vec<D>,
    /// Deals left out because no rate leads from their currency; when there are any, the forecast is incomplete.
    pub unconverted_deals: Vec<D>,
}

impl<D, S> Forecast<D, S> {
    /// True when every deal in scope could be converted.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.unconverted_deals.is_empty()
    }
}

/// Forecasts the deals that are expected to close within the period, in the currency of the rates, converted with the
/// rates as of one day.
///
/// # Errors
/// [`AmountError::TooLarge`] when a sum cannot be written as an amount.
pub fn forecast<D: Clone, S: Clone + Ord>(
    deals: &[OpenDeal<D, S>],
    configured: &BTreeMap<S, Probability>,
    period: &Period,
    rates: &ExchangeRates,
    as_of_on: NaiveDate,
) -> Result<Forecast<D, S>, AmountError> {
    let mut tally = Tally::default();
    for deal in deals {
        match place(deal, period, rates, as_of_on) {
            Place::Elsewhere => {}
            Place::Undated => tally.undated_deals.push(deal.id.clone()),
            Place::Unconverted => tally.unconverted_deals.push(deal.id.clone()),
            Place::Unvalued => tally.add(deal, None, configured),
            Place::Worth(value, rate) => tally.add(deal, Some([value, rate]), configured),
        }
    }
    tally.rounded(rates.into_currency())
}

/// The sum of deals won, each converted with the rate as of the day it was won, and the indices of those for which no
/// rate is known.
///
/// # Errors
/// [`AmountError::TooLarge`] when the sum cannot be written as an amount.
pub fn closed_won_value(
    won: &[(Amount, NaiveDate)],
    rates: &ExchangeRates,
) -> Result<(Decimal, Vec<usize>), AmountError> {
    let (mut sum, mut unconverted) = (ExactSum::default(), Vec::new());
    for (index, (amount, won_on)) in won.iter().enumerate() {
        match rates.rate_on(amount.currency(), *won_on) {
            Some(rate) => sum.add(&[amount.value(), rate]),
            None => unconverted.push(index),
        }
    }
    Ok((sum.rounded(rates.into_currency())?, unconverted))
}

/// Where a deal belongs in a forecast.
enum Place {
    Elsewhere,
    Undated,
    Unvalued,
    Unconverted,
    Worth(Decimal, Decimal),
}

fn place<D, S>(deal: &OpenDeal<D, S>, period: &Period, rates: &ExchangeRates, as_of_on: NaiveDate) -> Place {
    match deal.expected_close_on {
        None if *period != Period::ALWAYS => return Place::Undated,
        Some(day) if !period.contains(day) => return Place::Elsewhere,
        _ => {}
    }
    let Some(amount) = deal.amount else { return Place::Unvalued };
    rates.rate_on(amount.currency(), as_of_on).map_or(Place::Unconverted, |rate| Place::Worth(amount.value(), rate))
}

/// The exact sums behind the totals of some deals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sums {
    deals: usize,
    pipeline: ExactSum,
    expected: ExactSum,
    probable: ExactSum,
}

impl Sums {
    /// Adds deals that share a probability and an estimate, with their value together and its rate into the currency of
    /// the totals; deals without a value count, and add nothing.
    pub fn add(&mut self, deals: usize, worth: Option<[Decimal; 2]>, probability: Probability, estimate: Probability) {
        self.deals += deals;
        if let Some([value, rate]) = worth {
            self.pipeline.add(&[value, rate]);
            self.expected.add(&[value, rate, probability.fraction()]);
            self.probable.add(&[value, rate, estimate.fraction()]);
        }
    }

    /// The totals, each rounded once, half to even, to the digits of the currency.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] when a sum cannot be written as an amount.
    pub fn rounded(&self, currency: Currency) -> Result<Totals, AmountError> {
        Ok(Totals {
            deals_count: self.deals,
            pipeline_value: self.pipeline.rounded(currency)?,
            expected_value: self.expected.rounded(currency)?,
            probable_value: self.probable.rounded(currency)?,
        })
    }
}

struct Tally<D, S> {
    all: Sums,
    by_stage: BTreeMap<S, Sums>,
    unconfigured_stages: BTreeSet<S>,
    undated_deals: Vec<D>,
    unvalued_deals: Vec<D>,
    unconverted_deals: Vec<D>,
}

impl<D, S> Default for Tally<D, S> {
    fn default() -> Self {
        Self {
            all: Sums::default(),
            by_stage: BTreeMap::new(),
            unconfigured_stages: BTreeSet::new(),
            undated_deals: Vec::new(),
            unvalued_deals: Vec::new(),
            unconverted_deals: Vec::new(),
        }
    }
}

impl<D: Clone, S: Clone + Ord> Tally<D, S> {
    fn add(&mut self, deal: &OpenDeal<D, S>, worth: Option<[Decimal; 2]>, configured: &BTreeMap<S, Probability>) {
        let set = deal.own_probability.or_else(|| configured.get(&deal.stage).copied());
        if set.is_none() {
            self.unconfigured_stages.insert(deal.stage.clone());
        }
        if worth.is_none() {
            self.unvalued_deals.push(deal.id.clone());
        }
        let probability = set.unwrap_or(deal.estimate);
        self.all.add(1, worth, probability, deal.estimate);
        self.by_stage.entry(deal.stage.clone()).or_default().add(1, worth, probability, deal.estimate);
    }

    fn rounded(self, currency: Currency) -> Result<Forecast<D, S>, AmountError> {
        let by_stage = self.by_stage.into_iter().map(|(stage, sums)| Ok((stage, sums.rounded(currency)?)));
        Ok(Forecast {
            currency,
            totals: self.all.rounded(currency)?,
            by_stage: by_stage.collect::<Result<_, _>>()?,
            unconfigured_stages: self.unconfigured_stages,
            undated_deals: self.undated_deals,
            unvalued_deals: self.unvalued_deals,
            unconverted_deals: self.unconverted_deals,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(n: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2025, 1, n).unwrap()
    }

    fn percent(text: &str) -> Probability {
        Probability::from_percent(text.parse().unwrap()).unwrap()
    }

    fn deal(id: u32, stage: char, value: i64, estimate: f64) -> OpenDeal<u32, char> {
        OpenDeal {
            id,
            stage,
            amount: Some(Amount::new(value.into(), Currency::JPY).unwrap()),
            expected_close_on: Some(day(15)),
            own_probability: None,
            estimate: Probability::from_estimate(estimate).unwrap(),
        }
    }

    fn yen(deals: &[OpenDeal<u32, char>], configured: &[(char, &str)]) -> Forecast<u32, char> {
        let configured = configured.iter().map(|(stage, text)| (*stage, percent(text))).collect();
        forecast(deals, &configured, &Period::ALWAYS, &ExchangeRates::new(Currency::JPY), day(1)).unwrap()
    }

    fn values(totals: &Totals) -> [String; 3] {
        [totals.pipeline_value, totals.expected_value, totals.probable_value].map(|value| value.to_string())
    }

    #[test]
    fn the_three_values_of_the_worked_example() {
        let deals = [deal(1, 'Q', 100_000, 11.0 / 34.0), deal(2, 'D', 50_000, 0.4), deal(3, 'P', 25_000, 0.55)];
        let seen = yen(&deals, &[('Q', "10"), ('D', "40"), ('P', "80")]);
        assert_eq!(values(&seen.totals), ["175000", "50000", "66103"]);
        assert_eq!(values(&seen.by_stage[&'Q']), ["100000", "10000", "32353"]);
        assert!(seen.is_complete() && seen.unconfigured_stages.is_empty());
    }

    #[test]
    fn a_group_is_rounded_once_and_half_to_even() {
        let cases: [(&[i64], &str, &str); 4] = [
            (&[33_333], "12.5", "4167"),
            (&[33_333, 33_333, 33_333], "12.5", "12500"),
            (&[12_345], "50", "6172"),
            (&[12_347], "50", "6174"),
        ];
        for (amounts, probability, expected) in cases {
            let deals: Vec<_> = amounts.iter().map(|value| deal(1, 'Q', *value, 0.5)).collect();
            let seen = yen(&deals, &[('Q', probability)]);
            assert_eq!(seen.totals.expected_value.to_string(), expected, "{amounts:?} at {probability} %");
        }
    }

    #[test]
    fn the_deals_own_probability_beats_the_stages_and_that_the_estimate() {
        let own = OpenDeal { own_probability: Some(percent("90")), ..deal(1, 'Q', 1_000, 0.2) };
        let seen = yen(&[own, deal(2, 'Q', 1_000, 0.2), deal(3, 'X', 1_000, 0.2)], &[('Q', "50")]);
        assert_eq!(values(&seen.totals), ["3000", "1600", "600"]);
        assert_eq!(seen.unconfigured_stages, BTreeSet::from(['X']));
    }

    #[test]
    fn deals_out_of_the_sums_are_named() {
        let undated = OpenDeal { expected_close_on: None, ..deal(1, 'Q', 1, 0.5) };
        let unvalued = OpenDeal { amount: None, ..deal(2, 'Q', 1, 0.5) };
        let late = OpenDeal { expected_close_on: Some(day(21)), ..deal(3, 'Q', 1, 0.5) };
        let krone = Amount::new(1.into(), Currency::NOK).unwrap();
        let unconverted = OpenDeal { amount: Some(krone), ..deal(4, 'Q', 1, 0.5) };
        let deals = [undated, unvalued, late, unconverted, deal(5, 'Q', 100, 0.5)];
        let period = Period { from_on: Some(day(15)), until_on: Some(day(20)) };
        let rates = ExchangeRates::new(Currency::JPY);
        let seen = forecast(&deals, &BTreeMap::new(), &period, &rates, day(1)).unwrap();
        assert_eq!((seen.undated_deals, seen.unvalued_deals, seen.unconverted_deals), (vec![1], vec![2], vec![4]));
        assert_eq!((seen.totals.deals_count, seen.totals.pipeline_value), (2, 100.into()));
    }

    #[test]
    fn periods_include_both_ends() {
        let period = Period { from_on: Some(day(10)), until_on: Some(day(20)) };
        for (n, inside) in [(9, false), (10, true), (20, true), (21, false)] {
            assert_eq!(period.contains(day(n)), inside, "day {n}");
        }
    }

    #[test]
    fn other_currencies_are_converted_at_the_rate_of_the_day() {
        let rates = ExchangeRates::new(Currency::EUR).with(Currency::USD, day(1), "0.925".parse().unwrap()).with(
            Currency::USD,
            day(20),
            "2".parse().unwrap(),
        );
        let dollars = |value: &str| Amount::new(value.parse().unwrap(), Currency::USD).unwrap();
        let open = OpenDeal { amount: Some(dollars("10.01")), ..deal(1, 'Q', 0, 0.5) };
        let seen = forecast(&[open], &BTreeMap::new(), &Period::ALWAYS, &rates, day(10)).unwrap();
        assert_eq!(values(&seen.totals), ["9.26", "4.63", "4.63"]);

        let crowns = Amount::new(5.into(), Currency::SEK).unwrap();
        let won = [(dollars("10"), day(19)), (dollars("10"), day(20)), (crowns, day(20))];
        assert_eq!(closed_won_value(&won, &rates), Ok(("29.25".parse().unwrap(), vec![2])));
    }

    proptest! {
        /// Against plain integers: yen at whole basis points.
        #[test]
        fn sums_are_exact(rows in prop::collection::vec((0_i64..1_000_000_000_000, 0_u32..=10_000, 0_usize..3), 0..60)) {
            let deals: Vec<_> = rows.iter().enumerate().map(|(i, (value, points, stage))| OpenDeal {
                own_probability: Some(Probability::new(Decimal::new(i64::from(*points), 4)).unwrap()),
                ..deal(i as u32, ['Q', 'D', 'P'][*stage], *value, 0.5)
            }).collect();
            let seen = yen(&deals, &[]);
            let numerator: i128 = rows.iter().map(|(value, points, _)| i128::from(*value) * i128::from(*points)).sum();
            let (whole, rest) = (numerator / 10_000, numerator % 10_000);
            let up = rest > 5_000 || (rest == 5_000 && whole % 2 == 1);
            prop_assert_eq!(seen.totals.expected_value, Decimal::from(whole + i128::from(up)));
            let counted: usize = seen.by_stage.values().map(|totals| totals.deals_count).sum();
            prop_assert_eq!(counted, deals.len());
            prop_assert!(seen.totals.expected_value <= seen.totals.pipeline_value);
        }
    }
}
