//! Lists as files, streamed while they are read.
use std::io::{self, Write};

use actix_web::{HttpResponse, http::header, web::Bytes};
use crm_core::{
    Error, Record,
    companies::Company,
    contacts::Contact,
    deals::Deal,
    exports::records::{self, Export, Format},
    leads::Lead,
};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use crate::{
    call::{Call, Reply, refuse},
    endpoint::{Access, Endpoint},
    schemas,
};

/// The endpoints of exports.
pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        export::<Lead>("/api/leads/export", "exportLeads", "Leads"),
        export::<Deal>("/api/deals/export", "exportDeals", "Deals"),
        export::<Company>("/api/companies/export", "exportCompanies", "Companies"),
        export::<Contact>("/api/contacts/export", "exportContacts", "Contacts"),
    ]
}

fn export<R: Record>(path: &'static str, id: &str, tag: &str) -> Endpoint {
    let format = json!({"type": "string", "enum": ["csv", "json"], "default": "csv"});
    let paged = ["limit", "cursor", "count"].map(Into::into);
    let filters = schemas::list_parameters::<R>().into_iter().filter(|p| !paged.contains(&p["name"])).collect();
    let words = "Every record that the filter finds, in the list's order, as a stream. Text that a spreadsheet would run as a formula is made safe by a leading apostrophe.";
    Endpoint::get(path, id, stream::<R>)
        .says(tag, &format!("Export {}", R::TABLE), words)
        .access(Access::Manager)
        .query("format", &format, "The form of the file.")
        .parameters(filters)
        .answer(200, "The file.", Some(("text/csv", json!({"type": "string"}))))
}

/// Hands what is written to the client, and waits when the client is slow.
struct Pipe(mpsc::Sender<Result<Bytes, io::Error>>);

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

/// How many pieces of 64 KiB wait for a slow client at most.
const WAITING: usize = 4;

async fn stream<R: Record>(call: Call) -> Reply {
    let (app, caller, request) = call.into_parts();
    let (sender, pieces) = mpsc::channel(WAITING);
    let (tell, told) = oneshot::channel();
    let id = request.id.clone();
    tokio::task::spawn_blocking(move || {
        let tell = std::cell::Cell::new(Some(tell));
        let done = app.door.read(&caller, |tx| {
            let export = records::prepare::<R>(tx, request.query()?)?;
            tell.take().map(|tell| tell.send(Ok(export.format())));
            send::<R>(tx, &export, &sender)
        });
        if let Err(error) = done {
            match tell.take() {
                Some(tell) => drop(tell.send(Err(error))),
                // The status is long sent; a body that ends in the middle tells the client that the file is not whole.
                None => {
                    tracing::warn!(request_id = request.id, "an export ended early: {error}");
                    let broken = io::Error::other("the export could not be finished");
                    drop(sender.blocking_send(Err(broken)));
                }
            }
        }
    });
    match told.await.unwrap_or_else(|_| Err(Error::internal("an export ended before it began"))) {
        Ok(format) => file::<R>(format, ReceiverStream::new(pieces)),
        Err(error) => refuse(error, &id),
    }
}

fn send<R: Record>(
    tx: &mut crm_core::Tx<'_>,
    export: &Export,
    sender: &mpsc::Sender<Result<Bytes, io::Error>>,
) -> crm_core::Result<()> {
    let mut sink = io::BufWriter::with_capacity(64 * 1024, Pipe(sender.clone()));
    records::write::<R>(tx, export, &mut sink)?;
    sink.flush().map_err(|error| Error::Unavailable(error.to_string()))
}

fn file<R: Record>(format: Format, pieces: ReceiverStream<Result<Bytes, io::Error>>) -> HttpResponse {
    let (extension, content_type) = match format {
        Format::Csv => ("csv", "text/csv; charset=utf-8"),
        Format::Json => ("json", "application/json"),
    };
    let attachment = format!("attachment; filename=\"{}.{extension}\"", R::TABLE);
    let mut response = HttpResponse::Ok();
    response.insert_header((header::CONTENT_DISPOSITION, attachment)).content_type(content_type).streaming(pieces)
}
