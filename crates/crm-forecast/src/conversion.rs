//! How likely a deal in a stage is to be won, from what happened to the deals that stood there before, and how that
//! fades while a deal stands still (landmark estimates: van Houwelingen 2007; Putter & Spitoni 2018).
//!
//! Only a deal's *first* visit to a stage counts: a skipped stage learns nothing, a second visit is ignored, and no
//! assumption is made that the way to a stage does not matter.

use serde::{Deserialize, Serialize};

use crate::competing_risks::{Curve, Spell};
use crate::patterns::ENOUGH_DEALS;
use crate::probability::{Belief, Prior};

/// One deal's first visit to a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Passage {
    /// Days from entering the stage until leaving it for another, or until the deal's watch ended there.
    pub left_after: f64,
    /// The deal's watch from entering the stage until it was won, lost or last seen open, in whichever stage.
    pub spell: Spell,
}

/// What estimates are made with.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Days after entering a stage within which a win counts.
    pub horizon_days: f64,
    /// How many resolved deals a configured probability weighs as much as.
    pub prior_strength: f64,
    /// Days in stage for which an estimate of its own is made, ascending.
    pub landmarks: Vec<f64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { horizon_days: 365.0, prior_strength: 10.0, landmarks: vec![0.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0] }
    }
}

/// The outlook of a deal that has stood in its stage for some days.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Days in the stage from which the outlook looks ahead.
    pub age: f64,
    /// Days ahead within which a win counts.
    pub horizon: f64,
    /// What is believed of the win probability.
    pub belief: Belief,
    /// True when no deal of the past stood as long and was resolved: the belief then is the smaller of the
    /// configured and the stage's own probability.
    pub is_extrapolated: bool,
    /// What became of the deals that stood as long, with the clock restarted at `age`.
    pub curve: Curve,
}

impl Outlook {
    /// The win probability.
    #[must_use]
    pub fn probability(&self) -> f64 {
        self.belief.mean()
    }

    /// The probability of being won later than `from` and not later than `until` days ahead, by the deals' own
    /// pace; `None` where no deal of the past was won within the horizon.
    #[must_use]
    pub fn won_between(&self, from: f64, until: f64) -> Option<f64> {
        let within = |days: f64| self.curve.at(days.min(self.horizon)).won_by;
        let total = within(self.horizon);
        (total > 0.0).then(|| self.probability() * (within(until) - within(from)) / total)
    }
}

/// Deals that stood in a stage for some days or longer, and what became of them within the horizon.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cohort {
    /// Days in the stage after which their clock is restarted.
    pub age: f64,
    /// How many stood as long.
    pub deals: usize,
    /// Of these, won within the horizon.
    pub won: usize,
    /// Of these, lost within the horizon.
    pub lost: usize,
    /// The share won (Aalen-Johansen), before a prior is mixed in.
    pub share_won: f64,
}

impl Cohort {
    /// The cohort of an age, with its curve.
    fn observe(passages: &[Passage], age: f64, horizon: f64) -> (Self, Curve) {
        let stood = |passage: &&Passage| age <= 0.0 || passage.left_after > age;
        let restarted = |passage: &Passage| Spell { days: passage.spell.days - age, ..passage.spell };
        let spells: Vec<Spell> = passages.iter().filter(stood).map(restarted).collect();
        let curve = Curve::fit(&spells);
        let end = curve.at(horizon);
        (Self { age, deals: spells.len(), won: end.won, lost: end.lost, share_won: end.won_by }, curve)
    }

    /// What is believed of the deals' win probability, and whether that is extrapolated. The prior shrinks with the
    /// cohort, as its pseudo-deals age too; `entered` are all deals that entered the stage, and `fresh` is what is
    /// believed of one that has just entered.
    fn believe(&self, entered: usize, prior: Prior, fresh: impl FnOnce() -> f64) -> (Belief, bool) {
        let resolved = (self.won + self.lost) as f64;
        if self.age > 0.0 && resolved == 0.0 {
            return (extrapolated(prior, fresh()), true);
        }
        let share = if self.age > 0.0 { self.deals as f64 / entered as f64 } else { 1.0 };
        (prior.weighing(prior.strength * share).shrink(self.share_won, resolved), false)
    }
}

