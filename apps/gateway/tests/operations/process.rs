//! The program says what is wrong when it cannot start, and that it is about to end.
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    time::Duration,
};

use crm_core::{
    clock,
    testing::{Person, TestDatabase, TestOrganization},
};
use serde_json::Value;

use super::kit::{PROGRAM, Process, refused};

fn program(database: &TestDatabase) -> Command {
    super::kit::program(&database.url())
}

/// The status of an answer.
fn get(address: &str, path: &str) -> u16 {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    agent.get(format!("http://{address}{path}")).call().unwrap().status().as_u16()
}

#[test]
fn a_server_that_is_asked_to_stop_says_so_before_it_does() {
    let database = TestDatabase::new();
    let mut server = Process::start(program(&database));
    assert_eq!(get(&server.address, "/health/ready"), 200);
    server.terminate();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(get(&server.address, "/health/ready"), 503, "a balancer must see that it wants no more");
    assert_eq!(get(&server.address, "/health/live"), 200);
    assert!(server.wait().success());
}

#[test]
fn what_keeps_it_from_starting_is_said_with_the_remedy() {
    let database = TestDatabase::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = program(&database);
    command.args(["serve", "--port", &taken.local_addr().unwrap().port().to_string()]);
    let said = refused(&mut command);
    assert!(said.contains("in use by another program") && said.contains("--port"), "{said}");

    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .arg("serve")
        .env_clear()
        .env("HEIMDELL_HOME", home.path())
        .env("HEIMDELL_PG_BIN", home.path().join("nowhere"));
    let said = refused(&mut command);
    assert!(said.contains("PostgreSQL") && said.contains("HEIMDELL_PG_BIN"), "{said}");
    assert!(said.lines().count() < 40, "more than a screen: {said}");

    let mut command = Command::new(PROGRAM);
    command.arg("migrate").env("DATABASE_URL", "postgres://nobody:secret@127.0.0.1:1/none");
    let said = refused(&mut command);
    assert!(!said.contains("secret"), "{said}");
}

