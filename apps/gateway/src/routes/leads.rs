//! Leads.
use crm_core::{
    Record, Tx,
    leads::{self, Conversion, Lead, Targets},
    masks,
};
use crm_policy::approvals::Approval;
use serde_json::json;

use super::{
    bulk,
    resource::{Resource, WAITS},
};
use crate::{
    call::{Call, Reply},
    endpoint::Endpoint,
    reply::Answer,
    schemas,
};

const TAG: &str = "Leads";

/// The endpoints of leads.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let mut endpoints = Resource::<Lead> {
        create: leads::create,
        update: leads::update,
        ..Resource::plain("/api/leads", "/api/leads/{id}", TAG, "a lead")
    }
    .endpoints();
    let words = "In one transaction. An empty body makes a company where the lead names one, a contact, and a deal in the \
                 default pipeline's first stage. A second time answers with what the first made. What \
                 you do not see of the lead goes over only to where you do not see it either; `leftOut` names the rest.";
    let convert = Endpoint::post("/api/leads/{id}/convert", "convertLead", convert)
        .says(TAG, "Convert a lead", words)
        .takes::<Targets>()
        .example(&json!({"company": {"create": {"name": "Acme"}}, "deal": {"create": {"title": "Acme: 40 seats", "value": 50000}}}))
        .answers_plain::<Conversion>(200, "The lead, and what it became.")
        .answers::<Approval>(202, &Approval::envelope(), WAITS);
    endpoints.push(with_reason(convert));
    let example = json!({"filter": {"status": "new", "ownerId": "none"}, "set": {"status": "contacted"}, "reasonCode": "progressed"});
    endpoints.push(bulk::endpoint("/api/leads/bulk", "bulkEditLeads", TAG, &example, leads::bulk));
    endpoints
}

/// The reason goes with every change.
fn with_reason(mut endpoint: Endpoint) -> Endpoint {
    if let Some(properties) =
        endpoint.schemas.get_mut("Targets").and_then(|schema| schema["properties"].as_object_mut())
    {
        properties.extend(schemas::reason());
    }
    endpoint
}

/// What a lead became, as the caller sees it.
fn seen(conversion: &Conversion, tx: &Tx<'_>) -> crm_core::Result<Answer> {
    let Conversion { lead, company, contact, deal, already_converted, left_out } = conversion;
    Answer::json(&json!({
        "lead": masks::masked(tx.ctx, lead)?,
        "company": company.as_ref().map(|company| masks::masked(tx.ctx, company)).transpose()?,
        "contact": contact.as_ref().map(|contact| masks::masked(tx.ctx, contact)).transpose()?,
        "deal": deal.as_ref().map(|deal| masks::masked(tx.ctx, deal)).transpose()?,
        "alreadyConverted": already_converted,
        "leftOut": left_out,
    }))
}

fn convert(call: Call) -> impl Future<Output = Reply> {
    call.propose::<Lead>(|tx, request| seen(&leads::convert(tx, request.id()?, request.patch()?)?, tx))
}
