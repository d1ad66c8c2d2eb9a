//! Names of the same thing, spelled in several ways. Nothing is stored: the key is computed where things are counted, so that
//! each deal keeps the spelling that somebody wrote, and what was put together wrongly can be told apart again.
use crate::text;

/// Names an entity that people spell in several ways: `Hub Spot` and `hubspot`, `Price too high` and `price too high!`.
/// Two texts with the same key are counted as one.
pub fn entity_key(spelling: &str) -> String {
    let folded = text::fold(spelling);
    let key: String = folded.chars().filter(|c| c.is_alphanumeric()).collect();
    if key.is_empty() { folded } else { key }
}

/// Names a company that people spell in several ways, with or without its legal form or as its web address: `Salesforce`,
/// `SALESFORCE, Inc.` and `salesforce.com`. `Acme Inc` and `Acme GmbH` share a key too, which is right for a count of rivals and
/// would not be for a record.
pub fn company_key(spelling: &str) -> String {
    let folded = text::fold(spelling);
    if let Some(name) = of_web_address(&folded) {
        return entity_key(&name);
    }
    // `S.A.` is one word, and so is `sp. z o.o.` in three parts.
    let without_dots = folded.replace('.', "").replace(" z oo", " zoo");
    let words: Vec<&str> = without_dots.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut named = words.len();
    while named > 1 && LEGAL_FORMS.binary_search(&words[named - 1]).is_ok() {
        named -= 1;
    }
    if named == words.len() { entity_key(spelling) } else { words[..named].concat() }
}

/// The words, folded and without dots, by which companies end and which say what they are in law. Ascending.
const LEGAL_FORMS: [&str; 72] = [
    "ab",
    "ag",
    "aktiengesellschaft",
    "aps",
    "as",
    "asa",
    "bhd",
    "bv",
    "bvba",
    "cie",
    "co",
    "company",
    "corp",
    "corporation",
    "doo",
    "eg",
    "ehf",
    "eirl",
    "ev",
    "gbr",
    "gesmbh",
    "gmbh",
    "hf",
    "inc",
    "incorporated",
    "kft",
    "kg",
    "kgaa",
    "kk",
    "lda",
    "limited",
    "llc",
    "llp",
    "lp",
    "ltd",
    "ltda",
    "ltee",
    "mbh",
    "nv",
    "nyrt",
    "oao",
    "ohg",
    "oo",
    "ooo",
    "ou",
    "oy",
    "oyj",
    "pjsc",
    "plc",
    "private",
    "pt",
    "pte",
    "pty",
    "pvt",
    "sa",
    "sab",
    "sarl",
    "sas",
    "sca",
    "sdn",
    "se",
    "sl",
    "slu",
    "snc",
    "sp",
    "spa",
    "spk",
    "srl",
    "sro",
    "ug",
    "zoo",
    "zrt",
];

/// Ends of web addresses that companies use. Short: a name such as `Node.js` is none.
const TOP_LEVELS: [&str; 34] = [
    "ai", "app", "at", "au", "be", "biz", "br", "ca", "ch", "cloud", "cn", "co", "com", "cz", "de", "dev", "dk", "es",
    "eu", "fi", "fr", "in", "info", "io", "it", "jp", "net", "nl", "no", "org", "pl", "se", "uk", "us",
];

/// The name in a web address: `salesforce` of `https://www.salesforce.com/crm` and `acme` of `acme.co.uk`.
fn of_web_address(folded: &str) -> Option<String> {
    let bare = folded.strip_prefix("https://").or_else(|| folded.strip_prefix("http://")).unwrap_or(folded);
    let host = bare.split(['/', '?', '#']).next()?;
    if bare.contains(' ') || host.starts_with('.') || host.contains("..") {
        return None;
    }
    let mut labels: Vec<&str> = host.strip_prefix("www.").unwrap_or(host).split('.').collect();
    if labels.len() < 2 || TOP_LEVELS.binary_search(labels.last()?).is_err() {
        return None;
    }
    let is_country = labels.pop()?.len() == 2;
    if is_country && labels.len() > 1 && matches!(labels.last(), Some(&("co" | "com" | "net" | "org"))) {
        labels.pop();
    }
    labels.last().map(|name| (*name).to_owned()).filter(|name| name.chars().any(char::is_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_thing_share_a_key() {
        for (a, b) in [
            ("HubSpot", "hub spot"),
            ("Price too high", "price  too high!"),
            ("Café Crème", "CAFE-CREME"),
            ("???", " ??? "),
        ] {
            assert_eq!(entity_key(a), entity_key(b), "{a} and {b}");
        }
        assert_ne!(entity_key("Acme Inc"), entity_key("Acme GmbH"));
        assert_ne!(entity_key("???"), entity_key("!"));
    }

    #[test]
    fn the_tables_are_searched_by_halves() {
        assert!(LEGAL_FORMS.is_sorted() && TOP_LEVELS.is_sorted());
    }

    #[test]
    fn companies_meet_whatever_their_legal_form() {
        for (spellings, key) in [
            (
                &[
                    "Salesforce",
                    "Salesforce Inc",
                    "salesforce.com",
                    "SALESFORCE, Inc.",
                    "https://www.salesforce.com/eu/",
                ][..],
                "salesforce",
            ),
            (&["Acme", "Acme GmbH", "ACME GmbH & Co. KG", "acme.co.uk", "Acme S.A.", "Acme Sp. z o.o."], "acme"),
            (&["Pipe Drive", "Pipedrive OÜ", "pipedrive"], "pipedrive"),
            (&["Zoho Corporation Pvt. Ltd.", "zoho"], "zoho"),
            (&["SAP SE", "SAP"], "sap"),
            (&["Telefónica S.A.", "telefonica"], "telefonica"),
            (&["株式会社アクメ"], "株式会社アクメ"),
        ] {
            for spelling in spellings {
                assert_eq!(company_key(spelling), key, "{spelling}");
            }
        }
    }

    #[test]
    fn names_are_not_taken_for_legal_forms() {
        for (a, b) in [
            ("Node.js", "Node"),
            ("Dr. Oetker", "Oetker"),
            ("Inc", "Ltd"),
            ("Co-op", "op"),
            ("Salesforce", "Sales Inc"),
        ] {
            assert_ne!(company_key(a), company_key(b), "{a} and {b}");
        }
        assert_eq!(company_key("Inc"), "inc", "nothing is left of it otherwise");
        assert_eq!(company_key("..."), entity_key("..."));
    }

    proptest! {
        #[test]
        fn every_name_has_a_key_that_its_legal_form_does_not_change(name in "\\PC{1,40}", form in 0..LEGAL_FORMS.len()) {
            let key = company_key(&name);
            prop_assert!(!key.is_empty() || text::fold(&name).is_empty());
            let plain: String = name.chars().filter(char::is_ascii_alphabetic).collect();
            if plain.len() > 1 {
                prop_assert_eq!(company_key(&format!("{plain}, {}", LEGAL_FORMS[form])), company_key(&plain));
            }
        }
    }
}
