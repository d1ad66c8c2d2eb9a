//! The body of a request, received within its limits.
use std::time::Duration;

use actix_web::{
    dev::Payload,
    web::{Bytes, BytesMut},
};
use futures_util::StreamExt;

/// The largest JSON body.
pub const LARGEST_BODY: usize = 1024 * 1024;
/// How long a body may take to arrive.
const BODY_DEADLINE: Duration = Duration::from_secs(30);

/// A body that did not arrive whole.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refused {
    TooLarge,
    TooSlow,
    Broken,
}

/// Reads a body within its limits.
pub(crate) async fn receive(mut payload: Payload) -> Result<Bytes, Refused> {
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|_| Refused::Broken)?;
            if body.len() + chunk.len() > LARGEST_BODY {
                return Err(Refused::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    };
    tokio::time::timeout(BODY_DEADLINE, read).await.unwrap_or(Err(Refused::TooSlow))
}
