use super::*;
use proptest::prelude::*;

fn known(deals: &[(u64, f64)]) -> Vec<Portion> {
    deals.iter().map(|(value, p)| Portion::new(Chance::Known(*p), [*value])).collect()
}

fn shared(won: f64, lost: f64, values: &[u64]) -> Portion {
    Portion::new(Chance::Shared(Belief { won, lost }), values.iter().copied())
}

fn assert_close(seen: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((seen - expected).abs() <= tolerance, "{what}: {seen} is not {expected}");
}

fn deciles(distribution: &Distribution) -> [u64; 3] {
    [0.1, 0.5, 0.9].map(|level| distribution.quantile(level))
}

#[test]
fn independent_deals_have_the_textbook_distribution() {
    let distribution = Distribution::of(&known(&[(100, 0.5), (200, 0.3), (500, 0.1)]));
    let expected = [0.315, 0.315, 0.135, 0.135, 0.0, 0.035, 0.035, 0.015, 0.015];
    for (value, probability) in distribution.iter() {
        assert_close(probability, expected[usize::try_from(value / 100).unwrap()], 1e-15, "probability");
    }
    assert_close(distribution.iter().map(|(_, p)| p).sum(), 1.0, 1e-12, "sum");
    assert_close(distribution.mean(), 160.0, 1e-9, "mean");
    assert_close(distribution.deviation().powi(2), 33_400.0, 1e-6, "variance");
    assert_eq!(deciles(&distribution), [0, 100, 300]);
}

#[test]
fn six_deals_match_the_reference() {
    let deals = [(10_000, 0.1), (20_000, 0.25), (30_000, 0.4), (50_000, 0.6), (80_000, 0.8), (120_000, 0.3)];
    let distribution = Distribution::of(&known(&deals));
    assert_close(distribution.mean(), 148_000.0, 1e-6, "mean");
    assert_close(distribution.deviation(), 70_342.021_6, 1e-4, "deviation");
    assert_eq!(deciles(&distribution), [70_000, 130_000, 250_000]);
    assert_close(1.0 - distribution.at_least(1), 0.022_68, 1e-12, "nothing won");
    assert_close(distribution.at_least(200_000), 0.254_94, 1e-12, "200,000 or more");
}

#[test]
fn shared_doubt_widens_the_interval() {
    let twenty = Distribution::of(&[shared(3.0, 7.0, &[10_000; 20])]);
    assert_eq!(deciles(&twenty), [20_000, 60_000, 110_000]);
    assert_close(twenty.deviation(), 33_844.56, 1e-2, "deviation");

    let plug_in = Distribution::of(&[Portion::new(Chance::Known(0.3), [10_000; 20])]);
    assert_eq!(deciles(&plug_in), [30_000, 60_000, 90_000]);
    assert_close(plug_in.deviation(), 20_493.90, 1e-2, "deviation without doubt");
}

#[test]
fn two_deals_of_a_stage_hang_together() {
    let distribution = Distribution::of(&[shared(3.0, 7.0, &[100, 200])]);
    let expected = [28.0 / 55.0, 21.0 / 110.0, 21.0 / 110.0, 6.0 / 55.0];
    for (value, probability) in distribution.iter() {
        assert_close(probability, expected[usize::try_from(value / 100).unwrap()], 1e-12, "probability");
    }
}

#[test]
fn stages_are_independent_of_each_other() {
    let distribution =
        Distribution::of(&[shared(3.0, 7.0, &[10_000, 20_000, 30_000]), shared(6.0, 4.0, &[50_000, 80_000])]);
    assert_close(distribution.mean(), 96_000.0, 1e-6, "mean");
    assert_close(distribution.deviation(), 51_444.586, 1e-3, "deviation");
    assert_eq!(deciles(&distribution), [20_000, 100_000, 160_000]);
}

#[test]
fn the_worked_example_has_its_deciles() {
    let portions = [shared(5.5, 11.5, &[100_000]), shared(4.0, 6.0, &[50_000]), shared(11.0, 9.0, &[25_000])];
    assert_eq!(deciles(&Distribution::of(&portions)), [0, 50_000, 150_000]);
}

#[test]
fn nothing_open_means_nothing_won() {
    for portions in [vec![], vec![shared(3.0, 7.0, &[])], known(&[(0, 0.5)])] {
        let distribution = Distribution::of(&portions);
        assert_eq!((distribution.quantile(0.9), distribution.at_least(1)), (0, 0.0));
    }
}

#[test]
fn a_belief_without_doubt_is_a_known_chance() {
    let certain = Distribution::of(&[shared(3.0, 0.0, &[5, 7])]);
    assert_eq!(certain.iter().collect::<Vec<_>>(), [(12, 1.0)]);
}

/// Values that repeat, spread over three decades, and are the same on every run.
fn spread_values(count: u64) -> Vec<u64> {
    (0..count).map(|i| 1_000 + (i * 7_919) % 9_973 * ((i * 31) % 17 + 1)).collect()
}

