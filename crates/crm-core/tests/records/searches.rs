use crm_core::{
    Ctx, change,
    companies::Company,
    contacts::Contact,
    deals,
    search::{self, Hit},
};
use serde_json::json;

use crate::house::{House, code, now, patch, query};

fn hits(house: &House, ctx: &Ctx, parameters: &[(&str, &str)]) -> Vec<Hit> {
    house.run(ctx, |tx| search::search(tx, &query(parameters))).unwrap()
}

fn titles(house: &House, ctx: &Ctx, q: &str) -> Vec<String> {
    hits(house, ctx, &[("q", q)]).into_iter().map(|hit| format!("{} {}", hit.type_, hit.title)).collect()
}

fn furnish(house: &House, ctx: &Ctx) {
    house.lead(
        ctx,
        json!({"firstName": "Grace", "lastName": "Hopper", "companyName": "Navy", "phone": "020 7946-0958"}),
    );
    for (name, domain) in [
        ("Acme", "acme.example"),
        ("Acmetronics", "tronics.example"),
        ("Köln Werke", "werke.example"),
        ("株式会社東京製作所", "tokyo.example"),
    ] {
        house.make::<Company>(ctx, json!({"name": name, "domain": domain}));
    }
    let phone = "+44 (0)20 7946 1111";
    house.make::<Contact>(
        ctx,
        json!({"firstName": "José", "lastName": "Núñez", "email": "jose@acme.example", "phone": phone}),
    );
    for title in ["Renewal for Acme 100%", "Harbour crane"] {
        house.run(ctx, |tx| deals::create(tx, patch(json!({"title": title})))).unwrap();
    }
}

#[test]
fn everything_is_found_by_what_people_type() {
    let house = House::new();
    let rep = house.rep();
    furnish(&house, &rep);
    let cases: [(&str, &[&str]); 19] = [
        ("acme", &["company Acme", "company Acmetronics", "deal Renewal for Acme 100%", "contact José Núñez"]),
        ("ACME renewal", &["deal Renewal for Acme 100%"]),
        ("grace hopper", &["lead Grace Hopper"]),
        ("hopper grace", &["lead Grace Hopper"]),
        ("Gracee Hoper", &["lead Grace Hopper"]),
        ("harbuor", &["deal Harbour crane"]),
        ("harbor crane", &["deal Harbour crane"]),
        ("jose nunez", &["contact José Núñez"]),
        ("koln", &["company Köln Werke"]),
        ("ha", &["deal Harbour crane"]),
        ("東京", &["company 株式会社東京製作所"]),
        ("東京製作", &["company 株式会社東京製作所"]),
        ("100%", &["deal Renewal for Acme 100%"]),
        ("https://www.tronics.example/about?x=1", &["company Acmetronics"]),
        ("jose@acme.example", &["contact José Núñez", "company Acme"]),
        ("+44 20 7946 0958", &["lead Grace Hopper"]),
        ("(020) 7946 1111", &["contact José Núñez"]),
        ("79460958", &["lead Grace Hopper"]),
        ("zzzz", &[]),
    ];
    for (q, expected) in cases {
        let mut found = titles(&house, &rep, q);
        if q == "acme" {
            found[2..].sort();
            found[2..].reverse();
        }
        assert_eq!(found, expected, "{q}");
    }
}

#[test]
fn exact_comes_before_prefix_before_contained_before_similar_and_then_the_most_recent() {
    let house = House::new();
    let rep = house.rep();
    let company = |name: &str, days: i64| {
        let mut ctx = rep.clone();
        ctx.now = now() + chrono::TimeDelta::days(days);
        house.run(&ctx, |tx| change::create::<Company>(tx, patch(json!({"name": name})))).unwrap();
    };
    for (name, days) in
        [("Hooper", 0), ("The Hopper", 9), ("Hoppers", 8), ("Hopper Group", 1), ("Hopper Holding", 7), ("HOPPER", 0)]
    {
        company(name, days);
    }
    let found = hits(&house, &rep, &[("q", "hopper")]);
    let order: Vec<_> = found.iter().map(|hit| hit.title.as_str()).collect();
    assert_eq!(order[..5], ["HOPPER", "Hopper Holding", "Hopper Group", "Hoppers", "The Hopper"]);
    let scores: Vec<_> = found.iter().map(|hit| hit.score).collect();
    assert_eq!(scores[..5], [1.0, 0.95, 0.95, 0.9, 0.8]);
    assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)) && scores.is_sorted_by(|a, b| a >= b));
    let few = hits(&house, &rep, &[("q", "hopper"), ("limit", "2")]);
    assert_eq!(few.iter().map(|hit| hit.title.as_str()).collect::<Vec<_>>(), order[..2]);
}

