//! A database that a dump is restored into, beside those that people use.
use std::{sync::Arc, time::Duration};

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types as st,
};

use super::{
    Backup, Error, Place, Progress,
    contents::{self, differences},
    creation::{connect, server_major},
    programs::Programs,
};
use crate::{
    Door, clock, database,
    database::{Database, Settings, addresses::Address, migrations},
    gate::Roles,
};

/// How the names of such databases begin.
const PREFIX: &str = "heimdell_scratch_";

/// The advisory lock under which they are made and removed, in the database `postgres`: "Heimscra" in ASCII.
const LOCK: i64 = 0x4865_696d_7363_7261;

/// A database of nobody's, dropped with this value unless it was put in another's place.
pub(super) struct Scratch {
    /// A connection to another database of the server, which holds the lock.
    admin: PgConnection,
    /// Where it is.
    pub(super) address: Address,
    /// Its name; `None` once it is somebody's.
    name: Option<String>,
}

#[derive(QueryableByName)]
pub(super) struct Found {
    #[diesel(sql_type = st::Text)]
    pub(super) name: String,
}

#[derive(QueryableByName)]
struct Got {
    #[diesel(sql_type = st::Bool)]
    got: bool,
}

impl Scratch {
    /// Makes the database and fills it from a dump that has been checked: what comes out must be what the manifest says.
    pub(super) fn filled(place: &Place, backup: &Backup, progress: &dyn Fn(Progress)) -> Result<Self, Error> {
        let mut scratch = Self::new(place)?;
        let server = server_major(&mut scratch.admin)?;
        if backup.manifest.postgresql_major > server {
            return Err(Error::Refused(format!(
                "the backup was made of PostgreSQL {}, and this server is {server}: restore into that version or a newer one",
                backup.manifest.postgresql_major
            )));
        }
        if !migrations::is_known(&backup.manifest.schema_version)? {
            return Err(migrations::Error::Newer(backup.manifest.schema_version.clone()).into());
        }
        progress(Progress::Restoring);
        Programs::find(place, server)?.restore(&scratch.address, &backup.path)?;
        let found = contents::read(&mut connect(&scratch.address)?, progress)?;
        match differences(&backup.manifest.tables, &found) {
            none if none.is_empty() => Ok(scratch),
            differences => Err(Error::Different(differences)),
        }
    }

    /// Makes an empty one, and drops those that a killed process has left behind.
    fn new(place: &Place) -> Result<Self, Error> {
        let mut admin = administrator(place)?;
        // Waits for whoever restores or verifies on this server, a minute at most.
        sql_query("select pg_advisory_lock($1)").bind::<st::BigInt, _>(LOCK).execute(&mut admin).map_err(busy)?;
        let leftovers: Vec<Found> =
            sql_query("select datname::text as name from pg_database where starts_with(datname, $1)")
                .bind::<st::Text, _>(PREFIX)
                .load(&mut admin)?;
        for leftover in leftovers {
            admin.batch_execute(&format!("drop database if exists {} with (force)", quoted(&leftover.name)))?;
        }
        let name = format!("{PREFIX}{}", clock::now().format("%Y%m%d%H%M%S%6f"));
        admin.batch_execute(&format!("create database {} template template0 encoding 'UTF8'", quoted(&name)))?;
        Ok(Self { admin, address: place.address.in_database(&name), name: Some(name) })
    }

    /// Gives the database the name of another, which is kept under a third name: its name, where it was there. Both
    /// happen at once, or nothing does. Whoever is connected to either is disconnected.
    pub(super) fn take_place_of(mut self, target: &str) -> Result<Option<String>, Error> {
        let Some(name) = self.name.clone() else { return Ok(None) };
        let aside = format!("{target}_before_{}", clock::now().format("%Y%m%d%H%M%S"));
        let was_there = self.exists(target)?;
        let databases: &[&str] = if was_there { &[target, &name] } else { &[&name] };
        for database in databases {
            self.close(database, true)?;
        }
        let (old, new) = (quoted(target), quoted(&name));
        let step_aside =
            if was_there { format!("alter database {old} rename to {}; ", quoted(&aside)) } else { String::new() };
        let swapped = self.admin.transaction(|admin| {
            admin.batch_execute(&format!(
                "{step_aside}alter database {new} rename to {old}; alter database {old} allow_connections true"
            ))
        });
        if let Err(error) = swapped {
            for database in databases {
                self.close(database, false)?;
            }
            return Err(error.into());
        }
        self.name = None;
        if was_there {
            self.close(&aside, false)?;
        }
        Ok(was_there.then_some(aside))
    }

    /// Drops another database, which nobody uses.
    pub(super) fn drop_database(place: &Place, name: &str) -> Result<(), Error> {
        Ok(administrator(place)?.batch_execute(&format!("drop database if exists {} with (force)", quoted(name)))?)
    }

    fn exists(&mut self, database: &str) -> Result<bool, Error> {
        exists(&mut self.admin, database)
    }

    /// Closes a database to everybody, and disconnects those that are connected; or opens it again.
    fn close(&mut self, database: &str, is_closed: bool) -> Result<(), Error> {
        self.admin.batch_execute(&format!("alter database {} allow_connections {}", quoted(database), !is_closed))?;
        if is_closed {
            sql_query("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1")
                .bind::<st::Text, _>(database)
                .execute(&mut self.admin)?;
        }
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(name) = &self.name else { return };
        if let Err(error) = self.admin.batch_execute(&format!("drop database if exists {} with (force)", quoted(name)))
        {
            tracing::warn!(
                "the scratch database {name} is left behind; the next restore or verification drops it: {error}"
            );
        }
    }
}

/// A door to such a database, for the program itself.
pub(super) fn door(url: &str) -> Result<Door, Error> {
    let settings = Settings { max_size: 1, min_idle: 0, statement_timeout: Duration::ZERO, ..Settings::default() };
    Ok(Door::new(Database::open(url, settings)?, Arc::new(Roles)))
}

/// A connection to a database that is always there, for what is done to whole databases.
pub(super) fn administrator(place: &Place) -> Result<PgConnection, Error> {
    let mut admin =
        PgConnection::establish(&place.address.in_database("postgres").text()).map_err(database::Error::from)?;
    contents::prepare(&mut admin)?;
    Ok(admin)
}

/// Whether the server has a database of this name.
pub(super) fn exists(admin: &mut PgConnection, database: &str) -> Result<bool, Error> {
    let found: Got = sql_query("select exists (select from pg_database where datname = $1) as got")
        .bind::<st::Text, _>(database)
        .get_result(admin)?;
    Ok(found.got)
}

fn busy(error: diesel::result::Error) -> Error {
    match error.into() {
        database::Error::TimedOut(_) => {
            Error::Refused("another backup is being restored or verified on this server".to_owned())
        }
        error => Error::Database(error),
    }
}

/// A name as SQL quotes it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
