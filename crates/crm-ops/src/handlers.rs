//! Which kinds of jobs a worker does, and what the end of a run means for the queue.
use std::{
    borrow::Cow,
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::AtomicBool,
    time::Duration,
};

use crm_core::{
    Tx,
    jobs::{Claim, Failure, Job, JobRun, Outcome, Queue, Until},
};
use serde_json::Value;

use crate::{
    backoff::{Jitter, job_delay},
    traces::{Span, SpanContext, SpanKind, Tracer},
};

/// What is done for one kind of job.
struct Handler {
    queue: &'static str,
    run: fn(Value, &JobRun<'_>) -> Result<(), Failure>,
    give_up: fn(Value, &mut Tx<'_>, &str) -> crm_core::Result<()>,
}

/// The kinds of jobs that a worker does, by name.
#[derive(Default)]
pub(crate) struct Handlers(BTreeMap<&'static str, Handler>);

impl Handlers {
    pub(crate) fn add<J: Job>(&mut self) {
        let handler = Handler {
            queue: J::QUEUE,
            run: |payload, run| match serde_json::from_value::<J>(payload) {
                Ok(job) => job.run(run),
                Err(_) => Err(Failure::Fail("what the job carries cannot be read by this version".into())),
            },
            give_up: |payload, tx, reason| match serde_json::from_value::<J>(payload) {
                Ok(job) => job.given_up(tx, reason),
                Err(_) => Ok(()),
            },
        };
        self.0.insert(J::NAME, handler);
    }

    pub(crate) fn kinds(&self) -> Vec<String> {
        self.0.keys().map(|kind| (*kind).to_owned()).collect()
    }

    pub(crate) fn of_queue(&self, queue: &str) -> Vec<String> {
        self.0.iter().filter(|(_, handler)| handler.queue == queue).map(|(kind, _)| (*kind).to_owned()).collect()
    }

    pub(crate) fn give_up(&self, claim: &Claim, tx: &mut Tx<'_>, reason: &str) -> crm_core::Result<()> {
        match self.0.get(claim.kind.as_str()) {
            Some(handler) => (handler.give_up)(claim.payload.clone(), tx, reason),
            None => Ok(()),
        }
    }
}

/// Runs a claimed job. A panic costs it an attempt and harms nobody else. `None` where nothing is left to be written.
pub(crate) fn run(handlers: &Handlers, queue: &Queue, claim: &Claim, stopping: &AtomicBool) -> Option<Outcome> {
    let run = JobRun::new(queue, claim, stopping);
    let Some(handler) = handlers.0.get(claim.kind.as_str()) else {
        return Some(Outcome::Failed("unknown kind".into()));
    };
    let mut span = run.port::<Tracer>().map(|tracer| spanning(&tracer, handler, claim));
    let _entered = span.as_ref().map(Span::enter);
    let ended = catch_unwind(AssertUnwindSafe(|| (handler.run)(claim.payload.clone(), &run)));
    let ended = ended.unwrap_or_else(|_| Err(Failure::Retry("the job's code panicked".into())));
    let outcome = if run.is_finished() { None } else { outcome(ended, claim) };
    let word = match &outcome {
        None if run.is_finished() => "completed",
        None => "lost",
        Some(Outcome::Completed) => "completed",
        Some(Outcome::Failed(_)) => "failed",
        Some(Outcome::Waiting { counted: true, .. }) => "retried",
        Some(Outcome::Waiting { counted: false, .. }) => "snoozed",
    };
    if let Some(span) = &mut span {
        span.set("heimdell.job.outcome", word);
        if matches!(word, "failed" | "retried") {
            span.fail(word);
        }
    }
    metrics::counter!("heimdell_jobs_total", "kind" => claim.kind.clone(), "outcome" => word).increment(1);
    outcome
}

/// The span of a run: its kind, and not what it carries. It goes on with the trace of whoever wanted the job.
fn spanning(tracer: &Tracer, handler: &Handler, claim: &Claim) -> Span {
    let wanted_by = claim.traceparent.as_deref().and_then(SpanContext::parse);
    let mut span = tracer.begin(SpanKind::Consumer, format!("process {}", claim.kind), wanted_by);
    span.set("messaging.system", "heimdell");
    span.set("messaging.operation.type", "process");
    span.set("messaging.destination.name", handler.queue);
    span.set("messaging.message.id", claim.job.to_string());
    span.set("heimdell.job.kind", claim.kind.clone());
    span.set("heimdell.job.attempt", i64::from(claim.attempt));
    span
}

/// What becomes of a job whose worker died: it is taken again at once, while attempts are left.
pub(crate) fn abandoned(claim: &Claim) -> Outcome {
    failed(claim, Until::After(Duration::ZERO), "the worker died while it ran".into())
}

fn failed(claim: &Claim, until: Until, reason: Cow<'static, str>) -> Outcome {
    match claim.attempt >= claim.max_attempts {
        true => Outcome::Failed(reason),
        false => Outcome::Waiting { until, counted: true, reason: Some(reason) },
    }
}

/// What the end of a run means for the queue.
fn outcome(ended: Result<(), Failure>, claim: &Claim) -> Option<Outcome> {
    match ended {
        Ok(()) => Some(Outcome::Completed),
        Err(Failure::Lost) => None,
        Err(Failure::Snooze(at)) => Some(Outcome::Waiting { until: Until::At(at), counted: false, reason: None }),
        Err(Failure::Fail(reason)) => Some(Outcome::Failed(reason)),
        Err(Failure::RetryAt(at, reason)) => Some(failed(claim, Until::At(at), reason)),
        Err(Failure::Retry(reason)) => Some(failed(claim, Until::After(wait(claim)), reason)),
    }
}

/// The growing wait of a job, shifted by the random part of its own id, so that jobs that failed together part.
fn wait(claim: &Claim) -> Duration {
    let attempts = u32::try_from(claim.attempt).unwrap_or(0);
    let [.., a, b, c, d] = *claim.job.uuid().as_bytes();
    job_delay(attempts, u32::MAX, Jitter::from_random(u32::from_be_bytes([a, b, c, d]))).unwrap_or_default()
}
