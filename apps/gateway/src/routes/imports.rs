//! Files read in: preview, dry run, progress, refusals, taking back.
use actix_web::{HttpRequest, http::Method, web};
use crm_core::{
    Error, Id, Result, Tx, bodies,
    imports::{self, Import, NewImport, Preview, PreviewOptions},
};
use crm_ops::idempotency;
use serde_json::{Value, json};

use crate::{
    app::App,
    call::{self, Call, Reply, Request, RequestId, refuse},
    endpoint::{Access, Endpoint},
    idempotency::Attempt,
    reply::Answer,
    schemas,
    stream::{self, Head},
    upload::{self, Form},
};

const TAG: &str = "Imports";
const ALL: &str = "/api/imports";
const ONE: &str = "/api/imports/{id}";
const LIST: &str = "imports";

/// The endpoints of imports.
pub(super) fn endpoints() -> Vec<Endpoint> {
    let started = "The whole file is read in the background, in your name. `mapping` goes from the file's columns to \
                   fields, `customFields.<key>`, or names to be looked up: `company`, `owner`, `stage`, `pipeline`, \
                   `contact`, `businessUnit`, `parentCompany`. New records whose row names no pipeline, owner or unit \
                   get those of `options`. Countries are codes of ISO 3166 or English names. Each row lands once, \
                   whatever happens meanwhile.";
    let looked = "Reads nothing in. Delimiter, encoding, the order of dates and the decimal comma are proposed with their \
                  evidence and never silently guessed. The first 1,000 rows are tried by `mapping`, or by the fields that \
                  are guessed where it is left out: each column tells how many of its values would be refused, with the \
                  first one and why (`refused`). `notices` tell what new records get where no column says it, such as \
                  the pipeline of deals.";
    vec![
        Endpoint::get(ALL, "listImports", list)
            .says(TAG, "List imports", "Newest first.")
            .parameters(schemas::list_parameters::<Import>())
            .lists::<Import>(LIST, "One page."),
        Endpoint::custom(Method::POST, ALL, "startImport", start)
            .says(TAG, "Import a file", started)
            .with_schema::<imports::ImportOptions>()
            .body("multipart/form-data", &form(&["file", "entityType", "mapping"]))
            .answers::<Import>(202, "import", "It is queued; `Location` tells how far it has got."),
        Endpoint::custom(Method::POST, "/api/imports/preview", "previewImport", preview)
            .says(TAG, "Look at a file first", looked)
            .with_schema::<PreviewOptions>()
            .body("multipart/form-data", &form(&["file", "entityType"]))
            .answers::<Preview>(200, "preview", "Its columns, first rows and open questions."),
        Endpoint::get(ONE, "readImport", read)
            .says(
                TAG,
                "How far an import has got",
                "Each row is counted in one of created, updated, skipped, failed; `warnings` counts those that landed but \
                 want a look.",
            )
            .answers::<Import>(200, "import", "The import."),
        Endpoint::get("/api/imports/{id}/errors", "readImportErrors", errors)
            .says(
                TAG,
                "The rows that were refused",
                "The row's own columns, then `row,field,code,message`: mend it and import it again.",
            )
            .answer(200, "The rows.", Some(("text/csv", json!({"type": "string"})))),
        Endpoint::get("/api/imports/{id}/warnings", "readImportWarnings", warnings)
            .says(
                TAG,
                "The rows that landed but want a look",
                "In the form of the refused ones. `blank_reference`: the cell that names an owner, a company or a contact \
                 is blank. `unknown_reference`, `ambiguous_reference`: it names none or several, and \
                 `unknownReferences` is `blank`. `read_as`: a word was read as one of the field's that differs in case, \
                 spaces or punctuation.",
            )
            .answer(200, "The rows.", Some(("text/csv", json!({"type": "string"})))),
        Endpoint::post("/api/imports/{id}/cancel", "cancelImport", |call: Call| {
            call.write(|tx, request| shown(&imports::cancel(tx, request.id()?)?))
        })
        .says(TAG, "End an import early", "What it has read in stays, and can be taken back.")
        .answers::<Import>(200, "import", "The import."),
        Endpoint::post("/api/imports/{id}/revert", "revertImport", |call: Call| {
            call.write(|tx, request| {
                let import = imports::revert(tx, request.id()?)?;
                Ok(shown(&import)?.accepted(format!("{ALL}/{}", import.id)))
            })
        })
        .says(TAG, "Take an import back", "Deletes what it made and nobody has changed since, in the background.")
        .access(Access::Manager)
        .answers::<Import>(202, "import", "It is being taken back."),
    ]
}

