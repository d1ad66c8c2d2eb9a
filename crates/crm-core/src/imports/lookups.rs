//! What the names in a batch of rows stand for, asked once for all of them.
use std::collections::{HashMap, HashSet};

use diesel::sql_types as st;
use uuid::Uuid;

use super::{CellError, targets::Reference, values::Quote};
use crate::{
    Result, Tx,
    text::{contains, fold},
};

/// What stands under one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    One(Uuid),
    Several,
}

/// The names of a batch that are to be looked up.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    companies: HashSet<String>,
    contacts: HashSet<String>,
}

impl Wanted {
    pub(super) fn add(&mut self, reference: Reference, name: &str) {
        match reference {
            Reference::Company | Reference::ParentCompany => self.companies.insert(fold(name)),
            Reference::Contact => self.contacts.insert(name.to_lowercase()),
            _ => false,
        };
    }
}

/// A stage of a pipeline.
#[derive(Debug, Clone)]
struct Stage {
    id: Uuid,
    pipeline: Uuid,
    name: String,
    kind: String,
}

/// A pipeline or a business unit.
#[derive(Debug, Clone)]
struct Place {
    id: Uuid,
    name: String,
    other: String,
    pipeline: Option<Uuid>,
}

/// What the names in a batch of rows stand for.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    users: HashMap<String, Named>,
    companies: HashMap<String, Named>,
    contacts: HashMap<String, Named>,
    pipelines: Vec<Place>,
    stages: Vec<Stage>,
    units: Vec<Place>,
    default_pipeline: Option<Uuid>,
}

impl Lookups {
    /// Asks for all that the rows of a batch can name.
    pub(super) fn load(tx: &mut Tx<'_>, wanted: &Wanted) -> Result<Self> {
        let mut found = Self::default();
        let users = tx.sql::<(st::Uuid, st::Text, st::Text)>(
            "SELECT id, name, email FROM users WHERE organization_id = {org} AND is_active",
        );
        for (id, name, email) in users.all::<(Uuid, String, String)>(tx)? {
            note(&mut found.users, fold(&name), id);
            note(&mut found.users, fold(&email), id);
        }
        found.load_pipelines(tx)?;
        found.load_units(tx)?;
        for company in companies_named(tx, &wanted.companies)? {
            note(&mut found.companies, company.name, company.id);
        }
        for (email, id) in contacts_reached(tx, &wanted.contacts)? {
            note(&mut found.contacts, email, id);
        }
        Ok(found)
    }

    fn load_pipelines(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let pipelines = tx.sql::<(st::Uuid, st::Text, st::Bool)>(
            "SELECT id, name, is_default FROM pipelines WHERE organization_id = {org} ORDER BY created_at, id",
        );
        for (id, name, is_default) in pipelines.all::<(Uuid, String, bool)>(tx)? {
            self.default_pipeline = self.default_pipeline.or(is_default.then_some(id));
            self.pipelines.push(Place { id, name, other: String::new(), pipeline: None });
        }
        let stages = tx.sql::<(st::Uuid, st::Uuid, st::Text, st::Text)>(
            "SELECT id, pipeline_id, name, kind FROM stages WHERE organization_id = {org} ORDER BY pipeline_id, position",
        );
        let stage = |(id, pipeline, name, kind): (Uuid, Uuid, String, String)| Stage { id, pipeline, name, kind };
        self.stages = stages.all(tx)?.into_iter().map(stage).collect();
        Ok(())
    }

    fn load_units(&mut self, tx: &mut Tx<'_>) -> Result<()> {
        let units = tx.sql::<(st::Uuid, st::Text, st::Text, st::Nullable<st::Uuid>)>(
            "SELECT id, name, slug, default_pipeline_id FROM business_units WHERE organization_id = {org} \
             AND is_active ORDER BY name",
        );
        let units: Vec<(Uuid, String, String, Option<Uuid>)> = units.all(tx)?;
        let sees = |id: &Uuid| tx.ctx.scope.units.as_ref().is_none_or(|own| own.iter().any(|own| own.uuid() == *id));
        let place = |(id, name, other, pipeline)| Place { id, name, other, pipeline };
        self.units = units.into_iter().filter(|unit| sees(&unit.0)).map(place).collect();
        Ok(())
    }

