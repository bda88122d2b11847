//! Reading JSON as forgivingly as LINSTOR does, and writing it as sparingly.
//!
//! LINSTOR's server reads with Jackson's defaults, and clients have come to rely on them: a number may
//! be written as a string (`"place_count": "2"`), a boolean as `"True"`, a string as a number, and `null` means
//! "not given" everywhere. Answers leave out what is empty. The macro `object!` gives every type of this
//! crate both habits, so that no member is stricter or chattier than its neighbour.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use crate::sorted_map::SortedMap;

/// A word from a closed set (a kind or a flag) or, where a newer peer knows more, any other word.
pub type Word = Cow<'static, str>;

/// Something that can be read leniently; `None` is the JSON `null` (or, for numbers, the empty string).
pub trait Lenient: Sized {
    /// Reads one value.
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error>;
}

/// Something that is left out of an answer when it is empty.
pub trait Omit {
    /// Whether to leave it out.
    fn omit(&self) -> bool {
        false
    }
}

/// Reads one member; `null` gives the default, as a missing member does.
pub fn read<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Lenient + Default,
{
    Ok(T::read_or_null(deserializer)?.unwrap_or_default())
}

/// Whether a member is left out of an answer.
pub fn omit<T: Omit>(value: &T) -> bool {
    value.omit()
}

impl<T: Lenient> Lenient for Option<T> {
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        T::read_or_null(deserializer).map(Some)
    }
}

impl<T> Omit for Option<T> {
    fn omit(&self) -> bool {
        self.is_none()
    }
}

/// The scalar found in the JSON text, before it is turned into what the member wants.
enum Scalar<'de> {
    Null,
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Text(Cow<'de, str>),
}

struct ScalarVisitor(&'static str);

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Signed(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Unsigned(v))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Float(v))
    }
    fn visit_borrowed_str<E>(self, v: &'de str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Borrowed(v)))
    }
    fn visit_str<E>(self, v: &str) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(v.to_owned())))
    }
    fn visit_string<E>(self, v: String) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Text(Cow::Owned(v)))
    }
    fn visit_unit<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }
    fn visit_none<E>(self) -> Result<Scalar<'de>, E> {
        Ok(Scalar::Null)
    }
}

fn scalar<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &'static str,
) -> Result<Scalar<'de>, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(what))
}

fn unfit<E: Error>(what: &str, given: &str) -> E {
    E::custom(format_args!("'{}' is not {what}", given.escape_debug()))
}

impl Lenient for String {
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Ok(match scalar(deserializer, "a string")? {
            Scalar::Null => None,
            Scalar::Bool(v) => Some(v.to_string()),
            Scalar::Signed(v) => Some(v.to_string()),
            Scalar::Unsigned(v) => Some(v.to_string()),
            Scalar::Float(v) => Some(v.to_string()),
            Scalar::Text(v) => Some(v.into_owned()),
        })
    }
}

impl Omit for String {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

impl Lenient for Word {
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Ok(String::read_or_null(deserializer)?.map(Cow::Owned))
    }
}

impl Omit for Word {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

impl Lenient for bool {
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        const WHAT: &str = "a boolean";
        match scalar(deserializer, WHAT)? {
            Scalar::Null => Ok(None),
            Scalar::Bool(v) => Ok(Some(v)),
            Scalar::Signed(v) => Ok(Some(v != 0)),
            Scalar::Unsigned(v) => Ok(Some(v != 0)),
            Scalar::Float(v) => Err(unfit(WHAT, &v.to_string())),
            Scalar::Text(v) if v.trim().is_empty() => Ok(None),
            Scalar::Text(v) if v.trim().eq_ignore_ascii_case("true") => Ok(Some(true)),
            Scalar::Text(v) if v.trim().eq_ignore_ascii_case("false") => Ok(Some(false)),
            Scalar::Text(v) => Err(unfit(WHAT, &v)),
        }
    }
}

