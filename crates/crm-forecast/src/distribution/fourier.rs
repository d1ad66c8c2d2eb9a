//! Sums of many deals by their characteristic function.
//!
//! The function of a sum is the product of its deals' functions, and for many deals it is next to nothing at almost
//! every frequency and for almost every node: a bound tells which matter. What remains is summed up as logarithms, see
//! [`super::logarithms`].

use rustfft::{FftPlanner, num_complex::Complex};
use std::{cell::OnceCell, f64::consts::TAU};

use super::logarithms::{Circle, Cumulants, Harmonics, Lump};
use super::{Cell, Node};

/// A frequency, or a node at a frequency, that cannot reach this is left out.
const NEGLIGIBLE: f64 = 1e-16;

/// Rows of the table that bounds a cell's function.
const BOUND_ROWS: usize = 512;

/// The probabilities of the sums 0, 1, 2, ... steps; all values together are fewer than `size` steps, a power of two.
pub(super) fn sum(cells: &[Cell], step: u64, size: usize) -> Vec<f64> {
    let waves: Vec<Wave> = cells.iter().map(|cell| Wave::new(cell, step, size)).collect();
    let circle = Circle::new(size);
    let mut spectrum = vec![Complex::default(); size];
    spectrum[0] = Complex::from(1.0);
    for frequency in 1..=size / 2 {
        if waves.iter().map(|wave| wave.bound.at(wave.spread[frequency])).product::<f64>() < NEGLIGIBLE {
            continue;
        }
        let value: Complex<f64> = waves.iter().map(|wave| wave.value(frequency, &circle)).product();
        spectrum[size - frequency] = value.conj();
        spectrum[frequency] = value;
    }
    FftPlanner::new().plan_fft_forward(size).process(&mut spectrum);
    spectrum.into_iter().map(|value| (value.re / size as f64).max(0.0)).collect()
}

/// Deals of one cell with the same number of steps and the same chance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Piece {
    pub(super) steps: usize,
    pub(super) own: Option<f64>,
    pub(super) count: u32,
}

/// A cell prepared for its characteristic function.
struct Wave {
    nodes: Vec<PreparedNode>,
    /// Ascending by steps.
    pieces: Vec<Piece>,
    /// For each level b, how many pieces have at most 2^b steps.
    small: Vec<usize>,
    /// For each frequency, the sum over the deals of e^(i k w), each with its own variance where it has one.
    heights: Vec<Complex<f64>>,
    /// For each frequency, the sum over the deals of 1 - cos(k w), weighted in the same way.
    spread: Vec<f64>,
    bound: Bound,
    /// Do deals have their own chance?
    has_own: bool,
}

struct PreparedNode {
    node: Node,
    /// What the spread is multiplied by in the bound: 1 where the deals' own variances are in it already.
    variance: f64,
    /// The spread times variance beyond which the node is negligible.
    reach: f64,
    cumulants: Cumulants,
    /// Terms of the harmonics.
    terms: usize,
    /// Made when they are needed: most nodes matter at low frequencies alone.
    harmonics: OnceCell<Harmonics>,
}

/// Nodes that are multiplied out beside each other.
const LANES: usize = 8;

/// Chances, and the product of the deals' functions for each, its parts apart.
struct Lanes {
    used: usize,
    chances: [f64; LANES],
    weights: [f64; LANES],
    re: [f64; LANES],
    im: [f64; LANES],
}

impl Lanes {
    const EMPTY: Self =
        Self { used: 0, chances: [0.0; LANES], weights: [0.0; LANES], re: [0.0; LANES], im: [0.0; LANES] };

    fn push(&mut self, node: &Node, small: Complex<f64>) {
        let at = self.used;
        (self.chances[at], self.weights[at], self.re[at], self.im[at]) =
            (node.probability, node.weight, small.re, small.im);
        self.used += 1;
    }

    /// The weighted sum over the lanes, each multiplied by the pieces' functions; the lanes are empty then.
    fn finish(&mut self, pieces: &[Piece], frequency: usize, circle: &Circle) -> Complex<f64> {
        let (chances, mut re, mut im) = (self.chances, self.re, self.im);
        for piece in pieces {
            let turn = circle.at(piece.steps * frequency) - 1.0;
            let mut factors = [Complex::default(); LANES];
            for (factor, chance) in factors.iter_mut().zip(&chances) {
                *factor = turn * chance + 1.0;
            }
            if piece.count > 1 {
                factors = factors.map(|factor| factor.powu(piece.count));
            }
            for (factor, (re, im)) in factors.iter().zip(re.iter_mut().zip(&mut im)) {
                (*re, *im) = (*re * factor.re - *im * factor.im, *re * factor.im + *im * factor.re);
            }
        }
        (self.re, self.im) = (re, im);
        let weighed = |lane: usize| Complex::new(self.re[lane], self.im[lane]) * self.weights[lane];
        let sum = (0..LANES).map(weighed).sum();
        *self = Self::EMPTY;
        sum
    }
}

