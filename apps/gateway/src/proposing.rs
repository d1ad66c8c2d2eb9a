//! Requests that change one record, and wait where somebody else has to approve that first.
use crm_core::{Error, Record, Result, Tx, proposals::Proposal};
use crm_policy::approvals;

use crate::{
    call::{Call, Reply, Request},
    reply::Answer,
    routes,
};

impl Call {
    /// As [`Call::write`], of one record of type `R` through its own command: what somebody else has to approve first is kept
    /// as a request for approval, in a transaction of its own, and answered with 202. Where it is another record that would
    /// change with it, nothing waits: the body is not about that one.
    pub async fn propose<R: Record>(
        self,
        work: impl FnOnce(&mut Tx<'_>, &Request) -> Result<Answer> + Send + 'static,
    ) -> Reply {
        self.run(move |app, caller, request| match app.door.write(caller, |tx| request.once(tx, work)) {
            Err(Error::NeedsApproval(proposal)) if is_asked::<R>(&proposal, request) => app.door.write(caller, |tx| {
                request.once(tx, |tx, request| {
                    let body = request.object().unwrap_or_default();
                    routes::approvals::waiting(&approvals::request(tx, *proposal, body)?, tx)
                })
            }),
            done => done,
        })
        .await
    }
}

/// Is it the record that the address names, or a new one of the kind, that has to be approved?
fn is_asked<R: Record>(proposal: &Proposal, request: &Request) -> bool {
    // There is one organization, and its address names none.
    let is_named = |id: uuid::Uuid| R::KIND == "organization" || request.names(&id.to_string());
    proposal.kind == R::KIND && proposal.id.is_none_or(is_named)
}
