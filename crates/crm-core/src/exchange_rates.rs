//! Exchange rates: what a unit of one currency is worth in another, from a day on. Figures over several currencies go by
//! them, and name the rate that they went by; where there is none, nothing is added up.
use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use diesel::{prelude::*, sql_types as st};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::{
    Currency, Error, FieldError, Id, Page, Patch, Reason, Result, Tx,
    change::{Change, Draft},
    gate::{Action, Ask},
    money, organizations, page,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::exchange_rates,
    select::Condition,
};

/// The most rates that one request writes.
const MOST: usize = 1_000;

/// Digits after the point that a rate has at most.
const DIGITS: u32 = 10;

/// The member that holds the rates.
const LIST: &str = "exchangeRates";

/// An exchange rate.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = exchange_rates)]
pub struct ExchangeRate {
    /// Its id.
    pub id: Id<ExchangeRate>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: ExchangeRateFields,
    /// When it was first written down.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of an exchange rate.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = exchange_rates)]
pub struct ExchangeRateFields {
    /// The currency that is converted.
    #[schema(example = "GBP")]
    pub from_currency: Currency,
    /// The currency into which it is converted; the organization's where none is given.
    #[schema(example = "EUR")]
    pub to_currency: Currency,
    /// The day from which on it holds, until that of a later one.
    pub effective_on: NaiveDate,
    /// What one unit of the first is worth in the second.
    #[serde(serialize_with = "self::write_rate", deserialize_with = "self::read_rate")]
    #[validate(custom(function = self::positive))]
    #[schema(value_type = f64, example = 1.1742)]
    pub rate: Decimal,
}

impl Default for ExchangeRateFields {
    fn default() -> Self {
        let (from_currency, to_currency) = (Currency::default(), Currency::default());
        Self { from_currency, to_currency, effective_on: NaiveDate::default(), rate: Decimal::ZERO }
    }
}

/// Rates that are equal are written alike: `0.8700000000` is `0.87`.
fn write_rate<S: Serializer>(rate: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
    rust_decimal::serde::arbitrary_precision::serialize(&rate.normalize(), serializer)
}

fn read_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    let wrong = |_| serde::de::Error::custom("a rate is a JSON number, such as 1.1742");
    let number = serde_json::Number::deserialize(deserializer).map_err(wrong)?;
    money::decimal(&number.to_string()).ok_or_else(|| serde::de::Error::custom("a rate has at most 28 digits"))
}

fn positive(rate: &Decimal) -> Result<(), ValidationError> {
    let largest = Decimal::from(10_u64.pow(DIGITS));
    if *rate > Decimal::ZERO && *rate < largest && rate.normalize().scale() <= DIGITS {
        return Ok(());
    }
    let message = "Above 0, with at most 10 digits before and after the point.";
    Err(ValidationError::new("range").with_message(message.into()))
}

impl Record for ExchangeRate {
    const KIND: &'static str = "exchange_rate";
    const TABLE: &'static str = "exchange_rates";
    const FIELDS: &'static [Field] = &[
        Field::new("fromCurrency", "from_currency", FieldKind::Text).required(),
        Field::new("toCurrency", "to_currency", FieldKind::Text),
        Field::new("effectiveOn", "effective_on", FieldKind::Date).required().sortable(),
        Field::new("rate", "rate", FieldKind::Decimal).required(),
    ];
    const DEFAULT_SORT: &'static str = "-effectiveOn";
    record_rows!(ExchangeRateFields, exchange_rates);
}

/// A page of the organization's rates, the latest first.
///
/// # Errors
/// As [`page::list`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<ExchangeRate>> {
    page::list(tx, query)
}

/// Asks whether the caller may write rates at all, before anybody looks at what they send.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn check_may_write(tx: &Tx<'_>) -> Result<()> {
    tx.check_writable()?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Edit, ExchangeRate::KIND))
}

/// Writes the rates of the member `exchangeRates`, for ADMIN and MANAGER. A rate that is there already for the currencies
/// and the day is changed, with its field history; one that is `null` is removed; all others stay. Gives back those that
/// stand now of the ones named.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Malformed`] for unknown members; [`Error::Invalid`] with every bad field of every rate.
pub fn put(tx: &mut Tx<'_>, mut patch: Patch) -> Result<Vec<ExchangeRate>> {
    check_may_write(tx)?;
    let entries = entries(&mut patch)?;
    let base = organizations::read(tx)?.fields.base_currency;
    let (mut written, mut errors, mut given) = (Vec::new(), Vec::new(), Given::new());
    for (i, members) in entries.into_iter().enumerate() {
        match put_one(tx, members, &base, &patch.reason, (i, &mut given)) {
            Ok(rate) => written.extend(rate),
            Err(Error::Invalid(found)) => errors.extend(found.into_iter().map(|mut error| {
                error.field = format!("{LIST}[{i}].{}", error.field);
                error
            })),
            Err(error) => return Err(error),
        }
    }
    if errors.is_empty() { Ok(written) } else { Err(Error::Invalid(errors)) }
}

fn entries(patch: &mut Patch) -> Result<Vec<Map<String, Value>>> {
    let entries = match patch.take(LIST) {
        None => return Err(Error::invalid(LIST, "required", "Must be given.")),
        Some(Value::Array(list)) if list.len() > MOST => {
            return Err(Error::invalid(LIST, "too_many", format!("At most {MOST} in one request.")));
        }
        Some(Value::Array(list)) => list,
        Some(_) => return Err(Error::invalid(LIST, "invalid_type", "A list of objects.")),
    };
    if let Some(name) = patch.members.keys().next() {
        let detail = format!("There is no member `{name}`. There is: {LIST}.");
        return Err(Error::Malformed { code: "unknown_member", detail });
    }
    let object = |entry| match entry {
        Value::Object(members) => Ok(members),
        _ => Err(Error::invalid(LIST, "invalid_type", "A list of objects.")),
    };
    entries.into_iter().map(object).collect()
}

