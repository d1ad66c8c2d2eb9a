//! One request, taken apart: handlers say `call.read(…)` or `call.write(…)` and get a transaction and the request.
//!
//! Nothing of the request is judged before the caller is known: a body that is no JSON, asked by nobody, is a 401. So
//! the extractor never fails; what is wrong with a request is told by the methods of [`Request`], inside the
//! transaction, in the order in which they are asked.
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    dev::Payload,
    http::{StatusCode, header},
    web::{self, Bytes, BytesMut},
};
use crm_core::{
    Error, Id, Patch, Result, Tx, clock,
    door::{Caller, ConsoleRequest},
    sessions::tokens::Secret,
};
use crm_policy::approvals;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{app::App, problem::Problem, reply::Answer, turns::while_the_database_answers};

/// The largest JSON body.
pub const LARGEST_BODY: usize = 1024 * 1024;
/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// What a handler answers.
pub type Reply = HttpResponse;

/// One request.
pub struct Call {
    app: web::Data<App>,
    caller: Caller,
    request: Request,
}

/// What a request says beside who sends it.
pub struct Request {
    places: Vec<(String, String)>,
    query: String,
    content_type: Option<String>,
    if_match: Option<String>,
    body: Result<Bytes, Refused>,
    /// Names the request.
    pub id: String,
    /// Where it comes from: the address of the client.
    pub address: String,
    /// What program sent it.
    pub user_agent: String,
    /// Does somebody send it on for another?
    pub is_forwarded: bool,
    /// Does the console send it?
    pub is_console: bool,
}

/// A body that did not arrive whole.
#[derive(Debug, Clone, Copy)]
enum Refused {
    TooLarge,
    TooSlow,
    Broken,
}

/// The id that the middleware gave the request.
#[derive(Debug, Clone)]
pub struct RequestId(pub Arc<str>);

impl RequestId {
    /// The id of a request.
    pub fn of(request: &HttpRequest) -> Arc<str> {
        request.extensions().get::<Self>().map_or_else(|| Arc::from("unknown"), |id| Arc::clone(&id.0))
    }
}

impl FromRequest for Call {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Self::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let app = App::of(&request)?;
            let body = receive(payload).await;
            Ok(Self { caller: caller(&request), request: Request::new(&request, body), app })
        })
    }
}

/// Reads a body within its limits.
async fn receive(mut payload: Payload) -> Result<Bytes, Refused> {
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Refused::Broken)?;
            if body.len() + chunk.len() > LARGEST_BODY {
                return Err(Refused::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(BODY_DEADLINE, read).await.unwrap_or(Err(Refused::TooSlow))
}

/// Who sends a request, as far as it says.
pub fn caller(request: &HttpRequest) -> Caller {
    let text = |name: header::HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
    let bearer = text(header::AUTHORIZATION)
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| Secret::new(token.trim()));
    let console = request.cookie(crate::console::COOKIE).map(|cookie| ConsoleRequest {
        cookie: Secret::new(cookie.value()),
        is_same_origin: crate::console::is_same_origin(request),
    });
    Caller { bearer, console, request_id: RequestId::of(request).to_string(), now: clock::now() }
}

