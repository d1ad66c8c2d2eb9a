//! Backup, drop, restore: what comes back is what was there, and whatever goes wrong loses nothing.
use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crm_core::{
    Door, clock,
    gate::Roles,
    testing::{TestDatabase, TestOrganization},
};
use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types as st,
};
use gateway::demo::{self, Scale};
use serde_json::Value;

use super::kit::{PROGRAM, program, refused, said};

/// A database with a year of work in it, and beside it the folder of its backups.
pub(crate) struct Ground {
    pub(crate) database: TestDatabase,
    folder: tempfile::TempDir,
}

#[derive(QueryableByName)]
struct Text {
    #[diesel(sql_type = st::Text)]
    text: String,
}

fn texts(connection: &mut PgConnection, query: &str) -> Vec<String> {
    let rows: Vec<Text> = sql_query(query).load(connection).unwrap_or_else(|error| panic!("{query}: {error}"));
    rows.into_iter().map(|row| row.text).collect()
}

impl Ground {
    /// The demo organization and a second one.
    fn worked() -> Self {
        let ground = Self::founded();
        let door = Door::new(ground.database.open().unwrap(), Arc::new(Roles));
        demo::fill(&door, clock::now(), Scale::TENTH, |_| {}).unwrap();
        ground
    }

    /// A small organization.
    pub(crate) fn founded() -> Self {
        let database = TestDatabase::new();
        TestOrganization::new(&database, "globex");
        Self { database, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(&self.database.url());
        command.args(arguments).env("HEIMDELL_BACKUPS", self.folder.path());
        command
    }

    /// Makes a backup; the path of its dump.
    pub(crate) fn back_up(&self) -> PathBuf {
        said(&mut self.command(&["backup"]));
        self.dumps().pop().unwrap()
    }

    fn dumps(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let mut dumps: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "dump")).collect();
        dumps.sort();
        dumps
    }

    fn server(&self) -> PgConnection {
        PgConnection::establish(&self.database.url().replace(self.database.name(), "postgres")).unwrap()
    }

    /// The databases of the server whose name has this in it.
    fn databases(&self, part: &str) -> Vec<String> {
        texts(
            &mut self.server(),
            &format!("select datname::text as text from pg_database where datname like '%{part}%'"),
        )
    }

    /// Drops the databases that were kept when another took their place.
    pub(crate) fn forget_what_was_replaced(&self) {
        for kept in self.databases(&format!("{}_before_", self.database.name())) {
            self.server().batch_execute(&format!("drop database {kept}")).unwrap();
        }
    }

    /// What stands in every table, summed in a way of the test's own.
    fn content(&self) -> BTreeMap<String, String> {
        let mut connection = self.database.connect();
        let tables =
            texts(&mut connection, "select tablename::text as text from pg_tables where schemaname = 'public'");
        let sum = |table: String| {
            let rows =
                format!("select md5(string_agg(x::text, chr(10) order by x::text)) || count(*) as sum from {table} x");
            let sum =
                texts(&mut connection, &format!("select coalesce(sum, 'nothing') as text from ({rows}) y")).remove(0);
            (table, sum)
        };
        tables.into_iter().map(sum).collect()
    }

    pub(crate) fn restore(&self, dump: &Path, more: &[&str]) -> Command {
        let mut command = self.command(&["restore", dump.to_str().unwrap()]);
        command.args(more);
        command
    }
}

fn manifest(dump: &Path) -> Value {
    serde_json::from_slice(&fs::read(dump.with_extension("json")).unwrap()).unwrap()
}

/// Writes a manifest anew, changed.
fn forge(dump: &Path, change: impl Fn(&mut Value)) {
    let mut manifest = manifest(dump);
    change(&mut manifest);
    fs::write(dump.with_extension("json"), manifest.to_string()).unwrap();
}

