//! What keys of programs may do, on a real database.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{
    Patch, Result,
    api_keys::{self, ApiKey},
    business_units, change,
    companies::Company,
    organizations, page, sessions,
    sessions::tokens::Secret,
    testing::{Person, TestDatabase, TestOrganization, body, now, with_token},
    users,
};

fn code<T>(result: Result<T>) -> String {
    result.err().map(|error| error.code().to_owned()).unwrap_or_default()
}

fn key(person: &Person, scopes: &str) -> Result<(ApiKey, Secret)> {
    let json = format!(r#"{{"name": "Nightly export", "scopes": {scopes}}}"#);
    person.write(|tx| api_keys::create(tx, body(&json)))
}

/// Whoever calls with the key, at an instant.
struct Program<'a>(&'a TestOrganization, Secret);

impl Program<'_> {
    fn write<T>(&self, work: impl FnOnce(&mut crm_core::Tx<'_>) -> Result<T>) -> Result<T> {
        self.0.door.write(&with_token(self.1.expose(), now()), work)
    }

    fn read_at<T>(&self, at: DateTime<Utc>, work: impl FnOnce(&mut crm_core::Tx<'_>) -> Result<T>) -> Result<T> {
        self.0.door.read(&with_token(self.1.expose(), at), work)
    }

    fn read<T>(&self, work: impl FnOnce(&mut crm_core::Tx<'_>) -> Result<T>) -> Result<T> {
        self.read_at(now(), work)
    }
}

fn create_company(tx: &mut crm_core::Tx<'_>) -> Result<Company> {
    change::create(tx, body(r#"{"name": "Globex"}"#))
}

#[test]
fn scopes_bound_what_a_key_may() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let program = |person: &Person, scopes: &str| Program(&acme, key(person, scopes).unwrap().1);
    let add_user = |tx: &mut crm_core::Tx<'_>| {
        let json = r#"{"email": "x@acme.test", "name": "X", "role": "ADMIN", "password": "correct pony battery"}"#;
        users::create(tx, body(json))
    };

    let reader = program(&acme.admin, r#"["read"]"#);
    assert_eq!(reader.read(sessions::me).unwrap().email, acme.admin.email);
    assert_eq!(code(reader.write(create_company)), "scope_required");
    assert_eq!(
        code(reader.write(|tx| business_units::set_members(tx, acme.units[1], &[], &Patch::default()))),
        "scope_required"
    );
    assert_eq!(code(reader.read(create_company)), "internal_error", "a read never writes");

    let writer = program(&acme.admin, r#"["read", "write"]"#);
    let company = writer.write(create_company).unwrap();
    assert_eq!(code(writer.write(add_user)), "role_required");
    assert_eq!(code(writer.write(|tx| organizations::update(tx, body(r#"{"name": "x"}"#)))), "role_required");
    assert!(writer.write(|tx| tx.delete(company.id, &Patch::default())).is_ok(), "as a MANAGER may");

    let admin = program(&acme.admin, r#"["admin"]"#);
    assert!(admin.write(create_company).is_ok());
    assert!(admin.write(add_user).is_ok());
    assert_eq!(code(admin.write(|tx| users::update(tx, acme.admin.id, body(r#"{"role": "MANAGER"}"#)))), "own_account");

    let company = admin.write(create_company).unwrap();
    let rep = program(&acme.rep, r#"["write"]"#);
    assert_eq!(code(rep.write(|tx| tx.delete(company.id, &Patch::default()))), "role_required");
    assert_eq!(rep.write(create_company).unwrap().fields.business_unit_id, Some(acme.units[0]), "within their units");
    assert_eq!(code(key(&acme.rep, r#"["admin"]"#)), "role_required");
    assert_eq!(code(key(&acme.manager, r#"["read", "admin"]"#)), "role_required");
}

#[test]
fn a_key_never_outgrows_its_makers_rights_of_today() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let program = Program(&acme, key(&acme.manager, r#"["write"]"#).unwrap().1);
    let seen = || program.read(|tx| page::list::<Company>(tx, &[])).unwrap().items.len();
    acme.admin
        .write(|tx| {
            let json = format!(r#"{{"name": "South", "businessUnitId": "{}"}}"#, acme.units[1]);
            change::create::<Company>(tx, body(&json))
        })
        .unwrap();
    assert_eq!(seen(), 1);
    let members = [acme.manager.id];
    acme.admin.write(|tx| business_units::set_members(tx, acme.units[0], &members, &Patch::default())).unwrap();
    assert_eq!(seen(), 0, "a unit that they do not work in");
}

#[test]
fn a_key_is_shown_once_and_expires() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let (shown, secret) = key(&acme.rep, r#"["read"]"#).unwrap();
    assert!(secret.expose().starts_with("hmd_") && secret.expose().ends_with(&shown.hint));
    assert_eq!(shown.fields.expires_at, now() + TimeDelta::days(90));
    assert!(!serde_json::to_string(&shown).unwrap().contains(secret.expose()));
    let program = Program(&acme, secret);
    let me = |at| program.read_at(at, sessions::me).map(|me| me.email);
    assert!(me(now() + TimeDelta::days(89)).is_ok());
    assert_eq!(code(me(now() + TimeDelta::days(90))), "expired_token");

    let expiring = |at: DateTime<Utc>| {
        let json = format!(r#"{{"name": "k", "scopes": ["read"], "expiresAt": "{}"}}"#, at.to_rfc3339());
        acme.rep.write(|tx| api_keys::create(tx, body(&json))).map(|(key, _)| key.fields.expires_at)
    };
    let year = now() + TimeDelta::days(365);
    assert_eq!(expiring(year).unwrap(), year);
    assert_eq!(code(expiring(now() + TimeDelta::days(367))), "out_of_range");
    assert_eq!(code(expiring(now())), "out_of_range");
    for (json, expected) in [
        (r#"{"scopes": ["read"]}"#, "required"),
        (r#"{"name": "k"}"#, "not_allowed"),
        (r#"{"name": "k", "scopes": []}"#, "not_allowed"),
        (r#"{"name": "k", "scopes": ["read", "read"]}"#, "not_allowed"),
        (r#"{"name": "k", "scopes": ["all"]}"#, "not_allowed"),
        (r#"{"name": "k", "scopes": "read"}"#, "invalid_type"),
        (r#"{"name": "k", "scopes": ["read"], "expiresAt": "soon"}"#, "invalid_instant"),
        (r#"{"name": "k", "scopes": ["read"], "userId": "x"}"#, "read_only_member"),
        (r#"{"name": "k", "scopes": ["read"], "hash": "x"}"#, "unknown_member"),
        (r#"{"name": "k", "scopes": ["read"], "expiresAt": null}"#, ""),
    ] {
        assert_eq!(code(acme.rep.write(|tx| api_keys::create(tx, body(json)))), expected, "{json}");
    }
}

#[test]
fn everybody_manages_their_own_keys_and_an_admin_all() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let globex = TestOrganization::new(&database, "globex");
    let (of_rep, secret) = key(&acme.rep, r#"["write"]"#).unwrap();
    let (of_manager, _) = key(&acme.manager, r#"["write"]"#).unwrap();
    let listed = |person: &Person, query: &[(&str, String)]| {
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let page = person.read(|tx| api_keys::list(tx, query)).unwrap();
        page.items.into_iter().map(|key| key.id).collect::<Vec<_>>()
    };
    assert_eq!(listed(&acme.rep, &[]), [of_rep.id]);
    assert_eq!(listed(&acme.rep, &[("userId", acme.manager.id.to_string())]), []);
    assert_eq!(listed(&acme.admin, &[]), [of_manager.id, of_rep.id]);
    assert_eq!(listed(&acme.admin, &[("userId", acme.rep.id.to_string())]), [of_rep.id]);
    assert_eq!(listed(&globex.admin, &[]), []);

    let delete = |person: &Person, id| code(person.write(|tx| api_keys::delete(tx, id, &Patch::default())));
    assert_eq!(delete(&acme.rep, of_manager.id), "not_found");
    assert_eq!(delete(&globex.admin, of_manager.id), "not_found");
    let program = Program(&acme, secret);
    let made = program.write(|tx| api_keys::create(tx, body(r#"{"name": "k", "scopes": ["read"]}"#)));
    assert_eq!(code(made), "session_required", "a key makes no keys");
    assert_eq!(code(program.write(|tx| api_keys::delete(tx, of_rep.id, &Patch::default()))), "session_required");
    assert_eq!(code(program.read(sessions::list)), "session_required");
    assert_eq!(code(program.write(sessions::logout)), "session_required");

    assert_eq!(delete(&acme.rep, of_rep.id), "");
    assert_eq!(code(program.read(sessions::me)), "invalid_token");
    assert_eq!(delete(&acme.admin, of_manager.id), "");
    assert_eq!(listed(&acme.admin, &[]), []);
}

#[test]
fn the_last_use_is_noted_once_a_minute() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let program = Program(&acme, key(&acme.rep, r#"["read"]"#).unwrap().1);
    for (seconds, noted) in [(1, 1), (60, 1), (61, 61), (62, 61)] {
        program.read_at(now() + TimeDelta::seconds(seconds), sessions::me).unwrap();
        let key = acme.rep.read(|tx| api_keys::list(tx, Vec::new())).unwrap().items.remove(0);
        assert_eq!(key.last_used_at, Some(now() + TimeDelta::seconds(noted)));
    }
}
