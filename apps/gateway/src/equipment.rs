//! What the program has beside the database: the keys that seal secrets, and the way out to others.
use std::{io, sync::Arc};

use crm_core::{Error, sealed::Keyring};
use crm_ops::{
    runner::Runner,
    webhooks::{addresses::Reach, courier::Courier},
};

use crate::{app::App, config::Storage, keyring::Place};

/// What jobs and requests use beside the database. Cheap to clone.
#[derive(Clone)]
pub struct Equipment {
    /// Seal secrets.
    pub keys: Arc<Keyring>,
    /// Sends to others.
    pub courier: Arc<Courier>,
}

impl Equipment {
    /// A worker whose jobs find it.
    pub fn plugged_into(&self, runner: Runner) -> Runner {
        runner.plug(Arc::clone(&self.keys)).plug(Arc::clone(&self.courier))
    }
}

/// Finds the keys, or makes the first one, and opens the way out: to public addresses, or to any.
///
/// # Errors
/// Where the keys cannot be read, in words that say what to do.
pub fn equip(storage: &Storage, allows_private: bool) -> io::Result<Equipment> {
    let keys = Place::of(storage).open()?;
    let courier = Courier::new(Reach { allows_http: allows_private, allows_private });
    Ok(Equipment { keys: Arc::new(keys), courier: Arc::new(courier) })
}

/// The keys, from the program's state.
///
/// # Errors
/// Where the program was put together without them.
pub fn keys(app: &App) -> Result<&Keyring, Error> {
    app.equipment.as_ref().map(|it| &*it.keys).ok_or_else(|| Error::internal("the program has no keys"))
}

/// The way out, from the program's state.
///
/// # Errors
/// Where the program was put together without it.
pub fn courier(app: &App) -> Result<&Courier, Error> {
    app.equipment.as_ref().map(|it| &*it.courier).ok_or_else(|| Error::internal("the program has no way out"))
}
