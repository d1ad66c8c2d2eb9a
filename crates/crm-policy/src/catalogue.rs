//! What policies of the house may speak about: every kind of record, with the fields that it tells about itself.

use std::collections::HashMap;
use std::sync::LazyLock;

use crm_core::activities::Activity;
use crm_core::alerts::Alert;
use crm_core::api_keys::ApiKey;
use crm_core::business_units::BusinessUnit;
use crm_core::companies::Company;
use crm_core::contacts::Contact;
use crm_core::custom_fields::CustomField;
use crm_core::deals::Deal;
use crm_core::deals::intel::DealIntel;
use crm_core::exchange_rates::ExchangeRate;
use crm_core::imports::Import;
use crm_core::jobs::QueueJob;
use crm_core::leads::Lead;
use crm_core::organizations::Organization;
use crm_core::pipelines::{Pipeline, Stage};
use crm_core::reason_codes::{ReasonCode, ReasonRule};
use crm_core::record::{COMMON, Field, FieldKind};
use crm_core::saved_views::SavedView;
use crm_core::tasks::Task;
use crm_core::users::User;
use crm_core::{Error, Record};

use crate::approvals::Approval;
use crate::attributes::{Registry, Resource, ResourceClass};
use crate::built_in_policies::built_in_policies;
use crate::policies::{Action, Policy};
use crate::scalars::Kind;
use crate::stored_policies::StoredPolicy;

/// Kinds that have no fields to hide or compare, or whose fields are told elsewhere.
const BARE: [(ResourceClass, &[&str]); 4] = [
    (ResourceClass::Record, &["article", "snippet", "template", "sequence", "enrollment"]),
    (ResourceClass::Reference, &["playbook", "email_identity"]),
    (
        ResourceClass::Administration,
        &["webhook", "webhook_source", "webhook_event", "gdpr_request", "legal_hold", "retention_run"],
    ),
    (ResourceClass::Oversight, &["field_history"]),
];

/// The registry of the house. A kind that is not in it is closed to SALES_REP.
pub fn catalogue() -> &'static Registry {
    &CATALOGUE
}

static CATALOGUE: LazyLock<Registry> = LazyLock::new(|| {
    let records = [
        resource::<Lead>(ResourceClass::Record),
        resource::<Company>(ResourceClass::Record),
        resource::<Contact>(ResourceClass::Record),
        resource::<Deal>(ResourceClass::Record),
        resource::<DealIntel>(ResourceClass::Record),
        resource::<Import>(ResourceClass::Record),
        resource::<Activity>(ResourceClass::Own),
        resource::<Task>(ResourceClass::Own),
        resource::<SavedView>(ResourceClass::Own),
        resource::<ApiKey>(ResourceClass::Own),
        resource::<Approval>(ResourceClass::Own),
        resource::<Pipeline>(ResourceClass::Reference),
        resource::<Stage>(ResourceClass::Reference),
        resource::<CustomField>(ResourceClass::Reference),
        resource::<ExchangeRate>(ResourceClass::Reference),
        resource::<ReasonCode>(ResourceClass::Administration),
        resource::<ReasonRule>(ResourceClass::Administration),
        resource::<Organization>(ResourceClass::Administration),
        resource::<BusinessUnit>(ResourceClass::Administration),
        resource::<User>(ResourceClass::Administration),
        resource::<QueueJob>(ResourceClass::Administration),
        resource::<Alert>(ResourceClass::Administration),
        resource::<StoredPolicy>(ResourceClass::Administration),
        suppression(),
    ];
    let bare = BARE.iter().flat_map(|(class, names)| names.iter().map(|name| Resource::new(*name, *class)));
    Registry::new(records.into_iter().chain(bare))
});

/// The table to which an attribute of a kind of record refers, where it is a reference.
pub(crate) fn referenced(kind: &str, attribute: &str) -> Option<&'static str> {
    REFERENCES.get(&(kind, attribute)).copied()
}

