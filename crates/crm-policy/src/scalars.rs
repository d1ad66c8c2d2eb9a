//! The values that conditions compare: their types, how they are read from JSON and how two of them compare.

use std::cmp::Ordering;

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use crm_core::gate::Fact;
use iso_currency::Currency;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

/// The type of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// An amount whose currency stands in another attribute of the same record.
    Money {
        /// The name of the attribute with the ISO 4217 code.
        currency: String,
    },
    /// An exact decimal without unit.
    Decimal,
    /// A whole number.
    Int,
    /// True or false.
    Bool,
    /// The identifier of a record, a user, a stage, a business unit.
    Id,
    /// One of a closed set of texts.
    Enum(Vec<String>),
    /// Any text, compared exactly.
    Text,
    /// A calendar day without zone, `YYYY-MM-DD`.
    Date,
    /// An instant, RFC 3339.
    Instant,
    /// A time of day on the organization's clock, to the minute, `HH:MM`.
    Time,
    /// Texts in no order of their own: the tags of a record.
    Texts,
    /// Something of many parts: it can be hidden, and told from null, but not compared.
    Opaque,
}

impl Kind {
    /// The name of the type, for messages.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Money { .. } => "money",
            Kind::Decimal => "decimal",
            Kind::Int => "int",
            Kind::Bool => "bool",
            Kind::Id => "id",
            Kind::Enum(_) => "enum",
            Kind::Text => "text",
            Kind::Date => "date",
            Kind::Instant => "instant",
            Kind::Time => "time",
            Kind::Texts => "texts",
            Kind::Opaque => "opaque",
        }
    }
}

/// A value of one of the types of [`Kind`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// An exact amount and its currency.
    Money(Decimal, Currency),
    /// An exact decimal.
    Decimal(Decimal),
    /// A whole number.
    Int(i64),
    /// True or false.
    Bool(bool),
    /// An identifier, a member of a closed set, or free text.
    Text(String),
    /// A calendar day.
    Date(NaiveDate),
    /// An instant.
    Instant(DateTime<Utc>),
    /// A time of day.
    Time(NaiveTime),
    /// Texts, each compared exactly.
    Texts(Vec<String>),
    /// Something that is there, whatever it holds.
    Opaque,
}

/// The exchange rates of the day that a decision is taken for.
pub trait Rates {
    /// How many units of `to` one unit of `from` is worth, `None` where no rate is known.
    fn rate(&self, from: Currency, to: Currency) -> Option<Decimal>;
}

/// No rate is known: amounts compare within one currency alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRates;

impl Rates for NoRates {
    fn rate(&self, _from: Currency, _to: Currency) -> Option<Decimal> {
        None
    }
}

