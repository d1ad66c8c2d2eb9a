//! What the values of a column tell about it, and what only a person can tell.
use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use super::{FieldDescriptor, RefusedValues, ValueType, cut, numbers::read_decimal};

/// How many different values of a column a person is shown.
const SAMPLES: usize = 5;
/// How many characters of a value a person is shown.
pub(super) const SHOWN_CHARACTERS: usize = 200;

/// A column of a file before it is imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ColumnPreview {
    /// The name in the header row.
    pub name: String,
    /// Up to five different values that are not blank, cut to 200 characters.
    pub samples: Vec<String>,
    /// The field it is likely meant for.
    pub field: Option<String>,
    /// The notations by which every value is a day, where days are not written in ISO 8601.
    pub date_formats: Vec<String>,
    /// Every value could be day before month and month before day, and no `dateFormat` was given.
    pub needs_date_format: bool,
    /// Whether the comma stands before fractions, where the values allow only one answer.
    pub decimal_comma: Option<bool>,
    /// Every value is a number with the comma before fractions and with the point, but not the same number, and no
    /// `decimalComma` was given.
    pub needs_decimal_comma: bool,
    /// Values that an import would refuse, as far as the first 1,000 rows tell.
    pub refused: Option<RefusedValues>,
}

/// Collects what a column's values tell, one at a time.
#[derive(Debug, Default)]
pub struct ColumnEvidence {
    samples: Vec<String>,
    days: DayOrders,
    numbers: NumberReadings,
}

impl ColumnEvidence {
    /// Takes one cell into account; blank ones tell nothing.
    pub fn add(&mut self, cell: &str) {
        let cell = cell.trim();
        if cell.is_empty() {
            return;
        }
        self.days.add(cell);
        self.numbers.add(cell);
        if self.samples.len() < SAMPLES {
            let sample = cut(cell, SHOWN_CHARACTERS);
            if !self.samples.contains(&sample) {
                self.samples.push(sample);
            }
        }
    }

    /// Sums up. A column guessed to be for text is not asked about dates or numbers. `has_date_format` and
    /// `has_decimal_comma` say that a person has answered already.
    pub fn conclude(
        self,
        name: &str,
        field: Option<&FieldDescriptor>,
        has_date_format: bool,
        has_decimal_comma: bool,
    ) -> ColumnPreview {
        use ValueType::{Date, DateTime, Decimal, Integer, Percent};
        let may_be = |types: &[ValueType]| field.is_none_or(|field| types.contains(&field.value_type));
        let date_formats = if may_be(&[Date, DateTime]) { self.days.formats() } else { Vec::new() };
        let is_number = may_be(&[Integer, Decimal, Percent]);
        ColumnPreview {
            name: name.to_owned(),
            samples: self.samples,
            field: field.map(|field| field.name.clone()),
            needs_date_format: !has_date_format && date_formats.len() > 1,
            date_formats,
            decimal_comma: self.numbers.decimal_comma().filter(|_| is_number),
            needs_decimal_comma: !has_decimal_comma && is_number && self.numbers.is_ambiguous(),
            refused: None,
        }
    }
}

/// Which orders of day and month suit every value so far. All values must agree in separator and digits of the year.
#[derive(Debug, Default)]
enum DayOrders {
    #[default]
    Unknown,
    Days {
        separator: char,
        year_digits: usize,
        day_first: bool,
        month_first: bool,
    },
    NoDays,
}

impl DayOrders {
    fn add(&mut self, cell: &str) {
        let Some(written) = WrittenDay::read(cell) else {
            *self = Self::NoDays;
            return;
        };
        let (was_day_first, was_month_first) = match *self {
            Self::Unknown => (true, true),
            Self::Days { separator, year_digits, day_first, month_first }
                if separator == written.separator && year_digits == written.year_digits =>
            {
                (day_first, month_first)
            }
            _ => (false, false),
        };
        let day_first = was_day_first && written.is_day(written.first, written.second);
        let month_first = was_month_first && written.is_day(written.second, written.first);
        *self = if day_first || month_first {
            let WrittenDay { separator, year_digits, .. } = written;
            Self::Days { separator, year_digits, day_first, month_first }
        } else {
            Self::NoDays
        };
    }

    fn formats(&self) -> Vec<String> {
        let Self::Days { separator, year_digits, day_first, month_first } = *self else { return Vec::new() };
        let year = if year_digits == 4 { 'Y' } else { 'y' };
        let orders = [(day_first, ['d', 'm']), (month_first, ['m', 'd'])];
        let suiting = orders.into_iter().filter(|(suits, _)| *suits);
        suiting.map(|(_, [a, b])| format!("%{a}{separator}%{b}{separator}%{year}")).collect()
    }
}

/// Two numbers of one or two digits and a year of two or four, such as `3/1/2017`.
struct WrittenDay {
    separator: char,
    first: u32,
    second: u32,
    year: i32,
    year_digits: usize,
}

