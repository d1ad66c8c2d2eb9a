//! Signing in, on a real database: tokens, expiry, refresh, the console's cookie, throttling, passwords.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use chrono::{DateTime, TimeDelta, Utc};
use crm_core::{
    Caller, Door, Error, Result,
    companies::Company,
    door::ConsoleRequest,
    sessions::{self, Grant, PasswordChange, SignedIn, tokens::Secret},
    testing::{PASSWORD, Person, TestDatabase, TestOrganization, body, login_request, now, with_token},
    users,
};
use diesel::{QueryableByName, RunQueryDsl, sql_types::Text};

fn minutes(n: i64) -> TimeDelta {
    TimeDelta::minutes(n)
}

fn code<T>(result: Result<T>) -> String {
    result.err().map(|error| error.code().to_owned()).unwrap_or_default()
}

fn tokens(signed_in: SignedIn) -> (Secret, Secret, i64) {
    match signed_in.grant {
        Grant::Tokens { access, refresh, expires_in } => (access, refresh, expires_in),
        Grant::Console { .. } => panic!("a cookie"),
    }
}

/// Who a token belongs to, as a read and as a write say.
fn who(door: &Door, token: &Secret, at: DateTime<Utc>) -> Result<String> {
    let caller = with_token(token.expose(), at);
    let read = door.read(&caller, sessions::me).map(|me| me.email);
    let written = door.write(&caller, sessions::me).map(|me| me.email);
    assert_eq!(read.as_ref().ok(), written.as_ref().ok());
    read
}

fn console(cookie: &Secret, is_same_origin: bool, at: DateTime<Utc>) -> Caller {
    let console = Some(ConsoleRequest { cookie: cookie.clone(), is_same_origin });
    Caller { bearer: None, console, request_id: "test".into(), now: at }
}

#[test]
fn a_session_lives_a_week_by_refreshing_every_quarter_of_an_hour() {
    let database = TestDatabase::new();
    let TestOrganization { door, .. } = TestOrganization::new(&database, "acme");
    let signed_in = sessions::login(&door, &login_request(" REP@acme.test ", PASSWORD, now())).unwrap();
    assert_eq!(serde_json::to_value(&signed_in.user).unwrap()["role"], "SALES_REP");
    let (access, mut refresh, expires_in) = tokens(signed_in);
    assert_eq!(expires_in, 900);
    assert_eq!(who(&door, &access, now() + minutes(14)).unwrap(), "rep@acme.test");
    assert_eq!(code(who(&door, &access, now() + minutes(15))), "expired_token");

    let mut at = now();
    let mut previous = access;
    for _ in 0..7 {
        at += TimeDelta::hours(23);
        let (access, next, _) = tokens(sessions::refresh(&door, &refresh, at).unwrap());
        assert_eq!(code(who(&door, &previous, at)), "invalid_token", "the old access token has been replaced");
        assert!(who(&door, &access, at).is_ok());
        (previous, refresh) = (access, next);
    }
    let (access, refresh, expires_in) =
        tokens(sessions::refresh(&door, &refresh, now() + minutes(7 * 24 * 60 - 5)).unwrap());
    assert_eq!(expires_in, 300, "no token outlives its session");
    assert_eq!(code(who(&door, &access, now() + TimeDelta::days(7))), "expired_token");
    assert_eq!(code(sessions::refresh(&door, &refresh, now() + TimeDelta::days(7)).map(drop)), "expired_token");
}

#[test]
fn a_reused_refresh_token_ends_the_whole_session() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, .. } = TestOrganization::new(&database, "acme");
    let (_, first, _) = tokens(sessions::login(&door, &login_request(&rep.email, PASSWORD, now())).unwrap());
    let (access, second, _) = tokens(sessions::refresh(&door, &first, now()).unwrap());
    assert!(who(&door, &access, now()).is_ok());
    assert_eq!(code(sessions::refresh(&door, &first, now()).map(drop)), "invalid_token");
    assert_eq!(code(who(&door, &access, now())), "invalid_token");
    assert_eq!(code(sessions::refresh(&door, &second, now()).map(drop)), "invalid_token");
    assert!(rep.read(sessions::me).is_ok(), "another session goes on");
}

#[test]
fn one_of_many_simultaneous_refreshes_succeeds() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, .. } = TestOrganization::new(&database, "acme");
    let (_, refresh, _) = tokens(sessions::login(&door, &login_request(&rep.email, PASSWORD, now())).unwrap());
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..6).map(|_| scope.spawn(|| sessions::refresh(&door, &refresh, now()).map(drop))).collect();
        tries.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(outcomes.iter().filter(|o| o.is_ok()).count(), 1);
}

