//! What a person should do first today: points for each reason, no dice, and the reasons are told with each item.

use std::cmp::Reverse;

use chrono::NaiveDate;
use rust_decimal::Decimal;

/// Items on a list.
const LIST_LENGTH: usize = 10;

/// No item has more points.
const MAX_SCORE: u32 = 100;

/// Points of the most valuable deal.
const VALUE_POINTS: usize = 20;

/// Business hours after which a message waits too long.
const ANSWER_HOURS: f64 = 4.0;

/// Days ahead within which a close day presses.
const CLOSE_DAYS: i64 = 7;

/// A win probability that fell by more than this since last week is news.
const NOTABLE_FALL: f64 = 0.10;

/// Why an item is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonCode {
    /// A task should have been done before today.
    TaskOverdue,
    /// A message has waited for more than four business hours.
    InboundUnanswered,
    /// A task is due today.
    TaskDueToday,
    /// The deal is expected to close within seven days.
    ClosingSoon,
    /// A meeting today has no note to prepare it.
    MeetingUnprepared,
    /// The deal has stood in its stage longer than nine in ten won deals did.
    StandingLong,
    /// The win probability fell by more than ten points since last week.
    ProbabilityFell,
    /// The deal's probable value stands high among the person's open deals.
    Valuable,
}

/// One reason with its points and what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reason<E> {
    /// The reason.
    pub code: ReasonCode,
    /// Its points.
    pub points: u32,
    /// The record that proves it: the task, the message, the meeting; none where the item itself does.
    pub evidence: Option<E>,
    /// The reason as a sentence.
    pub text: String,
}

/// The one thing to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Do the task.
    DoTask,
    /// Answer the message.
    Reply,
    /// Confirm the close day or move it.
    ConfirmCloseDay,
    /// Prepare the meeting.
    PrepareMeeting,
    /// Get in touch with the buyer again.
    GetInTouch,
    /// Take the next step.
    TakeNextStep,
}

/// A deal, lead or task that may come on the list, with ids `I` and the ids `E` of what surrounds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate<I, E> {
    /// The item.
    pub id: I,
    /// Its most overdue open task and the days it is overdue, at least one.
    pub overdue_task: Option<(E, i64)>,
    /// Its open task due today.
    pub task_due_today: Option<E>,
    /// Its oldest message without an answer and the business hours it has waited.
    pub unanswered_inbound: Option<(E, f64)>,
    /// Its meeting today that no note prepares.
    pub unprepared_meeting: Option<E>,
    /// The day on which it is expected to close.
    pub expected_close_on: Option<NaiveDate>,
    /// Days in its stage, and what nine in ten won deals did not exceed there.
    pub stage_age: Option<(f64, f64)>,
    /// What a masked reader may not infer; absent for leads and tasks, or for everything where the reader may not see
    /// values.
    pub figures: Option<Figures>,
    /// True when mail to the item's only addresses is suppressed: then an answer is no reason.
    pub is_mail_suppressed: bool,
    /// True when the item's processing is restricted or a person snoozed it: it is left out.
    pub is_excluded: bool,
}

/// A deal's probable value and win probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Value times win probability, in one currency over all candidates.
    pub probable_value: Decimal,
    /// Win probability now, by age.
    pub probability: f64,
    /// The same a week ago; absent for a younger deal.
    pub probability_last_week: Option<f64>,
}

/// An item of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FocusItem<I, E> {
    /// The deal, lead or task.
    pub id: I,
    /// Sum of the reasons' points, at most 100.
    pub score: u32,
    /// The reasons, strongest first.
    pub reasons: Vec<Reason<E>>,
    /// The one thing to do: what the strongest reason asks for.
    pub action: Action,
}

