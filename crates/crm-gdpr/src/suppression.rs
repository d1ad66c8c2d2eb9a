//! The key under which an address stays suppressed after it is erased (GDPR Art. 17(3)(b), 21(3)).
//!
//! Who objects to mail must stay suppressed even when their data is gone. A plain hash of an address can be guessed, so
//! the list keeps an HMAC under a secret pepper instead. That is still pseudonymous personal data, and has to be
//! declared in the privacy notice.

use crm_core::mail_addresses::{AddressError, normal};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt::Display;

/// The secret that makes suppression keys. It can be neither printed nor serialized.
pub struct Pepper([u8; 32]);

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
