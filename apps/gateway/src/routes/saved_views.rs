//! Lists as somebody likes them: saved views.
use crm_core::{
    Record,
    saved_views::{self, SavedView},
};

use super::resource::Resource;
use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const TAG: &str = "Work";
const ALL: &str = "/api/saved-views";
const ONE: &str = "/api/saved-views/{id}";

/// The endpoints of saved views.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let views = Resource::<SavedView> {
        deletes: Access::User,
        create: saved_views::create,
        update: saved_views::update,
        delete: saved_views::delete,
        ..Resource::plain(ALL, ONE, TAG, "a saved view")
    };
    vec![
        Endpoint::get(ALL, "listSavedViews", list)
            .says(TAG, "List saved views", "Your own, and those that others share.")
            .parameters(schemas::list_parameters::<SavedView>())
            .lists::<SavedView>(&SavedView::plural(), "One page."),
        views.create(),
        Endpoint::get(ONE, "readSavedView", read)
            .says(TAG, "Read a saved view", "With its version as `ETag`.")
            .answers::<SavedView>(200, &SavedView::envelope(), "The view as it stands."),
        views.update(),
        views.delete(),
    ]
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::records(&saved_views::list(tx, &request.query()?)?, tx))
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::record(&saved_views::read(tx, request.id()?)?, tx)
    })
}
