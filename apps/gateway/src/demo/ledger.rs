//! Which ids the planned records have got, and how an event is carried out by the functions that requests call.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use crm_core::{
    Ctx, Error, Id, Patch, Result, Tx, activities, companies, companies::Company, contacts, deals, leads, tasks,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::plan::{Conversion, Deed, Event, Key};

/// What the plan's records are called in the database, and in whose name its people act.
#[derive(Default)]
pub(super) struct Ledger {
    ids: HashMap<Key, Uuid>,
    /// By their places among the people.
    pub(super) people: Vec<Ctx>,
}

impl Ledger {
    pub(super) fn keep<T>(&mut self, key: Key, id: Id<T>) {
        self.ids.insert(key, id.uuid());
    }

    /// # Errors
    /// [`Error::Internal`] where the plan uses a record before it makes it.
    pub(super) fn id<T>(&self, key: Key) -> Result<Id<T>> {
        let id = self.ids.get(&key).copied();
        id.map(Id::from).ok_or_else(|| Error::internal(format!("the plan uses {key:?} before it is there")))
    }

    /// Carries out an event at its instant, in the name of who did it. A refusal is a fault of the plan.
    ///
    /// # Errors
    /// What the function behind it says.
    pub(super) fn carry_out(&mut self, tx: &mut Tx<'_>, event: &Event) -> Result<()> {
        let ctx = self.context(tx, event.by, event.at);
        let done = tx.acting(&ctx, |tx| match event.deed {
            Deed::Create => self.create(tx, event),
            Deed::Change => self.change(tx, event),
            Deed::Convert(conversion) => self.convert(tx, event, conversion),
        });
        if let Err(error) = &done {
            tracing::error!(at = %event.at, by = ?event.by, deed = ?event.deed, key = ?event.key, %error, "a planned event failed");
        }
        done
    }

    fn context(&self, tx: &Tx<'_>, by: Option<usize>, at: DateTime<Utc>) -> Ctx {
        let base = by.and_then(|place| self.people.get(place)).unwrap_or(tx.ctx);
        Ctx { now: at, change_set: Id::<Ctx>::new().uuid(), ..base.clone() }
    }

    fn patch(&self, event: &Event) -> Result<Patch> {
        let mut members = event.members.clone();
        for (member, key) in &event.references {
            members.insert((*member).to_owned(), self.id::<()>(*key)?.to_string().into());
        }
        Patch::new(members)
    }

    fn create(&mut self, tx: &mut Tx<'_>, event: &Event) -> Result<()> {
        let patch = self.patch(event)?;
        let id = match event.key {
            Key::Company(_) => companies::create(tx, patch)?.id.uuid(),
            Key::Contact(_) => contacts::create(tx, patch)?.id.uuid(),
            Key::Lead(_) => leads::create(tx, patch)?.id.uuid(),
            Key::Deal(_) => deals::create(tx, patch)?.id.uuid(),
            Key::Task(_) => tasks::create(tx, patch)?.id.uuid(),
            Key::Activity => return activities::create(tx, patch).map(|_| ()),
            other => return Err(unplanned(other)),
        };
        self.ids.insert(event.key, id);
        Ok(())
    }

    fn change(&self, tx: &mut Tx<'_>, event: &Event) -> Result<()> {
        let patch = self.patch(event)?;
        match event.key {
            Key::Company(_) => companies::update(tx, self.id(event.key)?, patch).map(|_| ()),
            Key::Contact(_) => contacts::update(tx, self.id(event.key)?, patch).map(|_| ()),
            Key::Lead(_) => leads::update(tx, self.id(event.key)?, patch).map(|_| ()),
            Key::Deal(_) => deals::update(tx, self.id(event.key)?, patch).map(|_| ()),
            Key::Task(_) => tasks::update(tx, self.id(event.key)?, patch).map(|_| ()),
            other => Err(unplanned(other)),
        }
    }

    fn convert(&mut self, tx: &mut Tx<'_>, event: &Event, conversion: Conversion) -> Result<()> {
        let company = match conversion.is_new_company {
            true => json!({"create": {}}),
            false => json!({"id": self.id::<Company>(Key::Company(conversion.company))?}),
        };
        let deal = json!({"create": self.patch(event)?.members});
        let body = [("company", company), ("deal", deal)].map(|(name, value)| (name.to_owned(), value));
        let patch = Patch::from(body.into_iter().collect::<Map<String, Value>>());
        let made = leads::convert(tx, self.id(event.key)?, patch)?;
        let ids = [
            (Key::Company(conversion.company), made.company.map(|company| company.id.uuid())),
            (Key::Contact(conversion.contact), made.contact.map(|contact| contact.id.uuid())),
            (Key::Deal(conversion.deal), made.deal.map(|deal| deal.id.uuid())),
        ];
        self.ids.extend(ids.into_iter().filter_map(|(key, id)| id.map(|id| (key, id))));
        Ok(())
    }
}

fn unplanned(key: Key) -> Error {
    Error::internal(format!("the plan has no way to do this to {key:?}"))
}
