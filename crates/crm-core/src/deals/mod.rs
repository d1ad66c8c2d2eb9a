//! Deals: opportunities on their way through a pipeline.
use chrono::{DateTime, NaiveDate, Utc};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::{
    Currency, Id, Money, Patch, Reason, Result, Tx, about,
    bulk::{self, BulkOutcome, Commands},
    business_units::BusinessUnit,
    change::{Change, Draft},
    companies::Company,
    contacts::Contact,
    custom_fields::CustomValues,
    gate::{Action, Ask},
    jobs,
    leads::Lead,
    notifications::Kind,
    organizations,
    pipelines::{KINDS, Pipeline, Stage},
    proposals::proposing,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::deals,
    users::User,
};

pub mod entities;
pub mod intel;
pub mod reviews;
pub mod rules;
pub mod snoozes;
mod visits;

/// A deal.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = deals)]
pub struct Deal {
    /// Its id.
    pub id: Id<Deal>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: DealFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// The fields of a deal. Status, the instants and the episode follow from the stage and what is done.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = deals, treat_none_as_null = true)]
pub struct DealFields {
    /// The business unit that it belongs to; none is seen by all.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// What people call it.
    #[validate(length(max = 200))]
    #[schema(example = "Acme: 40 seats")]
    pub title: String,
    /// What it would bring, in `currency`.
    #[validate(custom(function = self::not_negative))]
    #[schema(example = 50000)]
    pub value: Option<Money>,
    /// The currency of its value; the organization's where none is given.
    pub currency: Currency,
    /// The pipeline that it goes.
    pub pipeline_id: Id<Pipeline>,
    /// Where in the pipeline it stands.
    pub stage_id: Id<Stage>,
    /// `open`, `won` or `lost`, as its stage.
    pub status: String,
    /// Whom we would sell to.
    pub company_id: Option<Id<Company>>,
    /// Whom we talk with.
    pub contact_id: Option<Id<Contact>>,
    /// The lead that it came from.
    pub lead_id: Option<Id<Lead>>,
    /// Who works it.
    pub owner_id: Option<Id<User>>,
    /// The day on which it should be won.
    pub expected_close_date: Option<NaiveDate>,
    /// When it was won or lost.
    pub closed_at: Option<DateTime<Utc>>,
    /// The owner's own estimate, 0 to 1, over that of the stage.
    #[validate(custom(function = crate::pipelines::probability))]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    pub probability: Option<Money>,
    /// When something was last done about it.
    pub last_activity_at: Option<DateTime<Utc>>,
    /// Until when it is not told of as stale.
    pub stale_snoozed_until: Option<DateTime<Utc>>,
    /// Since when it has stood in its stage.
    pub stage_entered_at: DateTime<Utc>,
    /// Counts its lives: a deal that is reopened begins another.
    pub episode: i32,
    /// Its id in another system; unique in the organization.
    #[validate(length(max = 200))]
    pub external_id: Option<String>,
    /// Words to find it by.
    #[validate(custom(function = crate::companies::tags))]
    pub tags: Vec<String>,
    /// The organization's own fields.
    pub custom_fields: CustomValues,
}

impl Default for DealFields {
    fn default() -> Self {
        Self {
            business_unit_id: None,
            title: String::new(),
            value: None,
            currency: Currency::default(),
            pipeline_id: Id::default(),
            stage_id: Id::default(),
            status: "open".into(),
            company_id: None,
            contact_id: None,
            lead_id: None,
            owner_id: None,
            expected_close_date: None,
            closed_at: None,
            probability: None,
            last_activity_at: None,
            stale_snoozed_until: None,
            stage_entered_at: DateTime::UNIX_EPOCH,
            episode: 1,
            external_id: None,
            tags: Vec::new(),
            custom_fields: CustomValues::default(),
        }
    }
}

/// Is it zero or more?
pub(crate) fn not_negative(value: &Money) -> Result<(), ValidationError> {
    if *value >= Money::ZERO {
        return Ok(());
    }
    Err(ValidationError::new("range").with_message("Not below 0.".into()))
}

impl Record for Deal {
    const KIND: &'static str = "deal";
    const TABLE: &'static str = "deals";
    const FIELDS: &'static [Field] = &[
        Field::new("businessUnitId", "business_unit_id", FieldKind::Reference("business_units")),
        Field::new("title", "title", FieldKind::Text).required().sortable().searched(),
        Field::new("value", "value", FieldKind::Decimal).sortable().in_currency("currency"),
        Field::new("currency", "currency", FieldKind::Text),
        Field::new("pipelineId", "pipeline_id", FieldKind::Reference("pipelines")),
        Field::new("stageId", "stage_id", FieldKind::Reference("stages")),
        Field::new("status", "status", FieldKind::Choice(&KINDS)).read_only(),
        Field::new("companyId", "company_id", FieldKind::Reference("companies")).scoped(),
        Field::new("contactId", "contact_id", FieldKind::Reference("contacts")).scoped(),
        Field::new("leadId", "lead_id", FieldKind::Reference("leads")).scoped(),
        Field::new("ownerId", "owner_id", FieldKind::Reference("users")),
        Field::new("expectedCloseDate", "expected_close_date", FieldKind::Date).sortable(),
        Field::new("closedAt", "closed_at", FieldKind::Instant).sortable().read_only(),
        Field::new("probability", "probability", FieldKind::Decimal),
        Field::new("lastActivityAt", "last_activity_at", FieldKind::Instant).sortable().read_only(),
        Field::new("staleSnoozedUntil", "stale_snoozed_until", FieldKind::Instant).read_only().unfiltered(),
        Field::new("stageEnteredAt", "stage_entered_at", FieldKind::Instant).sortable().read_only(),
        Field::new("episode", "episode", FieldKind::Int).read_only().unfiltered(),
        Field::new("externalId", "external_id", FieldKind::Text),
        Field::new("tags", "tags", FieldKind::Tags),
        Field::new("customFields", "custom_fields", FieldKind::Custom),
    ];
    const IN_UNITS: bool = true;
    const ASSIGNED: Option<(&'static str, Kind)> = Some(("ownerId", Kind::DealAssigned));
    const SEARCHED: bool = true;
    fn moved(tx: &mut Tx<'_>, ids: Vec<Uuid>, unit: &Value, reason: &Reason) -> Result<()> {
        about::follow(tx, "deal_id", ids, unit, reason)
    }

    record_rows!(DealFields, deals, search_text);

    fn search_text(fields: &DealFields) -> String {
        fields.title.clone()
    }

    const CHANGES: &'static [Action] = &[Action::Edit, Action::ChangeStage, Action::MarkWonLost];

    /// Moving and closing have permissions of their own; what follows from them needs none.
    fn asks(change: &Change<Self>) -> Vec<Action> {
        const FOLLOWS: [&str; 6] = ["status", "closedAt", "stageEnteredAt", "episode", "stageId", "pipelineId"];
        let edits = change.diffs().iter().any(|d| !FOLLOWS.contains(&d.field_name.as_str()));
        let moves = change.touches("stageId") || change.touches("pipelineId");
        let asks = [
            (edits || !moves, Action::Edit),
            (moves, Action::ChangeStage),
            (change.touches("status"), Action::MarkWonLost),
        ];
        asks.into_iter().filter_map(|(needed, action)| needed.then_some(action)).collect()
    }

    fn announced_as(change: &Change<Self>) -> &'static str {
        let moves = change.touches("stageId") || change.touches("pipelineId");
        match (change.touches("status"), change.after().status.as_str()) {
            (true, "won") => "won",
            (true, "lost") => "lost",
            (true, _) => "reopened",
            (false, _) if moves => "stage_changed",
            (false, _) => "updated",
        }
    }
}

