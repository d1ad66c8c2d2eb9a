//! A file as a person sees it before it is imported: its columns, its first rows, and what must be answered first.
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    ColumnPreview, CsvFile, DateFormat, Detected, FieldDescriptor, FileOptions, Problem, ValueOptions,
    columns::{ColumnEvidence, SHOWN_CHARACTERS},
    cut, detect,
    fields::guess,
};
use crate::{Id, business_units::BusinessUnit, pipelines::Pipeline, users::User};

/// How many rows are shown.
const SHOWN_ROWS: usize = 20;
/// How many rows are looked at to tell whether dates and numbers are ambiguous.
const SCANNED_ROWS: usize = 10_000;

/// What a person has answered so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PreviewOptions {
    /// How the file is read.
    #[serde(flatten)]
    pub file: FileOptions,
    /// The notation of days.
    #[schema(value_type = Option<String>, example = "%m/%d/%Y")]
    pub date_format: Option<DateFormat>,
    /// Whether the comma stands before fractions.
    pub decimal_comma: Option<bool>,
    /// The business unit of new records whose row names none.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// The pipeline of new deals whose row names none.
    pub pipeline_id: Option<Id<Pipeline>>,
    /// The owner of new records whose row names none.
    pub owner_id: Option<Id<User>>,
}

impl PreviewOptions {
    /// How the cells would be read, in the organization's zone.
    pub(super) fn values(&self, zone: Tz) -> ValueOptions {
        let decimal_comma = self.decimal_comma.unwrap_or_default();
        ValueOptions { decimal_comma, date_format: self.date_format.clone(), zone }
    }
}

/// A file before it is imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    /// What the bytes look like, whatever the options say.
    pub detected: Detected,
    /// Why the file cannot be read with these options; then there are no columns and no rows.
    pub error: Option<Problem>,
    /// The columns, in the file's order; what is said of their values holds for the first 10 000 rows.
    pub columns: Vec<ColumnPreview>,
    /// The first 20 data rows.
    pub rows: Vec<PreviewRow>,
    /// What new records get where no column says it, such as the pipeline of deals.
    pub notices: Vec<Problem>,
}

/// One data row of a preview.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct PreviewRow {
    /// The row number a spreadsheet shows.
    pub row: u64,
    /// The cells, each cut to 200 characters.
    pub cells: Vec<String>,
    /// What is wrong with the row as a whole.
    pub error: Option<Problem>,
}

/// Looks at a file without importing anything. Without a mapping the fields are guessed, and the guesses are proposals:
/// only what is given as an option counts.
pub fn preview(
    bytes: &[u8],
    options: &PreviewOptions,
    fields: &[FieldDescriptor],
    mapping: &Map<String, Value>,
) -> Preview {
    let detected = detect(bytes);
    match CsvFile::open(bytes, &options.file) {
        Ok(file) => {
            let rows = file.rows().take(SHOWN_ROWS).map(|row| match row {
                Ok(row) => preview_row(row.number, &row.cells, None),
                Err(ragged) => preview_row(ragged.row.number, &ragged.row.cells, Some(Problem::from(&ragged))),
            });
            let columns = preview_columns(&file, options, &chosen(file.columns(), fields, mapping));
            Preview { detected, error: None, columns, rows: rows.collect(), notices: vec![] }
        }
        Err(error) => {
            let error = Some(Problem::from(&error));
            Preview { detected, error, columns: vec![], rows: vec![], notices: vec![] }
        }
    }
}

fn preview_row(number: u64, cells: &[String], error: Option<Problem>) -> PreviewRow {
    PreviewRow { row: number, cells: cells.iter().map(|cell| cut(cell, SHOWN_CHARACTERS)).collect(), error }
}

/// The field of each column: what the mapping says, or a guess where there is none.
fn chosen<'f>(
    columns: &[String],
    fields: &'f [FieldDescriptor],
    mapping: &Map<String, Value>,
) -> Vec<Option<&'f FieldDescriptor>> {
    if mapping.is_empty() {
        return guess(columns, fields);
    }
    let named = |column: &String| mapping.iter().find(|(name, _)| name.trim() == column)?.1.as_str();
    let field = |column| fields.iter().find(|field| Some(field.name.as_str()) == named(column));
    columns.iter().map(field).collect()
}

