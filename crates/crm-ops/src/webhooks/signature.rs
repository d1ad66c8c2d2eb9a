//! Signatures of webhooks by the Standard Webhooks specification 1.0.0, symmetric scheme `v1`.
//!
//! Signed is `id.timestamp.body` with HMAC-SHA256. The headers are `webhook-id`, `webhook-timestamp` (seconds since
//! 1970) and `webhook-signature`. A message is verified within five minutes of its timestamp; that it is not a
//! repetition is for the receiver to remember, by its id.

use base64::{Engine, engine::general_purpose::STANDARD};
use chrono::{DateTime, TimeDelta, Utc};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

/// How far a timestamp may lie from now, either way; the edge is within.
pub const TOLERANCE: TimeDelta = TimeDelta::seconds(300);

const SECRET_PREFIX: &str = "whsec_";
const SIGNATURE_PREFIX: &str = "v1,";
/// The block of SHA-256, to which HMAC pads its key.
const BLOCK: usize = 64;

/// A shared secret of 24 to 64 bytes. It can be neither printed nor serialized.
pub struct Secret {
    /// Padded with zeros, as HMAC does it.
    key: [u8; BLOCK],
    length: usize,
}

/// A webhook as it is signed.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Its id, the same for every try.
    pub id: &'a str,
    /// When this try is sent; whole seconds count.
    pub sent_at: DateTime<Utc>,
    /// The exact bytes of the body.
    pub body: &'a [u8],
}

/// Why a secret, an id, a timestamp or a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// Not `whsec_` and base64, or not of 24 to 64 bytes.
    #[error("A webhook secret is whsec_ followed by 24 to 64 bytes in base64.")]
    InvalidSecret,
    /// An id that could be mistaken for another id and timestamp, or is no header value.
    #[error("A webhook's id is made of visible ASCII characters other than the full stop.")]
    InvalidId,
    /// A timestamp that is no number of seconds.
    #[error("The webhook's timestamp is not a number of seconds since 1970.")]
    InvalidTimestamp,
    /// Too old, or from the future.
    #[error("The webhook's timestamp is more than five minutes from now.")]
    OutsideTolerance,
    /// No signature fits any secret.
    #[error("None of the webhook's signatures is valid.")]
    InvalidSignature,
}

impl Secret {
    /// The secret that consists of `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SignatureError> {
        if !(24..=BLOCK).contains(&bytes.len()) {
            return Err(SignatureError::InvalidSecret);
        }
        let mut key = [0; BLOCK];
        key[..bytes.len()].copy_from_slice(bytes);
        Ok(Self { key, length: bytes.len() })
    }

    /// Reads `whsec_` and base64.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let encoded = text.strip_prefix(SECRET_PREFIX).ok_or(SignatureError::InvalidSecret)?;
        Self::from_bytes(&STANDARD.decode(encoded).map_err(|_| SignatureError::InvalidSecret)?)
    }

    /// The secret as its owner is shown it, once.
    pub fn reveal(&self) -> String {
        format!("{SECRET_PREFIX}{}", STANDARD.encode(&self.key[..self.length]))
    }

    fn mac(&self, message: &Message<'_>) -> [u8; 32] {
        let mut mac = <Hmac<Sha256> as Mac>::new(&self.key.into());
        mac.update(format!("{}.{}.", message.id, message.sent_at.timestamp()).as_bytes());
        mac.update(message.body);
        mac.finalize().into_bytes().into()
    }
}

/// The value of `webhook-signature`: one signature for each secret, several while secrets rotate.
pub fn sign(secrets: &[Secret], message: &Message<'_>) -> Result<String, SignatureError> {
    check_id(message.id)?;
    let signature = |secret: &Secret| format!("{SIGNATURE_PREFIX}{}", STANDARD.encode(secret.mac(message)));
    Ok(secrets.iter().map(signature).collect::<Vec<_>>().join(" "))
}

/// Reads the value of `webhook-timestamp`.
pub fn timestamp(header: &str) -> Result<DateTime<Utc>, SignatureError> {
    let digits = Some(header).filter(|header| header.bytes().all(|byte| byte.is_ascii_digit()));
    let seconds = digits.and_then(|digits| digits.parse().ok());
    seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0)).ok_or(SignatureError::InvalidTimestamp)
}

/// Verifies that one of the signatures in `header` is of one of the `secrets`, and that the message is not old.
///
/// Signatures of other schemes are passed over. Each signature is compared with each secret's in constant time, whether
/// or not one has fitted already.
pub fn verify(
    secrets: &[Secret],
    message: &Message<'_>,
    header: &str,
    now: DateTime<Utc>,
) -> Result<(), SignatureError> {
    check_id(message.id)?;
    if now.signed_duration_since(message.sent_at).abs() > TOLERANCE {
        return Err(SignatureError::OutsideTolerance);
    }
    let expected: Vec<_> = secrets.iter().map(|secret| secret.mac(message)).collect();
    let mut fits = Choice::from(0);
    for encoded in header.split(' ').filter_map(|part| part.strip_prefix(SIGNATURE_PREFIX)) {
        let given = STANDARD.decode(encoded).unwrap_or_default();
        for mac in &expected {
            fits |= mac.ct_eq(given.as_slice());
        }
    }
    if bool::from(fits) { Ok(()) } else { Err(SignatureError::InvalidSignature) }
}

