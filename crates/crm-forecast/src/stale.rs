//! Deals that nobody has touched for too long, and deals that have stood in their stage for too long. Two clocks: one
//! starts anew with each touch, the other with each stage.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::histories::{Status, days};

/// Days without a touch after which a deal is stale where neither the question nor the stage says otherwise.
pub const DEFAULT_THRESHOLD_DAYS: u32 = 14;

/// Won deals below which no threshold is suggested.
const ENOUGH_DEALS: usize = 5;

/// What may happen around a deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occurrence {
    /// The deal was created.
    Created,
    /// A message from the buyer came in.
    MailReceived,
    /// A message to the buyer went out.
    MailSent,
    /// A call was held.
    CallHeld,
    /// A meeting was held.
    MeetingHeld,
    /// A person wrote a note.
    NoteWritten,
    /// A task was done.
    TaskDone,
    /// The deal changed its stage.
    StageChanged,
    /// The next step was changed.
    NextStepChanged,
    /// Data was added from elsewhere.
    Enriched,
    /// An import wrote the deal.
    Imported,
    /// The system itself wrote the deal.
    SystemWrote,
    /// Somebody looked at the deal.
    Viewed,
    /// A derived figure was computed anew.
    Recalculated,
    /// The deal was given to another owner.
    Reassigned,
}

impl Occurrence {
    /// True for what a person or the buyer did for the deal; that resets the clock.
    #[must_use]
    pub fn is_touch(self) -> bool {
        !matches!(
            self,
            Self::Enriched | Self::Imported | Self::SystemWrote | Self::Viewed | Self::Recalculated | Self::Reassigned
        )
    }
}

/// What reset the clock, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touch {
    /// What happened.
    pub what: Occurrence,
    /// When.
    pub at: DateTime<Utc>,
}

/// The latest touch among what happened; the creation where nobody touched the deal since.
#[must_use]
pub fn last_touch(created_at: DateTime<Utc>, occurrences: &[Touch]) -> Touch {
    let created = Touch { what: Occurrence::Created, at: created_at };
    let touches = occurrences.iter().filter(|occurrence| occurrence.what.is_touch());
    touches
        .copied()
        .chain([created])
        .max_by_key(|touch| (touch.at, touch.what != Occurrence::Created))
        .unwrap_or(created)
}

/// A deal as the two clocks see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchedDeal {
    /// Its status.
    pub status: Status,
    /// What last reset the first clock, see [`last_touch`].
    pub last_touch: Touch,
    /// When it entered its stage.
    pub stage_entered_at: DateTime<Utc>,
    /// Until when a person asked not to be reminded.
    pub snoozed_until: Option<DateTime<Utc>>,
    /// When its next activity is planned.
    pub next_activity_at: Option<DateTime<Utc>>,
}

/// What is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Days that the question asks for; they beat the stage's.
    pub asked_days: Option<u32>,
    /// Days that the stage allows without a touch.
    pub stale_after_days: Option<u32>,
    /// Days that the stage allows altogether.
    pub max_days_in_stage: Option<u32>,
    /// True to leave deals alone for which an activity is planned.
    pub exclude_scheduled: bool,
}

/// Whether a deal is stale, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody touched it for as long as the threshold, or longer.
    Stale,
    /// It was touched within the threshold.
    Fresh,
    /// It is won or lost.
    Closed,
    /// A person asked for quiet, and the time is not over.
    Snoozed,
    /// An activity is planned, and such deals are left alone.
    Scheduled,
}

/// Where a threshold comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ThresholdSource {
    /// The question.
    Asked,
    /// The stage.
    Stage,
    /// Neither; [`DEFAULT_THRESHOLD_DAYS`].
    Default,
}

/// The verdict and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    /// Whether the deal is stale.
    pub verdict: Verdict,
    /// Whole days of 86,400 seconds since the last touch.
    pub days_since_touch: i64,
    /// The threshold that applied.
    pub threshold_days: u32,
    /// Where it comes from.
    pub threshold_source: ThresholdSource,
    /// What reset the clock.
    pub last_touch: Touch,
    /// Whole days in the stage.
    pub days_in_stage: i64,
    /// True when the deal is open and has stood in its stage as long as the stage allows, or longer.
    pub is_overstayed: bool,
}

