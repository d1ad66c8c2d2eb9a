//! The distribution of the total value that will be won: not only how much to expect, but how sure to be.
//!
//! Each deal is won whole or not at all. Deals of a stage share a win probability that is itself only known as a
//! [`Belief`]; that shared doubt is what makes an interval honest, because it does not average out over many deals.
//! Small portfolios are summed step by step, large ones by their characteristic function; both give the whole
//! distribution, and no normal curve is assumed (Hong 2013; Biscarri et al. 2018).
//!
//! P10 is the value that is *not exceeded* with probability 0.10. (In oil it is the other way round.)

mod exact;
mod fourier;
mod logarithms;
mod quadrature;

use crate::probability::Belief;
use quadrature::{Node, nodes};

/// Steps into which the sum of all values is divided at most.
const STEPS: u64 = 65_536;

/// Nodes that replace a belief unless more deals ask for more: exact for 63 deals.
const NODES: usize = 32;

/// Elementary additions up to which summing step by step is quick enough.
const EXACT_WORK: f64 = 5e7;

/// Rounding that a cumulated probability may carry when it is compared with a level.
const LEVEL_SLACK: f64 = 1e-12;

/// What is known of the chance of some deals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Chance {
    /// Each deal is won with this probability, independently: a person set it.
    Known(f64),
    /// The deals share a win probability of which this is believed: they stand in one stage.
    Shared(Belief),
}

/// Deals with one chance.
#[derive(Debug, Clone, PartialEq)]
pub struct Portion {
    /// The chance.
    pub chance: Chance,
    /// The deals' values in whole minor units of one currency.
    pub values: Vec<u64>,
}

/// How a distribution was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Deal by deal on the grid. Values that fall between two steps are split over both so that the mean stays.
    Exact,
    /// By the characteristic function. Values are rounded to steps, the rest carried to the next larger deal.
    Fourier,
}

/// The distribution of the value that will be won.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    step: u64,
    total: u128,
    probabilities: Vec<f64>,
    mean: f64,
    deviation: f64,
    method: Method,
}

impl Distribution {
    /// The distribution of the sum over independent portions.
    #[must_use]
    pub fn of(portions: &[Portion]) -> Self {
        let values = || portions.iter().flat_map(|portion| portion.values.iter().copied());
        let total: u128 = values().map(u128::from).sum();
        let divisor = values().fold(0, gcd).max(1);
        let cells = cells(portions);
        let support = (total / u128::from(step(total, divisor, STEPS))) as f64;
        let is_small = cells.iter().map(|cell| cell.work(support)).sum::<f64>() <= EXACT_WORK;
        let (mean, variance) = moments(portions);
        let (method, step) = if is_small {
            (Method::Exact, step(total, divisor, STEPS))
        } else {
            (Method::Fourier, step(total, divisor, STEPS - 1))
        };
        let probabilities = match method {
            Method::Exact => exact::sum(&cells, step),
            Method::Fourier => fourier::sum(&cells, step, STEPS as usize),
        };
        Self { step, total, probabilities, mean, deviation: variance.sqrt(), method }
    }

    /// The smallest value that is not exceeded with probability `level`, in minor units; never more than all deals
    /// together.
    #[must_use]
    pub fn quantile(&self, level: f64) -> u64 {
        let mut below = 0.0;
        let reached = self.probabilities.iter().position(|probability| {
            below += probability;
            below >= level - LEVEL_SLACK
        });
        let value = self.value_at(reached.unwrap_or(self.probabilities.len() - 1));
        value.min(u64::try_from(self.total).unwrap_or(u64::MAX))
    }

    /// The probability of winning `value` minor units or more.
    #[must_use]
    pub fn at_least(&self, value: u64) -> f64 {
        let first = usize::try_from(value.div_ceil(self.step)).unwrap_or(usize::MAX);
        self.probabilities.iter().skip(first).sum()
    }

    /// Every value that can be won and its probability, ascending. Values are multiples of [`Self::step`]; the last may
    /// lie less than a step above all deals together, where these fall between two steps.
    pub fn iter(&self) -> impl Iterator<Item = (u64, f64)> + '_ {
        let possible = self.probabilities.iter().enumerate().filter(|(_, probability)| **probability > 0.0);
        possible.map(|(at, probability)| (self.value_at(at), *probability))
    }

    /// The width of a step in minor units.
    #[must_use]
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The expected value in minor units, not rounded to steps.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// The standard deviation in minor units, not rounded to steps.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        self.deviation
    }

    /// How the distribution was computed.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    fn value_at(&self, at: usize) -> u64 {
        (at as u64).saturating_mul(self.step)
    }
}

