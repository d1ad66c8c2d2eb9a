//! The gateway of Heimdell CRM: HTTP in front of the domain crates. It parses, calls one function, and answers.
pub mod app;
pub mod call;
pub mod config;
pub mod console;
pub mod demo;
pub mod document;
pub mod endpoint;
pub mod equipment;
pub mod parameters;
pub mod problem;
pub mod reply;
pub mod routes;
pub mod schemas;
pub mod server;
pub mod stream;
pub mod upload;
pub mod worker;
