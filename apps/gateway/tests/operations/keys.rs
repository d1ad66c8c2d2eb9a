//! Keys are rotated while gateways run, the rotation is killed at any moment, and no secret is lost by it.
use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use crm_core::{
    sealed::{self, Keyring, Sealed},
    sessions::tokens::Secret,
    testing::TestDatabase,
};
use diesel::{PgConnection, QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_query, sql_types as st};
use serde_json::json;
use uuid::Uuid;

use super::kit::{Process, home, program, refused, said};

/// How many secrets there are of each kind.
const SECRETS: usize = 1_500;

fn command(database: &TestDatabase, home: &Path, arguments: &[&str]) -> Command {
    let mut command = program(&database.url());
    command.args(arguments).env("HEIMDELL_HOME", home).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn keyring(home: &Path) -> Keyring {
    Keyring::parse(fs::read_to_string(home.join("keyring")).unwrap().trim()).unwrap()
}

/// Sources with a secret and an old one, each its own, sealed with the keys of a ring.
fn seed(database: &TestDatabase, keys: &Keyring) {
    let mut connection = database.connect();
    let organization: Uuid = one(&mut connection, "SELECT id::text AS text FROM organizations").parse().unwrap();
    let rows: Vec<_> = (0..SECRETS)
        .map(|number| {
            let id = Uuid::from_u128(0x0198_0000_0000_7000_8000_0000_0000_0000 + number as u128);
            let row = sealed::row("webhook_sources.secret", organization.into(), id);
            let mut nonce = [0; 24];
            nonce[..8].copy_from_slice(&number.to_be_bytes());
            let new = keys.seal(&Secret::new(format!("new {number}")), &row, nonce).unwrap();
            nonce[23] = 1;
            let old = keys.seal(&Secret::new(format!("old {number}")), &row, nonce).unwrap();
            format!(
                "('{organization}', '{id}', 'source {number}', true, '{}', '{}', now(), now())",
                new.as_stored(),
                old.as_stored()
            )
        })
        .collect();
    let insert = "INSERT INTO webhook_sources (organization_id, id, name, is_active, secret, old_secret, created_at, updated_at)";
    connection.batch_execute(&format!("{insert} VALUES {}", rows.join(", "))).unwrap();
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = st::Text)]
    text: String,
}

fn one(connection: &mut PgConnection, query: &str) -> String {
    sql_query(query).get_result::<Line>(connection).unwrap().text
}

/// How many secrets of the seed are sealed with a key.
fn sealed_with(database: &TestDatabase, key: &str) -> usize {
    let query = format!(
        "SELECT (count(*) FILTER (WHERE secret LIKE 'v1.{key}.%') + count(*) FILTER (WHERE old_secret LIKE 'v1.{key}.%'))::text \
         AS text FROM webhook_sources WHERE name LIKE 'source %'"
    );
    one(&mut database.connect(), &query).parse().unwrap()
}

/// Opens every secret of the seed, and compares it with what it was.
fn all_are_there(database: &TestDatabase, keys: &Keyring) {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = st::Uuid)]
        organization_id: Uuid,
        #[diesel(sql_type = st::Uuid)]
        id: Uuid,
        #[diesel(sql_type = st::Text)]
        name: String,
        #[diesel(sql_type = st::Text)]
        secret: String,
        #[diesel(sql_type = st::Text)]
        old_secret: String,
    }
    let rows: Vec<Row> = sql_query(
        "SELECT organization_id, id, name, secret, old_secret FROM webhook_sources WHERE name LIKE 'source %'",
    )
    .load(&mut database.connect())
    .unwrap();
    assert_eq!(rows.len(), SECRETS);
    for row in rows {
        let bound = sealed::row("webhook_sources.secret", row.organization_id.into(), row.id);
        let open = |text: String| keys.open(&Sealed::stored(text), &bound).unwrap().expose().to_owned();
        assert_eq!(open(row.secret), row.name.replace("source", "new"));
        assert_eq!(open(row.old_secret), row.name.replace("source", "old"));
    }
}

