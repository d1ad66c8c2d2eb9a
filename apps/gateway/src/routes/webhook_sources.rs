//! Sources: who may send webhooks to us, and where they send them.
use actix_web::{HttpRequest, http::Method};
use crm_core::{Patch, Record, Result};
use crm_ops::webhooks::{
    receiving::{self, Incoming, Receipt},
    sources::{self, WebhookSource},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    equipment::keys,
    reply::Answer,
    schemas,
};

use super::webhooks::TAG;

const ALL: &str = "/api/webhooks/sources";
const ONE: &str = "/api/webhooks/sources/{id}";

/// A source with its address.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct AddressedSource {
    #[serde(flatten)]
    source: WebhookSource,
    /// Where it posts to.
    #[schema(example = "/api/webhooks/in/0199…")]
    path: String,
}

impl From<WebhookSource> for AddressedSource {
    fn from(source: WebhookSource) -> Self {
        Self { path: sources::path(source.id), source }
    }
}

/// The endpoints of sources, and the one that they post to.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let (one, many) = (WebhookSource::envelope(), WebhookSource::plural());
    let endpoints = [
        Endpoint::get(ALL, "listWebhookSources", list)
            .says(TAG, "List sources", "A page of them, without their secrets.")
            .parameters(schemas::list_parameters::<WebhookSource>())
            .lists::<AddressedSource>(&many, "One page."),
        with_secret(
            Endpoint::post(ALL, "createWebhookSource", create).says(
                TAG,
                "Create a source",
                "Its path is where it posts to; the secret that it signs with is shown this once.",
            ),
            201,
        )
        .named_schema("WebhookSourceCreate", schemas::creation::<WebhookSource>())
        .body("application/json", &schemas::reference("WebhookSourceCreate"))
        .example(&json!({"name": "Mail service"})),
        Endpoint::get(ONE, "readWebhookSource", read)
            .says(TAG, "Read a source", "With its path.")
            .answers::<AddressedSource>(200, &one, "The source."),
        Endpoint::patch(ONE, "updateWebhookSource", update)
            .says(TAG, "Change a source", "A merge patch. An inactive one is as good as none to its sender.")
            .named_schema("WebhookSourcePatch", schemas::change::<WebhookSource>())
            .body("application/json", &schemas::reference("WebhookSourcePatch"))
            .answers::<AddressedSource>(200, &one, "The source as it stands now."),
        Endpoint::delete(ONE, "deleteWebhookSource", delete)
            .says(TAG, "Delete a source", "Its messages go with it.")
            .answers_nothing("It is gone."),
        with_secret(
            Endpoint::post("/api/webhooks/sources/{id}/renew-secret", "renewWebhookSourceSecret", renew_secret).says(
                TAG,
                "Change a source's secret",
                "The new one is shown this once. For 24 hours the old one is good too.",
            ),
            200,
        ),
    ];
    let managed = endpoints.into_iter().map(|endpoint| endpoint.access(Access::Admin));
    managed.chain([receiving_endpoint()]).collect()
}

fn receiving_endpoint() -> Endpoint {
    let words = "Signed by Standard Webhooks with the source's secret, within five minutes. The same message again is \
                 answered with 200 and does nothing.";
    let text = json!({"type": "string"});
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers = headers.map(|name| schemas::parameter("header", name, true, &text, ""));
    let state = json!({"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}});
    Endpoint::custom(Method::POST, "/api/webhooks/in/{source}", "receiveWebhook", receive)
        .says(TAG, "Receive a message", words)
        .access(Access::Public)
        .fails(409)
        .parameters(headers.to_vec())
        .body(
            "application/json",
            &json!({"type": "object", "required": ["type"], "properties": {
                "type": {"type": "string", "example": "email.bounced"}, "data": {"type": "object", "additionalProperties": true}
            }}),
        )
        .answer(202, "It is stored, and is going to be processed.", Some(("application/json", state.clone())))
        .answer(200, "It is known already.", Some(("application/json", state)))
}

fn with_secret(endpoint: Endpoint, status: u16) -> Endpoint {
    super::webhooks::with_secret::<AddressedSource>(endpoint, status, &WebhookSource::envelope())
}

fn shown(source: WebhookSource, secret: &crm_core::sessions::tokens::Secret) -> Result<Answer> {
    let version = source.version;
    Ok(super::webhooks::shown(&WebhookSource::envelope(), &AddressedSource::from(source), secret)?.version(version))
}

fn whole(source: WebhookSource) -> Result<Answer> {
    let version = source.version;
    Ok(Answer::one(&WebhookSource::envelope(), &AddressedSource::from(source))?.version(version))
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let page = sources::list(tx, &request.query()?)?;
        let items: Vec<_> = page.items.into_iter().map(AddressedSource::from).collect();
        let page = crm_core::Page { items, next_cursor: page.next_cursor, total: page.total };
        Answer::page(&WebhookSource::plural(), &page)
    })
}

fn create(call: Call) -> impl Future<Output = Reply> {
    let app = call.app().clone();
    call.write(move |tx, request| {
        let (source, secret) = sources::create(tx, keys(&app)?, request.patch()?)?;
        let address = format!("{ALL}/{}", source.id);
        Ok(shown(source, &secret)?.created(address))
    })
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        whole(sources::read(tx, request.id()?)?)
    })
}

fn update(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| whole(sources::update(tx, request.id()?, request.patch()?)?))
}

fn delete(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        sources::delete(tx, request.id()?, &request.reason()?)?;
        Ok(Answer::nothing())
    })
}

fn renew_secret(call: Call) -> impl Future<Output = Reply> {
    let app = call.app().clone();
    call.write(move |tx, request| {
        let patch: Patch = request.reason()?;
        let (source, secret) = sources::renew_secret(tx, keys(&app)?, request.id()?, patch)?;
        shown(source, &secret)
    })
}

async fn receive(http: HttpRequest, call: Call) -> Reply {
    let text = |name: &str| {
        let value = http.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let [id, timestamp, signature] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map(text);
    call.open(move |app, caller, request| {
        let (id, timestamp, signature) = (id.as_str(), timestamp.as_str(), signature.as_str());
        let (source, body, received_at) = (request.id_at("source")?, request.bytes()?, caller.now);
        let incoming = Incoming { source, id, timestamp, signature, body, received_at };
        Ok(match receiving::receive(&app.door, keys(app)?, &incoming)? {
            Receipt::Accepted => Answer::json(&status("accepted"))?.accepted_quietly(),
            Receipt::Repeated => Answer::json(&status("repeated"))?,
        })
    })
    .await
}

fn status(word: &str) -> Value {
    json!({"status": word})
}
