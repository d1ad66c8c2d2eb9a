//! Business units.
use crm_core::{
    Id, Record,
    business_units::{self, BusinessUnit, UnitStats},
    masks,
    users::User,
};
use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::resource::Resource;
use crate::{
    call::{Call, Reply, malformed},
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

const TAG: &str = "Business units";
const ONE: &str = "/api/business-units/{id}";
const MEMBERS: &str = "/api/business-units/{id}/members";

/// The people of a unit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Members {
    /// Their ids; they replace those before.
    user_ids: Vec<Id<User>>,
}

/// The endpoints of business units.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let units = Resource::<BusinessUnit> {
        writes: Access::Admin,
        update: business_units::update,
        ..Resource::plain("/api/business-units", ONE, TAG, "a business unit")
    };
    let plural = BusinessUnit::plural();
    vec![
        units.list(),
        Endpoint::get("/api/business-units/active", "listActiveBusinessUnits", active)
            .says(TAG, "List active business units", "Those that take new records.")
            .parameters(schemas::list_parameters::<BusinessUnit>())
            .lists::<BusinessUnit>(&plural, "One page."),
        units.create(),
        units.read(),
        units.update(),
        Endpoint::delete(ONE, "deactivateBusinessUnit", deactivate)
            .says(
                TAG,
                "Deactivate a business unit",
                "It stays readable, inactive. Refused while it owns open deals, unless `transferTo` names the unit that \
                 takes over. Then all that the unit still works on goes there in one transaction, with field history: \
                 its companies and contacts, the leads that are not converted, the open deals, all with their activities \
                 and tasks, and the open tasks that are about no record. Closed deals and converted leads stay, and the \
                 unit's figures with them.",
            )
            .access(Access::Admin)
            .query("transferTo", &json!({"type": "string", "format": "uuid"}), "The active unit that takes over.")
            .reasoned()
            .answers_nothing("It is inactive."),
        Endpoint::get("/api/business-units/{id}/stats", "readBusinessUnitStats", stats)
            .says(
                TAG,
                "Figures of a business unit",
                "Sums are in the organization's currency; deals in others are counted apart.",
            )
            .answers::<UnitStats>(200, "stats", "The figures."),
        Endpoint::get(MEMBERS, "listBusinessUnitMembers", members)
            .says(TAG, "List who works in a unit", "Somebody who works in no unit sees all of them.")
            .answer(
                200,
                "The people.",
                Some((
                    "application/json",
                    json!({"type": "object", "required": ["members"],
                "properties": {"members": {"type": "array", "items": schemas::reference("User")}}}),
                )),
            ),
        Endpoint::put(MEMBERS, "setBusinessUnitMembers", set_members)
            .says(
                TAG,
                "Say who works in a unit",
                "Replaces the list. They see this unit's records, and those of no unit.",
            )
            .access(Access::Admin)
            .commands::<Members>()
            .guarded()
            .answer(
                200,
                "The people.",
                Some((
                    "application/json",
                    json!({"type": "object", "required": ["members"],
                "properties": {"members": {"type": "array", "items": schemas::reference("User")}}}),
                )),
            ),
    ]
}

fn active(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::records(&business_units::active(tx, request.query()?)?, tx))
}

fn deactivate(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let [target] = request.parameters(["transferTo"])?;
        let wrong = || malformed("invalid_value", "`transferTo` is the id of a unit.");
        let target = target.map(|text| text.parse()).transpose().map_err(|_| wrong())?;
        business_units::deactivate(tx, request.id()?, target, request.reason()?)?;
        Ok(Answer::nothing())
    })
}

fn stats(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        let stats = business_units::stats(tx, request.id()?)?;
        Answer::one("stats", &masks::withheld(tx.ctx, &stats, &business_units::REVEALS)?)
    })
}

fn members(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        let members = business_units::members(tx, request.id()?)?;
        Answer::one("members", &masks::masked_all(tx.ctx, &members)?)
    })
}

fn set_members(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let unit = business_units::lock_to_manage(tx, request.id()?)?;
        let members = request
            .command(|Members { user_ids }, patch| business_units::set_members(tx, unit.id, &user_ids, &patch))?;
        Answer::one("members", &masks::masked_all(tx.ctx, &members)?)
    })
}
