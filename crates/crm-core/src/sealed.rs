//! Secrets at rest: sealed with authenticated encryption, bound to the row that they belong to.
//!
//! ```
//! use crm_core::{sealed::Keyring, sessions::tokens::Secret};
//!
//! let keys = Keyring::new("k1", [("k1", [7; 32])]).unwrap();
//! let row = "heimdell/v1|smtp_password|org=7b0c|identity=42";
//! let sealed = keys.seal(&Secret::new("password"), row, [1; 24]).unwrap();
//! assert_eq!(keys.open(&sealed, row).unwrap().expose(), "password");
//! assert!(keys.open(&sealed, "heimdell/v1|smtp_password|org=7b0c|identity=43").is_err());
//! ```
mod columns;

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};

pub use columns::{Resealed, SealedColumn, Usage, alone, hold, organizations, reseal, row, unopenable, usage};

use crate::sessions::tokens::Secret;

/// Why a secret could not be sealed or opened. Says nothing of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The active key is not among the keys.
    #[error("the active key is not in the ring")]
    NoActiveKey,
    /// Two keys that differ have the same id, so that one could be taken for the other.
    #[error("two different keys have the same id")]
    AmbiguousId,
    /// It was sealed with a key that is not in the ring any more.
    #[error("the key that this was sealed with is not in the ring")]
    UnknownKey,
    /// It is no sealed secret, was changed, or belongs to another row.
    #[error("this is not what was sealed for this row")]
    Broken,
}

/// A secret as it is stored: `v1.<key id>.<nonce>.<ciphertext>`, the last two in base64url. It can be read from the
/// database and written to it, and neither be printed nor serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(String);

impl Sealed {
    /// What was stored.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text to store.
    pub fn as_stored(&self) -> &str {
        &self.0
    }

    /// The id of the key that it is sealed with, so that a rotation finds what is left to do.
    pub fn key_id(&self) -> Option<&str> {
        self.0.strip_prefix("v1.")?.split('.').next()
    }
}

/// The keys that secrets are sealed with: one for new ones, the others to open what is there.
pub struct Keyring {
    keys: RwLock<Keys>,
    source: Option<Box<Source>>,
}

/// Gives the text of the keys as it is now, where it can be read.
type Source = dyn Fn() -> Option<String> + Send + Sync;

struct Keys {
    active: String,
    keys: BTreeMap<String, [u8; 32]>,
}

