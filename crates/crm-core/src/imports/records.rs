//! Imports as those who started them see them: what was asked for, and how far it has got.
use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    Error, Id, Page, Result, Tx, page,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::imports,
    users::{Role, User},
};

/// A file that is read in, or was.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = imports)]
pub struct Import {
    /// Its id.
    pub id: Id<Import>,
    /// What was asked for, and how far it has got.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: ImportFields,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When it last got on.
    pub updated_at: DateTime<Utc>,
    /// Always 1: its progress is no edit.
    pub version: i64,
}

/// What an import can be. `reverting` and `reverted` follow on taking a finished one back.
pub const STATUSES: [&str; 7] = ["queued", "running", "completed", "failed", "cancelled", "reverting", "reverted"];

/// What was asked for, and how far it has got. Each row is counted in one of `created`, `updated`, `skipped`, `waiting`,
/// `failed`.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = imports, treat_none_as_null = true)]
pub struct ImportFields {
    /// `lead`, `company`, `contact` or `deal`.
    pub entity_type: String,
    /// What the file was called.
    pub file_name: String,
    /// From columns to fields.
    #[schema(value_type = std::collections::BTreeMap<String, String>)]
    pub mapping: Value,
    /// How the file is read and what is done about duplicates.
    #[schema(value_type = super::ImportOptions)]
    pub options: Value,
    /// `queued`, `running`, `completed`, `failed`, `cancelled`, `reverting` or `reverted`.
    pub status: String,
    /// Nothing is kept; the counters say what would happen.
    pub dry_run: bool,
    /// How many rows there are.
    pub rows_total: i32,
    /// How many of them are done.
    pub rows_done: i32,
    /// Rows that became new records.
    pub created: i32,
    /// Rows that changed a record.
    pub updated: i32,
    /// Rows that were there already.
    pub skipped: i32,
    /// Rows that wait for somebody's approval: they count as created or updated once it is given, and as failed where it is
    /// not.
    pub waiting: i32,
    /// Rows that were refused.
    pub failed: i32,
    /// Rows among `created`, `updated` and `waiting` that want a look: a reference was left blank, a word was read as
    /// another, or the row waits for an approval.
    pub warnings: i32,
    /// Records that were taken back.
    pub reverted: i32,
    /// Records that could not be taken back: somebody has changed them since, or others refer to them.
    pub kept: i32,
    /// Why the import as a whole failed.
    pub error: Option<String>,
    /// Who asked for it.
    pub created_by: Option<Id<User>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Record for Import {
    const KIND: &'static str = "import";
    const TABLE: &'static str = "imports";
    const FIELDS: &'static [Field] = &[
        Field::new("entityType", "entity_type", FieldKind::Choice(&super::ENTITY_TYPES)).read_only(),
        Field::new("fileName", "file_name", FieldKind::Text).read_only(),
        Field::new("mapping", "mapping", FieldKind::Json).read_only(),
        Field::new("options", "options", FieldKind::Json).read_only(),
        Field::new("status", "status", FieldKind::Choice(&STATUSES)).read_only(),
        Field::new("dryRun", "dry_run", FieldKind::Bool).read_only(),
        Field::new("rowsTotal", "rows_total", FieldKind::Int).read_only(),
        Field::new("rowsDone", "rows_done", FieldKind::Int).read_only(),
        Field::new("created", "created", FieldKind::Int).read_only(),
        Field::new("updated", "updated", FieldKind::Int).read_only(),
        Field::new("skipped", "skipped", FieldKind::Int).read_only(),
        Field::new("waiting", "waiting", FieldKind::Int).read_only(),
        Field::new("failed", "failed", FieldKind::Int).read_only(),
        Field::new("warnings", "warnings", FieldKind::Int).read_only(),
        Field::new("reverted", "reverted", FieldKind::Int).read_only(),
        Field::new("kept", "kept", FieldKind::Int).read_only(),
        Field::new("error", "error", FieldKind::LongText).read_only(),
        Field::new("createdBy", "created_by", FieldKind::Reference("users")).read_only(),
        Field::new("finishedAt", "finished_at", FieldKind::Instant).read_only(),
    ];
    record_rows!(ImportFields, imports);
}

/// Ends an import before its last row. What it has read in stays; it can be taken back.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] where it has ended already.
pub fn cancel(tx: &mut Tx<'_>, id: Id<Import>) -> Result<Import> {
    tx.check_writable()?;
    let import = read(tx, id)?;
    let now = tx.ctx.now;
    let cancelled = tx
        .sql::<st::Integer>(
            "UPDATE imports SET status = 'cancelled', finished_at = {}, updated_at = {} \
             WHERE organization_id = {org} AND id = {} AND status IN ('queued', 'running')",
        )
        .with(|s| s.bind(now).bind(now).bind(id))
        .run(tx)?;
    if cancelled == 0 {
        let detail = format!("The import is {} and cannot be cancelled any more.", import.fields.status);
        return Err(Error::Conflict { code: "not_running", detail });
    }
    tx.find(id)
}

/// An import of the caller's, or of anybody in the organization for an ADMIN: a file may hold what only its owner sees.
///
/// # Errors
/// [`Error::NotFound`] also for somebody else's.
pub fn read(tx: &mut Tx<'_>, id: Id<Import>) -> Result<Import> {
    let import: Import = tx.find(id)?;
    let is_own = import.fields.created_by.is_some() && import.fields.created_by == tx.ctx.actor.user();
    if is_own || tx.ctx.role == Role::Admin { Ok(import) } else { Err(Error::NotFound) }
}

/// A page of the caller's imports, or of all for an ADMIN.
///
/// # Errors
/// [`Error::Malformed`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<Import>> {
    let mut query = query.to_vec();
    if tx.ctx.role != Role::Admin {
        query.push(("createdBy".into(), "me".into()));
    }
    page::list(tx, &query)
}