impl Request {
    fn new(request: &HttpRequest, body: Result<Bytes, Refused>) -> Self {
        let text = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok()).map(str::to_owned);
        Self {
            places: request.match_info().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            query: request.query_string().to_owned(),
            content_type: text("content-type"),
            if_match: text("if-match"),
            body,
            id: RequestId::of(request).to_string(),
            address: request.peer_addr().map(|address| address.ip().to_string()).unwrap_or_default(),
            user_agent: text("user-agent").unwrap_or_default().chars().take(300).collect(),
            is_forwarded: ["forwarded", "x-forwarded-for", "x-real-ip", "via"].iter().any(|name| text(name).is_some()),
            is_console: text(crate::console::HEADER).is_some(),
        }
    }

    /// The text at a place of the address.
    pub fn place(&self, name: &str) -> &str {
        self.places.iter().find(|(place, _)| place == name).map_or("", |(_, value)| value)
    }

    /// The id at a place of the address. One that is no id at all is as good as an unknown one.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn id_at<T>(&self, name: &str) -> Result<Id<T>> {
        self.place(name).parse().map_err(|_| Error::NotFound)
    }

    /// The id at the place `id`.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn id<T>(&self) -> Result<Id<T>> {
        self.id_at("id")
    }

    /// The parameters of the query, in order.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it cannot be read.
    pub fn query(&self) -> Result<Vec<(String, String)>> {
        web::Query::<Vec<(String, String)>>::from_query(&self.query)
            .map(web::Query::into_inner)
            .map_err(|_| malformed("invalid_query", "The query cannot be read; is it percent-encoded?"))
    }

    /// The query, which may hold these parameters only, each once.
    ///
    /// # Errors
    /// [`Error::Malformed`] for another one.
    pub fn parameters<const N: usize>(&self, names: [&str; N]) -> Result<[Option<String>; N]> {
        let mut values = [const { None }; N];
        for (name, value) in self.query()? {
            let Some(at) = names.iter().position(|known| *known == name) else {
                let known = if N == 0 { "none".to_owned() } else { names.join(", ") };
                return Err(malformed(
                    "unknown_parameter",
                    format!("There is no parameter `{name}`. There are: {known}."),
                ));
            };
            if values[at].replace(value).is_some() {
                return Err(malformed("repeated_parameter", format!("`{name}` is given twice.")));
            }
        }
        Ok(values)
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is none.
    pub fn object(&self) -> Result<Map<String, Value>> {
        match serde_json::from_slice(self.json_bytes()?) {
            Ok(Value::Object(members)) => Ok(members),
            Ok(_) => Err(malformed("invalid_json", "The body must be a JSON object.")),
            Err(error) => Err(malformed("invalid_json", format!("The body is not JSON: {error}."))),
        }
    }

    /// The body as a `T`.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no JSON and for members that a `T` does not have; [`Error::Invalid`] for
    /// members that do not fit or are missing.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        self.object()?;
        let mut deserializer = serde_json::Deserializer::from_slice(self.json_bytes()?);
        serde_path_to_error::deserialize(&mut deserializer).map_err(unfit)
    }

    /// The body as a `T` beside the reason for what it asks, and the version of `If-Match`.
    ///
    /// # Errors
    /// As [`Request::json`] and [`Request::patch`].
    pub fn command<T: DeserializeOwned>(&self) -> Result<(T, Patch)> {
        let mut patch = self.patch()?;
        let members = Value::Object(std::mem::take(&mut patch.members));
        Ok((serde_path_to_error::deserialize(members).map_err(unfit)?, patch))
    }

    /// The body as a patch, with the version of `If-Match`.
    ///
    /// # Errors
    /// As [`Request::object`], and for a malformed `If-Match`.
    pub fn patch(&self) -> Result<Patch> {
        let mut patch = Patch::new(self.object()?)?;
        patch.expected = self.expected()?;
        Ok(patch)
    }

    /// The reason and version of a request whose body is optional: DELETE.
    ///
    /// # Errors
    /// As [`Request::patch`], and [`Error::Malformed`] for members other than the reason.
    pub fn reason(&self) -> Result<Patch> {
        let empty = matches!(&self.body, Ok(body) if body.is_empty());
        let mut patch = if empty { Patch::default() } else { Patch::new(self.object()?)? };
        if let Some((name, _)) = patch.members.iter().next() {
            return Err(malformed("unknown_member", format!("There is no member `{name}` here.")));
        }
        patch.expected = self.expected()?;
        Ok(patch)
    }

    /// A patch of no members with the reason that a typed body gave, and the version of `If-Match`.
    ///
    /// # Errors
    /// As [`Request::patch`].
    pub fn reason_of(&self, code: Option<String>, note: Option<String>) -> Result<Patch> {
        let given = [("reasonCode", code), ("note", note)].into_iter();
        let mut patch = Patch::new(given.map(|(name, value)| (name.to_owned(), value.into())).collect())?;
        patch.expected = self.expected()?;
        Ok(patch)
    }

    fn expected(&self) -> Result<Option<i64>> {
        let Some(text) = self.if_match.as_deref().map(str::trim).filter(|text| *text != "*") else { return Ok(None) };
        let version = text.strip_prefix("\"v").and_then(|rest| rest.strip_suffix('"')).and_then(|n| n.parse().ok());
        match version {
            Some(version) => Ok(Some(version)),
            None => Err(malformed("invalid_if_match", "`If-Match` takes the ETag of one answer, such as \"v3\".")),
        }
    }

    fn json_bytes(&self) -> Result<&Bytes> {
        let body = self.body.as_ref().map_err(|refused| match refused {
            Refused::TooLarge => malformed(TOO_LARGE, "The body is larger than 1 MiB."),
            Refused::TooSlow => malformed(TOO_SLOW, "The body took longer than 30 seconds to arrive."),
            Refused::Broken => malformed("broken_body", "The body did not arrive whole."),
        })?;
        let json = |text: &str| {
            text.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
        };
        match &self.content_type {
            Some(text) if json(text) => Ok(body),
            Some(text) => Err(malformed(UNSUPPORTED, format!("The body must be application/json, not {text}."))),
            None if body.is_empty() => Err(malformed("missing_body", "The request needs a JSON body.")),
            None => Err(malformed(UNSUPPORTED, "The body needs `Content-Type: application/json`.")),
        }
    }
}

