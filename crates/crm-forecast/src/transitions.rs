//! Moves between stages, counted: the matrix, the win probabilities that it implies when read as an absorbing Markov
//! chain (Kemeny & Snell 1960), and the funnel.

use std::collections::{BTreeMap, BTreeSet};

use crate::competing_risks::Ending;

/// The way of one deal through the stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path<S> {
    /// Every stage it stood in, in order; a stage may come again.
    pub stages: Vec<S>,
    /// How it ended.
    pub ending: Ending,
}

/// Where the visits to one stage led.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exits<S> {
    /// Moves to each other stage.
    pub moved: BTreeMap<S, u64>,
    /// Visits that ended with a win.
    pub won: u64,
    /// Visits that ended with a loss.
    pub lost: u64,
    /// Visits that have not ended; in no denominator.
    pub open: u64,
}

impl<S> Default for Exits<S> {
    fn default() -> Self {
        Self { moved: BTreeMap::new(), won: 0, lost: 0, open: 0 }
    }
}

impl<S: Ord> Exits<S> {
    /// Visits that ended.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.moved.values().sum::<u64>() + self.won + self.lost
    }

    /// The share of ended visits that led to a stage; `None` when no visit ended.
    #[must_use]
    pub fn share_moved(&self, to: &S) -> Option<f64> {
        let ended = self.ended();
        (ended > 0).then(|| self.moved.get(to).copied().unwrap_or_default() as f64 / ended as f64)
    }
}

/// How often each stage led to each other, to a win and to a loss.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transitions<S>(BTreeMap<S, Exits<S>>);

/// What the chain implies.
#[derive(Debug, Clone, PartialEq)]
pub struct ChainWins<S> {
    /// The probability that a deal in the stage is won in the end.
    pub probabilities: BTreeMap<S, f64>,
    /// Stages from which no recorded move leads to a win or a loss. They have no probability, and moves into them
    /// are left out of the other stages' shares.
    pub dead_ends: Vec<S>,
}

impl<S: Ord + Clone> Transitions<S> {
    /// Counts the moves along the paths.
    #[must_use]
    pub fn count(paths: &[Path<S>]) -> Self {
        let mut counted: BTreeMap<S, Exits<S>> = BTreeMap::new();
        for path in paths {
            for pair in path.stages.windows(2) {
                *counted.entry(pair[0].clone()).or_default().moved.entry(pair[1].clone()).or_default() += 1;
            }
            let Some(last) = path.stages.last() else { continue };
            let exits = counted.entry(last.clone()).or_default();
            match path.ending {
                Ending::Won => exits.won += 1,
                Ending::Lost => exits.lost += 1,
                Ending::Open => exits.open += 1,
            }
        }
        Self(counted)
    }

    /// The counts by the stage that was left.
    #[must_use]
    pub fn by_stage(&self) -> &BTreeMap<S, Exits<S>> {
        &self.0
    }

    /// Solves B = (I - Q)^-1 R for wins. A large gap to [`crate::conversion::StageEstimate`] says that the way to a
    /// stage matters.
    #[must_use]
    pub fn chain_wins(&self) -> ChainWins<S> {
        let live = self.live();
        let order: Vec<&S> = live.iter().collect();
        let mut rows = Vec::with_capacity(order.len());
        for (i, stage) in order.iter().enumerate() {
            let exits = &self.0[*stage];
            let count = |to: &S| exits.moved.get(to).copied().unwrap_or_default() as f64;
            let ended = (exits.won + exits.lost) as f64 + order.iter().map(|to| count(to)).sum::<f64>();
            let mut row: Vec<f64> = order.iter().map(|to| -count(to) / ended).collect();
            row[i] += 1.0;
            row.push(exits.won as f64 / ended);
            rows.push(row);
        }
        let solved = solve(rows);
        let probabilities = order.into_iter().cloned().zip(solved).collect();
        let dead_ends = self.0.keys().filter(|stage| !live.contains(*stage)).cloned().collect();
        ChainWins { probabilities, dead_ends }
    }

    /// Stages from which a recorded way leads to a win or a loss.
    fn live(&self) -> BTreeSet<S> {
        let mut live = BTreeSet::new();
        loop {
            let found: Vec<S> = self
                .0
                .iter()
                .filter(|(stage, _)| !live.contains(*stage))
                .filter(|(_, exits)| exits.won + exits.lost > 0 || exits.moved.keys().any(|to| live.contains(to)))
                .map(|(stage, _)| stage.clone())
                .collect();
            if found.is_empty() {
                return live;
            }
            live.extend(found);
        }
    }
}

/// One step of the funnel.
#[derive(Debug, Clone, PartialEq)]
pub struct FunnelStep<S> {
    /// The stage.
    pub stage: S,
    /// Deals that ever stood in it or in a later one; a skipped stage counts as reached, a win as reaching all.
    pub reached: u64,
    /// The share of these that reached the next stage (after the last stage: were won); `None` when nobody came.
    pub conversion: Option<f64>,
}

