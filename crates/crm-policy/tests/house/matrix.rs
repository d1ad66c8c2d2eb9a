//! What the roles may without any policy of somebody's own, the same behind either gate.

use crm_core::gate::{Action, Ask, Gate, Roles};
use crm_core::users::Role;
use crm_core::{Ctx, Id, clock};
use crm_policy::catalogue::{built_in, catalogue};
use crm_policy::{Engine, PolicyGate, ResourceClass};
use std::sync::Arc;

const ACTIONS: [Action; 8] = [
    Action::View,
    Action::Create,
    Action::Edit,
    Action::Delete,
    Action::ExportData,
    Action::ChangeStage,
    Action::MarkWonLost,
    Action::Manage,
];

/// The kinds that [`Roles`] tells apart, and some of each class that it does not.
const KINDS: [&str; 16] = [
    "lead",
    "company",
    "contact",
    "deal",
    "activity",
    "task",
    "saved_view",
    "api_key",
    "pipeline",
    "stage",
    "custom_field",
    "reason_code",
    "suppression",
    "organization",
    "business_unit",
    "user",
];

#[test]
fn the_built_in_policies_allow_what_the_roles_do() {
    let policies = PolicyGate::new(Engine::compile(built_in().unwrap().to_vec()).unwrap());
    for role in [Role::Admin, Role::Manager, Role::SalesRep] {
        let ctx = Ctx { role, ..Ctx::system(Id::new(), clock::now(), Arc::new(Roles)) };
        for (action, kind) in ACTIONS.into_iter().flat_map(|action| KINDS.map(|kind| (action, kind))) {
            // Stages belong to deals alone: nobody asks about moving or closing anything else.
            if matches!(action, Action::ChangeStage | Action::MarkWonLost) && kind != "deal" {
                continue;
            }
            // What is one's own nobody exports or configures.
            let is_own = catalogue().resource(kind).unwrap().class() == ResourceClass::Own;
            if is_own && action == Action::Manage {
                continue;
            }
            let ask = Ask::about(action, kind);
            let (by_policies, by_roles) = (policies.check(&ctx, &ask), Roles.check(&ctx, &ask));
            assert_eq!(by_policies.is_ok(), by_roles.is_ok(), "{role} {action:?} {kind}: {by_policies:?} {by_roles:?}");
        }
    }
}
