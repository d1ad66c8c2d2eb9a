//! A conversion that has to be approved: what it would come to, of all records that it makes or fills, and whether it still does.
use std::sync::Arc;

use uuid::Uuid;

use super::{
    Lead,
    convert::{Conversion, convert_now},
};
use crate::{
    Ctx, Error, Id, Patch, Result, Tx,
    change::FieldDiff,
    gate::{Action, Rehearsal, Written},
    proposals::{Beside, Proposal},
    record::Record,
};

/// The word for a conversion among what can be done with a record.
pub const CONVERT: &str = "convert";

/// The code of the refusal by which a rehearsal undoes itself.
const UNDONE: &str = "rehearsal";

/// What a conversion comes to.
type Outcome = (Vec<FieldDiff>, Vec<Beside>);

/// Tries a conversion that has to be approved, and undoes it. Gives back [`Error::NeedsApproval`] with all that it came to.
///
/// # Errors
/// What stands against it besides.
pub(super) fn rehearse(tx: &mut Tx<'_>, id: Id<Lead>, patch: Patch) -> Result<Error> {
    let body = patch.body();
    let gate = Arc::new(Rehearsal::of(Arc::clone(&tx.ctx.gate)));
    let ctx = Ctx { gate: gate.clone(), ..tx.ctx.clone() };
    let mut tried = None;
    let undone = tx.savepoint(|tx| {
        tried = Some(tx.acting(&ctx, |tx| convert_now(tx, id, patch))?);
        Err::<(), _>(Error::Conflict { code: UNDONE, detail: "A rehearsal keeps nothing.".into() })
    });
    match undone {
        Ok(()) | Err(Error::Conflict { code: UNDONE, .. }) => {}
        Err(error) => return Err(error),
    }
    let ((Some(proposal), written), Some(conversion)) = (gate.end(), tried) else {
        return Err(Error::internal("what had to be approved no longer has to"));
    };
    let (diffs, besides) = outcome(&conversion, written);
    let before: Lead = tx.find(id)?;
    let proposal = Proposal {
        action: Action::Edit.as_str(),
        kind: Lead::KIND,
        business_unit: before.fields.business_unit_id.map(Id::uuid),
        diffs,
        besides,
        command: Some(CONVERT),
        ..proposal
    };
    Ok(Error::NeedsApproval(Box::new(proposal.by(body).about(id.uuid(), before.version))))
}

/// Converts a lead whose conversion is approved, and gives back what that has come to.
///
/// # Errors
/// As [`super::convert`].
pub fn convert_approved(tx: &mut Tx<'_>, id: Id<Lead>, patch: Patch) -> Result<Outcome> {
    let gate = Arc::new(Rehearsal::of(Arc::clone(&tx.ctx.gate)));
    let ctx = Ctx { gate: gate.clone(), ..tx.ctx.clone() };
    let conversion = tx.acting(&ctx, |tx| convert_now(tx, id, patch))?;
    let (proposal, written) = gate.end();
    match proposal {
        Some(proposal) => Err(Error::NeedsApproval(Box::new(proposal))),
        None => Ok(outcome(&conversion, written)),
    }
}

/// What was written, but for ids of what was made and for what follows from the moment: those are others each time.
fn outcome(conversion: &Conversion, written: Vec<Written>) -> Outcome {
    let (mut diffs, mut besides) = (Vec::new(), Vec::new());
    let company = conversion.company.as_ref().map(|company| company.id.uuid());
    let contact = conversion.contact.as_ref().map(|contact| contact.id.uuid());
    let deal = conversion.deal.as_ref().map(|deal| deal.id.uuid());
    let is_made = |kind: &str| written.iter().any(|it| it.kind == kind && it.is_new);
    let made: Vec<String> = [("company", company), ("contact", contact)]
        .into_iter()
        .filter_map(|(kind, id): (_, Option<Uuid>)| id.filter(|_| is_made(kind)))
        .map(|id| id.to_string())
        .collect();
    let is_known = |diff: &FieldDiff| diff.new_value.as_str().is_none_or(|value| !made.iter().any(|id| id == value));
    for Written { kind, is_new, diffs: mut changed } in written {
        changed.retain(is_known);
        match kind {
            Lead::KIND => {
                changed.retain(|diff| Lead::field(&diff.field_name).is_none_or(|field| !field.read_only));
                diffs.append(&mut changed);
            }
            _ => {
                let id = match kind {
                    "company" => company,
                    "contact" => contact,
                    _ => deal,
                };
                besides.push(Beside { kind, id: id.filter(|_| !is_new), diffs: changed });
            }
        }
    }
    (diffs, besides)
}
