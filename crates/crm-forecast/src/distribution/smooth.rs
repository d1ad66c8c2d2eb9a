//! Sums of many deals, whose characteristic function is next to nothing at all but the lowest frequencies.
//!
//! Where it is so up to the frequency at which a step is half a turn, the distribution is smooth and values need not be
//! rounded to steps. Else they are, and the frequencies at which rounded values fall into step again are looked at too.
//!
//! Bounds make it quick without giving up exactness (q is a win probability, w a frequency, v a value):
//! - |1 - q + q e^(i w v)| <= exp(-q (1 - q) (1 - cos w v)). A belief Beta(a, b) is less spread out than
//!   Gamma(a) / (a + b), so that E e^(-t q) <= (1 + t / (a + b))^-a. Both together bound a cell's function by its deals'
//!   1 - cos w v, see [`bound`], and that is at least 2 (w v / pi)^2 for w v up to pi.
//! - As a function of q the deals' function is a polynomial, bounded in the complex plane around [0, 1]. That bounds the
//!   error of a Gauss quadrature with K nodes by its Bernstein ellipses (Trefethen 2013, theorem 19.3), see
//!   [`Reach::nodes`]: low frequencies need few nodes.
//! - A product whose first factors are negligible is negligible.

use rustfft::{FftPlanner, num_complex::Complex};
use std::collections::BTreeMap;
use std::f64::consts::TAU;

use super::fourier::pieces;
use super::logarithms::{Cumulants, Lump};
use super::quadrature::nodes;
use super::{ALONE, Cell, Method, Node, Stake};
use crate::probability::Belief;

/// What a frequency adds to no cumulated probability: the function below this is taken as nothing.
const NEGLIGIBLE: f64 = 1e-14;

/// What a quadrature may be wrong by, as its logarithm: 1e-14.
const TOLERANCE: f64 = -32.3;

/// What a node can add to no sum of them.
const LOST: f64 = 1e-17;

/// The function has died down after as many negligible frequencies as there were before, and these.
const QUIET: usize = 16;

/// How far beyond, and how far apart, it is looked at whether that is so.
const LOOKS_UNTIL: usize = 2;
const LOOKS_PER_FREQUENCY: usize = 5;

/// How far deals have turned, by what they had where the function died down, to be taken as far away as there: somewhat
/// farther, since values are taken for whole steps.
const AS_FAR: f64 = 1.1;

/// Frequencies that are looked at, at most.
const MOST_FREQUENCIES: usize = 4_096;

/// The probabilities of 0, 1, 2, ... steps and how they were computed, if few frequencies matter; all values together are
/// fewer than `size` steps, a power of two. Where values are not rounded, the probability of k steps is that of a sum
/// which is nearer to k steps than to any other number of them.
pub(super) fn sum(cells: &[Cell], step: u64, size: usize) -> Option<(Method, Vec<f64>)> {
    let waves = |lumps: &dyn Fn(&Cell) -> Vec<Lump>| -> Vec<Wave> {
        let mut waves: Vec<Wave> = cells.iter().map(|cell| Wave::new(cell, lumps(cell), size)).collect();
        waves.sort_unstable_by(|a, b| b.doubt().total_cmp(&a.doubt()));
        waves
    };
    let mut unrounded = waves(&|cell| cell.stakes.iter().map(|stake| stake.lump(step)).collect());
    if let Some(last) = last_frequency(&unrounded, size) {
        let turned = Turned::of(&unrounded, size, Lump::variance);
        return Some((Method::Smooth, spectrum(&mut unrounded, (1..=last).collect(), &turned)));
    }
    let mut rounded = waves(&|cell| pieces(cell, step).iter().map(Lump::of).collect());
    let frequencies = frequencies_that_matter(&rounded, size);
    (frequencies.len() <= MOST_FREQUENCIES).then(|| {
        let turned = Turned::of(&rounded, size, Lump::variance);
        (Method::Fourier, spectrum(&mut rounded, frequencies, &turned))
    })
}

