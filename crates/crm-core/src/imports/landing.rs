//! A batch of rows on its way into the organization: each row lands by itself, and a bad one harms no other.
use diesel::sql_types as st;

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
use crate::{Error, Id, Kind, Patch, Result, Tx, companies::Company, record::Record};

/// What became of a row.
pub(super) struct RowResult {
    number: i32,
    fingerprint: RowFingerprint,
    outcome: Outcome,
}

enum Outcome {
    Created(Landed),
    Updated(Landed),
    Skipped(Landed),
    Failed(Vec<CellError>),
}

impl Outcome {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::Updated(_) => "updated",
            Self::Skipped(_) => "skipped",
            Self::Failed(_) => "failed",
        }
    }

    fn landed(&self) -> Option<Landed> {
        match self {
            Self::Created(landed) | Self::Updated(landed) | Self::Skipped(landed) => Some(*landed),
            Self::Failed(_) => None,
        }
    }
}

/// Writes a batch of rows, each within a savepoint of its own.
///
/// # Errors
/// Only what stops all rows alike, such as a database that is away.
pub(super) fn land(tx: &mut Tx<'_>, import: Id<Import>, plan: &Plan, batch: Vec<Item>) -> Result<Vec<RowResult>> {
    let (mut wanted, mut known_by) = (Wanted::default(), Vec::with_capacity(batch.len()));
    for item in &batch {
        if let Ok(row) = &item.row {
            collect(&plan.columns, &row.cells, &mut wanted);
            known_by.push((plan.known_by(&row.cells), item.fingerprint));
        }
    }
    let lookups = Lookups::load(tx, &wanted)?;
    let duplicates = Duplicates::load(tx, plan.entity, import, &known_by)?;
    let mut batch_of = Batch { plan, lookups, duplicates };
    batch.into_iter().map(|item| batch_of.land(tx, item)).collect()
}

/// A batch of rows with all that was looked up for it.
struct Batch<'p> {
    plan: &'p Plan,
    lookups: Lookups,
    duplicates: Duplicates,
}

impl Batch<'_> {
    fn land(&mut self, tx: &mut Tx<'_>, item: Item) -> Result<RowResult> {
        let (number, outcome) = match item.row {
            Ok(row) => (row.number, self.land_row(tx, &row.cells, item.fingerprint)?),
            Err(ragged) => {
                let error = CellError { field: None, problem: (&ragged).into() };
                (ragged.row.number, Outcome::Failed(vec![error]))
            }
        };
        let number = i32::try_from(number).unwrap_or(i32::MAX);
        Ok(RowResult { number, fingerprint: item.fingerprint, outcome })
    }

    fn land_row(&mut self, tx: &mut Tx<'_>, cells: &[String], fingerprint: RowFingerprint) -> Result<Outcome> {
        let reading = Reading {
            columns: &self.plan.columns,
            options: &self.plan.values,
            lookups: &self.lookups,
            unit: self.plan.options.business_unit_id.map(Id::uuid),
            now: tx.ctx.now,
        };
        let row = match interpret(&reading, cells) {
            Ok(row) => row,
            Err(errors) => return Ok(Outcome::Failed(errors)),
        };
        let known = match self.plan.options.dedupe {
            Dedupe::Create => None,
            Dedupe::Skip | Dedupe::Update => self.duplicates.find(&row, fingerprint),
        };
        let outcome = match (known, self.plan.options.dedupe) {
            (Some(known), Dedupe::Skip) => return Ok(Outcome::Skipped(known)),
            (Some(known), _) => tx.savepoint(|tx| self.update(tx, &row, known)),
            (None, _) => tx.savepoint(|tx| self.create(tx, &row)),
        };
        match outcome {
            Ok(outcome) => {
                if let Some(landed) = outcome.landed() {
                    self.learn(&row, landed, known.is_none());
                }
                Ok(outcome)
            }
            Err(error) => Ok(Outcome::Failed(self.refusals(error)?)),
        }
    }

    fn create(&self, tx: &mut Tx<'_>, row: &Interpreted) -> Result<Outcome> {
        let mut patch = Patch::from(row.members.clone());
        if let Some(unit) = self.plan.options.business_unit_id {
            patch = patch.or("businessUnitId", unit.to_string());
        }
        let mut past = row.past;
        past.created_at = past.created_at.or(past.closed_at);
        let past = self.plan.options.as_history.then_some(past);
        (self.plan.entity.create)(tx, patch, past).map(Outcome::Created)
    }

    fn update(&self, tx: &mut Tx<'_>, row: &Interpreted, known: Landed) -> Result<Outcome> {
        let landed = (self.plan.entity.update)(tx, known.id, Patch::from(row.members.clone()))?;
        Ok(if landed == known { Outcome::Skipped(landed) } else { Outcome::Updated(landed) })
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
            Error::Unavailable(_) => Err(error),
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
    let versions =
        results.iter().map(|r| r.outcome.landed().map_or(0, |l| i32::try_from(l.version).unwrap_or(i32::MAX)));
    tx.sql::<st::Integer>(
        "INSERT INTO import_rows (organization_id, import_id, row_number, outcome, fingerprint, entity_type, \
         entity_id, version_after, errors) \
         SELECT i.organization_id, i.id, r.row_number, r.outcome, decode(r.fingerprint, 'hex'), i.entity_type, \
         nullif(r.entity_id, '')::uuid, nullif(r.version, 0), nullif(r.errors, '')::jsonb \
         FROM imports i, unnest({}, {}, {}, {}, {}, {}) \
         AS r (row_number, outcome, fingerprint, entity_id, version, errors) \
         WHERE i.organization_id = {org} AND i.id = {}",
    )
    .with(|s| {
        s.bind(results.iter().map(|result| result.number).collect::<Vec<_>>())
            .bind(column(|result| result.outcome.as_str().to_owned()))
            .bind(column(|result| result.fingerprint.to_string()))
            .bind(ids.collect::<Vec<_>>())
            .bind(versions.collect::<Vec<_>>())
            .bind(column(errors_of))
            .bind(import)
    })
    .run(tx)?;
    count(tx, import, rows_done, results)
}

fn errors_of(result: &RowResult) -> String {
    match &result.outcome {
        Outcome::Failed(errors) => serde_json::to_string(errors).unwrap_or_default(),
        _ => String::new(),
    }
}

fn count(tx: &mut Tx<'_>, import: Id<Import>, rows_done: usize, results: &[RowResult]) -> Result<()> {
    let ended = |word: &str| results.iter().filter(|result| result.outcome.as_str() == word).count();
    let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let now = tx.ctx.now;
    tx.sql::<st::Integer>(
        "UPDATE imports SET rows_done = {}, created = created + {}, updated = updated + {}, skipped = skipped + {}, \
         failed = failed + {}, updated_at = {} WHERE organization_id = {org} AND id = {}",
    )
    .with(|s| {
        s.bind(number(rows_done))
            .bind(number(ended("created")))
            .bind(number(ended("updated")))
            .bind(number(ended("skipped")))
            .bind(number(ended("failed")))
            .bind(now)
            .bind(import)
    })
    .run(tx)?;
    Ok(())
}
