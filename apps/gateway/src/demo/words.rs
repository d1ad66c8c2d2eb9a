//! Names of people, companies and places. All are made up; domains and telephone numbers belong to nobody (RFC 2606,
//! and the numbers that telephone authorities keep for fiction).
use super::chance::Chance;

pub(super) const FIRST_NAMES: &[&str] = &[
    "Ada",
    "Aiko",
    "Amara",
    "Anders",
    "Anouk",
    "Arjun",
    "Astrid",
    "Ayşe",
    "Beatriz",
    "Bilal",
    "Björn",
    "Camille",
    "Chidi",
    "Ciarán",
    "Clara",
    "Dagmar",
    "Daniela",
    "Diego",
    "Dilnoza",
    "Edvin",
    "Eileen",
    "Elif",
    "Emeka",
    "Esther",
    "Fatima",
    "Femke",
    "Filip",
    "Giulia",
    "Greta",
    "Hana",
    "Hugo",
    "Imani",
    "Ingrid",
    "Ivo",
    "Jasper",
    "João",
    "Jun",
    "Kaisa",
    "Katarzyna",
    "Kofi",
    "Lars",
    "Leïla",
    "Linh",
    "Lucía",
    "Magnus",
    "Mateo",
    "Mei",
    "Milan",
    "Nadia",
    "Niamh",
    "Noor",
    "Olena",
    "Pauline",
    "Priya",
    "Rasmus",
    "Renata",
    "Samir",
    "Sanne",
    "Soraya",
    "Tadeusz",
    "Thandi",
    "Tomás",
    "Yusuf",
    "Zofia",
];

pub(super) const LAST_NAMES: &[&str] = &[
    "Abara",
    "Adeyeri",
    "Almquist",
    "Araújo",
    "Baranek",
    "Bergström",
    "Bianchetti",
    "Brannigan",
    "Calloway",
    "Castellan",
    "Dąbrow",
    "Delacour",
    "Demirel",
    "Dinh",
    "Eikeland",
    "Ekwueme",
    "Farrow",
    "Fontaine",
    "Fujimori",
    "Gallardo",
    "Grünwald",
    "Halloran",
    "Haugen",
    "Hillebrand",
    "Ibarra",
    "Iyer",
    "Jankovic",
    "Kallio",
    "Karlsen",
    "Kwarteng",
    "Lindholm",
    "Lorentz",
    "Macrae",
    "Marchetti",
    "Mbalo",
    "Meerholt",
    "Moreau",
    "Nakagawa",
    "Novotny",
    "Nyberg",
    "Oduya",
    "Okonjo",
    "Olszewski",
    "Paredes",
    "Petrovic",
    "Pham",
    "Quist",
    "Rahimi",
    "Reinholt",
    "Ribeiro",
    "Sadowski",
    "Sandoval",
    "Schönfeld",
    "Sharma",
    "Solberg",
    "Tanaka",
    "Thorne",
    "Vandermeer",
    "Vasquez",
    "Villeneuve",
    "Wexler",
    "Yamada",
    "Zeller",
    "Østby",
];

const STEMS: &[&str] = &[
    "Aldermoor",
    "Bexholm",
    "Birkendal",
    "Brackwater",
    "Calderis",
    "Corvane",
    "Dunmarrow",
    "Eastermark",
    "Elverik",
    "Emberlund",
    "Farrowdene",
    "Fennmark",
    "Glimsund",
    "Grauhöfer",
    "Hallowmere",
    "Havelbrück",
    "Hexbury",
    "Istergård",
    "Jorvale",
    "Kestrane",
    "Kilbracken",
    "Klarsund",
    "Lachsbach",
    "Lorrimond",
    "Lyngvik",
    "Marrowby",
    "Mirefold",
    "Montrevel",
    "Nettlecombe",
    "Norrebeck",
    "Oakhavel",
    "Ostelin",
    "Pellmarch",
    "Pinnaker",
    "Quillane",
    "Rabenholt",
    "Ravensund",
    "Rivenstad",
    "Rosmarek",
    "Saltergate",
    "Seldmoor",
    "Silverbeck",
    "Solvarra",
    "Steinhaven",
    "Stillwater",
    "Sturmvik",
    "Tamberlane",
    "Tarnbridge",
    "Thornavel",
    "Tideholm",
    "Umberfield",
    "Valdrune",
    "Varnsholt",
    "Velmora",
    "Wandelmeer",
    "Weidenau",
    "Westrigg",
    "Windermark",
    "Wolkenstein",
    "Yarrowgate",
    "Zillerfeld",
];

