//! The reasons for an item, each with its points, and what the strongest of them asks for.

use std::cmp::Reverse;

use chrono::NaiveDate;
use rust_decimal::Decimal;

use super::{
    ANSWER_HOURS, Action, CLOSE_DAYS, Candidate, NOTABLE_FALL, NOTABLE_VALUE_POINTS, Reason, ReasonCode, VALUE_POINTS,
};

/// All reasons for an item, strongest first. `sorted_values` are the probable values of everything that the person owns.
pub(super) fn reasons<I, E: Clone>(
    candidate: &Candidate<I, E>,
    sorted_values: &[Decimal],
    today: NaiveDate,
) -> Vec<Reason<E>> {
    let mut reasons: Vec<Reason<E>> = about_work(candidate).into_iter().flatten().collect();
    reasons.extend(about_dates(candidate, today).into_iter().flatten());
    reasons.extend(about_others(candidate).into_iter().flatten());
    reasons.extend(about_figures(candidate, sorted_values).into_iter().flatten());
    reasons.sort_by_key(|reason| (Reverse(reason.points), reason.code));
    reasons
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
            let text = format!("A task is overdue by {}.", counted_days(*days));
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
fn about_dates<I, E>(candidate: &Candidate<I, E>, today: NaiveDate) -> [Option<Reason<E>>; 4] {
    let days_left = candidate.expected_close_on.map(|day| (day - today).num_days());
    [
        days_left.filter(|days| *days <= CLOSE_DAYS).map(|days| {
            let code = if days < 0 { ReasonCode::CloseDayPassed } else { ReasonCode::ClosingSoon };
            reason(code, 20, close_text(days))
        }),
        too_long_in_stage(candidate),
        candidate.untouched_days.map(|days| {
            reason(ReasonCode::Untouched, 15, format!("Nobody has touched it for {}.", counted_days(days)))
        }),
        candidate
            .is_review_missing
            .then(|| reason(ReasonCode::ReviewMissing, 20, "It closed, and nobody has written down why.".into())),
    ]
}

/// The deal stands in its stage longer than the stage allows, else longer than won deals did: one fact, told once.
fn too_long_in_stage<I, E>(candidate: &Candidate<I, E>) -> Option<Reason<E>> {
    let allowed = candidate.overstayed.map(|(days, allowed)| {
        let verb = if allowed == 1 { "is" } else { "are" };
        let text = format!("{} in its stage; {allowed} {verb} allowed.", counted_days(days));
        reason(ReasonCode::Overstayed, 15, text)
    });
    allowed.or_else(|| {
        let (days, usual) = candidate.stage_age.filter(|(days, usual)| *days >= 1.0 && days > usual)?;
        // Whole days can be the same on both sides of the limit: then one of them is told.
        let (stood, took) = (days.floor() as i64, usual.ceil().max(1.0) as i64);
        let stood_text = counted_days(stood);
        let text = if stood > took {
            format!("{stood_text} in its stage; nine in ten won deals took {} or less.", counted_days(took))
        } else {
            format!("{stood_text} in its stage: longer than nine in ten won deals.")
        };
        Some(reason(ReasonCode::StandingLong, 15, text))
    })
}

/// Reasons that lie in people who wait.
fn about_others<I, E>(candidate: &Candidate<I, E>) -> [Option<Reason<E>>; 2] {
    [
        candidate.hot_lead_score.filter(|_| !candidate.is_mail_suppressed || candidate.has_phone).map(|score| {
            let how =
                if candidate.is_mail_suppressed { "call; its mail address is suppressed" } else { "get in touch" };
            reason(ReasonCode::HotLead, 30, format!("A lead with a score of {score} waits for somebody to {how}."))
        }),
        candidate.decision_awaited_days.map(|days| {
            let text = match days {
                ..=0 => "A request waits for your decision since today.".into(),
                1 => "A request has waited for your decision for a day.".into(),
                _ => format!("A request has waited for your decision for {days} days."),
            };
            reason(ReasonCode::DecisionAwaited, 30, text)
        }),
    ]
}

/// Reasons that lie in the deal's figures.
fn about_figures<I, E>(candidate: &Candidate<I, E>, sorted_values: &[Decimal]) -> [Option<Reason<E>>; 2] {
    let fell = candidate.figures.and_then(|figures| Some((figures.probability_last_week?, figures.probability)));
    let rank = candidate.figures.and_then(|figures| Rank::of(figures.probable_value, sorted_values));
    [
        fell.filter(|(before, now)| before - now > NOTABLE_FALL).map(|(before, now)| {
            let text =
                format!("Its win probability fell from {:.0} % to {:.0} % in a week.", before * 100.0, now * 100.0);
            reason(ReasonCode::ProbabilityFell, 10, text)
        }),
        rank.filter(|rank| rank.points() >= NOTABLE_VALUE_POINTS)
            .map(|rank| reason(ReasonCode::Valuable, rank.points(), rank.text())),
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

fn counted_days(days: i64) -> String {
    if days == 1 { "1 day".into() } else { format!("{days} days") }
}

/// How many of the other deals are worth less: PostgreSQL's `percent_rank`.
#[derive(Debug, Clone, Copy)]
struct Rank {
    below: usize,
    others: usize,
}

impl Rank {
    /// The rank among the values of all deals, which are sorted; none where there is no other.
    fn of(value: Decimal, sorted_values: &[Decimal]) -> Option<Self> {
        let others = sorted_values.len().checked_sub(1).filter(|others| *others > 0)?;
        Some(Self { below: sorted_values.partition_point(|other| *other < value), others })
    }

    /// Twenty times the share of the others that are worth less, rounded half up.
    fn points(self) -> u32 {
        ((2 * VALUE_POINTS * self.below + self.others) / (2 * self.others)) as u32
    }

    fn text(self) -> String {
        if self.below == self.others {
            return "None of your other open deals has a probable value as high.".into();
        }
        let percent = 100 * self.below / self.others;
        format!("Its probable value exceeds that of {percent} % of your other open deals with a value.")
    }
}

pub(super) fn action<I, E>(strongest: ReasonCode, candidate: &Candidate<I, E>) -> Action {
    match wanted(strongest) {
        Action::GetInTouch if candidate.is_mail_suppressed && candidate.has_phone => Action::Call,
        wanted => wanted,
    }
}

fn wanted(strongest: ReasonCode) -> Action {
    match strongest {
        ReasonCode::TaskOverdue | ReasonCode::TaskDueToday => Action::DoTask,
        ReasonCode::InboundUnanswered => Action::Reply,
        ReasonCode::ClosingSoon | ReasonCode::CloseDayPassed => Action::ConfirmCloseDay,
        ReasonCode::MeetingUnprepared => Action::PrepareMeeting,
        ReasonCode::HotLead
        | ReasonCode::StandingLong
        | ReasonCode::Overstayed
        | ReasonCode::Untouched
        | ReasonCode::ProbabilityFell => Action::GetInTouch,
        ReasonCode::DecisionAwaited => Action::Decide,
        ReasonCode::ReviewMissing => Action::WriteReview,
        ReasonCode::Valuable => Action::TakeNextStep,
    }
}
