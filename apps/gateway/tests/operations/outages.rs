//! A database that hangs or stops under load, and a gateway that is told to stop under load: every request is answered,
//! nothing that was acknowledged is missing, and nobody has to start anything again.
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use crm_core::database::private::{DATABASE, Options, PrivatePostgres};
use crm_core::testing::TestDatabase;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use serde_json::json;

use super::kit::{Client, Process, eventually, home, program, signal};

/// How many write at a time.
const WRITERS: usize = 6;

#[allow(clippy::disallowed_methods, reason = "a test has no caller that could read the settings for it")]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// For how many seconds the database is away, each time.
fn outage() -> Duration {
    let seconds = variable("HEIMDELL_TEST_OUTAGE_SECONDS").and_then(|text| text.to_str()?.parse().ok());
    Duration::from_secs(seconds.unwrap_or(2))
}

/// Writers at work, and what they were told.
#[derive(Default)]
struct Load {
    over: AtomicBool,
    acknowledged: [AtomicUsize; WRITERS],
    unavailable: [AtomicUsize; WRITERS],
    names: Mutex<BTreeSet<String>>,
    surprises: Mutex<Vec<String>>,
}

impl Load {
    /// Creates companies one after the other until it is over.
    fn write(&self, writer: usize, client: &Client) {
        for number in 0.. {
            if self.over.load(Ordering::Relaxed) {
                return;
            }
            let name = format!("Company {writer}-{number}");
            match client.post("/api/companies", &json!({ "name": name })) {
                Ok(answer) if answer.status == 201 => {
                    self.names.lock().unwrap().insert(name);
                    self.acknowledged[writer].fetch_add(1, Ordering::Relaxed);
                }
                Ok(answer) if answer.status == 503 && answer.retry_after.is_some() => {
                    self.unavailable[writer].fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(50));
                }
                other => self.surprises.lock().unwrap().push(format!("{other:?}")),
            }
        }
    }

    /// Waits until each writer has been told so once more.
    fn each_once_more(&self, what: &str, told: &[AtomicUsize; WRITERS]) {
        let before: Vec<_> = told.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        eventually(what, || told.iter().zip(&before).all(|(now, before)| now.load(Ordering::Relaxed) > *before));
    }

    fn check(&self, url: &str) {
        assert_eq!(*self.surprises.lock().unwrap(), Vec::<String>::new());
        let (acknowledged, present) = (self.names.lock().unwrap(), names(url));
        let missing: Vec<_> = acknowledged.difference(&present).collect();
        assert!(missing.is_empty(), "acknowledged and not there: {missing:?}");
        assert!(acknowledged.len() >= 3 * WRITERS);
        let refused: usize = self.unavailable.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        eprintln!("{} writes acknowledged, {refused} answered 503, {} there", acknowledged.len(), present.len());
    }
}

/// The names of the companies; each is there once.
fn names(url: &str) -> BTreeSet<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let mut connection = PgConnection::establish(url).unwrap();
    let rows: Vec<Row> = sql_query("select name from companies").load(&mut connection).unwrap();
    let names: BTreeSet<_> = rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(names.len(), rows.len(), "a company is there twice");
    names
}

fn start(home: &Path) -> PrivatePostgres {
    let pg_bin = variable("HEIMDELL_PG_BIN").map(PathBuf::from);
    PrivatePostgres::start(Options { path: variable("PATH"), pg_bin, ..Options::new(home) }).unwrap()
}

/// The processes of the private server: its postmaster, and then those that it has started.
fn processes(home: &Path) -> Vec<u32> {
    let file = fs::read_to_string(home.join("postgres/data/postmaster.pid")).unwrap();
    let postmaster = file.lines().next().unwrap().to_owned();
    let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let pairs = listed.lines().filter_map(|line| line.trim().split_once(char::is_whitespace));
    let children = pairs.filter(|(_, parent)| parent.trim() == postmaster).map(|(pid, _)| pid.parse().unwrap());
    std::iter::once(postmaster.parse().unwrap()).chain(children).collect()
}

/// Processes that stand still until this is dropped.
struct Frozen(Vec<u32>);

impl Frozen {
    /// The postmaster first, so that it starts no others meanwhile.
    fn all(home: &Path) -> Self {
        signal("STOP", &processes(home)[..1]);
        let frozen = Self(processes(home));
        signal("STOP", &frozen.0);
        frozen
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", &self.0);
    }
}

#[test]
fn a_database_that_hangs_or_stops_is_survived() {
    let home = home();
    let postgres = start(home.path());
    let url = postgres.url(DATABASE);
    let server = Process::start(program(&url));
    let (client, load) = (server.client(&url), Load::default());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (client, load) = (client.clone(), &load);
            scope.spawn(move || load.write(writer, &client));
        }
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            load.each_once_more("writes before the outages", &load.acknowledged);

            let frozen = Frozen::all(home.path());
            // Those whose requests had begun are answered while the server still hangs: nobody waits for it to come back.
            load.each_once_more("answers from a hanging server", &load.unavailable);
            look_down(&client);
            thread::sleep(outage());
            drop(frozen);
            load.each_once_more("writes after the server hung", &load.acknowledged);

            postgres.stop().unwrap();
            load.each_once_more("answers without a server", &load.unavailable);
            look_down(&client);
            thread::sleep(outage());
            let again = start(home.path());
            load.each_once_more("writes after the server was away", &load.acknowledged);
            eventually("readiness", || client.get("/health/ready").unwrap().status == 200);
            again
        }));
        load.over.store(true, Ordering::Relaxed);
        ended
    })
    .map(|postgres| {
        load.check(&url);
        drop(server);
        postgres.stop().unwrap();
    })
    .unwrap();
}

/// What the gateway says of itself while its database is away.
fn look_down(client: &Client) {
    assert_eq!(client.get("/health/live").unwrap().status, 200);
    let ready = client.get("/health/ready").unwrap();
    assert_eq!(ready.status, 503);
    assert!(ready.retry_after.is_some());
}

#[test]
fn a_gateway_that_is_told_to_stop_answers_every_request() {
    let database = TestDatabase::new();
    let url = database.url();
    let mut command = program(&url);
    command.env("HEIMDELL_DRAIN_SECONDS", "3");
    let mut server = Process::start(command);
    let (client, load) = (server.client(&url), Load::default());
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (client, load) = (client.clone(), &load);
            scope.spawn(move || load.write(writer, &client));
        }
        load.each_once_more("writes", &load.acknowledged);
        load.each_once_more("more writes", &load.acknowledged);
        load.each_once_more("yet more writes", &load.acknowledged);
        server.terminate();
        // As a balancer does: it sends nothing more once the gateway says that it is not ready.
        eventually("unreadiness", || client.get("/health/ready").unwrap().status == 503);
        load.over.store(true, Ordering::Relaxed);
    });
    assert_eq!(server.wait().code(), Some(0));
    load.check(&url);
}
