//! The caller's own organization.
use crm_core::{
    Record,
    organizations::{self, Organization},
};
use crm_policy::approvals::Approval;

use super::resource::WAITS;
use crate::{
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const PATH: &str = "/api/organization";
const TAG: &str = "Configuration";

/// The endpoints of the organization.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let name = Organization::envelope();
    vec![
        Endpoint::get(PATH, "readOrganization", |call| {
            call.read(|tx, request| {
                request.parameters([])?;
                Answer::record(&organizations::read(tx)?, tx)
            })
        })
        .says(TAG, "Read the organization", "Your own; there is no other for you.")
        .answers::<Organization>(200, &name, "The organization."),
        Endpoint::patch(PATH, "updateOrganization", |call| {
            call.propose::<Organization>(|tx, request| {
                Answer::record(&organizations::update(tx, request.patch()?)?, tx)
            })
        })
        .says(TAG, "Change the organization", "A merge patch.")
        .access(Access::Admin)
        .named_schema("OrganizationPatch", schemas::change::<Organization>())
        .body("application/json", &schemas::reference("OrganizationPatch"))
        .answers::<Organization>(200, &name, "The organization as it stands now.")
        .answers::<Approval>(202, &Approval::envelope(), WAITS),
    ]
}
