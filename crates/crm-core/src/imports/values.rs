//! A cell's text as a typed value, or a sentence that says what was expected instead.
use std::fmt;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use utoipa::ToSchema;

use super::{
    DateFormat, Problem, countries,
    dates::{read_day, read_instant},
    numbers::{NumberFault, read_decimal},
};

/// What a field takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ValueType {
    /// Trimmed text in Unicode's composed form (NFC).
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// An exact amount.
    Decimal,
    /// Percentage points, with or without `%`: both `50` and `50%` are 50.
    Percent,
    /// `true`, `yes`, `1` or `false`, `no`, `0`, in any case.
    Boolean,
    /// A day without a time.
    Date,
    /// An instant.
    DateTime,
    /// Words between semicolons or commas, each once.
    Tags,
    /// A country: its code in ISO 3166-1, of two or three letters, or its English name.
    Country,
}

/// How the cells of one file are to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueOptions {
    /// Whether a comma, not a point, stands before the fraction of a number.
    pub decimal_comma: bool,
    /// The notation of days; ISO 8601 where there is none.
    pub date_format: Option<DateFormat>,
    /// The zone in which a day begins and a time without an offset is meant.
    pub zone: Tz,
}

/// A cell's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// See [`ValueType::Text`]; never empty.
    Text(String),
    /// See [`ValueType::Integer`].
    Integer(i64),
    /// See [`ValueType::Decimal`].
    Decimal(Decimal),
    /// See [`ValueType::Percent`].
    Percent(Decimal),
    /// See [`ValueType::Boolean`].
    Boolean(bool),
    /// See [`ValueType::Date`].
    Date(NaiveDate),
    /// See [`ValueType::DateTime`].
    DateTime(DateTime<Utc>),
    /// See [`ValueType::Tags`]; never empty.
    Tags(Vec<String>),
}

/// Why a cell has no value of the wanted type. Every message quotes the cell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Text that no text column can hold.
    #[error("{0} contains a NUL character, which text cannot hold")]
    Nul(Quote),
    /// Not an integer.
    #[error("{0} is not a whole number: expected digits, such as 1234")]
    Integer(Quote),
    /// Not a decimal number.
    #[error("{cell} is not a number: expected one such as {example}")]
    Number {
        /// The cell.
        cell: Quote,
        /// A number in the notation of the options.
        example: &'static str,
    },
    /// Thousands separators out of place.
    #[error("{cell} separates digits into groups that are not of three: expected a number such as {example}")]
    Groups {
        /// The cell.
        cell: Quote,
        /// A number in the notation of the options.
        example: &'static str,
    },
    /// More than the type holds.
    #[error("{0} has too many digits: expected at most 28, or a whole number of 64 bits")]
    TooLarge(Quote),
    /// Neither true nor false.
    #[error("{0} is neither true nor false: expected true, false, yes, no, 1 or 0")]
    Boolean(Quote),
    /// Not a day in the notation.
    #[error("{cell} is not a date: expected {format}")]
    Date {
        /// The cell.
        cell: Quote,
        /// What was expected.
        format: String,
    },
    /// Not an instant in the notation.
    #[error("{cell} is not a date and time: expected one such as 2026-03-01T09:00:00Z, or {format}")]
    DateTime {
        /// The cell.
        cell: Quote,
        /// What else was expected.
        format: String,
    },
    /// No country.
    #[error("{cell} is no country: expected {expected}")]
    Country {
        /// The cell.
        cell: Quote,
        /// The country that was likely meant, or the notation.
        expected: String,
    },
}

impl ValueError {
    /// The stable word for this error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Nul(_) => "invalid_text",
            Self::Integer(_) => "invalid_integer",
            Self::Number { .. } => "invalid_number",
            Self::Groups { .. } => "invalid_grouping",
            Self::TooLarge(_) => "number_too_large",
            Self::Boolean(_) => "invalid_boolean",
            Self::Date { .. } => "invalid_date",
            Self::DateTime { .. } => "invalid_date_time",
            Self::Country { .. } => "unknown_country",
        }
    }
}

impl From<&ValueError> for Problem {
    fn from(error: &ValueError) -> Self {
        Self { code: error.code().to_owned(), message: error.to_string() }
    }
}

/// A cell as a message quotes it: its first 50 characters, control characters shown as spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote(String);

impl Quote {
    pub(super) fn of(cell: &str) -> Self {
        Self(super::cut(cell, 50).replace(char::is_control, " "))
    }
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "“{}”", self.0)
    }
}

