//! An organization with three users, over a database of its own.

use std::sync::Arc;

use crm_core::gate::Gates;
use crm_core::organizations::Organization;
use crm_core::sessions::tokens::Secret;
use crm_core::testing::TestDatabase;
use crm_core::users::{self, FirstUser, Role, User};
use crm_core::{Actor, Door, Error, Id, Patch, Result, Tx, clock};
use crm_policy::PolicyGates;
use crm_policy::stored_policies::{self, StoredPolicy};
use serde_json::Value;

/// The organization, its door and its people.
pub(crate) struct World {
    pub(crate) door: Door,
    pub(crate) organization: Id<Organization>,
    admin: Id<User>,
    manager: Id<User>,
    rep: Id<User>,
    database: TestDatabase,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::behind(Arc::new(PolicyGates::new()))
    }

    pub(crate) fn behind(gates: Arc<dyn Gates>) -> Self {
        let database = TestDatabase::new();
        let door = Door::new(database.open().unwrap(), gates);
        let user = |name: &str, role| {
            let first = FirstUser {
                organization: "Acme".into(),
                email: format!("{name}@acme.example"),
                name: name.into(),
                role,
                password: Secret::new("Nine-violet-otters-hum"),
            };
            users::create_first(&door, &first, clock::now()).unwrap()
        };
        let (admin, manager, rep) =
            (user("ada", Role::Admin), user("max", Role::Manager), user("rita", Role::SalesRep));
        let organization = admin.organization;
        let world =
            Self { organization, admin: admin.user.id, manager: manager.user.id, rep: rep.user.id, door, database };
        world.as_role(Role::Admin, switch_on).unwrap();
        world
    }

    /// Another process at the same database.
    pub(crate) fn neighbour(&self) -> Door {
        Door::new(self.database.open().unwrap(), Arc::new(PolicyGates::new()))
    }

    pub(crate) fn user(&self, role: Role) -> Id<User> {
        match role {
            Role::Admin => self.admin,
            Role::Manager => self.manager,
            Role::SalesRep => self.rep,
        }
    }

    /// Does something as the user of this role.
    pub(crate) fn as_role<T>(&self, role: Role, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        self.through(&self.door, role, work)
    }

    /// Does something as the user of this role, in a process of one's choice.
    pub(crate) fn through<T>(&self, door: &Door, role: Role, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        door.acting(self.organization, &Actor::User(self.user(role)), clock::now(), work)
    }

    /// Creates a policy as the ADMIN.
    pub(crate) fn policy(&self, json: &Value) -> Result<StoredPolicy> {
        self.as_role(Role::Admin, |tx| stored_policies::create(tx, patch(json)))
    }
}

/// Switches on the example that a new organization has switched off: the value of deals is hidden.
fn switch_on(tx: &mut Tx<'_>) -> Result<()> {
    for policy in stored_policies::list(tx, &[("isActive".into(), "false".into())])?.items {
        stored_policies::update(tx, policy.id, patch(&serde_json::json!({"isActive": true})))?;
    }
    Ok(())
}

/// The patch of a JSON object.
pub(crate) fn patch(json: &Value) -> Patch {
    Patch::new(json.as_object().unwrap().clone()).unwrap()
}

/// The code and the sentence of a refusal.
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T>) -> (String, String) {
    let error = result.unwrap_err();
    (error.code().to_owned(), error.to_string())
}

/// The bad fields and their codes.
pub(crate) fn faults<T: std::fmt::Debug>(result: Result<T>) -> Vec<(String, String)> {
    match result.unwrap_err() {
        Error::Invalid(errors) => errors.into_iter().map(|error| (error.field, error.code)).collect(),
        other => panic!("{other:?}"),
    }
}
