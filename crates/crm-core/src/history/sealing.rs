//! What a transaction has changed waits for its end, and goes to the chain there in one go.
use std::collections::{BTreeSet, HashMap};

use diesel::sql_types as st;
use serde_json::{Value, json};
use uuid::Uuid;

use super::chain::{BEGINNING, Digests, Entry, Hash, digest, hash, salt};
use crate::{Error, Result, Tx, gate::ChangedField};

/// How many rows one statement appends.
const BATCH: usize = 1_000;

/// The rows of a transaction that are not yet in the chain, and the labels that it has read already.
#[derive(Default)]
pub(crate) struct Unsealed {
    rows: Vec<Entry>,
    /// How many of the rows have been written: a transaction that reads its own history writes early.
    written: usize,
    /// From where on the rows concern requests for approval that wait.
    disturbing: Option<usize>,
    pub(super) labels: HashMap<(&'static str, Uuid), Option<String>>,
}

/// How far a transaction had come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    rows: usize,
    written: usize,
}

impl Unsealed {
    pub(super) fn push(&mut self, entry: Entry) {
        self.rows.push(entry);
    }

    /// Where a savepoint begins.
    pub(crate) fn mark(&self) -> Mark {
        Mark { rows: self.rows.len(), written: self.written }
    }

    /// The fields that have been written since a request for approval was first found to wait for one of their records.
    pub(crate) fn take_disturbing(&mut self) -> Vec<ChangedField> {
        let from = self.disturbing.take().unwrap_or(self.rows.len());
        let fields = self.rows[from..self.written.max(from)].iter();
        fields
            .map(|row| ChangedField {
                kind: row.entity_type.clone(),
                id: row.entity_id,
                name: row.field_name.clone(),
                is_set: !matches!(row.new_value, None | Some(Value::Null | Value::Bool(false))),
            })
            .collect()
    }

    /// Forgets what has been undone since.
    pub(crate) fn go_back(&mut self, mark: Mark) {
        self.rows.truncate(mark.rows);
        self.written = mark.written;
        self.disturbing = self.disturbing.filter(|from| *from < mark.rows);
        self.labels.clear();
    }
}

/// Appends what the transaction has changed so far. From here to its end, other writers of the organization wait.
///
/// # Errors
/// What the database says.
pub(crate) fn seal(tx: &mut Tx<'_>) -> Result<()> {
    let unsealed = &mut tx.ledger.history;
    if unsealed.written == unsealed.rows.len() {
        return Ok(());
    }
    let (rows, written) = (std::mem::take(&mut unsealed.rows), unsealed.written);
    let sealed = append_all(tx, &rows[written..]);
    let unsealed = &mut tx.ledger.history;
    unsealed.rows = rows;
    if sealed? {
        unsealed.disturbing.get_or_insert(written);
    }
    unsealed.written = unsealed.rows.len();
    Ok(())
}

/// Appends rows. Does a request for approval wait for one of their records?
fn append_all(tx: &mut Tx<'_>, rows: &[Entry]) -> Result<bool> {
    let records: BTreeSet<_> = rows.iter().map(|row| row.entity_id).collect();
    let (mut seq, mut last, disturbs) = lock_head(tx, records.into_iter().collect())?;
    for batch in rows.chunks(BATCH) {
        let links: Vec<Value> = batch
            .iter()
            .map(|entry| {
                seq += 1;
                let (link, hash) = link(tx, seq, &last, entry);
                last = hash;
                link
            })
            .collect();
        tx.sql::<st::Integer>(INSERT).with(|s| s.bind(Value::Array(links))).run(tx)?;
    }
    let now = tx.ctx.now;
    tx.sql::<st::Integer>("UPDATE history_heads SET seq = {}, hash = {}, sealed_at = {} WHERE organization_id = {org}")
        .with(|s| s.bind(seq).bind(last.to_vec()).bind(now))
        .run(tx)?;
    Ok(disturbs)
}

/// The end of the chain, which stays as it is until the transaction ends, and whether a request for approval waits for one of
/// these records, or of these people: asked here, since every write of records comes by and few of them concern one.
fn lock_head(tx: &mut Tx<'_>, records: Vec<Uuid>) -> Result<(i64, Hash, bool)> {
    if let Some(head) = read_head(tx, records.clone())? {
        return Ok(head);
    }
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "INSERT INTO history_heads (organization_id, seq, hash, sealed_at) VALUES ({org}, 0, {}, {}) ON CONFLICT DO NOTHING",
    )
    .with(|s| s.bind(BEGINNING.to_vec()).bind(now))
    .run(tx)?;
    read_head(tx, records)?.ok_or_else(|| Error::internal("the chain of the field history has no head"))
}

