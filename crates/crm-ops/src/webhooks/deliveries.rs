//! Sending the messages of one webhook about one record, in their order: the next is not sent before the one before it has
//! arrived or was given up.
use chrono::{DateTime, Utc};
use crm_core::{
    Error, Id, Result, Tx,
    alerts::{self, Cause, Severity},
    events as outbox,
    jobs::{Failure, Job, JobRun},
    sealed::Keyring,
};
use diesel::sql_types as st;
use rand::RngCore;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    attempts::{self, Ending, Verdict},
    courier::{Answered, Courier, CourierError},
    dispatch, holding,
    messages::WebhookEvent,
    payloads, replays,
    secrets::{self, Owner},
    signature::{self, Message, Secret},
    subscriptions::{self, Webhook},
};
use crate::{
    backoff::Jitter,
    traces::{self, Span, SpanKind, Tracer},
};

/// The job that sends the messages of a webhook about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverWebhook {
    /// To which webhook.
    pub(super) webhook: Uuid,
    /// About which record.
    pub(super) entity: Uuid,
}

impl Job for DeliverWebhook {
    const NAME: &'static str = "deliver_webhook";
    const QUEUE: &'static str = "webhooks";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        let (Some(courier), Some(keys)) = (run.port::<Courier>(), run.port::<Keyring>()) else {
            return Err(Failure::Retry("this worker has no way out, or no keys".into()));
        };
        let tracer = run.port::<Tracer>();
        loop {
            if run.is_stopping() {
                return Err(run.leave());
            }
            match run.step(|tx| self.next(tx, &keys))? {
                Next::Send(letter) => {
                    let answer = letter.send(&courier, tracer.as_deref(), run.now());
                    let verdict = run.step(|tx| letter.settle(tx, &answer))?;
                    count(outcome(verdict));
                }
                Next::Unsendable => count("failed"),
                Next::Wait(until) => return Err(Failure::Snooze(until)),
                Next::Nothing => {
                    if run.finish_if(|tx| self.is_done(tx))? {
                        return Ok(());
                    }
                }
            }
        }
    }
}

/// How tries end, as the metric `heimdell_webhook_deliveries_total` counts them: it arrived, it is tried again, it was
/// given up, nobody is there any more.
pub const OUTCOMES: [&str; 4] = ["delivered", "retried", "failed", "gone"];

fn outcome(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Delivered => "delivered",
        Verdict::Again(_) => "retried",
        Verdict::GivenUp => "failed",
        Verdict::Gone => "gone",
    }
}

/// Counts a try, once what came of it is committed.
fn count(outcome: &'static str) {
    metrics::counter!("heimdell_webhook_deliveries_total", "outcome" => outcome).increment(1);
}

/// What is to be done next.
enum Next {
    Send(Letter),
    /// It cannot be made, and has been given up.
    Unsendable,
    Wait(DateTime<Utc>),
    Nothing,
}

/// A message, ready to be sent.
struct Letter {
    webhook: Id<Webhook>,
    event: Id<WebhookEvent>,
    message_id: String,
    url: String,
    attempt: i32,
    secrets: Vec<Secret>,
    body: Vec<u8>,
}

impl DeliverWebhook {
    fn next(self, tx: &mut Tx<'_>, keys: &Keyring) -> Result<Next> {
        let webhook = match tx.find::<Webhook>(self.webhook.into()) {
            Ok(webhook) => webhook,
            Err(Error::NotFound) => return Ok(Next::Nothing),
            Err(error) => return Err(error),
        };
        if !webhook.fields.is_active {
            self.cancel(tx)?;
            return Ok(Next::Nothing);
        }
        if webhook.fields.held_at.is_some() {
            return Ok(Next::Wait(tx.ctx.now + holding::LOOK));
        }
        type Row = (Uuid, String, String, i32, Option<DateTime<Utc>>);
        let row = tx.sql::<(st::Uuid, st::Text, st::Text, st::Integer, st::Nullable<st::Timestamptz>)>(
            "SELECT id, event_id, event, attempts, next_attempt_at FROM webhook_events \
             WHERE organization_id = {org} AND webhook_id = {} AND entity_id = {} AND status = 'pending' \
             ORDER BY seq, id LIMIT 1",
        );
        let row = row.with(|s| s.bind(self.webhook).bind(self.entity)).first::<Row>(tx)?;
        let Some((event, message_id, kind, attempts, due)) = row else { return Ok(Next::Nothing) };
        let now = tx.ctx.now;
        if let Some(until) = [due, webhook.paused_until].into_iter().flatten().filter(|at| *at > now).max() {
            return Ok(Next::Wait(until));
        }
        let Some(body) = made(tx, &webhook, &kind, &message_id)? else {
            give_up(tx, event.into(), "The event is no longer kept, or hidden from the webhook's role.")?;
            return Ok(Next::Unsendable);
        };
        let secrets = secrets::good(tx, keys, Owner::Webhook, self.webhook)?;
        let (webhook, url) = (webhook.id, webhook.fields.url);
        Ok(Next::Send(Letter { webhook, event: event.into(), message_id, url, attempt: attempts + 1, secrets, body }))
    }

