//! Pipelines and their stages: the ways that deals go.
use chrono::{DateTime, Utc};
use diesel::{prelude::*, sql_types as st};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::Validate;

use crate::{
    Error, FieldError, Id, Money, Patch, Reason, Result, Tx,
    change::{Change, Draft},
    gate::{Action, Ask},
    page::Page,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::pipelines,
    select::Condition,
};

mod stages;

use stages::insert_stage;
pub use stages::{
    KINDS, Stage, StageFields, StageKind, create_stage, delete_stage, lock_to_order, order_stages, update_stage,
};
pub(crate) use stages::{create_stage_of, probability};

/// A pipeline.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = pipelines)]
pub struct Pipeline {
    /// Its id.
    pub id: Id<Pipeline>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: PipelineFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// What can be set of a pipeline.
#[derive(
    Debug, Clone, Default, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema,
)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = pipelines, treat_none_as_null = true)]
pub struct PipelineFields {
    /// What people call it; unique in the organization.
    #[validate(length(max = 100))]
    #[schema(example = "New business")]
    pub name: String,
    /// Do deals begin here where nothing else is said? Exactly one pipeline is the default.
    pub is_default: bool,
}

impl Record for Pipeline {
    const KIND: &'static str = "pipeline";
    const TABLE: &'static str = "pipelines";
    const FIELDS: &'static [Field] = &[
        Field::new("name", "name", FieldKind::Text).required(),
        Field::new("isDefault", "is_default", FieldKind::Bool),
    ];
    const DEFAULT_SORT: &'static str = "createdAt";
    record_rows!(PipelineFields, pipelines);
}

/// A pipeline with its stages in order.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PipelineWithStages {
    /// The pipeline.
    #[serde(flatten)]
    pub pipeline: Pipeline,
    /// Its stages by position.
    pub stages: Vec<Stage>,
}

/// What a new organization works with until it says otherwise.
const FIRST_STAGES: [(&str, &str, i64, Option<i32>); 6] = [
    ("Qualification", "open", 10, Some(14)),
    ("Discovery", "open", 25, Some(21)),
    ("Proposal", "open", 50, Some(21)),
    ("Negotiation", "open", 75, Some(14)),
    ("Won", "won", 100, None),
    ("Lost", "lost", 0, None),
];

/// Gives a new organization its first pipeline.
pub(crate) fn seed(tx: &mut Tx<'_>) -> Result<()> {
    let pipeline = PipelineFields { name: "Sales".into(), is_default: true };
    let draft = Draft::<Pipeline>::over(tx, pipeline, Patch::default())?;
    let pipeline = tx.permit_new(draft)?.insert(tx)?;
    for (position, (name, kind, percent, rotten_after_days)) in (1..).zip(FIRST_STAGES) {
        let probability = Money::new(rust_decimal::Decimal::new(percent, 2));
        let (name, kind) = (name.to_owned(), kind.to_owned());
        let fields =
            StageFields { pipeline_id: pipeline.id, name, position, probability, kind, ..StageFields::default() };
        let stage = StageFields { rotten_after_days, ..fields };
        let draft = Draft::<Stage>::over(tx, stage, Patch::default())?;
        tx.permit_new(draft)?.insert(tx)?;
    }
    Ok(())
}

/// The stages of these pipelines, in order.
///
/// # Errors
/// What the database says.
pub fn stages_of(tx: &mut Tx<'_>, pipelines: &[Id<Pipeline>]) -> Result<Vec<Stage>> {
    let select = tx.records().and(Condition::AnyOf("pipeline_id", pipelines.into())).order("position", false);
    Stage::load(tx, select)
}

/// Puts its stages to each pipeline.
///
/// # Errors
/// What the database says.
pub fn with_stages(tx: &mut Tx<'_>, pipelines: Vec<Pipeline>) -> Result<Vec<PipelineWithStages>> {
    let ids: Vec<_> = pipelines.iter().map(|p| p.id).collect();
    let stages = stages_of(tx, &ids)?;
    let of = |id| stages.iter().filter(|s| s.fields.pipeline_id == id).cloned().collect();
    Ok(pipelines.into_iter().map(|pipeline| PipelineWithStages { stages: of(pipeline.id), pipeline }).collect())
}

/// One pipeline with its stages.
///
/// # Errors
/// [`Error::NotFound`].
pub fn read(tx: &mut Tx<'_>, id: Id<Pipeline>) -> Result<PipelineWithStages> {
    let pipeline = tx.find(id)?;
    with_stages(tx, vec![pipeline])?.pop().ok_or(Error::NotFound)
}

