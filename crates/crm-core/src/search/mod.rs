//! The search over leads, companies, contacts and deals: every word of the query must occur, perhaps with a typing error.
//!
//! One statement to a table, answered from its trigram index (`pg_trgm`). A word is found where the folded text of a
//! record contains it; from four letters on also where a word of the record differs by one slip of the finger (see
//! `slips`), or where its word similarity is at least 0.6, PostgreSQL's own threshold of `<%`. Words of one or two
//! characters have no trigram inside a text, so they must begin a word, but for scripts that write without spaces. Telephone numbers are found by their digits in
//! any notation, addresses of web pages by their domain.
use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{
    Ctx, Error, Id, Result, Tx,
    business_units::BusinessUnit,
    companies::Company,
    contacts::Contact,
    deals::Deal,
    filters::malformed,
    gate::{Action, Ask},
    leads::Lead,
    masks,
    record::Record,
    select::{self, Condition},
};

mod needles;
mod slips;
mod statements;

use needles::Needle;
use statements::{Row, Search};

/// Something that was found.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hit {
    /// `lead`, `company`, `contact` or `deal`.
    #[serde(rename = "type")]
    pub type_: &'static str,
    /// The record's id.
    pub id: Uuid,
    /// What people call it.
    pub title: String,
    /// What tells it from others of that name.
    pub subtitle: Option<String>,
    /// The business unit that it belongs to.
    pub business_unit_id: Option<Id<BusinessUnit>>,
    /// How well it fits, 0 to 1: 1 is called so, from 0.9 begins so, 0.8 contains every word, 0.75 has each word with one
    /// slip of the finger at most, below that resembles it.
    pub score: f64,
    #[serde(skip)]
    updated_at: DateTime<Utc>,
}

/// The most hits that a search answers with.
pub const LARGEST: i64 = 50;
/// How many it answers with where the caller asks for nothing else.
pub const USUAL: i64 = 20;

/// How a kind of record is searched: its scope, and its title and subtitle in SQL.
struct Source {
    kind: &'static str,
    table: &'static str,
    title: &'static str,
    subtitle: &'static str,
    /// The fields that it shows, looks through or ranks by. Who does not see one of them finds none of these records.
    fields: &'static [&'static str],
    scope: fn(&Ctx) -> Vec<Condition>,
}

const SOURCES: [Source; 4] = [
    Source {
        kind: Lead::KIND,
        table: Lead::TABLE,
        title: "coalesce(nullif(concat_ws(' ', first_name, last_name), ''), company_name, email, '')",
        subtitle: "coalesce(company_name, email)",
        fields: &["firstName", "lastName", "companyName", "email", "phone", "businessUnitId"],
        scope: select::scope::<Lead>,
    },
    Source {
        kind: Company::KIND,
        table: Company::TABLE,
        title: "name",
        subtitle: "coalesce(domain, city)",
        fields: &["name", "domain", "city", "businessUnitId"],
        scope: select::scope::<Company>,
    },
    Source {
        kind: Contact::KIND,
        table: Contact::TABLE,
        title: "coalesce(nullif(concat_ws(' ', first_name, last_name), ''), email, '')",
        subtitle: "coalesce(job_title, email)",
        fields: &["firstName", "lastName", "email", "phone", "jobTitle", "businessUnitId"],
        scope: select::scope::<Contact>,
    },
    Source {
        kind: Deal::KIND,
        table: Deal::TABLE,
        title: "title",
        subtitle: "status",
        fields: &["title", "status", "businessUnitId"],
        scope: select::scope::<Deal>,
    },
];

/// What was asked for, understood and checked.
struct Question {
    sources: Vec<&'static Source>,
    needle: Needle,
    limit: i64,
}

/// The records that the caller may see and that fit `q` best, of the kinds in `types` or of all; `limit` of them.
///
/// # Errors
/// [`Error::Malformed`] for `q` below 2 or above 200 characters, or a parameter that does not fit; [`Error::Forbidden`]
/// where `types` names what the caller may not see.
pub fn search(tx: &mut Tx<'_>, query: &[(String, String)]) -> Result<Vec<Hit>> {
    let question = Question::parse(tx.ctx, query)?;
    let mut hits = Vec::new();
    for source in question.sources {
        let found = Search::new(tx.ctx, source, &question.needle, question.limit);
        let rows: Vec<Row> = found.load(tx.conn())?;
        hits.extend(rows.into_iter().map(|row| hit(source.kind, row)));
    }
    hits.sort_by(|a, b| b.score.total_cmp(&a.score).then(b.updated_at.cmp(&a.updated_at)).then(b.id.cmp(&a.id)));
    hits.truncate(usize::try_from(question.limit).unwrap_or_default());
    Ok(hits)
}

fn hit(type_: &'static str, (id, unit, title, subtitle, score, updated_at): Row) -> Hit {
    Hit { type_, id, title, subtitle, business_unit_id: unit.map(Id::from), score, updated_at }
}

impl Question {
    fn parse(ctx: &Ctx, query: &[(String, String)]) -> Result<Self> {
        let (mut q, mut limit, mut types) = (None, USUAL, None);
        for (name, value) in query {
            match name.as_str() {
                "q" => q = Some(value.as_str()),
                "limit" => limit = value.parse().ok().filter(|n| (1..=LARGEST).contains(n)).ok_or_else(too_many)?,
                "types" => types = Some(value.as_str()),
                _ => {
                    let detail = format!("There is no parameter `{name}`. There are: q, types, limit.");
                    return Err(malformed("unknown_parameter", detail));
                }
            }
        }
        let needle = Needle::new(q.unwrap_or_default())?;
        Ok(Self { sources: sources(ctx, types)?, needle, limit })
    }
}

fn too_many() -> Error {
    malformed("invalid_value", format!("`limit` is a whole number from 1 to {LARGEST}."))
}

/// What is searched: the kinds that were asked for, else all that the caller may see.
fn sources(ctx: &Ctx, types: Option<&str>) -> Result<Vec<&'static Source>> {
    let may_see = |source: &&Source| {
        ctx.gate.check(ctx, &Ask::about(Action::View, source.kind))?;
        masks::check_uses(ctx, source.kind, source.fields)
    };
    let Some(types) = types else {
        return Ok(SOURCES.iter().filter(|source| may_see(source).is_ok()).collect());
    };
    let kinds: Vec<_> = types.split(',').collect();
    if let Some(unknown) = kinds.iter().find(|kind| !SOURCES.iter().any(|source| source.kind == **kind)) {
        let known: Vec<_> = SOURCES.iter().map(|source| source.kind).collect();
        return Err(malformed("invalid_value", format!("`types`: `{unknown}` is not one of {}.", known.join(", "))));
    }
    let sources: Vec<_> = SOURCES.iter().filter(|source| kinds.contains(&source.kind)).collect();
    sources.iter().try_for_each(may_see)?;
    Ok(sources)
}
