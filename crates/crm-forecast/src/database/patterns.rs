//! What goes with winning, over the deals that closed: by reason, competitor, objection, owner and size.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_core::{
    Currency, Id, Record, Result, Tx,
    deals::{
        Deal,
        entities::{company_key, entity_key},
        intel::DealIntel,
    },
    masks::{self, Reveals},
    organizations,
    users::User,
};
use diesel::sql_types as st;
use rust_decimal::Decimal;
use serde::Serialize;
use utoipa::ToSchema;

use super::{DealFilter, check_may_view, count, deals_in_question, four_digits};
use crate::patterns::Tally;

/// What goes with winning.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Patterns {
    /// All deals in question, won or lost.
    #[serde(flatten)]
    pub all: Outcomes,
    /// Won deals in all that closed, 0 to 1; null below five deals.
    pub win_rate: Option<f64>,
    /// How many of the deals were reviewed.
    pub reviewed_deals_count: u64,
    /// By the reason that the review names.
    pub by_reason: Vec<PatternGroup>,
    /// By each competitor of the deals' intel. Spellings of one company are put together, with or without its legal form or as its
    /// web address; `spellings` tells which, and `exactNames` keeps them apart.
    pub by_competitor: Vec<PatternGroup>,
    /// By each objection of the deals' intel.
    pub by_objection: Vec<PatternGroup>,
    /// By who worked the deal.
    pub by_owner: Vec<PatternGroup>,
    /// By value in `currency`, smallest first. Deals without a value, or in another currency, are in no group.
    pub by_size: Vec<PatternGroup>,
    /// Days of 24 hours from the beginning to the end of the deals won, on average; null where none was.
    pub average_cycle_days: Option<f64>,
    /// The currency of `bySize`, which is the organization's.
    pub currency: Currency,
}

/// What became of some deals.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Outcomes {
    /// How many deals.
    pub n: u64,
    /// Those won.
    pub won: u64,
    /// Those lost.
    pub lost: u64,
    /// Are they fewer than five, too few for a rate?
    pub insufficient_data: bool,
    /// The lower end of the 90 % interval of the rate (Jeffreys); null below five deals.
    pub low: Option<f64>,
    /// The upper end of the 90 % interval of the rate; null below five deals.
    pub high: Option<f64>,
}

/// Deals that have something in common.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct PatternGroup {
    /// A reason code, the folded name of a competitor or objection, the id of an owner, the lower bound of a size.
    pub key: String,
    /// The same for people: the spelling that most deals use, a name, the bounds.
    pub label: String,
    /// The spellings that were put together, those of most deals first, at most 50; absent where a group has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spellings: Vec<String>,
    /// What became of them.
    #[serde(flatten)]
    pub outcomes: Outcomes,
    /// Won deals in all of the group, 0 to 1; null below five deals.
    pub rate: Option<f64>,
    /// The rate over that of all deals in question: above 1 the group is won more often; null below five deals.
    pub lift: Option<f64>,
}

/// The groups that would tell what the caller does not see of the deals and of what is known about them.
pub const REVEALS: [Reveals; 5] = [
    Reveals { member: "byCompetitor", kind: DealIntel::KIND, fields: &["competitors"] },
    Reveals { member: "byObjection", kind: DealIntel::KIND, fields: &["objections"] },
    Reveals { member: "byOwner", kind: Deal::KIND, fields: &["ownerId"] },
    Reveals { member: "bySize", kind: Deal::KIND, fields: &["value", "currency"] },
    Reveals { member: "averageCycleDays", kind: Deal::KIND, fields: &["closedAt", "createdAt"] },
];

/// How names that people wrote are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// Spellings of one company are one, whatever legal form they name.
    #[default]
    Together,
    /// Only case, accents, blanks and punctuation are overlooked: for names that were put together wrongly.
    Exact,
}

/// When deals closed: from the first instant on, before the second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed {
    /// From when on.
    pub from: Option<DateTime<Utc>>,
    /// Before when.
    pub until: Option<DateTime<Utc>>,
}

