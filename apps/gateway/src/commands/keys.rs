//! The keys that seal secrets: a new one in the place of the old, and old ones thrown away.
use std::collections::BTreeMap;

use clap::Subcommand;
use crm_core::{
    clock,
    sealed::{self, Keyring, Resealed, Usage},
};
use gateway::{
    config::Storage,
    keyring::{self, Place, SEALED_COLUMNS},
};
use rand::RngCore;

use super::{Failure, house::House};

/// What is done about the keys.
#[derive(Subcommand)]
pub(crate) enum Order {
    /// Make a new key the one that seals, and seal every secret anew with it. Gateways and workers go on meanwhile; ended
    /// at any moment, it goes on where it was when it is begun again.
    Rotate {
        #[command(flatten)]
        storage: Storage,
    },
    /// Throw away the keys that seal nothing any more. Refuses while anything is sealed with one of them.
    Forget {
        #[command(flatten)]
        storage: Storage,
    },
}

/// Does it.
pub(crate) fn run(order: &Order) -> Result<(), Failure> {
    let (Order::Rotate { storage } | Order::Forget { storage }) = order;
    let house = House::open(storage)?;
    let done = match order {
        Order::Rotate { .. } => rotate(&house, &Place::of(storage)),
        Order::Forget { .. } => forget(&house, &Place::of(storage)),
    };
    house.close()?;
    done
}

fn rotate(house: &House, place: &Place) -> Result<(), Failure> {
    let keys = place.open()?;
    match place {
        Place::File(file) => {
            let begun = sealed::alone(house.door.database(), &SEALED_COLUMNS, |usage| {
                // What another process has done meanwhile counts.
                let keys = place.open()?;
                let ids = keys.ids();
                if ids.iter().skip(1).any(|id| usage.contains_key(id)) {
                    return Ok::<_, Failure>(None);
                }
                Ok(Some(keyring::put_in_front(file)?))
            })?;
            match begun {
                Some(id) => println!("The key {id} is made, and seals from now on."),
                None => println!("A rotation has begun before; it goes on."),
            }
        }
        Place::Settings(_) if keys.ids().len() < 2 => return Err(ONE_KEY.into()),
        Place::Settings(_) => {}
    }
    // Read anew: the file may have changed since.
    let keys = place.open()?;
    let Resealed { done, broken } = reseal(house, &keys)?;
    let active = keys.ids().into_iter().next().unwrap_or_default();
    println!("{done} secrets were sealed anew with the key {active}.");
    let usage = sealed::usage(house.door.database(), &SEALED_COLUMNS)?;
    if broken > 0 {
        return Err(format!("{broken} secrets cannot be opened and were left as they are: renew them").into());
    }
    match left(&usage, &active) {
        None => Ok(()),
        Some(left) => Err(format!("{left}. {LEFT}").into()),
    }
}

const ONE_KEY: &str = "HEIMDELL_KEYRING holds one key. Make another (openssl rand -hex 32), append it as `,NAME:DIGITS`, by a name that no key has had, and \
                       restart each gateway and worker; then put it in front and restart them again; then run this again.";

const LEFT: &str = "Give each gateway and worker the same keyring, with these keys behind the first one, and run this again. \
                    A key that is lost makes its secrets worthless: renew them.";

/// Seals everything anew that is sealed with a key behind the first one.
fn reseal(house: &House, keys: &Keyring) -> Result<Resealed, Failure> {
    let old: Vec<String> = keys.ids().into_iter().skip(1).collect();
    let mut nonce = || {
        let mut nonce = [0; 24];
        rand::rng().fill_bytes(&mut nonce);
        nonce
    };
    let mut all = Resealed::default();
    for column in SEALED_COLUMNS {
        for organization in sealed::organizations(house.door.database(), column, &old)? {
            let one = sealed::reseal(&house.door, organization, clock::now(), keys, column, &mut nonce)?;
            all = Resealed { done: all.done + one.done, broken: all.broken + one.broken };
        }
    }
    Ok(all)
}

fn forget(house: &House, place: &Place) -> Result<(), Failure> {
    let forgotten = sealed::alone(house.door.database(), &SEALED_COLUMNS, |usage| {
        let ids = place.ids()?;
        let active = ids.first().cloned().unwrap_or_default();
        if let Some(left) = left(usage, &active) {
            return Ok::<_, Failure>(Err(left));
        }
        if let (Place::File(file), true) = (place, ids.len() > 1) {
            keyring::keep_first(file)?;
        }
        Ok(Ok(ids.into_iter().skip(1).collect::<Vec<_>>()))
    })?;
    let forgotten = match forgotten {
        Ok(forgotten) => forgotten,
        Err(left) => {
            let lost = sealed::unopenable(house.door.database(), &place.open()?, &SEALED_COLUMNS)?;
            let advice = match lost.is_empty() {
                true => "Run `heimdell keys rotate`".to_owned(),
                false => lost_words(&lost),
            };
            return Err(format!("nothing is forgotten: {left}. {advice}").into());
        }
    };
    match (forgotten.join(", "), place) {
        (old, _) if old.is_empty() => println!("There is no old key."),
        (old, Place::File(_)) => {
            println!("Forgotten: {old}. Backups made before the rotation still need what is forgotten.")
        }
        (old, Place::Settings(_)) => {
            println!(
                "{old} seals nothing any more: take it out of HEIMDELL_KEYRING, and restart each gateway and worker."
            );
        }
    }
    Ok(())
}

/// What is sealed with other keys than the one that seals, in words.
fn left(usage: &Usage, active: &str) -> Option<String> {
    let others = usage.iter().filter(|(id, _)| *id != active);
    let words: Vec<_> = others.map(|(id, count)| format!("{count} secrets are sealed with the key {id}")).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// What to do about secrets that no key opens: a rotation would leave them as they are.
fn lost_words(lost: &BTreeMap<&'static str, usize>) -> String {
    let tables: Vec<_> = lost.iter().map(|(table, count)| format!("{count} in {table}")).collect();
    format!(
        "No key of the keyring opens {} of them. Bring the key that they were sealed with, or renew them: POST \
         /api/webhooks/:id/renew-secret, for sources /api/webhooks/sources/:id/renew-secret. Then run `heimdell keys rotate`",
        tables.join(" and ")
    )
}
