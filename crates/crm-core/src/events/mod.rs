//! Domain events: what happened to which record, written in the transaction of the change, for whoever wants to hear of it.
//!
//! Every record that belongs to business units is announced by [`change`](crate::change): made, changed, deleted, on
//! whatever path. What is no change of a record is told by [`announce`]. An event holds no values; a receiver reads
//! the record as it may see it ([`record_as_seen`]). Readers go by [`DomainEvent::seq`], which [`number`] gives in an order
//! in which no event can come in behind a reader's back.
//!
//! ```no_run
//! # use crm_core::{Tx, Result, events};
//! /// What has happened since `seen`, for a reader that keeps that number.
//! fn news(tx: &mut Tx<'_>, seen: i64) -> Result<Vec<events::DomainEvent>> {
//!     events::number(tx)?;
//!     events::after(tx, seen, 100)
//! }
//! ```
use chrono::{DateTime, Utc};
use diesel::sql_types as st;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{Error, Id, Result, Tx, business_units::BusinessUnit, history::kinds, users::User};

mod following;
mod listening;
mod numbering;
mod seeing;
mod writing;

pub use following::{DISPATCH_JOB, DISPATCH_QUEUE, follow, is_dispatched, mark_dispatched, undispatched};
pub use listening::Listener;
pub use numbering::number;
pub use seeing::{SeenEvent, seen, shown};
pub(crate) use writing::{Unwritten, changed, created, deleted, told, write};

/// The names that receivers can ask for, beside whole groups (`deal.*`) and everything (`*`).
pub const KINDS: [&str; 31] = [
    "lead.created",
    "lead.updated",
    "lead.deleted",
    "lead.converted",
    "deal.created",
    "deal.updated",
    "deal.stage_changed",
    "deal.won",
    "deal.lost",
    "deal.reopened",
    "deal.deleted",
    "company.created",
    "company.updated",
    "company.deleted",
    "contact.created",
    "contact.updated",
    "contact.deleted",
    "activity.created",
    "activity.updated",
    "activity.deleted",
    "task.created",
    "task.updated",
    "task.completed",
    "task.deleted",
    "email.sent",
    "email.bounced",
    "email.complained",
    "email.replied",
    "approval.requested",
    "approval.decided",
    "alert.raised",
];

/// What kind of thing an event is about that is told to one user alone, on their own stream: a notification.
const PERSONAL: &str = "notification";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainEvent {
    /// Its id.
    pub id: Id<DomainEvent>,
    /// Its number in the organization, from 1 and without a gap. Of one record, events have the order of its changes.
    pub seq: i64,
    /// What happened: `deal.won`. A change is announced once, by its most telling name.
    pub kind: String,
    /// To what kind of record: `deal`.
    pub entity_type: String,
    /// To which one.
    pub entity_id: Uuid,
    /// The version that the record got by it; 0 where it has none.
    pub entity_version: i64,
    /// The business unit that the record belonged to afterwards; none is seen by all.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// The names of the fields that changed, `customFields.region` for a custom field; none for what is new or gone.
    pub changed_fields: Vec<String>,
    /// What the announcement told besides.
    pub details: Option<Value>,
    /// What acted: `user`, `api_key`, `import` or `system`.
    pub actor: String,
    /// In whose name; nobody for the program itself.
    pub actor_user_id: Option<Id<User>>,
    /// All that one request changed bears the same one.
    pub change_set_id: Uuid,
    /// When.
    pub occurred_at: DateTime<Utc>,
}

/// Something to be told that is no change of a record which belongs to business units.
#[derive(Debug, Clone, Default)]
pub struct Announcement {
    /// What happened: one of [`KINDS`].
    pub kind: &'static str,
    /// To what kind of thing: `approval`.
    pub entity_type: &'static str,
    /// To which one.
    pub entity_id: Uuid,
    /// The business unit that it belongs to; none is seen by all.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// What receivers are told besides. It is shown whatever a receiver's role hides, so nothing personal and no field of a
    /// record belongs there, only ids and words of closed sets.
    pub details: Option<Value>,
}

/// Tells that something happened, as part of the transaction.
///
/// # Errors
/// [`Error::Internal`] for a name that is not one of [`KINDS`], or inside a read.
pub fn announce(tx: &mut Tx<'_>, announcement: Announcement) -> Result<()> {
    tx.check_writable()?;
    if !KINDS.contains(&announcement.kind) {
        return Err(Error::internal(format!("`{}` is not the name of an event", announcement.kind)));
    }
    writing::announced(tx, announcement);
    Ok(())
}

/// The numbered events after `seq`, in order, at most `limit`.
///
/// # Errors
/// What the database says.
pub fn after(tx: &mut Tx<'_>, seq: i64, limit: i64) -> Result<Vec<DomainEvent>> {
    behind(tx, seq, limit, "")
}

/// As [`after`], of the events that are told to nobody in particular.
fn after_for_all(tx: &mut Tx<'_>, seq: i64, limit: i64) -> Result<Vec<DomainEvent>> {
    behind(tx, seq, limit, &format!("AND entity_type <> '{PERSONAL}' "))
}

