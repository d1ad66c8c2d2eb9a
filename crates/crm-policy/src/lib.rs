//! Who may do what, and why: typed conditions, policies and decisions, and the gate of the house that is made of them.
//!
//! The engine touches neither a database nor a clock nor the network, so that any service can link the crate and ask:
//! that is everything below but the last paragraph.
//!
//! A set of [`Policy`] values is loaded into an [`Engine`] once; after that a decision is a look-up and a few comparisons.
//! Any refusal refuses, then what needs approval waits for it, then what is allowed is allowed, and what no policy speaks
//! about is refused. A condition on something unknown allows nothing and does not keep a refusal from refusing.
//!
//! ```
//! use crm_policy::{Action, Caller, Engine, Facts, Kind, Policy, Registry, Request, Resource, ResourceClass, Role};
//! use serde_json::json;
//!
//! // What policies may speak about.
//! let deal = Resource::new("deal", ResourceClass::Record)
//!     .with("value", Kind::Money { currency: "currency".into() })
//!     .with("currency", Kind::Text)
//!     .with("ownerId", Kind::Id)
//!     .with("businessUnitId", Kind::Id);
//! let registry = Registry::new([deal, Resource::new("policy", ResourceClass::Administration)]);
//!
//! // The built-in roles, and a policy that somebody wrote.
//! let mut policies = crm_policy::built_in_policies(&registry).unwrap();
//! let large = json!({
//!     "name": "Large deals need a second pair of eyes", "role": "MANAGER",
//!     "action": "mark_won_lost", "resource": "deal", "effect": "require_approval",
//!     "condition": {"attr": "value", "op": "gt", "value": {"amount": 5_000_000, "currency": "EUR"}}
//! });
//! policies.push(Policy::read("p1", &large, &registry).unwrap());
//! let engine = Engine::compile(policies).unwrap();
//! crm_policy::check_lockout(&engine).unwrap();
//!
//! // The question, on one record.
//! let record = json!({"value": 9_999_999, "currency": "EUR", "ownerId": "u7"});
//! let facts = Facts::of(registry.resource("deal").unwrap(), record.as_object().unwrap());
//! let caller = Caller::new("u1");
//! let decision = engine.decide(&Request::new(Role::Manager, Action::MarkWonLost, "deal", &caller, &facts));
//! assert!(decision.needs_approval());
//! assert_eq!(
//!     decision.reason,
//!     "Policy “Large deals need a second pair of eyes” requires approval for mark_won_lost on deal by MANAGER."
//! );
//!
//! // A representative is refused, and a simulation tells why.
//! let refused = engine.simulate(&Request::new(Role::SalesRep, Action::MarkWonLost, "deal", &caller, &facts));
//! assert!(!refused.allowed);
//! assert_eq!(
//!     refused.reason,
//!     "No policy allows mark_won_lost on deal to SALES_REP; \
//!      policy “Built in: allow MANAGER mark_won_lost on everything” does so to MANAGER."
//! );
//! ```
//!
//! The program itself opens its door with [`PolicyGates`]: they load the [`stored_policies`] of an organization once per
//! version, over the [`catalogue()`] of what there is in the house, and judge every action by them.

mod names;

pub mod approvals;
pub mod attributes;
pub mod built_in_policies;
pub mod catalogue;
pub mod clocks;
pub mod conditions;
pub mod decisions;
pub mod engine;
pub mod explain;
pub mod gate;
pub mod gates;
pub mod listings;
pub mod lockouts;
pub mod masks;
pub mod policies;
mod registries;
pub mod resource_patterns;
pub mod scalars;
mod schema;
pub mod shadows;
mod sights;
pub mod simulations;
pub mod stored_policies;
mod tables;
pub mod violations;

pub use attributes::{Caller, Context, Facts, Registry, Resource, ResourceClass};
pub use built_in_policies::{built_in_policies, example_policies};
pub use catalogue::catalogue;
pub use clocks::{Clock, RequestAttribute};
pub use conditions::{Condition, Truth};
pub use decisions::{Decision, TraceEntry};
pub use engine::{Engine, EngineError, Request};
pub use gate::PolicyGate;
pub use gates::PolicyGates;
pub use lockouts::{Lockout, check_lockout};
pub use masks::{ListFilter, Mask, MaskError};
pub use policies::{Action, Effect, Policy, Role, Subject};
pub use resource_patterns::ResourcePattern;
pub use scalars::{Kind, NoRates, Rates, Scalar};
pub use violations::Violation;