/// Reads both clocks of a deal.
#[must_use]
pub fn assess(deal: &WatchedDeal, limits: &Limits, now: DateTime<Utc>) -> Assessment {
    let (threshold_days, threshold_source) = match (limits.asked_days, limits.stale_after_days) {
        (Some(asked), _) => (asked, ThresholdSource::Asked),
        (None, Some(stage)) => (stage, ThresholdSource::Stage),
        (None, None) => (DEFAULT_THRESHOLD_DAYS, ThresholdSource::Default),
    };
    let days_since_touch = whole_days(now - deal.last_touch.at);
    let days_in_stage = whole_days(now - deal.stage_entered_at);
    let lies_ahead = |at: Option<DateTime<Utc>>| at.is_some_and(|at| at > now);
    let verdict = match deal.status {
        Status::Won | Status::Lost => Verdict::Closed,
        Status::Open if lies_ahead(deal.snoozed_until) => Verdict::Snoozed,
        Status::Open if days_since_touch < i64::from(threshold_days) => Verdict::Fresh,
        Status::Open if limits.exclude_scheduled && lies_ahead(deal.next_activity_at) => Verdict::Scheduled,
        Status::Open => Verdict::Stale,
    };
    let is_overstayed = deal.status == Status::Open
        && limits.max_days_in_stage.is_some_and(|allowed| days_in_stage >= i64::from(allowed));
    let last_touch = deal.last_touch;
    Assessment { verdict, days_since_touch, threshold_days, threshold_source, last_touch, days_in_stage, is_overstayed }
}

/// The longest time without a touch between entering a stage and leaving it, in days.
#[must_use]
pub fn longest_silence(entered_at: DateTime<Utc>, left_at: DateTime<Utc>, occurrences: &[Touch]) -> f64 {
    let within = |touch: &&Touch| touch.what.is_touch() && touch.at > entered_at && touch.at < left_at;
    let mut ends: Vec<DateTime<Utc>> = occurrences.iter().filter(within).map(|touch| touch.at).collect();
    ends.extend([entered_at, left_at.max(entered_at)]);
    ends.sort_unstable();
    ends.windows(2).map(|pair| days(pair[1] - pair[0])).fold(0.0, f64::max)
}

/// The days that the share `level` of won deals did not exceed (nearest rank), whether in a stage altogether or
/// between touches. Longer than that, and few deals were still won. `None` below five deals.
#[must_use]
pub fn days_of_won_deals(days: &[f64], level: f64) -> Option<f64> {
    if days.len() < ENOUGH_DEALS {
        return None;
    }
    let mut sorted = days.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (level * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len()) - 1).copied()
}

/// A threshold for a stage from the longest silences of its won deals: the whole days after which nine in ten of them
/// had been touched again. `None` below five deals.
#[must_use]
pub fn suggested_threshold_days(silences: &[f64]) -> Option<u32> {
    days_of_won_deals(silences, 0.9).map(|days| days.ceil().max(1.0) as u32)
}