fn preview_columns(
    file: &CsvFile<'_>,
    options: &PreviewOptions,
    fields: &[Option<&FieldDescriptor>],
) -> Vec<ColumnPreview> {
    let mut evidence: Vec<ColumnEvidence> = file.columns().iter().map(|_| ColumnEvidence::default()).collect();
    for row in file.rows().take(SCANNED_ROWS).flatten() {
        evidence.iter_mut().zip(&row.cells).for_each(|(column, cell)| column.add(cell));
    }
    let (has_format, has_comma) = (options.date_format.is_some(), options.decimal_comma.is_some());
    let columns = file.columns().iter().zip(evidence).zip(fields);
    columns.map(|((name, evidence), field)| evidence.conclude(name, *field, has_format, has_comma)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::imports::{Delimiter, ValueType};

    fn fields() -> Vec<FieldDescriptor> {
        let field = |name: &str, value_type, alias: &str| FieldDescriptor {
            name: name.into(),
            label: name.into(),
            value_type,
            aliases: vec![alias.into()],
        };
        vec![
            field("name", ValueType::Text, "account"),
            field("value", ValueType::Decimal, "close_value"),
            field("closedAt", ValueType::DateTime, "close_date"),
        ]
    }

    #[test]
    fn a_file_is_shown_with_its_open_questions() {
        let mut text = "Account;close_value;close_date\n".to_owned();
        text.push_str("Acme;1.234;3/1/2017\n\nshort\n");
        text.push_str(&"Globex;550;12/11/2016\n".repeat(30));
        let file = FileOptions { encoding: None, delimiter: Delimiter::Semicolon };
        let options = PreviewOptions { file, ..PreviewOptions::default() };
        let shown = preview(text.as_bytes(), &options, &fields(), &Map::new());
        assert_eq!(shown.error, None);
        assert_eq!(shown.rows.len(), 20);
        assert_eq!((shown.rows[1].row, shown.rows[1].error.as_ref().unwrap().code.as_str()), (4, "ragged_row"));
        let columns: Vec<_> = shown
            .columns
            .iter()
            .map(|c| (c.field.as_deref().unwrap(), c.samples.len(), c.needs_decimal_comma, c.needs_date_format))
            .collect();
        assert_eq!(columns, [("name", 2, false, false), ("value", 2, true, false), ("closedAt", 2, false, true)]);

        let answers = r#"{"delimiter":";","decimalComma":true,"dateFormat":"%m/%d/%Y"}"#;
        let options: PreviewOptions = serde_json::from_str(answers).unwrap();
        let answered = preview(text.as_bytes(), &options, &fields(), &Map::new());
        assert!(!answered.columns.iter().any(|c| c.needs_decimal_comma || c.needs_date_format));
        let mapping =
            Map::from_iter([("close_value".to_owned(), Value::from("name")), ("Account".to_owned(), Value::Null)]);
        let mapped = preview(text.as_bytes(), &options, &fields(), &mapping);
        let columns: Vec<_> = mapped.columns.iter().map(|column| column.field.as_deref()).collect();
        assert_eq!(columns, [None, Some("name"), None], "the mapping alone says what is read");
        let json = serde_json::to_value(&answered).unwrap();
        assert_eq!(json["detected"]["delimiters"][0]["delimiter"], ";");
        assert_eq!(json["columns"][2]["dateFormats"][1], "%m/%d/%Y");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_still_looked_at() {
        let shown = preview(b"name;town\nAnn;Z\xfcrich\n", &PreviewOptions::default(), &fields(), &Map::new());
        assert_eq!(shown.error.unwrap().code, "malformed_text");
        assert_eq!(shown.detected.encodings[0].encoding, "windows-1252");
        assert_eq!(shown.detected.delimiters[0].delimiter, Delimiter::Semicolon);
        assert!(shown.columns.is_empty() && shown.rows.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in "[a1,;\"\n./]{0,60}") {
            preview(&bytes, &PreviewOptions::default(), &fields(), &Map::new());
            let shown = preview(text.as_bytes(), &PreviewOptions::default(), &fields(), &Map::new());
            prop_assert!(shown.error.is_some() || !shown.columns.is_empty());
        }
    }
}