/// What the request has given already, and where in its list: currencies and day.
type Given = BTreeMap<(Currency, Currency, NaiveDate), usize>;

/// Writes or removes one rate. The same one twice in a request would leave open which holds.
fn put_one(
    tx: &mut Tx<'_>,
    mut members: Map<String, Value>,
    base: &Currency,
    reason: &Reason,
    (place, given): (usize, &mut Given),
) -> Result<Option<ExchangeRate>> {
    let is_removed = members.get("rate").is_some_and(Value::is_null);
    if is_removed {
        members.insert("rate".into(), 1.into());
    }
    check_given(&members)?;
    // A currency that does not exist is told already, and no reason to tell of the other.
    let from = members.get("fromCurrency").and_then(Value::as_str).map(str::to_owned);
    let members = Patch { members, reason: reason.clone(), ..Patch::default() }.or("toCurrency", base.code());
    let mut draft = Draft::<ExchangeRate>::new(tx, members)?;
    if from.as_deref() == Some(draft.fields().to_currency.code()) {
        draft.refuse("toCurrency", "same_currency", "The two currencies are the same.");
    }
    let fields = draft.fields().clone();
    if draft.errors().is_empty() {
        let pair = (fields.from_currency.clone(), fields.to_currency.clone(), fields.effective_on);
        if let Some(first) = given.insert(pair, place) {
            let message = format!("`{LIST}[{first}]` gives the rate of these currencies and this day already.");
            draft.refuse("effectiveOn", "duplicate", message);
        }
    }
    let permitted = tx.permit_new(draft)?;
    let why = || Patch { reason: reason.clone(), ..Patch::default() };
    match (known(tx, &fields)?, is_removed) {
        (None, true) => Ok(None),
        (Some(known), true) => tx.delete(known.id, &why()).map(|_| None),
        (None, false) => permitted.insert(tx).map(Some),
        (Some(known), false) => {
            let mut change = Change::new(tx, known, why())?;
            change.amend(|known| *known = fields)?;
            tx.permit(change)?.save(tx).map(Some)
        }
    }
}

/// Refuses a rate that does not say what it is a rate of.
fn check_given(members: &Map<String, Value>) -> Result<()> {
    let missing: Vec<_> = ["fromCurrency", "effectiveOn", "rate"]
        .into_iter()
        .filter(|name| members.get(*name).is_none_or(Value::is_null))
        .map(|name| FieldError::new(name, "required", "Must be given."))
        .collect();
    if missing.is_empty() { Ok(()) } else { Err(Error::Invalid(missing)) }
}

fn known(tx: &mut Tx<'_>, fields: &ExchangeRateFields) -> Result<Option<ExchangeRate>> {
    let equal = |column: &'static str, value| Condition::Compare(column.into(), "=", value);
    let select = tx
        .records::<ExchangeRate>()
        .and(equal("from_currency", fields.from_currency.code().into()))
        .and(equal("to_currency", fields.to_currency.code().into()))
        .and(equal("effective_on", fields.effective_on.into()))
        .locked();
    Ok(ExchangeRate::load(tx, select)?.pop())
}

/// A rate that figures were converted by.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AppliedRate {
    /// The currency that was converted.
    pub from_currency: Currency,
    /// What one unit of it counted for.
    #[serde(serialize_with = "self::write_rate")]
    #[schema(value_type = f64)]
    pub rate: Decimal,
    /// The day from which on that rate holds.
    pub effective_on: NaiveDate,
}

/// The rates into a currency that hold on a day, by the currency that they convert.
///
/// # Errors
/// What the database says.
pub fn on(tx: &mut Tx<'_>, into: &Currency, day: NaiveDate) -> Result<BTreeMap<Currency, AppliedRate>> {
    let rows: Vec<(Currency, Decimal, NaiveDate)> = tx
        .sql::<(st::Text, st::Numeric, st::Date)>(
            "SELECT DISTINCT ON (from_currency) from_currency, rate, effective_on FROM exchange_rates \
             WHERE organization_id = {org} AND to_currency = {} AND effective_on <= {} \
             ORDER BY from_currency, effective_on DESC",
        )
        .with(|s| s.bind(into.code()).bind(day))
        .all(tx)?;
    let applied = rows.into_iter().map(|(from_currency, rate, effective_on)| {
        (from_currency.clone(), AppliedRate { from_currency, rate, effective_on })
    });
    Ok(applied.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_positive_number_of_ten_digits() {
        let cases = [("0.0000000001", true), ("9999999999", true), ("1.17420", true), ("0", false), ("-1", false)];
        let cases = cases.into_iter().chain([("10000000000", false), ("0.00000000001", false)]);
        for (text, expected) in cases {
            assert_eq!(positive(&text.parse().unwrap()).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn equal_rates_are_written_alike() {
        let json = |rate: &str| {
            let fields = ExchangeRateFields { rate: rate.parse().unwrap(), ..ExchangeRateFields::default() };
            serde_json::to_string(&fields).unwrap()
        };
        assert_eq!(json("0.8700000000"), json("0.87"));
        assert!(json("0.87").ends_with("\"rate\":0.87}"), "{}", json("0.87"));
    }
}
