//! Signing in: sessions, their tokens, and the protection of passwords against guessing.
mod authentication;
pub mod tokens;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::Serialize;
use utoipa::ToSchema;

pub use authentication::in_name_of;
pub(crate) use authentication::{invalid_token, look_up};

use crate::{Id, schema::sessions};

/// A signed-in session, as its owner sees it.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = sessions)]
pub struct Session {
    /// Its id.
    pub id: Id<Session>,
    /// Does it belong to a browser that uses the console?
    pub is_console: bool,
    /// What the program that signed in calls itself.
    pub user_agent: String,
    /// The address that it signed in from.
    pub address: String,
    /// When it ends, whatever happens.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_used_at: DateTime<Utc>,
    /// When it began.
    pub created_at: DateTime<Utc>,
}
