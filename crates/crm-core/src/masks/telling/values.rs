//! Telling a gate one value of a record: a scalar, a list of texts, or the parts of an object.
use std::ops::Range;

use serde::{
    Serialize, Serializer,
    ser::{Impossible, SerializeMap, SerializeSeq, SerializeStruct},
};

use super::Stop;
use crate::{
    gate::{Fact, Hiding},
    masks::omitting::{no_sequences, of_key, whatever_else},
};

/// What has been told of one value is enough of that value.
pub(super) fn told(outcome: Result<(), Stop>) -> Result<(), Stop> {
    match outcome {
        Err(Stop::Enough) => Ok(()),
        outcome => outcome,
    }
}

/// Tells the parts of a member. What an object does not have is null; of what is no object nothing is told.
pub(super) struct Parts<'h> {
    pub(super) hiding: &'h mut dyn Hiding,
    /// Where they stand among what is wanted.
    pub(super) places: Range<usize>,
    pub(super) is_told: Vec<bool>,
    /// The one that comes next, where it is wanted.
    pub(super) next: Option<usize>,
}

impl Parts<'_> {
    fn index_of<K: Serialize + ?Sized>(&self, key: &K) -> Option<usize> {
        let names = self.hiding.depends_on().get(self.places.clone())?;
        of_key(key, |key| names.iter().position(|name| name.split_once('.').is_some_and(|(_, part)| part == key)))
    }

    fn take<V: Serialize + ?Sized>(&mut self, index: Option<usize>, value: &V) -> Result<(), Stop> {
        let Some(index) = index else { return Ok(()) };
        self.is_told[index] = true;
        let place = self.places.start + index;
        told(value.serialize(OneValue { hiding: &mut *self.hiding, place, is_number: false }))
    }

    fn note_null(self) {
        for (place, _) in self.places.zip(self.is_told).filter(|(_, is_told)| !is_told) {
            self.hiding.note(place, &Fact::Null);
        }
    }
}

impl Serializer for Parts<'_> {
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
        Ok(())
    }

    whatever_else! { Ok(()), Err(Stop::Enough) }
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), Stop> {
        self.next = self.index_of(key);
        Ok(())
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Stop> {
        self.take(self.next, value)
    }

    fn end(self) -> Result<(), Stop> {
        self.note_null();
        Ok(())
    }
}

impl SerializeStruct for Parts<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_field<V: Serialize + ?Sized>(&mut self, key: &'static str, value: &V) -> Result<(), Stop> {
        self.take(self.index_of(key), value)
    }

    fn end(self) -> Result<(), Stop> {
        self.note_null();
        Ok(())
    }
}

/// The name under which `serde_json` writes a number of arbitrary precision, as the only field of a struct.
const EXACT: &str = "$serde_json::private::Number";

/// Tells one value.
pub(super) struct OneValue<'h> {
    pub(super) hiding: &'h mut dyn Hiding,
    pub(super) place: usize,
    /// Is the text that comes an exact number?
    pub(super) is_number: bool,
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
    type SerializeSeq = Texts<'h>;
    type SerializeTuple = Impossible<(), Stop>;
    type SerializeTupleStruct = Impossible<(), Stop>;
    type SerializeTupleVariant = Impossible<(), Stop>;
    type SerializeStructVariant = Impossible<(), Stop>;

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

    fn serialize_seq(self, count: Option<usize>) -> Result<Texts<'h>, Stop> {
        Ok(Texts { value: self, texts: Some(Vec::with_capacity(count.unwrap_or_default())) })
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

/// A list of texts, as long as it holds nothing else.
pub(super) struct Texts<'h> {
    value: OneValue<'h>,
    texts: Option<Vec<String>>,
}

impl SerializeSeq for Texts<'_> {
    type Ok = ();
    type Error = Stop;

    fn serialize_element<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), Stop> {
        match (of_key(value, |text| Some(text.to_owned())), &mut self.texts) {
            (Some(text), Some(texts)) => texts.push(text),
            _ => self.texts = None,
        }
        Ok(())
    }

    fn end(self) -> Result<(), Stop> {
        match self.texts {
            Some(texts) => self.value.note(&Fact::Texts(&texts)),
            None => self.value.note(&Fact::Other),
        }
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
