//! What is to be done with a file: which column goes where, and how.
use std::collections::HashSet;

use chrono::DateTime;
use serde_json::{Map, Value};

use super::{
    CsvFile, ImportOptions, RaggedRow, Row, RowFingerprint, RowFingerprints, UnknownReferences, ValueOptions,
    entities::Entity,
    interpretation::{Column, Interpreted, Reading, interpret},
    lookups::Lookups,
    order::parents_first,
    targets::{ImportField, Reference, Target, fields_of},
};
use crate::{
    Ctx, Error, Patch, Reason, Result, Tx, companies::Company, contacts::Contact, custom_fields, error::FieldError,
    masks, organizations, record::FieldKind, text::fold,
};

/// What is to be done with a file.
pub(super) struct Plan {
    pub(super) entity: &'static Entity,
    pub(super) columns: Vec<Column>,
    /// Those of them by which a record is known again.
    keys: Vec<Column>,
    pub(super) options: ImportOptions,
    pub(super) values: ValueOptions,
    /// Why it changes records.
    pub(super) reason: Reason,
}

/// A data row and what it is known again by.
pub(super) struct Item {
    pub(super) fingerprint: RowFingerprint,
    pub(super) row: Result<Row, RaggedRow>,
}

impl Plan {
    /// Checks a mapping against the columns of the file and the fields of the record; what is wrong goes to `errors`.
    ///
    /// # Errors
    /// [`crate::Error::Forbidden`] for a column that goes to a field which the caller does not see.
    pub(super) fn new(
        tx: &mut Tx<'_>,
        entity: &'static Entity,
        mapping: &Map<String, Value>,
        options: ImportOptions,
        columns: &[String],
        errors: &mut Vec<FieldError>,
    ) -> Result<Self> {
        let fields = fields_of(entity, &custom_fields::of_kind(tx, entity.kind)?, options.as_history);
        let values = options.values(organizations::zone(tx)?);
        let reason = reason(&options, errors)?;
        let mut plan = Self { entity, columns: Vec::new(), keys: Vec::new(), options, values, reason };
        for (column, field) in mapping.iter().filter(|(_, field)| !field.is_null()) {
            match mapped(columns, &fields, column, field) {
                Ok(column) => plan.columns.push(column),
                Err((code, message)) => errors.push(FieldError::new(format!("mapping.{column}"), code, message)),
            }
        }
        plan.columns.iter().try_for_each(|column| check_seen(tx.ctx, entity, &column.field.target))?;
        plan.columns.sort_by_key(|column| column.index);
        let is_key =
            |column: &&Column| entity.keys.iter().any(|key| column.field.target == Target::Member(key.member()));
        plan.keys = plan.columns.iter().filter(is_key).cloned().collect();
        plan.check(errors);
        Ok(plan)
    }

    /// No field has two columns, and what each record must have has one.
    fn check(&self, errors: &mut Vec<FieldError>) {
        let mut members = HashSet::new();
        for column in &self.columns {
            let member = match &column.field.target {
                Target::Reference(reference) => reference.member(),
                _ => column.field.descriptor.name.as_str(),
            };
            if !members.insert(member) {
                let message = format!("Two columns go to `{member}`; only one can.");
                errors.push(FieldError::new("mapping", "duplicate_field", message));
            }
        }
        let needed = self.entity.fields.iter().filter(|field| field.required && field.kind == FieldKind::Text);
        for field in needed.filter(|field| !members.contains(field.name)) {
            let message = format!("A column must go to `{}`: every {} has one.", field.name, self.entity.kind);
            errors.push(FieldError::new("mapping", "required", message));
        }
        if self.columns.is_empty() {
            errors.push(FieldError::new("mapping", "required", "No column goes to any field."));
        }
    }

