//! Writing JSON fast.
//!
//! [`write`] gives the very text that `serde_json` gives. Lists of tens of thousands of rows consist of short members:
//! here the name of a member is copied without looking for what has to be escaped, as names of Rust's members never have
//! such, and texts are looked through eight bytes at a time. What is rare is left to `serde_json`.

use std::fmt::{self, Display, Write as _};

use serde::ser::{self, Error as _, Serialize};
use serde_json::Error;

/// Appends a value's text.
pub fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), Error> {
    value.serialize(Json(out))
}

/// The eight bytes with this value in each.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Whether one of eight bytes is a control character, a quotation mark or a backslash.
fn has_special(eight: [u8; 8]) -> bool {
    // Each term has a byte's highest bit set when that byte is below the one subtracted; the least such byte is always
    // told right, so that their sum is zero only when there is none.
    let bytes = u64::from_ne_bytes(eight);
    let (quote, backslash) = (bytes ^ each(b'"'), bytes ^ each(b'\\'));
    let below = |value: u64, limit: u8| value.wrapping_sub(each(limit)) & !value;
    (below(bytes, 0x20) | below(quote, 1) | below(backslash, 1)) & each(0x80) != 0
}

fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else {
        let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        return !text.iter().any(special);
    };
    let (eights, _) = text.as_chunks::<8>();
    !eights.iter().any(|eight| has_special(*eight)) && !has_special(*last)
}

fn write_text(out: &mut Vec<u8>, text: &str) -> Result<(), Error> {
    if !is_plain(text.as_bytes()) {
        return serde_json::to_writer(out, text);
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
    Ok(())
}

fn write_number(out: &mut Vec<u8>, mut number: u64) {
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut begin = DIGITS_MAX;
    loop {
        begin -= 1;
        digits[begin] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[begin..]);
}

/// Where a value is written.
struct Json<'a>(&'a mut Vec<u8>);

impl<'a> Json<'a> {
    fn list(self, begin: &[u8], end: &'static [u8]) -> List<'a> {
        self.0.extend_from_slice(begin);
        List {
            out: self.0,
            is_first: true,
            end,
        }
    }

    /// `{"variant":` before a value, which `}` must follow.
    fn variant(&mut self, variant: &str) -> Result<(), Error> {
        self.0.push(b'{');
        write_text(self.0, variant)?;
        self.0.push(b':');
        Ok(())
    }
}

/// Everything that `serde_json` writes by itself.
macro_rules! rare {
    ($($name:ident: $kind:ty,)+) => { $(
        fn $name(self, value: $kind) -> Result<(), Error> {
            serde_json::to_writer(self.0, &value)
        }
    )+ };
}

macro_rules! unsigned {
    ($($name:ident: $kind:ty,)+) => { $(
        fn $name(self, value: $kind) -> Result<(), Error> {
            write_number(self.0, value.into());
            Ok(())
        }
    )+ };
}

impl<'a> ser::Serializer for Json<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = List<'a>;
    type SerializeTuple = List<'a>;
    type SerializeTupleStruct = List<'a>;
    type SerializeTupleVariant = List<'a>;
    type SerializeMap = List<'a>;
    type SerializeStruct = List<'a>;
    type SerializeStructVariant = List<'a>;

    unsigned! {
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
    }

    rare! {
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u128: u128,
        serialize_f32: f32,
        serialize_f64: f64,
        serialize_char: char,
        serialize_bytes: &[u8],
    }

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        let word: &[u8] = if value { b"true" } else { b"false" };
        self.0.extend_from_slice(word);
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        write_text(self.0, value)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        let mut text = String::new();
        write!(text, "{value}").map_err(Error::custom::<fmt::Error>)?;
        write_text(self.0, &text)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        write_text(self.0, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(variant)?;
        write(self.0, value)?;
        self.0.push(b'}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'a>, Error> {
        Ok(self.list(b"[", b"]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<List<'a>, Error> {
        Ok(self.list(b"[", b"]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List<'a>, Error> {
        Ok(self.list(b"[", b"]"))
    }

    fn serialize_tuple_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'a>, Error> {
        self.variant(variant)?;
        Ok(self.list(b"[", b"]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<List<'a>, Error> {
        Ok(self.list(b"{", b"}"))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<List<'a>, Error> {
        if name.starts_with("$serde_json") {
            return Err(Error::custom("raw values are not for lists"));
        }
        Ok(self.list(b"{", b"}"))
    }

    fn serialize_struct_variant(
        mut self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'a>, Error> {
        self.variant(variant)?;
        Ok(self.list(b"{", b"}}"))
    }
}

/// An array or an object that is being written.
struct List<'a> {
    out: &'a mut Vec<u8>,
    is_first: bool,
    end: &'static [u8],
}

impl List<'_> {
    fn comma(&mut self) {
        if !self.is_first {
            self.out.push(b',');
        }
        self.is_first = false;
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.comma();
        write(self.out, value)
    }

    /// A member of a struct. Inlined, so that the name is copied by instructions that know its length.
    #[inline(always)]
    fn member<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        debug_assert!(is_plain(name.as_bytes()), "'{name}' has to be escaped");
        self.out.reserve(name.len() + 4);
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        write(self.out, value)
    }

    fn end(self) -> Result<(), Error> {
        self.out.extend_from_slice(self.end);
        Ok(())
    }
}

macro_rules! elements {
    ($($kind:ident: $name:ident,)+) => { $(
        impl ser::$kind for List<'_> {
            type Ok = ();
            type Error = Error;

            fn $name<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }

            fn end(self) -> Result<(), Error> {
                List::end(self)
            }
        }
    )+ };
}

elements! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field,
}

macro_rules! members {
    ($($kind:ident,)+) => { $(
        impl ser::$kind for List<'_> {
            type Ok = ();
            type Error = Error;

            #[inline(always)]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.member(name, value)
            }

            fn end(self) -> Result<(), Error> {
                List::end(self)
            }
        }
    )+ };
}

