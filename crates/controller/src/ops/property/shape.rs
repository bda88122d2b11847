//! What a property's value may be, and the form it is stored in.

use linstor_api::tool_option;
use linstor_model::numbers::Ranges;

use super::catalogue::Shape;

/// The value as it is stored, or the rule that it breaks.
pub fn canonical(shape: Shape, value: &str) -> Result<String, String> {
    let given = value.to_owned();
    let kept = |good: bool, rule: &str| {
        if good {
            Ok(given.clone())
        } else {
            Err(format!("This value must be {rule}."))
        }
    };
    match shape {
        Shape::Text => Ok(given),
        Shape::Line => kept(!value.contains(['\n', '\r']), "one line"),
        Shape::Options(tool) => match tool_option::parse_line(tool, value) {
            Ok(_) => Ok(given),
            Err(why) => Err(format!("Options of {} cannot be used: {why}.", tool.name)),
        },
        Shape::DrbdText => kept(
            all(value, |c| {
                c.is_ascii_alphanumeric() || "._:/+-, @%".contains(c)
            }),
            "made of letters, digits and . _ : / + - , @ % and blanks, as DRBD's configuration has no way to quote others",
        ),
        Shape::DrbdHandler => kept(
            all(value, |c| !c.is_control() && !"\"\\".contains(c)),
            "a command line without double quotes and backslashes, which DRBD's configuration cannot hold",
        ),
        Shape::NonEmpty => kept(!value.is_empty(), "not empty"),
        Shape::Integer => kept(value.parse::<i64>().is_ok(), "a whole number"),
        Shape::NotNegative => kept(value.parse::<u32>().is_ok(), "a whole number from 0 on"),
        Shape::Digits => kept(all(value, |c| c.is_ascii_digit()), "a whole number"),
        Shape::Decimal => kept(is_decimal(value), "a number, like 1.5"),
        Shape::Range(min, max) => kept(within(value, min, max), &between(min, max)),
        Shape::Float(min, max) => kept(
            value.parse::<f64>().is_ok_and(|v| v >= min && v <= max),
            &format!("a number from {min} to {max}"),
        ),
        Shape::NumberRange(min, max) => ranges(value, min, max),
        Shape::YesNo => match value.to_ascii_lowercase() {
            lower if lower == "yes" || lower == "no" => Ok(lower),
            _ => Err("This value must be either 'yes' or 'no'.".into()),
        },
        Shape::TrueFalse => match value.to_ascii_lowercase().as_str() {
            "true" | "yes" => Ok("true".into()),
            "false" | "no" => Ok("false".into()),
            _ => Err("This value must be either 'yes', 'no', 'true' or 'false'.".into()),
        },
        Shape::OneOf(words) => one_of(value, words)
            .ok_or_else(|| format!("This value must be one of: {}.", words.join(", "))),
        Shape::RangeOrOneOf(min, max, words) => match one_of(value, words) {
            Some(word) => Ok(word),
            None => kept(
                within(value, min, max),
                &format!("{} or one of: {}", between(min, max), words.join(", ")),
            ),
        },
        Shape::Name => kept(
            is_name(value),
            "a name of 3 to 48 letters, digits, '-' and '_'",
        ),
        Shape::PoolNameOrInternal => kept(
            value.is_empty() || value == linstor_api::prop::META_INTERNAL || is_name(value),
            "the name of a storage pool, '.internal', or nothing",
        ),
        Shape::Word => kept(
            all(value, |c| c.is_ascii_alphanumeric() || "_-".contains(c)),
            "made of letters, digits, '-' and '_'",
        ),
        Shape::Place => kept(
            is_place(value),
            "a volume group, thin pool, data set or directory",
        ),
        Shape::Hex16 => kept(
            value.len() == 16 && all(value, |c| c.is_ascii_hexdigit()),
            "16 hexadecimal digits",
        ),
        Shape::BlockSize => kept(is_block_size(value), "a size like 64k"),
        Shape::SizeOrPercent => kept(
            is_percent(value) || (value.len() >= 3 && is_positive(value)),
            "a number of KiB, or a percentage like 5%",
        ),
        Shape::SizeWithUnit => kept(
            is_size_with_unit(value),
            "a size like 10G, or a percentage like 5%",
        ),
    }
}

