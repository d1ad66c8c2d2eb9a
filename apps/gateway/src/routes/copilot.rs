//! The copilot: what to do first, and what not to be told of.
use crm_core::Page;
use crm_forecast::database::daily_focus::{
    self, DailyFocus,
    dismissals::{self, FocusDismissal, NewFocusDismissal},
};
use crm_policy::approvals::awaited;

use crate::{
    call::{Call, Reply},
    endpoint::Endpoint,
    parameters::Parameters,
    reply::Answer,
    schemas,
};

const TAG: &str = "Forecasting";
const FOCUS: &str = "/api/copilot/daily-focus";
const DISMISSALS: &str = "/api/copilot/daily-focus/dismissals";
const DISMISSAL: &str = "/api/copilot/daily-focus/dismissals/{id}";

/// The endpoints of the copilot.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let words = "Your tasks, deals and leads that press the most, and the requests that wait for your decision, each with \
                 the points of every reason. The same data always give the same list.";
    let dismissing = "Takes something off your daily focus. It is off until its record is changed or touched, or something \
                      else presses. Nobody else's focus changes.";
    vec![
        Endpoint::get(FOCUS, "readDailyFocus", focus)
            .says(TAG, "What should I do first today?", words)
            .answers::<DailyFocus>(200, "dailyFocus", "At most ten items."),
        Endpoint::post(DISMISSALS, "dismissFromDailyFocus", dismiss)
            .says(TAG, "Dismiss something from the daily focus", dismissing)
            .takes::<NewFocusDismissal>()
            .example(&serde_json::json!({
                "taskId": "019b2638-4400-7000-8000-000000000001",
                "reason": "They decide after the trade fair"
            }))
            .answers::<FocusDismissal>(201, "dismissal", "It is off."),
        Endpoint::get(DISMISSALS, "listFocusDismissals", list)
            .says(TAG, "List what you have dismissed", "The latest first, and whether it still holds.")
            .parameters(schemas::page_parameters())
            .lists::<FocusDismissal>("dismissals", "One page."),
        Endpoint::get(DISMISSAL, "readFocusDismissal", read)
            .says(TAG, "Read a dismissal", "One of your own.")
            .answers::<FocusDismissal>(200, "dismissal", "The dismissal."),
        Endpoint::delete(DISMISSAL, "takeBackFocusDismissal", take_back)
            .says(TAG, "Take a dismissal back", "What was dismissed is on your focus again, if it still presses.")
            .answers_nothing("It is taken back."),
    ]
}

fn focus(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::one("dailyFocus", &daily_focus::read(tx, awaited)?)
    })
}

fn dismiss(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        let made = request.question(|asked: NewFocusDismissal| dismissals::create(tx, awaited, &asked))?;
        Ok(Answer::one("dismissal", &made)?.created(format!("{DISMISSALS}/{}", made.id)))
    })
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let given = Parameters::of(request, ["limit", "cursor"])?;
        let page: Page<FocusDismissal> = dismissals::list(tx, awaited, given.as_slice())?;
        Answer::page("dismissals", &page)
    })
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::one("dismissal", &dismissals::read(tx, awaited, request.id()?)?)
    })
}

fn take_back(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| {
        dismissals::take_back(tx, request.id()?)?;
        Ok(Answer::nothing())
    })
}
