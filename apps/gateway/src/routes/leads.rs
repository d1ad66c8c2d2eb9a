//! Leads.
use crm_core::leads::{self, Lead};

use super::resource::Resource;
use crate::endpoint::Endpoint;

const TAG: &str = "Leads";

/// The endpoints of leads.
pub(super) fn endpoints() -> Vec<Endpoint> {
    Resource::<Lead> {
        create: leads::create,
        update: leads::update,
        ..Resource::plain("/api/leads", "/api/leads/{id}", TAG, "a lead")
    }
    .endpoints()
}
