//! When a change needs a reason: rules over the old and the new value of a field.
use chrono::{DateTime, NaiveDate, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{change::FieldDiff, money::decimal};

/// Which changes of a field a rule means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Condition {
    /// Every one.
    Always {},
    /// A deal goes to an earlier stage of its pipeline.
    StageMovedBackwards {},
    /// A day or an instant becomes a later one, or is cleared: else it would be pushed out in two steps.
    DatePushedOut {},
    /// An amount or a number shrinks by more than this share of what it was, or is cleared.
    ValueLowered {
        /// 0 to 100; at 0 every lower value counts.
        #[serde(rename = "byMoreThanPercent")]
        #[schema(value_type = f64, minimum = 0, maximum = 100)]
        by_more_than_percent: crate::Money,
    },
}

/// What a condition has to know of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pipeline: uuid::Uuid,
    pub(super) position: i32,
}

impl Condition {
    /// Does it mean this change? `stages` are the places of the old and the new stage, where they are known.
    pub(super) fn means(self, diff: &FieldDiff, stages: Option<(Place, Place)>) -> bool {
        match self {
            Self::Always {} => true,
            Self::StageMovedBackwards {} => {
                stages.is_some_and(|(old, new)| old.pipeline == new.pipeline && new.position < old.position)
            }
            Self::DatePushedOut {} => match (instant(&diff.old_value), instant(&diff.new_value)) {
                (Some(old), Some(new)) => new > old,
                (Some(_), None) => diff.new_value.is_null(),
                _ => false,
            },
            Self::ValueLowered { by_more_than_percent } => {
                is_lowered(&diff.old_value, &diff.new_value, by_more_than_percent.amount())
            }
        }
    }
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    let text = value.as_str()?;
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?.and_utc());
    DateTime::parse_from_rfc3339(text).map(|at| at.with_timezone(&Utc)).ok().or_else(day)
}

fn is_lowered(old: &Value, new: &Value, percent: Decimal) -> bool {
    let number = |value: &Value| decimal(&value.as_number()?.to_string());
    let (Some(old), new) = (number(old), number(new)) else { return false };
    let new = match new {
        Some(new) => new,
        None if old > Decimal::ZERO => Decimal::ZERO,
        None => return false,
    };
    let lost = (old - new).checked_mul(Decimal::ONE_HUNDRED);
    let allowed = old.abs().checked_mul(percent);
    new < old && lost.zip(allowed).is_none_or(|(lost, allowed)| lost > allowed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn means(condition: Value, old: Value, new: Value) -> bool {
        let condition: Condition = serde_json::from_value(condition).unwrap();
        condition.means(&FieldDiff { field_name: "f".into(), old_value: old, new_value: new }, None)
    }

    #[test]
    fn amounts_shrink_by_shares_of_what_they_were() {
        let by = |percent: Value| json!({"type": "value_lowered", "byMoreThanPercent": percent});
        for (percent, old, new, expected) in [
            (json!(10), json!(100), json!(90), false),
            (json!(10), json!(100), json!(89.99), true),
            (json!(10), json!(100), json!(110), false),
            (json!(0), json!(5), json!(4.9999), true),
            (json!(0), json!(5), json!(5), false),
            (json!(12.5), json!(800), json!(700), false),
            (json!(12.5), json!(800), json!(699), true),
            (json!(99), json!(5), json!(null), true),
            (json!(0), json!(0), json!(null), false),
            (json!(0), json!(null), json!(5), false),
            (json!(10), json!(-100), json!(-105), false),
            (json!(10), json!(-100), json!(-111), true),
            (json!(10), json!("a"), json!("b"), false),
        ] {
            assert_eq!(means(by(percent.clone()), old.clone(), new.clone()), expected, "{percent} {old} {new}");
        }
    }

    #[test]
    fn days_and_instants_are_pushed_out() {
        for (old, new, expected) in [
            (json!("2025-12-16"), json!("2025-12-17"), true),
            (json!("2025-12-17"), json!("2025-12-16"), false),
            (json!("2025-12-16T10:00:00Z"), json!("2025-12-16T11:00:00+02:00"), false),
            (json!("2025-12-16T10:00:00Z"), json!("2025-12-16T13:00:00+02:00"), true),
            (json!(null), json!("2025-12-16"), false),
            (json!("2025-12-16"), json!(null), true),
            (json!("2025-12-16"), json!("soon"), false),
        ] {
            assert_eq!(means(json!({"type": "date_pushed_out"}), old.clone(), new.clone()), expected, "{old} {new}");
        }
    }

    #[test]
    fn stages_go_backwards_within_their_pipeline_alone() {
        let diff = FieldDiff { field_name: "stageId".into(), old_value: json!("a"), new_value: json!("b") };
        let place = |pipeline, position| Place { pipeline: uuid::Uuid::from_u128(pipeline), position };
        for (stages, expected) in [
            (Some((place(1, 3), place(1, 2))), true),
            (Some((place(1, 2), place(1, 3))), false),
            (Some((place(1, 3), place(2, 1))), false),
            (None, false),
        ] {
            assert_eq!(Condition::StageMovedBackwards {}.means(&diff, stages), expected);
        }
    }
}
