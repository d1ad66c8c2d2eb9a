//! What last reset the clock of a deal that nobody touches, when, and by whom; and who asked for quiet.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_core::{Id, Result, Tx, deals::Deal, users::User};
use diesel::{Queryable, sql_types as st};
use serde::Serialize;
use utoipa::ToSchema;

/// What last reset the clock of a deal.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LastTouch {
    /// What was done.
    pub what: TouchKind,
    /// When.
    pub at: DateTime<Utc>,
    /// Who did it; absent where the program did, or nobody knows.
    pub by: Option<Toucher>,
}

/// Somebody who touched a deal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Toucher {
    /// Their id.
    pub id: Id<User>,
    /// What people call them.
    pub name: String,
}

/// What touches a deal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TouchKind {
    /// It was made, and nothing since.
    Created,
    /// It moved to another stage.
    StageChanged,
    /// A call.
    Call,
    /// A mail, in or out.
    Email,
    /// A meeting.
    Meeting,
    /// A note.
    Note,
    /// Something else that was done about it.
    Other,
    /// A task about it was done.
    TaskDone,
    /// The buyer promised another next step.
    NextStepChanged,
}

/// A snooze as the history tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SnoozeReason {
    pub(super) reason: Option<String>,
    pub(super) by: Option<Toucher>,
}

/// What is known about the clock of one deal.
#[derive(Queryable)]
pub(super) struct Clock {
    deal: Id<Deal>,
    last_activity_at: Option<DateTime<Utc>>,
    stage_entered_at: DateTime<Utc>,
    created_at: DateTime<Utc>,
    activity: Option<String>,
    activity_by: Option<Id<User>>,
    task_by: Option<Id<User>>,
    is_task: bool,
    next_step_by: Option<Id<User>>,
    is_next_step: bool,
    stage_by: Option<Id<User>>,
    snooze_note: Option<String>,
    snoozed_by: Option<Id<User>>,
}

type ClockTypes = (
    st::Uuid,
    st::Nullable<st::Timestamptz>,
    st::Timestamptz,
    st::Timestamptz,
    st::Nullable<st::Text>,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Uuid>,
    st::Bool,
    st::Nullable<st::Uuid>,
    st::Bool,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Text>,
    st::Nullable<st::Uuid>,
);

const CLOCKS: &str = "SELECT d.id, d.last_activity_at, d.stage_entered_at, d.created_at, a.type, a.user_id, \
     t.assignee_id, t.id IS NOT NULL, n.changed_by, n.id IS NOT NULL, coalesce(s.changed_by, v.entered_by), z.note, z.changed_by FROM deals d \
     LEFT JOIN LATERAL (SELECT type, user_id FROM activities WHERE organization_id = {org} AND deal_id = d.id \
       AND occurred_at = d.last_activity_at ORDER BY id LIMIT 1) a ON TRUE \
     LEFT JOIN LATERAL (SELECT id, assignee_id FROM tasks WHERE organization_id = {org} AND deal_id = d.id \
       AND completed_at = d.last_activity_at ORDER BY id LIMIT 1) t ON TRUE \
     LEFT JOIN LATERAL (SELECT id, changed_by FROM field_history WHERE organization_id = {org} \
       AND entity_type = 'deal_intel' AND entity_id = d.id AND field_name = 'nextStepCommitment' \
       AND changed_at = d.last_activity_at ORDER BY id LIMIT 1) n ON TRUE \
     LEFT JOIN LATERAL (SELECT changed_by FROM field_history WHERE organization_id = {org} \
       AND entity_type = 'deal' AND entity_id = d.id AND field_name = 'stageId' \
       AND changed_at = d.stage_entered_at ORDER BY id DESC LIMIT 1) s ON TRUE \
     LEFT JOIN LATERAL (SELECT entered_by FROM deal_stage_visits WHERE organization_id = {org} AND deal_id = d.id \
       AND entered_at = d.stage_entered_at ORDER BY visit DESC LIMIT 1) v ON TRUE \
     LEFT JOIN LATERAL (SELECT note, changed_by FROM field_history WHERE organization_id = {org} \
       AND entity_type = 'deal' AND entity_id = d.id AND field_name = 'staleSnoozedUntil' \
       ORDER BY changed_at DESC, id DESC LIMIT 1) z ON d.stale_snoozed_until IS NOT NULL \
     WHERE d.organization_id = {org} AND d.id = ANY({})";

