//! Taking the snapshots: each night the spans of the deals that changed are told anew from their histories.

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use crm_core::{
    Error, Id, Result, Tx,
    jobs::{Failure, Job, JobRun, Recurring, Schedule},
    organizations,
};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use super::deal_histories::{self, CHUNK, DealHistory, DealState, word};

/// How much further than the last run a run looks back: a transaction that had begun before it may have ended after.
const OVERLAP: TimeDelta = TimeDelta::hours(1);

/// Takes the snapshots of all days that are over. Run again, it changes nothing.
#[derive(Debug, Serialize, Deserialize)]
pub struct DealSnapshotsJob {}

impl Job for DealSnapshotsJob {
    const NAME: &'static str = "deal_snapshots";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        let (begun_at, changed) = run.step(|tx| Ok((tx.ctx.now, changed(tx)?)))?;
        for deals in changed.chunks(CHUNK) {
            if run.is_stopping() {
                return Err(run.leave());
            }
            run.step(|tx| take(tx, deals))?;
        }
        run.finish(|tx| note(tx, begun_at))
    }
}

impl Recurring for DealSnapshotsJob {
    const SCHEDULE: Schedule = Schedule::daily(0, 15);

    fn due(_at: DateTime<Utc>) -> Self {
        Self {}
    }
}

/// Takes all of it in the caller's transaction, which is the program's own.
///
/// # Errors
/// What the database says.
pub fn take_all(tx: &mut Tx<'_>) -> Result<()> {
    let begun_at = tx.ctx.now;
    changed(tx)?.chunks(CHUNK).try_for_each(|deals| take(tx, deals))?;
    note(tx, begun_at)
}

/// The deals that have changed since the last run, deleted ones among them; all of them before the first.
fn changed(tx: &mut Tx<'_>) -> Result<Vec<Uuid>> {
    let taken_at: Option<DateTime<Utc>> =
        tx.sql::<st::Timestamptz>("SELECT taken_at FROM snapshot_heads WHERE organization_id = {org}").first(tx)?;
    let since = taken_at.and_then(|at| at.checked_sub_signed(OVERLAP));
    let changed = tx.sql::<st::Uuid>(
        "SELECT id FROM deals WHERE organization_id = {org} AND updated_at >= coalesce({}, '-infinity') \
         UNION SELECT entity_id FROM field_history WHERE organization_id = {org} AND entity_type = 'deal' \
         AND changed_at >= coalesce({}, '-infinity') ORDER BY 1",
    );
    Ok(changed.with(|s| s.bind(since).bind(since)).all(tx)?)
}

/// Tells the spans of these deals anew.
fn take(tx: &mut Tx<'_>, deals: &[Uuid]) -> Result<()> {
    let zone = organizations::read(tx)?.fields.zone();
    let histories = deal_histories::read(tx, deals)?;
    let rows: Vec<Value> = histories
        .iter()
        .flat_map(|history| spans(history, zone).into_iter().map(|span| span.row(history.deal)))
        .collect();
    tx.sql::<st::Integer>("DELETE FROM deal_snapshots WHERE organization_id = {org} AND deal_id = ANY({})")
        .with(|s| s.bind(deals.to_vec()))
        .run(tx)?;
    tx.sql::<st::Integer>(
        "INSERT INTO deal_snapshots (organization_id, id, deal_id, from_on, until_on, status, value, currency, \
         pipeline_id, stage_id, business_unit_id, owner_id, expected_close_date) \
         SELECT o.id, r.* FROM (VALUES ({org}::uuid)) AS o(id), jsonb_to_recordset({}) AS r(id uuid, deal_id uuid, \
         from_on date, until_on date, status text, value numeric, currency text, pipeline_id uuid, stage_id uuid, \
         business_unit_id uuid, owner_id uuid, expected_close_date date)",
    )
    .with(|s| s.bind(Value::Array(rows)))
    .run(tx)
    .map(drop)
    .map_err(Error::from)
}

/// Notes that there is a snapshot of each day that was over when the run began.
fn note(tx: &mut Tx<'_>, begun_at: DateTime<Utc>) -> Result<()> {
    let today = organizations::read(tx)?.fields.day_of(begun_at);
    let yesterday = today.pred_opt().unwrap_or(today);
    tx.sql::<st::Integer>(
        "INSERT INTO snapshot_heads (organization_id, taken_until_on, taken_at) VALUES ({org}, {}, {}) \
         ON CONFLICT (organization_id) DO UPDATE SET taken_until_on = excluded.taken_until_on, \
         taken_at = excluded.taken_at WHERE snapshot_heads.taken_at <= excluded.taken_at",
    )
    .with(|s| s.bind(yesterday).bind(begun_at))
    .run(tx)
    .map(drop)
    .map_err(Error::from)
}

