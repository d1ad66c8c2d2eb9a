//! The stages of a pipeline.
use std::collections::HashSet;

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use super::{Pipeline, PipelineWithStages, complete, read, refuse_in_use, stages_of};
use crate::{
    Error, Id, Money, Patch, Result, Tx, bodies,
    change::{self, Change, Draft},
    error::FieldError,
    gate::{Action, Ask},
    proposals::proposing,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::stages,
};

/// A stage of a pipeline.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = stages)]
pub struct Stage {
    /// Its id.
    pub id: Id<Stage>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: StageFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of a stage.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = stages, treat_none_as_null = true)]
pub struct StageFields {
    /// The pipeline that it belongs to; stays as it was made.
    #[serde(default)]
    pub pipeline_id: Id<Pipeline>,
    /// What people call it; unique in the pipeline.
    #[validate(length(max = 100))]
    #[schema(example = "Proposal")]
    pub name: String,
    /// Its place, from 1. A new stage goes to the end of the open ones.
    #[serde(default)]
    pub position: i32,
    /// How likely its deals are won, 0 to 1: 1 in won stages and 0 in lost ones. Null in an open stage for which nobody has set
    /// it: forecasts then go by what became of earlier deals.
    #[validate(custom(function = crate::pipelines::probability))]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 1)]
    pub probability: Option<Money>,
    /// `open`, or `won` or `lost`, where deals end.
    #[schema(value_type = StageKind)]
    pub kind: String,
    /// A deal that nobody touches for so many days is stale.
    #[validate(range(min = 1, max = 3650))]
    pub rotten_after_days: Option<i32>,
    /// A deal that stands here for so many days, touched or not, stands here too long.
    #[validate(range(min = 1, max = 3650))]
    pub max_days_in_stage: Option<i32>,
}

/// What becomes of a deal that stands in a stage.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// It is being worked.
    Open,
    /// It is won.
    Won,
    /// It is lost.
    Lost,
}

impl Default for StageFields {
    fn default() -> Self {
        Self {
            pipeline_id: Id::default(),
            name: String::new(),
            position: 0,
            probability: None,
            kind: "open".into(),
            rotten_after_days: None,
            max_days_in_stage: None,
        }
    }
}

/// Is it from 0 to 1?
pub(crate) fn probability(value: &Money) -> Result<(), ValidationError> {
    if (rust_decimal::Decimal::ZERO..=rust_decimal::Decimal::ONE).contains(&value.amount()) {
        return Ok(());
    }
    Err(ValidationError::new("range").with_message("Between 0 and 1.".into()))
}

/// The kinds of stage, which are also the statuses of deals.
pub const KINDS: [&str; 3] = ["open", "won", "lost"];

impl Record for Stage {
    const KIND: &'static str = "stage";
    const TABLE: &'static str = "stages";
    const FIELDS: &'static [Field] = &[
        Field::new("pipelineId", "pipeline_id", FieldKind::Reference("pipelines")).read_only(),
        Field::new("name", "name", FieldKind::Text).required(),
        Field::new("position", "position", FieldKind::Int).read_only(),
        Field::new("probability", "probability", FieldKind::Decimal),
        Field::new("kind", "kind", FieldKind::Choice(&KINDS)).required(),
        Field::new("rottenAfterDays", "rotten_after_days", FieldKind::Int),
        Field::new("maxDaysInStage", "max_days_in_stage", FieldKind::Int),
    ];
    record_rows!(StageFields, stages);
}

/// Adds a stage: an open one behind the other open ones, others at the end.
///
/// # Errors
/// [`Error::NotFound`] for the pipeline, [`Error::Forbidden`], [`Error::Invalid`], [`Error::Conflict`] for a name in use.
pub fn create_stage(tx: &mut Tx<'_>, pipeline: Id<Pipeline>, patch: Patch) -> Result<Stage> {
    tx.lock(pipeline)?;
    let mut body = patch.body();
    body.insert(PIPELINE.into(), pipeline.to_string().into());
    let stage = proposing(insert_stage(tx, pipeline, patch), |proposal| proposal.asked(Stage::KIND, None, body))?;
    renew(tx, pipeline)?;
    Ok(stage)
}

