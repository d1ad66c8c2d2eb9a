//! Uploads: a multipart form whose file is too large for a JSON body.
use std::time::Duration;

use actix_multipart::{Multipart, MultipartError};
use actix_web::{HttpRequest, web};
use crm_core::{Error, FieldError, Result, bodies, door::Caller};
use futures_util::{StreamExt, TryStreamExt};
use serde_json::{Map, Value};

use crate::{
    app::App,
    call::{self, malformed},
};

/// The largest form, its file included.
const LARGEST: usize = 50 * 1024 * 1024;
/// How long it may take to arrive.
const DEADLINE: Duration = Duration::from_secs(120);

/// A form that has arrived.
#[derive(Debug, Default)]
pub struct Form {
    /// What the file is called.
    pub file_name: String,
    /// The file's bytes.
    pub content: Option<Vec<u8>>,
    fields: Vec<(String, String)>,
}

/// Receives a form of the caller's. Nobody who is not signed in gets to send one.
///
/// # Errors
/// [`Error::Unauthenticated`] before anything is read; [`Error::Malformed`] for what is no such form.
pub async fn receive(
    app: &web::Data<App>,
    request: &HttpRequest,
    payload: web::Payload,
    names: &[&str],
) -> Result<(Caller, Form)> {
    let caller = call::caller(request);
    let asking = caller.clone();
    call::turn(app, move |app| app.door.read(&asking, |_| Ok(()))).await?;
    let is_form = request.headers().get("content-type").and_then(|v| v.to_str().ok());
    if !is_form.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data")) {
        return Err(malformed(call::UNSUPPORTED, "The body must be multipart/form-data."));
    }
    let form = read(Multipart::new(request.headers(), payload), names);
    let slow = || malformed(call::TOO_SLOW, "The upload took longer than two minutes.");
    let form = tokio::time::timeout(DEADLINE, form).await.map_err(|_| slow())??;
    Ok((caller, form))
}

async fn read(mut parts: Multipart, names: &[&str]) -> Result<Form> {
    let (mut form, mut size) = (Form::default(), 0);
    while let Some(mut part) = parts.try_next().await.map_err(broken)? {
        let name = part.name().unwrap_or_default().to_owned();
        if name != "file" && !names.contains(&name.as_str()) {
            let detail = format!("The form has no part `{name}`. It has: file, {}.", names.join(", "));
            return Err(malformed("unknown_member", detail));
        }
        let mut bytes = Vec::new();
        while let Some(piece) = part.next().await {
            let piece = piece.map_err(broken)?;
            size += piece.len();
            if size > LARGEST {
                return Err(malformed(call::TOO_LARGE, "The upload is larger than 50 MiB. Split the file."));
            }
            bytes.extend_from_slice(&piece);
        }
        if name == "file" {
            let given = part.content_disposition().and_then(|said| said.get_filename());
            form.file_name = given.unwrap_or("upload.csv").to_owned();
            form.content = Some(bytes);
        } else {
            let text =
                String::from_utf8(bytes).map_err(|_| malformed("invalid_form", format!("`{name}` is not UTF-8.")))?;
            form.fields.push((name, text));
        }
    }
    Ok(form)
}

fn broken(error: MultipartError) -> Error {
    malformed("invalid_form", format!("The form cannot be read: {error}."))
}

impl Form {
    /// What makes the form the one that it is, in the order in which it came. The marks between its parts do not count: a
    /// client that sends the same form again makes others.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let file = [Some(self.file_name.as_bytes()), self.content.as_deref()].into_iter().flatten();
        self.fields.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]).chain(file)
    }

    /// The text of a part.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// A part as a JSON object; nothing is an empty one.
    pub fn object(&self, name: &str, errors: &mut Vec<FieldError>) -> Map<String, Value> {
        let refused = match self.text(name).map(|text| bodies::object(text.as_bytes())) {
            None => return Map::new(),
            Some(Ok(members)) => return members,
            Some(Err(Error::Malformed { code: bodies::REPEATED, detail })) => {
                FieldError::new(name, bodies::REPEATED, detail)
            }
            Some(Err(_)) => FieldError::new(name, "invalid_json", "A JSON object."),
        };
        errors.push(refused);
        Map::new()
    }

    /// The file, and the text of a part that must be there.
    pub fn take(&mut self, name: &str, errors: &mut Vec<FieldError>) -> (Vec<u8>, String) {
        let mut missing = |name: &str| errors.push(FieldError::new(name, "required", "Must be given."));
        let content = self.content.take().unwrap_or_else(|| {
            missing("file");
            Vec::new()
        });
        let text = self.text(name).map(str::to_owned).unwrap_or_else(|| {
            missing(name);
            String::new()
        });
        (content, text)
    }
}
