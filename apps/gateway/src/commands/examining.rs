//! The doctor: gathers the facts of an installation, and says what was found and what to do.
use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    time::Duration,
};

use clap::Args;
use crm_core::{
    clock,
    database::{
        Database, Settings,
        facts::{self, DatabaseFacts, FolderFacts},
    },
    sealed,
};
use crm_ops::checkups::{self, Checkup, Facts, Port, SealingFacts, State};
use gateway::{
    config::{Listening, Storage},
    keyring::{Place, SEALED_COLUMNS},
};

use super::{Failure, backing_up::place, house::Reached};

/// How long a program at the port may take to say who it is.
const PATIENCE: Duration = Duration::from_secs(2);

/// How the doctor reports.
#[derive(Args)]
pub(crate) struct Order {
    #[command(flatten)]
    storage: Storage,
    #[command(flatten)]
    listening: Listening,
    /// Report as JSON, for machines.
    #[arg(long)]
    json: bool,
}

/// Examines the installation: 1 where something in it is wrong, 0 otherwise.
pub(crate) fn run(order: &Order) -> Result<u8, Failure> {
    let storage = &order.storage;
    // Before the private server is started, which would put its folder right by itself.
    let data_folder = match storage.database_url {
        None => facts::of_folder(&storage.home.join("postgres")).ok(),
        Some(_) => None,
    };
    let reached = Reached::find(storage);
    let url = reached.as_ref().map(|reached| reached.url.clone()).map_err(ToString::to_string);
    let database = url.clone().and_then(|url| facts::of_database(&url).map_err(|error| error.to_string()));
    let sealing = url.as_ref().ok().filter(|_| has_tables(&database)).map(|url| sealing(url, storage));
    let client_programs = url.ok().zip(database.as_ref().ok()).map(|(url, database)| programs(&url, storage, database));
    let found = checkups::judge(&Facts {
        now: clock::now(),
        data_folder,
        backup_folder: nearest(&storage.home.join("backups")),
        sealing,
        client_programs: client_programs.transpose()?,
        database,
        connections: storage.connections,
        port: port(SocketAddr::new(order.listening.listen, order.listening.port)),
    });
    if let Ok(reached) = reached {
        reached.close()?;
    }
    report(&found, order.json)?;
    Ok(u8::from(checkups::worst(&found) == State::Error))
}

/// The secrets can be looked at where the tables are as this program knows them.
fn has_tables(database: &Result<DatabaseFacts, String>) -> bool {
    database.as_ref().is_ok_and(|facts| facts.contents.is_some())
}

fn sealing(url: &str, storage: &Storage) -> Result<SealingFacts, String> {
    let place = Place::of(storage);
    let keys = place.ids().map_err(|error| error.to_string())?;
    let database = Database::open(url, Settings::default()).map_err(|error| error.to_string())?;
    let usage = sealed::usage(&database, &SEALED_COLUMNS).map_err(|error| error.to_string())?;
    let unopenable = match keys.as_slice() {
        // Opening would make the first one.
        [] => BTreeMap::new(),
        _ => {
            let ring = place.open().map_err(|error| error.to_string())?;
            sealed::unopenable(&database, &ring, &SEALED_COLUMNS).map_err(|error| error.to_string())?
        }
    };
    Ok(SealingFacts { keys, usage, unopenable })
}

fn programs(url: &str, storage: &Storage, database: &DatabaseFacts) -> Result<Result<u32, String>, Failure> {
    Ok(facts::of_client_programs(&place(url, storage)?, u32::try_from(database.version / 10_000)?))
}

/// A folder, or the nearest above it that exists: they are on the same disk.
fn nearest(folder: &Path) -> Option<FolderFacts> {
    let folder = std::path::absolute(folder).ok()?;
    folder.ancestors().find_map(|folder| facts::of_folder(folder).ok())
}

/// Who has a port.
fn port(address: SocketAddr) -> Port {
    match TcpListener::bind(address) {
        Ok(_) => Port::Free,
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => match is_ours(address) {
            Ok(true) => Port::Ours,
            _ => Port::Taken(format!("{address} is in use by another program")),
        },
        Err(error) => Port::Taken(format!("{address} cannot be listened on: {error}")),
    }
}

/// Whether a gateway of ours answers there.
fn is_ours(address: SocketAddr) -> io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /health/live HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer.ends_with(r#"{"status":"live"}"#))
}

fn report(found: &[Checkup], as_json: bool) -> Result<(), Failure> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(found)?);
        return Ok(());
    }
    for Checkup { check, state, finding, remedy } in found {
        let mark = match state {
            State::Ok => "ok     ",
            State::Warning => "WARNING",
            State::Error => "ERROR  ",
        };
        println!("{mark}  {check}: {finding}");
        if let Some(remedy) = remedy {
            println!("         -> {remedy}");
        }
    }
    Ok(())
}
