//! Why deals were won and lost: reviews, written when a deal closes and never changed.
use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::{Deal, rules};
use crate::{
    Error, FieldError, Id, Page, Patch, Result, Tx, bodies,
    change::FieldDiff,
    cursor, filters,
    gate::{Action, Ask},
    masks, patch,
    proposals::{Proposal, proposing},
    reason_codes,
    record::Record,
    schema::win_loss_reviews,
    users::User,
};

/// Why a deal was won or lost.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = win_loss_reviews)]
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
    /// Since when it is past, because the deal was opened again.
    pub superseded_at: Option<DateTime<Utc>>,
    /// The review of an earlier close whose place it takes.
    pub supersedes_id: Option<Id<WinLossReview>>,
    /// The review that has taken its place; nothing while the deal has not closed again, or has no review of that close.
    pub superseded_by_id: Option<Id<WinLossReview>>,
}

/// A review as a request brings it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReviewInput {
    /// `won` or `lost`. The outcome of the deal where it is left out; a review that closes a deal must say it.
    #[schema(example = "won")]
    pub outcome: Option<String>,
    /// A code of the organization's list for that outcome.
    #[schema(example = "best_price")]
    pub primary_reason_code: String,
    /// What happened. `other` needs at least 10 characters.
    pub notes: Option<String>,
    /// What to do better.
    pub learned: Option<String>,
}

/// The member of a deal's body that brings its review.
pub const MEMBER: &str = "winLossReview";

/// The review of a deal's last close: the present one, or where the deal is open again, the one before that. The review of
/// an earlier close is not taken for it.
///
/// # Errors
/// [`Error::NotFound`] where there is no such deal, or no review of its last close; [`Error::Forbidden`] where the status of
/// deals is hidden, which a review tells.
pub fn read(tx: &mut Tx<'_>, id: Id<Deal>) -> Result<WinLossReview> {
    let deal = super::see(tx, id)?;
    masks::check_use::<Deal>(tx.ctx, "status")?;
    of_last_close(tx, &deal)
}

/// A page of all reviews of a deal, the latest first: the present one, and those that were superseded when the deal was opened
/// again. `limit` and `cursor` are read of `query`.
///
/// # Errors
/// As [`read`]; [`Error::Malformed`] for a cursor or a limit that does not fit.
pub fn list(tx: &mut Tx<'_>, id: Id<Deal>, query: &[(String, String)]) -> Result<Page<WinLossReview>> {
    let deal = super::see(tx, id)?;
    masks::check_use::<Deal>(tx.ctx, "status")?;
    let named = |wanted: &str| query.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let limit = named("limit").map_or(Ok(cursor::USUAL), cursor::limit)?;
    let list = cursor::fingerprint(tx.ctx, &format!("win_loss_reviews of {}", deal.id), query);
    let position = named("cursor").map(|text| cursor::open(&list, text)).transpose()?;
    let before = position.as_ref().and_then(|position| Some((filters::instant(position.v.as_deref()?)?, position.i)));
    let rows = tx.from(win_loss_reviews::table).with(|rows| {
        let (created_at, review_id) = (win_loss_reviews::created_at, win_loss_reviews::id);
        let mut rows = rows
            .filter(win_loss_reviews::deal_id.eq(deal.id))
            .order((created_at.desc(), review_id.desc()))
            .limit(limit + 1)
            .select(WinLossReview::as_select())
            .into_boxed();
        if let Some((at, last)) = before {
            rows =
                rows.filter(created_at.lt(at).or(created_at.eq(at).and(review_id.lt(Id::<WinLossReview>::from(last)))));
        }
        rows
    });
    let reviews = rows.all(tx)?;
    cursor::cut(&list, limit, reviews, |review| (review.created_at, review.id.uuid()))
}

fn of_last_close(tx: &mut Tx<'_>, deal: &Deal) -> Result<WinLossReview> {
    let last_closed = deal.fields.episode - i32::from(deal.fields.status == "open");
    let latest = latest(tx, deal)?.filter(|(_, episode)| *episode == last_closed);
    latest.map(|(review, _)| review).ok_or(Error::NotFound)
}

