//! Tokens: opaque texts of 256 random bits that name the row they are proven against, and are stored as SHA-256 alone.
//!
//! A token reads `hma_` (access), `hmr_` (refresh), `hmc_` (the console's cookie) or `hmd_` (API key), then 68 bytes in
//! base64url (RFC 4648): the organization's id, the row's id, 32 random bytes, and 4 bytes of checksum by which a
//! scanner for leaked secrets tells a token from noise. With the organization inside, finding the row is one read by
//! primary key.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::RngCore;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::{Id, organizations::Organization};

/// A text that grants something. It can be neither printed nor serialized; whoever hands it out says so by
/// [`Secret::expose`].
///
/// ```compile_fail
/// println!("{:?}", crm_core::sessions::tokens::Secret::new("not to be seen"));
/// ```
#[derive(Clone)]
pub struct Secret(String);

/// A secret comes in with a request; nothing writes one out by itself.
impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

impl Secret {
    /// Takes a text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Sent with each request of a session, for a quarter of an hour.
    Access,
    /// Exchanged once for a new access token.
    Refresh,
    /// The cookie of a session of the console.
    Console,
    /// A key of a program.
    ApiKey,
}

impl TokenKind {
    const ALL: [Self; 4] = [Self::Access, Self::Refresh, Self::Console, Self::ApiKey];

    fn prefix(self) -> &'static str {
        match self {
            Self::Access => "hma_",
            Self::Refresh => "hmr_",
            Self::Console => "hmc_",
            Self::ApiKey => "hmd_",
        }
    }
}

/// A well-formed token: which row it claims to belong to, and what that row must hold.
#[derive(Clone)]
pub struct Token {
    /// What it is for.
    pub kind: TokenKind,
    /// The organization that it claims.
    pub organization: Id<Organization>,
    /// The row that it claims.
    pub id: Uuid,
    hash: [u8; 32],
}

impl Token {
    /// A new token for a row, and the text to hand out.
    pub(crate) fn issue(kind: TokenKind, organization: Id<Organization>, id: Uuid) -> (Self, Secret) {
        let mut random = [0; 32];
        rand::rng().fill_bytes(&mut random);
        let mut bytes = [organization.uuid().as_bytes().as_slice(), id.as_bytes(), &random].concat();
        bytes.extend(checksum(kind, &bytes));
        let text = format!("{}{}", kind.prefix(), URL_SAFE_NO_PAD.encode(bytes));
        (Self { kind, organization, id, hash: Sha256::digest(&text).into() }, Secret(text))
    }

    /// Reads a token; `None` where it is none of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let kind = TokenKind::ALL.into_iter().find(|kind| text.starts_with(kind.prefix()))?;
        let bytes: [u8; 68] = URL_SAFE_NO_PAD.decode(&text[kind.prefix().len()..]).ok()?.try_into().ok()?;
        let (body, sum) = bytes.split_at(64);
        let id = |part: &[u8]| Uuid::from_slice(part).ok();
        (sum == checksum(kind, body)).then_some(())?;
        let (organization, id) = (id(&body[..16])?.into(), id(&body[16..32])?);
        Some(Self { kind, organization, id, hash: Sha256::digest(text).into() })
    }

    /// What is stored of it.
    pub(crate) fn hash(&self) -> Vec<u8> {
        self.hash.to_vec()
    }

    /// Is this the token of which `stored` is kept? Takes as long whether it is or not.
    pub(crate) fn matches(&self, stored: &[u8]) -> bool {
        self.hash.as_slice().ct_eq(stored).into()
    }
}

fn checksum(kind: TokenKind, body: &[u8]) -> [u8; 4] {
    let digest = Sha256::new().chain_update(kind.prefix()).chain_update(body).finalize();
    [digest[0], digest[1], digest[2], digest[3]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_nothing_else_does() {
        let (organization, id) = (Id::new(), Id::<Token>::new().uuid());
        for kind in TokenKind::ALL {
            let (token, text) = Token::issue(kind, organization, id);
            let text = text.expose();
            let read = Token::parse(text).unwrap();
            assert_eq!((read.kind, read.organization, read.id), (kind, organization, id));
            assert!(read.matches(&token.hash()));
            let other = Token::issue(kind, organization, id).0;
            assert!(!read.matches(&other.hash()), "two tokens of one row are alike");
            let relabelled = TokenKind::ALL.iter().filter(|other| **other != kind);
            let forged = relabelled.map(|other| format!("{}{}", other.prefix(), &text[4..]));
            let cut =
                [&text[..text.len() - 1], &text[1..], &text[4..], "", "hmd_", "hma_é", "eyJhbGciOiJub25lIn0.e30."];
            let changed = text.replacen(&text[20..21], if &text[20..21] == "A" { "B" } else { "A" }, 1);
            for bad in forged.chain(cut.map(str::to_owned)).chain([changed, format!("{text}A")]) {
                assert!(Token::parse(&bad).is_none(), "{bad}");
            }
        }
    }
}