/// What a company does, by the last word of its name.
const TRADES: [(&str, &str); 20] = [
    ("Logistics", "Transport"),
    ("Foods", "Food and drink"),
    ("Pumps", "Machinery"),
    ("Textiles", "Textiles"),
    ("Energy", "Energy"),
    ("Laboratories", "Life sciences"),
    ("Packaging", "Packaging"),
    ("Marine", "Shipbuilding"),
    ("Optics", "Precision instruments"),
    ("Robotics", "Machinery"),
    ("Retail", "Retail"),
    ("Clinics", "Health care"),
    ("Printworks", "Media"),
    ("Glass", "Building materials"),
    ("Paper", "Paper"),
    ("Hotels", "Hospitality"),
    ("Academy", "Education"),
    ("Freight", "Transport"),
    ("Dairy", "Food and drink"),
    ("Toolworks", "Metalwork"),
];

/// What is known of a company from its name.
#[derive(Debug, Clone)]
pub(super) struct Naming {
    pub(super) name: String,
    pub(super) domain: String,
    pub(super) industry: &'static str,
}

/// The `n`th company name; no two alike up to 1,220.
pub(super) fn company(n: usize) -> Naming {
    // 367 has no common divisor with the number of pairs, and stems and trades have none, so each pair comes once.
    let n = n * 367;
    let (stem, (trade, industry)) = (STEMS[n % STEMS.len()], TRADES[n % TRADES.len()]);
    Naming { name: format!("{stem} {trade}"), domain: format!("{}-{}.example", ascii(stem), ascii(trade)), industry }
}

/// A first and a last name.
pub(super) fn person(chance: &mut Chance) -> (&'static str, &'static str) {
    (chance.pick(FIRST_NAMES), chance.pick(LAST_NAMES))
}

/// The address of somebody at a domain.
pub(super) fn email(first: &str, last: &str, domain: &str) -> String {
    format!("{}.{}@{domain}", ascii(first), ascii(last))
}

/// A telephone number that rings nowhere.
pub(super) fn phone(chance: &mut Chance, country: &str) -> String {
    let digits = chance.below(1_000);
    match country {
        "GB" | "IE" => format!("+44 20 7946 0{digits:03}"),
        "US" => format!("+1 212 555 01{:02}", digits % 100),
        _ => format!("+49 30 23125 {digits:03}"),
    }
}

pub(super) const JOB_TITLES: &[&str] = &[
    "Head of Operations",
    "Plant Manager",
    "Chief Financial Officer",
    "Procurement Lead",
    "Managing Director",
    "IT Director",
    "Maintenance Engineer",
    "Supply Chain Manager",
    "Quality Manager",
    "Head of Logistics",
    "Controller",
    "Digital Transformation Lead",
    "Site Manager",
    "Chief Operating Officer",
    "Warehouse Manager",
    "Data Analyst",
    "Executive Assistant",
    "Purchasing Agent",
];

/// Cities by country.
pub(super) const CITIES: [(&str, &[&str]); 9] = [
    ("DE", &["Berlin", "Hamburg", "Leipzig", "Köln", "Nürnberg", "Bremen", "Kassel"]),
    ("AT", &["Wien", "Graz", "Linz"]),
    ("CH", &["Zürich", "Basel", "Luzern"]),
    ("PL", &["Poznań", "Gdańsk", "Wrocław"]),
    ("SE", &["Göteborg", "Malmö", "Uppsala"]),
    ("GB", &["London", "Leeds", "Bristol", "Glasgow", "Cardiff", "Norwich"]),
    ("IE", &["Dublin", "Cork", "Galway"]),
    ("NL", &["Utrecht", "Rotterdam", "Eindhoven"]),
    ("US", &["Boston", "Portland", "Denver"]),
];

/// A city of a country.
pub(super) fn city(chance: &mut Chance, country: &str) -> &'static str {
    let cities = CITIES.iter().find(|(code, _)| *code == country).map_or(CITIES[0].1, |(_, cities)| *cities);
    chance.pick(cities)
}

/// As it can stand in a domain or an address.
fn ascii(text: &str) -> String {
    let plain = text.replace(['ø', 'Ø'], "o").replace('ß', "ss").replace('ł', "l").replace('ı', "i");
    crm_core::text::fold(&plain).chars().filter(char::is_ascii_alphanumeric).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn company_names_differ() {
        let names: HashSet<_> = (0..STEMS.len() * TRADES.len()).map(|n| company(n).domain).collect();
        assert_eq!(names.len(), STEMS.len() * TRADES.len());
    }

    #[test]
    fn addresses_are_ascii() {
        assert_eq!(email("Björn", "Østby", "a.example"), "bjorn.ostby@a.example");
        for n in 0..STEMS.len() {
            let domain = company(n).domain;
            assert!(domain.is_ascii() && !domain.contains("--"), "{domain}");
        }
    }
}