fn shown(import: &Import) -> Result<Answer> {
    Ok(Answer::one("import", import)?.version(import.version))
}

fn form(required: &[&str]) -> Value {
    let object = |words: &str| json!({"type": "string", "contentMediaType": "application/json", "description": words});
    json!({"type": "object", "required": required, "properties": {
        "file": {"type": "string", "format": "binary", "description": "The CSV file, 50 MiB at most."},
        "entityType": {"type": "string", "enum": imports::ENTITY_TYPES},
        "mapping": object("From the file's columns to fields."),
        "options": object("How the file is read and what is done about duplicates; see `ImportOptions`.")}})
}

fn list(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| Answer::page(LIST, &imports::list(tx, &request.query()?)?))
}

fn read(call: Call) -> impl Future<Output = Reply> {
    call.read(|tx, request| {
        request.parameters([])?;
        shown(&imports::read(tx, request.id()?)?)
    })
}

fn errors(call: Call) -> impl Future<Output = Reply> {
    stream::file(
        call,
        |tx, request| report(tx, request, "errors.csv"),
        |tx, id, sink| imports::errors(tx, id, sink).map(drop),
    )
}

fn warnings(call: Call) -> impl Future<Output = Reply> {
    stream::file(
        call,
        |tx, request| report(tx, request, "warnings.csv"),
        |tx, id, sink| imports::warnings(tx, id, sink).map(drop),
    )
}

fn report(tx: &mut Tx<'_>, request: &Request, name: &str) -> Result<(Head, Id<Import>)> {
    request.parameters([])?;
    let import = imports::read(tx, request.id()?)?;
    Ok((Head { name: name.into(), content_type: "text/csv; charset=utf-8" }, import.id))
}

async fn start(app: web::Data<App>, request: HttpRequest, payload: web::Payload) -> Reply {
    let names = ["entityType", "mapping", "options"];
    uploaded(app, request, payload, &names, |tx, form| {
        let import = imports::create(tx, new_import(form)?)?;
        Ok(shown(&import)?.accepted(format!("{ALL}/{}", import.id)))
    })
    .await
}

fn new_import(mut form: Form) -> Result<NewImport> {
    let mut errors = Vec::new();
    let (content, entity_type) = form.take("entityType", &mut errors);
    if form.text("mapping").is_none() {
        errors.push(crm_core::FieldError::new("mapping", "required", "Must be given."));
    }
    let (mapping, options) = (form.object("mapping", &mut errors), form.object("options", &mut errors));
    match errors.is_empty() {
        true => Ok(NewImport { entity_type, file_name: form.file_name, content, mapping, options }),
        false => Err(Error::Invalid(errors)),
    }
}

async fn preview(app: web::Data<App>, request: HttpRequest, payload: web::Payload) -> Reply {
    let names = ["entityType", "options", "mapping"];
    uploaded(app, request, payload, &names, |tx, mut form| {
        let mut errors = Vec::new();
        let (content, entity_type) = form.take("entityType", &mut errors);
        let options = bodies::read_all::<PreviewOptions>(Value::Object(form.object("options", &mut errors)))?;
        errors.extend(bodies::within("options", options.errors));
        let options = options.value.unwrap_or_default();
        let mapping = form.object("mapping", &mut errors);
        if !errors.is_empty() {
            return Err(Error::Invalid(errors));
        }
        Answer::one("preview", &imports::preview_file(tx, &entity_type, &content, &options, &mapping)?)
    })
    .await
}

/// Receives a form and answers from one transaction.
async fn uploaded(
    app: web::Data<App>,
    request: HttpRequest,
    payload: web::Payload,
    names: &[&str],
    work: impl FnOnce(&mut Tx<'_>, Form) -> Result<Answer> + Send + 'static,
) -> Reply {
    let id = RequestId::of(&request);
    let attempt = Attempt::of(&request, &id);
    let done = match upload::receive(&app, &request, payload, names).await {
        Ok((caller, form)) => {
            call::turn(&app, move |app| app.door.write(&caller, |tx| once(tx, &attempt, form, work))).await
        }
        Err(error) => Err(error),
    };
    done.map_or_else(|error| refuse(error, &id), Answer::response)
}

/// Does what a form asks for unless the same form, by its key, was received before. A form without a key is not read
/// once more.
fn once(
    tx: &mut Tx<'_>,
    attempt: &Attempt,
    form: Form,
    work: impl FnOnce(&mut Tx<'_>, Form) -> Result<Answer>,
) -> Result<Answer> {
    let content = attempt.is_keyed().then(|| idempotency::digest(form.parts())).unwrap_or_default();
    attempt.once(tx, [content.as_slice()], |tx| work(tx, form))
}
