//! The jobs that the program does outside of requests.
use std::{io, sync::Arc};

use crm_core::{
    database::Database,
    gate::Gate,
    imports::{ImportJob, RevertJob},
};
use crm_ops::runner::{Runner, Running};

/// Starts a worker that does every kind of job.
///
/// # Errors
/// Where its threads cannot be started.
pub fn start(database: Database, gate: Arc<dyn Gate>) -> io::Result<Running> {
    Runner::new(database, gate).register::<ImportJob>().register::<RevertJob>().start()
}
