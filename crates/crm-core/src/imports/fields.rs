//! Which field a column is likely meant for, by the column's name alone.
use unicode_normalization::UnicodeNormalization;

use super::ValueType;

/// A field that a column may go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldDescriptor {
    /// The field's name in the API, such as `closedAt`.
    pub name: String,
    /// What a person reads, such as `Closed at`.
    pub label: String,
    /// What it takes.
    pub value_type: ValueType,
    /// Other names that files give it, such as `close_date`.
    pub aliases: Vec<String>,
}

/// Proposes a field for each column, in the columns' order. A field's own name wins over its label and the label over
/// an alias; no field is proposed twice, the first column has it.
pub fn guess<'f>(columns: &[String], fields: &'f [FieldDescriptor]) -> Vec<Option<&'f FieldDescriptor>> {
    let mut guesses: Vec<Option<&FieldDescriptor>> = vec![None; columns.len()];
    let ranks: [fn(&FieldDescriptor, &str) -> bool; 3] = [
        |field, folded| fold(&field.name) == folded,
        |field, folded| fold(&field.label) == folded,
        |field, folded| field.aliases.iter().any(|alias| fold(alias) == folded),
    ];
    for matches in ranks {
        for (place, column) in columns.iter().enumerate() {
            let folded = fold(column);
            if guesses[place].is_some() || folded.is_empty() {
                continue;
            }
            let is_free = |field: &FieldDescriptor| !guesses.iter().flatten().any(|taken| taken.name == field.name);
            guesses[place] = fields.iter().find(|field| is_free(field) && matches(field, &folded));
        }
    }
    guesses
}

/// A name without case, accents, spaces and punctuation.
pub(super) fn fold(name: &str) -> String {
    name.nfkd().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, label: &str, aliases: &[&str]) -> FieldDescriptor {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        FieldDescriptor { name: name.into(), label: label.into(), value_type: ValueType::Text, aliases }
    }

    #[test]
    fn columns_are_matched_by_folded_names() {
        let fields = [
            field("email", "E-mail address", &["mail"]),
            field("closedAt", "Closed at", &["close_date", "Schließung"]),
            field("name", "Deal name", &["title", "opportunity"]),
            field("regionId", "Région", &[]),
        ];
        let cases: [(&[&str], &[Option<&str>]); 7] = [
            (&["close_date", "E-Mail"], &[Some("closedAt"), Some("email")]),
            (&["CLOSED AT", "e mail address"], &[Some("closedAt"), Some("email")]),
            (&["closed_at", "Region"], &[Some("closedAt"), Some("regionId")]),
            (&["schließung", "re\u{301}gion"], &[Some("closedAt"), Some("regionId")]),
            (&["title", "Name"], &[None, Some("name")]),
            (&["title", "opportunity"], &[Some("name"), None]),
            (&["#", "unknown"], &[None, None]),
        ];
        for (columns, wanted) in cases {
            let columns: Vec<String> = columns.iter().map(|column| (*column).to_owned()).collect();
            let found: Vec<_> = guess(&columns, &fields).into_iter().map(|f| f.map(|f| f.name.as_str())).collect();
            assert_eq!(found, wanted, "{columns:?}");
        }
    }
}
