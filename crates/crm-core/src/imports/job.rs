//! The job that reads a file in: batch by batch, each with its progress in one transaction, so that after a crash it
//! goes on where it stopped and each row lands once.
use diesel::sql_types as st;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    CsvFile, Import, ImportOptions,
    entities::Entity,
    landing::{RowResult, land, record},
    plan::{Item, Plan},
};
use crate::{
    Actor, Door, Error, Id, Result, Tx,
    jobs::{Failure, Job, JobRun},
    notifications::{self, Kind, Notice},
};

/// How many rows land in one transaction.
pub const BATCH: usize = 250;

/// Reads a file in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportJob {
    /// The import.
    pub(super) import: Uuid,
}

impl Job for ImportJob {
    const NAME: &'static str = "import";
    const QUEUE: &'static str = "imports";

    fn run(self, run: &JobRun<'_>) -> std::result::Result<(), Failure> {
        let id = Id::<Import>::from(self.import);
        let Some((import, content)) = run.step(|tx| begin(tx, id))? else { return Ok(()) };
        let options: ImportOptions = serde_json::from_value(import.fields.options.clone())
            .map_err(|_| Failure::Fail("its options cannot be read by this version".into()))?;
        let file = CsvFile::open(&content, &options.file()).map_err(|error| Failure::Fail(error.code().into()))?;
        let plan = run.step(|tx| plan(tx, &import, options, &file))?;
        let actor = match import.fields.created_by {
            Some(user) => Actor::Import { import: self.import, user },
            None => Actor::System,
        };
        let work = Work { run, import: &import, plan: &plan, file: &file, actor };
        match import.fields.dry_run {
            true => work.rehearse()?,
            false => work.land()?,
        }
        run.finish(|tx| conclude(tx, id, "completed", None))
    }

    fn given_up(self, tx: &mut Tx<'_>, reason: &str) -> Result<()> {
        conclude(tx, self.import.into(), "failed", Some(reason))
    }
}

/// Begins an import, or goes on with it. `None` where it has ended meanwhile.
fn begin(tx: &mut Tx<'_>, id: Id<Import>) -> Result<Option<(Import, Vec<u8>)>> {
    let begun = tx.sql::<st::Integer>(
        "UPDATE imports SET status = 'running', rows_done = CASE WHEN dry_run THEN 0 ELSE rows_done END, \
         updated_at = {} WHERE organization_id = {org} AND id = {} AND status IN ('queued', 'running')",
    );
    let now = tx.ctx.now;
    if begun.with(|s| s.bind(now).bind(id)).run(tx)? == 0 {
        return Ok(None);
    }
    let content =
        tx.sql::<st::Binary>("SELECT content FROM import_files WHERE organization_id = {org} AND import_id = {}");
    let content = content.with(|s| s.bind(id)).one(tx)?;
    Ok(Some((tx.find(id)?, content)))
}

/// The plan as it was checked when the file came in. It fails only where a custom field has gone since.
fn plan(tx: &mut Tx<'_>, import: &Import, options: ImportOptions, file: &CsvFile<'_>) -> Result<Plan> {
    let entity = Entity::named(&import.fields.entity_type).ok_or(Error::NotFound)?;
    let (mut errors, none) = (Vec::new(), serde_json::Map::new());
    let mapping = import.fields.mapping.as_object().unwrap_or(&none);
    let plan = Plan::new(tx, entity, mapping, options, file.columns(), &mut errors)?;
    if errors.is_empty() { Ok(plan) } else { Err(Error::Invalid(errors)) }
}

fn conclude(tx: &mut Tx<'_>, id: Id<Import>, status: &str, error: Option<&str>) -> Result<()> {
    let now = tx.ctx.now;
    let ended = tx.sql::<st::Nullable<st::Uuid>>(
        "UPDATE imports SET status = {}, error = {}, finished_at = {}, updated_at = {} \
         WHERE organization_id = {org} AND id = {} AND status IN ('queued', 'running') RETURNING created_by",
    );
    let ended = ended.with(|s| s.bind(status).bind(error).bind(now).bind(now).bind(id)).first::<Option<Uuid>>(tx)?;
    let kind = if error.is_none() { Kind::ImportCompleted } else { Kind::ImportFailed };
    match ended.flatten() {
        Some(user) => notifications::tell(tx, user.into(), &Notice::about(kind, id.uuid())),
        None => Ok(()),
    }
}

