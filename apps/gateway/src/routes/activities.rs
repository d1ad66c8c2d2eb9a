//! What was done: activities.
use crm_core::activities::{self, Activity};

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
}
