//! Checkups: what is in order about an installation, what is not, and what to do about it.
//!
//! The facts are gathered elsewhere; here they are only judged.
//!
//! ```
//! use crm_ops::checkups::{Facts, Port, State, judge};
//!
//! let facts = Facts { database: Err("connection refused".into()), port: Port::Free, ..Facts::default() };
//! let checkups = judge(&facts);
//! let connection = checkups.iter().find(|checkup| checkup.check == "connection").unwrap();
//! assert_eq!(connection.state, State::Error);
//! assert!(connection.remedy.is_some());
//! ```
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_core::{
    database::facts::{ContentFacts, DatabaseFacts, FolderFacts},
    sealed::Usage,
    vital_signs::Verdict,
};
use serde::Serialize;

mod sealing;
mod verdicts;

/// All that is looked at. What is `None` does not apply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Now.
    pub now: DateTime<Utc>,
    /// The folder of the private PostgreSQL; `None` where a server is named, or before the first start.
    pub data_folder: Option<FolderFacts>,
    /// The folder that backups are written to, or the nearest above it that exists.
    pub backup_folder: Option<FolderFacts>,
    /// The database, or why it cannot be looked at.
    pub database: Result<DatabaseFacts, String>,
    /// The keys that secrets are sealed with, or why they cannot be told; `None` where there is no database to look at.
    pub sealing: Option<Result<SealingFacts, String>>,
    /// The major version of `pg_dump`, or why there is none that fits; `None` where the server's is not known.
    pub client_programs: Option<Result<u32, String>>,
    /// How many connections this program opens at most.
    pub connections: u32,
    /// The port that requests would come in by.
    pub port: Port,
}

/// What is so about the keys that seal secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealingFacts {
    /// The keys of the keyring, the one that seals first; none where no key was made yet.
    pub keys: Vec<String>,
    /// How many secrets are sealed with each key.
    pub usage: Usage,
    /// How many secrets of each table no key opens.
    pub unopenable: BTreeMap<&'static str, usize>,
}

/// Who has a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Port {
    /// Nobody.
    Free,
    /// A gateway of ours.
    Ours,
    /// Somebody else, or it may not be had: why.
    Taken(String),
}

impl Default for Facts {
    /// An installation of which nothing is known.
    fn default() -> Self {
        Self {
            now: DateTime::UNIX_EPOCH,
            data_folder: None,
            backup_folder: None,
            database: Err("it was not looked at".to_owned()),
            sealing: None,
            client_programs: None,
            connections: 8,
            port: Port::Free,
        }
    }
}

/// How something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// It works, and will not for ever or not in every case.
    Warning,
    /// It does not work, or data may be lost.
    Error,
}

impl From<Verdict> for State {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Ok => Self::Ok,
            Verdict::Warning => Self::Warning,
            Verdict::Failing => Self::Error,
        }
    }
}

/// What was found of one thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Checkup {
    /// What was looked at, in snake_case.
    pub check: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found.
    pub finding: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Checkup {
    /// As it was judged; the remedy is told where there is something to be done.
    fn judged(check: &'static str, verdict: Verdict, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        let state = State::from(verdict);
        Self { check, state, finding: finding.into(), remedy: (state != State::Ok).then(|| remedy.into()) }
    }

    fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        Self { check, state: State::Ok, finding: finding.into(), remedy: None }
    }

    fn warning(check: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Warning, finding: finding.into(), remedy: Some(remedy.into()) }
    }

    fn error(check: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Error, ..Self::warning(check, finding, remedy) }
    }
}

/// Judges the facts, one thing after the other, in the order in which one would look.
pub fn judge(facts: &Facts) -> Vec<Checkup> {
    let mut checkups = Vec::new();
    checkups.extend(facts.data_folder.iter().map(verdicts::rights));
    checkups.extend(facts.data_folder.iter().map(|folder| verdicts::disk("disk_of_data", folder)));
    checkups.push(verdicts::connection(&facts.database));
    if let Ok(database) = &facts.database {
        checkups.extend(of_database(database, facts));
    }
    checkups.extend(facts.sealing.iter().map(sealing::keys));
    checkups.extend(facts.client_programs.iter().map(verdicts::client_programs));
    checkups.extend(facts.backup_folder.iter().map(|folder| verdicts::disk("disk_of_backups", folder)));
    checkups.push(verdicts::port(&facts.port));
    checkups
}

fn of_database(database: &DatabaseFacts, facts: &Facts) -> Vec<Checkup> {
    let mut checkups = vec![
        verdicts::version(database.version),
        verdicts::migrations(&database.pending_migrations),
        verdicts::extensions(&database.missing_extensions),
        verdicts::clock(database.clock_ahead_milliseconds),
        verdicts::durability(database),
        verdicts::connections(database, facts.connections),
    ];
    checkups.extend(database.contents.iter().flat_map(|contents| of_contents(contents, facts.now)));
    checkups
}

fn of_contents(contents: &ContentFacts, now: DateTime<Utc>) -> Vec<Checkup> {
    vec![
        verdicts::zones(&contents.unknown_zones),
        verdicts::workers(contents),
        verdicts::backlog(contents),
        verdicts::abandoned(contents.abandoned_jobs),
        verdicts::failed(contents.failed_jobs),
        verdicts::backup(contents, now),
    ]
}

/// The worst of all that was found.
pub fn worst(checkups: &[Checkup]) -> State {
    checkups.iter().map(|checkup| checkup.state).max().unwrap_or(State::Ok)
}
