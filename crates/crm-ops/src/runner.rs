//! The worker: takes jobs from the queues under leases, runs them on threads of their own, and ends without losing any.
//!
//! Each queue has slots of its own, so that slow work in one does not delay another. Organizations with work are served
//! in turn: one that has thousands of jobs waiting does not keep the next one waiting behind all of them.
//!
//! ```no_run
//! use std::sync::Arc;
//! use crm_core::{database::{Database, Settings}, gate::Roles};
//! use crm_core::jobs::{Failure, Job, JobRun};
//! use crm_ops::runner::Runner;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Greet;
//!
//! impl Job for Greet {
//!     const NAME: &'static str = "greet";
//!     fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
//!         run.finish(|tx| Ok(println!("hello at {}", tx.ctx.now)))
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let database = Database::open("postgres://localhost/heimdell_crm", Settings::default())?;
//! let running = Runner::new(database, Arc::new(Roles)).register::<Greet>().start()?;
//! assert_eq!(running.stop(), 0, "every job had time to end");
//! # Ok(()) }
//! ```
use std::{
    collections::{BTreeMap, HashMap},
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crm_core::{
    Id, Result,
    database::Database,
    gate::Gates,
    jobs::{Claim, Equipment, Failure, Job, Outcome, Queue, Until},
    organizations::Organization,
};

use crate::handlers::{Handlers, abandoned, run};

/// How often an idle worker looks for work that nobody woke it for.
const POLL: Duration = Duration::from_millis(500);
/// How often leases are looked after. Every second time the own ones are extended, each time dead workers' are sought.
const ROUND: Duration = Duration::from_secs(5);
/// How long jobs may go on after the worker was told to stop.
const DRAIN: Duration = Duration::from_secs(25);
/// How many jobs of a queue run at a time, unless it was said.
const SLOTS: usize = 2;
/// The pauses between attempts to note how a job ended, while the database is away.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

/// A worker before it starts: which kinds of jobs it does, and how many at a time.
pub struct Runner {
    queue: Queue,
    handlers: Handlers,
    slots: BTreeMap<&'static str, usize>,
    drain: Duration,
}

impl Runner {
    /// A worker on a database that does nothing yet.
    pub fn new(database: Database, gates: Arc<dyn Gates>) -> Self {
        let queue = Queue::new(database, gates);
        Self { queue, handlers: Handlers::default(), slots: BTreeMap::new(), drain: DRAIN }
    }

    /// It does this kind of job too. Kinds that it does not know are left to other workers.
    #[must_use]
    pub fn register<J: Job>(mut self) -> Self {
        self.handlers.add::<J>();
        self.slots.entry(J::QUEUE).or_insert(SLOTS);
        self
    }

    /// Its jobs find these things.
    #[must_use]
    pub fn equipped(mut self, equipment: Equipment) -> Self {
        self.queue = self.queue.equipped(equipment);
        self
    }

    /// How many jobs of a queue run at a time: 2 where nothing is said. Each uses one connection while it is in a step.
    #[must_use]
    pub fn slots(mut self, queue: &'static str, slots: usize) -> Self {
        self.slots.insert(queue, slots);
        self
    }

    /// How long jobs may go on after [`Running::stop`]: 25 seconds where nothing is said.
    #[must_use]
    pub fn drain(mut self, drain: Duration) -> Self {
        self.drain = drain;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// Where the system has no threads left.
    pub fn start(self) -> io::Result<Running> {
        let worker = Arc::new(Worker {
            queue: self.queue,
            handlers: self.handlers,
            slots: self.slots,
            state: Mutex::default(),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let mut running = Running { worker, drain: self.drain, dispatcher: None, keeper: None };
        let worker = Arc::clone(&running.worker);
        running.dispatcher = Some(named("jobs").spawn(move || worker.dispatch())?);
        let worker = Arc::clone(&running.worker);
        running.keeper = Some(named("leases").spawn(move || worker.keep())?);
        Ok(running)
    }
}

fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

/// A worker at work. Dropping it stops it as [`Running::stop`] does.
pub struct Running {
    worker: Arc<Worker>,
    drain: Duration,
    dispatcher: Option<JoinHandle<()>>,
    keeper: Option<JoinHandle<()>>,
}

/// Wakes a worker of the same process, so that it looks for work at once. Cheap to clone.
#[derive(Clone)]
pub struct Waker(Arc<Worker>);

impl Waker {
    /// There may be work now: call it after a commit.
    pub fn wake(&self) {
        self.0.wake();
    }
}

/// How many jobs of a queue this worker runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// The queue.
    pub queue: &'static str,
    /// Jobs that run now.
    pub running: usize,
    /// The most that can.
    pub slots: usize,
}

impl Running {
    /// What wakes it.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.worker))
    }

    /// What it does at the moment.
    pub fn load(&self) -> Vec<Load> {
        let state = self.worker.state();
        let load = |(queue, slots): (&&'static str, &usize)| Load {
            queue,
            running: self.worker.running(&state, queue),
            slots: *slots,
        };
        self.worker.slots.iter().map(load).collect()
    }

    /// Takes no more jobs, lets those that run come to their end for up to 25 seconds, and gives the rest back to the
    /// queue, without counting an attempt. Tells how many those were.
    pub fn stop(mut self) -> usize {
        self.end()
    }

    fn end(&mut self) -> usize {
        let Some(dispatcher) = self.dispatcher.take() else { return 0 };
        self.worker.stopping.store(true, Ordering::Relaxed);
        self.worker.wake();
        join(dispatcher);
        let state = self.worker.state();
        let waited = self.worker.changed.wait_timeout_while(state, self.drain, |state| !state.claims.is_empty());
        let left: Vec<Claim> =
            waited.unwrap_or_else(PoisonError::into_inner).0.claims.drain().map(|(_, claim)| claim).collect();
        for claim in &left {
            if let Err(failure) = self.worker.queue.settle(claim, &RELEASED, |_| Ok(())) {
                tracing::warn!(job = %claim.job, ?failure, "a job could not be given back; its lease will run out");
            }
        }
        self.worker.ended.store(true, Ordering::Relaxed);
        self.worker.wake();
        self.keeper.take().into_iter().for_each(join);
        left.len()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a thread of the worker had panicked");
    }
}

/// Given back by a worker that stops.
const RELEASED: Outcome = Outcome::Waiting { until: Until::After(Duration::ZERO), counted: false, reason: None };

#[derive(Default)]
struct State {
    /// What runs, by the number of its run: a job that a person set back may run here twice, the first time in vain.
    claims: HashMap<u64, Claim>,
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

struct Worker {
    queue: Queue,
    handlers: Handlers,
    slots: BTreeMap<&'static str, usize>,
    state: Mutex<State>,
    changed: Condvar,
    /// No more jobs are to be taken, and those that run should leave.
    stopping: AtomicBool,
    /// No job runs any more.
    ended: AtomicBool,
}

impl Worker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.state().woken = true;
        self.changed.notify_all();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Takes jobs until the worker stops.
    fn dispatch(self: &Arc<Self>) {
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

    fn running(&self, state: &State, queue: &str) -> usize {
        state.claims.values().filter(|claim| self.handlers.queue_of(&claim.kind) == Some(queue)).count()
    }

    /// Runs a job on a thread of its own.
    fn begin(self: &Arc<Self>, claim: Claim) {
        let run_number = self.state().add(claim.clone());
        let worker = Arc::clone(self);
        let thread = named("job").spawn(move || {
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

    /// Looks after leases until the last job has ended.
    fn keep(&self) {
        for round in 0_u64.. {
            if !self.is_stopping()
                && let Err(error) = self.rescue()
            {
                tracing::warn!(code = error.code(), "leases of dead workers cannot be sought");
            }
            let goes_on = |_: &mut State| !self.ended.load(Ordering::Relaxed);
            drop(self.changed.wait_timeout_while(self.state(), ROUND, goes_on));
            if self.ended.load(Ordering::Relaxed) {
                return;
            }
            if round % 2 == 1 {
                self.extend();
            }
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
