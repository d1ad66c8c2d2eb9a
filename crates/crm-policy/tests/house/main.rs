//! Policies in a database: the gate of the house, with real organizations, users and records.
mod gates;
mod matrix;
mod policies;
mod simulations;
mod world;