/// The kind of values as LINSTOR names it, and their pattern or limits.
pub fn info(shape: Shape) -> (&'static str, Option<String>) {
    let regex = |pattern: &str| ("regex", Some(pattern.to_owned()));
    match shape {
        Shape::Text | Shape::DrbdText | Shape::DrbdHandler => ("string", None),
        Shape::Integer | Shape::NotNegative => ("long", None),
        Shape::Range(min, max) => ("range", Some(format!("({min} - {max})"))),
        Shape::Float(min, max) => ("range_float", Some(format!("({min:?} - {max:?})"))),
        Shape::YesNo => ("boolean", Some("(?i)(?:yes|no)".to_owned())),
        Shape::TrueFalse => (
            "boolean_true_false",
            Some("(?i)(?:true|false|yes|no)".to_owned()),
        ),
        Shape::OneOf(words) => ("regex", Some(alternatives(words))),
        Shape::RangeOrOneOf(min, max, words) => (
            "numeric_or_symbol",
            Some(format!("({min} - {max}) or {}", alternatives(words))),
        ),
        Shape::Line | Shape::Options(_) => regex(".*"),
        Shape::NonEmpty => regex(".+"),
        Shape::Digits => regex("[0-9]+"),
        Shape::Decimal => regex("^[0-9]+([.][0-9]+)?"),
        Shape::NumberRange(..) => regex("[0-9]+-[0-9]+"),
        Shape::Name => regex("^[a-zA-Z0-9_][a-zA-Z0-9_-]{2,47}$"),
        Shape::PoolNameOrInternal => regex("^|.internal|[a-zA-Z0-9_][a-zA-Z0-9_-]{2,47}$"),
        Shape::Word => regex("[a-zA-Z0-9_-]+"),
        Shape::Place => regex("[a-zA-Z0-9_/-]+"),
        Shape::Hex16 => regex("[a-fA-F0-9]{16}"),
        Shape::BlockSize => regex("[1-9][0-9]*(k|K|M|G)?"),
        Shape::SizeOrPercent => regex("^100%|[0-9]{1,2}([.][0-9]*)?%|[1-9][0-9]{2,}$"),
        Shape::SizeWithUnit => {
            regex(r"(\d+(?:[.]\d+)?)\s*([kKmMgGtT](?:i[bB]|[bB])?|[bB]|[sS]|%|)")
        }
    }
}

fn alternatives(words: &[&str]) -> String {
    let mut words = words.to_vec();
    words.sort_unstable();
    format!("(?:{})", words.join("|"))
}

fn ranges(value: &str, min: u32, max: u32) -> Result<String, String> {
    let parsed = Ranges::parse(value, &(min..=max));
    parsed.map(|ranges| ranges.to_string()).map_err(|why| {
        format!("This value must be a range like 7000-7999, or several with commas: {why}.")
    })
}

fn all(value: &str, good: impl Fn(char) -> bool) -> bool {
    !value.is_empty() && value.chars().all(good)
}

fn between(min: i64, max: i64) -> String {
    format!("a whole number from {min} to {max}")
}

fn within(value: &str, min: i64, max: i64) -> bool {
    value.parse::<i64>().is_ok_and(|v| v >= min && v <= max)
}

fn one_of(value: &str, words: &[&str]) -> Option<String> {
    words.contains(&value).then(|| value.to_owned())
}

fn is_decimal(value: &str) -> bool {
    let digits = |part: &str| all(part, |c| c.is_ascii_digit());
    match value.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(value),
    }
}

fn is_positive(value: &str) -> bool {
    all(value, |c| c.is_ascii_digit()) && !value.starts_with('0')
}

fn is_name(value: &str) -> bool {
    linstor_model::name::StoragePoolName::parse(value).is_ok()
}

/// The satellite validates it again; what is never valid is refused here.
fn is_place(value: &str) -> bool {
    all(value, |c| c.is_ascii_alphanumeric() || "_-./+".contains(c))
        && !value.starts_with('-')
        && !value.split('/').any(|part| part == "." || part == "..")
}

fn is_block_size(value: &str) -> bool {
    is_positive(value.strip_suffix(['k', 'K', 'M', 'G']).unwrap_or(value))
}

