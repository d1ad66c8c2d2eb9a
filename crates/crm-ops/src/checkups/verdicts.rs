//! One verdict to a thing that is looked at: from the facts to what to do.
use chrono::{DateTime, Utc};
use crm_core::{
    database::{
        OLDEST_MAJOR,
        facts::{ContentFacts, DatabaseFacts, FolderFacts},
    },
    vital_signs::{self, START_A_WORKER, Verdict},
};

use super::{Checkup, Port};

/// How far the clocks may be apart, in milliseconds: leases are 12 s, signatures of webhooks hold 5 minutes.
const CLOCK_LIMIT: i64 = 5_000;
/// Can others get into the folder of the data?
pub(super) fn rights(folder: &FolderFacts) -> Checkup {
    const CHECK: &str = "data_folder";
    let mode = format!("{:o}", folder.mode);
    match folder {
        folder if !folder.is_ours => Checkup::error(
            CHECK,
            "the folder of the private PostgreSQL belongs to another account, or is no folder",
            "run as the account that made it, or name another place by HEIMDELL_HOME",
        ),
        folder if folder.mode & 0o077 != 0 => Checkup::error(
            CHECK,
            format!("others can enter the folder of the private PostgreSQL (mode {mode})"),
            "chmod 700 the folder postgres in HEIMDELL_HOME",
        ),
        _ => Checkup::ok(CHECK, format!("the folder of the private PostgreSQL is closed to others (mode {mode})")),
    }
}

/// Is there room on the disk?
pub(super) fn disk(check: &'static str, folder: &FolderFacts) -> Checkup {
    let finding =
        format!("{} % of the disk is free ({} MiB)", folder.disk.free_percent(), folder.disk.free_bytes >> 20);
    Checkup::judged(check, folder.disk.verdict(), finding, vital_signs::FREE_SPACE)
}

/// Does the database answer?
pub(super) fn connection(database: &Result<DatabaseFacts, String>) -> Checkup {
    const CHECK: &str = "connection";
    match database {
        Ok(_) => Checkup::ok(CHECK, "the database answers"),
        Err(why) => Checkup::error(
            CHECK,
            why.as_str(),
            "start the database, or correct DATABASE_URL; without DATABASE_URL, see postgres/log in HEIMDELL_HOME",
        ),
    }
}

/// Is the server new enough?
pub(super) fn version(number: i32) -> Checkup {
    let major = number / 10_000;
    let finding = format!("the server is PostgreSQL {major}.{}", number % 10_000);
    match u32::try_from(major).unwrap_or(0) >= OLDEST_MAJOR {
        true => Checkup::ok("version", finding),
        false => Checkup::error("version", finding, format!("upgrade it to {OLDEST_MAJOR} or newer")),
    }
}

/// Is the schema the one of this program?
pub(super) fn migrations(pending: &Result<Vec<String>, String>) -> Checkup {
    const CHECK: &str = "migrations";
    match pending.as_deref() {
        Ok([]) => Checkup::ok(CHECK, "the schema is current"),
        Ok(due) => Checkup::error(CHECK, format!("{} migrations are due", due.len()), vital_signs::MIGRATE),
        Err(why) => Checkup::error(CHECK, why.as_str(), vital_signs::UPGRADE),
    }
}

/// Are the extensions there?
pub(super) fn extensions(missing: &[String]) -> Checkup {
    match missing {
        [] => Checkup::ok("extensions", "the extensions are there"),
        missing => {
            let remedy =
                "install the package of PostgreSQL's contributed modules (postgresql-contrib), then heimdell migrate";
            Checkup::error("extensions", format!("missing: {}", missing.join(", ")), remedy)
        }
    }
}

/// Do the clocks agree?
pub(super) fn clock(ahead_milliseconds: i64) -> Checkup {
    let finding = format!("the server's clock is {ahead_milliseconds} ms ahead of this machine's");
    match ahead_milliseconds.unsigned_abs() <= CLOCK_LIMIT.unsigned_abs() {
        true => Checkup::ok("clock", finding),
        false => Checkup::error("clock", finding, "set both clocks by NTP"),
    }
}

