//! The records of a list as a file: the same filter, sort and scope as the list itself, a batch at a time.
use std::io::{self, Write};

use serde_json::{Map, Value};

use super::{Cell, CsvExport, JsonExport};
use crate::{
    Error, Result, Tx, custom_fields, filters,
    gate::{Action, Ask},
    masks,
    money::decimal,
    page::{self, ListQuery},
    record::{COMMON, FieldKind, Record},
};

/// The form of an exported file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values (RFC 4180) in UTF-8, safe to open in a spreadsheet.
    Csv,
    /// One JSON array.
    Json,
}

impl std::str::FromStr for Format {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            _ => Err(filters::malformed("invalid_value", "`format` is csv or json.")),
        }
    }
}

/// An export that is allowed and understood, and not yet written.
#[derive(Debug)]
pub struct Export {
    format: Format,
    query: Vec<(String, String)>,
    columns: Vec<String>,
}

impl Export {
    /// The form of the file.
    pub fn format(&self) -> Format {
        self.format
    }
}

/// Takes the parameters of an export apart: `format` (csv where none is given), and those of the list.
///
/// # Errors
/// [`Error::Forbidden`] where the caller may not export such records, [`Error::Malformed`] as for the list.
pub fn prepare<R: Record>(tx: &mut Tx<'_>, mut query: Vec<(String, String)>) -> Result<Export> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::ExportData, R::KIND))?;
    let given = query.iter().position(|(name, _)| name == "format").map(|at| query.remove(at).1);
    let format = given.map_or(Ok(Format::Csv), |text| text.parse())?;
    if let Some((name, _)) = query.iter().find(|(name, _)| matches!(name.as_str(), "limit" | "cursor" | "count")) {
        let detail = format!("An export is not paged; leave `{name}` out.");
        return Err(filters::malformed("unknown_parameter", detail));
    }
    ListQuery::parse::<R>(tx, &query)?;
    Ok(Export { format, query, columns: columns::<R>(tx)? })
}

/// The columns: the id, each field under its own name, each custom field under `customFields.<key>`. A field that is
/// hidden in some of the records has none.
fn columns<R: Record>(tx: &mut Tx<'_>) -> Result<Vec<String>> {
    let mut columns = vec!["id".to_owned()];
    let hidden = masks::hidden::<R>(tx.ctx);
    for field in R::FIELDS.iter().chain(&COMMON) {
        if field.kind == FieldKind::Custom {
            let definitions = custom_fields::of_kind(tx, R::KIND)?;
            columns.extend(definitions.iter().map(|d| format!("{}.{}", field.name, d.fields.key)));
        } else {
            columns.push(field.name.to_owned());
        }
    }
    columns.retain(|column| !masks::is_hidden(&hidden, column));
    Ok(columns)
}

/// Writes an export into a sink. Memory holds one batch of records.
///
/// # Errors
/// What the database says, and [`Error::Unavailable`] where the sink takes no more.
pub fn write<R: Record>(tx: &mut Tx<'_>, export: &Export, sink: impl Write) -> Result<()> {
    match export.format {
        Format::Csv => {
            let mut file = CsvExport::begin(sink, export.columns.iter().map(String::as_str)).map_err(gone)?;
            page::every::<R>(tx, &export.query, |_, records| {
                for record in &records {
                    let members = members(record)?;
                    file.write_row(export.columns.iter().map(|name| cell::<R>(&members, name))).map_err(gone)?;
                }
                file.flush().map_err(gone)
            })?;
            file.end().map(drop).map_err(gone)
        }
        Format::Json => {
            let mut file = JsonExport::begin(sink).map_err(gone)?;
            page::every::<R>(tx, &export.query, |tx, records| {
                let seen = masks::masked_all(tx.ctx, &records)?;
                seen.iter().try_for_each(|record| file.write_item(record)).map_err(gone)
            })?;
            file.end().map(drop).map_err(gone)
        }
    }
}

fn gone(error: io::Error) -> Error {
    Error::Unavailable(error.to_string())
}

fn members(record: &impl Record) -> Result<Map<String, Value>> {
    crate::patch::object(record)
}

/// One value as a cell of its field's type.
fn cell<'r, R: Record>(members: &'r Map<String, Value>, name: &str) -> Cell<'r> {
    let (member, key) = name.split_once('.').map_or((name, None), |(member, key)| (member, Some(key)));
    let value = match key {
        Some(key) => members.get(member).and_then(|custom| custom.get(key)),
        None => members.get(member),
    };
    let kind = R::field(member).map(|field| field.kind);
    match value {
        None | Some(Value::Null) => Cell::Empty,
        Some(Value::Bool(is)) => Cell::Boolean(*is),
        Some(Value::Number(number)) => {
            let text = number.to_string();
            decimal(&text).map_or_else(|| Cell::Text(text.into()), Cell::Decimal)
        }
        Some(Value::String(text)) => match kind {
            Some(FieldKind::Date) => text.parse().map_or_else(|_| text.as_str().into(), Cell::Date),
            Some(FieldKind::Instant) => filters::instant(text).map_or_else(|| text.as_str().into(), Cell::Instant),
            _ => text.as_str().into(),
        },
        Some(Value::Array(words)) => {
            let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
            Cell::Text(words.join(";").into())
        }
        Some(other) => Cell::Text(other.to_string().into()),
    }
}
