//! Whose mail address is suppressed: nothing is sent there, so that nobody is told to.

use std::collections::{BTreeMap, BTreeSet};

use crm_core::{
    Record, Result, Tx,
    contacts::Contact,
    gate::{Action, Ask},
    leads::Lead,
    mail_addresses::normal,
    masks,
};
use diesel::sql_types as st;
use uuid::Uuid;

use super::desk::{Desk, Subject};

/// Who is written to about a record: its business unit, the mail address and the telephone number.
type Reached = (Uuid, Option<Uuid>, Option<String>, Option<String>);
type ReachedTypes = (st::Uuid, st::Nullable<st::Uuid>, st::Nullable<st::Text>, st::Nullable<st::Text>);

const LEADS: &str =
    "SELECT id, business_unit_id, email, phone FROM leads WHERE organization_id = {org} AND id = ANY({})";

/// A deal's mail goes to its contact.
const DEALS: &str = "SELECT d.id, d.business_unit_id, c.email, c.phone FROM deals d \
     JOIN contacts c ON c.organization_id = d.organization_id AND c.id = d.contact_id \
     WHERE d.organization_id = {org} AND d.id = ANY({})";

const SUPPRESSED: &str =
    "SELECT email, business_unit_id FROM suppressions WHERE organization_id = {org} AND email = ANY({})";

/// The kind of record of a suppression, for whoever decides who sees one.
const SUPPRESSION: &str = "suppression";

impl Desk {
    /// Marks the items whose address is suppressed, by the organization or by the record's business unit, as far as the user
    /// sees addresses and suppressions.
    pub(super) fn put_suppressions(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        if tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, SUPPRESSION)).is_err() {
            return Ok(());
        }
        let mut reached = self.reached::<Lead>(tx, LEADS, |subject| subject.lead().map(|id| id.uuid()))?;
        if self.sight.deals.has(&["contactId"]) {
            reached.extend(self.reached::<Contact>(tx, DEALS, |subject| subject.deal().map(|id| id.uuid()))?);
        }
        let addresses: BTreeMap<Uuid, String> =
            reached.iter().filter_map(|(id, (_, _, email, _))| Some((*id, normal(email.as_deref()?).ok()?))).collect();
        let asked: BTreeSet<String> = addresses.values().cloned().collect();
        if asked.is_empty() {
            return Ok(());
        }
        let rows: Vec<(String, Option<Uuid>)> = tx
            .sql::<(st::Text, st::Nullable<st::Uuid>)>(SUPPRESSED)
            .with(|s| s.bind(asked.into_iter().collect::<Vec<_>>()))
            .all(tx)?;
        let suppressed: BTreeSet<(String, Option<Uuid>)> = rows.into_iter().collect();
        for (subject, (_, candidate)) in &mut self.things {
            let Some((_, unit, _, phone)) = reached.get(&subject.uuid()) else { continue };
            let Some(address) = addresses.get(&subject.uuid()) else { continue };
            let holds = |unit: Option<Uuid>| suppressed.contains(&(address.clone(), unit));
            candidate.is_mail_suppressed = holds(None) || unit.is_some_and(|unit| holds(Some(unit)));
            candidate.has_phone = phone.as_deref().is_some_and(|phone| !phone.trim().is_empty());
        }
        Ok(())
    }

    /// How the people behind the items of one kind are reached. `R` holds the address: hidden in it, nobody is.
    fn reached<R: Record>(
        &self,
        tx: &mut Tx<'_>,
        text: &'static str,
        id: fn(Subject) -> Option<Uuid>,
    ) -> Result<BTreeMap<Uuid, Reached>> {
        let hidden = masks::hidden::<R>(tx.ctx);
        let ids: Vec<Uuid> = self.things.keys().filter_map(|subject| id(*subject)).collect();
        if ids.is_empty() || masks::is_hidden(&hidden, "email") {
            return Ok(BTreeMap::new());
        }
        let rows: Vec<Reached> = tx.sql::<ReachedTypes>(text).with(|s| s.bind(ids)).all(tx)?;
        let sees_phone = !masks::is_hidden(&hidden, "phone");
        let seen = |(id, unit, email, phone): Reached| (id, (id, unit, email, phone.filter(|_| sees_phone)));
        Ok(rows.into_iter().map(seen).collect())
    }
}
