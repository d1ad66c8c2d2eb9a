//! The database of these tests, and jobs that end in every way.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::sleep,
    time::Duration,
};

use crm_core::{
    Door, Id, Patch, Tx, clock,
    database::Database,
    gate::Roles,
    jobs::{self, Enqueue, Failure, Job, JobRun, Queue, QueueJob},
    organizations::{self, Organization},
    testing::TestDatabase,
};
use crm_ops::runner::Runner;
use diesel::{RunQueryDsl, connection::SimpleConnection, sql_types as st};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// A database with organizations and a table of effects.
pub(crate) struct House {
    test: TestDatabase,
    database: Database,
    pub(crate) organizations: Vec<Id<Organization>>,
}

impl House {
    pub(crate) fn new(organizations: usize) -> Self {
        let test = TestDatabase::new();
        let effects = "CREATE TABLE effects (organization_id uuid, n serial, job uuid, what text)";
        test.connect().batch_execute(effects).unwrap();
        let database = test.open().unwrap();
        let mut house = Self { test, database, organizations: Vec::new() };
        for number in 0..organizations {
            let organization = Id::new();
            let fields = json!({"name": format!("Organization {number}")}).as_object().unwrap().clone();
            house.write(organization, |tx| organizations::found(tx, Patch::from(fields)).map(drop)).unwrap();
            house.organizations.push(organization);
        }
        house
    }

    pub(crate) fn write<T>(
        &self,
        organization: Id<Organization>,
        work: impl FnOnce(&mut Tx<'_>) -> crm_core::Result<T>,
    ) -> crm_core::Result<T> {
        Door::new(self.database.clone(), Arc::new(Roles)).system_write(organization, clock::now(), work)
    }

    pub(crate) fn enqueue<J: Job>(&self, organization: Id<Organization>, job: &J) -> Id<QueueJob> {
        self.write(organization, |tx| jobs::enqueue(tx, job, &Enqueue::default())).unwrap()
    }

    pub(crate) fn queue(&self) -> Queue {
        Queue::new(self.database.clone(), Arc::new(Roles))
    }

    pub(crate) fn worker(&self) -> Runner {
        self.idle_worker().register::<Note>().register::<Stubborn>().register::<Fragile>()
    }

    pub(crate) fn url(&self) -> String {
        self.test.url()
    }

    /// A worker that does nothing yet.
    pub(crate) fn idle_worker(&self) -> Runner {
        Runner::new(self.test.open().unwrap(), Arc::new(Roles))
    }

    pub(crate) fn text(&self, sql: &str) -> String {
        let query = format!("SELECT coalesce(({sql})::text, 'null')");
        diesel::dsl::sql::<st::Text>(&query).get_result(&mut self.test.connect()).unwrap()
    }

    pub(crate) fn run(&self, sql: &str) {
        self.test.connect().batch_execute(sql).unwrap();
    }

    /// Waits for what is sure to come; a minute is only there so that a broken worker fails the test.
    pub(crate) fn until(&self, sql: &str, wanted: &str) {
        for _ in 0..1200 {
            if self.text(sql) == wanted {
                return;
            }
            sleep(Duration::from_millis(50));
        }
        panic!("{sql} is {} and not {wanted}", self.text(sql));
    }
}

pub(crate) fn effect(tx: &mut Tx<'_>, job: Id<QueueJob>, what: &str) -> crm_core::Result<()> {
    let insert = tx.sql::<st::Integer>("INSERT INTO effects (organization_id, job, what) VALUES ({org}, {}, {})");
    insert.with(|s| s.bind(job).bind(what)).run(tx)?;
    Ok(())
}

/// Writes one effect, in the transaction that completes it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note(pub(crate) String);

impl Job for Note {
    const NAME: &'static str = "note";
    fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
        run.finish(|tx| effect(tx, run.id(), &self.0))
    }
}

/// Runs until it is told to stop; then it leaves, or goes on for as long as the latch is closed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stubborn {
    pub(crate) leaves: bool,
}

pub(crate) static LATCH: AtomicBool = AtomicBool::new(false);
pub(crate) static ZOMBIE_LOST: AtomicBool = AtomicBool::new(false);

impl Job for Stubborn {
    const NAME: &'static str = "stubborn";
    const QUEUE: &'static str = "slow";
    fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
        run.step(|tx| effect(tx, run.id(), "begun"))?;
        while !run.is_stopping() {
            sleep(Duration::from_millis(5));
        }
        if self.leaves {
            return Err(run.leave());
        }
        while !LATCH.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(5));
        }
        let last = run.finish(|tx| effect(tx, run.id(), "by a zombie"));
        ZOMBIE_LOST.store(last == Err(Failure::Lost), Ordering::Relaxed);
        last
    }
}

/// Ends as it is told, and says farewell when it is given up.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Fragile {
    Panics,
    Fails,
    Retries,
    Snoozes,
}

impl Job for Fragile {
    const NAME: &'static str = "fragile";
    const MAX_ATTEMPTS: i32 = 2;
    fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
        match self {
            Self::Panics => panic!("as a faulty handler does"),
            Self::Fails if run.attempt() == 1 && run.step(is_mended)? => Ok(()),
            Self::Fails => Err(Failure::Fail("the other side says no".into())),
            Self::Retries => Err(Failure::Retry("no answer".into())),
            Self::Snoozes => Err(Failure::Snooze(run.now() + chrono::TimeDelta::hours(1))),
        }
    }
    fn given_up(self, tx: &mut Tx<'_>, reason: &str) -> crm_core::Result<()> {
        effect(tx, Id::new(), reason)
    }
}

fn is_mended(tx: &mut Tx<'_>) -> crm_core::Result<bool> {
    let found = tx.sql::<st::Integer>("SELECT 1 FROM effects WHERE organization_id = {org} AND what = 'mended'");
    Ok(found.first::<i32>(tx)?.is_some())
}