#[test]
fn what_was_backed_up_comes_back_after_the_database_is_gone() {
    let ground = Ground::worked();
    let before = ground.content();
    let dump = ground.back_up();
    for file in [dump.clone(), dump.with_extension("json")] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let told = manifest(&dump);
    assert_eq!(told["programVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(told["size"], fs::metadata(&dump).unwrap().len());
    assert_eq!(told["sealingKeys"], serde_json::json!({"included": false, "needed": []}));
    let rows =
        |table: &str| told["tables"].as_array().unwrap().iter().find(|t| t["name"] == table).unwrap()["rows"].clone();
    let leads = texts(&mut ground.database.connect(), "select count(*)::text as text from leads").remove(0);
    assert_eq!(rows("public.leads").to_string(), leads);

    ground.server().batch_execute(&format!("drop database {} with (force)", ground.database.name())).unwrap();
    let said = said(&mut ground.restore(&dump, &[]));
    assert!(said.contains("is restored"), "{said}");
    assert_eq!(ground.content(), before);
}

#[test]
fn the_manifest_names_the_keys_of_the_keyring_alone() {
    let ground = Ground::founded();
    let sealed = |key: &str| format!("v1.{key}.{}.{}", "A".repeat(32), "B".repeat(40));
    ground
        .database
        .connect()
        .batch_execute(&format!(
            "insert into idempotency_keys (organization_id, id, fingerprint, answer, created_at) \
             select id, gen_random_uuid(), '', '{}', now() from organizations; \
             insert into webhook_sources (organization_id, id, name, is_active, secret, old_secret, created_at, updated_at) \
             select id, gen_random_uuid(), 'mail', true, '{}', '{}', now(), now() from organizations",
            sealed("request"),
            sealed("k2"),
            sealed("k1"),
        ))
        .unwrap();
    let told = manifest(&ground.back_up());
    // Kept answers are sealed with the request that they answer: no key is needed for them, and none would help.
    assert_eq!(told["sealingKeys"], serde_json::json!({"included": false, "needed": ["k1", "k2"]}));
    let kept = told["tables"].as_array().unwrap().iter().find(|table| table["name"] == "public.idempotency_keys");
    assert_eq!(kept.unwrap()["rows"], 1, "the rows themselves are in the backup");
}

#[test]
fn a_backup_under_load_is_whole_and_old_ones_go() {
    let ground = Ground::founded();
    ground.back_up();
    let over = AtomicBool::new(false);
    let proved = thread::scope(|scope| {
        scope.spawn(|| {
            let mut connection = ground.database.connect();
            let insert = "insert into login_attempts select * from login_attempts where false";
            connection
                .batch_execute("create table written (id serial primary key, at timestamptz default now())")
                .unwrap();
            while !over.load(Ordering::Relaxed) {
                connection.batch_execute(insert).unwrap();
                connection
                    .batch_execute("insert into written default values; delete from written where id % 3 = 0")
                    .unwrap();
            }
        });
        let proved = said(&mut ground.command(&["backup", "--verify", "--keep", "1"]));
        over.store(true, Ordering::Relaxed);
        proved
    });
    assert!(proved.contains("is good") && proved.contains("1 field histories"), "{proved}");
    assert!(proved.contains("is removed"), "{proved}");
    assert_eq!(ground.dumps().len(), 1);
}

#[test]
fn the_last_backup_that_is_known_to_be_good_stays() {
    let ground = Ground::founded();
    let older = ground.back_up();
    said(&mut ground.command(&["backup", "--verify", older.to_str().unwrap()]));
    said(&mut ground.command(&["backup", "--verify"]));
    let good = ground.dumps().pop().unwrap();
    for _ in 0..2 {
        said(&mut ground.command(&["backup", "--keep", "1"]));
        let [first, last] = ground.dumps().try_into().unwrap();
        assert!(first == good && last > good, "{first:?} and {last:?}");
    }
    said(&mut ground.command(&["backup", "--verify", "--keep", "1"]));
    assert!(ground.dumps().len() == 1 && !good.exists(), "a later one is known to be good");
}

#[test]
fn a_database_in_use_is_replaced_only_on_demand_and_kept() {
    let ground = Ground::founded();
    let (before, dump) = (ground.content(), ground.back_up());
    ground.database.connect().batch_execute("update organizations set name = 'Renamed'").unwrap();
    let later = ground.content();
    let complaint = refused(&mut ground.restore(&dump, &[]));
    assert!(complaint.contains("--replace"), "{complaint}");
    let complaint = refused(&mut ground.restore(&dump, &["--replace"]));
    assert!(complaint.contains("--yes"), "{complaint}");
    assert_eq!(ground.content(), later);

    // Somebody is connected meanwhile, and is disconnected.
    let mut connected = ground.database.connect();
    let said = said(&mut ground.restore(&dump, &["--replace", "--yes"]));
    assert!(connected.batch_execute("select 1").is_err());
    assert_eq!(ground.content(), before);
    let [kept] = ground.databases(&format!("{}_before_", ground.database.name())).try_into().unwrap();
    assert!(said.contains(&kept), "{said}");
    let mut old = PgConnection::establish(&ground.database.url().replace(ground.database.name(), &kept)).unwrap();
    assert_eq!(texts(&mut old, "select name as text from organizations"), ["Renamed"]);
    drop(old);
    ground.server().batch_execute(&format!("drop database {kept}")).unwrap();
}

#[test]
fn a_bad_backup_is_refused_and_nothing_is_lost() {
    let ground = Ground::founded();
    let dump = ground.back_up();
    let before = ground.content();
    let good = (fs::read(&dump).unwrap(), fs::read(dump.with_extension("json")).unwrap());
    let cases: [(&str, &dyn Fn()); 7] = [
        ("bytes instead of", &|| fs::write(&dump, &good.0[..good.0.len() - 1]).unwrap()),
        ("checksum", &|| {
            let mut flipped = good.0.clone();
            let middle = flipped.len() / 2;
            flipped[middle] ^= 1;
            fs::write(&dump, flipped).unwrap();
        }),
        ("is missing", &|| fs::remove_file(dump.with_extension("json")).unwrap()),
        ("no manifest", &|| fs::write(dump.with_extension("json"), "{").unwrap()),
        ("format", &|| forge(&dump, |manifest| manifest["format"] = 2.into())),
        ("newer than this program", &|| forge(&dump, |manifest| manifest["schemaVersion"] = "99990101000000".into())),
        ("public.users holds 3 rows instead of 4", &|| {
            forge(&dump, |manifest| {
                let tables = manifest["tables"].as_array_mut().unwrap();
                tables.iter_mut().find(|table| table["name"] == "public.users").unwrap()["rows"] = 4.into();
            });
        }),
    ];
    for (words, spoil) in cases {
        spoil();
        for arguments in [
            vec!["restore", dump.to_str().unwrap(), "--replace", "--yes"],
            vec!["backup", "--verify", dump.to_str().unwrap()],
        ] {
            let complaint = refused(&mut ground.command(&arguments));
            assert!(complaint.contains(words), "{words}: {complaint}");
            assert_eq!(complaint.lines().filter(|line| line.starts_with("heimdell: ")).count(), 1, "{complaint}");
        }
        fs::write(&dump, &good.0).unwrap();
        fs::write(dump.with_extension("json"), &good.1).unwrap();
    }
    assert_eq!(ground.content(), before);
    assert_eq!(ground.databases(&format!("{}_before_", ground.database.name())), Vec::<String>::new());
    let verified = "select count(verified_at)::text || ' of ' || count(*) as text from backups";
    assert_eq!(texts(&mut ground.database.connect(), verified), ["0 of 1"]);
    for _ in 0..2 {
        said(&mut ground.command(&["backup", "--verify", dump.to_str().unwrap()]));
        assert_eq!(texts(&mut ground.database.connect(), verified), ["1 of 1"]);
    }
}

#[test]
fn an_older_backup_is_migrated_on_its_way_back() {
    let ground = Ground::founded();
    let migrations = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut steps: Vec<_> = fs::read_dir(migrations).unwrap().map(|entry| entry.unwrap().path()).collect();
    steps.sort();
    let undo = fs::read_to_string(steps.pop().unwrap().join("down.sql")).unwrap();
    let mut connection = ground.database.connect();
    connection.batch_execute("delete from field_history; delete from history_heads").unwrap();
    connection.batch_execute(&undo).unwrap();
    let last =
        "delete from __diesel_schema_migrations where version = (select max(version) from __diesel_schema_migrations)";
    connection.batch_execute(last).unwrap();
    drop(connection);
    let dump = ground.back_up();
    let said = said(&mut ground.restore(&dump, &["--replace", "--yes"]));
    assert!(said.contains("1 migrations were run"), "{said}");
    ground.forget_what_was_replaced();
}

#[test]
fn a_backup_of_a_broken_history_is_not_called_good() {
    let ground = Ground::founded();
    let mut connection = ground.database.connect();
    connection.batch_execute("update field_history set field_name = 'forged' where seq = 1").unwrap();
    let changed = texts(&mut connection, "select field_name as text from field_history where seq = 1");
    assert_eq!(changed, ["forged"]);
    let dump = ground.back_up();
    let complaint = refused(&mut ground.command(&["backup", "--verify", dump.to_str().unwrap()]));
    assert!(complaint.contains("broken at row 1"), "{complaint}");
}

#[test]
fn what_cannot_be_backed_up_is_said_in_one_line() {
    let ground = Ground::founded();
    ground.database.connect().batch_execute("drop schema public cascade; create schema public").unwrap();
    let mut nobody = Command::new(PROGRAM);
    nobody
        .args(["backup"])
        .env("DATABASE_URL", "postgres://nobody:s3cret@127.0.0.1:1/none")
        .env("HEIMDELL_BACKUPS", ground.folder.path());
    let mut malformed = Command::new(PROGRAM);
    malformed
        .args(["backup"])
        .env("DATABASE_URL", "postgres://nobody:s3cret@h/%zz")
        .env("HEIMDELL_BACKUPS", ground.folder.path());
    for (words, mut command) in [
        ("nothing to back up", ground.command(&["backup"])),
        ("cannot be reached", nobody),
        ("not well formed", malformed),
        ("is no file", ground.command(&["restore", "/nowhere/at/all.dump"])),
    ] {
        let complaint = refused(&mut command);
        assert!(complaint.contains(words) && !complaint.contains("s3cret"), "{complaint}");
    }
    assert_eq!(ground.dumps(), Vec::<PathBuf>::new());
    let left: Vec<_> = fs::read_dir(ground.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".lock"]);
}
