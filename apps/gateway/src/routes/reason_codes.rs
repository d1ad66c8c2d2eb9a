//! Reason codes, and which changes need one.
use crm_core::reason_codes::{self, ReasonCode, ReasonRule, ReasonSettings};
use serde_json::{Value, json};

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const PATH: &str = "/api/reason-codes";
const TAG: &str = "Field history";

/// The endpoints of reason codes.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let words = "Both lists as a whole. What is there already keeps its id; a code that some change bears is made inactive \
                 where it is left out, and other codes and rules are deleted.";
    let example = json!({
        "reasonCodes": [{"outcome": "change", "code": "customer_request", "label": "Customer request"}],
        "rules": [{"entityType": "deal", "fieldName": "value", "condition": {"type": "value_lowered", "byMoreThanPercent": 10}}],
    });
    vec![
        Endpoint::get(PATH, "readReasonCodes", read)
            .says(TAG, "Read the reason codes", "The codes of changes, won and lost deals, and which changes need one.")
            .answers_plain::<ReasonSettings>(200, "Codes and rules."),
        Endpoint::put(PATH, "replaceReasonCodes", replace)
            .says(TAG, "Replace the reason codes", words)
            .access(Access::Admin)
            .named_schema("ReasonCodeCreate", schemas::creation::<ReasonCode>())
            .named_schema("ReasonRuleCreate", schemas::creation::<ReasonRule>())
            .with_schema::<reason_codes::Condition>()
            .named_schema("ReasonSettingsPut", settings())
            .body("application/json", &schemas::reference("ReasonSettingsPut"))
            .example(&example)
            .answers_plain::<ReasonSettings>(200, "Codes and rules as they stand now."),
    ]
}

fn settings() -> Value {
    let list = |name: &str| json!({"type": "array", "maxItems": 200, "items": schemas::reference(name)});
    let mut properties = schemas::reason();
    properties.insert("reasonCodes".into(), list("ReasonCodeCreate"));
    properties.insert("rules".into(), list("ReasonRuleCreate"));
    json!({"type": "object", "additionalProperties": false, "required": ["reasonCodes", "rules"], "properties": properties})
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::json(&reason_codes::read(tx)?)
    })
}

fn replace(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| Answer::json(&reason_codes::replace(tx, request.patch()?)?))
}