#[test]
fn both_methods_agree_on_a_portfolio() {
    let portions = [
        shared(3.0, 7.0, &spread_values(70)),
        shared(40.0, 20.0, &spread_values(30)),
        Portion::new(Chance::Known(0.25), spread_values(20)),
        Portion::new(Chance::Known(0.9), spread_values(10)),
    ];
    let cells = cells(&portions);
    let total: u64 =
        portions.iter().flat_map(|portion| &portion.lots).map(|lot| lot.value * u64::from(lot.deals)).sum();
    let step = total.div_ceil(STEPS - 1);
    let (mut exact, mut fourier) = (0.0, 0.0);
    let fourier_steps = fourier::sum(&cells, step, STEPS as usize);
    for (at, probability) in exact::sum(&cells, step).into_iter().enumerate() {
        exact += probability;
        fourier += fourier_steps.get(at).copied().unwrap_or_default();
        assert_close(fourier, exact, 2e-5, "cumulated probability");
    }
    assert_close(fourier_steps.iter().sum(), 1.0, 1e-12, "sum");
}

#[test]
fn the_methods_are_the_same_where_values_are_whole_steps() {
    let values: Vec<u64> = (0..90).map(|i| 1 + (i * 37) % 29).collect();
    let portions = [shared(3.0, 7.0, &values), shared(0.5, 0.5, &values[..50])];
    let cells = cells(&portions);
    let fourier = fourier::sum(&cells, 1, STEPS as usize);
    for (at, probability) in exact::sum(&cells, 1).into_iter().enumerate() {
        assert_close(fourier[at], probability, 1e-13, "probability");
    }
}

/// A hundred and twenty deals of a stage that may be hopeless: neither few frequencies nor few deals.
#[test]
fn a_doubtful_stage_agrees_by_both_methods() {
    let cells = cells(&[shared(0.5, 0.5, &spread_values(120).iter().map(|value| value % 50 + 1).collect::<Vec<_>>())]);
    let fourier = fourier::sum(&cells, 1, 8_192);
    for (at, probability) in exact::sum(&cells, 1).into_iter().enumerate() {
        assert_close(fourier[at], probability, 1e-12, "probability");
    }
}

#[test]
fn thousands_of_deals_keep_mean_and_deviation() {
    let portions = [shared(30.0, 70.0, &spread_values(2_000)), shared(3.0, 7.0, &spread_values(1_500))];
    let distribution = Distribution::of(&portions);
    assert_ne!(distribution.method(), Method::Exact);
    let mean: f64 = distribution.iter().map(|(value, p)| value as f64 * p).sum();
    let square: f64 = distribution.iter().map(|(value, p)| (value as f64 - mean).powi(2) * p).sum();
    assert_close(mean / distribution.mean(), 1.0, 1e-5, "mean");
    assert_close(square.sqrt() / distribution.deviation(), 1.0, 1e-4, "deviation");
}

/// Stages as they are in a large house: some all but unknown, some well known, and deals whose chance a person set.
fn large_house(stages: &[(f64, f64)], deals: u64, values: impl Fn(u64) -> u64) -> Vec<Portion> {
    let mut portions: Vec<Portion> = (0..)
        .zip(stages)
        .map(|(stage, (won, lost))| {
            let values = (0..deals).map(|i| values(i + 100_003 * stage));
            Portion::new(Chance::Shared(Belief { won: *won, lost: *lost }), values)
        })
        .collect();
    let own = |i: u64| Chance::Known(0.05 * (i % 20) as f64);
    portions.extend((0..deals / 20).map(|i| Portion::new(own(i), [values(i)])));
    portions
}

/// What is cumulated up to each step, next to the reference: every frequency, with nodes for the finest peaks.
fn assert_as_by_every_frequency(portions: &[Portion], tolerance: f64) {
    let distribution = Distribution::of(portions);
    let step = distribution.step();
    let cells = cells(portions);
    let reference = fourier::sum(&cells, step, STEPS as usize);
    let (mut seen, mut expected) = (0.0, 0.0);
    for (probability, reference) in distribution.probabilities.iter().zip(&reference) {
        seen += probability;
        expected += reference;
        assert_close(seen, expected, tolerance, "cumulated probability");
    }
    assert_close(seen, 1.0, 1e-12, "sum");
}

/// Values that are whole steps are not rounded, so that only what both leave out is between them.
#[test]
fn few_frequencies_tell_as_much_as_all() {
    let stages = [(2.0, 8.0), (6.0, 34.0), (3.0, 7.0), (9.0, 11.0), (5.0, 5.0), (0.5, 9.5)];
    let smooth = large_house(&stages, 800, |i| 1 + (i * 7_919) % 9 * ((i * 31) % 3));
    assert_eq!(Distribution::of(&smooth).method(), Method::Smooth);
    assert_as_by_every_frequency(&smooth, 1e-10);
    // All of the same two values: the function rises again and again.
    let regular = large_house(&stages, 400, |i| if i % 3 == 0 { 20 } else { 30 } + u64::from(i == 7));
    assert_as_by_every_frequency(&regular, 1e-10);
    let few = large_house(&stages, 150, |i| 40 + (i * 37) % 29);
    assert_as_by_every_frequency(&few, 1e-10);
}

