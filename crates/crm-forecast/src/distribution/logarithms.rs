//! Two series for the logarithm of many deals' characteristic function, log(1 - q + q e^(i k w)) summed over the deals:
//! the cumulants, for deals that are small against the frequency, and the harmonics, for chances that are not near one
//! half. Neither looks at the deals one by one.

use rustfft::num_complex::Complex;
use std::f64::consts::TAU;

use super::Node;
use super::fourier::Piece;

/// Terms of the cumulants' series. It converges like (k w / pi)^r, and is used for k w up to 1.
const TERMS: usize = 24;

/// Terms of the harmonics that take as long as one deal's factor.
const TERMS_PER_DEAL: usize = 4;

/// What the harmonics leave out at most.
const TOLERANCE: f64 = 1e-13;

/// Parts into which [`Circle::exp`] divides the circle; between them five terms of a series are exact.
const ARCS: usize = 1_024;

/// Points on the unit circle, as many as frequencies, and a quick exponential of complex numbers.
pub(super) struct Circle {
    points: Vec<Complex<f64>>,
    arcs: Vec<Complex<f64>>,
}

impl Circle {
    /// `size` is a power of two.
    pub(super) fn new(size: usize) -> Self {
        let points = |count: usize| (0..count).map(|i| Complex::cis(TAU * i as f64 / count as f64)).collect();
        Self { points: points(size), arcs: points(ARCS) }
    }

    pub(super) fn size(&self) -> usize {
        self.points.len()
    }

    /// e^(2 pi i k / size).
    pub(super) fn at(&self, k: usize) -> Complex<f64> {
        self.points[k & (self.points.len() - 1)]
    }

    /// e^z, to the precision that the imaginary part itself has.
    pub(super) fn exp(&self, z: Complex<f64>) -> Complex<f64> {
        let nearest = (z.im * (ARCS as f64 / TAU)).round();
        let rest = z.im - nearest * (TAU / ARCS as f64);
        let square = rest * rest;
        let turn =
            Complex::new(1.0 - square * (0.5 - square / 24.0), rest * (1.0 - square * (1.0 / 6.0 - square / 120.0)));
        self.arcs[(nearest as i64 & (ARCS as i64 - 1)) as usize] * turn * z.re.exp()
    }
}

/// Deals of the same number of steps, which need not be whole, and the same chance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lump {
    pub(super) steps: f64,
    pub(super) own: Option<f64>,
    pub(super) count: f64,
}

impl Lump {
    pub(super) fn of(piece: &Piece) -> Self {
        Self { steps: piece.steps as f64, own: piece.own, count: f64::from(piece.count) }
    }
}

/// The series in w, for the deals of up to 2^b steps, in units of 2^b steps, for each level b.
#[derive(Clone)]
pub(super) struct Cumulants(Vec<[f64; TERMS]>);

impl Cumulants {
    /// Sums over the lumps, ascending by steps; `small` says how many of them belong to each level. Lumps without a
    /// chance of their own enter with their powers alone, see [`Self::at`].
    pub(super) fn sum(lumps: &[Lump], small: &[usize]) -> Self {
        let (mut sums, mut from) = ([0.0; TERMS], 0);
        let (mut own, mut terms) = (None, [1.0; TERMS]);
        let mut levels = Vec::with_capacity(small.len());
        for (level, &until) in small.iter().enumerate() {
            let unit = (1_u64 << level) as f64;
            sums.iter_mut().zip(1..).for_each(|(sum, r)| *sum *= if level > 0 { 0.5_f64.powi(r) } else { 1.0 });
            for lump in &lumps[from..until] {
                if lump.own != own {
                    (own, terms) = (lump.own, lump.own.map_or([1.0; TERMS], log_series));
                }
                let (relative, mut power) = (lump.steps / unit, lump.count);
                for (sum, term) in sums.iter_mut().zip(&terms) {
                    power *= relative;
                    *sum += power * term;
                }
            }
            from = until;
            levels.push(sums);
        }
        Self(levels)
    }

    /// The series of pieces that all have the node's chance, from the sum of their powers.
    pub(super) fn at(&self, node: &Node) -> Self {
        let terms = log_series(node.probability);
        let level = |powers: &[f64; TERMS]| std::array::from_fn(|r| powers[r] * terms[r]);
        Self(self.0.iter().map(level).collect())
    }

