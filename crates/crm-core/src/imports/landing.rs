//! A batch of rows on its way into the organization: each row lands by itself, and a bad one harms no other.
use diesel::sql_types as st;
use serde_json::{Map, Value};

use super::{
    CellError, Import, RowFingerprint,
    duplicates::Duplicates,
    entities::Landed,
    interpretation::{Interpreted, Reading, collect, interpret},
    lookups::{Lookups, Wanted},
    options::Dedupe,
    plan::{Item, Plan},
    targets::Target,
};
use crate::{
    Error, Id, Kind, Patch, Reason, Result, Tx,
    companies::Company,
    proposals::{self, MOST_AT_ONCE, proposing},
    record::Record,
};
use uuid::Uuid;

/// What is said of a reason code that the list does not have for such a change.
const UNKNOWN_CODE: &str = "unknown_reason_code";

/// What became of a row.
pub(super) struct RowResult {
    number: i32,
    fingerprint: RowFingerprint,
    outcome: Outcome,
    /// What wants a look although the row has landed.
    warnings: Vec<CellError>,
}

enum Outcome {
    Created(Landed),
    Updated(Landed),
    Skipped(Landed),
    /// It waits for this request for approval.
    Waiting(Uuid),
    Failed(Vec<CellError>),
}

impl Outcome {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::Updated(_) => "updated",
            Self::Skipped(_) => "skipped",
            Self::Waiting(_) => "waiting",
            Self::Failed(_) => "failed",
        }
    }

    fn landed(&self) -> Option<Landed> {
        match self {
            Self::Created(landed) | Self::Updated(landed) | Self::Skipped(landed) => Some(*landed),
            Self::Waiting(_) | Self::Failed(_) => None,
        }
    }

    fn approval(&self) -> Option<Uuid> {
        match self {
            Self::Waiting(approval) => Some(*approval),
            _ => None,
        }
    }
}

impl RowResult {
    /// Does it wait for an approval?
    pub(super) fn waits(&self) -> bool {
        self.outcome.approval().is_some()
    }
}

/// Writes a batch of rows, each within a savepoint of its own. `waiting_before` counts those that wait for an approval and are
/// not written down yet.
///
/// # Errors
/// Only what stops all rows alike, such as a database that is away.
pub(super) fn land(
    tx: &mut Tx<'_>,
    import: Id<Import>,
    plan: &Plan,
    batch: Vec<Item>,
    waiting_before: usize,
) -> Result<Vec<RowResult>> {
    let (mut wanted, mut known_by) = (Wanted::default(), Vec::with_capacity(batch.len()));
    for item in &batch {
        if let Ok(row) = &item.row {
            collect(&plan.columns, &row.cells, &mut wanted);
            known_by.push((plan.known_by(&row.cells), item.fingerprint));
        }
    }
    let lookups = Lookups::load(tx, &wanted)?;
    let duplicates = Duplicates::load(tx, plan.entity, import, &known_by)?;
    let waiting = tx.sql::<st::Integer>("SELECT waiting FROM imports WHERE organization_id = {org} AND id = {}");
    let waiting = waiting.with(|s| s.bind(import)).one::<i32>(tx)?;
    let waiting = usize::try_from(waiting).unwrap_or(0) + waiting_before;
    let mut batch_of = Batch { plan, lookups, duplicates, waiting };
    batch.into_iter().map(|item| batch_of.land(tx, item)).collect()
}

/// A batch of rows with all that was looked up for it.
struct Batch<'p> {
    plan: &'p Plan,
    lookups: Lookups,
    duplicates: Duplicates,
    /// How many rows of the import wait for an approval.
    waiting: usize,
}