/// Deals that are independent of each other once a node is chosen.
#[derive(Debug, Clone)]
struct Cell {
    /// Possible win probabilities; one without meaning where the deals have their own.
    nodes: Vec<Node>,
    deals: Vec<Stake>,
}

/// A deal's value, ascending within its cell, and its own win probability where it does not share the node's.
#[derive(Debug, Clone, Copy)]
struct Stake {
    value: u64,
    own: Option<f64>,
}

impl Stake {
    fn probability(&self, node: &Node) -> f64 {
        self.own.unwrap_or(node.probability)
    }
}

impl Cell {
    fn new(nodes: Vec<Node>, mut deals: Vec<Stake>) -> Self {
        deals.sort_by_key(|deal| deal.value);
        Self { nodes, deals }
    }

    /// Additions that summing the cell step by step takes when all cells together span `support` steps.
    fn work(&self, support: f64) -> f64 {
        0.5 * support * (self.nodes.len() * self.deals.len()) as f64
    }
}

/// One cell of all deals with a known chance, and one for each belief.
fn cells(portions: &[Portion]) -> Vec<Cell> {
    let (mut known, mut cells) = (Vec::new(), Vec::new());
    for portion in portions {
        let values = portion.values.iter().filter(|value| **value > 0);
        match settled(portion.chance) {
            Chance::Known(own) => {
                known.extend(values.map(|value| Stake { value: *value, own: Some(own.clamp(0.0, 1.0)) }))
            }
            Chance::Shared(belief) => {
                let deals: Vec<Stake> = values.map(|value| Stake { value: *value, own: None }).collect();
                cells.push(Cell::new(nodes(belief, node_count(deals.len(), belief)), deals));
            }
        }
    }
    cells.push(Cell::new(vec![Node { probability: 0.0, weight: 1.0 }], known));
    cells.retain(|cell| !cell.deals.is_empty());
    cells
}

/// A belief without doubt is a known chance.
fn settled(chance: Chance) -> Chance {
    match chance {
        Chance::Shared(belief) if belief.won <= 0.0 || belief.lost <= 0.0 => Chance::Known(belief.mean()),
        other => other,
    }
}

/// Up to 63 deals, their number alone decides and the result is exact. Beyond, the nodes stand as close as the share
/// won among the deals is wide, so that their peaks melt into each other: on the arcsine scale that width is
/// 1 / (2 sqrt n) and the nodes' distance pi / (2 K); a narrow belief needs fewer.
fn node_count(deals: usize, belief: Belief) -> usize {
    let n = deals as f64;
    let by_width = std::f64::consts::PI * n.sqrt();
    let by_belief = std::f64::consts::PI.powi(2) * n / belief.weight();
    let wanted = by_width.min(by_belief).ceil() as usize;
    (deals / 2 + 1).min(wanted.max(NODES))
}

/// Mean and variance of the total, in closed form.
fn moments(portions: &[Portion]) -> (f64, f64) {
    portions.iter().fold((0.0, 0.0), |(mean, variance), portion| {
        let sum: f64 = portion.values.iter().map(|value| *value as f64).sum();
        let squares: f64 = portion.values.iter().map(|value| (*value as f64).powi(2)).sum();
        let (p, doubt) = match settled(portion.chance) {
            Chance::Known(p) => (p.clamp(0.0, 1.0), 0.0),
            Chance::Shared(belief) => (belief.mean(), belief.variance()),
        };
        (mean + sum * p, variance + squares * (p * (1.0 - p) - doubt) + sum * sum * doubt)
    })
}

/// The smallest multiple of the values' common divisor of which at most `steps` make up the total.
fn step(total: u128, divisor: u64, steps: u64) -> u64 {
    let lots = (total / u128::from(divisor)).div_ceil(u128::from(steps)).max(1);
    divisor.saturating_mul(u64::try_from(lots).unwrap_or(u64::MAX))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