/// Lower bounds of the groups by size.
const SIZES: [i64; 8] = [0, 1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000];

/// What goes with winning, over the deals in question that closed in a span of time.
///
/// # Errors
/// [`crm_core::Error::Forbidden`]; what the database says.
pub fn read(tx: &mut Tx<'_>, filter: &DealFilter, closed: &Closed, names: Names) -> Result<Patterns> {
    check_may_view(tx)?;
    // Each figure tells how deals ended, and a question about a span of time when.
    masks::check_use::<Deal>(tx.ctx, "status")?;
    if closed.from.is_some() || closed.until.is_some() {
        masks::check_use::<Deal>(tx.ctx, "closedAt")?;
    }
    let currency = organizations::read(tx)?.fields.base_currency;
    let mut question = Question { filter, closed, base: Tally::default() };
    let (base, reviewed, average_cycle_days) = question.overall(tx)?;
    question.base = base;
    Ok(Patterns {
        all: outcomes(base),
        win_rate: base.win_rate().map(|seen| four_digits(seen.rate)),
        reviewed_deals_count: reviewed,
        by_reason: question.by_reason(tx)?,
        by_competitor: question.by_entity(tx, &COMPETITORS, names.key())?,
        by_objection: question.by_entity(tx, &OBJECTIONS, entity_key)?,
        by_owner: question.by_owner(tx)?,
        by_size: question.by_size(tx, &currency)?,
        average_cycle_days: average_cycle_days.map(|days| (days * 10.0).round() / 10.0),
        currency,
    })
}

/// The deals in question that closed, for a statement that begins with what is counted and ends with how it is grouped.
macro_rules! closed_deals {
    ($select:expr, $join:expr, $end:expr) => {
        concat!(
            "SELECT ",
            $select,
            "count(*) FILTER (WHERE d.status = 'won'), count(*) FILTER (WHERE d.status = 'lost') FROM deals d ",
            $join,
            " WHERE ",
            deals_in_question!(),
            " AND d.status <> 'open' AND d.closed_at >= coalesce({}, '-infinity') \
             AND d.closed_at < coalesce({}, 'infinity') ",
            $end
        )
    };
}

const OVERALL: &str = closed_deals!(
    "count(r.id), avg(extract(epoch FROM d.closed_at - coalesce(v.began_at, d.created_at)) / 86400) \
     FILTER (WHERE d.status = 'won')::float8, ",
    "LEFT JOIN win_loss_reviews r ON r.organization_id = d.organization_id AND r.deal_id = d.id AND r.episode = d.episode \
     LEFT JOIN LATERAL (SELECT min(w.entered_at) AS began_at FROM deal_stage_visits w \
       WHERE w.organization_id = d.organization_id AND w.deal_id = d.id AND w.episode = d.episode AND d.episode > 1) v ON TRUE",
    ""
);

const REASONS: &str = closed_deals!(
    "r.primary_reason_code, coalesce(min(c.label), r.primary_reason_code), ",
    "JOIN win_loss_reviews r ON r.organization_id = d.organization_id AND r.deal_id = d.id AND r.episode = d.episode \
     LEFT JOIN reason_codes c ON c.organization_id = d.organization_id AND c.outcome = r.outcome \
       AND c.code = r.primary_reason_code",
    "GROUP BY r.primary_reason_code"
);

/// The statements over what deals' intel names in one list: by each spelling, and by the key that spellings share, where a deal
/// that names a thing in two ways counts once.
struct Entities {
    by_spelling: &'static str,
    by_key: &'static str,
}

