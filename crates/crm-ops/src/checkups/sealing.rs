//! The verdict on the keys that seal secrets.
use super::{Checkup, SealingFacts};

const CHECK: &str = "sealing_keys";

/// Can every secret be opened, and is it sealed with the key that seals?
pub(super) fn keys(found: &Result<SealingFacts, String>) -> Checkup {
    let SealingFacts { keys, usage, unopenable } = match found {
        Ok(facts) => facts,
        Err(why) => return Checkup::error(CHECK, why.as_str(), "correct the keyring, from where its keys are kept"),
    };
    let sealed_with = |is_meant: &dyn Fn(&String) -> bool| {
        let meant = usage.iter().filter(|(id, _)| is_meant(id));
        let words: Vec<_> = meant.map(|(id, count)| format!("{count} secrets with the key {id}")).collect();
        (!words.is_empty()).then(|| words.join(", "))
    };
    let active = keys.first();
    if let Some(unknown) = sealed_with(&|id| !keys.contains(id)) {
        let remedy = "put the key behind the first one in the keyring (HEIMDELL_KEYRING, or the file `keyring` in \
                      HEIMDELL_HOME), from where it is kept; secrets whose key is lost must be renewed";
        Checkup::error(CHECK, format!("sealed with a key that is not in the keyring: {unknown}"), remedy)
    } else if !unopenable.is_empty() {
        let tables: Vec<_> = unopenable.iter().map(|(table, count)| format!("{count} in {table}")).collect();
        let remedy = "the key of that name in the keyring is not the one that they were sealed with: bring that one from where it is \
                      kept, or renew them (POST /api/webhooks/:id/renew-secret, /api/webhooks/sources/:id/renew-secret)";
        Checkup::error(CHECK, format!("no key of the keyring opens {}", tables.join(", ")), remedy)
    } else if let Some(old) = sealed_with(&|id| Some(id) != active) {
        Checkup::warning(CHECK, format!("sealed with an old key: {old}"), "heimdell keys rotate")
    } else {
        let count: i64 = usage.values().sum();
        let with = active.map_or_else(String::new, |id| format!(" with the key {id}"));
        Checkup::ok(CHECK, format!("{count} secrets are sealed{with}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkups::State;

    #[test]
    fn keys_are_judged_by_what_they_seal() {
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, i64)], State, &'a str);
        let table: [Case<'_>; 7] = [
            (&[], &[], State::Ok, "0 secrets are sealed"),
            (&["k1"], &[("k1", 3)], State::Ok, "3 secrets are sealed with the key k1"),
            (&["k2", "k1"], &[("k2", 3)], State::Ok, "3 secrets are sealed with the key k2"),
            (&["k2", "k1"], &[("k1", 1), ("k2", 2)], State::Warning, "an old key: 1 secrets with the key k1"),
            (&["k2"], &[("k1", 1), ("k2", 2)], State::Error, "not in the keyring: 1 secrets with the key k1"),
            (&["k2", "k1"], &[("k0", 5), ("k1", 1)], State::Error, "not in the keyring: 5 secrets with the key k0"),
            (&[], &[("k1", 1)], State::Error, "not in the keyring"),
        ];
        for (keys, usage, state, words) in table {
            let unopenable = [].into();
            let facts = SealingFacts {
                unopenable,
                keys: keys.iter().map(|id| (*id).to_owned()).collect(),
                usage: usage.iter().map(|(id, count)| ((*id).to_owned(), *count)).collect(),
            };
            let found = super::keys(&Ok(facts));
            assert_eq!((found.state, found.remedy.is_some()), (state, state != State::Ok), "{found:?}");
            assert!(found.finding.contains(words), "{found:?}");
        }
        let keys = vec!["k1".to_owned()];
        let usage = [("k1".to_owned(), 3)].into();
        let found = super::keys(&Ok(SealingFacts { keys, usage, unopenable: [("webhooks", 2)].into() }));
        assert_eq!((found.state, found.finding.as_str()), (State::Error, "no key of the keyring opens 2 in webhooks"));
        assert!(found.remedy.is_some());
        assert_eq!(super::keys(&Err("it is not of the form".into())).state, State::Error);
    }
}
