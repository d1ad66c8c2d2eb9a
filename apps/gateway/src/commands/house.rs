//! The data of a process: its own PostgreSQL, where it runs one, and the door to it.
use std::sync::Arc;

use crm_core::{
    database::{self, Database, Settings, migrations, private},
    door::Door,
    gate::Gates,
};
use crm_policy::PolicyGates;
use gateway::config::Storage;

use super::Failure;

/// The data of this process.
pub(crate) struct House {
    postgres: Option<private::PrivatePostgres>,
    pub(crate) door: Door,
    pub(crate) gates: Arc<dyn Gates>,
}

impl House {
    /// Finds or starts the database and brings its schema up to date.
    pub(crate) fn open(storage: &Storage) -> Result<Self, Failure> {
        let Reached { postgres, url } = Reached::find(storage)?;
        let database = Database::open(&url, Settings { max_size: storage.connections, ..Settings::default() })?;
        database.with(database::check_server)?;
        if storage.no_migrate {
            let due = |conn: &mut _| migrations::pending(conn).map_err(|e| database::Error::Unsuitable(e.to_string()));
            let due = database.with(due)?.len();
            if due > 0 {
                return Err(
                    format!("The schema is not current: {due} migrations are due. Run `heimdell migrate`.").into()
                );
            }
        } else {
            migrations::migrate(&url)?;
        }
        let gates: Arc<dyn Gates> = Arc::new(PolicyGates::new());
        Ok(Self { postgres, door: Door::new(database, Arc::clone(&gates)), gates })
    }

    /// Stops the database, if it is this process's own.
    pub(crate) fn close(self) -> Result<(), Failure> {
        drop(self.door);
        self.postgres.map_or(Ok(()), |postgres| postgres.stop().map_err(Failure::from))
    }
}

/// The database that the settings name, as it is.
pub(crate) struct Reached {
    postgres: Option<private::PrivatePostgres>,
    pub(crate) url: String,
}

impl Reached {
    /// Finds or starts its server. Says nothing of whether a database at a URL answers.
    pub(crate) fn find(storage: &Storage) -> Result<Self, private::Error> {
        if let Some(url) = &storage.database_url {
            return Ok(Self { postgres: None, url: url.clone() });
        }
        let options = private::Options {
            pg_bin: storage.pg_bin.clone(),
            path: storage.path.clone(),
            ..private::Options::new(&storage.home)
        };
        let postgres = private::PrivatePostgres::start(options)?;
        let url = postgres.url(private::DATABASE);
        Ok(Self { postgres: Some(postgres), url })
    }

    /// Stops the server, if it is this process's own.
    pub(crate) fn close(self) -> Result<(), Failure> {
        self.postgres.map_or(Ok(()), |postgres| postgres.stop().map_err(Failure::from))
    }
}
