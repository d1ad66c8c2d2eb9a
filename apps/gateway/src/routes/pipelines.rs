//! Pipelines and stages.
use crm_core::{
    Id, Page, Record, Tx,
    masks::{self, Masked},
    pipelines::{self, Pipeline, PipelineWithStages, Stage},
};
use crm_policy::approvals::Approval;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use super::resource::{Resource, WAITS};
use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const TAG: &str = "Pipelines";
const ALL: &str = "/api/pipelines";
const ONE: &str = "/api/pipelines/{id}";
const STAGE: &str = "/api/pipelines/{id}/stages/{stageId}";

/// The stages of a pipeline in their new order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Order {
    /// Each stage of the pipeline, once.
    stage_ids: Vec<Id<Stage>>,
}

/// The endpoints of pipelines.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let plain = Resource::<Pipeline> {
        writes: Access::Manager,
        delete: pipelines::delete,
        ..Resource::plain(ALL, ONE, TAG, "a pipeline")
    };
    let stages = json!({"type": "array", "items": schemas::reference("StageCreate"), "description": "Its stages in order; at least one each of kind open, won and lost."});
    let mut creation = schemas::creation::<Pipeline>();
    creation["properties"]["stages"] = stages;
    let name = Pipeline::envelope();
    vec![
        Endpoint::get(ALL, "listPipelines", list)
            .says(TAG, "List pipelines", "Each with its stages in order.")
            .parameters(schemas::list_parameters::<Pipeline>())
            .lists::<PipelineWithStages>(&Pipeline::plural(), "One page."),
        Endpoint::post(ALL, "createPipeline", create)
            .says(TAG, "Create a pipeline", "With the stages that you give, or with one of each kind.")
            .access(Access::Manager)
            .named_schema("PipelineCreate", creation)
            .named_schema("StageCreate", schemas::creation::<Stage>())
            .body("application/json", &schemas::reference("PipelineCreate"))
            .example(&json!({"name": "Renewals", "stages": [
                {"name": "Up for renewal", "probability": 0.6, "rottenAfterDays": 30},
                {"name": "Renewed", "kind": "won"},
                {"name": "Cancelled", "kind": "lost"}
            ]}))
            .answers::<PipelineWithStages>(201, &name, "What was made.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS),
        Endpoint::get(ONE, "readPipeline", read)
            .says(TAG, "Read a pipeline", "With its stages in order.")
            .answers::<PipelineWithStages>(200, &name, "The pipeline."),
        Endpoint::patch(ONE, "updatePipeline", update)
            .says(TAG, "Change a pipeline", "A new default takes the place of the old one.")
            .access(Access::Manager)
            .named_schema("PipelinePatch", schemas::change::<Pipeline>())
            .body("application/json", &schemas::reference("PipelinePatch"))
            .answers::<PipelineWithStages>(200, &name, "The pipeline as it stands now.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS),
        plain.delete(),
        Endpoint::post("/api/pipelines/{id}/stages", "createStage", create_stage)
            .says(TAG, "Add a stage", "An open one goes behind the other open ones, others to the end.")
            .access(Access::Manager)
            .named_schema("StageCreate", schemas::creation::<Stage>())
            .body("application/json", &schemas::reference("StageCreate"))
            .example(&json!({"name": "Legal review", "probability": 0.8, "rottenAfterDays": 14, "maxDaysInStage": 45}))
            .answers::<Stage>(201, "stage", "What was made.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS),
        Endpoint::patch(STAGE, "updateStage", update_stage)
            .says(TAG, "Change a stage", "Its kind stays while deals stand in it.")
            .access(Access::Manager)
            .named_schema("StagePatch", schemas::change::<Stage>())
            .body("application/json", &schemas::reference("StagePatch"))
            .answers::<Stage>(200, "stage", "The stage as it stands now.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS),
        Endpoint::delete(STAGE, "deleteStage", delete_stage)
            .says(TAG, "Delete a stage", "Refused while deals stand in it.")
            .access(Access::Manager)
            .reasoned()
            .answers_nothing("It is gone.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS),
        Endpoint::put("/api/pipelines/{id}/stages/order", "orderStages", order)
            .says(TAG, "Order the stages", "The list names each stage of the pipeline once.")
            .access(Access::Manager)
            .commands::<Order>()
            .answers::<PipelineWithStages>(200, &name, "The pipeline in its new order."),
    ]
}

/// A pipeline and its stages as the caller sees them.
#[derive(Serialize)]
struct Seen<'p> {
    #[serde(flatten)]
    pipeline: Masked<'p, Pipeline>,
    stages: Vec<Masked<'p, Stage>>,
}

fn seen<'p>(pipeline: &'p PipelineWithStages, tx: &Tx<'_>) -> crm_core::Result<Seen<'p>> {
    let stages = masks::masked_all(tx.ctx, &pipeline.stages)?;
    Ok(Seen { pipeline: masks::masked(tx.ctx, &pipeline.pipeline)?, stages })
}

fn whole(pipeline: &PipelineWithStages, tx: &Tx<'_>) -> crm_core::Result<Answer> {
    Ok(Answer::one(&Pipeline::envelope(), &seen(pipeline, tx)?)?.version(pipeline.pipeline.version))
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let Page { items, next_cursor, total } = pipelines::list(tx, &request.query()?)?;
        let items = items.iter().map(|pipeline| seen(pipeline, tx)).collect::<crm_core::Result<_>>()?;
        Answer::page(&Pipeline::plural(), &Page::<Seen<'_>> { items, next_cursor, total })
    })
}

fn create(call: Call) -> impl Future<Output = Reply> {
    call.propose::<Pipeline>(|tx, request| {
        let pipeline = pipelines::create(tx, request.patch()?)?;
        Ok(whole(&pipeline, tx)?.created(format!("{ALL}/{}", pipeline.pipeline.id)))
    })
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        whole(&pipelines::read(tx, request.id()?)?, tx)
    })
}

fn update(call: Call) -> impl Future<Output = Reply> {
    call.propose::<Pipeline>(|tx, request| whole(&pipelines::update(tx, request.id()?, request.patch()?)?, tx))
}

fn create_stage(call: Call) -> impl Future<Output = Reply> {
    call.propose::<Stage>(|tx, request| {
        let pipeline = request.id::<Pipeline>()?;
        let stage = pipelines::create_stage(tx, pipeline, request.patch()?)?;
        Ok(Answer::record(&stage, tx)?.created(format!("{ALL}/{pipeline}")))
    })
}

fn update_stage(call: Call) -> impl Future<Output = Reply> {
    call.propose::<Stage>(|tx, request| {
        let stage = pipelines::update_stage(tx, request.id()?, request.id_at("stageId")?, request.patch()?)?;
        Answer::record(&stage, tx)
    })
}

fn delete_stage(call: Call) -> impl Future<Output = Reply> {
    call.propose::<Stage>(|tx, request| {
        pipelines::delete_stage(tx, request.id()?, request.id_at("stageId")?, &request.reason()?)?;
        Ok(Answer::nothing())
    })
}

fn order(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let pipeline = pipelines::lock_to_order(tx, request.id()?)?;
        let ordered = request
            .command(|Order { stage_ids }, patch| pipelines::order_stages(tx, pipeline.id, &stage_ids, &patch))?;
        whole(&ordered, tx)
    })
}
