//! Telling a gate what a record holds in the members on which it depends what is hidden of it: straight from the record,
//! since a list asks this of each of its records.
use std::fmt::{self, Display};

use serde::{
    Serialize, Serializer,
    ser::{self, Impossible, SerializeMap, SerializeStruct},
};

use super::omitting::{NO_OBJECT, no_sequences, place_of, whatever_else};
use crate::{
    Error, Result,
    gate::{Fact, Hiding},
};

/// Tells what a record holds in those members, and looks at no other.
///
/// # Errors
/// [`Error::Internal`] where the record is no object.
pub(super) fn tell(record: &impl Serialize, hiding: &mut dyn Hiding) -> Result<()> {
    let missing = hiding.depends_on().len();
    if missing == 0 {
        return Ok(());
    }
    match record.serialize(Teller { hiding, missing, place: None }) {
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
    /// The place of the member that comes next, where it is one of them.
    place: Option<usize>,
}

impl Teller<'_> {
    fn take<V: Serialize + ?Sized>(&mut self, place: Option<usize>, value: &V) -> Result<(), Stop> {
        let Some(place) = place else { return Ok(()) };
        match value.serialize(OneValue { hiding: &mut *self.hiding, place, is_number: false }) {
            Ok(()) | Err(Stop::Enough) => {}
            Err(failed) => return Err(failed),
        }
        self.missing -= 1;
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
        self.place = place_of(key, self.hiding.depends_on());
        Ok(())
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Stop> {
        self.take(self.place, value)
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), Stop> {
        self.take(place_of(key, self.hiding.depends_on()), value)
    }

    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}

impl SerializeStruct for Teller<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_field<V: Serialize + ?Sized>(&mut self, key: &'static str, value: &V) -> Result<(), Stop> {
        self.take(self.hiding.depends_on().iter().position(|name| name == key), value)
    }

    fn end(self) -> Result<(), Stop> {
        Ok(())
    }
}

/// The name under which `serde_json` writes a number of arbitrary precision, as the only field of a struct.
const EXACT: &str = "$serde_json::private::Number";

/// Tells one value.
struct OneValue<'h> {
    hiding: &'h mut dyn Hiding,
    place: usize,
    /// Is the text that comes an exact number?
    is_number: bool,
}

impl OneValue<'_> {
    fn note(self, fact: &Fact<'_>) -> Result<(), Stop> {
        self.hiding.note(self.place, fact);
        Ok(())
    }

    /// Something of many parts, which nobody compares.
    fn other<T>(self) -> Result<T, Stop> {
        self.note(&Fact::Other)?;
        Err(Stop::Enough)
    }
}

macro_rules! told {
    ($($name:ident($($value:ident: $type:ty)?) => $fact:expr;)*) => {
        $(fn $name(self $(, $value: $type)?) -> Result<(), Stop> { self.note(&$fact) })*
    };
}

impl<'h> Serializer for OneValue<'h> {
    type Ok = ();
    type Error = Stop;
    type SerializeMap = Impossible<(), Stop>;
    type SerializeStruct = OneValue<'h>;
    no_sequences! {}

    told! {
        serialize_bool(value: bool) => Fact::Bool(value);
        serialize_i8(value: i8) => Fact::Int(value.into());
        serialize_i16(value: i16) => Fact::Int(value.into());
        serialize_i32(value: i32) => Fact::Int(value.into());
        serialize_i64(value: i64) => Fact::Int(value);
        serialize_u8(value: u8) => Fact::Int(value.into());
        serialize_u16(value: u16) => Fact::Int(value.into());
        serialize_u32(value: u32) => Fact::Int(value.into());
        serialize_bytes(_value: &[u8]) => Fact::Other;
        serialize_none() => Fact::Null;
        serialize_unit() => Fact::Null;
        serialize_unit_struct(_name: &'static str) => Fact::Null;
    }

    fn serialize_u64(self, value: u64) -> Result<(), Stop> {
        self.note(&Fact::Number(&value.to_string()))
    }

    fn serialize_f32(self, value: f32) -> Result<(), Stop> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Stop> {
        match serde_json::Number::from_f64(value) {
            Some(number) => self.note(&Fact::Number(&number.to_string())),
            None => self.note(&Fact::Null),
        }
    }

    fn serialize_char(self, value: char) -> Result<(), Stop> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Stop> {
        let fact = if self.is_number { Fact::Number(value) } else { Fact::Text(value) };
        self.note(&fact)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Stop> {
        self.note(&Fact::Text(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Stop> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Stop> {
        self.note(&Fact::Other)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Stop> {
        self.other()
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Stop> {
        self.other()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Stop> {
        self.other()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Stop> {
        self.other()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, Stop> {
        self.other()
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Self, Stop> {
        if name == EXACT { Ok(Self { is_number: true, ..self }) } else { self.other() }
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Stop> {
        self.other()
    }
}

/// The one field of an exact number.
impl SerializeStruct for OneValue<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_field<V: Serialize + ?Sized>(&mut self, _: &'static str, value: &V) -> Result<(), Stop> {
        value.serialize(OneValue { hiding: &mut *self.hiding, place: self.place, is_number: true })
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
    use crate::{Id, money::Money, users::User};

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
            "tags: Other",
            "score: Int(-1)",
        ];
        assert_eq!(told(&record, &names), expected);
        let json: Value = serde_json::to_value(&record).unwrap();
        // JSON does not tell whole numbers from others.
        let expected = expected.map(|it| it.replace("Int(7)", "Number(\"7\")").replace("Int(-1)", "Number(\"-1\")"));
        assert_eq!(told(&json, &names), expected);
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
