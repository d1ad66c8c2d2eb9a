//! The copilot: what to do first.
use crm_forecast::database::daily_focus::{self, DailyFocus};

use crate::{
    call::{Call, Reply},
    endpoint::Endpoint,
    reply::Answer,
};

/// The endpoints of the copilot.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let words = "Your tasks, deals and leads that press the most, each with the points of every reason. The same data \
                 always give the same list.";
    vec![
        Endpoint::get("/api/copilot/daily-focus", "readDailyFocus", focus)
            .says("Forecasting", "What should I do first today?", words)
            .answers::<DailyFocus>(200, "dailyFocus", "At most ten items."),
    ]
}

fn focus(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::one("dailyFocus", &daily_focus::read(tx)?)
    })
}
