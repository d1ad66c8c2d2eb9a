//! What happened to a deal, event by event, and what was known of it at any instant.
//!
//! Events are ordered by the time at which they were *recorded*: an edit that is dated back does not leak into what was
//! known before it was made. A deal that is reopened, or moved to another pipeline, starts a new episode.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rust_decimal::Decimal;

use crate::competing_risks::{Ending, Spell};
use crate::conversion::Passage;
use crate::probability::Probability;
use crate::transitions::Path;

pub(crate) const SECONDS_PER_DAY: f64 = 86_400.0;

/// One change of a deal.
#[derive(Debug, Clone, PartialEq)]
pub enum Change<S> {
    /// The deal came into being in a stage.
    Created {
        /// Its first stage.
        stage: S,
        /// Its value, if it had one.
        value: Option<Decimal>,
        /// The day on which it was expected to close, if stated.
        expected_close_on: Option<NaiveDate>,
    },
    /// It moved to another stage of its pipeline.
    Moved(S),
    /// It moved to a stage of another pipeline; in the old one it counts as open until then.
    Transferred(S),
    /// Its value changed.
    Valued(Option<Decimal>),
    /// Its expected close day changed.
    Rescheduled(Option<NaiveDate>),
    /// A person set its win probability, or gave that up.
    Estimated(Option<Probability>),
    /// It was won.
    Won,
    /// It was lost.
    Lost,
    /// It was opened again in a stage.
    Reopened(S),
    /// It was deleted.
    Removed,
}

/// A change and when it was recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<S> {
    /// When the change was written down.
    pub recorded_at: DateTime<Utc>,
    /// The change.
    pub change: Change<S>,
}

/// Where a deal stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Still to be decided.
    Open,
    /// Won.
    Won,
    /// Lost.
    Lost,
}

/// What was known of a deal at an instant.
#[derive(Debug, Clone, PartialEq)]
pub struct State<S> {
    /// The stage it stood in, or stood in last.
    pub stage: S,
    /// When it entered that stage.
    pub stage_entered_at: DateTime<Utc>,
    /// Its status.
    pub status: Status,
    /// Its value.
    pub value: Option<Decimal>,
    /// The day on which it was expected to close.
    pub expected_close_on: Option<NaiveDate>,
    /// The win probability that a person set for it.
    pub own_probability: Option<Probability>,
    /// 1 at first, one more with each reopening and each move to another pipeline.
    pub episode: u32,
}

/// One try at a deal: from its creation, reopening or transfer until it was won, lost or last seen open.
#[derive(Debug, Clone, PartialEq)]
pub struct Episode<S> {
    /// Every stage it stood in and when it was entered, in order.
    pub visits: Vec<(S, DateTime<Utc>)>,
    /// How it ended.
    pub ending: Ending,
    /// When it ended or was last seen open.
    pub ended_at: DateTime<Utc>,
}

/// What was known of a deal at an instant, from its events in the order of recording; `None` before its creation and
/// after its removal.
#[must_use]
pub fn state_at<S: Clone>(events: &[Event<S>], at: DateTime<Utc>) -> Option<State<S>> {
    known(events, at).fold(None, |state, event| follow(state, event))
}

/// The episodes of a deal as they were known at an instant.
#[must_use]
pub fn episodes_at<S: Clone>(events: &[Event<S>], at: DateTime<Utc>) -> Vec<Episode<S>> {
    let mut episodes: Vec<Episode<S>> = Vec::new();
    let mut is_running = false;
    for event in known(events, at) {
        let when = event.recorded_at;
        if is_running && let Some(episode) = episodes.last_mut() {
            is_running = episode.take(event);
        }
        if let Change::Created { stage, .. } | Change::Transferred(stage) | Change::Reopened(stage) = &event.change {
            episodes.push(Episode { visits: vec![(stage.clone(), when)], ending: Ending::Open, ended_at: when });
            is_running = true;
        }
    }
    if is_running && let Some(episode) = episodes.last_mut() {
        episode.ended_at = at;
    }
    episodes
}