/// Days at the end of which a deal stood alike.
#[derive(Debug, Clone, PartialEq)]
struct Span {
    from_on: NaiveDate,
    until_on: Option<NaiveDate>,
    state: DealState,
}

impl Span {
    fn row(&self, deal: Uuid) -> Value {
        let Self { from_on, until_on, state } = self;
        json!({
            "id": Id::<Span>::new(), "deal_id": deal, "from_on": from_on, "until_on": until_on,
            "status": word(state.status), "value": state.value.map(|value| value.to_string()),
            "currency": state.currency, "pipeline_id": state.pipeline_id, "stage_id": state.stage_id,
            "business_unit_id": state.business_unit_id, "owner_id": state.owner_id,
            "expected_close_date": state.expected_close_on,
        })
    }
}

/// The spans of a history: what held at the end of a day counts for that day.
fn spans(history: &DealHistory, zone: Tz) -> Vec<Span> {
    let day = |at: DateTime<Utc>| at.with_timezone(&zone).date_naive();
    let removed_on = history.removed_at.map(day);
    let mut spans: Vec<Span> = Vec::new();
    for (since, state) in &history.states {
        let from_on = day(*since);
        if spans.last().is_some_and(|last| last.from_on == from_on) {
            spans.pop();
            if let Some(last) = spans.last_mut() {
                last.until_on = None;
            }
        }
        if spans.last().is_some_and(|last| last.state.looks_like(state)) {
            continue;
        }
        if let Some(last) = spans.last_mut() {
            last.until_on = Some(from_on);
        }
        spans.push(Span { from_on, until_on: None, state: state.clone() });
    }
    if let (Some(removed_on), Some(last)) = (removed_on, spans.last_mut()) {
        last.until_on = Some(removed_on);
    }
    spans.retain(|span| span.until_on.is_none_or(|until_on| until_on > span.from_on));
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histories::{Status, tests::on};

    fn state(value: i64) -> DealState {
        let mut state = DealState::blank();
        state.value = Some(value.into());
        state
    }

    fn told(
        states: &[(DateTime<Utc>, i64)],
        removed_at: Option<DateTime<Utc>>,
        zone: Tz,
    ) -> Vec<(u32, Option<u32>, i64)> {
        use chrono::Datelike;
        use rust_decimal::prelude::ToPrimitive;
        let states = states.iter().map(|(since, value)| (*since, state(*value))).collect();
        let history = DealHistory { deal: Uuid::nil(), states, removed_at };
        let value = |span: &Span| span.state.value.and_then(|value| value.to_i64()).unwrap();
        let told = |span: Span| (span.from_on.ordinal(), span.until_on.map(|day| day.ordinal()), value(&span));
        spans(&history, zone).into_iter().map(told).collect()
    }

    #[test]
    fn the_end_of_the_day_counts() {
        let at = |day, hour| on(1, day) + TimeDelta::hours(hour);
        let cases = [
            (vec![(at(1, 9), 5)], None, vec![(1, None, 5)]),
            (vec![(at(1, 9), 5), (at(1, 10), 6), (at(3, 1), 7)], None, vec![(1, Some(3), 6), (3, None, 7)]),
            (vec![(at(1, 9), 5), (at(2, 9), 6), (at(2, 10), 5)], None, vec![(1, None, 5)]),
            (vec![(at(1, 9), 5), (at(4, 9), 6)], Some(at(4, 12)), vec![(1, Some(4), 5)]),
            (vec![(at(1, 9), 5)], Some(at(1, 12)), vec![]),
            (vec![(at(1, 9), 5)], Some(at(2, 12)), vec![(1, Some(2), 5)]),
        ];
        for (states, removed_at, expected) in cases {
            assert_eq!(told(&states, removed_at, Tz::UTC), expected, "{states:?}");
        }
        let late = [(at(1, 23), 5)];
        assert_eq!(told(&late, None, Tz::Europe__Berlin), [(2, None, 5)]);
        assert_eq!(word(Status::Won), "won");
    }
}