    /// The logarithm of the function of the deals of a level at a frequency of `angle` per step.
    pub(super) fn logarithm(&self, level: usize, angle: f64) -> Complex<f64> {
        let angle = angle * (1_u64 << level) as f64;
        let square = -angle * angle;
        let pairs = self.0[level].chunks_exact(2).rev();
        let (odd, even) = pairs.fold((0.0, 0.0), |(odd, even), pair| (odd * square + pair[0], even * square + pair[1]));
        Complex::new(even * square, odd * angle)
    }
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

/// The series in the odds q / (1 - q), or their inverse for q above one half, over multiples of the frequency:
/// log(1 + odds e^(i k w)) is the sum of -(-odds)^j e^(i j k w) / j.
pub(super) struct Harmonics {
    coefficients: Vec<f64>,
    /// The logarithm of what stands before the bracket, all deals together.
    constant: f64,
    /// All deals' steps together where the bracket holds e^(-i k w), and 0 else.
    steps: usize,
    is_mirrored: bool,
}

impl Harmonics {
    /// How many terms the series of so many deals needs.
    pub(super) fn terms(node: &Node, count: f64) -> usize {
        let larger = node.probability.max(1.0 - node.probability);
        let wanted = ((TOLERANCE / count.max(1.0)).ln() / ((1.0 - larger) / larger).ln()).ceil();
        if wanted.is_finite() { wanted as usize } else { usize::MAX }
    }

    /// True when a series of so many terms is quicker than the product over so many deals.
    pub(super) fn beat(terms: usize, deals: usize) -> bool {
        terms < TERMS_PER_DEAL * deals
    }

    pub(super) fn new(node: &Node, pieces: &[Piece]) -> Self {
        let count: f64 = pieces.iter().map(|piece| f64::from(piece.count)).sum();
        let is_mirrored = node.probability > 0.5;
        let larger = node.probability.max(1.0 - node.probability);
        let odds = (1.0 - larger) / larger;
        let coefficient = |j: usize| -(-odds).powi(j as i32) / j as f64;
        let steps = pieces.iter().map(|piece| piece.steps * piece.count as usize).sum();
        Self {
            coefficients: (1..=Self::terms(node, count)).map(coefficient).collect(),
            constant: count * larger.ln(),
            steps: if is_mirrored { steps } else { 0 },
            is_mirrored,
        }
    }

    /// The function of all deals. `heights` holds the sum over the deals of e^(i k w) for each frequency, a power of two
    /// of them.
    pub(super) fn value(&self, frequency: usize, heights: &[Complex<f64>], circle: &Circle) -> Complex<f64> {
        let (mut sum, mut multiple) = (Complex::from(0.0), 0);
        for coefficient in &self.coefficients {
            multiple = (multiple + frequency) & (heights.len() - 1);
            sum += heights[multiple] * coefficient;
        }
        let sum = if self.is_mirrored { sum.conj() } else { sum };
        circle.exp(sum + self.constant) * circle.at(self.steps.wrapping_mul(frequency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: usize = 256;

    #[test]
    fn the_exponential_is_that_of_the_library() {
        let circle = Circle::new(SIZE);
        for (re, im) in [(0.0, 0.0), (-0.5, 1.0), (-3.0, -2_000.25), (-40.0, 7e3), (0.1, 3.125), (-1.0, 0.003)] {
            let (seen, expected) = (circle.exp(Complex::new(re, im)), Complex::new(re, im).exp());
            assert!((seen - expected).norm() <= 2e-12 * expected.norm(), "{seen} {expected}");
        }
    }

    fn circle(i: usize) -> Complex<f64> {
        Complex::cis(std::f64::consts::TAU * (i % SIZE) as f64 / SIZE as f64)
    }

    proptest! {
        /// Against the product, deal by deal.
        #[test]
        fn both_series_are_the_product(
            rows in prop::collection::btree_map(1_usize..40, 1_u32..4, 1..40),
            q in prop_oneof![0.0_f64..0.4, 0.6_f64..=1.0],
            frequency in 1_usize..128,
        ) {
            let node = Node { probability: q, weight: 1.0 };
            let pieces: Vec<Piece> =
                rows.into_iter().map(|(steps, count)| Piece { steps, own: None, count }).collect();
            let product = |frequency: usize| -> Complex<f64> {
                let factor = |piece: &Piece| ((circle(piece.steps * frequency) - 1.0) * q + 1.0).powu(piece.count);
                pieces.iter().map(factor).product()
            };
            let count = pieces.iter().map(|piece| f64::from(piece.count)).sum();
            if Harmonics::beat(Harmonics::terms(&node, count), pieces.len()) {
                let harmonics = Harmonics::new(&node, &pieces);
                let height = |f: usize| pieces.iter().map(|piece| circle(piece.steps * f) * f64::from(piece.count)).sum();
                let heights: Vec<Complex<f64>> = (0..SIZE).map(height).collect();
                let circle = Circle::new(SIZE);
                prop_assert!((harmonics.value(frequency, &heights, &circle) - product(frequency)).norm() < 1e-11);
            }
            let lumps: Vec<Lump> = pieces.iter().map(Lump::of).collect();
            let cumulants = Cumulants::sum(&lumps, &[0, 0, 0, 0, 0, 0, pieces.len()]).at(&node);
            let angle = 1.0 / 64.0;
            let factor = |piece: &Piece| ((Complex::cis(piece.steps as f64 * angle) - 1.0) * q + 1.0).powu(piece.count);
            let exact: Complex<f64> = pieces.iter().map(factor).product();
            prop_assert!((cumulants.logarithm(6, angle).exp() - exact).norm() < 1e-11);
        }
    }
}
