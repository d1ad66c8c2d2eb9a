//! The one clock. A request takes the time once, as `ctx.now`, and everything in it happens at that instant.
use chrono::{DateTime, SubsecRound, Utc};

/// The present instant in UTC, cut to the microseconds that PostgreSQL keeps, so that a stored instant reads back equal.
#[allow(clippy::disallowed_methods)] // the one place where the clock is read
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
