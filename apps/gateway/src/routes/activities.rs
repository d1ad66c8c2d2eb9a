//! What was done: activities.
use actix_web::http::Method;
use crm_core::activities::{self, Activity};
use serde_json::json;

use super::resource::Resource;
use crate::endpoint::{Access, Endpoint};

/// The endpoints of activities. Their author and an ADMIN may change and delete them.
pub(super) fn endpoints() -> Vec<Endpoint> {
    Resource::<Activity> {
        deletes: Access::User,
        create: activities::create,
        update: activities::update,
        delete: activities::delete,
        ..Resource::plain("/api/activities", "/api/activities/{id}", "Work", "an activity")
    }
    .endpoints()
    .into_iter()
    .map(|endpoint| match endpoint.method {
        Method::POST => endpoint.example(&json!({
            "type": "call",
            "direction": "out",
            "subject": "Discovery call",
            "body": "Asked for a proposal by Friday.",
            "durationMinutes": 30,
            "dealId": "019b2638-4400-7000-8000-000000000001"
        })),
        _ => endpoint,
    })
    .collect()
}
