//! One run of a job: its steps, and how it ends.
use std::{
    borrow::Cow,
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use diesel::{OptionalExtension, RunQueryDsl, sql_types as st};

use super::{Claim, Failure, Queue, QueueJob, failures, lease, reason};
use crate::{
    Actor, Ctx, Error, Id, Result, Tx, clock,
    database::{self, Access, Database},
    gate::Gates,
    organizations::Organization,
    sessions,
    statement::Statement,
};

/// How a run ended, as the queue keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All is done.
    Completed,
    /// It is to be taken again.
    Waiting {
        /// When.
        until: Until,
        /// Does this run count as an attempt?
        counted: bool,
        /// Why, where something went wrong.
        reason: Option<Cow<'static, str>>,
    },
    /// It is given up.
    Failed(Cow<'static, str>),
}

/// When a job is to be taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// So long from now, by the database's clock.
    After(Duration),
    /// At this instant.
    At(DateTime<Utc>),
}

/// What a job has at hand while it runs.
pub struct JobRun<'w> {
    queue: &'w Queue,
    claim: &'w Claim,
    stopping: &'w AtomicBool,
    finished: Cell<bool>,
}

impl From<database::Error> for Failure {
    fn from(error: database::Error) -> Self {
        Error::from(error).into()
    }
}

impl<'w> JobRun<'w> {
    /// The run of a claimed job; `stopping` becomes true when the worker is to end soon.
    pub fn new(queue: &'w Queue, claim: &'w Claim, stopping: &'w AtomicBool) -> Self {
        Self { queue, claim, stopping, finished: Cell::new(false) }
    }

    /// Whose job it is.
    pub fn organization(&self) -> Id<Organization> {
        self.claim.organization
    }

    /// Which job it is: the same in each try, so that an outside effect can be made known by it.
    pub fn id(&self) -> Id<QueueJob> {
        self.claim.job
    }

    /// Which try this is, from 1.
    pub fn attempt(&self) -> i32 {
        self.claim.attempt
    }

    /// Can there be no further try?
    pub fn is_last_attempt(&self) -> bool {
        self.claim.attempt >= self.claim.max_attempts
    }

    /// The database, for reads that need no lease.
    pub fn database(&self) -> &Database {
        self.queue.database()
    }

    /// What judges actions.
    pub fn gates(&self) -> &Arc<dyn Gates> {
        self.queue.gates()
    }