/// The lists are read by subqueries so that the plan does not depend on what they hold: else PostgreSQL would plan the
/// statement anew each time, which takes ten times as long as running it.
fn read_head(tx: &mut Tx<'_>, records: Vec<Uuid>) -> Result<Option<(i64, Hash, bool)>> {
    let head = tx
        .sql::<(st::BigInt, st::Binary, st::Bool)>(
            "SELECT seq, hash, EXISTS (SELECT FROM approvals WHERE organization_id = {org} AND status = 'pending' \
             AND resource_id = ANY(ARRAY(SELECT unnest({})))) OR EXISTS (SELECT FROM approvals \
             WHERE organization_id = {org} AND status = 'pending' AND requested_by = ANY(ARRAY(SELECT unnest({})))) \
             FROM history_heads WHERE organization_id = {org} FOR UPDATE",
        )
        .with(|s| s.bind(records.clone()).bind(records))
        .first::<(i64, Vec<u8>, bool)>(tx)?;
    let whole = |hash: Vec<u8>| hash.try_into().map_err(|_| Error::internal("the head of the chain has no hash"));
    head.map(|(seq, hash, disturbs)| Ok((seq, whole(hash)?, disturbs))).transpose()
}

/// A row as the statement takes it, and its hash.
fn link(tx: &Tx<'_>, seq: i64, previous: &Hash, entry: &Entry) -> (Value, Hash) {
    let (old_salt, new_salt, words_salt) = (salt(), salt(), salt());
    let words = entry.words().map(|words| digest(&words_salt, &words).to_vec());
    let commit = |salt, value: &Option<Value>| digest(salt, value.as_ref().unwrap_or(&Value::Null)).to_vec();
    let digests = Digests { old: commit(&old_salt, &entry.old_value), new: commit(&new_salt, &entry.new_value), words };
    let hash = hash(previous, &entry.members(tx.ctx.organization, seq, &digests));
    let row = json!({
        "id": entry.id,
        "seq": seq,
        "entity_type": entry.entity_type,
        "entity_id": entry.entity_id,
        "entity_version": entry.entity_version,
        "field_name": entry.field_name,
        "old_value": entry.old_value,
        "new_value": entry.new_value,
        "old_label": entry.old_label,
        "new_label": entry.new_label,
        "actor": entry.actor,
        "changed_by": entry.changed_by,
        "reason_code": entry.reason_code,
        "note": entry.note,
        "request_id": entry.request_id,
        "change_set_id": entry.change_set_id,
        "changed_at": entry.changed_at,
        "old_salt": hex::encode(old_salt),
        "new_salt": hex::encode(new_salt),
        "words_salt": digests.words.is_some().then(|| hex::encode(words_salt)),
        "old_digest": hex::encode(&digests.old),
        "new_digest": hex::encode(&digests.new),
        "words_digest": digests.words.as_ref().map(hex::encode),
        "hash": hex::encode(hash),
    });
    (row, hash)
}

/// One statement for any number of rows: its text stays the same, so that it is prepared once.
const INSERT: &str = "INSERT INTO field_history (organization_id, id, seq, entity_type, entity_id, entity_version, \
     field_name, old_value, new_value, old_label, new_label, actor, changed_by, reason_code, note, request_id, \
     change_set_id, changed_at, old_salt, new_salt, words_salt, old_digest, new_digest, words_digest, hash) \
     SELECT h.organization_id, r.id, r.seq, r.entity_type, r.entity_id, r.entity_version, r.field_name, \
     coalesce(r.old_value, 'null'), coalesce(r.new_value, 'null'), r.old_label, r.new_label, r.actor, r.changed_by, \
     r.reason_code, r.note, r.request_id, r.change_set_id, r.changed_at, decode(r.old_salt, 'hex'), \
     decode(r.new_salt, 'hex'), decode(r.words_salt, 'hex'), decode(r.old_digest, 'hex'), decode(r.new_digest, 'hex'), \
     decode(r.words_digest, 'hex'), decode(r.hash, 'hex') \
     FROM history_heads h, jsonb_to_recordset({}) AS r (id uuid, seq bigint, entity_type text, entity_id uuid, \
     entity_version bigint, field_name text, old_value jsonb, new_value jsonb, old_label text, new_label text, \
     actor text, changed_by uuid, reason_code text, note text, request_id text, change_set_id uuid, \
     changed_at timestamptz, old_salt text, new_salt text, words_salt text, old_digest text, new_digest text, \
     words_digest text, hash text) WHERE h.organization_id = {org}";
