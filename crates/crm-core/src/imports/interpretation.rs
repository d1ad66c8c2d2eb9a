//! A row's cells as the members of a request, or every reason why they cannot be.
use chrono::{DateTime, Utc};
use serde_json::{Map, Number, Value as Json};
use uuid::Uuid;

use super::{
    CellError, UnknownReferences, Value, ValueOptions,
    fields::fold,
    lookups::{Lookups, Wanted},
    targets::{ImportField, Reference, Target},
    values::{self, Quote},
};
use crate::deals::Past;

/// A column that is imported: its place in the file and where its cells go.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) index: usize,
    pub(super) field: ImportField,
}

/// A row that can be written.
#[derive(Debug, Clone, Default)]
pub(super) struct Interpreted {
    /// As in a request. Blank cells are absent.
    pub(super) members: Map<String, Json>,
    /// What the row tells of the past.
    pub(super) past: Past,
    /// What wants a look although the row can land.
    pub(super) warnings: Vec<CellError>,
}

impl Interpreted {
    /// A member that is text.
    pub(super) fn text(&self, member: &str) -> Option<&str> {
        self.members.get(member).and_then(Json::as_str)
    }

    fn id(&self, member: &str) -> Option<Uuid> {
        self.text(member).and_then(|text| text.parse().ok())
    }
}

/// What is the same for all rows of a batch.
pub(super) struct Reading<'a> {
    pub(super) columns: &'a [Column],
    pub(super) options: &'a ValueOptions,
    pub(super) lookups: &'a Lookups,
    /// The unit of rows that name none.
    pub(super) unit: Option<Uuid>,
    /// The pipeline of rows that name none; the default one where there is none.
    pub(super) pipeline: Option<Uuid>,
    /// The owner of rows that name none.
    pub(super) owner: Option<Uuid>,
    pub(super) unknown: UnknownReferences,
    pub(super) now: DateTime<Utc>,
}

/// Notes the names in a row that are to be looked up.
pub(super) fn collect(columns: &[Column], cells: &[String], wanted: &mut Wanted) {
    for column in columns {
        let name = cells.get(column.index).map_or("", |cell| cell.trim());
        if let (Target::Reference(reference), false) = (&column.field.target, name.is_empty()) {
            wanted.add(*reference, name);
        }
    }
}

/// Reads the cells of a row.
///
/// # Errors
/// Every cell that cannot be read and every name that stands for nothing.
pub(super) fn interpret(reading: &Reading<'_>, cells: &[String]) -> Result<Interpreted, Vec<CellError>> {
    let (mut row, mut errors, mut stage) = (Interpreted::default(), Vec::new(), None);
    for column in reading.columns {
        let (name, cell) = (&column.field.descriptor.name, cells.get(column.index).map_or("", String::as_str));
        match values::read(cell, column.field.descriptor.value_type, reading.options) {
            Ok(None) => row.miss(&column.field.target, reading),
            Err(error) => errors.push(CellError { field: Some(name.clone()), problem: (&error).into() }),
            // Which stage is meant depends on the pipeline, which may stand in a later column.
            Ok(Some(Value::Text(text))) if column.field.target == Target::Reference(Reference::Stage) => {
                stage = Some(text);
            }
            Ok(Some(value)) => {
                if let Err(error) = row.take(&column.field, value, reading) {
                    errors.push(error);
                }
            }
        }
    }
    if let Some(name) = stage {
        let unit = row.id("businessUnitId").or(reading.unit);
        let pipeline = row.id("pipelineId").or(reading.pipeline).or_else(|| reading.lookups.default_pipeline(unit));
        match reading.lookups.stage(&name, pipeline) {
            Ok(id) => row.set(Reference::Stage.member(), Json::String(id.to_string())),
            Err(error) => errors.push(error),
        }
    }
    row.check_past(reading, &mut errors);
    if errors.is_empty() { Ok(row) } else { Err(errors) }
}

impl Interpreted {
    fn set(&mut self, member: &str, value: Json) {
        self.members.insert(member.to_owned(), value);
    }

