//! Cursors: where a page begins, as an opaque text that fits the list it was given out for and no other.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{Ctx, Error, Page, Result, filters::malformed};

/// The most that one page holds.
pub const LARGEST: i64 = 200;
/// What it holds where the caller asks for nothing else.
pub const USUAL: i64 = 50;

/// Where a page begins: behind this sort value and id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The sort value as text; none where the row has none.
    pub v: Option<String>,
    /// The row's id.
    pub i: Uuid,
}

#[derive(Serialize, Deserialize)]
struct Cursor {
    #[serde(flatten)]
    position: Position,
    /// Ties the cursor to its list and to its own position.
    c: String,
}

/// Makes a cursor of a position in the list of that fingerprint.
pub fn seal(list: &str, position: Position) -> Result<String> {
    let c = checksum(list, &position);
    let bytes = serde_json::to_vec(&Cursor { position, c }).map_err(|e| Error::Internal(Box::new(e)))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A page of what is ordered by an instant and an id, of which one more than `limit` was read where there was one.
///
/// # Errors
/// [`Error::Internal`] where no cursor can be made.
pub fn cut<T>(
    list: &str,
    limit: i64,
    mut items: Vec<T>,
    place: impl Fn(&T) -> (DateTime<Utc>, Uuid),
) -> Result<Page<T>> {
    let size = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = items.len() > size;
    items.truncate(size);
    let last = items.last().filter(|_| more).map(place);
    let position =
        |(at, i): (DateTime<Utc>, Uuid)| Position { v: Some(at.to_rfc3339_opts(SecondsFormat::Micros, true)), i };
    let next_cursor = last.map(|last| seal(list, position(last))).transpose()?;
    Ok(Page { items, next_cursor, total: None })
}

/// Reads a cursor back.
///
/// # Errors
/// [`Error::Malformed`] `invalid_cursor` where it was not given out for the list of that fingerprint.
pub fn open(list: &str, text: &str) -> Result<Position> {
    let cursor: Option<Cursor> =
        URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    cursor.filter(|c| c.c == checksum(list, &c.position)).map(|c| c.position).ok_or_else(|| {
        malformed("invalid_cursor", "The cursor is not one of this list. A cursor goes with the same filter and sort.")
    })
}

/// Names the organization, the list and its filter, so that a cursor fits nothing else.
pub fn fingerprint(ctx: &Ctx, list: &str, query: &[(String, String)]) -> String {
    let mut parts: Vec<_> =
        query.iter().filter(|(name, _)| !matches!(name.as_str(), "cursor" | "limit" | "count")).collect();
    parts.sort();
    let text = format!("{}|{list}|{parts:?}", ctx.organization);
    hex::encode(&Sha256::digest(text)[..12])
}

/// How many rows a page is to hold.
///
/// # Errors
/// [`Error::Malformed`] where it is no number from 1 to [`LARGEST`].
pub fn limit(value: &str) -> Result<i64> {
    let limit = value.parse().ok().filter(|n| (1..=LARGEST).contains(n));
    limit.ok_or_else(|| malformed("invalid_value", format!("`limit` is a whole number from 1 to {LARGEST}.")))
}

fn checksum(list: &str, position: &Position) -> String {
    let text = format!("{list}|{:?}|{}", position.v, position.i);
    hex::encode(&Sha256::digest(text)[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_fits_its_own_list_alone() {
        for v in [None, Some("2025-01-01T00:00:00Z".to_owned()), Some(String::new())] {
            let position = Position { v, i: Uuid::max() };
            let text = seal("one", position.clone()).unwrap();
            assert_eq!(open("one", &text).unwrap(), position);
            assert_eq!(open("two", &text).unwrap_err().code(), "invalid_cursor");
        }
    }

    #[test]
    fn a_forged_cursor_is_refused() {
        let sealed = seal("one", Position { v: None, i: Uuid::nil() }).unwrap();
        let mut json = String::from_utf8(URL_SAFE_NO_PAD.decode(&sealed).unwrap()).unwrap();
        json = json.replace("00000000-0000", "00000000-0001");
        for text in [URL_SAFE_NO_PAD.encode(json), "%%%".into(), String::new(), "bnVsbA".into()] {
            assert_eq!(open("one", &text).unwrap_err().code(), "invalid_cursor", "{text}");
        }
    }
}
