//! What was known of deals at any instant, from the field history: a deal is read as it stands, and its changes are taken
//! back one version after the other.
//!
//! A deal that arrived closed was open before, from the day on that the migration told of it; that past is taken at its
//! word. What was erased from the history is not known, and nothing before it.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use crm_core::{Result, Tx};
use diesel::sql_types as st;
use rust_decimal::Decimal;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    histories::{Change, Event, Status},
    probability::Probability,
};

/// Deals whose histories are read by one statement.
pub(super) const CHUNK: usize = 500;

/// What is known of a deal.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DealState {
    pub(super) status: Status,
    pub(super) value: Option<Decimal>,
    pub(super) currency: String,
    pub(super) pipeline_id: Uuid,
    pub(super) stage_id: Uuid,
    pub(super) business_unit_id: Option<Uuid>,
    pub(super) owner_id: Option<Uuid>,
    pub(super) expected_close_on: Option<NaiveDate>,
    /// The win probability that a person set.
    own_probability: Option<Decimal>,
    closed_at: Option<DateTime<Utc>>,
}

/// One deal from its beginning on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct DealHistory {
    pub(super) deal: Uuid,
    /// Each state and since when it held, ascending. Never empty.
    pub(super) states: Vec<(DateTime<Utc>, DealState)>,
    /// When the deal was deleted.
    pub(super) removed_at: Option<DateTime<Utc>>,
}

/// A change as the history tells it; no value at all where it was erased.
struct Row {
    deal: Uuid,
    version: i64,
    field: String,
    old: Option<Value>,
    changed_at: DateTime<Utc>,
}

/// The fields that a [`DealState`] is made of, when the deal began, and the mark of a deletion.
const FIELDS: [&str; 12] = [
    "status",
    "value",
    "currency",
    "pipelineId",
    "stageId",
    "businessUnitId",
    "ownerId",
    "expectedCloseDate",
    "probability",
    "closedAt",
    "createdAt",
    DELETED,
];

const DELETED: &str = "deletedAt";

impl DealState {
    /// A deal of which nothing is known yet.
    pub(super) fn blank() -> Self {
        Self {
            status: Status::Open,
            value: None,
            currency: String::new(),
            pipeline_id: Uuid::nil(),
            stage_id: Uuid::nil(),
            business_unit_id: None,
            owner_id: None,
            expected_close_on: None,
            own_probability: None,
            closed_at: None,
        }
    }

    /// Is it the same but for the instant of its close and what somebody thinks of it?
    pub(super) fn looks_like(&self, other: &Self) -> bool {
        let plain = |state: &Self| Self { closed_at: None, own_probability: None, ..state.clone() };
        plain(self) == plain(other)
    }

    /// The win probability that a person set.
    fn own_probability(&self) -> Option<Probability> {
        self.own_probability.and_then(|own| Probability::new(own).ok())
    }

    /// Takes back a change.
    fn set(&mut self, field: &str, old: &Value) {
        let text = || old.as_str().unwrap_or_default();
        let id = || text().parse::<Uuid>().ok();
        let number = || Some(old).filter(|old| !old.is_null()).and_then(|old| old.to_string().parse().ok());
        match field {
            "status" => self.status = status(text()),
            "value" => self.value = number(),
            "probability" => self.own_probability = number(),
            "currency" => self.currency = text().to_owned(),
            "pipelineId" => self.pipeline_id = id().unwrap_or_default(),
            "stageId" => self.stage_id = id().unwrap_or_default(),
            "businessUnitId" => self.business_unit_id = id(),
            "ownerId" => self.owner_id = id(),
            "expectedCloseDate" => self.expected_close_on = text().parse().ok(),
            "closedAt" => self.closed_at = text().parse().ok(),
            _ => {}
        }
    }
}

/// The status of that word.
pub(super) fn status(word: &str) -> Status {
    match word {
        "won" => Status::Won,
        "lost" => Status::Lost,
        _ => Status::Open,
    }
}

/// The word of a status.
pub(super) fn word(status: Status) -> &'static str {
    match status {
        Status::Open => "open",
        Status::Won => "won",
        Status::Lost => "lost",
    }
}

