//! Countries as files write them: codes of ISO 3166-1 (two or three letters), its English names, and the usual ones.
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::LazyLock,
};

use unicode_normalization::UnicodeNormalization;

/// Names that ISO 3166 does not have, or has for more than one country.
const USUAL: [(&str, &str); 40] = [
    ("America", "US"),
    ("Bosnia", "BA"),
    ("Brunei", "BN"),
    ("Burma", "MM"),
    ("Cape Verde", "CV"),
    ("Congo-Brazzaville", "CG"),
    ("Congo-Kinshasa", "CD"),
    ("Czech Republic", "CZ"),
    ("DR Congo", "CD"),
    ("DRC", "CD"),
    ("East Timor", "TL"),
    ("England", "GB"),
    ("Great Britain", "GB"),
    ("Holland", "NL"),
    ("Ivory Coast", "CI"),
    ("KSA", "SA"),
    ("Korea", "KR"),
    ("Laos", "LA"),
    ("Macau", "MO"),
    ("Macedonia", "MK"),
    ("North Korea", "KP"),
    ("Northern Ireland", "GB"),
    ("Russia", "RU"),
    ("Scotland", "GB"),
    ("South Korea", "KR"),
    ("Swaziland", "SZ"),
    ("Syria", "SY"),
    ("The Gambia", "GM"),
    ("Turkey", "TR"),
    ("Türkiye", "TR"),
    ("U.A.E.", "AE"),
    ("U.K.", "GB"),
    ("U.S.", "US"),
    ("U.S. Virgin Islands", "VI"),
    ("U.S.A.", "US"),
    ("UK", "GB"),
    ("United Kingdom", "GB"),
    ("United States", "US"),
    ("Vatican City", "VA"),
    ("Vietnam", "VN"),
];

/// The names of countries as [`key`] has them, with their codes; `None` where a name is that of more than one.
static NAMES: LazyLock<HashMap<String, Option<&'static str>>> = LazyLock::new(|| {
    let mut names = HashMap::new();
    for country in rust_iso3166::ALL {
        let short = country.name.split('(').next().unwrap_or_default();
        for name in [country.name, short] {
            match names.entry(key(name)) {
                Entry::Vacant(entry) => drop(entry.insert(Some(country.alpha2))),
                Entry::Occupied(mut entry) if *entry.get() != Some(country.alpha2) => drop(entry.insert(None)),
                Entry::Occupied(_) => {}
            }
        }
    }
    // A whole name counts more than the beginning of another's: `Congo` is one country's, though another's begins so.
    names.extend(rust_iso3166::ALL.iter().map(|country| (key(country.name), Some(country.alpha2))));
    names.extend(USUAL.iter().map(|(name, code)| (key(name), Some(*code))));
    names
});

/// The two letters of ISO 3166-1 of the country that a cell names.
pub(super) fn read(cell: &str) -> Option<&'static str> {
    let code = cell.trim().to_ascii_uppercase();
    let by_code = rust_iso3166::from_alpha2(&code).or_else(|| rust_iso3166::from_alpha3(&code));
    by_code.map(|country| country.alpha2).or_else(|| NAMES.get(&key(cell)).copied().flatten())
}

/// The name of the country that was likely meant, and its code: one that differs in two letters at most, or in a fifth
/// of a long name's.
pub(super) fn closest(cell: &str) -> Option<(&'static str, &'static str)> {
    let wanted = words(cell).join(" ");
    let own = rust_iso3166::ALL.iter().map(|country| (country.name, country.alpha2));
    let distances = own.chain(USUAL).map(|(name, code)| {
        let short = name.split('(').next().unwrap_or(name);
        let distance = |name: &str| strsim::osa_distance(&wanted, &words(name).join(" "));
        (distance(name).min(distance(short)), name, code)
    });
    let (distance, name, code) = distances.min_by_key(|(distance, ..)| *distance)?;
    let length = wanted.chars().count();
    (distance <= (length / 5).max(2) && distance * 2 < length).then_some((name, code))
}

/// A name without case, accents, punctuation, `the`, `of` and `and`, and without regard to the order of its words:
/// `Korea (Republic of)` is the `Republic of Korea`.
fn key(name: &str) -> String {
    let mut words = words(name);
    words.sort_unstable();
    words.join(" ")
}

fn words(name: &str) -> Vec<String> {
    let plain: String = name.nfkd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)).collect();
    // What abbreviates holds together: `U.S.` is `us`.
    let plain = plain.to_lowercase().replace(['.', '\'', '’'], "");
    let words = plain.split(|c: char| !c.is_alphanumeric()).filter(|word| !["", "the", "of", "and"].contains(word));
    words.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_read_as_people_write_them() {
        for (cell, code) in [
            ("GB", "GB"),
            ("gb", "GB"),
            ("UK", "GB"),
            ("U.K.", "GB"),
            ("USA", "US"),
            ("U.S.A.", "US"),
            ("United States", "US"),
            ("united states of america", "US"),
            ("The United States", "US"),
            ("Kenya", "KE"),
            ("KEN", "KE"),
            ("Korea", "KR"),
            ("South Korea", "KR"),
            ("Republic of Korea", "KR"),
            ("Korea, Republic of", "KR"),
            ("North Korea", "KP"),
            ("Russia", "RU"),
            ("Czech Republic", "CZ"),
            ("Czechia", "CZ"),
            ("Vietnam", "VN"),
            ("Viet Nam", "VN"),
            ("Cote d'Ivoire", "CI"),
            ("Ivory Coast", "CI"),
            ("Bolivia", "BO"),
            ("Tanzania", "TZ"),
            ("The Netherlands", "NL"),
            ("Taiwan", "TW"),
            ("Congo", "CG"),
            ("Democratic Republic of the Congo", "CD"),
            ("Antigua & Barbuda", "AG"),
            ("Turkey", "TR"),
            ("Niger", "NE"),
            ("Nigeria", "NG"),
        ] {
            assert_eq!(read(cell), Some(code), "{cell}");
        }
        for cell in ["Philipines", "XX", "Virgin Islands", "Europe", "-", ""] {
            assert_eq!(read(cell), None, "{cell}");
        }
    }

    #[test]
    fn every_country_is_read_by_its_codes_and_its_name() {
        for country in rust_iso3166::ALL {
            for cell in [country.alpha2, country.alpha3, country.name] {
                assert_eq!(read(cell), Some(country.alpha2), "{cell}");
            }
        }
        assert!(USUAL.iter().all(|(_, code)| rust_iso3166::from_alpha2(code).is_some()));
    }

    #[test]
    fn the_closest_country_is_one_that_could_be_meant() {
        for (cell, name) in [
            ("Philipines", Some("Philippines")),
            ("Untied States", Some("United States")),
            ("Boliva", Some("Bolivia (Plurinational State of)")),
            ("Jordn", Some("Jordan")),
            ("Atlantis", None),
            ("many", None),
            ("", None),
        ] {
            assert_eq!(closest(cell).map(|(name, _)| name), name, "{cell}");
        }
    }
}
