//! Signing in with address and password.
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, prelude::*, sql_types as st};
use uuid::Uuid;

use super::{
    Session, SignedInUser, passwords,
    throttle::Buckets,
    tokens::{Secret, Token, TokenKind},
};
use crate::{
    Door, Error, Id, Result, Tx,
    database::Access,
    organizations::Organization,
    schema::{refresh_tokens, sessions},
    statement::Statement,
    users::{self, User, directory},
};

/// How long an access token is good.
pub(super) const ACCESS: TimeDelta = TimeDelta::minutes(15);

/// How long a session lasts at most, however much it is used.
const SESSION: TimeDelta = TimeDelta::days(7);

/// How much of a client's name for itself is kept.
const LONGEST_USER_AGENT: usize = 200;

/// Somebody who wants to sign in.
#[derive(Clone)]
pub struct LoginRequest {
    /// The address.
    pub email: String,
    /// The password.
    pub password: Secret,
    /// The network address of the client, as far as it can be trusted.
    pub address: String,
    /// What the client calls itself.
    pub user_agent: String,
    /// Is it the console, which gets a cookie instead of tokens?
    pub is_console: bool,
    /// The instant of the request.
    pub now: DateTime<Utc>,
}

/// Somebody who has signed in.
#[derive(Clone)]
pub struct SignedIn {
    /// Who they are.
    pub user: SignedInUser,
    /// What they get for it.
    pub grant: Grant,
}

/// What a client shows from now on.
#[derive(Clone)]
pub enum Grant {
    /// A pair of tokens.
    Tokens {
        /// Sent with each request.
        access: Secret,
        /// Exchanged once for the next pair.
        refresh: Secret,
        /// Seconds for which the access token is good.
        expires_in: i64,
    },
    /// The value of the console's cookie.
    Console {
        /// The value.
        cookie: Secret,
        /// Seconds for which it is good at most.
        max_age: i64,
    },
}

/// The account behind an address.
struct Account {
    organization: Id<Organization>,
    user: Id<User>,
    password_hash: String,
}

/// Signs somebody in. Hashing the password takes some 25 ms of a processor, and no connection is held meanwhile; the
/// caller limits how many sign in at a time, which also bounds how many guesses pass before the first of them is counted.
///
/// # Errors
/// [`Error::Unauthenticated`] `invalid_credentials`, in the same words and time for an unknown address, a wrong password
/// and somebody who is not active; [`Error::Limited`] after too many failures, which is committed before it is told.
pub fn login(door: &Door, request: &LoginRequest) -> Result<SignedIn> {
    let key = directory::email_key(&request.email);
    let buckets = Buckets::new(&key, &request.address);
    let account = door.database().transaction(Access::Read, |conn| {
        buckets.check(conn, request.now)?;
        find(conn, &key)
    })?;
    let is_right = passwords::verify(&request.password, account.as_ref().map(|a| a.password_hash.as_str()));
    let Some(account) = account.filter(|_| is_right) else {
        return Err(refuse(door, &buckets, request.now)?);
    };
    let rehashed = match passwords::is_outdated(&account.password_hash) {
        true => Some(passwords::hash(&request.password)?),
        false => None,
    };
    let signed_in = door.system_write(account.organization, request.now, |tx| {
        if !is_still(tx, &account)? {
            return Ok(None);
        }
        if let Some(hash) = &rehashed {
            users::store_password(tx, account.user, hash)?;
        }
        buckets.clear(tx.conn())?;
        sweep(tx, account.user)?;
        begin(tx, account.user, request).map(Some)
    })?;
    match signed_in {
        Some(signed_in) => Ok(signed_in),
        None => Err(refuse(door, &buckets, request.now)?),
    }
}

/// Counts a failure, for good, and says what the caller is told.
pub(super) fn refuse(door: &Door, buckets: &Buckets, now: DateTime<Utc>) -> Result<Error> {
    door.database().transaction(Access::Write, |conn| buckets.record_failure(conn, now).map_err(Error::from))?;
    let reason = "The address or the password is wrong.".into();
    Ok(Error::Unauthenticated { code: "invalid_credentials", reason })
}

fn find(conn: &mut PgConnection, key: &str) -> Result<Option<Account>> {
    let Some((organization, user)) = directory::find(conn, key)? else { return Ok(None) };
    let text = "SELECT password_hash FROM users WHERE organization_id = {org} AND id = {} AND is_active";
    let hash = Statement::<st::Text>::new(text, Some(organization.uuid())).bind(user).load(conn)?;
    Ok(hash.into_iter().next().map(|password_hash| Account { organization, user, password_hash }))
}

/// Is the user still active, with the password that was just verified? If so, that stays until the session stands.
fn is_still(tx: &mut Tx<'_>, account: &Account) -> Result<bool> {
    let rows = tx.sql::<st::Uuid>(
        "SELECT id FROM users WHERE organization_id = {org} AND id = {} AND is_active AND password_hash = {} FOR UPDATE",
    );
    let found = rows.with(|s| s.bind(account.user).bind(account.password_hash.as_str())).first::<Uuid>(tx)?;
    Ok(found.is_some())
}

/// Removes the user's sessions that are over.
fn sweep(tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
    tx.sql::<st::Integer>("DELETE FROM sessions WHERE organization_id = {org} AND user_id = {} AND expires_at <= {}")
        .with(|s| s.bind(user).bind(tx.ctx.now))
        .run(tx)?;
    Ok(())
}

fn begin(tx: &mut Tx<'_>, user_id: Id<User>, request: &LoginRequest) -> Result<SignedIn> {
    let (id, organization, now) = (Id::<Session>::new(), tx.ctx.organization, tx.ctx.now);
    let kind = if request.is_console { TokenKind::Console } else { TokenKind::Access };
    let life = if request.is_console { SESSION } else { ACCESS };
    let (token, secret) = Token::issue(kind, organization, id.uuid());
    let row = (
        (sessions::id.eq(id), sessions::user_id.eq(user_id), sessions::is_console.eq(request.is_console)),
        (sessions::access_hash.eq(token.hash()), sessions::access_expires_at.eq(now + life)),
        (sessions::expires_at.eq(now + SESSION), sessions::created_at.eq(now), sessions::last_used_at.eq(now)),
        sessions::user_agent.eq(printable(&request.user_agent)),
        sessions::address.eq(printable(&request.address)),
    );
    tx.insert(sessions::table, row).run(tx)?;
    let user: User = tx.find(user_id)?;
    let role = user.fields.role;
    let grant = match request.is_console {
        true => Grant::Console { cookie: secret, max_age: SESSION.num_seconds() },
        false => tokens(secret, next_refresh(tx, id)?, ACCESS),
    };
    Ok(SignedIn { user: SignedInUser::new(organization, user, role), grant })
}

/// A new refresh token of a session.
pub(super) fn next_refresh(tx: &mut Tx<'_>, session: Id<Session>) -> Result<Secret> {
    let id = Id::<Token>::new().uuid();
    let (token, secret) = Token::issue(TokenKind::Refresh, tx.ctx.organization, id);
    let row = (
        refresh_tokens::id.eq(id),
        refresh_tokens::session_id.eq(session),
        refresh_tokens::hash.eq(token.hash()),
        refresh_tokens::created_at.eq(tx.ctx.now),
    );
    tx.insert(refresh_tokens::table, row).run(tx)?;
    Ok(secret)
}

pub(super) fn tokens(access: Secret, refresh: Secret, life: TimeDelta) -> Grant {
    Grant::Tokens { access, refresh, expires_in: life.num_seconds() }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_USER_AGENT).collect()
}
