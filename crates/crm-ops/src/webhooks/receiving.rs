//! Receiving: a message is verified and stored, once, before anything else is done with it.
use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{
    Door, Error, Id, Result, Tx,
    jobs::{self, Enqueue, Failure, Job, JobRun},
    mail_outcomes::MailOutcomes,
    sealed::Keyring,
};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    mail_events::{self, Processed},
    messages::WebhookEvent,
    secrets::{self, Owner},
    signature::{self, Message, SignatureError},
    sources::WebhookSource,
};

/// A message as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct Incoming<'a> {
    /// The source that it is addressed to.
    pub source: Id<WebhookSource>,
    /// The header `webhook-id`.
    pub id: &'a str,
    /// The header `webhook-timestamp`.
    pub timestamp: &'a str,
    /// The header `webhook-signature`.
    pub signature: &'a str,
    /// The body, byte by byte.
    pub body: &'a [u8],
    /// When it arrived.
    pub received_at: DateTime<Utc>,
}

/// What became of a message on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is stored, and is going to be processed.
    Accepted,
    /// It is there already; nothing is done.
    Repeated,
}

/// The longest id of a message.
const LONGEST_ID: usize = 200;
/// The longest name of an event.
const LONGEST_NAME: usize = 100;
/// How long ago something may have happened that is told now.
const LONGEST_DELAY: TimeDelta = TimeDelta::days(366);

/// Receives a message.
///
/// # Errors
/// [`Error::NotFound`] where there is no such source, or an inactive one; [`Error::Unauthenticated`] for a bad signature or
/// timestamp; [`Error::Malformed`] for a signed message that is no JSON object with a `type`; [`Error::Conflict`] for
/// another body under an id that is known.
pub fn receive(door: &Door, keys: &Keyring, incoming: &Incoming<'_>) -> Result<Receipt> {
    let organization = door.organization_of("webhook_sources", incoming.source.uuid())?;
    door.system_write(organization, incoming.received_at, |tx| {
        let source = tx.find(incoming.source)?;
        if !source.fields.is_active {
            return Err(Error::NotFound);
        }
        complete(incoming)?;
        verify(tx, keys, incoming).map_err(|error| match error {
            Refusal::Signature(error) => {
                Error::Unauthenticated { code: "invalid_signature", reason: error.to_string() }
            }
            Refusal::Other(error) => error,
        })?;
        store(tx, incoming)
    })
}

/// Refuses a message without a signature, by the names of the headers that are missing.
fn complete(incoming: &Incoming<'_>) -> Result<()> {
    let headers = [
        ("webhook-id", incoming.id),
        ("webhook-timestamp", incoming.timestamp),
        ("webhook-signature", incoming.signature),
    ];
    let missing: Vec<_> =
        headers.iter().filter(|(_, text)| text.is_empty()).map(|(name, _)| format!("`{name}`")).collect();
    match missing.as_slice() {
        [] => Ok(()),
        missing => {
            let reason =
                format!("A message is signed by Standard Webhooks: there is no header {}.", missing.join(", "));
            Err(Error::Unauthenticated { code: "missing_signature", reason })
        }
    }
}

enum Refusal {
    Signature(SignatureError),
    Other(Error),
}

