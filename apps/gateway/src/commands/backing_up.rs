//! Backing the database up, and verifying backups.
use std::{fmt, path::PathBuf};

use clap::Args;
use crm_core::backups::{self, Backup, Manifest, Place, Progress};
use gateway::config::Storage;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::{Failure, house::Reached};

/// What is to be backed up or verified.
#[derive(Args)]
pub(crate) struct Order {
    #[command(flatten)]
    storage: Storage,
    /// The folder of the backups; without it, `backups` in the program's home.
    #[arg(long, env = "HEIMDELL_BACKUPS", value_name = "DIR")]
    to: Option<PathBuf>,
    /// Keep that many of the latest backups in the folder, and remove the others. The latest that was verified stays,
    /// however old it is.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
    /// Restore the backup into a scratch database, compare every table, and walk along the field histories: the backup
    /// that was made just now, or this one without making any.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    verify: Option<Option<PathBuf>>,
}

/// Backs up, verifies, and removes old backups, as far as each is wanted.
pub(crate) fn run(order: &Order) -> Result<(), Failure> {
    let reached = Reached::find(&order.storage)?;
    let place = place(&reached.url, &order.storage)?;
    let folder = order.to.clone().unwrap_or_else(|| order.storage.home.join("backups"));
    let backup = match &order.verify {
        Some(Some(file)) => Backup::open(file)?,
        _ => {
            let backup = watched(|progress| backups::create(&place, &folder, progress))?;
            println!("{} is backed up to {}: {}.", place.database(), backup.path.display(), Told(&backup.manifest));
            println!("{}", keys(&backup.manifest));
            backup
        }
    };
    if order.verify.is_some() {
        let found = watched(|progress| backups::verify(&place, &backup, progress))?;
        println!(
            "{} is good: restored, {} rows in {} tables are what was backed up, and {} field histories ({} rows) prove \
             themselves.",
            backup.path.display(),
            found.rows,
            found.tables,
            found.histories,
            found.history_rows
        );
    }
    if let Some(count) = order.keep {
        for name in backups::keep(&place, &folder, usize::try_from(count)?)? {
            println!("{name} is removed: {count} later ones are kept.");
        }
    }
    reached.close()
}

/// The database at a URL, for the programs that dump and restore it.
pub(super) fn place(url: &str, storage: &Storage) -> Result<Place, Failure> {
    let mut place = Place::new(url)?;
    (place.pg_bin, place.path) = (storage.pg_bin.clone(), storage.path.clone());
    Ok(place)
}

/// A manifest in a few words.
pub(super) struct Told<'m>(pub(super) &'m Manifest);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { tables, size, schema_version, .. } = self.0;
        write!(f, "{} rows in {} tables, {}, schema {schema_version}", self.0.rows(), tables.len(), HumanBytes(*size))
    }
}

/// What the backup needs beside itself.
fn keys(manifest: &Manifest) -> String {
    match manifest.sealing_keys.needed.as_slice() {
        [] => "It holds no sealed secrets: no key is needed to use it.".to_owned(),
        needed => format!(
            "The keys to the secrets in it are not in it, and it is of little use without them. Keep elsewhere: {}.",
            needed.join(", ")
        ),
    }
}

/// Shows what goes on, where somebody watches.
pub(super) fn watched<T>(work: impl FnOnce(&dyn Fn(Progress)) -> Result<T, backups::Error>) -> Result<T, Failure> {
    let line = ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{spinner} {msg}")?);
    let done = work(&|progress| {
        line.set_message(match progress {
            Progress::Reading { done, total } => format!("reading the tables: {done} of {total}"),
            Progress::Writing(bytes) => format!("writing the dump: {}", HumanBytes(bytes)),
            Progress::Summing => "reading the dump".to_owned(),
            Progress::Restoring => "restoring the dump".to_owned(),
            Progress::Proving => "walking along the field histories".to_owned(),
        });
        line.tick();
    });
    line.finish_and_clear();
    done.map_err(Failure::from)
}
