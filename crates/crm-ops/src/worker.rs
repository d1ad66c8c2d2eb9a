//! A worker's threads: one takes jobs and starts a thread for each, one puts what is due into the queue, one looks after
//! leases.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use crm_core::{
    Id, Result,
    jobs::{Claim, Failure, Heartbeat, Outcome, Queue, Recurrence, WorkerQueue},
    organizations::Organization,
};
use uuid::Uuid;

use crate::{
    handlers::{Handlers, abandoned, run},
    runner::named,
};

/// How often an idle worker looks for work that nobody woke it for.
const POLL: Duration = Duration::from_millis(500);
/// How often schedules and leases are looked after. Every second time the own ones are extended, each time dead workers' are sought.
const ROUND: Duration = Duration::from_secs(2);
/// The pauses between attempts to note how a job ended, while the database is away.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

#[derive(Default)]
pub(crate) struct State {
    /// What runs, by the number of its run: a job that a person set back may run here twice, the first time in vain.
    pub(crate) claims: HashMap<u64, Claim>,
    runs: u64,
    /// Something has happened since the dispatcher last looked.
    woken: bool,
}

impl State {
    fn add(&mut self, claim: Claim) -> u64 {
        self.runs += 1;
        self.claims.insert(self.runs, claim);
        self.runs
    }
}

pub(crate) struct Worker {
    pub(crate) id: Uuid,
    pub(crate) host: String,
    pub(crate) queue: Queue,
    pub(crate) handlers: Handlers,
    pub(crate) recurrences: Vec<Recurrence>,
    pub(crate) slots: BTreeMap<&'static str, usize>,
    pub(crate) state: Mutex<State>,
    pub(crate) changed: Condvar,
    /// No more jobs are to be taken, and those that run should leave.
    pub(crate) stopping: AtomicBool,
    /// No job runs any more.
    pub(crate) ended: AtomicBool,
}

impl Worker {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn wake(&self) {
        self.state().woken = true;
        self.changed.notify_all();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Takes jobs until the worker stops.
    pub(crate) fn dispatch(self: &Arc<Self>) {
        let mut turns: BTreeMap<&str, Id<Organization>> = BTreeMap::new();
        while !self.is_stopping() {
            let mut took = 0;
            for (queue, slots) in &self.slots {
                match self.take(queue, *slots, turns.entry(queue).or_default()) {
                    Ok(count) => took += count,
                    Err(error) => tracing::warn!(queue, code = error.code(), "no jobs can be taken"),
                }
            }
            if took == 0 {
                let waiting = self.changed.wait_timeout_while(self.state(), POLL, |state| !state.woken);
                waiting.unwrap_or_else(PoisonError::into_inner).0.woken = false;
            }
        }
    }

    /// Fills the free slots of a queue, from each organization its share, beginning behind the last one served.
    fn take(self: &Arc<Self>, queue: &str, slots: usize, turn: &mut Id<Organization>) -> Result<usize> {
        let mut free = slots.saturating_sub(self.running(&self.state(), queue));
        let (kinds, mut took) = (self.handlers.of_queue(queue), 0);
        if free == 0 {
            return Ok(0);
        }
        let organizations = self.queue.ready(queue, &kinds, *turn)?;
        let share = free.div_ceil(organizations.len().max(1));
        for organization in organizations {
            if free == 0 || self.is_stopping() {
                break;
            }
            let claims = self.queue.claim(organization, queue, &kinds, share.min(free))?;
            *turn = organization;
            free -= claims.len().min(free);
            took += claims.len();
            claims.into_iter().for_each(|claim| self.begin(claim));
        }
        Ok(took)
    }

    pub(crate) fn running(&self, state: &State, queue: &str) -> usize {
        state.claims.values().filter(|claim| self.handlers.queue_of(&claim.kind) == Some(queue)).count()
    }

    /// What it does at the moment.
    pub(crate) fn load(&self) -> Vec<WorkerQueue> {
        let state = self.state();
        let load = |(queue, slots): (&&'static str, &usize)| WorkerQueue {
            name: (*queue).to_owned(),
            running: self.running(&state, queue),
            slots: *slots,
        };
        self.slots.iter().map(load).collect()
    }

