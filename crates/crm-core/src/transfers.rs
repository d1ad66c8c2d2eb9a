//! Records that go to another business unit together: judged one by one, written and told as one.
use crate::{
    Error, Id, Reason, Record, Result, Tx,
    business_units::BusinessUnit,
    change::{FieldDiff, note, propose},
    companies::Company,
    contacts::Contact,
    deals::Deal,
    gate::{Action, Ask},
    history,
    leads::Lead,
    patch, reason_codes,
    select::Condition,
    statement::Bind,
    tasks::Task,
};
use uuid::Uuid;

/// How many records are held in memory and written with one statement.
const BATCH: i64 = 1_000;
/// The member that changes.
const UNIT: &str = "businessUnitId";

/// Takes all that a unit still works on to another one: its companies and contacts, the leads that are not converted,
/// the open deals, all with their activities and tasks, and the open tasks that are about no record. What is over stays,
/// so that the unit's figures do: closed deals and converted leads.
///
/// # Errors
/// [`Error::Forbidden`] where the caller may not change one of them, [`Error::Invalid`] where a rule wants a reason,
/// [`Error::NeedsApproval`] where somebody has to approve one of them first.
pub(crate) fn transfer(tx: &mut Tx<'_>, from: Id<BusinessUnit>, to: Id<BusinessUnit>, reason: &Reason) -> Result<()> {
    let is = |column: &'static str, word: &str| Condition::Compare(column.into(), "=", word.into());
    let about_nothing =
        ["lead_id", "deal_id", "company_id", "contact_id"].map(|column| Condition::IsNull(column, true));
    carry::<Company>(tx, from, to, &[], reason)?;
    carry::<Contact>(tx, from, to, &[], reason)?;
    carry::<Lead>(tx, from, to, &[Condition::IsNull("converted_at", true)], reason)?;
    carry::<Deal>(tx, from, to, &[is("status", "open")], reason)?;
    let own_tasks: Vec<_> = about_nothing.into_iter().chain([is("status", "open")]).collect();
    carry::<Task>(tx, from, to, &own_tasks, reason)
}

/// Takes the records of a kind that meet these conditions along.
fn carry<R: Record>(
    tx: &mut Tx<'_>,
    from: Id<BusinessUnit>,
    to: Id<BusinessUnit>,
    which: &[Condition],
    reason: &Reason,
) -> Result<()> {
    let diff =
        FieldDiff { field_name: UNIT.into(), old_value: from.to_string().into(), new_value: to.to_string().into() };
    loop {
        let own = Condition::Compare("business_unit_id".into(), "=", from.into());
        let select = tx.records::<R>().and(own).and_all(which.iter().cloned()).order("id", false);
        let records = R::load(tx, select.limit(BATCH).locked())?;
        if records.is_empty() {
            return Ok(());
        }
        records.iter().try_for_each(|record| permit(tx, record, &diff, reason))?;
        write(tx, &records, &diff, to, reason)?;
    }
}

/// Asks about one of them what a change of its own would be asked.
fn permit<R: Record>(tx: &mut Tx<'_>, record: &R, diff: &FieldDiff, reason: &Reason) -> Result<()> {
    let before = patch::object(record.fields())?;
    let mut after = before.clone();
    after.insert(UNIT.into(), diff.new_value.clone());
    let (diffs, given) = (std::slice::from_ref(diff), [UNIT.to_owned()]);
    let (before, after) = (Some(&before), Some(&after));
    let ask = Ask { action: Action::Edit, kind: R::KIND, before, after, diffs, given: &given };
    let mut waits = None;
    note(tx.ctx.gate.check(tx.ctx, &ask), &mut waits)?;
    if let Some(error) = reason_codes::check::<R>(tx, diffs, reason)? {
        return Err(Error::Invalid(vec![error]));
    }
    propose(waits, record.id(), record.version())
}

fn write<R: Record>(
    tx: &mut Tx<'_>,
    records: &[R],
    diff: &FieldDiff,
    to: Id<BusinessUnit>,
    reason: &Reason,
) -> Result<()> {
    let ids = set_in_all(tx, records, "business_unit_id = {}", to.into())?;
    for record in records {
        history::append(tx, record.id(), record.version() + 1, std::slice::from_ref(diff), reason)?;
    }
    R::moved(tx, ids, &diff.new_value, reason)
}

/// Writes one column of many records with one statement, each at its next version, and gives their ids. What has changed is
/// told to the history by whoever calls. `set` comes from the code.
pub(crate) fn set_in_all<R: Record>(tx: &mut Tx<'_>, records: &[R], set: &str, value: Bind) -> Result<Vec<Uuid>> {
    let ids: Vec<_> = records.iter().map(|record| record.id().uuid()).collect();
    let text = format!(
        "UPDATE {} SET {set}, version = version + 1, updated_at = {{}} WHERE organization_id = {{org}} AND id = ANY({{}})",
        R::TABLE
    );
    let now = tx.ctx.now;
    tx.sql_text::<diesel::sql_types::Integer>(text).with(|s| s.bind(value).bind(now).bind(ids.clone())).run(tx)?;
    Ok(ids)
}