/// Would a crash lose what was acknowledged?
pub(super) fn durability(database: &DatabaseFacts) -> Checkup {
    const CHECK: &str = "durability";
    let off: Vec<_> = [("fsync", database.fsync), ("full_page_writes", database.full_page_writes)]
        .into_iter()
        .filter_map(|(name, is_on)| (!is_on).then_some(name))
        .chain((database.synchronous_commit == "off").then_some("synchronous_commit"))
        .collect();
    match off.as_slice() {
        [] => Checkup::ok(CHECK, "what is committed is on the disk"),
        off => {
            let finding = format!("off: {}; a crash would lose acknowledged changes", off.join(", "));
            Checkup::error(CHECK, finding, "set it to on in postgresql.conf and reload the server")
        }
    }
}

/// Does the server have enough connections for the pool?
pub(super) fn connections(database: &DatabaseFacts, wanted: u32) -> Checkup {
    const CHECK: &str = "connections";
    let left = i64::from(database.connection_limit) - database.connections;
    let finding = format!(
        "{} of {} connections are open, and each process of ours opens up to {wanted}",
        database.connections, database.connection_limit
    );
    let remedy = "raise max_connections, lower HEIMDELL_DATABASE_CONNECTIONS, or put PgBouncer in between";
    if i64::from(database.connection_limit) < i64::from(wanted) {
        Checkup::error(CHECK, finding, remedy)
    } else if left < i64::from(wanted) {
        Checkup::warning(CHECK, finding, remedy)
    } else {
        Checkup::ok(CHECK, finding)
    }
}

/// Does the server know the time zones of the organizations?
pub(super) fn zones(unknown: &[String]) -> Checkup {
    match unknown {
        [] => Checkup::ok("time_zones", "the server knows the time zones of all organizations"),
        unknown => Checkup::error(
            "time_zones",
            format!("the server does not know {}", unknown.join(", ")),
            "update the server's time zone data (package tzdata)",
        ),
    }
}

/// Does somebody do jobs?
pub(super) fn workers(contents: &ContentFacts) -> Checkup {
    let (alive, silent) = (contents.living_workers, contents.silent_workers);
    let verdict = vital_signs::workers_of(usize::try_from(alive).unwrap_or(0), usize::try_from(silent).unwrap_or(0));
    let (finding, remedy) = match verdict {
        Verdict::Failing => ("no worker is alive: jobs would wait for ever".to_owned(), START_A_WORKER),
        _ => (format!("{alive} workers are alive, {silent} silent"), vital_signs::LOOK_FOR_WORKERS),
    };
    Checkup::judged("workers", verdict, finding, remedy)
}

/// Does work that could be done wait?
pub(super) fn backlog(contents: &ContentFacts) -> Checkup {
    let verdict = vital_signs::backlog_of(contents.oldest_waiting_seconds.unwrap_or(0));
    let are_idle = contents.idle_workers > 0 && verdict != Verdict::Ok;
    let finding = match contents.oldest_waiting_seconds {
        Some(seconds) if are_idle => {
            format!("the oldest job has waited for {seconds} s, though {} workers are idle", contents.idle_workers)
        }
        Some(seconds) => format!("the oldest job has waited for {seconds} s"),
        None => "no job is due".to_owned(),
    };
    let remedy = match are_idle {
        true => {
            "see which kind it is (kind in queue_jobs): these workers may not know it, such as one of another version of the \
             program, and more of them would not help"
                .to_owned()
        }
        false => format!("{START_A_WORKER}, or more of them"),
    };
    Checkup::judged("job_backlog", verdict, finding, remedy)
}

/// Do jobs belong to workers that died?
pub(super) fn abandoned(count: i64) -> Checkup {
    match count {
        0 => Checkup::ok("abandoned_jobs", "every active job has a living worker"),
        count => Checkup::error(
            "abandoned_jobs",
            format!("{count} active jobs have no living worker, and no other has taken over"),
            "start a worker: it takes them over by itself",
        ),
    }
}

/// Were jobs given up?
pub(super) fn failed(count: i64) -> Checkup {
    match count {
        0 => Checkup::ok("failed_jobs", "no job was given up within a day"),
        count => Checkup::warning(
            "failed_jobs",
            format!("{count} jobs were given up within a day"),
            "read last_error in queue_jobs, mend the cause, and set them back to waiting (docs/RUNBOOK.md)",
        ),
    }
}

