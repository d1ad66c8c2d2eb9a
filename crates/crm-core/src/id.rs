//! One id type for every record: `Id<Deal>` and `Id<Stage>` do not mix.
use std::{fmt, hash, marker::PhantomData, str::FromStr};

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    serialize::{self, Output, ToSql},
    sql_types,
};
use uuid::Uuid;

/// The id of a `T`: a UUIDv7 (RFC 9562), so that newer ids sort after older ones. Opaque to clients.
#[derive(AsExpression, FromSqlRow)]
#[diesel(sql_type = sql_types::Uuid)]
pub struct Id<T: 'static>(Uuid, PhantomData<fn() -> T>);

impl<T> Id<T> {
    /// A new id, made here and never by the database.
    #[allow(clippy::new_without_default, clippy::disallowed_methods)] // the one place where ids are made
    pub fn new() -> Self {
        Self(Uuid::now_v7(), PhantomData)
    }

    /// The id as a plain UUID.
    pub fn uuid(self) -> Uuid {
        self.0
    }

    /// The same number as the id of something else, for a column that may point to several kinds of record.
    pub fn cast<U>(self) -> Id<U> {
        Id(self.0, PhantomData)
    }
}

impl<T> From<Uuid> for Id<T> {
    fn from(uuid: Uuid) -> Self {
        Self(uuid, PhantomData)
    }
}
/// The nil id, which no record has: what a required reference holds before it is given.
impl<T> Default for Id<T> {
    fn default() -> Self {
        Self(Uuid::nil(), PhantomData)
    }
}
impl<T> FromStr for Id<T> {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self::from)
    }
}
impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl<T> Eq for Id<T> {}
impl<T> PartialOrd for Id<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Id<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}
impl<T> hash::Hash for Id<T> {
    fn hash<H: hash::Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<T> fmt::Display for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
impl<T> serde::Serialize for Id<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}
impl<'de, T> serde::Deserialize<'de> for Id<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Uuid::deserialize(deserializer).map(Self::from)
    }
}
impl<T> ToSql<sql_types::Uuid, Pg> for Id<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        ToSql::<sql_types::Uuid, Pg>::to_sql(&self.0, out)
    }
}
impl<T> FromSql<sql_types::Uuid, Pg> for Id<T> {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Uuid::from_sql(value).map(Self::from)
    }
}
impl<T> utoipa::__dev::ComposeSchema for Id<T> {
    fn compose(
        _: Vec<utoipa::openapi::RefOr<utoipa::openapi::schema::Schema>>,
    ) -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, Type};
        let format = SchemaFormat::KnownFormat(KnownFormat::Uuid);
        ObjectBuilder::new().schema_type(Type::String).format(Some(format)).into()
    }
}
impl<T> utoipa::ToSchema for Id<T> {
    fn name() -> std::borrow::Cow<'static, str> {
        "Id".into()
    }
}
