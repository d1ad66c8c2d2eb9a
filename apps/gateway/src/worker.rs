//! The jobs that the program does outside of requests.
use std::{io, sync::Arc};

use crm_core::{
    alerts::AlertNotification,
    custom_fields::RemoveValues,
    database::Database,
    gate::Gates,
    history::HistoryVerification,
    imports::{ImportJob, RevertJob},
    mail_outcomes::MailOutcomes,
    pruning::Pruning,
};
use crm_deliverability::{soft_bounces::PruneSoftBounces, suppressions::Suppressing};
use crm_forecast::database::{
    deal_snapshots::DealSnapshotsJob, forecast_errors::ForecastErrorsJob, stage_statistics::StageStatisticsJob,
};
use crm_ops::{
    idempotency::PruneIdempotencyKeys,
    runner::{Runner, Running},
    webhooks::{
        deliveries::DeliverWebhook, dispatch::DispatchEvents, pruning::PruneWebhookEvents, receiving::ProcessWebhook,
    },
};
use crm_policy::approvals::ExpiryJob;

/// How many webhooks are sent at a time: mostly they wait for others to answer, and hold no connection meanwhile.
const WEBHOOK_SLOTS: usize = 8;

/// A worker that does every kind of job, not started yet.
pub fn runner(database: Database, gates: Arc<dyn Gates>) -> Runner {
    Runner::new(database, gates)
        .register::<AlertNotification>()
        .register::<ImportJob>()
        .register::<RevertJob>()
        .register::<RemoveValues>()
        .register::<ExpiryJob>()
        .recurring::<Pruning>()
        .recurring::<HistoryVerification>()
        .recurring::<StageStatisticsJob>()
        .recurring::<DealSnapshotsJob>()
        .recurring::<ForecastErrorsJob>()
        .register::<DispatchEvents>()
        .register::<DeliverWebhook>()
        .register::<ProcessWebhook>()
        .recurring::<PruneWebhookEvents>()
        .recurring::<PruneSoftBounces>()
        .recurring::<PruneIdempotencyKeys>()
        .plug::<dyn MailOutcomes>(Arc::new(Suppressing))
        .slots("webhooks", WEBHOOK_SLOTS)
}

/// Starts a worker that does every kind of job, and tells nobody outside of alerts.
///
/// # Errors
/// Where its threads cannot be started.
pub fn start(database: Database, gates: Arc<dyn Gates>) -> io::Result<Running> {
    runner(database, gates).start()
}

/// Starts a worker that does imports and nothing else.
///
/// # Errors
/// Where its threads cannot be started.
pub fn start_for_imports(database: Database, gates: Arc<dyn Gates>) -> io::Result<Running> {
    Runner::new(database, gates).register::<ImportJob>().start()
}