/// Is there a good backup, and not too old a one?
pub(super) fn backup(contents: &ContentFacts, now: DateTime<Utc>) -> Checkup {
    const CHECK: &str = "backup";
    let finding = match contents.backup_verified_at {
        _ if !contents.is_in_use => return Checkup::ok(CHECK, "there is nothing to back up"),
        Some(at) => format!("a backup was verified on {}, {} hours ago", at.format("%Y-%m-%d"), (now - at).num_hours()),
        None => "no backup was ever verified".to_owned(),
    };
    Checkup::judged(CHECK, vital_signs::backup_of(contents.backup_verified_at, now), finding, vital_signs::BACK_UP)
}

/// Can a backup be made?
pub(super) fn client_programs(found: &Result<u32, String>) -> Checkup {
    match found {
        Ok(major) => Checkup::ok("client_programs", format!("pg_dump is of PostgreSQL {major}")),
        Err(why) => Checkup::error("client_programs", why.as_str(), "without them there is no heimdell backup"),
    }
}

/// Could requests come in?
pub(super) fn port(port: &Port) -> Checkup {
    match port {
        Port::Free => Checkup::ok("port", "the port is free"),
        Port::Ours => Checkup::ok("port", "heimdell answers at the port"),
        Port::Taken(why) => {
            Checkup::error("port", why.as_str(), "stop that program, or choose another port with --port (or PORT)")
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use crm_core::vital_signs::Disk;

    use super::*;
    use crate::checkups::{Facts, SealingFacts, State, judge, worst};

    fn database() -> DatabaseFacts {
        DatabaseFacts {
            version: 150_018,
            fsync: true,
            full_page_writes: true,
            synchronous_commit: "on".to_owned(),
            connection_limit: 97,
            connections: 9,
            clock_ahead_milliseconds: -3,
            pending_migrations: Ok(Vec::new()),
            missing_extensions: Vec::new(),
            contents: Some(ContentFacts {
                unknown_zones: Vec::new(),
                oldest_waiting_seconds: None,
                living_workers: 2,
                idle_workers: 0,
                silent_workers: 0,
                abandoned_jobs: 0,
                failed_jobs: 0,
                backup_verified_at: Some(now()),
                is_in_use: true,
            }),
        }
    }

    fn now() -> DateTime<Utc> {
        "2026-01-05T09:00:00Z".parse().unwrap()
    }

    fn folder() -> FolderFacts {
        FolderFacts { mode: 0o700, is_ours: true, disk: Disk { free_bytes: 50 << 30, total_bytes: 100 << 30 } }
    }

    fn facts() -> Facts {
        Facts {
            now: now(),
            data_folder: Some(folder()),
            backup_folder: Some(folder()),
            database: Ok(database()),
            sealing: Some(Ok(SealingFacts { keys: Vec::new(), usage: [].into(), unopenable: [].into() })),
            client_programs: Some(Ok(15)),
            ..Facts::default()
        }
    }

    fn changed(change: impl Fn(&mut DatabaseFacts)) -> Facts {
        let mut database = database();
        change(&mut database);
        Facts { database: Ok(database), ..facts() }
    }

    fn within(change: impl Fn(&mut ContentFacts)) -> Facts {
        changed(|database| database.contents.iter_mut().for_each(&change))
    }

    #[test]
    fn all_is_well_where_nothing_is_wrong() {
        let checkups = judge(&facts());
        assert_eq!(worst(&checkups), State::Ok, "{checkups:?}");
        assert!(checkups.iter().all(|checkup| checkup.remedy.is_none()));
        assert_eq!(checkups.len(), 19);
    }

    #[test]
    fn each_fault_is_found_alone_and_has_a_remedy() {
        use State::{Error, Warning};
        let part = |free_bytes| FolderFacts { disk: Disk { free_bytes, ..folder().disk }, ..folder() };
        let cases: Vec<(&str, State, Facts)> = vec![
            ("data_folder", Error, Facts { data_folder: Some(FolderFacts { mode: 0o750, ..folder() }), ..facts() }),
            ("data_folder", Error, Facts { data_folder: Some(FolderFacts { is_ours: false, ..folder() }), ..facts() }),
            ("disk_of_data", Warning, Facts { data_folder: Some(part(14 << 30)), ..facts() }),
            ("disk_of_data", Error, Facts { data_folder: Some(part(4 << 30)), ..facts() }),
            ("disk_of_backups", Error, Facts { backup_folder: Some(part(0)), ..facts() }),
            ("version", Error, changed(|database| database.version = 140_011)),
            ("migrations", Error, changed(|database| database.pending_migrations = Ok(vec!["x".to_owned()]))),
            ("migrations", Error, changed(|database| database.pending_migrations = Err("newer".to_owned()))),
            ("extensions", Error, changed(|database| database.missing_extensions = vec!["pg_trgm".to_owned()])),
            ("clock", Error, changed(|database| database.clock_ahead_milliseconds = -5_001)),
            ("durability", Error, changed(|database| database.fsync = false)),
            ("durability", Error, changed(|database| database.full_page_writes = false)),
            ("durability", Error, changed(|database| database.synchronous_commit = "off".to_owned())),
            ("connections", Error, changed(|database| database.connection_limit = 7)),
            ("connections", Warning, changed(|database| database.connections = 90)),
            ("time_zones", Error, within(|contents| contents.unknown_zones = vec!["Mars/Base".to_owned()])),
            ("workers", Error, within(|contents| contents.living_workers = 0)),
            ("workers", Warning, within(|contents| contents.silent_workers = 1)),
            ("job_backlog", Warning, within(|contents| contents.oldest_waiting_seconds = Some(301))),
            ("abandoned_jobs", Error, within(|contents| contents.abandoned_jobs = 1)),
            ("failed_jobs", Warning, within(|contents| contents.failed_jobs = 1)),
            ("backup", Warning, within(|contents| contents.backup_verified_at = None)),
            ("backup", Warning, within(|contents| contents.backup_verified_at = Some(now() - TimeDelta::hours(27)))),
            ("sealing_keys", Error, Facts { sealing: Some(Err("malformed".to_owned())), ..facts() }),
            ("client_programs", Error, Facts { client_programs: Some(Err("none".to_owned())), ..facts() }),
            ("port", Error, Facts { port: Port::Taken("in use".to_owned()), ..facts() }),
        ];
        for (check, state, facts) in cases {
            let wrong: Vec<_> = judge(&facts).into_iter().filter(|checkup| checkup.state != State::Ok).collect();
            assert_eq!(wrong.len(), 1, "{check}: {wrong:?}");
            assert_eq!((wrong[0].check, wrong[0].state), (check, state));
            assert!(wrong[0].remedy.is_some(), "{check}");
        }
    }

    #[test]
    fn a_backlog_beside_idle_workers_is_not_for_want_of_workers() {
        let backlog = |seconds, idle_workers| {
            let facts = within(|contents| {
                (contents.oldest_waiting_seconds, contents.idle_workers) = (seconds, idle_workers);
            });
            judge(&facts).into_iter().find(|checkup| checkup.check == "job_backlog").unwrap()
        };
        assert_eq!(backlog(None, 2).finding, "no job is due");
        assert_eq!(backlog(Some(10), 2).finding, "the oldest job has waited for 10 s");
        let (busy, idle) = (backlog(Some(301), 0), backlog(Some(301), 1));
        assert!(busy.remedy.unwrap().starts_with("start a worker"));
        assert!(idle.finding.contains("1 workers are idle") && idle.remedy.unwrap().contains("kind in queue_jobs"));
    }

    #[test]
    fn at_the_limits_all_is_well() {
        for facts in [
            changed(|database| database.clock_ahead_milliseconds = 5_000),
            changed(|database| database.connections = 89),
            within(|contents| contents.oldest_waiting_seconds = Some(300)),
            within(|contents| contents.backup_verified_at = Some(now() - TimeDelta::hours(26))),
            within(|contents| (contents.backup_verified_at, contents.is_in_use) = (None, false)),
            Facts { port: Port::Ours, data_folder: None, backup_folder: None, ..facts() },
        ] {
            assert_eq!(worst(&judge(&facts)), State::Ok, "{facts:?}");
        }
    }
}