fn whole_days(span: TimeDelta) -> i64 {
    span.num_days().max(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histories::tests::on;
    use proptest::prelude::*;

    fn touched(at: DateTime<Utc>) -> WatchedDeal {
        let last_touch = Touch { what: Occurrence::CallHeld, at };
        WatchedDeal {
            status: Status::Open,
            last_touch,
            stage_entered_at: at,
            snoozed_until: None,
            next_activity_at: None,
        }
    }

    #[test]
    fn the_threshold_is_reached_on_the_second() {
        let (deal, limits) = (touched(on(1, 1)), Limits::default());
        let cases = [(-1, 13, Verdict::Fresh), (0, 14, Verdict::Stale), (86_400, 15, Verdict::Stale)];
        for (seconds, days, verdict) in cases {
            let seen = assess(&deal, &limits, on(1, 15) + TimeDelta::seconds(seconds));
            assert_eq!((seen.days_since_touch, seen.verdict), (days, verdict), "{seconds} s");
        }
    }

    #[test]
    fn the_question_beats_the_stage_and_that_the_default() {
        let cases = [
            (Some(3), Some(5), 3, ThresholdSource::Asked),
            (None, Some(5), 5, ThresholdSource::Stage),
            (None, None, 14, ThresholdSource::Default),
        ];
        for (asked_days, stale_after_days, threshold, source) in cases {
            let limits = Limits { asked_days, stale_after_days, ..Limits::default() };
            let seen = assess(&touched(on(1, 1)), &limits, on(1, 10));
            assert_eq!((seen.threshold_days, seen.threshold_source), (threshold, source));
            assert_eq!(seen.verdict == Verdict::Stale, threshold <= 9);
        }
    }

    #[test]
    fn closed_snoozed_and_scheduled_deals_are_not_stale() {
        let (deal, now) = (touched(on(1, 1)), on(3, 1));
        let soon = Some(now + TimeDelta::seconds(1));
        let exclude = Limits { exclude_scheduled: true, ..Limits::default() };
        let cases = [
            (WatchedDeal { status: Status::Won, ..deal }, exclude, Verdict::Closed),
            (WatchedDeal { status: Status::Lost, snoozed_until: soon, ..deal }, exclude, Verdict::Closed),
            (WatchedDeal { snoozed_until: soon, ..deal }, exclude, Verdict::Snoozed),
            (WatchedDeal { snoozed_until: Some(now), ..deal }, exclude, Verdict::Stale),
            (WatchedDeal { next_activity_at: soon, ..deal }, exclude, Verdict::Scheduled),
            (WatchedDeal { next_activity_at: soon, ..deal }, Limits::default(), Verdict::Stale),
            (WatchedDeal { next_activity_at: Some(on(2, 1)), ..deal }, exclude, Verdict::Stale),
        ];
        for (deal, limits, verdict) in cases {
            assert_eq!(assess(&deal, &limits, now).verdict, verdict, "{deal:?}");
        }
    }

    #[test]
    fn the_stages_clock_runs_on_through_touches() {
        let deal = WatchedDeal { stage_entered_at: on(1, 1), ..touched(on(1, 30)) };
        let limits = Limits { max_days_in_stage: Some(30), ..Limits::default() };
        for (now, days, overstayed) in [(on(1, 30), 29, false), (on(1, 31), 30, true)] {
            let seen = assess(&deal, &limits, now);
            assert_eq!((seen.days_in_stage, seen.is_overstayed, seen.verdict), (days, overstayed, Verdict::Fresh));
        }
        let won = WatchedDeal { status: Status::Won, ..deal };
        assert!(!assess(&won, &limits, on(6, 1)).is_overstayed);
    }

    #[test]
    fn only_people_reset_the_clock() {
        let at = |day, what| Touch { what, at: on(1, day) };
        let mut occurrences = vec![at(9, Occurrence::Viewed), at(8, Occurrence::Reassigned)];
        assert_eq!(last_touch(on(1, 2), &occurrences), at(2, Occurrence::Created));
        occurrences.extend([at(4, Occurrence::MailReceived), at(3, Occurrence::NoteWritten)]);
        assert_eq!(last_touch(on(1, 2), &occurrences), at(4, Occurrence::MailReceived));
        assert_eq!(last_touch(on(1, 4), &occurrences), at(4, Occurrence::MailReceived));
    }

    #[test]
    fn thresholds_are_suggested_from_nine_in_ten_won_deals() {
        let silences: Vec<f64> = (1..=10).map(|n| f64::from(n) + 0.5).collect();
        assert_eq!(suggested_threshold_days(&silences), Some(10));
        assert_eq!(suggested_threshold_days(&silences[..4]), None);
        assert_eq!(days_of_won_deals(&silences, 0.9), Some(9.5));
        assert_eq!(suggested_threshold_days(&[0.0; 5]), Some(1));
    }

    #[test]
    fn silence_is_measured_between_touches() {
        let at = |day, what| Touch { what, at: on(1, day) };
        let occurrences = [at(4, Occurrence::CallHeld), at(9, Occurrence::Viewed), at(12, Occurrence::MailSent)];
        assert_eq!(longest_silence(on(1, 2), on(1, 14), &occurrences), 8.0);
        assert_eq!(longest_silence(on(1, 2), on(1, 3), &occurrences), 1.0);
    }

    proptest! {
        #[test]
        fn a_stale_deal_stays_stale_until_touched(threshold in 0_u32..60, seconds in 0_i64..10_000_000, more in 0_i64..10_000_000) {
            let limits = Limits { asked_days: Some(threshold), ..Limits::default() };
            let verdict = |seconds| assess(&touched(on(1, 1)), &limits, on(1, 1) + TimeDelta::seconds(seconds)).verdict;
            prop_assert_eq!(verdict(seconds) == Verdict::Stale, seconds >= i64::from(threshold) * 86_400);
            prop_assert!(verdict(seconds) != Verdict::Stale || verdict(seconds + more) == Verdict::Stale);
        }
    }
}
