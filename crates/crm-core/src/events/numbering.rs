//! The numbers of events, given by readers once it is known which transactions came first.
use diesel::sql_types as st;

use crate::{Result, Tx};

/// How many events one statement numbers.
const BATCH: i64 = 1_000;

/// Numbers all events that have been committed. Gives back the last number.
///
/// An event gets its number after its transaction has ended, and under a lock, so that numbers are seen in their order: a
/// reader that has seen a number will never meet a smaller one later. Within one record the order is that of its
/// changes, since the second of two writers holds the record, and looks at the database's clock, only after the first has
/// committed.
///
/// # Errors
/// What the database says.
pub fn number(tx: &mut Tx<'_>) -> Result<i64> {
    tx.check_writable()?;
    let waiting = tx
        .sql::<st::BigInt>("SELECT 1::bigint FROM domain_events WHERE organization_id = {org} AND seq IS NULL LIMIT 1");
    if waiting.first::<i64>(tx)?.is_none() {
        return head(tx);
    }
    let mut seq = lock_head(tx)?;
    loop {
        let numbered = tx
            .sql::<st::Integer>(
                "WITH next AS (SELECT id, row_number() OVER (ORDER BY written_at, id) AS n FROM domain_events \
                 WHERE organization_id = {org} AND seq IS NULL ORDER BY written_at, id LIMIT {}) \
                 UPDATE domain_events e SET seq = {} + next.n FROM next \
                 WHERE e.organization_id = {org} AND e.id = next.id",
            )
            .with(|s| s.bind(BATCH).bind(seq))
            .run(tx)?;
        let numbered = i64::try_from(numbered).unwrap_or(0);
        seq += numbered;
        if numbered < BATCH {
            break;
        }
    }
    tx.sql::<st::Integer>("UPDATE domain_event_heads SET seq = {} WHERE organization_id = {org}")
        .with(|s| s.bind(seq))
        .run(tx)?;
    Ok(seq)
}

fn head(tx: &mut Tx<'_>) -> Result<i64> {
    let seq = tx.sql::<st::BigInt>("SELECT seq FROM domain_event_heads WHERE organization_id = {org}");
    Ok(seq.first(tx)?.unwrap_or(0))
}

/// Holds the head against other readers, and not against writers. The next statement sees what all of them have committed.
pub(super) fn lock_head(tx: &mut Tx<'_>) -> Result<i64> {
    tx.sql::<st::Integer>("INSERT INTO domain_event_heads (organization_id) VALUES ({org}) ON CONFLICT DO NOTHING")
        .run(tx)?;
    let seq =
        tx.sql::<st::BigInt>("SELECT seq FROM domain_event_heads WHERE organization_id = {org} FOR NO KEY UPDATE");
    Ok(seq.one(tx)?)
}