/// One run over the file.
struct Work<'w> {
    run: &'w JobRun<'w>,
    import: &'w Import,
    plan: &'w Plan,
    file: &'w CsvFile<'w>,
    actor: Actor,
}

impl Work<'_> {
    /// Lets the rows land from the first one that has not yet, until the import is cancelled or the worker stops.
    fn land(&self) -> std::result::Result<(), Failure> {
        let mut done = usize::try_from(self.import.fields.rows_done).unwrap_or(0);
        let mut items = self.plan.items(self.file).skip(done);
        loop {
            let batch: Vec<Item> = items.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            if self.run.is_stopping() {
                return Err(self.run.leave());
            }
            done += batch.len();
            let goes_on = self.run.step_as(&self.actor, |tx| {
                let running = is_running(tx, self.import.id)?;
                if running {
                    let results = land(tx, self.import.id, self.plan, batch, 0)?;
                    record(tx, self.import.id, done, &results, true)?;
                }
                Ok(running)
            })?;
            if !goes_on {
                return Ok(());
            }
        }
    }

    /// Lets all rows land in one transaction, so that later rows find what earlier ones made, and then undoes it. The
    /// progress is told meanwhile, for the import alone.
    fn rehearse(&self) -> std::result::Result<(), Failure> {
        let outcome = self.run.step_as(&self.actor, |tx| {
            let mut results = Vec::new();
            match tx.savepoint(|tx| self.rehearse_all(tx, &mut results)) {
                Err(Error::Conflict { code: UNDONE, .. }) => {}
                Err(error) => return Err(error),
                Ok(()) => return Ok(false),
            }
            let is_running = is_running(tx, self.import.id)?;
            if is_running {
                record(tx, self.import.id, results.len(), &results, false)?;
            }
            Ok(is_running)
        });
        match outcome {
            Err(Failure::Retry(_)) if self.run.is_stopping() => Err(self.run.leave()),
            outcome => outcome.map(drop),
        }
    }

    fn rehearse_all(&self, tx: &mut Tx<'_>, results: &mut Vec<RowResult>) -> Result<()> {
        let mut items = self.plan.items(self.file);
        loop {
            let batch: Vec<Item> = items.by_ref().take(BATCH).collect();
            if batch.is_empty() || !self.tell(results.len())? {
                return Err(Error::Conflict { code: UNDONE, detail: "A dry run keeps nothing.".into() });
            }
            if self.run.is_stopping() {
                return Err(Error::Unavailable("the worker is about to end".into()));
            }
            let waiting = results.iter().filter(|result| result.waits()).count();
            results.extend(land(tx, self.import.id, self.plan, batch, waiting)?);
        }
    }

    /// Writes how far a dry run has got, beside its transaction. Is the import still wanted?
    fn tell(&self, done: usize) -> Result<bool> {
        let door = Door::new(self.run.database().clone(), self.run.gates().clone());
        door.system_write(self.run.organization(), self.run.now(), |tx| {
            let told = tx.sql::<st::Integer>(
                "UPDATE imports SET rows_done = {}, updated_at = {} \
                 WHERE organization_id = {org} AND id = {} AND status = 'running'",
            );
            let (done, now) = (i32::try_from(done).unwrap_or(i32::MAX), tx.ctx.now);
            Ok(told.with(|s| s.bind(done).bind(now).bind(self.import.id)).run(tx)? > 0)
        })
    }
}

/// The code of the refusal by which a dry run undoes itself.
const UNDONE: &str = "dry_run";

/// Is the import still wanted? Its row is locked until the batch has landed.
fn is_running(tx: &mut Tx<'_>, id: Id<Import>) -> Result<bool> {
    let status = tx.sql::<st::Text>("SELECT status FROM imports WHERE organization_id = {org} AND id = {} FOR UPDATE");
    Ok(status.with(|s| s.bind(id)).first::<String>(tx)?.as_deref() == Some("running"))
}
