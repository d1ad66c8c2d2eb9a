//! Messages to webhooks and from sources.
use crm_core::{Record, Result, Tx};
use crm_ops::webhooks::{
    messages::{self, WebhookEvent},
    replays,
};
use serde_json::{Value, json};

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

use super::webhooks::TAG;

pub(super) const ALL: &str = "/api/system/webhook-events";

/// The endpoints of messages.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let (one, many) = (WebhookEvent::envelope(), WebhookEvent::plural());
    let all_parameters = schemas::list_parameters::<WebhookEvent>();
    let without_status: Vec<Value> =
        all_parameters.iter().filter(|parameter| parameter["name"] != "status").cloned().collect();
    let endpoints = [
        within(Endpoint::get(ALL, "listWebhookEvents", list).says(
            TAG,
            "List messages",
            "To webhooks and from sources, the newest first, without what they carry.",
        ))
        .parameters(all_parameters)
        .lists::<WebhookEvent>(&many, "One page."),
        within(Endpoint::get("/api/system/webhook-events/failed", "listFailedWebhookEvents", list_failed).says(
            TAG,
            "List failed messages",
            "Those that were given up.",
        ))
        .parameters(without_status)
        .lists::<WebhookEvent>(&many, "One page."),
        Endpoint::get("/api/system/webhook-events/{id}", "readWebhookEvent", read)
            .says(TAG, "Read a message", "With how it went, and without what it carries.")
            .answers::<WebhookEvent>(200, &one, "The message."),
        Endpoint::post("/api/system/webhook-events/{id}/replay", "replayWebhookEvent", replay)
            .says(TAG, "Replay a message", "Sends it once more, under the same id, or processes it again.")
            .answers::<WebhookEvent>(202, &one, "It is on its way."),
    ];
    endpoints.into_iter().map(|endpoint| endpoint.access(Access::Admin)).collect()
}

fn within(endpoint: Endpoint) -> Endpoint {
    let text = json!({"type": "string"});
    let words = ["Made at this instant or on this day, or later.", "Made before this instant or day."];
    endpoint.query("from", &text, words[0]).query("to", &text, words[1])
}

/// 202 with a message that is on its way.
pub(super) fn accepted(message: &WebhookEvent, tx: &Tx<'_>) -> Result<Answer> {
    Ok(Answer::record(message, tx)?.accepted(format!("{ALL}/{}", message.id)))
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::records(&messages::list(tx, request.query()?)?, tx))
}

fn list_failed(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::records(&messages::list_failed(tx, request.query()?)?, tx))
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::record(&messages::read(tx, request.id()?)?, tx)
    })
}

fn replay(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        request.reason()?;
        accepted(&replays::one(tx, request.id()?)?, tx)
    })
}
