//! Telling a gate what a record holds in the members on which it depends what is hidden of it: straight from the record,
//! since a list asks this of each of its records.
mod values;

use std::{
    fmt::{self, Display},
    ops::Range,
};

use serde::{
    Serialize, Serializer,
    ser::{self, Impossible, SerializeMap, SerializeStruct},
};

use self::values::{OneValue, Parts, told};
use super::omitting::{NO_OBJECT, no_sequences, of_key, whatever_else};
use crate::{Error, Result, gate::Hiding};

/// Tells what a record holds in those members, and looks at no other.
///
/// # Errors
/// [`Error::Internal`] where the record is no object.
pub(super) fn tell(record: &impl Serialize, hiding: &mut dyn Hiding) -> Result<()> {
    let missing = hiding.depends_on().len();
    if missing == 0 {
        return Ok(());
    }
    match record.serialize(Teller { hiding, missing, places: Places::default() }) {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Failed(why)) => Err(Error::internal(why)),
    }
}

/// Why the rest of something is not looked at.
#[derive(Debug)]
enum Stop {
    /// All is told that is wanted.
    Enough,
    /// It cannot be told.
    Failed(String),
}

impl Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Stop {}

impl ser::Error for Stop {
    fn custom<T: Display>(why: T) -> Self {
        Self::Failed(why.to_string())
    }
}

/// Goes through the members of a record.
struct Teller<'h> {
    hiding: &'h mut dyn Hiding,
    /// How many of the members have not come yet.
    missing: usize,
    /// The places of the member that comes next, where it is one of them.
    places: Places,
}

/// Where a member and its parts stand among those that are wanted: of `customFields`, `customFields.region` too.
#[derive(Debug, Clone, Default)]
struct Places {
    whole: Option<usize>,
    parts: Range<usize>,
}

impl Places {
    fn of<K: Serialize + ?Sized>(key: &K, names: &[String]) -> Self {
        of_key(key, |key| Some(Self::named(key, names))).unwrap_or_default()
    }

    fn named(key: &str, names: &[String]) -> Self {
        let is_part = |name: &String| part_of(name, key).is_some();
        let first = names.iter().position(is_part).unwrap_or_default();
        let count = names.iter().skip(first).take_while(|name| is_part(name)).count();
        Self { whole: names.iter().position(|name| name == key), parts: first..first + count }
    }
}

fn part_of<'n>(name: &'n str, whole: &str) -> Option<&'n str> {
    name.strip_prefix(whole)?.strip_prefix('.')
}

impl Teller<'_> {
    fn take<V: Serialize + ?Sized>(&mut self, places: Places, value: &V) -> Result<(), Stop> {
        if let Some(place) = places.whole {
            told(value.serialize(OneValue { hiding: &mut *self.hiding, place, is_number: false }))?;
            self.missing -= 1;
        }
        if !places.parts.is_empty() {
            let count = places.parts.len();
            let is_told = vec![false; count];
            told(value.serialize(Parts { hiding: &mut *self.hiding, places: places.parts, is_told, next: None }))?;
            self.missing -= count;
        }
        if self.missing == 0 { Err(Stop::Enough) } else { Ok(()) }
    }
}

fn no_object<T>() -> Result<T, Stop> {
    Err(Stop::Failed(NO_OBJECT.into()))
}

impl Serializer for Teller<'_> {
    type Ok = ();
    type Error = Stop;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    no_sequences! {}

    fn serialize_map(self, _: Option<usize>) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Stop> {
        Ok(self)
    }

    fn serialize_str(self, _: &str) -> Result<(), Stop> {
        no_object()
    }

    whatever_else! { no_object(), no_object() }
}

impl SerializeMap for Teller<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), Stop> {
        self.places = Places::of(key, self.hiding.depends_on());
        Ok(())
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Stop> {
        let places = std::mem::take(&mut self.places);
        self.take(places, value)
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), Stop> {
        self.take(Places::of(key, self.hiding.depends_on()), value)
    }

    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}

