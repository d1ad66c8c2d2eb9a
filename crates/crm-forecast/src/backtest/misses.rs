//! How far forecasts missed beyond what each of them allowed for, and intervals that allow for it.
//!
//! A distribution over thousands of deals is narrow, because what is peculiar to a deal averages out; what all deals have in
//! common does not: a weak season, a new rival, a past that is no guide any more. No single forecast can know how large that
//! is. The errors of the forecasts before tell: intervals from past errors (Williams & Goodman 1971, "A simple method for
//! the construction of empirical confidence limits for economic forecasts"), here as one factor that multiplies all win
//! probabilities of a period, as the one-factor models of portfolios of loans have it (Vasicek 2002).

/// What a forecast said and what came.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Miss {
    /// The mean of the forecast's distribution; positive.
    pub mean: f64,
    /// Its standard deviation.
    pub deviation: f64,
    /// What came.
    pub actual: f64,
}

/// The standard deviation of the common factor, relative to 1, by the method of moments: the squared errors that the
/// forecasts' own variances leave over, by the squares of their means. Zero where they explain all of it; `None` without a
/// forecast.
#[must_use]
pub fn common_error(misses: &[Miss]) -> Option<f64> {
    let left_over: f64 = misses.iter().map(|miss| (miss.actual - miss.mean).powi(2) - miss.deviation.powi(2)).sum();
    let squares: f64 = misses.iter().map(|miss| miss.mean.powi(2)).sum();
    (squares > 0.0).then(|| (left_over / squares).max(0.0).sqrt())
}

/// Where a quantile of a distribution comes to lie when the distribution is as much wider as a common factor makes it:
/// the variance grows by the square of `common_error` times the mean, the shape stays.
#[must_use]
pub fn moved(quantile: f64, mean: f64, deviation: f64, common_error: f64) -> f64 {
    if deviation <= 0.0 {
        return quantile;
    }
    let wider = (1.0 + (mean * common_error / deviation).powi(2)).sqrt();
    mean + (quantile - mean) * wider
}

/// Two outer quantiles, moved apart as [`moved`] does, never closer together than they were, and within what can be won at all.
#[must_use]
pub fn moved_apart([low, high]: [f64; 2], [mean, deviation]: [f64; 2], common_error: f64, total: f64) -> [f64; 2] {
    let at = |quantile: f64| moved(quantile, mean, deviation, common_error);
    [at(low).min(low).clamp(0.0, total), at(high).max(high).clamp(0.0, total)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_forecasts_allow_for_is_no_common_error() {
        let miss = |mean, deviation, actual| Miss { mean, deviation, actual };
        assert_eq!(common_error(&[]), None);
        assert_eq!(common_error(&[miss(100.0, 10.0, 110.0), miss(100.0, 10.0, 90.0)]), Some(0.0));
        assert_eq!(common_error(&[miss(100.0, 30.0, 90.0)]), Some(0.0), "smaller errors are no negative ones");
        // 50 and 50 missed, 30 of them allowed for: 40 of 100 each.
        let seen = common_error(&[miss(100.0, 30.0, 150.0), miss(100.0, 30.0, 50.0)]).unwrap();
        assert!((seen - 0.4).abs() < 1e-12, "{seen}");
    }

    #[test]
    fn quantiles_move_away_from_the_mean() {
        for (quantile, expected) in [(70.0, 50.0), (100.0, 100.0), (130.0, 150.0)] {
            assert!((moved(quantile, 100.0, 30.0, 0.4) - expected).abs() < 1e-12, "{quantile}");
        }
        assert_eq!(moved(70.0, 100.0, 30.0, 0.0), 70.0);
        assert_eq!(moved(100.0, 100.0, 0.0, 0.4), 100.0, "a certain sum has no shape to widen");
    }

    #[test]
    fn an_interval_never_shrinks_and_stays_within_what_can_be_won() {
        assert_eq!(moved_apart([70.0, 130.0], [100.0, 30.0], 0.4, 1_000.0), [50.0, 150.0]);
        assert_eq!(moved_apart([10.0, 130.0], [100.0, 30.0], 0.4, 140.0), [0.0, 140.0]);
        // A rare win: nine times in ten nothing comes, and the mean lies above that.
        assert_eq!(moved_apart([0.0, 5.0], [10.0, 30.0], 4.0, 100.0)[1], 5.0);
    }

    proptest! {
        /// Outcomes that were drawn with a common factor are covered as often as the level says, once it is known.
        #[test]
        fn a_known_common_error_makes_intervals_honest(common in 0.05_f64..0.5, share in 0.02_f64..0.2) {
            let (mean, deviation) = (1_000.0, 1_000.0 * share);
            let total = deviation.hypot(mean * common);
            // The outcomes of a normal sum at the middles of 200 equal shares of its probability.
            let normal = statrs::distribution::Normal::new(mean, total).unwrap();
            let outcome = |i: i32| statrs::distribution::ContinuousCDF::inverse_cdf(&normal, (f64::from(i) + 0.5) / 200.0);
            let misses: Vec<Miss> = (0..200).map(|i| Miss { mean, deviation, actual: outcome(i) }).collect();
            let error = common_error(&misses).unwrap();
            prop_assert!((error - common).abs() < 0.05 * common + 0.01, "{error} for {common}");
            let decile = |sign: f64| moved(mean + sign * 1.281_552 * deviation, mean, deviation, error);
            let covered = misses.iter().filter(|miss| decile(-1.0) <= miss.actual && miss.actual <= decile(1.0)).count();
            prop_assert!((150..=170).contains(&covered), "{covered} of 200");
        }
    }
}
