//! One box over everything.
use crm_core::search::{self, Hit};
use serde_json::json;

use crate::{
    call::{Call, Reply},
    endpoint::Endpoint,
    reply::Answer,
    schemas,
};

/// The endpoint of the search.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let words = "Finds by words of names and titles, by address, domain, and by a phone number's digits in any notation; \
                 forgives a slip of the finger. Best first.";
    let body = json!({"type": "object", "required": ["results"], "properties":
        {"results": {"type": "array", "items": schemas::reference("Hit")}}});
    vec![
        Endpoint::get("/api/search", "search", search)
            .says("Work", "Search", words)
            .query("q", &json!({"type": "string", "minLength": 2}), "What to look for.")
            .query(
                "types",
                &json!({"type": "string"}),
                "`lead`, `company`, `contact`, `deal`, with commas between; all where left out.",
            )
            .query(
                "limit",
                &json!({"type": "integer", "minimum": 1, "maximum": 50, "default": 20}),
                "How many at most.",
            )
            .with_schema::<Hit>()
            .answer(200, "What was found.", Some(("application/json", body))),
    ]
}

fn search(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::one("results", &search::search(tx, &request.query()?)?))
}