impl Batch<'_> {
    fn land(&mut self, tx: &mut Tx<'_>, item: Item) -> Result<RowResult> {
        let (number, read) = match item.row {
            Ok(row) => (row.number, interpret(&self.reading(tx), &row.cells)),
            Err(ragged) => (ragged.row.number, Err(vec![CellError { field: None, problem: (&ragged).into() }])),
        };
        let (outcome, mut warnings) = match read {
            Ok(mut row) => {
                let warnings = std::mem::take(&mut row.warnings);
                (self.land_row(tx, &row, item.fingerprint)?, warnings)
            }
            Err(errors) => (Outcome::Failed(errors), Vec::new()),
        };
        if !matches!(outcome, Outcome::Created(_) | Outcome::Updated(_) | Outcome::Waiting(_)) {
            warnings.clear();
        }
        if let Outcome::Waiting(approval) = outcome {
            let message = format!("Waits for somebody's approval: see /api/approvals/{approval}.");
            warnings.push(CellError::new(None, "waits_for_approval", message));
        }
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        Ok(RowResult { number, fingerprint: item.fingerprint, outcome, warnings })
    }

    fn reading(&self, tx: &Tx<'_>) -> Reading<'_> {
        let Plan { columns, options, values, .. } = self.plan;
        Reading {
            columns,
            options: values,
            lookups: &self.lookups,
            unit: options.business_unit_id.map(Id::uuid),
            pipeline: options.pipeline_id.map(Id::uuid),
            owner: options.owner_id.map(Id::uuid),
            unknown: options.unknown_references,
            now: tx.ctx.now,
        }
    }

    fn land_row(&mut self, tx: &mut Tx<'_>, row: &Interpreted, fingerprint: RowFingerprint) -> Result<Outcome> {
        let known = match self.plan.options.dedupe {
            Dedupe::Create => None,
            Dedupe::Skip | Dedupe::Update => self.duplicates.find(row, fingerprint),
        };
        let outcome = match (known, self.plan.options.dedupe) {
            (Some(known), Dedupe::Skip) => return Ok(Outcome::Skipped(known)),
            (Some(known), _) => self.update(tx, row, known),
            (None, _) => tx.savepoint(|tx| self.create(tx, row)),
        };
        match self.waits(tx, outcome) {
            Ok(outcome) => {
                if let Some(landed) = outcome.landed() {
                    self.learn(row, landed, known.is_none());
                }
                Ok(outcome)
            }
            Err(error) => Ok(Outcome::Failed(self.refusals(error)?)),
        }
    }

    fn create(&self, tx: &mut Tx<'_>, row: &Interpreted) -> Result<Outcome> {
        let patch = Patch::from(self.with_constants(row));
        let mut past = row.past;
        past.created_at = past.created_at.or(past.closed_at);
        let past = self.plan.options.as_history.then_some(past);
        let body = patch.body();
        let landed = (self.plan.entity.create)(tx, patch, past);
        proposing(landed, |proposal| proposal.asked(self.plan.entity.kind, None, body)).map(Outcome::Created)
    }

    /// The members of a new record: those of the row, and the options' where the row says nothing. A stage that the row
    /// names by its id brings its own pipeline.
    fn with_constants(&self, row: &Interpreted) -> Map<String, Value> {
        let (options, mut members) = (&self.plan.options, row.members.clone());
        let pipeline = options.pipeline_id.filter(|_| !members.contains_key("stageId"));
        let constants = [
            ("businessUnitId", options.business_unit_id.map(Id::uuid)),
            ("pipelineId", pipeline.map(Id::uuid)),
            ("ownerId", options.owner_id.map(Id::uuid)),
        ];
        for (member, id) in constants {
            if let Some(id) = id {
                members.entry(member).or_insert_with(|| id.to_string().into());
            }
        }
        members
    }

    /// Changes a record, with the import's reason. Where its code explains other fields than those of this row, the row
    /// lands without the code, unless a rule wants one.
    fn update(&self, tx: &mut Tx<'_>, row: &Interpreted, known: Landed) -> Result<Outcome> {
        let mut change = |reason: Reason| {
            let patch = Patch { reason, ..Patch::from(row.members.clone()) };
            let body = patch.body();
            let landed = tx.savepoint(|tx| (self.plan.entity.update)(tx, known.id, patch));
            proposing(landed, |proposal| proposal.asked(self.plan.entity.kind, Some(known.id), body))
        };
        let landed = match change(self.plan.reason.clone()) {
            Err(Error::Invalid(errors)) if errors.iter().all(|error| error.code == UNKNOWN_CODE) => {
                change(Reason { code: None, ..self.plan.reason.clone() })?
            }
            done => done?,
        };
        Ok(if landed == known { Outcome::Skipped(landed) } else { Outcome::Updated(landed) })
    }

    /// What needs somebody's approval waits for it, for as many rows as anybody would look at. What tells a past does not:
    /// approved, it would be told as something new.
    fn waits(&mut self, tx: &mut Tx<'_>, outcome: Result<Outcome>) -> Result<Outcome> {
        match outcome {
            Err(Error::NeedsApproval(proposal))
                if self.waiting < MOST_AT_ONCE && !self.plan.options.as_history && proposal.body.is_some() =>
            {
                let approval = proposals::keep(tx, *proposal)?;
                self.waiting += 1;
                Ok(Outcome::Waiting(approval))
            }
            outcome => outcome,
        }
    }

    /// Lets later rows of the batch know of a record.
    fn learn(&mut self, row: &Interpreted, landed: Landed, is_new: bool) {
        self.duplicates.learn(row, landed);
        if let (true, true, Some(name)) = (is_new, self.plan.entity.kind == Company::KIND, row.text("name")) {
            self.lookups.add_company(name, landed.id);
        }
    }

    /// What a refusal means for its row, in the words of the fields that its columns go to.
    ///
    /// # Errors
    /// Where it is no refusal of this row but an outage.
    fn refusals(&self, error: Error) -> Result<Vec<CellError>> {
        match error {
            Error::Unavailable(_) | Error::Contended(_) => Err(error),
            Error::Invalid(errors) => {
                let told = errors.into_iter();
                Ok(told.map(|e| CellError::new(Some(self.field_of(&e.field)), e.code, e.message)).collect())
            }
            error => {
                if error.kind() == Kind::Internal {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(error = source, "a row met a fault");
                }
                Ok(vec![CellError::new(None, error.code(), error.to_string())])
            }
        }
    }

    fn field_of<'f>(&'f self, member: &'f str) -> &'f str {
        let column = self.plan.columns.iter().find(|column| match &column.field.target {
            Target::Reference(reference) => reference.member() == member,
            _ => false,
        });
        column.map_or(member, |column| column.field.descriptor.name.as_str())
    }
}

