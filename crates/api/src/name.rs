//! Names: shown as first written, compared without regard to case. Controller and satellite check them by the same rules.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameError {
    /// What the name was for, for example `node name`.
    pub what: &'static str,
    /// The text as given.
    pub given: String,
    /// Which rule it breaks.
    pub reason: String,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NameError { what, reason, .. } = self;
        write!(
            f,
            "'{}' is not a valid {what}: {reason}",
            shown(&self.given)
        )
    }
}

impl std::error::Error for NameError {}

/// A given name, cut and escaped so that it can be shown.
fn shown(given: &str) -> String {
    let mut text: String = given
        .chars()
        .take(64)
        .flat_map(char::escape_debug)
        .collect();
    if given.chars().count() > 64 {
        text.push('…');
    }
    text
}

/// Compares names in upper case, eight bytes at a time: names in one map often begin alike, and maps are searched often.
fn compare(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let common = a.len().min(b.len());
    let mut place = 0;
    while place < common {
        // The last eight bytes overlap those before, which are equal.
        let from = place.min(common.saturating_sub(8));
        let (one, other) = (eight(&a[from..common]), eight(&b[from..common]));
        if one != other {
            let (one, other) = (upper_case(one), upper_case(other));
            if one != other {
                return one.cmp(&other);
            }
        }
        place = from + 8;
    }
    a.len().cmp(&b.len())
}

/// The first eight bytes as a number that compares as they do; fewer are filled up with zeros.
fn eight(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => {
            let number = bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
            number << (64 - 8 * bytes.len() as u32)
        }
    }
}

/// Eight ASCII characters in upper case.
fn upper_case(eight: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // The highest bit of each byte says whether the character is at least `a`, or greater than `z`.
    let from_a = eight + ONES * u64::from(0x80 - b'a');
    let after_z = eight + ONES * u64::from(0x7f - b'z');
    let lower = (from_a ^ after_z) & (ONES << 7);
    eight - (lower >> 2)
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident, $what:literal, $check:expr;)+) => { $(
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the rules and takes the name as written.
            pub fn parse(given: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), String> = $check;
                match check(given) {
                    Ok(()) => Ok($name(Arc::from(given))),
                    Err(reason) => Err(NameError { what: $what, given: given.to_owned(), reason }),
                }
            }

            /// The name as first written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(given: &str) -> Result<Self, NameError> {
                $name::parse(given)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0) || self.0.eq_ignore_ascii_case(&other.0)
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                // A clone is known by its address; to look at the text would cost a cache miss.
                if Arc::ptr_eq(&self.0, &other.0) {
                    return Ordering::Equal;
                }
                compare(&self.0, &other.0)
            }
        }

        impl Hash for $name {
            fn hash<H: Hasher>(&self, state: &mut H) {
                for byte in self.0.bytes() {
                    state.write_u8(byte.to_ascii_uppercase());
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                $name::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    )+ };
}

names! {
    /// Name of a node: an RFC 1123 host name.
    NodeName, "node name", host_name;
    /// Name of a resource definition.
    ResourceName, "resource name", resource_name;
    /// Name of a resource group.
    ResourceGroupName, "resource group name", |given| generic(given, 2, 48, "_", "_-");
    /// Name of a storage pool.
    StoragePoolName, "storage pool name", |given| generic(given, 3, 48, "_", "_-");
    /// Name of a net interface.
    NetInterfaceName, "network interface name", |given| generic(given, 3, 32, "_", "_-");
    /// Name of a key-value store instance.
    KeyValueStoreName, "key value store name", |given| generic(given, 2, 48, "_", "_-");
    /// Name of a remote: like a host name.
    RemoteName, "remote name", host_name;
    /// Name of a schedule: like a host name.
    ScheduleName, "schedule name", host_name;
    /// Name of a snapshot.
    SnapshotName, "snapshot name", |given| generic(given, 2, 48, "_", "_-");
    /// Name of a file in a directory that is given otherwise.
    FileName, "file name", |given| generic(given, 1, 128, "_", "_-.");
}

