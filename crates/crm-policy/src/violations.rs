//! What is wrong with a document somebody wrote, each fault with the place where it stands.

use serde::Serialize;
use serde_json::{Map, Value};

/// One fault of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// Where: a JSON Pointer (RFC 6901) into the document, `""` for the whole of it.
    pub pointer: String,
    /// What kind of fault, for programs.
    pub code: &'static str,
    /// The fault in a sentence for a person.
    pub message: String,
}

impl Violation {
    pub(crate) fn new(pointer: impl Into<String>, code: &'static str, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code, message: message.into() }
    }
}

/// The pointer to a member of what `pointer` points to, escaped as RFC 6901 section 3 says.
pub(crate) fn member(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A fault for every member that is not in `known`, so that a misspelt one is never ignored.
pub(crate) fn unknown_members(object: &Map<String, Value>, known: &[&str], pointer: &str) -> Vec<Violation> {
    object
        .keys()
        .filter(|name| !known.contains(&name.as_str()))
        .map(|name| {
            let message = format!("“{name}” is not known here; known are {}.", known.join(", "));
            Violation::new(member(pointer, name), "unknown_member", message)
        })
        .collect()
}