/// The histories of these deals, deleted ones among them; deals of which nothing is known are left out.
pub(super) fn read(tx: &mut Tx<'_>, deals: &[Uuid]) -> Result<Vec<DealHistory>> {
    let present = present(tx, deals)?;
    let first_stages: BTreeMap<Uuid, Uuid> = tx
        .sql::<(st::Uuid, st::Uuid)>(
            "SELECT deal_id, stage_id FROM deal_stage_visits \
             WHERE organization_id = {org} AND deal_id = ANY({}) AND visit = 1",
        )
        .with(|s| s.bind(deals.to_vec()))
        .all::<(Uuid, Uuid)>(tx)?
        .into_iter()
        .collect();
    let rows = rows(tx, deals)?;
    let mut by_deal: BTreeMap<Uuid, &[Row]> = BTreeMap::new();
    for of_one in rows.chunk_by(|a, b| a.deal == b.deal) {
        by_deal.insert(of_one[0].deal, of_one);
    }
    let history = |deal: &Uuid| {
        let rows = by_deal.get(deal).copied().unwrap_or_default();
        rewind(*deal, present.get(deal), rows, first_stages.get(deal).copied())
    };
    Ok(deals.iter().filter_map(history).collect())
}

type Present = (DateTime<Utc>, DealState);

type PresentTypes = (
    st::Uuid,
    st::Text,
    st::Nullable<st::Numeric>,
    st::Text,
    st::Uuid,
    st::Uuid,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Uuid>,
    st::Nullable<st::Date>,
    st::Nullable<st::Numeric>,
    st::Nullable<st::Timestamptz>,
    st::Timestamptz,
);

type PresentRow = (
    Uuid,
    String,
    Option<Decimal>,
    String,
    Uuid,
    Uuid,
    Option<Uuid>,
    Option<Uuid>,
    Option<NaiveDate>,
    Option<Decimal>,
    Option<DateTime<Utc>>,
    DateTime<Utc>,
);

/// The deals as they stand, and when they began.
fn present(tx: &mut Tx<'_>, deals: &[Uuid]) -> Result<BTreeMap<Uuid, Present>> {
    let rows: Vec<PresentRow> = tx
        .sql::<PresentTypes>(
            "SELECT id, status, value, currency, pipeline_id, stage_id, business_unit_id, owner_id, \
             expected_close_date, probability, closed_at, created_at FROM deals WHERE organization_id = {org} AND id = ANY({})",
        )
        .with(|s| s.bind(deals.to_vec()))
        .all(tx)?;
    let present = |row: PresentRow| {
        let (id, is, value, currency, pipeline_id, stage_id, business_unit_id, owner_id, close, own, closed_at, began) =
            row;
        let (status, expected_close_on, own_probability) = (status(&is), close, own);
        let state = DealState {
            status,
            value,
            currency,
            pipeline_id,
            stage_id,
            business_unit_id,
            owner_id,
            expected_close_on,
            own_probability,
            closed_at,
        };
        (id, (began, state))
    };
    Ok(rows.into_iter().map(present).collect())
}

fn rows(tx: &mut Tx<'_>, deals: &[Uuid]) -> Result<Vec<Row>> {
    type Types = (st::Uuid, st::BigInt, st::Text, st::Nullable<st::Jsonb>, st::Timestamptz);
    let fields: Vec<String> = FIELDS.map(str::to_owned).to_vec();
    type Found = (Uuid, i64, String, Option<Value>, DateTime<Utc>);
    let rows = tx
        .sql::<Types>(
            "SELECT entity_id, entity_version, field_name, old_value, changed_at FROM field_history \
             WHERE organization_id = {org} AND entity_type = 'deal' AND entity_id = ANY({}) AND field_name = ANY({}) \
             ORDER BY entity_id, entity_version DESC, seq DESC",
        )
        .with(|s| s.bind(deals.to_vec()).bind(fields))
        .all::<Found>(tx)?;
    let row = |(deal, version, field, old, changed_at)| Row { deal, version, field, old, changed_at };
    Ok(rows.into_iter().map(row).collect())
}

