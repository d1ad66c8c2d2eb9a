//! Who asks: one read by primary key from the token to its session or key, the user, their role and their units.
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{PgConnection, QueryResult, RunQueryDsl, sql_types as st};
use uuid::Uuid;

use super::tokens::{Token, TokenKind};
use crate::{
    Actor, Ctx, Error, Id, ReadScope, Result, Tx,
    api_keys::Scope,
    business_units::BusinessUnit,
    ctx::Credential,
    gate::{Gates, Program},
    organizations::Organization,
    statement::Statement,
    users::{Role, User},
};

/// How long the console may be left alone before it must sign in again.
const IDLE: TimeDelta = TimeDelta::hours(12);

/// How far the time of the last use may lag behind.
const TOUCH_EVERY: TimeDelta = TimeDelta::minutes(1);

/// What the database knows of a credential and its user.
pub(crate) struct Identity {
    hash: Vec<u8>,
    expires_at: DateTime<Utc>,
    last_used_at: Option<DateTime<Utc>>,
    scopes: Vec<String>,
    user: Id<User>,
    is_active: bool,
    role: Role,
    units: Vec<Uuid>,
    policy_version: i64,
}

type Row = (Vec<u8>, DateTime<Utc>, Option<DateTime<Utc>>, Vec<String>, Uuid, bool, Role, Vec<Uuid>, i64);
type RowSql = (
    st::Binary,
    st::Timestamptz,
    st::Nullable<st::Timestamptz>,
    st::Array<st::Text>,
    st::Uuid,
    st::Bool,
    st::Text,
    st::Array<st::Uuid>,
    st::BigInt,
);

/// One statement for a table of credentials; the tables are small in number, so each text is a constant.
macro_rules! identity_sql {
    ($table:literal, $columns:literal) => {
        concat!(
            "SELECT ",
            $columns,
            ", u.id, u.is_active, u.role, \
             ARRAY(SELECT m.business_unit_id FROM business_unit_members m \
             WHERE m.organization_id = {org} AND m.user_id = u.id ORDER BY m.business_unit_id), \
             (SELECT o.policy_version FROM organizations o WHERE o.id = {org}) \
             FROM ",
            $table,
            " c JOIN users u ON u.organization_id = c.organization_id AND u.id = c.user_id \
             WHERE c.organization_id = {org} AND c.id = {}"
        )
    };
}

const SESSION: &str = identity_sql!("sessions", "c.access_hash, c.access_expires_at, c.last_used_at, ARRAY[]::text[]");
const API_KEY: &str = identity_sql!("api_keys", "c.hash, c.expires_at, c.last_used_at, c.scopes");

/// Reads what there is about a token. May safely be repeated.
pub(crate) fn look_up(conn: &mut PgConnection, token: &Token) -> QueryResult<Option<Identity>> {
    let text = match token.kind {
        TokenKind::Access | TokenKind::Console => SESSION,
        TokenKind::ApiKey => API_KEY,
        TokenKind::Refresh => return Ok(None),
    };
    load(conn, text, token.organization, token.id)
}

fn load(
    conn: &mut PgConnection,
    text: &'static str,
    organization: Id<Organization>,
    id: Uuid,
) -> QueryResult<Option<Identity>> {
    let rows: Vec<Row> = Statement::<RowSql>::new(text, Some(organization.uuid())).bind(id).load(conn)?;
    let identity = |(hash, expires_at, last_used_at, scopes, user, is_active, role, units, policy_version): Row| {
        Identity { hash, expires_at, last_used_at, scopes, user: user.into(), is_active, role, units, policy_version }
    };
    Ok(rows.into_iter().next().map(identity))
}

impl Identity {
    /// The caller's context, if the token proves to be good at this instant. Its gate is that of the organization's
    /// policies as they stand.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] `invalid_token` or `expired_token`; what the database says.
    pub(crate) fn admit(
        &self,
        conn: &mut PgConnection,
        token: &Token,
        request_id: &str,
        now: DateTime<Utc>,
        gates: &Arc<dyn Gates>,
    ) -> Result<Ctx> {
        if !token.matches(&self.hash) || !self.is_active {
            return Err(invalid_token());
        }
        let idle = token.kind == TokenKind::Console && self.last_used_at.is_some_and(|at| at + IDLE <= now);
        if self.expires_at <= now || idle {
            return Err(expired_token());
        }
        let (actor, credential, role) = match token.kind {
            TokenKind::ApiKey => self.key(token.id),
            _ => (Actor::User(self.user), Credential::Session(token.id.into()), self.role),
        };
        let ctx = Ctx {
            organization: token.organization,
            actor,
            credential,
            role,
            scope: self.scope(role),
            now,
            request_id: request_id.to_owned(),
            change_set: Id::<Ctx>::new().uuid(),
            gate: Arc::new(Program),
            gates: Arc::clone(gates),
        };
        // Policies are read as the program itself: there is no gate yet, and nobody else sees this context.
        let gate = Tx::run(conn, &ctx, false, |tx| gates.of(tx, self.policy_version))?;
        Ok(Ctx { gate, ..ctx })
    }

