//! Writing a record without some of its members, straight to where it goes.
use serde::{
    Serialize, Serializer,
    ser::{Error, Impossible, SerializeMap, SerializeStruct},
};

use super::MEMBER;

/// A record without its members of these names, which stand in `maskedFields` instead.
pub(super) struct Omitting<'r, R> {
    pub(super) record: &'r R,
    pub(super) names: &'r [String],
}

impl<R: Serialize> Serialize for Omitting<'_, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record.serialize(Filter { inner: serializer, names: self.names })
    }
}

/// Lets an object through to `inner`, but for some of its members.
struct Filter<'r, S> {
    inner: S,
    names: &'r [String],
}

/// The members of an object on their way. Of a map each key is written as JSON to be compared, since it may be anything.
struct Members<'r, M> {
    inner: M,
    names: &'r [String],
    key: Vec<u8>,
    is_omitted: bool,
}

impl<M> Members<'_, M> {
    /// Reads a key, and tells whether its member is left out.
    fn omits<K: Serialize + ?Sized, E: Error>(&mut self, key: &K) -> Result<bool, E> {
        self.key.clear();
        serde_json::to_writer(&mut self.key, key).map_err(E::custom)?;
        let key = self.key.strip_prefix(b"\"").and_then(|key| key.strip_suffix(b"\"")).unwrap_or_default();
        self.is_omitted = self.names.iter().any(|name| name.as_bytes() == key);
        Ok(self.is_omitted)
    }
}

impl<M: SerializeMap> SerializeMap for Members<'_, M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), M::Error> {
        if self.omits(key)? { Ok(()) } else { self.inner.serialize_key(key) }
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), M::Error> {
        if self.is_omitted { Ok(()) } else { self.inner.serialize_value(value) }
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), M::Error> {
        if self.omits(key)? { Ok(()) } else { self.inner.serialize_entry(key, value) }
    }

    fn end(mut self) -> Result<M::Ok, M::Error> {
        self.inner.serialize_entry(MEMBER, self.names)?;
        self.inner.end()
    }
}

impl<M: SerializeStruct> SerializeStruct for Members<'_, M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_field<V: Serialize + ?Sized>(&mut self, key: &'static str, value: &V) -> Result<(), M::Error> {
        if self.names.iter().any(|name| name == key) { Ok(()) } else { self.inner.serialize_field(key, value) }
    }

    fn end(mut self) -> Result<M::Ok, M::Error> {
        self.inner.serialize_field(MEMBER, self.names)?;
        self.inner.end()
    }
}

/// Whatever is no object has no members that could be left out.
macro_rules! no_objects {
    ($($name:ident($($argument:ty),*) -> $answer:ty;)*) => {
        $(fn $name(self, $(_: $argument),*) -> Result<$answer, S::Error> {
            Err(S::Error::custom("a record is an object"))
        })*
    };
}

impl<'r, S: Serializer> Serializer for Filter<'r, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Impossible<S::Ok, S::Error>;
    type SerializeTuple = Impossible<S::Ok, S::Error>;
    type SerializeTupleStruct = Impossible<S::Ok, S::Error>;
    type SerializeTupleVariant = Impossible<S::Ok, S::Error>;
    type SerializeMap = Members<'r, S::SerializeMap>;
    type SerializeStruct = Members<'r, S::SerializeStruct>;
    type SerializeStructVariant = Impossible<S::Ok, S::Error>;

    fn serialize_map(self, _members: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        let Self { inner, names } = self;
        Ok(Members { inner: inner.serialize_map(None)?, names, key: Vec::with_capacity(32), is_omitted: false })
    }

    fn serialize_struct(self, name: &'static str, members: usize) -> Result<Self::SerializeStruct, S::Error> {
        let Self { inner, names } = self;
        let inner = inner.serialize_struct(name, members + 1)?;
        Ok(Members { inner, names, key: Vec::new(), is_omitted: false })
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        _variant: &'static str,
        _value: &T,
    ) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom("a record is an object"))
    }

    no_objects! {
        serialize_bool(bool) -> S::Ok;
        serialize_i8(i8) -> S::Ok;
        serialize_i16(i16) -> S::Ok;
        serialize_i32(i32) -> S::Ok;
        serialize_i64(i64) -> S::Ok;
        serialize_u8(u8) -> S::Ok;
        serialize_u16(u16) -> S::Ok;
        serialize_u32(u32) -> S::Ok;
        serialize_u64(u64) -> S::Ok;
        serialize_f32(f32) -> S::Ok;
        serialize_f64(f64) -> S::Ok;
        serialize_char(char) -> S::Ok;
        serialize_str(&str) -> S::Ok;
        serialize_bytes(&[u8]) -> S::Ok;
        serialize_none() -> S::Ok;
        serialize_unit() -> S::Ok;
        serialize_unit_struct(&'static str) -> S::Ok;
        serialize_unit_variant(&'static str, u32, &'static str) -> S::Ok;
        serialize_seq(Option<usize>) -> Self::SerializeSeq;
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize) -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize) -> Self::SerializeStructVariant;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Plain {
        a: i32,
        b: Option<&'static str>,
    }

    #[derive(Serialize)]
    struct Flat {
        id: i32,
        #[serde(flatten)]
        fields: Plain,
    }

    fn written(record: &impl Serialize, names: &[String]) -> String {
        serde_json::to_string(&Omitting { record, names }).unwrap()
    }

    #[test]
    fn members_are_left_out_and_named_in_whatever_way_the_object_is_made() {
        let names = ["b".to_owned(), "c".to_owned()];
        let plain = Plain { a: 1, b: Some("x") };
        assert_eq!(written(&plain, &names), r#"{"a":1,"maskedFields":["b","c"]}"#);
        let flat = Flat { id: 7, fields: Plain { a: 1, b: None } };
        assert_eq!(written(&flat, &names), r#"{"id":7,"a":1,"maskedFields":["b","c"]}"#);
        let map = json!({"b": {"b": 1}, "d": {"b": 2}});
        assert_eq!(written(&map, &names), r#"{"d":{"b":2},"maskedFields":["b","c"]}"#);
        assert!(serde_json::to_string(&Omitting { record: &[1], names: &names }).is_err());
    }
}
