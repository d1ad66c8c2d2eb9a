//! Which columns hold what about people. Erasure, exports of a person and the log's silence all go by this one list; a
//! test compares it with the migrated database, so that no column joins it unnoticed.

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A datum of a person: a name, an address, a number.
    Person,
    /// Free text, which may mention a person.
    FreeText,
    /// A secret or its hash.
    Secret,
    /// What is about the business and nobody in particular.
    Business,
    /// What the program itself writes: words of closed sets, hashes of public things, names of its own.
    Technical,
}

use Class::{Business, FreeText, Person, Secret, Technical};

/// Every column of a table of this crate that can hold text: table, column, class. Sorted.
pub const COLUMNS: &[(&str, &str, Class)] = &[
    ("activities", "body", FreeText),
    ("activities", "search_text", FreeText),
    ("activities", "subject", FreeText),
    ("activities", "type", Technical),
    ("api_keys", "hash", Secret),
    ("api_keys", "hint", Technical),
    ("api_keys", "name", FreeText),
    ("api_keys", "scopes", Technical),
    ("business_units", "country", Business),
    ("business_units", "default_phone", Business),
    ("business_units", "name", Business),
    ("business_units", "slug", Business),
    ("business_units", "timezone", Business),
    ("companies", "city", Business),
    ("companies", "country", Business),
    ("companies", "custom_fields", FreeText),
    ("companies", "domain", Business),
    ("companies", "external_id", FreeText),
    ("companies", "industry", Business),
    ("companies", "name", Business),
    ("companies", "search_text", FreeText),
    ("companies", "tags", FreeText),
    ("contacts", "custom_fields", FreeText),
    ("contacts", "email", Person),
    ("contacts", "external_id", FreeText),
    ("contacts", "first_name", Person),
    ("contacts", "job_title", FreeText),
    ("contacts", "last_name", Person),
    ("contacts", "phone", Person),
    ("contacts", "search_text", Person),
    ("contacts", "tags", FreeText),
    ("custom_fields", "entity_type", Technical),
    ("custom_fields", "key", Business),
    ("custom_fields", "label", Business),
    ("custom_fields", "options", Business),
    ("custom_fields", "type", Technical),
    ("deal_intel", "competitors", FreeText),
    ("deal_intel", "decision_maker", Person),
    ("deal_intel", "key_pain_points", FreeText),
    ("deal_intel", "next_step_commitment", FreeText),
    ("deal_intel", "objections", FreeText),
    ("deal_intel", "pricing_notes", FreeText),
    ("deal_intel", "what_failed", FreeText),
    ("deal_intel", "what_worked", FreeText),
    ("deals", "currency", Business),
    ("deals", "custom_fields", FreeText),
    ("deals", "external_id", FreeText),
    ("deals", "search_text", FreeText),
    ("deals", "status", Technical),
    ("deals", "tags", FreeText),
    ("deals", "title", FreeText),
    ("field_history", "actor", Technical),
    ("field_history", "entity_type", Technical),
    ("field_history", "field_name", Technical),
    ("field_history", "new_value", FreeText),
    ("field_history", "note", FreeText),
    ("field_history", "old_value", FreeText),
    ("field_history", "reason_code", Business),
    ("field_history", "request_id", Technical),
    ("import_files", "content", FreeText),
    ("import_rows", "entity_type", Technical),
    ("import_rows", "errors", FreeText),
    ("import_rows", "fingerprint", Technical),
    ("import_rows", "outcome", Technical),
    ("imports", "entity_type", Technical),
    ("imports", "error", FreeText),
    ("imports", "file_name", FreeText),
    ("imports", "mapping", FreeText),
    ("imports", "options", FreeText),
    ("imports", "status", Technical),
    ("leads", "company_name", FreeText),
    ("leads", "custom_fields", FreeText),
    ("leads", "email", Person),
    ("leads", "external_id", FreeText),
    ("leads", "first_name", Person),
    ("leads", "job_title", FreeText),
    ("leads", "last_name", Person),
    ("leads", "phone", Person),
    ("leads", "search_text", Person),
    ("leads", "source", FreeText),
    ("leads", "status", Technical),
    ("leads", "tags", FreeText),
    ("login_attempts", "bucket", Technical),
    ("login_directory", "email_key", Person),
    ("organizations", "base_currency", Business),
    ("organizations", "name", Business),
    ("organizations", "timezone", Business),
    ("pipelines", "name", Business),
    ("policies", "action", Technical),
    ("policies", "condition", Business),
    ("policies", "effect", Technical),
    ("policies", "field", Technical),
    ("policies", "name", FreeText),
    ("policies", "resource", Technical),
    ("policies", "role", Technical),
    ("queue_jobs", "kind", Technical),
    ("queue_jobs", "last_error", FreeText),
    ("queue_jobs", "payload", FreeText),
    ("queue_jobs", "queue", Technical),
    ("queue_jobs", "status", Technical),
    ("queue_jobs", "unique_key", Technical),
    ("reason_codes", "code", Business),
    ("reason_codes", "label", Business),
    ("reason_codes", "outcome", Technical),
    ("refresh_tokens", "hash", Secret),
    ("saved_views", "columns", Technical),
    ("saved_views", "entity_type", Technical),
    ("saved_views", "filters", FreeText),
    ("saved_views", "name", FreeText),
    ("saved_views", "sort", Technical),
    ("sessions", "access_hash", Secret),
    ("sessions", "address", Person),
    ("sessions", "user_agent", Person),
    ("stages", "kind", Technical),
    ("stages", "name", Business),
    ("tasks", "description", FreeText),
    ("tasks", "priority", Technical),
    ("tasks", "search_text", FreeText),
    ("tasks", "status", Technical),
    ("tasks", "title", FreeText),
    ("users", "email", Person),
    ("users", "name", Person),
    ("users", "password_hash", Secret),
    ("users", "role", Technical),
    ("users", "search_text", Person),
    ("win_loss_reviews", "learned", FreeText),
    ("win_loss_reviews", "notes", FreeText),
    ("win_loss_reviews", "outcome", Technical),
    ("win_loss_reviews", "primary_reason_code", Business),
];

/// The class of a column, if it is listed.
pub fn class(table: &str, column: &str) -> Option<Class> {
    COLUMNS.iter().find(|(t, c, _)| *t == table && *c == column).map(|(_, _, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_names_each_column_once() {
        assert!(COLUMNS.windows(2).all(|pair| (pair[0].0, pair[0].1) < (pair[1].0, pair[1].1)));
        assert_eq!(class("leads", "email"), Some(Person));
        assert_eq!(class("leads", "nothing"), None);
    }
}
