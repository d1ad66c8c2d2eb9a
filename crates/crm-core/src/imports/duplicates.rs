//! Which rows of a batch stand for records that are there already.
use std::collections::{HashMap, HashSet};

use diesel::sql_types as st;
use uuid::Uuid;

use super::{
    RowFingerprint,
    entities::{Entity, Key, Landed},
    interpretation::Interpreted,
    lookups::{companies_named, scope},
};
use crate::{Id, Result, Tx, imports::Import, text::fold};

/// A record that a row may stand for.
#[derive(Debug, Clone)]
struct Known {
    landed: Landed,
    domain: Option<String>,
}

/// The records that the rows of a batch may stand for.
pub(super) struct Duplicates {
    entity: &'static Entity,
    by_key: HashMap<(Key, String), Known>,
    by_fingerprint: HashMap<String, Landed>,
}

/// The key of that kind which a row has, in the form in which keys are compared.
fn key_of(key: Key, row: &Interpreted) -> Option<String> {
    let text = row.text(key.member())?;
    Some(match key {
        Key::ExternalId => text.to_owned(),
        Key::Email | Key::Domain => text.to_lowercase(),
        Key::Name => fold(text),
    })
}

impl Duplicates {
    /// Asks for all records that the rows may stand for. Rows without any key are looked for among the rows of earlier
    /// imports whose records are still there.
    pub(super) fn load(
        tx: &mut Tx<'_>,
        entity: &'static Entity,
        import: Id<Import>,
        rows: &[(Interpreted, RowFingerprint)],
    ) -> Result<Self> {
        let (mut keys, mut fingerprints): (HashMap<Key, HashSet<String>>, Vec<String>) = Default::default();
        for (row, fingerprint) in rows {
            let own: Vec<_> = entity.keys.iter().filter_map(|key| Some((*key, key_of(*key, row)?))).collect();
            if own.is_empty() {
                fingerprints.push(fingerprint.to_string());
            }
            for (key, text) in own {
                keys.entry(key).or_default().insert(text);
            }
        }
        let mut duplicates = Self { entity, by_key: HashMap::new(), by_fingerprint: HashMap::new() };
        for (key, texts) in keys {
            duplicates.load_key(tx, key, texts)?;
        }
        duplicates.load_fingerprints(tx, import, fingerprints)?;
        Ok(duplicates)
    }

    fn load_key(&mut self, tx: &mut Tx<'_>, key: Key, texts: HashSet<String>) -> Result<()> {
        if key == Key::Name {
            for company in companies_named(tx, &texts)? {
                let landed = Landed { id: company.id, version: company.version };
                self.note(key, company.name, Known { landed, domain: company.domain });
            }
            return Ok(());
        }
        let column = match key {
            Key::ExternalId => "external_id",
            Key::Email => "lower(email)",
            _ => "lower(domain)",
        };
        let text = format!(
            "SELECT {column}, id, version FROM {} WHERE organization_id = {{org}} AND {column} = ANY({{}}) \
             AND ({{}} OR business_unit_id IS NULL OR business_unit_id = ANY({{}})) ORDER BY created_at, id",
            self.entity.table
        );
        let (all, units) = scope(tx);
        let texts: Vec<String> = texts.into_iter().collect();
        let query = tx.sql_text::<(st::Text, st::Uuid, st::BigInt)>(text);
        let rows: Vec<(String, Uuid, i64)> = query.with(|s| s.bind(texts).bind(all).bind(units)).all(tx)?;
        for (text, id, version) in rows {
            self.note(key, text, Known { landed: Landed { id, version }, domain: None });
        }
        Ok(())
    }

    fn load_fingerprints(&mut self, tx: &mut Tx<'_>, import: Id<Import>, fingerprints: Vec<String>) -> Result<()> {
        if fingerprints.is_empty() {
            return Ok(());
        }
        let text = format!(
            "SELECT encode(r.fingerprint, 'hex'), t.id, t.version FROM import_rows r JOIN {} t \
             ON t.organization_id = r.organization_id AND t.id = r.entity_id WHERE r.organization_id = {{org}} \
             AND r.import_id <> {{}} AND r.entity_type = {{}} AND r.entity_id IS NOT NULL AND r.fingerprint IN \
             (SELECT decode(wanted, 'hex') FROM unnest({{}}) AS wanted) \
             AND ({{}} OR t.business_unit_id IS NULL OR t.business_unit_id = ANY({{}}))",
            self.entity.table
        );
        let (all, units) = scope(tx);
        let query = tx.sql_text::<(st::Text, st::Uuid, st::BigInt)>(text);
        let query = query.with(|s| s.bind(import).bind(self.entity.kind).bind(fingerprints).bind(all).bind(units));
        let rows: Vec<(String, Uuid, i64)> = query.all(tx)?;
        self.by_fingerprint.extend(rows.into_iter().map(|(text, id, version)| (text, Landed { id, version })));
        Ok(())
    }

    /// The oldest record of a key is the one.
    fn note(&mut self, key: Key, text: String, known: Known) {
        self.by_key.entry((key, text)).or_insert(known);
    }

    /// The record that a row stands for.
    pub(super) fn find(&self, row: &Interpreted, fingerprint: RowFingerprint) -> Option<Landed> {
        let mut has_key = false;
        for key in self.entity.keys {
            let Some(text) = key_of(*key, row) else { continue };
            has_key = true;
            let known = self.by_key.get(&(*key, text)).filter(|known| *key != Key::Name || known.agrees(row));
            if known.is_some() || *key == Key::ExternalId {
                return known.map(|known| known.landed);
            }
        }
        if has_key { None } else { self.by_fingerprint.get(&fingerprint.to_string()).copied() }
    }

    /// A record as it stands after a row, for later rows with the same keys.
    pub(super) fn learn(&mut self, row: &Interpreted, landed: Landed) {
        let domain = key_of(Key::Domain, row);
        for key in self.entity.keys {
            if let Some(text) = key_of(*key, row) {
                self.note(*key, text, Known { landed, domain: domain.clone() });
            }
        }
        for known in self.by_key.values_mut().filter(|known| known.landed.id == landed.id) {
            known.landed = landed;
        }
    }
}

impl Known {
    /// Companies of one name with different domains are different companies.
    fn agrees(&self, row: &Interpreted) -> bool {
        self.domain.as_ref().zip(key_of(Key::Domain, row)).is_none_or(|(own, other)| *own == other)
    }
}
