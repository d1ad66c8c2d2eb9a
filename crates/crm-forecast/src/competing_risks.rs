//! The share of deals won and lost by each day after a start, where some are still open: the Aalen-Johansen estimator
//! of competing risks (Aalen & Johansen 1978).
//!
//! Losses are recorded late. The share of wins among *closed* deals is therefore too high; this estimator counts a
//! deal that is still open for as long as it has been watched, and is not misled.

/// How a deal's watch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The deal was won.
    Won,
    /// The deal was lost.
    Lost,
    /// The deal was still open when the watch ended: the end of the data, its removal, a move to another pipeline.
    Open,
}

/// One deal, watched from a start until its ending.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spell {
    /// Days from the start to the ending; finite and not negative.
    pub days: f64,
    /// What ended it.
    pub ending: Ending,
}

/// The state of affairs just after one day on which deals were won or lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Days since the start.
    pub day: f64,
    /// Deals that were open just before.
    pub at_risk: usize,
    /// Deals won up to and with this day.
    pub won: usize,
    /// Deals lost up to and with this day.
    pub lost: usize,
    /// Probability of being won by this day.
    pub won_by: f64,
    /// Probability of being lost by this day.
    pub lost_by: f64,
    /// Probability of being open after this day.
    pub unresolved: f64,
}

const START: Step = Step { day: 0.0, at_risk: 0, won: 0, lost: 0, won_by: 0.0, lost_by: 0.0, unresolved: 1.0 };

/// Cumulative incidence of wins and losses.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    steps: Vec<Step>,
    watched: usize,
    last_day: f64,
}

impl Curve {
    /// Fits the curve. At a tie, wins and losses count before the watches that end open.
    #[must_use]
    pub fn fit(spells: &[Spell]) -> Self {
        let mut sorted = spells.to_vec();
        sorted.sort_by(|a, b| a.days.total_cmp(&b.days));
        let mut steps = Vec::new();
        let (mut step, mut passed) = (START, 0);
        for tied in sorted.chunk_by(|a, b| a.days == b.days) {
            let won = tied.iter().filter(|spell| spell.ending == Ending::Won).count();
            let lost = tied.iter().filter(|spell| spell.ending == Ending::Lost).count();
            if won + lost > 0 {
                step = step.followed_by(tied[0].days, sorted.len() - passed, won, lost);
                steps.push(step);
            }
            passed += tied.len();
        }
        Self { steps, watched: sorted.len(), last_day: sorted.last().map_or(0.0, |spell| spell.days) }
    }

    /// Deals behind the curve.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.watched
    }

    /// Days on which deals were won or lost, in order.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What holds `days` after the start. Beyond the last day that was watched, the curve stands still.
    #[must_use]
    pub fn at(&self, days: f64) -> Step {
        let passed = self.steps.partition_point(|step| step.day <= days);
        passed.checked_sub(1).map_or(START, |last| self.steps[last])
    }

    /// True when `horizon` days lie beyond what was watched while some deals were unresolved: then the true
    /// probability lies between [`Step::won_by`] and that plus [`Step::unresolved`].
    #[must_use]
    pub fn is_truncated(&self, horizon: f64) -> bool {
        horizon > self.last_day && self.at(horizon).unresolved > 0.0
    }
}

impl Step {
    fn followed_by(self, day: f64, at_risk: usize, won: usize, lost: usize) -> Self {
        let n = at_risk as f64;
        Self {
            day,
            at_risk,
            won: self.won + won,
            lost: self.lost + lost,
            won_by: self.won_by + self.unresolved * won as f64 / n,
            lost_by: self.lost_by + self.unresolved * lost as f64 / n,
            unresolved: self.unresolved * (at_risk - won - lost) as f64 / n,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Spells written as in a textbook: `5W 8L 10C`.
    pub(crate) fn spells(text: &str) -> Vec<Spell> {
        text.split_whitespace()
            .map(|word| {
                let (days, ending) = word.split_at(word.len() - 1);
                let ending = match ending {
                    "W" => Ending::Won,
                    "L" => Ending::Lost,
                    _ => Ending::Open,
                };
                Spell { days: days.parse().unwrap(), ending }
            })
            .collect()
    }

    #[test]
    fn curves_match_the_reference() {
        let cases = [
            ("5W 8L 10C 12W 15L 20C 22W 30L 40C 45W", 9.0 / 14.0, 5.0 / 14.0, 0.0),
            ("5W 8L 10C 12W 15L 20C 22W 30L 40C 45C", 5.0 / 14.0, 5.0 / 14.0, 2.0 / 7.0),
            ("5W 5C 5L 7W", 0.75, 0.25, 0.0),
            ("", 0.0, 0.0, 1.0),
        ];
        for (text, won, lost, unresolved) in cases {
            let end = Curve::fit(&spells(text)).at(365.0);
            for (seen, expected) in [(end.won_by, won), (end.lost_by, lost), (end.unresolved, unresolved)] {
                assert!((seen - expected).abs() < 1e-12, "{text}: {seen} is not {expected}");
            }
        }
    }

    #[test]
    fn truncation_needs_a_late_horizon_and_open_deals() {
        let open = Curve::fit(&spells("5W 8L 40C"));
        assert!(open.is_truncated(41.0) && !open.is_truncated(40.0));
        assert!(!Curve::fit(&spells("5W 8L")).is_truncated(365.0));
    }

    fn any_spells() -> impl Strategy<Value = Vec<Spell>> {
        let ending = prop::sample::select(vec![Ending::Won, Ending::Lost, Ending::Open]);
        prop::collection::vec((0_u8..60, ending), 0..80)
            .prop_map(|rows| rows.into_iter().map(|(days, ending)| Spell { days: f64::from(days), ending }).collect())
    }

    proptest! {
        #[test]
        fn everything_is_won_lost_or_open(spells in any_spells()) {
            let mut previous = START;
            for step in Curve::fit(&spells).steps() {
                prop_assert!((step.won_by + step.lost_by + step.unresolved - 1.0).abs() < 1e-12);
                prop_assert!(step.won_by >= previous.won_by && step.lost_by >= previous.lost_by);
                previous = *step;
            }
        }

        #[test]
        fn without_open_deals_it_is_the_plain_share(spells in any_spells()) {
            let closed: Vec<Spell> = spells.into_iter().filter(|spell| spell.ending != Ending::Open).collect();
            prop_assume!(!closed.is_empty());
            let won = closed.iter().filter(|spell| spell.ending == Ending::Won).count();
            prop_assert!((Curve::fit(&closed).at(60.0).won_by - won as f64 / closed.len() as f64).abs() < 1e-12);
        }
    }
}
