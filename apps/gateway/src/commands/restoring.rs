//! Restoring a backup.
use std::{
    cell::Cell,
    io::{IsTerminal, Write},
    path::PathBuf,
};

use clap::Args;
use crm_core::{
    Door,
    backups::{self, Backup, Place, Restoration},
    clock, organizations,
};
use crm_ops::webhooks::holding::{self, Release};
use gateway::{config::Storage, keyring};

use super::{
    Failure,
    backing_up::{Told, place, watched},
    house::{House, Reached},
};

/// What is to be restored, and where.
#[derive(Args)]
pub(crate) struct Order {
    #[command(flatten)]
    storage: Storage,
    /// The dump. Its manifest lies beside it.
    file: PathBuf,
    /// The database to restore into; without it, the one in use. It is made where it is missing. Others on this machine can
    /// see it in the list of processes: a URL with a password belongs into DATABASE_URL.
    #[arg(long, value_name = "DATABASE_URL")]
    into: Option<String>,
    /// Replace a database that holds data. That one is kept under another name.
    #[arg(long)]
    replace: bool,
    /// Ask nothing.
    #[arg(long)]
    yes: bool,
}

/// Restores the backup, and says what became of what was there.
pub(crate) fn run(order: &Order) -> Result<(), Failure> {
    let backup = Backup::open(&order.file)?;
    let storage =
        Storage { database_url: order.into.clone().or(order.storage.database_url.clone()), ..order.storage.clone() };
    let reached = Reached::find(&storage)?;
    let place = place(&reached.url, &storage)?;
    println!(
        "{} was made on {}: {}.",
        order.file.display(),
        backup.manifest.started_at.format("%Y-%m-%d at %H:%M:%S UTC"),
        Told(&backup.manifest)
    );
    if order.replace && !order.yes && backups::is_in_use(&place)? && !is_wanted(&place)? {
        return Err("nothing was changed".into());
    }
    let how = Restoration { replaces: order.replace };
    let held = Cell::new(0);
    let hold_back = |door: &Door| {
        for organization in organizations::every(door)? {
            held.set(held.get() + door.system_write(organization, clock::now(), holding::hold_all)?);
        }
        Ok(())
    };
    let restored = watched(|progress| backups::restore(&place, &backup, how, &hold_back, progress))?;
    println!("{} is restored: every table holds what the manifest says.", place.database());
    if !restored.migrations.is_empty() {
        println!("The backup was older than this program: {} migrations were run.", restored.migrations.len());
    }
    if let Some(kept) = restored.kept {
        println!("What was there before is kept as {kept}. Once it is not needed: drop database {kept};");
    }
    if held.get() > 0 {
        println!(
            "Messages to {} webhooks are held back, since they may have arrived since the backup was made.",
            held.get()
        );
        println!(
            "Send them with `heimdell resume`, or only what happens from now on with `heimdell resume --discard`."
        );
    }
    if let Some(warning) = lacking(&backup.manifest.sealing_keys.needed, &keyring::Place::of(&storage)) {
        println!("{warning}");
    }
    reached.close()
}

/// What to do where the secrets of a backup cannot be opened here.
fn lacking(needed: &[String], place: &keyring::Place) -> Option<String> {
    let (known, trouble) = match place.ids() {
        Ok(known) => (known, String::new()),
        Err(error) => (Vec::new(), format!(" ({error})")),
    };
    let lacking: Vec<_> = needed.iter().filter(|id| !known.contains(id)).map(String::as_str).collect();
    (!lacking.is_empty()).then(|| {
        format!(
            "WARNING: secrets of webhooks in it are sealed with keys that the keyring here lacks{trouble}: {}.\nBefore the \
             first start, bring the keyring of where the backup was made (the file `keyring` in HEIMDELL_HOME, or \
             HEIMDELL_KEYRING), or put these keys behind the first one. If they are lost, renew the secrets: POST \
             /api/webhooks/:id/renew-secret and /api/webhooks/sources/:id/renew-secret.",
            lacking.join(", ")
        )
    })
}

/// What was held back after a restore, to go on.
#[derive(Args)]
pub(crate) struct Resumption {
    #[command(flatten)]
    storage: Storage,
    /// Discard the messages about what happened before the restore.
    #[arg(long)]
    discard: bool,
}

/// Lets messages go to webhooks again, in every organization.
pub(crate) fn resume(order: &Resumption) -> Result<(), Failure> {
    let house = House::open(&order.storage)?;
    let how = Release { discard: order.discard };
    let mut released = 0;
    for organization in organizations::every(&house.door)? {
        released += house.door.system_write(organization, clock::now(), |tx| holding::release_all(tx, how))?;
    }
    match released {
        0 => println!("Nothing was held back."),
        _ if order.discard => println!("{released} webhooks are told of what happens since the restore."),
        _ => println!("{released} webhooks are sent what was held back."),
    }
    house.close()
}

/// Asks whoever sits at the terminal.
fn is_wanted(place: &Place) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err("nobody can be asked whether to replace the database: say --yes".into());
    }
    print!("Replace the database {}? Its users are disconnected. [y/N] ", place.database());
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}
