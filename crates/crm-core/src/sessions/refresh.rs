//! Exchanging a refresh token for the next pair.
use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types as st};
use uuid::Uuid;

use super::{
    Session, SignedIn, SignedInUser, expired_token, invalid_token, login,
    tokens::{Secret, Token, TokenKind},
};
use crate::{
    Door, Error, Id, Result, Tx,
    schema::{refresh_tokens, sessions},
    users::User,
};

/// A refresh token with its session, both locked.
struct Found {
    hash: Vec<u8>,
    used_at: Option<DateTime<Utc>>,
    session: Id<Session>,
    expires_at: DateTime<Utc>,
    user: Id<User>,
}

/// Exchanges a refresh token. Each is good once: a second use means that somebody has a copy, and ends the session, with
/// the tokens of whoever came first.
///
/// # Errors
/// [`Error::Unauthenticated`] `invalid_token` or `expired_token`.
pub fn refresh(door: &Door, text: &Secret, now: DateTime<Utc>) -> Result<SignedIn> {
    let token = Token::parse(text.expose()).filter(|token| token.kind == TokenKind::Refresh);
    let token = token.ok_or_else(invalid_token)?;
    // The refusal is a value here: that the session has ended must be committed before it is told.
    door.system_write(token.organization, now, |tx| {
        let found = match find(tx, &token)? {
            Some(found) if token.matches(&found.hash) => found,
            _ => return Ok(Err(invalid_token())),
        };
        if found.used_at.is_some() {
            end(tx, found.session)?;
            return Ok(Err(invalid_token()));
        }
        if found.expires_at <= now {
            return Ok(Err(expired_token()));
        }
        match tx.find::<User>(found.user)? {
            user if user.fields.is_active => rotate(tx, &token, &found, user).map(Ok),
            _ => Ok(Err(invalid_token())),
        }
    })?
}

fn find(tx: &mut Tx<'_>, token: &Token) -> Result<Option<Found>, Error> {
    type Columns = (st::Binary, st::Nullable<st::Timestamptz>, st::Uuid, st::Timestamptz, st::Uuid);
    type Row = (Vec<u8>, Option<DateTime<Utc>>, Uuid, DateTime<Utc>, Uuid);
    let row: Option<Row> = tx
        .sql::<Columns>(
            "SELECT r.hash, r.used_at, s.id, s.expires_at, s.user_id FROM refresh_tokens r \
             JOIN sessions s ON s.organization_id = r.organization_id AND s.id = r.session_id \
             WHERE r.organization_id = {org} AND r.id = {} FOR UPDATE",
        )
        .with(|s| s.bind(token.id))
        .first(tx)?;
    Ok(row.map(|(hash, used_at, session, expires_at, user)| Found {
        hash,
        used_at,
        session: session.into(),
        expires_at,
        user: user.into(),
    }))
}

fn end(tx: &mut Tx<'_>, session: Id<Session>) -> Result<()> {
    tx.sql::<st::Integer>("DELETE FROM sessions WHERE organization_id = {org} AND id = {}")
        .with(|s| s.bind(session))
        .run(tx)?;
    Ok(())
}

fn rotate(tx: &mut Tx<'_>, used: &Token, found: &Found, user: User) -> Result<SignedIn> {
    let now = tx.ctx.now;
    let row = tx.from(refresh_tokens::table);
    row.with(|rows| diesel::update(rows.filter(refresh_tokens::id.eq(used.id))).set(refresh_tokens::used_at.eq(now)))
        .run(tx)?;
    let (access, secret) = Token::issue(TokenKind::Access, tx.ctx.organization, found.session.uuid());
    let expires_at = found.expires_at.min(now + login::ACCESS);
    let row = tx.from(sessions::table);
    row.with(|rows| {
        diesel::update(rows.filter(sessions::id.eq(found.session))).set((
            sessions::access_hash.eq(access.hash()),
            sessions::access_expires_at.eq(expires_at),
            sessions::last_used_at.eq(now),
        ))
    })
    .run(tx)?;
    let grant = login::tokens(secret, login::next_refresh(tx, found.session)?, expires_at - now);
    let role = user.fields.role;
    Ok(SignedIn { user: SignedInUser::new(tx.ctx.organization, user, role), grant })
}
