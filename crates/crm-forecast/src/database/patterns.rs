//! What goes with winning, over the deals that closed: by reason, competitor, objection, owner and size.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use crm_core::{
    Currency, Id, Record, Result, Tx,
    deals::{
        Deal,
        intel::{DealIntel, entity_key},
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
    /// By each competitor of the deals' intel.
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
pub fn read(tx: &mut Tx<'_>, filter: &DealFilter, closed: &Closed) -> Result<Patterns> {
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
        by_competitor: question.by_entity(tx, COMPETITORS)?,
        by_objection: question.by_entity(tx, OBJECTIONS)?,
        by_owner: question.by_owner(tx)?,
        by_size: question.by_size(tx, &currency)?,
        average_cycle_days: average_cycle_days.map(|days| (days * 10.0).round() / 10.0),
        currency,
    })
}

/// The deals in question that closed, for a statement that begins with what is counted and ends with how it is grouped.
macro_rules! closed_deals {
    ($select:literal, $join:literal, $end:literal) => {
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

const COMPETITORS: &str = closed_deals!(
    "spelling, ",
    "JOIN deal_intel i ON i.organization_id = d.organization_id AND i.id = d.id CROSS JOIN LATERAL unnest(i.competitors) spelling",
    "GROUP BY spelling"
);

const OBJECTIONS: &str = closed_deals!(
    "spelling, ",
    "JOIN deal_intel i ON i.organization_id = d.organization_id AND i.id = d.id CROSS JOIN LATERAL unnest(i.objections) spelling",
    "GROUP BY spelling"
);

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
        Ok(self.largest_first(rows.into_iter().map(|(key, label, won, lost)| (key, label, tally(won, lost)))))
    }

    /// Spellings of one thing are put together. No deal names a thing twice, so that each deal counts once.
    fn by_entity(&self, tx: &mut Tx<'_>, text: &'static str) -> Result<Vec<PatternGroup>> {
        let rows: Vec<(String, i64, i64)> = ask!(self, tx, text => (st::Text, st::BigInt, st::BigInt));
        let mut entities: BTreeMap<String, Vec<(Tally, String)>> = BTreeMap::new();
        for (spelling, won, lost) in rows {
            entities.entry(entity_key(&spelling)).or_default().push((tally(won, lost), spelling));
        }
        let groups = entities.into_iter().map(|(key, mut spellings)| {
            spellings.sort_by(|(a, x), (b, y)| (b.n(), x).cmp(&(a.n(), y)));
            let mut all = Tally::default();
            spellings.iter().for_each(|(tally, _)| all.add(*tally));
            let label = spellings.into_iter().next().map(|(_, spelling)| spelling).unwrap_or_default();
            (key, label, all)
        });
        Ok(self.largest_first(groups))
    }

    fn by_owner(&self, tx: &mut Tx<'_>) -> Result<Vec<PatternGroup>> {
        let rows: Vec<(Id<User>, String, i64, i64)> =
            ask!(self, tx, OWNERS => (st::Uuid, st::Text, st::BigInt, st::BigInt));
        Ok(self.largest_first(rows.into_iter().map(|(id, name, won, lost)| (id.to_string(), name, tally(won, lost)))))
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

    fn largest_first(&self, groups: impl Iterator<Item = (String, String, Tally)>) -> Vec<PatternGroup> {
        let mut groups: Vec<_> = groups.map(|(key, label, tally)| self.group(key, label, tally)).collect();
        groups.sort_by(|a, b| (b.outcomes.n, &a.key).cmp(&(a.outcomes.n, &b.key)));
        groups
    }

    fn group(&self, key: String, label: String, tally: Tally) -> PatternGroup {
        let rate = tally.win_rate().map(|seen| four_digits(seen.rate));
        let lift = tally.lift(&self.base).map(four_digits);
        PatternGroup { key, label, outcomes: outcomes(tally), rate, lift }
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
