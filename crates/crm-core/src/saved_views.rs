//! Saved views: filters, sort and columns of a list, kept by a user and perhaps shared with everybody.
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    Ctx, Error, FieldError, Id, Page, Patch, Result, Tx,
    activities::Activity,
    change::{Change, Draft},
    companies::Company,
    contacts::Contact,
    deals::Deal,
    filters,
    leads::Lead,
    masks, page,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::saved_views,
    select::Condition,
    tasks::Task,
    users::{Role, User},
};

/// A saved view.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = saved_views)]
pub struct SavedView {
    /// Its id.
    pub id: Id<SavedView>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: SavedViewFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// The kinds of record whose lists can be kept as a view.
pub const ENTITY_TYPES: [&str; 6] = ["lead", "company", "contact", "deal", "activity", "task"];

/// How many columns a view can show.
const MOST_COLUMNS: usize = 50;

/// The fields of a saved view. Its kind of record stays as it was made; it belongs to whoever made it.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = saved_views, treat_none_as_null = true)]
pub struct SavedViewFields {
    /// Whose it is.
    pub owner_id: Id<User>,
    /// `lead`, `company`, `contact`, `deal`, `activity` or `task`.
    pub entity_type: String,
    /// What people call it.
    #[validate(length(max = 100))]
    #[schema(example = "My open deals")]
    pub name: String,
    /// Parameters of the list, by name, without `sort`, `limit` and `cursor`.
    #[schema(value_type = Object, example = json!({"status": "open", "ownerId": "me"}))]
    pub filters: Value,
    /// The field that the list is sorted by; `-` before it is descending.
    #[schema(example = "-createdAt")]
    pub sort: Option<String>,
    /// The fields that are shown, in order.
    #[serde(rename = "columns")]
    pub view_columns: Vec<String>,
    /// Does everybody see it?
    pub is_shared: bool,
}

impl Default for SavedViewFields {
    fn default() -> Self {
        Self {
            owner_id: Id::default(),
            entity_type: String::new(),
            name: String::new(),
            filters: Value::Object(Map::new()),
            sort: None,
            view_columns: Vec::new(),
            is_shared: false,
        }
    }
}

impl Record for SavedView {
    const KIND: &'static str = "saved_view";
    const TABLE: &'static str = "saved_views";
    const FIELDS: &'static [Field] = &[
        Field::new("ownerId", "owner_id", FieldKind::Reference("users")).read_only(),
        Field::new("entityType", "entity_type", FieldKind::Choice(&ENTITY_TYPES)).required(),
        Field::new("name", "name", FieldKind::Text).required().sortable(),
        Field::new("filters", "filters", FieldKind::Json),
        Field::new("sort", "sort", FieldKind::Text).unfiltered(),
        Field::new("columns", "columns", FieldKind::Tags).unfiltered(),
        Field::new("isShared", "is_shared", FieldKind::Bool),
    ];
    const DEFAULT_SORT: &'static str = "name";
    record_rows!(SavedViewFields, saved_views);

    fn check_new(tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        for error in mistakes(tx, &draft.fields().clone())? {
            draft.refuse(error.field, "not_in_list", error.message);
        }
        Ok(())
    }
}

/// Keeps a view for the signed-in user.
///
/// # Errors
/// [`Error::Forbidden`], also where nobody is signed in; [`Error::Invalid`] where its list would not understand it.
pub fn create(tx: &mut Tx<'_>, patch: Patch) -> Result<SavedView> {
    let Some(owner_id) = tx.ctx.actor.user() else {
        let reason = "A view belongs to somebody, and nobody is signed in.".into();
        return Err(Error::Forbidden { code: "no_owner", reason });
    };
    let base = SavedViewFields { owner_id, ..SavedViewFields::default() };
    let draft = Draft::<SavedView>::over(tx, base, patch)?;
    tx.permit_new(draft)?.insert(tx)
}

/// A page of the caller's own views and of those that others share.
///
/// # Errors
/// As [`page::list`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<SavedView>> {
    let mut seen = vec![Condition::Compare("is_shared".into(), "=", true.into())];
    seen.extend(tx.ctx.actor.user().map(|user| Condition::Compare("owner_id".into(), "=", user.into())));
    page::list_where(tx, query, vec![Condition::Any(seen)])
}