/// The past of a deal that was worked elsewhere before: told by an import or by demo data, never by a person.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Past {
    /// When it came to be.
    pub created_at: Option<DateTime<Utc>>,
    /// When it was won or lost, for a deal that arrives in such a stage.
    pub closed_at: Option<DateTime<Utc>>,
}

/// Makes a deal: in the stage that it names, else at the start of its pipeline, its unit's or the default one.
///
/// # Errors
/// [`crate::Error::Forbidden`] (also for a closed stage, where the caller may not close), [`crate::Error::Invalid`].
pub fn create(tx: &mut Tx<'_>, patch: Patch) -> Result<Deal> {
    create_with_past(tx, patch, None)
}

/// As [`create`], with a past. A past admits a closed deal without a review.
///
/// # Errors
/// As [`create`].
pub fn create_with_past(tx: &mut Tx<'_>, patch: Patch, past: Option<Past>) -> Result<Deal> {
    let patch = patch.owned_by_caller(tx, "ownerId");
    create_over(tx, DealFields::default(), patch, past)
}

/// As [`create_with_past`], over fields that are already set.
pub(crate) fn create_over(tx: &mut Tx<'_>, base: DealFields, mut patch: Patch, past: Option<Past>) -> Result<Deal> {
    let review = reviews::take_review(&mut patch)?;
    let base = DealFields { currency: organizations::read(tx)?.fields.base_currency, ..base };
    let mut draft = Draft::<Deal>::over(tx, base, patch)?;
    let stage = rules::starting_stage(tx, &mut draft)?;
    let review = rules::arriving(tx, &mut draft, stage.as_ref(), review, past)?;
    let permitted = tx.permit_new(draft);
    let deal = proposing(permitted, |proposal| reviews::told(proposal, review.as_ref()))?.insert(tx)?;
    visits::begin(tx, &deal)?;
    if deal.fields.status != "open" {
        jobs::closings::note(tx);
    }
    if let Some(review) = review {
        let closed_at = deal.fields.closed_at.unwrap_or(tx.ctx.now);
        reviews::record(tx, &deal, review, closed_at)?;
    }
    Ok(deal)
}

