//! An organization with people and a pipeline, and a worker that runs imports to their end.
use std::sync::{Arc, atomic::AtomicBool};

use crm_core::{
    Actor, Door, Id, Patch, Result, Tx, change, clock,
    companies::Company,
    database::Database,
    gate::Roles,
    imports::{self, Import, ImportJob, NewImport, RevertJob},
    jobs::{Claim, Failure, Job, JobRun, Outcome, Queue, Share},
    organizations::{self, Organization},
    testing::TestDatabase,
    users::User,
};
use diesel::{RunQueryDsl, connection::SimpleConnection, sql_types as st};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) struct House {
    pub(crate) test: TestDatabase,
    database: Database,
    pub(crate) organization: Id<Organization>,
    pub(crate) admin: Id<User>,
    pub(crate) rep: Id<User>,
}

impl House {
    pub(crate) fn new() -> Self {
        let test = TestDatabase::new();
        let database = test.open().unwrap();
        let (organization, admin, rep) = (Id::new(), Id::new(), Id::new());
        let house = Self { test, database, organization, admin, rep };
        house.system(|tx| organizations::found(tx, patch(&json!({"name": "House"}))).map(drop)).unwrap();
        for (id, email, name, role) in
            [(admin, "ada@x.example", "Ada Lovelace", "ADMIN"), (rep, "rob@x.example", "Rob Rep", "SALES_REP")]
        {
            house.run(&format!(
                "INSERT INTO users (organization_id, id, email, name, role, password_hash, created_at, updated_at) \
                 VALUES ('{organization}', '{id}', '{email}', '{name}', '{role}', '', now(), now())"
            ));
        }
        house
    }

    pub(crate) fn system<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        Door::new(self.database.clone(), Arc::new(Roles)).system_write(self.organization, clock::now(), work)
    }

    pub(crate) fn acting<T>(&self, user: Id<User>, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> Result<T> {
        let door = Door::new(self.database.clone(), Arc::new(Roles));
        door.acting(self.organization, &Actor::User(user), clock::now(), work)
    }

    pub(crate) fn company(&self, fields: &Value) -> Id<Company> {
        self.system(|tx| change::create::<Company>(tx, patch(fields))).unwrap().id
    }

    pub(crate) fn text(&self, sql: &str) -> String {
        let query = format!("SELECT coalesce(({sql})::text, 'null')");
        diesel::dsl::sql::<st::Text>(&query).get_result(&mut self.test.connect()).unwrap()
    }

    pub(crate) fn run(&self, sql: &str) {
        self.test.connect().batch_execute(sql).unwrap();
    }

    /// Takes a file in, in the administrator's name.
    pub(crate) fn take_in(&self, kind: &str, csv: &str, mapping: &Value, options: &Value) -> Result<Import> {
        self.acting(self.admin, |tx| imports::create(tx, new_import(kind, csv, mapping, options)))
    }

    /// Takes a file in and reads it to its end.
    pub(crate) fn import(&self, kind: &str, csv: &str, mapping: &Value, options: &Value) -> Import {
        let import = self.take_in(kind, csv, mapping, options).unwrap();
        self.work();
        self.read(import.id)
    }

    pub(crate) fn read(&self, id: Id<Import>) -> Import {
        self.acting(self.admin, |tx| imports::read(tx, id)).unwrap()
    }

    pub(crate) fn errors(&self, id: Id<Import>) -> String {
        let report = self.acting(self.admin, |tx| imports::errors(tx, id, Vec::new())).unwrap();
        String::from_utf8(report).unwrap()
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue::new(self.test.open().unwrap(), Arc::new(Roles))
    }

    pub(crate) fn claim(&self) -> Option<Claim> {
        let kinds = [ImportJob::NAME.to_owned(), RevertJob::NAME.to_owned()];
        self.queue().claim(self.organization, "imports", &kinds, Share { begun: 1, held: 0 }).unwrap().pop()
    }

    /// Runs what waits in the queue.
    pub(crate) fn work(&self) {
        while let Some(claim) = self.claim() {
            self.end(&claim, run(&self.queue(), &claim));
        }
    }

    /// Ends a run as a worker does, a failure for good at the first attempt.
    pub(crate) fn end(&self, claim: &Claim, ended: std::result::Result<(), Failure>) {
        match ended {
            // `Lost` is the answer where the job's own last step has completed it.
            Ok(()) => drop(self.queue().settle(claim, &Outcome::Completed, |_| Ok(()))),
            Err(Failure::Lost) => {}
            Err(failure) => {
                let reason = match failure {
                    Failure::Fail(reason) | Failure::Retry(reason) => reason,
                    other => panic!("{other:?}"),
                };
                let job: ImportJob = serde_json::from_value(claim.payload.clone()).unwrap();
                let failed = Outcome::Failed(reason.clone());
                self.queue().settle(claim, &failed, |tx| job.given_up(tx, &reason)).unwrap();
            }
        }
    }
}

/// Runs a claimed job.
pub(crate) fn run(queue: &Queue, claim: &Claim) -> std::result::Result<(), Failure> {
    let stopping = AtomicBool::new(false);
    let run = JobRun::new(queue, claim, &stopping);
    match claim.kind.as_str() {
        RevertJob::NAME => serde_json::from_value::<RevertJob>(claim.payload.clone()).unwrap().run(&run),
        _ => serde_json::from_value::<ImportJob>(claim.payload.clone()).unwrap().run(&run),
    }
}

pub(crate) fn patch(fields: &Value) -> Patch {
    Patch::from(fields.as_object().unwrap().clone())
}

pub(crate) fn new_import(kind: &str, csv: &str, mapping: &Value, options: &Value) -> NewImport {
    NewImport {
        entity_type: kind.into(),
        file_name: "file.csv".into(),
        content: csv.as_bytes().to_vec(),
        mapping: mapping.as_object().unwrap().clone(),
        options: options.as_object().unwrap().clone(),
    }
}

/// Created, updated, skipped, failed.
pub(crate) fn counters(import: &Import) -> [i32; 4] {
    let fields = &import.fields;
    let counters = [fields.created, fields.updated, fields.skipped, fields.failed];
    assert_eq!(fields.status, "completed", "{:?}", fields.error);
    assert_eq!(fields.rows_done, fields.rows_total);
    assert_eq!(counters.iter().sum::<i32>(), fields.rows_total, "each row is counted once");
    counters
}

/// An id that no record has.
pub(crate) const NOBODY: Uuid = Uuid::from_u128(7);
