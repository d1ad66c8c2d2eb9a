//! The private PostgreSQL through good days and bad ones, and what a pool makes of its restarts. Needs PostgreSQL's
//! server programs; runs as root (the server then under another account) and as anybody else.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use crm_core::database::private::{Error, Options, PrivatePostgres};
use crm_core::database::{Access, Database, Settings, check_server};
use diesel::connection::SimpleConnection;
use diesel::sql_types::Text;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Set for a copy of this program that plays the process to be killed.
const VICTIM_HOME: &str = "HEIMDELL_TEST_VICTIM_HOME";

/// A folder that the server's account can enter.
fn home() -> TempDir {
    let home = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    home
}

#[allow(clippy::disallowed_methods, reason = "a test has no caller that could read the settings for it")]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

fn options(home: &Path) -> Options {
    Options {
        path: variable("PATH"),
        pg_bin: variable("HEIMDELL_PG_BIN").map(PathBuf::from),
        durable: false,
        ..Options::new(home)
    }
}

fn start(home: &Path) -> PrivatePostgres {
    PrivatePostgres::start(options(home)).unwrap()
}

fn pid_file(home: &Path) -> PathBuf {
    home.join("postgres/data/postmaster.pid")
}

fn pid(home: &Path) -> Option<i32> {
    fs::read_to_string(pid_file(home)).ok()?.lines().next()?.trim().parse().ok()
}

fn kill_server(home: &Path) {
    kill(Pid::from_raw(pid(home).unwrap()), Signal::SIGKILL).unwrap();
}

/// Waits until something holds; a test that waits in vain fails after a minute.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("in vain: {what}");
}

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

fn ask(connection: &mut PgConnection, sql: &str) -> String {
    diesel::sql_query(format!("select ({sql})::text as value")).get_result::<Value>(connection).unwrap().value
}

fn connect(server: &PrivatePostgres) -> PgConnection {
    PgConnection::establish(&server.url("heimdell_crm")).unwrap()
}

#[test]
fn starts_is_shared_and_stops_with_its_last_user() {
    let home = home();
    let first = PrivatePostgres::start(Options { durable: true, ..options(home.path()) }).unwrap();
    let mut connection = connect(&first);
    check_server(&mut connection).unwrap();
    for (setting, expected) in [
        ("listen_addresses", ""),
        ("data_checksums", "on"),
        ("fsync", "on"),
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("server_encoding", "UTF8"),
    ] {
        assert_eq!(ask(&mut connection, &format!("current_setting('{setting}')")), expected, "{setting}");
    }
    let folder = fs::metadata(home.path().join("postgres")).unwrap();
    assert_eq!(folder.mode() & 0o777, 0o700);
    let psql = Command::new(first.programs().join("psql"))
        .args(["-XAtc", "select 6 * 7"])
        .arg(first.url("heimdell_crm"))
        .output();
    assert_eq!(String::from_utf8(psql.unwrap().stdout).unwrap(), "42\n");

    let server = pid(home.path());
    let second = start(home.path());
    assert_eq!(pid(home.path()), server, "the running server is joined");
    assert_eq!(first.url("x"), second.url("x"));
    first.stop().unwrap();
    assert_eq!(ask(&mut connect(&second), "select 1"), "1", "the second still uses it");
    second.stop().unwrap();
    assert!(!pid_file(home.path()).exists(), "the last to leave stops it");
}

