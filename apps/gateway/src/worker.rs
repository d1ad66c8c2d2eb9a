//! The jobs that the program does outside of requests.
use std::{io, sync::Arc};

use crm_core::{
    alerts::{AlertNotification, Channel},
    database::Database,
    gate::Gates,
    history::HistoryVerification,
    imports::{ImportJob, RevertJob},
    pruning::Pruning,
};
use crm_ops::runner::{Runner, Running};
use crm_policy::approvals::ExpiryJob;

/// Starts a worker that does every kind of job, and tells of alerts on this channel.
///
/// # Errors
/// Where its threads cannot be started.
pub fn start(database: Database, gates: Arc<dyn Gates>, channel: Option<Arc<dyn Channel>>) -> io::Result<Running> {
    let runner = match channel {
        Some(channel) => Runner::new(database, gates).plug(channel),
        None => Runner::new(database, gates),
    };
    runner
        .register::<AlertNotification>()
        .register::<ImportJob>()
        .register::<RevertJob>()
        .register::<ExpiryJob>()
        .recurring::<Pruning>()
        .recurring::<HistoryVerification>()
        .start()
}