/// A page of pipelines with their stages.
///
/// # Errors
/// As [`crate::page::list`].
pub fn list(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Page<PipelineWithStages>> {
    let page = crate::page::list::<Pipeline>(tx, query)?;
    Ok(Page { items: with_stages(tx, page.items)?, next_cursor: page.next_cursor, total: page.total })
}

/// Makes a pipeline, with the stages that the request gives in its member `stages`, or else with one open, one won and
/// one lost stage.
///
/// # Errors
/// [`Error::Forbidden`], [`Error::Invalid`], [`Error::Conflict`] for a name in use.
pub fn create(tx: &mut Tx<'_>, mut patch: Patch) -> Result<PipelineWithStages> {
    let stages = first_stages(&mut patch);
    let reason = patch.reason.clone();
    let mut draft = Draft::<Pipeline>::new(tx, patch)?;
    draft.refuse_all(stages::mistakes(tx, draft.id(), &stages)?);
    let becomes_default = draft.fields().is_default;
    let permitted = tx.permit_new(draft)?;
    if becomes_default {
        step_down(tx, reason)?;
    }
    let pipeline = permitted.insert(tx)?;
    for stage in stages {
        insert_stage(tx, pipeline.id, stage)?;
    }
    complete(tx, pipeline.id)?;
    read(tx, pipeline.id)
}

/// The stages that a body gives. What is none of them stays in the patch as a fault.
fn first_stages(patch: &mut Patch) -> Vec<Patch> {
    let given = patch.take("stages").unwrap_or_else(|| {
        serde_json::json!([{"name": "Open", "probability": 0.5}, {"name": "Won", "kind": "won"}, {"name": "Lost", "kind": "lost"}])
    });
    let serde_json::Value::Array(list) = given else {
        patch.errors.push(FieldError::new("stages", "invalid_type", "A list of stages."));
        return Vec::new();
    };
    let mut stages = Vec::new();
    for (i, stage) in list.into_iter().enumerate() {
        let serde_json::Value::Object(members) = stage else {
            patch.errors.push(FieldError::new(format!("stages[{i}]"), "invalid_type", "Must be an object."));
            stages.push(Patch::default());
            continue;
        };
        stages.push(Patch::from(members));
    }
    stages
}

/// A pipeline in which no deal could be won or lost would be of no use.
fn complete(tx: &mut Tx<'_>, id: Id<Pipeline>) -> Result<()> {
    let stages = stages_of(tx, &[id])?;
    let kinds: Vec<_> = stages.iter().map(|stage| stage.fields.kind.as_str()).collect();
    match stages::missing(&kinds) {
        None => Ok(()),
        Some(error) => Err(Error::Invalid(vec![error])),
    }
}

/// Takes the default from the pipeline that has it.
fn step_down(tx: &mut Tx<'_>, reason: Reason) -> Result<()> {
    let select = tx.records().and(Condition::Compare("is_default".into(), "=", true.into())).locked();
    for pipeline in Pipeline::load(tx, select)? {
        let mut change = Change::new(tx, pipeline, Patch { reason: reason.clone(), ..Patch::default() })?;
        change.amend(|fields| fields.is_default = false)?;
        tx.permit(change)?.save(tx)?;
    }
    Ok(())
}

/// Renames a pipeline, or makes it the default.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Forbidden`], [`Error::Stale`], [`Error::Invalid`].
pub fn update(tx: &mut Tx<'_>, id: Id<Pipeline>, patch: Patch) -> Result<PipelineWithStages> {
    let pipeline: Pipeline = tx.lock(id)?;
    let mut change = Change::new(tx, pipeline, patch)?;
    let becomes_default = change.touches("isDefault") && change.after().is_default;
    if change.touches("isDefault") && !becomes_default {
        change.refuse("isDefault", "needs_default", "Make another pipeline the default instead.");
    }
    let reason = change.reason().clone();
    let permitted = tx.permit(change)?;
    if becomes_default {
        step_down(tx, reason)?;
    }
    permitted.save(tx)?;
    read(tx, id)
}

/// Deletes a pipeline that no deal has ever gone.
///
/// # Errors
/// [`Error::Conflict`] `in_use` where deals stand in it, `is_default` where new deals would begin in it.
pub fn delete(tx: &mut Tx<'_>, id: Id<Pipeline>, patch: &Patch) -> Result<()> {
    let pipeline: Pipeline = tx.lock(id)?;
    tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Delete, Pipeline::KIND))?;
    patch.check_version(pipeline.version)?;
    refuse_in_use(
        tx,
        "pipeline",
        "SELECT count(*) FROM deals WHERE organization_id = {org} AND pipeline_id = {}",
        id.cast(),
    )?;
    if pipeline.fields.is_default {
        let detail = "New deals begin in this pipeline. Make another one the default first.".into();
        return Err(Error::Conflict { code: "is_default", detail });
    }
    // The pipeline is what was asked for, so that it comes before its stages.
    tx.check_deletion(&pipeline, patch)?;
    for stage in stages_of(tx, &[id])? {
        tx.delete(stage.id, &Patch { reason: patch.reason.clone(), ..Patch::default() })?;
    }
    tx.delete(id, patch)?;
    Ok(())
}

fn refuse_in_use(tx: &mut Tx<'_>, what: &str, text: &'static str, id: Id<()>) -> Result<()> {
    let deals: i64 = tx.sql::<st::BigInt>(text).with(|s| s.bind(id)).one(tx)?;
    if deals == 0 {
        return Ok(());
    }
    let detail = format!("{deals} deals stand in this {what}. Move them first.");
    Err(Error::Conflict { code: "in_use", detail })
}
