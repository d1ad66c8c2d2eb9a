//! Companies.
use crm_core::companies::{self, Company};

use super::resource::Resource;
use crate::endpoint::Endpoint;

/// The endpoints of companies.
pub(super) fn endpoints() -> Vec<Endpoint> {
    Resource::<Company> {
        create: companies::create,
        update: companies::update,
        ..Resource::plain("/api/companies", "/api/companies/{id}", "Companies", "a company")
    }
    .endpoints()
}
