//! Lists as files, streamed while they are read.
use crm_core::{
    Record,
    companies::Company,
    contacts::Contact,
    deals::Deal,
    exports::records::{self, Format},
    leads::Lead,
};
use serde_json::json;

use crate::{
    call::{Call, Reply},
    endpoint::{Access, Endpoint},
    schemas,
    stream::{self, Head},
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
    let words = "Every record that the filter finds, in the list's order, as a stream. Text that a spreadsheet would run \
                 as a formula is made safe by a leading apostrophe.";
    Endpoint::get(path, id, write::<R>)
        .says(tag, &format!("Export {}", R::TABLE), words)
        .access(Access::Manager)
        .query("format", &format, "The form of the file.")
        .parameters(filters)
        .answer(200, "The file.", Some(("text/csv", json!({"type": "string"}))))
}

fn write<R: Record>(call: Call) -> impl Future<Output = Reply> {
    stream::file(
        call,
        |tx, request| {
            let export = records::prepare::<R>(tx, request.query()?)?;
            let (extension, content_type) = match export.format() {
                Format::Csv => ("csv", "text/csv; charset=utf-8"),
                Format::Json => ("json", "application/json"),
            };
            Ok((Head { name: format!("{}.{extension}", R::TABLE), content_type }, export))
        },
        |tx, export, sink| records::write::<R>(tx, &export, sink),
    )
}