impl Omit for bool {}

macro_rules! lenient_integers {
    ($($int:ty),+) => {$(
        impl Lenient for $int {
            fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
                const WHAT: &str = concat!("an integer of type ", stringify!($int));
                match scalar(deserializer, WHAT)? {
                    Scalar::Null => Ok(None),
                    Scalar::Bool(v) => Err(unfit(WHAT, if v { "true" } else { "false" })),
                    Scalar::Signed(v) => <$int>::try_from(v).map(Some).map_err(|_| unfit(WHAT, &v.to_string())),
                    Scalar::Unsigned(v) => <$int>::try_from(v).map(Some).map_err(|_| unfit(WHAT, &v.to_string())),
                    Scalar::Float(v) => whole(v)
                        .and_then(|v| <$int>::try_from(v).ok())
                        .map(Some)
                        .ok_or_else(|| unfit(WHAT, &v.to_string())),
                    Scalar::Text(v) if v.trim().is_empty() => Ok(None),
                    Scalar::Text(v) => v.trim().parse().map(Some).map_err(|_| unfit(WHAT, &v)),
                }
            }
        }
        impl Omit for $int {}
    )+};
}

lenient_integers!(i32, i64, u16, u32, u64);

/// The integer part of a float, as Jackson reads one.
fn whole(v: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (v.abs() <= EXACT).then_some(v as i64)
}

impl Lenient for f64 {
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        const WHAT: &str = "a number";
        match scalar(deserializer, WHAT)? {
            Scalar::Null => Ok(None),
            Scalar::Bool(v) => Err(unfit(WHAT, if v { "true" } else { "false" })),
            Scalar::Signed(v) => Ok(Some(v as f64)),
            Scalar::Unsigned(v) => Ok(Some(v as f64)),
            Scalar::Float(v) => Ok(Some(v)),
            Scalar::Text(v) if v.trim().is_empty() => Ok(None),
            Scalar::Text(v) => match v.trim().parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(Some(number)),
                _ => Err(unfit(WHAT, &v)),
            },
        }
    }
}

impl Omit for f64 {}

impl<T: Lenient + Default> Lenient for Vec<T> {
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        struct List<T>(PhantomData<T>);
        impl<'de, T: Lenient + Default> Visitor<'de> for List<T> {
            type Value = Option<Vec<T>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut list = Vec::new();
                while let Some(Item(item)) = seq.next_element()? {
                    list.push(item);
                }
                Ok(Some(list))
            }
        }
        deserializer.deserialize_any(List(PhantomData))
    }
}

impl<T> Omit for Vec<T> {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Lenient + Default> Lenient for SortedMap<String, T> {
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        struct Map<T>(PhantomData<T>);
        impl<'de, T: Lenient + Default> Visitor<'de> for Map<T> {
            type Value = Option<SortedMap<String, T>>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(None)
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let entries =
                    std::iter::from_fn(|| map.next_entry::<String, Item<T>>().transpose());
                let entries = entries.map(|entry| entry.map(|(key, Item(value))| (key, value)));
                entries.collect::<Result<_, _>>().map(Some)
            }
        }
        deserializer.deserialize_any(Map(PhantomData))
    }
}

impl<T> Omit for SortedMap<String, T> {
    fn omit(&self) -> bool {
        self.is_empty()
    }
}

/// One item of a list or map.
struct Item<T>(T);

impl<'de, T: Lenient + Default> Deserialize<'de> for Item<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read(deserializer).map(Item)
    }
}

impl Lenient for crate::reply::Reply {
    fn read_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        read_object(deserializer)
    }
}

/// Reads an object or `null`. Derived readers would take a list for an object as well; this one does not.
pub fn read_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }
        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }
    deserializer.deserialize_any(Object(PhantomData))
}

