//! Files that are written while they are read from the database: memory holds a few pieces, however long they are.
use std::{
    io::{self, Write},
    sync::Arc,
};

use actix_web::{HttpResponse, http::header, web::Bytes};
use crm_core::{Error, Result, Tx};
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    call::{Call, Reply, Request, refuse},
    turns,
};

/// How many pieces wait for a slow client at most.
const WAITING: usize = 4;
/// The size of a piece.
const PIECE: usize = 64 * 1024;

/// What is said of a file before its first byte.
#[derive(Debug, Clone)]
pub struct Head {
    /// What it is called.
    pub name: String,
    /// What it is.
    pub content_type: &'static str,
}

/// Hands what is written to the client, and waits when the client is slow.
struct Pipe(mpsc::Sender<io::Result<Bytes>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let closed = |_| io::Error::new(io::ErrorKind::BrokenPipe, "the client has gone");
        self.0.blocking_send(Ok(Bytes::copy_from_slice(bytes))).map_err(closed)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Answers with a file. `prepare` may still refuse the request; once it has not, the status is sent and `write` begins.
pub async fn file<P: 'static>(
    call: Call,
    prepare: impl FnOnce(&mut Tx<'_>, &Request) -> Result<(Head, P)> + Send + 'static,
    write: impl FnOnce(&mut Tx<'_>, P, &mut dyn Write) -> Result<()> + Send + 'static,
) -> Reply {
    let (app, caller, request) = call.into_parts();
    let id = request.id.clone();
    // A long file keeps its connection: a few at a time, so that the others stay for requests.
    let turn = tokio::time::timeout(turns::DEADLINE, Arc::clone(&app.files).acquire_owned()).await;
    let Ok(Ok(permit)) = turn else {
        return refuse(Error::Unavailable("too many files are being written".into()), &id);
    };
    let database = app.door.database().clone();
    let (sender, pieces) = mpsc::channel(WAITING);
    let (tell, told) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let tell = std::cell::Cell::new(Some(tell));
        let done = app.door.read(&caller, |tx| {
            let (head, prepared) = prepare(tx, &request)?;
            if let Some(tell) = tell.take() {
                drop(tell.send(Ok(head)));
            }
            let mut sink = io::BufWriter::with_capacity(PIECE, Pipe(sender.clone()));
            write(tx, prepared, &mut sink)?;
            sink.flush().map_err(|error| Error::Unavailable(error.to_string()))
        });
        match (done, tell.take()) {
            (Ok(()), _) => {}
            (Err(error), Some(tell)) => drop(tell.send(Err(error))),
            // The status is long sent; a body that ends in the middle tells the client that the file is not whole.
            (Err(error), None) => {
                tracing::warn!(request_id = request.id, "a file ended early: {error}");
                drop(sender.blocking_send(Err(io::Error::other("the file could not be finished"))));
            }
        }
    });
    let told = turns::while_the_database_answers(&database, told).await;
    match told.and_then(|told| told.unwrap_or_else(|_| Err(Error::internal("a file ended before it began")))) {
        Ok(head) => {
            let attachment = format!("attachment; filename=\"{}\"", head.name);
            let mut response = HttpResponse::Ok();
            response.insert_header((header::CONTENT_DISPOSITION, attachment)).content_type(head.content_type);
            response.streaming(ReceiverStream::new(pieces))
        }
        Err(error) => refuse(error, &id),
    }
}
