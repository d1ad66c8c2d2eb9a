//! Two series for the logarithm of many deals' characteristic function, log(1 - q + q e^(i k w)) summed over the deals:
//! the cumulants, for deals that are small against the frequency, and the harmonics, for chances that are not near one
//! half. Neither looks at the deals one by one.

use rustfft::num_complex::Complex;

use super::Node;
use super::fourier::Piece;

/// Terms of the cumulants' series. It converges like (k w / pi)^r, and is used for k w up to 1.
const TERMS: usize = 24;

/// Terms of the harmonics that take as long as one deal's factor.
const TERMS_PER_DEAL: usize = 4;

/// What the harmonics leave out at most.
const TOLERANCE: f64 = 1e-13;

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

    /// The function of the deals of a level at a frequency of `angle` per step.
    pub(super) fn value(&self, level: usize, angle: f64) -> Complex<f64> {
        self.logarithm(level, angle).exp()
    }

    /// The logarithm of that.
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
    pub(super) fn new(node: &Node, pieces: &[Piece]) -> Self {
        let count: f64 = pieces.iter().map(|piece| f64::from(piece.count)).sum();
        let is_mirrored = node.probability > 0.5;
        let larger = node.probability.max(1.0 - node.probability);
        let odds = (1.0 - larger) / larger;
        let wanted = ((TOLERANCE / count.max(1.0)).ln() / odds.ln()).ceil();
        let terms = if wanted.is_finite() { wanted as usize } else { usize::MAX };
        let terms = terms.min(TERMS_PER_DEAL * pieces.len());
        let coefficient = |j: usize| -(-odds).powi(j as i32) / j as f64;
        let steps = pieces.iter().map(|piece| piece.steps * piece.count as usize).sum();
        Self {
            coefficients: (1..=terms).map(coefficient).collect(),
            constant: count * larger.ln(),
            steps: if is_mirrored { steps } else { 0 },
            is_mirrored,
        }
    }

    /// True when the series is quicker than the product over `deals` of the deals, which may be all of them. Where it is
    /// slower than that it is cut off, and not exact.
    pub(super) fn beat(&self, deals: usize) -> bool {
        self.coefficients.len() < TERMS_PER_DEAL * deals
    }

    /// The function of all deals. `heights` holds the sum over the deals of e^(i k w) for each frequency, a power of two
    /// of them.
    pub(super) fn value(&self, frequency: usize, heights: &[Complex<f64>], circle: &[Complex<f64>]) -> Complex<f64> {
        let (mut sum, mut multiple) = (Complex::from(0.0), 0);
        for coefficient in &self.coefficients {
            multiple = (multiple + frequency) & (heights.len() - 1);
            sum += heights[multiple] * coefficient;
        }
        let sum = if self.is_mirrored { sum.conj() } else { sum };
        (sum + self.constant).exp() * circle[self.steps * frequency % circle.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZE: usize = 256;

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
            let harmonics = Harmonics::new(&node, &pieces);
            if harmonics.beat(pieces.len()) {
                let height = |f: usize| pieces.iter().map(|piece| circle(piece.steps * f) * f64::from(piece.count)).sum();
                let heights: Vec<Complex<f64>> = (0..SIZE).map(height).collect();
                let circle: Vec<Complex<f64>> = (0..SIZE).map(circle).collect();
                prop_assert!((harmonics.value(frequency, &heights, &circle) - product(frequency)).norm() < 1e-11);
            }
            let lumps: Vec<Lump> = pieces.iter().map(Lump::of).collect();
            let cumulants = Cumulants::sum(&lumps, &[0, 0, 0, 0, 0, 0, pieces.len()]).at(&node);
            let angle = 1.0 / 64.0;
            let factor = |piece: &Piece| ((Complex::cis(piece.steps as f64 * angle) - 1.0) * q + 1.0).powu(piece.count);
            let exact: Complex<f64> = pieces.iter().map(factor).product();
            prop_assert!((cumulants.value(6, angle) - exact).norm() < 1e-11);
        }
    }
}
