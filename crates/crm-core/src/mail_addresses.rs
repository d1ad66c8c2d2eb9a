//! The one form of a mail address, in which two that reach the same mailbox are the same.
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;
use url::Host;

/// Why a text is no mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AddressError {
    /// There is nothing before or after the last `@`.
    #[error("A mail address has a name, an @ and a domain.")]
    Incomplete,
    /// The part after the last `@` is no domain name.
    #[error("The domain of the mail address is not valid.")]
    InvalidDomain,
}

/// The one form of `address`: trimmed, composed (Unicode NFC), in lower case, its domain in ASCII (IDNA).
///
/// Dots and `+tags` of the local part stay: only the receiving server knows whether they mean anything.
///
/// # Errors
/// [`AddressError`] for a text that is no mail address.
pub fn normal(address: &str) -> Result<String, AddressError> {
    let composed: String = address.trim().nfc().collect();
    let (local, domain) = composed.rsplit_once('@').ok_or(AddressError::Incomplete)?;
    if local.is_empty() || domain.is_empty() {
        return Err(AddressError::Incomplete);
    }
    match Host::parse(domain) {
        Ok(Host::Domain(domain)) => Ok(format!("{}@{domain}", local.to_lowercase())),
        _ => Err(AddressError::InvalidDomain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_have_one_normal_form() {
        let table = [
            ("Ada.Lovelace+crm@Example.COM", Ok("ada.lovelace+crm@example.com")),
            ("info@B\u{DC}CHER.example", Ok("info@xn--bcher-kva.example")),
            ("jose\u{301}@example.com", Ok("jos\u{E9}@example.com")),
            ("\"a@b\"@example.com", Ok("\"a@b\"@example.com")),
            ("a@b c.example", Err(AddressError::InvalidDomain)),
            ("a@127.1", Err(AddressError::InvalidDomain)),
            ("a.example.com", Err(AddressError::Incomplete)),
            ("@example.com", Err(AddressError::Incomplete)),
            ("ada@", Err(AddressError::Incomplete)),
        ];
        for (address, expected) in table {
            assert_eq!(normal(address), expected.map(str::to_owned), "{address}");
        }
    }

    proptest! {
        #[test]
        fn the_normal_form_is_its_own(
            local in "[a-zA-Z0-9.+\u{C0}-\u{17F}]{1,12}", domain in "[a-zA-Z\u{E0}-\u{FF}]{1,12}\\.[a-z]{2,3}",
        ) {
            let once = normal(&format!("{local}@{domain}"));
            if let Ok(address) = once {
                prop_assert_eq!(normal(&address), Ok(address));
            }
        }
    }
}