/// The last frequency that is not proved to be negligible; none where even the highest may count.
fn last_frequency(waves: &[Wave], size: usize) -> Option<usize> {
    let is_nothing = |level: &usize| waves.iter().map(|wave| wave.levels[*level].bound).product::<f64>() < NEGLIGIBLE;
    let nothing = (0..size.ilog2() as usize).take_while(is_nothing).count();
    (nothing > 0).then(|| (size / 2) >> nothing)
}

/// The frequencies that are not proved to be negligible, of whole numbers of steps. The logarithm of a cell's bound is
/// convex, so that it lies below its chord, which adds up deal by deal: one transform tells of all frequencies.
fn frequencies_that_matter(waves: &[Wave], size: usize) -> Vec<usize> {
    let chords: Vec<Option<f64>> = waves
        .iter()
        .map(|wave| {
            let most = 2.0 * wave.lumps.iter().map(|lump| lump.count).sum::<f64>();
            wave.belief.map(|belief| -bound(most, Some(belief)).ln() / most)
        })
        .collect();
    let turned =
        Turned::weighted(waves.iter().zip(chords), size, |chord, lump| chord.unwrap_or_else(|| lump.variance()));
    (1..=size / 2).filter(|frequency| turned.at(*frequency) < -NEGLIGIBLE.ln()).collect()
}

/// For each frequency, how far all deals have turned: the sum of their 1 - cos, weighted, each value taken for the next whole
/// number of steps. One transform tells of all frequencies.
struct Turned(Vec<Complex<f64>>);

impl Turned {
    fn of(waves: &[Wave], size: usize, weight: impl Fn(&Lump) -> f64) -> Self {
        Self::weighted(waves.iter().zip(std::iter::repeat(())), size, |(), lump| weight(lump))
    }

    fn weighted<'w, T: Copy>(
        waves: impl Iterator<Item = (&'w Wave, T)>,
        size: usize,
        weight: impl Fn(T, &Lump) -> f64,
    ) -> Self {
        let mut heights = vec![Complex::default(); size];
        for (wave, told) in waves {
            for lump in &wave.lumps {
                heights[lump.steps.round() as usize & (size - 1)] += lump.count * weight(told, lump);
            }
        }
        FftPlanner::new().plan_fft_forward(size).process(&mut heights);
        Self(heights)
    }

    fn size(&self) -> usize {
        self.0.len()
    }

    fn at(&self, frequency: usize) -> f64 {
        self.0[0].re - self.0[frequency].re
    }
}

/// The distribution by the function at these frequencies, ascending; at the others it is nothing.
fn spectrum(waves: &mut [Wave], frequencies: Vec<usize>, turned: &Turned) -> Vec<f64> {
    let size = turned.size();
    let mut spectrum = vec![Complex::default(); size];
    spectrum[0] = Complex::from(1.0);
    let (mut loud, mut died_at, mut quiet) = (0, None, None);
    let mut before = 0;
    for frequency in frequencies {
        // Only the frequencies next to each other: those beyond a gap are there for a reason of their own. So are those at which
        // the deals come back to where they were, as those do of which the values differ by a multiple of some number.
        quiet = quiet.filter(|_| frequency == before + 1);
        before = frequency;
        if quiet.is_some_and(|died| turned.at(frequency) >= AS_FAR * turned.at(died)) {
            continue;
        }
        let value = product(waves, TAU * frequency as f64 / size as f64);
        if value.norm() > NEGLIGIBLE {
            loud = frequency;
            spectrum[frequency] = value;
            spectrum[size - frequency] = value.conj();
        } else if died_at.is_none() && frequency > 2 * loud + QUIET {
            died_at = Some(frequency);
            if has_died_down(waves, frequency, size) {
                quiet = Some(frequency);
            }
        }
    }
    FftPlanner::new().plan_fft_forward(size).process(&mut spectrum);
    spectrum.into_iter().map(|value| (value.re / size as f64).max(0.0)).collect()
}

