//! An organization with people in it, for tests of whatever people do.
#![allow(clippy::expect_used, reason = "called by tests alone, where a panic is the way to fail")]

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::TestDatabase;
use crate::{
    Caller, Door, Error, Id, Patch, Result, Tx,
    business_units::{self, BusinessUnit},
    change,
    gate::{Gates, Roles},
    organizations::{self, Organization},
    sessions::{self, Grant, LoginRequest, tokens::Secret},
    users::{self, Role, User},
};

/// What everybody in a [`TestOrganization`] signs in with.
pub const PASSWORD: &str = "correct pony battery";

/// An organization with an ADMIN, a MANAGER and a SALES_REP, all signed in, and two units. The rep works in the first
/// unit alone; the others see everything.
///
/// ```no_run
/// # use crm_core::{Patch, change, companies::Company, testing::{TestDatabase, TestOrganization, body}};
/// let database = TestDatabase::new();
/// let acme = TestOrganization::new(&database, "acme");
/// let company: Company = acme.rep.write(|tx| change::create(tx, body(r#"{"name": "Globex"}"#))).unwrap();
/// assert_eq!(company.fields.business_unit_id, Some(acme.units[0]));
/// ```
pub struct TestOrganization {
    /// The way to its rows.
    pub door: Door,
    /// Its id.
    pub id: Id<Organization>,
    /// `admin@<name>.test`.
    pub admin: Person,
    /// `manager@<name>.test`.
    pub manager: Person,
    /// `rep@<name>.test`.
    pub rep: Person,
    /// Its units.
    pub units: [Id<BusinessUnit>; 2],
}

/// Somebody who has signed in.
#[derive(Clone)]
pub struct Person {
    /// Their id.
    pub id: Id<User>,
    /// What they sign in with, beside [`PASSWORD`].
    pub email: String,
    /// Their requests, at the instant at which they signed in.
    pub caller: Caller,
    door: Door,
}

impl TestOrganization {
    /// Founds one, where the three roles alone decide what is allowed. The name is a word in lower case.
    ///
    /// # Panics
    /// When the database refuses.
    pub fn new(database: &TestDatabase, name: &str) -> Self {
        Self::judged_by(database, name, Arc::new(Roles))
    }

    /// Founds one with other gates.
    ///
    /// # Panics
    /// When the database refuses.
    pub fn judged_by(database: &TestDatabase, name: &str, gates: Arc<dyn Gates>) -> Self {
        let door = Door::new(database.open().expect("a pool"), gates);
        let (id, units) = door.found(now(), |tx| found(tx, name)).expect("an organization");
        let person = |word: &str| Person::sign_in(&door, &format!("{word}@{name}.test"), now()).expect("a person");
        Self { id, admin: person("admin"), manager: person("manager"), rep: person("rep"), units, door }
    }
}

/// The instant at which tests begin: Monday, 5 January 2026, 09:00 UTC.
#[allow(clippy::missing_panics_doc, reason = "the text is a constant")]
pub fn now() -> DateTime<Utc> {
    "2026-01-05T09:00:00Z".parse().expect("an instant")
}

/// The body of a request, from JSON.
///
/// # Panics
/// Where the text is no JSON object.
pub fn body(json: &str) -> Patch {
    match serde_json::from_str(json).expect("JSON") {
        Value::Object(members) => Patch::new(members).expect("a body"),
        other => unreachable!("{other} is no object"),
    }
}

fn found(tx: &mut Tx<'_>, name: &str) -> Result<(Id<Organization>, [Id<BusinessUnit>; 2])> {
    organizations::found(tx, body(&json!({ "name": name }).to_string()))?;
    let mut people = [Role::Admin, Role::Manager, Role::SalesRep].into_iter().map(|role| {
        let word = match role {
            Role::Admin => "admin",
            Role::Manager => "manager",
            Role::SalesRep => "rep",
        };
        json!({ "email": format!("{word}@{name}.test"), "name": word, "role": role, "password": PASSWORD })
    });
    let people: Vec<User> = people.try_fold(Vec::new(), |mut people, json| -> Result<_> {
        people.push(users::create(tx, body(&json.to_string()))?);
        Ok(people)
    })?;
    let mut unit = |slug: &str| -> Result<Id<BusinessUnit>> {
        let json = json!({ "name": format!("{name} {slug}"), "slug": slug });
        Ok(change::create::<BusinessUnit>(tx, body(&json.to_string()))?.id)
    };
    let units = [unit("north")?, unit("south")?];
    business_units::set_members(tx, units[0], &[people[2].id], &Patch::default())?;
    Ok((tx.ctx.organization, units))
}

impl Person {
    /// Signs somebody in with [`PASSWORD`].
    ///
    /// # Errors
    /// Those of [`sessions::login`].
    pub fn sign_in(door: &Door, email: &str, now: DateTime<Utc>) -> Result<Self> {
        let signed_in = sessions::login(door, &login_request(email, PASSWORD, now))?;
        let Grant::Tokens { access, .. } = signed_in.grant else {
            return Err(Error::internal("a program was given a cookie"));
        };
        let (id, email) = (signed_in.user.id, signed_in.user.email);
        Ok(Self { id, email, caller: with_token(access.expose(), now), door: door.clone() })
    }

    /// Their requests at another instant.
    #[must_use]
    pub fn at(mut self, now: DateTime<Utc>) -> Self {
        self.caller.now = now;
        self
    }

    /// Reads as they do.
    ///
    /// # Errors
    /// Those of [`Door::read`].
    pub fn read<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        self.door.read(&self.caller, work)
    }

    /// Reads and writes as they do.
    ///
    /// # Errors
    /// Those of [`Door::write`].
    pub fn write<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        self.door.write(&self.caller, work)
    }
}

/// A request with an access token or an API key.
pub fn with_token(token: &str, now: DateTime<Utc>) -> Caller {
    Caller { bearer: Some(Secret::new(token)), console: None, request_id: "test".into(), now }
}

/// A program that wants to sign in, from 192.0.2.1.
pub fn login_request(email: &str, password: &str, now: DateTime<Utc>) -> LoginRequest {
    LoginRequest {
        email: email.into(),
        password: Secret::new(password),
        address: "192.0.2.1".into(),
        user_agent: "test".into(),
        is_console: false,
        now,
    }
}
