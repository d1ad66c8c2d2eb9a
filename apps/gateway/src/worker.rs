//! The jobs that the program does outside of requests.
use std::{io, sync::Arc};

use crm_core::{
    database::Database,
    gate::Gates,
    imports::{ImportJob, RevertJob},
    pruning::Pruning,
};
use crm_forecast::database::{deal_snapshots::DealSnapshotsJob, stage_statistics::StageStatisticsJob};
use crm_ops::runner::{Runner, Running};
use crm_policy::approvals::ExpiryJob;

/// Starts a worker that does every kind of job.
///
/// # Errors
/// Where its threads cannot be started.
pub fn start(database: Database, gates: Arc<dyn Gates>) -> io::Result<Running> {
    Runner::new(database, gates)
        .register::<ImportJob>()
        .register::<RevertJob>()
        .register::<ExpiryJob>()
        .recurring::<Pruning>()
        .recurring::<StageStatisticsJob>()
        .recurring::<DealSnapshotsJob>()
        .start()
}
