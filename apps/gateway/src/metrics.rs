//! What the program counts, as Prometheus reads it. Counters and histograms are recorded where things happen, by the
//! `metrics` macros; what has a present value is set when somebody asks. No label names an organization, a person or an
//! address: a route is its template.
use std::sync::OnceLock;

use crm_core::{
    clock,
    database::Usage,
    vital_signs::{Disk, VitalSigns},
};
use crm_ops::{traces, webhooks::deliveries};
use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// The bounds of durations in seconds that OpenTelemetry's conventions for HTTP give.
const SECONDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];

const REQUESTS: &str = "http_server_request_duration_seconds";
const POOL_WAIT: &str = "db_client_connection_wait_time_seconds";

/// Every metric that the program prints: name, kind, meaning.
pub const METRICS: [(&str, Kind, &str); 21] = [
    (REQUESTS, Kind::Histogram, "How long requests took, by method, route and status."),
    (POOL_WAIT, Kind::Histogram, "How long work waited for a connection to the database."),
    ("db_client_connection_count", Kind::Gauge, "Connections to the database, by state."),
    ("db_client_connection_max", Kind::Gauge, "The most connections that this process opens."),
    ("heimdell_build_info", Kind::Gauge, "Always 1; the version is a label."),
    ("process_start_time_seconds", Kind::Gauge, "When the process began, in seconds since 1970."),
    ("heimdell_database_up", Kind::Gauge, "1 where the database answers."),
    ("heimdell_jobs_total", Kind::Counter, "Runs of jobs that ended in this process, by kind and outcome."),
    ("heimdell_jobs_waiting", Kind::Gauge, "Jobs to be done, by queue."),
    ("heimdell_jobs_active", Kind::Gauge, "Jobs that are being done, by queue."),
    ("heimdell_jobs_failed", Kind::Gauge, "Jobs that were given up, by queue."),
    ("heimdell_jobs_oldest_ready_seconds", Kind::Gauge, "How long the oldest job has waited, by queue."),
    ("heimdell_webhook_deliveries_total", Kind::Counter, "Tries to deliver webhooks in this process, by outcome."),
    ("heimdell_workers", Kind::Gauge, "Workers, by whether they are alive or silent."),
    ("heimdell_alerts_unresolved", Kind::Gauge, "Alerts whose cause has not gone, by severity."),
    ("heimdell_policy_decisions_total", Kind::Counter, "Decisions of policies, by effect."),
    (
        "heimdell_backup_last_verified_timestamp_seconds",
        Kind::Gauge,
        "When the last backup was verified; 0 where none was.",
    ),
    ("heimdell_disk_free_bytes", Kind::Gauge, "What is free on the disk of the program's data."),
    ("heimdell_disk_total_bytes", Kind::Gauge, "The size of that disk."),
    (traces::DROPPED, Kind::Counter, "Spans of traces that were not sent, by reason."),
    ("heimdell_panics_total", Kind::Counter, "Requests whose handler panicked."),
];

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It has a present value.
    Gauge,
    /// How values are spread.
    Histogram,
}

/// What the process has recorded, and from now on records.
///
/// # Errors
/// Where it cannot be set up; then nothing is recorded.
pub fn recorder() -> Result<&'static PrometheusHandle, &'static str> {
    static RECORDER: OnceLock<Result<PrometheusHandle, String>> = OnceLock::new();
    RECORDER.get_or_init(|| install().map_err(|error| error.to_string())).as_ref().map_err(String::as_str)
}

fn install() -> Result<PrometheusHandle, metrics_exporter_prometheus::BuildError> {
    let builder = [REQUESTS, POOL_WAIT].into_iter().try_fold(PrometheusBuilder::new(), |builder, name| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), &SECONDS)
    })?;
    let handle = builder.install_recorder()?;
    for (name, kind, meaning) in METRICS {
        match kind {
            Kind::Counter => describe_counter!(name, meaning),
            Kind::Gauge => describe_gauge!(name, meaning),
            Kind::Histogram => describe_histogram!(name, Unit::Seconds, meaning),
        }
    }
    counter!("heimdell_panics_total").absolute(0);
    for effect in ["allow", "deny", "require_approval"] {
        counter!("heimdell_policy_decisions_total", "effect" => effect).absolute(0);
    }
    for outcome in deliveries::OUTCOMES {
        counter!("heimdell_webhook_deliveries_total", "outcome" => outcome).absolute(0);
    }
    for reason in traces::LOSSES {
        counter!(traces::DROPPED, "reason" => reason).absolute(0);
    }
    gauge!("heimdell_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!("process_start_time_seconds").set(seconds(clock::now().timestamp()));
    Ok(handle)
}

/// Records one request.
pub fn request(method: &str, route: &str, status: u16, seconds: f64) {
    let labels = [
        ("http_request_method", known_method(method).to_owned()),
        ("http_route", route.to_owned()),
        ("http_response_status_code", status.to_string()),
    ];
    histogram!(REQUESTS, &labels).record(seconds);
}

/// A method as OpenTelemetry has it. One that HTTP does not know is whatever a stranger sends: it must not become a series
/// of its own.
pub(crate) fn known_method(method: &str) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method).unwrap_or("_OTHER")
}

/// Sets what has a present value, and prints everything.
pub fn print(recorder: &PrometheusHandle, pool: Usage, signs: Option<&VitalSigns>, disk: Option<Disk>) -> String {
    gauge!("db_client_connection_count", "state" => "used").set(f64::from(pool.open.saturating_sub(pool.idle)));
    gauge!("db_client_connection_count", "state" => "idle").set(f64::from(pool.idle));
    gauge!("db_client_connection_max").set(f64::from(pool.max));
    gauge!("heimdell_database_up").set(f64::from(u8::from(signs.is_some())));
    if let Some(signs) = signs {
        set(signs);
    }
    if let Some(Disk { free_bytes, total_bytes }) = disk {
        gauge!("heimdell_disk_free_bytes").set(size(free_bytes));
        gauge!("heimdell_disk_total_bytes").set(size(total_bytes));
    }
    recorder.render()
}

fn set(signs: &VitalSigns) {
    for queue in &signs.queues {
        let set = |name: &'static str, value| gauge!(name, "queue" => queue.name.clone()).set(seconds(value));
        set("heimdell_jobs_waiting", queue.waiting);
        set("heimdell_jobs_active", queue.active);
        set("heimdell_jobs_failed", queue.failed);
        set("heimdell_jobs_oldest_ready_seconds", queue.oldest_waiting_seconds.unwrap_or_default());
    }
    for (state, is_alive) in [("alive", true), ("silent", false)] {
        let count = signs.workers.iter().filter(|worker| worker.is_alive == is_alive).count();
        gauge!("heimdell_workers", "state" => state).set(size(count as u64));
    }
    for severity in crm_core::alerts::Severity::NAMES {
        let count = signs.unresolved_alerts.iter().find(|(name, _)| name == severity).map_or(0, |(_, count)| *count);
        gauge!("heimdell_alerts_unresolved", "severity" => severity).set(seconds(count));
    }
    let verified_at = signs.backup_verified_at.map_or(0, |at| at.timestamp());
    gauge!("heimdell_backup_last_verified_timestamp_seconds").set(seconds(verified_at));
}

#[allow(clippy::cast_precision_loss, reason = "a metric is a float; 2^53 is far beyond what is counted here")]
fn seconds(value: i64) -> f64 {
    value as f64
}

#[allow(clippy::cast_precision_loss, reason = "a metric is a float; 2^53 is far beyond what is counted here")]
fn size(value: u64) -> f64 {
    value as f64
}
