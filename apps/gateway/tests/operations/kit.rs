//! The program as a process of its own, and a client for it.
use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_heimdell");

/// The program on the database of this URL, as nobody's settings would have it.
pub(crate) fn program(url: &str) -> Command {
    let mut command = Command::new(PROGRAM);
    command.env("DATABASE_URL", url).env("HEIMDELL_LOG", "info").env("HEIMDELL_DRAIN_SECONDS", "1");
    command.env("HEIMDELL_HOME", concat!(env!("CARGO_TARGET_TMPDIR"), "/heimdell"));
    command
}

/// A folder that the account of a private server can enter.
pub(crate) fn home() -> tempfile::TempDir {
    let home = tempfile::tempdir_in("/tmp").unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    home
}

/// What a command says, once it has ended well.
#[track_caller]
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What a command complains about, once it has failed.
#[track_caller]
pub(crate) fn refused(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// A server as a process of its own, ended with the test.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

impl Process {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.arg("serve").args(["--port", "0"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| line.split_once("listening on http://").map(|(_, rest)| rest.trim().to_owned()))
            .expect("the server did not start");
        // Somebody must go on reading, or the log fills its pipe and the server waits.
        thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    pub(crate) fn terminate(&self) {
        signal("TERM", &[self.child.id()]);
    }

    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// A client that has signed in as somebody who was made for it.
    pub(crate) fn client(&self, url: &str) -> Client {
        let mut create = program(url);
        create.args(["user", "create", "--organization", "Acme", "--email", "ada@acme.test", "--name", "Ada"]);
        let mut child = create.arg("--password-stdin").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(b"a long enough one\n").unwrap();
        assert!(child.wait().unwrap().success());
        self.signed_in()
    }

    /// A client that has signed in as who was made by [`Process::client`].
    pub(crate) fn signed_in(&self) -> Client {
        let mut client = Client { base: format!("http://{}", self.address), token: None, traceparent: None };
        let body = json!({"email": "ada@acme.test", "password": "a long enough one"});
        let answer = client.post("/api/auth/login", &body).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        client.token = Some(answer.body["accessToken"].as_str().unwrap().to_owned());
        client
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Sends a signal to processes, by their ids.
pub(crate) fn signal(name: &str, pids: &[u32]) {
    let done = Command::new("kill").arg(format!("-{name}")).args(pids.iter().map(u32::to_string)).status().unwrap();
    assert!(done.success(), "kill -{name} {pids:?}");
}

/// Waits until something holds; a test that waits in vain fails after a minute.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..1_200 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("in vain: {what}");
}

/// Somebody who sends requests.
#[derive(Clone)]
pub(crate) struct Client {
    base: String,
    token: Option<String>,
    /// The span that its requests say they come from.
    traceparent: Option<String>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    pub(crate) body: Value,
}

impl Client {
    /// Without connections that are kept: each request is accepted or not for itself.
    fn agent() -> ureq::Agent {
        let config = ureq::Agent::config_builder().http_status_as_error(false).max_idle_connections(0);
        config.timeout_global(Some(Duration::from_secs(60))).build().into()
    }

    pub(crate) fn get(&self, path: &str) -> Result<Answer, ureq::Error> {
        self.send(ureq::http::Request::get(format!("{}{path}", self.base)), Vec::new())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Answer, ureq::Error> {
        let request =
            ureq::http::Request::post(format!("{}{path}", self.base)).header("content-type", "application/json");
        self.send(request, body.to_string().into_bytes())
    }

    /// The same person at another gateway.
    pub(crate) fn at(&self, address: &str) -> Self {
        Self { base: format!("http://{address}"), ..self.clone() }
    }

    /// Sends a body of any form.
    pub(crate) fn upload(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, ureq::Error> {
        let request = ureq::http::Request::post(format!("{}{path}", self.base));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.send(request, body.to_vec())
    }

    /// The same, whose requests say that they come from this span.
    pub(crate) fn within(&self, traceparent: &str) -> Self {
        Self { traceparent: Some(traceparent.to_owned()), ..self.clone() }
    }

    /// The body of an answer that is no JSON.
    pub(crate) fn text(&self, path: &str) -> String {
        let mut response = Self::agent().get(format!("{}{path}", self.base)).call().unwrap();
        response.body_mut().read_to_string().unwrap()
    }

    fn send(&self, request: ureq::http::request::Builder, body: Vec<u8>) -> Result<Answer, ureq::Error> {
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let request = match &self.traceparent {
            Some(traceparent) => request.header("traceparent", traceparent),
            None => request,
        };
        let agent = Self::agent();
        let mut response = match body.is_empty() {
            true => agent.run(request.body(()).unwrap()),
            false => agent.run(request.body(body).unwrap()),
        }?;
        let text = response.body_mut().read_to_string()?;
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        Ok(Answer {
            status: response.status().as_u16(),
            retry_after,
            body: serde_json::from_str(&text).unwrap_or_default(),
        })
    }
}