    /// A key acts in its maker's name as far as its scopes reach, and never beyond the maker's rights of today.
    fn key(&self, key: Uuid) -> (Actor, Credential, Role) {
        let has = |scope: Scope| self.scopes.iter().any(|word| word == scope.as_str());
        let role = if has(Scope::Admin) { self.role } else { self.role.min(Role::Manager) };
        let may_write = has(Scope::Write) || has(Scope::Admin);
        (Actor::ApiKey { key, user: self.user }, Credential::ApiKey { may_write }, role)
    }

    fn scope(&self, role: Role) -> ReadScope {
        let units: Vec<Id<BusinessUnit>> = self.units.iter().map(|unit| (*unit).into()).collect();
        ReadScope { units: Some(units).filter(|units| role < Role::Admin && !units.is_empty()) }
    }

    /// Notes that the credential was used, at most once a minute; a row that another request is noting is left alone.
    pub(crate) fn touch(&self, conn: &mut PgConnection, token: &Token, now: DateTime<Utc>) -> QueryResult<()> {
        if self.last_used_at.is_some_and(|at| at + TOUCH_EVERY > now) {
            return Ok(());
        }
        let text = match token.kind {
            TokenKind::ApiKey => {
                "UPDATE api_keys SET last_used_at = {} WHERE organization_id = {org} AND id = (SELECT id FROM api_keys \
                 WHERE organization_id = {org} AND id = {} FOR NO KEY UPDATE SKIP LOCKED)"
            }
            _ => {
                "UPDATE sessions SET last_used_at = {} WHERE organization_id = {org} AND id = (SELECT id FROM sessions \
                 WHERE organization_id = {org} AND id = {} FOR NO KEY UPDATE SKIP LOCKED)"
            }
        };
        Statement::<st::Integer>::new(text, Some(token.organization.uuid())).bind(now).bind(token.id).execute(conn)?;
        Ok(())
    }
}

/// The context of somebody in whose name a job runs, with the role, the units and the scopes that they have now: rights
/// lost since the job was queued are lost for the job too.
///
/// # Errors
/// [`Error::Forbidden`] `not_active` where the user or the key is gone or no longer active.
pub fn in_name_of(tx: &mut Tx<'_>, actor: &Actor) -> Result<Ctx> {
    const USER: &str = "SELECT '' :: bytea, u.created_at, u.created_at, ARRAY[]::text[], u.id, u.is_active, u.role, \
         ARRAY(SELECT m.business_unit_id FROM business_unit_members m \
         WHERE m.organization_id = {org} AND m.user_id = u.id ORDER BY m.business_unit_id), \
         (SELECT o.policy_version FROM organizations o WHERE o.id = {org}) FROM users u WHERE u.organization_id = {org} AND u.id = {}";
    let (text, id) = match actor {
        Actor::System => return Ok(tx.ctx.clone()),
        Actor::ApiKey { key, .. } => (API_KEY, *key),
        Actor::User(user) | Actor::Import { user, .. } => (USER, user.uuid()),
    };
    let organization = tx.ctx.organization;
    let identity = load(tx.conn(), text, organization, id)?.filter(|identity| identity.is_active);
    let identity = identity.ok_or_else(|| Error::Forbidden {
        code: "not_active",
        reason: "The user or key in whose name this runs is no longer active.".into(),
    })?;
    let (credential, role) = match actor {
        Actor::ApiKey { key, .. } => {
            let (_, credential, role) = identity.key(*key);
            (credential, role)
        }
        _ => (Credential::Program, identity.role),
    };
    let gates = Arc::clone(&tx.ctx.gates);
    let gate = gates.of(tx, identity.policy_version)?;
    Ok(Ctx { actor: actor.clone(), credential, role, scope: identity.scope(role), gate, ..tx.ctx.clone() })
}

/// Told for every token that is not good, whatever the cause.
pub(crate) fn invalid_token() -> Error {
    let reason = "The token is not valid, or its session has ended. Sign in again.".into();
    Error::Unauthenticated { code: "invalid_token", reason }
}

pub(crate) fn expired_token() -> Error {
    let reason = "The token has expired. Refresh it, or sign in again.".into();
    Error::Unauthenticated { code: "expired_token", reason }
}
