//! Webhooks: who is told of events.
use crm_core::{Patch, Record, Result, sessions::tokens::Secret};
use crm_ops::webhooks::{
    holding::{self, Release},
    messages::WebhookEvent,
    replays::{self, Replay, ReplayRange},
    subscriptions::{self, Webhook},
};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    equipment::{courier, keys},
    reply::Answer,
    schemas,
};

pub(super) const TAG: &str = "Webhooks";
const ALL: &str = "/api/webhooks";
const ONE: &str = "/api/webhooks/{id}";

/// The endpoints of webhooks.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let (one, many) = (Webhook::envelope(), Webhook::plural());
    let endpoints = [
        Endpoint::get(ALL, "listWebhooks", list)
            .says(TAG, "List webhooks", "A page of them, without their secrets.")
            .parameters(schemas::list_parameters::<Webhook>())
            .lists::<Webhook>(&many, "One page."),
        with_secret::<Webhook>(
            Endpoint::post(ALL, "createWebhook", create).says(
                TAG,
                "Create a webhook",
                "It is told of what happens from now on. The secret that signs its messages is shown this once.",
            ),
            201,
            &one,
        )
        .named_schema("WebhookCreate", schemas::creation::<Webhook>())
        .body("application/json", &schemas::reference("WebhookCreate"))
        .example(&json!({"url": "https://hooks.example.com/heimdell", "events": ["deal.*"], "role": "SALES_REP"})),
        Endpoint::get(ONE, "readWebhook", read)
            .says(TAG, "Read a webhook", "With how its deliveries go.")
            .answers::<Webhook>(200, &one, "The webhook."),
        Endpoint::patch(ONE, "updateWebhook", update)
            .says(TAG, "Change a webhook", "A merge patch. Activating one that was disabled starts it anew.")
            .named_schema("WebhookPatch", schemas::change::<Webhook>())
            .body("application/json", &schemas::reference("WebhookPatch"))
            .answers::<Webhook>(200, &one, "The webhook as it stands now."),
        Endpoint::delete(ONE, "deleteWebhook", delete)
            .says(TAG, "Delete a webhook", "Its messages go with it.")
            .answers_nothing("It is gone."),
        with_secret::<Webhook>(
            Endpoint::post("/api/webhooks/{id}/renew-secret", "renewWebhookSecret", renew_secret).says(
                TAG,
                "Change a webhook's secret",
                "The new one is shown this once. For 24 hours messages are signed with both.",
            ),
            200,
            &one,
        ),
        Endpoint::post("/api/webhooks/{id}/test", "testWebhook", test)
            .says(TAG, "Send a test message", "Of type `webhook.test`, whatever the webhook asks for.")
            .answers::<WebhookEvent>(202, &WebhookEvent::envelope(), "It is on its way."),
        Endpoint::post("/api/webhooks/{id}/replay", "replayWebhook", replay)
            .says(
                TAG,
                "Replay a time",
                "Sends what happened in it and did not arrive, also what was not sent since the webhook was not active.",
            )
            .takes::<ReplayRange>()
            .answers::<Replay>(202, "replay", "How many messages are on their way."),
        Endpoint::post("/api/webhooks/{id}/release", "releaseWebhook", release)
            .says(
                TAG,
                "Release what is held back",
                "After the database was restored messages wait, since they may have arrived before (`heldAt`). Sends them, or \
                 with `discard` only those about what has happened since.",
            )
            .commands::<Release>()
            .answers::<Webhook>(200, &one, "The webhook as it stands now."),
    ];
    endpoints.into_iter().map(|endpoint| endpoint.access(Access::Admin)).collect()
}

/// Answers with a record and its new secret.
pub(super) fn with_secret<T: ToSchema>(mut endpoint: Endpoint, status: u16, name: &str) -> Endpoint {
    let record = endpoint.schema::<T>();
    let words = "Signs messages: `whsec_` and base64. It is not shown again.";
    let secret = json!({"type": "object", "required": ["secret"], "properties": {
        "secret": {"type": "string", "description": words}}});
    let shown = schemas::envelope(name, json!({"allOf": [record, secret]}));
    endpoint.answer(status, "The record, with its `secret`.", Some(("application/json", shown)))
}

/// A record with its new secret.
pub(super) fn shown(name: &str, record: &impl Serialize, secret: &Secret) -> Result<Answer> {
    let mut shown = serde_json::to_value(record).map_err(|e| crm_core::Error::Internal(Box::new(e)))?;
    shown["secret"] = Value::from(secret.expose());
    Answer::one(name, &shown)
}

fn whole(webhook: &Webhook, secret: &Secret) -> Result<Answer> {
    Ok(shown(&Webhook::envelope(), webhook, secret)?.version(webhook.version))
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::records(&subscriptions::list(tx, &request.query()?)?, tx))
}

fn create(call: Call) -> impl Future<Output = Reply> {
    let app = call.app().clone();
    call.write(move |tx, request| {
        let (webhook, secret) = subscriptions::create(tx, keys(&app)?, courier(&app)?, request.patch()?)?;
        Ok(whole(&webhook, &secret)?.created(format!("{ALL}/{}", webhook.id)))
    })
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::record(&subscriptions::read(tx, request.id()?)?, tx)
    })
}

fn update(call: Call) -> impl Future<Output = Reply> {
    let app = call.app().clone();
    call.write(move |tx, request| {
        Answer::record(&subscriptions::update(tx, courier(&app)?, request.id()?, request.patch()?)?, tx)
    })
}

fn delete(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        subscriptions::delete(tx, request.id()?, &request.reason()?)?;
        Ok(Answer::nothing())
    })
}

fn renew_secret(call: Call) -> impl Future<Output = Reply> {
    let app = call.app().clone();
    call.write(move |tx, request| {
        let patch: Patch = request.reason()?;
        let (webhook, secret) = subscriptions::renew_secret(tx, keys(&app)?, request.id()?, patch)?;
        whole(&webhook, &secret)
    })
}

fn test(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        request.reason()?;
        let message = replays::test(tx, request.id()?)?;
        super::webhook_events::accepted(&message, tx)
    })
}

fn replay(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        subscriptions::read(tx, request.id()?)?;
        let replay = replays::range(tx, request.id()?, &request.json::<ReplayRange>()?)?;
        Ok(Answer::one("replay", &replay)?.accepted(super::webhook_events::ALL))
    })
}

fn release(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let id = request.id()?;
        subscriptions::read(tx, id)?;
        request.command(|how: Release, patch| Answer::record(&holding::release(tx, id, how, patch)?, tx))
    })
}
