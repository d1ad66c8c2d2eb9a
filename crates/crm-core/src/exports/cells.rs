//! A cell of an exported table, written so that a spreadsheet shows it and never runs it.
use std::borrow::Cow;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use rust_decimal::Decimal;

/// One typed cell. Only [`Cell::Text`] can carry a formula, so only it is guarded; a number keeps its minus sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<'a> {
    /// No value.
    Empty,
    /// Text written by a person or another system.
    Text(Cow<'a, str>),
    /// A whole number.
    Integer(i64),
    /// An exact amount or rate, with a point before its fraction whatever the reader's locale.
    Decimal(Decimal),
    /// `true` or `false`.
    Boolean(bool),
    /// A day, ISO 8601.
    Date(NaiveDate),
    /// An instant, RFC 3339 in UTC.
    Instant(DateTime<Utc>),
}

impl Cell<'_> {
    /// The characters that go into the file, before CSV quoting.
    pub fn render(&self) -> Cow<'_, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::Text(text) => guard(text),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Decimal(number) => Cow::Owned(number.to_string()),
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Date(day) => Cow::Owned(day.to_string()),
            Self::Instant(instant) => Cow::Owned(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)),
        }
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

/// Puts an apostrophe before text that a spreadsheet would take for a formula (CWE-1236).
///
/// Apostrophes already there are looked through, so that `'=1` becomes `''=1` and [`unguard`] gives back exactly
/// what went in, for every text.
pub fn guard(text: &str) -> Cow<'_, str> {
    if is_formula(text) { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Takes off the one apostrophe that [`guard`] puts on; any other text is returned as it is.
pub fn unguard(text: &str) -> &str {
    text.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(text)
}

/// Whether the first character that counts starts a formula: `= + - @`, tab, carriage return, NUL, or a full-width form.
fn is_formula(text: &str) -> bool {
    let first = text.trim_start_matches('\'').chars().find(|&c| starts_formula(c) || !is_skipped(c));
    first.is_some_and(starts_formula)
}

fn starts_formula(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\0' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}')
}

/// What a spreadsheet may drop before it looks at a cell: white space, controls and marks of no width.
fn is_skipped(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200f}' | '\u{2060}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_is_guarded_and_numbers_are_not() {
        let texts = [
            ("=1+1", "'=1+1"),
            ("-5", "'-5"),
            ("+49 30 1234", "'+49 30 1234"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("\rx", "'\rx"),
            ("\0x", "'\0x"),
            ("\u{ff1d}1", "'\u{ff1d}1"),
            ("\u{ff0b}1", "'\u{ff0b}1"),
            ("\u{ff0d}1", "'\u{ff0d}1"),
            ("\u{ff20}x", "'\u{ff20}x"),
            ("  =1", "'  =1"),
            ("\n=1", "'\n=1"),
            ("\u{feff}=1", "'\u{feff}=1"),
            (" \t1", "' \t1"),
            ("'=1", "''=1"),
            ("a,\"b\"", "a,\"b\""),
            ("'quoted'", "'quoted'"),
            ("a=1", "a=1"),
            ("", ""),
            ("'", "'"),
        ];
        for (text, wanted) in texts {
            assert_eq!(Cell::from(text).render(), wanted, "{text:?}");
            assert_eq!(unguard(wanted), text, "{wanted:?}");
        }
        assert_eq!(Cell::Integer(-5).render(), "-5");
        assert_eq!(Cell::Decimal(Decimal::new(-1250, 2)).render(), "-12.50");
        assert_eq!(Cell::Empty.render(), "");
        assert_eq!(Cell::Boolean(true).render(), "true");
        let day = NaiveDate::from_ymd_opt(2026, 3, 1).unwrap();
        assert_eq!(Cell::Date(day).render(), "2026-03-01");
        assert_eq!(Cell::Instant(day.and_hms_opt(9, 5, 0).unwrap().and_utc()).render(), "2026-03-01T09:05:00Z");
    }

    #[test]
    fn unguard_leaves_what_was_never_guarded() {
        for text in ["'tis", "''", "=1", "O'Hara", "' x"] {
            assert_eq!(unguard(text), text);
        }
    }

    proptest! {
        #[test]
        fn a_guarded_text_comes_back_whole(text in "['=+@\\-\t\r\n \u{0}\u{feff}\u{ff1d}a\"]{0,8}") {
            let guarded = guard(&text);
            prop_assert_eq!(unguard(&guarded), text.as_str());
            let first = guarded.chars().find(|c| !c.is_whitespace() || matches!(c, '\t' | '\r'));
            prop_assert!(!first.is_some_and(starts_formula), "{:?}", guarded);
        }
    }
}