/// The ten items with the most points, most first; at a tie the larger probable value, then the smaller id. `candidates`
/// are everything that one person owns: values are ranked among them.
#[must_use]
pub fn daily_focus<I: Ord + Clone, E: Clone>(candidates: &[Candidate<I, E>], today: NaiveDate) -> Vec<FocusItem<I, E>> {
    let mut values: Vec<Decimal> = candidates.iter().filter_map(probable_value).collect();
    values.sort_unstable();
    let eligible = candidates.iter().filter(|candidate| !candidate.is_excluded);
    let mut ranked: Vec<(Option<Decimal>, FocusItem<I, E>)> =
        eligible.filter_map(|candidate| Some((probable_value(candidate), item(candidate, &values, today)?))).collect();
    ranked.sort_by(|(value_a, a), (value_b, b)| {
        (Reverse(a.score), Reverse(value_a), &a.id).cmp(&(Reverse(b.score), Reverse(value_b), &b.id))
    });
    ranked.into_iter().take(LIST_LENGTH).map(|(_, item)| item).collect()
}

fn probable_value<I, E>(candidate: &Candidate<I, E>) -> Option<Decimal> {
    candidate.figures.map(|figures| figures.probable_value)
}

fn item<I: Clone, E: Clone>(
    candidate: &Candidate<I, E>,
    sorted_values: &[Decimal],
    today: NaiveDate,
) -> Option<FocusItem<I, E>> {
    let mut reasons: Vec<Reason<E>> = about_work(candidate).into_iter().flatten().collect();
    reasons.extend(about_the_deal(candidate, sorted_values, today).into_iter().flatten());
    reasons.sort_by_key(|reason| (Reverse(reason.points), reason.code));
    let action = action(reasons.first()?.code);
    let score = reasons.iter().map(|reason| reason.points).sum::<u32>().min(MAX_SCORE);
    Some(FocusItem { id: candidate.id.clone(), score, reasons, action })
}

/// Reasons that lie in tasks, messages and meetings.
fn about_work<I, E: Clone>(candidate: &Candidate<I, E>) -> [Option<Reason<E>>; 4] {
    let reason = |code, points, evidence: &E, text: String| {
        Some(Reason { code, points, evidence: Some(evidence.clone()), text })
    };
    let overdue = candidate.overdue_task.as_ref();
    let waiting = candidate.unanswered_inbound.as_ref();
    let waiting = waiting.filter(|(_, hours)| *hours > ANSWER_HOURS && !candidate.is_mail_suppressed);
    [
        overdue.and_then(|(task, days)| {
            let text = format!("A task is overdue by {days} {}.", if *days == 1 { "day" } else { "days" });
            reason(ReasonCode::TaskOverdue, 40, task, text)
        }),
        waiting.and_then(|(message, hours)| {
            let text = format!("A message has waited for an answer for {} business hours.", hours.floor());
            reason(ReasonCode::InboundUnanswered, 35, message, text)
        }),
        candidate
            .task_due_today
            .as_ref()
            .and_then(|task| reason(ReasonCode::TaskDueToday, 25, task, "A task is due today.".into())),
        candidate.unprepared_meeting.as_ref().and_then(|meeting| {
            reason(ReasonCode::MeetingUnprepared, 15, meeting, "No note prepares today's meeting.".into())
        }),
    ]
}

/// Reasons that lie in the deal's dates and figures.
fn about_the_deal<I, E>(
    candidate: &Candidate<I, E>,
    sorted_values: &[Decimal],
    today: NaiveDate,
) -> [Option<Reason<E>>; 4] {
    let reason = |code, points, text: String| Reason { code, points, evidence: None, text };
    let days_left = candidate.expected_close_on.map(|day| (day - today).num_days());
    let fell = candidate.figures.and_then(|figures| Some((figures.probability_last_week?, figures.probability)));
    let band = candidate.figures.map_or(0, |figures| value_points(sorted_values, figures.probable_value));
    [
        days_left.filter(|days| (0..=CLOSE_DAYS).contains(days)).map(|days| {
            let text = match days {
                0 => "It is expected to close today.".into(),
                1 => "It is expected to close tomorrow.".into(),
                _ => format!("It is expected to close in {days} days."),
            };
            reason(ReasonCode::ClosingSoon, 20, text)
        }),
        candidate.stage_age.filter(|(days, usual)| days > usual).map(|(days, usual)| {
            let text =
                format!("{} days in its stage; nine in ten won deals took {} or less.", days.floor(), usual.ceil());
            reason(ReasonCode::StandingLong, 15, text)
        }),
        fell.filter(|(before, now)| before - now > NOTABLE_FALL).map(|(before, now)| {
            let text =
                format!("Its win probability fell from {:.0} % to {:.0} % in a week.", before * 100.0, now * 100.0);
            reason(ReasonCode::ProbabilityFell, 10, text)
        }),
        (band > 0).then(|| {
            reason(ReasonCode::Valuable, band, "Its probable value stands high among your open deals.".into())
        }),
    ]
}

