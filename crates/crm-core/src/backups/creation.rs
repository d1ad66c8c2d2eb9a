//! Making a backup.
use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    thread,
    time::Duration,
};

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types as st,
};

use super::{
    Backup, Error, Manifest, Place, Progress, SealingKeys, TableContent, contents,
    folders::{self, manifest_path},
    manifests::{self, checksum, private_file},
    programs::{Programs, checked},
    register,
};
use crate::{
    clock,
    database::{self, addresses::Address, migrations},
};

/// How often it is looked how large the dump has become.
const LOOK: Duration = Duration::from_millis(200);

/// Dumps the database into the folder, which is made where it is missing. The dump has its name only once it is whole.
///
/// # Errors
/// See [`Error`]; nothing is left behind then.
pub fn create(place: &Place, folder: &Path, progress: &dyn Fn(Progress)) -> Result<Backup, Error> {
    let _held = folders::hold(folder)?;
    let started_at = clock::now();
    let mut source = connect(&place.address)?;
    let facts = Facts::of(&mut source)?;
    let programs = Programs::find(place, facts.major)?;
    let path = folder.join(folders::name(started_at));
    let new = Unfinished(path.with_extension("dump.new"));
    drop(private_file(&new.0)?);

    let (tables, needed) = dump(&mut source, place, &programs, &new.0, progress)?;

    progress(Progress::Summing);
    let (sha256, size) = checksum(&new.0)?;
    let manifest = Manifest {
        format: manifests::FORMAT,
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        schema_version: facts.schema_version,
        postgresql_major: facts.major,
        started_at,
        finished_at: clock::now(),
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        size,
        sha256,
        sealing_keys: SealingKeys { included: false, needed },
        tables,
    };
    // The dump gets its name last: one that has it is whole, and has its manifest.
    manifest.write(&manifest_path(&path))?;
    fs::rename(&new.0, &path).map_err(Error::at(&path))?;
    let backup = Backup { path, manifest };
    register::note(&mut source, &backup, None)?;
    Ok(backup)
}

/// Writes the dump, and reads meanwhile, in the same snapshot, what each table holds and which keys its secrets need.
fn dump(
    source: &mut PgConnection,
    place: &Place,
    programs: &Programs,
    file: &Path,
    progress: &dyn Fn(Progress),
) -> Result<(Vec<TableContent>, Vec<String>), Error> {
    source.batch_execute("begin isolation level repeatable read read only")?;
    let snapshot: Text = sql_query("select pg_export_snapshot() as text").get_result(source)?;
    let mut command = programs.dump(&place.address, &snapshot.text, file);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(Error::at("pg_dump"))?;
    let (dumped, read) = thread::scope(|scope| {
        let dumping = scope.spawn(|| child.wait_with_output());
        let read = contents::read(source, progress).and_then(|tables| Ok((tables, contents::sealing_keys(source)?)));
        while !dumping.is_finished() {
            progress(Progress::Writing(fs::metadata(file).map_or(0, |facts| facts.len())));
            thread::sleep(LOOK);
        }
        (dumping.join(), read)
    });
    let panicked = || Error::Refused("the thread that waited for pg_dump has died".to_owned());
    checked("pg_dump", dumped.map_err(|_| panicked())?.map_err(Error::at("pg_dump"))?)?;
    source.batch_execute("rollback")?;
    read
}

/// A connection that may take its time.
pub(super) fn connect(address: &Address) -> Result<PgConnection, Error> {
    let mut connection = PgConnection::establish(&address.text()).map_err(database::Error::from)?;
    contents::prepare(&mut connection)?;
    Ok(connection)
}

/// What must be known of the source before anything is done.
struct Facts {
    schema_version: String,
    major: u32,
}

impl Facts {
    fn of(connection: &mut PgConnection) -> Result<Self, Error> {
        let no_schema = || Error::Refused("the database has no schema of ours: there is nothing to back up".to_owned());
        let schema_version = migrations::current(connection)?.ok_or_else(no_schema)?;
        Ok(Self { schema_version, major: server_major(connection)? })
    }
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = st::Text)]
    text: String,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = st::Integer)]
    number: i32,
}

/// The server's major version.
pub(super) fn server_major(connection: &mut PgConnection) -> Result<u32, Error> {
    let version: Number =
        sql_query("select current_setting('server_version_num')::int / 10000 as number").get_result(connection)?;
    Ok(u32::try_from(version.number).unwrap_or(0))
}

/// A dump that is being written; removed unless it has got its name.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("{} cannot be removed: {error}", self.0.display());
            }
            _ => {}
        }
    }
}
