//! A worker's threads: one takes jobs and starts as many threads as there are slots for them, one puts what is due into
//! the queue, one looks after leases.
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crm_core::{
    Id, Result,
    jobs::{Claim, Failure, Heartbeat, Outcome, Queue, Recurrence, Share, WorkerQueue},
    organizations::Organization,
};
use uuid::Uuid;

use crate::{
    handlers::{Handlers, abandoned, run},
    lanes::Lane,
    runner::named,
};

/// How often an idle worker looks for work that nobody woke it for.
const POLL: Duration = Duration::from_millis(500);
/// How often schedules are looked at.
const SCHEDULES: Duration = Duration::from_secs(5);
/// How often leases are looked after. Every second time the own ones are extended, each time dead workers' are sought.
const ROUND: Duration = Duration::from_secs(2);
/// No job is wanted.
const NOTHING: Share = Share { begun: 0, held: 0 };
/// The pauses between attempts to note how a job ended, while the database is away.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(100),
    Duration::from_millis(400),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
];

pub(crate) struct State {
    /// What runs, by the number of its run: a job that a person set back may run here twice, the first time in vain.
    pub(crate) claims: HashMap<u64, Claim>,
    /// The queues.
    lanes: BTreeMap<&'static str, Lane<Claim>>,
    runs: u64,
    /// Something has happened since the dispatcher last looked.
    woken: bool,
}

impl State {
    pub(crate) fn new(slots: BTreeMap<&'static str, usize>) -> Self {
        let lanes = slots.into_iter().map(|(queue, slots)| (queue, Lane::new(slots))).collect();
        Self { claims: HashMap::new(), lanes, runs: 0, woken: false }
    }

    fn add(&mut self, claim: Claim) -> u64 {
        self.runs += 1;
        self.claims.insert(self.runs, claim);
        self.runs
    }

    /// Takes out what is held and not begun.
    pub(crate) fn empty(&mut self) -> Vec<Claim> {
        self.lanes.values_mut().flat_map(Lane::empty).collect()
    }
}

