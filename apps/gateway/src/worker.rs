//! The jobs that the program does outside of requests.
use std::{io, sync::Arc};

use crm_core::{
    alerts::AlertNotification,
    database::Database,
    gate::Gates,
    history::HistoryVerification,
    imports::{ImportJob, RevertJob},
    pruning::Pruning,
};
use crm_forecast::database::{deal_snapshots::DealSnapshotsJob, stage_statistics::StageStatisticsJob};
use crm_ops::runner::{Runner, Running};
use crm_policy::approvals::ExpiryJob;

/// A worker that does every kind of job, not started yet.
pub fn runner(database: Database, gates: Arc<dyn Gates>) -> Runner {
    Runner::new(database, gates)
        .register::<AlertNotification>()
        .register::<ImportJob>()
        .register::<RevertJob>()
        .register::<ExpiryJob>()
        .recurring::<Pruning>()
        .recurring::<HistoryVerification>()
        .recurring::<StageStatisticsJob>()
        .recurring::<DealSnapshotsJob>()
}

/// Starts a worker that does every kind of job, and tells nobody outside of alerts.
///
/// # Errors
/// Where its threads cannot be started.
pub fn start(database: Database, gates: Arc<dyn Gates>) -> io::Result<Running> {
    runner(database, gates).start()
}