impl<S: Clone + PartialEq> Episode<S> {
    /// The first visit to a stage, if there was one.
    #[must_use]
    pub fn passage(&self, stage: &S) -> Option<Passage> {
        let first = self.visits.iter().position(|(visited, _)| visited == stage)?;
        let entered_at = self.visits[first].1;
        let left_at = self.visits.get(first + 1).map_or(self.ended_at, |(_, at)| *at);
        let spell = Spell { days: days(self.ended_at - entered_at), ending: self.ending };
        Some(Passage { left_after: days(left_at - entered_at), spell })
    }

    /// The way through the stages.
    #[must_use]
    pub fn path(&self) -> Path<S> {
        Path { stages: self.visits.iter().map(|(stage, _)| stage.clone()).collect(), ending: self.ending }
    }
}

impl<S: Clone> Episode<S> {
    /// Applies an event to a running episode; false when it ended the episode.
    fn take(&mut self, event: &Event<S>) -> bool {
        let ending = match &event.change {
            Change::Won => Ending::Won,
            Change::Lost => Ending::Lost,
            Change::Removed | Change::Transferred(_) | Change::Reopened(_) | Change::Created { .. } => Ending::Open,
            Change::Moved(stage) => {
                self.visits.push((stage.clone(), event.recorded_at));
                return true;
            }
            Change::Valued(_) | Change::Rescheduled(_) | Change::Estimated(_) => return true,
        };
        (self.ending, self.ended_at) = (ending, event.recorded_at);
        false
    }
}

/// Real days, with their fraction.
pub(crate) fn days(span: TimeDelta) -> f64 {
    span.as_seconds_f64() / SECONDS_PER_DAY
}

fn known<S>(events: &[Event<S>], at: DateTime<Utc>) -> impl Iterator<Item = &Event<S>> {
    events.iter().filter(move |event| event.recorded_at <= at)
}

