//! Contacts.
use crm_core::contacts::{self, Contact};

use super::resource::Resource;
use crate::endpoint::Endpoint;

/// The endpoints of contacts.
pub(super) fn endpoints() -> Vec<Endpoint> {
    Resource::<Contact> {
        create: contacts::create,
        update: contacts::update,
        ..Resource::plain("/api/contacts", "/api/contacts/{id}", "Contacts", "a contact")
    }
    .endpoints()
}
