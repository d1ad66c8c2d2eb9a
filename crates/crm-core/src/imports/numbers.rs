//! Numbers as people and spreadsheets write them, read exactly or refused.
use std::borrow::Cow;

use rust_decimal::Decimal;

/// Why a cell is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberFault {
    /// Something other than one sign, one currency sign, digits, separators and a fraction.
    NotANumber,
    /// Thousands separators that do not stand before groups of three digits.
    BadGroups,
    /// More digits than an exact decimal can hold (28).
    TooLong,
}

/// Reads a number exactly.
///
/// The fraction follows a comma where `decimal_comma` is set, else a point; the other of the two, a space or an
/// apostrophe may separate thousands, one kind per number and only before groups of three. So `1.234` is 1.234
/// without the option and 1234 with it. A sign, one currency sign and the parentheses of an accountant's negative are
/// understood; letters are not (neither `1e5`, whose digits a spreadsheet has dropped, nor `EUR`).
///
/// # Errors
/// See [`NumberFault`].
pub fn read_decimal(cell: &str, decimal_comma: bool) -> Result<Decimal, NumberFault> {
    let (is_negative, body) = split_sign(cell)?;
    let (whole, fraction) = match body.split_once(if decimal_comma { ',' } else { '.' }) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (body, None),
    };
    if fraction.map_or_else(|| whole.is_empty(), |digits| !is_digits(digits)) {
        return Err(NumberFault::NotANumber);
    }
    let whole = join_groups(whole, if decimal_comma { '.' } else { ',' })?;
    let plain = format!("{}{whole}.{}", if is_negative { "-" } else { "" }, fraction.unwrap_or_default());
    let plain = plain.trim_end_matches('.');
    let number = Decimal::from_str_exact(plain).map_err(|_| NumberFault::TooLong)?;
    Ok(if number.is_zero() { number.abs() } else { number })
}

/// Takes the sign and the currency sign off, in either order and the currency at either end.
fn split_sign(cell: &str) -> Result<(bool, &str), NumberFault> {
    let cell = cell.trim();
    let in_parentheses = cell.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
    let (first, rest) = take_sign(in_parentheses.unwrap_or(cell).trim());
    let (second, rest) = take_sign(take_currency(rest));
    match (in_parentheses.is_some(), first, second) {
        (true, None, None) => Ok((true, rest)),
        (false, None, sign) | (false, sign, None) => Ok((sign == Some('-'), rest)),
        _ => Err(NumberFault::NotANumber),
    }
}

fn take_sign(text: &str) -> (Option<char>, &str) {
    for (sign, meaning) in [('-', '-'), ('\u{2212}', '-'), ('+', '+')] {
        if let Some(rest) = text.strip_prefix(sign) {
            return (Some(meaning), rest.trim_start());
        }
    }
    (None, text)
}

fn take_currency(text: &str) -> &str {
    text.strip_prefix(is_currency_sign).or_else(|| text.strip_suffix(is_currency_sign)).unwrap_or(text).trim()
}

/// The currency signs of Unicode's category Sc that are in use.
fn is_currency_sign(c: char) -> bool {
    matches!(c, '$' | '\u{a2}'..='\u{a5}' | '\u{e3f}' | '\u{20a0}'..='\u{20cf}')
        || matches!(c, '\u{ff04}' | '\u{ffe0}' | '\u{ffe1}' | '\u{ffe5}' | '\u{ffe6}')
}