fn is_percent(value: &str) -> bool {
    value.strip_suffix('%').is_some_and(|number| {
        let number = number.strip_suffix('.').unwrap_or(number);
        is_decimal(number) && number.parse::<f64>().is_ok_and(|v| v <= 100.0)
    })
}

fn is_size_with_unit(value: &str) -> bool {
    use linstor_api::size::{Rounding, Unit, parse_kib};
    is_percent(value) || parse_kib(value, Unit::KiB, Rounding::Up).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shape, what it takes and in which form it keeps that, and what it does not take.
    type Line = (
        Shape,
        &'static [(&'static str, &'static str)],
        &'static [&'static str],
    );

    const TABLE: &[Line] = &[
        (Shape::NonEmpty, &[("x", "x")], &[""]),
        (
            Shape::DrbdText,
            &[("crc32c", "crc32c")],
            &["", "a;b", "a\"b", "a}"],
        ),
        (
            Shape::DrbdHandler,
            &[("/bin/x; echo {}", "/bin/x; echo {}")],
            &["", "a\"b", "a\\b", "a\nb"],
        ),
        (Shape::Integer, &[("-5", "-5")], &["", "5.0", "x"]),
        (Shape::NotNegative, &[("0", "0")], &["", "-1"]),
        (Shape::Line, &[("", ""), ("-a b", "-a b")], &["a\nb"]),
        (Shape::Digits, &[("05", "05")], &["", "-5"]),
        (
            Shape::Decimal,
            &[("1", "1"), ("0.00001", "0.00001")],
            &["-1", "1.", ".5", ""],
        ),
        (
            Shape::Range(1, 31),
            &[("1", "1"), ("31", "31")],
            &["0", "32", "x"],
        ),
        (
            Shape::Float(0.0, 1000.0),
            &[("2.5", "2.5")],
            &["-1", "NaN", "1001"],
        ),
        (
            Shape::NumberRange(1, 65_535),
            &[("7000-7999", "7000-7999"), ("9,5-7,8", "5-9"), ("3", "3")],
            &["", "9-5", "a-b", "1-2-3", "0", "7000-70000"],
        ),
        (Shape::YesNo, &[("Yes", "yes")], &["true"]),
        (
            Shape::TrueFalse,
            &[("Yes", "true"), ("FALSE", "false")],
            &["1"],
        ),
        (
            Shape::OneOf(&["tcp", "rdma"]),
            &[("tcp", "tcp")],
            &["", "ib", "TCP"],
        ),
        (
            Shape::RangeOrOneOf(1, 32, &["off", "majority"]),
            &[("2", "2"), ("off", "off")],
            &["33"],
        ),
        (Shape::Name, &[("pool", "pool")], &["ab", "a b"]),
        (
            Shape::PoolNameOrInternal,
            &[("", ""), (".internal", ".internal")],
            &["."],
        ),
        (Shape::Word, &[("a-1_", "a-1_")], &["a/b", ""]),
        (
            Shape::Place,
            &[("vg/thin", "vg/thin"), ("/srv/pool.d", "/srv/pool.d")],
            &["-x", "a b", "/srv/../etc", "a;b", ""],
        ),
        (
            Shape::Hex16,
            &[("0123456789abcDEF", "0123456789abcDEF")],
            &["0123", "x123456789abcdef"],
        ),
        (
            Shape::BlockSize,
            &[("64k", "64k"), ("1M", "1M")],
            &["0k", "k"],
        ),
        (
            Shape::SizeOrPercent,
            &[("5%", "5%"), ("1024", "1024"), ("100%", "100%")],
            &["101%", "5"],
        ),
        (Shape::SizeWithUnit, &[("10G", "10G"), ("5%", "5%")], &["x"]),
    ];

    /// One line per shape: what is taken, in which form, and what is not.
    #[test]
    fn shapes_take_what_they_should() {
        for (shape, good, bad) in TABLE {
            for (given, stored) in *good {
                assert_eq!(
                    canonical(*shape, given).as_deref(),
                    Ok(*stored),
                    "{shape:?}"
                );
            }
            for given in *bad {
                assert!(canonical(*shape, given).is_err(), "{shape:?} {given:?}");
            }
        }
    }
}