impl From<SignatureError> for Refusal {
    fn from(error: SignatureError) -> Self {
        Self::Signature(error)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

fn verify(tx: &mut Tx<'_>, keys: &Keyring, incoming: &Incoming<'_>) -> std::result::Result<(), Refusal> {
    let sent_at = signature::timestamp(incoming.timestamp)?;
    let secrets = secrets::good(tx, keys, Owner::Source, incoming.source.uuid())?;
    let message = Message { id: incoming.id, sent_at, body: incoming.body };
    Ok(signature::verify(&secrets, &message, incoming.signature, incoming.received_at)?)
}

/// Stores a message, unless it is there. Of two at once, the second waits for the first.
fn store(tx: &mut Tx<'_>, incoming: &Incoming<'_>) -> Result<Receipt> {
    let (body, kind, occurred_at) = understand(incoming)?;
    let digest = Sha256::digest(incoming.body).to_vec();
    let (event, now) = (Id::<WebhookEvent>::new(), tx.ctx.now);
    let made = tx.sql::<st::Uuid>(
        "INSERT INTO webhook_events (organization_id, id, direction, source_id, event_id, event, status, body, \
         body_digest, occurred_at, created_at, updated_at) \
         VALUES ({org}, {}, 'in', {}, {}, {}, 'pending', {}, {}, {}, {}, {}) \
         ON CONFLICT (organization_id, source_id, event_id) WHERE source_id IS NOT NULL DO NOTHING RETURNING id",
    );
    let made = made.with(|s| {
        s.bind(event)
            .bind(incoming.source)
            .bind(incoming.id)
            .bind(kind)
            .bind(body)
            .bind(digest.clone())
            .bind(occurred_at)
            .bind(now)
            .bind(now)
    });
    if made.first::<Uuid>(tx)?.is_some() {
        jobs::enqueue(tx, &ProcessWebhook { event: event.uuid() }, &Enqueue::default())?;
        return Ok(Receipt::Accepted);
    }
    let known = tx.sql::<st::Binary>(
        "SELECT body_digest FROM webhook_events WHERE organization_id = {org} AND source_id = {} AND event_id = {}",
    );
    let known: Vec<u8> = known.with(|s| s.bind(incoming.source).bind(incoming.id)).one(tx)?;
    if known == digest {
        return Ok(Receipt::Repeated);
    }
    let detail = "A message of this id has arrived with another body.".into();
    Err(Error::Conflict { code: "other_body", detail })
}

/// The body, what it tells of, and when that happened.
fn understand(incoming: &Incoming<'_>) -> Result<(Value, String, DateTime<Utc>)> {
    let malformed = |detail: &str| Error::Malformed { code: "invalid_message", detail: detail.into() };
    if incoming.id.len() > LONGEST_ID {
        return Err(malformed("The header `webhook-id` is longer than 200 characters."));
    }
    let body: Value = serde_json::from_slice(incoming.body).map_err(|_| malformed("The body is not JSON."))?;
    let kind = body.get("type").and_then(Value::as_str).unwrap_or_default();
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if kind.is_empty() {
        return Err(malformed("The body needs a `type`, such as email.bounced."));
    }
    if kind.chars().count() > LONGEST_NAME {
        return Err(malformed("The `type` is longer than 100 characters."));
    }
    if !kind.chars().all(is_name) {
        return Err(malformed(
            "The `type` holds other characters than letters, digits, full stops, underscores and hyphens.",
        ));
    }
    if incoming.body.windows(6).any(|six| six == b"\\u0000") {
        return Err(malformed("The body holds a NUL, which no text may."));
    }
    let at = body.get("timestamp").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let kind = kind.to_owned();
    Ok((body, kind, at.filter(|at| is_credible(*at, incoming.received_at)).unwrap_or(incoming.received_at)))
}

/// Can something that is told now have happened then? What is not credible is taken to have happened now: the news may be
/// true all the same, and a sender whose clock is wrong would only repeat it for days.
fn is_credible(at: DateTime<Utc>, received_at: DateTime<Utc>) -> bool {
    (received_at - LONGEST_DELAY..=received_at + signature::TOLERANCE).contains(&at)
}

/// The job that processes a message that was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessWebhook {
    /// Which message.
    pub(super) event: Uuid,
}

impl Job for ProcessWebhook {
    const NAME: &'static str = "process_webhook";
    const QUEUE: &'static str = "webhooks";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        let listener = run.port::<dyn MailOutcomes>();
        run.finish(|tx| self.process(tx, listener.as_deref()))
    }

    fn given_up(self, tx: &mut Tx<'_>, reason: &str) -> Result<()> {
        self.note(tx, "failed", Some(reason))
    }
}

impl ProcessWebhook {
    /// Processes a message that waits. What a rule refuses is noted and undone; an outage is tried again.
    fn process(self, tx: &mut Tx<'_>, listener: Option<&dyn MailOutcomes>) -> Result<()> {
        type Row = (String, Value, DateTime<Utc>, String);
        let row = tx.sql::<(st::Text, st::Jsonb, st::Timestamptz, st::Text)>(
            "SELECT e.event, e.body, e.occurred_at, s.name FROM webhook_events e \
             JOIN webhook_sources s ON s.organization_id = e.organization_id AND s.id = e.source_id \
             WHERE e.organization_id = {org} AND e.id = {} AND e.status = 'pending' FOR UPDATE OF e",
        );
        let Some((kind, body, at, source)) = row.with(|s| s.bind(self.event)).first::<Row>(tx)? else { return Ok(()) };
        let told = mail_events::Told { kind: &kind, body: &body, at, source: &source };
        match tx.savepoint(|tx| mail_events::process(tx, &told, listener)) {
            Ok(Processed::Done) => self.note(tx, "processed", None),
            Ok(Processed::Ignored(why)) => self.note(tx, "ignored", Some(why)),
            Err(error) if error.is_outage() => Err(error),
            Err(error) => self.note(tx, "failed", Some(error.code())),
        }
    }

    fn note(self, tx: &mut Tx<'_>, status: &str, why: Option<&str>) -> Result<()> {
        let now = tx.ctx.now;
        tx.sql::<st::Integer>(
            "UPDATE webhook_events SET status = {}, attempts = attempts + 1, next_attempt_at = NULL, last_error = {}, \
             finished_at = {}, updated_at = {} WHERE organization_id = {org} AND id = {}",
        )
        .with(|s| s.bind(status).bind(why).bind(now).bind(now).bind(self.event))
        .run(tx)?;
        Ok(())
    }
}
