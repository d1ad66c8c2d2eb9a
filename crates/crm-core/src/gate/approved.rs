//! Gates of what has to be approved: one before which that was done, and one that shows what would be done.
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::{Action, Ask, Gate, Hiding};
use crate::{Ctx, Error, Result, change::FieldDiff, proposals::Proposal, users::Role};

/// What is hidden does not depend on what is approved.
macro_rules! hides_as_its_gate {
    () => {
        fn hidden(&self, ctx: &Ctx, kind: &str, record: Option<&Map<String, Value>>) -> Vec<String> {
            self.gate.hidden(ctx, kind, record)
        }

        fn never_seen(&self, ctx: &Ctx, kind: &str) -> Vec<String> {
            self.gate.never_seen(ctx, kind)
        }

        fn why_hidden(&self, ctx: &Ctx, kind: &str, field: &str) -> String {
            self.gate.why_hidden(ctx, kind, field)
        }

        fn hiding<'g>(&'g self, ctx: &Ctx, kind: &str) -> Option<Box<dyn Hiding + 'g>> {
            self.gate.hiding(ctx, kind)
        }
    };
}

/// The code of what needs an approval that who gave it could not give, since they may not do it at all.
pub const APPROVER_NOT_ALLOWED: &str = "approver_not_allowed";
/// The code of what needs an approval that who gave it could not give, since they would need one too.
pub const APPROVER_NEEDS_APPROVAL: &str = "approver_needs_approval";

/// May somebody approve this? Whoever could do it at once may. Somebody who would need an approval too may not, but for an
/// ADMIN: where a policy wants everybody's doings approved, nobody else is left.
///
/// # Errors
/// [`Error::Forbidden`], with the policy's name: [`APPROVER_NEEDS_APPROVAL`], or as for their own doing of it.
pub fn check_approver(approver: &Ctx, ask: &Ask<'_>) -> Result<()> {
    match approver.gate.check(approver, ask) {
        Err(Error::NeedsApproval(_)) if approver.role == Role::Admin => Ok(()),
        Err(Error::NeedsApproval(proposal)) => {
            let reason = format!("{} Who would need an approval too cannot give one; an ADMIN can.", proposal.reason);
            Err(Error::Forbidden { code: APPROVER_NEEDS_APPROVAL, reason })
        }
        answer => answer,
    }
}

/// A gate before which somebody else's approval has been given: what needs one is allowed where who gave it may give it
/// ([`check_approver`]), and what is refused stays refused.
pub struct Approved {
    /// The gate.
    pub gate: Arc<dyn Gate>,
    /// Who has approved.
    pub by: Ctx,
}

impl Gate for Approved {
    fn check(&self, ctx: &Ctx, ask: &Ask<'_>) -> Result<()> {
        match self.gate.check(ctx, ask) {
            Err(Error::NeedsApproval(_)) => check_approver(&self.by, ask).map_err(|error| match error {
                Error::Forbidden { code, reason } if code != APPROVER_NEEDS_APPROVAL => {
                    Error::Forbidden { code: APPROVER_NOT_ALLOWED, reason }
                }
                error => error,
            }),
            answer => answer,
        }
    }

    hides_as_its_gate!();
}

/// A gate that lets through what needs an approval, and keeps what was written before it.
pub(crate) struct Rehearsal {
    gate: Arc<dyn Gate>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    proposal: Option<Proposal>,
    written: Vec<Written>,
}

/// What was written of one record.
pub(crate) struct Written {
    /// What kind of record.
    pub(crate) kind: &'static str,
    /// Was it made?
    pub(crate) is_new: bool,
    /// What has changed.
    pub(crate) diffs: Vec<FieldDiff>,
}

impl Rehearsal {
    /// Before a gate.
    pub(crate) fn of(gate: Arc<dyn Gate>) -> Self {
        Self { gate, kept: Mutex::default() }
    }

    /// What has to be approved, if anything, and all that was written.
    pub(crate) fn end(&self) -> (Option<Proposal>, Vec<Written>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.proposal.take(), std::mem::take(&mut kept.written))
    }
}

impl Gate for Rehearsal {
    fn check(&self, ctx: &Ctx, ask: &Ask<'_>) -> Result<()> {
        let answer = self.gate.check(ctx, ask);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = ask.action == Action::Create;
        let is_told = kept.written.iter().any(|it| it.kind == ask.kind && it.diffs == ask.diffs);
        if ask.after.is_some() && !ask.diffs.is_empty() && !is_told {
            kept.written.push(Written { kind: ask.kind, is_new, diffs: ask.diffs.to_vec() });
        }
        match answer {
            Err(Error::NeedsApproval(proposal)) => {
                match &mut kept.proposal {
                    Some(first) => first.join(*proposal),
                    first => *first = Some(*proposal),
                }
                Ok(())
            }
            answer => answer,
        }
    }

    hides_as_its_gate!();
}
