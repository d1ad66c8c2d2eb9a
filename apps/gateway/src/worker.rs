//! The jobs that the program does outside of requests.
use std::{io, sync::Arc};

use crm_core::{
    database::Database,
    gate::Gates,
    imports::{ImportJob, RevertJob},
    pruning::Pruning,
};
use crm_ops::{
    runner::{Runner, Running},
    webhooks::{
        deliveries::DeliverWebhook, dispatch::DispatchEvents, pruning::PruneWebhookEvents, receiving::ProcessWebhook,
    },
};

use crate::equipment::Equipment;

/// How many webhooks are sent at a time: mostly they wait for others to answer, and hold no connection meanwhile.
const WEBHOOK_SLOTS: usize = 8;

/// Starts a worker that does every kind of job.
///
/// # Errors
/// Where its threads cannot be started.
pub fn start(database: Database, gates: Arc<dyn Gates>, equipment: &Equipment) -> io::Result<Running> {
    Runner::new(database, gates)
        .plug(Arc::clone(&equipment.keys))
        .plug(Arc::clone(&equipment.courier))
        .register::<ImportJob>()
        .register::<RevertJob>()
        .recurring::<Pruning>()
        .register::<DispatchEvents>()
        .register::<DeliverWebhook>()
        .register::<ProcessWebhook>()
        .recurring::<PruneWebhookEvents>()
        .slots("webhooks", WEBHOOK_SLOTS)
        .start()
}
