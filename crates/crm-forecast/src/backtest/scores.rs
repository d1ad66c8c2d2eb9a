//! How good forecasts were: proper scores of probabilities (Brier 1950; Murphy 1973; Gneiting & Raftery 2007) and errors
//! of amounts. Every score is `None` where it is not defined.

use crate::distribution::Distribution;

/// Probabilities are kept this far from 0 and 1 when their logarithm is taken.
const CLIP: f64 = 1e-6;

/// Groups of equal width into which probabilities fall when there are more distinct ones than this.
const BINS: usize = 10;

/// A probability that was stated, and what happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// The probability.
    pub probability: f64,
    /// Whether it happened.
    pub happened: bool,
}

impl Judged {
    fn outcome(&self) -> f64 {
        f64::from(u8::from(self.happened))
    }
}

/// Murphy's parts of the Brier score: reliability - resolution + uncertainty.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decomposition {
    /// How far stated probabilities lie from what happened; smaller is better.
    pub reliability: f64,
    /// How far the groups lie from the base rate; larger is better.
    pub resolution: f64,
    /// What the base rate alone leaves open.
    pub uncertainty: f64,
    /// Expected calibration error: the mean distance between stated and seen.
    pub calibration_error: f64,
}

/// The mean squared distance between probability and outcome; 0 is perfect.
#[must_use]
pub fn brier(judged: &[Judged]) -> Option<f64> {
    mean(judged.iter().map(|one| (one.probability - one.outcome()).powi(2)))
}

/// The share of the base rate's Brier score that was saved; 1 is perfect, 0 is no better than the base rate.
#[must_use]
pub fn brier_skill(judged: &[Judged]) -> Option<f64> {
    let base = mean(judged.iter().map(Judged::outcome))?;
    let uncertainty = base * (1.0 - base);
    (uncertainty > 0.0).then_some(1.0 - brier(judged)? / uncertainty)
}

/// The mean negative logarithm of the probability given to what happened; 0 is perfect.
#[must_use]
pub fn log_loss(judged: &[Judged]) -> Option<f64> {
    mean(judged.iter().map(|one| {
        let p = one.probability.clamp(CLIP, 1.0 - CLIP);
        -(if one.happened { p } else { 1.0 - p }).ln()
    }))
}

/// The parts of the Brier score. Equal probabilities form a group; where more than ten differ, ten groups of equal width
/// do, and the parts add up to the score of the groups' means.
#[must_use]
pub fn decompose(judged: &[Judged]) -> Option<Decomposition> {
    let base = mean(judged.iter().map(Judged::outcome))?;
    let mut parts =
        Decomposition { reliability: 0.0, resolution: 0.0, uncertainty: base * (1.0 - base), calibration_error: 0.0 };
    for group in groups(judged) {
        let share = group.len() as f64 / judged.len() as f64;
        let stated = mean(group.iter().map(|one| one.probability))?;
        let seen = mean(group.iter().map(Judged::outcome))?;
        parts.reliability += share * (stated - seen).powi(2);
        parts.resolution += share * (seen - base).powi(2);
        parts.calibration_error += share * (stated - seen).abs();
    }
    Some(parts)
}

/// The share of outcomes that lay within their intervals, ends included.
#[must_use]
pub fn coverage(intervals: &[(f64, f64)], outcomes: &[f64]) -> Option<f64> {
    let pairs = intervals.iter().zip(outcomes);
    mean(pairs.map(|((low, high), outcome)| f64::from(u8::from(low <= outcome && outcome <= high))))
}

/// The pinball loss of a stated quantile.
#[must_use]
pub fn pinball(level: f64, quantile: f64, outcome: f64) -> f64 {
    if outcome >= quantile { level * (outcome - quantile) } else { (1.0 - level) * (quantile - outcome) }
}

/// The continuous ranked probability score of a distribution: E|X - y| - E|X - X'| / 2, in minor units; the absolute
/// error of a forecast that states its doubt.
#[must_use]
pub fn crps(distribution: &Distribution, outcome: f64) -> f64 {
    let (mut score, mut below, mut previous) = (0.0, 0.0, None);
    for (value, probability) in distribution.iter() {
        let value = value as f64;
        score += probability * (value - outcome).abs();
        if let Some(previous) = previous {
            score -= below * (1.0 - below) * (value - previous);
        }
        below += probability;
        previous = Some(value);
    }
    score
}

/// Weighted absolute percentage error: the sum of the errors over the sum of the actual values.
#[must_use]
pub fn wape(forecasts: &[f64], actuals: &[f64]) -> Option<f64> {
    over_actuals(forecasts, actuals, |forecast, actual| (actual - forecast).abs())
}

/// By which share of the actual values the forecasts were too high; negative where they were too low.
#[must_use]
pub fn bias(forecasts: &[f64], actuals: &[f64]) -> Option<f64> {
    over_actuals(forecasts, actuals, |forecast, actual| forecast - actual)
}

fn over_actuals(forecasts: &[f64], actuals: &[f64], error: impl Fn(f64, f64) -> f64) -> Option<f64> {
    let total: f64 = actuals.iter().sum();
    let errors: f64 = forecasts.iter().zip(actuals).map(|(forecast, actual)| error(*forecast, *actual)).sum();
    (total != 0.0).then(|| errors / total)
}