    /// Runs a job on a thread of its own.
    fn begin(self: &Arc<Self>, claim: Claim) {
        let run_number = self.state().add(claim.clone());
        let worker = Arc::clone(self);
        let thread = named("job").spawn(move || {
            let span = tracing::info_span!("job", job = %claim.job, kind = %claim.kind, attempt = claim.attempt);
            let _entered = span.enter();
            if let Some(outcome) = run(&worker.handlers, &worker.queue, &claim, &worker.stopping) {
                worker.note(&claim, &outcome);
            }
            worker.state().claims.remove(&run_number);
            worker.wake();
        });
        if let Err(error) = thread {
            tracing::error!(%error, "no thread can be had for a job; its lease will run out");
            self.state().claims.remove(&run_number);
        }
    }

    /// Writes how a job ended. While the database is away it tries again, and the lease is kept alive as long. A job
    /// whose own farewell keeps failing ends without it.
    fn note(&self, claim: &Claim, outcome: &Outcome) {
        for (left, pause) in (0..PAUSES.len()).rev().zip(PAUSES) {
            let settled = self.queue.settle(claim, outcome, |tx| match outcome {
                Outcome::Failed(reason) if left > 0 => self.handlers.give_up(claim, tx, reason),
                _ => Ok(()),
            });
            match settled {
                Ok(()) | Err(Failure::Lost) => return,
                Err(failure) => tracing::warn!(job = %claim.job, ?failure, "how a job ended cannot be written yet"),
            }
            thread::sleep(pause);
        }
        tracing::error!(job = %claim.job, "how a job ended could not be written; its lease will run out");
    }

    /// Puts what is due into the queue until the worker stops.
    pub(crate) fn schedule(&self) {
        while !self.is_stopping() {
            match self.queue.recur(&self.recurrences) {
                Ok(0) => {}
                Ok(_) => self.wake(),
                Err(error) => tracing::warn!(code = error.code(), "what is due cannot be put into the queue"),
            }
            let goes_on = |_: &mut State| !self.is_stopping();
            drop(self.changed.wait_timeout_while(self.state(), ROUND, goes_on));
        }
    }

    /// Looks after leases until the last job has ended.
    pub(crate) fn keep(&self) {
        for round in 0_u64.. {
            if !self.is_stopping()
                && let Err(error) = self.rescue()
            {
                tracing::warn!(code = error.code(), "leases of dead workers cannot be sought");
            }
            if round % 2 == 0 {
                self.give_sign_of_life();
            }
            let goes_on = |_: &mut State| !self.ended.load(Ordering::Relaxed);
            drop(self.changed.wait_timeout_while(self.state(), ROUND, goes_on));
            if self.ended.load(Ordering::Relaxed) {
                return self.sign_off();
            }
            if round % 2 == 1 {
                self.extend();
            }
        }
    }

    fn give_sign_of_life(&self) {
        let beat = Heartbeat {
            id: self.id,
            host: &self.host,
            pid: std::process::id(),
            program_version: env!("CARGO_PKG_VERSION"),
            queues: self.load(),
        };
        if let Err(error) = self.queue.heartbeat(&beat) {
            tracing::warn!(code = error.code(), "the worker's sign of life cannot be noted");
        }
    }

    fn sign_off(&self) {
        if let Err(error) = self.queue.sign_off(self.id) {
            tracing::warn!(code = error.code(), "the worker cannot sign off; it will be taken for dead");
        }
    }

    /// Extends the leases of the jobs that run here.
    fn extend(&self) {
        let mut held: HashMap<Id<Organization>, Vec<Claim>> = HashMap::new();
        for claim in self.state().claims.values() {
            held.entry(claim.organization).or_default().push(claim.clone());
        }
        for (organization, claims) in held {
            if let Err(error) = self.queue.keep_alive(organization, &claims) {
                tracing::warn!(code = error.code(), "leases cannot be extended");
            }
        }
    }

    /// Gives the jobs of dead workers back to the queue, or gives them up where all attempts are used.
    fn rescue(&self) -> Result<()> {
        let kinds = self.handlers.kinds();
        for organization in self.queue.expired(&kinds)? {
            for claim in self.queue.take_over(organization, &kinds)? {
                tracing::warn!(job = %claim.job, kind = %claim.kind, "the worker of a job died");
                self.note(&claim, &abandoned(&claim));
            }
        }
        Ok(())
    }
}