/// How many deals got how far. `order` names the open stages from first to last; stages not named are ignored.
#[must_use]
pub fn funnel<S: Ord + Clone>(order: &[S], paths: &[Path<S>]) -> Vec<FunnelStep<S>> {
    let position: BTreeMap<&S, usize> = order.iter().enumerate().map(|(i, stage)| (stage, i)).collect();
    let mut furthest = vec![0_u64; order.len() + 1];
    for path in paths {
        let stood = path.stages.iter().filter_map(|stage| position.get(stage).copied());
        let won = (path.ending == Ending::Won).then_some(order.len());
        if let Some(furthest_of_path) = stood.chain(won).max() {
            furthest[furthest_of_path] += 1;
        }
    }
    let reached: Vec<u64> = (0..furthest.len()).map(|i| furthest[i..].iter().sum()).collect();
    let steps = order.iter().zip(reached.windows(2));
    steps
        .map(|(stage, pair)| FunnelStep {
            stage: stage.clone(),
            reached: pair[0],
            conversion: (pair[0] > 0).then(|| pair[1] as f64 / pair[0] as f64),
        })
        .collect()
}

/// Gauss-Jordan elimination with partial pivoting of rows that end with their right-hand side. Live stages leak to a win
/// or a loss, so that no pivot is zero.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
    let n = rows.len();
    for column in 0..n {
        let best = (column..n).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()));
        rows.swap(column, best.unwrap_or(column));
        let pivot = rows[column][column];
        rows[column].iter_mut().for_each(|cell| *cell /= pivot);
        let reduced = rows[column].clone();
        for (_, row) in rows.iter_mut().enumerate().filter(|(i, _)| *i != column) {
            let factor = row[column];
            row.iter_mut().zip(&reduced).for_each(|(cell, above)| *cell -= factor * above);
        }
    }
    rows.iter().filter_map(|row| row.last().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A path written as a word: the stages' letters, then W or L unless the deal is open.
    fn path(word: &str) -> Path<char> {
        let ending = match word.chars().last() {
            Some('W') => Ending::Won,
            Some('L') => Ending::Lost,
            _ => Ending::Open,
        };
        Path { stages: word.chars().filter(|c| !"WL".contains(*c)).collect(), ending }
    }

    fn exits(moved: &[(char, u64)], won: u64, lost: u64) -> Exits<char> {
        Exits { moved: moved.iter().copied().collect(), won, lost, open: 0 }
    }

    fn assert_wins(wins: &ChainWins<char>, expected: &[(char, f64)]) {
        assert_eq!(wins.probabilities.len(), expected.len());
        for (stage, probability) in expected {
            assert!((wins.probabilities[stage] - probability).abs() < 1e-12, "{stage}: {wins:?}");
        }
    }

    #[test]
    fn paths_are_counted_and_chained() {
        let paths = ["QDPW", "QDL", "QPW", "QL", "QDQDPL", "QD", "Q", "DPW"].map(path);
        let transitions = Transitions::count(&paths);
        let counts = transitions.by_stage();
        assert_eq!(counts[&'Q'], Exits { open: 1, ..exits(&[('D', 5), ('P', 1)], 0, 1) });
        assert_eq!(counts[&'D'], Exits { open: 1, ..exits(&[('P', 3), ('Q', 1)], 0, 1) });
        assert_eq!(counts[&'P'], exits(&[], 3, 1));
        assert_eq!(counts[&'Q'].share_moved(&'D'), Some(5.0 / 7.0));
        assert_wins(&transitions.chain_wins(), &[('Q', 0.5), ('D', 0.55), ('P', 0.75)]);

        let funnel = funnel(&['Q', 'D', 'P'], &paths);
        assert_eq!(funnel.iter().map(|step| step.reached).collect::<Vec<_>>(), [8, 6, 4]);
        assert_eq!(funnel.last().and_then(|step| step.conversion), Some(0.75));
    }

    #[test]
    fn a_chain_with_ways_back_matches_the_reference() {
        let transitions = Transitions(BTreeMap::from([
            ('Q', exits(&[('D', 60), ('P', 10)], 0, 30)),
            ('D', exits(&[('P', 40), ('Q', 5)], 5, 20)),
            ('P', exits(&[('D', 10)], 30, 15)),
        ]));
        let expected = [('Q', 55.0 / 164.0), ('D', 149.0 / 328.0), ('P', 103.0 / 164.0)];
        assert_wins(&transitions.chain_wins(), &expected);
    }

    #[test]
    fn stages_that_lead_nowhere_are_reported() {
        let wins = Transitions::count(&["QABABA", "QW", "QL", "X"].map(path)).chain_wins();
        assert_wins(&wins, &[('Q', 0.5)]);
        assert_eq!(wins.dead_ends, ['A', 'B', 'X']);
    }

    proptest! {
        #[test]
        fn implied_wins_are_probabilities_and_funnels_narrow(words in prop::collection::vec("[ABCD]{1,6}[WLO]", 1..40)) {
            let paths: Vec<Path<char>> = words.iter().map(|word| path(word.trim_end_matches('O'))).collect();
            let wins = Transitions::count(&paths).chain_wins();
            for (stage, probability) in &wins.probabilities {
                prop_assert!((-1e-9..=1.0 + 1e-9).contains(probability), "{} {}", stage, probability);
            }
            let funnel = funnel(&['A', 'B', 'C', 'D'], &paths);
            prop_assert!(funnel.windows(2).all(|pair| pair[0].reached >= pair[1].reached));
        }
    }
}
