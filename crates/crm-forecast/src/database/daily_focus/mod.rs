//! What the signed-in user should do first today, over their tasks, deals and leads, and over what waits for their decision.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_core::{
    Error, Id, Result, Tx, activities::Activity, deals::Deal, leads::Lead, proposals::Awaited, tasks::Task, users::User,
};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use self::desk::{Desk, Evidence, Subject};
use crate::daily_focus::{Action, FocusItem, ReasonCode, daily_focus};

mod deals;
mod desk;
pub mod dismissals;
mod mail;
mod people;
mod sight;
mod tasks;
mod timeline;

/// Finds the requests that wait for the caller's decision, which whoever keeps them knows.
pub type FindAwaited = fn(&mut Tx<'_>) -> Result<Vec<Awaited>>;

/// What to do first today.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DailyFocus {
    /// At most ten items, the most pressing first.
    pub items: Vec<FocusedItem>,
    /// As of when.
    pub generated_at: DateTime<Utc>,
}

/// A deal, lead, task or request to attend to. Exactly one of the ids is there.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FocusedItem {
    /// `deal`, `lead`, `task` or `approval`.
    pub kind: &'static str,
    /// The deal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deal_id: Option<Id<Deal>>,
    /// The lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead_id: Option<Id<Lead>>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Id<Task>>,
    /// The request that waits for a decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<Uuid>,
    /// What people call it.
    pub title: String,
    /// Sum of the reasons' points, at most 100.
    pub score: u32,
    /// The reasons, strongest first.
    pub reasons: Vec<FocusReason>,
    /// What the strongest reason asks for.
    pub suggested_action: Action,
}

/// Why something is on the list.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FocusReason {
    /// The reason.
    pub code: ReasonCode,
    /// Its points.
    pub points: u32,
    /// The reason as a sentence.
    pub text: String,
    /// The task that proves it, where it lies in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Id<Task>>,
    /// The message or the meeting that proves it, where it lies in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activity_id: Option<Id<Activity>>,
}

/// The ten most pressing things of the signed-in user. Days are those of the organization's zone.
///
/// # Errors
/// [`Error::Forbidden`], also where no person is signed in.
pub fn read(tx: &mut Tx<'_>, find_awaited: FindAwaited) -> Result<DailyFocus> {
    let desk = Desk::of(tx, person(tx)?, find_awaited)?;
    let (today, now) = (desk.today, tx.ctx.now);
    let (titles, candidates): (BTreeMap<_, _>, Vec<_>) =
        desk.things.into_iter().map(|(subject, (title, candidate))| ((subject, title), candidate)).unzip();
    let items = daily_focus(&candidates, today).into_iter();
    Ok(DailyFocus { items: items.map(|item| focused(item, &titles)).collect(), generated_at: now })
}

/// Whose focus it is.
fn person(tx: &Tx<'_>) -> Result<Id<User>> {
    let nobody = || Error::Forbidden { code: "person_required", reason: "The daily focus is a person's own.".into() };
    tx.ctx.actor.user().ok_or_else(nobody)
}

fn focused(item: FocusItem<Subject, Evidence>, titles: &BTreeMap<Subject, String>) -> FocusedItem {
    let reasons = item.reasons.into_iter().map(|reason| FocusReason {
        code: reason.code,
        points: reason.points,
        text: reason.text,
        task_id: reason.evidence.and_then(Evidence::task),
        activity_id: reason.evidence.and_then(Evidence::activity),
    });
    FocusedItem {
        kind: item.id.kind(),
        deal_id: item.id.deal(),
        lead_id: item.id.lead(),
        task_id: item.id.task(),
        approval_id: item.id.approval(),
        title: titles.get(&item.id).cloned().unwrap_or_default(),
        score: item.score,
        reasons: reasons.collect(),
        suggested_action: item.action,
    }
}