/// True where the function stays negligible. What the shared doubt and the single deals blur is not seen sharp again as
/// long as all deals turn ever further; a look here and there is for the numbers' own noise.
fn has_died_down(waves: &mut [Wave], from: usize, size: usize) -> bool {
    let until = (LOOKS_UNTIL * from).min(size / 2);
    let mut frequency = from;
    while frequency < until {
        frequency += frequency / LOOKS_PER_FREQUENCY + 1;
        if product(waves, TAU * frequency as f64 / size as f64).norm() > NEGLIGIBLE {
            return false;
        }
    }
    true
}

fn product(waves: &mut [Wave], angle: f64) -> Complex<f64> {
    let mut product = Complex::from(1.0);
    for wave in waves {
        product *= wave.value(angle);
        if product.norm() < NEGLIGIBLE {
            return Complex::default();
        }
    }
    product
}

/// A cell prepared for its characteristic function.
struct Wave {
    belief: Option<Belief>,
    /// Nodes beyond which a quadrature is exact.
    enough: usize,
    /// Ascending by steps.
    lumps: Vec<Lump>,
    levels: Vec<Level>,
    sums: Cumulants,
    /// The sum of all values, in steps.
    total: f64,
    /// Nodes by their number, made when they are needed.
    points: BTreeMap<usize, Vec<Point>>,
}

/// The deals of up to 2^b steps.
struct Level {
    /// How many lumps they are.
    lumps: usize,
    /// The sum of their squared values, in steps.
    squares: f64,
    /// What the cell's function cannot exceed for angles between pi / 2^(b + 1) and pi / 2^b to a step.
    bound: f64,
}

struct Point {
    node: Node,
    cumulants: Cumulants,
}

impl Stake {
    fn lump(&self, step: u64) -> Lump {
        Lump { steps: self.value as f64 / step as f64, own: self.own, count: f64::from(self.deals) }
    }
}

impl Lump {
    /// What a deal's 1 - cos is weighted by: its own variance, where the nodes do not know it.
    fn variance(&self) -> f64 {
        self.own.map_or(1.0, |own| own * (1.0 - own))
    }
}

impl Wave {
    /// `lumps` are the cell's deals.
    fn new(cell: &Cell, lumps: Vec<Lump>, size: usize) -> Self {
        let small: Vec<usize> = (0..=size.ilog2())
            .map(|level| lumps.partition_point(|lump| lump.steps <= f64::from(1_u32 << level)))
            .collect();
        let sums = Cumulants::sum(&lumps, &small);
        Self {
            belief: cell.belief,
            enough: cell.deals / 2 + 1,
            levels: Level::all(&lumps, &small, cell.belief),
            total: lumps.iter().map(|lump| lump.count * lump.steps).sum(),
            lumps,
            sums,
            points: BTreeMap::new(),
        }
    }

    /// How far the shared doubt alone moves the sum.
    fn doubt(&self) -> f64 {
        self.total * self.belief.map_or(0.0, |belief| belief.variance().sqrt())
    }

    /// The function at an angle to a step.
    fn value(&mut self, angle: f64) -> Complex<f64> {
        let level = angle.recip().log2().floor();
        let level = (level >= 0.0).then_some((level as usize).min(self.levels.len() - 1));
        let large: Vec<(Complex<f64>, Lump)> = self.lumps[level.map_or(0, |level| self.levels[level].lumps)..]
            .iter()
            .map(|lump| (Complex::cis(lump.steps * angle) - 1.0, *lump))
            .collect();
        let Some(belief) = self.belief else {
            return value(&ALONE, &self.sums, level, &large, angle);
        };
        let wanted = rung(self.reach(level, &large, angle).nodes()).min(self.enough);
        let sums = &self.sums;
        let points = self.points.entry(wanted).or_insert_with(|| points(belief, wanted, sums));
        let part = |point: &Point| value(&point.node, &point.cumulants, level, &large, angle);
        points.iter().map(part).sum()
    }

    fn reach(&self, level: Option<usize>, large: &[(Complex<f64>, Lump)], angle: f64) -> Reach {
        // 1 - cos t lies between t^2 / 2 - t^4 / 24 and t^2 / 2; small deals turn by no more than 1.
        let small = level.map_or(0.0, |level| 0.5 * angle * angle * self.levels[level].squares);
        let exact: f64 = large.iter().map(|(turn, lump)| -turn.re * lump.count).sum();
        Reach { sine: angle * self.total, least: small * (11.0 / 12.0) + exact, most: small + exact }
    }
}

