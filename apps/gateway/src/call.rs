//! One request, taken apart: handlers say `call.read(…)` or `call.write(…)` and get a transaction and the request.
//!
//! Nothing of the request is judged before the caller is known: a body that is no JSON, asked by nobody, is a 401. So
//! the extractor never fails; what is wrong with a request is told by the methods of [`Request`], inside the
//! transaction, in the order in which they are asked.
use std::{collections::HashSet, future::Future, pin::Pin, sync::Arc};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    dev::Payload,
    http::{StatusCode, header},
    web::{self, Bytes},
};
use crm_core::{
    Error, Id, Patch, Result, Tx, bodies, clock,
    door::{Caller, ConsoleRequest},
    history,
    sessions::tokens::Secret,
    spans::SpanContext,
};
use crm_policy::approvals;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{
    app::App,
    body::{self, Refused},
    idempotency::Attempt,
    problem::Problem,
    reply::Answer,
    traced,
    turns::while_the_database_answers,
};

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
    /// The last event that the client has got.
    pub last_event_id: Option<String>,
    body: Result<Bytes, Refused>,
    /// Was it sent before?
    pub attempt: Attempt,
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
            let body = body::receive(payload).await;
            Ok(Self { caller: caller(&request), request: Request::new(&request, body), app })
        })
    }
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
        let id = RequestId::of(request).to_string();
        Self {
            places: request.match_info().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            query: request.query_string().to_owned(),
            content_type: text("content-type"),
            if_match: text("if-match"),
            last_event_id: text("last-event-id"),
            body,
            attempt: Attempt::of(request, &id),
            id,
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

    /// Does the address name this id?
    pub(crate) fn names(&self, id: &str) -> bool {
        self.places.iter().any(|(_, value)| value.eq_ignore_ascii_case(id))
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

    /// The parameters of the query, in order, each given once.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it cannot be read, or one is given twice: which of the two was meant?
    pub fn query(&self) -> Result<Vec<(String, String)>> {
        let query = web::Query::<Vec<(String, String)>>::from_query(&self.query)
            .map(web::Query::into_inner)
            .map_err(|_| malformed("invalid_query", "The query cannot be read; is it percent-encoded?"))?;
        let mut names = HashSet::new();
        match query.iter().find(|(name, _)| !names.insert(name.as_str())) {
            None => Ok(query),
            Some((name, _)) => {
                let words = "is given twice. Give it once; where it takes several values, put commas between them.";
                Err(malformed("repeated_parameter", format!("`{name}` {words}")))
            }
        }
    }

    /// The query, which may hold these parameters only.
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
            values[at] = Some(value);
        }
        Ok(values)
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it is none, or names a member twice.
    pub fn object(&self) -> Result<Map<String, Value>> {
        bodies::object(self.json_bytes()?)
    }

    /// The body as a `T`.
    ///
    /// # Errors
    /// [`Error::Malformed`] for what is no JSON and for members that a `T` does not have; [`Error::Invalid`] for
    /// members that do not fit or are missing.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        bodies::read(Value::Object(self.object()?))
    }

    /// Answers a question that the body puts as a `T`. What is wrong with the body is told together with what `work`
    /// finds; `work` sees harmless values in the place of bad ones.
    ///
    /// # Errors
    /// As [`Request::json`], and what `work` says.
    pub fn question<T: DeserializeOwned, O>(&self, work: impl FnOnce(T) -> Result<O>) -> Result<O> {
        let read = bodies::read_all(Value::Object(self.object()?))?;
        bodies::judged(read, work)
    }

    /// Does what the body asks as a `T` beside the reason for it, under the version of `If-Match`. Bad members are told
    /// as by [`Request::question`].
    ///
    /// # Errors
    /// As [`Request::json`] and [`Request::patch`], and what `work` says.
    pub fn command<T: DeserializeOwned, O>(&self, work: impl FnOnce(T, Patch) -> Result<O>) -> Result<O> {
        let mut patch = self.patch()?;
        let mut read = bodies::read_all(Value::Object(std::mem::take(&mut patch.members)))?;
        read.errors.append(&mut patch.errors);
        bodies::judged(read, |body| work(body, patch))
    }

    /// The body as a patch, with the version of `If-Match`.
    ///
    /// # Errors
    /// As [`Request::object`], and for a malformed `If-Match`.
    pub fn patch(&self) -> Result<Patch> {
        let mut patch = Patch::of_body(self.object()?);
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

    fn expected(&self) -> Result<Option<i64>> {
        let Some(text) = self.if_match.as_deref().map(str::trim).filter(|text| *text != "*") else { return Ok(None) };
        let version = text.strip_prefix("\"v").and_then(|rest| rest.strip_suffix('"')).and_then(|n| n.parse().ok());
        match version {
            Some(version) => Ok(Some(version)),
            None => Err(malformed("invalid_if_match", "`If-Match` takes the ETag of one answer, such as \"v3\".")),
        }
    }

    /// The body, byte by byte.
    ///
    /// # Errors
    /// [`Error::Malformed`] where it did not arrive whole.
    pub fn bytes(&self) -> Result<&Bytes> {
        self.body.as_ref().map_err(|refused| match refused {
            Refused::TooLarge => malformed(TOO_LARGE, "The body is larger than 1 MiB."),
            Refused::TooSlow => malformed(TOO_SLOW, "The body took longer than 30 seconds to arrive."),
            Refused::Broken => malformed("broken_body", "The body did not arrive whole."),
        })
    }

    /// Does `work` unless the same request, by its key, was done before.
    ///
    /// # Errors
    /// As [`Attempt::once`].
    pub fn once(&self, tx: &mut Tx<'_>, work: impl FnOnce(&mut Tx<'_>, &Self) -> Result<Answer>) -> Result<Answer> {
        if !self.attempt.is_keyed() {
            return work(tx, self);
        }
        self.attempt.once(tx, [self.bytes()?.as_ref()], |tx| work(tx, self))
    }

    fn json_bytes(&self) -> Result<&Bytes> {
        let body = self.bytes()?;
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

/// A request that cannot be understood.
pub fn malformed(code: &'static str, detail: impl Into<String>) -> Error {
    Error::Malformed { code, detail: detail.into() }
}

/// A failure as a response; a few that only the transport knows have statuses of their own.
pub fn refuse(error: Error, request_id: &str) -> HttpResponse {
    let status = match error.code() {
        // The first of many slips in a body says nothing about the address.
        _ if matches!(error, Error::Invalid(_)) => None,
        TOO_LARGE => Some(StatusCode::PAYLOAD_TOO_LARGE),
        TOO_SLOW => Some(StatusCode::REQUEST_TIMEOUT),
        UNSUPPORTED => Some(StatusCode::UNSUPPORTED_MEDIA_TYPE),
        history::UNKNOWN_ENTITY_TYPE | history::UNKNOWN_FIELD => Some(StatusCode::NOT_FOUND),
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

    /// Answers from a read: one connection, no transaction, the caller authenticated on it first. A POST that only reads
    /// and has a key needs a transaction to keep its answer in.
    pub async fn read(self, work: impl FnOnce(&mut Tx<'_>, &Request) -> Result<Answer> + Send + 'static) -> Reply {
        if self.request.attempt.is_keyed() {
            return self.write(work).await;
        }
        self.run(move |app, caller, request| app.door.read(caller, |tx| work(tx, request))).await
    }

    /// Answers from one transaction, committed when `work` succeeds and undone otherwise.
    pub async fn write(self, work: impl FnOnce(&mut Tx<'_>, &Request) -> Result<Answer> + Send + 'static) -> Reply {
        self.run(move |app, caller, request| app.door.write(caller, |tx| request.once(tx, work))).await
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
    let (at, span, context) = (app.clone(), tracing::Span::current(), traced::of_request());
    let done = app.turns.take(move || {
        let _entered = context.map(SpanContext::enter);
        span.in_scope(|| work(&at))
    });
    while_the_database_answers(app.door.database(), done).await?
}
