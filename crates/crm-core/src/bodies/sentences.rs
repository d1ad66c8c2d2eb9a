//! What readers of JSON say, in words for a client.

/// What is wrong, in words that need neither Rust nor serde to be understood: a code and a sentence.
pub(crate) fn sentence(said: &str) -> (&'static str, String) {
    const INSTANT: &str = "Must be an instant in RFC 3339, such as 2025-12-16T10:00:00Z.";
    const TIME: &str = "Must be a day such as 2025-12-16, a time such as 09:30 or an instant such as 2025-12-16T10:00:00Z, \
         whichever is asked for here.";
    const EXPECTED: [(&str, &str, &str); 14] = [
        ("UUID", "invalid_id", "Must be an id."),
        ("expected a string", "invalid_type", "Must be a text."),
        ("expected a borrowed string", "invalid_type", "Must be a text."),
        ("expected a sequence", "invalid_type", "Must be a list."),
        ("expected a map", "invalid_type", "Must be an object."),
        ("expected struct", "invalid_type", "Must be an object."),
        ("expected internally tagged", "invalid_type", "Must be an object with a `type`."),
        ("expected a boolean", "invalid_type", "Must be true or false."),
        ("date and time string", "invalid_instant", INSTANT),
        ("expected a formatted date", "invalid_date", "Must be a day as YYYY-MM-DD, such as 2025-12-16."),
        ("expected f", "invalid_type", "Must be a number."),
        ("expected i", "invalid_type", "Must be a whole number."),
        ("expected u", "invalid_type", "Must be a whole number, not below 0."),
        ("timezone", "unknown_timezone", "An IANA zone, such as Europe/London."),
    ];
    if let Some(rest) = said.strip_prefix("unknown variant ") {
        let words = rest.split_once(", expected ").map_or("", |(_, words)| words);
        let words = words.trim_start_matches("one of ").replace('`', "").replace(" or ", ", ");
        return ("not_allowed", format!("One of: {words}."));
    }
    if let Some((_, code, message)) = EXPECTED.into_iter().find(|(sign, ..)| said.contains(sign)) {
        return (code, message.to_owned());
    }
    // What chrono says of a text that is none of its types, without saying of which.
    const NO_TIME: [&str; 4] =
        ["input contains invalid", "input is not enough", "premature end of input", "trailing input"];
    if NO_TIME.iter().any(|sign| said.starts_with(sign)) {
        return ("invalid_type", TIME.to_owned());
    }
    // Words of serde, chrono and the like that say nothing to a client; our own types speak in sentences.
    const RAW: [&str; 7] =
        ["invalid ", "missing field", "duplicate field", "input ", "premature end", "trailing input", "expected "];
    if RAW.iter().any(|raw| said.starts_with(raw)) {
        return ("invalid_type", "This value does not fit here.".to_owned());
    }
    let said = said.split(" at line ").next().unwrap_or_default().trim_end_matches('.');
    let mut letters = said.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    ("invalid_type", format!("{first}{}.", letters.as_str()))
}

#[cfg(test)]
mod tests {
    use super::sentence;

    #[test]
    fn nothing_is_said_in_the_words_of_a_library() {
        for (said, code, message) in [
            ("invalid type: integer `5`, expected a string", "invalid_type", "Must be a text."),
            ("invalid type: string \"x\", expected i32 at line 3 column 4", "invalid_type", "Must be a whole number."),
            ("invalid type: null, expected f64", "invalid_type", "Must be a number."),
            ("UUID parsing failed: invalid character: found `x` at 1", "invalid_id", "Must be an id."),
            ("unknown variant `x`, expected one of `read`, `write`", "not_allowed", "One of: read, write."),
            ("unknown variant `x`, expected `read` or `write`", "not_allowed", "One of: read, write."),
            (
                "premature end of input",
                "invalid_type",
                "Must be a day such as 2025-12-16, a time such as 09:30 or an instant such as 2025-12-16T10:00:00Z, \
                 whichever is asked for here.",
            ),
            ("input is out of range", "invalid_type", "This value does not fit here."),
            ("a currency has three letters", "invalid_type", "A currency has three letters."),
        ] {
            assert_eq!(sentence(said), (code, message.to_owned()), "{said}");
        }
    }
}