/// What became of the deals that entered a stage: all that an estimate needs of them. It is small, can be kept, and knows
/// no prior, so that a configured probability counts at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageRecord {
    /// All deals that entered.
    entered: Cohort,
    /// Those that stood long, by age, ascending.
    aged: Vec<Cohort>,
    /// The share of which the outcome within the horizon is unknown.
    unresolved: f64,
    /// True when the horizon lies beyond what was watched.
    is_horizon_truncated: bool,
}

impl StageRecord {
    /// Learns from the passages of one stage.
    #[must_use]
    pub fn observe(passages: &[Passage], settings: &Settings) -> Self {
        let horizon = settings.horizon_days;
        let (entered, curve) = Cohort::observe(passages, 0.0, horizon);
        let later = settings.landmarks.iter().filter(|age| **age > 0.0 && **age < horizon);
        Self {
            entered,
            aged: later.map(|age| Cohort::observe(passages, *age, horizon - age).0).collect(),
            unresolved: curve.at(horizon).unresolved,
            is_horizon_truncated: curve.is_truncated(horizon),
        }
    }

    /// The estimate under a prior. `configured` is the probability that people set for the stage.
    #[must_use]
    pub fn estimate(&self, configured: Option<f64>, prior_strength: f64) -> StageEstimate {
        let prior = Prior::configured(configured, prior_strength);
        let Self { entered, aged, unresolved, is_horizon_truncated } = self;
        let (fresh, _) = entered.believe(entered.deals, prior, || prior.mean);
        let aged = aged.iter().map(|cohort| {
            let (belief, is_extrapolated) = cohort.believe(entered.deals, prior, || fresh.mean());
            AgedBelief { age: cohort.age, belief, is_extrapolated }
        });
        StageEstimate {
            entered: entered.deals,
            won: entered.won,
            lost: entered.lost,
            open: entered.deals - entered.won - entered.lost,
            raw: entered.share_won,
            unresolved: *unresolved,
            is_horizon_truncated: *is_horizon_truncated,
            fresh: AgedBelief { age: 0.0, belief: fresh, is_extrapolated: false },
            aged: aged.collect(),
        }
    }
}

/// What is believed of the win probability of deals that have stood in a stage for some days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AgedBelief {
    /// The days: the largest landmark that the deals have passed.
    pub age: f64,
    /// The belief.
    pub belief: Belief,
    /// As [`Outlook::is_extrapolated`].
    pub is_extrapolated: bool,
}

impl AgedBelief {
    /// The win probability.
    #[must_use]
    pub fn probability(&self) -> f64 {
        self.belief.mean()
    }
}

/// What a stage's history says.
#[derive(Debug, Clone, PartialEq)]
pub struct StageEstimate {
    /// Deals that ever entered the stage.
    pub entered: usize,
    /// Of these, won within the horizon.
    pub won: usize,
    /// Of these, lost within the horizon.
    pub lost: usize,
    /// Of these, neither.
    pub open: usize,
    /// The share won, before the prior is mixed in.
    pub raw: f64,
    /// The share of which the outcome within the horizon is unknown: the raw share may be larger by up to this much.
    pub unresolved: f64,
    /// True when the horizon lies beyond what was watched.
    pub is_horizon_truncated: bool,
    /// Of a deal that has just entered.
    fresh: AgedBelief,
    /// By age, ascending.
    aged: Vec<AgedBelief>,
}

