//! Every address of the program. The list is the truth: routes, document and coverage test are made from it.
use crate::endpoint::Endpoint;

mod activities;
mod alerts;
pub(crate) mod approvals;
mod auth;
mod bulk;
mod business_units;
mod companies;
mod contacts;
mod copilot;
mod custom_fields;
mod deals;
mod decision_memory;
mod events;
mod exchange_rates;
mod exports;
mod field_history;
mod forecasting;
mod health;
mod imports;
mod leads;
mod notifications;
mod organization;
mod pipelines;
mod policies;
mod reason_codes;
mod resource;
mod saved_views;
mod search;
mod suppressions;
mod system;
mod tasks;
mod users;
mod webhook_events;
mod webhook_sources;
mod webhooks;

/// The headings of the document.
pub const TAGS: &[(&str, &str)] = &[
    ("Signing in", "Sessions and their tokens."),
    ("Leads", "People and companies that might buy."),
    ("Deals", "Opportunities on their way through a pipeline."),
    ("Decision memory", "What is known about deals, and why they were won and lost."),
    ("Forecasting", "What stands in the pipeline, what will come of it, and what to do first."),
    ("Companies", "Organizations that we sell to."),
    ("Contacts", "People at companies."),
    ("Work", "What was done and is to be done, lists as somebody likes them, and the search."),
    ("Notifications", "What you are told of, at once and later."),
    ("Deliverability", "Who gets no mail, and why."),
    ("Imports", "Files read in, and taken back."),
    ("Field history", "Who changed what, when, from what to what, and why."),
    ("Business units", "Brands or companies under one organization."),
    ("Pipelines", "The ways that deals go."),
    ("Policies", "Who may do what, and why."),
    ("Configuration", "The organization, its fields and its people."),
    ("Webhooks", "Telling others of what happens, and hearing from them."),
    ("System", "Is it there, and what can it do."),
];

/// Every endpoint.
pub fn all() -> Vec<Endpoint> {
    [
        health::endpoints(),
        system::endpoints(),
        auth::endpoints(),
        organization::endpoints(),
        users::endpoints(),
        business_units::endpoints(),
        pipelines::endpoints(),
        leads::endpoints(),
        companies::endpoints(),
        contacts::endpoints(),
        deals::endpoints(),
        decision_memory::endpoints(),
        forecasting::endpoints(),
        copilot::endpoints(),
        activities::endpoints(),
        tasks::endpoints(),
        saved_views::endpoints(),
        search::endpoints(),
        suppressions::endpoints(),
        notifications::endpoints(),
        events::endpoints(),
        field_history::endpoints(),
        reason_codes::endpoints(),
        exchange_rates::endpoints(),
        exports::endpoints(),
        imports::endpoints(),
        custom_fields::endpoints(),
        policies::endpoints(),
        webhooks::endpoints(),
        webhook_sources::endpoints(),
        webhook_events::endpoints(),
        alerts::endpoints(),
        approvals::endpoints(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
