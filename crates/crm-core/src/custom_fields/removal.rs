//! What the records hold of a custom field that is gone.
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{CustomField, ENTITY_TYPES, MEMBER};
use crate::{
    Error, Id, Patch, Reason, Result, Tx,
    change::FieldDiff,
    companies::Company,
    contacts::Contact,
    deals::Deal,
    history,
    jobs::{self, Enqueue, Failure, Job, JobRun},
    leads::Lead,
    organizations, patch,
    record::Record,
    select::Condition,
    transfers,
};

/// How many records lose their value in one transaction.
const BATCH: i64 = 500;

/// Deletes a custom field. Its values are taken out of the records by a job that is written in the same transaction, with
/// a row in the history of each; until that is done no field of this key can be made.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Invalid`] where a rule wants a reason.
pub fn delete(tx: &mut Tx<'_>, id: Id<CustomField>, patch: &Patch) -> Result<()> {
    let CustomField { fields, .. } = tx.delete(id, patch)?;
    // What policies compare with it is unknown from now on.
    organizations::renew_policies(tx)?;
    let key = unique_key(&fields.entity_type, &fields.key);
    let job = RemoveValues { entity_type: fields.entity_type, key: fields.key };
    jobs::enqueue(tx, &job, &Enqueue { unique_key: Some(key), ..Enqueue::default() }).map(drop)
}

/// Are the values of a deleted field of this key still being taken out?
pub(super) fn is_under_way(tx: &mut Tx<'_>, entity_type: &str, key: &str) -> Result<bool> {
    let text = "SELECT true FROM queue_jobs WHERE organization_id = {org} AND kind = {} AND unique_key = {} \
                AND status IN ('waiting', 'active')";
    let alive =
        tx.sql::<st::Bool>(text).with(|s| s.bind(RemoveValues::NAME).bind(unique_key(entity_type, key).as_str()));
    Ok(alive.first::<bool>(tx)?.is_some())
}

fn unique_key(entity_type: &str, key: &str) -> String {
    format!("{entity_type}.{key}")
}

/// Takes the values of a deleted custom field out of the records of its kind.
#[derive(Debug, Serialize, Deserialize)]
pub struct RemoveValues {
    entity_type: String,
    key: String,
}

impl Job for RemoveValues {
    const NAME: &'static str = "remove_custom_field_values";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        let mut after = Uuid::nil();
        loop {
            let is_done = run.finish_if(|tx| {
                after = self.batch(tx, after)?.unwrap_or_default();
                Ok(after.is_nil())
            })?;
            if is_done {
                return Ok(());
            }
            if run.is_stopping() {
                return Err(run.leave());
            }
        }
    }
}

impl RemoveValues {
    /// Works through the records after an id, and tells the last; none where there are no more.
    fn batch(&self, tx: &mut Tx<'_>, after: Uuid) -> Result<Option<Uuid>> {
        match self.entity_type.as_str() {
            Lead::KIND => self.remove::<Lead>(tx, after),
            Company::KIND => self.remove::<Company>(tx, after),
            Contact::KIND => self.remove::<Contact>(tx, after),
            Deal::KIND => self.remove::<Deal>(tx, after),
            other => Err(Error::internal(format!("{other} is none of {}", ENTITY_TYPES.join(", ")))),
        }
    }

    fn remove<R: Record>(&self, tx: &mut Tx<'_>, after: Uuid) -> Result<Option<Uuid>> {
        let has = Condition::Compare("custom_fields".into(), "?", self.key.as_str().into());
        let rest = Condition::Compare("id".into(), ">", after.into());
        let select = tx.records::<R>().and_all([has, rest]).order("id", false);
        let records = R::load(tx, select.limit(BATCH).locked())?;
        let Some(last) = records.last().map(|record| record.id().uuid()) else { return Ok(None) };
        transfers::set_in_all(tx, &records, "custom_fields = custom_fields - {}", self.key.as_str().into())?;
        let reason = Reason { code: None, note: Some("The custom field was deleted.".into()) };
        for record in &records {
            let mut values = patch::object(record.fields())?;
            let old_value = values.get_mut(MEMBER).and_then(|values| Some(values.get_mut(&self.key)?.take()));
            let diff = FieldDiff {
                field_name: format!("{MEMBER}.{}", self.key),
                old_value: old_value.unwrap_or_default(),
                new_value: serde_json::Value::Null,
            };
            // A field that was there but empty leaves no change to tell.
            if !diff.old_value.is_null() {
                history::append(tx, record.id(), record.version() + 1, &[diff], &reason)?;
            }
        }
        Ok(Some(last))
    }
}
