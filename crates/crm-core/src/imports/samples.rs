//! What an import of a file would refuse, and what it would take for granted, told before it begins.
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    CellError, ColumnPreview, CsvFile, Preview, PreviewOptions, Problem,
    columns::SHOWN_CHARACTERS,
    cut,
    entities::Entity,
    interpretation::{Column, Reading, collect, interpret},
    lookups::{Lookups, Wanted},
    options::UnknownReferences,
    targets::{ImportField, Reference, Target},
};
use crate::{Id, Result, Tx, deals::Deal, error::FieldError, organizations, record::Record};

/// How many rows are tried, the first ones.
const SAMPLED_ROWS: usize = 1_000;

/// Values of a column that an import would refuse, and their rows with them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefusedValues {
    /// How many there are among the rows that were tried.
    pub count: usize,
    /// How many rows were tried: the first 1,000 at most.
    pub rows_tried: usize,
    /// The row of the first one, as a spreadsheet numbers it.
    pub row: u64,
    /// The first one, cut to 200 characters.
    pub example: String,
    /// Why it would be refused.
    pub problem: Problem,
}

/// Adds to a preview which values would be refused, each by the rules of its field alone and of what it names, and what
/// new records get where no column says it.
pub(super) fn look(
    tx: &mut Tx<'_>,
    entity: &'static Entity,
    fields: &[ImportField],
    file: &CsvFile<'_>,
    options: &PreviewOptions,
    preview: &mut Preview,
) -> Result<()> {
    let columns: Vec<Column> =
        preview.columns.iter().enumerate().filter_map(|(i, own)| column(fields, i, own)).collect();
    let lookups = lookups(tx, &columns, file)?;
    let values = options.values(organizations::zone(tx)?);
    let reading = Reading {
        columns: &columns,
        options: &values,
        lookups: &lookups,
        unit: options.business_unit_id.map(Id::uuid),
        pipeline: options.pipeline_id.map(Id::uuid),
        owner: options.owner_id.map(Id::uuid),
        unknown: UnknownReferences::Refuse,
        now: tx.ctx.now,
    };
    let mut rows_tried = 0;
    for row in file.rows().take(SAMPLED_ROWS).flatten() {
        rows_tried += 1;
        for CellError { field, problem } in wrong_with(entity, &reading, &row.cells)? {
            let column = columns.iter().find(|column| Some(&column.field.descriptor.name) == field.as_ref());
            let Some(place) = column.map(|column| column.index) else { continue };
            let example = cut(row.cells[place].trim(), SHOWN_CHARACTERS);
            let first = RefusedValues { count: 0, rows_tried: 0, row: row.number, example, problem };
            preview.columns[place].refused.get_or_insert(first).count += 1;
        }
    }
    preview.columns.iter_mut().filter_map(|column| column.refused.as_mut()).for_each(|r| r.rows_tried = rows_tried);
    preview.notices = notices(tx, entity, &columns, &lookups, options);
    Ok(())
}

fn column(fields: &[ImportField], index: usize, shown: &ColumnPreview) -> Option<Column> {
    let field = fields.iter().find(|field| Some(&field.descriptor.name) == shown.field.as_ref())?;
    Some(Column { index, field: field.clone() })
}

/// What the names in the sampled rows stand for. A company may also stand in the file itself.
fn lookups(tx: &mut Tx<'_>, columns: &[Column], file: &CsvFile<'_>) -> Result<Lookups> {
    let (mut wanted, mut own) = (Wanted::default(), Vec::new());
    let name = columns.iter().find(|column| column.field.target == Target::Member("name"));
    for row in file.rows().take(SAMPLED_ROWS).flatten() {
        collect(columns, &row.cells, &mut wanted);
        own.extend(name.and_then(|column| row.cells.get(column.index).cloned()));
    }
    let mut lookups = Lookups::load(tx, &wanted)?;
    let has_parents = columns.iter().any(|column| column.field.target == Target::Reference(Reference::ParentCompany));
    if has_parents {
        own.iter().for_each(|name| lookups.expect_company(name));
    }
    Ok(lookups)
}

/// What is wrong with the cells of a row, by the names of their fields.
fn wrong_with(entity: &Entity, reading: &Reading<'_>, cells: &[String]) -> Result<Vec<CellError>> {
    match interpret(reading, cells) {
        Err(errors) => Ok(errors),
        Ok(row) => {
            let error = |FieldError { field, code, message }| CellError::new(Some(&field), code, message);
            Ok((entity.misfits)(row.members)?.into_iter().map(error).collect())
        }
    }
}

/// What new records get where no column says it, and no option.
fn notices(
    tx: &Tx<'_>,
    entity: &Entity,
    columns: &[Column],
    lookups: &Lookups,
    options: &PreviewOptions,
) -> Vec<Problem> {
    let mut notices = Vec::new();
    let mut tell = |code: &str, message: String| notices.push(Problem { code: code.into(), message });
    let has = |reference: Reference| {
        columns.iter().any(|column| {
            let field = &column.field;
            field.target == Target::Reference(reference) || field.descriptor.name == reference.member()
        })
    };
    let unit = options.business_unit_id.or_else(|| tx.ctx.scope.home());
    if entity.kind == Deal::KIND && !has(Reference::Pipeline) {
        let pipeline = options.pipeline_id.map(Id::uuid).or_else(|| lookups.default_pipeline(unit.map(Id::uuid)));
        if let Some(name) = pipeline.and_then(|pipeline| lookups.pipeline_name(pipeline)) {
            let which = if options.pipeline_id.is_some() { "" } else { "; `options.pipelineId` names another" };
            tell("pipeline", format!("Deals go to the pipeline “{name}”, since no column names one{which}."));
        }
    }
    if !has(Reference::BusinessUnit) && unit.is_none() {
        let message = "The records belong to no business unit and are seen by all, since no column names one; \
                       `options.businessUnitId` does.";
        tell("no_business_unit", message.into());
    }
    if !has(Reference::Owner) && options.owner_id.is_none() {
        let message = "Nobody owns the records, since no column names an owner; `options.ownerId` does.";
        tell("no_owner", message.into());
    }
    notices
}