impl Scalar {
    /// Reads a literal of the given type; money is `{"amount": 5000000, "currency": "EUR"}`.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn read(kind: &Kind, json: &Value) -> Result<Scalar, String> {
        let read = match kind {
            Kind::Money { .. } => json
                .as_object()
                .filter(|literal| literal.len() == 2)
                .and_then(|literal| Scalar::money(literal.get("amount")?, literal.get("currency")?)),
            Kind::Decimal => decimal(json).map(Scalar::Decimal),
            Kind::Int => json.as_i64().map(Scalar::Int),
            Kind::Bool => json.as_bool().map(Scalar::Bool),
            Kind::Id => json.as_str().filter(|id| !id.is_empty()).map(|id| Scalar::Text(id.to_owned())),
            Kind::Enum(names) => {
                json.as_str().filter(|text| names.iter().any(|name| name == text)).map(|text| Scalar::Text(text.into()))
            }
            Kind::Text => json.as_str().map(|text| Scalar::Text(text.to_owned())),
            Kind::Date => json.as_str().and_then(|text| text.parse().ok()).map(Scalar::Date),
            Kind::Instant => json.as_str().and_then(instant).map(Scalar::Instant),
            Kind::Time => json.as_str().and_then(time).map(Scalar::Time),
            Kind::Texts => json.as_array().and_then(|texts| texts.iter().map(text).collect()).map(Scalar::Texts),
            Kind::Opaque => Some(Scalar::Opaque),
        };
        read.ok_or_else(|| expectation(kind))
    }

    /// Reads the value of a record's attribute. Differs from a literal in money alone, whose currency stands beside it.
    pub(crate) fn read_member(kind: &Kind, json: &Value, record: &Map<String, Value>) -> Result<Scalar, String> {
        match kind {
            Kind::Money { currency } => record
                .get(currency)
                .and_then(|code| Scalar::money(json, code))
                .ok_or_else(|| format!("An exact amount is expected, and its ISO 4217 code in “{currency}”.")),
            _ => Scalar::read(kind, json),
        }
    }

    /// The value of a record's attribute as it is told, `Some(None)` for null; `None` where it is none of that type. The same
    /// that [`Scalar::read_member`] reads from JSON; an amount's currency is told apart ([`Scalar::money_in`]).
    pub(crate) fn told(kind: &Kind, fact: &Fact<'_>) -> Option<Option<Scalar>> {
        let scalar = match (kind, fact) {
            (_, Fact::Null) => return Some(None),
            (Kind::Opaque, _) => Scalar::Opaque,
            (Kind::Bool, Fact::Bool(value)) => Scalar::Bool(*value),
            (Kind::Int, Fact::Int(value)) => Scalar::Int(*value),
            (Kind::Int, Fact::Number(text)) => Scalar::Int(text.parse().ok()?),
            (Kind::Decimal, fact) => Scalar::Decimal(exact(fact)?),
            (Kind::Id, Fact::Text(text)) if !text.is_empty() => Scalar::Text((*text).to_owned()),
            (Kind::Enum(names), Fact::Text(text)) if names.iter().any(|name| name == text) => {
                Scalar::Text((*text).to_owned())
            }
            (Kind::Text, Fact::Text(text)) => Scalar::Text((*text).to_owned()),
            (Kind::Date, Fact::Text(text)) => Scalar::Date(text.parse().ok()?),
            (Kind::Instant, Fact::Text(text)) => Scalar::Instant(instant(text)?),
            (Kind::Texts, Fact::Texts(texts)) => Scalar::Texts(texts.to_vec()),
            _ => return None,
        };
        Some(Some(scalar))
    }

    /// An amount in the currency of that code.
    pub(crate) fn money_in(amount: Decimal, code: &Scalar) -> Option<Scalar> {
        let Scalar::Text(code) = code else { return None };
        Some(Scalar::Money(amount, Currency::from_code(code)?))
    }

    fn money(amount: &Value, currency: &Value) -> Option<Scalar> {
        Some(Scalar::Money(decimal(amount)?, Currency::from_code(currency.as_str()?)?))
    }

    /// How `self` stands to `other`. Amounts are compared in the currency of `other`, unrounded. `None` where they can't
    /// be compared: other types, no rate, or an amount beyond what a decimal holds.
    pub fn compare(&self, other: &Scalar, rates: &dyn Rates) -> Option<Ordering> {
        match (self, other) {
            (Scalar::Money(amount, from), Scalar::Money(limit, to)) => {
                let amount = if from == to { *amount } else { amount.checked_mul(rates.rate(*from, *to)?)? };
                Some(amount.cmp(limit))
            }
            (Scalar::Decimal(a), Scalar::Decimal(b)) => Some(a.cmp(b)),
            (Scalar::Int(a), Scalar::Int(b)) => Some(a.cmp(b)),
            (Scalar::Bool(a), Scalar::Bool(b)) => Some(a.cmp(b)),
            (Scalar::Text(a), Scalar::Text(b)) => Some(a.cmp(b)),
            (Scalar::Date(a), Scalar::Date(b)) => Some(a.cmp(b)),
            (Scalar::Instant(a), Scalar::Instant(b)) => Some(a.cmp(b)),
            (Scalar::Time(a), Scalar::Time(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

/// The value as a condition would write it.
impl From<&Scalar> for Value {
    fn from(scalar: &Scalar) -> Value {
        match scalar {
            Scalar::Money(amount, currency) => json!({"amount": exact_json(amount), "currency": currency.code()}),
            Scalar::Decimal(value) => exact_json(value),
            Scalar::Int(value) => json!(value),
            Scalar::Bool(value) => json!(value),
            Scalar::Text(text) => json!(text),
            Scalar::Date(day) => json!(day),
            Scalar::Instant(at) => json!(at),
            Scalar::Time(time) => json!(time.format(TIME).to_string()),
            Scalar::Texts(texts) => json!(texts),
            Scalar::Opaque => Value::Null,
        }
    }
}

fn exact_json(value: &Decimal) -> Value {
    value.normalize().to_string().parse().map_or(Value::Null, Value::Number)
}

/// The exact decimal that is told.
pub(crate) fn exact(fact: &Fact<'_>) -> Option<Decimal> {
    match fact {
        Fact::Int(value) => Some(Decimal::from(*value)),
        Fact::Number(text) => number(text),
        _ => None,
    }
}

fn decimal(json: &Value) -> Option<Decimal> {
    number(&json.as_number()?.to_string())
}

fn number(text: &str) -> Option<Decimal> {
    let scientific = text.contains(['e', 'E']);
    if scientific { Decimal::from_scientific(text).ok() } else { Decimal::from_str_exact(text).ok() }
}

/// How a time of day is written.
const TIME: &str = "%H:%M";

fn time(text: &str) -> Option<NaiveTime> {
    NaiveTime::parse_from_str(text, TIME).ok().filter(|_| text.len() == "HH:MM".len())
}

fn text(json: &Value) -> Option<String> {
    json.as_str().map(str::to_owned)
}

fn instant(text: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.to_utc())
}

fn expectation(kind: &Kind) -> String {
    match kind {
        Kind::Money { .. } => {
            "An amount with its currency is expected: {\"amount\": 5000000, \"currency\": \"EUR\"}.".into()
        }
        Kind::Decimal => "A number is expected, of at most 28 digits.".into(),
        Kind::Int => "A whole number is expected.".into(),
        Kind::Bool => "true or false is expected.".into(),
        Kind::Id => "An identifier is expected: a text that is not empty.".into(),
        Kind::Enum(names) => format!("One of {} is expected.", names.join(", ")),
        Kind::Text => "A text is expected.".into(),
        Kind::Date => "A day is expected: YYYY-MM-DD.".into(),
        Kind::Instant => "An instant is expected, as RFC 3339 writes it: 2026-01-31T09:00:00Z.".into(),
        Kind::Time => "A time of day is expected: HH:MM.".into(),
        Kind::Texts => "A list of texts is expected.".into(),
        Kind::Opaque => "Any value is expected but null.".into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    struct DollarAt(&'static str);
    impl Rates for DollarAt {
        fn rate(&self, from: Currency, to: Currency) -> Option<Decimal> {
            (from == Currency::USD && to == Currency::EUR).then(|| self.0.parse().unwrap())
        }
    }

    fn money(amount: &str, currency: Currency) -> Scalar {
        Scalar::Money(amount.parse().unwrap(), currency)
    }

    #[test]
    fn amounts_compare_in_the_currency_of_the_limit_and_not_at_all_without_a_rate() {
        let limit = money("100", Currency::EUR);
        assert_eq!(money("100.01", Currency::EUR).compare(&limit, &NoRates), Some(Ordering::Greater));
        assert_eq!(money("125", Currency::USD).compare(&limit, &DollarAt("0.8")), Some(Ordering::Equal));
        assert_eq!(money("125", Currency::USD).compare(&limit, &NoRates), None);
        assert_eq!(money("79228162514264337593543950335", Currency::USD).compare(&limit, &DollarAt("2")), None);
        assert_eq!(Scalar::Int(1).compare(&Scalar::Decimal(Decimal::ONE), &NoRates), None);
    }

    #[test]
    fn literals_are_read_by_their_type_or_refused() {
        let money_kind = Kind::Money { currency: "currency".into() };
        let stages = Kind::Enum(vec!["open".into(), "won".into()]);
        let good = [
            (&money_kind, json!({"amount": 0.1, "currency": "EUR"})),
            (&Kind::Decimal, json!(1e3)),
            (&Kind::Int, json!(3_000_000_000_i64)),
            (&Kind::Bool, json!(false)),
            (&Kind::Id, json!("u1")),
            (&stages, json!("won")),
            (&Kind::Text, json!("")),
            (&Kind::Date, json!("2026-02-28")),
            (&Kind::Instant, json!("2026-02-28T00:00:00+02:00")),
        ];
        for (kind, json) in good {
            assert!(Scalar::read(kind, &json).is_ok(), "{} {json}", kind.name());
        }
        let bad = [
            (&money_kind, json!(5)),
            (&money_kind, json!({"amount": 5, "currency": "XXQ"})),
            (&money_kind, json!({"amount": 5, "currency": "EUR", "at": "today"})),
            (&Kind::Decimal, json!("5")),
            (&Kind::Int, json!(1.5)),
            (&Kind::Bool, json!("true")),
            (&Kind::Id, json!("")),
            (&stages, json!("Won")),
            (&Kind::Text, json!(null)),
            (&Kind::Date, json!("2026-02-30")),
            (&Kind::Instant, json!("2026-02-28")),
        ];
        for (kind, json) in bad {
            assert!(Scalar::read(kind, &json).is_err(), "{} {json}", kind.name());
        }
    }
}
