//! How long the distribution of a whole pipeline takes, with values over three decades: five stages, four stages of deals of
//! seven ages each, and the harder case of a single stage whose win probability may be next to nothing, so that few
//! frequencies can be left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(missing_docs, reason = "criterion_group! makes a public function without documentation")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use crm_forecast::distribution::{Chance, Distribution, Portion};
use crm_forecast::probability::Belief;

/// Won and lost pseudo-deals behind each stage; the first stage is all but unknown.
const FIVE_STAGES: [(f64, f64); 5] = [(1.0, 9.0), (6.0, 34.0), (30.0, 70.0), (90.0, 110.0), (160.0, 40.0)];

/// Four stages of which little is known, and the less the longer a deal has stood there.
fn stages_by_age() -> Vec<(f64, f64)> {
    let belief =
        |(age, stage): (f64, f64)| (10.0 * stage / (1.0 + 0.3 * age), 10.0 * (1.0 - stage) / (1.0 + 0.3 * age));
    (0..7_u8).flat_map(|age| [0.1, 0.3, 0.5, 0.7].map(|stage| (f64::from(age), stage))).map(belief).collect()
}

fn pipeline(deals: u64, stages: &[(f64, f64)]) -> Vec<Portion> {
    let per_stage = deals / stages.len() as u64;
    let value = |i: u64| 50_000 + (i * 7_919) % 9_973 * ((i * 31) % 17 + 1) * 100;
    let portion = |(stage, (won, lost)): (usize, &(f64, f64))| {
        let values = (0..per_stage).map(|i| value(i + 100_003 * stage as u64));
        Portion::new(Chance::Shared(Belief { won: *won, lost: *lost }), values)
    };
    stages.iter().enumerate().map(portion).collect()
}

fn distributions(criterion: &mut Criterion) {
    let by_age = stages_by_age();
    let pipelines =
        [("five stages", &FIVE_STAGES[..]), ("four stages by age", &by_age[..]), ("one stage", &FIVE_STAGES[..1])];
    for (name, stages) in pipelines {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20);
        for deals in [30, 100, 300, 1_000, 10_000, 100_000] {
            let portions = pipeline(deals, stages);
            group.bench_with_input(BenchmarkId::from_parameter(deals), &portions, |bencher, portions| {
                bencher.iter(|| Distribution::of(black_box(portions)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, distributions);
criterion_main!(benches);