fn follow<S: Clone>(state: Option<State<S>>, event: &Event<S>) -> Option<State<S>> {
    let at = event.recorded_at;
    if let Change::Created { stage, value, expected_close_on } = &event.change {
        let (value, expected_close_on) = (*value, *expected_close_on);
        let status = Status::Open;
        return Some(State {
            stage: stage.clone(),
            stage_entered_at: at,
            status,
            value,
            expected_close_on,
            own_probability: None,
            episode: 1,
        });
    }
    let mut state = state?;
    match &event.change {
        Change::Created { .. } => {}
        Change::Removed => return None,
        Change::Valued(value) => state.value = *value,
        Change::Rescheduled(day) => state.expected_close_on = *day,
        Change::Estimated(probability) => state.own_probability = *probability,
        Change::Won => state.status = Status::Won,
        Change::Lost => state.status = Status::Lost,
        Change::Moved(stage) => (state.stage, state.stage_entered_at) = (stage.clone(), at),
        Change::Transferred(stage) | Change::Reopened(stage) => {
            (state.stage, state.stage_entered_at) = (stage.clone(), at);
            (state.status, state.episode) = (Status::Open, state.episode + 1);
        }
    }
    Some(state)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use chrono::TimeZone;
    use proptest::prelude::*;

    /// Midnight UTC of a day in 2025.
    pub(crate) fn on(month: u32, day: u32) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2025, month, day, 0, 0, 0).unwrap()
    }

    fn event(month: u32, day: u32, change: Change<char>) -> Event<char> {
        Event { recorded_at: on(month, day), change }
    }

    fn reopened_deal() -> Vec<Event<char>> {
        let created = Change::Created { stage: 'Q', value: Some(100_000.into()), expected_close_on: None };
        vec![
            event(1, 5, created),
            event(1, 20, Change::Moved('P')),
            event(2, 10, Change::Valued(Some(80_000.into()))),
            event(3, 1, Change::Won),
            event(3, 5, Change::Reopened('P')),
            event(4, 1, Change::Lost),
        ]
    }

    #[test]
    fn a_deal_is_replayed_as_it_was_known() {
        let cases = [
            (1, 4, None),
            (1, 10, Some(('Q', 100_000, Status::Open, 1))),
            (2, 15, Some(('P', 80_000, Status::Open, 1))),
            (3, 3, Some(('P', 80_000, Status::Won, 1))),
            (3, 10, Some(('P', 80_000, Status::Open, 2))),
            (4, 2, Some(('P', 80_000, Status::Lost, 2))),
        ];
        for (month, day, expected) in cases {
            let state = state_at(&reopened_deal(), on(month, day));
            let seen = state.map(|state| (state.stage, state.value, state.status, state.episode));
            let expected = expected.map(|(stage, value, status, episode)| (stage, Some(value.into()), status, episode));
            assert_eq!(seen, expected, "{month}-{day}");
        }
    }

    #[test]
    fn reopening_starts_an_episode() {
        let episodes = episodes_at(&reopened_deal(), on(5, 1));
        assert_eq!(episodes.len(), 2);
        assert_eq!(episodes[0].path(), Path { stages: vec!['Q', 'P'], ending: Ending::Won });
        assert_eq!(episodes[1].path(), Path { stages: vec!['P'], ending: Ending::Lost });
        let passage = episodes[0].passage(&'Q').unwrap();
        assert_eq!((passage.left_after, passage.spell.days, passage.spell.ending), (15.0, 55.0, Ending::Won));
        assert_eq!(episodes[1].passage(&'Q'), None);
    }

    #[test]
    fn later_events_are_unknown_and_running_episodes_are_open() {
        let episodes = episodes_at(&reopened_deal(), on(1, 30));
        let passage = episodes[0].passage(&'P').unwrap();
        assert_eq!((passage.left_after, passage.spell.days, passage.spell.ending), (10.0, 10.0, Ending::Open));
    }

    #[test]
    fn a_transfer_leaves_the_old_pipeline_open() {
        let mut events = reopened_deal();
        events.truncate(2);
        events.push(event(2, 1, Change::Transferred('X')));
        events.push(event(2, 3, Change::Removed));
        let episodes = episodes_at(&events, on(6, 1));
        let ends: Vec<_> = episodes.iter().map(|episode| (episode.ending, episode.ended_at)).collect();
        assert_eq!(ends, [(Ending::Open, on(2, 1)), (Ending::Open, on(2, 3))]);
        assert_eq!(state_at(&events, on(2, 2)).map(|state| state.episode), Some(2));
        assert_eq!(state_at(&events, on(6, 1)), None);
    }

    /// Any history of one deal within 200 days: a creation and then whatever may happen.
    pub(crate) fn any_history() -> impl Strategy<Value = Vec<Event<char>>> {
        let stage = || prop::sample::select(vec!['Q', 'D', 'P']);
        let value = || prop::option::of((0_i64..1_000_000).prop_map(|cents| Decimal::new(cents, 2)));
        let close = || prop::option::of((1_u32..200).prop_map(|n| NaiveDate::from_yo_opt(2025, n).unwrap()));
        let change = prop_oneof![
            3 => stage().prop_map(Change::Moved),
            2 => value().prop_map(Change::Valued),
            2 => close().prop_map(Change::Rescheduled),
            1 => Just(Change::Won),
            1 => Just(Change::Lost),
            1 => stage().prop_map(Change::Reopened),
            1 => stage().prop_map(Change::Transferred),
            1 => Just(Change::Removed),
        ];
        let created = (stage(), value(), close()).prop_map(|(stage, value, expected_close_on)| Change::Created {
            stage,
            value,
            expected_close_on,
        });
        let rest = prop::collection::vec((0_i64..200, change), 0..10);
        (0_i64..200, created, rest).prop_map(|(first, created, rest)| {
            let mut days: Vec<i64> = rest.iter().map(|(day, _)| first + day).collect();
            days.sort_unstable();
            let changes = rest.into_iter().map(|(_, change)| change);
            let all = std::iter::once((first, created)).chain(days.into_iter().zip(changes));
            all.map(|(day, change)| Event { recorded_at: on(1, 1) + TimeDelta::days(day), change }).collect()
        })
    }

    proptest! {
        #[test]
        fn the_last_episode_ends_as_the_state_says(events in any_history(), day in 0_i64..400) {
            let at = on(1, 1) + TimeDelta::days(day);
            let episodes = episodes_at(&events, at);
            for episode in &episodes {
                prop_assert!(episode.visits.iter().all(|(_, entered_at)| *entered_at <= episode.ended_at));
            }
            let removed = events.iter().any(|event| event.change == Change::Removed);
            if let (Some(state), Some(last), false) = (state_at(&events, at), episodes.last(), removed) {
                prop_assert!(usize::try_from(state.episode).unwrap() == episodes.len());
                prop_assert!(state.status != Status::Open || last.ending == Ending::Open);
            }
        }
    }
}