/// As [`create_stage`], where the body names the pipeline.
///
/// # Errors
/// As [`create_stage`].
pub(crate) fn create_stage_of(tx: &mut Tx<'_>, mut patch: Patch) -> Result<Stage> {
    let pipeline = patch.take(PIPELINE).and_then(|id| id.as_str()?.parse().ok()).ok_or(Error::NotFound)?;
    create_stage(tx, pipeline, patch)
}

/// The member that names the pipeline of a stage.
const PIPELINE: &str = "pipelineId";

/// The pipeline's answer holds its stages, so that its version moves with them: `If-Match` guards the whole.
fn renew(tx: &mut Tx<'_>, pipeline: Id<Pipeline>) -> Result<()> {
    tx.sql::<diesel::sql_types::Integer>(
        "UPDATE pipelines SET version = version + 1, updated_at = {} WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| s.bind(tx.ctx.now).bind(pipeline))
    .run(tx)?;
    Ok(())
}

pub(super) fn insert_stage(tx: &mut Tx<'_>, pipeline: Id<Pipeline>, patch: Patch) -> Result<Stage> {
    let stages = stages_of(tx, &[pipeline])?;
    let base = StageFields { pipeline_id: pipeline, ..StageFields::default() };
    let mut draft = Draft::<Stage>::over(tx, base, patch)?;
    let kind = draft.fields().kind.clone();
    draft.amend(|fields| fields.probability = fixed_probability(&kind).or(fields.probability));
    let behind = stages.iter().filter(|s| kind != "open" || s.fields.kind == "open").map(|s| s.fields.position).max();
    let position = behind.unwrap_or(0) + 1;
    draft.amend(|fields| fields.position = position);
    let permitted = tx.permit_new(draft)?;
    for stage in stages.into_iter().filter(|s| s.fields.position >= position) {
        let next = stage.fields.position + 1;
        place(tx, stage, next, &change::Reason::default())?;
    }
    permitted.insert(tx)
}

/// The most stages that a new pipeline can be given.
const MOST: usize = 100;

/// What is wrong with the stages that a new pipeline is given, each under its place in the list.
pub(super) fn mistakes(tx: &mut Tx<'_>, pipeline: Id<Pipeline>, stages: &[Patch]) -> Result<Vec<FieldError>> {
    if stages.len() > MOST {
        return Ok(vec![FieldError::new("stages", "too_many", format!("At most {MOST}."))]);
    }
    let (mut errors, mut names, mut kinds) = (Vec::new(), HashSet::new(), Vec::new());
    for (i, patch) in stages.iter().enumerate() {
        let base = StageFields { pipeline_id: pipeline, ..StageFields::default() };
        let mut draft = Draft::<Stage>::over(tx, base, patch.clone())?;
        if !names.insert(draft.fields().name.to_lowercase()) {
            draft.refuse("name", "duplicate", "Another stage of the list has this name.");
        }
        kinds.push(draft.fields().kind.clone());
        errors.extend(bodies::within(&format!("stages[{i}]"), draft.errors().to_vec()));
    }
    let kinds: Vec<_> = kinds.iter().map(String::as_str).collect();
    errors.extend(missing(&kinds).filter(|_| errors.is_empty()));
    Ok(errors)
}

/// A pipeline in which no deal could be won or lost would be of no use.
pub(super) fn missing(kinds: &[&str]) -> Option<FieldError> {
    let kind = KINDS.iter().find(|kind| !kinds.contains(kind))?;
    Some(FieldError::new("stages", "incomplete_pipeline", format!("A pipeline needs a stage of kind {kind}.")))
}

fn place(tx: &mut Tx<'_>, stage: Stage, position: i32, reason: &change::Reason) -> Result<Stage> {
    let mut change = Change::new(tx, stage, Patch { reason: reason.clone(), ..Patch::default() })?;
    change.amend(|fields| fields.position = position)?;
    tx.permit(change)?.save(tx)
}

/// Won is certain and lost is impossible, whatever anybody says.
fn fixed_probability(kind: &str) -> Option<Money> {
    match kind {
        "won" => Money::new(rust_decimal::Decimal::ONE),
        "lost" => Some(Money::ZERO),
        _ => None,
    }
}

/// One stage of a pipeline.
fn lock_stage(tx: &mut Tx<'_>, pipeline: Id<Pipeline>, id: Id<Stage>) -> Result<Stage> {
    let stage: Stage = tx.lock(id)?;
    if stage.fields.pipeline_id == pipeline { Ok(stage) } else { Err(Error::NotFound) }
}

/// Changes a stage. Its kind stays while deals stand in it, since their status follows from it.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Conflict`], [`Error::Invalid`].
pub fn update_stage(tx: &mut Tx<'_>, pipeline: Id<Pipeline>, id: Id<Stage>, patch: Patch) -> Result<Stage> {
    let stage = lock_stage(tx, pipeline, id)?;
    let mut change = Change::new(tx, stage, patch)?;
    if let Some(fixed) = fixed_probability(&change.after().kind) {
        change.amend(|fields| fields.probability = Some(fixed))?;
    }
    let kind_changes = change.touches("kind");
    let permitted = tx.permit(change)?;
    if kind_changes {
        refuse_in_use(tx, "stage", STAGE_DEALS, id.cast())?;
    }
    let stage = permitted.save(tx)?;
    complete(tx, pipeline)?;
    renew(tx, pipeline)?;
    Ok(stage)
}

const STAGE_DEALS: &str = "SELECT count(*) FROM deals WHERE organization_id = {org} AND stage_id = {}";

/// Deletes a stage in which no deal stands, and closes the gap.
///
/// # Errors
/// [`Error::Conflict`] `in_use` where deals stand in it, [`Error::Invalid`] where the pipeline would be incomplete.
pub fn delete_stage(tx: &mut Tx<'_>, pipeline: Id<Pipeline>, id: Id<Stage>, patch: &Patch) -> Result<()> {
    let stage = lock_stage(tx, pipeline, id)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Delete, Stage::KIND))?;
    patch.check_version(stage.version)?;
    refuse_in_use(tx, "stage", STAGE_DEALS, id.cast())?;
    tx.delete(id, patch)?;
    complete(tx, pipeline)?;
    for (position, stage) in (1..).zip(stages_of(tx, &[pipeline])?) {
        place(tx, stage, position, &patch.reason)?;
    }
    renew(tx, pipeline)
}

