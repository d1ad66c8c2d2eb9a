//! Passwords: which are accepted, and how they are kept (Argon2id, RFC 9106, with the parameters that OWASP lists).
use argon2::{
    Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier,
    password_hash::{self, SaltString},
};
use rand::RngCore;
use unicode_normalization::UnicodeNormalization;

use super::tokens::Secret;
use crate::{Error, Result};

/// The fewest characters.
pub const SHORTEST: usize = 12;
/// The most characters.
pub const LONGEST: usize = 128;

/// Passwords that are tried first, in lower case, sorted.
const COMMON: &str = include_str!("common_passwords.txt");

/// The hash of no password at all, to be verified where there is no user: the answer then takes as long as for a wrong
/// password, and nobody learns which addresses exist.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyBpdCE$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Accepts a new password of the user with this address, or says by a code and a sentence what is wrong with it.
pub(crate) fn judge(password: &Secret, email: &str) -> Result<(), (&'static str, String)> {
    let password = normal(password);
    let length = password.chars().count();
    let lower = password.to_lowercase();
    if length < SHORTEST {
        Err(("too_short", format!("At least {SHORTEST} characters.")))
    } else if length > LONGEST {
        Err(("too_long", format!("At most {LONGEST} characters.")))
    } else if lower == email.trim().to_lowercase() {
        Err(("same_as_email", "The address is known to others; choose something else.".into()))
    } else if COMMON.lines().any(|common| common == lower) {
        Err(("too_common", "Many people use this password, so it is guessed first; choose another.".into()))
    } else {
        Ok(())
    }
}

/// The text to keep of a password: a PHC string with its own salt and parameters.
pub(crate) fn hash(password: &Secret) -> Result<String> {
    let mut random = [0; 16];
    rand::rng().fill_bytes(&mut random);
    let salt = SaltString::encode_b64(&random).map_err(unhashable)?;
    let hash = Argon2::default().hash_password(normal(password).as_bytes(), &salt).map_err(unhashable)?;
    Ok(hash.to_string())
}

/// Is it the password of which `stored` is kept? Without one it takes as long, and says no.
pub(crate) fn verify(password: &Secret, stored: Option<&str>) -> bool {
    let stored = stored.and_then(|text| PasswordHash::new(text).ok());
    let nobody = || PasswordHash::new(NOBODY).ok();
    // What nobody can have set is not worth the time that hashing it takes.
    let text: String = normal(password).chars().take(LONGEST + 1).collect();
    stored.or_else(nobody).is_some_and(|hash| Argon2::default().verify_password(text.as_bytes(), &hash).is_ok())
}

/// Was it hashed with other parameters than a password is today?
pub(crate) fn is_outdated(stored: &str) -> bool {
    let params = PasswordHash::new(stored).ok().and_then(|hash| Params::try_from(&hash).ok());
    let today = Params::default();
    let figures = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    params.is_none_or(|params| figures(&params) != figures(&today))
}

/// The same password from every keyboard (NFKC).
fn normal(password: &Secret) -> String {
    password.expose().nfkc().collect()
}

fn unhashable(error: password_hash::Error) -> Error {
    Error::internal(format!("a password could not be hashed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_judged() {
        for (password, code) in [
            ("heimdell-demo", None),
            ("correct-pony-1", None),
            ("🐴🔋📎✅🐴🔋📎✅🐴🔋📎✅", None),
            ("elevenchars", Some("too_short")),
            ("Password1234", Some("too_common")),
            ("correct horse battery staple", Some("too_common")),
            ("Ada.L@Example.com", Some("same_as_email")),
            ("ﬁﬁﬁﬁﬁﬁ", None), // NFKC makes twelve letters of six
        ] {
            let verdict = judge(&Secret::new(password), "ada.l@example.com");
            assert_eq!(verdict.err().map(|(code, _)| code), code, "{password}");
        }
        assert!(judge(&Secret::new("x".repeat(128)), "").is_ok());
        assert_eq!(judge(&Secret::new("x".repeat(129)), "").unwrap_err().0, "too_long");
    }

    #[test]
    fn the_list_of_common_passwords_holds_only_what_it_can_refuse() {
        for line in COMMON.lines() {
            assert!((SHORTEST..=LONGEST).contains(&line.chars().count()), "{line}");
            assert_eq!(line, line.to_lowercase());
        }
        assert!(COMMON.lines().is_sorted());
        assert!(COMMON.lines().count() >= 500);
    }

    #[test]
    fn a_hash_verifies_its_password_alone() {
        let kept = hash(&Secret::new("caf\u{e9} au lait 12")).unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(verify(&Secret::new("cafe\u{301} au lait 12"), Some(&kept)));
        assert!(!verify(&Secret::new("cafe au lait 12"), Some(&kept)));
        assert!(!verify(&Secret::new("anything at all"), None));
        assert!(!verify(&Secret::new(""), Some("")));
        assert!(!is_outdated(&kept));
        assert!(is_outdated(&kept.replace("t=2", "t=1")));
        assert_eq!(Params::try_from(&PasswordHash::new(NOBODY).unwrap()).unwrap().m_cost(), 19_456);
    }
}
