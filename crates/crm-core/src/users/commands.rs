//! Making and changing users.
use std::cell::Cell;

use chrono::{DateTime, Utc};
use diesel::{PgConnection, RunQueryDsl, sql_types as st};
use serde_json::{Map, Value};

use super::{Role, User, directory};
use crate::{
    Door, Error, Id, Patch, Record, Result, Tx,
    change::{Change, Draft},
    gate::{Action, Ask},
    organizations::{self, Organization},
    sessions::{self, passwords, tokens::Secret},
};

/// Creates a user of the caller's organization: `{email, name, role, password}`.
///
/// # Errors
/// [`Error::Forbidden`]; [`Error::Invalid`] with every bad field; [`Error::Conflict`] `email_taken` where somebody in the
/// installation signs in with the address.
pub fn create(tx: &mut Tx<'_>, mut patch: Patch) -> Result<User> {
    let password = patch.take("password");
    let mut draft = Draft::<User>::new(tx, patch)?;
    let password = match password {
        Some(Value::String(text)) => Secret::new(text),
        _ => Secret::new(""),
    };
    if let Err((code, message)) = passwords::judge(&password, &draft.fields().email) {
        draft.refuse("password", code, message);
    }
    let (id, email) = (draft.id(), draft.fields().email.clone());
    let permitted = tx.permit_new(draft)?;
    // First the directory, so that an address taken here and one taken elsewhere are told in the same words.
    directory::enter(tx, &email, id)?;
    let user = permitted.insert(tx)?;
    store_password(tx, id, &passwords::hash(&password)?)?;
    Ok(user)
}

/// Changes a user's name, address, role or whether they are active. What a role change or a deactivation takes away is
/// gone at once: the user's sessions and API keys end in the same transaction.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`] (`own_account` where somebody would change their own role or deactivate
/// themselves), [`Error::Stale`], [`Error::Invalid`], [`Error::Conflict`] `email_taken`, or `last_admin` where nobody
/// would be left who can administer the organization.
pub fn update(tx: &mut Tx<'_>, id: Id<User>, patch: Patch) -> Result<User> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Edit, User::KIND))?;
    // Two admins who demote each other at the same moment would else leave none.
    organizations::hold(tx)?;
    let user: User = tx.lock(id)?;
    let change = Change::new(tx, user, patch)?;
    let before = change.before().fields.clone();
    let after = change.after().clone();
    let loses_admin = is_admin(&before) && !is_admin(&after);
    let is_last = loses_admin && active_admins(tx)? == 1;
    let loses_access = before.role != after.role || (before.is_active && !after.is_active);
    if loses_access && !is_last && tx.ctx.actor.user() == Some(id) {
        let reason = "Nobody changes their own role or deactivates themselves; another ADMIN can do it.".into();
        return Err(Error::Forbidden { code: "own_account", reason });
    }
    let permitted = tx.permit(change)?;
    if is_last {
        let detail = "This is the last active ADMIN; make somebody else an ADMIN first.".into();
        return Err(Error::Conflict { code: "last_admin", detail });
    }
    if directory::email_key(&before.email) != directory::email_key(&after.email) {
        directory::enter(tx, &after.email, id)?;
        directory::leave(tx, &before.email, id)?;
    }
    let user = permitted.save(tx)?;
    if loses_access {
        sessions::end_all(tx, id)?;
    }
    Ok(user)
}

fn is_admin(fields: &super::UserFields) -> bool {
    fields.is_active && fields.role == Role::Admin
}

fn active_admins(tx: &mut Tx<'_>) -> Result<i64> {
    let count = "SELECT count(*) FROM users WHERE organization_id = {org} AND role = 'ADMIN' AND is_active";
    Ok(tx.sql::<st::BigInt>(count).one(tx)?)
}

/// Keeps the hash of a new password.
pub(crate) fn store_password(tx: &mut Tx<'_>, id: Id<User>, hash: &str) -> Result<()> {
    tx.check_writable()?;
    tx.sql::<st::Integer>("UPDATE users SET password_hash = {} WHERE organization_id = {org} AND id = {}")
        .with(|s| s.bind(hash).bind(id))
        .run(tx)?;
    Ok(())
}

/// The first user of an organization, as the command line makes them.
#[derive(Clone)]
pub struct FirstUser {
    /// The organization's name; it is founded where no other has it.
    pub organization: String,
    /// Where they sign in.
    pub email: String,
    /// What people call them.
    pub name: String,
    /// What they may.
    pub role: Role,
    /// What they sign in with.
    pub password: Secret,
}

/// What [`create_first`] found or did.
#[derive(Debug, Clone)]
pub struct FirstUserCreated {
    /// The organization.
    pub organization: Id<Organization>,
    /// The user, as they were before or as they are now.
    pub user: User,
    /// Was the user made just now?
    pub is_new: bool,
}

/// Creates a user for the program itself, and the organization with them where its name is new. The same address in the
/// same organization again changes nothing.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::Conflict`] `email_taken` where the address signs in to another organization.
pub fn create_first(door: &Door, first: &FirstUser, now: DateTime<Utc>) -> Result<FirstUserCreated> {
    let key = directory::email_key(&first.email);
    let name = first.organization.trim();
    let (known, is_founded) = (Cell::new(None), Cell::new(false));
    door.system_write_in(
        now,
        |conn| {
            one_at_a_time(conn)?;
            let named = organizations::named(conn, name)?;
            let holder = directory::find(conn, &key)?;
            if holder.is_some_and(|(organization, _)| Some(organization) != named) {
                return Err(directory::taken());
            }
            known.set(holder.map(|(_, user)| user));
            is_founded.set(named.is_some());
            Ok(named.unwrap_or_else(Id::new))
        },
        |tx| {
            if !is_founded.get() {
                organizations::found(tx, Map::from_iter([("name".to_owned(), name.into())]).into())?;
            }
            let user = match known.get() {
                Some(user) => tx.find(user)?,
                None => create(tx, first.patch())?,
            };
            Ok(FirstUserCreated { organization: tx.ctx.organization, user, is_new: known.get().is_none() })
        },
    )
}

impl FirstUser {
    fn patch(&self) -> Patch {
        let members = [
            ("email", self.email.as_str()),
            ("name", &self.name),
            ("role", self.role.as_str()),
            ("password", self.password.expose()),
        ];
        let members = members.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        members.collect::<Map<_, _>>().into()
    }
}

/// Two programs that create users at the same moment must not found the same organization twice.
fn one_at_a_time(conn: &mut PgConnection) -> Result<()> {
    // "Founding" in ASCII.
    diesel::sql_query("SELECT pg_advisory_xact_lock(5075404422061321831)").execute(conn)?;
    Ok(())
}

/// Whose an address is, in the whole installation: for the program itself, never for a request.
///
/// # Errors
/// What the database says.
pub fn find_account(door: &Door, email: &str) -> Result<Option<(Id<Organization>, Id<User>)>> {
    let key = directory::email_key(email);
    door.database().with(|conn| directory::find(conn, &key).map_err(Error::from))
}