members! {
    SerializeStruct,
    SerializeStructVariant,
}

impl ser::SerializeMap for List<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.comma();
        let begin = self.out.len();
        write(self.out, key)?;
        match self.out.get(begin) {
            Some(b'"') => {}
            // Numbers and booleans become texts.
            Some(b'-' | b'0'..=b'9' | b't' | b'f') => {
                self.out.insert(begin, b'"');
                self.out.push(b'"');
            }
            _ => return Err(Error::custom("a key must be a text")),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.out.push(b':');
        write(self.out, value)
    }

    fn end(self) -> Result<(), Error> {
        List::end(self)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    fn check<T: Serialize>(value: T) {
        let mut text = Vec::new();
        write(&mut text, &value).unwrap();
        let expected = serde_json::to_string(&value).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[derive(Serialize)]
    struct Unit;

    #[derive(Serialize)]
    struct Pair(u8, &'static str);

    #[derive(Serialize)]
    struct Wrapped(i64);

    #[derive(Serialize)]
    struct Members {
        r#type: Kind,
        #[serde(skip_serializing_if = "Option::is_none")]
        left_out: Option<u8>,
        none: Option<u8>,
        some: Option<f64>,
    }

    #[derive(Serialize)]
    enum Kind {
        Plain,
        One(&'static str),
        Two(u8, u8),
        Named { a: u8, b: Unit },
    }

    /// Every kind of value is written as `serde_json` writes it.
    #[test]
    fn all_kinds_are_the_same() {
        check((Unit, Pair(1, "x"), Wrapped(-5), (), 'ä', [0_u8; 0]));
        check([Kind::Plain, Kind::One("a\"b"), Kind::Two(1, 2)]);
        check(Kind::Named { a: 1, b: Unit });
        let members = |left_out, some| Members {
            r#type: Kind::Plain,
            left_out,
            none: None,
            some,
        };
        check([members(None, Some(f64::NAN)), members(Some(3), Some(1.5))]);
        check((u64::MAX, i64::MIN, u128::MAX, i128::MIN, 0.1_f32, 1e300));
        check(BTreeMap::from([(true, 1), (false, 2)]));
        check(BTreeMap::from([(-7, "a"), (12, "b")]));
        check(BTreeMap::from([("\n", Vec::<u8>::new())]));
        check(format_args!("{}-{}", "\u{1f}", 5));
        check(std::net::Ipv4Addr::LOCALHOST);
        check(serde_json::json!({"a": [1, -2, 3.5, null, true, {"b": {}}], "\\": "\u{7f}"}));
        let list = BTreeMap::from([(vec![1], 2)]);
        assert!(write(&mut Vec::new(), &list).is_err(), "a list is no key");
    }

    proptest! {
        /// What has to be escaped is, wherever it stands.
        #[test]
        fn texts_are_the_same(text in "[a-z\"\\\\\u{0}-\u{22}\u{7f}-\u{ff}é€😀]{0,40}") {
            check(&text);
        }

        /// Plain texts with one odd byte, and numbers.
        #[test]
        fn places_and_numbers(place in 0_usize..30, odd in any::<char>(), number: u64, shift in 0..64) {
            let mut text = "plain text without anything special".to_owned();
            text.insert(place, odd);
            check((text, number >> shift));
        }
    }
}
