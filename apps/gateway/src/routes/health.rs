//! Is it there, is it ready, how is it in detail, and what does it count.
use std::{sync::atomic::Ordering, time::Duration};

use actix_web::{HttpResponse, http::StatusCode, http::header, web};
use chrono::{DateTime, Utc};
use crm_core::{
    Caller, Error, Record, Result, clock,
    database::migrations,
    gate::{Action, Ask},
    jobs::{QueueFigures, QueueJob, WorkerState},
    vital_signs::{Disk, Verdict, VitalSigns},
};
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::{
    app::App,
    call::{Call, Reply, Request, refuse, turn},
    endpoint::{Access, Endpoint},
    metrics,
    problem::Problem,
    reply::Answer,
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

/// How the installation is, part by part.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct DetailedHealth {
    /// `healthy`, `degraded` where something is not as it should be, `unhealthy` where something does not work.
    #[schema(example = "healthy")]
    status: &'static str,
    /// When this was found.
    timestamp: DateTime<Utc>,
    /// Seconds since the process began.
    uptime: i64,
    /// The version of the program.
    version: &'static str,
    /// The parts.
    checks: Vec<Check>,
}

/// How one part is.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Check {
    /// `database`, `migrations`, `workers`, `backlog`, `backup` or `disk`.
    name: &'static str,
    /// `ok`, `warning` or `failing`.
    status: Verdict,
    /// What was found.
    detail: String,
}

/// Who does jobs, and what lies in the queues.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct WorkersHealth {
    /// The workers, those that began first first.
    workers: Vec<WorkerState>,
    /// The queues, by name.
    queues: Vec<QueueFigures>,
}

/// The endpoints of health and metrics.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        open("/health", "readHealth", health, "Is it healthy?", "Asks the database too. How workers, queues, disk and backups are is told by `/health/detailed`.")
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
        Endpoint::get("/health/detailed", "readDetailedHealth", detailed)
            .says(TAG, "How is it, part by part?", "Of the whole installation.")
            .access(Access::Admin)
            .answers_plain::<DetailedHealth>(200, "What was found."),
        Endpoint::get("/health/workers", "readWorkers", workers)
            .says(TAG, "Who does jobs?", "The workers and the queues of the whole installation.")
            .access(Access::Admin)
            .answers_plain::<WorkersHealth>(200, "What was found."),
        open(
            "/metrics",
            "readMetrics",
            print_metrics,
            "What the program counts",
            "In the text form of Prometheus. Answers this machine, and others with the token of metrics or that of an ADMIN.",
        )
        .answer(200, "The metrics.", Some(("text/plain", json!({"type": "string"})))),
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
    let answers = within(PATIENCE, move || database.with(|_| Ok::<_, crm_core::database::Error>(())).ok()).await;
    let now = clock::now();
    let (code, status) = match answers {
        Some(()) => (StatusCode::OK, "healthy"),
        None => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    HttpResponse::build(code).json(Health { status, timestamp: now, uptime: (now - app.started_at).num_seconds() })
}

async fn live(_: Call) -> Reply {
    HttpResponse::Ok().json(json!({"status": "live"}))
}

async fn ready(call: Call) -> Reply {
    let app = call.app();
    let database = app.door.database().clone();
    let current = move || {
        let pending = |conn: &mut _| migrations::pending(conn).map_err(|_| crm_core::database::Error::Settings(""));
        database.with(pending).ok().filter(Vec::is_empty)
    };
    if !app.draining.load(Ordering::Relaxed) && within(PATIENCE, current).await.is_some() {
        return HttpResponse::Ok().json(json!({"status": "ready"}));
    }
    HttpResponse::ServiceUnavailable().insert_header((header::RETRY_AFTER, "2")).json(json!({"status": "not_ready"}))
}

async fn within<T: Send + 'static>(patience: Duration, look: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    tokio::time::timeout(patience, tokio::task::spawn_blocking(look)).await.ok()?.ok()?
}

