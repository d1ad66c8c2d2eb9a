//! What the system does: figures, and the jobs of the organization.
use actix_web::HttpResponse;
use crm_core::{
    Record,
    jobs::{self, QueueJob},
    stats::{self, Stats},
};
use serde_json::json;

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const TAG: &str = "System";
const ALL: &str = "/api/system/jobs";
const ONE: &str = "/api/system/jobs/{id}";

/// The endpoints of the system.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let (name, plural) = (QueueJob::envelope(), QueueJob::plural());
    let jobs = [
        Endpoint::get(ALL, "listJobs", list)
            .says(TAG, "List jobs", "Work that is done outside of requests, without what it carries.")
            .parameters(schemas::list_parameters::<QueueJob>())
            .lists::<QueueJob>(&plural, "One page."),
        Endpoint::get(ONE, "readJob", read)
            .says(TAG, "Read a job", "Without what it carries.")
            .answers::<QueueJob>(200, &name, "The job."),
        Endpoint::post("/api/system/jobs/{id}/retry", "retryJob", retry)
            .says(TAG, "Run a job again", "One that failed or was cancelled, at once, with all its tries before it.")
            .answers::<QueueJob>(200, &name, "The job as it stands now."),
        Endpoint::post("/api/system/jobs/{id}/cancel", "cancelJob", cancel)
            .says(TAG, "Cancel a job", "One that waits: it is not done.")
            .answers::<QueueJob>(200, &name, "The job as it stands now."),
    ];
    let others = [
        Endpoint::get("/api/system/stats", "readStats", read_stats)
            .says(TAG, "Read the figures", "Counts of what you may see, and of the system's state.")
            .answers::<Stats>(200, "stats", "The figures."),
        Endpoint::get("/openapi.json", "readDocument", document)
            .says(TAG, "This document", "OpenAPI 3.1.")
            .access(Access::Public)
            .answer(200, "The document.", Some(("application/json", json!({"type": "object"})))),
    ];
    jobs.into_iter().map(|endpoint| endpoint.access(Access::Admin)).chain(others).collect()
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::records(&jobs::list(tx, &request.query()?)?, tx))
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::record(&jobs::read(tx, request.id()?)?, tx)
    })
}

fn retry(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| Answer::record(&jobs::retry(tx, request.id()?)?, tx))
}

fn cancel(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| Answer::record(&jobs::cancel(tx, request.id()?)?, tx))
}

fn read_stats(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::one("stats", &stats::read(tx)?)
    })
}

async fn document(call: Call) -> Reply {
    HttpResponse::Ok().content_type("application/json").body(call.app().document.clone())
}
