//! The program's state and the chain that every request goes through.
use std::{
    future::Future,
    io,
    panic::AssertUnwindSafe,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use actix_web::{
    Error, HttpMessage, HttpRequest, HttpResponse, Resource, Scope,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use chrono::{DateTime, Utc};
use crm_core::{clock, door::Door, sessions::tokens::Secret};
use crm_ops::traces::Tracer;
use futures_util::FutureExt;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::{
    call::RequestId,
    checks::Remembered,
    document,
    endpoint::Endpoint,
    equipment::Equipment,
    live::Live,
    metrics,
    problem::Problem,
    traced::{self, Traced},
    turns::Turns,
};

/// What every request may use.
pub struct App {
    /// The only way to the data.
    pub door: Door,
    /// Turns at the database.
    pub turns: Turns,
    /// As many turns as there are cores: a password hash takes 19 MiB and all of one core.
    pub hashes: Arc<Semaphore>,
    /// As many long files as may be written at a time.
    pub files: Arc<Semaphore>,
    /// Who listens for events.
    pub live: Arc<Live>,
    /// When the process began.
    pub started_at: DateTime<Utc>,
    /// No new work is wanted: the process is about to stop.
    pub draining: Arc<AtomicBool>,
    /// Where the program keeps its files.
    pub data_folder: PathBuf,
    /// What lets others than this machine and administrators read the metrics.
    pub metrics_token: Option<Secret>,
    /// The OpenAPI document, written out once.
    pub document: Vec<u8>,
    /// Makes spans, where traces are wanted.
    pub tracer: Option<Tracer>,
    /// Keys and the way out.
    pub equipment: Option<Equipment>,
    /// What readiness tells beside what is looked at each time.
    pub vital_checks: Remembered,
}

impl App {
    /// The state of a process that reaches its data through `door` over at most `connections`.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn new(door: Door, connections: usize, draining: Arc<AtomicBool>) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Ok(Self {
            door,
            turns: Turns::new(connections)?,
            files: Arc::new(Semaphore::new((connections / 2).max(1))),
            hashes: Arc::new(Semaphore::new(cores)),
            live: Arc::default(),
            started_at: clock::now(),
            draining,
            data_folder: PathBuf::from("."),
            metrics_token: None,
            document: document::text().into_bytes(),
            tracer: None,
            equipment: None,
            vital_checks: Remembered::default(),
        })
    }

    /// With keys and a way out.
    #[must_use]
    pub fn equipped(mut self, equipment: Equipment) -> Self {
        self.equipment = Some(equipment);
        self
    }

    /// The state, from a request.
    ///
    /// # Errors
    /// Where the program was put together without it.
    pub fn of(request: &HttpRequest) -> Result<web::Data<Self>, Error> {
        let missing = || actix_web::error::ErrorInternalServerError("the application has no state");
        request.app_data::<web::Data<Self>>().cloned().ok_or_else(missing)
    }
}

