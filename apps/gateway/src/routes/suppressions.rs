//! Addresses that nothing is sent to.
use crm_core::Record;
use crm_deliverability::suppressions::{self, Suppression};
use serde_json::json;

use super::resource::Resource;
use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const TAG: &str = "Deliverability";
const ALL: &str = "/api/suppressions";
const ONE: &str = "/api/suppressions/{id}";

/// The endpoints of suppressions.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let plain = Resource::<Suppression>::plain(ALL, ONE, TAG, "a suppression");
    vec![
        plain.list(),
        Endpoint::post(ALL, "createSuppression", create)
            .says(
                TAG,
                "Suppress an address",
                "Nothing is sent to it any more, by the business unit or, where none is named, by anybody. Addresses that \
                 cannot exist, and those whose owners complain, are suppressed by what mail services tell.",
            )
            .access(Access::Manager)
            .named_schema("SuppressionCreate", schemas::creation::<Suppression>())
            .body("application/json", &schemas::reference("SuppressionCreate"))
            .example(&json!({"email": "ann@example.com", "reason": "manual", "note": "Asked for it on the phone"}))
            .answers::<Suppression>(201, &Suppression::envelope(), "What was made, and its address in `Location`."),
        plain.read(),
        Endpoint::delete(ONE, "deleteSuppression", delete)
            .says(TAG, "Lift a suppression", "Mail may go there again. What it was stays in the field history.")
            .access(Access::Admin)
            .reasoned()
            .answers_nothing("It is gone."),
    ]
}

fn create(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let suppression = suppressions::create(tx, request.patch()?)?;
        Ok(Answer::record(&suppression, tx)?.created(format!("{ALL}/{}", suppression.id)))
    })
}

fn delete(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        suppressions::delete(tx, request.id()?, &request.reason()?)?;
        Ok(Answer::nothing())
    })
}
