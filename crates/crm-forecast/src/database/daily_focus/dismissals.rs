//! Taking things off one's daily focus until something of them changes.

use chrono::{DateTime, Utc};
use crm_core::{
    Error, FieldError, Id, Page, Result, Tx,
    cursor::{self, Position},
    deals::{Deal, snoozes},
    filters,
    leads::Lead,
    tasks::Task,
    users::User,
};
use diesel::{Queryable, sql_types as st};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{
    super::internal,
    FindAwaited,
    desk::{Desk, Evidence, Subject},
    person,
};
use crate::daily_focus::{Dismissal, Ground, ReasonCode, grounds};

/// The dismissals of one person; its place is filled with their id.
macro_rules! rows_of_person {
    () => {
        "SELECT id, deal_id, lead_id, task_id, approval_id, reason, grounds, record_version, touched_at, created_at \
         FROM focus_dismissals WHERE organization_id = {org} AND user_id = {}"
    };
}

/// What to take off the list, and why. Exactly one of the ids is there.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NewFocusDismissal {
    /// A deal that is on the caller's focus.
    pub deal_id: Option<Id<Deal>>,
    /// A lead that is.
    pub lead_id: Option<Id<Lead>>,
    /// A task that is.
    pub task_id: Option<Id<Task>>,
    /// A request for approval that is.
    pub approval_id: Option<Uuid>,
    /// Why: for the caller to remember.
    #[schema(min_length = 1, max_length = 500, example = "They decide after the trade fair")]
    pub reason: String,
}

/// Something that a person has taken off their daily focus. Exactly one of the ids is there.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct FocusDismissal {
    /// Its id.
    pub id: Id<FocusDismissal>,
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
    /// The request for approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<Uuid>,
    /// What people call it; absent where it is none of the caller's things any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Why it was taken off.
    #[schema(example = "They decide after the trade fair")]
    pub reason: String,
    /// What pressed then.
    pub dismissed_reasons: Vec<ReasonCode>,
    /// Is it still off? It is until its record is changed or touched, or something else presses.
    pub is_holding: bool,
    /// When it was taken off.
    pub created_at: DateTime<Utc>,
}

/// Takes something off the caller's daily focus. What the caller has dismissed before and what holds no longer is
/// forgotten.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Invalid`] where the ids are not exactly one, where what it names is not on the caller's
/// focus, and for a reason that says nothing; [`Error::Conflict`] `already_dismissed`.
pub fn create(tx: &mut Tx<'_>, find_awaited: FindAwaited, asked: &NewFocusDismissal) -> Result<FocusDismissal> {
    let user = person(tx)?;
    let desk = Desk::of(tx, user, find_awaited)?;
    let mut errors = Vec::new();
    let reason = snoozes::checked_reason(&asked.reason).map_err(|error| errors.push(error)).unwrap_or_default();
    let subject = asked.subject(&desk).map_err(|error| errors.push(error)).ok();
    let Some((subject, grounds)) = subject.filter(|_| errors.is_empty()) else { return Err(Error::Invalid(errors)) };
    let grounds = serde_json::to_value(grounds).map_err(internal)?;
    forget_lapsed(tx, user, &desk)?;
    let (version, touched_at) =
        desk.things.get(&subject).map_or((0, None), |(_, candidate)| (candidate.version, candidate.touched_at));
    let id = Id::<FocusDismissal>::new();
    let made: Option<Uuid> = tx
        .sql::<st::Uuid>(
            "INSERT INTO focus_dismissals (organization_id, id, user_id, deal_id, lead_id, task_id, approval_id, reason, \
             grounds, record_version, touched_at, created_at) \
             VALUES ({org}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}) ON CONFLICT DO NOTHING RETURNING id",
        )
        .with(|s| s.bind(id).bind(user).bind(subject.deal()).bind(subject.lead()).bind(subject.task()))
        .with(|s| s.bind(subject.approval()).bind(reason.to_owned()))
        .with(|s| s.bind(grounds).bind(version).bind(touched_at).bind(tx.ctx.now))
        .first(tx)?;
    if made.is_none() {
        let detail = "It is off your daily focus already.".into();
        return Err(Error::Conflict { code: "already_dismissed", detail });
    }
    read(tx, find_awaited, id)
}

/// What the caller has dismissed, the latest first. `page` holds the list's parameters `limit` and `cursor`.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Malformed`] for a cursor or a limit that does not fit.
pub fn list(tx: &mut Tx<'_>, find_awaited: FindAwaited, page: &[(String, String)]) -> Result<Page<FocusDismissal>> {
    let user = person(tx)?;
    let desk = Desk::of(tx, user, find_awaited)?;
    let named = |wanted: &str| page.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let limit = named("limit").map_or(Ok(cursor::USUAL), cursor::limit)?;
    let name = cursor::fingerprint(tx.ctx, "focus_dismissals", &[("userId".to_owned(), user.to_string())]);
    let position = named("cursor").map(|text| cursor::open(&name, text)).transpose()?;
    let (before, id) = position.map_or((None, Uuid::max()), |Position { v, i }| (v, i));
    let before = before.as_deref().and_then(filters::instant);
    let rows: Vec<Row> = tx
        .sql::<RowTypes>(concat!(
            rows_of_person!(),
            " AND (created_at, id) < (coalesce({}, 'infinity'), {}) ORDER BY created_at DESC, id DESC LIMIT {}"
        ))
        .with(|s| s.bind(user).bind(before).bind(id).bind(limit + 1))
        .all(tx)?;
    let Page { items, next_cursor, total } = cursor::cut(&name, limit, rows, |row| (row.created_at, row.id.uuid()))?;
    Ok(Page { items: items.into_iter().map(|row| row.told(&desk)).collect(), next_cursor, total })
}