impl WrittenDay {
    fn read(cell: &str) -> Option<Self> {
        let separator = cell.chars().find(|c| matches!(c, '/' | '.' | '-'))?;
        let mut parts = cell.split(separator);
        let mut number = |lengths: [usize; 2]| {
            let part = parts.next()?;
            let fits = lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            Some((part.parse::<u32>().ok().filter(|_| fits)?, part.len()))
        };
        let ((first, _), (second, _), (year, year_digits)) = (number([1, 2])?, number([1, 2])?, number([2, 4])?);
        let year = i32::try_from(year).ok()?;
        let year = if year_digits == 2 { 2000 + year } else { year };
        parts.next().is_none().then_some(Self { separator, first, second, year, year_digits })
    }

    fn is_day(&self, day: u32, month: u32) -> bool {
        NaiveDate::from_ymd_opt(self.year, month, day).is_some()
    }
}

/// Whether every value so far is a number with the point before fractions, and with the comma.
#[derive(Debug)]
struct NumberReadings {
    with_point: bool,
    with_comma: bool,
    differ: bool,
}

impl Default for NumberReadings {
    fn default() -> Self {
        Self { with_point: true, with_comma: true, differ: false }
    }
}

impl NumberReadings {
    fn add(&mut self, cell: &str) {
        let cell = cell.strip_suffix('%').unwrap_or(cell);
        let (with_point, with_comma) = (read_decimal(cell, false), read_decimal(cell, true));
        self.with_point &= with_point.is_ok();
        self.with_comma &= with_comma.is_ok();
        self.differ |= with_point != with_comma;
    }

    fn is_ambiguous(&self) -> bool {
        self.differ && self.with_point && self.with_comma
    }

    fn decimal_comma(&self) -> Option<bool> {
        (self.with_point != self.with_comma).then_some(self.with_comma)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn concluded(cells: &[&str]) -> ColumnPreview {
        let mut evidence = ColumnEvidence::default();
        cells.iter().for_each(|cell| evidence.add(cell));
        evidence.conclude("column", None, false, false)
    }

    #[test]
    fn the_order_of_day_and_month_is_asked_where_it_is_open() {
        let cases: [(&[&str], &[&str], bool); 12] = [
            (&["3/1/2017", "12/11/2017"], &["%d/%m/%Y", "%m/%d/%Y"], true),
            (&["3/1/2017", "10/25/2016", ""], &["%m/%d/%Y"], false),
            (&["25.10.2016", "1.3.17"], &[], false),
            (&["25.10.16", "1.3.17"], &["%d.%m.%y"], false),
            (&["1-2-2017"], &["%d-%m-%Y", "%m-%d-%Y"], true),
            (&["3/1/2017", "3-1-2017"], &[], false),
            (&["10/25/2016", "25/10/2016"], &[], false),
            (&["2/30/2016"], &[], false),
            (&["2017-03-01"], &[], false),
            (&["3/1/2017", "soon"], &[], false),
            (&["3/1/2017/5", "1//2017"], &[], false),
            (&["", "  "], &[], false),
        ];
        for (cells, formats, needed) in cases {
            let column = concluded(cells);
            assert_eq!(
                (column.date_formats, column.needs_date_format),
                (formats.iter().map(|f| f.to_string()).collect(), needed),
                "{cells:?}"
            );
        }
    }

    #[test]
    fn the_decimal_sign_is_asked_where_it_is_open() {
        let cases: [(&[&str], Option<bool>, bool); 9] = [
            (&["1.234", "550"], None, true),
            (&["1,234"], None, true),
            (&["550", "12"], None, false),
            (&["1100.04", "1.234"], Some(false), false),
            (&["1100,04", "1.234"], Some(true), false),
            (&["1.234,50 €"], Some(true), false),
            (&["12.5%"], Some(false), false),
            (&["1.5", "1,5"], None, false),
            (&["1.234", "many"], None, false),
        ];
        for (cells, known, needed) in cases {
            let column = concluded(cells);
            assert_eq!((column.decimal_comma, column.needs_decimal_comma), (known, needed), "{cells:?}");
        }
    }

    #[test]
    fn what_is_answered_or_plain_text_is_not_asked() {
        let field = |value_type| FieldDescriptor { name: "f".into(), label: "F".into(), value_type, aliases: vec![] };
        let mut cases = vec![];
        for (value_type, answered) in [(ValueType::Text, false), (ValueType::Date, true), (ValueType::Date, false)] {
            let mut evidence = ColumnEvidence::default();
            evidence.add("3/1/2017");
            cases.push(evidence.conclude("c", Some(&field(value_type)), answered, false).needs_date_format);
            let mut evidence = ColumnEvidence::default();
            evidence.add("1.234");
            let value_type = if value_type == ValueType::Date { ValueType::Decimal } else { value_type };
            cases.push(evidence.conclude("c", Some(&field(value_type)), false, answered).needs_decimal_comma);
        }
        assert_eq!(cases, [false, false, false, false, true, true]);
    }

    #[test]
    fn samples_are_few_short_and_different() {
        let long = "x".repeat(300);
        let column = concluded(&["b", " b ", "a", "", "c", &long, "d", "e"]);
        assert_eq!(column.samples, ["b", "a", "c", &format!("{}…", "x".repeat(SHOWN_CHARACTERS)), "d"]);
    }
}
