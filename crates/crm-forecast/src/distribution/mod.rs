//! The distribution of the total value that will be won: not only how much to expect, but how sure to be.
//!
//! Each deal is won whole or not at all. Deals of a stage share a win probability that is itself only known as a
//! [`Belief`]; that shared doubt is what makes an interval honest, because it does not average out over many deals.
//! Small portfolios are summed step by step, large ones by their characteristic function; both give the whole
//! distribution, and no normal curve is assumed (Hong 2013; Biscarri et al. 2018). Nothing is sampled.
//!
//! P10 is the value that is *not exceeded* with probability 0.10. (In oil it is the other way round.)

mod exact;
mod fourier;
mod logarithms;
mod quadrature;
mod smooth;

use crate::probability::Belief;
use quadrature::{Node, nodes};

/// Steps into which the sum of all values is divided at most.
const STEPS: u64 = 65_536;

/// Stands for the belief where deals have chances of their own: its probability means nothing.
const ALONE: Node = Node { probability: 0.0, weight: 1.0 };

/// Nodes that replace a belief unless more deals ask for more: exact for 63 deals.
const NODES: usize = 32;

/// Elementary additions up to which summing step by step is the quickest.
const QUICK_WORK: f64 = 2e6;

/// Elementary additions up to which summing step by step is quick enough where the sum is not smooth.
const EXACT_WORK: f64 = 1.1e8;

/// Additions that take as long as a convolution does for each step.
const CONVOLVING: f64 = 90.0;

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
    /// The deals, those of the same value together.
    pub lots: Vec<Lot>,
}

impl Portion {
    /// Deals of these values, in whole minor units of one currency.
    #[must_use]
    pub fn new(chance: Chance, values: impl IntoIterator<Item = u64>) -> Self {
        Self { chance, lots: values.into_iter().map(|value| Lot { value, deals: 1 }).collect() }
    }
}

/// Deals of the same value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot {
    /// The value of each, in whole minor units of one currency.
    pub value: u64,
    /// How many they are.
    pub deals: u32,
}

/// How a distribution was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Deal by deal on the grid. Values that fall between two steps are split over both so that the mean stays.
    Exact,
    /// By the characteristic function of the values as they are: the distribution is smooth, it has no steps of its own as wide as these.
    Smooth,
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
        let lots = || portions.iter().flat_map(|portion| &portion.lots).filter(|lot| lot.deals > 0);
        let total: u128 = lots().map(|lot| u128::from(lot.value) * u128::from(lot.deals)).sum();
        let divisor = lots().map(|lot| lot.value).fold(0, gcd).max(1);
        let cells = cells(portions);
        let (fine, step) = (step(total, divisor, STEPS), step(total, divisor, STEPS - 1));
        let work = work(&cells, fine);
        let (mean, variance) = moments(portions);
        let smooth = if work > QUICK_WORK { smooth::sum(&cells, step, STEPS as usize) } else { None };
        let (method, step, probabilities) = match smooth {
            Some((method, probabilities)) => (method, step, probabilities),
            None if work > EXACT_WORK => (Method::Fourier, step, fourier::sum(&cells, step, STEPS as usize)),
            None => (Method::Exact, fine, exact::sum(&cells, fine)),
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

    /// All deals together in minor units: the most that can be won.
    #[must_use]
    pub fn total(&self) -> u128 {
        self.total
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

/// Deals that are independent of each other once a win probability is chosen.
#[derive(Debug, Clone)]
struct Cell {
    /// What is believed of the win probability; absent where the deals have their own.
    belief: Option<Belief>,
    /// How many deals these are.
    deals: usize,
    stakes: Vec<Stake>,
}

/// Deals of the same value, ascending within their cell, and their win probability where it is their own.
#[derive(Debug, Clone, Copy)]
struct Stake {
    value: u64,
    deals: u32,
    own: Option<f64>,
}

impl Stake {
    fn probability(&self, node: &Node) -> f64 {
        self.own.unwrap_or(node.probability)
    }
}

impl Cell {
    fn new(belief: Option<Belief>, mut stakes: Vec<Stake>) -> Self {
        let order =
            |a: &Stake, b: &Stake| a.value.cmp(&b.value).then(a.own.unwrap_or(0.0).total_cmp(&b.own.unwrap_or(0.0)));
        stakes.sort_unstable_by(order);
        Self { belief, deals: stakes.iter().map(|stake| stake.deals as usize).sum(), stakes }
    }

    /// Nodes that stand for the belief whatever is computed of the deals.
    fn nodes(&self) -> Vec<Node> {
        match self.belief {
            Some(belief) => nodes(belief, node_count(self.deals, belief)),
            None => vec![ALONE],
        }
    }

    /// The value of all its deals together, in steps.
    fn support(&self, step: u64) -> f64 {
        self.stakes.iter().map(|stake| f64::from(stake.deals) * (stake.value as f64 / step as f64)).sum()
    }
}

/// Additions that summing step by step takes: deal by deal and node by node within the cells, and then of the cells, which
/// are added up by twos.
fn work(cells: &[Cell], step: u64) -> f64 {
    let supports = || cells.iter().map(|cell| cell.support(step));
    let within = |(cell, support): (&Cell, f64)| {
        let nodes = cell.belief.map_or(1, |belief| node_count(cell.deals, belief));
        0.5 * support * nodes as f64 * cell.deals as f64
    };
    let between = CONVOLVING * supports().sum::<f64>() * (cells.len().max(1) as f64).log2();
    cells.iter().zip(supports()).map(within).sum::<f64>() + between
}

/// One cell of all deals with a known chance, and one for each belief.
fn cells(portions: &[Portion]) -> Vec<Cell> {
    let (mut known, mut cells) = (Vec::new(), Vec::new());
    for portion in portions {
        let lots = portion.lots.iter().filter(|lot| lot.value > 0 && lot.deals > 0);
        let stakes = |own| lots.map(move |lot| Stake { value: lot.value, deals: lot.deals, own });
        match settled(portion.chance) {
            Chance::Known(own) => known.extend(stakes(Some(own.clamp(0.0, 1.0)))),
            Chance::Shared(belief) => cells.push(Cell::new(Some(belief), stakes(None).collect())),
        }
    }
    cells.push(Cell::new(None, known));
    cells.retain(|cell| cell.deals > 0);
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
        let powers = |power| portion.lots.iter().map(move |lot| f64::from(lot.deals) * (lot.value as f64).powi(power));
        let (sum, squares) = (powers(1).sum::<f64>(), powers(2).sum::<f64>());
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
