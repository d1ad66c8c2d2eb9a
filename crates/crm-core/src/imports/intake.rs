//! Taking a file in: everything that is wrong with the request is told at once, before the first row is touched.
use diesel::sql_types as st;
use serde_json::{Map, Value};

use super::{
    CsvFile, FieldDescriptor, Import, ImportFields, ImportOptions, Preview, PreviewOptions,
    entities::{ENTITY_TYPES, Entity},
    job::ImportJob,
    plan::{self, Plan},
    preview, samples,
    targets::fields_of,
};
use crate::{
    Error, Id, Patch, Result, Tx,
    business_units::BusinessUnit,
    change::Draft,
    custom_fields,
    deals::Deal,
    error::FieldError,
    gate::{Action, Ask},
    jobs::{self, Enqueue},
    pipelines::Pipeline,
    record::Record,
    users::{Role, User},
};

/// The most rows that a dry run takes: it is one transaction, which is undone at its end.
pub const LARGEST_DRY_RUN: usize = 50_000;

/// A file to be imported, as a request brings it.
#[derive(Debug, Clone, Default)]
pub struct NewImport {
    /// `lead`, `company`, `contact` or `deal`.
    pub entity_type: String,
    /// What the file is called.
    pub file_name: String,
    /// Its bytes.
    pub content: Vec<u8>,
    /// From names of columns to names of fields; a column with `null`, or that is absent, is left out.
    pub mapping: Map<String, Value>,
    /// See [`ImportOptions`].
    pub options: Map<String, Value>,
}

/// Takes a file in and queues its import, all in the caller's transaction. Whoever may create such records may import
/// them, and the import acts in their name.
///
/// # Errors
/// [`Error::Forbidden`], also for `asHistory` where the caller is no ADMIN; [`Error::Invalid`] with everything that is
/// wrong with file, mapping and options.
pub fn create(tx: &mut Tx<'_>, new: NewImport) -> Result<Import> {
    let entity = entity(&new.entity_type)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Create, entity.kind))?;
    let (options, mut errors) = match ImportOptions::parse(&new.options) {
        Ok(options) => (options, Vec::new()),
        Err(errors) => (ImportOptions::default(), errors),
    };
    if options.as_history {
        // A past skips the reviews of closed deals.
        tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, Import::KIND))?;
    }
    let constants = (options.business_unit_id, options.pipeline_id, options.owner_id);
    check_constants(tx, entity, constants, &mut errors)?;
    let file_name = file_name(&new.file_name, &mut errors);
    let rows_total = match CsvFile::open(&new.content, &options.file()) {
        Ok(file) => {
            let plan = Plan::new(tx, entity, &new.mapping, options.clone(), file.columns(), &mut errors)?;
            let reason = (entity.check_reason)(tx, &plan.reason)?;
            errors.extend(reason.map(|e| FieldError::new("options.reasonCode", e.code, e.message)));
            count(&file, options.dry_run, &mut errors)
        }
        // With a bad option the file may only seem to be bad.
        Err(_) if errors.iter().any(|error| error.field.starts_with("options.")) => 0,
        Err(error) => {
            errors.push(FieldError::new("file", error.code(), format!("{error}.")));
            0
        }
    };
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let fields = ImportFields {
        entity_type: entity.kind.into(),
        file_name,
        mapping: Value::Object(new.mapping),
        options: serde_json::to_value(&options).map_err(|error| Error::Internal(Box::new(error)))?,
        dry_run: options.dry_run,
        rows_total,
        ..ImportFields::default()
    };
    store(tx, fields, new.content)
}

/// Looks at a file without importing anything: its columns, first rows and open questions, which field each column goes
/// to or is likely meant for, and which of its values would be refused.
///
/// # Errors
/// [`Error::Forbidden`] for whoever may not create such records, [`Error::Invalid`] for an unknown kind of record, a
/// mapping to no field, or options that name what is not there.
pub fn preview_file(
    tx: &mut Tx<'_>,
    entity_type: &str,
    content: &[u8],
    options: &PreviewOptions,
    mapping: &Map<String, Value>,
) -> Result<Preview> {
    let entity = entity(entity_type)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Create, entity.kind))?;
    let mut errors = Vec::new();
    check_constants(tx, entity, (options.business_unit_id, options.pipeline_id, options.owner_id), &mut errors)?;
    let definitions = custom_fields::of_kind(tx, entity.kind)?;
    let mut fields = fields_of(entity, &definitions, tx.ctx.role == Role::Admin);
    // What would be refused tells of records that are there: it is not told of fields that are hidden.
    fields.retain(|field| plan::check_seen(tx.ctx, entity, &field.target).is_ok());
    let opened = CsvFile::open(content, &options.file);
    if let Ok(file) = &opened {
        plan::check_mapping(mapping, file.columns(), &fields, &mut errors);
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let descriptors: Vec<_> = fields.iter().map(|field| field.descriptor.clone()).collect();
    let mut shown = preview(content, options, &descriptors, mapping);
    if let Ok(file) = opened {
        samples::look(tx, entity, &fields, &file, options, &mut shown)?;
    }
    Ok(shown)
}