impl Wave {
    fn new(cell: &Cell, step: u64, size: usize) -> Self {
        let pieces = pieces(cell, step);
        let small: Vec<usize> =
            (0..=size.ilog2()).map(|level| pieces.partition_point(|piece| piece.steps <= 1 << level)).collect();
        let has_own = pieces.iter().any(|piece| piece.own.is_some());
        let lumps: Vec<Lump> = pieces.iter().map(Lump::of).collect();
        let sums = Cumulants::sum(&lumps, &small);
        let count = pieces.iter().map(|piece| f64::from(piece.count)).sum();
        let prepared = |node: &Node| PreparedNode {
            node: *node,
            variance: if has_own { 1.0 } else { node.probability * (1.0 - node.probability) },
            reach: (node.weight / NEGLIGIBLE).ln(),
            cumulants: if has_own { sums.clone() } else { sums.at(node) },
            terms: Harmonics::terms(node, count),
            harmonics: OnceCell::new(),
        };
        let nodes: Vec<PreparedNode> = cell.nodes().iter().map(prepared).collect();
        let heights = heights(&pieces, size);
        let spread: Vec<f64> = heights.iter().map(|height| (heights[0].re - height.re).max(0.0)).collect();
        let bound = Bound::new(&nodes, heights[0].re);
        Self { nodes, pieces, small, heights, spread, bound, has_own }
    }

    fn value(&self, frequency: usize, circle: &Circle) -> Complex<f64> {
        let angle = TAU * frequency as f64 / circle.size() as f64;
        let level = angle.recip().log2().floor();
        let level = (level >= 0.0).then_some(level as usize);
        let large = &self.pieces[level.map_or(0, |level| self.small[level])..];
        let spread = self.spread[frequency];
        let (mut sum, mut lanes) = (Complex::default(), Lanes::EMPTY);
        for one in self.nodes.iter().filter(|one| one.variance * spread <= one.reach) {
            if !self.has_own && Harmonics::beat(one.terms, large.len()) {
                let harmonics = one.harmonics.get_or_init(|| Harmonics::new(&one.node, &self.pieces));
                sum += harmonics.value(frequency, &self.heights, circle) * one.node.weight;
                continue;
            }
            let small = level.map_or(Complex::from(1.0), |level| circle.exp(one.cumulants.logarithm(level, angle)));
            if self.has_own {
                let factor = |piece: &Piece| {
                    let turn = circle.at(piece.steps * frequency) - 1.0;
                    (turn * piece.own.unwrap_or(one.node.probability) + 1.0).powu(piece.count)
                };
                sum += large.iter().map(factor).fold(small, |product, factor| product * factor) * one.node.weight;
                continue;
            }
            lanes.push(&one.node, small);
            if lanes.used == LANES {
                sum += lanes.finish(large, frequency, circle);
            }
        }
        if lanes.used > 0 {
            sum += lanes.finish(large, frequency, circle);
        }
        sum
    }
}

/// Rounds the values to steps, smallest first, carrying what is rounded away to the next, so that the sum stays.
pub(super) fn pieces(cell: &Cell, step: u64) -> Vec<Piece> {
    let (width, mut carried) = (i128::from(step), 0_i128);
    let mut rounded: Vec<Piece> = cell
        .stakes
        .iter()
        .flat_map(|stake| std::iter::repeat_n(stake, stake.deals as usize))
        .map(|deal| {
            let wanted = i128::from(deal.value) + carried;
            let steps = (2 * wanted + width).div_euclid(2 * width).max(0);
            carried = wanted - steps * width;
            Piece { steps: steps as usize, own: deal.own, count: 1 }
        })
        .filter(|piece| piece.steps > 0)
        .collect();
    rounded.sort_by(|a, b| a.steps.cmp(&b.steps).then(a.own.unwrap_or(0.0).total_cmp(&b.own.unwrap_or(0.0))));
    rounded.dedup_by(|next, kept| {
        let same = (next.steps, next.own) == (kept.steps, kept.own);
        kept.count += if same { next.count } else { 0 };
        same
    });
    rounded
}

fn heights(pieces: &[Piece], size: usize) -> Vec<Complex<f64>> {
    let mut heights = vec![Complex::default(); size];
    for piece in pieces {
        heights[piece.steps] += f64::from(piece.count) * piece.own.map_or(1.0, |p| p * (1.0 - p));
    }
    FftPlanner::new().plan_fft_inverse(size).process(&mut heights);
    heights
}

/// |1 - q + q e^(i x)| <= exp(-q (1 - q) (1 - cos x)), so that a cell's function is bounded by its spread alone.
/// The table holds the bound at the lower end of equal rows of the spread; it falls as the spread grows.
struct Bound {
    rows: Vec<f64>,
    width: f64,
}

impl Bound {
    /// `height` is half of the largest spread.
    fn new(nodes: &[PreparedNode], height: f64) -> Self {
        let width = (2.0 * height / BOUND_ROWS as f64).max(f64::MIN_POSITIVE);
        let row = |row: usize| {
            nodes.iter().map(|one| one.node.weight * (-one.variance * row as f64 * width).exp()).sum::<f64>()
        };
        Self { rows: (0..=BOUND_ROWS).map(row).collect(), width }
    }

    fn at(&self, spread: f64) -> f64 {
        self.rows[((spread / self.width) as usize).min(BOUND_ROWS)]
    }
}