/// Mounts every endpoint; a known address under another method is a 405 that says which are known.
pub fn mount(config: &mut web::ServiceConfig, endpoints: Vec<Endpoint>) {
    let mut addresses: Vec<(&'static str, Vec<Endpoint>)> = Vec::new();
    for endpoint in endpoints {
        match addresses.iter_mut().find(|(path, _)| *path == endpoint.path) {
            Some((_, list)) => list.push(endpoint),
            None => addresses.push((endpoint.path, vec![endpoint])),
        }
    }
    // `/deals/export` before `/deals/{id}`: a place matches anything, so fixed words come first.
    addresses.sort_by_key(|(path, _)| path.split('/').map(|part| part.starts_with('{')).collect::<Vec<_>>());
    // Routers try one address after the other: those below one collection are tried only where its name fits.
    let mut collections: Vec<(String, Vec<Resource>)> = Vec::new();
    for (path, list) in addresses {
        let (collection, rest) = collection(path);
        let mut known: Vec<_> = list.iter().map(|endpoint| endpoint.method.to_string()).collect();
        if known.iter().any(|method| method == "GET") {
            known.push("HEAD".into());
        }
        let allow = known.join(", ");
        let mut resource = web::resource(rest);
        for endpoint in list {
            resource = resource.route(endpoint.route);
        }
        let resource = resource.default_service(web::to(move |request: HttpRequest| {
            let problem = Problem::method_not_allowed(&allow, &RequestId::of(&request));
            std::future::ready(problem.response())
        }));
        match collections.iter_mut().find(|(name, _)| name == collection) {
            Some((_, resources)) => resources.push(resource),
            None => collections.push((collection.to_owned(), vec![resource])),
        }
    }
    for (collection, resources) in collections {
        config.service(resources.into_iter().fold(web::scope(&collection), Scope::service));
    }
    config.default_service(web::to(|request: HttpRequest| {
        let detail = "There is nothing at this address. /docs lists all there is.";
        let problem = Problem::new(StatusCode::NOT_FOUND, "unknown_address", detail, &RequestId::of(&request));
        std::future::ready(problem.response())
    }));
}

/// `/api/deals` and `/{id}` of `/api/deals/{id}`; `/health` and nothing of `/health`.
fn collection(path: &str) -> (&str, &str) {
    let depth = if path.starts_with("/api/") { 3 } else { 2 };
    let end = path.match_indices('/').nth(depth - 1).map_or(path.len(), |(at, _)| at);
    path.split_at(end)
}

/// Goes around every request: names it, answers a panic with a problem, sets the headers that keep browsers honest,
/// and writes one line to the log. No body, no query, no token and no address of a person is in that line.
pub fn around<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Pin<Box<dyn Future<Output = Result<ServiceResponse<BoxBody>, Error>>>> {
    let id: Arc<str> = request_id(request.headers()).into();
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let app = request.app_data::<web::Data<App>>().cloned();
    let (method, path) = (request.method().clone(), request.path().to_owned());
    if method == Method::HEAD && is_docs(&path) {
        // Those pages know GET alone. The codec, which has seen the request's own method, leaves the body out.
        request.head_mut().method = Method::GET;
    }
    let mut traced = Traced::begin(app.as_ref().and_then(|app| app.tracer.as_ref()), &method, request.headers());
    let span = tracing::info_span!("request", request_id = &*id);
    let context = traced.context();
    let answer = async move {
        let began = clock::now();
        // No clone of the request may live across this call: the router takes it apart in place.
        let answered = AssertUnwindSafe(next.call(request)).catch_unwind().await;
        let is_draining = app.is_some_and(|app| app.draining.load(Ordering::Relaxed));
        let (answer, route) = match answered {
            Ok(Ok(response)) => {
                let mut response = response.map_into_boxed_body();
                dress(response.headers_mut(), &path, &id, is_draining);
                let route = response.request().match_pattern();
                (Ok(response), route)
            }
            Ok(Err(error)) => (Err(Failed::dressed(failed(&error, &id), &path, &id, is_draining)), None),
            Err(_) => {
                ::metrics::counter!("heimdell_panics_total").increment(1);
                tracing::error!(request_id = &*id, "a handler panicked");
                let detail = "Something went wrong on our side. The request id finds it in the log.";
                let problem = Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail, &id);
                (Err(Failed::dressed(problem.response(), &path, &id, is_draining)), None)
            }
        };
        let status = answer.as_ref().map_or_else(Failed::status, |response| response.status().as_u16());
        let elapsed = (clock::now() - began).to_std().unwrap_or_default();
        let milliseconds = elapsed.as_millis();
        let route = route.unwrap_or_else(|| "unknown".into());
        metrics::request(method.as_str(), &route, status, elapsed.as_secs_f64());
        traced.end(&route, status);
        let (method, trace_id) = (method.as_str(), traced.trace_id());
        tracing::info!(request_id = &*id, trace_id, method, route, status, milliseconds, "request");
        answer.map_err(Error::from)
    };
    Box::pin(traced::within(context, answer.instrument(span)))
}

/// A response that stands in for one that never came: the request that it would belong to is gone with the failure.
#[derive(Debug)]
struct Failed(std::cell::RefCell<Option<HttpResponse>>, StatusCode);

impl Failed {
    fn dressed(mut response: HttpResponse, path: &str, id: &str, is_draining: bool) -> Self {
        dress(response.headers_mut(), path, id, is_draining);
        let status = response.status();
        Self(std::cell::RefCell::new(Some(response)), status)
    }

    fn status(&self) -> u16 {
        self.1.as_u16()
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "answered {}", self.1)
    }
}

impl actix_web::ResponseError for Failed {
    fn status_code(&self) -> StatusCode {
        self.1
    }

    fn error_response(&self) -> HttpResponse {
        self.0.take().unwrap_or_else(|| HttpResponse::new(self.1))
    }
}

/// A refusal of the HTTP library itself, as a problem.
fn failed(error: &Error, id: &str) -> HttpResponse {
    let status = error.as_response_error().status_code();
    if status.is_server_error() {
        tracing::error!(request_id = id, "the HTTP layer failed: {error}");
    }
    Problem::new(status, "invalid_request", "The request could not be read.", id).response()
}

/// The longest id that a client may give its request.
const LONGEST_REQUEST_ID: usize = 128;

/// The id that the client has given its request, where it is harmless in a log, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get("x-request-id").and_then(|value| value.to_str().ok());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let plain = |id: &&str| (1..=LONGEST_REQUEST_ID).contains(&id.len()) && id.bytes().all(is_plain);
    given.filter(plain).map_or_else(|| crm_core::Id::<App>::new().to_string(), str::to_owned)
}

const HEADERS: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    ("x-frame-options", "DENY"),
];
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
const DOCS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn is_docs(path: &str) -> bool {
    path == "/docs" || path.starts_with("/docs/")
}

fn dress(headers: &mut HeaderMap, path: &str, id: &str, is_draining: bool) {
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    for (name, value) in HEADERS {
        set(name, value);
    }
    let is_docs = is_docs(path);
    set("content-security-policy", if is_docs { DOCS_POLICY } else { API_POLICY });
    if !is_docs {
        set("cache-control", "no-store");
    }
    set("x-request-id", id);
    if is_draining {
        set("connection", "close");
    }
}