#[test]
fn a_rotation_that_is_killed_goes_on_and_loses_no_secret() {
    let (database, home) = (TestDatabase::new(), home());
    let mut serve = program(&database.url());
    serve.env("HEIMDELL_HOME", home.path());
    let gateway = Process::start(serve);
    let client = gateway.client(&database.url());
    let made = client.post("/api/webhooks/sources", &json!({"name": "mail"})).unwrap();
    assert_eq!(made.status, 201, "{made:?}");
    seed(&database, &keyring(home.path()));
    let [first] = keyring(home.path()).ids().try_into().unwrap();
    assert_eq!(sealed_with(&database, &first), 2 * SECRETS);
    // How many are sealed with another key than the first one.
    let anew = || 2 * SECRETS - sealed_with(&database, &first);

    let (mut kills, mut in_the_middle) = (0, 0);
    loop {
        let mut child = command(&database, home.path(), &["keys", "rotate"]).spawn().unwrap();
        let before = anew();
        // Each time it is killed a little later: before the key is made, after, and in the middle of the work.
        thread::sleep(Duration::from_millis(100 + 40 * kills % 800));
        while kills >= 8 && child.try_wait().unwrap().is_none() && anew() <= before {
            thread::sleep(Duration::from_millis(1));
        }
        let ended = child.try_wait().unwrap();
        drop(child.kill());
        child.wait().unwrap();
        all_are_there(&database, &keyring(home.path()));
        assert!(ended.is_none_or(|status| status.success()));
        // Killed after its last batch, it has nothing left to do.
        if ended.is_some() || anew() == 2 * SECRETS {
            break;
        }
        kills += 1;
        in_the_middle += usize::from((1..2 * SECRETS).contains(&anew()));
    }
    println!("{kills} kills, {in_the_middle} of them in the middle");
    assert!(in_the_middle > 0, "it was never killed in the middle");
    let ids = keyring(home.path()).ids();
    assert_eq!((ids.len(), &ids[1]), (2, &first), "no kill made another key");
    let new = &ids[0];
    assert_eq!((sealed_with(&database, new), sealed_with(&database, &first)), (2 * SECRETS, 0));

    // The gateway, which was started with the old key, seals with the new one and opens what is sealed with it.
    let id = made.body["webhookSource"]["id"].as_str().unwrap().to_owned();
    let renewed = client.post(&format!("/api/webhooks/sources/{id}/renew-secret"), &json!({})).unwrap();
    assert_eq!(renewed.status, 200, "{renewed:?}");
    let stored = format!(
        "SELECT split_part(secret, '.', 2) || split_part(old_secret, '.', 2) AS text FROM webhook_sources WHERE id = '{id}'"
    );
    assert_eq!(one(&mut database.connect(), &stored), format!("{new}{new}"));

    let told = said(&mut command(&database, home.path(), &["keys", "forget"]));
    assert!(told.contains(&format!("Forgotten: {first}")), "{told}");
    assert_eq!(keyring(home.path()).ids(), std::slice::from_ref(new));
    all_are_there(&database, &keyring(home.path()));
    assert!(said(&mut command(&database, home.path(), &["keys", "forget"])).contains("There is no old key"));
}

#[test]
fn old_keys_are_kept_while_anything_is_sealed_with_them() {
    let (database, home) = (TestDatabase::new(), home());
    crm_core::testing::TestOrganization::new(&database, "acme");
    let told = said(&mut command(&database, home.path(), &["keys", "rotate"]));
    assert!(told.contains("0 secrets"), "{told}");
    let digits = |ring: String| ring.trim().to_owned();
    let ring = digits(fs::read_to_string(home.path().join("keyring")).unwrap());
    let [new, old] = ring.split(',').collect::<Vec<_>>().try_into().unwrap();
    let [new_id, old_id] = [new, old].map(|entry| entry.split(':').next().unwrap());
    assert!(told.contains(new_id), "{told}");
    seed(&database, &Keyring::parse(&format!("{old},{new}")).unwrap());
    let complaint = refused(&mut command(&database, home.path(), &["keys", "forget"]));
    assert!(complaint.contains(&format!("3000 secrets are sealed with the key {old_id}")), "{complaint}");
    assert!(complaint.contains("Run `heimdell keys rotate`") && !complaint.contains("renew"), "{complaint}");
    assert_eq!(digits(fs::read_to_string(home.path().join("keyring")).unwrap()), ring);

    // The same keys in the settings: nothing can be made or thrown away there, and the rest is the same.
    let settings = |keyring: &str, what: &str| {
        let mut command = command(&database, home.path(), &["keys", what]);
        command.env("HEIMDELL_KEYRING", keyring);
        command
    };
    let complaint = refused(&mut settings(old, "rotate"));
    assert!(complaint.contains("openssl rand -hex 32") && !complaint.contains(&old[old_id.len() + 1..]), "{complaint}");
    let complaint = refused(&mut settings(new, "forget"));
    assert!(complaint.contains("3000 secrets") && complaint.contains("3000 in webhook_sources"), "{complaint}");
    // A key that only has the name of the lost one opens nothing either.
    let namesake = format!("{new},{old_id}:{}", "77".repeat(32));
    let complaint = refused(&mut settings(&namesake, "forget"));
    assert!(complaint.contains("3000 in webhook_sources") && complaint.contains("renew-secret"), "{complaint}");
    let complaint = refused(&mut settings(&format!("{ring},{}", &namesake[new.len() + 1..]), "rotate"));
    assert!(complaint.contains("one id to different keys"), "{complaint}");
    assert!(
        said(&mut settings(&ring, "rotate")).contains(&format!("3000 secrets were sealed anew with the key {new_id}"))
    );
    assert!(said(&mut settings(&ring, "forget")).contains("take it out of HEIMDELL_KEYRING"));
    all_are_there(&database, &Keyring::parse(new).unwrap());

    // A key that nobody has.
    let lost = format!("k9:{}", "99".repeat(32));
    let complaint = refused(&mut settings(&format!("{lost},{lost}"), "rotate"));
    assert!(complaint.contains("one key"), "{complaint}");
    let complaint = refused(&mut settings(&format!("{lost},{old}"), "rotate"));
    assert!(complaint.contains(&format!("3000 secrets are sealed with the key {new_id}")), "{complaint}");
    all_are_there(&database, &Keyring::parse(new).unwrap());
}