/// Values that differ by a multiple of 18: their function rises again where 18 steps are a whole turn.
#[test]
fn values_that_fall_into_step_are_seen() {
    let stages = [(24.7, 20.8), (12.5, 15.5), (22.0, 15.2)];
    for apart in [18, 30, 7] {
        let regular = large_house(&stages, 277, |i| 1 + apart * (i % 2));
        let (distribution, step) = (Distribution::of(&regular), 1);
        assert_eq!(distribution.step(), step);
        let exact = exact::sum(&cells(&regular), step);
        let (mut seen, mut expected) = (0.0, 0.0);
        for (probability, reference) in distribution.probabilities.iter().zip(&exact) {
            seen += probability;
            expected += reference;
            assert_close(seen, expected, 1e-11, "cumulated probability");
        }
    }
}

/// Next to the same sum on a grid so fine that no value lies between its steps.
#[test]
fn values_between_the_steps_need_no_rounding() {
    let stages = [(2.0, 8.0), (6.0, 34.0), (3.0, 7.0), (9.0, 11.0), (5.0, 5.0), (0.5, 9.5)];
    let portions = large_house(&stages, 6_000, |i| 1 + (i * 37) % 9);
    let distribution = Distribution::of(&portions);
    assert_eq!((distribution.method(), distribution.step()), (Method::Smooth, 3));
    let fine = fourier::sum(&cells(&portions), 1, 4 * STEPS as usize);
    let (mut seen, mut expected, mut below) = (0.0, 0.0, 0);
    for (at, probability) in distribution.probabilities.iter().enumerate() {
        seen += probability;
        expected += fine[below..=3 * at + 1].iter().sum::<f64>();
        below = 3 * at + 2;
        assert_close(seen, expected, 1e-7, "cumulated probability");
    }
    let mean: f64 = distribution.iter().map(|(value, p)| value as f64 * p).sum();
    let square: f64 = distribution.iter().map(|(value, p)| (value as f64 - mean).powi(2) * p).sum();
    assert_close(mean / distribution.mean(), 1.0, 1e-9, "mean");
    assert_close(square.sqrt() / distribution.deviation(), 1.0, 1e-7, "deviation");
}

#[test]
fn lots_are_as_many_single_deals() {
    let lots = vec![Lot { value: 10, deals: 30 }, Lot { value: 25, deals: 0 }, Lot { value: 70, deals: 4 }];
    let single = lots.iter().flat_map(|lot| std::iter::repeat_n(lot.value, lot.deals as usize));
    for chance in [Chance::Known(0.3), Chance::Shared(Belief { won: 3.0, lost: 7.0 })] {
        let together = Distribution::of(&[Portion { chance, lots: lots.clone() }]);
        assert_eq!(together, Distribution::of(&[Portion::new(chance, single.clone())]));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The grid keeps the mean of every portfolio, however its values fall between the steps.
    #[test]
    fn the_grid_keeps_the_mean(
        deals in prop::collection::vec((1_u64..1_000_000_000, 0.0_f64..=1.0), 1..12),
        pooled in prop::collection::vec(1_u64..1_000_000_000, 0..8),
        (won, lost) in (0.5_f64..40.0, 0.5_f64..40.0),
    ) {
        let mut portions = known(&deals);
        portions.push(shared(won, lost, &pooled));
        let distribution = Distribution::of(&portions);
        let sum: f64 = distribution.iter().map(|(_, p)| p).sum();
        let mean: f64 = distribution.iter().map(|(value, p)| value as f64 * p).sum();
        prop_assert!((sum - 1.0).abs() < 1e-12);
        prop_assert!((mean / distribution.mean() - 1.0).abs() < 1e-9);
        prop_assert!(deciles(&distribution).is_sorted());
    }

    /// Against all subsets, enumerated.
    #[test]
    fn small_portfolios_match_enumeration(deals in prop::collection::vec((1_u64..50, 0.0_f64..=1.0), 1..9)) {
        let distribution = Distribution::of(&known(&deals));
        let mut enumerated = std::collections::BTreeMap::<u64, f64>::new();
        for subset in 0..1_u32 << deals.len() {
            let chosen = |i: usize| subset >> i & 1 == 1;
            let value = deals.iter().enumerate().filter(|(i, _)| chosen(*i)).map(|(_, deal)| deal.0).sum();
            let factors = deals.iter().enumerate().map(|(i, deal)| if chosen(i) { deal.1 } else { 1.0 - deal.1 });
            *enumerated.entry(value).or_default() += factors.product::<f64>();
        }
        for (value, probability) in distribution.iter() {
            prop_assert!((probability - enumerated[&value]).abs() < 1e-12);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// Whatever the stages and values, the quick way tells what all frequencies do.
    #[test]
    fn the_quick_way_is_as_exact(
        stages in prop::collection::vec((0.4_f64..30.0, 0.4_f64..60.0), 2..7),
        (deals, multiplier, classes) in (60_u64..400, 1_u64..10_000, 1_u64..40),
    ) {
        let portions = large_house(&stages, deals, |i| 1 + (i * multiplier) % classes);
        assert_as_by_every_frequency(&portions, 1e-9);
    }
}
