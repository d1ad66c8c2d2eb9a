//! Deals.
use crm_core::deals::{self, Deal, reviews::ReviewInput};
use serde_json::json;

use super::{bulk, resource::Resource};
use crate::endpoint::Endpoint;

const TAG: &str = "Deals";

/// The endpoints of deals.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let resource = Resource::<Deal> {
        create: deals::create,
        update: deals::update,
        ..Resource::plain("/api/deals", "/api/deals/{id}", TAG, "a deal")
    };
    let mut endpoints: Vec<_> = resource.endpoints().into_iter().map(with_review).collect();
    let example = json!({"filter": {"status": "open", "ownerId": "me"}, "set": {"expectedCloseDate": "2026-06-30"}, "note": "The budget is released in June"});
    endpoints.push(bulk::endpoint("/api/deals/bulk", "bulkEditDeals", TAG, &example, deals::bulk));
    endpoints
}

/// Creating and changing a deal may close it, and then takes the review of it.
fn with_review(mut endpoint: Endpoint) -> Endpoint {
    let review = endpoint.schema::<ReviewInput>();
    for name in ["DealCreate", "DealPatch"] {
        if let Some(body) = endpoint.schemas.get_mut(name) {
            let words = "Needed where the deal closes and the organization wants reviews.";
            body["properties"]["winLossReview"] = json!({"anyOf": [review, {"type": "null"}], "description": words});
        }
    }
    if !endpoint.schemas.contains_key("DealCreate") && !endpoint.schemas.contains_key("DealPatch") {
        endpoint.schemas.remove("ReviewInput");
    }
    endpoint
}