impl StageEstimate {
    /// Learns from the passages of one stage. `configured` is the probability that people set for the stage.
    #[must_use]
    pub fn fit(passages: &[Passage], configured: Option<f64>, settings: &Settings) -> Self {
        StageRecord::observe(passages, settings).estimate(configured, settings.prior_strength)
    }

    /// Deals that were won or lost within the horizon.
    #[must_use]
    pub fn decided(&self) -> usize {
        self.won + self.lost
    }

    /// True when enough deals were decided for the raw share to say anything, see [`ENOUGH_DEALS`]. The belief can be told
    /// at any number, as its interval tells how little is known.
    #[must_use]
    pub fn has_enough_deals(&self) -> bool {
        self.decided() as u64 >= ENOUGH_DEALS
    }

    /// What is believed of the win probability of a deal that has just entered.
    #[must_use]
    pub fn belief(&self) -> Belief {
        self.fresh.belief
    }

    /// What is believed at the largest landmark that a deal in the stage for `days` has passed.
    #[must_use]
    pub fn at_age(&self, days: f64) -> &AgedBelief {
        let passed = self.aged.partition_point(|aged| aged.age <= days);
        passed.checked_sub(1).and_then(|last| self.aged.get(last)).unwrap_or(&self.fresh)
    }
}

/// The outlook over the next `horizon` days of a deal that has stood in the stage for `age` days.
///
/// The cohort are the deals whose first visit lasted longer; the prior shrinks with it, as its pseudo-deals age too.
#[must_use]
pub fn outlook(passages: &[Passage], age: f64, horizon: f64, prior: Prior) -> Outlook {
    let (cohort, curve) = Cohort::observe(passages, age, horizon);
    let fresh = || outlook(passages, 0.0, age + horizon, prior).probability();
    let (belief, is_extrapolated) = cohort.believe(passages.len(), prior, fresh);
    Outlook { age, horizon, belief, is_extrapolated, curve }
}

