//! A deserializer around another one that notes unknown fields with their places and reads on.
//!
//! serde stops at the first error, and a format's own check for unknown fields is such an error. Here each
//! struct's key is read with its place first; one that the struct does not know is noted and its value skipped.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::Place;

/// How many unknown fields of one document are noted; a hostile file must not grow memory with them.
const NOTED_MAX: usize = 1_000;

/// A field that the type does not have.
pub(super) struct Unknown {
    pub(super) place: Place,
    pub(super) field: String,
    pub(super) expected: &'static [&'static str],
}

/// A key with its place, as one format gives it.
pub(super) trait PlacedKey: for<'de> de::Deserialize<'de> {
    fn name(&self) -> &str;
    fn place(&self, text: &str) -> Place;
}

/// What was noted while one document was read.
pub(super) struct Collector<'t> {
    text: &'t str,
    unknown: RefCell<Vec<Unknown>>,
}

impl<'t> Collector<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, unknown: RefCell::new(Vec::new()) }
    }

    pub(super) fn into_unknown(self) -> Vec<Unknown> {
        self.unknown.into_inner()
    }

    fn note(&self, key: &impl PlacedKey, expected: &'static [&'static str]) {
        let mut unknown = self.unknown.borrow_mut();
        if unknown.len() < NOTED_MAX {
            let place = key.place(self.text);
            unknown.push(Unknown { place, field: key.name().to_owned(), expected });
        }
    }
}

/// A deserializer, visitor, seed or access (`I`) that notes unknown fields; `K` reads keys with places.
pub(super) struct Noting<'c, 't, I, K> {
    inner: I,
    collector: &'c Collector<'t>,
    /// The fields of the struct whose map comes next; `None` where any key is allowed.
    fields: Option<&'static [&'static str]>,
    key: PhantomData<K>,
}

impl<'c, 't, I, K> Noting<'c, 't, I, K> {
    pub(super) fn new(inner: I, collector: &'c Collector<'t>) -> Self {
        Self { inner, collector, fields: None, key: PhantomData }
    }

    fn around<J>(&self, inner: J) -> Noting<'c, 't, J, K> {
        Noting::new(inner, self.collector)
    }

    fn around_struct<J>(
        &self,
        inner: J,
        name: &str,
        fields: &'static [&'static str],
    ) -> Noting<'c, 't, J, K> {
        // `toml::Spanned` poses as a struct with a reserved name.
        let fields = (!name.starts_with("$__")).then_some(fields);
        Noting { inner, collector: self.collector, fields, key: PhantomData }
    }
}

macro_rules! forward {
    ($($method:ident($($argument:ident: $kind:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($argument: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.around(visitor);
            self.inner.$method($($argument,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>, K: PlacedKey> Deserializer<'de> for Noting<'_, '_, D, K> {
    type Error = D::Error;

    forward! {
        deserialize_any(); deserialize_bool(); deserialize_i8(); deserialize_i16(); deserialize_i32();
        deserialize_i64(); deserialize_i128(); deserialize_u8(); deserialize_u16(); deserialize_u32();
        deserialize_u64(); deserialize_u128(); deserialize_f32(); deserialize_f64(); deserialize_char();
        deserialize_str(); deserialize_string(); deserialize_bytes(); deserialize_byte_buf();
        deserialize_option(); deserialize_unit(); deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str); deserialize_seq(); deserialize_tuple(length: usize);
        deserialize_tuple_struct(name: &'static str, length: usize); deserialize_map();
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier(); deserialize_ignored_any();
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        // A place that `serde_saphyr::Spanned` makes up is no mapping of the file: its keys have no places.
        if name == "Location" && fields == ["line", "column", "span", "source_id"] {
            return self.inner.deserialize_struct(name, fields, visitor);
        }
        let visitor = self.around_struct(visitor, name, fields);
        self.inner.deserialize_struct(name, fields, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! visit {
    ($($method:ident: $kind:ty;)*) => {$(
        fn $method<E: de::Error>(self, value: $kind) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>, K: PlacedKey> Visitor<'de> for Noting<'_, '_, V, K> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    visit! {
        visit_bool: bool; visit_i8: i8; visit_i16: i16; visit_i32: i32; visit_i64: i64; visit_i128: i128;
        visit_u8: u8; visit_u16: u16; visit_u32: u32; visit_u64: u64; visit_u128: u128; visit_f32: f32;
        visit_f64: f64; visit_char: char; visit_str: &str; visit_borrowed_str: &'de str; visit_string: String;
        visit_bytes: &[u8]; visit_borrowed_bytes: &'de [u8]; visit_byte_buf: Vec<u8>;
    }

    fn visit_none<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: de::Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.around(deserializer);
        self.inner.visit_some(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        let deserializer = self.around(deserializer);
        self.inner.visit_newtype_struct(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = self.around(access);
        self.inner.visit_seq(access)
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = Noting { fields: self.fields, ..self.around(access) };
        self.inner.visit_map(access)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = self.around(access);
        self.inner.visit_enum(access)
    }
}

impl<'de, S: DeserializeSeed<'de>, K: PlacedKey> DeserializeSeed<'de> for Noting<'_, '_, S, K> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        let deserializer = self.around(deserializer);
        self.inner.deserialize(deserializer)
    }
}

impl<'de, A: SeqAccess<'de>, K: PlacedKey> SeqAccess<'de> for Noting<'_, '_, A, K> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let seed = self.around(seed);
        self.inner.next_element_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>, K: PlacedKey> MapAccess<'de> for Noting<'_, '_, A, K> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let Some(fields) = self.fields else {
            return self.inner.next_key_seed(seed);
        };
        while let Some(key) = self.inner.next_key::<K>()? {
            if fields.contains(&key.name()) {
                return seed.deserialize(StrDeserializer::new(key.name())).map(Some);
            }
            self.collector.note(&key, fields);
            self.inner.next_value::<IgnoredAny>()?;
        }
        Ok(None)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.around(seed);
        self.inner.next_value_seed(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, 'c, 't, A: EnumAccess<'de>, K: PlacedKey> EnumAccess<'de> for Noting<'c, 't, A, K> {
    type Error = A::Error;
    type Variant = Noting<'c, 't, A::Variant, K>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let collector = self.collector;
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Noting::new(variant, collector)))
    }
}

impl<'de, A: VariantAccess<'de>, K: PlacedKey> VariantAccess<'de> for Noting<'_, '_, A, K> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        let seed = self.around(seed);
        self.inner.newtype_variant_seed(seed)
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, A::Error> {
        let visitor = self.around(visitor);
        self.inner.tuple_variant(length, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        let visitor = self.around_struct(visitor, "", fields);
        self.inner.struct_variant(fields, visitor)
    }
}