pub(crate) struct Worker {
    pub(crate) id: Uuid,
    pub(crate) host: String,
    pub(crate) queue: Queue,
    pub(crate) handlers: Handlers,
    pub(crate) recurrences: Vec<Recurrence>,
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
        let mut turns: Vec<_> = self.state().lanes.keys().map(|queue| (*queue, Id::default())).collect();
        while !self.is_stopping() {
            let mut took = 0;
            for (queue, turn) in &mut turns {
                let queue: &'static str = queue;
                match self.take(queue, turn) {
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

    /// Takes what a queue wants, and lets it run.
    fn take(self: &Arc<Self>, queue: &'static str, turn: &mut Id<Organization>) -> Result<usize> {
        let wanted = self.lane(queue, |lane| lane.wanted()).unwrap_or(NOTHING);
        if wanted == NOTHING {
            return Ok(0);
        }
        let (mut taken, mut yields) = (Vec::new(), false);
        // What was claimed before something failed runs all the same.
        let ended = self.claim(queue, wanted, turn, |claims| match claims {
            Some(claims) => taken.push(claims),
            None => yields = true,
        });
        let took = taken.iter().map(Vec::len).sum();
        self.begin(queue, taken, yields);
        ended.map(|()| took)
    }

    /// Claims from each organization its share, beginning behind the last one served. Gives nothing for one whose next job
    /// only a free slot may take, where none is free, and stops there.
    fn claim(
        &self,
        queue: &str,
        wanted: Share,
        turn: &mut Id<Organization>,
        mut found: impl FnMut(Option<Vec<Claim>>),
    ) -> Result<()> {
        let (mut begun, mut left) = (wanted.begun, wanted.begun + wanted.held);
        let kinds = self.handlers.of_queue(queue);
        let organizations = self.queue.ready(queue, &kinds, *turn)?;
        let quota = left.div_ceil(organizations.len().max(1));
        for organization in organizations {
            if left == 0 || self.is_stopping() {
                break;
            }
            let quota = quota.min(left);
            let share = Share { begun: begun.min(quota), held: quota - begun.min(quota) };
            let claims = self.queue.claim(organization, queue, &kinds, share)?;
            if claims.is_empty() && share.begun == 0 {
                found(None);
                break;
            }
            *turn = organization;
            left -= claims.len().min(left);
            begun -= claims.len().min(begun);
            found(Some(claims));
        }
        Ok(())
    }

    fn lane<T>(&self, queue: &str, look: impl FnOnce(&mut Lane<Claim>) -> T) -> Option<T> {
        self.state().lanes.get_mut(queue).map(look)
    }

    /// What it does at the moment.
    pub(crate) fn load(&self) -> Vec<WorkerQueue> {
        let load = |(queue, lane): (&&'static str, &Lane<Claim>)| WorkerQueue {
            name: (*queue).to_owned(),
            running: lane.running,
            slots: lane.slots,
        };
        self.state().lanes.iter().map(load).collect()
    }

    /// Lets claimed jobs run, on as many threads as have a slot.
    fn begin(self: &Arc<Self>, queue: &'static str, taken: Vec<Vec<Claim>>, yields: bool) {
        let threads = self.lane(queue, |lane| {
            let threads = lane.add(taken, instant());
            if yields {
                lane.yield_slots();
            }
            threads
        });
        for _ in 0..threads.unwrap_or(0) {
            let worker = Arc::clone(self);
            if let Err(error) = named("job").spawn(move || worker.work(queue)) {
                tracing::error!(%error, "no thread can be had for a job");
                self.lane(queue, |lane| lane.running -= 1);
            }
        }
    }

    /// Runs jobs of a queue, one after the other, until none is held.
    fn work(&self, queue: &'static str) {
        while let Some((run_number, claim)) = self.next(queue) {
            let began = instant();
            let span = tracing::info_span!("job", job = %claim.job, kind = %claim.kind, attempt = claim.attempt);
            span.in_scope(|| {
                if let Some(outcome) = run(&self.handlers, &self.queue, &claim, &self.stopping) {
                    self.note(&claim, &outcome);
                }
            });
            let took = began.elapsed();
            let mut state = self.state();
            state.claims.remove(&run_number);
            let wants = state.lanes.get_mut(queue).is_some_and(|lane| {
                lane.note(took);
                lane.wanted() != NOTHING
            });
            state.woken |= wants;
            drop(state);
            if wants || self.is_stopping() {
                self.changed.notify_all();
            }
        }
        self.wake();
    }

    /// The next job of a queue, with the number of its run. Where there is none, the thread counts no more.
    fn next(&self, queue: &str) -> Option<(u64, Claim)> {
        let mut state = self.state();
        let lane = state.lanes.get_mut(queue)?;
        // What is held by a worker that stops is given back.
        let next = if self.is_stopping() { None } else { lane.next() };
        match next {
            Some(claim) => Some((state.add(claim.clone()), claim)),
            None => {
                lane.running -= 1;
                None
            }
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
            drop(self.changed.wait_timeout_while(self.state(), SCHEDULES, goes_on));
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
            self.give_overdue_back();
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

    /// Extends the leases of the jobs that run or are held here.
    fn extend(&self) {
        let state = self.state();
        let claims: Vec<_> = state.claims.values().chain(state.lanes.values().flat_map(Lane::held)).cloned().collect();
        drop(state);
        for (organization, claims) in by_organization(claims) {
            if let Err(error) = self.queue.keep_alive(organization, &claims) {
                tracing::warn!(code = error.code(), "leases cannot be extended");
            }
        }
    }

    /// Gives jobs back that were held for too long behind slow ones.
    fn give_overdue_back(&self) {
        let now = instant();
        let overdue = self.state().lanes.values_mut().flat_map(|lane| lane.overdue(now)).collect();
        self.give_back(overdue);
    }

    /// Gives jobs back that were not begun.
    pub(crate) fn give_back(&self, claims: Vec<Claim>) {
        for (organization, claims) in by_organization(claims) {
            if let Err(error) = self.queue.give_back(organization, &claims) {
                tracing::warn!(code = error.code(), "jobs cannot be given back; their leases will run out");
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

fn by_organization(claims: Vec<Claim>) -> HashMap<Id<Organization>, Vec<Claim>> {
    let mut sorted: HashMap<_, Vec<_>> = HashMap::new();
    for claim in claims {
        sorted.entry(claim.organization).or_default().push(claim);
    }
    sorted
}

#[allow(clippy::disallowed_methods, reason = "how long jobs take is measured here, and nothing else")]
fn instant() -> Instant {
    Instant::now()
}