macro_rules! entities {
    ($list:literal) => {
        Entities {
            by_spelling: closed_deals!(
                "spelling, ",
                concat!(
                    "JOIN deal_intel i ON i.organization_id = d.organization_id AND i.id = d.id CROSS JOIN LATERAL unnest(i.",
                    $list,
                    ") spelling"
                ),
                "GROUP BY spelling"
            ),
            by_key: closed_deals!(
                "e.key, ",
                concat!(
                    "JOIN deal_intel i ON i.organization_id = d.organization_id AND i.id = d.id CROSS JOIN LATERAL \
                     (SELECT DISTINCT m.key FROM unnest(i.",
                    $list,
                    ") n JOIN unnest({}::text[], {}::text[]) m (spelling, key) ON m.spelling = n) e"
                ),
                "GROUP BY e.key"
            ),
        }
    };
}

const COMPETITORS: Entities = entities!("competitors");
const OBJECTIONS: Entities = entities!("objections");

/// The spellings that a group tells of.
const MOST_SPELLINGS: usize = 50;

const OWNERS: &str = closed_deals!(
    "d.owner_id, min(u.name), ",
    "JOIN users u ON u.organization_id = d.organization_id AND u.id = d.owner_id",
    "GROUP BY d.owner_id"
);

const BY_SIZE: &str =
    closed_deals!("width_bucket(d.value, {}), ", "", "AND d.currency = {} AND d.value IS NOT NULL GROUP BY 1");

/// Which closed deals a question is about, and what became of all of them.
struct Question<'q> {
    filter: &'q DealFilter,
    closed: &'q Closed,
    base: Tally,
}

/// Runs one of the statements above, with values before and behind those of the question.
macro_rules! ask {
    ($question:expr, $tx:expr, $text:expr => $types:ty $(, before $before:expr)? $(, behind $behind:expr)?) => {{
        let (question, ctx) = ($question, $tx.ctx);
        $tx.sql::<$types>($text)
            .with(|s| question.filter.bind(ctx, s$(.bind($before))?))
            .with(|s| s.bind(question.closed.from).bind(question.closed.until)$(.bind($behind))?)
            .all($tx)?
    }};
}

