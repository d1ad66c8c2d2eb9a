//! For whom statistics are kept: what somebody may see of deals teaches them, and nothing else does.

use crm_core::{Ctx, Id, Result, Tx, business_units::BusinessUnit};
use diesel::sql_types as st;
use uuid::Uuid;

use super::DealFilter;

/// Units of a set for which statistics are kept; for larger ones they are computed when they are asked for.
const MOST_UNITS: usize = 40;

/// Sets of units for which statistics are kept.
const MOST_SETS: i64 = 200;

/// The deals that a question can learn from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Audience {
    /// Every deal of the organization.
    Everything,
    /// Those of one business unit.
    Unit(Uuid),
    /// Those of these units, and those of none. Sorted.
    Units(Vec<Uuid>),
}

impl Audience {
    /// That of a caller who asks about some deals; `None` where they see none of these.
    pub(super) fn of(ctx: &Ctx, filter: &DealFilter) -> Option<Self> {
        match (ctx.scope.units.as_deref(), filter.business_unit_id) {
            (None, None) => Some(Self::Everything),
            (None, Some(unit)) => Some(Self::Unit(unit.uuid())),
            (Some(units), Some(unit)) => units.contains(&unit).then(|| Self::Unit(unit.uuid())),
            (Some(units), None) => {
                let mut units: Vec<Uuid> = units.iter().map(|unit| unit.uuid()).collect();
                units.sort_unstable();
                Some(Self::Units(units))
            }
        }
    }

    /// Every audience that the organization has now and that is worth keeping statistics for.
    pub(super) fn all(tx: &mut Tx<'_>) -> Result<Vec<Self>> {
        let units: Vec<Id<BusinessUnit>> = tx
            .sql::<st::Uuid>("SELECT id FROM business_units WHERE organization_id = {org} ORDER BY id LIMIT {}")
            .with(|s| s.bind(MOST_SETS))
            .all(tx)?;
        let sets: Vec<Vec<Uuid>> = tx
            .sql::<st::Array<st::Uuid>>(
                "SELECT DISTINCT array_agg(business_unit_id ORDER BY business_unit_id) FROM business_unit_members \
                 WHERE organization_id = {org} GROUP BY user_id HAVING count(*) <= {} ORDER BY 1 LIMIT {}",
            )
            .with(|s| s.bind(i64::try_from(MOST_UNITS).unwrap_or(i64::MAX)).bind(MOST_SETS))
            .all(tx)?;
        let units = units.into_iter().map(|unit| Self::Unit(unit.uuid()));
        Ok([Self::Everything].into_iter().chain(units).chain(sets.into_iter().map(Self::Units)).collect())
    }

    /// The name under which its statistics are kept; `None` where they are not.
    pub(super) fn key(&self) -> Option<String> {
        match self {
            Self::Everything => Some("all".into()),
            Self::Unit(unit) => Some(format!("unit {unit}")),
            Self::Units(units) if units.len() > MOST_UNITS => None,
            Self::Units(units) => {
                let units: Vec<String> = units.iter().map(Uuid::to_string).collect();
                Some(format!("units {}", units.join(" ")))
            }
        }
    }

    /// Does a deal of this unit belong to it?
    pub(super) fn includes(&self, deal_unit: Option<Uuid>) -> bool {
        match self {
            Self::Everything => true,
            Self::Unit(unit) => deal_unit == Some(*unit),
            Self::Units(units) => deal_unit.is_none_or(|unit| units.binary_search(&unit).is_ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_sees_its_units_and_what_belongs_to_none() {
        let [a, b] = [1, 2].map(Uuid::from_u128);
        let cases = [
            (Audience::Everything, [true, true, true]),
            (Audience::Unit(a), [false, true, false]),
            (Audience::Units(vec![a]), [true, true, false]),
            (Audience::Units(vec![a, b]), [true, true, true]),
        ];
        for (audience, expected) in cases {
            assert_eq!([None, Some(a), Some(b)].map(|unit| audience.includes(unit)), expected, "{audience:?}");
        }
    }

    #[test]
    fn each_audience_has_a_key_of_its_own_unless_it_is_too_large() {
        let units = |n: u128| (0..n).map(Uuid::from_u128).collect::<Vec<_>>();
        assert_ne!(Audience::Unit(units(1)[0]).key(), Audience::Units(units(1)).key());
        assert!(Audience::Units(units(40)).key().is_some());
        assert_eq!(Audience::Units(units(41)).key(), None);
    }
}