fn detailed(call: Call) -> impl Future<Output = Reply> {
    call.run(|app, caller, request| {
        administers(app, caller, request)?;
        let now = clock::now();
        let checks = checks(&VitalSigns::read(app.door.database())?, Disk::of(&app.data_folder).ok());
        let status = match checks.iter().map(|check| check.status).max() {
            Some(Verdict::Failing) => "unhealthy",
            Some(Verdict::Warning) => "degraded",
            _ => "healthy",
        };
        let (uptime, version) = ((now - app.started_at).num_seconds(), env!("CARGO_PKG_VERSION"));
        Answer::json(&DetailedHealth { status, timestamp: now, uptime, version, checks })
    })
}

fn workers(call: Call) -> impl Future<Output = Reply> {
    call.run(|app, caller, request| {
        administers(app, caller, request)?;
        let signs = VitalSigns::read(app.door.database())?;
        Answer::json(&WorkersHealth { workers: signs.workers, queues: signs.queues })
    })
}

/// Refuses whoever is no ADMIN.
fn administers(app: &App, caller: &Caller, request: &Request) -> Result<()> {
    app.door.read(caller, |tx| {
        tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, QueueJob::KIND))?;
        request.parameters([]).map(drop)
    })
}

fn checks(signs: &VitalSigns, disk: Option<Disk>) -> Vec<Check> {
    let check = |name, status, detail| Check { name, status, detail };
    let alive = signs.workers.iter().filter(|worker| worker.is_alive).count();
    let pool = signs.pool;
    let backup = match signs.backup_verified_at {
        Some(at) => format!("The last one was verified {} hours ago.", (signs.now - at).num_hours()),
        None => "None was verified yet.".to_owned(),
    };
    let pool = format!("It answers. Connections: {} open, {} idle, at most {}.", pool.open, pool.idle, pool.max);
    let mut checks = vec![
        check("database", Verdict::Ok, pool),
        check("migrations", signs.migrations(), format!("{} are due.", signs.pending_migrations)),
        check("workers", signs.workers(), format!("{alive} of {} are alive.", signs.workers.len())),
        check(
            "backlog",
            signs.backlog(),
            format!("The oldest job has waited {} seconds.", signs.oldest_waiting_seconds()),
        ),
        check("backup", signs.backup(), backup),
    ];
    checks.extend(disk.map(|disk| {
        let detail = format!("{} of {} MiB are free.", disk.free_bytes >> 20, disk.total_bytes >> 20);
        check("disk", disk.verdict(), detail)
    }));
    checks
}

async fn print_metrics(call: Call) -> Reply {
    let (app, caller, request) = call.into_parts();
    if let Err(error) = may_read_metrics(&app, caller, &request).await {
        return refuse(error, &request.id);
    }
    let (database, folder) = (app.door.database().clone(), app.data_folder.clone());
    let pool = database.usage();
    let look = move || VitalSigns::read(&database).ok();
    let signs = within(PATIENCE, look).await;
    match metrics::recorder() {
        Ok(recorder) => {
            let text = metrics::print(recorder, pool, signs.as_ref(), Disk::of(&folder).ok());
            HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
        }
        Err(why) => {
            tracing::error!(why, "metrics are not recorded");
            Problem::of(Error::internal(why), &request.id).response()
        }
    }
}

/// This machine may, unless it speaks for another one; else the token of metrics, or an ADMIN.
async fn may_read_metrics(app: &web::Data<App>, caller: Caller, request: &Request) -> Result<()> {
    let is_here = request.address.parse().is_ok_and(|address: std::net::IpAddr| address.to_canonical().is_loopback());
    if is_here && !request.is_forwarded {
        return Ok(());
    }
    if let (Some(token), Some(bearer)) = (&app.metrics_token, &caller.bearer)
        && token.expose().as_bytes().ct_eq(bearer.expose().as_bytes()).into()
    {
        return Ok(());
    }
    turn(app, move |app| {
        app.door.read(&caller, |tx| tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, QueueJob::KIND)))
    })
    .await
}
