//! Writing a record without some of its members, straight to where it goes.
use std::fmt;

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
        let has_parts = self.names.iter().any(|name| name.contains('.'));
        self.record.serialize(Filter {
            inner: serializer,
            omitted: Omitted { names: self.names, has_parts },
            tells: true,
        })
    }
}

/// An object without its members of these names, which nothing tells of: a part of a record.
struct Rest<'r, T: ?Sized> {
    value: &'r T,
    names: &'r [String],
}

impl<T: Serialize + ?Sized> Serialize for Rest<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let omitted = Omitted { names: self.names, has_parts: false };
        self.value.serialize(Filter { inner: serializer, omitted, tells: false })
    }
}

/// What becomes of a member.
enum Fate {
    Kept,
    Omitted,
    /// Of its own members, those of these names are omitted.
    Without(Vec<String>),
}

/// The names of what is omitted of an object.
#[derive(Clone, Copy)]
struct Omitted<'r> {
    names: &'r [String],
    /// Is any of them that of a part, such as `customFields.region`?
    has_parts: bool,
}

impl Omitted<'_> {
    fn fate<K: Serialize + ?Sized>(self, key: &K) -> Fate {
        if place_of(key, self.names).is_some() {
            return Fate::Omitted;
        }
        if !self.has_parts {
            return Fate::Kept;
        }
        let parts = self.names.iter().filter_map(|name| name.split_once('.'));
        let parts = parts.filter(|(whole, _)| place_of(key, &[whole]).is_some());
        let parts: Vec<_> = parts.map(|(_, part)| part.to_owned()).collect();
        if parts.is_empty() { Fate::Kept } else { Fate::Without(parts) }
    }
}

/// What a serializer answers to whatever is not told apart.
macro_rules! whatever_else {
    ($scalar:expr, $compound:expr) => {
        whatever_else! { @ $scalar;
            serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
            serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64), serialize_f32(f32),
            serialize_f64(f64), serialize_char(char), serialize_bytes(&[u8]), serialize_none(), serialize_unit(),
            serialize_unit_struct(&'static str), serialize_unit_variant(&'static str, u32, &'static str)
        }

        fn serialize_newtype_variant<T: Serialize + ?Sized>(
            self, _: &'static str, _: u32, _: &'static str, _: &T,
        ) -> Result<Self::Ok, Self::Error> {
            $scalar
        }

        fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Self::Ok, Self::Error> {
            value.serialize(self)
        }

        fn serialize_newtype_struct<T: Serialize + ?Sized>(
            self, _: &'static str, value: &T,
        ) -> Result<Self::Ok, Self::Error> {
            value.serialize(self)
        }

        fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, Self::Error> { $compound }
        fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, Self::Error> { $compound }
        fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, Self::Error> {
            $compound
        }
        fn serialize_tuple_variant(
            self, _: &'static str, _: u32, _: &'static str, _: usize,
        ) -> Result<Self::SerializeTupleVariant, Self::Error> {
            $compound
        }
        fn serialize_struct_variant(
            self, _: &'static str, _: u32, _: &'static str, _: usize,
        ) -> Result<Self::SerializeStructVariant, Self::Error> {
            $compound
        }
    };
    (@ $scalar:expr; $($name:ident($($argument:ty),*)),*) => {
        $(fn $name(self, $(_: $argument),*) -> Result<Self::Ok, Self::Error> { $scalar })*
    };
}

/// The sequences and variants of a serializer that has none.
macro_rules! no_sequences {
    () => {
        type SerializeSeq = Impossible<Self::Ok, Self::Error>;
        type SerializeTuple = Impossible<Self::Ok, Self::Error>;
        type SerializeTupleStruct = Impossible<Self::Ok, Self::Error>;
        type SerializeTupleVariant = Impossible<Self::Ok, Self::Error>;
        type SerializeStructVariant = Impossible<Self::Ok, Self::Error>;
    };
}

pub(super) use {no_sequences, whatever_else};

pub(super) const NO_OBJECT: &str = "a record is an object";

/// Lets an object through to `inner`, but for some of its members.
struct Filter<'r, S> {
    inner: S,
    omitted: Omitted<'r>,
    /// Do the names stand in `maskedFields`?
    tells: bool,
}

impl<'r, S: Serializer> Serializer for Filter<'r, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeMap = Members<'r, S::SerializeMap>;
    type SerializeStruct = Members<'r, S::SerializeStruct>;
    no_sequences! {}

    fn serialize_map(self, _members: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        Ok(Members {
            inner: self.inner.serialize_map(None)?,
            omitted: self.omitted,
            tells: self.tells,
            next: Fate::Kept,
        })
    }

    fn serialize_struct(self, name: &'static str, members: usize) -> Result<Self::SerializeStruct, S::Error> {
        let inner = self.inner.serialize_struct(name, members + usize::from(self.tells))?;
        Ok(Members { inner, omitted: self.omitted, tells: self.tells, next: Fate::Kept })
    }

    fn serialize_str(self, _: &str) -> Result<S::Ok, S::Error> {
        Err(S::Error::custom(NO_OBJECT))
    }

    whatever_else! { Err(S::Error::custom(NO_OBJECT)), Err(S::Error::custom(NO_OBJECT)) }
}