/// Defines JSON objects: every member is optional when read, read leniently, and left out when empty.
macro_rules! object {
    ($(
        $(#[$doc:meta])*
        pub struct $name:ident {
            $($(#[$mdoc:meta])* pub $member:ident: $type:ty,)*
        }
    )+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(default)]
        pub struct $name {
            $(
                $(#[$mdoc])*
                #[serde(
                    deserialize_with = "crate::lenient::read",
                    skip_serializing_if = "crate::lenient::omit"
                )]
                pub $member: $type,
            )*
        }

        impl crate::lenient::Lenient for $name {
            fn read_or_null<'de, D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Option<Self>, D::Error> {
                crate::lenient::read_object(deserializer)
            }
        }

        impl crate::lenient::Omit for $name {}
    )+};
}
pub(crate) use object;

#[cfg(test)]
mod tests {
    use super::*;

    object! {
        /// One member of each sort.
        pub struct Sample {
            /// A number that may be missing.
            pub count: Option<i32>,
            /// A number that is always there.
            pub size: i64,
            /// A boolean.
            pub on: bool,
            /// A boolean that may be missing.
            pub maybe: Option<bool>,
            /// A string.
            pub name: String,
            /// A ratio.
            pub ratio: Option<f64>,
            /// A list.
            pub list: Vec<String>,
            /// A list of which "empty" means something else than "not given".
            pub choice: Option<Vec<String>>,
            /// A map.
            pub map: SortedMap<String, String>,
        }
    }

    fn sample(text: &str) -> Sample {
        serde_json::from_str(text).unwrap()
    }

    /// What clients are known to send is read as what they mean.
    #[test]
    fn numbers_and_booleans_may_be_strings() {
        let got = sample(
            r#"{"count":"2","size":" 7 ","on":"True","maybe":"false","name":5,"ratio":"1.5","list":[1,true,"x"],
               "choice":[],"map":{"a":1,"b":false,"c":null}}"#,
        );
        assert_eq!(got.count, Some(2));
        assert_eq!(got.size, 7);
        assert!(got.on);
        assert_eq!(got.maybe, Some(false));
        assert_eq!(got.name, "5");
        assert_eq!(got.ratio, Some(1.5));
        assert_eq!(got.list, ["1", "true", "x"]);
        assert_eq!(got.choice, Some(vec![]));
        assert_eq!(got.map["b"], "false");
        assert_eq!(got.map["c"], "");
    }

    /// `null` and the empty number mean "not given".
    #[test]
    fn null_means_not_given() {
        let got = sample(
            r#"{"count":null,"size":null,"on":null,"maybe":"","name":null,"ratio":"","list":null,"choice":null,"map":null}"#,
        );
        assert_eq!(got, Sample::default());
        assert_eq!(sample(r#"{"count":""}"#).count, None);
    }

    /// What has no meaning is refused with the text that was given.
    #[test]
    fn nonsense_is_refused() {
        for (text, part) in [
            (r#"{"count":"two"}"#, "'two' is not an integer"),
            (r#"{"count":1e300}"#, "is not an integer"),
            (r#"{"count":4294967296}"#, "'4294967296' is not an integer"),
            (r#"{"on":"yes"}"#, "'yes' is not a boolean"),
            (r#"{"ratio":"inf"}"#, "'inf' is not a number"),
            (r#"{"list":"x"}"#, "expected a list"),
            (r#"{"map":[]}"#, "expected an object"),
            (r#"{"name":{}}"#, "expected a string"),
        ] {
            let error = serde_json::from_str::<Sample>(text)
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    /// Only what has content is written, but numbers and booleans that are always there are.
    #[test]
    fn empty_members_are_left_out() {
        let text = serde_json::to_string(&Sample::default()).unwrap();
        assert_eq!(text, r#"{"size":0,"on":false}"#);
        let some_empty = Sample {
            choice: Some(vec![]),
            ..Sample::default()
        };
        let text = serde_json::to_string(&some_empty).unwrap();
        assert_eq!(text, r#"{"size":0,"on":false,"choice":[]}"#);
    }
}