/// One of the caller's dismissals.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`], also for somebody else's.
pub fn read(tx: &mut Tx<'_>, find_awaited: FindAwaited, id: Id<FocusDismissal>) -> Result<FocusDismissal> {
    let user = person(tx)?;
    let row: Option<Row> =
        tx.sql::<RowTypes>(concat!(rows_of_person!(), " AND id = {}")).with(|s| s.bind(user).bind(id)).first(tx)?;
    let row = row.ok_or(Error::NotFound)?;
    Ok(row.told(&Desk::of(tx, user, find_awaited)?))
}

/// Takes a dismissal back.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::NotFound`], also for somebody else's.
pub fn take_back(tx: &mut Tx<'_>, id: Id<FocusDismissal>) -> Result<()> {
    let user = person(tx)?;
    let gone = tx
        .sql::<st::Integer>("DELETE FROM focus_dismissals WHERE organization_id = {org} AND user_id = {} AND id = {}")
        .with(|s| s.bind(user).bind(id))
        .run(tx)?;
    if gone == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// What a person has dismissed, with how it stood then. What an older program wrote down in words that are no longer known
/// does not hold.
pub(super) fn of_person(tx: &mut Tx<'_>, user: Id<User>) -> Result<Vec<(Subject, Dismissal<Evidence>)>> {
    let rows: Vec<Row> = tx.sql::<RowTypes>(rows_of_person!()).with(|s| s.bind(user)).all(tx)?;
    Ok(rows.iter().filter_map(|row| Some((row.subject()?, row.dismissal()?))).collect())
}

/// Forgets what the person has dismissed and what is on the list again, or no longer theirs.
fn forget_lapsed(tx: &mut Tx<'_>, user: Id<User>, desk: &Desk) -> Result<()> {
    let holding = desk.things.values().filter(|(_, candidate)| candidate.is_dismissed(desk.today));
    let holding: Vec<Uuid> = holding.map(|(_, candidate)| candidate.id.uuid()).collect();
    tx.sql::<st::Integer>(
        "DELETE FROM focus_dismissals WHERE organization_id = {org} AND user_id = {} \
         AND NOT coalesce(deal_id, lead_id, task_id, approval_id) = ANY({})",
    )
    .with(|s| s.bind(user).bind(holding))
    .run(tx)?;
    Ok(())
}

impl NewFocusDismissal {
    /// What it names on the desk, and what presses there.
    fn subject(&self, desk: &Desk) -> std::result::Result<(Subject, Vec<Ground<Evidence>>), FieldError> {
        let named = [
            ("dealId", self.deal_id.map(Subject::Deal)),
            ("leadId", self.lead_id.map(Subject::Lead)),
            ("taskId", self.task_id.map(Subject::Task)),
            ("approvalId", self.approval_id.map(Subject::Approval)),
        ];
        let mut given = named.into_iter().filter_map(|(member, subject)| Some((member, subject?)));
        let (Some((member, subject)), None) = (given.next(), given.next()) else {
            let message = "Exactly one of dealId, leadId, taskId and approvalId must be given.";
            return Err(FieldError::new("dealId", "exactly_one", message));
        };
        let candidate = desk.things.get(&subject).map(|(_, candidate)| candidate).filter(|it| !it.is_excluded);
        let pressing = candidate.map(|candidate| grounds(candidate, desk.today)).unwrap_or_default();
        if pressing.is_empty() {
            return Err(FieldError::new(member, "not_in_focus", "It is not on your daily focus."));
        }
        Ok((subject, pressing))
    }
}

#[derive(Queryable)]
struct Row {
    id: Id<FocusDismissal>,
    deal_id: Option<Id<Deal>>,
    lead_id: Option<Id<Lead>>,
    task_id: Option<Id<Task>>,
    approval_id: Option<Uuid>,
    reason: String,
    grounds: Value,
    record_version: i64,
    touched_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

type RowTypes = (
    st::Uuid,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Uuid>,
    st::Text,
    st::Jsonb,
    st::BigInt,
    st::Nullable<st::Timestamptz>,
    st::Timestamptz,
);

impl Row {
    fn subject(&self) -> Option<Subject> {
        let deal = self.deal_id.map(Subject::Deal);
        let lead = || self.lead_id.map(Subject::Lead);
        let task = || self.task_id.map(Subject::Task);
        deal.or_else(lead).or_else(task).or_else(|| self.approval_id.map(Subject::Approval))
    }

    fn dismissal(&self) -> Option<Dismissal<Evidence>> {
        let grounds: Vec<Ground<Evidence>> = serde_json::from_value(self.grounds.clone()).ok()?;
        Some(Dismissal { version: self.record_version, touched_at: self.touched_at, grounds })
    }

    fn told(self, desk: &Desk) -> FocusDismissal {
        let thing = self.subject().and_then(|subject| desk.things.get(&subject));
        let grounds = self.dismissal().map(|dismissal| dismissal.grounds).unwrap_or_default();
        FocusDismissal {
            id: self.id,
            kind: self.subject().map_or("", Subject::kind),
            deal_id: self.deal_id,
            lead_id: self.lead_id,
            task_id: self.task_id,
            approval_id: self.approval_id,
            title: thing.map(|(title, _)| title.clone()),
            reason: self.reason,
            dismissed_reasons: grounds.iter().map(|ground| ground.code).collect(),
            is_holding: thing.is_some_and(|(_, candidate)| candidate.is_dismissed(desk.today)),
            created_at: self.created_at,
        }
    }
}