#[test]
fn tokens_that_are_not_quite_right_are_refused() {
    let database = TestDatabase::new();
    let acme = TestOrganization::new(&database, "acme");
    let globex = TestOrganization::new(&database, "globex");
    let login = sessions::login(&acme.door, &login_request(&acme.admin.email, PASSWORD, now())).unwrap();
    let (access, refresh, _) = tokens(login);
    let text = access.expose();
    let forged = [
        refresh.expose().to_owned(),
        text.replacen("hma_", "hmc_", 1),
        text.replacen("hma_", "hmd_", 1),
        text.to_uppercase(),
        text[..text.len() - 4].to_owned(),
        format!("{text} "),
        format!("Bearer {text}"),
        String::new(),
        "hma_".into(),
        "\0".into(),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9.".into(),
        "eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiQURNSU4ifQ.c2ln".into(),
        rewritten(text, |bytes| bytes[..16].copy_from_slice(globex.id.uuid().as_bytes())),
        rewritten(text, |bytes| bytes[16..32].copy_from_slice(acme.rep.id.uuid().as_bytes())),
        rewritten(text, |bytes| bytes[63] ^= 1),
    ];
    for text in &forged {
        assert_eq!(code(acme.door.read(&with_token(text, now()), sessions::me)), "invalid_token", "{text}");
        assert_eq!(code(acme.door.write(&with_token(text, now()), sessions::me)), "invalid_token", "{text}");
    }
    let nobody = Caller { bearer: None, ..with_token("", now()) };
    assert_eq!(code(acme.door.read(&nobody, sessions::me)), "missing_token");
    let both = Caller { bearer: Some(access.clone()), ..console(&access, true, now()) };
    assert_eq!(code(acme.door.read(&both, sessions::me)), "two_credentials");
    assert_eq!(code(acme.door.read(&console(&access, true, now()), sessions::me)), "invalid_token");
    assert_eq!(code(sessions::refresh(&acme.door, &access, now()).map(drop)), "invalid_token");
    assert_eq!(code(acme.rep.read(|tx| tx.find(globex.rep.id))), "not_found");
}

/// A token with other bytes in it and the checksum that belongs to them.
fn rewritten(token: &str, change: impl FnOnce(&mut [u8])) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use sha2::{Digest, Sha256};
    let mut bytes = URL_SAFE_NO_PAD.decode(&token[4..]).unwrap();
    bytes.truncate(64);
    change(&mut bytes);
    let sum = Sha256::new().chain_update(&token[..4]).chain_update(&bytes).finalize();
    bytes.extend_from_slice(&sum[..4]);
    format!("{}{}", &token[..4], URL_SAFE_NO_PAD.encode(bytes))
}

#[test]
fn the_console_is_signed_in_by_a_cookie_alone() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, .. } = TestOrganization::new(&database, "acme");
    let request = || sessions::LoginRequest { is_console: true, ..login_request(&rep.email, PASSWORD, now()) };
    let cookie = || match sessions::login(&door, &request()).unwrap().grant {
        Grant::Console { cookie, max_age } => {
            assert_eq!(max_age, 7 * 24 * 3600);
            cookie
        }
        Grant::Tokens { .. } => panic!("tokens"),
    };
    let me = |cookie: &Secret, at| door.read(&console(cookie, false, at), sessions::me);
    let kept = cookie();
    let mut at = now();
    for _ in 0..15 {
        at += TimeDelta::hours(11);
        assert!(me(&kept, at).is_ok());
    }
    assert_eq!(code(me(&kept, now() + TimeDelta::days(7))), "expired_token", "a week is the most");
    let left = cookie();
    assert!(me(&left, now() + minutes(719)).is_ok());
    assert!(me(&left, now() + minutes(719 + 719)).is_ok(), "the use was noted");
    assert_eq!(code(me(&left, now() + minutes(719 + 719 + 720))), "expired_token");

    let cookie = cookie();
    let create = |is_same_origin| {
        door.write(&console(&cookie, is_same_origin, now()), |tx| {
            crm_core::change::create::<Company>(tx, body(r#"{"name": "Globex"}"#))
        })
    };
    assert_eq!(code(create(false)), "cross_site_request");
    assert!(create(true).is_ok());
    assert_eq!(code(door.read(&with_token(cookie.expose(), now()), sessions::me)), "invalid_token");
}

#[test]
fn the_last_use_is_noted_once_a_minute() {
    let database = TestDatabase::new();
    let TestOrganization { rep, .. } = TestOrganization::new(&database, "acme");
    for (seconds, noted) in [(59, 0), (60, 60), (119, 60), (121, 121)] {
        let later = rep.clone().at(now() + TimeDelta::seconds(seconds));
        later.read(sessions::me).unwrap();
        let sessions = later.read(sessions::list).unwrap();
        assert_eq!(sessions[0].last_used_at, now() + TimeDelta::seconds(noted));
    }
}

#[test]
fn one_sees_and_ends_ones_own_sessions() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, admin, .. } = TestOrganization::new(&database, "acme");
    let other = Person::sign_in(&door, &rep.email, now()).unwrap();
    let sessions = rep.read(sessions::list).unwrap();
    assert_eq!(sessions.len(), 2);
    let current: Vec<_> = sessions.iter().filter(|s| s.is_current).collect();
    assert_eq!((current.len(), current[0].address.as_str()), (1, "192.0.2.1"));
    let theirs = sessions.iter().find(|s| !s.is_current).unwrap().id;
    assert_eq!(code(admin.write(|tx| sessions::end(tx, theirs))), "not_found", "nobody else's");
    rep.write(|tx| sessions::end(tx, theirs)).unwrap();
    assert_eq!(code(other.read(sessions::me)), "invalid_token");
    rep.write(sessions::logout).unwrap();
    assert_eq!(code(rep.read(sessions::me)), "invalid_token");
    assert!(admin.read(sessions::me).is_ok());
}