impl Keyring {
    /// A ring of keys by id, of which one seals.
    ///
    /// # Errors
    /// [`SealError::NoActiveKey`], and [`SealError::AmbiguousId`] for one id of different keys.
    pub fn new<'k>(active: &str, keys: impl IntoIterator<Item = (&'k str, [u8; 32])>) -> Result<Self, SealError> {
        let keys = Keys::of(active, keys.into_iter().map(|(id, key)| (id.to_owned(), key)))?;
        Ok(Self { keys: RwLock::new(keys), source: None })
    }

    /// A ring from text: `id:key` with commas between them, each key as 64 hexadecimal digits; the first one seals.
    ///
    /// ```
    /// let text = format!("k2:{},k1:{}", "ab".repeat(32), "cd".repeat(32));
    /// assert_eq!(crm_core::sealed::Keyring::parse(&text)?.ids(), ["k2", "k1"]);
    /// assert!(crm_core::sealed::Keyring::parse("k1:abc").is_err());
    /// # Ok::<(), crm_core::sealed::SealError>(())
    /// ```
    ///
    /// # Errors
    /// [`SealError::NoActiveKey`] where it is no such text, [`SealError::AmbiguousId`] where it gives one id to different
    /// keys.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        Ok(Self { keys: RwLock::new(Keys::parse(text)?), source: None })
    }

    /// A ring from text that may change while the program runs: it is looked at again before anything is sealed, and where
    /// a key is met that is not known. While it cannot be read, the keys of before are good.
    ///
    /// # Errors
    /// As [`Keyring::parse`], of the text as it is now.
    pub fn following(source: impl Fn() -> Option<String> + Send + Sync + 'static) -> Result<Self, SealError> {
        let keys = Keys::parse(&source().ok_or(SealError::NoActiveKey)?)?;
        Ok(Self { keys: RwLock::new(keys), source: Some(Box::new(source)) })
    }

    /// The ids of the keys, the one that seals first.
    pub fn ids(&self) -> Vec<String> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let others = keys.keys.keys().filter(|id| **id != keys.active);
        std::iter::once(&keys.active).chain(others).cloned().collect()
    }

    fn look_again(&self) {
        let Some(text) = self.source.as_ref().and_then(|source| source()) else { return };
        match Keys::parse(&text) {
            Ok(keys) => *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys,
            Err(error) => tracing::warn!(%error, "the keyring cannot be used any more; the keys of before are"),
        }
    }

    /// Seals a secret for a row (XChaCha20-Poly1305). `row` names what it belongs to, the organization first, and must be
    /// said again to open it. The nonce is 24 random bytes, never used twice with a key.
    ///
    /// # Errors
    /// [`SealError::Broken`] where the secret is too long to be sealed.
    pub fn seal(&self, secret: &Secret, row: &str, nonce: [u8; 24]) -> Result<Sealed, SealError> {
        self.look_again();
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let payload = Payload { msg: secret.expose().as_bytes(), aad: row.as_bytes() };
        let text =
            keys.cipher(&keys.active)?.encrypt(XNonce::from_slice(&nonce), payload).map_err(|_| SealError::Broken)?;
        Ok(Sealed(format!("v1.{}.{}.{}", keys.active, URL_SAFE_NO_PAD.encode(nonce), URL_SAFE_NO_PAD.encode(text))))
    }

    /// Opens a secret that was sealed for this row.
    ///
    /// # Errors
    /// [`SealError::UnknownKey`], and [`SealError::Broken`] for whatever was not sealed so.
    pub fn open(&self, sealed: &Sealed, row: &str) -> Result<Secret, SealError> {
        let mut parts = sealed.0.split('.');
        let (Some("v1"), Some(key), Some(nonce), Some(text), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SealError::Broken);
        };
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| SealError::Broken);
        let (nonce, text) = (decode(nonce)?, decode(text)?);
        if nonce.len() != 24 {
            return Err(SealError::Broken);
        }
        let payload = Payload { msg: &text, aad: row.as_bytes() };
        let plain = self.cipher(key)?.decrypt(XNonce::from_slice(&nonce), payload).map_err(|_| SealError::Broken)?;
        String::from_utf8(plain).map(Secret::new).map_err(|_| SealError::Broken)
    }

    fn cipher(&self, id: &str) -> Result<XChaCha20Poly1305, SealError> {
        let known = || self.keys.read().unwrap_or_else(PoisonError::into_inner).cipher(id);
        known().or_else(|_| {
            self.look_again();
            known()
        })
    }
}

impl Keys {
    fn of(active: &str, entries: impl IntoIterator<Item = (String, [u8; 32])>) -> Result<Self, SealError> {
        let mut keys = BTreeMap::new();
        for (id, key) in entries {
            if *keys.entry(id).or_insert(key) != key {
                return Err(SealError::AmbiguousId);
            }
        }
        match keys.contains_key(active) {
            true => Ok(Self { active: active.to_owned(), keys }),
            false => Err(SealError::NoActiveKey),
        }
    }

    fn parse(text: &str) -> Result<Self, SealError> {
        let read = |entry: &str| {
            let (id, key) = entry.trim().split_once(':')?;
            let mut bytes = [0; 32];
            hex::decode_to_slice(key.trim(), &mut bytes).ok()?;
            let is_word = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            is_word.then(|| (id.to_owned(), bytes))
        };
        let keys = text.split(',').map(read).collect::<Option<Vec<_>>>().ok_or(SealError::NoActiveKey)?;
        let active = keys.first().map(|(id, _)| id.clone()).ok_or(SealError::NoActiveKey)?;
        Self::of(&active, keys)
    }

