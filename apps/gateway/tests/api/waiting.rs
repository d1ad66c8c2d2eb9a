//! What a request for approval tells, on every route that changes something; and that it is done as it was told.
use gateway::{
    endpoint::{Access, Endpoint},
    routes,
};
use serde_json::{Value, json};

use crate::{
    approvals::{approve, deal, made, require, stage, status, waits, won},
    client::Server,
    coverage::Things,
};

/// The changes of a request, as `resource.field: old > new`.
fn told(approval: &Value) -> Vec<String> {
    let own = approval["resource"].clone();
    let changes = approval["changes"].as_array().unwrap().iter();
    let name = |change: &Value| {
        let resource = change.get("resource").unwrap_or(&own).as_str().unwrap().to_owned();
        format!("{resource}.{}: {} > {}", change["fieldName"].as_str().unwrap(), change["oldValue"], change["newValue"])
    };
    changes.map(name).collect()
}

#[test]
fn a_close_tells_its_review_and_every_policy_that_wants_it_approved() {
    let server = Server::governed();
    require(&server, "MANAGER", "mark_won_lost", "deal");
    require(&server, "MANAGER", "change_stage", "deal");
    let more = json!({"name": "Also ours", "role": "ANY", "action": "mark_won_lost", "resource": "deal",
        "effect": "require_approval"});
    server.admin().post("/api/policies", &more).expect(201);
    let review =
        json!({"outcome": "won", "primaryReasonCode": "other", "notes": "They liked the demo", "learned": "Demo"});
    let path = deal(&server);
    let [patched, reviewed] = [
        server.manager().patch(&path, &json!({"stageId": won(&server), "winLossReview": review})),
        server.manager().post(&format!("{path}/win-loss"), &review),
    ]
    .map(waits);
    assert_eq!(patched, reviewed, "it is the same request");
    let asked = server.admin().get(&patched).expect(200)["approval"].clone();
    let told = told(&asked);
    for (field, text) in review.as_object().unwrap() {
        assert!(told.contains(&format!("deal.winLossReview.{field}: null > {text}")), "{field} of {told:?}");
    }
    let names: Vec<_> = asked["policies"].as_array().unwrap().iter().map(|policy| policy["name"].clone()).collect();
    assert_eq!(names, ["Four eyes on change_stage", "Four eyes on mark_won_lost", "Also ours"], "{asked}");
    assert!(names.iter().all(|name| asked["reason"].as_str().unwrap().contains(name.as_str().unwrap())), "{asked}");
    assert_eq!(asked["policyId"], asked["policies"][0]["id"]);
    approve(server.admin(), &patched).expect(200);
    let kept = server.admin().get(&format!("{path}/win-loss")).expect(200)["winLossReview"].clone();
    assert_eq!((&kept["notes"], &kept["createdBy"]), (&review["notes"], &json!(server.house.manager.id)));
}

#[test]
fn what_is_new_was_nothing_before() {
    let server = Server::governed();
    require(&server, "SALES_REP", "create", "deal");
    let body = json!({"title": "New", "value": 5, "stageId": stage(&server, 1), "tags": ["a"]});
    let approval = waits(server.rep().post("/api/deals", &body));
    let asked = server.rep().get(&approval).expect(200)["approval"].clone();
    let told = told(&asked);
    assert!(told.iter().all(|change| change.contains(": null > ")), "{told:?}");
    for (field, value) in body.as_object().unwrap() {
        assert!(told.contains(&format!("deal.{field}: null > {value}")), "{field} of {told:?}");
    }
    approve(server.manager(), &approval).expect(200);
    let made = server.rep().get("/api/deals").expect(200)["deals"][0].clone();
    assert_eq!((&made["title"], &made["ownerId"]), (&json!("New"), &json!(server.house.rep.id)));
}