/// Changes a deal: merge, rules, policy, row, history, stage visits and review, in one transaction. The one way for
/// PATCH, board, bulk and import.
///
/// # Errors
/// [`crate::Error::NotFound`], [`crate::Error::Forbidden`], [`crate::Error::Stale`], [`crate::Error::Conflict`] for won
/// to lost without reopening, [`crate::Error::Invalid`] with `win_loss_review_required` where closing needs a review.
pub fn update(tx: &mut Tx<'_>, id: Id<Deal>, mut patch: Patch) -> Result<Deal> {
    let review = reviews::take_review(&mut patch)?;
    let deal = tx.lock(id)?;
    let mut change = Change::new(tx, deal, patch)?;
    rules::moving(tx, &mut change)?;
    let review = rules::closing(tx, &mut change, review)?;
    let (moved, reopened) = (change.touches("stageId"), change.touches("episode"));
    if change.touches("status") {
        jobs::closings::note(tx);
    }
    let permitted = tx.permit(change);
    let deal = proposing(permitted, |proposal| reviews::told(proposal, review.as_ref()))?.save(tx)?;
    if moved {
        visits::move_on(tx, &deal)?;
    }
    if reopened {
        reviews::supersede(tx, &deal)?;
    }
    if let Some(review) = review {
        reviews::record(tx, &deal, review, tx.ctx.now)?;
    }
    Ok(deal)
}

/// A deal that the caller may see.
pub(crate) fn see(tx: &mut Tx<'_>, id: Id<Deal>) -> Result<Deal> {
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, Deal::KIND))?;
    tx.find(id)
}

/// Changes or deletes many deals at once. One `winLossReview` in the members serves each deal that they close.
///
/// # Errors
/// As [`bulk::edit`].
pub fn bulk(tx: &mut Tx<'_>, patch: Patch) -> Result<BulkOutcome> {
    bulk::edit(tx, patch, &Commands { update, delete: |tx, id, patch| tx.delete(id, patch).map(|_| ()) })
}

/// Notes that something was done about a deal. No edit: neither version nor history move.
pub(crate) fn touch(tx: &mut Tx<'_>, id: Id<Deal>, at: DateTime<Utc>) -> Result<()> {
    tx.sql::<st::Integer>(
        "UPDATE deals SET last_activity_at = greatest(last_activity_at, {}) WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(at).bind(id))
    .run(tx)?;
    Ok(())
}
