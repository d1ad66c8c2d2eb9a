//! Holes that the types leave open, looked for in the text of the sources.
use std::{
    fs,
    path::{Path, PathBuf},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for folder in ["crates", "apps", "xtask"] {
        collect(&Path::new(ROOT).join(folder), &mut found);
    }
    assert!(found.len() > 50, "the sources were not found");
    found
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.strip_prefix(ROOT).unwrap().to_owned(), fs::read_to_string(&path).unwrap()));
        }
    }
}

fn is_product(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "src") && !path.starts_with("xtask")
}

#[test]
fn files_can_be_read_in_one_go() {
    let long: Vec<_> = sources()
        .into_iter()
        .filter(|(path, text)| !path.ends_with("schema.rs") && text.lines().count() > 400)
        .map(|(path, text)| format!("{}: {} lines", path.display(), text.lines().count()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_left_for_later() {
    let marks =
        ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "unimpl".to_owned() + "emented!", "#[ign".to_owned() + "ore"];
    for (path, text) in sources() {
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} contains {mark}", path.display());
        }
    }
}

#[test]
fn the_gateway_knows_nothing_of_sql() {
    let manifest = fs::read_to_string(Path::new(ROOT).join("apps/gateway/Cargo.toml")).unwrap();
    let dependencies = manifest.split("[dev-dependencies]").next().unwrap();
    assert!(!dependencies.contains("diesel"));
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with("apps/gateway/src")) {
        assert!(!text.contains("SELECT ") && !text.contains("diesel"), "{}", path.display());
    }
}

#[test]
fn siblings_do_not_see_each_other() {
    const SIBLINGS: [&str; 6] = ["policy", "forecast", "deliverability", "gdpr", "knowledge", "ops"];
    for sibling in SIBLINGS {
        let manifest = fs::read_to_string(Path::new(ROOT).join(format!("crates/crm-{sibling}/Cargo.toml"))).unwrap();
        for other in SIBLINGS.iter().filter(|other| **other != sibling) {
            assert!(!manifest.contains(&format!("crm-{other}")), "crm-{sibling} sees crm-{other}");
        }
    }
    let core = fs::read_to_string(Path::new(ROOT).join("crates/crm-core/Cargo.toml")).unwrap();
    assert!(!SIBLINGS.iter().any(|sibling| core.contains(&format!("crm-{sibling}"))), "crm-core sees a sibling");
}

#[test]
fn rows_are_changed_by_their_owner_and_with_their_organization() {
    for (path, text) in sources().into_iter().filter(|(path, _)| is_product(path) && path.starts_with("crates")) {
        assert!(!text.contains(".with(|_|"), "{} throws the scope away", path.display());
        for (number, line) in text.lines().enumerate() {
            let raw = line.contains("diesel::update(") || line.contains("diesel::delete(");
            let scoped = line.contains("rows.filter(") || line.contains("diesel::update(rows");
            assert!(!raw || scoped, "{}:{}: {line}", path.display(), number + 1);
        }
    }
}

#[test]
fn policies_can_speak_about_every_kind_of_record() {
    const MARK: &str = "const KIND: &'static str = \"";
    let mut found = 0;
    for (path, text) in sources().into_iter().filter(|(path, _)| is_product(path)) {
        for kind in text.split(MARK).skip(1).filter_map(|rest| rest.split('"').next()) {
            found += 1;
            assert!(
                crm_policy::catalogue().resource(kind).is_some(),
                "{} is closed: no policy knows {kind}",
                path.display()
            );
        }
    }
    assert!(found > 10, "the kinds were not found");
}
