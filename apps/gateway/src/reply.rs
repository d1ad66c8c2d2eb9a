//! Answers: one resource under its own name, a list under its plural, and what goes with them.
use actix_web::{HttpResponse, http::StatusCode, http::header};
use crm_core::{Error, Page, Record, Result, Tx, masks};
use crm_ops::idempotency::Kept;
use serde::{Serialize, ser::SerializeMap};

use crate::problem::etag;

/// Says of an answer that it was given before.
const REPLAYED: header::HeaderName = header::HeaderName::from_static("idempotency-replayed");

/// An answer, already written out: it is made where the data is, on a blocking thread.
#[derive(Debug)]
pub struct Answer {
    status: StatusCode,
    headers: Vec<(header::HeaderName, String)>,
    body: Vec<u8>,
}

/// One member around a value: `{"lead": …}`.
struct Envelope<'a, T>(&'a str, &'a T);

impl<T: Serialize> Serialize for Envelope<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, self.1)?;
        map.end()
    }
}

/// `{"leads": […], "nextCursor": …, "total": …}`
struct Listing<'a, T>(&'a str, &'a Page<T>);

impl<T: Serialize> Serialize for Listing<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Page { items, next_cursor, total } = self.1;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(self.0, items)?;
        map.serialize_entry("nextCursor", next_cursor)?;
        if let Some(total) = total {
            map.serialize_entry("total", total)?;
        }
        map.end()
    }
}

impl Answer {
    /// An answer of this status, with a body that is written out.
    pub fn new(status: StatusCode, content_type: &str, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body }.header(header::CONTENT_TYPE, content_type)
    }

    /// 200 with a body of its own shape.
    ///
    /// # Errors
    /// [`Error::Internal`] where it cannot be written as JSON.
    pub fn json(body: &impl Serialize) -> Result<Self> {
        Self::json_of(body, 1024)
    }

    /// As [`Answer::json`], of about so many bytes.
    fn json_of(body: &impl Serialize, size: usize) -> Result<Self> {
        let mut bytes = Vec::with_capacity(size);
        serde_json::to_writer(&mut bytes, body).map_err(|e| Error::Internal(Box::new(e)))?;
        Ok(Self::new(StatusCode::OK, "application/json", bytes))
    }

    /// 200 `{"name": value}`.
    ///
    /// # Errors
    /// As [`Answer::json`].
    pub fn one(name: &str, value: &impl Serialize) -> Result<Self> {
        Self::json(&Envelope(name, value))
    }

    /// 200 with one record as the caller sees it, and its `ETag`.
    ///
    /// # Errors
    /// As [`Answer::json`].
    pub fn record<R: Record>(record: &R, tx: &Tx<'_>) -> Result<Self> {
        Ok(Self::one(&R::envelope(), &masks::masked(tx.ctx, record)?)?.version(record.version()))
    }

    /// 200 with a page of records as the caller sees them.
    ///
    /// # Errors
    /// As [`Answer::json`].
    pub fn records<R: Record>(page: &Page<R>, tx: &Tx<'_>) -> Result<Self> {
        let items = masks::masked_all(tx.ctx, &page.items)?;
        let page = Page { items, next_cursor: page.next_cursor.clone(), total: page.total };
        Self::page(&R::plural(), &page)
    }

    /// 200 with a page of what is no record: records go through [`Answer::records`].
    ///
    /// # Errors
    /// As [`Answer::json`].
    pub fn page<T: Serialize>(name: &str, page: &Page<T>) -> Result<Self> {
        Self::json_of(&Listing(name, page), 1024 * (1 + page.items.len()))
    }

    /// 204.
    pub fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, headers: Vec::new(), body: Vec::new() }
    }

    /// With the `ETag` of this version.
    #[must_use]
    pub fn version(self, version: i64) -> Self {
        self.header(header::ETAG, etag(version))
    }

    /// 201 with the address of what was made.
    #[must_use]
    pub fn created(mut self, location: impl Into<String>) -> Self {
        self.status = StatusCode::CREATED;
        self.header(header::LOCATION, location)
    }

    /// 202 with the address where its progress is told.
    #[must_use]
    pub fn accepted(mut self, location: impl Into<String>) -> Self {
        self.status = StatusCode::ACCEPTED;
        self.header(header::LOCATION, location)
    }

    /// 202 for what has no address of its own.
    #[must_use]
    pub fn accepted_quietly(mut self) -> Self {
        self.status = StatusCode::ACCEPTED;
        self
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// As a response.
    pub fn response(self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for header in self.headers {
            response.insert_header(header);
        }
        if self.status == StatusCode::NO_CONTENT {
            return response.finish();
        }
        response.body(self.body)
    }

    /// What is kept of it, to answer the same request again.
    ///
    /// # Errors
    /// [`Error::Internal`] for a body that is not text.
    pub fn to_keep(&self) -> Result<Kept> {
        let body = String::from_utf8(self.body.clone()).map_err(|error| Error::Internal(Box::new(error)))?;
        let headers = self.headers.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
        Ok(Kept { status: self.status.as_u16(), headers, body })
    }

    /// The answer that a request was given before.
    ///
    /// # Errors
    /// [`Error::Internal`] for what was never kept by [`Answer::to_keep`].
    pub fn again(kept: Kept) -> Result<Self> {
        let status = StatusCode::from_u16(kept.status).map_err(|error| Error::Internal(Box::new(error)))?;
        let headers = kept.headers.into_iter().map(|(name, value)| {
            let name = name.parse::<header::HeaderName>().map_err(|error| Error::Internal(Box::new(error)))?;
            Ok((name, value))
        });
        let answer = Self { status, headers: headers.collect::<Result<_>>()?, body: kept.body.into_bytes() };
        Ok(answer.header(REPLAYED, "true"))
    }
}