fn check_id(id: &str) -> Result<(), SignatureError> {
    let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'.');
    if is_plain { Ok(()) } else { Err(SignatureError::InvalidId) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PUBLISHED: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn counted() -> Secret {
        Secret::from_bytes(&std::array::from_fn::<u8, 32, _>(|n| n as u8)).unwrap()
    }

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn signatures_are_those_of_the_specification() {
        let deal_won = br#"{"type":"deal.won","timestamp":"2025-12-16T10:00:00Z","data":{"id":"d1"}}"#;
        let table: [(Secret, &str, i64, &[u8], &str); 2] = [
            (
                Secret::parse(PUBLISHED).unwrap(),
                "msg_p5jXN8AQM9LWM0D4loKWxJek",
                1_614_265_330,
                br#"{"test": 2432232314}"#,
                "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
            ),
            (counted(), "msg_1", 1_765_879_200, deal_won, "v1,8MkPmJzHWA/67Se8i7fnjJWxkpGb174caVUuWcVz90M="),
        ];
        for (secret, id, seconds, body, signature) in table {
            let message = Message { id, sent_at: at(seconds), body };
            let secrets = [secret];
            assert_eq!(sign(&secrets, &message).as_deref(), Ok(signature));
            assert_eq!(verify(&secrets, &message, signature, at(seconds)), Ok(()));
        }
    }

    #[test]
    fn secrets_are_read_and_shown_alike() {
        assert_eq!(Secret::parse(PUBLISHED).unwrap().reveal(), PUBLISHED);
        let table = [23, 65].map(|length| format!("whsec_{}", STANDARD.encode(vec![7; length])));
        for text in table.iter().map(String::as_str).chain(["", "whsec_", "whsec_?", &PUBLISHED[6..]]) {
            assert!(matches!(Secret::parse(text), Err(SignatureError::InvalidSecret)), "{text}");
        }
        assert!([24, 64].into_iter().all(|length| Secret::from_bytes(&vec![7; length]).is_ok()));
    }

    #[test]
    fn secrets_rotate_without_a_gap() {
        let message = Message { id: "msg_1", sent_at: at(1_765_879_200), body: b"{}" };
        let old = || Secret::parse(PUBLISHED).unwrap();
        let both = sign(&[counted(), old()], &message).unwrap();
        assert_eq!(both.split(' ').count(), 2);
        let table: [(&[Secret], &str, Result<(), SignatureError>); 6] = [
            (&[old()], &both, Ok(())),
            (&[counted()], &both, Ok(())),
            (&[counted(), old()], &sign(&[old()], &message).unwrap(), Ok(())),
            (&[counted()], &sign(&[old()], &message).unwrap(), Err(SignatureError::InvalidSignature)),
            (&[], &both, Err(SignatureError::InvalidSignature)),
            (&[old()], &format!("v1a,AAAA v1,? {both}"), Ok(())),
        ];
        for (secrets, header, outcome) in table {
            assert_eq!(verify(secrets, &message, header, message.sent_at), outcome, "{header}");
        }
    }

    #[test]
    fn five_minutes_are_the_limit_either_way() {
        let message = Message { id: "msg_1", sent_at: at(1_765_879_200), body: b"{}" };
        let secrets = [counted()];
        let header = sign(&secrets, &message).unwrap();
        for (shift, outcome) in [
            (300, Ok(())),
            (-300, Ok(())),
            (301, Err(SignatureError::OutsideTolerance)),
            (-301, Err(SignatureError::OutsideTolerance)),
        ] {
            assert_eq!(verify(&secrets, &message, &header, at(1_765_879_200 + shift)), outcome, "{shift}");
        }
    }

    #[test]
    fn headers_that_are_none_are_refused() {
        for header in ["", "-1", "+1", "1.5", " 1", "99999999999999999999", "9999999999999"] {
            assert_eq!(timestamp(header), Err(SignatureError::InvalidTimestamp), "{header}");
        }
        assert_eq!(timestamp("1614265330"), Ok(at(1_614_265_330)));
        for id in ["", "msg.1", "msg 1", "m\u{E4}g", "msg\n"] {
            let message = Message { id, sent_at: at(0), body: b"" };
            assert_eq!(sign(&[counted()], &message), Err(SignatureError::InvalidId), "{id}");
            assert_eq!(verify(&[counted()], &message, "v1,", at(0)), Err(SignatureError::InvalidId), "{id}");
        }
    }

    proptest! {
        #[test]
        fn an_altered_message_fails(
            id in "[a-z0-9_]{1,20}",
            (seconds, later) in (1_i64..4_000_000_000, 1_i64..300),
            body: Vec<u8>,
            flip in any::<(usize, u8)>(),
        ) {
            let secrets = [counted()];
            let message = Message { id: &id, sent_at: at(seconds), body: &body };
            let header = sign(&secrets, &message).unwrap();
            prop_assert_eq!(verify(&secrets, &message, &header, at(seconds)), Ok(()));
            let mut changed = body.clone();
            match (changed.len(), flip.1 % 8) {
                (0, _) => changed.push(flip.1),
                (length, bit) => changed[flip.0 % length] ^= 1 << bit,
            }
            let other_id = format!("{id}x");
            let altered = [
                Message { body: &changed, ..message },
                Message { sent_at: at(seconds + later), ..message },
                Message { id: &other_id, ..message },
            ];
            for message in altered {
                let outcome = verify(&secrets, &message, &header, at(seconds));
                prop_assert_eq!(outcome, Err(SignatureError::InvalidSignature));
            }
        }

        #[test]
        fn any_header_is_read(header: String, id: String) {
            let message = Message { id: &id, sent_at: at(1), body: b"" };
            prop_assert!(verify(&[counted()], &message, &header, at(1)).is_err());
            prop_assert!(timestamp(&header).is_err() || header.parse::<i64>().is_ok());
        }
    }
}
