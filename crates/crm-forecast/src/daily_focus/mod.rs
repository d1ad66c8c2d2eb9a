//! What a person should do first today: points for each reason, no dice, and the reasons are told with each item.

use std::cmp::Reverse;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FocusReasonCode)]
pub enum ReasonCode {
    /// A task should have been done before today.
    TaskOverdue,
    /// A message has waited for more than four business hours.
    InboundUnanswered,
    /// A promising lead waits for somebody to get in touch.
    HotLead,
    /// A task is due today.
    TaskDueToday,
    /// The deal is expected to close within seven days.
    ClosingSoon,
    /// The day on which the deal was expected to close is over.
    CloseDayPassed,
    /// The deal closed and nobody has written down why.
    ReviewMissing,
    /// A meeting today has no note to prepare it.
    MeetingUnprepared,
    /// The deal has stood in its stage longer than nine in ten won deals did.
    StandingLong,
    /// Nobody has touched the deal for too long.
    Untouched,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FocusAction)]
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
    /// Write down why the deal was won or lost.
    WriteReview,
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
    /// Days since anybody touched the deal, where they are too many, see [`crate::stale`].
    pub untouched_days: Option<i64>,
    /// The score of a promising lead that nobody is in touch with.
    pub hot_lead_score: Option<i32>,
    /// True when the deal has closed without a review.
    pub is_review_missing: bool,
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
    reasons.extend(about_dates(candidate, today).into_iter().flatten());
    reasons.extend(about_figures(candidate, sorted_values).into_iter().flatten());
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

/// Reasons that lie in what has not happened for too long, or soon should.
fn about_dates<I, E>(candidate: &Candidate<I, E>, today: NaiveDate) -> [Option<Reason<E>>; 5] {
    let days_left = candidate.expected_close_on.map(|day| (day - today).num_days());
    [
        days_left.filter(|days| *days <= CLOSE_DAYS).map(|days| {
            let code = if days < 0 { ReasonCode::CloseDayPassed } else { ReasonCode::ClosingSoon };
            reason(code, 20, close_text(days))
        }),
        candidate.stage_age.filter(|(days, usual)| days > usual).map(|(days, usual)| {
            let text =
                format!("{} days in its stage; nine in ten won deals took {} or less.", days.floor(), usual.ceil());
            reason(ReasonCode::StandingLong, 15, text)
        }),
        candidate
            .untouched_days
            .map(|days| reason(ReasonCode::Untouched, 15, format!("Nobody has touched it for {days} days."))),
        candidate.hot_lead_score.map(|score| {
            reason(
                ReasonCode::HotLead,
                30,
                format!("A lead with a score of {score} waits for somebody to get in touch."),
            )
        }),
        candidate
            .is_review_missing
            .then(|| reason(ReasonCode::ReviewMissing, 20, "It closed, and nobody has written down why.".into())),
    ]
}

/// Reasons that lie in the deal's figures.
fn about_figures<I, E>(candidate: &Candidate<I, E>, sorted_values: &[Decimal]) -> [Option<Reason<E>>; 2] {
    let fell = candidate.figures.and_then(|figures| Some((figures.probability_last_week?, figures.probability)));
    let band = candidate.figures.map_or(0, |figures| value_points(sorted_values, figures.probable_value));
    [
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

fn reason<E>(code: ReasonCode, points: u32, text: String) -> Reason<E> {
    Reason { code, points, evidence: None, text }
}

fn close_text(days_left: i64) -> String {
    match days_left {
        ..-1 => format!("It was expected to close {} days ago.", -days_left),
        -1 => "It was expected to close yesterday.".into(),
        0 => "It is expected to close today.".into(),
        1 => "It is expected to close tomorrow.".into(),
        _ => format!("It is expected to close in {days_left} days."),
    }
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
        ReasonCode::ClosingSoon | ReasonCode::CloseDayPassed => Action::ConfirmCloseDay,
        ReasonCode::MeetingUnprepared => Action::PrepareMeeting,
        ReasonCode::HotLead | ReasonCode::StandingLong | ReasonCode::Untouched | ReasonCode::ProbabilityFell => {
            Action::GetInTouch
        }
        ReasonCode::ReviewMissing => Action::WriteReview,
        ReasonCode::Valuable => Action::TakeNextStep,
    }
}

#[cfg(test)]
mod tests;