    /// Is nothing left? Whoever makes a message holds the webhook until it is committed, so none is left behind.
    fn is_done(self, tx: &mut Tx<'_>) -> Result<bool> {
        tx.sql::<st::Integer>("SELECT 1 FROM webhooks WHERE organization_id = {org} AND id = {} FOR UPDATE")
            .with(|s| s.bind(self.webhook))
            .first::<i32>(tx)?;
        let left = tx.sql::<st::Integer>(
            "SELECT 1 FROM webhook_events WHERE organization_id = {org} AND webhook_id = {} AND entity_id = {} \
             AND status = 'pending' LIMIT 1",
        );
        Ok(left.with(|s| s.bind(self.webhook).bind(self.entity)).first::<i32>(tx)?.is_none())
    }

    /// Nothing waits for a webhook that is not active; replaying the time sends what was missed.
    fn cancel(self, tx: &mut Tx<'_>) -> Result<()> {
        let now = tx.ctx.now;
        tx.sql::<st::Integer>(
            "UPDATE webhook_events SET status = 'cancelled', next_attempt_at = NULL, finished_at = {}, updated_at = {} \
             WHERE organization_id = {org} AND webhook_id = {} AND entity_id = {} AND status = 'pending'",
        )
        .with(|s| s.bind(now).bind(now).bind(self.webhook).bind(self.entity))
        .run(tx)?;
        Ok(())
    }
}

