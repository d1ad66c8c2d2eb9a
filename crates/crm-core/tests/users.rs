//! Who may make and change users, and what a change takes away, on a real database.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use chrono::TimeDelta;
use crm_core::{
    Actor, Id, Patch, Result, api_keys,
    companies::Company,
    page, sessions,
    sessions::tokens::Secret,
    testing::{PASSWORD, Person, TestDatabase, TestOrganization, body, login_request, now, with_token},
    users::{self, FirstUser, Role, User},
};
use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};

fn code<T>(result: Result<T>) -> String {
    result.err().map(|error| error.code().to_owned()).unwrap_or_default()
}

fn new_user(email: &str) -> Patch {
    body(&format!(r#"{{"email": "{email}", "name": "Ada", "role": "MANAGER", "password": "{PASSWORD}"}}"#))
}

fn change(by: &Person, id: Id<User>, json: &str) -> Result<User> {
    by.write(|tx| users::update(tx, id, body(json)))
}

#[test]
fn an_admin_makes_users_and_nobody_else_does() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let create = |by: &Person, patch| by.write(|tx| users::create(tx, patch));
    assert_eq!(code(create(&acme.manager, new_user("ada@acme.test"))), "role_required");
    assert_eq!(code(create(&acme.rep, new_user("ada@acme.test"))), "role_required");
    let ada = create(&acme.admin, new_user("Ada@acme.test")).unwrap();
    assert_eq!((ada.fields.role, ada.fields.is_active), (Role::Manager, true));
    assert!(Person::sign_in(&acme.door, "ada@acme.test", now()).is_ok());
    let errors = match create(&acme.admin, body(r#"{"email": "no address", "password": "short"}"#)) {
        Err(crm_core::Error::Invalid(errors)) => errors,
        other => panic!("{other:?}"),
    };
    let mut fields: Vec<_> = errors.iter().map(|e| e.field.as_str()).collect();
    fields.sort_unstable();
    assert_eq!(fields, ["email", "name", "password"]);
    assert_eq!(code(create(&acme.admin, body(r#"{"email": "x@acme.test", "passwordHash": "x"}"#))), "unknown_member");
}

#[test]
fn an_address_is_given_once_in_the_installation_and_nobody_learns_where() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let globex = TestOrganization::new(&database, "globex");
    let told = |email: &str| {
        let error = acme.admin.write(|tx| users::create(tx, new_user(email))).unwrap_err();
        (error.code().to_owned(), error.to_string())
    };
    let here = told("REP@acme.test");
    assert_eq!(here.0, "email_taken");
    assert_eq!(told("rep@globex.test"), here);
    let moved = |email: &str| change(&acme.admin, acme.rep.id, &format!(r#"{{"email": "{email}"}}"#));
    assert_eq!(code(moved("admin@globex.test")), "email_taken");
    assert_eq!(code(moved("manager@acme.test")), "email_taken");
    moved("Rep@acme.test").unwrap();
    moved("rep@elsewhere.test").unwrap();
    assert!(Person::sign_in(&acme.door, "rep@elsewhere.test", now()).is_ok());
    assert_eq!(code(Person::sign_in(&acme.door, "rep@acme.test", now())), "invalid_credentials");
    assert!(globex.admin.write(|tx| users::create(tx, new_user("rep@acme.test"))).is_ok(), "given back, it is free");
    assert_eq!(code(globex.admin.write(|tx| users::update(tx, acme.rep.id, body(r#"{"name": "x"}"#)))), "not_found");
}

#[test]
fn roles_are_changed_by_admins_and_never_ones_own() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let second = acme
        .admin
        .write(|tx| users::create(tx, new_user("second@acme.test").or("isActive", true)))
        .and_then(|user| change(&acme.admin, user.id, r#"{"role": "ADMIN"}"#))
        .unwrap();
    for (by, is_admin) in [(&acme.admin, true), (&acme.manager, false), (&acme.rep, false)] {
        for target in [acme.admin.id, acme.manager.id, acme.rep.id, second.id] {
            for role in ["ADMIN", "MANAGER", "SALES_REP"] {
                let before: User = acme.admin.read(|tx| tx.find(target)).unwrap();
                let outcome = code(by.write(|tx| {
                    users::update(tx, target, body(&format!(r#"{{"role": "{role}"}}"#)))?;
                    // Only the verdict counts here: nothing is kept.
                    Err::<(), _>(crm_core::Error::NotFound)
                }));
                let expected = match (is_admin, by.id == target && before.fields.role.as_str() != role) {
                    (false, _) => "role_required",
                    (true, true) => "own_account",
                    (true, false) => "not_found",
                };
                assert_eq!(outcome, expected, "{} sets {} to {role}", by.email, before.fields.email);
                let after: User = acme.admin.read(|tx| tx.find(target)).unwrap();
                assert_eq!(after.version, before.version);
            }
        }
    }
    assert_eq!(code(change(&acme.admin, acme.admin.id, r#"{"isActive": false}"#)), "own_account");
    assert!(change(&acme.admin, acme.admin.id, r#"{"name": "Grace"}"#).is_ok());
}

#[test]
fn the_last_admin_stays() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let admin = acme.admin.id;
    for json in [r#"{"role": "MANAGER"}"#, r#"{"isActive": false}"#] {
        assert_eq!(code(change(&acme.admin, admin, json)), "last_admin");
        let program = acme.door.system_write(acme.id, now(), |tx| users::update(tx, admin, body(json)));
        assert_eq!(code(program), "last_admin");
    }
    change(&acme.admin, acme.manager.id, r#"{"role": "ADMIN"}"#).unwrap();
    let second = Person::sign_in(&acme.door, &acme.manager.email, now()).unwrap();
    let demote = |by: &Person, id| code(change(by, id, r#"{"role": "SALES_REP"}"#));
    let outcomes = std::thread::scope(|scope| {
        let one = scope.spawn(|| demote(&acme.admin, second.id));
        let two = scope.spawn(|| demote(&second, admin));
        [one.join().unwrap(), two.join().unwrap()]
    });
    assert_eq!(outcomes.iter().filter(|o| o.is_empty()).count(), 1, "{outcomes:?}");
    assert_eq!(count(&database, "SELECT count(*) AS value FROM users WHERE role = 'ADMIN' AND is_active"), 1);
}

#[test]
fn what_a_role_change_or_a_deactivation_takes_away_is_gone_at_once() {
    for json in [r#"{"role": "SALES_REP"}"#, r#"{"isActive": false}"#] {
        let database = TestDatabase::new();
        let acme = TestOrganization::new(&database, "acme");
        let user = &acme.manager;
        let login = sessions::login(&acme.door, &login_request(&user.email, PASSWORD, now())).unwrap();
        let sessions::Grant::Tokens { refresh, .. } = login.grant else { panic!("a cookie") };
        let key = key_of(user);
        let with_key = with_token(key.expose(), now());
        assert!(acme.door.read(&with_key, sessions::me).is_ok());
        change(&acme.admin, user.id, r#"{"name": "Renamed"}"#).unwrap();
        assert!(user.read(sessions::me).is_ok(), "a new name ends nothing");
        change(&acme.admin, user.id, json).unwrap();
        assert_eq!(code(user.read(sessions::me)), "invalid_token");
        assert_eq!(code(user.write(|tx| tx.find(user.id))), "invalid_token");
        assert_eq!(code(acme.door.read(&with_key, sessions::me)), "invalid_token");
        assert_eq!(code(sessions::refresh(&acme.door, &refresh, now()).map(drop)), "invalid_token");
        assert!(acme.rep.read(sessions::me).is_ok());
        change(&acme.admin, user.id, r#"{"isActive": true, "role": "MANAGER"}"#).unwrap();
        assert_eq!(code(user.read(sessions::me)), "invalid_token", "what has ended stays ended");
        assert!(Person::sign_in(&acme.door, &user.email, now()).is_ok());
    }
}

fn key_of(user: &Person) -> Secret {
    user.write(|tx| api_keys::create(tx, body(r#"{"name": "k", "scopes": ["write"]}"#))).unwrap().1
}

#[test]
fn changes_of_users_are_in_the_history() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    change(&acme.admin, acme.rep.id, r#"{"role": "MANAGER", "email": "r@acme.test", "note": "promoted"}"#).unwrap();
    let rows = "SELECT count(*) AS value FROM field_history WHERE entity_type = 'user' AND note = 'promoted' \
         AND field_name IN ('role', 'email')";
    assert_eq!(count(&database, rows), 2);
    let stale = Patch { expected: Some(1), ..body(r#"{"name": "x"}"#) };
    assert_eq!(code(acme.admin.write(|tx| users::update(tx, acme.rep.id, stale))), "stale_version");
}

#[test]
fn the_first_user_founds_the_organization_once() {
    let database = TestDatabase::new();
    let door = TestOrganization::new(&database, "acme").door;
    let first = |organization: &str, email: &str| {
        let first = FirstUser {
            organization: organization.into(),
            email: email.into(),
            name: "Ada".into(),
            role: Role::Admin,
            password: Secret::new("heimdell-demo"),
        };
        users::create_first(&door, &first, now())
    };
    let ada = first("Globex", "ada@globex.test").unwrap();
    assert!(ada.is_new);
    let again = first(" Globex ", "ADA@globex.test").unwrap();
    assert_eq!((again.is_new, again.user.id, again.organization), (false, ada.user.id, ada.organization));
    let grace = first("Globex", "grace@globex.test").unwrap();
    assert_eq!((grace.is_new, grace.organization), (true, ada.organization));
    assert_eq!(code(first("Initech", "ada@globex.test")), "email_taken");
    assert_eq!(code(first("Initech", "not an address")), "email");
    assert_eq!(count(&database, "SELECT count(*) AS value FROM organizations"), 2, "a refusal founds nothing");
    let pipelines =
        door.system_read(ada.organization, now(), |tx| page::list::<crm_core::pipelines::Pipeline>(tx, &[]));
    assert_eq!(pipelines.unwrap().items.len(), 1);
    std::thread::scope(|scope| {
        let tries: Vec<_> = (0..3).map(|n| scope.spawn(move || first("Hooli", &format!("u{n}@hooli.test")))).collect();
        tries.into_iter().for_each(|t| assert!(t.join().unwrap().is_ok()));
    });
    assert_eq!(count(&database, "SELECT count(*) AS value FROM organizations WHERE name = 'Hooli'"), 1);
    let login = login_request("ada@globex.test", "heimdell-demo", now() + TimeDelta::days(1));
    assert!(sessions::login(&door, &login).is_ok());
}

#[test]
fn a_job_acts_with_the_rights_of_today() {
    let database = TestDatabase::new();
    let TestOrganization { door, id, admin, manager, rep, units, .. } = TestOrganization::new(&database, "acme");
    let create = |actor: &Actor| {
        door.acting(id, actor, now(), |tx| crm_core::change::create::<Company>(tx, body(r#"{"name": "Globex"}"#)))
    };
    let job = Actor::User(rep.id);
    assert_eq!(create(&job).unwrap().fields.business_unit_id, Some(units[0]), "in the unit that they work in");
    let delete =
        |actor: &Actor, company: Company| door.acting(id, actor, now(), |tx| tx.delete(company.id, &Patch::default()));
    assert_eq!(code(delete(&job, create(&job).unwrap())), "role_required");
    let job = Actor::User(manager.id);
    assert!(delete(&job, create(&job).unwrap()).is_ok());
    admin.write(|tx| users::update(tx, manager.id, body(r#"{"role": "SALES_REP"}"#))).unwrap();
    assert_eq!(code(delete(&job, create(&job).unwrap())), "role_required");
    admin.write(|tx| users::update(tx, manager.id, body(r#"{"isActive": false}"#))).unwrap();
    assert_eq!(code(create(&job)), "not_active");
    assert!(create(&Actor::System).is_ok());
}

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

fn count(database: &TestDatabase, sql: &str) -> i64 {
    diesel::sql_query(sql).get_result::<Count>(&mut database.connect()).unwrap().value
}
