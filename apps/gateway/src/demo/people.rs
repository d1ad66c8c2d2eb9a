//! The people of the demo organization: who they are, what they may, and how well they sell.
use crm_core::{
    Actor, Ctx, Id, Result, Tx,
    business_units::{self, BusinessUnit},
    gate::Roles,
    patch::Patch,
    sessions,
    users::{self, Role, User},
};
use serde_json::json;
use std::sync::Arc;

use super::{PASSWORD, chance::Chance, ledger::Ledger, members, plan::Key};

/// Somebody of the demo organization.
pub(super) struct Person {
    pub(super) email: &'static str,
    pub(super) name: &'static str,
    pub(super) role: Role,
    /// The brand that they work for; those without one see all.
    pub(super) brand: Option<usize>,
    /// By how much the odds of winning differ from the others'.
    pub(super) skill: f64,
    /// How much longer things take with them.
    pub(super) pace: f64,
    /// How much of the work is theirs.
    share: f64,
}

const fn lead(email: &'static str, name: &'static str, role: Role, brand: Option<usize>) -> Person {
    Person { email, name, role, brand, skill: 1.0, pace: 1.0, share: 0.0 }
}

const fn rep(email: &'static str, name: &'static str, brand: usize, skill: f64, pace: f64, share: f64) -> Person {
    Person { email, name, role: Role::SalesRep, brand: Some(brand), skill, pace, share }
}

/// All of them; an event's `by` is a place in this list. The first three are those that visitors sign in as.
pub(super) const PEOPLE: [Person; 12] = [
    lead("admin@demo.heimdell.test", "Ines Okonkwo", Role::Admin, None),
    lead("manager@demo.heimdell.test", "Mats Lindqvist", Role::Manager, None),
    rep("rep@demo.heimdell.test", "Rosa Dempster", 0, 1.25, 0.9, 1.2),
    lead("petra.hollmann@demo.heimdell.test", "Petra Hollmann", Role::Manager, Some(0)),
    lead("callum.fraser@demo.heimdell.test", "Callum Fraserby", Role::Manager, Some(1)),
    rep("jonas.wieland@demo.heimdell.test", "Jonas Wielander", 0, 0.8, 1.1, 1.0),
    rep("agnieszka.sowa@demo.heimdell.test", "Agnieszka Sowińska", 0, 1.5, 0.8, 1.1),
    rep("luca.berardi@demo.heimdell.test", "Luca Berardino", 0, 0.65, 1.3, 0.7),
    rep("maeve.odriscoll@demo.heimdell.test", "Maeve Driscollan", 1, 1.35, 0.85, 1.1),
    rep("tunde.bakare@demo.heimdell.test", "Tunde Bakarie", 1, 1.0, 1.0, 1.0),
    rep("priya.nairn@demo.heimdell.test", "Priya Nairn", 1, 1.1, 0.95, 1.0),
    rep("owen.pritchard@demo.heimdell.test", "Owen Pritchley", 1, 0.6, 1.25, 0.6),
];

/// Who configures the house.
pub(super) const ADMIN: usize = 0;
/// Who leads both brands.
pub(super) const MANAGER: usize = 1;
/// Whom visitors sign in as to see one brand.
pub(super) const REP: usize = 2;

/// Whom a new record of a brand falls to.
pub(super) fn owner(chance: &mut Chance, brand: usize) -> usize {
    chance.weighted(PEOPLE.iter().map(|person| if person.brand == Some(brand) { person.share } else { 0.0 }))
}

/// Who closes and reopens the deals of a brand: mostly its manager, now and then the manager of both.
pub(super) fn closer(chance: &mut Chance, brand: usize) -> usize {
    let own = PEOPLE.iter().position(|person| person.role == Role::Manager && person.brand == Some(brand));
    own.filter(|_| chance.happens(0.8)).unwrap_or(MANAGER)
}

/// The first of them. Fails with `email_taken` where the demo data is there already.
///
/// # Errors
/// Those of [`users::create`].
pub(super) fn create_admin(tx: &mut Tx<'_>, ledger: &mut Ledger) -> Result<()> {
    create(tx, ledger, ADMIN)
}

/// All the others, and who works for which brand.
///
/// # Errors
/// Those of [`users::create`].
pub(super) fn create_others(tx: &mut Tx<'_>, ledger: &mut Ledger) -> Result<()> {
    for place in 1..PEOPLE.len() {
        create(tx, ledger, place)?;
    }
    for brand in 0..super::house::BRANDS.len() {
        let unit: Id<BusinessUnit> = ledger.id(Key::Unit(brand))?;
        let places = (0..PEOPLE.len()).filter(|place| PEOPLE[*place].brand == Some(brand));
        let users = places.map(|place| ledger.id::<User>(Key::User(place))).collect::<Result<Vec<_>>>()?;
        business_units::set_members(tx, unit, &users, &Patch::default())?;
    }
    Ok(())
}

fn create(tx: &mut Tx<'_>, ledger: &mut Ledger, place: usize) -> Result<()> {
    let person = &PEOPLE[place];
    let body = json!({"email": person.email, "name": person.name, "role": person.role, "password": PASSWORD});
    let user = users::create(tx, members(body).into())?;
    ledger.keep(Key::User(place), user.id);
    Ok(())
}

/// The context of one of them, with the role and the units that they have by now. The roles judge, not the policies of
/// the organization: those speak to who asks, and this is a past that is told.
///
/// # Errors
/// What the database says.
pub(super) fn context(tx: &mut Tx<'_>, ledger: &Ledger, place: usize) -> Result<Ctx> {
    let user = ledger.id(Key::User(place))?;
    let ctx = sessions::in_name_of(tx, &Actor::User(user))?;
    Ok(Ctx { gate: Arc::new(Roles), request_id: "demo".into(), ..ctx })
}
