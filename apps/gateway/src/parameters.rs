//! The parameters of reports: each known by name, given once, and of the type that it should have.
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use crm_core::{Ctx, Error, Id, Result, filters, users::User};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    call::{Request, malformed},
    endpoint::Endpoint,
};

/// What a query says, under the names that the report knows.
#[derive(Debug)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// The parameters of a request.
    ///
    /// # Errors
    /// [`Error::Malformed`] for one that the report does not know, or that is given twice.
    pub fn of<const N: usize>(request: &Request, names: [&'static str; N]) -> Result<Self> {
        let values = request.parameters(names)?;
        let given = names.into_iter().zip(values).filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Ok(Self(given.collect()))
    }

    /// All that was given.
    pub fn as_slice(&self) -> &[(String, String)] {
        &self.0
    }

    /// Was it given?
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(given, _)| given == name)
    }

    fn read<T>(&self, name: &str, expected: &str, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>> {
        let Some((_, text)) = self.0.iter().find(|(given, _)| given == name) else { return Ok(None) };
        let wrong = || malformed("invalid_value", format!("`{name}` is {expected}."));
        read(text).map(Some).ok_or_else(wrong)
    }

    /// An id.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is none.
    pub fn id<T>(&self, name: &str) -> Result<Option<Id<T>>> {
        self.read(name, "an id", |text| text.parse::<Uuid>().ok().map(Id::from))
    }

    /// A user, who may be called `me`.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is no id, or nobody is signed in who could be `me`.
    pub fn user(&self, name: &str, ctx: &Ctx) -> Result<Option<Id<User>>> {
        self.read(name, "an id or `me`", |text| match text {
            "me" => ctx.actor.user(),
            _ => text.parse::<Uuid>().ok().map(Id::from),
        })
    }

    /// A calendar day from the year 1 to 9999.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is none.
    pub fn day(&self, name: &str) -> Result<Option<NaiveDate>> {
        self.read(name, "a day as YYYY-MM-DD", day)
    }

    /// The beginning of a span: an instant, or the first one of a day in UTC.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is neither.
    pub fn beginning(&self, name: &str) -> Result<Option<DateTime<Utc>>> {
        self.read(name, INSTANT, |text| filters::instant(text).filter(|at| is_usual(at.date_naive())))
    }

    /// The end of a span, which no longer belongs to it: an instant, or the last one of a day in UTC.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is neither.
    pub fn end(&self, name: &str) -> Result<Option<DateTime<Utc>>> {
        let at = self.beginning(name)?;
        let is_day = self.0.iter().any(|(given, text)| given == name && day(text).is_some());
        Ok(if is_day { at.map(|at| at + TimeDelta::days(1)) } else { at })
    }

    /// A whole number within limits.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is none.
    pub fn whole(&self, name: &str, largest: u32) -> Result<Option<u32>> {
        let expected = format!("a whole number from 0 to {largest}");
        self.read(name, &expected, |text| text.parse().ok().filter(|n| *n <= largest))
    }

    /// A number of days from 1 on.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is none.
    pub fn horizon(&self, name: &str, largest: u16) -> Result<Option<u16>> {
        let expected = format!("a whole number from 1 to {largest}");
        self.read(name, &expected, |text| text.parse().ok().filter(|days| (1..=largest).contains(days)))
    }

    /// One of some words.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is none of them.
    pub fn word<T: std::str::FromStr>(&self, name: &str, expected: &str) -> Result<Option<T>> {
        self.read(name, expected, |text| text.parse().ok())
    }

    /// Yes or no; no where it is not given.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is neither `true` nor `false`.
    pub fn flag(&self, name: &str) -> Result<bool> {
        Ok(self.read(name, "true or false", |text| text.parse().ok())?.unwrap_or_default())
    }
}

const INSTANT: &str = "an instant as 2025-12-16T10:00:00Z, or a day";

fn day(text: &str) -> Option<NaiveDate> {
    text.parse().ok().filter(|day| is_usual(*day))
}

fn is_usual(day: NaiveDate) -> bool {
    use chrono::Datelike;
    (1..=9999).contains(&day.year())
}

/// Refuses a span that ends before it begins.
///
/// # Errors
/// [`Error::Malformed`].
pub fn check_order<T: PartialOrd>(names: [&str; 2], from: Option<&T>, until: Option<&T>) -> Result<(), Error> {
    match (from, until) {
        (Some(from), Some(until)) if from > until => {
            Err(malformed("invalid_value", format!("`{}` lies behind `{}`.", names[0], names[1])))
        }
        _ => Ok(()),
    }
}

/// Tells the document of the parameters that narrow a report down to some deals.
pub fn about_deals(endpoint: Endpoint) -> Endpoint {
    let id = json!({"type": "string", "format": "uuid"});
    endpoint.query("pipelineId", &id, "Deals that go this pipeline.").query(
        "businessUnitId",
        &id,
        "Deals that belong to this business unit.",
    )
}

/// Tells the document of whose deals a report may be about.
pub fn about_owner(endpoint: Endpoint) -> Endpoint {
    endpoint.query("ownerId", &json!({"type": "string"}), "Deals that this user works: an id, or `me`.")
}

/// The schema of a day in a query.
pub fn day_schema() -> Value {
    json!({"type": "string", "format": "date"})
}