/// One view of the caller's own or that others share.
///
/// # Errors
/// [`Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, id: Id<SavedView>) -> Result<SavedView> {
    let view: SavedView = tx.find(id)?;
    if view.fields.is_shared || is_owner(tx.ctx, &view) { Ok(view) } else { Err(Error::NotFound) }
}

/// Changes a view. Only its owner may, and an ADMIN where it is shared.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`] (`not_owner`), [`Error::Stale`], [`Error::Invalid`].
pub fn update(tx: &mut Tx<'_>, id: Id<SavedView>, patch: Patch) -> Result<SavedView> {
    let view = lock_own(tx, id)?;
    let mut change = Change::new(tx, view, patch)?;
    if change.touches("entityType") {
        change.refuse("entityType", "immutable", "Stays as it was made; make another view instead.");
    } else {
        for error in mistakes(tx, &change.after().clone())? {
            change.refuse(error.field, "not_in_list", error.message);
        }
    }
    tx.permit(change)?.save(tx)
}

/// Deletes a view. Only its owner may, and an ADMIN where it is shared.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`] (`not_owner`), [`Error::Stale`].
pub fn delete(tx: &mut Tx<'_>, id: Id<SavedView>, patch: &Patch) -> Result<()> {
    lock_own(tx, id)?;
    tx.delete(id, patch).map(|_| ())
}

fn is_owner(ctx: &Ctx, view: &SavedView) -> bool {
    ctx.actor.user() == Some(view.fields.owner_id)
}

fn lock_own(tx: &mut Tx<'_>, id: Id<SavedView>) -> Result<SavedView> {
    read(tx, id)?;
    let view = tx.lock(id)?;
    if is_owner(tx.ctx, &view) || (tx.ctx.role == Role::Admin && view.fields.is_shared) {
        return Ok(view);
    }
    let reason = "Only its owner may change or delete a view, and an ADMIN where it is shared.".into();
    Err(Error::Forbidden { code: "not_owner", reason })
}

/// What the view's list would not understand.
///
/// # Errors
/// [`Error::Forbidden`] where it would be refused, since it is found or sorted by what the caller does not see.
fn mistakes(tx: &mut Tx<'_>, view: &SavedViewFields) -> Result<Vec<FieldError>> {
    match view.entity_type.as_str() {
        "lead" => mistakes_for::<Lead>(tx, view),
        "company" => mistakes_for::<Company>(tx, view),
        "contact" => mistakes_for::<Contact>(tx, view),
        "deal" => mistakes_for::<Deal>(tx, view),
        "activity" => mistakes_for::<Activity>(tx, view),
        "task" => mistakes_for::<Task>(tx, view),
        _ => Ok(Vec::new()),
    }
}

fn mistakes_for<R: Record>(tx: &mut Tx<'_>, view: &SavedViewFields) -> Result<Vec<FieldError>> {
    let mut errors = match filters::parameters::<R>(tx, "filters", &view.filters) {
        Ok(_) => Vec::new(),
        Err(Error::Invalid(errors)) => errors,
        Err(error) => return Err(error),
    };
    let sort = view.sort.as_deref().map(|sort| sort.strip_prefix('-').unwrap_or(sort));
    if sort.is_some_and(|sort| !page::sortable::<R>().any(|field| field.name == sort)) {
        let names: Vec<_> = page::sortable::<R>().map(|field| field.name).collect();
        let message = format!("One of: {}, each with `-` too.", names.join(", "));
        errors.push(FieldError::new("sort", "not_in_list", message));
    }
    sort.map_or(Ok(()), |sort| masks::check_use::<R>(tx.ctx, sort))?;
    if view.view_columns.len() > MOST_COLUMNS {
        errors.push(FieldError::new("columns", "not_in_list", format!("At most {MOST_COLUMNS} fields.")));
    }
    let shown = |name: &str| R::field(name).is_some() || name.strip_prefix("customFields.").is_some_and(is_key::<R>);
    for (i, column) in view.view_columns.iter().enumerate().filter(|(_, column)| !shown(column)) {
        let message = format!("A {} has no field `{column}`.", R::KIND);
        errors.push(FieldError::new(format!("columns[{i}]"), "not_in_list", message));
    }
    Ok(errors)
}

fn is_key<R: Record>(key: &str) -> bool {
    !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && R::FIELDS.iter().any(|field| field.kind == FieldKind::Custom)
}