    /// What the program has plugged in under this type, mostly that of a trait.
    pub fn port<T: ?Sized + Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.queue.port()
    }

    /// The present instant. A step has its own, the database's, as `ctx.now`.
    pub fn now(&self) -> DateTime<Utc> {
        clock::now()
    }

    /// Is the worker about to end? A long job then stops between two steps, with what [`JobRun::leave`] gives.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// The answer of a job that leaves because the worker is about to end: another goes on at once, and no attempt is
    /// counted.
    pub fn leave(&self) -> Failure {
        Failure::Snooze(self.now())
    }

    /// Has the job ended with [`JobRun::finish`]?
    pub fn is_finished(&self) -> bool {
        self.finished.get()
    }

    /// Runs one step in the name of the program: a transaction that begins by making sure of the lease and ends by
    /// extending it.
    ///
    /// # Errors
    /// [`Failure::Lost`] where somebody else has the job by now; then nothing of the step is kept. Else what `work` says.
    pub fn step<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> std::result::Result<T, Failure> {
        self.queue.fenced(self.claim, |tx| {
            let value = work(tx)?;
            extend(tx, self.claim)?;
            Ok(value)
        })
    }

    /// As [`JobRun::step`], in the name of a user: with the role and the business units that they have now.
    ///
    /// # Errors
    /// As [`JobRun::step`]; [`Failure::Fail`] where the user is no longer active.
    pub fn step_as<T>(
        &self,
        actor: &Actor,
        work: impl FnOnce(&mut Tx<'_>) -> Result<T>,
    ) -> std::result::Result<T, Failure> {
        self.step(|tx| {
            let ctx = sessions::in_name_of(tx, actor)?;
            tx.acting(&ctx, work)
        })
    }

    /// The last step: the job is completed in the same transaction, so that its effect happens exactly once.
    ///
    /// # Errors
    /// As [`JobRun::step`].
    pub fn finish<T>(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<T>) -> std::result::Result<T, Failure> {
        let value = self.queue.fenced(self.claim, |tx| {
            let value = work(tx)?;
            settle(tx, self.claim, &Outcome::Completed)?;
            Ok(value)
        })?;
        self.finished.set(true);
        Ok(value)
    }

    /// The last step, if it is one: where `work` says yes, the job is completed in the same transaction; where it says
    /// no, there is more to do and the job goes on.
    ///
    /// # Errors
    /// As [`JobRun::step`].
    pub fn finish_if(&self, work: impl FnOnce(&mut Tx<'_>) -> Result<bool>) -> std::result::Result<bool, Failure> {
        let is_done = self.queue.fenced(self.claim, |tx| {
            let is_done = work(tx)?;
            match is_done {
                true => settle(tx, self.claim, &Outcome::Completed)?,
                false => extend(tx, self.claim)?,
            }
            Ok(is_done)
        })?;
        self.finished.set(is_done);
        Ok(is_done)
    }
}

impl Queue {
    /// Ends a run, and with it the lease. `also` is done in the same transaction.
    ///
    /// # Errors
    /// [`Failure::Lost`] where somebody else has the job by now, else what the database or `also` says.
    pub fn settle(
        &self,
        claim: &Claim,
        outcome: &Outcome,
        also: impl FnOnce(&mut Tx<'_>) -> Result<()>,
    ) -> std::result::Result<(), Failure> {
        self.fenced(claim, |tx| {
            also(tx)?;
            settle(tx, claim, outcome)?;
            if matches!(outcome, Outcome::Failed(_)) {
                failures::raise(tx, claim)?;
            }
            Ok(())
        })
    }

    /// A transaction that holds the job's row, and fails where the lease is lost. It happens at the database's time.
    fn fenced<T>(
        &self,
        claim: &Claim,
        work: impl FnOnce(&mut Tx<'_>) -> std::result::Result<T, Failure>,
    ) -> std::result::Result<T, Failure> {
        self.database().transaction(Access::Write, |conn| {
            let text = "SELECT now() FROM queue_jobs WHERE organization_id = {org} AND id = {} AND lease_token = {} \
                        AND status = 'active' FOR UPDATE";
            let held = Statement::<st::Timestamptz>::new(text, Some(claim.organization.uuid()));
            let held = held.bind(claim.job).bind(claim.token).get_result::<DateTime<Utc>>(conn).optional();
            let now = held.map_err(Error::from)?.ok_or(Failure::Lost)?;
            let mut ctx = Ctx::system(claim.organization, now, Arc::clone(self.gates()));
            ctx.request_id = format!("job-{}", claim.job);
            ctx.change_set = claim.job.uuid();
            Tx::run(conn, &ctx, true, work)
        })
    }
}

/// Extends the lease from this very moment, however long the step has taken.
fn extend(tx: &mut Tx<'_>, claim: &Claim) -> Result<()> {
    let now: DateTime<Utc> =
        Statement::<st::Timestamptz>::new("SELECT clock_timestamp()", None).get_result(tx.conn())?;
    tx.sql::<st::Integer>(
        "UPDATE queue_jobs SET lease_until = {}, attempts = {} WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(lease::until(now)).bind(claim.attempt).bind(claim.job))
    .run(tx)?;
    Ok(())
}

fn settle(tx: &mut Tx<'_>, claim: &Claim, outcome: &Outcome) -> Result<()> {
    let now = tx.ctx.now;
    let (status, run_at, uncounted, why) = match outcome {
        Outcome::Completed => ("completed", None, 0, None),
        Outcome::Failed(why) => ("failed", None, 0, Some(reason(why))),
        Outcome::Waiting { until, counted, reason: why } => {
            let run_at = match until {
                Until::After(wait) => now + TimeDelta::from_std(*wait).unwrap_or_default(),
                Until::At(at) => *at,
            };
            ("waiting", Some(run_at), i32::from(!counted), why.as_deref().map(reason))
        }
    };
    tx.sql::<st::Integer>(
        "UPDATE queue_jobs SET status = {}, run_at = coalesce({}, run_at), attempts = {}, last_error = {}, \
         finished_at = {}, lease_token = NULL, lease_until = NULL, updated_at = {} \
         WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| {
        let finished_at = run_at.is_none().then_some(now);
        s.bind(status)
            .bind(run_at)
            .bind(claim.attempt - uncounted)
            .bind(why)
            .bind(finished_at)
            .bind(now)
            .bind(claim.job)
    })
    .run(tx)?;
    Ok(())
}
