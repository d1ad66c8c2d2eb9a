//! Why deals were won and lost: reviews, written when a deal closes and never changed.
use chrono::{DateTime, Utc};
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::Deal;
use crate::{Error, FieldError, Id, Patch, Result, Tx, reason_codes, users::User};

/// Why a deal was won or lost.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WinLossReview {
    /// Its id.
    pub id: Id<WinLossReview>,
    /// The deal that closed.
    pub deal_id: Id<Deal>,
    /// `won` or `lost`.
    pub outcome: String,
    /// A code of the organization's list for that outcome.
    pub primary_reason_code: String,
    /// What happened.
    pub notes: Option<String>,
    /// What to do better.
    pub learned: Option<String>,
    /// Who wrote it; nobody for the program itself.
    pub created_by: Option<Id<User>>,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A review as a request brings it.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReviewInput {
    /// `won` or `lost`; the outcome of the stage where it is left out.
    pub outcome: Option<String>,
    /// A code of the organization's list for that outcome.
    #[schema(example = "best_price")]
    pub primary_reason_code: String,
    /// What happened. `other` needs at least 10 characters.
    pub notes: Option<String>,
    /// What to do better.
    pub learned: Option<String>,
}

const MEMBER: &str = "winLossReview";

/// Takes the review out of a body.
pub(super) fn take_review(patch: &mut Patch) -> Result<Option<ReviewInput>> {
    match patch.take(MEMBER) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => serde_json::from_value(value).map(Some).map_err(|error| {
            let said = error.to_string();
            Error::invalid(MEMBER, "invalid_type", said.split(" at line ").next().unwrap_or_default())
        }),
    }
}

/// What is wrong with a review of a deal that ends with this outcome.
pub(super) fn check(tx: &mut Tx<'_>, outcome: &str, review: &ReviewInput) -> Result<Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut refuse = |field: &str, code: &str, message: String| {
        errors.push(FieldError::new(format!("{MEMBER}.{field}"), code, message));
    };
    if review.outcome.as_deref().is_some_and(|given| given != outcome) {
        refuse("outcome", "outcome_mismatch", format!("The deal is {outcome}."));
    }
    let codes = reason_codes::active(tx, outcome)?;
    if !codes.contains(&review.primary_reason_code) {
        refuse("primaryReasonCode", "unknown_reason_code", format!("One of: {}.", codes.join(", ")));
    }
    let notes = review.notes.as_deref().unwrap_or_default().trim();
    if review.primary_reason_code == "other" && notes.chars().count() < 10 {
        refuse("notes", "required", "The reason `other` needs notes of at least 10 characters.".into());
    }
    for (field, text) in [("notes", &review.notes), ("learned", &review.learned)] {
        if text.as_ref().is_some_and(|t| t.chars().count() > 10_000 || t.contains('\0')) {
            refuse(field, "length", "At most 10000 characters, without NUL.".into());
        }
    }
    Ok(errors)
}

/// Keeps the review of a deal that has just closed.
pub(super) fn record(tx: &mut Tx<'_>, deal: &Deal, review: ReviewInput) -> Result<WinLossReview> {
    let written = WinLossReview {
        id: Id::new(),
        deal_id: deal.id,
        outcome: deal.fields.status.clone(),
        primary_reason_code: review.primary_reason_code,
        notes: review.notes,
        learned: review.learned,
        created_by: tx.ctx.actor.user(),
        created_at: deal.fields.closed_at.unwrap_or(tx.ctx.now),
    };
    tx.sql::<st::Integer>(
        "INSERT INTO win_loss_reviews (organization_id, id, deal_id, episode, outcome, primary_reason_code, notes, \
         learned, created_by, created_at) VALUES ({org}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
    )
    .with(|s| {
        s.bind(written.id)
            .bind(written.deal_id)
            .bind(deal.fields.episode)
            .bind(written.outcome.as_str())
            .bind(written.primary_reason_code.as_str())
            .bind(written.notes.as_deref())
            .bind(written.learned.as_deref())
            .bind(written.created_by)
            .bind(written.created_at)
    })
    .run(tx)?;
    Ok(written)
}

/// Marks the reviews of earlier lives of a reopened deal as past. They stay readable.
pub(super) fn supersede(tx: &mut Tx<'_>, deal: &Deal) -> Result<()> {
    tx.sql::<st::Integer>(
        "UPDATE win_loss_reviews SET superseded_at = {} WHERE organization_id = {org} AND deal_id = {} AND superseded_at IS NULL",
    )
    .with(|s| s.bind(tx.ctx.now).bind(deal.id))
    .run(tx)?;
    Ok(())
}