/// Standing longer than any deal before is no good sign: the smaller of the prior and the stage's own probability,
/// believed no more firmly than the prior.
fn extrapolated(prior: Prior, fresh: f64) -> Belief {
    Prior { mean: prior.mean.min(fresh), ..prior }.shrink(0.0, 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::competing_risks::tests::spells;
    use proptest::prelude::*;

    fn reference() -> Vec<Passage> {
        let left = [2.0, 8.0, 3.0, 6.0, 15.0, 20.0, 9.0, 25.0, 4.0, 30.0];
        let spells = spells("5W 8L 10C 12W 15L 20C 22W 30L 40C 45W");
        left.into_iter().zip(spells).map(|(left_after, spell)| Passage { left_after, spell }).collect()
    }

    fn at_entry(text: &str) -> Vec<Passage> {
        spells(text).into_iter().map(|spell| Passage { left_after: spell.days, spell }).collect()
    }

    #[test]
    fn landmarks_match_the_reference() {
        let prior = Prior::configured(Some(0.4), 10.0);
        let cases = [
            (0.0, 10, 0.5, false),
            (5.0, 7, 16.0 / 35.0, false),
            (10.0, 4, 109.0 / 280.0, false),
            (20.0, 2, 0.45, false),
            (30.0, 0, 0.4, true),
        ];
        for (age, cohort, expected, extrapolated) in cases {
            let outlook = outlook(&reference(), age, 365.0 - age, prior);
            assert_eq!((outlook.curve.watched(), outlook.is_extrapolated), (cohort, extrapolated), "age {age}");
            assert!((outlook.probability() - expected).abs() < 1e-12, "age {age}: {}", outlook.probability());
        }
    }

    #[test]
    fn a_stage_reports_what_it_learnt_from() {
        let estimate =
            StageEstimate::fit(&at_entry("5W 8L 10C 12W 15L 20C 22W 30L 40C 45C"), Some(0.4), &Settings::default());
        assert_eq!((estimate.entered, estimate.won, estimate.lost, estimate.open), (10, 3, 3, 4));
        assert!((estimate.unresolved - 2.0 / 7.0).abs() < 1e-12 && estimate.is_horizon_truncated);
        assert!((estimate.belief().mean() - 0.383_928_571).abs() < 1e-9);
        for (text, is_enough) in [("5W 8L 10C 12W 15L", false), ("5W 8L 10C 12W 15L 20L", true)] {
            let estimate = StageEstimate::fit(&at_entry(text), None, &Settings::default());
            assert_eq!(estimate.has_enough_deals(), is_enough, "{text}: open deals decide nothing");
        }
    }

    #[test]
    fn estimates_of_the_worked_example() {
        let cases = [
            ("1L", Some(0.1), 1.0 / 11.0),
            ("", Some(0.4), 0.4),
            ("1W 1W 1W 2L 2L 2L 2L 2L 2L 2L", Some(0.8), 0.55),
            ("", None, 0.5),
        ];
        for (text, configured, expected) in cases {
            let estimate = StageEstimate::fit(&at_entry(text), configured, &Settings::default());
            assert!((estimate.belief().mean() - expected).abs() < 1e-12, "{text} {configured:?}");
        }
    }

    #[test]
    fn an_age_takes_the_landmark_behind_it() {
        let settings = Settings { landmarks: vec![0.0, 5.0, 10.0], ..Settings::default() };
        let estimate = StageEstimate::fit(&reference(), Some(0.4), &settings);
        for (days, landmark) in [(0.0, 0.0), (4.9, 0.0), (5.0, 5.0), (9.0, 5.0), (400.0, 10.0)] {
            assert_eq!(estimate.at_age(days).age, landmark, "{days} days");
        }
    }

    #[test]
    fn the_pace_of_wins_shares_out_the_probability() {
        let outlook = outlook(&at_entry("10W 20W 30W 40L"), 0.0, 365.0, Prior { mean: 0.5, strength: 0.0 });
        let cases = [(0.0, 10.0, 0.25), (10.0, 30.0, 0.5), (30.0, 400.0, 0.0), (0.0, 365.0, 0.75)];
        for (from, until, expected) in cases {
            let seen = outlook.won_between(from, until).unwrap();
            assert!((seen - expected).abs() < 1e-12, "({from}, {until}]: {seen}");
        }
        let hopeless = super::outlook(&at_entry("40L"), 0.0, 365.0, Prior { mean: 0.5, strength: 1.0 });
        assert_eq!(hopeless.won_between(0.0, 30.0), None);
    }

    proptest! {
        #[test]
        fn every_outlook_is_a_probability(
            rows in prop::collection::vec((0_u16..200, 0_u16..200, 0_u8..3), 0..60),
            age in 0_u16..400,
            configured in prop::option::of(0.0_f64..=1.0),
        ) {
            let passages: Vec<Passage> = rows.iter().map(|(left, more, ending)| {
                let spell = spells(&format!("{}{}", left + more, ["W", "L", "C"][usize::from(*ending)]))[0];
                Passage { left_after: f64::from(*left), spell }
            }).collect();
            let estimate = StageEstimate::fit(&passages, configured, &Settings::default());
            let outlook = estimate.at_age(f64::from(age));
            prop_assert!((0.0..=1.0).contains(&outlook.probability()));
            prop_assert_eq!(estimate.entered, estimate.won + estimate.lost + estimate.open);
            let ahead = super::outlook(&passages, f64::from(age), 365.0, Prior::configured(configured, 10.0));
            if let Some(soon) = ahead.won_between(0.0, 30.0) {
                prop_assert!((-1e-12..=ahead.probability() + 1e-12).contains(&soon));
            }
            let kept: StageRecord = serde_json::from_value(
                serde_json::to_value(StageRecord::observe(&passages, &Settings::default())).unwrap(),
            ).unwrap();
            prop_assert_eq!(kept.estimate(configured, 10.0), estimate.clone());
        }
    }
}
