//! Sums step by step: each deal moves a part of the distribution up by its value.

use rustfft::{FftPlanner, num_complex::Complex};

use super::{Cell, Node, Stake};

/// Products up to which two distributions are convolved directly.
const DIRECT_WORK: usize = 1 << 20;

/// The probabilities of the sums 0, 1, 2, ... steps over all cells.
pub(super) fn sum(cells: &[Cell], step: u64) -> Vec<f64> {
    cells.iter().map(|cell| mixed(cell, step)).reduce(|a, b| convolve(&a, &b)).unwrap_or_else(|| vec![1.0])
}

/// One cell's distribution, averaged over its nodes.
fn mixed(cell: &Cell, step: u64) -> Vec<f64> {
    let mut mixture = Vec::new();
    for node in &cell.nodes() {
        let given = given(node, &cell.stakes, step);
        mixture.resize(given.len(), 0.0);
        mixture.iter_mut().zip(&given).for_each(|(sum, part)| *sum += node.weight * part);
    }
    mixture
}

/// The distribution of independent deals. A value between two steps is split over both in proportion to its nearness.
fn given(node: &Node, stakes: &[Stake], step: u64) -> Vec<f64> {
    let mut before = vec![1.0];
    let mut after = Vec::new();
    for deal in stakes.iter().flat_map(|stake| std::iter::repeat_n(stake, stake.deals as usize)) {
        let (down, rest) = ((deal.value / step) as usize, (deal.value % step) as f64 / step as f64);
        let won = deal.probability(node);
        after.clear();
        after.resize(before.len() + down + usize::from(rest > 0.0), 0.0);
        add_shifted(&mut after, &before, 0, 1.0 - won);
        add_shifted(&mut after, &before, down, won * (1.0 - rest));
        if rest > 0.0 {
            add_shifted(&mut after, &before, down + 1, won * rest);
        }
        std::mem::swap(&mut before, &mut after);
    }
    before
}

fn add_shifted(into: &mut [f64], from: &[f64], by: usize, share: f64) {
    into[by..].iter_mut().zip(from).for_each(|(sum, part)| *sum += share * part);
}

/// The distribution of the sum of two independent parts.
fn convolve(a: &[f64], b: &[f64]) -> Vec<f64> {
    let length = a.len() + b.len() - 1;
    if a.len() * b.len() <= DIRECT_WORK {
        let mut sum = vec![0.0; length];
        a.iter()
            .enumerate()
            .filter(|(_, share)| **share > 0.0)
            .for_each(|(by, share)| add_shifted(&mut sum, b, by, *share));
        return sum;
    }
    let size = length.next_power_of_two();
    let mut planner = FftPlanner::new();
    let forward = planner.plan_fft_forward(size);
    let transformed = |part: &[f64]| {
        let mut buffer: Vec<Complex<f64>> = part.iter().map(|value| Complex::from(*value)).collect();
        buffer.resize(size, Complex::default());
        forward.process(&mut buffer);
        buffer
    };
    let mut product: Vec<Complex<f64>> =
        transformed(a).into_iter().zip(transformed(b)).map(|(x, y)| x * y / size as f64).collect();
    planner.plan_fft_inverse(size).process(&mut product);
    product.truncate(length);
    product.into_iter().map(|value| value.re.max(0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_convolving_agree() {
        let part = |seed: u64, length: u64| -> Vec<f64> {
            (0..length).map(|i| ((i * i * seed + 7 * i) % 101) as f64 / 101.0 / length as f64).collect()
        };
        let (a, b) = (part(3, 1500), part(5, 1200));
        assert!(a.len() * b.len() > DIRECT_WORK);
        let mut direct = vec![0.0; a.len() + b.len() - 1];
        a.iter().enumerate().for_each(|(by, share)| add_shifted(&mut direct, &b, by, *share));
        for (seen, expected) in convolve(&a, &b).iter().zip(&direct) {
            assert!((seen - expected).abs() < 1e-15, "{seen} {expected}");
        }
    }
}