/// The digits before the fraction without their separators; `mark` is the separator beside spaces and apostrophes.
fn join_groups(whole: &str, mark: char) -> Result<Cow<'_, str>, NumberFault> {
    let is_separator = |c: char| c == mark || matches!(c, '\'' | '\u{2019}' | ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}');
    if !whole.chars().all(|c| c.is_ascii_digit() || is_separator(c)) {
        return Err(NumberFault::NotANumber);
    }
    let Some(separator) = whole.chars().find(|&c| is_separator(c)) else { return Ok(Cow::Borrowed(whole)) };
    let mut groups = whole.split(separator);
    let first = groups.next().unwrap_or_default();
    let first_fits = is_digits(first) && first.len() <= 3 && !first.starts_with('0');
    if first_fits && groups.all(|group| is_digits(group) && group.len() == 3) {
        Ok(Cow::Owned(whole.split(separator).collect()))
    } else {
        Err(NumberFault::BadGroups)
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_exactly_or_refused() {
        use NumberFault::{BadGroups, NotANumber, TooLong};
        let cases = [
            ("1.234", false, Ok("1.234")),
            ("1.234", true, Ok("1234")),
            ("1,234", false, Ok("1234")),
            ("1,234", true, Ok("1.234")),
            ("1.234.567,89", true, Ok("1234567.89")),
            ("1,234,567.89", false, Ok("1234567.89")),
            ("1 234 567,8", true, Ok("1234567.8")),
            ("1\u{a0}234", false, Ok("1234")),
            ("1\u{202f}234,50", true, Ok("1234.50")),
            ("1'234.50", false, Ok("1234.50")),
            ("1’234.50", false, Ok("1234.50")),
            ("$1,234.50", false, Ok("1234.50")),
            ("-$5", false, Ok("-5")),
            ("$ -5", false, Ok("-5")),
            ("1.234,50 €", true, Ok("1234.50")),
            ("£ 12", false, Ok("12")),
            ("(1,250.00)", false, Ok("-1250.00")),
            ("($5)", false, Ok("-5")),
            ("−7", false, Ok("-7")),
            ("+7", false, Ok("7")),
            (".5", false, Ok("0.5")),
            ("-0", false, Ok("0")),
            ("007", false, Ok("7")),
            ("8,170.38", true, Err(NotANumber)),
            ("1.234,5.6", true, Err(NotANumber)),
            ("1,23", false, Err(BadGroups)),
            ("12,34,567", false, Err(BadGroups)),
            ("1,234 567", false, Err(BadGroups)),
            ("0,123", false, Err(BadGroups)),
            (",123", false, Err(BadGroups)),
            ("1234,567", false, Err(BadGroups)),
            ("1,", false, Err(BadGroups)),
            ("5.", false, Err(NotANumber)),
            ("", false, Err(NotANumber)),
            ("$", false, Err(NotANumber)),
            (".", false, Err(NotANumber)),
            ("--5", false, Err(NotANumber)),
            ("(-5)", false, Err(NotANumber)),
            ("-$-5", false, Err(NotANumber)),
            ("$5$", false, Err(NotANumber)),
            ("1E+05", false, Err(NotANumber)),
            ("EUR 5", false, Err(NotANumber)),
            ("٣", false, Err(NotANumber)),
            ("1.2.3", false, Err(NotANumber)),
            ("12345678901234567890123456789012", false, Err(TooLong)),
            ("0.12345678901234567890123456789", false, Err(TooLong)),
        ];
        for (cell, decimal_comma, wanted) in cases {
            let found = read_decimal(cell, decimal_comma).map(|number| number.to_string());
            assert_eq!(found, wanted.map(str::to_owned), "{cell:?} {decimal_comma}");
        }
    }

    proptest! {
        #[test]
        fn a_grouped_number_is_the_number(units in any::<i64>(), scale in 0_u32..6, decimal_comma in any::<bool>()) {
            let number = Decimal::new(units, scale);
            let plain = number.abs().to_string();
            let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
            let (group, point) = if decimal_comma { ('.', ',') } else { (',', '.') };
            let mut text = if number.is_sign_negative() { "-".to_owned() } else { String::new() };
            for (place, digit) in whole.char_indices() {
                if place > 0 && (whole.len() - place) % 3 == 0 {
                    text.push(group);
                }
                text.push(digit);
            }
            if !fraction.is_empty() {
                text.push(point);
                text.push_str(fraction);
            }
            prop_assert_eq!(read_decimal(&text, decimal_comma), Ok(number));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+()$€0-9., '\u{a0}e]{0,40}|\\PC{0,20}", decimal_comma in any::<bool>()) {
            if let Ok(number) = read_decimal(&text, decimal_comma) {
                prop_assert!(text.chars().any(|c| c.is_ascii_digit()), "{number}");
            }
        }
    }
}
