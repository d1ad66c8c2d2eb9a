//! A server of one's own to a test, and a client that signs in.
use std::{
    io::{BufRead, BufReader},
    net::TcpListener,
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::Duration,
};

use actix_web::dev::ServerHandle;
use crm_core::{
    Id,
    business_units::BusinessUnit,
    clock,
    door::Door,
    gate::{Gates, Roles},
    sealed::Keyring,
    testing::{Person, TestDatabase, TestOrganization},
    users::User,
};
use crm_ops::webhooks::{addresses::Reach, courier::Courier};
use crm_policy::PolicyGates;
use gateway::{app::App, equipment::Equipment, server};
use serde_json::Value;

/// A server over a database of its own, with an organization whose people can be asked for, and a stranger's.
pub(crate) struct Server {
    pub(crate) base: String,
    pub(crate) house: House,
    pub(crate) door: Door,
    gates: fn() -> Arc<dyn Gates>,
    handle: ServerHandle,
    agent: ureq::Agent,
    pub(crate) database: TestDatabase,
}

/// Who is there: the rep works in the unit alone, and the stranger runs another organization.
pub(crate) struct House {
    pub(crate) admin: Who,
    pub(crate) manager: Who,
    pub(crate) rep: Who,
    pub(crate) stranger: Who,
    pub(crate) unit: Id<BusinessUnit>,
    pub(crate) other_unit: Id<BusinessUnit>,
}

/// Somebody who has signed in just now.
pub(crate) struct Who {
    pub(crate) id: Id<User>,
    pub(crate) email: String,
    pub(crate) token: String,
}

/// Keys and a way out as in development.
pub(crate) fn equipment() -> Equipment {
    let keys = Keyring::parse(&format!("k1:{}", "5a".repeat(32))).unwrap();
    let courier = Courier::new(Reach { allows_http: true, allows_private: true });
    Equipment { keys: Arc::new(keys), courier: Arc::new(courier) }
}

impl Who {
    fn sign_in(door: &Door, person: &Person) -> Self {
        let now = Person::sign_in(door, &person.email, clock::now()).unwrap();
        let token = now.caller.bearer.unwrap().expose().to_owned();
        Self { id: person.id, email: person.email.clone(), token }
    }
}

/// Somebody who sends requests.
#[derive(Clone, Copy)]
pub(crate) struct Client<'s> {
    base: &'s str,
    agent: &'s ureq::Agent,
    token: Option<&'s str>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) body: Value,
}

impl Server {
    /// The three roles alone decide what is allowed.
    pub(crate) fn start() -> Self {
        Self::judged_by(|| Arc::new(Roles))
    }

    /// Policies decide, as in the program itself.
    pub(crate) fn governed() -> Self {
        Self::judged_by(|| Arc::new(PolicyGates::new()))
    }

    fn judged_by(gates: fn() -> Arc<dyn Gates>) -> Self {
        let (database, judges) = (TestDatabase::new(), gates());
        let organization = |name| TestOrganization::judged_by(&database, name, Arc::clone(&judges));
        let (own, other) = (organization("acme"), organization("globex"));
        let door = own.door.clone();
        let (base, handle, agent) = serve(&door);
        let who = |person| Who::sign_in(&door, person);
        let house = House {
            admin: who(&own.admin),
            manager: who(&own.manager),
            rep: who(&own.rep),
            stranger: who(&other.admin),
            unit: own.units[0],
            other_unit: own.units[1],
        };
        Self { base, house, door, gates, handle, agent, database }
    }

    /// Another process of the same house, as far as it shares nothing with this one but the database.
    pub(crate) fn beside(&self) -> Beside {
        let door = Door::new(self.database.open().unwrap(), (self.gates)());
        let (base, handle, agent) = serve(&door);
        Beside { base, handle, agent }
    }

    pub(crate) fn nobody(&self) -> Client<'_> {
        Client { base: &self.base, agent: &self.agent, token: None }
    }

    pub(crate) fn with<'s>(&'s self, token: &'s str) -> Client<'s> {
        Client { base: &self.base, agent: &self.agent, token: Some(token) }
    }

    pub(crate) fn admin(&self) -> Client<'_> {
        self.with(&self.house.admin.token)
    }

    pub(crate) fn manager(&self) -> Client<'_> {
        self.with(&self.house.manager.token)
    }

    pub(crate) fn rep(&self) -> Client<'_> {
        self.with(&self.house.rep.token)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

