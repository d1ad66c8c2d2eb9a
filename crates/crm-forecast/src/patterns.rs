//! What goes with winning: the share of deals won among those that have something in common, against the share among
//! all. With few deals that share says little, so each comes with its interval (Jeffreys; Brown, Cai & DasGupta 2001),
//! and below five deals there is none.

use crate::probability::Belief;

/// Deals below which a group has no rate.
pub const ENOUGH_DEALS: u64 = 5;

/// Probability that the interval of a rate holds the true one.
const MASS: f64 = 0.9;

/// Closed deals that have something in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Those won.
    pub won: u64,
    /// Those lost.
    pub lost: u64,
}

/// The share of deals won.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WinRate {
    /// Won deals in all that closed, 0 to 1.
    pub rate: f64,
    /// The lower end of the 90 % interval.
    pub low: f64,
    /// The upper end of the 90 % interval.
    pub high: f64,
}

impl Tally {
    /// All its deals.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.won + self.lost
    }

    /// Adds the deals of another tally.
    pub fn add(&mut self, other: Self) {
        self.won += other.won;
        self.lost += other.lost;
    }

    /// The share won, `None` below [`ENOUGH_DEALS`].
    ///
    /// The interval is that of a Beta distribution with half a deal added to either side; where all deals went one way
    /// it reaches to the end, as otherwise it would not hold the rate itself.
    #[must_use]
    pub fn win_rate(&self) -> Option<WinRate> {
        if self.n() < ENOUGH_DEALS {
            return None;
        }
        let (low, high) = Belief { won: self.won as f64 + 0.5, lost: self.lost as f64 + 0.5 }.interval(MASS);
        Some(WinRate {
            rate: self.won as f64 / self.n() as f64,
            low: if self.won == 0 { 0.0 } else { low },
            high: if self.lost == 0 { 1.0 } else { high },
        })
    }

    /// How many times as often the deals of this group are won as those of `base`: above 1 more often, below 1 more
    /// rarely. `None` where either has no rate, or nothing of the base was won.
    #[must_use]
    pub fn lift(&self, base: &Self) -> Option<f64> {
        let (own, base) = (self.win_rate()?, base.win_rate()?);
        (base.rate > 0.0).then(|| own.rate / base.rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rates_come_with_their_interval() {
        let cases = [
            (0, 5, Some((0.0, 0.0, 0.305_746))),
            (5, 0, Some((1.0, 0.694_254, 1.0))),
            (8, 8, Some((0.5, 0.305_633, 0.694_367))),
            (2, 2, None),
            (0, 0, None),
        ];
        for (won, lost, expected) in cases {
            let seen = Tally { won, lost }.win_rate();
            assert_eq!(seen.is_some(), expected.is_some(), "{won} won, {lost} lost");
            let Some((seen, (rate, low, high))) = seen.zip(expected) else { continue };
            for (seen, expected) in [(seen.rate, rate), (seen.low, low), (seen.high, high)] {
                assert!((seen - expected).abs() < 1e-6, "{won} won, {lost} lost: {seen} is not {expected}");
            }
        }
    }

    #[test]
    fn lift_compares_with_all() {
        let base = Tally { won: 10, lost: 30 };
        assert_eq!(Tally { won: 5, lost: 5 }.lift(&base), Some(2.0));
        assert_eq!(Tally { won: 0, lost: 5 }.lift(&base), Some(0.0));
        assert_eq!(Tally { won: 2, lost: 2 }.lift(&base), None);
        assert_eq!(Tally { won: 5, lost: 5 }.lift(&Tally { won: 0, lost: 9 }), None);
    }

    proptest! {
        #[test]
        fn the_interval_holds_the_rate(won in 0_u64..500, lost in 0_u64..500) {
            if let Some(seen) = (Tally { won, lost }).win_rate() {
                prop_assert!(0.0 <= seen.low && seen.low <= seen.rate && seen.rate <= seen.high && seen.high <= 1.0);
            }
        }
    }
}
