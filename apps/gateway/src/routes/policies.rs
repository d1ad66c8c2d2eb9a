//! Policies: who may do what, and why.
use crm_core::Record;
use crm_policy::{
    listings::{self, ListedPolicy},
    shadows::{self, Shadow},
    simulations::{self, Simulated, Simulation},
    stored_policies::{self, StoredPolicy},
};
use serde_json::json;

use crate::{
    call::{Call, Reply, malformed},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const ALL: &str = "/api/policies";
const ONE: &str = "/api/policies/{id}";
const TAG: &str = "Policies";

/// The endpoints of policies.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let (name, plural) = (StoredPolicy::envelope(), StoredPolicy::plural());
    let endpoints = [
        Endpoint::get(ALL, "listPolicies", list)
            .says(
                TAG,
                "List policies",
                "Those of the organization, or the built-in ones, which say what the roles may.",
            )
            .parameters(schemas::list_parameters::<StoredPolicy>())
            .query("builtIn", &json!({"type": "boolean", "default": false}), "The built-in ones instead, all on one page: no other parameter goes with it.")
            .lists::<ListedPolicy>(&plural, "One page."),
        Endpoint::post(ALL, "createPolicy", create)
            .says(TAG, "Create a policy", "It holds from the next request on, in every process.")
            .named_schema("PolicyCreate", schemas::creation::<StoredPolicy>())
            .body("application/json", &schemas::reference("PolicyCreate"))
            .answers::<ListedPolicy>(201, &name, "What was made, and its address in `Location`."),
        Endpoint::get(ONE, "readPolicy", read)
            .says(TAG, "Read a policy", "Built-in ones too.")
            .answers::<ListedPolicy>(200, &name, "The policy."),
        Endpoint::patch(ONE, "updatePolicy", update)
            .says(TAG, "Change a policy", "A merge patch. Built-in ones stay as they are.")
            .named_schema("PolicyPatch", schemas::change::<StoredPolicy>())
            .body("application/json", &schemas::reference("PolicyPatch"))
            .answers::<ListedPolicy>(200, &name, "The policy as it stands now."),
        Endpoint::delete(ONE, "deletePolicy", delete)
            .says(TAG, "Delete a policy", "What it said stays in the field history.")
            .reasoned()
            .answers_nothing("It is gone."),
        Endpoint::get("/api/policies/{id}/shadow", "readPolicyShadow", shadow)
            .says(
                TAG,
                "Read what a draft would have decided otherwise",
                "How often since it was last changed, and the latest 20 decisions. Other processes tell theirs within seconds.",
            )
            .answers::<Shadow>(200, "shadow", "What it would have decided."),
        Endpoint::post("/api/policies/simulate", "simulatePolicies", simulate)
            .says(
                TAG,
                "Ask what would be decided",
                "With what each policy on the question came to, and which comparison kept it from taking effect: what was wanted and \
                 what was found. `at` asks for another moment, next Sunday say. Nothing is done.",
            )
            .takes::<Simulation>()
            .answers::<Simulated>(200, "decision", "The decision and how it came about."),
    ];
    endpoints.into_iter().map(|endpoint| endpoint.access(Access::Admin)).collect()
}

fn whole(policy: ListedPolicy) -> crm_core::Result<Answer> {
    let answer = Answer::one(&StoredPolicy::envelope(), &policy)?;
    Ok(match policy.version {
        Some(version) => answer.version(version),
        None => answer,
    })
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let mut query = request.query()?;
        let asked = query.iter().position(|(name, _)| name == "builtIn").map(|at| query.remove(at).1);
        let page = match asked.as_deref() {
            None | Some("false") => listings::own(tx, &query)?,
            Some("true") => {
                request.parameters(["builtIn"])?;
                listings::built_in_ones(tx)?
            }
            Some(_) => return Err(malformed("invalid_value", "`builtIn` is true or false.")),
        };
        Answer::page(&StoredPolicy::plural(), &page)
    })
}

fn create(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let policy = stored_policies::create(tx, request.patch()?)?;
        let address = format!("{ALL}/{}", policy.id);
        Ok(whole(policy.into())?.created(address))
    })
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        whole(listings::one(tx, request.place("id"))?)
    })
}

fn update(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let id = listings::changeable(request.place("id"))?;
        whole(stored_policies::update(tx, id, request.patch()?)?.into())
    })
}

fn delete(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        stored_policies::delete(tx, listings::changeable(request.place("id"))?, &request.reason()?)?;
        Ok(Answer::nothing())
    })
}

fn shadow(call: Call) -> impl Future<Output = Reply> {
    call.run(|app, caller, request| {
        app.door.read(caller, |tx| stored_policies::check_may_manage(tx))?;
        app.door.keep_notes(caller.now)?;
        app.door.read(caller, |tx| {
            request.parameters([])?;
            Answer::one("shadow", &shadows::read(tx, request.id()?)?)
        })
    })
}

fn simulate(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        stored_policies::check_may_manage(tx)?;
        let decision = request.question(|question: Simulation| simulations::simulate(tx, &question))?;
        Answer::one("decision", &decision)
    })
}
