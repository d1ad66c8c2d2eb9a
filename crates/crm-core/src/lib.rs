//! The ground and the records of Heimdell CRM.
//!
//! A [`Door`] leads to the rows of one organization. Behind it stands a [`Tx`], which carries who asks ([`Ctx`]) and lends
//! its connection to nobody; rows are found through it, scoped by construction. A request's members become a [`Patch`], and
//! with the record as it stands a [`change::Change`]: merged, validated, compared, judged by the [`gate::Gate`], and then
//! written together with its field history. Records are [`Record`]s: leads, companies, contacts, deals and the rest.
//!
//! ```no_run
//! use std::sync::Arc;
//! use crm_core::{Door, Patch, Tx, clock, companies::Company, change, gate::Roles};
//! use crm_core::{database::{Database, Settings, migrations}, organizations};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "postgres://localhost/heimdell_crm";
//! migrations::migrate(url)?;
//! let door = Door::new(Database::open(url, Settings::default())?, Arc::new(Roles));
//! let members = |json: serde_json::Value| Patch::new(json.as_object().cloned().unwrap_or_default());
//! let company = door.found(clock::now(), |tx: &mut Tx<'_>| {
//!     organizations::found(tx, members(serde_json::json!({"name": "Acme"}))?)?;
//!     change::create::<Company>(tx, members(serde_json::json!({"name": "Globex"}))?)
//! })?;
//! assert_eq!(company.fields.name, "Globex");
//! # Ok(()) }
//! ```
mod about;
pub mod activities;
pub mod alerts;
pub mod api_keys;
pub mod backups;
pub mod bodies;
pub mod bulk;
pub mod business_units;
pub mod change;
pub mod clock;
pub mod companies;
pub mod contacts;
pub mod ctx;
pub mod cursor;
pub mod custom_fields;
pub mod database;
pub mod deals;
pub mod door;
pub mod error;
pub mod events;
pub mod exchange_rates;
pub mod exports;
pub mod filters;
pub mod gate;
pub mod history;
pub mod id;
pub mod imports;
pub mod jobs;
pub mod leads;
pub mod mail_addresses;
pub mod mail_outcomes;
pub mod masks;
pub mod money;
pub mod notifications;
pub mod organizations;
pub mod page;
pub mod patch;
pub mod personal_data;
pub mod pipelines;
pub mod proposals;
pub mod pruning;
pub mod reason_codes;
pub mod record;
pub mod references;
pub mod saved_views;
pub mod schema;
pub mod sealed;
pub mod search;
pub mod select;
pub mod sessions;
pub mod spans;
pub mod statement;
pub mod stats;
pub mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
pub mod text;
mod transfers;
pub mod tx;
pub mod users;
pub mod vital_signs;

pub use ctx::{Actor, Ctx, ReadScope};
pub use door::{Caller, Door};
pub use error::{Error, FieldError, Kind, Result};
pub use id::Id;
pub use money::{Currency, Money};
pub use page::Page;
pub use patch::{Patch, Reason};
pub use record::Record;
pub use tx::Tx;
