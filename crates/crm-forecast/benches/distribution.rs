//! How long the distribution of a whole pipeline takes: five stages, values over three decades, once to the cent and
//! once round but for a single deal, which makes the characteristic function return at many frequencies.
#![allow(missing_docs, reason = "criterion_group! makes a public function without documentation")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use crm_forecast::distribution::{Chance, Distribution, Portion};
use crm_forecast::probability::Belief;

/// Won and lost pseudo-deals behind each stage; the first stage is all but unknown.
const STAGES: [(f64, f64); 5] = [(1.0, 9.0), (6.0, 34.0), (30.0, 70.0), (90.0, 110.0), (160.0, 40.0)];

fn pipeline(deals: u64, rounded_to: u64) -> Vec<Portion> {
    let per_stage = deals / STAGES.len() as u64;
    let value = |i: u64| (50_000 + (i * 7_919) % 9_973 * ((i * 31) % 17 + 1) * 100) / rounded_to * rounded_to;
    let portion = |(stage, (won, lost)): (usize, &(f64, f64))| Portion {
        chance: Chance::Shared(Belief { won: *won, lost: *lost }),
        values: (0..per_stage).map(|i| value(i + 100_003 * stage as u64)).collect(),
    };
    let odd = Portion { chance: Chance::Known(0.5), values: vec![1_234_567] };
    STAGES.iter().enumerate().map(portion).chain([odd]).collect()
}

fn distributions(criterion: &mut Criterion) {
    for (name, rounded_to) in [("distribution", 1), ("distribution of round values", 100_000)] {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20);
        for deals in [30, 100, 300, 1_000, 10_000, 100_000] {
            let portions = pipeline(deals, rounded_to);
            group.bench_with_input(BenchmarkId::from_parameter(deals), &portions, |bencher, portions| {
                bencher.iter(|| Distribution::of(black_box(portions)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, distributions);
criterion_main!(benches);