#[test]
fn the_unknown_the_wrong_and_the_inactive_are_told_alike() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, admin, .. } = TestOrganization::new(&database, "acme");
    admin.write(|tx| users::update(tx, rep.id, body(r#"{"isActive": false}"#))).unwrap();
    let told = |email: &str, password: &str| {
        let error = sessions::login(&door, &login_request(email, password, now())).map(drop).unwrap_err();
        assert!(matches!(error, Error::Unauthenticated { .. }));
        (error.code().to_owned(), error.to_string())
    };
    let wrong = told(&admin.email, "not the password");
    assert_eq!(wrong.0, "invalid_credentials");
    for (email, password) in [
        ("nobody@acme.test", PASSWORD),
        (rep.email.as_str(), PASSWORD),
        (admin.email.as_str(), ""),
        ("", ""),
        ("\0", "\0"),
    ] {
        let request =
            sessions::LoginRequest { address: "198.51.100.9".into(), ..login_request(email, password, now()) };
        let error = sessions::login(&door, &request).map(drop).unwrap_err();
        assert_eq!((error.code().to_owned(), error.to_string()), wrong, "{email:?}");
    }
}

#[test]
fn guessing_is_slowed_by_account_and_client() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, .. } = TestOrganization::new(&database, "acme");
    let from = |address: &str, email: &str, password: &str, at| {
        let request = sessions::LoginRequest { address: address.into(), ..login_request(email, password, at) };
        sessions::login(&door, &request).map(drop)
    };
    for email in [rep.email.as_str(), "nobody@acme.test"] {
        for _ in 0..6 {
            assert_eq!(code(from("192.0.2.66", email, "wrong wrong wrong", now())), "invalid_credentials");
        }
        for _ in 0..14 {
            let Err(Error::Limited { retry_after, .. }) = from("192.0.2.66", email, PASSWORD, now()) else {
                panic!("let in");
            };
            assert!((60..=61).contains(&retry_after), "{retry_after}");
        }
    }
    assert!(from("192.0.2.67", &rep.email, PASSWORD, now()).is_ok(), "the right password from elsewhere still works");
    let later = now() + minutes(1);
    assert_eq!(code(from("192.0.2.66", &rep.email, "wrong wrong wrong", later)), "invalid_credentials");
    assert_eq!(code(from("192.0.2.66", &rep.email, PASSWORD, later + minutes(1))), "rate_limited");
    assert!(from("192.0.2.66", &rep.email, PASSWORD, later + minutes(2)).is_ok());
    for _ in 0..5 {
        let outcome = from("192.0.2.66", &rep.email, "wrong wrong wrong", later + minutes(2));
        assert_eq!(code(outcome), "invalid_credentials", "success has cleared the count");
    }
    assert!(from("192.0.2.66", &rep.email, PASSWORD, later + minutes(2)).is_ok());
}

#[test]
fn a_client_has_thirty_failures_a_minute_and_successes_do_not_count() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, .. } = TestOrganization::new(&database, "acme");
    let attempt =
        |email: &str, password: &str| sessions::login(&door, &login_request(email, password, now())).map(drop);
    for n in 0..30 {
        assert_eq!(code(attempt(&format!("nobody{n}@acme.test"), PASSWORD)), "invalid_credentials");
        if n % 10 == 0 {
            assert!(attempt(&rep.email, PASSWORD).is_ok());
        }
    }
    assert_eq!(code(attempt("another@acme.test", PASSWORD)), "rate_limited");
    assert_eq!(code(attempt(&rep.email, PASSWORD)), "rate_limited");
    let later = sessions::login(&door, &login_request(&rep.email, PASSWORD, now() + minutes(1)));
    assert!(later.is_ok());
}