#[test]
fn one_slip_in_a_word_of_four_letters_or_more_is_forgiven() {
    let house = House::new();
    let rep = house.rep();
    let names = ["Cancity", "Isdom", "Globex Corporation", "Konex", "Umbrella", "Zoom", "Kan-code", "J-Texon"];
    for name in names {
        house.make::<Company>(&rep, json!({"name": name}));
    }
    for (q, name) in [
        ("Cancty", "Cancity"),
        ("Canctiy", "Cancity"),
        ("Isdmo", "Isdom"),
        ("golbex", "Globex Corporation"),
        ("Konex Co", "Konex"),
        ("Kann-code", "Kan-code"),
        ("Txeon", "J-Texon"),
        ("globex coproration", "Globex Corporation"),
    ] {
        let found = hits(&house, &rep, &[("q", q)]);
        assert_eq!(found.first().map(|hit| hit.title.as_str()), Some(name), "{q}");
    }
    for word in ["cancity", "isdom", "konex", "zoom"] {
        for slip in slips(word).iter().filter(|slip| slip.len() >= 4) {
            let found = titles(&house, &rep, slip);
            assert!(found.iter().any(|title| title.to_lowercase().ends_with(word)), "{slip} of {word}: {found:?}");
        }
    }
    assert_eq!(titles(&house, &rep, "isdmoo"), [""; 0], "two slips are another word");
    let long = "Wirtschaftspruefungsgesellschaftsvertrag";
    house.make::<Company>(&rep, json!({"name": long}));
    assert_eq!(titles(&house, &rep, &long.replace("sg", "gs")), [format!("company {long}")]);
    let longest = ["(x+[y]*{2}\\|^$.?)".repeat(7), "abcdefghij".repeat(20), "a\\bc".repeat(40)];
    assert!(longest.iter().all(|q| hits(&house, &rep, &[("q", q)]).is_empty()));
}

/// Every word that one slip of the finger makes of a word.
fn slips(word: &str) -> Vec<String> {
    let mut made = Vec::new();
    for at in 0..=word.len() {
        let (before, after) = word.split_at(at);
        made.push(format!("{before}q{after}"));
        let mut letters = after.chars();
        let Some(first) = letters.next() else { continue };
        let rest = letters.as_str();
        made.extend([format!("{before}{rest}"), format!("{before}q{rest}")]);
        if let Some(second) = letters.next() {
            made.push(format!("{before}{second}{first}{}", letters.as_str()));
        }
    }
    made
}

#[test]
fn a_search_is_of_the_kinds_that_were_asked_for() {
    let house = House::new();
    let rep = house.rep();
    furnish(&house, &rep);
    let found = hits(&house, &rep, &[("q", "acme"), ("types", "deal,lead")]);
    assert_eq!(found.len(), 1);
    let hit = serde_json::to_value(&found[0]).unwrap();
    assert_eq!(hit["type"], "deal");
    assert_eq!(hit["subtitle"], "open");
    assert_eq!(hit["businessUnitId"], json!(null));
    assert!(hit.get("updatedAt").is_none());
    for (parameters, refusal) in [
        (vec![("q", "a")], "invalid_value"),
        (vec![("q", " é ")], "invalid_value"),
        (vec![], "invalid_value"),
        (vec![("q", "ab\0c")], "invalid_value"),
        (vec![("q", "ab\u{1b}c")], "invalid_value"),
        (vec![("q", "acme"), ("limit", "51")], "invalid_value"),
        (vec![("q", "acme"), ("types", "deal,user")], "invalid_value"),
        (vec![("q", "acme"), ("sort", "name")], "unknown_parameter"),
    ] {
        assert_eq!(code(house.run(&rep, |tx| search::search(tx, &query(&parameters)))), refusal, "{parameters:?}");
    }
    let long = "ab ".repeat(80);
    assert_eq!(code(house.run(&rep, |tx| search::search(tx, &query(&[("q", &long)])))), "invalid_value");
}

#[test]
fn other_units_and_organizations_are_not_searched() {
    let house = House::new();
    let rep = house.rep();
    for (name, unit) in [("Acme North", Some(house.north)), ("Acme South", Some(house.south)), ("Acme Both", None)] {
        house.make::<Company>(&rep, json!({"name": name, "businessUnitId": unit}));
    }
    let mut found = titles(&house, &house.southerner(), "acme");
    found.sort();
    assert_eq!(found, ["company Acme Both", "company Acme South"]);
    assert_eq!(titles(&house, &house.stranger(), "acme"), [""; 0]);
}
