//! The fields that a column can go to: those of the record, the organization's own, references by name, and the past.
use super::{FieldDescriptor, ValueType, entities::Entity};
use crate::{
    custom_fields::CustomField,
    deals::Deal,
    record::{FieldKind, Record},
};

/// A record that is named in words instead of by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Reference {
    /// A user, by name or email.
    Owner,
    /// A company, by name.
    Company,
    /// A company, by name; it may stand in the same file, before or after.
    ParentCompany,
    /// A contact, by email.
    Contact,
    /// A pipeline, by name.
    Pipeline,
    /// A stage, by name, in the row's pipeline or the default one.
    Stage,
    /// A business unit, by slug or name.
    BusinessUnit,
}

impl Reference {
    const ALL: [Self; 7] = [
        Self::Owner,
        Self::Company,
        Self::ParentCompany,
        Self::Contact,
        Self::Pipeline,
        Self::Stage,
        Self::BusinessUnit,
    ];

    /// The member that holds the id.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::Owner => "ownerId",
            Self::Company => "companyId",
            Self::ParentCompany => "parentCompanyId",
            Self::Contact => "contactId",
            Self::Pipeline => "pipelineId",
            Self::Stage => "stageId",
            Self::BusinessUnit => "businessUnitId",
        }
    }

    /// Can a record do without it? What a row lacks of the others follows from defaults.
    pub(super) fn can_be_blank(self) -> bool {
        matches!(self, Self::Owner | Self::Company | Self::ParentCompany | Self::Contact)
    }

    /// Is a record without it likely to lack something?
    pub(super) fn is_missed(self) -> bool {
        matches!(self, Self::Owner | Self::Company | Self::Contact)
    }

    /// The name of the field: the member's without `Id`.
    pub(super) fn name(self) -> &'static str {
        self.member().trim_end_matches("Id")
    }

    fn aliases(self) -> &'static [&'static str] {
        match self {
            Self::Owner => &["owner name", "sales agent", "sales rep", "assigned to"],
            Self::Company => &["account", "account name", "company name", "organization"],
            Self::ParentCompany => &["subsidiary of", "parent account", "parent"],
            Self::Contact => &["contact email"],
            Self::Pipeline => &["pipeline name"],
            Self::Stage => &["deal stage", "stage name"],
            Self::BusinessUnit => &["unit", "brand"],
        }
    }
}

/// What a column's cells become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// The member of that name.
    Member(&'static str),
    /// The custom field of that key.
    Custom(String),
    /// The id of what is named.
    Reference(Reference),
    /// When a deal of the past came to be.
    CreatedAt,
    /// When a deal of the past was closed.
    ClosedAt,
}

/// A field that a column can go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ImportField {
    pub(super) descriptor: FieldDescriptor,
    pub(super) target: Target,
    /// The words that it takes, where they are given.
    pub(super) words: Vec<String>,
}

/// Every field that a column of such a file can go to.
pub(super) fn fields_of(entity: &Entity, definitions: &[CustomField], as_history: bool) -> Vec<ImportField> {
    let mut fields = Vec::new();
    for field in entity.fields.iter().filter(|field| !field.read_only) {
        match field.kind {
            FieldKind::Custom => fields.extend(definitions.iter().map(|own| custom(field.name, own))),
            kind => {
                let value_type = if field.name == "country" { ValueType::Country } else { value_type(kind) };
                let own = plain(field.name, value_type, aliases(field.name), Target::Member(field.name));
                fields.push(ImportField { words: words_of(kind), ..own });
            }
        }
        if let Some(reference) = Reference::ALL.into_iter().find(|reference| reference.member() == field.name) {
            let target = Target::Reference(reference);
            fields.push(plain(reference.name(), ValueType::Text, reference.aliases(), target));
        }
    }
    if entity.kind == Deal::KIND && as_history {
        let past = |name, aliases, target| plain(name, ValueType::DateTime, aliases, target);
        fields.push(past("createdAt", &["created", "create date", "engage date"], Target::CreatedAt));
        fields.push(past("closedAt", &["close date", "closed date"], Target::ClosedAt));
    }
    fields
}