#[test]
fn a_new_password_ends_every_session_the_one_that_asked_for_it_too() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, manager, .. } = TestOrganization::new(&database, "acme");
    let others = [0, 1].map(|_| Person::sign_in(&door, &rep.email, now()).unwrap());
    let (_, key) =
        rep.write(|tx| crm_core::api_keys::create(tx, body(r#"{"name": "k", "scopes": ["read"]}"#))).unwrap();
    let change = |current: &str, new: &str| {
        let change =
            PasswordChange { current: Secret::new(current), new: Secret::new(new), address: "192.0.2.1".into() };
        sessions::change_password(&door, &rep.caller, &change)
    };
    assert_eq!(code(change("not the password", "another pony stable")), "wrong_password");
    assert_eq!(code(change(PASSWORD, "short")), "too_short");
    assert_eq!(code(change(PASSWORD, "password1234")), "too_common");
    assert_eq!(code(change(PASSWORD, &rep.email.to_uppercase())), "same_as_email");
    assert!(others.iter().all(|other| other.read(sessions::me).is_ok()), "nothing has changed yet");
    change(PASSWORD, "another pony stable").unwrap();
    for session in others.iter().chain([&rep]) {
        assert_eq!(code(session.read(sessions::me)), "invalid_token");
    }
    assert_eq!(code(who(&door, &key, now())), "invalid_token");
    assert!(manager.read(sessions::me).is_ok());
    let login = |password: &str| sessions::login(&door, &login_request(&rep.email, password, now())).map(drop);
    assert_eq!(code(login(PASSWORD)), "invalid_credentials");
    assert!(login("another pony stable").is_ok());
}

#[test]
fn wrong_current_passwords_count_as_failed_sign_ins() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, .. } = TestOrganization::new(&database, "acme");
    let guess = |password: &str| {
        let new = Secret::new("another pony stable");
        let change = PasswordChange { current: Secret::new(password), new, address: "192.0.2.1".into() };
        sessions::change_password(&door, &rep.caller, &change)
    };
    for _ in 0..6 {
        assert_eq!(code(guess("not the password")), "wrong_password");
    }
    assert_eq!(code(guess(PASSWORD)), "rate_limited");
}

#[test]
fn an_old_hash_is_renewed_at_the_next_sign_in() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, .. } = TestOrganization::new(&database, "acme");
    // Of PASSWORD, made with m=8, t=1.
    let old = argon2_of_little_work();
    diesel::sql_query("UPDATE users SET password_hash = $1 WHERE email = 'rep@acme.test'")
        .bind::<Text, _>(&old)
        .execute(&mut database.connect())
        .unwrap();
    assert!(sessions::login(&door, &login_request(&rep.email, PASSWORD, now())).is_ok());
    let kept = hash_of(&database, "rep@acme.test");
    assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
    assert!(sessions::login(&door, &login_request(&rep.email, PASSWORD, now())).is_ok());
}

fn argon2_of_little_work() -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version, password_hash::SaltString};
    let little = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
    little.hash_password(PASSWORD.as_bytes(), &SaltString::encode_b64(&[7; 16]).unwrap()).unwrap().to_string()
}

#[derive(QueryableByName)]
struct Kept {
    #[diesel(sql_type = Text)]
    value: String,
}

fn hash_of(database: &TestDatabase, email: &str) -> String {
    let row = diesel::sql_query("SELECT password_hash AS value FROM users WHERE email = $1").bind::<Text, _>(email);
    row.get_result::<Kept>(&mut database.connect()).unwrap().value
}

#[test]
fn no_secret_is_kept() {
    let database = TestDatabase::new();
    let TestOrganization { door, rep, admin, .. } = TestOrganization::new(&database, "acme");
    let (access, refresh, _) = tokens(sessions::login(&door, &login_request(&rep.email, PASSWORD, now())).unwrap());
    let (_, key) =
        rep.write(|tx| crm_core::api_keys::create(tx, body(r#"{"name": "k", "scopes": ["read"]}"#))).unwrap();
    let renamed = admin.write(|tx| users::update(tx, rep.id, body(r#"{"name": "Reply"}"#))).unwrap();
    assert!(!serde_json::to_string(&renamed).unwrap().contains("argon2"));
    let everything = "SELECT concat((SELECT string_agg(t::text, '') FROM users t), \
         (SELECT string_agg(t::text, '') FROM sessions t), (SELECT string_agg(t::text, '') FROM refresh_tokens t), \
         (SELECT string_agg(t::text, '') FROM api_keys t), (SELECT string_agg(t::text, '') FROM field_history t), \
         (SELECT string_agg(t::text, '') FROM login_attempts t)) AS value";
    let everything = diesel::sql_query(everything).get_result::<Kept>(&mut database.connect()).unwrap().value;
    assert!(everything.contains("Reply"));
    for secret in [PASSWORD, access.expose(), refresh.expose(), key.expose()] {
        assert!(!everything.contains(secret));
    }
}
