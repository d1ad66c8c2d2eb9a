//! What moving and closing a deal means.
use super::{
    Deal, Past, reviews,
    reviews::{MEMBER, ReviewInput},
};
use crate::{
    Error, Id, Result, Tx,
    business_units::BusinessUnit,
    change::{Change, Draft},
    gate::Action,
    organizations,
    pipelines::{self, Pipeline, Stage},
    record::Record,
    select::Condition,
};

const MISMATCH: &str = "The stage does not belong to this pipeline.";
const REVIEW_NEEDED: &str =
    "Closing this deal needs a winLossReview with a primaryReasonCode, so that the next one can learn from it.";

/// Finds the stage that a new deal begins in. `None` where what it names does not exist, which is told already.
pub(super) fn starting_stage(tx: &mut Tx<'_>, draft: &mut Draft<Deal>) -> Result<Option<Stage>> {
    let (pipeline, stage) = (draft.fields().pipeline_id, draft.fields().stage_id);
    let given = |id: bool| !id;
    let (has_pipeline, has_stage) = (given(pipeline == Id::default()), given(stage == Id::default()));
    let found = if has_stage {
        optional(tx.find::<Stage>(stage))?
    } else {
        let pipeline =
            if has_pipeline { Some(pipeline) } else { default_pipeline(tx, draft.fields().business_unit_id)? };
        match pipeline {
            Some(pipeline) => first_open(tx, pipeline)?,
            None => None,
        }
    };
    let Some(stage) = found else {
        if !has_stage && !has_pipeline {
            draft.refuse("pipelineId", "required", "There is no default pipeline; name one.");
        }
        return Ok(None);
    };
    if has_pipeline && stage.fields.pipeline_id != pipeline {
        draft.refuse("stageId", "stage_not_in_pipeline", MISMATCH);
        return Ok(None);
    }
    draft.amend(|fields| {
        fields.pipeline_id = stage.fields.pipeline_id;
        fields.stage_id = stage.id;
        fields.status.clone_from(&stage.fields.kind);
    });
    Ok(Some(stage))
}

fn optional<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

fn default_pipeline(tx: &mut Tx<'_>, unit: Option<Id<BusinessUnit>>) -> Result<Option<Id<Pipeline>>> {
    if let Some(unit) = unit
        && let Some(unit) = optional(tx.find(unit))?
        && let Some(pipeline) = unit.fields.default_pipeline_id
    {
        return Ok(Some(pipeline));
    }
    let select = tx.records().and(Condition::Compare("is_default".into(), "=", true.into()));
    Ok(Pipeline::load(tx, select)?.first().map(|pipeline| pipeline.id))
}

fn first_open(tx: &mut Tx<'_>, pipeline: Id<Pipeline>) -> Result<Option<Stage>> {
    first_of_kind(tx, pipeline, "open")
}

/// The first stage of a kind in the order of its pipeline.
pub(super) fn first_of_kind(tx: &mut Tx<'_>, pipeline: Id<Pipeline>, kind: &str) -> Result<Option<Stage>> {
    Ok(pipelines::stages_of(tx, &[pipeline])?.into_iter().find(|stage| stage.fields.kind == kind))
}

/// Completes a new deal from its stage and its past. Gives back the review that is to be kept.
pub(super) fn arriving(
    tx: &mut Tx<'_>,
    draft: &mut Draft<Deal>,
    stage: Option<&Stage>,
    review: Option<ReviewInput>,
    past: Option<Past>,
) -> Result<Option<ReviewInput>> {
    let created_at = past.and_then(|past| past.created_at).unwrap_or(tx.ctx.now);
    draft.created_at(created_at);
    draft.amend(|fields| fields.stage_entered_at = created_at);
    let Some(kind) = stage.map(|stage| stage.fields.kind.as_str()).filter(|kind| *kind != "open") else {
        if review.is_some() {
            draft.refuse(MEMBER, "not_closing", "The deal does not close with this request.");
        }
        return Ok(None);
    };
    tx.check_draft(Action::MarkWonLost, draft)?;
    let closed_at = past.and_then(|past| past.closed_at).unwrap_or(tx.ctx.now).max(created_at);
    draft.amend(|fields| {
        fields.closed_at = Some(closed_at);
        fields.stage_entered_at = closed_at;
    });
    let errors = review_errors(tx, kind, review.as_ref(), past.is_some())?;
    for (field, code, message) in errors {
        draft.refuse(field, code, message);
    }
    Ok(review)
}