fn behind(tx: &mut Tx<'_>, seq: i64, limit: i64, condition: &str) -> Result<Vec<DomainEvent>> {
    let text = format!(
        "SELECT id, seq, kind, entity_type, entity_id, entity_version, business_unit_id, changed_fields, details, actor, \
         actor_user_id, change_set_id, occurred_at FROM domain_events \
         WHERE organization_id = {{org}} AND seq > {{}} {condition}ORDER BY seq LIMIT {{}}"
    );
    let rows = tx.sql_text::<RowTypes>(text).with(|s| s.bind(seq).bind(limit)).all::<Row>(tx)?;
    Ok(rows.into_iter().map(DomainEvent::from).collect())
}

/// The numbered events after `seq` that happened from one instant to before another, in order, at most `limit`.
///
/// # Errors
/// What the database says.
pub fn between(
    tx: &mut Tx<'_>,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
    seq: i64,
    limit: i64,
) -> Result<Vec<DomainEvent>> {
    let rows = tx.sql::<RowTypes>(
        "SELECT id, seq, kind, entity_type, entity_id, entity_version, business_unit_id, changed_fields, details, actor, \
         actor_user_id, change_set_id, occurred_at FROM domain_events \
         WHERE organization_id = {org} AND seq > {} AND occurred_at >= {} AND occurred_at < {} ORDER BY seq LIMIT {}",
    );
    let rows = rows.with(|s| s.bind(seq).bind(from).bind(to).bind(limit)).all::<Row>(tx)?;
    Ok(rows.into_iter().map(DomainEvent::from).collect())
}

/// One event, numbered or not yet.
///
/// # Errors
/// [`Error::NotFound`] also where it has been pruned.
pub fn find(tx: &mut Tx<'_>, id: Id<DomainEvent>) -> Result<DomainEvent> {
    let row = tx.sql::<RowTypes>(
        "SELECT id, coalesce(seq, 0), kind, entity_type, entity_id, entity_version, business_unit_id, changed_fields, \
         details, actor, actor_user_id, change_set_id, occurred_at FROM domain_events \
         WHERE organization_id = {org} AND id = {}",
    );
    let row = row.with(|s| s.bind(id)).first::<Row>(tx)?;
    row.map(DomainEvent::from).ok_or(Error::NotFound)
}

/// The number of the oldest event that is still there, or of the one that comes next where there is none. A reader that has seen less
/// than all before it has missed something.
///
/// # Errors
/// What the database says.
pub fn oldest(tx: &mut Tx<'_>) -> Result<i64> {
    let row = tx.sql::<st::BigInt>(
        "SELECT coalesce((SELECT min(e.seq) FROM domain_events e WHERE e.organization_id = h.organization_id), h.seq + 1) \
         FROM domain_event_heads h WHERE h.organization_id = {org}",
    );
    Ok(row.first(tx)?.unwrap_or(1))
}

/// Removes the events that happened before an instant, numbered or not. Gives back how many.
///
/// # Errors
/// What the database says.
pub fn prune(tx: &mut Tx<'_>, before: DateTime<Utc>) -> Result<usize> {
    tx.check_writable()?;
    // The primary key begins with the moment at which a row was written, which is never before the event.
    let millis = u64::try_from(before.timestamp_millis()).unwrap_or(0);
    let bound = uuid::Builder::from_unix_timestamp_millis(millis, &[0; 10]).into_uuid();
    let rows = tx
        .sql::<st::Integer>("DELETE FROM domain_events WHERE organization_id = {org} AND id < {} AND occurred_at < {}");
    Ok(rows.with(|s| s.bind(bound).bind(before)).run(tx)?)
}

/// A record as the transaction's actor sees it now: within their business units, without what is hidden from them, and with the names
/// of that in `maskedFields`. `None` for one that they do not see or that is gone, and for a kind that is not a record.
///
/// # Errors
/// What the database says.
pub fn record_as_seen(tx: &mut Tx<'_>, entity_type: &str, id: Uuid) -> Result<Option<Map<String, Value>>> {
    let Some(kind) = kinds::named(entity_type) else { return Ok(None) };
    match (kind.as_seen)(tx, id) {
        Ok(members) => Ok(Some(members)),
        Err(Error::NotFound | Error::Forbidden { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

type Row = (
    Uuid,
    i64,
    String,
    String,
    Uuid,
    i64,
    Option<Uuid>,
    Vec<String>,
    Option<Value>,
    String,
    Option<Uuid>,
    Uuid,
    DateTime<Utc>,
);
type RowTypes = (
    st::Uuid,
    st::BigInt,
    st::Text,
    st::Text,
    st::Uuid,
    st::BigInt,
    st::Nullable<st::Uuid>,
    st::Array<st::Text>,
    st::Nullable<st::Jsonb>,
    st::Text,
    st::Nullable<st::Uuid>,
    st::Uuid,
    st::Timestamptz,
);

impl From<Row> for DomainEvent {
    fn from(row: Row) -> Self {
        let (
            id,
            seq,
            kind,
            entity_type,
            entity_id,
            entity_version,
            unit,
            changed_fields,
            details,
            actor,
            user,
            set,
            at,
        ) = row;
        Self {
            id: id.into(),
            seq,
            kind,
            entity_type,
            entity_id,
            entity_version,
            business_unit_id: unit.map(Id::from),
            changed_fields,
            details,
            actor,
            actor_user_id: user.map(Id::from),
            change_set_id: set,
            occurred_at: at,
        }
    }
}