/// The body of a message; none where its event has been pruned, or tells nothing that its role sees.
fn made(tx: &mut Tx<'_>, webhook: &Webhook, kind: &str, message_id: &str) -> Result<Option<Vec<u8>>> {
    if kind == replays::TEST {
        return payloads::test_body(tx, webhook, message_id).map(Some);
    }
    match outbox::find(tx, dispatch::event_of(message_id)?) {
        Ok(event) => payloads::body(tx, webhook, &event, message_id),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn give_up(tx: &mut Tx<'_>, event: Id<WebhookEvent>, why: &str) -> Result<()> {
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE webhook_events SET status = 'failed', next_attempt_at = NULL, last_error = {}, finished_at = {}, \
         updated_at = {} WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(why).bind(now).bind(now).bind(event))
    .run(tx)?;
    Ok(())
}

impl Letter {
    /// Signs it as of now, and sends it.
    fn send(
        &self,
        courier: &Courier,
        tracer: Option<&Tracer>,
        now: DateTime<Utc>,
    ) -> std::result::Result<Answered, CourierError> {
        let signed = Message { id: &self.message_id, sent_at: now, body: &self.body };
        let signature = signature::sign(&self.secrets, &signed).map_err(|_| CourierError::Broken)?;
        let mut headers = vec![
            ("webhook-id", self.message_id.clone()),
            ("webhook-timestamp", now.timestamp().to_string()),
            ("webhook-signature", signature),
        ];
        let mut span = tracer.map(|tracer| self.spanning(tracer));
        headers.extend(span.as_ref().map(|span| ("traceparent", span.context().header())));
        let answer = courier.post(&self.url, &headers, &self.body);
        match (&mut span, &answer) {
            (Some(span), Ok(answered)) => {
                span.set("http.response.status_code", i64::from(answered.status));
                // A redirect is not followed: what is no success is a failure.
                if !(200..300).contains(&answered.status) {
                    span.fail(answered.status.to_string());
                }
            }
            (Some(span), Err(error)) => span.fail(error.word()),
            (None, _) => {}
        }
        answer
    }

    /// The span of a try. Of the address it tells the host alone: many have a secret in their path.
    fn spanning(&self, tracer: &Tracer) -> Span {
        let mut span = tracer.begin(SpanKind::Client, "POST", traces::current());
        span.set("http.request.method", "POST");
        let url = url::Url::parse(&self.url).ok();
        if let Some(host) = url.as_ref().and_then(url::Url::host_str) {
            span.set("server.address", host.to_owned());
        }
        if let Some(port) = url.as_ref().and_then(url::Url::port_or_known_default) {
            span.set("server.port", i64::from(port));
        }
        if self.attempt > 1 {
            span.set("http.request.resend_count", i64::from(self.attempt - 1));
        }
        span
    }

    /// Notes what came of it, and draws the consequences for the webhook. Tells what they are.
    fn settle(&self, tx: &mut Tx<'_>, answer: &std::result::Result<Answered, CourierError>) -> Result<Verdict> {
        let now = tx.ctx.now;
        let ending = match answer {
            Ok(answered) => Ending::Answered {
                status: answered.status,
                retry_after: answered.retry_after.as_deref().and_then(|text| attempts::retry_after(text, now)),
            },
            Err(_) => Ending::Unanswered,
        };
        let attempts = usize::try_from(self.attempt).unwrap_or(usize::MAX);
        let verdict = attempts::judge(ending, attempts, now, Jitter::from_random(rand::rng().next_u32()));
        self.note(tx, answer, verdict)?;
        match verdict {
            Verdict::Delivered => delivered(tx, self.webhook),
            Verdict::Gone => disable(tx, self.webhook, "gone"),
            Verdict::Again(_) | Verdict::GivenUp => failed(tx, self.webhook, attempts::pause(ending, now)),
        }?;
        Ok(verdict)
    }

    fn note(
        &self,
        tx: &mut Tx<'_>,
        answer: &std::result::Result<Answered, CourierError>,
        verdict: Verdict,
    ) -> Result<()> {
        let now = tx.ctx.now;
        let (status, next) = match verdict {
            Verdict::Delivered => ("delivered", None),
            Verdict::Again(at) => ("pending", Some(at)),
            Verdict::GivenUp | Verdict::Gone => ("failed", None),
        };
        let finished = next.is_none().then_some(now);
        let code = answer.as_ref().ok().map(|answered| i32::from(answered.status));
        let excerpt = answer.as_ref().ok().map(|answered| answered.excerpt.as_str());
        let error = match (answer, verdict) {
            (_, Verdict::Delivered) => None,
            (Ok(answered), _) => Some(format!("The endpoint answered {}.", answered.status)),
            (Err(error), _) => Some(error.to_string()),
        };
        // A message that was replayed or cancelled meanwhile has its own way to go.
        tx.sql::<st::Integer>(
            "UPDATE webhook_events SET status = {}, attempts = {}, next_attempt_at = {}, response_status = {}, \
             response_excerpt = {}, last_error = {}, finished_at = {}, updated_at = {} \
             WHERE organization_id = {org} AND id = {} AND status = 'pending' AND attempts = {}",
        )
        .with(|s| {
            s.bind(status)
                .bind(self.attempt)
                .bind(next)
                .bind(code)
                .bind(excerpt)
                .bind(error)
                .bind(finished)
                .bind(now)
                .bind(self.event)
                .bind(self.attempt - 1)
        })
        .run(tx)?;
        Ok(())
    }
}

fn delivered(tx: &mut Tx<'_>, webhook: Id<Webhook>) -> Result<()> {
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE webhooks SET failing_since = NULL, paused_until = NULL, last_delivered_at = {} \
         WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(now).bind(webhook))
    .run(tx)?;
    Ok(())
}

/// Notes that a webhook fails, and disables it where it has done nothing else for days.
fn failed(tx: &mut Tx<'_>, webhook: Id<Webhook>, pause: Option<DateTime<Utc>>) -> Result<()> {
    let now = tx.ctx.now;
    let since = tx.sql::<st::Timestamptz>(
        "UPDATE webhooks SET failing_since = coalesce(failing_since, {}), paused_until = coalesce({}, paused_until) \
         WHERE organization_id = {org} AND id = {} RETURNING failing_since",
    );
    let since = since.with(|s| s.bind(now).bind(pause).bind(webhook)).first::<DateTime<Utc>>(tx)?;
    if attempts::is_lost(since, now) { disable(tx, webhook, "failing") } else { Ok(()) }
}

/// Disables a webhook and tells of it, unless that has happened already or it is gone.
fn disable(tx: &mut Tx<'_>, id: Id<Webhook>, reason: &'static str) -> Result<()> {
    match tx.find(id) {
        Ok(webhook) if webhook.fields.is_active => {
            subscriptions::disable(tx, id, reason)?;
            alert(tx, id, reason)
        }
        Ok(_) | Err(Error::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

fn alert(tx: &mut Tx<'_>, id: Id<Webhook>, reason: &str) -> Result<()> {
    let what = if reason == "gone" { "answered that it is gone" } else { "has done nothing but fail for five days" };
    let cause = Cause {
        fingerprint: &subscriptions::fingerprint(id),
        severity: Severity::Error,
        source: "webhooks",
        title: "A webhook was disabled",
        message: format!("The endpoint of webhook {id} {what}."),
    };
    alerts::raise(tx, &cause).map(drop)
}
