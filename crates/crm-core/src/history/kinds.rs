//! The kinds of record that change, and what can be done with any of them by its name alone.
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::as_of;
use crate::{
    Id, Patch, Result, Tx,
    activities::{self, Activity},
    business_units::{self, BusinessUnit},
    change::{self, FieldDiff},
    companies::{self, Company},
    contacts::{self, Contact},
    custom_fields::{self, CustomField},
    deals::{
        self, Deal,
        intel::{self, DealIntel},
    },
    exchange_rates::ExchangeRate,
    gate::{Action, Ask},
    leads::{self, Lead},
    masks,
    organizations::{self, Organization},
    patch::object,
    pipelines::{self, Pipeline, Stage},
    proposals::Beside,
    record::{Field, FieldKind, Record},
    saved_views::{self, SavedView},
    select::Condition,
    tasks::{self, Task},
    users::{self, User},
};

/// A record's fields, or all its members.
pub type Members = Map<String, Value>;

/// The fields of records by id, of those that the caller may see.
pub type Standing = fn(&mut Tx<'_>, Vec<Uuid>) -> Result<BTreeMap<Uuid, Members>>;

/// Deletes a record of one kind.
pub type Deletion = fn(&mut Tx<'_>, Uuid, &Patch) -> Result<()>;

/// Makes others of a record of one kind, once that is approved. Gives back what has changed of the record, and of others.
pub type Conversion = fn(&mut Tx<'_>, Uuid, Patch) -> Result<(Vec<FieldDiff>, Vec<Beside>)>;

/// One kind of record, through its own commands alone, so that its rules hold.
pub struct Kind {
    /// The singular, as in paths, history and policies.
    pub name: &'static str,
    pub(crate) fields: &'static [Field],
    /// The name of one in an answer.
    pub(super) envelope: fn() -> String,
    /// A record as it stood at an instant.
    pub(super) as_of: fn(&mut Tx<'_>, Uuid, DateTime<Utc>) -> Result<Members>,
    /// A record's fields as they stand, locked.
    pub lock: fn(&mut Tx<'_>, Uuid) -> Result<Members>,
    /// The fields of those of these records that the caller may see, as they stand, by id; in one statement.
    pub standing: Standing,
    /// A record's members as the caller sees them.
    pub(crate) as_seen: fn(&mut Tx<'_>, Uuid) -> Result<Members>,
    /// Changes a record.
    pub update: fn(&mut Tx<'_>, Uuid, Patch) -> Result<()>,
    /// Makes a record, where a body is all that it takes.
    pub create: Option<fn(&mut Tx<'_>, Patch) -> Result<Uuid>>,
    /// Deletes a record, where it can be deleted.
    pub delete: Option<Deletion>,
    /// Converts a record, where it can be converted.
    pub convert: Option<Conversion>,
}

macro_rules! kind {
    ($record:ty, $update:expr, $create:expr, $delete:expr) => {
        Kind {
            create: Some(|tx, patch| Ok($create(tx, patch)?.id().uuid())),
            delete: Some(|tx, id, patch| $delete(tx, id.into(), patch)),
            ..kind!($record, $update)
        }
    };
    ($record:ty, $update:expr) => {
        Kind::of::<$record>(|tx, id, patch| $update(tx, id.into(), patch).map(drop))
    };
}

impl Kind {
    /// A kind of record that is read as it stood and set back, by the command that changes one. Kinds of other crates are
    /// handed to [`super::as_of`] and [`super::revert`].
    pub const fn of<R: Record>(update: fn(&mut Tx<'_>, Uuid, Patch) -> Result<()>) -> Self {
        Self {
            name: R::KIND,
            fields: R::FIELDS,
            envelope: R::envelope,
            as_of: as_of::stood::<R>,
            lock: |tx, id| object(tx.lock::<R>(id.into())?.fields()),
            standing: |tx, ids| {
                let select = tx.records::<R>().and(Condition::AnyOf("id", ids.into()));
                let records = R::load(tx, select)?;
                records.iter().map(|record| Ok((record.id().uuid(), object(record.fields())?))).collect()
            },
            as_seen: |tx, id| {
                tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, R::KIND))?;
                let record = tx.find::<R>(id.into())?;
                object(&masks::masked(tx.ctx, &record)?)
            },
            update,
            create: None,
            delete: None,
            convert: None,
        }
    }
}

static KINDS: [Kind; 15] = [
    Kind {
        convert: Some(|tx, id, patch| leads::convert_approved(tx, id.into(), patch)),
        ..kind!(Lead, leads::update, leads::create, delete::<Lead>)
    },
    kind!(Company, companies::update, change::create::<Company>, delete::<Company>),
    kind!(Contact, contacts::update, change::create::<Contact>, delete::<Contact>),
    kind!(Deal, deals::update, deals::create, delete::<Deal>),
    kind!(Activity, activities::update, activities::create, activities::delete),
    kind!(Task, tasks::update, tasks::create, delete::<Task>),
    Kind { lock: intel::lock, standing: intel::standing, ..kind!(DealIntel, update_intel) },
    Kind {
        create: Some(|tx, patch| Ok(change::create::<BusinessUnit>(tx, patch)?.id.uuid())),
        ..kind!(BusinessUnit, business_units::update)
    },
    Kind {
        create: Some(|tx, patch| Ok(pipelines::create(tx, patch)?.pipeline.id.uuid())),
        delete: Some(|tx, id, patch| pipelines::delete(tx, id.into(), patch)),
        ..kind!(Pipeline, pipelines::update)
    },
    kind!(Stage, update_stage, pipelines::create_stage_of, delete_stage),
    kind!(User, users::update),
    kind!(Organization, update_organization),
    kind!(CustomField, custom_fields::update, change::create::<CustomField>, custom_fields::delete),
    kind!(ExchangeRate, change::update::<ExchangeRate>),
    kind!(SavedView, saved_views::update, saved_views::create, saved_views::delete),
];

fn delete<R: Record>(tx: &mut Tx<'_>, id: Id<R>, patch: &Patch) -> Result<()> {
    tx.delete(id, patch).map(drop)
}

fn update_intel(tx: &mut Tx<'_>, id: Id<DealIntel>, patch: Patch) -> Result<DealIntel> {
    intel::put(tx, id.cast(), patch)
}

fn update_stage(tx: &mut Tx<'_>, id: Id<Stage>, patch: Patch) -> Result<Stage> {
    let pipeline = tx.find(id)?.fields.pipeline_id;
    pipelines::update_stage(tx, pipeline, id, patch)
}

fn delete_stage(tx: &mut Tx<'_>, id: Id<Stage>, patch: &Patch) -> Result<()> {
    let pipeline = tx.find(id)?.fields.pipeline_id;
    pipelines::delete_stage(tx, pipeline, id, patch)
}

fn update_organization(tx: &mut Tx<'_>, _own: Id<Organization>, patch: Patch) -> Result<Organization> {
    organizations::update(tx, patch)
}

/// The kind of that name.
pub fn named(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name)
}

/// The kind of that name, one of `others` if need be.
pub(super) fn among<'k>(others: &'k [Kind], name: &str) -> Option<&'k Kind> {
    named(name).or_else(|| others.iter().find(|kind| kind.name == name))
}

/// What the values of a field are, as far as conditions compare them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Days or instants.
    Date,
    /// Amounts or numbers.
    Number,
    /// Neither.
    Other,
}

/// The name under which a deletion stands in the history.
pub(crate) const DELETED: &str = "deletedAt";

/// Is there such a field of such a kind of record, its custom fields and its deletion included? Gives back the shape of its
/// values, or the bad member and why.
pub(crate) fn check_field(
    tx: &mut Tx<'_>,
    entity_type: Option<&str>,
    field_name: Option<&str>,
) -> Result<Result<Shape, (&'static str, String)>> {
    let Some(entity_type) = entity_type else {
        let message = || ("fieldName", "Needs an entityType.".to_owned());
        return Ok(if field_name.is_none() { Ok(Shape::Other) } else { Err(message()) });
    };
    let Some(kind) = named(entity_type) else {
        let names: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        return Ok(Err(("entityType", format!("One of: {}.", names.join(", ")))));
    };
    let Some(name) = field_name.filter(|name| *name != DELETED) else { return Ok(Ok(Shape::Other)) };
    if let Some(field) = kind.fields.iter().find(|field| field.name == name && field.kind != FieldKind::Custom) {
        return Ok(Ok(match field.kind {
            FieldKind::Date | FieldKind::Instant => Shape::Date,
            FieldKind::Int | FieldKind::Decimal => Shape::Number,
            _ => Shape::Other,
        }));
    }
    if let Some(key) = name.strip_prefix("customFields.") {
        let own = custom_fields::of_kind(tx, entity_type)?;
        if let Some(field) = own.iter().find(|field| field.fields.key == key) {
            return Ok(Ok(match field.fields.type_.as_str() {
                "date" => Shape::Date,
                "number" => Shape::Number,
                _ => Shape::Other,
            }));
        }
    }
    Ok(Err(("fieldName", format!("A {} has no field `{name}`.", entity_type.replace('_', " ")))))
}
