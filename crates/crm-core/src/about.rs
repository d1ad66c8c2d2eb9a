//! What an activity or a task is about: a lead, a deal, a company or a contact.
use chrono::{DateTime, Utc};
use diesel::sql_types as st;
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Id, Patch, Result, Tx,
    business_units::BusinessUnit,
    companies::Company,
    contacts::Contact,
    deals::{self, Deal},
    leads::{self, Lead},
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