#[test]
fn ten_starts_at_once_make_one_server() {
    let home = home();
    // What an initdb that was killed leaves behind.
    let half = home.path().join("postgres/data.new");
    fs::create_dir_all(&half).unwrap();
    fs::write(half.join("PG_VERSION"), "15\n").unwrap();
    let servers: Vec<PrivatePostgres> = thread::scope(|scope| {
        let threads: Vec<_> = (0..10).map(|_| scope.spawn(|| start(home.path()))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let server = pid(home.path());
    for one in &servers {
        assert_eq!(ask(&mut connect(one), "select pg_postmaster_start_time() is not null"), "true");
    }
    assert_eq!(pid(home.path()), server);
    drop(servers);
    assert!(!pid_file(home.path()).exists());
}

#[test]
fn a_killed_server_comes_back_with_all_that_was_committed() {
    let home = home();
    let server = start(home.path());
    let settings = Settings { max_size: 3, min_idle: 3, ..Settings::default() };
    let database = Database::open(&server.url("heimdell_crm"), settings).unwrap();
    let write = |sql: &str| {
        database.transaction(Access::Write, |connection| {
            connection.batch_execute(sql).map_err(crm_core::database::Error::from)
        })
    };
    write("create table kept (n int); insert into kept values (7)").unwrap();
    eventually("three connections stand idle", || database.usage().idle == 3);

    let killed = pid(home.path());
    kill_server(home.path());
    eventually("the server is back", || {
        pid(home.path()) != killed && PgConnection::establish(&server.url("heimdell_crm")).is_ok()
    });
    // Each of the pool's connections is dead now, and no request notices.
    write("insert into kept values (8)").unwrap();
    kill_server(home.path());
    let again = pid(home.path());
    eventually("the server is back again", || {
        pid(home.path()) != again && PgConnection::establish(&server.url("heimdell_crm")).is_ok()
    });
    let sum: Result<String, crm_core::database::Error> =
        database.with(|connection| Ok(ask(connection, "select sum(n) from kept")));
    assert_eq!(sum.unwrap(), "15");

    // Killed while nobody is left to bring it back, and its file stays behind.
    let file = fs::read(pid_file(home.path())).unwrap();
    drop(database);
    server.stop().unwrap();
    fs::write(pid_file(home.path()), file).unwrap();
    let server = start(home.path());
    assert_eq!(ask(&mut connect(&server), "select sum(n) from kept"), "15");
}

#[test]
fn a_lock_file_that_names_a_stranger_does_not_stop_the_start() {
    let home = home();
    let server = start(home.path());
    let text = fs::read_to_string(pid_file(home.path())).unwrap();
    server.stop().unwrap();
    let owner = fs::metadata(home.path().join("postgres")).unwrap();
    let mut stranger = Command::new("sleep");
    stranger.arg("600").current_dir("/");
    if owner.uid() != nix::unistd::geteuid().as_raw() {
        stranger.uid(owner.uid()).gid(owner.gid());
    }
    let mut stranger = stranger.spawn().unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(pid_file(home.path()), format!("{}\n{rest}", stranger.id())).unwrap();
    let server = start(home.path());
    assert_eq!(ask(&mut connect(&server), "select 1"), "1");
    assert!(matches!(stranger.try_wait(), Ok(None)), "the stranger is left alone");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn data_of_another_version_are_refused_and_not_touched() {
    let home = home();
    let data = home.path().join("postgres/data");
    fs::create_dir_all(&data).unwrap();
    fs::write(data.join("PG_VERSION"), "12\n").unwrap();
    let Err(refusal) = PrivatePostgres::start(options(home.path())) else { panic!("started on foreign data") };
    let Error::VersionMismatch { found, .. } = &refusal else { panic!("{refusal}") };
    let text = refusal.to_string();
    assert!(text.contains("PostgreSQL 12") && text.contains(&format!("PostgreSQL {found}")), "{text}");
    assert_eq!(fs::read_dir(&data).unwrap().count(), 1);
}

#[test]
fn without_programs_the_error_says_what_to_do() {
    let (home, empty) = (home(), home());
    let options = Options { pg_bin: Some(empty.path().to_path_buf()), ..options(home.path()) };
    let Err(refusal) = PrivatePostgres::start(options) else { panic!("started without programs") };
    let text = refusal.to_string();
    for part in [&empty.path().display().to_string(), "apt install postgresql", "DATABASE_URL"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_long_folder_works() {
    let home = home();
    let far = home.path().join("a-folder-with-a-long-name".repeat(5));
    let server = start(&far);
    assert_eq!(ask(&mut connect(&server), "select 1"), "1");
    let url = server.url("x");
    server.stop().unwrap();
    let socket = url.split_once("host=").and_then(|(_, rest)| rest.split('&').next()).unwrap();
    fs::remove_dir(socket).unwrap();
}

#[test]
fn a_killed_process_takes_its_server_along_unless_another_uses_it() {
    let test = "a_killed_process_takes_its_server_along_unless_another_uses_it";
    if let Some(home) = variable(VICTIM_HOME) {
        let _server = start(Path::new(&home));
        println!("\nready");
        thread::sleep(Duration::from_secs(600));
        return;
    }
    let home = home();
    let victim = || {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(VICTIM_HOME, home.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line == "ready"), "the other process did not start");
        child
    };
    let (mut first, mut second) = (victim(), victim());
    let server = pid(home.path());
    first.kill().unwrap();
    first.wait().unwrap();
    // Longer than the watchdog needs to see that the second process holds the lock.
    thread::sleep(Duration::from_secs(6));
    assert_eq!(pid(home.path()), server, "the second process still uses the server");
    second.kill().unwrap();
    second.wait().unwrap();
    eventually("the server is stopped", || !pid_file(home.path()).exists());

    let server = start(home.path());
    assert_eq!(ask(&mut connect(&server), "select 1"), "1");
}
