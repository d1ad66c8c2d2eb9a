//! Snoozing a stale deal: it is not told of until an instant. A change of the deal like any other, so its field history tells
//! who snoozed it until when, and why.
use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};

use super::Deal;
use crate::{Error, FieldError, Id, Patch, Result, Tx, change::Change};

/// The furthest that a snooze may reach.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// Characters of the reason at most.
const LONGEST_REASON: usize = 500;

/// The deal, locked, before anybody looks at what is asked about it.
///
/// # Errors
/// [`Error::NotFound`].
pub fn lock(tx: &mut Tx<'_>, id: Id<Deal>) -> Result<Deal> {
    tx.lock(id)
}

/// Snoozes an open deal. The reason lands in the history as the note of the change.
///
/// # Errors
/// [`Error::Conflict`] `not_open`; [`Error::Invalid`] for an instant that is over or more than a year ahead, and for a
/// reason that says nothing; as [`Tx::permit`].
pub fn set(tx: &mut Tx<'_>, deal: Deal, until: DateTime<Utc>, reason: &str, mut patch: Patch) -> Result<Deal> {
    if deal.fields.status != "open" {
        let detail = format!("The deal is {}; only an open one is ever stale.", deal.fields.status);
        return Err(Error::Conflict { code: "not_open", detail });
    }
    let (now, reason) = (tx.ctx.now, reason.trim());
    let mut errors = Vec::new();
    if until <= now || until > now + LONGEST {
        let [first, last] = [now, now + LONGEST].map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true));
        let message =
            format!("Must be after {first}, which is now, and not after {last}, {} days ahead.", LONGEST.num_days());
        errors.push(FieldError::new("until", "range", message));
    }
    errors.extend(checked_reason(reason).err());
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    patch.reason.note = Some(reason.to_owned());
    change(tx, deal, patch, Some(until.trunc_subsecs(6)))
}

/// A person's reason for not being told of something, without the blanks around it.
///
/// # Errors
/// What is wrong with the member `reason`, where it says nothing or too much.
pub fn checked_reason(reason: &str) -> std::result::Result<&str, FieldError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > LONGEST_REASON || reason.contains('\0') {
        return Err(FieldError::new("reason", "length", format!("From 1 to {LONGEST_REASON} characters.")));
    }
    Ok(reason)
}

/// Ends the snooze of a deal, if there is one.
///
/// # Errors
/// As [`Tx::permit`].
pub fn end(tx: &mut Tx<'_>, deal: Deal, patch: Patch) -> Result<Deal> {
    change(tx, deal, patch, None)
}

fn change(tx: &mut Tx<'_>, deal: Deal, patch: Patch, until: Option<DateTime<Utc>>) -> Result<Deal> {
    let mut change = Change::new(tx, deal, patch)?;
    change.amend(|fields| fields.stale_snoozed_until = until)?;
    tx.permit(change)?.save(tx)
}