/// Writes what became of rows and counts them, in the transaction in which they landed. After a dry run the records
/// are gone, and so their ids are left out.
pub(super) fn record(
    tx: &mut Tx<'_>,
    import: Id<Import>,
    rows_done: usize,
    results: &[RowResult],
    is_kept: bool,
) -> Result<()> {
    let column = |text: fn(&RowResult) -> String| results.iter().map(text).collect::<Vec<_>>();
    let ids =
        results.iter().map(|r| r.outcome.landed().filter(|_| is_kept).map_or_else(String::new, |l| l.id.to_string()));
    let approvals = results
        .iter()
        .map(|r| r.outcome.approval().filter(|_| is_kept).map_or_else(String::new, |approval| approval.to_string()));
    let versions =
        results.iter().map(|r| r.outcome.landed().map_or(0, |l| i32::try_from(l.version).unwrap_or(i32::MAX)));
    tx.sql::<st::Integer>(
        "INSERT INTO import_rows (organization_id, import_id, row_number, outcome, fingerprint, entity_type, \
         entity_id, version_after, errors, warnings, approval_id) \
         SELECT i.organization_id, i.id, r.row_number, r.outcome, decode(r.fingerprint, 'hex'), i.entity_type, \
         nullif(r.entity_id, '')::uuid, nullif(r.version, 0), nullif(r.errors, '')::jsonb, \
         nullif(r.warnings, '')::jsonb, nullif(r.approval_id, '')::uuid \
         FROM imports i, unnest({}, {}, {}, {}, {}, {}, {}, {}) \
         AS r (row_number, outcome, fingerprint, entity_id, version, errors, warnings, approval_id) \
         WHERE i.organization_id = {org} AND i.id = {}",
    )
    .with(|s| {
        s.bind(results.iter().map(|result| result.number).collect::<Vec<_>>())
            .bind(column(|result| result.outcome.as_str().to_owned()))
            .bind(column(|result| result.fingerprint.to_string()))
            .bind(ids.collect::<Vec<_>>())
            .bind(versions.collect::<Vec<_>>())
            .bind(column(errors_of))
            .bind(column(|result| told(&result.warnings)))
            .bind(approvals.collect::<Vec<_>>())
            .bind(import)
    })
    .run(tx)?;
    count(tx, import, rows_done, results)
}

fn errors_of(result: &RowResult) -> String {
    match &result.outcome {
        Outcome::Failed(errors) => told(errors),
        _ => String::new(),
    }
}

/// As JSON; nothing is nothing.
fn told(problems: &[CellError]) -> String {
    if problems.is_empty() { String::new() } else { serde_json::to_string(problems).unwrap_or_default() }
}

fn count(tx: &mut Tx<'_>, import: Id<Import>, rows_done: usize, results: &[RowResult]) -> Result<()> {
    let ended = |word: &str| results.iter().filter(|result| result.outcome.as_str() == word).count();
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let warned = results.iter().filter(|result| !result.warnings.is_empty()).count();
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE imports SET rows_done = {}, created = created + {}, updated = updated + {}, skipped = skipped + {}, \
         waiting = waiting + {}, failed = failed + {}, warnings = warnings + {}, updated_at = {} WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| {
        s.bind(number(rows_done))
            .bind(number(ended("created")))
            .bind(number(ended("updated")))
            .bind(number(ended("skipped")))
            .bind(number(ended("waiting")))
            .bind(number(ended("failed")))
            .bind(number(warned))
            .bind(now)
            .bind(import)
    })
    .run(tx)?;
    Ok(())
}