impl Level {
    fn all(lumps: &[Lump], small: &[usize], belief: Option<Belief>) -> Vec<Self> {
        let (mut squares, mut spread, mut from) = (0.0, 0.0, 0);
        let level = |(level, until): (usize, &usize)| {
            for lump in &lumps[from..*until] {
                let square = lump.count * lump.steps * lump.steps;
                squares += square;
                spread += square * lump.variance();
            }
            from = *until;
            // The smallest 1 - cos of all these together, by the chord of the cosine at the lower end of the angles.
            let spread = 0.5 * spread / f64::from(1_u32 << level).powi(2);
            Self { lumps: *until, squares, bound: bound(spread, belief) }
        };
        small.iter().enumerate().map(level).collect()
    }
}

/// The most that a cell's function can be whose deals have 1 - cos, weighted by their own variance, of at least `spread`.
fn bound(spread: f64, belief: Option<Belief>) -> f64 {
    let Some(belief) = belief else { return (-spread).exp() };
    // q (1 - q) is at least half of the smaller of both.
    let part = |shape: f64| (-shape * (0.5 * spread / belief.weight()).ln_1p()).exp();
    (part(belief.won) + part(belief.lost)).min(1.0)
}

/// Some more nodes than needed, so that few numbers of them occur: powers of two and the middles between.
fn rung(count: usize) -> usize {
    let power = count.max(4).next_power_of_two();
    if count <= power / 4 * 3 { power / 4 * 3 } else { power }
}

fn points(belief: Belief, count: usize, sums: &Cumulants) -> Vec<Point> {
    nodes(belief, count).into_iter().map(|node| Point { node, cumulants: sums.at(&node) }).collect()
}

/// The function of a cell's deals once the node is chosen, times the node's weight.
fn value(
    node: &Node,
    cumulants: &Cumulants,
    level: Option<usize>,
    large: &[(Complex<f64>, Lump)],
    angle: f64,
) -> Complex<f64> {
    let mut logarithm = level.map_or(Complex::default(), |level| cumulants.logarithm(level, angle));
    logarithm.re += node.weight.ln();
    // Sine and cosine cost more than all else: not for what is lost in the sum.
    if logarithm.re < LOST.ln() {
        return Complex::default();
    }
    let mut product = logarithm.exp();
    for (turn, lump) in large {
        product *= (turn * lump.own.unwrap_or(node.probability) + 1.0).powu(lump.count as u32);
        if product.norm_sqr() < LOST * LOST {
            return Complex::default();
        }
    }
    product
}

/// What bounds the deals' function of a complex q: |f(x + i y)| <= exp(|y| sine + (y^2 - x (1 - x)) spread), where `sine`
/// is at least the absolute sum of sin w v, and the spread, the sum of 1 - cos w v, lies between `least` and `most`.
struct Reach {
    sine: f64,
    least: f64,
    most: f64,
}

impl Reach {
    /// The nodes that keep the error of the quadrature below the tolerance. On the ellipse whose half axes add up to
    /// rho / 2 the function stays below M, and K nodes are wrong by 4 M rho^(1 - 2 K) / (rho - 1) at most.
    fn nodes(&self) -> usize {
        let wanted = |rho: f64| {
            let height = 0.25 * (rho - rho.recip());
            let sway = (2.0 * height * self.sine / self.least).min(1.0);
            let sway = if sway.is_nan() { 1.0 } else { sway };
            let logarithm = height * self.sine * sway - 0.25 * self.least * sway * sway + self.most * height * height;
            0.5 * (1.0 + (4_f64.ln() + logarithm - (rho - 1.0).ln() - TOLERANCE) / rho.ln())
        };
        let ellipses = (0..24).map(|power| 1.0 + 0.02 * 1.4_f64.powi(power));
        ellipses.map(wanted).fold(f64::INFINITY, f64::min).ceil().max(1.0) as usize
    }
}
