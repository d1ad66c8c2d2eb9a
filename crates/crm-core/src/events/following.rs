//! Dispatching: where somebody wants to hear of events without asking, each transaction that tells some wakes one job.
use diesel::sql_types as st;

use super::{DomainEvent, PERSONAL, after_for_all, number, numbering::lock_head};
use crate::{Result, Tx};

/// The name of the job that dispatches an organization's events; whoever follows them gives it a handler.
pub const DISPATCH_JOB: &str = "dispatch_events";
/// The queue that it waits in.
pub const DISPATCH_QUEUE: &str = "webhooks";

/// From now on events are dispatched, or no longer. What happened before is not.
///
/// # Errors
/// What the database says.
pub fn follow(tx: &mut Tx<'_>, is_followed: bool) -> Result<()> {
    number(tx)?;
    lock_head(tx)?;
    tx.sql::<st::Integer>(
        "UPDATE domain_event_heads SET dispatched_seq = CASE WHEN is_followed THEN dispatched_seq ELSE seq END, \
         is_followed = {} WHERE organization_id = {org}",
    )
    .with(|s| s.bind(is_followed))
    .run(tx)?;
    Ok(())
}

/// The next events that have not been dispatched, numbered now where they were not.
///
/// # Errors
/// What the database says.
pub fn undispatched(tx: &mut Tx<'_>, limit: i64) -> Result<Vec<DomainEvent>> {
    number(tx)?;
    let seq = tx.sql::<st::BigInt>("SELECT dispatched_seq FROM domain_event_heads WHERE organization_id = {org}");
    let seq = seq.first(tx)?.unwrap_or(0);
    after_for_all(tx, seq, limit)
}

/// Notes that all events up to `seq` are dispatched.
///
/// # Errors
/// What the database says.
pub fn mark_dispatched(tx: &mut Tx<'_>, seq: i64) -> Result<()> {
    tx.sql::<st::Integer>(
        "UPDATE domain_event_heads SET dispatched_seq = greatest(dispatched_seq, {}) WHERE organization_id = {org}",
    )
    .with(|s| s.bind(seq))
    .run(tx)?;
    Ok(())
}

/// Is there nothing left to dispatch? Waits for the writers that found the dispatching alive, and holds off new ones
/// until the transaction ends, so that the job can end in it without leaving an event behind.
///
/// # Errors
/// What the database says.
pub fn is_dispatched(tx: &mut Tx<'_>) -> Result<bool> {
    tx.check_writable()?;
    let head = tx.sql::<st::BigInt>("SELECT seq FROM domain_event_heads WHERE organization_id = {org} FOR UPDATE");
    if head.first::<i64>(tx)?.is_none() {
        return Ok(true);
    }
    let left = tx.sql::<st::Bool>(
        "SELECT EXISTS (SELECT FROM domain_events e WHERE e.organization_id = h.organization_id \
         AND e.entity_type <> {} AND (e.seq IS NULL OR e.seq > h.dispatched_seq)) FROM domain_event_heads h WHERE h.organization_id = {org}",
    );
    Ok(!left.with(|s| s.bind(PERSONAL)).one::<bool>(tx)?)
}