/// Goes back from the present, or from the deletion, to the beginning. `rows` are the deal's own, the latest first.
fn rewind(deal: Uuid, present: Option<&Present>, rows: &[Row], first_stage: Option<Uuid>) -> Option<DealHistory> {
    let mut began_at = present.map(|(began_at, _)| *began_at);
    let mut state = present.map_or_else(DealState::blank, |(_, state)| state.clone());
    let (mut states, mut removed_at) = (Vec::new(), None);
    for version in rows.chunk_by(|a, b| a.version == b.version) {
        let changed_at = version[0].changed_at;
        match version.iter().any(|row| row.field == DELETED) {
            true => removed_at = Some(changed_at),
            false => states.push((changed_at, state.clone())),
        }
        for row in version {
            let Some(old) = &row.old else { return finish(deal, states, removed_at) };
            if row.field == "createdAt" {
                began_at = began_at.or_else(|| old.as_str()?.parse().ok());
            }
            state.set(&row.field, old);
        }
    }
    // What came by an import that told of a close was open until then.
    if let (Some(began_at), Some(closed_at)) = (began_at, state.closed_at.filter(|_| state.status != Status::Open)) {
        let stage_id = first_stage.unwrap_or(state.stage_id);
        states.push((closed_at, state.clone()));
        if closed_at > began_at {
            states.push((began_at, DealState { status: Status::Open, closed_at: None, stage_id, ..state }));
        }
    } else {
        states.push((began_at?, state));
    }
    finish(deal, states, removed_at)
}

/// Puts the states in order. Clocks may disagree, versions do not: a later state never begins before an earlier one.
fn finish(
    deal: Uuid,
    mut states: Vec<(DateTime<Utc>, DealState)>,
    removed_at: Option<DateTime<Utc>>,
) -> Option<DealHistory> {
    states.reverse();
    let mut latest = states.first()?.0;
    for (since, _) in &mut states {
        latest = latest.max(*since);
        *since = latest;
    }
    Some(DealHistory { deal, states, removed_at })
}

impl DealHistory {
    /// The same as events, with values in one currency as `worth` tells them.
    pub(super) fn events(&self, worth: &dyn Fn(&DealState) -> Option<Decimal>) -> Vec<Event<Uuid>> {
        let mut events: Vec<Event<Uuid>> = Vec::new();
        let mut before: Option<&DealState> = None;
        for (recorded_at, state) in &self.states {
            let changes = match before {
                None => began(state, worth(state)),
                Some(before) => changes(before, state, worth),
            };
            events.extend(changes.into_iter().map(|change| Event { recorded_at: *recorded_at, change }));
            before = Some(state);
        }
        events.extend(self.removed_at.map(|recorded_at| Event { recorded_at, change: Change::Removed }));
        events
    }
}

/// The events of a deal's beginning.
fn began(state: &DealState, value: Option<Decimal>) -> Vec<Change<Uuid>> {
    let created = Change::Created { stage: state.stage_id, value, expected_close_on: state.expected_close_on };
    let estimated = state.own_probability.map(|_| Change::Estimated(state.own_probability()));
    std::iter::once(created).chain(estimated).chain(closed(state.status)).collect()
}

fn closed(status: Status) -> Option<Change<Uuid>> {
    match status {
        Status::Open => None,
        Status::Won => Some(Change::Won),
        Status::Lost => Some(Change::Lost),
    }
}

/// The events between two states.
fn changes(before: &DealState, after: &DealState, worth: &dyn Fn(&DealState) -> Option<Decimal>) -> Vec<Change<Uuid>> {
    let mut changes = Vec::new();
    let (was, is) = (worth(before), worth(after));
    if was != is {
        changes.push(Change::Valued(is));
    }
    if before.expected_close_on != after.expected_close_on {
        changes.push(Change::Rescheduled(after.expected_close_on));
    }
    if before.own_probability != after.own_probability {
        changes.push(Change::Estimated(after.own_probability()));
    }
    let is_transferred = before.pipeline_id != after.pipeline_id;
    match (before.status, after.status) {
        (Status::Open, Status::Open) if is_transferred => changes.push(Change::Transferred(after.stage_id)),
        (Status::Open, Status::Open) if before.stage_id != after.stage_id => {
            changes.push(Change::Moved(after.stage_id));
        }
        (Status::Won | Status::Lost, Status::Open) => changes.push(Change::Reopened(after.stage_id)),
        (before, after) if before != after => changes.extend(closed(after)),
        _ => {}
    }
    changes
}