/// Adds Ada, the first user, from the shell.
fn add_ada(database: &TestDatabase, password: &str) -> Output {
    let mut command = program(database);
    command.args([
        "user",
        "create",
        "--organization",
        "Acme",
        "--email",
        "ada@acme.test",
        "--name",
        "Ada",
        "--role",
        "ADMIN",
        "--password-stdin",
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(format!("{password}\n").as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Signs Ada in: her token.
fn sign_in(server: &Process) -> String {
    let body = r#"{"email": "ada@acme.test", "password": "a long enough one"}"#;
    let url = format!("http://{}/api/auth/login", server.address);
    let reply = ureq::post(url).header("content-type", "application/json").send(body).unwrap();
    assert_eq!(reply.status().as_u16(), 200);
    let session: Value = serde_json::from_reader(reply.into_body().into_reader()).unwrap();
    session["accessToken"].as_str().unwrap().to_owned()
}

#[test]
fn the_first_user_is_made_from_the_shell_and_signs_in() {
    let database = TestDatabase::new();
    let weak = add_ada(&database, "short");
    assert!(!weak.status.success());
    assert!(String::from_utf8_lossy(&weak.stderr).contains("12"), "{weak:?}");
    for said in ["is added", "was there already"] {
        let done = add_ada(&database, "a long enough one");
        assert!(String::from_utf8_lossy(&done.stdout).contains(said), "{done:?}");
    }
    sign_in(&Process::start(program(&database)));
}

/// How many rows the file has that is imported while the program dies.
const ROWS: i64 = 2_000;

/// Uploads a file of deals: where the import is found.
fn upload(server: &Process, token: &str) -> String {
    let rows: String = (1..=ROWS).map(|row| format!("D-{row},Deal {row},{row}\r\n")).collect();
    let parts = [("entityType", "deal"), ("mapping", r#"{"id": "externalId", "deal": "title", "value": "value"}"#)];
    let mut body: String = parts
        .iter()
        .map(|(name, text)| format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n"))
        .collect();
    body += "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"deals.csv\"\r\n\r\n";
    body += &format!("id,deal,value\r\n{rows}\r\n--x--\r\n");
    let request = ureq::post(format!("http://{}/api/imports", server.address))
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "multipart/form-data; boundary=x");
    let reply = request.send(body.as_bytes()).unwrap();
    reply.headers()["location"].to_str().unwrap().to_owned()
}

/// The import once it meets a condition.
fn once(server: &Process, token: &str, import: &str, is_met: impl Fn(&Value) -> bool) -> Value {
    for _ in 0..1_200 {
        let request = ureq::get(format!("http://{}{import}", server.address));
        let reply = request.header("authorization", format!("Bearer {token}")).call().unwrap();
        let found: Value = serde_json::from_reader(reply.into_body().into_reader()).unwrap();
        if is_met(&found["import"]) {
            return found["import"].clone();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the import does not get there");
}

#[test]
fn an_import_goes_on_after_the_program_was_killed_and_each_row_lands_once() {
    let database = TestDatabase::new();
    assert!(add_ada(&database, "a long enough one").status.success());
    let server = Process::start(program(&database));
    let token = sign_in(&server);
    let import = upload(&server, &token);
    once(&server, &token, &import, |import| import["rowsDone"].as_i64() > Some(0));
    drop(server);
    let count = |rows: &str| -> i64 {
        let query = diesel::dsl::sql::<diesel::sql_types::BigInt>(&format!("SELECT {rows}"));
        diesel::RunQueryDsl::get_result(query, &mut database.connect()).unwrap()
    };
    let landed = count("count(*) FROM deals");
    assert!((1..ROWS).contains(&landed), "it died before the first row or after the last one: {landed}");

    let again = Process::start(program(&database));
    let ended = once(&again, &token, &import, |import| import["status"] == "completed");
    assert_eq!(
        [&ended["created"], &ended["failed"], &ended["rowsDone"]].map(Value::as_i64),
        [Some(ROWS), Some(0), Some(ROWS)]
    );
    assert_eq!([count("count(*) FROM deals"), count("count(DISTINCT external_id) FROM deals")], [ROWS; 2]);
    assert_eq!(count("count(*) FROM import_rows WHERE outcome = 'created'"), ROWS);
}

#[test]
fn open_event_streams_do_not_keep_a_process_from_ending() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let signed_in = Person::sign_in(&acme.door, &acme.rep.email, clock::now()).unwrap();
    let token = signed_in.caller.bearer.unwrap();
    let mut server = Process::start(program(&database));
    let mut stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", token.expose()).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.by_ref().any(|line| line.starts_with("id: ")), "the stream does not begin");
    server.terminate();
    assert!(lines.last().is_some(), "it is ended in order, and not cut off");
    assert!(server.wait().success());
}

#[test]
fn each_line_of_the_log_names_its_request_and_nobody() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let mut command = program(&database);
    command
        .env("HEIMDELL_LOG_FORMAT", "json")
        .env("HEIMDELL_LOG", "warn,gateway=debug,crm_core=debug,crm_policy=debug");
    command.args(["serve", "--port", "0", "--no-workers"]).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let began = lines.by_ref().find(|line| line.contains("listening on")).expect("the server did not start");
    let began: serde_json::Value = serde_json::from_str(&began).unwrap();
    let address = began["message"].as_str().unwrap().rsplit("http://").next().unwrap().to_owned();
    let rest = std::thread::spawn(move || lines.collect::<Vec<_>>());
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let post = |path: &str, token: Option<&str>, body: &str| {
        let request = agent.post(format!("http://{address}{path}")).header("content-type", "application/json");
        let request = request.header("x-request-id", "canary-request-1");
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        request.send(body).unwrap().status().as_u16()
    };
    let grant = Person::sign_in(&acme.door, &acme.admin.email, crm_core::clock::now()).unwrap();
    let token = grant.caller.bearer.unwrap().expose().to_owned();
    assert_eq!(post("/api/leads", Some(&token), r#"{"lastName": "Canarywoman", "email": "canary@bird.test"}"#), 201);
    assert_eq!(post("/api/leads?q=canarysearch", Some(&token), r#"{"email": "canary at bird"}"#), 422);
    assert_eq!(post("/api/auth/login", None, r#"{"email": "canary@bird.test", "password": "canary secret"}"#), 401);
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = rest.join().unwrap();
    assert!(lines.len() >= 3, "{lines:#?}");
    for line in lines {
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let id = read.get("request_id").or_else(|| read["span"].get("request_id"));
        assert_eq!(id.and_then(serde_json::Value::as_str), Some("canary-request-1"), "{line}");
        let rest = line.replace("canary-request-1", "").to_lowercase();
        assert!(!rest.contains("canary") && !rest.contains(&token.to_lowercase()), "{line}");
    }
}
