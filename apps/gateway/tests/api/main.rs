//! Every route over HTTP against a real PostgreSQL: the happy way, bad input, nobody, too low a role, another's ids.
mod business_units;
mod client;
mod companies;
mod conventions;
mod coverage;
mod deals;
mod leads;
mod masks;
mod openapi;
mod organization;
mod pipelines;
mod policies;
mod robustness;
mod sign_in;
mod tidy;
mod work;