#[test]
fn a_key_that_took_the_name_of_another_is_found_by_what_it_does_not_open() {
    let (database, home) = (TestDatabase::new(), home());
    let key = |digits: &str| format!("k1:{}", digits.repeat(32));
    let with = |ring: &str, arguments: &[&str]| {
        let mut command = command(&database, home.path(), arguments);
        command.env("HEIMDELL_KEYRING", ring);
        command
    };
    let gateway = Process::start(with(&key("11"), &[]));
    let client = gateway.client(&database.url());
    assert_eq!(client.post("/api/webhooks/sources", &json!({"name": "mail"})).unwrap().status, 201);
    drop(gateway);
    let doctor = |ring: &str| {
        let output = with(ring, &["doctor", "--json", "--port", "0"]).output().unwrap();
        let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        let found = found.into_iter().find(|checkup| checkup["check"] == "sealing_keys").unwrap();
        (found["state"].as_str().unwrap().to_owned(), found["finding"].as_str().unwrap().to_owned())
    };
    assert_eq!(doctor(&key("11")), ("ok".into(), "1 secrets are sealed with the key k1".into()));
    assert_eq!(doctor(&key("22")), ("error".into(), "no key of the keyring opens 1 in webhook_sources".into()));
}

#[test]
fn lost_secrets_are_mended_by_renewing_them() {
    let (database, old_home, new_home) = (TestDatabase::new(), home(), home());
    let folder = tempfile::tempdir().unwrap();
    let serve = |home: &Path| {
        let mut serve = program(&database.url());
        serve.env("HEIMDELL_HOME", home);
        Process::start(serve)
    };
    let gateway = serve(old_home.path());
    let client = gateway.client(&database.url());
    let made = client.post("/api/webhooks/sources", &json!({"name": "mail"})).unwrap();
    let id = made.body["webhookSource"]["id"].as_str().unwrap().to_owned();
    let worker = "INSERT INTO workers (id, host, pid, program_version, queues, started_at, heartbeat_at) \
                  VALUES (gen_random_uuid(), 'elsewhere', 1, '0', '[]', now(), now())";
    database.connect().batch_execute(worker).unwrap();
    said(command(&database, old_home.path(), &["backup"]).env("HEIMDELL_BACKUPS", folder.path()));
    drop(gateway);
    let [lost] = keyring(old_home.path()).ids().try_into().unwrap();
    let dump = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let dump = { dump }.find(|path| path.extension().is_some_and(|end| end == "dump")).unwrap();

    // Into a home without the keyring; the workers of the backup's time are gone.
    let restore = |home: &Path| {
        let told = said(&mut command(&database, home, &["restore", dump.to_str().unwrap(), "--replace", "--yes"]));
        let kept = told.split("drop database ").nth(1).unwrap().split(';').next().unwrap().to_owned();
        database.connect().batch_execute(&format!("drop database {kept}")).unwrap();
        told
    };
    let told = restore(new_home.path());
    assert!(told.contains(&format!("the keyring here lacks: {lost}.")), "{told}");
    assert_eq!(one(&mut database.connect(), "SELECT count(*)::text AS text FROM workers"), "0");
    assert!(!restore(old_home.path()).contains("WARNING"), "there is its keyring");

    let gateway = serve(new_home.path());
    let client = gateway.signed_in();
    let [own] = keyring(new_home.path()).ids().try_into().unwrap();
    assert_ne!(own, lost);
    let doctor = || {
        let output = command(&database, new_home.path(), &["doctor", "--json", "--port", "0"]).output().unwrap();
        let found: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).unwrap();
        found.iter().find(|checkup| checkup["check"] == "sealing_keys").unwrap()["finding"].as_str().unwrap().to_owned()
    };
    assert!(doctor().contains(&format!("not in the keyring: 1 secrets with the key {lost}")), "{}", doctor());
    let complaint = refused(&mut command(&database, new_home.path(), &["keys", "forget"]));
    assert!(complaint.contains("1 in webhook_sources"), "{complaint}");

    let renewed = client.post(&format!("/api/webhooks/sources/{id}/renew-secret"), &json!({})).unwrap();
    assert_eq!(renewed.status, 200, "{renewed:?}");
    assert!(doctor().contains(&format!("1 secrets are sealed with the key {own}")), "{}", doctor());
    said(&mut command(&database, new_home.path(), &["keys", "forget"]));
}