/// The fields that a column can go to, in their order. Those of a past are there for an ADMIN.
///
/// # Errors
/// [`Error::Invalid`] for an unknown kind of record.
pub fn importable_fields(tx: &mut Tx<'_>, entity_type: &str) -> Result<Vec<FieldDescriptor>> {
    let entity = entity(entity_type)?;
    let definitions = custom_fields::of_kind(tx, entity.kind)?;
    let fields = fields_of(entity, &definitions, tx.ctx.role == Role::Admin);
    Ok(fields.into_iter().map(|field| field.descriptor).collect())
}

fn entity(kind: &str) -> Result<&'static Entity> {
    Entity::named(kind)
        .ok_or_else(|| Error::invalid("entityType", "not_allowed", format!("One of: {}.", ENTITY_TYPES.join(", "))))
}

/// The unit, the pipeline and the owner of rows that name none.
type Constants = (Option<Id<BusinessUnit>>, Option<Id<Pipeline>>, Option<Id<User>>);

fn check_constants(
    tx: &mut Tx<'_>,
    entity: &Entity,
    (unit, pipeline, owner): Constants,
    errors: &mut Vec<FieldError>,
) -> Result<()> {
    let mut refuse = |name: &str, code: &str, message: &str| {
        errors.push(FieldError::new(format!("options.{name}"), code, message));
    };
    let is_own = unit.is_none_or(|unit| tx.ctx.scope.units.as_ref().is_none_or(|own| own.contains(&unit)));
    if !is_own || !is_there(tx, unit, |unit: &BusinessUnit| unit.fields.is_active)? {
        refuse("businessUnitId", "unknown_reference", "There is no such active business unit.");
    }
    if !is_there(tx, owner, |user: &User| user.fields.is_active)? {
        refuse("ownerId", "unknown_reference", "There is no such active user.");
    }
    if pipeline.is_some() && entity.kind != Deal::KIND {
        refuse("pipelineId", "not_allowed", "Only deals go through a pipeline.");
    } else if !is_there(tx, pipeline, |_: &Pipeline| true)? {
        refuse("pipelineId", "unknown_reference", "There is no such pipeline.");
    }
    Ok(())
}

/// Is the record that an option names there? Nothing is named rightly.
fn is_there<R: Record>(tx: &mut Tx<'_>, id: Option<Id<R>>, is_usable: fn(&R) -> bool) -> Result<bool> {
    match id.map(|id| tx.find(id)).transpose() {
        Ok(found) => Ok(found.as_ref().is_none_or(is_usable)),
        Err(Error::NotFound) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The name without folders, which some programs send along.
fn file_name(name: &str, errors: &mut Vec<FieldError>) -> String {
    let name = name.rsplit(['/', '\\']).next().unwrap_or_default().trim();
    if name.chars().count() > 255 || name.contains(char::is_control) {
        errors.push(FieldError::new("fileName", "length", "At most 255 characters, none of them a control character."));
    }
    if name.is_empty() { "import.csv".into() } else { name.to_owned() }
}

fn count(file: &CsvFile<'_>, dry_run: bool, errors: &mut Vec<FieldError>) -> i32 {
    let rows = file.rows().count();
    if rows == 0 {
        errors.push(FieldError::new("file", "no_rows", "The file has a header and no rows."));
    }
    if dry_run && rows > LARGEST_DRY_RUN {
        let message = format!("A dry run takes at most {LARGEST_DRY_RUN} rows, and the file has {rows}.");
        errors.push(FieldError::new("options.dryRun", "too_many_rows", message));
    }
    i32::try_from(rows).unwrap_or_else(|_| {
        errors.push(FieldError::new("file", "too_many_rows", "The file has more rows than can be counted."));
        0
    })
}

fn store(tx: &mut Tx<'_>, mut fields: ImportFields, content: Vec<u8>) -> Result<Import> {
    fields.status = "queued".into();
    fields.created_by = tx.ctx.actor.user();
    let draft = Draft::<Import>::over(tx, fields, Patch::default())?;
    let import = tx.permit_new(draft)?.insert(tx)?;
    tx.sql::<st::Integer>("INSERT INTO import_files (organization_id, import_id, content) VALUES ({org}, {}, {})")
        .with(|s| s.bind(import.id).bind(content))
        .run(tx)?;
    let how = Enqueue { unique_key: Some(import.id.to_string()), ..Enqueue::default() };
    jobs::enqueue(tx, &ImportJob { import: import.id.uuid() }, &how)?;
    Ok(import)
}
