//! API keys: how programs sign in. Each acts in its maker's name, never above the rights that they have at that moment.
use chrono::{DateTime, TimeDelta, Utc};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::{
    Actor, Error, Id, Page, Patch, Result, Tx,
    change::Draft,
    ctx::Credential,
    gate::{Action, Ask},
    page,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::api_keys,
    sessions::{
        self,
        tokens::{Secret, Token, TokenKind},
    },
    users::{Role, User},
};

/// How long a key is good where its maker does not say.
const USUAL_LIFE: TimeDelta = TimeDelta::days(90);

/// How long a key is good at most: a year, and a leap day.
const LONGEST_LIFE: TimeDelta = TimeDelta::days(366);

/// How many of a key's last letters stay readable, so that people can tell their keys apart.
const HINT: usize = 4;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// See what its maker sees.
    Read,
    /// Change what its maker may change, the administration excepted.
    Write,
    /// All that its maker may, the administration included.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Admin];

    /// The word on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        }
    }
}

/// A key, without its secret.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = api_keys)]
pub struct ApiKey {
    /// Its id.
    pub id: Id<ApiKey>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: ApiKeyFields,
    /// Its last letters.
    pub hint: String,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of a key.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = api_keys)]
pub struct ApiKeyFields {
    /// In whose name it acts.
    pub user_id: Id<User>,
    /// What it is for.
    #[validate(length(max = 200))]
    #[schema(example = "Nightly export")]
    pub name: String,
    /// What it may do: `read`, `write`, `admin`.
    #[validate(custom(function = self::scopes))]
    #[schema(example = json!(["read"]))]
    pub scopes: Vec<String>,
    /// When it stops working: in 90 days where nothing is said, in a year at the latest.
    pub expires_at: DateTime<Utc>,
}

fn scopes(words: &[String]) -> Result<(), ValidationError> {
    let known = |word: &String| Scope::ALL.iter().any(|scope| scope.as_str() == word);
    let twice = words.iter().enumerate().any(|(i, word)| words[..i].contains(word));
    if !words.is_empty() && words.iter().all(known) && !twice {
        return Ok(());
    }
    Err(ValidationError::new("not_allowed").with_message("At least one of read, write, admin, each once.".into()))
}

impl Record for ApiKey {
    const KIND: &'static str = "api_key";
    const TABLE: &'static str = "api_keys";
    const FIELDS: &'static [Field] = &[
        Field::new("userId", "user_id", FieldKind::Reference("users")).required().read_only(),
        Field::new("name", "name", FieldKind::Text).required(),
        Field::new("scopes", "scopes", FieldKind::Tags).required(),
        Field::new("expiresAt", "expires_at", FieldKind::Instant).required(),
    ];
    record_rows!(ApiKeyFields, api_keys);
}

/// Makes a key of the signed-in user: `{name, scopes, expiresAt}`. The secret is told this once.
///
/// # Errors
/// [`Error::Forbidden`] `session_required` where a key would make a key, `role_required` for the scope `admin` in the
/// hands of somebody who is none; [`Error::Invalid`].
pub fn create(tx: &mut Tx<'_>, mut patch: Patch) -> Result<(ApiKey, Secret)> {
    let (Actor::User(user), Credential::Session(session)) = (&tx.ctx.actor, &tx.ctx.credential) else {
        return Err(sessions::session_required("API keys are made"));
    };
    let (user_id, session) = (*user, *session);
    // A session that ends at this moment, with its user's rights, must not leave a key behind.
    sessions::hold(tx, session)?;
    if patch.members.get("expiresAt").is_some_and(serde_json::Value::is_null) {
        patch.take("expiresAt");
    }
    let now = tx.ctx.now;
    let base = ApiKeyFields { user_id, expires_at: now + USUAL_LIFE, ..ApiKeyFields::default() };
    let mut draft = Draft::<ApiKey>::over(tx, base, patch)?;
    check_scopes(tx, draft.fields())?;
    let expires_at = draft.fields().expires_at;
    if expires_at <= now || expires_at > now + LONGEST_LIFE {
        draft.refuse("expiresAt", "out_of_range", "In the future, and within a year.");
    }
    let key = tx.permit_new(draft)?.insert(tx)?;
    let (token, secret) = Token::issue(TokenKind::ApiKey, tx.ctx.organization, key.id.uuid());
    let text = secret.expose();
    let hint = text.split_at(text.len().saturating_sub(HINT)).1;
    let rows = tx.from(api_keys::table).with(|rows| {
        diesel::update(rows.filter(api_keys::id.eq(key.id)))
            .set((api_keys::hash.eq(token.hash()), api_keys::hint.eq(hint)))
            .returning(ApiKey::as_returning())
    });
    Ok((rows.one(tx)?, secret))
}

fn check_scopes(tx: &Tx<'_>, fields: &ApiKeyFields) -> Result<()> {
    if !fields.scopes.iter().any(|word| word == Scope::Admin.as_str()) {
        return Ok(());
    }
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, ApiKey::KIND))
}

/// The caller's keys; an ADMIN's list holds everybody's.
///
/// # Errors
/// As [`page::list`].
pub fn list(tx: &mut Tx<'_>, mut query: Vec<(String, String)>) -> Result<Page<ApiKey>> {
    if let Some(user) = tx.ctx.actor.user().filter(|_| tx.ctx.role < Role::Admin) {
        query.push(("userId".into(), user.to_string()));
    }
    page::list(tx, &query)
}

/// One key of the caller's own; an ADMIN reads everybody's.
///
/// # Errors
/// [`Error::NotFound`] also for somebody else's key.
pub fn read(tx: &mut Tx<'_>, id: Id<ApiKey>) -> Result<ApiKey> {
    let key: ApiKey = tx.find(id)?;
    let is_own = tx.ctx.actor.user() == Some(key.fields.user_id);
    if is_own || tx.ctx.role == Role::Admin { Ok(key) } else { Err(Error::NotFound) }
}

/// Deletes a key, which ends it at once: the caller's own, or anybody's where an ADMIN does it.
///
/// # Errors
/// [`Error::NotFound`] also for somebody else's key; [`Error::Forbidden`] `session_required` for a key that does not act
/// with an ADMIN's rights.
pub fn delete(tx: &mut Tx<'_>, id: Id<ApiKey>, patch: &Patch) -> Result<()> {
    let is_admin = tx.ctx.role == Role::Admin;
    if !is_admin && !matches!(tx.ctx.credential, Credential::Session(_)) {
        return Err(sessions::session_required("API keys are deleted"));
    }
    let key = tx.lock(id)?;
    if !is_admin && tx.ctx.actor.user() != Some(key.fields.user_id) {
        return Err(Error::NotFound);
    }
    tx.delete(id, patch)?;
    Ok(())
}

/// Ends every key of a user.
pub(crate) fn end_all(tx: &mut Tx<'_>, user: Id<User>) -> Result<()> {
    tx.sql::<st::Integer>("DELETE FROM api_keys WHERE organization_id = {org} AND user_id = {}")
        .with(|s| s.bind(user))
        .run(tx)?;
    Ok(())
}
