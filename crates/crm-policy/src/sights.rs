//! What a role sees of a kind of record, made ready for many records: what is the same for all of them is done once, where
//! policies are loaded, and each condition is evaluated once to a record, however many fields it hides.

use std::sync::Arc;

use crm_core::gate::{Fact, Hiding};
use rust_decimal::Decimal;

use crate::attributes::{Caller, Context, Facts, Resource};
use crate::clocks::Clock;
use crate::engine::Engine;
use crate::masks::{ListFilter, Mask};
use crate::policies::Role;
use crate::scalars::{Kind, Scalar, exact};

/// What one role does not see of one kind of record.
pub(crate) struct Sight {
    pub(crate) mask: Mask,
    /// The fields that are hidden in some records at least, at some time, sorted.
    hidden_somewhere: Vec<String>,
    /// Whether what is hidden depends on when it is asked.
    is_timed: bool,
    /// The fields that are seen in the same records, with the filter of these.
    groups: Vec<(ListFilter, Vec<String>)>,
    /// The attributes on which it depends what is hidden, sorted.
    depends_on: Vec<String>,
    /// The type of each of them.
    kinds: Vec<Kind>,
}

impl Sight {
    pub(crate) fn of(engine: &Engine, role: Role, resource: &Resource) -> Self {
        let mask = engine.mask(role, resource);
        let mut hidden_somewhere: Vec<_> = mask.hidden.iter().chain(mask.conditional.keys()).cloned().collect();
        hidden_somewhere.sort_unstable();
        let mut groups: Vec<(ListFilter, Vec<String>)> = Vec::new();
        for (field, filter) in &mask.conditional {
            match groups.iter_mut().find(|(known, _)| known == filter) {
                Some((_, fields)) => fields.push(field.clone()),
                None => groups.push((filter.clone(), vec![field.clone()])),
            }
        }
        let depends_on: Vec<_> = mask.depends_on(resource).into_iter().map(str::to_owned).collect();
        let kind = |name: &String| resource.kind(name).cloned().unwrap_or(Kind::Opaque);
        let kinds = depends_on.iter().map(kind).collect();
        let is_timed = groups.iter().any(|(filter, _)| filter.asks_clock());
        Self { mask, hidden_somewhere, is_timed, groups, depends_on, kinds }
    }

    /// Whether nothing is hidden in any record.
    pub(crate) fn is_whole(&self) -> bool {
        self.hidden_somewhere.is_empty()
    }

    /// Whether what is hidden depends on the record.
    pub(crate) fn depends(&self) -> bool {
        !self.groups.is_empty()
    }

    /// The fields that are hidden in some records at least, sorted. `context` knows of no record.
    pub(crate) fn hidden_somewhere(&self, context: &Context<'_>) -> Vec<String> {
        if !self.is_timed {
            return self.hidden_somewhere.clone();
        }
        self.hidden_unless(|filter| filter.foreseen(context) == Some(true))
    }

    /// The fields that are hidden in every record, sorted. `context` knows of no record.
    pub(crate) fn hidden_everywhere(&self, context: &Context<'_>) -> Vec<String> {
        if !self.is_timed {
            return self.mask.hidden.iter().cloned().collect();
        }
        self.hidden_unless(|filter| filter.foreseen(context) != Some(false))
    }

    fn hidden_unless(&self, shows: impl Fn(&ListFilter) -> bool) -> Vec<String> {
        let shown: Vec<bool> = self.groups.iter().map(|(filter, _)| shows(filter)).collect();
        self.hidden_where(&shown).to_vec()
    }

    /// What that caller of the role sees at that instant of one record after the other.
    pub(crate) fn seen_by(&self, caller: Caller, clock: Clock) -> Looking<'_> {
        let held = self.kinds.iter().map(|_| Held::Unknown).collect();
        let shown = Vec::with_capacity(self.groups.len());
        Looking { sight: self, caller, clock, facts: Facts::none(), held, shown, told: Vec::new() }
    }

    /// The fields that are hidden where these groups are shown, sorted.
    fn hidden_where(&self, shown: &[bool]) -> Arc<[String]> {
        let groups = self.groups.iter().zip(shown).filter(|(_, shown)| !**shown).flat_map(|((_, fields), _)| fields);
        let mut names: Vec<_> = self.mask.hidden.iter().chain(groups).cloned().collect();
        names.sort_unstable();
        names.into()
    }
}

/// What has been told of one attribute of the record whose turn it is.
enum Held {
    /// Nothing, or what is none of its type.
    Unknown,
    /// What [`Looking::facts`] know.
    Known,
    /// Null where an amount could be.
    NoAmount,
    /// An amount, in whatever currency stands in another attribute.
    Amount(Decimal),
}

/// One caller, looking at one record after the other.
pub(crate) struct Looking<'s> {
    sight: &'s Sight,
    caller: Caller,
    clock: Clock,
    /// What is known of the record; amounts come last, when their currency is known.
    facts: Facts,
    held: Vec<Held>,
    shown: Vec<bool>,
    /// What has been answered, to be shared by all records of which it holds.
    told: Vec<(Vec<bool>, Arc<[String]>)>,
}

impl Looking<'_> {
    /// Gives amounts their currency, forgets what the last record held and this one does not.
    fn settle(&mut self) {
        let attributes = self.sight.depends_on.iter().zip(&self.sight.kinds);
        for (held, (name, kind)) in self.held.iter_mut().zip(attributes) {
            match (std::mem::replace(held, Held::Unknown), kind) {
                (Held::Known, _) => {}
                (Held::Unknown, _) => self.facts.set(name, None),
                (Held::NoAmount, _) => self.facts.set(name, Some(None)),
                (Held::Amount(amount), Kind::Money { currency }) => {
                    let code = self.facts.get(currency).flatten();
                    let money = code.and_then(|code| Scalar::money_in(amount, code));
                    self.facts.set(name, money.map(Some));
                }
                (Held::Amount(_), _) => self.facts.set(name, None),
            }
        }
    }
}

impl Hiding for Looking<'_> {
    fn depends_on(&self) -> &[String] {
        &self.sight.depends_on
    }

    fn note(&mut self, place: usize, fact: &Fact<'_>) {
        let kind = &self.sight.kinds[place];
        self.held[place] = match (kind, fact) {
            (Kind::Money { .. }, Fact::Null) => Held::NoAmount,
            (Kind::Money { .. }, fact) => exact(fact).map_or(Held::Unknown, Held::Amount),
            _ => match Scalar::told(kind, fact) {
                None => Held::Unknown,
                value => {
                    self.facts.set(&self.sight.depends_on[place], value);
                    Held::Known
                }
            },
        };
    }

    fn hidden(&mut self) -> Arc<[String]> {
        self.settle();
        let context = Context::new(&self.caller, &self.facts).when(self.clock);
        self.shown.clear();
        self.shown.extend(self.sight.groups.iter().map(|(filter, _)| filter.admits(&context)));
        if let Some((_, names)) = self.told.iter().find(|(shown, _)| *shown == self.shown) {
            return Arc::clone(names);
        }
        let names = self.sight.hidden_where(&self.shown);
        self.told.push((self.shown.clone(), Arc::clone(&names)));
        names
    }
}
