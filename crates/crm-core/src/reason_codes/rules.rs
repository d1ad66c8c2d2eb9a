//! Which changes need a reason.
use chrono::{DateTime, Utc};
use diesel::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use validator::Validate;

use super::Condition;
use crate::{
    Error, Id, Money, Result, Tx, bodies,
    change::Draft,
    history::kinds::{self, Shape},
    record::{Field, FieldKind, Record},
    record_rows,
    schema::reason_rules,
};

/// A rule of the organization: this change needs a reason code.
#[derive(Debug, Clone, Serialize, Queryable, Selectable, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = reason_rules)]
pub struct ReasonRule {
    /// Its id.
    pub id: Id<ReasonRule>,
    /// Its fields.
    #[serde(flatten)]
    #[diesel(embed)]
    pub fields: ReasonRuleFields,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub updated_at: DateTime<Utc>,
    /// Counts its changes.
    pub version: i64,
}

/// The fields of a rule.
#[derive(Debug, Clone, Serialize, Deserialize, Validate, Queryable, Selectable, Insertable, AsChangeset, ToSchema)]
#[serde(rename_all = "camelCase")]
#[diesel(table_name = reason_rules, treat_none_as_null = true)]
pub struct ReasonRuleFields {
    /// The kind of record.
    #[schema(example = "deal")]
    pub entity_type: String,
    /// The field, `customFields.<key>`, or `deletedAt` for the deletion; every field that people can set, and the
    /// deletion, where none is given.
    #[schema(example = "stageId")]
    pub field_name: Option<String>,
    /// Which changes of it.
    #[schema(value_type = Condition)]
    pub condition: Value,
    /// One that does not require asks people for a reason and lets them go on without.
    pub is_required: bool,
}

impl Default for ReasonRuleFields {
    fn default() -> Self {
        Self { entity_type: String::new(), field_name: None, condition: Value::Null, is_required: true }
    }
}

impl Record for ReasonRule {
    const KIND: &'static str = "reason_rule";
    const TABLE: &'static str = "reason_rules";
    const FIELDS: &'static [Field] = &[
        Field::new("entityType", "entity_type", FieldKind::Text).required(),
        Field::new("fieldName", "field_name", FieldKind::Text),
        Field::new("condition", "condition", FieldKind::Json).required(),
        Field::new("isRequired", "is_required", FieldKind::Bool),
    ];
    record_rows!(ReasonRuleFields, reason_rules);

    fn check_new(tx: &mut Tx<'_>, draft: &mut Draft<Self>) -> Result<()> {
        let ReasonRuleFields { entity_type, field_name, condition, .. } = draft.fields().clone();
        if entity_type.is_empty() || condition.is_null() {
            return Ok(());
        }
        let shape = match kinds::check_field(tx, Some(&entity_type), field_name.as_deref())? {
            Ok(shape) => shape,
            Err((field, message)) => {
                draft.refuse(field, "not_allowed", message);
                return Ok(());
            }
        };
        match bodies::read::<Condition>(condition) {
            Ok(condition) => {
                if let Some(message) = misfit(condition, &entity_type, field_name.as_deref(), shape) {
                    draft.refuse("condition", "not_allowed", message);
                }
            }
            Err(Error::Invalid(errors)) => draft.refuse_all(bodies::within("condition", errors)),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Why a condition could never be met by changes of such a field.
fn misfit(condition: Condition, kind: &str, field: Option<&str>, shape: Shape) -> Option<&'static str> {
    match condition {
        Condition::Always {} => None,
        Condition::StageMovedBackwards {} => {
            ((kind, field) != ("deal", Some("stageId"))).then_some("Only the stageId of a deal moves backwards.")
        }
        Condition::DatePushedOut {} => (shape != Shape::Date).then_some("The field is neither a day nor an instant."),
        Condition::ValueLowered { by_more_than_percent } => {
            let percent = Money::ZERO.amount()..=rust_decimal::Decimal::ONE_HUNDRED;
            if !percent.contains(&by_more_than_percent.amount()) {
                return Some("byMoreThanPercent is between 0 and 100.");
            }
            (shape != Shape::Number).then_some("The field is no number.")
        }
    }
}
