//! Seeded chance: the same seed makes the same data everywhere. Floats are fit here, since nothing of it is accounted.
use rand::{Rng, SeedableRng, rngs::StdRng};

/// A stream of random choices.
pub(super) struct Chance(StdRng);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Does something of this probability happen?
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// A whole number from 0 up to, and without, `end`; 0 where there is none.
    pub(super) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { self.0.random_range(0..end) }
    }

    /// A number between two, evenly.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.fraction()
    }

    /// One of a list that is not empty.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// The place of one of several weights, each as likely as it is heavy.
    pub(super) fn weighted(&mut self, weights: impl Iterator<Item = f64> + Clone) -> usize {
        let mut left = self.fraction() * weights.clone().sum::<f64>();
        let mut last = 0;
        for (place, weight) in weights.enumerate() {
            last = place;
            left -= weight;
            if left < 0.0 {
                break;
            }
        }
        last
    }

    /// One of a list of things and their weights.
    pub(super) fn pick_weighted<T: Copy>(&mut self, items: &[(T, f64)]) -> T {
        items[self.weighted(items.iter().map(|(_, weight)| *weight))].0
    }

    /// How long it takes until something happens that takes `mean` on average and keeps no memory.
    pub(super) fn waiting(&mut self, mean: f64) -> f64 {
        -(1.0 - self.fraction()).ln() * mean
    }

    /// An amount of which half are smaller than `median`, with a long tail above: sizes and durations.
    pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        // Box and Muller, A Note on the Generation of Random Normal Deviates (1958).
        let radius = (-2.0 * (1.0 - self.fraction()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * self.fraction()).cos();
        median * (sigma * normal).exp()
    }

    fn fraction(&mut self) -> f64 {
        self.0.random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_and_medians_are_kept() {
        let mut chance = Chance::new(1);
        let heavy = (0..10_000).filter(|_| chance.pick_weighted(&[("light", 1.0), ("heavy", 3.0)]) == "heavy").count();
        assert!((7_200..7_800).contains(&heavy), "{heavy}");
        let small = (0..10_000).filter(|_| chance.log_normal(50.0, 0.8) < 50.0).count();
        assert!((4_700..5_300).contains(&small), "{small}");
        let soon = (0..10_000).filter(|_| chance.waiting(2.0) < 2.0).count();
        assert!((6_100..6_550).contains(&soon), "{soon}");
        assert_eq!(chance.below(0), 0);
    }
}