pub(super) fn mean(values: impl ExactSizeIterator<Item = f64>) -> Option<f64> {
    let count = values.len();
    (count > 0).then(|| values.sum::<f64>() / count as f64)
}

fn groups(judged: &[Judged]) -> Vec<Vec<Judged>> {
    let mut sorted = judged.to_vec();
    sorted.sort_by(|a, b| a.probability.total_cmp(&b.probability));
    let distinct = sorted.chunk_by(|a, b| a.probability == b.probability).count();
    let bin = |one: &Judged| ((one.probability * BINS as f64) as usize).min(BINS - 1);
    let belong = |a: &Judged, b: &Judged| {
        if distinct > BINS { bin(a) == bin(b) } else { a.probability == b.probability }
    };
    sorted.chunk_by(belong).map(<[Judged]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distribution::{Chance, Portion};
    use proptest::prelude::*;

    fn judged(rows: &[(f64, u8)]) -> Vec<Judged> {
        rows.iter()
            .map(|(probability, outcome)| Judged { probability: *probability, happened: *outcome == 1 })
            .collect()
    }

    fn assert_close(seen: Option<f64>, expected: f64, what: &str) {
        assert!(seen.is_some_and(|seen| (seen - expected).abs() < 1e-6), "{what}: {seen:?} is not {expected}");
    }

    #[test]
    fn scores_match_the_reference() {
        let rows = judged(&[(0.1, 0), (0.4, 0), (0.8, 1), (0.6, 1), (0.3, 1)]);
        assert_close(brier(&rows), 0.172, "Brier");
        assert_close(brier_skill(&rows), 0.283_333, "skill");
        assert_close(log_loss(&rows), 0.510_826, "log loss");
    }

    #[test]
    fn the_parts_match_the_reference() {
        let group = |p, won: usize, all: usize| (0..all).map(move |i| (p, u8::from(i < won)));
        let rows: Vec<_> = group(0.2, 1, 10).chain(group(0.5, 2, 4)).chain(group(0.9, 6, 6)).collect();
        let parts = decompose(&judged(&rows)).unwrap();
        assert_close(Some(parts.reliability), 0.008, "reliability");
        assert_close(Some(parts.resolution), 0.1525, "resolution");
        assert_close(Some(parts.uncertainty), 0.2475, "uncertainty");
        assert_close(Some(parts.calibration_error), 0.08, "calibration error");
        assert_close(brier(&judged(&rows)), 0.103, "Brier");
    }

    #[test]
    fn the_ranked_score_matches_the_reference() {
        let deals = [(100, 0.5), (200, 0.3), (500, 0.1)];
        let portions = deals.map(|(value, p)| Portion::new(Chance::Known(p), [value]));
        assert_close(Some(crps(&Distribution::of(&portions), 300.0)), 110.67, "CRPS");
        assert_close(Some(crps(&Distribution::of(&[]), 300.0)), 300.0, "CRPS of a sure nothing");
    }

    #[test]
    fn errors_of_amounts_match_the_reference() {
        let (forecasts, actuals) = ([100.0, 200.0, 0.0], [80.0, 0.0, 50.0]);
        assert_close(wape(&forecasts, &actuals), 2.076_923, "WAPE");
        assert_close(bias(&forecasts, &actuals), 1.307_692, "bias");
        assert_eq!((wape(&[1.0], &[0.0]), bias(&[], &[])), (None, None));
    }

    #[test]
    fn intervals_include_their_ends() {
        let intervals = [(1.0, 2.0); 4];
        assert_eq!(coverage(&intervals, &[1.0, 2.0, 0.9, 2.1]), Some(0.5));
        assert_eq!(coverage(&[], &[]), None);
        assert_eq!((pinball(0.9, 10.0, 20.0), pinball(0.9, 10.0, 0.0)), (9.0, (1.0 - 0.9) * 10.0));
    }

    #[test]
    fn nothing_judged_has_no_score() {
        assert_eq!((brier(&[]), log_loss(&[]), decompose(&[])), (None, None, None));
        assert_eq!(brier_skill(&judged(&[(0.5, 1), (0.7, 1)])), None);
    }

    proptest! {
        #[test]
        fn the_parts_add_up_to_the_score(rows in prop::collection::vec((0_u8..=10, 0_u8..2), 1..200)) {
            // Eleven tenths in all; ten at most are kept, so that groups are those of equal probability.
            let rows: Vec<_> = rows.iter().map(|(tenths, y)| (f64::from(*tenths % 10) / 10.0, *y)).collect();
            let parts = decompose(&judged(&rows)).unwrap();
            let sum = parts.reliability - parts.resolution + parts.uncertainty;
            prop_assert!((sum - brier(&judged(&rows)).unwrap()).abs() < 1e-12);
        }

        #[test]
        fn stating_the_true_share_scores_best(won in 1_usize..40, lost in 1_usize..40, other in 0.0_f64..=1.0) {
            let share = won as f64 / (won + lost) as f64;
            let stated = |p: f64| judged(&(0..won + lost).map(|i| (p, u8::from(i < won))).collect::<Vec<_>>());
            prop_assert!(brier(&stated(share)) <= brier(&stated(other)));
            prop_assert!(log_loss(&stated(share)).unwrap() <= log_loss(&stated(other)).unwrap() + 1e-12);
        }
    }
}
