//! Probabilities of winning: exact ones that people set, and beliefs that history shapes (Beta distributions).

use rust_decimal::{Decimal, prelude::ToPrimitive};
use statrs::function::beta::beta_reg;

/// Digits after the point that an estimate keeps once it meets money.
const ESTIMATE_DIGITS: u32 = 12;

/// Halvings of [0, 1] until a quantile is as exact as a double can tell.
const HALVINGS: u32 = 60;

/// An exact probability from 0 to 1, as money is multiplied by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability(Decimal);

/// The number given is no probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("A probability lies between 0 and 1.")]
pub struct NotAProbability;

impl Probability {
    /// A probability given as a fraction of one.
    ///
    /// # Errors
    /// [`NotAProbability`] outside 0 to 1.
    pub fn new(fraction: Decimal) -> Result<Self, NotAProbability> {
        let valid = fraction >= Decimal::ZERO && fraction <= Decimal::ONE;
        if valid { Ok(Self(fraction)) } else { Err(NotAProbability) }
    }

    /// A probability given in percent.
    ///
    /// # Errors
    /// [`NotAProbability`] outside 0 to 100.
    pub fn from_percent(percent: Decimal) -> Result<Self, NotAProbability> {
        Self::new(percent / Decimal::ONE_HUNDRED)
    }

    /// An estimate, rounded to twelve digits so that money can be multiplied by it exactly.
    ///
    /// # Errors
    /// [`NotAProbability`] outside 0 to 1, or when it is not a number.
    pub fn from_estimate(estimate: f64) -> Result<Self, NotAProbability> {
        let exact = Decimal::from_f64_retain(estimate).ok_or(NotAProbability)?;
        Self::new(exact.round_dp(ESTIMATE_DIGITS))
    }

    /// The fraction of one.
    #[must_use]
    pub fn fraction(self) -> Decimal {
        self.0
    }

    /// The fraction as a double, for statistics.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.0.to_f64().unwrap_or_default()
    }
}

/// What is believed of a win probability: a Beta distribution with `won` and `lost` pseudo-deals behind it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Belief {
    /// The Beta distribution's first shape, often called a or alpha.
    pub won: f64,
    /// The Beta distribution's second shape, often called b or beta.
    pub lost: f64,
}

impl Belief {
    /// The expected win probability.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.won / self.weight()
    }

    /// The variance of the win probability.
    #[must_use]
    pub fn variance(&self) -> f64 {
        self.mean() * (1.0 - self.mean()) / (self.weight() + 1.0)
    }

    /// All pseudo-deals together.
    #[must_use]
    pub fn weight(&self) -> f64 {
        self.won + self.lost
    }

    /// The win probability that is not exceeded with probability `level`.
    #[must_use]
    pub fn quantile(&self, level: f64) -> f64 {
        if !(self.won > 0.0 && self.lost > 0.0) {
            return self.mean();
        }
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..HALVINGS {
            let middle = 0.5 * (low + high);
            if beta_reg(self.won, self.lost, middle) < level { low = middle } else { high = middle }
        }
        0.5 * (low + high)
    }

    /// The interval that holds the win probability with probability `mass`, with equal tails.
    #[must_use]
    pub fn interval(&self, mass: f64) -> (f64, f64) {
        let tail = 0.5 * (1.0 - mass);
        (self.quantile(tail), self.quantile(1.0 - tail))
    }
}

/// What is believed of a stage before its history speaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prior {
    /// The probability that the prior expects.
    pub mean: f64,
    /// How many resolved deals it weighs as much as.
    pub strength: f64,
}

impl Prior {
    /// The prior of a stage with a configured probability, or Jeffreys' prior (a half of a win, a half of a loss)
    /// where none is configured.
    #[must_use]
    pub fn configured(probability: Option<f64>, strength: f64) -> Self {
        probability.map_or(Self { mean: 0.5, strength: 1.0 }, |mean| Self { mean, strength })
    }

    /// The prior with another strength.
    #[must_use]
    pub fn weighing(self, strength: f64) -> Self {
        Self { strength, ..self }
    }

    /// The belief after `resolved` deals of which the share `raw` was won. Without censoring this is the
    /// Beta-Binomial posterior.
    #[must_use]
    pub fn shrink(&self, raw: f64, resolved: f64) -> Belief {
        Belief {
            won: self.strength * self.mean + resolved * raw,
            lost: self.strength * (1.0 - self.mean) + resolved * (1.0 - raw),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn intervals_match_the_reference() {
        let cases = [
            (8.5, 8.5, 0.5, 0.305_633, 0.694_367),
            (43.0 / 7.0, 69.0 / 7.0, 0.383_929, 0.198_201, 0.586_660),
            (0.5, 5.5, 0.083_333, 0.000_374, 0.305_746),
            (5.0, 15.0, 0.25, 0.109_906, 0.419_120),
        ];
        for (won, lost, mean, low, high) in cases {
            let belief = Belief { won, lost };
            let interval = belief.interval(0.9);
            for (seen, expected) in [(belief.mean(), mean), (interval.0, low), (interval.1, high)] {
                assert!((seen - expected).abs() < 1e-6, "Beta({won},{lost}): {seen} is not {expected}");
            }
        }
    }

    #[test]
    fn a_prior_without_history_is_the_configured_probability() {
        assert!((Prior::configured(Some(0.4), 10.0).shrink(0.0, 0.0).mean() - 0.4).abs() < 1e-15);
        let jeffreys = Prior::configured(None, 10.0).shrink(0.0, 5.0);
        assert_eq!((jeffreys.won, jeffreys.lost), (0.5, 5.5));
    }

    #[test]
    fn a_certain_belief_has_no_width() {
        assert_eq!(Belief { won: 3.0, lost: 0.0 }.interval(0.9), (1.0, 1.0));
        assert_eq!(Belief { won: 0.0, lost: 3.0 }.interval(0.9), (0.0, 0.0));
    }

    #[test]
    fn only_fractions_of_one_are_probabilities() {
        for (percent, valid) in [("0", true), ("100", true), ("12.5", true), ("100.01", false), ("-1", false)] {
            assert_eq!(Probability::from_percent(percent.parse().unwrap()).is_ok(), valid, "{percent}");
        }
        assert_eq!(Probability::from_estimate(f64::NAN), Err(NotAProbability));
        assert_eq!(Probability::from_estimate(1.0 / 3.0).unwrap().fraction().to_string(), "0.333333333333");
    }

    proptest! {
        #[test]
        fn quantiles_grow_and_hold_their_level(won in 0.2_f64..200.0, lost in 0.2_f64..200.0, level in 0.01_f64..0.98) {
            let belief = Belief { won, lost };
            let quantile = belief.quantile(level);
            prop_assert!(quantile <= belief.quantile(level + 0.01));
            prop_assert!((beta_reg(won, lost, quantile) - level).abs() < 1e-6);
        }

        #[test]
        fn shrinkage_lies_between_prior_and_history(mean in 0.0_f64..1.0, raw in 0.0_f64..1.0, resolved in 0.0_f64..500.0) {
            let shrunk = Prior { mean, strength: 10.0 }.shrink(raw, resolved).mean();
            prop_assert!(shrunk >= mean.min(raw) - 1e-12 && shrunk <= mean.max(raw) + 1e-12);
        }
    }
}
