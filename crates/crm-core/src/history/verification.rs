//! Is the history whole? Walks the chain from its first row to its head.
use diesel::{prelude::*, sql_types as st};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::{
    chain::{BEGINNING, Digests, Entry, Hash, digest, hash},
    check_manager, seal,
};
use crate::{Id, Result, Tx, organizations::Organization, schema::field_history};

/// How many rows are read at once.
const BATCH: i64 = 2_000;

/// What a walk along the chain has found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Verification {
    /// Is every row where it was appended, as it was appended?
    pub ok: bool,
    /// How many rows were found to be so.
    pub checked: i64,
    /// The number (`seq`) of the first row that is not.
    pub first_broken: Option<i64>,
    /// What is wrong there.
    pub finding: Option<Finding>,
    /// How many rows have had their values erased, as the law or a person demanded.
    pub erased: i64,
    /// Where the chain ends.
    pub head: Head,
}

/// What can be wrong with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It does not say what was appended.
    Edited,
    /// It is gone, and others follow.
    Removed,
    /// It stands behind the end of the chain.
    Inserted,
    /// It is gone, with all behind it.
    Truncated,
}

/// The end of a chain. Kept elsewhere, it shows later whether the whole chain was written anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Head {
    /// The number of the last row; 0 before the first.
    pub seq: i64,
    /// The hash of all rows, as hexadecimal digits.
    pub hash: String,
}

/// A row with all that proves it.
#[derive(Debug, Queryable, Selectable)]
#[diesel(table_name = field_history)]
struct Link {
    seq: i64,
    #[diesel(embed)]
    entry: Entry,
    old_salt: Option<Vec<u8>>,
    new_salt: Option<Vec<u8>>,
    words_salt: Option<Vec<u8>>,
    old_digest: Vec<u8>,
    new_digest: Vec<u8>,
    words_digest: Option<Vec<u8>>,
    hash: Vec<u8>,
}

/// Verifies the history of the caller's organization, for ADMIN and MANAGER. Rows that are appended meanwhile are left
/// for the next time.
///
/// # Errors
/// [`crate::Error::Forbidden`] `role_required`.
pub fn verify(tx: &mut Tx<'_>) -> Result<Verification> {
    check_manager(tx.ctx)?;
    seal(tx)?;
    let (head, last) = ends(tx)?;
    let mut walk = Walk { organization: tx.ctx.organization, seq: 0, hash: BEGINNING, erased: 0 };
    let mut broken = None;
    while broken.is_none() && walk.seq < head.seq {
        let links = after(tx, walk.seq, head.seq)?;
        if links.is_empty() {
            broken = Some((walk.seq + 1, if last > walk.seq { Finding::Removed } else { Finding::Truncated }));
        }
        broken = broken.or_else(|| links.iter().find_map(|link| walk.step(link)));
    }
    if broken.is_none() && hex::encode(walk.hash) != head.hash {
        broken = Some((head.seq, Finding::Edited));
    }
    if broken.is_none() && last > head.seq {
        broken = Some((head.seq + 1, Finding::Inserted));
    }
    let checked = broken.map_or(walk.seq, |(seq, _)| seq - 1);
    let (first_broken, finding) = broken.unzip();
    Ok(Verification { ok: broken.is_none(), checked, first_broken, finding, erased: walk.erased, head })
}

/// The head, and the number of the last row that is there, both of one moment.
fn ends(tx: &mut Tx<'_>) -> Result<(Head, i64)> {
    let (seq, hash, last) = tx
        .sql::<(st::Nullable<st::BigInt>, st::Nullable<st::Binary>, st::Nullable<st::BigInt>)>(
            "SELECT h.seq, h.hash, l.seq FROM (SELECT max(seq) AS seq FROM field_history WHERE organization_id = {org}) l \
             LEFT JOIN history_heads h ON h.organization_id = {org}",
        )
        .one::<(Option<i64>, Option<Vec<u8>>, Option<i64>)>(tx)?;
    let hash = hex::encode(hash.unwrap_or_else(|| BEGINNING.to_vec()));
    Ok((Head { seq: seq.unwrap_or(0), hash }, last.unwrap_or(0)))
}

fn after(tx: &mut Tx<'_>, seq: i64, last: i64) -> Result<Vec<Link>> {
    let rows = tx.from(field_history::table).with(|rows| {
        rows.filter(field_history::seq.gt(seq))
            .filter(field_history::seq.le(last))
            .order(field_history::seq)
            .limit(BATCH)
            .select(Link::as_select())
    });
    Ok(rows.all(tx)?)
}

/// How far a walk has come, and what it knows there.
struct Walk {
    organization: Id<Organization>,
    seq: i64,
    hash: Hash,
    erased: i64,
}

impl Walk {
    /// Goes on by one row. Gives back where the chain is broken.
    fn step(&mut self, link: &Link) -> Option<(i64, Finding)> {
        if link.seq != self.seq + 1 {
            return Some((self.seq + 1, Finding::Removed));
        }
        let digests =
            Digests { old: link.old_digest.clone(), new: link.new_digest.clone(), words: link.words_digest.clone() };
        let hash = hash(&self.hash, &link.entry.members(self.organization, link.seq, &digests));
        if hash[..] != link.hash[..] || !link.keeps_its_word() {
            return Some((link.seq, Finding::Edited));
        }
        (self.seq, self.hash) = (link.seq, hash);
        self.erased += i64::from(link.old_salt.is_none() || link.new_salt.is_none());
        None
    }
}

impl Link {
    /// Are the values and words those of the digests, as far as they have not been erased?
    fn keeps_its_word(&self) -> bool {
        let words = self.entry.words();
        let committed = match &self.words_digest {
            Some(words_digest) => agrees(self.words_salt.as_deref(), words.as_ref(), words_digest),
            None => words.is_none(),
        };
        committed
            && agrees(self.old_salt.as_deref(), self.entry.old_value.as_ref(), &self.old_digest)
            && agrees(self.new_salt.as_deref(), self.entry.new_value.as_ref(), &self.new_digest)
    }
}

/// A value without its salt is erased, and then must be gone itself.
fn agrees(salt: Option<&[u8]>, value: Option<&Value>, expected: &[u8]) -> bool {
    match (salt, value) {
        (Some(salt), Some(value)) => digest(salt, value)[..] == *expected,
        (None, None) => true,
        _ => false,
    }
}