static REFERENCES: LazyLock<HashMap<(&'static str, &'static str), &'static str>> = LazyLock::new(|| {
    fn of<R: Record>() -> impl Iterator<Item = ((&'static str, &'static str), &'static str)> {
        R::FIELDS.iter().filter_map(|field| match field.kind {
            FieldKind::Reference(table) => Some(((R::KIND, field.name), table)),
            _ => None,
        })
    }
    let records =
        of::<Lead>().chain(of::<Company>()).chain(of::<Contact>()).chain(of::<Deal>()).chain(of::<DealIntel>());
    let records = records.chain(of::<Import>()).chain(of::<Activity>()).chain(of::<Task>()).chain(of::<SavedView>());
    let records =
        records.chain(of::<ApiKey>()).chain(of::<Approval>()).chain(of::<Stage>()).chain(of::<BusinessUnit>());
    let records = records.chain(of::<User>()).chain(of::<QueueJob>()).chain(of::<Alert>()).chain(of::<Pipeline>());
    records.chain([(("suppression", "businessUnitId"), BusinessUnit::TABLE)]).collect()
});

/// Suppressions are told by another crate; their addresses are hidden as those of leads and contacts are.
fn suppression() -> Resource {
    let reasons = ["bounce", "manual", "unsubscribe", "complaint"].map(str::to_owned).to_vec();
    let fields = [
        ("email", Kind::Text),
        ("reason", Kind::Enum(reasons)),
        ("businessUnitId", Kind::Id),
        ("note", Kind::Text),
        ("createdAt", Kind::Instant),
        ("updatedAt", Kind::Instant),
    ];
    let fields = fields.into_iter();
    // Who lifts one sends mail to somebody who wants none.
    let bare = Resource::new("suppression", ResourceClass::Reference).reserving(Action::Delete);
    fields.fold(bare, |it, (name, kind)| it.with(name, kind))
}

/// The built-in policies over the registry of the house.
///
/// # Errors
/// [`Error::Internal`] where the registry does not bear them.
pub fn built_in() -> Result<&'static [Policy], Error> {
    BUILT_IN.as_deref().ok_or_else(|| Error::internal("the built-in policies cannot be read"))
}

static BUILT_IN: LazyLock<Option<Vec<Policy>>> = LazyLock::new(|| built_in_policies(&CATALOGUE).ok());

/// A kind of record as a resource: its fields, and those that every record has, by their types.
pub fn resource<R: Record>(class: ResourceClass) -> Resource {
    let fields = R::FIELDS.iter().chain(&COMMON);
    fields.fold(Resource::new(R::KIND, class), |resource, field| resource.with(field.name, kind(field)))
}

fn kind(field: &Field) -> Kind {
    match (field.kind, field.currency) {
        (FieldKind::Decimal, Some(currency)) => Kind::Money { currency: currency.to_owned() },
        (FieldKind::Decimal, None) => Kind::Decimal,
        (FieldKind::Text | FieldKind::LongText, _) => Kind::Text,
        (FieldKind::Int, _) => Kind::Int,
        (FieldKind::Bool, _) => Kind::Bool,
        (FieldKind::Date, _) => Kind::Date,
        (FieldKind::Instant, _) => Kind::Instant,
        (FieldKind::Choice(words), _) => Kind::Enum(words.iter().map(|word| (*word).to_owned()).collect()),
        (FieldKind::Reference(_), _) => Kind::Id,
        (FieldKind::Tags, _) => Kind::Texts,
        (FieldKind::Custom | FieldKind::Json, _) => Kind::Opaque,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_policies_fit_the_catalogue() {
        let ids: Vec<&str> = built_in().unwrap().iter().map(|policy| policy.id.as_str()).collect();
        assert!(ids.contains(&"built-in:SALES_REP:change_stage:deal"), "{ids:?}");
    }

    #[test]
    fn fields_have_the_types_of_their_records() {
        let deal = catalogue().resource("deal").unwrap().attributes();
        assert_eq!(deal["value"], Kind::Money { currency: "currency".into() });
        assert_eq!(deal["probability"], Kind::Decimal);
        assert_eq!(deal["stageId"], Kind::Id);
        assert_eq!(deal["status"], Kind::Enum(["open", "won", "lost"].map(str::to_owned).to_vec()));
        assert_eq!(deal["customFields"], Kind::Opaque);
        assert_eq!(deal["createdAt"], Kind::Instant);
        assert_eq!(deal["tags"], Kind::Texts);
    }

    #[test]
    fn every_id_but_those_of_many_kinds_refers_to_a_table() {
        let ids = catalogue().resources().flat_map(|resource| {
            let ids = resource.attributes().iter().filter(|(_, kind)| **kind == Kind::Id);
            ids.map(move |(name, _)| (resource.name(), name.as_str()))
        });
        let unknown: Vec<_> = ids.filter(|(kind, name)| referenced(kind, name).is_none()).collect();
        assert_eq!(unknown, []);
    }
}
