//! The people of an organization and their roles.
mod commands;
pub(crate) mod directory;

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    expression::AsExpression,
    pg::Pg,
    prelude::*,
    serialize::{self, Output, ToSql},
    sql_types,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

pub(crate) use commands::store_password;
pub use commands::{FirstUser, FirstUserCreated, create, create_first, find_account, update};

use crate::{
    Id,
    record::{Field, FieldKind, Record},
    schema::users,
};

/// What somebody may at most. Each role may all that the one before it may.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    Serialize,
    Deserialize,
    AsExpression,
    FromSqlRow,
    ToSchema,
)]
#[diesel(sql_type = sql_types::Text)]
pub enum Role {
    /// Works leads and deals.
    #[default]
    #[serde(rename = "SALES_REP")]
    SalesRep,
    /// Leads a team: exports, closes, configures pipelines.
    #[serde(rename = "MANAGER")]
    Manager,
    /// Runs the organization.
    #[serde(rename = "ADMIN")]
    Admin,
}

/// The roles on the wire.
pub const ROLES: [&str; 3] = ["ADMIN", "MANAGER", "SALES_REP"];

impl Role {
    /// The word on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SalesRep => "SALES_REP",
            Self::Manager => "MANAGER",
            Self::Admin => "ADMIN",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let role = [Self::SalesRep, Self::Manager, Self::Admin].into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| format!("a role is one of {}", ROLES.join(", ")))
    }
}

impl FromSql<sql_types::Text, Pg> for Role {
    fn from_sql(value: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(<String as FromSql<sql_types::Text, Pg>>::from_sql(value)?.parse()?)
    }
}
impl ToSql<sql_types::Text, Pg> for Role {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        <str as ToSql<sql_types::Text, Pg>>::to_sql(self.as_str(), out)
    }
}

/// Somebody who signs in.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = users)]
pub struct User {
    /// Their id.
    pub id: Id<User>,
    /// Their fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: UserFields,
    /// When they were added.
    pub created_at: DateTime<Utc>,
    /// When they were last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts the changes.
    pub version: i64,
}

/// What can be set of a user, beside the password.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = users, treat_none_as_null = true)]
pub struct UserFields {
    /// Where they are reached, and what they sign in with: unique in the whole installation.
    #[validate(email, length(max = 254))]
    #[schema(example = "ada@example.com")]
    pub email: String,
    /// What people call them.
    #[validate(length(max = 200))]
    #[schema(example = "Ada Lovelace")]
    pub name: String,
    /// What they may at most.
    pub role: Role,
    /// Somebody who is not active cannot sign in, and what they own stays.
    pub is_active: bool,
}

impl Default for UserFields {
    fn default() -> Self {
        Self { email: String::new(), name: String::new(), role: Role::SalesRep, is_active: true }
    }
}

impl Record for User {
    const KIND: &'static str = "user";
    const TABLE: &'static str = "users";
    const FIELDS: &'static [Field] = &[
        Field::new("email", "email", FieldKind::Text).required().searched(),
        Field::new("name", "name", FieldKind::Text).required().sortable().searched(),
        Field::new("role", "role", FieldKind::Choice(&ROLES)).required(),
        Field::new("isActive", "is_active", FieldKind::Bool),
    ];
    const SEARCHED: bool = true;
    const DEFAULT_SORT: &'static str = "name";
    crate::record_rows!(UserFields, users, search_text);

    fn search_text(fields: &UserFields) -> String {
        format!("{} {}", fields.name, fields.email)
    }
}