/// A deal whose review the caller may write, locked: what is asked before anybody looks at the review.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`].
pub fn lock_to_review(tx: &mut Tx<'_>, id: Id<Deal>) -> Result<Deal> {
    let deal: Deal = tx.lock(id)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Edit, Deal::KIND))?;
    Ok(deal)
}

/// Reviews a deal. An open one closes with that outcome, in the first stage of its pipeline that has it, under the
/// same rules as any other close; a closed one that was not reviewed yet keeps its stage. A review is never changed.
///
/// # Errors
/// [`Error::Conflict`] `already_reviewed` for a second review of the same close; [`Error::Forbidden`],
/// [`Error::Stale`], [`Error::Invalid`], [`Error::NeedsApproval`].
pub fn create(tx: &mut Tx<'_>, deal: &Deal, review: ReviewInput, mut patch: Patch) -> Result<WinLossReview> {
    if deal.fields.status != "open" {
        return add(tx, deal, review, &patch);
    }
    let stage = match closing_stage(tx, deal, &review) {
        Err(Error::Invalid(mut errors)) => {
            errors.extend(text_errors(&review));
            return Err(Error::Invalid(errors));
        }
        stage => stage?,
    };
    patch.members.insert("stageId".into(), stage.into());
    patch.members.insert(MEMBER.into(), Value::Object(patch::object(&review)?));
    let body = patch.body();
    proposing(super::update(tx, deal.id, patch), |proposal| proposal.by(body)).map_err(unprefixed)?;
    let closed = super::see(tx, deal.id)?;
    of_last_close(tx, &closed)
}

/// A close that has to be approved, with what its review says: who decides about it decides about both.
pub(super) fn told(mut proposal: Proposal, review: Option<&ReviewInput>) -> Proposal {
    let Some(review) = review else { return proposal };
    let members = [
        ("outcome", &review.outcome),
        ("primaryReasonCode", &Some(review.primary_reason_code.clone())),
        ("notes", &review.notes),
        ("learned", &review.learned),
    ];
    proposal.diffs.extend(members.into_iter().filter_map(|(name, text)| {
        let field_name = format!("{MEMBER}.{name}");
        Some(FieldDiff { field_name, old_value: Value::Null, new_value: text.clone()?.into() })
    }));
    proposal
}

/// The review of a deal that closed without one.
fn add(tx: &mut Tx<'_>, deal: &Deal, review: ReviewInput, patch: &Patch) -> Result<WinLossReview> {
    refuse_second(tx, deal)?;
    if patch.expected.is_some_and(|expected| expected != deal.version) {
        return Err(Error::Stale { version: deal.version });
    }
    let errors = check(tx, &deal.fields.status, &review)?;
    if errors.is_empty() { record(tx, deal, review, tx.ctx.now) } else { Err(Error::Invalid(errors)) }
}

/// A close has one review, which is never changed.
pub(super) fn refuse_second(tx: &mut Tx<'_>, deal: &Deal) -> Result<()> {
    if deal.fields.status != "open" && latest(tx, deal)?.is_some_and(|(_, episode)| episode == deal.fields.episode) {
        let detail = "This close has its review, which stays as it is. Reopening the deal begins another.".into();
        return Err(Error::Conflict { code: "already_reviewed", detail });
    }
    Ok(())
}

fn closing_stage(tx: &mut Tx<'_>, deal: &Deal, review: &ReviewInput) -> Result<String> {
    let outcome = match review.outcome.as_deref() {
        Some(outcome @ ("won" | "lost")) => outcome,
        Some(_) => return Err(Error::invalid("outcome", "not_allowed", "One of: won, lost.")),
        None => return Err(Error::invalid("outcome", "required", "The deal is open: say whether it is won or lost.")),
    };
    let stage = rules::first_of_kind(tx, deal.fields.pipeline_id, outcome)?;
    let missing = || Error::internal("a pipeline without a stage of each kind");
    Ok(stage.ok_or_else(missing)?.id.to_string())
}