pub(crate) const TOO_LARGE: &str = "body_too_large";
pub(crate) const TOO_SLOW: &str = "body_too_slow";
pub(crate) const UNSUPPORTED: &str = "unsupported_media_type";

/// Says which member of a body does not fit, and how.
fn unfit(error: serde_path_to_error::Error<serde_json::Error>) -> Error {
    let path = error.path().to_string();
    let said = error.into_inner().to_string();
    let said = said.split(" at line ").next().unwrap_or_default().to_owned();
    if said.starts_with("unknown field") {
        return malformed("unknown_member", format!("The body has an {said}."));
    }
    if let Some(name) = said.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        let field = if path == "." { name.to_owned() } else { format!("{path}.{name}") };
        return Error::invalid(field, "required", "Must be given.");
    }
    Error::invalid(path, "invalid_type", format!("{said}."))
}

/// A request that cannot be understood.
pub fn malformed(code: &'static str, detail: impl Into<String>) -> Error {
    Error::Malformed { code, detail: detail.into() }
}

/// A failure as a response; a few that only the transport knows have statuses of their own.
pub fn refuse(error: Error, request_id: &str) -> HttpResponse {
    let status = match error.code() {
        TOO_LARGE => Some(StatusCode::PAYLOAD_TOO_LARGE),
        TOO_SLOW => Some(StatusCode::REQUEST_TIMEOUT),
        UNSUPPORTED => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        approvals::EXPIRED => Some(StatusCode::GONE),
        _ => None,
    };
    match status {
        Some(status) => Problem::new(status, error.code(), error.to_string(), request_id).response(),
        None => Problem::of(error, request_id).response(),
    }
}

impl Call {
    /// The program's state.
    pub fn app(&self) -> &web::Data<App> {
        &self.app
    }

    /// The parts, for a handler that answers in a way of its own.
    pub fn into_parts(self) -> (web::Data<App>, Caller, Request) {
        (self.app, self.caller, self.request)
    }

    /// Answers from a read: one connection, no transaction, the caller authenticated on it first.
    pub async fn read(self, work: impl FnOnce(&mut Tx<'_>, &Request) -> Result<Answer> + Send + 'static) -> Reply {
        self.run(move |app, caller, request| app.door.read(caller, |tx| work(tx, request))).await
    }

    /// Answers from one transaction, committed when `work` succeeds and undone otherwise.
    pub async fn write(self, work: impl FnOnce(&mut Tx<'_>, &Request) -> Result<Answer> + Send + 'static) -> Reply {
        self.run(move |app, caller, request| app.door.write(caller, |tx| work(tx, request))).await
    }

    /// As [`Call::write`], of one record through its own command: what somebody else has to approve first is kept as a
    /// request for approval, in a transaction of its own, and answered with 202.
    pub async fn propose(self, work: impl FnOnce(&mut Tx<'_>, &Request) -> Result<Answer> + Send + 'static) -> Reply {
        self.run(move |app, caller, request| match app.door.write(caller, |tx| work(tx, request)) {
            Err(Error::NeedsApproval(proposal)) => app.door.write(caller, |tx| {
                let body = request.object().unwrap_or_default();
                crate::routes::approvals::waiting(&approvals::request(tx, *proposal, body)?, tx)
            }),
            done => done,
        })
        .await
    }

    /// Answers a request of nobody in particular: signing in.
    pub async fn open(self, work: impl FnOnce(&App, &Caller, &Request) -> Result<Answer> + Send + 'static) -> Reply {
        self.run(work).await
    }

    /// Answers with the caller and the program at hand, for what is neither a plain read nor a plain write.
    pub async fn run(self, work: impl FnOnce(&App, &Caller, &Request) -> Result<Answer> + Send + 'static) -> Reply {
        let Self { app, caller, request } = self;
        let id = request.id.clone();
        match turn(&app, move |app| work(app, &caller, &request)).await {
            Ok(answer) => answer.response(),
            Err(error) => refuse(error, &id),
        }
    }
}

/// Runs `work` on a blocking thread when a connection is likely to be free. Requests wait here, where waiting costs
/// nothing, and not as blocked threads.
///
/// # Errors
/// [`Error::Unavailable`] when the turn does not come in time, [`Error::Internal`] when `work` panics.
pub async fn turn<T: Send + 'static>(
    app: &web::Data<App>,
    work: impl FnOnce(&App) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (at, span) = (app.clone(), tracing::Span::current());
    let done = app.turns.take(move || span.in_scope(|| work(&at)));
    while_the_database_answers(app.door.database(), done).await?
}