/// The stage and pipeline of a deal that moves, and what follows from them.
pub(super) fn moving(tx: &mut Tx<'_>, change: &mut Change<Deal>) -> Result<()> {
    let (to_stage, to_pipeline) = (change.touches("stageId"), change.touches("pipelineId"));
    if !to_stage && !to_pipeline {
        return Ok(());
    }
    let found = match to_stage {
        true => optional(tx.find::<Stage>(change.after().stage_id))?,
        false => first_open(tx, change.after().pipeline_id)?,
    };
    let Some(stage) = found else { return Ok(()) };
    if to_stage && to_pipeline && stage.fields.pipeline_id != change.after().pipeline_id {
        change.refuse("stageId", "stage_not_in_pipeline", MISMATCH);
        return Ok(());
    }
    let was_open = change.before().fields.status == "open";
    let is_open = stage.fields.kind == "open";
    if !was_open && !is_open && change.before().fields.status != stage.fields.kind {
        let detail =
            format!("The deal is {}. Reopen it first, by moving it to an open stage.", change.before().fields.status);
        return Err(Error::Conflict { code: "reopen_first", detail });
    }
    let now = tx.ctx.now;
    change.amend(|fields| {
        fields.stage_id = stage.id;
        fields.pipeline_id = stage.fields.pipeline_id;
        fields.stage_entered_at = now;
        fields.status = stage.fields.kind;
        fields.episode += i32::from(!was_open && is_open);
        fields.closed_at = match (was_open, is_open) {
            (true, false) => Some(now),
            (_, true) => None,
            (false, false) => fields.closed_at,
        };
    })
}

/// The close gate: a deal that closes needs its review, where the organization wants one.
pub(super) fn closing(
    tx: &mut Tx<'_>,
    change: &mut Change<Deal>,
    review: Option<ReviewInput>,
) -> Result<Option<ReviewInput>> {
    let closes = change.touches("status") && change.after().status != "open";
    if !closes {
        if review.is_some() {
            if change.after().status != "open" {
                reviews::refuse_second(tx, change.before())?;
            }
            change.refuse(MEMBER, "not_closing", "The deal does not close with this request.");
        }
        return Ok(None);
    }
    let outcome = change.after().status.clone();
    for (field, code, message) in review_errors(tx, &outcome, review.as_ref(), false)? {
        change.refuse(field, code, message);
    }
    Ok(review)
}

type Refusal = (String, &'static str, String);

fn review_errors(tx: &mut Tx<'_>, outcome: &str, review: Option<&ReviewInput>, has_past: bool) -> Result<Vec<Refusal>> {
    match review {
        Some(review) => {
            let errors = reviews::check(tx, outcome, review)?;
            let prefixed = |field| format!("{MEMBER}.{field}");
            Ok(errors.into_iter().map(|e| (prefixed(e.field), known(&e.code), e.message)).collect())
        }
        None if has_past || !organizations::read(tx)?.fields.require_win_loss_review => Ok(Vec::new()),
        None => Ok(vec![(MEMBER.into(), "win_loss_review_required", REVIEW_NEEDED.into())]),
    }
}

fn known(code: &str) -> &'static str {
    const CODES: [&str; 4] = ["outcome_mismatch", "unknown_reason_code", "required", "length"];
    CODES.into_iter().find(|known| *known == code).unwrap_or("invalid")
}