    fn cipher(&self, id: &str) -> Result<XChaCha20Poly1305, SealError> {
        self.keys.get(id).map(|key| XChaCha20Poly1305::new(key.into())).ok_or(SealError::UnknownKey)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = "heimdell/v1|smtp_password|org=7b0c|identity=42";

    fn counting<const N: usize>() -> [u8; N] {
        std::array::from_fn(|i| u8::try_from(i).unwrap())
    }

    #[test]
    fn the_known_answer_comes_out() {
        let keys = Keyring::new("k1", [("k1", counting())]).unwrap();
        let sealed = keys.seal(&Secret::new("password"), ROW, counting()).unwrap();
        let text = URL_SAFE_NO_PAD.decode(sealed.as_stored().rsplit('.').next().unwrap()).unwrap();
        assert_eq!(hex::encode(text), "eea37c0ce7bdffca92e095a776921677e368913e03d8affe");
    }

    #[test]
    fn only_the_same_row_and_key_open_it() {
        let keys = Keyring::new("k2", [("k1", [1; 32]), ("k2", [2; 32])]).unwrap();
        let sealed = keys.seal(&Secret::new("password"), ROW, [9; 24]).unwrap();
        assert_eq!(sealed.key_id(), Some("k2"));
        assert_eq!(keys.open(&sealed, ROW).map(|secret| secret.expose().to_owned()), Ok("password".to_owned()));
        let refused = |keys: &Keyring, text: &str, row: &str| keys.open(&Sealed::stored(text), row).err();
        assert_eq!(refused(&keys, sealed.as_stored(), &ROW.replace("7b0c", "7b0d")), Some(SealError::Broken));
        assert_eq!(refused(&keys, &sealed.as_stored().replace("v1.k2", "v1.k1"), ROW), Some(SealError::Broken));
        let later = Keyring::new("k3", [("k3", [3; 32])]).unwrap();
        assert_eq!(refused(&later, sealed.as_stored(), ROW), Some(SealError::UnknownKey));
        for text in ["", "v1", "v1.k2.x.y", "v1.k2.AAAA.AAAA", "v2.k2.AAAA.AAAA", "v1.k2.a.b.c"] {
            assert_eq!(refused(&keys, text, ROW), Some(SealError::Broken), "{text}");
        }
        assert_eq!(Keyring::new("k9", [("k1", [1; 32])]).err(), Some(SealError::NoActiveKey));
    }

    #[test]
    fn one_name_is_one_key() {
        let text = |entries: &[(&str, &str)]| {
            entries.iter().map(|(id, byte)| format!("{id}:{}", byte.repeat(32))).collect::<Vec<_>>().join(",")
        };
        let parse = |entries: &[(&str, &str)]| Keyring::parse(&text(entries)).map(|keys| keys.ids());
        assert_eq!(parse(&[("k1", "01"), ("k1", "02")]), Err(SealError::AmbiguousId));
        assert_eq!(parse(&[("k2", "03"), ("k1", "01"), ("k1", "02")]), Err(SealError::AmbiguousId));
        assert_eq!(parse(&[("k1", "01"), ("k1", "01")]), Ok(vec!["k1".to_owned()]), "said twice, it is the same");
        assert_eq!(Keyring::new("k1", [("k1", [1; 32]), ("k1", [2; 32])]).err(), Some(SealError::AmbiguousId));
    }

    #[test]
    fn a_ring_that_follows_its_text_knows_new_keys_at_once() {
        use std::sync::{Arc, Mutex};
        let digits = |byte: &str| byte.repeat(32);
        let text = Arc::new(Mutex::new(Some(format!("k1:{}", digits("01")))));
        let source = Arc::clone(&text);
        let keys = Keyring::following(move || source.lock().unwrap().clone()).unwrap();
        let write = |new: Option<String>| *text.lock().unwrap() = new;
        let seal = |keys: &Keyring| keys.seal(&Secret::new("password"), ROW, [9; 24]).unwrap();
        let opens = |keys: &Keyring, sealed: &Sealed| keys.open(sealed, ROW).map(|secret| secret.expose().to_owned());
        let old = seal(&keys);
        write(Some(format!("k2:{},k1:{}", digits("02"), digits("01"))));
        let new = seal(&Keyring::parse(text.lock().unwrap().as_deref().unwrap()).unwrap());
        assert_eq!(opens(&keys, &new), Ok("password".to_owned()), "sealed by another process with a key made since");
        assert_eq!(seal(&keys).key_id(), Some("k2"));
        for gone in [None, Some("half a line".to_owned())] {
            write(gone);
            assert_eq!(seal(&keys).key_id(), Some("k2"), "the keys of before");
        }
        write(Some(format!("k2:{}", digits("02"))));
        assert_eq!((seal(&keys).key_id(), keys.ids()), (Some("k2"), vec!["k2".to_owned()]));
        assert_eq!(keys.open(&old, ROW).err(), Some(SealError::UnknownKey), "forgotten");
    }
}