/// A second server over the database of the first.
pub(crate) struct Beside {
    base: String,
    handle: ServerHandle,
    agent: ureq::Agent,
}

impl Beside {
    pub(crate) fn with<'s>(&'s self, token: &'s str) -> Client<'s> {
        Client { base: &self.base, agent: &self.agent, token: Some(token) }
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
    }
}

/// Serves on a free port of this machine alone.
fn serve(door: &Door) -> (String, ServerHandle, ureq::Agent) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let app = App::new(door.clone(), 3, Arc::new(AtomicBool::new(false))).unwrap().equipped(equipment());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = server::build(app, listener, 1).unwrap();
            tell.send(server.handle()).unwrap();
            server.await.unwrap();
        });
    });
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .allow_non_standard_methods(true)
        .build()
        .into();
    (base, told.recv().unwrap(), agent)
}

impl<'s> Client<'s> {
    /// The same client before another gateway.
    pub(crate) fn at(self, beside: &'s Beside) -> Self {
        Self { base: &beside.base, ..self }
    }
}

impl Client<'_> {
    pub(crate) fn get(self, path: &str) -> Reply {
        self.send("GET", path, &[], None)
    }

    pub(crate) fn post(self, path: &str, body: &Value) -> Reply {
        self.send("POST", path, &[], Some(body))
    }

    pub(crate) fn patch(self, path: &str, body: &Value) -> Reply {
        self.send("PATCH", path, &[], Some(body))
    }

    pub(crate) fn put(self, path: &str, body: &Value) -> Reply {
        self.send("PUT", path, &[], Some(body))
    }

    pub(crate) fn delete(self, path: &str) -> Reply {
        self.send("DELETE", path, &[], None)
    }

    pub(crate) fn send(self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Reply {
        let text = body.map(|body| body.to_string().into_bytes());
        let kind = body.map(|_| ("content-type", "application/json"));
        let headers: Vec<_> = headers.iter().copied().chain(kind).collect();
        self.send_bytes(method, path, &headers, text.unwrap_or_default())
    }

    /// Opens a stream and reads it as it comes. One that stays silent for a minute fails the test.
    pub(crate) fn listen(self, path: &str, headers: &[(&str, &str)]) -> (u16, impl BufRead + 'static) {
        let mut request = ureq::http::Request::builder().uri(format!("{}{path}", self.base));
        let token = self.token.map(|token| ("authorization", format!("Bearer {token}")));
        for (name, value) in headers.iter().map(|(name, value)| (*name, (*value).to_owned())).chain(token) {
            request = request.header(name, value);
        }
        let request = self.agent.configure_request(request.body(()).unwrap());
        let response = self.agent.run(request.timeout_global(Some(Duration::from_secs(60))).build()).unwrap();
        (response.status().as_u16(), BufReader::new(response.into_body().into_reader()))
    }

    pub(crate) fn send_bytes(self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Reply {
        let mut request = ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let agent = self.agent;
        let mut response = match body.is_empty() {
            true => agent.run(request.body(()).unwrap()),
            false => agent.run(request.body(body).unwrap()),
        }
        .unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }
}

impl Reply {
    /// The answer's body, once its status is as expected.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// The `code` of a problem, once its status is as expected.
    #[track_caller]
    pub(crate) fn refused(self, status: u16) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let body = self.expect(status);
        assert!(body["requestId"].is_string() && body["error"] == body["detail"], "{body}");
        body["code"].as_str().unwrap().to_owned()
    }

    /// The bad fields of a 422, sorted.
    #[track_caller]
    pub(crate) fn bad_fields(self) -> Vec<String> {
        let body = self.expect(422);
        let errors = body["errors"].as_array().unwrap();
        let mut fields: Vec<_> = errors.iter().map(|e| e["field"].as_str().unwrap().to_owned()).collect();
        fields.sort();
        fields
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}
