//! Requests that are sent again are answered again, and done once: the rules of the header `Idempotency-Key`, after
//! Stripe's and the IETF draft of that name.
//!
//! The answer is kept in the transaction that has the effect, so that there is never one without the other. While that
//! transaction runs, it holds a lock of the database; a gateway that dies loses the lock with its connection, and the key
//! is free again. What is kept is sealed with a key made from the sender's own key and the request, neither of which is
//! stored: the table alone tells nobody what was asked or answered.
use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{
    Actor, Ctx, Error, Result, Tx,
    jobs::{Failure, Job, JobRun, Recurring, Schedule},
    sealed::{Keyring, SealError, Sealed},
    sessions::tokens::Secret,
};
use diesel::sql_types as st;
use hmac::{Hmac, Mac};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

/// How long an answer is kept.
pub const KEPT: TimeDelta = TimeDelta::hours(24);
/// The longest key, in characters.
pub const LONGEST: usize = 255;
/// The code of a refusal because the first request with the key is not done yet.
pub const IN_USE: &str = "idempotency_key_in_use";
/// The code of a refusal because what the sender may see has changed since the answer was given.
pub const WITHHELD: &str = "idempotency_answer_withheld";
/// The code of a refusal because the key came with another request before.
pub const REUSED: &str = "idempotency_key_reused";

/// How many answers one transaction throws away.
const BATCH: usize = 2_000;
/// The header that carries a key, as it stands in refusals.
const HEADER: &str = "Idempotency-Key";
/// The name of the key in a ring of one.
const SEAL: &str = "request";

/// What a client calls a request by, so that it is known when it is sent again. It cannot be printed: what it seals is no
/// safer than the key is secret.
#[derive(Clone)]
pub struct IdempotencyKey(String);

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// There is nothing.
    #[error("An Idempotency-Key must not be empty; a random UUID is a good one.")]
    Empty,
    /// More than [`LONGEST`] characters.
    #[error("An Idempotency-Key has at most 255 characters.")]
    TooLong,
    /// A character that is not visible ASCII.
    #[error("An Idempotency-Key is made of visible ASCII characters, without spaces.")]
    NotVisible,
    /// A request with more than one.
    #[error("A request has one Idempotency-Key.")]
    Repeated,
}

/// What a key stands for: one request, as far as two of them are the same.
#[derive(Clone)]
pub struct Request<'r> {
    /// The key that it came with.
    pub key: &'r IdempotencyKey,
    /// Its method.
    pub method: &'r str,
    /// Its address, the query included.
    pub address: &'r str,
    /// Its body, as [`digest`] tells it.
    pub content: [u8; 32],
}

/// An answer, as far as it is given again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The status.
    pub status: u16,
    /// The headers that belong to it.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// An answer, and what its receiver could see and do when it was given.
#[derive(Serialize, Deserialize)]
struct Given {
    kept: Kept,
    sight: String,
}

/// What is to be done with a request.
pub enum Claim {
    /// It is the first with its key: do it, and keep its answer.
    First(Claimed),
    /// It was done: answer so.
    Again(Kept),
}

/// A key that this transaction holds until it ends.
pub struct Claimed {
    id: Uuid,
    fingerprint: [u8; 32],
    seal: [u8; 32],
}

impl IdempotencyKey {
    /// Reads a key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        match text.len() {
            0 => Err(KeyError::Empty),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err(KeyError::NotVisible),
            1..=LONGEST => Ok(Self(text.to_owned())),
            _ => Err(KeyError::TooLong),
        }
    }
}

/// Tells contents apart: SHA-256 over the parts, each with its length in front.
///
/// ```
/// use crm_ops::idempotency::digest;
/// assert_eq!(digest([b"lead".as_slice(), b"1"]), digest([b"lead".as_slice(), b"1"]));
/// assert_ne!(digest([b"lead".as_slice(), b"1"]), digest([b"lea".as_slice(), b"d1"]));
/// ```
pub fn digest<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

