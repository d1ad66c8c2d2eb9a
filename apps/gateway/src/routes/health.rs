//! Is it there, is it ready, how is it in detail, and what does it count.
use std::{sync::atomic::Ordering, time::Duration};

use actix_web::{HttpResponse, http::StatusCode, http::header, web};
use chrono::{DateTime, Utc};
use crm_core::{
    Caller, Error, Record, Result, clock,
    database::migrations,
    gate::{Action, Ask},
    jobs::{self, QueueFigures, QueueJob, WorkerState},
    vital_signs::{self, Disk, Verdict, VitalSigns},
};
use serde::Serialize;
use serde_json::json;
use subtle::ConstantTimeEq;
use utoipa::ToSchema;

use crate::{
    app::App,
    call::{Call, Reply, Request, refuse, turn},
    checks::{self, Check},
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

/// Does the process want requests, and how is what it does not depend on?
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Readiness {
    /// `ready`, or `not_ready` where a check that is required fails.
    #[schema(example = "ready")]
    status: &'static str,
    /// What was looked at. While the database does not answer, what only it knows is left out.
    checks: Vec<ReadinessCheck>,
}

/// How one part is, as everybody may know it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReadinessCheck {
    /// `accepting`, `database`, `migrations`, `workers`, `backlog`, `backup` or `disk`.
    name: &'static str,
    /// `ok`, `warning` or `failing`.
    status: Verdict,
    /// Does the process want no requests where this fails?
    is_required: bool,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<&'static str>,
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
        open("/health", "readHealth", health, "Is it healthy?", "Asks the database too. How workers, queues, disk and backups are is told by `/health/ready` and `/health/detailed`.")
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
            "The database answers, its schema is current, and the process is not about to stop. How workers, backlog, backup and \
             disk are is told beside it, seen within five seconds, and turns nobody away.",
        )
        .answers_plain::<Readiness>(200, "It does.")
        .answers_plain::<Readiness>(503, "Not now."),
        Endpoint::get("/health/detailed", "readDetailedHealth", detailed)
            .says(TAG, "How is it, part by part?", "Of the whole installation.")
            .access(Access::Admin)
            .answers_plain::<DetailedHealth>(200, "What was found."),
        Endpoint::get("/health/workers", "readWorkers", workers)
            .says(TAG, "Who does jobs?", "The workers of the installation, and the queues. An ADMIN of the organization that was founded first, which runs the installation, sees the machines and the jobs of all; others see whether workers are alive, and their own jobs.")
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
    let accepting = if app.draining.load(Ordering::Relaxed) { Verdict::Failing } else { Verdict::Ok };
    let required = [
        vec![Check::new("accepting", accepting, "", "ask another process: this one is about to stop")],
        of_schema(app).await,
    ];
    let required = required.concat();
    let is_ready = required.iter().all(|check| check.status == Verdict::Ok);
    let others =
        if required.iter().skip(1).all(|check| check.status == Verdict::Ok) { others(app).await } else { Vec::new() };
    let disk = Disk::of(&app.data_folder).ok().map(checks::of_disk);
    let told = |is_required| {
        move |Check { name, status, remedy, .. }: Check| ReadinessCheck { name, status, is_required, remedy }
    };
    let checks = required.into_iter().map(told(true)).chain(others.into_iter().chain(disk).map(told(false))).collect();
    match is_ready {
        true => HttpResponse::Ok().json(Readiness { status: "ready", checks }),
        false => HttpResponse::ServiceUnavailable()
            .insert_header((header::RETRY_AFTER, "2"))
            .json(Readiness { status: "not_ready", checks }),
    }
}

/// Does the database answer, and is its schema the one of this program?
async fn of_schema(app: &App) -> Vec<Check> {
    let database = app.door.database().clone();
    let look = move || database.with(|conn| Ok::<_, crm_core::database::Error>(migrations::pending(conn))).ok();
    let (database, schema) = match within(PATIENCE, look).await {
        Some(Ok(due)) if due.is_empty() => (Verdict::Ok, Some((Verdict::Ok, ""))),
        Some(Ok(_)) => (Verdict::Ok, Some((Verdict::Failing, vital_signs::MIGRATE))),
        Some(Err(migrations::Error::Newer(_))) => (Verdict::Ok, Some((Verdict::Failing, vital_signs::UPGRADE))),
        Some(Err(_)) | None => (Verdict::Failing, None),
    };
    let database = Check::new("database", database, "", "see whether it runs: it does not answer");
    let schema = schema.map(|(status, remedy)| Check::new("migrations", status, "", remedy));
    [database].into_iter().chain(schema).collect()
}

/// How that is which the process does without.
async fn others(app: &App) -> Vec<Check> {
    let database = app.door.database().clone();
    let look = within(PATIENCE, move || VitalSigns::read(&database).ok());
    app.vital_checks.recall(clock::now(), async { look.await.as_ref().map(checks::of_signs).unwrap_or_default() }).await
}

async fn within<T: Send + 'static>(patience: Duration, look: impl FnOnce() -> Option<T> + Send + 'static) -> Option<T> {
    tokio::time::timeout(patience, tokio::task::spawn_blocking(look)).await.ok()?.ok()?
}

fn detailed(call: Call) -> impl Future<Output = Reply> {
    call.run(|app, caller, request| {
        administers(app, caller, request)?;
        let now = clock::now();
        let checks = all_checks(&VitalSigns::read(app.door.database())?, Disk::of(&app.data_folder).ok());
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
        let (organization, own) = app.door.read(caller, |tx| {
            tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, QueueJob::KIND))?;
            request.parameters([])?;
            Ok((tx.ctx.organization, jobs::own_figures(tx)?))
        })?;
        let signs = VitalSigns::read(app.door.database())?;
        // Who runs the installation sees the machines and all that lies in the queues, others what concerns them.
        Answer::json(&match signs.operator == Some(organization) {
            true => WorkersHealth { workers: signs.workers, queues: signs.queues },
            false => {
                let workers = signs.workers.into_iter().map(WorkerState::for_guests).collect();
                WorkersHealth { workers, queues: own }
            }
        })
    })
}

/// Refuses whoever is no ADMIN.
fn administers(app: &App, caller: &Caller, request: &Request) -> Result<()> {
    app.door.read(caller, |tx| {
        tx.ctx.gate.check(tx.ctx, &Ask::about(Action::Manage, QueueJob::KIND))?;
        request.parameters([]).map(drop)
    })
}

fn all_checks(signs: &VitalSigns, disk: Option<Disk>) -> Vec<Check> {
    let pool = signs.pool;
    let pool = format!("It answers. Connections: {} open, {} idle, at most {}.", pool.open, pool.idle, pool.max);
    let due = format!("{} are due.", signs.pending_migrations);
    let mut checks = vec![
        Check::new("database", Verdict::Ok, pool, ""),
        Check::new("migrations", signs.migrations(), due, vital_signs::MIGRATE),
    ];
    checks.extend(checks::of_signs(signs));
    checks.extend(disk.map(checks::of_disk));
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
