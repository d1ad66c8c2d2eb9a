//! Requests that somebody else has to approve.
use crm_core::{Id, Patch, Record, Result, Tx};
use crm_policy::approvals::{self, Approval};

use crate::{
    call::{Call, Reply, Request},
    endpoint::Endpoint,
    reply::Answer,
    schemas,
};

const ALL: &str = "/api/approvals";
const TAG: &str = "Policies";

/// The endpoints of approvals.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let (name, plural) = (Approval::envelope(), Approval::plural());
    let decides = "Somebody else than who asked decides, with the right to do it too and without needing an approval for \
                   that; an ADMIN may need one. Refused with 409 where it is decided, or the record has changed in one of \
                   those fields, and with 410 after its time.";
    let decision = |endpoint: Endpoint, summary: &str, done: &str| {
        endpoint.says(TAG, summary, decides).fails(410).answers::<Approval>(200, &name, done)
    };
    vec![
        Endpoint::get(ALL, "listApprovals", list)
            .says(
                TAG,
                "List requests for approval",
                "Your own; for ADMIN and MANAGER those of everybody whose records they see.",
            )
            .parameters(schemas::list_parameters::<Approval>())
            .lists::<Approval>(&plural, "One page."),
        Endpoint::get("/api/approvals/{id}", "readApproval", read)
            .says(TAG, "Read a request for approval", "What was asked for, and what became of it.")
            .answers::<Approval>(200, &name, "The request."),
        decision(
            Endpoint::post("/api/approvals/{id}/approve", "approveRequest", approve),
            "Approve a request",
            "It is done, once, in the name of who asked.",
        ),
        decision(
            Endpoint::post("/api/approvals/{id}/reject", "rejectRequest", reject),
            "Reject a request",
            "It is over.",
        ),
        Endpoint::post("/api/approvals/{id}/cancel", "cancelRequest", cancel)
            .says(TAG, "Take a request back", "Whoever asked does, while nobody has decided.")
            .answers::<Approval>(200, &name, "It is over."),
    ]
}

fn one(approval: &Approval, tx: &Tx<'_>) -> Result<Answer> {
    Ok(Answer::one(&Approval::envelope(), &approvals::seen(tx.ctx, approval)?)?.version(approval.version))
}

/// 202 with a request that waits for its approval.
pub(crate) fn waiting(approval: &Approval, tx: &Tx<'_>) -> Result<Answer> {
    Ok(one(approval, tx)?.accepted(format!("{ALL}/{}", approval.id)))
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        let page = approvals::list(tx, &request.query()?)?;
        let items = page.items.iter().map(|approval| approvals::seen(tx.ctx, approval)).collect::<Result<_>>()?;
        let page = crm_core::Page::<serde_json::Map<_, _>> { items, next_cursor: page.next_cursor, total: page.total };
        Answer::page(&Approval::plural(), &page)
    })
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        one(&approvals::read(tx, request.id()?)?, tx)
    })
}

fn approve(call: Call) -> impl Future<Output = Reply> {
    decide(call, approvals::approve)
}

fn reject(call: Call) -> impl Future<Output = Reply> {
    decide(call, approvals::reject)
}

fn cancel(call: Call) -> impl Future<Output = Reply> {
    call.write(|tx, request| one(&approvals::cancel(tx, request.id()?, request.reason()?)?, tx))
}

type Verdict = fn(&mut Tx<'_>, Id<Approval>, Patch) -> Result<Approval>;

/// Decides; where that shows that the request is over, that is kept although the decision itself is undone.
async fn decide(call: Call, verdict: Verdict) -> Reply {
    call.run(move |app, caller, request: &Request| {
        let decided = app.door.write(caller, |tx| {
            let decide = |tx: &mut Tx<'_>| one(&verdict(tx, request.id()?, request.reason()?)?, tx);
            request.attempt.once_done(tx, [request.bytes()?.as_ref()], decide)
        });
        if let Some((error, ending)) = decided.as_ref().err().and_then(|error| Some((error, approvals::ending(error)?)))
        {
            app.door.write(caller, |tx| approvals::close(tx, request.id()?, ending, error))?;
        }
        decided
    })
    .await
}
