//! The rows that an import refused, and why, as a file that can be mended and imported again; and those that want a look.
use std::{collections::BTreeMap, io::Write};

use diesel::sql_types as st;
use serde_json::Value;

use super::{CellError, CsvFile, ErrorReport, Import, ImportOptions, read};
use crate::{Error, Id, Result, Tx};

/// Writes the refused rows of an import as CSV: their own columns, then `row`, `field`, `code` and `message`.
///
/// # Errors
/// [`Error::NotFound`], also for somebody else's import; [`Error::Internal`] where the sink takes no more.
pub fn errors<W: Write>(tx: &mut Tx<'_>, id: Id<Import>, sink: W) -> Result<W> {
    let refused = "SELECT row_number, errors FROM import_rows WHERE organization_id = {org} AND import_id = {} \
                   AND outcome = 'failed' AND errors IS NOT NULL";
    report(tx, id, refused, sink)
}

/// Writes the rows of an import that landed although something about them wants a look, in the form of [`errors`].
///
/// # Errors
/// As [`errors`].
pub fn warnings<W: Write>(tx: &mut Tx<'_>, id: Id<Import>, sink: W) -> Result<W> {
    let warned = "SELECT row_number, warnings FROM import_rows WHERE organization_id = {org} AND import_id = {} \
                  AND warnings IS NOT NULL";
    report(tx, id, warned, sink)
}

fn report<W: Write>(tx: &mut Tx<'_>, id: Id<Import>, rows: &'static str, sink: W) -> Result<W> {
    let import = read(tx, id)?;
    let told: Vec<(i32, Value)> = tx.sql::<(st::Integer, st::Jsonb)>(rows).with(|s| s.bind(id)).all(tx)?;
    let content =
        tx.sql::<st::Binary>("SELECT content FROM import_files WHERE organization_id = {org} AND import_id = {}");
    let content: Vec<u8> = content.with(|s| s.bind(id)).one(tx)?;
    let options: ImportOptions = serde_json::from_value(import.fields.options).map_err(internal)?;
    let file = CsvFile::open(&content, &options.file()).map_err(internal)?;
    write(&file, told.into_iter().collect(), sink).map_err(internal)
}

fn write<W: Write>(file: &CsvFile<'_>, mut told: BTreeMap<i32, Value>, sink: W) -> std::io::Result<W> {
    let mut report = ErrorReport::begin(sink, file.columns())?;
    for row in file.rows() {
        let row = row.unwrap_or_else(|ragged| ragged.row);
        let errors = i32::try_from(row.number).ok().and_then(|number| told.remove(&number));
        if let Some(errors) = errors {
            report.write_row(&row, &serde_json::from_value::<Vec<CellError>>(errors)?)?;
        }
    }
    report.end()
}

fn internal(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Internal(Box::new(error))
}
