//! Taking a file in: everything that is wrong with the request is told at once, before the first row is touched.
use diesel::sql_types as st;
use serde_json::{Map, Value};

use super::{
    CsvFile, FieldDescriptor, Import, ImportFields, ImportOptions, Preview, PreviewOptions,
    entities::{ENTITY_TYPES, Entity},
    job::ImportJob,
    plan::Plan,
    preview,
    targets::fields_of,
};
use crate::{
    Error, Id, Patch, Result, Tx,
    business_units::BusinessUnit,
    change::Draft,
    custom_fields,
    error::FieldError,
    gate::{Action, Ask},
    jobs::{self, Enqueue},
    users::Role,
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
    if options.as_history && tx.ctx.role != Role::Admin {
        let reason = "Only an ADMIN may import a past, since it skips the reviews of closed deals.".into();
        return Err(Error::Forbidden { code: "role_required", reason });
    }
    check_unit(tx, options.business_unit_id, &mut errors)?;
    let file_name = file_name(&new.file_name, &mut errors);
    let rows_total = match CsvFile::open(&new.content, &options.file()) {
        Ok(file) => {
            Plan::new(tx, entity, &new.mapping, options.clone(), file.columns(), &mut errors)?;
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

/// Looks at a file without importing anything: its columns, first rows and open questions, and which field each column
/// is likely meant for.
///
/// # Errors
/// [`Error::Forbidden`] for whoever may not create such records, [`Error::Invalid`] for an unknown kind of record.
pub fn preview_file(tx: &mut Tx<'_>, entity_type: &str, content: &[u8], options: &PreviewOptions) -> Result<Preview> {
    let entity = entity(entity_type)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Create, entity.kind))?;
    Ok(preview(content, options, &importable_fields(tx, entity_type)?))
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

fn check_unit(tx: &mut Tx<'_>, unit: Option<Id<BusinessUnit>>, errors: &mut Vec<FieldError>) -> Result<()> {
    let Some(unit) = unit else { return Ok(()) };
    let is_own = tx.ctx.scope.units.as_ref().is_none_or(|own| own.contains(&unit));
    let there = match tx.find(unit) {
        Ok(found) => is_own && found.fields.is_active,
        Err(Error::NotFound) => false,
        Err(error) => return Err(error),
    };
    if !there {
        let message = "There is no such active business unit.";
        errors.push(FieldError::new("options.businessUnitId", "unknown_reference", message));
    }
    Ok(())
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