    /// The rows of the file in the order in which they are worked, which is the same each time.
    pub(super) fn items<'f>(&'f self, file: &'f CsvFile<'_>) -> Box<dyn Iterator<Item = Item> + 'f> {
        let mut fingerprints = RowFingerprints::new(self.entity.kind);
        let items = file.rows().map(move |row| {
            let cells = row.as_ref().map_or_else(|ragged| &ragged.row.cells, |row| &row.cells);
            let mapped: Vec<_> = self.columns.iter().map(|column| self.cell(column, cells)).collect();
            Item { fingerprint: fingerprints.next(&mapped), row }
        });
        let Some((name, parent)) = self.name_and_parent() else { return Box::new(items) };
        let mut items: Vec<_> = items.map(Some).collect();
        let names = items.iter().flatten().map(|item| match &item.row {
            Ok(row) => (fold(&row.cells[name]), fold(&row.cells[parent])),
            Err(_) => Default::default(),
        });
        let order = parents_first(&names.collect::<Vec<_>>());
        Box::new(order.into_iter().filter_map(move |place| items[place].take()))
    }

    /// The keys of a row alone, for which no name has to be looked up.
    pub(super) fn known_by(&self, cells: &[String]) -> Interpreted {
        let (columns, options, lookups) = (&self.keys, &self.values, &Lookups::default());
        let (unknown, now) = (UnknownReferences::Refuse, DateTime::UNIX_EPOCH);
        let reading = Reading { columns, options, lookups, unit: None, pipeline: None, owner: None, unknown, now };
        interpret(&reading, cells).unwrap_or_default()
    }

    fn cell<'a>(&'a self, column: &'a Column, cells: &'a [String]) -> (&'a str, &'a str) {
        (&column.field.descriptor.name, cells.get(column.index).map_or("", String::as_str))
    }

    /// The columns that tell which company belongs to which, where both are imported.
    fn name_and_parent(&self) -> Option<(usize, usize)> {
        let index = |target: Target| self.columns.iter().find(|c| c.field.target == target).map(|c| c.index);
        Some((index(Target::Member("name"))?, index(Target::Reference(Reference::ParentCompany))?))
    }
}

/// Checks a mapping without making a plan of it; what is wrong goes to `errors`.
pub(super) fn check_mapping(
    mapping: &Map<String, Value>,
    columns: &[String],
    fields: &[ImportField],
    errors: &mut Vec<FieldError>,
) {
    for (column, field) in mapping.iter().filter(|(_, field)| !field.is_null()) {
        if let Err((code, message)) = mapped(columns, fields, column, field) {
            errors.push(FieldError::new(format!("mapping.{column}"), code, message));
        }
    }
}

/// The reason in the options, as a request would have it.
fn reason(options: &ImportOptions, errors: &mut Vec<FieldError>) -> Result<Reason> {
    let given = [("reasonCode", &options.reason_code), ("note", &options.note)];
    let given = given.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text.clone())));
    match Patch::new(given.collect()) {
        Ok(patch) => Ok(patch.reason),
        Err(Error::Invalid(found)) => {
            errors
                .extend(found.into_iter().map(|e| FieldError::new(format!("options.{}", e.field), e.code, e.message)));
            Ok(Reason::default())
        }
        Err(error) => Err(error),
    }
}

/// A row that stands for a record which is there already tells what that record holds, and so does a name that is looked up.
pub(super) fn check_seen(ctx: &Ctx, entity: &Entity, target: &Target) -> Result<()> {
    let custom;
    let member: &str = match target {
        Target::Member(name) => name,
        Target::Custom(key) => {
            custom = format!("customFields.{key}");
            custom.as_str()
        }
        Target::Reference(reference) => reference.member(),
        Target::CreatedAt | Target::ClosedAt => return Ok(()),
    };
    masks::check_uses(ctx, entity.kind, &[member])?;
    match target {
        Target::Reference(Reference::Company | Reference::ParentCompany) => masks::check_use::<Company>(ctx, "name"),
        Target::Reference(Reference::Contact) => masks::check_use::<Contact>(ctx, "email"),
        _ => Ok(()),
    }
}

fn mapped(
    columns: &[String],
    fields: &[ImportField],
    column: &str,
    field: &Value,
) -> Result<Column, (&'static str, String)> {
    let Some(name) = field.as_str() else {
        return Err(("invalid_type", "The name of a field, or null to leave the column out.".into()));
    };
    let Some(index) = columns.iter().position(|own| own == column.trim()) else {
        return Err(("unknown_column", format!("The file has no such column. It has: {}.", columns.join(", "))));
    };
    match fields.iter().find(|field| field.descriptor.name == name) {
        Some(field) => Ok(Column { index, field: field.clone() }),
        None => {
            let names: Vec<_> = fields.iter().map(|field| field.descriptor.name.as_str()).collect();
            Err(("unknown_field", format!("There is no field `{name}`. There are: {}.", names.join(", "))))
        }
    }
}