/// Names the members as the body of the review itself does.
fn unprefixed(error: Error) -> Error {
    let prefix = format!("{MEMBER}.");
    let Error::Invalid(mut errors) = error else { return error };
    for error in &mut errors {
        error.field = error.field.strip_prefix(&prefix).unwrap_or(&error.field).to_owned();
    }
    Error::Invalid(errors)
}

/// The last review of a deal and the life that it belongs to.
fn latest(tx: &mut Tx<'_>, deal: &Deal) -> Result<Option<(WinLossReview, i32)>> {
    let rows = tx.from(win_loss_reviews::table).with(|rows| {
        rows.filter(win_loss_reviews::deal_id.eq(deal.id))
            .order(win_loss_reviews::episode.desc())
            .limit(1)
            .select((WinLossReview::as_select(), win_loss_reviews::episode))
    });
    Ok(rows.first(tx)?)
}

/// Takes the review out of a body. What is wrong with it stays in the patch, to be told with the other bad members.
pub(super) fn take_review(patch: &mut Patch) -> Result<Option<ReviewInput>> {
    match patch.take(MEMBER) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let read = bodies::read_all(value)?;
            patch.errors.extend(bodies::within(MEMBER, read.errors));
            Ok(read.value)
        }
    }
}

/// What is wrong with a review of a deal that ends with this outcome, by the members of the review.
pub(super) fn check(tx: &mut Tx<'_>, outcome: &str, review: &ReviewInput) -> Result<Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut refuse = |field: &str, code: &str, message: String| {
        errors.push(FieldError::new(field, code, message));
    };
    if review.outcome.as_deref().is_some_and(|given| given != outcome) {
        refuse("outcome", "outcome_mismatch", format!("The deal is {outcome}."));
    }
    let codes = reason_codes::active(tx, outcome)?;
    if !codes.contains(&review.primary_reason_code) {
        refuse("primaryReasonCode", "unknown_reason_code", format!("One of: {}.", codes.join(", ")));
    }
    errors.extend(text_errors(review));
    Ok(errors)
}

/// What is wrong with a review whatever its outcome is.
fn text_errors(review: &ReviewInput) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let notes = review.notes.as_deref().unwrap_or_default().trim();
    if review.primary_reason_code == "other" && notes.chars().count() < 10 {
        let message = "The reason `other` needs notes of at least 10 characters.";
        errors.push(FieldError::new("notes", "required", message));
    }
    for (field, text) in [("notes", &review.notes), ("learned", &review.learned)] {
        if text.as_ref().is_some_and(|t| t.chars().count() > 10_000 || t.contains('\0')) {
            errors.push(FieldError::new(field, "length", "At most 10000 characters, without NUL."));
        }
    }
    errors
}

/// Keeps the review of a deal that is closed. It takes the place of the one before, which is told of it.
pub(super) fn record(tx: &mut Tx<'_>, deal: &Deal, review: ReviewInput, at: DateTime<Utc>) -> Result<WinLossReview> {
    let before = if deal.fields.episode > 1 { latest(tx, deal)?.map(|(review, _)| review.id) } else { None };
    let written = WinLossReview {
        id: Id::new(),
        deal_id: deal.id,
        outcome: deal.fields.status.clone(),
        primary_reason_code: review.primary_reason_code,
        notes: review.notes,
        learned: review.learned,
        created_by: tx.ctx.actor.user(),
        created_at: at,
        superseded_at: None,
        supersedes_id: before,
        superseded_by_id: None,
    };
    tx.sql::<st::Integer>(
        "INSERT INTO win_loss_reviews (organization_id, id, deal_id, episode, outcome, primary_reason_code, notes, \
         learned, created_by, created_at, supersedes_id) VALUES ({org}, {}, {}, {}, {}, {}, {}, {}, {}, {}, {})",
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
            .bind(written.supersedes_id)
    })
    .run(tx)?;
    if let Some(before) = before {
        tx.sql::<st::Integer>(
            "UPDATE win_loss_reviews SET superseded_by_id = {} WHERE organization_id = {org} AND id = {}",
        )
        .with(|s| s.bind(written.id).bind(before))
        .run(tx)?;
    }
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
