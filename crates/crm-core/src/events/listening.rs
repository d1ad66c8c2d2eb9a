//! Listening: a connection of its own on which the database says in which organizations something has happened.
//!
//! What is heard is a hint. The outbox is the truth, and whoever listens looks there now and then without being told: a
//! connection may break, and a pooler between may not pass anything on.
use std::{collections::BTreeSet, time::Duration};

use diesel::{PgConnection, connection::SimpleConnection};

use crate::{Id, Result, database::Database, organizations::Organization};

/// The name under which the database is rung.
pub(super) const CHANNEL: &str = "heimdell_events";

/// A connection that hears of new events.
pub struct Listener(PgConnection);

impl Listener {
    /// Begins to listen.
    ///
    /// # Errors
    /// Where the database cannot be reached.
    pub fn open(database: &Database) -> Result<Self> {
        let mut connection = database.long(Duration::ZERO)?;
        connection.batch_execute(&format!("LISTEN {CHANNEL}"))?;
        Ok(Self(connection))
    }

    /// The organizations of which something was heard since the last time. Does not wait.
    ///
    /// # Errors
    /// Where the connection is lost: open another.
    pub fn heard(&mut self) -> Result<BTreeSet<Id<Organization>>> {
        let mut heard = BTreeSet::new();
        for notification in self.0.notifications_iter() {
            heard.extend(notification?.payload.parse::<Id<Organization>>());
        }
        Ok(heard)
    }
}