    /// A company that has come to be in this batch.
    pub(super) fn add_company(&mut self, name: &str, id: Uuid) {
        note(&mut self.companies, fold(name), id);
    }

    /// A company that will have come to be when a later row names it.
    pub(super) fn expect_company(&mut self, name: &str) {
        self.companies.entry(fold(name)).or_insert(Named::One(Uuid::nil()));
    }

    /// What people call a pipeline.
    pub(super) fn pipeline_name(&self, id: Uuid) -> Option<&str> {
        self.pipelines.iter().find(|place| place.id == id).map(|place| place.name.as_str())
    }

    /// `open`, `won` or `lost`.
    pub(super) fn kind_of_stage(&self, id: Uuid) -> Option<&str> {
        self.stages.iter().find(|stage| stage.id == id).map(|stage| stage.kind.as_str())
    }

    /// Where new deals of a unit begin.
    pub(super) fn default_pipeline(&self, unit: Option<Uuid>) -> Option<Uuid> {
        let of_unit = unit.and_then(|unit| self.units.iter().find(|place| place.id == unit));
        of_unit.and_then(|place| place.pipeline).or(self.default_pipeline)
    }

    /// The id of what a cell names.
    ///
    /// # Errors
    /// A sentence that says what was looked up, and names what there is where that is little.
    pub(super) fn find(&self, reference: Reference, name: &str) -> Result<Uuid, CellError> {
        let quoted = Quote::of(name);
        let one = |found: Option<&Named>, what: &str| match found {
            Some(Named::One(id)) => Ok(*id),
            Some(Named::Several) => {
                let (what, id) = (what.trim_start_matches("active "), reference.member());
                Err(ambiguous(reference, format!("There is more than one {what} {quoted}; give `{id}` instead.")))
            }
            None => Err(unknown(reference, format!("There is no {what} {quoted}."))),
        };
        match reference {
            Reference::Owner => one(self.users.get(&fold(name)), "active user with the name or email"),
            Reference::Company | Reference::ParentCompany => one(self.companies.get(&fold(name)), "company named"),
            Reference::Contact => one(self.contacts.get(&name.to_lowercase()), "contact with the email"),
            Reference::Pipeline => place(&self.pipelines, reference, name, "pipeline"),
            Reference::BusinessUnit => place(&self.units, reference, name, "active business unit"),
            Reference::Stage => self.stage(name, self.default_pipeline),
        }
    }

    /// The stage of that name in a pipeline; without one, in whichever pipeline alone has it.
    ///
    /// # Errors
    /// As [`Lookups::find`].
    pub(super) fn stage(&self, name: &str, pipeline: Option<Uuid>) -> Result<Uuid, CellError> {
        let folded = fold(name);
        let mut same = self.stages.iter().filter(|stage| fold(&stage.name) == folded);
        let within = same.clone().find(|stage| Some(stage.pipeline) == pipeline);
        if let Some(stage) = within {
            return Ok(stage.id);
        }
        if let (None, Some(stage), None) = (pipeline, same.next(), same.next()) {
            return Ok(stage.id);
        }
        let here = self.stages.iter().filter(|stage| pipeline.is_none_or(|pipeline| stage.pipeline == pipeline));
        let names: Vec<_> = here.map(|stage| stage.name.as_str()).collect();
        let pipeline = self.pipelines.iter().find(|place| Some(place.id) == pipeline);
        let of = pipeline.map_or_else(|| "No pipeline alone".into(), |place| format!("The pipeline “{}”", place.name));
        let verb = if pipeline.is_some() { "has no" } else { "has a" };
        let message = format!("{of} {verb} stage {}. There are: {}.", Quote::of(name), names.join(", "));
        Err(unknown(Reference::Stage, message))
    }
}

