//! Changing one's own password.
use diesel::sql_types as st;

use super::{end_all, login, passwords, signed_in, throttle::Buckets, tokens::Secret};
use crate::{
    Caller, Door, Error, FieldError, Result,
    database::Access,
    users::{self, User, directory},
};

/// A user's wish for another password.
#[derive(Clone)]
pub struct PasswordChange {
    /// The one that they have.
    pub current: Secret,
    /// The one that they want.
    pub new: Secret,
    /// The network address of the client, for the limit on failures.
    pub address: String,
}

/// Changes the caller's password, and ends all their sessions and API keys with it, the one that asks included: whoever
/// else may hold its tokens is out too. They sign in again with the new password.
///
/// # Errors
/// [`Error::Forbidden`] `session_required` for an API key; [`Error::Limited`] after too many wrong passwords, which count
/// as failed sign-ins; [`Error::Invalid`] for a wrong current or a bad new password.
pub fn change_password(door: &Door, caller: &Caller, change: &PasswordChange) -> Result<()> {
    let (email, stored) = door.read(caller, |tx| {
        let (user, _) = signed_in(tx, "Passwords are changed")?;
        let email = tx.find::<User>(user)?.fields.email;
        let text = "SELECT password_hash FROM users WHERE organization_id = {org} AND id = {}";
        let stored: String = tx.sql::<st::Text>(text).with(|s| s.bind(user)).one(tx)?;
        Ok((email, stored))
    })?;
    let buckets = Buckets::new(&directory::email_key(&email), &change.address);
    door.database().transaction(Access::Read, |conn| buckets.check(conn, caller.now))?;
    let mut errors = Vec::new();
    if !passwords::verify(&change.current, Some(&stored)) {
        login::refuse(door, &buckets, caller.now)?;
        errors.push(wrong_password());
    }
    if let Err((code, message)) = passwords::judge(&change.new, &email) {
        errors.push(FieldError::new("newPassword", code, message));
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    let hash = passwords::hash(&change.new)?;
    door.write(caller, |tx| {
        let (user, _) = signed_in(tx, "Passwords are changed")?;
        let text = "SELECT password_hash FROM users WHERE organization_id = {org} AND id = {} FOR UPDATE";
        let current: String = tx.sql::<st::Text>(text).with(|s| s.bind(user)).one(tx)?;
        if current != stored {
            return Err(Error::Invalid(vec![wrong_password()]));
        }
        users::store_password(tx, user, &hash)?;
        end_all(tx, user)
    })
}

fn wrong_password() -> FieldError {
    FieldError::new("currentPassword", "wrong_password", "This is not your password.")
}
