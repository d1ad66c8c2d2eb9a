//! The header `Idempotency-Key`: a POST that is sent again is done once and answered again.
use actix_web::{HttpRequest, http::Method};
use crm_core::{Error, Kind, Result, Tx};
use crm_ops::idempotency::{self, Claim, IdempotencyKey, KeyError};

use crate::{call::malformed, problem::Problem, reply::Answer};

/// The header.
pub const HEADER: &str = "Idempotency-Key";

/// What tells whether a request was sent before, beside its body.
pub struct Attempt {
    key: Option<Result<IdempotencyKey, KeyError>>,
    method: Method,
    address: String,
    request_id: String,
}

impl Attempt {
    /// From a request. Only a POST has a key: other methods are idempotent by themselves (RFC 9110, 9.2.2).
    pub fn of(request: &HttpRequest, request_id: &str) -> Self {
        let mut given = request.headers().get_all(HEADER);
        let key = given.next().filter(|_| *request.method() == Method::POST).map(|value| match given.next() {
            Some(_) => Err(KeyError::Repeated),
            None => value.to_str().map_err(|_| KeyError::NotVisible).and_then(IdempotencyKey::parse),
        });
        let address = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        Self { key, method: request.method().clone(), address, request_id: request_id.to_owned() }
    }

    /// Has the request a key, good or bad?
    pub fn is_keyed(&self) -> bool {
        self.key.is_some()
    }

    /// Passes a key over where no answer can be kept: it would be a token or tell of a password, or there is nobody yet to
    /// whom the key could belong. Clients that send one with every POST are not refused for it.
    ///
    /// # Errors
    /// [`Malformed`](crm_core::Error::Malformed) for a bad key.
    pub fn pass_over(&self) -> Result<()> {
        match &self.key {
            Some(Err(error)) => Err(bad_key(error)),
            _ => Ok(()),
        }
    }

    /// Does `work` unless a request with the same key has done it; then the answer is the one of then. `content` are the
    /// parts of the body that count.
    ///
    /// What refuses a request before it is carried out leaves the key free, as a fault of ours does. A conflict with the
    /// state of the data is found by carrying it out, and is kept as an answer like success.
    ///
    /// # Errors
    /// [`Malformed`](crm_core::Error::Malformed) for a bad key; those of [`idempotency::claim`] and of `work`.
    pub fn once<'b>(
        &self,
        tx: &mut Tx<'_>,
        content: impl IntoIterator<Item = &'b [u8]>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<Answer>,
    ) -> Result<Answer> {
        if !self.is_keyed() {
            return work(tx);
        }
        self.once_done(tx, content, |tx| match tx.savepoint(work) {
            Err(error) if error.kind() == Kind::Conflict => Ok(Problem::of(error, &self.request_id).answer()),
            done => done,
        })
    }

    /// As [`Attempt::once`], where a conflict is no answer yet: it leaves the key free too.
    ///
    /// # Errors
    /// As [`Attempt::once`].
    pub fn once_done<'b>(
        &self,
        tx: &mut Tx<'_>,
        content: impl IntoIterator<Item = &'b [u8]>,
        work: impl FnOnce(&mut Tx<'_>) -> Result<Answer>,
    ) -> Result<Answer> {
        let key = match &self.key {
            None => return work(tx),
            Some(Err(error)) => return Err(bad_key(error)),
            Some(Ok(key)) => key,
        };
        let (method, content) = (self.method.as_str(), idempotency::digest(content));
        let request = idempotency::Request { key, method, address: &self.address, content };
        let claimed = match idempotency::claim(tx, &request)? {
            Claim::Again(kept) => return Answer::again(kept),
            Claim::First(claimed) => claimed,
        };
        let answer = work(tx)?;
        idempotency::keep(tx, &claimed, &answer.to_keep()?)?;
        Ok(answer)
    }
}

fn bad_key(error: &KeyError) -> Error {
    malformed("invalid_idempotency_key", error.to_string())
}