/// The last touch and the snooze of each of some deals.
pub(super) fn read(tx: &mut Tx<'_>, deals: &[Id<Deal>]) -> Result<BTreeMap<Id<Deal>, (LastTouch, SnoozeReason)>> {
    let clocks: Vec<Clock> = tx.sql::<ClockTypes>(CLOCKS).with(|s| s.bind(deals)).all(tx)?;
    let names = names(tx, &clocks)?;
    let by = |user: Option<Id<User>>| user.and_then(|id| Some(Toucher { id, name: names.get(&id)?.clone() }));
    let told = clocks.into_iter().map(|clock| {
        let (what, at, user) = clock.touch();
        let snooze = SnoozeReason { reason: clock.snooze_note, by: by(clock.snoozed_by) };
        (clock.deal, (LastTouch { what, at, by: by(user) }, snooze))
    });
    Ok(told.collect())
}

fn names(tx: &mut Tx<'_>, clocks: &[Clock]) -> Result<BTreeMap<Id<User>, String>> {
    let users: Vec<Id<User>> = clocks
        .iter()
        .flat_map(|clock| [clock.activity_by, clock.task_by, clock.next_step_by, clock.stage_by, clock.snoozed_by])
        .flatten()
        .collect();
    let names =
        tx.sql::<(st::Uuid, st::Text)>("SELECT id, name FROM users WHERE organization_id = {org} AND id = ANY({})");
    Ok(names.with(|s| s.bind(users.as_slice())).all::<(Id<User>, String)>(tx)?.into_iter().collect())
}

impl Clock {
    /// What happened last. At the same instant, what was done counts before what followed from it.
    fn touch(&self) -> (TouchKind, DateTime<Utc>, Option<Id<User>>) {
        let begun_at = self.stage_entered_at.max(self.created_at);
        if let Some(at) = self.last_activity_at.filter(|at| *at >= begun_at) {
            return match self.activity.as_deref() {
                Some(kind) => (activity(kind), at, self.activity_by),
                None if self.is_task => (TouchKind::TaskDone, at, self.task_by),
                None if self.is_next_step => (TouchKind::NextStepChanged, at, self.next_step_by),
                None => (TouchKind::Other, at, None),
            };
        }
        let kind = if self.stage_entered_at > self.created_at { TouchKind::StageChanged } else { TouchKind::Created };
        (kind, begun_at, self.stage_by)
    }
}

fn activity(word: &str) -> TouchKind {
    match word {
        "call" => TouchKind::Call,
        "email" => TouchKind::Email,
        "meeting" => TouchKind::Meeting,
        "note" => TouchKind::Note,
        _ => TouchKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histories::tests::on;

    #[test]
    fn the_latest_of_what_happened_is_told() {
        let clock = |last: Option<u32>, entered: u32, activity: Option<&str>, is_task: bool| Clock {
            deal: Id::default(),
            last_activity_at: last.map(|day| on(1, day)),
            stage_entered_at: on(1, entered),
            created_at: on(1, 2),
            activity: activity.map(str::to_owned),
            activity_by: None,
            task_by: None,
            is_task,
            next_step_by: None,
            is_next_step: false,
            stage_by: None,
            snooze_note: None,
            snoozed_by: None,
        };
        let cases = [
            (clock(None, 2, None, false), TouchKind::Created, 2),
            (clock(None, 5, None, false), TouchKind::StageChanged, 5),
            (clock(Some(4), 5, Some("call"), false), TouchKind::StageChanged, 5),
            (clock(Some(6), 5, Some("call"), false), TouchKind::Call, 6),
            (clock(Some(5), 5, Some("note"), false), TouchKind::Note, 5),
            (clock(Some(6), 5, None, true), TouchKind::TaskDone, 6),
            (clock(Some(6), 5, None, false), TouchKind::Other, 6),
        ];
        for (clock, what, day) in cases {
            assert_eq!(clock.touch(), (what, on(1, day), None));
        }
    }
}
