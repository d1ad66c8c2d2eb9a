//! What has to be on the machine before anything can be built and run, and how to get it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One thing that must be there.
struct Prerequisite {
    /// What is missing, at the start of a sentence.
    name: &'static str,
    /// Whether it is there.
    is_met: fn() -> bool,
    /// How to install it.
    remedy: &'static str,
}

const ALL: [Prerequisite; 4] = [
    Prerequisite {
        name: "The Rust compiler",
        is_met: || succeeds("rustc", &["--version"]),
        remedy: "install Rust as https://rustup.rs says",
    },
    Prerequisite {
        name: "A C linker (cc)",
        is_met: || succeeds("cc", &["--version"]),
        remedy: "sudo apt install build-essential (Fedora: sudo dnf install gcc; macOS: xcode-select --install)",
    },
    Prerequisite {
        name: "PostgreSQL's client library (libpq, with its headers)",
        is_met: has_libpq,
        remedy: "sudo apt install libpq-dev pkg-config (Fedora: sudo dnf install libpq-devel; macOS: brew install libpq)",
    },
    Prerequisite {
        name: "PostgreSQL's server programs (initdb, postgres)",
        is_met: has_postgresql,
        remedy: "sudo apt install postgresql (Fedora: sudo dnf install postgresql-server; macOS: brew install \
                 postgresql@17), or name their folder in HEIMDELL_PG_BIN, or a running server in DATABASE_URL",
    },
];

/// One line for each thing that is missing: what it is, and how to install it. Empty where nothing is.
pub(crate) fn missing() -> Vec<String> {
    let absent = ALL.iter().filter(|prerequisite| !(prerequisite.is_met)());
    absent.map(|prerequisite| format!("{} is missing: {}.", prerequisite.name, prerequisite.remedy)).collect()
}

/// As the build of `pq-sys` looks for it: the variable, then `pkg-config`, then `pg_config`.
fn has_libpq() -> bool {
    setting("PQ_LIB_DIR").is_some()
        || succeeds("pkg-config", &["--exists", "libpq"])
        || succeeds("pg_config", &["--libdir"])
}

fn has_postgresql() -> bool {
    setting("DATABASE_URL").is_some() || folders().iter().any(|folder| holds_a_server(folder))
}

fn holds_a_server(folder: &Path) -> bool {
    ["initdb", "postgres"].iter().all(|program| folder.join(program).is_file())
}

/// Where the server's programs may lie. Distributions keep them off the PATH, one folder to a version.
fn folders() -> Vec<PathBuf> {
    let named = setting("HEIMDELL_PG_BIN").map(PathBuf::from);
    let path = setting("PATH").unwrap_or_default();
    let installed = Command::new("pg_config").arg("--bindir").output().ok();
    let installed = installed.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let versioned = [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql@", "bin"),
        ("/usr/local/opt", "postgresql@", "bin"),
        ("/Library/PostgreSQL", "", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ];
    named
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(installed)
        .chain(versioned.iter().flat_map(|(parent, prefix, leaf)| children(Path::new(parent), prefix, leaf)))
        .collect()
}

/// `leaf` of every folder in `parent` whose name starts with `prefix`.
fn children(parent: &Path, prefix: &str, leaf: &str) -> Vec<PathBuf> {
    let entries = parent.read_dir().into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path().join(leaf))
        .collect()
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

#[allow(clippy::disallowed_methods)] // this program is no part of the product: its settings are read here alone
fn setting(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_holds_a_server_only_with_both_programs() {
        let parent = std::env::temp_dir().join(format!("heimdell-xtask-{}", std::process::id()));
        for file in ["pgsql-15/bin/initdb", "pgsql-15/bin/postgres", "pgsql-16/bin/initdb", "other/bin/postgres"] {
            let file = parent.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let mut found = children(&parent, "pgsql-", "bin");
        found.sort();
        assert_eq!(found, [parent.join("pgsql-15/bin"), parent.join("pgsql-16/bin")]);
        assert_eq!(found.iter().map(|folder| holds_a_server(folder)).collect::<Vec<_>>(), [true, false]);
        assert!(children(&parent.join("absent"), "", "bin").is_empty());
        fs::remove_dir_all(parent).unwrap();
    }

    #[test]
    fn a_program_succeeds_only_where_it_is_there_and_ends_well() {
        let cases = [("true", true), ("false", false), ("heimdell-no-such-program", false)];
        for (program, expected) in cases {
            assert_eq!(succeeds(program, &[]), expected, "{program}");
        }
    }
}
