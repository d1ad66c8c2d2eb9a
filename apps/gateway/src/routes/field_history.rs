//! Who changed what, when, from what to what, and why.
use crm_core::history::{self, FieldChange};
use serde_json::json;
use uuid::Uuid;

use crate::{
    call::{Call, Reply, Request},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const TAG: &str = "Field history";
const NAME: &str = "fieldHistory";

/// The endpoints of the field history.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let page = schemas::page_parameters;
    let filter = |name: &str, words: &str| schemas::parameter("query", name, false, &json!({"type": "string"}), words);
    vec![
        Endpoint::get("/api/field-history/{entityType}/{entityId}", "listEntityHistory", of_entity)
            .says(TAG, "List the changes of a record", "Newest first; deleted records too.")
            .parameters(page())
            .lists::<FieldChange>(NAME, "One page."),
        Endpoint::get("/api/field-history/{entityType}/{entityId}/{fieldName}", "listFieldHistory", of_field)
            .says(TAG, "List the changes of a field", "Newest first.")
            .parameters(page())
            .lists::<FieldChange>(NAME, "One page."),
        Endpoint::get("/api/field-history/recent", "listRecentHistory", recent)
            .says(TAG, "List recent changes", "Of every record, newest first.")
            .access(Access::Manager)
            .parameters(page())
            .parameters(vec![
                filter("entityType", "Of this kind of record alone."),
                filter("userId", "By this user alone."),
                filter("fieldName", "Of this field alone."),
                filter("reasonCode", "For this reason alone."),
                filter("from", "From this instant on."),
                filter("to", "Before this instant."),
            ])
            .lists::<FieldChange>(NAME, "One page."),
    ]
}

fn entity(request: &Request) -> crm_core::Result<Uuid> {
    Ok(request.id_at::<FieldChange>("entityId")?.uuid())
}

fn of_entity(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let page = history::of_entity(tx, request.place("entityType"), entity(request)?, &request.query()?)?;
        Answer::page(NAME, &page)
    })
}

fn of_field(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let (kind, field) = (request.place("entityType"), request.place("fieldName"));
        Answer::page(NAME, &history::of_field(tx, kind, entity(request)?, field, &request.query()?)?)
    })
}

fn recent(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::page(NAME, &history::recent(tx, &request.query()?)?))
}
