//! Decision memory: what is known about deals, and why they were won and lost.
use crm_core::{
    Record, Tx,
    deals::{
        Deal,
        intel::{self, DealIntel},
        reviews::{self, ReviewInput, WinLossReview},
    },
    masks,
};
use crm_forecast::database::patterns::{self, Closed, Names, Patterns};
use crm_policy::approvals::Approval;
use serde_json::json;

use super::{forecasting::deals, resource::WAITS};
use crate::{
    call::{Call, Reply},
    endpoint::Endpoint,
    parameters::{Parameters, about_deals, check_order},
    reply::Answer,
    schemas,
};

const TAG: &str = "Decision memory";
const REVIEW: &str = "/api/deals/{dealId}/win-loss";
const REVIEWS: &str = "/api/deals/{dealId}/win-loss/reviews";
const INTEL: &str = "/api/deals/{dealId}/intel";

/// The endpoints of decision memory.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let words = "The review of an open deal closes it with that outcome, in the first such stage of its pipeline, which \
                 needs the right to mark deals won or lost. A deal that closed without a review is given one. A review \
                 is never changed; a second one of the same close is a 409.";
    vec![
        Endpoint::get(REVIEW, "readWinLossReview", read_review)
            .says(TAG, "Read why a deal was won or lost", "The review of its last close; a 404 where that has none.")
            .answers::<WinLossReview>(200, "winLossReview", "The review."),
        Endpoint::post(REVIEW, "createWinLossReview", create_review)
            .says(TAG, "Review a deal that is won or lost", words)
            .commands::<ReviewInput>()
            .example(&json!({
                "outcome": "won",
                "primaryReasonCode": "best_price",
                "notes": "Beat competitors on pricing and features",
                "learned": "Emphasize data migration support earlier"
            }))
            .answers::<WinLossReview>(201, "winLossReview", "The review.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS),
        Endpoint::get(REVIEWS, "listWinLossReviews", list_reviews)
            .says(
                TAG,
                "List all reviews of a deal",
                "The latest first: the present one, and those that were superseded when the deal was opened again. \
                 `supersedesId` and `supersededById` lead from one to the other.",
            )
            .parameters(schemas::page_parameters())
            .lists::<WinLossReview>("winLossReviews", "One page."),
        Endpoint::get(INTEL, "readDealIntel", read_intel)
            .says(TAG, "Read what is known about a deal", "Empty, at version 0, where nobody has written anything yet.")
            .answers::<DealIntel>(200, "dealIntel", "What is known."),
        Endpoint::put(INTEL, "putDealIntel", put_intel)
            .says(
                TAG,
                "Write down what is known about a deal",
                "What is left out stays, `null` clears. Spellings of one competitor or objection are counted as one in patterns; a \
                 competitor's legal form and web address are overlooked there.",
            )
            .named_schema("DealIntelPut", schemas::change::<DealIntel>())
            .body("application/json", &schemas::reference("DealIntelPut"))
            .example(&json!({
                "decisionMaker": "CTO Sarah Johnson",
                "keyPainPoints": ["Manual data entry", "Poor reporting"],
                "objections": ["Price too high", "Needs board approval"],
                "competitors": ["Salesforce", "HubSpot"]
            }))
            .answers::<DealIntel>(200, "dealIntel", "What is known now.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS),
        pattern_report(),
    ]
}

fn pattern_report() -> Endpoint {
    let words = "Shares of deals won among those that closed, by reason, competitor, objection, owner and size; `lift` \
                 compares with all of them. A group of fewer than five has no rate.";
    let span = json!({"type": "string"});
    about_deals(Endpoint::get("/api/deals/win-loss/patterns", "readPatterns", read_patterns))
        .says(TAG, "What goes with winning?", words)
        .query(
            "exactNames",
            &json!({"type": "boolean", "default": false}),
            "Tells competitors apart by their legal form and web address too: `Acme Inc`, `Acme GmbH` and `acme.com`.",
        )
        .query("from", &span, "Deals that closed at this instant or later, or on this day in UTC.")
        .query("to", &span, "Deals that closed before this instant, or on this day in UTC at the latest.")
        .answers::<Patterns>(200, "patterns", "The patterns.")
}

fn read_review(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        Answer::one("winLossReview", &reviews::read(tx, request.id_at("dealId")?)?)
    })
}

fn list_reviews(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let given = Parameters::of(request, ["limit", "cursor"])?;
        Answer::page("winLossReviews", &reviews::list(tx, request.id_at("dealId")?, given.as_slice())?)
    })
}

fn create_review(call: Call) -> impl Future<Output = Reply> {
    call.propose::<Deal>(|tx, request| {
        let deal = reviews::lock_to_review(tx, request.id_at("dealId")?)?;
        let address = format!("/api/deals/{}/win-loss", deal.id);
        let review = request.command(|review, patch| reviews::create(tx, &deal, review, patch))?;
        Ok(Answer::one("winLossReview", &review)?.created(address))
    })
}

fn known(intel: &DealIntel, tx: &Tx<'_>) -> crm_core::Result<Answer> {
    Ok(Answer::one("dealIntel", &masks::masked(tx.ctx, intel)?)?.version(intel.version))
}

fn read_intel(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        known(&intel::read(tx, request.id_at("dealId")?)?, tx)
    })
}

fn put_intel(call: Call) -> impl Future<Output = Reply> {
    call.propose::<DealIntel>(|tx, request| known(&intel::put(tx, request.id_at("dealId")?, request.patch()?)?, tx))
}

fn read_patterns(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let given = Parameters::of(request, ["pipelineId", "businessUnitId", "from", "to", "exactNames"])?;
        let names = if given.flag("exactNames")? { Names::Exact } else { Names::Together };
        let closed = Closed { from: given.beginning("from")?, until: given.end("to")? };
        check_order(["from", "to"], closed.from.as_ref(), closed.until.as_ref())?;
        let filter = deals(tx, &given)?;
        let patterns = patterns::read(tx, &filter, &closed, names)?;
        Answer::one("patterns", &masks::withheld(tx.ctx, &patterns, &patterns::REVEALS)?)
    })
}
