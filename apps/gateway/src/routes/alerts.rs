//! Alerts: what somebody should know about the system's own state.
use crm_core::{
    Record,
    alerts::{self, Alert, NewAlert},
};
use serde_json::json;

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const TAG: &str = "System";
const ALL: &str = "/api/system/alerts";
const ONE: &str = "/api/system/alerts/{id}";

/// The endpoints of alerts.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let (name, plural) = (Alert::envelope(), Alert::plural());
    let endpoints = [
        Endpoint::get(ALL, "listAlerts", list)
            .says(TAG, "List alerts", "One to each fingerprint, those seen last first.")
            .parameters(schemas::list_parameters::<Alert>())
            .lists::<Alert>(&plural, "One page."),
        Endpoint::post(ALL, "createAlert", create)
            .says(TAG, "Create an alert", "One of the same fingerprint is counted on its row; then the answer is 200.")
            .takes::<NewAlert>()
            .example(&json!({"severity": "warning", "title": "The provider has announced maintenance"}))
            .answers::<Alert>(200, &name, "It is counted on the alert that was there.")
            .answers::<Alert>(201, &name, "What was made, and its address in `Location`."),
        Endpoint::get(ONE, "readAlert", read)
            .says(TAG, "Read an alert", "With how often its cause was met.")
            .answers::<Alert>(200, &name, "The alert."),
        Endpoint::post("/api/system/alerts/{id}/acknowledge", "acknowledgeAlert", acknowledge)
            .says(TAG, "Acknowledge an alert", "Notes who took notice of it, and when. A second time changes nothing.")
            .answers::<Alert>(200, &name, "The alert as it stands now."),
    ];
    endpoints.into_iter().map(|endpoint| endpoint.access(Access::Admin)).collect()
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::records(&alerts::list(tx, &request.query()?)?, tx))
}

fn create(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        alerts::check(tx)?;
        let alert = request.question(|alert: NewAlert| alerts::create(tx, &alert))?;
        let answer = Answer::record(&alert, tx)?;
        Ok(if alert.fields.occurrences == 1 { answer.created(format!("{ALL}/{}", alert.id)) } else { answer })
    })
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::record(&alerts::read(tx, request.id()?)?, tx)
    })
}

fn acknowledge(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| Answer::record(&alerts::acknowledge(tx, request.id()?)?, tx))
}
