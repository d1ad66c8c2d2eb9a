//! Signing in: sessions, their tokens, and the protection of passwords against guessing.
//!
//! A program gets an access token for a quarter of an hour and a refresh token, each good once, for a week at most. The
//! console gets one token in a cookie, which ends after 12 hours without use or after a week. All of them are opaque:
//! what they are worth is read from their row with every request, so that whatever ends a session ends it at once.
mod authentication;
mod login;
mod password_change;
pub(crate) mod passwords;
mod refresh;
pub(crate) mod throttle;
pub mod tokens;

use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types as st};
use serde::Serialize;
use utoipa::ToSchema;

pub use authentication::in_name_of;
pub(crate) use authentication::{expired_token, invalid_token, look_up};
pub use login::{Grant, LoginRequest, SignedIn, login};
pub use password_change::{PasswordChange, change_password};
pub use passwords::{LONGEST as LONGEST_PASSWORD, SHORTEST as SHORTEST_PASSWORD};
pub use refresh::refresh;

use crate::{
    Error, Id, Result, Tx, api_keys,
    ctx::Credential,
    organizations::Organization,
    schema::sessions,
    users::{Role, User},
};

/// A signed-in session, as its owner sees it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// Its id.
    pub id: Id<Session>,
    /// Is it the one that asks?
    pub is_current: bool,
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

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SignedInUser {
    /// Their id.
    pub id: Id<User>,
    /// What they sign in with.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What they may at most; an API key without the scope `admin` at most what a MANAGER may.
    pub role: Role,
    /// Where they belong.
    pub organization_id: Id<Organization>,
}

impl SignedInUser {
    fn new(organization: Id<Organization>, user: User, role: Role) -> Self {
        let fields = user.fields;
        Self { id: user.id, email: fields.email, name: fields.name, role, organization_id: organization }
    }
}

/// Who asks.
///
/// # Errors
/// [`Error::NotFound`] for the program itself, which is nobody.
pub fn me(tx: &mut Tx<'_>) -> Result<SignedInUser> {
    let user = tx.find(tx.ctx.actor.user().ok_or(Error::NotFound)?)?;
    Ok(SignedInUser::new(tx.ctx.organization, user, tx.ctx.role))
}

/// The caller's sessions that have not ended, the newest first.
///
/// # Errors
/// [`Error::Forbidden`] `session_required` for an API key.
pub fn list(tx: &mut Tx<'_>) -> Result<Vec<Session>> {
    type Row = (Id<Session>, bool, String, String, DateTime<Utc>, DateTime<Utc>, DateTime<Utc>);
    let (user, current) = signed_in(tx, "Sessions are seen")?;
    let now = tx.ctx.now;
    let rows = tx.from(sessions::table).with(|rows| {
        rows.filter(sessions::user_id.eq(user).and(sessions::expires_at.gt(now)))
            .order((sessions::created_at.desc(), sessions::id.desc()))
            .select((
                sessions::id,
                sessions::is_console,
                sessions::user_agent,
                sessions::address,
                sessions::expires_at,
                sessions::last_used_at,
                sessions::created_at,
            ))
    });
    let rows: Vec<Row> = rows.all(tx)?;
    let session = |(id, is_console, user_agent, address, expires_at, last_used_at, created_at)| Session {
        id,
        is_current: id == current,
        is_console,
        user_agent,
        address,
        expires_at,
        last_used_at,
        created_at,
    };
    Ok(rows.into_iter().map(session).collect())
}

/// Ends one of the caller's sessions, the current one perhaps.
///
/// # Errors
/// [`Error::NotFound`] also for somebody else's; [`Error::Forbidden`] `session_required` for an API key.
pub fn end(tx: &mut Tx<'_>, id: Id<Session>) -> Result<()> {
    let (user, _) = signed_in(tx, "Sessions are ended")?;
    let ended = tx
        .sql::<st::Integer>("DELETE FROM sessions WHERE organization_id = {org} AND id = {} AND user_id = {}")
        .with(|s| s.bind(id).bind(user))
        .run(tx)?;
    if ended == 1 { Ok(()) } else { Err(Error::NotFound) }
}

/// Ends the session that asks.
///
/// # Errors
/// [`Error::Forbidden`] `session_required` for an API key.
pub fn logout(tx: &mut Tx<'_>) -> Result<()> {
    let (_, current) = signed_in(tx, "Sessions are ended")?;
    end(tx, current)
}

/// Ends every session of a user, and every API key of theirs.
pub(crate) fn end_all(tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
    tx.check_writable()?;
    tx.sql::<st::Integer>("DELETE FROM sessions WHERE organization_id = {org} AND user_id = {}")
        .with(|s| s.bind(user))
        .run(tx)?;
    api_keys::end_all(tx, user)
}

/// Keeps a session from ending before the transaction does.
pub(crate) fn hold(tx: &mut Tx<'_>, session: Id<Session>) -> Result<()> {
    let held = tx
        .sql::<st::Uuid>("SELECT id FROM sessions WHERE organization_id = {org} AND id = {} FOR SHARE")
        .with(|s| s.bind(session))
        .first::<uuid::Uuid>(tx)?;
    held.map(|_| ()).ok_or_else(invalid_token)
}

/// The user and the session that ask.
fn signed_in(tx: &Tx<'_>, what: &str) -> Result<(Id<User>, Id<Session>)> {
    match (tx.ctx.actor.user(), &tx.ctx.credential) {
        (Some(user), Credential::Session(session)) => Ok((user, *session)),
        _ => Err(session_required(what)),
    }
}

pub(crate) fn session_required(what: &str) -> Error {
    let reason = format!("{what} by people who have signed in, not by API keys.");
    Error::Forbidden { code: "session_required", reason }
}
