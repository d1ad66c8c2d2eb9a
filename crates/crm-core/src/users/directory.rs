//! Which organization an address signs in to. An address is unique in the whole installation, and whoever asks for one
//! that is taken learns no more than that.
use diesel::{PgConnection, QueryResult, RunQueryDsl, sql_types as st};
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

use super::User;
use crate::{Error, Id, Result, Tx, organizations::Organization, statement::Statement};

/// The one form in which an address is looked up: NFKC, lower case, no spaces around.
pub(crate) fn email_key(email: &str) -> String {
    email.trim().nfkc().flat_map(char::to_lowercase).collect()
}

/// Who signs in with this address.
pub(crate) fn find(conn: &mut PgConnection, key: &str) -> QueryResult<Option<(Id<Organization>, Id<User>)>> {
    if key.contains('\0') {
        return Ok(None);
    }
    let text = "SELECT organization_id, user_id FROM login_directory WHERE email_key = {}";
    let rows: Vec<(Uuid, Uuid)> = Statement::<(st::Uuid, st::Uuid)>::new(text, None).bind(key).load(conn)?;
    Ok(rows.into_iter().next().map(|(organization, user)| (organization.into(), user.into())))
}

/// Gives an address to a user of the transaction's organization.
///
/// # Errors
/// [`Error::Conflict`] where somebody has it, in whichever organization.
pub(super) fn enter(tx: &mut Tx<'_>, email: &str, user: Id<User>) -> Result<()> {
    let entered = tx
        .sql::<st::Integer>(
            "INSERT INTO login_directory (organization_id, email_key, user_id) VALUES ({org}, {}, {}) \
             ON CONFLICT (email_key) DO NOTHING",
        )
        .with(|s| s.bind(email_key(email)).bind(user))
        .run(tx)?;
    if entered == 1 { Ok(()) } else { Err(taken()) }
}

/// Takes a user's address back.
pub(super) fn leave(tx: &mut Tx<'_>, email: &str, user: Id<User>) -> Result<()> {
    tx.sql::<st::Integer>(
        "DELETE FROM login_directory WHERE organization_id = {org} AND email_key = {} AND user_id = {}",
    )
    .with(|s| s.bind(email_key(email)).bind(user))
    .run(tx)?;
    Ok(())
}

pub(super) fn taken() -> Error {
    Error::Conflict { code: "email_taken", detail: "Somebody already signs in with this address.".into() }
}

#[cfg(test)]
mod tests {
    use super::email_key;

    #[test]
    fn one_address_has_one_key() {
        for (email, key) in [
            (" Ada@Example.COM ", "ada@example.com"),
            ("ａｄａ@example.com", "ada@example.com"),
            ("JOSE\u{301}@x.org", "jos\u{e9}@x.org"),
        ] {
            assert_eq!(email_key(email), key);
        }
    }
}