fn plain(name: &str, value_type: ValueType, aliases: &[&str], target: Target) -> ImportField {
    let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
    let descriptor = FieldDescriptor { name: name.into(), label: label(name), value_type, aliases };
    ImportField { descriptor, target, words: Vec::new() }
}

fn words_of(kind: FieldKind) -> Vec<String> {
    match kind {
        FieldKind::Choice(words) => words.iter().map(|word| (*word).to_owned()).collect(),
        _ => Vec::new(),
    }
}

fn custom(member: &str, own: &CustomField) -> ImportField {
    let value_type = match own.fields.type_.as_str() {
        "number" => ValueType::Decimal,
        "date" => ValueType::Date,
        "boolean" => ValueType::Boolean,
        _ => ValueType::Text,
    };
    let descriptor = FieldDescriptor {
        name: format!("{member}.{}", own.fields.key),
        label: own.fields.label.clone(),
        value_type,
        aliases: vec![own.fields.key.clone()],
    };
    ImportField { descriptor, target: Target::Custom(own.fields.key.clone()), words: own.fields.options.clone() }
}

fn value_type(kind: FieldKind) -> ValueType {
    match kind {
        FieldKind::Int => ValueType::Integer,
        FieldKind::Decimal => ValueType::Decimal,
        FieldKind::Bool => ValueType::Boolean,
        FieldKind::Date => ValueType::Date,
        FieldKind::Instant => ValueType::DateTime,
        FieldKind::Tags => ValueType::Tags,
        FieldKind::Text
        | FieldKind::LongText
        | FieldKind::Choice(_)
        | FieldKind::Reference(_)
        | FieldKind::Custom
        | FieldKind::Json => ValueType::Text,
    }
}

/// Other names that files give to a field.
fn aliases(name: &str) -> &'static [&'static str] {
    match name {
        "name" => &["account", "account name", "company"],
        "title" => &["name", "deal", "deal name", "opportunity", "product"],
        "externalId" => &["id", "opportunity id", "account id", "record id"],
        "value" => &["amount", "close value", "deal value"],
        "annualRevenue" => &["revenue"],
        "industry" => &["sector"],
        "domain" => &["website"],
        "country" => &["office location", "country region"],
        "jobTitle" => &["position", "role"],
        "email" => &["mail", "email address"],
        "phone" => &["telephone", "mobile"],
        "expectedCloseDate" => &["close date", "expected close"],
        _ => &[],
    }
}

/// `expectedCloseDate` as a person reads it: `Expected close date`.
fn label(name: &str) -> String {
    let mut label = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        match (label.is_empty(), c.is_ascii_uppercase()) {
            (true, _) => label.push(c.to_ascii_uppercase()),
            (false, true) => label.extend([' ', c.to_ascii_lowercase()]),
            (false, false) => label.push(c),
        }
    }
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: &str, as_history: bool) -> Vec<String> {
        let fields = fields_of(Entity::named(kind).unwrap(), &[], as_history);
        fields.into_iter().map(|field| field.descriptor.name).collect()
    }

    #[test]
    fn each_kind_has_its_fields_and_references_by_name() {
        let deal = names("deal", false);
        for name in ["title", "value", "company", "companyId", "contact", "stage", "pipeline", "owner", "businessUnit"]
        {
            assert!(deal.iter().any(|n| n == name), "{name}");
        }
        for name in ["status", "closedAt", "createdAt", "episode", "customFields", "parentCompany"] {
            assert!(!deal.iter().any(|n| n == name), "{name}");
        }
        assert!(names("deal", true).ends_with(&["createdAt".into(), "closedAt".into()]));
        assert!(names("company", true).contains(&"parentCompany".into()));
        assert!(!names("lead", true).contains(&"createdAt".into()));
        assert_eq!(label("expectedCloseDate"), "Expected close date");
    }
}
