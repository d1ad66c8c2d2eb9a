//! Webhooks on a real database: where they may go, and what is kept of their secrets.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use crm_core::{
    Error,
    sealed::Keyring,
    testing::{TestDatabase, TestOrganization, body},
};
use crm_ops::webhooks::{
    addresses::Reach,
    courier::{Courier, Resolve},
    subscriptions,
};
use diesel::{RunQueryDsl, dsl::sql, sql_types::Text};
use serde_json::json;
use std::{io, net::IpAddr};

/// Names that lead inside, and others that cannot be found.
struct Names;

impl Resolve for Names {
    fn resolve(&self, host: &str, _: u16) -> io::Result<Vec<IpAddr>> {
        match host {
            "inside.example" => Ok(vec!["8.8.8.8".parse().unwrap(), "10.0.0.7".parse().unwrap()]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn keys(id: &str) -> Keyring {
    Keyring::parse(&format!("{id}:{}", "5a".repeat(32))).unwrap()
}

#[test]
fn addresses_of_the_inside_are_refused_in_every_spelling() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let (keys, courier) = (keys("k1"), Courier::resolving(Reach::PUBLIC, Names));
    let make = |url: &str| {
        let body = body(&json!({"url": url, "events": ["*"]}).to_string());
        acme.admin.write(|tx| subscriptions::create(tx, &keys, &courier, body).map(drop))
    };
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b::a00:1]",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fc00::1]",
        "224.0.0.1",
        "255.255.255.255",
        "localhost",
        "inside.example",
    ] {
        match make(&format!("https://{host}/hook")) {
            Err(Error::Invalid(errors)) => assert_eq!(errors[0].field, "url", "{host}: {errors:?}"),
            other => panic!("{host}: {other:?}"),
        }
    }
    make("https://hooks.example/").unwrap();
}

#[test]
fn a_secret_is_kept_sealed() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let courier = Courier::resolving(Reach::PUBLIC, Names);
    let new = body(r#"{"url": "https://hooks.example/", "events": ["deal.*"]}"#);
    let (_, secret) = acme.admin.write(|tx| subscriptions::create(tx, &keys("k7"), &courier, new)).unwrap();
    let rows = "SELECT string_agg(w::text, ' ') FROM webhooks w";
    let stored: String = sql::<Text>(rows).get_result(&mut database.connect()).unwrap();
    assert!(stored.contains("v1.k7.") && !stored.contains(secret.expose()), "{stored}");
    let hidden = secret.expose().trim_start_matches("whsec_");
    assert!(!stored.contains(hidden));
    let again = body(r#"{"url": "https://hooks.example/", "events": ["deal.*"]}"#);
    let refused = acme.rep.write(|tx| subscriptions::create(tx, &keys("k7"), &courier, again).map(drop));
    assert!(matches!(refused, Err(Error::Forbidden { .. })));
}