/// Twenty times the share of the other deals that are worth less (PostgreSQL's `percent_rank`), rounded half up.
fn value_points(sorted_values: &[Decimal], value: Decimal) -> u32 {
    let below = sorted_values.partition_point(|other| *other < value);
    let others = sorted_values.len().saturating_sub(1);
    if others == 0 { 0 } else { ((2 * VALUE_POINTS * below + others) / (2 * others)) as u32 }
}

fn action(strongest: ReasonCode) -> Action {
    match strongest {
        ReasonCode::TaskOverdue | ReasonCode::TaskDueToday => Action::DoTask,
        ReasonCode::InboundUnanswered => Action::Reply,
        ReasonCode::ClosingSoon => Action::ConfirmCloseDay,
        ReasonCode::MeetingUnprepared => Action::PrepareMeeting,
        ReasonCode::StandingLong | ReasonCode::ProbabilityFell => Action::GetInTouch,
        ReasonCode::Valuable => Action::TakeNextStep,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2025, 6, 2).unwrap()
    }

    fn candidate(id: u32, probable_value: i64) -> Candidate<u32, &'static str> {
        let probable_value = probable_value.into();
        Candidate {
            id,
            overdue_task: None,
            task_due_today: None,
            unanswered_inbound: None,
            unprepared_meeting: None,
            expected_close_on: None,
            stage_age: None,
            figures: Some(Figures { probable_value, probability: 0.5, probability_last_week: Some(0.5) }),
            is_mail_suppressed: false,
            is_excluded: false,
        }
    }

    /// Five deals; the first stands at the 75th percentile.
    fn among_others(first: Candidate<u32, &'static str>) -> Vec<Candidate<u32, &'static str>> {
        [first]
            .into_iter()
            .chain([(2, 10), (3, 20), (4, 30), (5, 900)].map(|(id, value)| candidate(id, value)))
            .collect()
    }

    fn score_of_first(first: Candidate<u32, &'static str>) -> Option<u32> {
        daily_focus(&among_others(first), today()).iter().find(|item| item.id == 1).map(|item| item.score)
    }

    #[test]
    fn each_reason_has_its_points() {
        let plain = candidate(1, 500);
        let close = |days| Some(today() + chrono::TimeDelta::days(days));
        let figures = |before| Some(Figures { probability_last_week: Some(before), ..plain.figures.unwrap() });
        let late = Candidate { overdue_task: Some(("t1", 2)), expected_close_on: close(3), ..plain.clone() };
        let cases = [
            ("value only", plain.clone(), 15),
            ("overdue and closing", late.clone(), 75),
            ("closing", Candidate { overdue_task: None, ..late.clone() }, 35),
            ("closing in 7 days", Candidate { expected_close_on: close(7), ..plain.clone() }, 35),
            ("closing in 8 days", Candidate { expected_close_on: close(8), ..plain.clone() }, 15),
            ("task today", Candidate { task_due_today: Some("t1"), ..plain.clone() }, 40),
            ("inbound 4 h", Candidate { unanswered_inbound: Some(("m1", 4.0)), ..plain.clone() }, 15),
            ("inbound 4.1 h", Candidate { unanswered_inbound: Some(("m1", 4.1)), ..plain.clone() }, 50),
            ("meeting", Candidate { unprepared_meeting: Some("a1"), ..plain.clone() }, 30),
            ("age at the limit", Candidate { stage_age: Some((30.0, 30.0)), ..plain.clone() }, 15),
            ("age over it", Candidate { stage_age: Some((31.0, 30.0)), ..plain.clone() }, 30),
            ("fell by ten", Candidate { figures: figures(0.6), ..plain.clone() }, 15),
            ("fell by eleven", Candidate { figures: figures(0.61), ..plain.clone() }, 25),
            ("capped", Candidate { unanswered_inbound: Some(("m1", 9.0)), task_due_today: Some("t2"), ..late }, 100),
        ];
        for (name, first, expected) in cases {
            assert_eq!(score_of_first(first), Some(expected), "{name}");
        }
    }

    #[test]
    fn reasons_come_strongest_first_with_their_evidence() {
        let first =
            Candidate { unanswered_inbound: Some(("m1", 5.5)), overdue_task: Some(("t1", 1)), ..candidate(1, 500) };
        let items = daily_focus(&among_others(first), today());
        let reasons: Vec<_> = items[0].reasons.iter().map(|reason| (reason.points, reason.evidence)).collect();
        assert_eq!(reasons, [(40, Some("t1")), (35, Some("m1")), (15, None)]);
        assert_eq!(items[0].reasons[0].text, "A task is overdue by 1 day.");
        assert_eq!(items[0].action, Action::DoTask);
    }

    #[test]
    fn excluded_items_and_suppressed_mail_are_left_out() {
        let plain = Candidate { figures: None, ..candidate(1, 0) };
        let mail = Candidate { unanswered_inbound: Some(("m1", 9.0)), ..plain.clone() };
        assert_eq!(score_of_first(mail.clone()), Some(35));
        assert_eq!(score_of_first(Candidate { is_mail_suppressed: true, ..mail.clone() }), None);
        assert_eq!(score_of_first(Candidate { is_excluded: true, ..mail }), None);
        assert_eq!(score_of_first(plain), None);
    }

    #[test]
    fn ties_go_to_the_larger_value_and_then_to_the_smaller_id() {
        let due = |id, value| Candidate { task_due_today: Some("t"), ..candidate(id, value) };
        let masked = |id| Candidate { figures: None, ..due(id, 0) };
        // With 41 deals between them, 1,000 and 1,001 share their points.
        let mut candidates: Vec<_> = (100..141).map(|id| candidate(id, 1)).collect();
        candidates.extend([due(7, 1_000), due(6, 1_001), due(9, 1_001)]);
        let ids: Vec<u32> = daily_focus(&candidates, today()).iter().map(|item| item.id).collect();
        assert_eq!(ids[..3], [6, 9, 7]);
        let ids: Vec<u32> =
            daily_focus(&[masked(3), masked(1), masked(2)], today()).iter().map(|item| item.id).collect();
        assert_eq!(ids, [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn the_list_is_short_sorted_and_does_not_depend_on_order(
            rows in prop::collection::vec((0_i64..50, any::<bool>(), any::<bool>(), 0_i64..20), 0..40),
        ) {
            let mut candidates: Vec<_> = rows.iter().enumerate().map(|(id, (value, overdue, due, days))| Candidate {
                overdue_task: overdue.then_some(("t", 1)),
                task_due_today: due.then_some("u"),
                expected_close_on: Some(today() + chrono::TimeDelta::days(*days)),
                ..candidate(id as u32, *value)
            }).collect();
            let items = daily_focus(&candidates, today());
            candidates.reverse();
            prop_assert_eq!(&items, &daily_focus(&candidates, today()));
            prop_assert!(items.len() <= LIST_LENGTH);
            prop_assert!(items.is_sorted_by_key(|item| Reverse(item.score)));
            for item in &items {
                let points: u32 = item.reasons.iter().map(|reason| reason.points).sum();
                prop_assert!(item.score == points.min(MAX_SCORE) && item.score > 0);
            }
        }
    }
}