#[test]
fn a_conversion_waits_whole_and_is_void_when_anything_of_its_lead_changes() {
    let server = Server::governed();
    require(&server, "SALES_REP", "create", "contact");
    require(&server, "SALES_REP", "create", "deal");
    let lead = json!({"firstName": "Ada", "lastName": "Lovelace", "companyName": "Engines", "phone": "+44 20 1234"});
    let path = made(&server, "/api/leads", &lead);
    let convert = format!("{path}/convert");
    let body = json!({"deal": {"create": {"title": "Forty seats", "value": 40}}, "note": "Ready"});
    let bad = json!({"deal": {"create": {"title": "", "value": -1}}});
    assert_eq!(server.rep().post(&convert, &bad).bad_fields(), ["deal.create.title", "deal.create.value"]);
    let approval = waits(server.rep().post(&convert, &body));
    assert_eq!(waits(server.rep().post(&convert, &body)), approval);
    let asked = server.rep().get(&approval).expect(200)["approval"].clone();
    let whole = told(&asked);
    for change in [
        "lead.status: \"new\" > \"converted\"",
        "company.name: null > \"Engines\"",
        "contact.lastName: null > \"Lovelace\"",
        "contact.phone: null > \"+44 20 1234\"",
        "deal.title: null > \"Forty seats\"",
        "deal.value: null > 40",
    ] {
        assert!(whole.iter().any(|told| told == change), "{change} of {whole:?}");
    }
    assert_eq!((&asked["command"], &asked["policies"][1]["name"]), (&json!("convert"), &json!("Four eyes on create")));
    let list = |name: &str| server.admin().get(&format!("/api/{name}")).expect(200)[name].as_array().unwrap().len();
    assert_eq!(["companies", "contacts", "deals"].map(list), [0, 0, 0], "rehearsed, and not done");
    server.admin().patch(&path, &json!({"phone": "+44 20 9999"})).expect(200);
    assert_eq!(status(&server, &approval), "stale", "the contact would get another number than was told");
    let approval = waits(server.rep().post(&convert, &body));
    assert_eq!(approve(server.manager(), &approval).expect(200)["approval"]["status"], "executed");
    assert_eq!(["companies", "contacts", "deals"].map(list), [1, 1, 1]);
    let lead = server.admin().get(&path).expect(200)["lead"].clone();
    assert_eq!((&lead["status"], &lead["convertedDealId"].is_string()), (&json!("converted"), &true));
    let history = path.replace("/api/leads", "/api/field-history/lead");
    let row = server.admin().get(&history).expect(200)["fieldHistory"][0].clone();
    assert_eq!((&row["changedBy"]["name"], &row["approvedBy"]["name"]), (&json!("rep"), &json!("manager")), "{row}");
    assert_eq!(row["note"], "Ready");
}

#[test]
fn what_is_known_about_a_deal_waits_like_the_deal() {
    let server = Server::governed();
    for action in ["create", "edit"] {
        require(&server, "SALES_REP", action, "deal_intel");
    }
    let path = format!("{}/intel", deal(&server));
    let first = waits(server.rep().put(&path, &json!({"competitors": ["Rival"], "decisionMaker": "Ada"})));
    assert_eq!(server.rep().get(&path).expect(200)["dealIntel"]["version"], 0);
    approve(server.manager(), &first).expect(200);
    let known = server.rep().get(&path).expect(200)["dealIntel"].clone();
    assert_eq!((&known["competitors"], &known["version"]), (&json!(["Rival"]), &json!(1)));
    let [second, third] = [json!({"decisionMaker": "Grace"}), json!({"pricingNotes": "Dear"})]
        .map(|body| waits(server.rep().put(&path, &body)));
    let asked = server.rep().get(&second).expect(200)["approval"].clone();
    assert_eq!(told(&asked), ["deal_intel.decisionMaker: \"Ada\" > \"Grace\""]);
    server.admin().put(&path, &json!({"decisionMaker": "Mary"})).expect(200);
    assert_eq!((status(&server, &second), status(&server, &third)), (json!("stale"), json!("pending")));
    approve(server.manager(), &third).expect(200);
    assert_eq!(server.rep().get(&path).expect(200)["dealIntel"]["pricingNotes"], "Dear");
}

#[test]
fn a_write_and_a_request_at_the_same_moment_leave_no_request_that_does_not_hold() {
    let server = Server::governed();
    require(&server, "SALES_REP", "edit", "deal");
    let path = deal(&server);
    std::thread::scope(|scope| {
        for round in 0..12 {
            let (asks, writes) = (json!({"value": 1000 + round}), json!({"value": 2000 + round}));
            let (rep, admin, path) = (server.rep(), server.admin(), &path);
            let asking = scope.spawn(move || rep.patch(path, &asks).status);
            let writing = scope.spawn(move || admin.patch(path, &writes).status);
            assert!([202, 503].contains(&asking.join().unwrap()));
            assert_eq!(writing.join().unwrap(), 200);
        }
    });
    let value = server.admin().get(&path).expect(200)["deal"]["value"].clone();
    let pending = server.admin().get("/api/approvals?status=pending").expect(200)["approvals"].clone();
    for approval in pending.as_array().unwrap() {
        assert_eq!(approval["changes"][0]["oldValue"], value, "{approval}");
    }
    assert!(pending.as_array().unwrap().len() <= 1, "{pending}");
}

/// Why a route that changes something makes no request for an approval.
const EXCEPTIONS: [(&str, &str); 22] = [
    ("createUser", "its body holds a password, which is kept nowhere"),
    ("createApiKey", "the key is shown once, to whoever asks"),
    ("deleteApiKey", "taking access back must not wait"),
    ("deactivateBusinessUnit", "it takes many records along, and each of them may need an approval"),
    ("setBusinessUnitMembers", "it is managed, and managing cannot be put under an approval"),
    ("orderStages", "it changes many stages"),
    ("setStageProbability", "it is told by a view of the pipeline; PATCH of the stage waits"),
    ("snoozeStaleDeal", "it is over sooner than anybody would look at it"),
    ("wakeStaleDeal", "as the snooze"),
    ("createSuppression", "stopping mail must not wait"),
    ("deleteSuppression", "a suppression is no record with a command of its own in the ground"),
    ("replaceReasonCodes", "it replaces many"),
    ("putExchangeRates", "it sets many"),
    ("bulkEditLeads", "each record makes a request of its own"),
    ("bulkEditDeals", "each record makes a request of its own"),
    ("startImport", "each row makes a request of its own"),
    ("revertImport", "what needs an approval stays and is counted as kept"),
    ("createPolicy", "who may change policies is never kept from it"),
    ("updatePolicy", "as createPolicy"),
    ("deletePolicy", "as createPolicy"),
    ("createAlert", "it tells of a fault"),
    ("acknowledgeAlert", "as createAlert"),
];

