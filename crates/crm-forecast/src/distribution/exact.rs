//! Sums step by step: each deal moves a part of the distribution up by its value.

use std::cmp::Reverse;

use rustfft::{FftPlanner, num_complex::Complex};

use super::{Cell, Node, Stake};

/// Additions that take as long as what a step of a transformed convolution does.
const DIRECT_WORK: usize = 128;

/// The probabilities of the sums 0, 1, 2, ... steps over all cells.
pub(super) fn sum(cells: &[Cell], step: u64) -> Vec<f64> {
    let mut planner = FftPlanner::new();
    let mut parts: Vec<Vec<f64>> = cells.iter().map(|cell| mixed(cell, step)).collect();
    // The two shortest first: then few convolutions are long.
    parts.sort_by_key(|part| Reverse(part.len()));
    loop {
        let Some(a) = parts.pop() else { return vec![1.0] };
        let Some(b) = parts.pop() else { return a };
        let both = convolve(&a, &b, &mut planner);
        parts.insert(parts.partition_point(|part| part.len() > both.len()), both);
    }
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
        after.extend(before.iter().map(|share| share * (1.0 - won)));
        after.resize(before.len() + down + usize::from(rest > 0.0), 0.0);
        add_shifted(&mut after, &before, down, won * (1.0 - rest), won * rest);
        std::mem::swap(&mut before, &mut after);
    }
    before
}

/// Adds a share of each probability as many steps up, and another share one step further.
fn add_shifted(into: &mut [f64], from: &[f64], by: usize, share: f64, further: f64) {
    into[by..].iter_mut().zip(from).for_each(|(sum, part)| *sum += share * part);
    if further > 0.0 {
        into[by + 1..].iter_mut().zip(from).for_each(|(sum, part)| *sum += further * part);
    }
}

/// The distribution of the sum of two independent parts.
fn convolve(a: &[f64], b: &[f64], planner: &mut FftPlanner<f64>) -> Vec<f64> {
    let length = a.len() + b.len() - 1;
    let size = length.next_power_of_two();
    let possible = |part: &[f64]| part.iter().filter(|share| **share > 0.0).count();
    // The one with fewer possible values is taken value by value.
    let (few, other) = if possible(a) * b.len() <= possible(b) * a.len() { (a, b) } else { (b, a) };
    if possible(few) * other.len() <= DIRECT_WORK * size {
        let mut sum = vec![0.0; length];
        for (by, share) in few.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            sum[by..].iter_mut().zip(other).for_each(|(sum, part)| *sum += share * part);
        }
        return sum;
    }
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
        assert!((a.len() - 20) * b.len() > DIRECT_WORK * (a.len() + b.len()).next_power_of_two());
        let mut direct = vec![0.0; a.len() + b.len() - 1];
        for (at, share) in a.iter().enumerate() {
            direct[at..].iter_mut().zip(&b).for_each(|(sum, part)| *sum += share * part);
        }
        for (seen, expected) in convolve(&a, &b, &mut FftPlanner::new()).iter().zip(&direct) {
            assert!((seen - expected).abs() < 1e-15, "{seen} {expected}");
        }
    }

    #[test]
    fn few_possible_values_are_convolved_value_by_value() {
        let (mut few, many) = (vec![0.0; 3_000], vec![1.0 / 4_000.0; 4_000]);
        (few[0], few[2_999]) = (0.25, 0.75);
        for (a, b) in [(&few, &many), (&many, &few)] {
            let sum = convolve(a, b, &mut FftPlanner::new());
            assert_eq!((sum[2_998], sum[2_999], sum[4_000]), (0.25 / 4_000.0, 1.0 / 4_000.0, 0.75 / 4_000.0));
        }
    }
}
