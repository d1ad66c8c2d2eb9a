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
    collections::BTreeMap,
    io,
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crm_core::{
    Id,
    database::Database,
    gate::Gates,
    jobs::{Claim, Job, Outcome, Queue, Recurrence, Recurring, Until, WorkerQueue},
};

use crate::{
    handlers::Handlers,
    worker::{State, Worker},
};

/// How long jobs may go on after the worker was told to stop.
const DRAIN: Duration = Duration::from_secs(25);
/// How many jobs of a queue run at a time, unless it was said.
const SLOTS: usize = 2;

/// A worker before it starts: which kinds of jobs it does, and how many at a time.
pub struct Runner {
    queue: Queue,
    handlers: Handlers,
    recurrences: Vec<Recurrence>,
    slots: BTreeMap<&'static str, usize>,
    drain: Duration,
}

impl Runner {
    /// A worker on a database that does nothing yet.
    pub fn new(database: Database, gates: Arc<dyn Gates>) -> Self {
        let queue = Queue::new(database, gates);
        Self { queue, handlers: Handlers::default(), recurrences: Vec::new(), slots: BTreeMap::new(), drain: DRAIN }
    }

    /// It does this kind of job too. Kinds that it does not know are left to other workers.
    #[must_use]
    pub fn register<J: Job>(mut self) -> Self {
        self.handlers.add::<J>();
        self.slots.entry(J::QUEUE).or_insert(SLOTS);
        self
    }

    /// It does this kind of job, and sees to it that it is put into the queue when it is due.
    #[must_use]
    pub fn recurring<J: Recurring>(mut self) -> Self {
        self.recurrences.push(Recurrence::of::<J>());
        self.register::<J>()
    }

    /// Plugs in what jobs find under this type with `JobRun::port`.
    #[must_use]
    pub fn plug<T: ?Sized + Send + Sync + 'static>(mut self, port: Arc<T>) -> Self {
        self.queue.plug(port);
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
            id: Id::<Worker>::new().uuid(),
            host: nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            queue: self.queue,
            handlers: self.handlers,
            recurrences: self.recurrences,
            state: Mutex::new(State::new(self.slots)),
            changed: Condvar::new(),
            stopping: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        });
        let mut running = Running { worker, drain: self.drain, dispatcher: None, scheduler: None, keeper: None };
        let worker = Arc::clone(&running.worker);
        running.dispatcher = Some(named("jobs").spawn(move || worker.dispatch())?);
        let worker = Arc::clone(&running.worker);
        running.scheduler = Some(named("schedules").spawn(move || worker.schedule())?);
        let worker = Arc::clone(&running.worker);
        running.keeper = Some(named("leases").spawn(move || worker.keep())?);
        Ok(running)
    }
}

pub(crate) fn named(name: &str) -> thread::Builder {
    thread::Builder::new().name(name.to_owned())
}

/// A worker at work. Dropping it stops it as [`Running::stop`] does.
pub struct Running {
    worker: Arc<Worker>,
    drain: Duration,
    dispatcher: Option<JoinHandle<()>>,
    scheduler: Option<JoinHandle<()>>,
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

impl Running {
    /// What wakes it.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.worker))
    }

    /// What it does at the moment.
    pub fn load(&self) -> Vec<WorkerQueue> {
        self.worker.load()
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
        self.scheduler.take().into_iter().for_each(join);
        let not_begun = self.worker.state().empty();
        self.worker.give_back(not_begun);
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
