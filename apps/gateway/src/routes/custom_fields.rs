//! Custom fields.
use crm_core::custom_fields::{self, CustomField};

use super::resource::Resource;
use crate::endpoint::{Access, Endpoint};

/// The endpoints of custom fields.
pub(super) fn endpoints() -> Vec<Endpoint> {
    Resource::<CustomField> {
        writes: Access::Manager,
        update: custom_fields::update,
        delete: custom_fields::delete,
        ..Resource::plain("/api/custom-fields", "/api/custom-fields/{id}", "Configuration", "a custom field")
    }
    .endpoints()
}
