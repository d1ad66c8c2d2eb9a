//! The chain: every row of an organization's history is numbered without a gap and bears the hash of all rows up to it.
//!
//! A value is committed, not embedded: its digest is SHA-256(salt ‖ canonical value), with 16 random bytes of salt. A row's hash
//! is SHA-256(hash of the row before ‖ canonical members), where the members hold the digests. So a value can be erased
//! with its salt, nobody can find it by guessing, and the chain still proves everything else.
use chrono::{DateTime, SecondsFormat, Utc};
use diesel::prelude::*;
use rand::RngCore;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{FieldChange, canonical::canonical};
use crate::{Id, organizations::Organization, schema::field_history};

/// SHA-256.
pub(super) type Hash = [u8; 32];

/// What stands before the first row.
pub(super) const BEGINNING: Hash = [0; 32];

/// What a row of the history says.
#[derive(Debug, Clone, PartialEq, Queryable, Selectable)]
#[diesel(table_name = field_history)]
pub(super) struct Entry {
    pub(super) id: Id<FieldChange>,
    pub(super) entity_type: String,
    pub(super) entity_id: Uuid,
    pub(super) entity_version: i64,
    pub(super) field_name: String,
    pub(super) old_value: Option<Value>,
    pub(super) new_value: Option<Value>,
    pub(super) old_label: Option<String>,
    pub(super) new_label: Option<String>,
    pub(super) actor: String,
    pub(super) changed_by: Option<Uuid>,
    pub(super) reason_code: Option<String>,
    pub(super) note: Option<String>,
    pub(super) request_id: String,
    pub(super) change_set_id: Uuid,
    pub(super) changed_at: DateTime<Utc>,
}

impl Entry {
    /// The words of a row: what people wrote or are called. They are committed together; most rows have none.
    pub(super) fn words(&self) -> Option<Value> {
        let Self { old_label, new_label, note, .. } = self;
        let any = old_label.is_some() || new_label.is_some() || note.is_some();
        any.then(|| json!({"oldLabel": old_label, "newLabel": new_label, "note": note}))
    }

    /// The members of a row that its hash covers: all there is of it, its values and words as their digests.
    pub(super) fn members(&self, organization: Id<Organization>, seq: i64, digests: &Digests) -> Value {
        let mut members = json!({
            "seq": seq,
            "org": organization,
            "entity": self.entity_type,
            "id": self.entity_id,
            "field": self.field_name,
            "old": hex::encode(&digests.old),
            "new": hex::encode(&digests.new),
            "by": self.changed_by,
            "reason": self.reason_code,
            "at": self.changed_at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "row": self.id,
            "version": self.entity_version,
            "actor": self.actor,
            "request": self.request_id,
            "changeSet": self.change_set_id,
        });
        if let Some(words) = &digests.words {
            members["words"] = hex::encode(words).into();
        }
        members
    }
}

/// The digests of a row's values and words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Digests {
    pub(super) old: Vec<u8>,
    pub(super) new: Vec<u8>,
    pub(super) words: Option<Vec<u8>>,
}

/// The salted digest of a value.
pub(super) fn digest(salt: &[u8], value: &Value) -> Hash {
    Sha256::new().chain_update(salt).chain_update(canonical(value)).finalize().into()
}

/// The hash of a row, over that of the row before it.
pub(super) fn hash(previous: &[u8], members: &Value) -> Hash {
    Sha256::new().chain_update(previous).chain_update(canonical(members)).finalize().into()
}

/// A salt that nobody has seen before.
pub(super) fn salt() -> [u8; 16] {
    let mut salt = [0; 16];
    rand::rng().fill_bytes(&mut salt);
    salt
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "14d9bbc172f04f335312f34b71d0fab41a5eb9ae53cc7aae6f0ae0c6359d791e";
    const NEW: &str = "92114812fa6219c195405339ce0ee10522d3cb50649cf24754d58c0cdfe8b358";

    #[test]
    fn digests_and_hashes_are_those_of_the_vectors() {
        assert_eq!(hex::encode(digest(&[0; 16], &json!("s1"))), OLD);
        assert_eq!(hex::encode(digest(&[1; 16], &json!("s2"))), NEW);
        let members = json!({
            "seq": 1, "org": "o1", "entity": "deal", "id": "d1", "field": "stageId", "old": OLD, "new": NEW,
            "by": "u1", "reason": "progressed", "at": "2025-01-02T03:04:05.000000Z",
        });
        let expected = "809bd007a0a1322346e062821cc186a4173b2e480cb0886e20855cd30f5c09a8";
        assert_eq!(hex::encode(hash(&BEGINNING, &members)), expected);
    }

    #[test]
    fn nothing_of_a_row_is_outside_its_hash() {
        let entry = Entry {
            id: Id::default(),
            entity_type: "deal".into(),
            entity_id: Uuid::nil(),
            entity_version: 2,
            field_name: "stageId".into(),
            old_value: Some(json!("a")),
            new_value: None,
            old_label: None,
            new_label: None,
            actor: "user".into(),
            changed_by: None,
            reason_code: None,
            note: None,
            request_id: "r".into(),
            change_set_id: Uuid::nil(),
            changed_at: "2025-01-02T03:04:05Z".parse().unwrap(),
        };
        let digests = Digests { old: vec![1], new: vec![2], words: None };
        let of = |entry: &Entry, seq| hash(&BEGINNING, &entry.members(Id::default(), seq, &digests));
        let base = of(&entry, 1);
        let edits: [fn(&mut Entry); 11] = [
            |entry| entry.id = Id::from(Uuid::max()),
            |entry| entry.entity_type = "lead".into(),
            |entry| entry.entity_id = Uuid::max(),
            |entry| entry.entity_version = 3,
            |entry| entry.field_name = "value".into(),
            |entry| entry.actor = "system".into(),
            |entry| entry.changed_by = Some(Uuid::max()),
            |entry| entry.reason_code = Some("other".into()),
            |entry| entry.request_id = "s".into(),
            |entry| entry.change_set_id = Uuid::max(),
            |entry| entry.changed_at += chrono::TimeDelta::microseconds(1),
        ];
        for (i, edit) in edits.into_iter().enumerate() {
            let mut edited = entry.clone();
            edit(&mut edited);
            assert_ne!(of(&edited, 1), base, "edit {i}");
        }
        assert_ne!(of(&entry, 2), base);
        assert!(entry.words().is_none());
        assert!(Entry { note: Some("n".into()), ..entry }.words().is_some());
    }
}
