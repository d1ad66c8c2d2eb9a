//! Tasks: what is to be done, by whom and until when.
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    Id, Patch, Result, Tx,
    about::{self, About},
    business_units::BusinessUnit,
    change::{Change, Draft},
    companies::Company,
    contacts::Contact,
    deals::Deal,
    leads::Lead,
    notifications::Kind,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::tasks,
    users::User,
};

/// A task.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = tasks)]
pub struct Task {
    /// Its id.
    pub id: Id<Task>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: TaskFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// How urgent a task can be.
pub const PRIORITIES: [&str; 3] = ["low", "normal", "high"];
/// What can have become of a task.
pub const STATUSES: [&str; 3] = ["open", "done", "cancelled"];

/// The fields of a task. It is about one record at most; when it was completed follows from its status.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = tasks, treat_none_as_null = true)]
pub struct TaskFields {
    /// The business unit that it belongs to; that of its record where none is given.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// What is to be done.
    #[validate(length(max = 300))]
    #[schema(example = "Send the proposal")]
    pub title: String,
    /// What else there is to know.
    #[validate(length(max = 20_000))]
    pub description: Option<String>,
    /// Until when.
    pub due_at: Option<DateTime<Utc>>,
    /// `low`, `normal` or `high`.
    pub priority: String,
    /// `open`, `done` or `cancelled`.
    pub status: String,
    /// Who is to do it; whoever makes it where none is given.
    pub assignee_id: Option<Id<User>>,
    /// When it was done; none while it is not.
    pub completed_at: Option<DateTime<Utc>>,
    /// The lead that it is about.
    pub lead_id: Option<Id<Lead>>,
    /// The deal that it is about.
    pub deal_id: Option<Id<Deal>>,
    /// The company that it is about.
    pub company_id: Option<Id<Company>>,
    /// The contact that it is about.
    pub contact_id: Option<Id<Contact>>,
}

impl Default for TaskFields {
    fn default() -> Self {
        Self {
            business_unit_id: None,
            title: String::new(),
            description: None,
            due_at: None,
            priority: "normal".into(),
            status: "open".into(),
            assignee_id: None,
            completed_at: None,
            lead_id: None,
            deal_id: None,
            company_id: None,
            contact_id: None,
        }
    }
}

impl TaskFields {
    fn about(&self) -> About {
        About { lead: self.lead_id, deal: self.deal_id, company: self.company_id, contact: self.contact_id }
    }

    /// When it was completed, if its status is reached now.
    fn complete(&mut self, now: DateTime<Utc>) {
        self.completed_at = (self.status == "done").then_some(now);
    }
}

/// The member that is told about, and why, where a task is about many.
const NOT_ONE: (&str, &str, &str) =
    ("leadId", "at_most_one", "At most one of leadId, dealId, companyId and contactId can be given.");

impl Record for Task {
    const KIND: &'static str = "task";
    const TABLE: &'static str = "tasks";
    const FIELDS: &'static [Field] = &[
        Field::new("businessUnitId", "business_unit_id", FieldKind::Reference("business_units")),
        Field::new("title", "title", FieldKind::Text).required().searched(),
        Field::new("description", "description", FieldKind::LongText).searched(),
        Field::new("dueAt", "due_at", FieldKind::Instant).sortable(),
        Field::new("priority", "priority", FieldKind::Choice(&PRIORITIES)).required(),
        Field::new("status", "status", FieldKind::Choice(&STATUSES)).required(),
        Field::new("assigneeId", "assignee_id", FieldKind::Reference("users")),
        Field::new("completedAt", "completed_at", FieldKind::Instant).read_only(),
        Field::new("leadId", "lead_id", FieldKind::Reference("leads")).scoped(),
        Field::new("dealId", "deal_id", FieldKind::Reference("deals")).scoped(),
        Field::new("companyId", "company_id", FieldKind::Reference("companies")).scoped(),
        Field::new("contactId", "contact_id", FieldKind::Reference("contacts")).scoped(),
    ];
    const IN_UNITS: bool = true;
    const ASSIGNED: Option<(&'static str, Kind)> = Some(("assigneeId", Kind::TaskAssigned));
    const SEARCHED: bool = true;
    record_rows!(TaskFields, tasks, search_text);

    fn search_text(fields: &TaskFields) -> String {
        format!("{} {}", fields.title, fields.description.as_deref().unwrap_or_default())
    }

    fn announced_as(change: &Change<Self>) -> &'static str {
        let is_done = change.touches("status") && change.after().status == "done";
        if is_done { "completed" } else { "updated" }
    }

    fn check_new(tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        if draft.fields().about().count() > 1 {
            let (field, code, message) = NOT_ONE;
            draft.refuse(field, code, message);
        }
        draft.amend(|fields| fields.complete(tx.ctx.now));
        Ok(())
    }
}

/// Makes a task. A signed-in user does what they make, unless they say otherwise.
///
/// # Errors
/// [`crate::Error::Forbidden`], [`crate::Error::Invalid`].
pub fn create(tx: &mut Tx<'_>, patch: Patch) -> Result<Task> {
    let mut patch = patch.owned_by_caller(tx, "assigneeId");
    let mut base = TaskFields::default();
    if let Some(unit) = about::unit_of_record(tx, &patch)? {
        base.business_unit_id = unit;
        patch = patch.or("businessUnitId", unit.map(|unit| unit.to_string()));
    }
    let draft = Draft::<Task>::over(tx, base, patch)?;
    let task = tx.permit_new(draft)?.insert(tx)?;
    touch(tx, &task)?;
    Ok(task)
}

/// Changes a task. Doing it is noted on the lead or deal that it is about.
///
/// # Errors
/// [`crate::Error::NotFound`], [`crate::Error::Forbidden`], [`crate::Error::Stale`], [`crate::Error::Invalid`].
pub fn update(tx: &mut Tx<'_>, id: Id<Task>, patch: Patch) -> Result<Task> {
    let task = tx.lock(id)?;
    let mut change = Change::new(tx, task, patch)?;
    if change.after().about().count() > 1 {
        let (field, code, message) = NOT_ONE;
        change.refuse(field, code, message);
    }
    if change.touches("status") {
        let now = tx.ctx.now;
        change.amend(|fields| fields.complete(now))?;
    }
    let task = tx.permit(change)?.save(tx)?;
    touch(tx, &task)?;
    Ok(task)
}

fn touch(tx: &mut Tx<'_>, task: &Task) -> Result<()> {
    match task.fields.completed_at {
        Some(at) => task.fields.about().touch(tx, at),
        None => Ok(()),
    }
}
