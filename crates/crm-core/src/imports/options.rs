//! How a file is to be imported. Nothing is guessed: what is absent has a fixed default, what is unknown is refused.
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{DateFormat, Delimiter, FileOptions, ValueOptions};
use crate::{Id, bodies, business_units::BusinessUnit, error::FieldError, pipelines::Pipeline, users::User};

/// What is done about a row whose record is there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dedupe {
    /// The record stays as it is.
    #[default]
    Skip,
    /// The record takes over what the row says; blank cells leave it alone.
    Update,
    /// Nobody looks: each row makes a record.
    Create,
}

/// What is done about a row that names an owner, a company or a contact that is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownReferences {
    /// The row is refused.
    #[default]
    Refuse,
    /// The row lands without it, with a warning.
    Blank,
}

/// How a file is to be imported.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ImportOptions {
    /// What is done about rows whose record is there already. A record is known again by `externalId`, else by its email
    /// (leads, contacts), or by domain and then name (companies); a row with none of these by having been imported.
    pub dedupe: Dedupe,
    /// Everything is tried and nothing kept.
    pub dry_run: bool,
    /// What stands between two cells.
    pub delimiter: Delimiter,
    /// The label of the encoding; absent, a byte-order mark decides, and without one it is UTF-8.
    pub encoding: Option<String>,
    /// The notation of days in strftime's terms; ISO 8601 where there is none.
    #[schema(value_type = Option<String>, example = "%m/%d/%Y")]
    pub date_format: Option<DateFormat>,
    /// Whether a comma, not a point, stands before the fraction of a number.
    pub decimal_comma: bool,
    /// The file tells of the past (ADMIN): deals may come closed, with `createdAt` and `closedAt` and without a review.
    pub as_history: bool,
    /// The business unit of new records whose row names none.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// The pipeline of new deals whose row names none, and in which stages are looked up by name; the default one of
    /// the deal's unit or of the organization where none is given.
    pub pipeline_id: Option<Id<Pipeline>>,
    /// The owner of new records whose row names none.
    pub owner_id: Option<Id<User>>,
    /// What is done about rows that name an owner, a company or a contact that is not there.
    pub unknown_references: UnknownReferences,
    /// Why the import changes records: a code of the organization's list, kept in the history with each change of a
    /// field that the code may explain.
    pub reason_code: Option<String>,
    /// Why, in words, kept in the history with each change.
    pub note: Option<String>,
    /// The IANA zone in which days begin; the organization's where none is given.
    #[schema(value_type = Option<String>, example = "Europe/London")]
    pub timezone: Option<Tz>,
}

impl ImportOptions {
    /// Reads the options of a request, each on its own, so that all that is wrong is told at once.
    ///
    /// # Errors
    /// One for each option that is unknown or has no such value.
    pub fn parse(members: &Map<String, Value>) -> Result<Self, Vec<FieldError>> {
        let known = serde_json::to_value(Self::default()).unwrap_or_default();
        let mut errors = Vec::new();
        for (name, value) in members {
            if known.get(name).is_none() {
                let names: Vec<_> = known.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
                let message = format!("There is no such option. There are: {}.", names.join(", "));
                errors.push(FieldError::new(format!("options.{name}"), "unknown_option", message));
                continue;
            }
            let alone = Map::from_iter([(name.clone(), value.clone())]);
            match bodies::read_all::<Self>(Value::Object(alone)) {
                Ok(read) => errors.extend(bodies::within("options", read.errors)),
                Err(error) => {
                    errors.push(FieldError::new(format!("options.{name}"), "invalid_option", error.to_string()))
                }
            }
        }
        match serde_json::from_value(Value::Object(members.clone())) {
            Ok(options) if errors.is_empty() => Ok(options),
            _ => Err(errors),
        }
    }

    /// How the file is cut into rows.
    pub fn file(&self) -> FileOptions {
        FileOptions { encoding: self.encoding.clone(), delimiter: self.delimiter }
    }

    /// How its cells are read, in the organization's zone where the file has none of its own.
    pub fn values(&self, zone: Tz) -> ValueOptions {
        ValueOptions {
            decimal_comma: self.decimal_comma,
            date_format: self.date_format.clone(),
            zone: self.timezone.unwrap_or(zone),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(options: &Value) -> Result<ImportOptions, Vec<FieldError>> {
        ImportOptions::parse(options.as_object().unwrap())
    }

    #[test]
    fn options_are_read_and_every_bad_one_told() {
        assert_eq!(parse(&json!({})), Ok(ImportOptions::default()));
        let given = json!({"dedupe": "update", "dryRun": true, "delimiter": ";", "dateFormat": "%m/%d/%Y",
            "decimalComma": true, "timezone": "Europe/London"});
        let options = parse(&given).unwrap();
        assert_eq!((options.dedupe, options.dry_run, options.delimiter), (Dedupe::Update, true, Delimiter::Semicolon));
        assert_eq!(options.values(Tz::UTC).zone, Tz::Europe__London);

        let wrong = json!({"dedupe": "maybe", "dryrun": true, "dateFormat": "%m", "timezone": "Mars", "asHistory": 1});
        let errors = parse(&wrong).unwrap_err();
        let told: Vec<_> = errors.iter().map(|e| (e.field.as_str(), e.code.as_str())).collect();
        let wanted = [
            ("options.dedupe", "not_allowed"),
            ("options.dryrun", "unknown_option"),
            ("options.dateFormat", "invalid_type"),
            ("options.timezone", "unknown_timezone"),
            ("options.asHistory", "invalid_type"),
        ];
        assert_eq!(told, wanted);
        assert!(errors[2].message.contains("%m/%d/%Y"), "{}", errors[2].message);
    }
}