/// Reads a cell as a value of the type; `None` where the cell is blank.
///
/// # Errors
/// See [`ValueError`]; nothing is read in a way the options do not name.
pub fn read(cell: &str, value_type: ValueType, options: &ValueOptions) -> Result<Option<Value>, ValueError> {
    let cell = cell.trim();
    if cell.is_empty() {
        return Ok(None);
    }
    let value = match value_type {
        ValueType::Text => Value::Text(read_text(cell)?),
        ValueType::Integer => Value::Integer(read_integer(cell, options)?),
        ValueType::Decimal => Value::Decimal(read_number(cell, cell, options)?),
        ValueType::Percent => Value::Percent(read_number(cell.strip_suffix('%').unwrap_or(cell), cell, options)?),
        ValueType::Boolean => Value::Boolean(read_boolean(cell)?),
        ValueType::Date => Value::Date(read_date(cell, options)?),
        ValueType::DateTime => Value::DateTime(read_date_time(cell, options)?),
        ValueType::Tags => {
            let tags = read_tags(cell)?;
            if tags.is_empty() {
                return Ok(None);
            }
            Value::Tags(tags)
        }
        ValueType::Country => Value::Text(read_country(cell)?),
    };
    Ok(Some(value))
}

fn read_text(cell: &str) -> Result<String, ValueError> {
    if cell.contains('\0') { Err(ValueError::Nul(Quote::of(cell))) } else { Ok(cell.nfc().collect()) }
}

/// `2822.0` is what some programs make of 2822; a longer fraction of zeros might be thousands, so it is refused.
fn read_integer(cell: &str, options: &ValueOptions) -> Result<i64, ValueError> {
    match read_decimal(cell, options.decimal_comma) {
        Ok(number) if number.scale() <= 1 && number.is_integer() => {
            number.to_i64().ok_or_else(|| ValueError::TooLarge(Quote::of(cell)))
        }
        Err(NumberFault::TooLong) => Err(ValueError::TooLarge(Quote::of(cell))),
        _ => Err(ValueError::Integer(Quote::of(cell))),
    }
}

fn read_number(number: &str, cell: &str, options: &ValueOptions) -> Result<Decimal, ValueError> {
    let example = if options.decimal_comma { "1.234,50" } else { "1,234.50" };
    read_decimal(number, options.decimal_comma).map_err(|fault| {
        let cell = Quote::of(cell);
        match fault {
            NumberFault::NotANumber => ValueError::Number { cell, example },
            NumberFault::BadGroups => ValueError::Groups { cell, example },
            NumberFault::TooLong => ValueError::TooLarge(cell),
        }
    })
}

fn read_boolean(cell: &str) -> Result<bool, ValueError> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "yes" | "1" => Ok(true),
        "false" | "no" | "0" => Ok(false),
        _ => Err(ValueError::Boolean(Quote::of(cell))),
    }
}

fn read_date(cell: &str, options: &ValueOptions) -> Result<NaiveDate, ValueError> {
    let format = options.date_format.as_ref();
    read_day(cell, format).ok_or_else(|| ValueError::Date { cell: Quote::of(cell), format: describe(format) })
}

fn read_date_time(cell: &str, options: &ValueOptions) -> Result<DateTime<Utc>, ValueError> {
    let format = options.date_format.as_ref();
    read_instant(cell, format, options.zone)
        .ok_or_else(|| ValueError::DateTime { cell: Quote::of(cell), format: describe(format) })
}

fn describe(format: Option<&DateFormat>) -> String {
    match format {
        Some(format) => format!("the format {}", format.as_str()),
        None => "a day such as 2026-03-01".to_owned(),
    }
}

fn read_country(cell: &str) -> Result<String, ValueError> {
    countries::read(cell).map(str::to_owned).ok_or_else(|| {
        let expected = match countries::closest(cell) {
            Some((name, code)) => format!("perhaps {name} ({code})"),
            None => "a code of ISO 3166, such as GB, or an English name".to_owned(),
        };
        ValueError::Country { cell: Quote::of(cell), expected }
    })
}

