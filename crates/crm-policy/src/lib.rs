//! Who may do what, and why: typed conditions, policies and decisions. Nothing here touches a database, a clock or the
//! network, so that any service can link the crate and ask.
//!
//! A set of [`Policy`] values is loaded into an [`Engine`] once; after that a decision is a look-up and a few comparisons.
//! Any refusal refuses, then what needs approval waits for it, then what is allowed is allowed, and what no policy speaks
//! about is refused. A condition on something unknown allows nothing and does not keep a refusal from refusing.

mod names;

pub mod attributes;
pub mod conditions;
pub mod decisions;
pub mod engine;
pub mod policies;
pub mod resource_patterns;
pub mod scalars;
mod tables;
pub mod violations;

pub use attributes::{Caller, Context, Facts, Registry, Resource, ResourceClass};
pub use conditions::{Condition, Truth};
pub use decisions::{Decision, TraceEntry};
pub use engine::{Engine, EngineError, Request};
pub use policies::{Action, Effect, Policy, Role, Subject};
pub use resource_patterns::ResourcePattern;
pub use scalars::{Kind, NoRates, Rates, Scalar};
pub use violations::Violation;
