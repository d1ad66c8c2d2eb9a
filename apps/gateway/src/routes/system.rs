//! Is it there, is it ready, and what can it do.
use std::{sync::atomic::Ordering, time::Duration};

use actix_web::{HttpResponse, http::StatusCode, http::header};
use chrono::{DateTime, Utc};
use crm_core::{clock, database::migrations};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
};

const TAG: &str = "System";

/// How the program is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Health {
    /// `healthy`, or `unhealthy` where the database does not answer.
    status: &'static str,
    /// When this was found.
    timestamp: DateTime<Utc>,
    /// Seconds since the process began.
    uptime: i64,
}

/// The endpoints of the program itself.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        open("/health", "readHealth", health, "Is it healthy?", "Asks the database too.")
            .answers_plain::<Health>(200, "It is.")
            .answers_plain::<Health>(503, "The database does not answer."),
        open("/health/live", "readLiveness", live, "Is the process alive?", "Asks nothing and nobody.").answer(
            200,
            "It is.",
            state(),
        ),
        open(
            "/health/ready",
            "readReadiness",
            ready,
            "Does it want requests?",
            "The database answers, its schema is current, and the process is not about to stop.",
        )
        .answer(200, "It does.", state())
        .answer(503, "Not now.", state()),
        open("/openapi.json", "readDocument", document, "This document", "OpenAPI 3.1.").answer(
            200,
            "The document.",
            Some(("application/json", json!({"type": "object"}))),
        ),
    ]
}

fn open<F, Out>(path: &'static str, id: &str, handler: F, summary: &str, words: &str) -> Endpoint
where
    F: Fn(Call) -> Out + Clone + 'static,
    Out: Future<Output = Reply> + 'static,
{
    Endpoint::get(path, id, handler).says(TAG, summary, words).access(Access::Public)
}

fn state() -> Option<(&'static str, serde_json::Value)> {
    Some((
        "application/json",
        json!({"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}),
    ))
}

/// How long a health check waits for the database.
const PATIENCE: Duration = Duration::from_secs(1);

async fn health(call: Call) -> Reply {
    let app = call.app();
    let database = app.door.database().clone();
    let answers = within(PATIENCE, move || database.with(|_| Ok::<_, crm_core::database::Error>(())).is_ok()).await;
    let now = clock::now();
    let (code, status) =
        if answers { (StatusCode::OK, "healthy") } else { (StatusCode::SERVICE_UNAVAILABLE, "unhealthy") };
    HttpResponse::build(code).json(Health { status, timestamp: now, uptime: (now - app.started_at).num_seconds() })
}

async fn live(_: Call) -> Reply {
    HttpResponse::Ok().json(json!({"status": "live"}))
}

async fn ready(call: Call) -> Reply {
    let app = call.app();
    let database = app.door.database().clone();
    let current = move || {
        database
            .with(|conn| migrations::pending(conn).map_err(|_| crm_core::database::Error::Settings("")))
            .is_ok_and(|left| left.is_empty())
    };
    if !app.draining.load(Ordering::Relaxed) && within(PATIENCE, current).await {
        return HttpResponse::Ok().json(json!({"status": "ready"}));
    }
    HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "2")).json(json!({"status": "not_ready"}))
}

async fn within(patience: Duration, check: impl FnOnce() -> bool + Send + 'static) -> bool {
    matches!(tokio::time::timeout(patience, tokio::task::spawn_blocking(check)).await, Ok(Ok(true)))
}

async fn document(call: Call) -> Reply {
    HttpResponse::Ok().content_type("application/json").body(call.app().document.clone())
}
