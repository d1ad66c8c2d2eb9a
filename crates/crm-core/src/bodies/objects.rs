//! Reads JSON objects that say each thing once. `serde_json` keeps the last of two members of one name, others the first: which
//! of the two was meant nobody knows, and who checks one of them may not see the other.
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::{Error, Result};

/// The code of a body that names a member twice.
pub const REPEATED: &str = "repeated_member";

/// Reads a JSON object.
///
/// # Errors
/// [`Error::Malformed`]: `invalid_json` for what is none, [`REPEATED`] where an object in it, at whatever depth, has two members
/// of one name.
pub fn object(json: &[u8]) -> Result<Map<String, Value>> {
    let mut repeated = None;
    let mut reader = serde_json::Deserializer::from_slice(json);
    let read = Once(&mut repeated).deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    let malformed = |code, detail: String| Err(Error::Malformed { code, detail });
    match (read, repeated) {
        (_, Some(path)) => malformed(REPEATED, format!("`{path}` is given twice. Give it once: which was meant?")),
        (Ok(Value::Object(members)), None) => Ok(members),
        (Ok(_), None) => malformed("invalid_json", "The body must be a JSON object.".into()),
        (Err(error), None) => {
            let (line, column) = (error.line(), error.column());
            malformed("invalid_json", format!("The body is not JSON: see line {line}, column {column}."))
        }
    }
}

/// Reads one value; notes the path of the member that comes twice, from the inside out.
struct Once<'r>(&'r mut Option<String>);

impl Once<'_> {
    /// What failed did so within this step of the path.
    fn within<E>(self, step: &str, error: E) -> E {
        if let Some(path) = self.0 {
            let dot = if path.starts_with('[') { "" } else { "." };
            *path = format!("{step}{dot}{path}");
        }
        error
    }
}

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

/// The name under which `serde_json` hands over a number of arbitrary precision, as the only member of an object.
const EXACT: &str = "$serde_json::private::Number";

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            match list.next_element_seed(Once(self.0)) {
                Ok(Some(value)) => values.push(value),
                Ok(None) => return Ok(Value::Array(values)),
                Err(error) => return Err(self.within(&format!("[{}]", values.len()), error)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = object.next_key::<String>()? {
            if members.is_empty() && name == EXACT {
                let text = object.next_value::<String>()?;
                return text.parse::<Number>().map(Value::Number).map_err(de::Error::custom);
            }
            let value = match object.next_value_seed(Once(self.0)) {
                Ok(value) => value,
                Err(error) => return Err(self.within(&name, error)),
            };
            if members.contains_key(&name) {
                *self.0 = Some(name);
                return Err(de::Error::custom(REPEATED));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn told(json: &str) -> (&'static str, String) {
        match object(json.as_bytes()) {
            Err(Error::Malformed { code, detail }) => (code, detail),
            other => panic!("{json}: {other:?}"),
        }
    }

    #[test]
    fn a_member_that_comes_twice_is_named_with_its_place() {
        let cases = [
            (r#"{"effect": "allow", "effect": "deny"}"#, "`effect`"),
            (r#"{"a": 1, "b": {"c": [0, {"d": 1, "\u0064": 1}]}}"#, "`b.c[1].d`"),
            (r#"{"a": [[{"x": 1, "x": 1}]]}"#, "`a[0][0].x`"),
            (r#"{"a": {"x": 1}, "a": {"x": 1}}"#, "`a`"),
        ];
        for (json, expected) in cases {
            let (code, detail) = told(json);
            assert!(code == REPEATED && detail.starts_with(expected), "{json}: {code} {detail}");
        }
    }

    #[test]
    fn what_is_no_object_is_told_with_its_place() {
        assert_eq!(told("[1]").1, "The body must be a JSON object.");
        assert_eq!(told("{\n  \"a\": }").1, "The body is not JSON: see line 2, column 8.");
        for json in ["", "{", "{} {}", r#"{"a": 01}"#, &format!("{{\"a\": {}", "[".repeat(200))] {
            assert_eq!(told(json).0, "invalid_json", "{json}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let number =
            prop::sample::select(vec!["0", "-0", "-7", "1000", "1.50", "1e400", "9223372036854775808", "0.1e-7"]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            number.prop_map(|text| serde_json::from_str(text).unwrap()),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec((".{0,4}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_says_each_thing_once_is_read_as_serde_json_reads_it(value in values()) {
            let json = format!(r#"{{"value": {value}}}"#);
            let expected: Value = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(Value::Object(object(json.as_bytes()).unwrap()), expected);
        }
    }
}
