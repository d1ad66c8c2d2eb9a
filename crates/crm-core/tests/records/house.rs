//! An organization of two units with people in it, and another organization next door.
use std::{fmt::Debug, sync::Arc};

use chrono::{DateTime, Utc};
use crm_core::{
    Actor, Ctx, Door, Error, Id, Patch, ReadScope, Record, Result, Tx,
    business_units::BusinessUnit,
    change,
    ctx::Credential,
    gate::Roles,
    leads::{self, Lead},
    organizations::{self, Organization},
    testing::TestDatabase,
    users::{Role, User},
};
use diesel::{RunQueryDsl, sql_types as st};
use serde_json::{Value, json};

pub(crate) struct House {
    pub(crate) database: TestDatabase,
    door: Door,
    pub(crate) organization: Id<Organization>,
    pub(crate) north: Id<BusinessUnit>,
    pub(crate) south: Id<BusinessUnit>,
}

pub(crate) fn now() -> DateTime<Utc> {
    "2025-06-01T12:00:00Z".parse().unwrap()
}

impl House {
    pub(crate) fn new() -> Self {
        let database = TestDatabase::new();
        let door = Door::new(database.open().unwrap(), Arc::new(Roles));
        let organization = found(&door, "House");
        let unit = |name: &str| {
            let body = patch(json!({"name": name, "slug": name}));
            door.system_write(organization, now(), |tx| change::create::<BusinessUnit>(tx, body)).unwrap().id
        };
        let (north, south) = (unit("north"), unit("south"));
        Self { database, door, organization, north, south }
    }

    /// Somebody new who sees these units, or all of them.
    pub(crate) fn person(&self, name: &str, role: Role, units: Option<&[Id<BusinessUnit>]>) -> Ctx {
        let user = self.user(name, role);
        let system = Ctx::system(self.organization, now(), Arc::new(Roles));
        Ctx {
            actor: Actor::User(user),
            credential: Credential::Program,
            role,
            gate: Arc::new(Roles),
            scope: ReadScope { units: units.map(<[_]>::to_vec) },
            request_id: format!("request-of-{name}"),
            ..system
        }
    }

    pub(crate) fn admin(&self) -> Ctx {
        self.person("admin", Role::Admin, None)
    }

    pub(crate) fn rep(&self) -> Ctx {
        self.person("rep", Role::SalesRep, None)
    }

    /// A rep who works in the south alone.
    pub(crate) fn southerner(&self) -> Ctx {
        self.person("southerner", Role::SalesRep, Some(&[self.south]))
    }

    /// The ADMIN of another organization.
    pub(crate) fn stranger(&self) -> Ctx {
        Ctx::system(found(&self.door, "Elsewhere"), now(), Arc::new(Roles))
    }

    pub(crate) fn run<T>(&self, ctx: &Ctx, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        self.door.system_write(ctx.organization, ctx.now, |tx| tx.acting(ctx, work))
    }

    pub(crate) fn lead(&self, ctx: &Ctx, body: Value) -> Lead {
        self.run(ctx, |tx| leads::create(tx, patch(body))).unwrap()
    }

    pub(crate) fn make<R: Record>(&self, ctx: &Ctx, body: Value) -> R {
        self.run(ctx, |tx| change::create::<R>(tx, patch(body))).unwrap()
    }

    pub(crate) fn find<R: Record>(&self, ctx: &Ctx, id: Id<R>) -> R {
        self.run(ctx, |tx| tx.find(id)).unwrap()
    }

    fn user(&self, name: &str, role: Role) -> Id<User> {
        let id = Id::<User>::new();
        diesel::sql_query(
            "INSERT INTO users (organization_id, id, email, name, role, password_hash, created_at, updated_at) \
             VALUES ($1, $2, $3 || '@house.example', $3, $4, '', now(), now())",
        )
        .bind::<st::Uuid, _>(self.organization)
        .bind::<st::Uuid, _>(id)
        .bind::<st::Text, _>(name)
        .bind::<st::Text, _>(role.as_str())
        .execute(&mut self.database.connect())
        .unwrap();
        id
    }
}

fn found(door: &Door, name: &str) -> Id<Organization> {
    let body = patch(json!({"name": name, "timezone": "UTC", "baseCurrency": "EUR"}));
    door.found(now(), |tx| organizations::found(tx, body)).unwrap().id
}

pub(crate) fn patch(body: Value) -> Patch {
    let Value::Object(members) = body else { panic!("a body is an object") };
    Patch::new(members).unwrap()
}

pub(crate) fn query(parameters: &[(&str, &str)]) -> Vec<(String, String)> {
    parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The bad fields of a refusal, as `field code`.
pub(crate) fn bad<T: Debug>(result: Result<T>) -> Vec<String> {
    match result {
        Err(Error::Invalid(errors)) => errors.iter().map(|e| format!("{} {}", e.field, e.code)).collect(),
        other => panic!("no bad fields: {other:?}"),
    }
}

/// The code of a refusal.
pub(crate) fn code<T: Debug>(result: Result<T>) -> String {
    result.unwrap_err().code().to_owned()
}