/// The members of an object on their way.
struct Members<'r, M> {
    inner: M,
    omitted: Omitted<'r>,
    tells: bool,
    /// What becomes of the member whose key has come.
    next: Fate,
}

impl<M: SerializeMap> SerializeMap for Members<'_, M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_key<K: Serialize + ?Sized>(&mut self, key: &K) -> Result<(), M::Error> {
        self.next = self.omitted.fate(key);
        if matches!(self.next, Fate::Omitted) { Ok(()) } else { self.inner.serialize_key(key) }
    }

    fn serialize_value<V: Serialize + ?Sized>(&mut self, value: &V) -> Result<(), M::Error> {
        match &self.next {
            Fate::Kept => self.inner.serialize_value(value),
            Fate::Omitted => Ok(()),
            Fate::Without(names) => self.inner.serialize_value(&Rest { value, names }),
        }
    }

    fn serialize_entry<K: Serialize + ?Sized, V: Serialize + ?Sized>(
        &mut self,
        key: &K,
        value: &V,
    ) -> Result<(), M::Error> {
        match self.omitted.fate(key) {
            Fate::Kept => self.inner.serialize_entry(key, value),
            Fate::Omitted => Ok(()),
            Fate::Without(names) => self.inner.serialize_entry(key, &Rest { value, names: &names }),
        }
    }

    fn end(mut self) -> Result<M::Ok, M::Error> {
        if self.tells {
            self.inner.serialize_entry(MEMBER, self.omitted.names)?;
        }
        self.inner.end()
    }
}

impl<M: SerializeStruct> SerializeStruct for Members<'_, M> {
    type Ok = M::Ok;
    type Error = M::Error;

    fn serialize_field<V: Serialize + ?Sized>(&mut self, key: &'static str, value: &V) -> Result<(), M::Error> {
        match self.omitted.fate(key) {
            Fate::Kept => self.inner.serialize_field(key, value),
            Fate::Omitted => Ok(()),
            Fate::Without(names) => self.inner.serialize_field(key, &Rest { value, names: &names }),
        }
    }

    fn end(mut self) -> Result<M::Ok, M::Error> {
        if self.tells {
            self.inner.serialize_field(MEMBER, self.omitted.names)?;
        }
        self.inner.end()
    }
}

/// Which of these names a key is. What is no text is none of them.
pub(super) fn place_of<K: Serialize + ?Sized>(key: &K, names: &[impl AsRef<str>]) -> Option<usize> {
    of_key(key, |key| names.iter().position(|name| name.as_ref() == key))
}

/// What there is to say of a key. Of what is no text there is nothing.
pub(super) fn of_key<K: Serialize + ?Sized, T>(key: &K, look: impl FnOnce(&str) -> Option<T>) -> Option<T> {
    key.serialize(Key(look)).ok().flatten()
}

/// Looks at a key, whatever its type.
struct Key<F>(F);

impl<O, F: FnOnce(&str) -> Option<O>> Serializer for Key<F> {
    type Ok = Option<O>;
    type Error = fmt::Error;
    type SerializeMap = Impossible<Self::Ok, fmt::Error>;
    type SerializeStruct = Impossible<Self::Ok, fmt::Error>;
    no_sequences! {}

    fn serialize_str(self, key: &str) -> Result<Self::Ok, fmt::Error> {
        Ok((self.0)(key))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, fmt::Error> {
        Err(fmt::Error)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, fmt::Error> {
        Err(fmt::Error)
    }

    whatever_else! { Ok(None), Err(fmt::Error) }
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
    fn members_are_left_out_in_whatever_way_the_object_is_made() {
        let names = ["b".to_owned(), "c".to_owned()];
        let plain = Plain { a: 1, b: Some("x") };
        assert_eq!(written(&plain, &names), r#"{"a":1,"maskedFields":["b","c"]}"#);
        let flat = Flat { id: 7, fields: Plain { a: 1, b: None } };
        assert_eq!(written(&flat, &names), r#"{"id":7,"a":1,"maskedFields":["b","c"]}"#);
        let parts = ["d.b".to_owned(), "d.x".to_owned()];
        let map = json!({"b": 3, "d": {"b": 2, "c": {"b": 1}}});
        assert_eq!(written(&map, &parts), r#"{"b":3,"d":{"c":{"b":1}},"maskedFields":["d.b","d.x"]}"#);
        let map = json!({"b": {"b": 1}, "d": {"b": 2}});
        assert_eq!(written(&map, &names), r#"{"d":{"b":2},"maskedFields":["b","c"]}"#);
        assert!(serde_json::to_string(&Omitting { record: &[1], names: &names }).is_err());
    }
}
