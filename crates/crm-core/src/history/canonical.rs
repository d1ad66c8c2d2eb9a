//! One text for each JSON value, so that equal values have equal digests: RFC 8785 with exact numbers.
//!
//! Members are sorted by their names in UTF-16, strings are escaped as ECMAScript does, and there is no white space.
//! Numbers have the form that ECMAScript gives them (`50000.5`, `1e+21`), but of the exact decimal: RFC 8785 takes the
//! nearest double, and amounts of more than 15 digits would lose their last ones. Values that PostgreSQL keeps and gives
//! back (`1.50`, `15e-1`) have the same text before and after.
use serde_json::Value;

/// The canonical text of a value.
pub(super) fn canonical(value: &Value) -> String {
    let mut out = String::with_capacity(64);
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&exact(&number.to_string())),
        Value::Array(items) => separated(out, ('[', ']'), items, write),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            separated(out, ('{', '}'), members, |(name, value), out| {
                out.push_str(&Value::from(name.as_str()).to_string());
                out.push(':');
                write(value, out);
            });
        }
        simple => out.push_str(&simple.to_string()),
    }
}

fn separated<T>(
    out: &mut String,
    (open, close): (char, char),
    items: impl IntoIterator<Item = T>,
    each: impl Fn(T, &mut String),
) {
    out.push(open);
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        each(item, out);
    }
    out.push(close);
}

/// A JSON number as ECMAScript writes numbers (ECMA-262, Number::toString), with all its digits.
fn exact(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_start_matches('0');
    let zeros = count(&digits) - count(significant);
    let significant = significant.trim_end_matches('0');
    if significant.is_empty() {
        return "0".into();
    }
    let exponent = exponent.strip_prefix('+').unwrap_or(exponent).parse::<i64>().unwrap_or(i64::MAX / 2);
    format!("{sign}{}", placed(significant, count(whole).saturating_sub(zeros).saturating_add(exponent)))
}

/// Digits whose point stands behind the first `point` of them.
fn placed(digits: &str, point: i64) -> String {
    let place = usize::try_from(point).unwrap_or(0);
    match point {
        1..=21 if place >= digits.len() => format!("{digits}{}", "0".repeat(place - digits.len())),
        1..=21 => format!("{}.{}", &digits[..place], &digits[place..]),
        -5..=0 => format!("0.{}{digits}", "0".repeat(usize::try_from(-point).unwrap_or(0))),
        _ => {
            let (first, rest) = digits.split_at(1);
            let rest = if rest.is_empty() { String::new() } else { format!(".{rest}") };
            format!("{first}{rest}e{:+}", point - 1)
        }
    }
}

fn count(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> String {
        canonical(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn values_have_the_text_of_rfc_8785() {
        for (text, expected) in [
            (" null ", "null"),
            ("\"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\"", r#""€$\u000f\nA'B\"\\\\\"/""#),
            (r#"{"b": [1, {"z": true, "a": null}], "a": ""}"#, r#"{"a":"","b":[1,{"a":null,"z":true}]}"#),
            (
                "{\"\\u20ac\":1,\"\\r\":2,\"\\ufb33\":3,\"1\":4,\"\\ud83d\\ude00\":5,\"\\u0080\":6,\"\\u00f6\":7}",
                "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}",
            ),
            ("[]", "[]"),
            ("{}", "{}"),
        ] {
            assert_eq!(of(text), expected);
        }
    }

    #[test]
    fn numbers_are_exact_and_written_one_way() {
        for (text, expected) in [
            ("0", "0"),
            ("-0.00", "0"),
            ("0e99", "0"),
            ("50000.50", "50000.5"),
            ("-15e-1", "-1.5"),
            ("1E+2", "100"),
            ("9007199254740993", "9007199254740993"),
            ("123456789012345.6789", "123456789012345.6789"),
            ("100000000000000000000", "100000000000000000000"),
            ("1000000000000000000000", "1e+21"),
            ("1.5e400", "1.5e+400"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1e-7"),
            ("0.00000123", "0.00000123"),
            ("0.000000123", "1.23e-7"),
            ("1e99999999999999999999", "1e+4611686018427387903"),
        ] {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn doubles_of_few_digits_read_as_themselves(value in -1e15f64..1e15) {
            let value = (value * 100.0).round() / 100.0;
            prop_assume!(value != 0.0 && value.abs() >= 1e-6);
            prop_assert_eq!(of(&format!("{value:?}")), format!("{value}"));
        }

        #[test]
        fn how_a_number_is_written_makes_no_difference(digits in 1u64..u64::MAX, shift in 0usize..30) {
            let padded = format!("{digits}{}.000e-{shift}", "0".repeat(shift));
            prop_assert_eq!(of(&padded), of(&format!("{digits}")));
        }
    }
}
