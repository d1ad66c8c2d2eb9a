//! Many records at once.
use crm_core::{
    Patch, Result, Tx,
    bulk::{BulkEdit, BulkOutcome},
};
use serde_json::Value;

use crate::{call::Call, endpoint::Endpoint, reply::Answer, schemas};

/// The endpoint of a bulk edit.
pub(super) fn endpoint(
    path: &'static str,
    id: &str,
    tag: &str,
    example: &Value,
    edit: fn(&mut Tx<'_>, Patch) -> Result<BulkOutcome>,
) -> Endpoint {
    let handler = move |call: Call| call.write(move |tx, request| Answer::one("bulk", &edit(tx, request.patch()?)?));
    let words = "Sets the same members in many records, or deletes them. Each goes its own way: one that refuses undoes \
                 none of the others, and says why. Where a policy wants somebody's approval, a request waits for each \
                 record, for the first hundred of them.";
    let mut endpoint = Endpoint::post(path, id, handler)
        .says(tag, "Edit many at once", words)
        .takes::<BulkEdit>()
        .example(example)
        .answers::<BulkOutcome>(200, "bulk", "What became of each.");
    if let Some(properties) =
        endpoint.schemas.get_mut("BulkEdit").and_then(|schema| schema["properties"].as_object_mut())
    {
        properties.extend(schemas::reason());
    }
    endpoint
}
