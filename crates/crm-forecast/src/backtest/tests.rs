use super::*;
use crate::histories::Change;
use crate::histories::tests::{any_history, on};
use proptest::prelude::*;

fn history(changes: &[(i64, Change<char>)]) -> Vec<Event<char>> {
    let event = |(day, change): &(i64, Change<char>)| Event {
        recorded_at: on(1, 1) + TimeDelta::days(*day),
        change: change.clone(),
    };
    changes.iter().map(event).collect()
}

fn created(stage: char, value: i64) -> Change<char> {
    Change::Created { stage, value: Some(value.into()), expected_close_on: None }
}

fn replay<'a>(
    histories: &'a [Vec<Event<char>>],
    percent: &'a [(char, i64)],
) -> Replay<'a, char, impl Fn(&char, DateTime<Utc>) -> Option<Probability>> {
    let configured = |stage: &char, _: DateTime<Utc>| {
        let found = percent.iter().find(|(configured, _)| configured == stage)?;
        Probability::from_percent(found.1.into()).ok()
    };
    Replay {
        histories,
        currency: Currency::EUR,
        configured,
        settings: Settings::default(),
        horizon_days: 90,
        known_until: on(12, 31),
    }
}

#[test]
fn a_forecast_is_judged_by_what_stood_at_the_end_of_its_horizon() {
    let histories = [
        history(&[(0, created('Q', 100)), (50, Change::Valued(Some(300.into()))), (60, Change::Won)]),
        history(&[(0, created('Q', 10)), (60, Change::Won), (120, Change::Reopened('Q'))]),
        history(&[(0, created('Q', 20)), (60, Change::Won), (70, Change::Reopened('Q'))]),
        history(&[(0, created('Q', 40)), (60, Change::Lost)]),
        history(&[(0, created('Q', 80)), (160, Change::Won)]),
        history(&[(30, created('Q', 1_000)), (40, Change::Won)]),
    ];
    let seen = backtest(&replay(&histories, &[('Q', 40)]), &[on(1, 11)]).unwrap();
    let point = &seen.points[0];
    assert_eq!((point.deals_count, point.actual_value), (5, 110.into()));
    assert_eq!(point.forecast_values[&Estimator::Configured], 100.into());
    assert_eq!(point.forecast_values[&Estimator::AalenJohansen], 100.into());
}

#[test]
fn horizons_that_have_not_ended_are_left_out() {
    let histories = [history(&[(0, created('Q', 100))])];
    let replay = Replay { known_until: on(6, 1), ..replay(&histories, &[]) };
    let seen = backtest(&replay, &[on(3, 3), on(3, 4)]).unwrap();
    assert_eq!(seen.points.iter().map(|point| point.as_of).collect::<Vec<_>>(), [on(3, 3)]);
    assert!(backtest(&replay, &[]).unwrap().winner.is_none());
}

/// One deal a day in one stage: three in ten are won after 10 days, the others lost after 60.
#[test]
fn late_losses_mislead_the_closed_deals_and_not_the_curve() {
    let outcome = |day: i64| if day % 10 < 3 { (day + 10, Change::Won) } else { (day + 60, Change::Lost) };
    let histories: Vec<_> = (0..200).map(|day| history(&[(day, created('Q', 100)), outcome(day)])).collect();
    let instants: Vec<_> = (3..7).map(|tens| on(1, 1) + TimeDelta::days(20 * tens)).collect();
    let seen = backtest(&replay(&histories, &[('Q', 90)]), &instants).unwrap();
    let brier = |way| seen.scores[&way].brier.unwrap();
    assert_eq!(seen.winner, Some(Estimator::AalenJohansenByAge));
    assert!(brier(Estimator::AalenJohansenByAge) < brier(Estimator::AalenJohansen));
    assert!(brier(Estimator::AalenJohansen) < brier(Estimator::ClosedOnly));
    assert!(brier(Estimator::ClosedOnly) < brier(Estimator::Configured));
    assert!(seen.scores[&Estimator::Configured].bias.unwrap() > 1.0);
}

#[test]
fn a_negative_value_is_refused() {
    let histories = [history(&[(0, created('Q', -1))])];
    assert_eq!(backtest(&replay(&histories, &[]), &[on(2, 1)]), Err(AmountError::Negative));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens after the horizon of a forecast, its point stays the same.
    #[test]
    fn the_future_does_not_leak(histories in prop::collection::vec(any_history(), 0..12), day in 1_i64..200) {
        let as_of = on(1, 1) + TimeDelta::days(day);
        let until = as_of + TimeDelta::days(90);
        let cut: Vec<Vec<Event<char>>> = histories
            .iter()
            .map(|events| events.iter().filter(|event| event.recorded_at <= until).cloned().collect())
            .collect();
        let known = |histories| backtest(&Replay { known_until: on(12, 31), ..replay(histories, &[('Q', 30)]) }, &[as_of]);
        prop_assert_eq!(known(&histories), known(&cut));
    }

    #[test]
    fn deciles_are_in_order_and_forecasts_within_the_pipeline(histories in prop::collection::vec(any_history(), 0..12)) {
        let seen = backtest(&replay(&histories, &[('Q', 30)]), &[on(4, 1), on(7, 1)]).unwrap();
        for point in &seen.points {
            let open = histories.iter().filter_map(|events| state_at(events, point.as_of));
            let open = open.filter(|state| state.status == Status::Open);
            let pipeline: Decimal = open.filter_map(|state| state.value).sum();
            prop_assert!(point.deciles.is_sorted() && point.deciles[2] <= pipeline);
            prop_assert!(point.forecast_values.values().all(|value| *value <= pipeline));
        }
    }
}
