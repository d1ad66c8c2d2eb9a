//! Patterns of resources: `deal`, `deal.value`, `deal.*`, `*`.

use std::fmt;

use serde::{Serialize, Serializer};

/// Which resources a policy speaks about.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ResourcePattern {
    /// `*`: everything.
    Everything,
    /// `deal.*`: every name that continues after the dot, so `deal.value`, but neither `deal` nor `dealer.name`.
    Under(String),
    /// `deal` or `deal.value`: exactly this name.
    Exact(String),
}

impl ResourcePattern {
    /// Reads a pattern; `None` for a text that is none. A star stands alone or after the last dot.
    pub fn parse(text: &str) -> Option<ResourcePattern> {
        if text == "*" {
            return Some(ResourcePattern::Everything);
        }
        let name = text.strip_suffix(".*").unwrap_or(text);
        let is_name = |segment: &str| {
            !segment.is_empty() && segment.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        };
        let pattern = if name.len() < text.len() { ResourcePattern::Under } else { ResourcePattern::Exact };
        name.split('.').all(is_name).then(|| pattern(name.to_owned()))
    }

    /// The resource before the first dot; `None` under `*`.
    pub fn root(&self) -> Option<&str> {
        match self {
            ResourcePattern::Everything => None,
            ResourcePattern::Under(name) | ResourcePattern::Exact(name) => name.split('.').next(),
        }
    }
}

impl fmt::Display for ResourcePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ResourcePattern::Everything => f.write_str("*"),
            ResourcePattern::Under(name) => write!(f, "{name}.*"),
            ResourcePattern::Exact(name) => f.write_str(name),
        }
    }
}

impl Serialize for ResourcePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Whether a pattern, in its text form, covers a name. This is what the casbin model calls `resourceMatch`. A field is
/// covered with its parts: `deal.customFields` covers `deal.customFields.size`.
pub(crate) fn resource_matches(name: &str, pattern: &str) -> bool {
    let continues =
        |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.len() > 1 && rest.starts_with('.'));
    match pattern.strip_suffix(".*") {
        Some(prefix) => continues(prefix),
        None => pattern == "*" || pattern == name || (pattern.contains('.') && continues(pattern)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_on_the_dot() {
        let cases = [
            ("deal", "deal", true),
            ("deal.title", "deal", false),
            ("deal.title", "deal.*", true),
            ("deal.customFields.size", "deal.*", true),
            ("deal.customFields.size", "deal.customFields", true),
            ("deal.customFields", "deal.customFields.size", false),
            ("deal.customFieldsX", "deal.customFields", false),
            ("deal.customFields.", "deal.customFields", false),
            ("deal", "deal.*", false),
            ("deal.", "deal.*", false),
            ("dealx.title", "deal.*", false),
            ("dealx.title", "deal*", false),
            ("anything", "*", true),
            ("", "", true),
        ];
        for (name, pattern, expected) in cases {
            assert_eq!(resource_matches(name, pattern), expected, "{name} under {pattern}");
        }
    }

    #[test]
    fn only_patterns_are_read() {
        for text in ["*", "deal", "deal.*", "deal.value", "deal.customFields.*", "email_identity"] {
            assert_eq!(ResourcePattern::parse(text).unwrap().to_string(), text);
        }
        for text in ["", ".", ".*", "deal.", "*.value", "deal*", "de*al", "deal.*.x", "deal..x", "deal value", "**"] {
            assert_eq!(ResourcePattern::parse(text), None, "{text}");
        }
    }
}
