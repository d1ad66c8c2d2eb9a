//! Sums of many deals by their characteristic function.
//!
//! The function of a sum is the product of its deals' functions, and for many deals it is next to nothing at almost
//! every frequency: a bound tells which frequencies matter. There, the deals that are small against the frequency enter
//! together through the series of their logarithm (their cumulants), the few large ones one by one.

use rustfft::{FftPlanner, num_complex::Complex};
use std::f64::consts::TAU;

use super::{Cell, Node};

/// A frequency that cannot reach this is left out.
const NEGLIGIBLE: f64 = 1e-16;

/// Terms of the logarithm's series. It converges like (k w / pi)^r, and is used for k w up to 1.
const TERMS: usize = 24;

/// Rows of the table that bounds a cell's function.
const BOUND_ROWS: usize = 512;

/// The probabilities of the sums 0, 1, 2, ... steps; all values together are fewer than `size` steps.
pub(super) fn sum(cells: &[Cell], step: u64, size: usize) -> Vec<f64> {
    let waves: Vec<Wave> = cells.iter().map(|cell| Wave::new(cell, step, size)).collect();
    let circle: Vec<Complex<f64>> = (0..size).map(|i| Complex::cis(TAU * i as f64 / size as f64)).collect();
    let mut spectrum = vec![Complex::default(); size];
    spectrum[0] = Complex::from(1.0);
    for frequency in 1..=size / 2 {
        if waves.iter().map(|wave| wave.bound(frequency)).product::<f64>() < NEGLIGIBLE {
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
struct Piece {
    steps: usize,
    own: Option<f64>,
    count: u32,
}

/// A cell prepared for its characteristic function.
struct Wave {
    nodes: Vec<Node>,
    /// Ascending by steps.
    pieces: Vec<Piece>,
    /// For each level b, how many pieces have at most 2^b steps.
    small: Vec<usize>,
    /// For each node and level, the series of the small pieces' logarithm in units of 2^b steps.
    series: Vec<Vec<[f64; TERMS]>>,
    /// For each frequency, how far the pieces' phases are spread.
    spread: Vec<f64>,
    bound: Bound,
}

impl Wave {
    fn new(cell: &Cell, step: u64, size: usize) -> Self {
        let pieces = pieces(cell, step);
        let levels = size.ilog2();
        let small =
            (0..=levels).map(|level| pieces.partition_point(|piece| piece.steps <= 1 << level)).collect::<Vec<_>>();
        let series = cell.nodes.iter().map(|node| series(node, &pieces, &small)).collect();
        let spread = spread(&pieces, size);
        let bound = Bound::new(cell, &pieces);
        Self { nodes: cell.nodes.clone(), pieces, small, series, spread, bound }
    }

    /// No less than the function's modulus.
    fn bound(&self, frequency: usize) -> f64 {
        self.bound.at(self.spread[frequency])
    }

    fn value(&self, frequency: usize, circle: &[Complex<f64>]) -> Complex<f64> {
        let angle = TAU * frequency as f64 / circle.len() as f64;
        let level = angle.recip().log2().floor();
        let level = (level >= 0.0).then_some(level as usize);
        let large = &self.pieces[level.map_or(0, |level| self.small[level])..];
        let turns: Vec<Complex<f64>> =
            large.iter().map(|piece| circle[piece.steps * frequency % circle.len()] - 1.0).collect();
        let parts = self.nodes.iter().zip(&self.series).map(|(node, series)| {
            let start =
                level.map_or(Complex::from(1.0), |level| powers(&series[level], angle * (1_u64 << level) as f64));
            let factors = large
                .iter()
                .zip(&turns)
                .map(|(piece, turn)| (turn * piece.own.unwrap_or(node.probability) + 1.0).powu(piece.count));
            factors.fold(start * node.weight, |product, factor| product * factor)
        });
        parts.sum()
    }
}

/// Rounds the values to steps, smallest first, carrying what is rounded away to the next, so that the sum stays.
fn pieces(cell: &Cell, step: u64) -> Vec<Piece> {
    let (width, mut carried) = (i128::from(step), 0_i128);
    let mut rounded: Vec<Piece> = cell
        .deals
        .iter()
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

/// For each level, the sum over its small pieces of the series of log(1 - q + q e^(i k w)).
fn series(node: &Node, pieces: &[Piece], small: &[usize]) -> Vec<[f64; TERMS]> {
    let shared = log_series(node.probability);
    let (mut sums, mut from) = ([0.0; TERMS], 0);
    let mut levels = Vec::with_capacity(small.len());
    for (level, &until) in small.iter().enumerate() {
        let unit = (1_u64 << level) as f64;
        sums.iter_mut().zip(1..).for_each(|(sum, r)| *sum *= if level > 0 { 0.5_f64.powi(r) } else { 1.0 });
        for piece in &pieces[from..until] {
            let own = piece.own.map(log_series);
            let (relative, mut power) = (piece.steps as f64 / unit, f64::from(piece.count));
            for (sum, term) in sums.iter_mut().zip(own.as_ref().unwrap_or(&shared)) {
                power *= relative;
                *sum += power * term;
            }
        }
        from = until;
        levels.push(sums);
    }
    levels
}

/// Coefficients of t, t^2, ... in log(1 + q (e^t - 1)).
fn log_series(q: f64) -> [f64; TERMS] {
    let mut raw = [0.0; TERMS];
    let mut coefficient = q;
    for (term, r) in raw.iter_mut().zip(1..) {
        coefficient /= f64::from(r);
        *term = coefficient;
    }
    let mut logarithm = [0.0; TERMS];
    for r in 1..=TERMS {
        let earlier: f64 = (1..r).map(|j| j as f64 * logarithm[j - 1] * raw[r - j - 1]).sum();
        logarithm[r - 1] = raw[r - 1] - earlier / r as f64;
    }
    logarithm
}

/// exp of the series at t = i angle.
fn powers(series: &[f64; TERMS], angle: f64) -> Complex<f64> {
    let square = -angle * angle;
    let (odd, even) = series
        .chunks_exact(2)
        .rev()
        .fold((0.0, 0.0), |(odd, even), pair| (odd * square + pair[0], even * square + pair[1]));
    Complex::new(even * square, odd * angle).exp()
}

/// Sum over the deals of 1 - cos(k w) for each frequency, each deal with its own variance where it has one.
fn spread(pieces: &[Piece], size: usize) -> Vec<f64> {
    let mut heights = vec![Complex::default(); size];
    for piece in pieces {
        heights[piece.steps] += piece_weight(piece);
    }
    FftPlanner::new().plan_fft_forward(size).process(&mut heights);
    let all = heights[0].re;
    heights.into_iter().map(|height| (all - height.re).max(0.0)).collect()
}

fn piece_weight(piece: &Piece) -> f64 {
    f64::from(piece.count) * piece.own.map_or(1.0, |p| p * (1.0 - p))
}

/// |1 - q + q e^(i x)| <= exp(-q (1 - q) (1 - cos x)), so that a cell's function is bounded by its spread alone.
/// The table holds the bound at the lower end of equal rows of the spread; it falls as the spread grows.
struct Bound {
    rows: Vec<f64>,
    width: f64,
}

impl Bound {
    fn new(cell: &Cell, pieces: &[Piece]) -> Self {
        let has_own = pieces.iter().any(|piece| piece.own.is_some());
        let width = (2.0 * pieces.iter().map(piece_weight).sum::<f64>() / BOUND_ROWS as f64).max(f64::MIN_POSITIVE);
        let variance = |node: &Node| if has_own { 1.0 } else { node.probability * (1.0 - node.probability) };
        let row =
            |row: usize| cell.nodes.iter().map(|node| node.weight * (-variance(node) * row as f64 * width).exp()).sum();
        Self { rows: (0..=BOUND_ROWS).map(row).collect(), width }
    }

    fn at(&self, spread: f64) -> f64 {
        self.rows[((spread / self.width) as usize).min(BOUND_ROWS)]
    }
}
