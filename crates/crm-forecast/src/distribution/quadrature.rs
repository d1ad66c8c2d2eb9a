//! Gauss-Jacobi quadrature: a Beta distribution replaced by a few weighted points that integrate polynomials exactly
//! (Golub & Welsch 1969).

use crate::probability::Belief;

/// A win probability and the weight that it stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Node {
    pub(super) probability: f64,
    pub(super) weight: f64,
}

/// Rotations after which an eigenvalue is taken as found; three suffice in practice.
const ROTATIONS: usize = 64;

/// `count` nodes that integrate polynomials up to degree 2 count - 1 exactly under the belief.
pub(super) fn nodes(belief: Belief, count: usize) -> Vec<Node> {
    let (mut diagonal, mut beside) = recurrence(belief, count);
    let mut first = vec![0.0; count];
    first[0] = 1.0;
    for low in 0..count {
        for _ in 0..ROTATIONS {
            let high = block_end(&diagonal, &beside, low);
            if high == low {
                break;
            }
            rotate(&mut diagonal, &mut beside, &mut first, low, high);
        }
    }
    let pairs = diagonal.iter().zip(&first);
    pairs.map(|(at, part)| Node { probability: at.clamp(0.0, 1.0), weight: part * part }).collect()
}

/// The symmetric tridiagonal matrix of the orthogonal polynomials on [0, 1]: its diagonal, and what stands beside it.
fn recurrence(belief: Belief, count: usize) -> (Vec<f64>, Vec<f64>) {
    let (alpha, beta) = (belief.lost - 1.0, belief.won - 1.0);
    let both = alpha + beta;
    let center = |i: usize| {
        let double = 2.0 * i as f64 + both;
        if i == 0 { (beta - alpha) / (both + 2.0) } else { (beta * beta - alpha * alpha) / (double * (double + 2.0)) }
    };
    let square = |i: usize| {
        let (n, double) = (i as f64, 2.0 * i as f64 + both);
        // For i = 1 the factor (n + both) / (double - 1) is 1, also where both are 0.
        let ratio = if i == 1 { 1.0 } else { (n + both) / (double - 1.0) };
        4.0 * n * (n + alpha) * (n + beta) * ratio / (double * double * (double + 1.0))
    };
    let diagonal = (0..count).map(|i| 0.5 * (1.0 + center(i))).collect();
    let beside = (1..count).map(|i| 0.5 * square(i).sqrt()).chain([0.0]).collect();
    (diagonal, beside)
}

/// The end of the block that starts at `low` and is not yet split by a negligible element.
fn block_end(diagonal: &[f64], beside: &[f64], low: usize) -> usize {
    let negligible = |i: &usize| beside[*i].abs() <= f64::EPSILON * (diagonal[*i].abs() + diagonal[*i + 1].abs());
    (low..diagonal.len() - 1).find(negligible).unwrap_or(diagonal.len() - 1)
}

/// One implicit QL sweep over a block, which also turns the eigenvectors' first components. All numbers lie near [0, 1],
/// so that their squares can be added without care.
fn rotate(diagonal: &mut [f64], beside: &mut [f64], first: &mut [f64], low: usize, high: usize) {
    let slope = (diagonal[low + 1] - diagonal[low]) / (2.0 * beside[low]);
    let shift = slope + (slope * slope + 1.0).sqrt().copysign(slope);
    let (mut sine, mut cosine, mut carried) = (1.0, 1.0, 0.0);
    let mut gap = diagonal[high] - diagonal[low] + beside[low] / shift;
    for i in (low..high).rev() {
        let (across, along) = (sine * beside[i], cosine * beside[i]);
        let length = (across * across + gap * gap).sqrt();
        beside[i + 1] = length;
        if length == 0.0 {
            diagonal[i + 1] -= carried;
            beside[high] = 0.0;
            return;
        }
        (sine, cosine) = (across / length, gap / length);
        let base = diagonal[i + 1] - carried;
        let turned = (diagonal[i] - base) * sine + 2.0 * cosine * along;
        carried = sine * turned;
        diagonal[i + 1] = base + carried;
        gap = cosine * turned - along;
        (first[i], first[i + 1]) = (cosine * first[i] - sine * first[i + 1], sine * first[i] + cosine * first[i + 1]);
    }
    diagonal[low] -= carried;
    beside[low] = gap;
    beside[high] = 0.0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn two_nodes_of_the_uniform_are_gauss_legendre() {
        let mut found = nodes(Belief { won: 1.0, lost: 1.0 }, 2);
        found.sort_by(|a, b| a.probability.total_cmp(&b.probability));
        for (node, expected) in found.iter().zip([0.5 - 12_f64.sqrt().recip(), 0.5 + 12_f64.sqrt().recip()]) {
            assert!((node.probability - expected).abs() < 1e-14 && (node.weight - 0.5).abs() < 1e-14, "{node:?}");
        }
    }

    proptest! {
        /// E[q^d] of Beta(a, b) is the product of (a + i) / (a + b + i) for i < d.
        #[test]
        fn moments_are_exact(won in 0.05_f64..300.0, lost in 0.05_f64..300.0, count in 1_usize..200) {
            let nodes = nodes(Belief { won, lost }, count);
            prop_assert!((nodes.iter().map(|node| node.weight).sum::<f64>() - 1.0).abs() < 1e-12);
            let mut exact = 1.0;
            for degree in 0..(2 * count).min(40) {
                let moment: f64 = nodes.iter().map(|node| node.weight * node.probability.powi(degree as i32)).sum();
                prop_assert!((moment - exact).abs() < 1e-11, "degree {degree}: {moment} {exact}");
                exact *= (won + degree as f64) / (won + lost + degree as f64);
            }
        }
    }
}