/// A pipeline whose stages the caller may order, locked: what is asked before anybody looks at the list.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`].
pub fn lock_to_order(tx: &mut Tx<'_>, pipeline: Id<Pipeline>) -> Result<Pipeline> {
    let pipeline = tx.lock(pipeline)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Edit, Stage::KIND))?;
    Ok(pipeline)
}

/// Puts the stages of a pipeline into a new order.
///
/// # Errors
/// [`Error::Invalid`] where the list is not each of its stages exactly once.
pub fn order_stages(
    tx: &mut Tx<'_>,
    pipeline: Id<Pipeline>,
    order: &[Id<Stage>],
    patch: &Patch,
) -> Result<PipelineWithStages> {
    let current = lock_to_order(tx, pipeline)?;
    patch.check_version(current.version)?;
    let stages = stages_of(tx, &[pipeline])?;
    let errors: Vec<_> = order_errors(&stages, order);
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    for (position, id) in (1..).zip(order) {
        let stage = tx.lock(*id)?;
        place(tx, stage, position, &patch.reason)?;
    }
    renew(tx, pipeline)?;
    read(tx, pipeline)
}

fn order_errors(stages: &[Stage], order: &[Id<Stage>]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (i, id) in order.iter().enumerate() {
        if !stages.iter().any(|s| s.id == *id) {
            errors.push(FieldError::new(format!("stageIds[{i}]"), "unknown_reference", "No stage of this pipeline."));
        } else if order[..i].contains(id) {
            errors.push(FieldError::new(format!("stageIds[{i}]"), "duplicate", "Stands in the list twice."));
        }
    }
    for stage in stages.iter().filter(|s| !order.contains(&s.id)) {
        let message = format!("The stage “{}” is missing.", stage.fields.name);
        errors.push(FieldError::new("stageIds", "incomplete", message));
    }
    errors
}
