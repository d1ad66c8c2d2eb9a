//! Who changed what, when, from what to what, and why.
use crm_core::history::{self, FieldChange, Reversion, Verification, kinds::Kind};
use crm_policy::stored_policies;
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
/// The kinds of record that are not the core's own.
const OTHERS: &[Kind] = &[stored_policies::HISTORY];

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
        as_of_endpoint(),
        verify_endpoint(),
        revert_endpoint(),
    ]
}

fn as_of_endpoint() -> Endpoint {
    let words = "Of a deleted record too. 404 before it was made and after it was deleted. What was done about a record \
                 (`lastActivityAt`) is no change of it, and is null where it was noted later.";
    let record = json!({"type": "object", "additionalProperties": {"type": "object"}});
    Endpoint::get("/api/field-history/{entityType}/{entityId}/as-of", "readRecordAsOf", as_of)
        .says(TAG, "Read a record as it stood", words)
        .parameters(vec![schemas::parameter(
            "query",
            "at",
            true,
            &json!({"type": "string"}),
            "An instant such as 2025-12-16T10:00:00Z, or the beginning of a day in UTC.",
        )])
        .answer(200, "The record under its own name, such as `lead`.", Some(("application/json", record)))
}

fn verify_endpoint() -> Endpoint {
    let words = "Walks the chain of hashes over every change: a row that was edited, removed, slipped in or cut off at the \
                 end is found. Erased values break nothing.";
    Endpoint::get("/api/field-history/verify", "verifyHistory", verify)
        .says(TAG, "Verify the history", words)
        .access(Access::Manager)
        .answers::<Verification>(200, "verification", "What was found.")
}

fn revert_endpoint() -> Endpoint {
    let words = "Sets back what one request changed, record by record, with all rules and rights and the reason `revert` \
                 unless the optional body gives another `reasonCode`. A record of which a field has been changed since is a \
                 `conflict` and stays; one that needs somebody's approval is `waiting` for it, up to a hundred of them. What was created is not deleted, and what was deleted is not made again.";
    Endpoint::post("/api/field-history/change-sets/{changeSetId}/revert", "revertChangeSet", revert)
        .says(TAG, "Undo a change set", words)
        .reasoned()
        .answers::<Reversion>(200, "reversion", "What became of each record.")
        .answers::<Reversion>(
            202,
            "reversion",
            "Nothing is done before somebody approves: `Location` tells where that waits.",
        )
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

fn as_of(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let [at] = request.parameters(["at"])?;
        let record = history::as_of(tx, OTHERS, request.place("entityType"), entity(request)?, at.as_deref())?;
        Answer::one(&record.envelope, &record.members)
    })
}

fn verify(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::one("verification", &history::verify(tx)?)
    })
}

fn revert(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let change_set = request.id_at::<FieldChange>("changeSetId")?.uuid();
        let reversion = history::revert(tx, OTHERS, change_set, &request.reason()?)?;
        let answer = Answer::one("reversion", &reversion)?;
        let mut waiting = reversion.results.iter().filter_map(|result| result.approval_id);
        Ok(match (reversion.reverted, waiting.next(), waiting.next()) {
            (0, Some(approval), None) => answer.accepted(format!("/api/approvals/{approval}")),
            (0, Some(_), Some(_)) => answer.accepted("/api/approvals?status=pending"),
            _ => answer,
        })
    })
}
