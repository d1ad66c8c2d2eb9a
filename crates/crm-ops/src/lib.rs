//! What keeps the system running and speaking to others: the worker that does jobs, webhooks, and when to try again
//! what failed.
//!
//! - [`runner`]: takes jobs from the queue of `crm_core::jobs` and runs them.
//! - [`idempotency`]: answers to requests that are sent again.
//! - [`webhooks`]: who is told of events and who may tell us something; messages, their delivery, replay and receipt.
//! - [`watch`]: raises alerts about the installation's own state.
//! - [`discord`]: alerts on a Discord channel.
//! - [`webhooks::signature`]: signing and verifying messages by the Standard Webhooks specification.
//! - [`webhooks::addresses`]: which URLs and addresses may be called on a customer's word.
//! - [`traces`]: what was done and for how long, told to a collector.
//! - [`backoff`]: how long jobs and webhooks wait between tries.
//! - [`checkups`]: what is in order about an installation, and what to do about the rest.
//!
//! Signatures, addresses, the meaning of answers and the waits are pure functions of their arguments, the instant and the
//! randomness included:
//!
//! ```
//! use crm_ops::backoff::{self, Jitter};
//! use crm_ops::webhooks::addresses::{AddressError, Reach};
//! use crm_ops::webhooks::signature::{self, Message, Secret};
//!
//! let secrets = [Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?];
//! let sent_at = "2021-02-25T15:02:10Z".parse()?;
//! let signed = Message { id: "msg_1", sent_at, body: br#"{"type":"deal.won"}"# };
//! let header = signature::sign(&secrets, &signed)?;
//! assert!(header.starts_with("v1,"));
//! assert_eq!(signature::verify(&secrets, &signed, &header, sent_at), Ok(()));
//!
//! let inward = Reach::PUBLIC.target("https://0x7f.1/hook");
//! assert!(matches!(inward, Err(AddressError::NotPublic { .. })));
//!
//! let second_try = backoff::webhook_delay(1, Jitter::NONE, None);
//! assert_eq!(second_try, Some(std::time::Duration::from_secs(5)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod backoff;
pub mod checkups;
pub mod discord;
mod handlers;
pub mod idempotency;
mod lanes;
pub mod runner;
mod schema;
pub mod traces;
pub mod watch;
pub mod webhooks;
mod worker;
