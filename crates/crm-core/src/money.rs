//! Amounts of money: exact decimals, never floats, and never a sum of two currencies.
use std::{collections::BTreeMap, fmt, str::FromStr};

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    serialize::{self, Output, ToSql},
    sql_types,
};
use iso_currency::Currency as Iso;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An exact amount in major units (12.50 is twelve and a half), with up to 15 digits before and 4 after the point.
///
/// On the wire it is a JSON number, in SQL `NUMERIC(19,4)`. Two amounts that are equal serialize alike: `12.50` is `12.5`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql_types::Numeric)]
pub struct Money(Decimal);

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// The largest amount that the database holds.
    pub fn max() -> Decimal {
        Decimal::from_i128_with_scale(9_999_999_999_999_999_999, 4)
    }

    /// The amount, or `None` where it has more digits than the database keeps.
    pub fn new(amount: Decimal) -> Option<Self> {
        let amount = amount.normalize();
        (amount.scale() <= 4 && amount.abs() <= Self::max()).then_some(Self(amount))
    }

    /// The exact decimal.
    pub fn amount(self) -> Decimal {
        self.0
    }

    /// The amount rounded half to even to the digits of its currency, as every figure that is shown is.
    pub fn rounded(self, currency: &Currency) -> Self {
        Self(self.0.round_dp_with_strategy(currency.digits(), RoundingStrategy::MidpointNearestEven).normalize())
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        rust_decimal::serde::arbitrary_precision::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom("an amount is a JSON number, such as 1250.50"))?;
        decimal(&number.to_string())
            .and_then(Self::new)
            .ok_or_else(|| serde::de::Error::custom("an amount has at most 15 digits before the point and 4 after it"))
    }
}

/// Reads a JSON number exactly, exponents too. `None` where it does not fit 28 digits.
pub fn decimal(text: &str) -> Option<Decimal> {
    if text.len() > 64 {
        return None;
    }
    Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text)).ok()
}

impl FromSql<sql_types::Numeric, Pg> for Money {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        let amount = <Decimal as FromSql<sql_types::Numeric, Pg>>::from_sql(value)?;
        Ok(Self(amount.normalize()))
    }
}
impl ToSql<sql_types::Numeric, Pg> for Money {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <Decimal as ToSql<sql_types::Numeric, Pg>>::to_sql(&self.0, out)
    }
}
impl utoipa::PartialSchema for Money {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        ObjectBuilder::new()
            .schema_type(Type::Number)
            .description(Some("An exact amount in major units, with at most four digits after the point."))
            .into()
    }
}
impl utoipa::ToSchema for Money {
    fn name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }
}

/// A currency of ISO 4217, by its three letters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow)]
#[diesel(sql_type = sql_types::Text)]
pub struct Currency(String);

impl Currency {
    /// The three letters, such as `EUR`.
    pub fn code(&self) -> &str {
        &self.0
    }

    /// How many digits its amounts have after the point: 2 for EUR, 0 for JPY, 3 for KWD.
    pub fn digits(&self) -> u32 {
        Iso::from_code(&self.0).and_then(|c| c.exponent()).map_or(2, u32::from)
    }
}

impl Default for Currency {
    fn default() -> Self {
        Self("USD".into())
    }
}
impl FromStr for Currency {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match Iso::from_code(text) {
            Some(_) => Ok(Self(text.to_owned())),
            None => Err("a currency is three capital letters of ISO 4217, such as EUR".into()),
        }
    }
}
impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
impl FromSql<sql_types::Text, Pg> for Currency {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(<String as FromSql<sql_types::Text, Pg>>::from_sql(value)?))
    }
}
impl ToSql<sql_types::Text, Pg> for Currency {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <str as ToSql<sql_types::Text, Pg>>::to_sql(&self.0, out)
    }
}
impl utoipa::PartialSchema for Currency {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{ObjectBuilder, Type};
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[A-Z]{3}$"))
            .description(Some("ISO 4217"))
            .examples(["EUR"])
            .into()
    }
}
impl utoipa::ToSchema for Currency {
    fn name() -> std::borrow::Cow<'static, str> {
        "Currency".into()
    }
}

/// Sums that stay apart by currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals(BTreeMap<Currency, Decimal>);

impl Totals {
    /// Adds an amount to the sum of its currency.
    pub fn add(&mut self, currency: Currency, amount: Decimal) {
        *self.0.entry(currency).or_default() += amount;
    }

    /// The sum in one currency; nothing added is zero.
    pub fn of(&self, currency: &Currency) -> Decimal {
        self.0.get(currency).copied().unwrap_or_default().normalize()
    }

    /// The currencies other than `currency` in which something was added.
    pub fn others(&self, currency: &Currency) -> impl Iterator<Item = (&Currency, &Decimal)> {
        self.0.iter().filter(move |(c, _)| *c != currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<Money, serde_json::Error> {
        serde_json::from_str(text)
    }

    #[test]
    fn amounts_are_exact_numbers() {
        for (wire, back) in [
            ("0.1", "0.1"),
            ("12.50", "12.5"),
            ("1e3", "1000"),
            ("999999999999999.9999", "999999999999999.9999"),
            ("-5", "-5"),
            ("65.0", "65"),
        ] {
            assert_eq!(serde_json::to_string(&read(wire).unwrap()).unwrap(), back, "{wire}");
        }
    }

    #[test]
    fn amounts_that_do_not_fit_are_refused() {
        for wire in ["1e16", "0.00001", "1e400", "\"5\"", "null", "1e-400", "true"] {
            assert!(read(wire).is_err(), "{wire}");
        }
    }

    #[test]
    fn rounding_is_half_to_even_in_the_digits_of_the_currency() {
        let money = |t: &str| Money::new(decimal(t).unwrap()).unwrap();
        for (amount, currency, rounded) in
            [("2.345", "EUR", "2.34"), ("2.355", "EUR", "2.36"), ("2.5", "JPY", "2"), ("1.2345", "KWD", "1.234")]
        {
            assert_eq!(money(amount).rounded(&currency.parse().unwrap()), money(rounded), "{amount} {currency}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(cents in -999_999_999_999_999i64..999_999_999_999_999, scale in 0u32..5) {
            let money = Money::new(Decimal::new(cents, scale)).unwrap();
            prop_assert_eq!(read(&serde_json::to_string(&money).unwrap()).unwrap(), money);
        }
    }
}
