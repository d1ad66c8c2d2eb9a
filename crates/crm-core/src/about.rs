//! What an activity or a task is about: a lead, a deal, a company or a contact.
use chrono::{DateTime, Utc};
use diesel::sql_types as st;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Id, Patch, Reason, Record, Result, Tx,
    activities::Activity,
    business_units::BusinessUnit,
    change::FieldDiff,
    companies::Company,
    contacts::Contact,
    deals::{self, Deal},
    history,
    leads::{self, Lead},
    tasks::Task,
};

/// The four ends that an activity or a task may have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct About {
    pub(crate) lead: Option<Id<Lead>>,
    pub(crate) deal: Option<Id<Deal>>,
    pub(crate) company: Option<Id<Company>>,
    pub(crate) contact: Option<Id<Contact>>,
}

impl About {
    /// How many records it names.
    pub(crate) fn count(&self) -> usize {
        [self.lead.is_some(), self.deal.is_some(), self.company.is_some(), self.contact.is_some()]
            .into_iter()
            .filter(|named| *named)
            .count()
    }

    /// Notes on its lead or deal that something was done, unless it lies ahead: what is only planned is no touch.
    pub(crate) fn touch(&self, tx: &mut Tx<'_>, at: DateTime<Utc>) -> Result<()> {
        if at > tx.ctx.now {
            return Ok(());
        }
        if let Some(lead) = self.lead {
            leads::touch(tx, lead, at)?;
        }
        if let Some(deal) = self.deal {
            deals::touch(tx, deal, at)?;
        }
        Ok(())
    }
}

/// The members that name a record, and its table.
const ENDS: [(&str, &str); 4] =
    [("leadId", "leads"), ("dealId", "deals"), ("companyId", "companies"), ("contactId", "contacts")];

/// Takes the activities and tasks about these records along to the business unit that the records are in now, so that
/// whoever sees a record sees what was done and is to be done about it. `column` names the records, `unit` is the id of
/// the unit as JSON; `null` is no unit.
pub(crate) fn follow(
    tx: &mut Tx<'_>,
    column: &'static str,
    ids: Vec<Uuid>,
    unit: &Value,
    reason: &Reason,
) -> Result<()> {
    take_along::<Activity>(tx, column, ids.clone(), unit, reason)?;
    take_along::<Task>(tx, column, ids, unit, reason)
}

fn take_along<F: Record>(tx: &mut Tx<'_>, column: &str, ids: Vec<Uuid>, unit: &Value, reason: &Reason) -> Result<()> {
    let text = format!(
        "WITH left_behind AS MATERIALIZED (SELECT id, business_unit_id FROM {table} WHERE organization_id = {{org}} \
         AND {column} = ANY({{}}) AND business_unit_id IS DISTINCT FROM {{}} ORDER BY id FOR UPDATE) \
         UPDATE {table} AS t SET business_unit_id = {{}}, version = t.version + 1, updated_at = {{}} FROM left_behind \
         WHERE t.organization_id = {{org}} AND t.id = left_behind.id \
         RETURNING t.id, t.version, left_behind.business_unit_id",
        table = F::TABLE
    );
    let (to, now) = (unit.as_str().and_then(|id| id.parse::<Uuid>().ok()), tx.ctx.now);
    let moved = tx.sql_text::<(st::Uuid, st::BigInt, st::Nullable<st::Uuid>)>(text);
    let moved: Vec<(Uuid, i64, Option<Uuid>)> = moved.with(|s| s.bind(ids).bind(to).bind(to).bind(now)).all(tx)?;
    for (id, version, from) in moved {
        let old_value = from.map_or(Value::Null, |from| from.to_string().into());
        let diff = FieldDiff { field_name: "businessUnitId".into(), old_value, new_value: unit.clone() };
        history::append::<F>(tx, id.into(), version, &[diff], reason)?;
    }
    Ok(())
}

/// The business unit that something new belongs to by the record that it is about. `None` where the request names a
/// unit, or no record that the caller may see; the checks of its fields tell that.
pub(crate) fn unit_of_record(tx: &mut Tx<'_>, patch: &Patch) -> Result<Option<Option<Id<BusinessUnit>>>> {
    if patch.members.contains_key("businessUnitId") {
        return Ok(None);
    }
    for (member, table) in ENDS {
        let Some(id) = patch.members.get(member).and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok()) else {
            continue;
        };
        let text = format!("SELECT business_unit_id FROM {table} WHERE organization_id = {{org}} AND id = {{}}");
        let unit: Option<Option<Uuid>> = tx.sql_text::<st::Nullable<st::Uuid>>(text).with(|s| s.bind(id)).first(tx)?;
        let seen = |unit: &Option<Id<BusinessUnit>>| match (&tx.ctx.scope.units, unit) {
            (Some(units), Some(unit)) => units.contains(unit),
            _ => true,
        };
        if let Some(unit) = unit.map(|unit| unit.map(Id::from)).filter(seen) {
            return Ok(Some(unit));
        }
    }
    Ok(None)
}