/// Claims the key of a request for this transaction, or finds the answer that was given. Whatever the transaction does
/// about the request comes after.
///
/// # Errors
/// [`Error::Conflict`] [`IN_USE`] while another transaction holds the key; [`Error::Invalid`] [`REUSED`] where it stands
/// for another request; [`Error::Conflict`] [`WITHHELD`] where it was done, and the sender's role, business units or the
/// policies have changed since: the answer may hold what they no longer see.
pub fn claim(tx: &mut Tx<'_>, request: &Request<'_>) -> Result<Claim> {
    let claimed = Claimed::of(tx.ctx, request)?;
    let text = "SELECT pg_try_advisory_xact_lock({}) FROM (VALUES ({org})) AS own (organization_id)";
    let lock = i64::from_be_bytes(first(claimed.id.as_bytes()));
    if !tx.sql::<st::Bool>(text).with(|s| s.bind(lock)).one::<bool>(tx)? {
        return Err(in_use());
    }
    // Only now: a statement sees what was committed before it began, and the last holder has committed by now.
    let text = "SELECT fingerprint, answer, created_at FROM idempotency_keys WHERE organization_id = {org} AND id = {}";
    let found = tx.sql::<(st::Binary, st::Text, st::Timestamptz)>(text).with(|s| s.bind(claimed.id));
    let Some((fingerprint, answer, created_at)) = found.first::<(Vec<u8>, String, DateTime<Utc>)>(tx)? else {
        return Ok(Claim::First(claimed));
    };
    if created_at <= tx.ctx.now - KEPT {
        let text = "DELETE FROM idempotency_keys WHERE organization_id = {org} AND id = {}";
        tx.sql::<st::Integer>(text).with(|s| s.bind(claimed.id)).run(tx)?;
        return Ok(Claim::First(claimed));
    }
    if !bool::from(fingerprint.ct_eq(&claimed.fingerprint)) {
        let message = "This key came with another request before. A new request needs a new key.";
        return Err(Error::invalid(HEADER, REUSED, message));
    }
    let Given { kept, sight } = claimed.open(tx.ctx, answer)?;
    if sight == self::sight(tx)? { Ok(Claim::Again(kept)) } else { Err(withheld(kept.status)) }
}

/// Keeps the answer of a request, in the transaction that did what it asked.
///
/// # Errors
/// [`Error::Conflict`] [`IN_USE`] where another transaction has kept one meanwhile: on a cluster whose nodes do not share
/// their locks the row itself decides, and this transaction has no effect.
pub fn keep(tx: &mut Tx<'_>, claimed: &Claimed, kept: &Kept) -> Result<()> {
    let answer = claimed.seal(tx.ctx, &Given { kept: kept.clone(), sight: sight(tx)? })?;
    let text = "INSERT INTO idempotency_keys (organization_id, id, fingerprint, answer, created_at) \
                VALUES ({org}, {}, {}, {}, {}) ON CONFLICT DO NOTHING";
    let now = tx.ctx.now;
    let insert = tx
        .sql::<st::Integer>(text)
        .with(|s| s.bind(claimed.id).bind(claimed.fingerprint.to_vec()).bind(answer.as_stored()).bind(now));
    match insert.run(tx)? {
        0 => Err(in_use()),
        _ => Ok(()),
    }
}

/// Throws away at most `limit` answers that are older than [`KEPT`], the oldest first, and says how many there were.
///
/// # Errors
/// What the database says.
pub fn prune(tx: &mut Tx<'_>, limit: usize) -> Result<usize> {
    let text = "DELETE FROM idempotency_keys WHERE organization_id = {org} AND id IN (SELECT id FROM idempotency_keys \
                WHERE organization_id = {org} AND created_at <= {} ORDER BY created_at LIMIT {})";
    let (until, limit) = (tx.ctx.now - KEPT, i64::try_from(limit).unwrap_or(i64::MAX));
    Ok(tx.sql::<st::Integer>(text).with(|s| s.bind(until).bind(limit)).run(tx)?)
}

/// Throws away the old answers of one organization.
#[derive(Debug, Serialize, Deserialize)]
pub struct PruneIdempotencyKeys {}

impl Job for PruneIdempotencyKeys {
    const NAME: &'static str = "prune_idempotency_keys";

    fn run(self, run: &JobRun<'_>) -> Result<(), Failure> {
        while !run.finish_if(|tx| Ok(prune(tx, BATCH)? == 0))? {
            if run.is_stopping() {
                return Err(run.leave());
            }
        }
        Ok(())
    }
}

impl Recurring for PruneIdempotencyKeys {
    const SCHEDULE: Schedule = Schedule::daily(4, 0);

    fn due(_at: DateTime<Utc>) -> Self {
        Self {}
    }
}