fn read_tags(cell: &str) -> Result<Vec<String>, ValueError> {
    let mut tags = Vec::new();
    for word in cell.split([';', ',']).map(str::trim).filter(|word| !word.is_empty()) {
        let tag = read_text(word)?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: [ValueType; 9] = [
        ValueType::Text,
        ValueType::Integer,
        ValueType::Decimal,
        ValueType::Percent,
        ValueType::Boolean,
        ValueType::Date,
        ValueType::DateTime,
        ValueType::Tags,
        ValueType::Country,
    ];

    fn options(decimal_comma: bool, date_format: &str) -> ValueOptions {
        let date_format = DateFormat::try_from(date_format.to_owned()).ok();
        ValueOptions { decimal_comma, date_format, zone: Tz::UTC }
    }

    #[test]
    fn cells_become_values_of_their_type() {
        let day = NaiveDate::from_ymd_opt(2017, 3, 1).unwrap();
        let tags = |words: &[&str]| Value::Tags(words.iter().map(|word| (*word).to_owned()).collect());
        let cases = [
            ("  Zoe\u{308} ", ValueType::Text, Some(Value::Text("Zoë".into()))),
            ("   ", ValueType::Text, None),
            ("", ValueType::Decimal, None),
            (" 2,822 ", ValueType::Integer, Some(Value::Integer(2822))),
            ("2822.0", ValueType::Integer, Some(Value::Integer(2822))),
            ("-9223372036854775808", ValueType::Integer, Some(Value::Integer(i64::MIN))),
            ("$1,054.50", ValueType::Decimal, Some(Value::Decimal(Decimal::new(105_450, 2)))),
            ("50%", ValueType::Percent, Some(Value::Percent(Decimal::from(50)))),
            ("12.5 %", ValueType::Percent, Some(Value::Percent(Decimal::new(125, 1)))),
            ("0.5", ValueType::Percent, Some(Value::Percent(Decimal::new(5, 1)))),
            ("YES", ValueType::Boolean, Some(Value::Boolean(true))),
            ("0", ValueType::Boolean, Some(Value::Boolean(false))),
            ("3/1/2017", ValueType::Date, Some(Value::Date(day))),
            ("3/1/2017", ValueType::DateTime, Some(Value::DateTime(day.and_hms_opt(0, 0, 0).unwrap().and_utc()))),
            ("vip; Q3, vip,, new ", ValueType::Tags, Some(tags(&["vip", "Q3", "new"]))),
            (";,", ValueType::Tags, None),
            (" south korea ", ValueType::Country, Some(Value::Text("KR".into()))),
        ];
        for (cell, value_type, wanted) in cases {
            assert_eq!(read(cell, value_type, &options(false, "%m/%d/%Y")), Ok(wanted), "{cell:?} {value_type:?}");
        }
        let comma = options(true, "");
        assert_eq!(read("1.234", ValueType::Integer, &comma), Ok(Some(Value::Integer(1234))));
        assert_eq!(read("2017-03-01", ValueType::Date, &comma), Ok(Some(Value::Date(day))));
    }

    #[test]
    fn a_refusal_quotes_the_cell_and_says_what_was_expected() {
        let long = "x".repeat(60);
        let cases = [
            ("a\0b", ValueType::Text, "invalid_text", "“a b” contains a NUL character, which text cannot hold"),
            (
                "1.000",
                ValueType::Integer,
                "invalid_integer",
                "“1.000” is not a whole number: expected digits, such as 1234",
            ),
            (
                "9223372036854775808",
                ValueType::Integer,
                "number_too_large",
                "“9223372036854775808” has too many digits",
            ),
            (
                "12 apples",
                ValueType::Decimal,
                "invalid_number",
                "“12 apples” is not a number: expected one such as 1,234.50",
            ),
            ("1,23", ValueType::Decimal, "invalid_grouping", "“1,23” separates digits into groups"),
            ("50%%", ValueType::Percent, "invalid_number", "“50%%” is not a number"),
            ("maybe", ValueType::Boolean, "invalid_boolean", "“maybe” is neither true nor false"),
            ("25/10/2016", ValueType::Date, "invalid_date", "“25/10/2016” is not a date: expected the format %m/%d/%Y"),
            ("soon", ValueType::DateTime, "invalid_date_time", "“soon” is not a date and time: expected one such as"),
            (
                "Philipines",
                ValueType::Country,
                "unknown_country",
                "“Philipines” is no country: expected perhaps Philippines (PH)",
            ),
            ("Europe", ValueType::Country, "unknown_country", "“Europe” is no country: expected a code of ISO 3166"),
            ("a\0,b", ValueType::Tags, "invalid_text", "“a ” contains a NUL character"),
            (&long, ValueType::Boolean, "invalid_boolean", &format!("“{}…” is neither", "x".repeat(50))),
        ];
        for (cell, value_type, code, message) in cases {
            let problem = Problem::from(&read(cell, value_type, &options(false, "%m/%d/%Y")).unwrap_err());
            assert_eq!(problem.code, code, "{cell:?}");
            assert!(problem.message.starts_with(message), "{}", problem.message);
        }
        let error = read("1,234.5", ValueType::Decimal, &options(true, "")).unwrap_err().to_string();
        assert!(error.ends_with("expected one such as 1.234,50"), "{error}");
        let error = read("3/1/2017", ValueType::Date, &options(true, "")).unwrap_err().to_string();
        assert!(error.ends_with("expected a day such as 2026-03-01"), "{error}");
    }

    proptest! {
        #[test]
        fn no_cell_makes_it_panic(cell in any::<String>(), value_type in proptest::sample::select(&ALL[..]), comma: bool) {
            match read(&cell, value_type, &options(comma, "%d.%m.%Y")) {
                Ok(value) if value_type != ValueType::Tags => prop_assert_eq!(value.is_none(), cell.trim().is_empty()),
                Ok(_) => {}
                Err(error) => prop_assert!(error.to_string().chars().count() < 250),
            }
        }
    }
}
