//! The kinds of records that files can hold: how one is made, changed and taken back, and by what it is known again.
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    FieldError, Patch, Reason, Result, Tx,
    companies::{self, Company},
    contacts::{self, Contact},
    deals::{self, Deal, Past},
    leads::{self, Lead},
    patch, reason_codes,
    record::{Field, Record},
};

/// The kinds of records that files can hold.
pub const ENTITY_TYPES: [&str; 4] = ["lead", "company", "contact", "deal"];

/// By what a record is known again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// Its id in another system. A row that has one is known by nothing else.
    ExternalId,
    /// Its mail address, without regard to case.
    Email,
    /// Its domain, without regard to case.
    Domain,
    /// Its name, folded; not where both have domains and these differ.
    Name,
}

impl Key {
    /// The member that holds it.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::ExternalId => "externalId",
            Self::Email => "email",
            Self::Domain => "domain",
            Self::Name => "name",
        }
    }
}

/// A record as it stands after its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Landed {
    pub(super) id: Uuid,
    pub(super) version: i64,
}

/// What can be done with one kind of record: through its own commands alone, so that its rules hold here too.
pub(super) struct Entity {
    pub(super) kind: &'static str,
    pub(super) table: &'static str,
    pub(super) fields: &'static [Field],
    /// In the order in which they are tried.
    pub(super) keys: &'static [Key],
    pub(super) create: fn(&mut Tx<'_>, Patch, Option<Past>) -> Result<Landed>,
    pub(super) update: fn(&mut Tx<'_>, Uuid, Patch) -> Result<Landed>,
    pub(super) delete: fn(&mut Tx<'_>, Uuid, &Patch) -> Result<()>,
    /// What is wrong with the members of a new one by themselves.
    pub(super) misfits: fn(Map<String, Value>) -> Result<Vec<FieldError>>,
    /// What is wrong with a reason for changes of such records, if anything is.
    pub(super) check_reason: fn(&mut Tx<'_>, &Reason) -> Result<Option<FieldError>>,
}

fn landed<R: Record>(record: &R) -> Landed {
    Landed { id: record.id().uuid(), version: record.version() }
}

/// What every kind has, with its own way to make one and to change one.
macro_rules! entity {
    ($record:ty, $keys:expr, $create:expr, $update:expr) => {
        Entity {
            kind: <$record>::KIND,
            table: <$record>::TABLE,
            fields: <$record>::FIELDS,
            keys: $keys,
            create: $create,
            update: |tx, id, patch| $update(tx, id.into(), patch).map(|record| landed(&record)),
            delete: |tx, id, patch| tx.delete::<$record>(id.into(), patch).map(drop),
            misfits: patch::misfits::<$record>,
            check_reason: |tx, reason| reason_codes::check_code::<$record>(tx, &[], reason),
        }
    };
}

static LEAD: Entity = entity!(
    Lead,
    &[Key::ExternalId, Key::Email],
    |tx, patch, _| leads::create(tx, patch).map(|record| landed(&record)),
    leads::update
);
static COMPANY: Entity = entity!(
    Company,
    &[Key::ExternalId, Key::Domain, Key::Name],
    |tx, patch, _| companies::create(tx, patch).map(|record| landed(&record)),
    companies::update
);
static CONTACT: Entity = entity!(
    Contact,
    &[Key::ExternalId, Key::Email],
    |tx, patch, _| contacts::create(tx, patch).map(|record| landed(&record)),
    contacts::update
);
static DEAL: Entity = entity!(
    Deal,
    &[Key::ExternalId],
    |tx, patch, past| deals::create_with_past(tx, patch, past).map(|record| landed(&record)),
    deals::update
);

impl Entity {
    /// The kind of that name.
    pub(super) fn named(kind: &str) -> Option<&'static Self> {
        [&LEAD, &COMPANY, &CONTACT, &DEAL].into_iter().find(|entity| entity.kind == kind)
    }
}
