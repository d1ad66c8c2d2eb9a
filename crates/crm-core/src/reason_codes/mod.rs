//! Why fields change, and why deals are won and lost: codes that can be counted, beside free notes.
//!
//! Which changes need one is a matter of rules ([`ReasonRule`]), which every change, on whatever path it comes, has to
//! meet.
use chrono::{DateTime, Utc};
use diesel::{
    prelude::*,
    sql_types::{Integer, Text},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use validator::{Validate, ValidationError};

use crate::{
    Error, Id, Result, Tx,
    change::Draft,
    history::kinds,
    record::{Field, FieldKind, Record},
    record_rows,
    schema::reason_codes,
};

mod checking;
mod conditions;
mod replacing;
mod rules;

pub(crate) use checking::{Known, REVERT, check, check_code, demand};
pub use conditions::Condition;
pub use replacing::{ReasonSettings, read, replace};
pub use rules::{ReasonRule, ReasonRuleFields};

/// A code of the organization's list.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = reason_codes)]
pub struct ReasonCode {
    /// Its id.
    pub id: Id<ReasonCode>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: ReasonCodeFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// The fields of a code. Outcome, entity type, field and code together are what it is known by.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = reason_codes, treat_none_as_null = true)]
pub struct ReasonCodeFields {
    /// The kind of record whose changes it explains; every kind where none is given.
    pub entity_type: Option<String>,
    /// The field whose changes it explains; every field where none is given.
    pub field_name: Option<String>,
    /// `change`, or `won` or `lost` for the reviews of deals that close.
    pub outcome: String,
    /// The word that changes bear.
    #[validate(length(max = 100), custom(function = self::word))]
    #[schema(example = "customer_request")]
    pub code: String,
    /// What people read.
    #[validate(length(max = 100))]
    #[schema(example = "Customer request")]
    pub label: String,
    /// Its place in lists, from 1.
    pub position: i32,
    /// One that is not stays in the history, and no new change can bear it.
    pub is_active: bool,
}

impl Default for ReasonCodeFields {
    fn default() -> Self {
        let (code, label) = (String::new(), String::new());
        Self { entity_type: None, field_name: None, outcome: CHANGE.into(), code, label, position: 0, is_active: true }
    }
}

/// The outcome of codes that explain changes of fields.
const CHANGE: &str = "change";

const OUTCOMES: [&str; 3] = [CHANGE, "won", "lost"];

fn word(code: &str) -> Result<(), ValidationError> {
    if code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Ok(());
    }
    Err(ValidationError::new("invalid_code").with_message("Lower-case letters, digits and `_`.".into()))
}

impl Record for ReasonCode {
    const KIND: &'static str = "reason_code";
    const TABLE: &'static str = "reason_codes";
    const FIELDS: &'static [Field] = &[
        Field::new("entityType", "entity_type", FieldKind::Text),
        Field::new("fieldName", "field_name", FieldKind::Text),
        Field::new("outcome", "outcome", FieldKind::Choice(&OUTCOMES)).required(),
        Field::new("code", "code", FieldKind::Text).required(),
        Field::new("label", "label", FieldKind::Text).required(),
        Field::new("position", "position", FieldKind::Int).read_only(),
        Field::new("isActive", "is_active", FieldKind::Bool),
    ];
    record_rows!(ReasonCodeFields, reason_codes);

    fn check_new(tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        let fields = draft.fields();
        let (entity_type, field_name) = (fields.entity_type.clone(), fields.field_name.clone());
        let of_deals = field_name.is_none() && entity_type.as_deref().is_none_or(|kind| kind == "deal");
        if fields.outcome != CHANGE && !of_deals {
            draft.refuse("entityType", "not_allowed", "Only deals are won and lost, and as a whole.");
        } else if let Err((field, message)) = kinds::check_field(tx, entity_type.as_deref(), field_name.as_deref())? {
            draft.refuse(field, "not_allowed", message);
        }
        Ok(())
    }
}

/// What a new organization starts with: for changes, for won and for lost deals.
pub const DEFAULTS: [(&str, &[&str]); 3] = [
    ("change", &["progressed", "regressed", "correction", "customer_request", "data_quality", "revert", "other"]),
    ("won", &["best_price", "best_fit", "relationship", "timing", "other"]),
    ("lost", &["price", "competitor", "no_budget", "no_decision", "timing", "missing_feature", "other"]),
];

/// Gives a new organization its first codes.
pub(crate) fn seed(tx: &mut Tx<'_>) -> Result<()> {
    for (outcome, codes) in DEFAULTS {
        for (position, code) in (1..).zip(codes) {
            tx.sql::<Integer>(
                "INSERT INTO reason_codes (organization_id, id, outcome, code, label, position, created_at, updated_at) \
                 VALUES ({org}, {}, {}, {}, {}, {}, {}, {})",
            )
            .with(|s| {
                s.bind(Id::<ReasonCode>::new())
                    .bind(outcome)
                    .bind(*code)
                    .bind(label(code))
                    .bind(position)
                    .bind(tx.ctx.now)
                    .bind(tx.ctx.now)
            })
            .run(tx)?;
        }
    }
    Ok(())
}

fn label(code: &str) -> String {
    let mut label = code.replace('_', " ");
    if let Some(first) = label.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    label
}

/// The codes in force for an outcome (`change`, `won` or `lost`), in their order.
///
/// # Errors
/// What the database says.
pub fn active(tx: &mut Tx<'_>, outcome: &str) -> Result<Vec<String>> {
    tx.sql::<Text>(
        "SELECT code FROM reason_codes WHERE organization_id = {org} AND outcome = {} AND is_active ORDER BY position",
    )
    .with(|s| s.bind(outcome))
    .all(tx)
    .map_err(Error::from)
}