impl SerializeStruct for Teller<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_field<V: Serialize + ?Sized>(&mut self, key: &'static str, value: &V) -> Result<(), Stop> {
        self.take(Places::named(key, self.hiding.depends_on()), value)
    }

    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::{Id, gate::Fact, money::Money, users::User};

    /// Writes down what is told.
    struct Notes {
        names: Vec<String>,
        told: Vec<String>,
    }

    impl Hiding for Notes {
        fn depends_on(&self) -> &[String] {
            &self.names
        }
        fn note(&mut self, place: usize, fact: &Fact<'_>) {
            self.told.push(format!("{}: {fact:?}", self.names[place]));
        }
        fn hidden(&mut self) -> Arc<[String]> {
            Arc::default()
        }
    }

    fn told(record: &impl Serialize, names: &[&str]) -> Vec<String> {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let mut notes = Notes { names, told: Vec::new() };
        tell(record, &mut notes).unwrap();
        notes.told
    }

    #[derive(Serialize)]
    struct Fields {
        value: Option<Money>,
        currency: &'static str,
        owner: Option<Id<User>>,
        tags: Vec<String>,
        score: Option<i32>,
    }

    #[derive(Serialize)]
    struct Flat {
        id: u8,
        #[serde(flatten)]
        fields: Fields,
    }

    #[test]
    fn what_a_record_holds_is_told_in_whatever_way_it_is_written() {
        let value = Money::new("12.50".parse().unwrap());
        let record =
            Flat { id: 7, fields: Fields { value, currency: "EUR", owner: None, tags: vec![], score: Some(-1) } };
        let names = ["currency", "id", "owner", "score", "tags", "value"];
        let expected = [
            "id: Int(7)",
            "value: Number(\"12.5\")",
            "currency: Text(\"EUR\")",
            "owner: Null",
            "tags: Texts([])",
            "score: Int(-1)",
        ];
        assert_eq!(told(&record, &names), expected);
        let json: Value = serde_json::to_value(&record).unwrap();
        // JSON does not tell whole numbers from others.
        let expected = expected.map(|it| it.replace("Int(7)", "Number(\"7\")").replace("Int(-1)", "Number(\"-1\")"));
        assert_eq!(told(&json, &names), expected);
    }

    #[test]
    fn parts_and_lists_are_told() {
        #[derive(Serialize)]
        struct Parted {
            tags: Vec<&'static str>,
            mixed: (Value, bool),
            list: Value,
            custom: Value,
            none: Value,
        }
        let custom = json!({"b": 1, "x": {"b": 2}, "a": "text", "c": null});
        let (mixed, list) = ((json!(["x", 1]), true), json!(["x", 1]));
        let record = Parted { tags: vec!["vip", "new"], mixed, list, custom, none: Value::Null };
        let names =
            ["custom.a", "custom.b", "custom.c", "custom.gone", "custom.x", "customs.a", "list", "none.a", "tags"];
        let expected = [
            r#"tags: Texts(["vip", "new"])"#,
            "list: Other",
            r#"custom.b: Number("1")"#,
            "custom.x: Other",
            r#"custom.a: Text("text")"#,
            "custom.c: Null",
            "custom.gone: Null",
        ];
        assert_eq!(told(&record, &names), expected);
        assert_eq!(told(&serde_json::to_value(&record).unwrap(), &names), expected);
        assert_eq!(told(&record, &["custom", "custom.a"])[..], ["custom: Other", r#"custom.a: Text("text")"#]);
    }

    #[test]
    fn nothing_is_looked_at_once_all_is_told() {
        struct Never;
        impl Serialize for Never {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(ser::Error::custom("looked at"))
            }
        }
        #[derive(Serialize)]
        struct Long {
            first: bool,
            second: Never,
        }
        assert_eq!(told(&Long { first: true, second: Never }, &["first"]), ["first: Bool(true)"]);
        assert_eq!(told(&Long { first: true, second: Never }, &[]), [""; 0]);
        let mut notes = Notes { names: vec!["second".into()], told: Vec::new() };
        assert!(tell(&Long { first: true, second: Never }, &mut notes).is_err());
        assert!(tell(&json!([1]), &mut notes).is_err());
    }
}