fn place(places: &[Place], reference: Reference, name: &str, what: &str) -> Result<Uuid, CellError> {
    let folded = fold(name);
    let found = places.iter().find(|place| place.other == folded || fold(&place.name) == folded);
    found.map(|place| place.id).ok_or_else(|| {
        let names: Vec<_> = places.iter().map(|place| place.name.as_str()).collect();
        let there = if names.is_empty() { "none".into() } else { names.join(", ") };
        unknown(reference, format!("There is no {what} {}. There are: {there}.", Quote::of(name)))
    })
}

fn unknown(reference: Reference, message: String) -> CellError {
    CellError::new(Some(reference.name()), "unknown_reference", message)
}

fn ambiguous(reference: Reference, message: String) -> CellError {
    CellError::new(Some(reference.name()), "ambiguous_reference", message)
}

fn note(names: &mut HashMap<String, Named>, name: String, id: Uuid) {
    let named = names.entry(name).or_insert(Named::One(id));
    if *named != Named::One(id) {
        *named = Named::Several;
    }
}

/// A company under a folded name.
pub(super) struct NamedCompany {
    pub(super) id: Uuid,
    pub(super) version: i64,
    /// Its name, folded.
    pub(super) name: String,
    /// Its domain in lower case.
    pub(super) domain: Option<String>,
}

/// The companies that the caller sees under these folded names, oldest first.
pub(super) fn companies_named(tx: &mut Tx<'_>, folded: &HashSet<String>) -> Result<Vec<NamedCompany>> {
    if folded.is_empty() {
        return Ok(Vec::new());
    }
    // The search text is folded and begins with the name, so that its index finds the candidates.
    let patterns: Vec<String> = folded.iter().map(|name| contains(name).trim_start_matches('%').to_owned()).collect();
    let query = tx.sql::<(st::Uuid, st::BigInt, st::Text, st::Nullable<st::Text>)>(
        "SELECT id, version, name, lower(domain) FROM companies WHERE organization_id = {org} \
         AND search_text LIKE ANY({}) AND ({} OR business_unit_id IS NULL OR business_unit_id = ANY({})) \
         ORDER BY created_at, id",
    );
    let (all, units) = scope(tx);
    let rows: Vec<(Uuid, i64, String, Option<String>)> =
        query.with(|s| s.bind(patterns).bind(all).bind(units)).all(tx)?;
    let company =
        |(id, version, name, domain): (_, _, String, _)| NamedCompany { id, version, name: fold(&name), domain };
    Ok(rows.into_iter().map(company).filter(|company| folded.contains(&company.name)).collect())
}

fn contacts_reached(tx: &mut Tx<'_>, emails: &HashSet<String>) -> Result<Vec<(String, Uuid)>> {
    if emails.is_empty() {
        return Ok(Vec::new());
    }
    let query = tx.sql::<(st::Text, st::Uuid)>(
        "SELECT lower(email), id FROM contacts WHERE organization_id = {org} AND lower(email) = ANY({}) \
         AND ({} OR business_unit_id IS NULL OR business_unit_id = ANY({}))",
    );
    let (all, units) = scope(tx);
    let emails: Vec<String> = emails.iter().cloned().collect();
    Ok(query.with(|s| s.bind(emails).bind(all).bind(units)).all(tx)?)
}

/// Does the caller see every unit, and else which? Records without a unit are seen by all.
pub(super) fn scope(tx: &Tx<'_>) -> (bool, Vec<Uuid>) {
    let units = tx.ctx.scope.units.as_ref();
    (units.is_none(), units.into_iter().flatten().map(|unit| unit.uuid()).collect())
}