impl Claimed {
    /// The key belongs to the user or the API key that sent it: others' keys of the same text are other keys.
    fn of(ctx: &Ctx, request: &Request<'_>) -> Result<Self> {
        let sender = match &ctx.actor {
            Actor::User(user) => user.uuid(),
            Actor::ApiKey { key, .. } => *key,
            Actor::Import { .. } | Actor::System => return Err(Error::internal("the program has no Idempotency-Key")),
        };
        let organization = ctx.organization.uuid();
        let sent = digest([organization.as_bytes().as_slice(), sender.as_bytes(), request.key.0.as_bytes()]);
        let whole = digest([sent.as_slice(), request.method.as_bytes(), request.address.as_bytes(), &request.content]);
        Ok(Self {
            id: uuid::Builder::from_custom_bytes(first(&derive(&sent, "id")?)).into_uuid(),
            fingerprint: derive(&whole, "fingerprint")?,
            seal: derive(&whole, "seal")?,
        })
    }

    fn seal(&self, ctx: &Ctx, given: &Given) -> Result<Sealed> {
        let text = serde_json::to_string(given).map_err(|error| Error::Internal(Box::new(error)))?;
        let mut nonce = [0; 24];
        rand::rng().fill_bytes(&mut nonce);
        let keys = self.keys().map_err(fault)?;
        keys.seal(&Secret::new(text), &self.row(ctx), nonce).map_err(fault)
    }

    fn open(&self, ctx: &Ctx, stored: String) -> Result<Given> {
        let text = self.keys().and_then(|keys| keys.open(&Sealed::stored(stored), &self.row(ctx))).map_err(fault)?;
        serde_json::from_str(text.expose()).map_err(|error| Error::Internal(Box::new(error)))
    }

    fn keys(&self) -> Result<Keyring, SealError> {
        Keyring::new(SEAL, [(SEAL, self.seal)])
    }

    fn row(&self, ctx: &Ctx) -> String {
        format!("heimdell/v1|idempotency|org={}|id={}", ctx.organization, self.id)
    }
}

/// One key for one purpose (RFC 5869, the step "expand", for a single block).
fn derive(secret: &[u8; 32], purpose: &str) -> Result<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|error| Error::Internal(Box::new(error)))?;
    mac.update(b"heimdell/v1|idempotency|");
    mac.update(purpose.as_bytes());
    mac.update(&[1]);
    Ok(mac.finalize().into_bytes().into())
}

/// The first bytes of a longer text.
fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut first = [0; N];
    first.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    first
}

/// By what it is judged what the sender sees and may do: when it is another, an answer of before may tell too much.
fn sight(tx: &mut Tx<'_>) -> Result<String> {
    let text = "SELECT policy_version FROM organizations WHERE organization_id = {org}";
    let policies: i64 = tx.sql::<st::BigInt>(text).one(tx)?;
    let units = tx.ctx.scope.units.as_ref().map(|units| units.iter().map(ToString::to_string).collect::<Vec<_>>());
    Ok(format!("{}|{policies}|{}", tx.ctx.role.as_str(), units.map_or("*".into(), |units| units.join(","))))
}

fn withheld(status: u16) -> Error {
    let detail = format!(
        "This request was done before, and answered with {status}. What you may see has changed since, so that answer is \
         not given again: read what the request made."
    );
    Error::Conflict { code: WITHHELD, detail }
}

fn in_use() -> Error {
    let detail = "The first request with this Idempotency-Key is not done yet. Send it again in a moment.".into();
    Error::Conflict { code: IN_USE, detail }
}

fn fault(error: SealError) -> Error {
    Error::Internal(Box::new(error))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_visible_and_neither_empty_nor_long() {
        for (text, expected) in [
            ("8e03978e-40d5-43dd-bc93-6894a57f9324", None),
            ("x", None),
            ("", Some(KeyError::Empty)),
            (" ", Some(KeyError::NotVisible)),
            ("a b", Some(KeyError::NotVisible)),
            ("ключ", Some(KeyError::NotVisible)),
            ("a\u{7f}", Some(KeyError::NotVisible)),
            (&"k".repeat(LONGEST), None),
            (&"k".repeat(LONGEST + 1), Some(KeyError::TooLong)),
        ] {
            assert_eq!(IdempotencyKey::parse(text).err(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn contents_that_differ_have_digests_that_differ(
            a in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4), 0..4),
            b in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..4), 0..4),
        ) {
            let of = |parts: &[Vec<u8>]| digest(parts.iter().map(Vec::as_slice));
            prop_assert_eq!(of(&a) == of(&b), a == b);
        }

        #[test]
        fn any_text_is_a_key_or_is_told_why_not(text in any::<String>()) {
            let is_fit = (1..=LONGEST).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
            prop_assert_eq!(IdempotencyKey::parse(&text).is_ok(), is_fit);
        }
    }
}
