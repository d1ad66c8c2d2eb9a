//! The five endpoints that every record has: list, create, read, update, delete.
use crm_core::{
    Id, Patch, Record, Result, Tx, change,
    gate::{Action, Ask},
    page,
};
use crm_policy::approvals::Approval;
use utoipa::ToSchema;

use crate::{
    call::Call,
    endpoint::{Access, Endpoint},
    reply::Answer,
    schemas,
};

/// How a kind of record is offered: its words, who may what, and its own commands where it has rules.
pub(super) struct Resource<R: Record> {
    /// `/api/leads`.
    pub(super) path: &'static str,
    /// `/api/leads/{id}`.
    pub(super) one: &'static str,
    /// The heading in the document.
    pub(super) tag: &'static str,
    /// `a lead`, in sentences.
    pub(super) noun: &'static str,
    /// Who may create and change.
    pub(super) writes: Access,
    /// Who may delete.
    pub(super) deletes: Access,
    pub(super) create: fn(&mut Tx<'_>, Patch) -> Result<R>,
    pub(super) update: fn(&mut Tx<'_>, Id<R>, Patch) -> Result<R>,
    pub(super) delete: fn(&mut Tx<'_>, Id<R>, &Patch) -> Result<()>,
}

/// What a 202 means.
pub(super) const WAITS: &str =
    "A policy wants somebody else's approval: nothing is done before, and `Location` tells what becomes of it.";

/// Deletes a record without rules of its own.
pub(super) fn delete<R: Record>(tx: &mut Tx<'_>, id: Id<R>, patch: &Patch) -> Result<()> {
    tx.delete(id, patch).map(|_| ())
}

impl<R: Record> Resource<R> {
    /// A record without rules of its own, for everybody to write and managers to delete.
    pub(super) fn plain(path: &'static str, one: &'static str, tag: &'static str, noun: &'static str) -> Self {
        Self {
            path,
            one,
            tag,
            noun,
            writes: Access::User,
            deletes: Access::Manager,
            create: change::create,
            update: change::update,
            delete,
        }
    }
}

impl<R> Resource<R>
where
    R: Record + ToSchema,
    R::Fields: ToSchema,
{
    /// All five.
    pub(super) fn endpoints(self) -> Vec<Endpoint> {
        vec![self.list(), self.create(), self.read(), self.update(), self.delete()]
    }

    /// `listLeads`, `readLead`.
    fn operation(&self, verb: &str, many: bool) -> String {
        let name = if many { R::plural() } else { R::envelope() };
        let mut letters = name.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        format!("{verb}{}{}", first.map(String::from).unwrap_or_default(), letters.as_str())
    }

    pub(super) fn list(&self) -> Endpoint {
        let words = "A page of those that you may see. Filters combine; every list is stable under concurrent changes.";
        Endpoint::get(self.path, &self.operation("list", true), list::<R>)
            .says(self.tag, &format!("List {}", plural_words::<R>()), words)
            .parameters(schemas::list_parameters::<R>())
            .lists::<R>(&R::plural(), "One page.")
    }

    pub(super) fn create(&self) -> Endpoint {
        let (create, path) = (self.create, self.path);
        let handler = move |call: Call| {
            call.propose::<R>(move |tx, request| {
                let record = create(tx, request.patch()?)?;
                Ok(Answer::record(&record, tx)?.created(format!("{path}/{}", record.id())))
            })
        };
        let body = self.schema_name("Create");
        Endpoint::post(self.path, &self.operation("create", false), handler)
            .says(self.tag, &format!("Create {}", self.noun), "What is left out takes its default.")
            .access(self.writes)
            .named_schema(&body, schemas::creation::<R>())
            .body("application/json", &schemas::reference(&body))
            .answers::<R>(201, &R::envelope(), "What was made, and its address in `Location`.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS)
    }

    pub(super) fn read(&self) -> Endpoint {
        Endpoint::get(self.one, &self.operation("read", false), read::<R>)
            .says(self.tag, &format!("Read {}", self.noun), "With its version as `ETag`.")
            .answers::<R>(200, &R::envelope(), "The record as it stands.")
    }

    pub(super) fn update(&self) -> Endpoint {
        let update = self.update;
        let handler = move |call: Call| {
            call.propose::<R>(move |tx, request| Answer::record(&update(tx, request.id()?, request.patch()?)?, tx))
        };
        let body = self.schema_name("Patch");
        let words = "A merge patch: what is left out stays, null clears. The reason lands in the field history.";
        Endpoint::patch(self.one, &self.operation("update", false), handler)
            .says(self.tag, &format!("Change {}", self.noun), words)
            .access(self.writes)
            .named_schema(&body, schemas::change::<R>())
            .body("application/json", &schemas::reference(&body))
            .answers::<R>(200, &R::envelope(), "The record as it stands now.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS)
    }

    pub(super) fn delete(&self) -> Endpoint {
        let delete = self.delete;
        let handler = move |call: Call| {
            call.propose::<R>(move |tx, request| {
                delete(tx, request.id()?, &request.reason()?)?;
                Ok(Answer::nothing())
            })
        };
        let words = "What it held stays in the field history. The body may be left out.";
        Endpoint::delete(self.one, &self.operation("delete", false), handler)
            .says(self.tag, &format!("Delete {}", self.noun), words)
            .access(self.deletes)
            .reasoned()
            .answers_nothing("It is gone.")
            .answers::<Approval>(202, &Approval::envelope(), WAITS)
    }

    fn schema_name(&self, suffix: &str) -> String {
        format!("{}{suffix}", R::name())
    }
}

fn plural_words<R: Record>() -> String {
    R::TABLE.replace('_', " ")
}

pub(super) fn list<R: Record>(call: Call) -> impl Future<Output = crate::call::Reply> {
    call.read(|tx, request| Answer::records(&page::list::<R>(tx, &request.query()?)?, tx))
}

pub(super) fn read<R: Record>(call: Call) -> impl Future<Output = crate::call::Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        tx.ctx.gate.check(tx.ctx, &Ask::about(Action::View, R::KIND))?;
        Answer::record(&tx.find::<R>(request.id()?)?, tx)
    })
}
