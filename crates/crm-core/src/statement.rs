//! SQL text with typed bind values, prepared once per connection, for what the typed query builder cannot say well.
use std::{borrow::Cow, marker::PhantomData};

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use diesel::{
    QueryResult, RunQueryDsl,
    pg::{Pg, PgConnection},
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types as st,
};
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::{Id, Money};

/// A value for a statement; `None` is NULL.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the variants are the SQL types of their names
pub enum Bind {
    Uuid(Option<Uuid>),
    Text(Option<String>),
    Int(Option<i32>),
    BigInt(Option<i64>),
    Decimal(Option<Decimal>),
    Bool(Option<bool>),
    Date(Option<NaiveDate>),
    Time(Option<NaiveTime>),
    Instant(Option<DateTime<Utc>>),
    Json(Option<Value>),
    Bytes(Option<Vec<u8>>),
    Uuids(Vec<Uuid>),
    Texts(Vec<String>),
    Ints(Vec<i32>),
    Instants(Vec<DateTime<Utc>>),
    Decimals(Vec<Decimal>),
}

impl Bind {
    /// Appends the value as the statement's next parameter.
    pub(crate) fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        match self {
            Self::Uuid(v) => out.push_bind_param::<st::Nullable<st::Uuid>, _>(v),
            Self::Text(v) => out.push_bind_param::<st::Nullable<st::Text>, _>(v),
            Self::Int(v) => out.push_bind_param::<st::Nullable<st::Integer>, _>(v),
            Self::BigInt(v) => out.push_bind_param::<st::Nullable<st::BigInt>, _>(v),
            Self::Decimal(v) => out.push_bind_param::<st::Nullable<st::Numeric>, _>(v),
            Self::Bool(v) => out.push_bind_param::<st::Nullable<st::Bool>, _>(v),
            Self::Date(v) => out.push_bind_param::<st::Nullable<st::Date>, _>(v),
            Self::Time(v) => out.push_bind_param::<st::Nullable<st::Time>, _>(v),
            Self::Instant(v) => out.push_bind_param::<st::Nullable<st::Timestamptz>, _>(v),
            Self::Json(v) => out.push_bind_param::<st::Nullable<st::Jsonb>, _>(v),
            Self::Bytes(v) => out.push_bind_param::<st::Nullable<st::Binary>, _>(v),
            Self::Uuids(v) => out.push_bind_param::<st::Array<st::Uuid>, _>(v),
            Self::Texts(v) => out.push_bind_param::<st::Array<st::Text>, _>(v),
            Self::Ints(v) => out.push_bind_param::<st::Array<st::Integer>, _>(v),
            Self::Instants(v) => out.push_bind_param::<st::Array<st::Timestamptz>, _>(v),
            Self::Decimals(v) => out.push_bind_param::<st::Array<st::Numeric>, _>(v),
        }
    }
}

macro_rules! bind_from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<$from> for Bind { fn from(value: $from) -> Self { Self::$variant(Some(value)) } }
        impl From<Option<$from>> for Bind { fn from(value: Option<$from>) -> Self { Self::$variant(value) } }
    )*};
}
bind_from!(Uuid => Uuid, String => Text, i32 => Int, i64 => BigInt, Decimal => Decimal, bool => Bool,
    NaiveDate => Date, NaiveTime => Time, DateTime<Utc> => Instant, Value => Json, Vec<u8> => Bytes);

impl From<&str> for Bind {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}
impl From<Option<&str>> for Bind {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}
impl<T> From<Id<T>> for Bind {
    fn from(value: Id<T>) -> Self {
        Self::Uuid(Some(value.uuid()))
    }
}
impl<T> From<Option<Id<T>>> for Bind {
    fn from(value: Option<Id<T>>) -> Self {
        Self::Uuid(value.map(Id::uuid))
    }
}
impl From<Money> for Bind {
    fn from(value: Money) -> Self {
        Self::Decimal(Some(value.amount()))
    }
}
impl<T> From<&[Id<T>]> for Bind {
    fn from(value: &[Id<T>]) -> Self {
        Self::Uuids(value.iter().map(|id| id.uuid()).collect())
    }
}
macro_rules! bind_from_list {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl From<Vec<$from>> for Bind { fn from(value: Vec<$from>) -> Self { Self::$variant(value) } }
    )*};
}
bind_from_list!(Uuid => Uuids, String => Texts, i32 => Ints, DateTime<Utc> => Instants, Decimal => Decimals);

/// A statement with rows of SQL type `ST`. In its text `{}` stands for the next bound value and `{org}` for the
/// caller's organization; since the values travel apart from the text, nothing in them can become SQL, and the text
/// is prepared once per connection.
#[derive(Debug, Clone)]
pub struct Statement<ST> {
    text: Cow<'static, str>,
    organization: Bind,
    binds: Vec<Bind>,
    rows: PhantomData<ST>,
}

impl<ST> Statement<ST> {
    pub(crate) fn new(text: impl Into<Cow<'static, str>>, organization: Option<Uuid>) -> Self {
        Self { text: text.into(), organization: Bind::Uuid(organization), binds: Vec::new(), rows: PhantomData }
    }

    /// Binds the next `{}`.
    #[must_use]
    pub fn bind(mut self, value: impl Into<Bind>) -> Self {
        self.binds.push(value.into());
        self
    }
}

impl<ST> QueryFragment<Pg> for Statement<ST> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        let mut binds = self.binds.iter();
        let mut rest = self.text.as_ref();
        while let Some(at) = rest.find('{') {
            out.push_sql(&rest[..at]);
            rest = &rest[at..];
            let bind = if let Some(tail) = rest.strip_prefix("{}") {
                rest = tail;
                binds.next()
            } else {
                rest = rest.strip_prefix("{org}").ok_or_else(|| misuse("a brace that is neither {} nor {org}"))?;
                Some(&self.organization)
            };
            bind.ok_or_else(|| misuse("fewer values than places"))?.push(&mut out)?;
        }
        out.push_sql(rest);
        if binds.next().is_some() {
            return Err(misuse("more values than places"));
        }
        Ok(())
    }
}

fn misuse(what: &str) -> diesel::result::Error {
    diesel::result::Error::QueryBuilderError(format!("a statement has {what}").into())
}

impl<ST> QueryId for Statement<ST> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}
impl<ST> Query for Statement<ST> {
    type SqlType = ST;
}
impl<ST> RunQueryDsl<PgConnection> for Statement<ST> {}