/// What is written over the API.
const RESOURCES: [&str; 18] = [
    "lead",
    "company",
    "contact",
    "deal",
    "deal_intel",
    "activity",
    "task",
    "saved_view",
    "api_key",
    "pipeline",
    "stage",
    "custom_field",
    "exchange_rate",
    "reason_code",
    "organization",
    "business_unit",
    "user",
    "suppression",
];

/// A body that changes something, and that the route takes.
fn body(endpoint: &Endpoint, things: &Things) -> Option<Value> {
    let id = |name: &str| things.id_of(name).cloned().unwrap_or_default();
    let name = endpoint.operation["operationId"].as_str().unwrap();
    if EXCEPTIONS.iter().any(|(exception, _)| *exception == name) {
        return None;
    }
    Some(match name {
        "updateOrganization" | "updateBusinessUnit" | "updatePipeline" | "updateStage" => json!({"name": "Renamed"}),
        "createBusinessUnit" => json!({"name": "Gamma", "slug": "gamma"}),
        "createPipeline" => json!({"name": "Renewals"}),
        "createStage" => json!({"name": "Legal review"}),
        "createLead" | "createContact" => json!({"lastName": "New"}),
        "updateLead" | "updateContact" => json!({"lastName": "Renamed"}),
        "convertLead" => json!({}),
        "createCompany" => json!({"name": "New"}),
        "updateCompany" => json!({"name": "Renamed"}),
        "createDeal" => json!({"title": "New"}),
        "updateDeal" => json!({"title": "Renamed"}),
        "createWinLossReview" => json!({"outcome": "won", "primaryReasonCode": "best_price"}),
        "putDealIntel" => json!({"decisionMaker": "Ada"}),
        "createActivity" => json!({"type": "note", "subject": "New", "dealId": id("dealId")}),
        "updateActivity" => json!({"subject": "Renamed"}),
        "createTask" => json!({"title": "New"}),
        "updateTask" => json!({"title": "Renamed"}),
        "createSavedView" => json!({"entityType": "deal", "name": "New"}),
        "updateSavedView" => json!({"name": "Renamed"}),
        "createCustomField" => json!({"entityType": "lead", "key": "other", "label": "Other", "type": "text"}),
        "updateCustomField" => json!({"label": "Renamed"}),
        "updateUser" => json!({"name": "Renamed"}),
        "revertChangeSet" | "deletePipeline" => json!({}),
        _ if endpoint.method == "DELETE" => json!({}),
        name => panic!("waiting.rs does not know whether {name} waits"),
    })
}

#[test]
fn whatever_changes_one_record_waits_on_every_route() {
    let server = Server::governed();
    let things = Things::make(&server);
    // Neither the default pipeline nor a stage that is needed can be deleted.
    let pipeline = made(&server, "/api/pipelines", &json!({"name": "Spare"}));
    let stage =
        server.admin().post(&format!("{pipeline}/stages"), &json!({"name": "Spare"})).expect(201)["stage"]["id"]
            .clone();
    // Not on everything: nobody could take such policies back.
    for action in ["create", "edit", "delete"] {
        RESOURCES.iter().for_each(|resource| require(&server, "ANY", action, resource));
    }
    require(&server, "ANY", "mark_won_lost", "deal");
    let mut waited = Vec::new();
    for endpoint in routes::all().iter().filter(|it| it.method != "GET" && it.access != Access::Public) {
        let name = endpoint.operation["operationId"].as_str().unwrap().to_owned();
        let is_ours =
            ["/api/auth", "/api/approvals", "/api/system", "/api/webhooks", "/api/notifications", "/api/copilot"];
        if is_ours.iter().any(|own| endpoint.path.starts_with(own))
            || name.starts_with("preview")
            || name == "simulatePolicies"
            || name == "cancelImport"
        {
            continue;
        }
        let Some(body) = body(endpoint, &things) else { continue };
        let path = match name.as_str() {
            "deletePipeline" => pipeline.clone(),
            "deleteStage" => format!("{pipeline}/stages/{}", stage.as_str().unwrap()),
            _ => things.address(endpoint),
        };
        let reply = server.admin().send(endpoint.method.as_str(), &path, &[], Some(&body));
        assert_eq!(reply.status, 202, "{name} {body}: {}", reply.body);
        assert!(reply.header("location").starts_with("/api/approvals/"), "{name}");
        waited.push(name);
    }
    assert!(waited.len() >= 34, "{waited:?}");
}