/// The generic rule: length, first and inner characters, at least one letter.
fn generic(given: &str, min: usize, max: usize, first: &str, inner: &str) -> Result<(), String> {
    if given.len() < min || given.len() > max {
        return Err(format!(
            "it has {} characters; {min} to {max} are allowed",
            given.len()
        ));
    }
    for (index, c) in given.char_indices() {
        let allowed = if index == 0 {
            c.is_ascii_alphabetic() || first.contains(c)
        } else {
            c.is_ascii_alphanumeric() || inner.contains(c)
        };
        if !allowed {
            let place = if index == 0 { "at its start" } else { "in it" };
            return Err(format!(
                "the character '{}' is not allowed {place}",
                c.escape_debug()
            ));
        }
    }
    if !given.bytes().any(|b| b.is_ascii_alphabetic()) {
        return Err("it has no letter".into());
    }
    Ok(())
}

fn resource_name(given: &str) -> Result<(), String> {
    generic(given, 2, 48, "_", "_-")?;
    if given.eq_ignore_ascii_case("all") || given.eq_ignore_ascii_case("proxy") {
        return Err("DRBD's tools give this word a meaning of its own".into());
    }
    Ok(())
}

fn host_name(given: &str) -> Result<(), String> {
    if given.len() < 2 || given.len() > 255 {
        return Err(format!(
            "it has {} characters; 2 to 255 are allowed",
            given.len()
        ));
    }
    for label in given.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err("each part between dots has 1 to 63 characters".into());
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a part between dots neither starts nor ends with '-'".into());
        }
        if let Some(c) = label
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || *c == '-'))
        {
            return Err(format!(
                "the character '{}' is not allowed in a host name",
                c.escape_debug()
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names compare without case and show as written.
    #[test]
    fn case_is_kept_but_does_not_count() {
        let (upper, lower) = (
            ResourceName::parse("Foo").unwrap(),
            ResourceName::parse("foo").unwrap(),
        );
        assert_eq!(upper, lower);
        assert_eq!(upper.cmp(&lower), Ordering::Equal);
        assert_eq!(upper.to_string(), "Foo");
    }

    /// The order is that of the names in upper case, wherever they differ and however long they are.
    #[test]
    fn order_is_that_of_upper_case() {
        let names = [
            "ab",
            "AB",
            "a_long_nAme-1",
            "a_long_name-2",
            "a_long_name-1",
            "A_LONG_name_1",
            "a_long_n",
        ];
        for (a, b) in names.iter().flat_map(|a| names.map(|b| (*a, b))) {
            let (left, right) = (
                ResourceName::parse(a).unwrap(),
                ResourceName::parse(b).unwrap(),
            );
            let expected = a.to_ascii_uppercase().cmp(&b.to_ascii_uppercase());
            assert_eq!(left.cmp(&right), expected, "{a} and {b}");
        }
    }

    /// What is hostile is refused, and the refusal shows it harmlessly.
    #[test]
    fn hostile_names_are_refused() {
        for bad in [
            "../x",
            "-rf",
            "a\"b",
            "a\nb",
            "a b",
            "",
            "x",
            "ä1",
            "a/b",
            "a;b",
            "all",
            "PROXY",
            "1a",
            &"a".repeat(300),
        ] {
            let error = ResourceName::parse(bad).unwrap_err().to_string();
            assert!(!error.contains('\n') && error.len() < 300, "{error}");
        }
        for good in ["ab", "_a", "pvc-0001", "SharedData"] {
            assert!(ResourceName::parse(good).is_ok(), "{good}");
        }
        for bad in ["-a", "a-", "a..b", ".a", "a_b", "a/b", "x"] {
            assert!(NodeName::parse(bad).is_err(), "{bad}");
        }
        for bad in ["../x", ".x", "-x", "a/b", "", "a b"] {
            assert!(FileName::parse(bad).is_err(), "{bad}");
        }
        assert!(FileName::parse("linstor_db.toml").is_ok());
        assert!(NodeName::parse("node-1.example.com").is_ok());
        assert!(StoragePoolName::parse("ab").is_err() && StoragePoolName::parse("abc").is_ok());
        assert!(ResourceName::parse("__").is_err(), "no letter");
    }
}