impl Question<'_> {
    fn overall(&self, tx: &mut Tx<'_>) -> Result<(Tally, u64, Option<f64>)> {
        type Types = (st::BigInt, st::Nullable<st::Double>, st::BigInt, st::BigInt);
        let rows: Vec<(i64, Option<f64>, i64, i64)> = ask!(self, tx, OVERALL => Types);
        let (reviewed, days, won, lost) = rows.into_iter().next().unwrap_or_default();
        Ok((tally(won, lost), count(reviewed), days))
    }

    fn by_reason(&self, tx: &mut Tx<'_>) -> Result<Vec<PatternGroup>> {
        let rows: Vec<(String, String, i64, i64)> =
            ask!(self, tx, REASONS => (st::Text, st::Text, st::BigInt, st::BigInt));
        let group = |(key, label, won, lost)| self.group(key, label, tally(won, lost));
        Ok(largest_first(rows.into_iter().map(group)))
    }

    /// Spellings of one thing are put together.
    fn by_entity(&self, tx: &mut Tx<'_>, entities: &Entities, key: fn(&str) -> String) -> Result<Vec<PatternGroup>> {
        let rows: Vec<(String, i64, i64)> = ask!(self, tx, entities.by_spelling => (st::Text, st::BigInt, st::BigInt));
        let mut spelled: BTreeMap<String, Vec<(Tally, String)>> = BTreeMap::new();
        for (spelling, won, lost) in rows {
            spelled.entry(key(&spelling)).or_default().push((tally(won, lost), spelling));
        }
        let several = spelled.iter().filter(|(_, spellings)| spellings.len() > 1);
        let pairs =
            several.flat_map(|(key, spellings)| spellings.iter().map(move |(_, text)| (text.clone(), key.clone())));
        let (texts, keys): (Vec<String>, Vec<String>) = pairs.unzip();
        let together: BTreeMap<String, Tally> = match texts.is_empty() {
            true => BTreeMap::new(),
            false => self.by_key(tx, entities, texts, keys)?,
        };
        let groups = spelled.into_iter().map(|(key, mut spellings)| {
            spellings.sort_by(|(a, x), (b, y)| (b.n(), x).cmp(&(a.n(), y)));
            let alone = spellings.first().map(|(tally, _)| *tally).unwrap_or_default();
            let all = together.get(&key).copied().unwrap_or(alone);
            let spellings: Vec<String> = spellings.into_iter().map(|(_, text)| text).take(MOST_SPELLINGS).collect();
            let label = spellings.first().cloned().unwrap_or_default();
            PatternGroup { spellings, ..self.group(key, label, all) }
        });
        Ok(largest_first(groups))
    }

    /// What became of the deals that name one of the spellings of a key, by key.
    fn by_key(
        &self,
        tx: &mut Tx<'_>,
        entities: &Entities,
        texts: Vec<String>,
        keys: Vec<String>,
    ) -> Result<BTreeMap<String, Tally>> {
        let ctx = tx.ctx;
        let rows: Vec<(String, i64, i64)> = tx
            .sql::<(st::Text, st::BigInt, st::BigInt)>(entities.by_key)
            .with(|s| self.filter.bind(ctx, s.bind(texts).bind(keys)))
            .with(|s| s.bind(self.closed.from).bind(self.closed.until))
            .all(tx)?;
        Ok(rows.into_iter().map(|(key, won, lost)| (key, tally(won, lost))).collect())
    }

    fn by_owner(&self, tx: &mut Tx<'_>) -> Result<Vec<PatternGroup>> {
        let rows: Vec<(Id<User>, String, i64, i64)> =
            ask!(self, tx, OWNERS => (st::Uuid, st::Text, st::BigInt, st::BigInt));
        let group = |(id, name, won, lost): (Id<User>, _, _, _)| self.group(id.to_string(), name, tally(won, lost));
        Ok(largest_first(rows.into_iter().map(group)))
    }

    fn by_size(&self, tx: &mut Tx<'_>, currency: &Currency) -> Result<Vec<PatternGroup>> {
        let bounds: Vec<Decimal> = SIZES.map(Decimal::from).to_vec();
        let mut rows: Vec<(i32, i64, i64)> = ask!(
            self, tx, BY_SIZE => (st::Integer, st::BigInt, st::BigInt), before bounds, behind currency.code()
        );
        rows.sort_unstable();
        let group = |(bucket, won, lost): (i32, i64, i64)| {
            let at = usize::try_from(bucket - 1).unwrap_or_default();
            let from = SIZES.get(at).copied().unwrap_or_default();
            let label = match SIZES.get(at + 1) {
                Some(until) => format!("{from} to below {until}"),
                None => format!("{from} and more"),
            };
            self.group(from.to_string(), label, tally(won, lost))
        };
        Ok(rows.into_iter().map(group).collect())
    }

    fn group(&self, key: String, label: String, tally: Tally) -> PatternGroup {
        let rate = tally.win_rate().map(|seen| four_digits(seen.rate));
        let lift = tally.lift(&self.base).map(four_digits);
        PatternGroup { key, label, spellings: Vec::new(), outcomes: outcomes(tally), rate, lift }
    }
}

fn largest_first(groups: impl Iterator<Item = PatternGroup>) -> Vec<PatternGroup> {
    let mut groups: Vec<_> = groups.collect();
    groups.sort_by(|a, b| (b.outcomes.n, &a.key).cmp(&(a.outcomes.n, &b.key)));
    groups
}

impl Names {
    /// How a competitor is named.
    fn key(self) -> fn(&str) -> String {
        match self {
            Self::Together => company_key,
            Self::Exact => entity_key,
        }
    }
}

fn tally(won: i64, lost: i64) -> Tally {
    Tally { won: count(won), lost: count(lost) }
}

fn outcomes(tally: Tally) -> Outcomes {
    let seen = tally.win_rate();
    Outcomes {
        n: tally.n(),
        won: tally.won,
        lost: tally.lost,
        insufficient_data: seen.is_none(),
        low: seen.map(|seen| four_digits(seen.low)),
        high: seen.map(|seen| four_digits(seen.high)),
    }
}
