//! What a person should do first today: points for each reason, no dice, and the reasons are told with each item.

use std::cmp::Reverse;

use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod business_hours;
mod dismissals;
mod reasons;

pub use self::business_hours::business_hours;
pub use self::dismissals::{Dismissal, Ground, grounds};

/// Items on a list.
const LIST_LENGTH: usize = 10;

/// No item has more points.
const MAX_SCORE: u32 = 100;

/// Points of the most valuable deal.
const VALUE_POINTS: usize = 20;

/// Points below which a deal's rank by value is no reason: about a quarter of the other deals are worth less.
const NOTABLE_VALUE_POINTS: u32 = 5;

/// Business hours after which a message waits too long.
const ANSWER_HOURS: f64 = 4.0;

/// Days ahead within which a close day presses.
const CLOSE_DAYS: i64 = 7;

/// A win probability that fell by more than this since last week is news.
const NOTABLE_FALL: f64 = 0.10;

/// Why an item is on the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FocusReasonCode)]
pub enum ReasonCode {
    /// A task should have been done before today.
    TaskOverdue,
    /// A message has waited for more than four business hours.
    InboundUnanswered,
    /// A promising lead waits for somebody to get in touch.
    HotLead,
    /// Somebody's request waits for the person's approval.
    DecisionAwaited,
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
    /// The deal has stood in its stage for a day or more, and longer than nine in ten won deals did.
    StandingLong,
    /// The deal has stood in its stage for as long as the stage allows, or longer.
    Overstayed,
    /// Nobody has touched the deal for too long.
    Untouched,
    /// The win probability fell by more than ten points since last week.
    ProbabilityFell,
    /// The deal's probable value exceeds that of about a quarter of the person's other open deals or more.
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
    /// Call: the mail address is suppressed.
    Call,
    /// Write down why the deal was won or lost.
    WriteReview,
    /// Approve the request or reject it.
    Decide,
    /// Take the next step.
    TakeNextStep,
}

/// A deal, lead, task or request that may come on the list, with ids `I` and the ids `E` of what surrounds it.
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
    /// Whole days in its stage and the days that the stage allows, where the deal has used them up, see [`crate::stale`].
    pub overstayed: Option<(i64, i64)>,
    /// Days since anybody touched the deal, where they are too many, see [`crate::stale`].
    pub untouched_days: Option<i64>,
    /// The score of a promising lead that nobody is in touch with.
    pub hot_lead_score: Option<i32>,
    /// Whole days that somebody's request has waited for the person's decision.
    pub decision_awaited_days: Option<i64>,
    /// True when the deal has closed without a review.
    pub is_review_missing: bool,
    /// What a masked reader may not infer; absent for leads and tasks, or for everything where the reader may not see
    /// values.
    pub figures: Option<Figures>,
    /// True when mail to the item's only address is suppressed: then an answer is no reason, and nobody is told to write.
    pub is_mail_suppressed: bool,
    /// True when there is a telephone number to call instead.
    pub has_phone: bool,
    /// True when the item's processing is restricted or a person snoozed it: it is left out.
    pub is_excluded: bool,
    /// Counts the changes of the item's record.
    pub version: i64,
    /// When the record was last touched, as far as the person sees that.
    pub touched_at: Option<DateTime<Utc>>,
    /// The person's word that they know of it. While nothing else has come up, the item is left out.
    pub dismissal: Option<Dismissal<E>>,
}

impl<I, E> Candidate<I, E> {
    /// An item for which nothing presses.
    #[must_use]
    pub fn blank(id: I) -> Self {
        Self {
            id,
            overdue_task: None,
            task_due_today: None,
            unanswered_inbound: None,
            unprepared_meeting: None,
            expected_close_on: None,
            stage_age: None,
            overstayed: None,
            untouched_days: None,
            hot_lead_score: None,
            decision_awaited_days: None,
            is_review_missing: false,
            figures: None,
            is_mail_suppressed: false,
            has_phone: false,
            is_excluded: false,
            version: 0,
            touched_at: None,
            dismissal: None,
        }
    }
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
    /// The deal, lead, task or request.
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
pub fn daily_focus<I: Ord + Clone, E: Clone + PartialEq>(
    candidates: &[Candidate<I, E>],
    today: NaiveDate,
) -> Vec<FocusItem<I, E>> {
    let mut values: Vec<Decimal> = candidates.iter().filter_map(probable_value).collect();
    values.sort_unstable();
    let eligible = candidates.iter().filter(|candidate| !candidate.is_excluded && !candidate.is_dismissed(today));
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
    let reasons = reasons::reasons(candidate, sorted_values, today);
    let action = reasons::action(reasons.first()?.code, candidate);
    let score = reasons.iter().map(|reason| reason.points).sum::<u32>().min(MAX_SCORE);
    Some(FocusItem { id: candidate.id.clone(), score, reasons, action })
}

#[cfg(test)]
mod tests;
