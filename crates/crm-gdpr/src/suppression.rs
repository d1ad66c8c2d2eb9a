//! The key under which an address stays suppressed after it is erased (GDPR Art. 17(3)(b), 21(3)).
//!
//! Who objects to mail must stay suppressed even when their data is gone. A plain hash of an address can be guessed, so
//! the list keeps an HMAC under a secret pepper instead. That is still pseudonymous personal data, and has to be
//! declared in the privacy notice.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt::Display;
use thiserror::Error;
use unicode_normalization::UnicodeNormalization;
use url::Host;

/// The secret that makes suppression keys. It can be neither printed nor serialized.
pub struct Pepper([u8; 32]);

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

impl Pepper {
    /// A pepper of 256 random bits.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The key of `address` in the list of `organization`: HMAC-SHA256 over `suppression/v1|organization|address`, the
    /// address in its [`normal`] form.
    ///
    /// `organization` is an id and holds no `|`, so that no two pairs share a key.
    pub fn suppression_key(&self, organization: &impl Display, address: &str) -> Result<[u8; 32], AddressError> {
        let text = format!("suppression/v1|{organization}|{}", normal(address)?);
        // HMAC pads a key with zeros to the hash's block of 64 bytes; handed over whole, its length cannot be wrong.
        let mut block = [0; 64];
        block[..self.0.len()].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256> as Mac>::new(&block.into());
        mac.update(text.as_bytes());
        Ok(mac.finalize().into_bytes().into())
    }
}

/// The one form of `address`: trimmed, composed (Unicode NFC), in lower case, its domain in ASCII (IDNA).
///
/// Dots and `+tags` of the local part stay: only the receiving server knows whether they mean anything.
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

    fn pepper() -> Pepper {
        Pepper::new(std::array::from_fn(|n| n as u8))
    }

    #[test]
    fn the_key_is_the_hmac_of_the_normal_address() {
        let expected = "01bc9b8286a70cab4af6c983f1980ddd12510fe7cf4771810540edf7a0556e62";
        for address in ["sales@example.com", " Sales@EXAMPLE.com\t"] {
            assert_eq!(hex::encode(pepper().suppression_key(&"o1", address).unwrap()), expected, "{address}");
        }
        let others = [("o2", "sales@example.com"), ("o1", "sale.s@example.com"), ("o1", "sales+a@example.com")];
        for (organization, address) in others {
            assert_ne!(hex::encode(pepper().suppression_key(&organization, address).unwrap()), expected, "{address}");
        }
        assert_ne!(hex::encode(Pepper::new([0; 32]).suppression_key(&"o1", "sales@example.com").unwrap()), expected);
    }

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