    /// A blank cell where a record usually has something wants a look.
    fn miss(&mut self, target: &Target, reading: &Reading<'_>) {
        let Target::Reference(reference) = target else { return };
        if reference.is_missed() && !(*reference == Reference::Owner && reading.owner.is_some()) {
            let message = format!("The cell is blank, so the record has no {}.", reference.name());
            self.warnings.push(CellError::new(Some(reference.name()), "blank_reference", message));
        }
    }

    /// A name that stands for nothing refuses the row, or is left out with a warning.
    fn refer(&mut self, reference: Reference, name: &str, reading: &Reading<'_>) -> Result<(), CellError> {
        match reading.lookups.find(reference, name) {
            Ok(id) => self.set(reference.member(), Json::String(id.to_string())),
            Err(mut error) if reading.unknown == UnknownReferences::Blank && reference.can_be_blank() => {
                error.problem.message.push_str(" It was left blank.");
                self.warnings.push(error);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn take(&mut self, field: &ImportField, value: Value, reading: &Reading<'_>) -> Result<(), CellError> {
        let value = self.word(field, value)?;
        match (&field.target, value) {
            (Target::Reference(reference), Value::Text(name)) => self.refer(*reference, &name, reading)?,
            (Target::CreatedAt, Value::DateTime(at)) => self.past.created_at = Some(at),
            (Target::ClosedAt, Value::DateTime(at)) => self.past.closed_at = Some(at),
            (Target::Custom(key), value) => {
                let own = self.members.entry("customFields").or_insert_with(|| Json::Object(Map::new()));
                if let Json::Object(own) = own {
                    own.insert(key.clone(), json(value));
                }
            }
            (Target::Member(member), value) => self.set(member, json(value)),
            (Target::Reference(_) | Target::CreatedAt | Target::ClosedAt, _) => {}
        }
        Ok(())
    }

    /// One of the words of a field that has some, where the cell differs from it in case, spaces or punctuation alone.
    fn word(&mut self, field: &ImportField, value: Value) -> Result<Value, CellError> {
        let Value::Text(text) = &value else { return Ok(value) };
        if field.words.is_empty() || field.words.contains(text) {
            return Ok(value);
        }
        let name = Some(field.descriptor.name.as_str());
        let folded = fold(text);
        let mut meant = field.words.iter().filter(|word| fold(word) == folded);
        let (Some(word), None) = (meant.next(), meant.next()) else {
            return Err(CellError::new(name, "not_allowed", format!("One of: {}.", field.words.join(", "))));
        };
        let message = format!("{} was read as “{word}”.", Quote::of(text));
        self.warnings.push(CellError::new(name, "read_as", message));
        Ok(Value::Text(word.clone()))
    }

    /// The past is past and in order, and only what is closed has been closed.
    fn check_past(&self, reading: &Reading<'_>, errors: &mut Vec<CellError>) {
        let Past { created_at, closed_at } = self.past;
        let mut refuse = |field, code, message: &str| errors.push(CellError::new(Some(field), code, message));
        for (field, at) in [("createdAt", created_at), ("closedAt", closed_at)] {
            if at.is_some_and(|at| at > reading.now) {
                refuse(field, "in_future", "This instant has not come yet.");
            }
        }
        if closed_at.zip(created_at).is_some_and(|(closed, created)| closed < created) {
            refuse("closedAt", "before_creation", "The deal would be closed before it came to be.");
        }
        let kind = self.id("stageId").and_then(|stage| reading.lookups.kind_of_stage(stage));
        if closed_at.is_some() && kind.is_none_or(|kind| kind == "open") {
            refuse("closedAt", "not_closed", "The deal stands in an open stage and cannot have been closed.");
        }
    }
}

/// A value as JSON has it in a request.
fn json(value: Value) -> Json {
    match value {
        Value::Text(text) => Json::String(text),
        Value::Integer(number) => number.into(),
        Value::Decimal(number) | Value::Percent(number) => {
            number.to_string().parse::<Number>().map_or(Json::Null, Json::Number)
        }
        Value::Boolean(yes) => yes.into(),
        Value::Date(day) => Json::String(day.to_string()),
        Value::DateTime(at) => Json::String(at.to_rfc3339()),
        Value::Tags(tags) => tags.into(),
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use serde_json::json;

    use super::*;
    use crate::imports::{entities::Entity, targets::fields_of};

    fn read(kind: &str, row: &[(&str, &str)]) -> Result<Interpreted, Vec<CellError>> {
        let fields = fields_of(Entity::named(kind).unwrap(), &[], true);
        let column = |(index, (name, _)): (usize, &(&str, &str))| Column {
            index,
            field: fields.iter().find(|field| field.descriptor.name == *name).unwrap().clone(),
        };
        let columns: Vec<_> = row.iter().enumerate().map(column).collect();
        let cells: Vec<_> = row.iter().map(|(_, cell)| (*cell).to_owned()).collect();
        let options = ValueOptions { decimal_comma: false, date_format: None, zone: Tz::UTC };
        let (lookups, now) = (Lookups::default(), "2026-01-01T00:00:00Z".parse().unwrap());
        let unknown = UnknownReferences::Refuse;
        let (columns, options, lookups) = (&columns, &options, &lookups);
        let reading = Reading { columns, options, lookups, unit: None, pipeline: None, owner: None, unknown, now };
        interpret(&reading, &cells)
    }

    #[test]
    fn what_wants_a_look_is_told_though_the_row_lands() {
        let told = |kind: &str, row: &[(&str, &str)]| {
            let warnings = read(kind, row).unwrap().warnings;
            warnings.into_iter().map(|w| (w.field.unwrap(), w.problem.code)).collect::<Vec<_>>()
        };
        let deal = [("title", "A"), ("company", " "), ("contact", ""), ("owner", ""), ("stage", "")];
        let wanted = ["company", "contact", "owner"].map(|name| (name.to_owned(), "blank_reference".to_owned()));
        assert_eq!(told("deal", &deal), wanted);
        assert_eq!(told("company", &[("name", "A"), ("parentCompany", "")]), []);
        assert_eq!(told("lead", &[("status", "Qualified")]), [("status".to_owned(), "read_as".to_owned())]);
        assert_eq!(read("lead", &[("status", "QUALI-fied")]).unwrap().text("status"), Some("qualified"));
        assert_eq!(read("lead", &[("status", "warm")]).unwrap_err()[0].problem.code, "not_allowed");
    }

    #[test]
    fn cells_become_members_and_blank_ones_nothing() {
        let row = [
            ("title", " Big \u{e9} "),
            ("value", "$1,000.50"),
            ("tags", "a; b"),
            ("externalId", " "),
            ("expectedCloseDate", "2026-03-01"),
            ("createdAt", "2025-03-01"),
        ];
        let read = read("deal", &row).unwrap();
        let wanted = json!({"title": "Big é", "value": serde_json::from_str::<Number>("1000.50").unwrap(),
            "tags": ["a", "b"], "expectedCloseDate": "2026-03-01"});
        assert_eq!(Json::Object(read.members), wanted);
        assert_eq!(read.past.created_at, Some("2025-03-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn everything_that_is_wrong_with_a_row_is_told() {
        let row = [
            ("value", "much"),
            ("owner", "Nobody"),
            ("stage", "Nowhere"),
            ("closedAt", "2024-01-01"),
            ("createdAt", "2030-01-01"),
        ];
        let errors = read("deal", &row).unwrap_err();
        let told: Vec<_> = errors.iter().map(|e| (e.field.as_deref().unwrap(), e.problem.code.as_str())).collect();
        let wanted = [
            ("value", "invalid_number"),
            ("owner", "unknown_reference"),
            ("stage", "unknown_reference"),
            ("createdAt", "in_future"),
            ("closedAt", "before_creation"),
            ("closedAt", "not_closed"),
        ];
        assert_eq!(told, wanted);
        assert_eq!(errors[1].problem.message, "There is no active user with the name or email “Nobody”.");
    }
}
