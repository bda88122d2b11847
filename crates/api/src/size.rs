//! Sizes as people write them: `10G`, `1.5TiB`, `8s`, `512 KiB`.
//!
//! The rules are LINSTOR's: a single letter is binary (`10G` is 10 GiB), two letters ending in `B` are decimal,
//! `s` counts sectors of 512 bytes, blanks may stand before the unit, upper and lower case mean the same. A fraction is
//! exact arithmetic on the digits, never a float: it must give whole bytes unless the caller allows rounding.

use std::fmt;

/// A unit of size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// One byte.
    Byte,
    /// 512 bytes.
    Sector,
    /// 2^10 bytes.
    KiB,
    /// 2^20 bytes.
    MiB,
    /// 2^30 bytes.
    GiB,
    /// 2^40 bytes.
    TiB,
    /// 2^50 bytes.
    PiB,
    /// 10^3 bytes.
    KB,
    /// 10^6 bytes.
    MB,
    /// 10^9 bytes.
    GB,
    /// 10^12 bytes.
    TB,
    /// 10^15 bytes.
    PB,
}

impl Unit {
    /// How many bytes one of it has.
    pub const fn bytes(self) -> u64 {
        match self {
            Unit::Byte => 1,
            Unit::Sector => 512,
            Unit::KiB => 1 << 10,
            Unit::MiB => 1 << 20,
            Unit::GiB => 1 << 30,
            Unit::TiB => 1 << 40,
            Unit::PiB => 1 << 50,
            Unit::KB => 1_000,
            Unit::MB => 1_000_000,
            Unit::GB => 1_000_000_000,
            Unit::TB => 1_000_000_000_000,
            Unit::PB => 1_000_000_000_000_000,
        }
    }

    fn parse(word: &str) -> Option<Unit> {
        Some(match word.to_ascii_lowercase().as_str() {
            "b" => Unit::Byte,
            "s" => Unit::Sector,
            "k" | "kib" => Unit::KiB,
            "m" | "mib" => Unit::MiB,
            "g" | "gib" => Unit::GiB,
            "t" | "tib" => Unit::TiB,
            "p" | "pib" => Unit::PiB,
            "kb" => Unit::KB,
            "mb" => Unit::MB,
            "gb" => Unit::GB,
            "tb" => Unit::TB,
            "pb" => Unit::PB,
            _ => return None,
        })
    }
}

/// What to do with a size that is no whole number of the wanted unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// Refuse it.
    Refuse,
    /// Take the next larger one.
    Up,
    /// Take the next smaller one.
    Down,
}

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SizeError {
    /// Nothing was given.
    Empty,
    /// It does not begin with a number (negative sizes end up here too).
    NotANumber(String),
    /// The number has no unit that is known.
    UnknownUnit(String),
    /// It is not a whole number of the wanted unit, and rounding is not allowed.
    NotWhole(String),
    /// It is larger than any size can be.
    TooLarge(String),
}

impl fmt::Display for SizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizeError::Empty => {
                f.write_str("the size is empty; give a number and a unit, like 10G")
            }
            SizeError::NotANumber(text) => write!(
                f,
                "'{}' is not a size: it must begin with a number, like 10G",
                text.escape_debug()
            ),
            SizeError::UnknownUnit(unit) => write!(
                f,
                "'{}' is not a unit of size; known are B, s, K, kB, KiB, M, MB, MiB, G, GB, GiB, T, TB, TiB, P, PB, PiB",
                unit.escape_debug()
            ),
            SizeError::NotWhole(text) => write!(
                f,
                "'{}' is not a whole number of bytes or of the unit that is needed",
                text.escape_debug()
            ),
            SizeError::TooLarge(text) => {
                write!(
                    f,
                    "'{}' is larger than any size can be",
                    text.escape_debug()
                )
            }
        }
    }
}

impl std::error::Error for SizeError {}

/// So many digits are read; more cannot be a size.
const DIGITS_MAX: usize = 30;

/// The size in KiB; a number without a unit counts `default`.
///
/// With [`Rounding::Refuse`] the size must be whole KiB.
pub fn parse_kib(text: &str, default: Unit, rounding: Rounding) -> Result<u64, SizeError> {
    parse_as(text, default, Unit::KiB, rounding)
}

/// The size in bytes; a number without a unit counts `default`.
pub fn parse_bytes(text: &str, default: Unit, rounding: Rounding) -> Result<u64, SizeError> {
    parse_as(text, default, Unit::Byte, rounding)
}

fn parse_as(text: &str, default: Unit, wanted: Unit, rounding: Rounding) -> Result<u64, SizeError> {
    let given = text.trim();
    let too_large = || SizeError::TooLarge(given.to_owned());
    if given.is_empty() {
        return Err(SizeError::Empty);
    }
    let number_len = given
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(given.len());
    let (number, unit) = given.split_at(number_len);
    let unit = match unit.trim_start() {
        "" => default,
        word => Unit::parse(word).ok_or_else(|| match number {
            "" => SizeError::NotANumber(given.to_owned()),
            _ => SizeError::UnknownUnit(word.to_owned()),
        })?,
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let digits_only = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits_only(whole) || !fraction.is_none_or(digits_only) {
        return Err(SizeError::NotANumber(given.to_owned()));
    }
    // Half a sector is no size, whatever it is in bytes.
    let fraction = fraction.unwrap_or("").trim_end_matches('0');
    if unit == Unit::Sector && !fraction.is_empty() {
        return Err(SizeError::NotWhole(given.to_owned()));
    }
    if whole.len() + fraction.len() > DIGITS_MAX {
        return Err(too_large());
    }
    // number = numerator / 10^digits, so size = numerator * unit / (10^digits * wanted), all in integers.
    let numerator: u128 = format!("{whole}{fraction}")
        .parse()
        .map_err(|_| too_large())?;
    let dividend = numerator
        .checked_mul(u128::from(unit.bytes()))
        .ok_or_else(too_large)?;
    let divisor = 10_u128
        .checked_pow(fraction.len() as u32)
        .and_then(|scale| scale.checked_mul(u128::from(wanted.bytes())))
        .ok_or_else(too_large)?;
    let quotient = match (dividend % divisor == 0, rounding) {
        (true, _) | (false, Rounding::Down) => dividend / divisor,
        (false, Rounding::Up) => dividend / divisor + 1,
        (false, Rounding::Refuse) => return Err(SizeError::NotWhole(given.to_owned())),
    };
    // Sizes travel as signed 64-bit numbers.
    match i64::try_from(quotient) {
        Ok(size) => Ok(size as u64),
        Err(_) => Err(too_large()),
    }
}

/// A size in KiB as LINSTOR's tables show it: the largest binary unit that it reaches, two decimals where needed.
pub fn format_kib(size_kib: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut index = 0;
    while index + 1 < UNITS.len() && size_kib >> (10 * (index + 1)) > 0 {
        index += 1;
    }
    let magnitude = 1_u64 << (10 * index);
    if size_kib.is_multiple_of(magnitude) {
        format!("{} {}", size_kib / magnitude, UNITS[index])
    } else {
        format!("{:.2} {}", size_kib as f64 / magnitude as f64, UNITS[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(text: &str) -> Result<u64, SizeError> {
        parse_bytes(text, Unit::KiB, Rounding::Refuse)
    }

    /// Binary, decimal and single-letter units, blanks and exact fractions.
    #[test]
    fn sizes_are_read_as_linstor_reads_them() {
        for (text, number, unit) in [
            ("512KiB", 512, Unit::KiB),
            ("256MiB", 256, Unit::MiB),
            ("100GiB", 100, Unit::GiB),
            ("2 TiB", 2, Unit::TiB),
            ("1.5TiB", 1536, Unit::GiB),
            ("0.0009746551513671875TiB", 1022, Unit::MiB),
            ("0.00097560882568359375 t", 1023, Unit::MiB),
            ("1KB", 1, Unit::KB),
            ("1MB", 1, Unit::MB),
            ("10gb", 10, Unit::GB),
            ("1.5TB", 1500, Unit::GB),
            ("0.000975609TB", 975_609, Unit::KB),
            ("1024k", 1024, Unit::KiB),
            ("64M", 64, Unit::MiB),
            ("10G", 10, Unit::GiB),
            ("1 t", 1, Unit::TiB),
            ("3P", 3, Unit::PiB),
            ("8s", 8, Unit::Sector),
            ("16 S", 16, Unit::Sector),
            ("0GiB", 0, Unit::GiB),
            ("999999 GiB", 999_999, Unit::GiB),
            ("1024", 1024, Unit::KiB),
            ("7b", 7, Unit::Byte),
        ] {
            assert_eq!(bytes(text), Ok(number * unit.bytes()), "{text}");
        }
        assert_eq!(
            parse_bytes("256", Unit::MiB, Rounding::Refuse),
            Ok(256 << 20)
        );
    }

    /// What is no whole number of bytes or KiB is refused, or rounded on request.
    #[test]
    fn fractions_are_rounded_only_on_request() {
        assert!(matches!(bytes("5.3GiB"), Err(SizeError::NotWhole(_))));
        let up = parse_bytes("5.3GiB", Unit::KiB, Rounding::Up);
        assert_eq!(up, Ok(5_690_831_668));
        let down = parse_bytes("5.3GiB", Unit::KiB, Rounding::Down);
        assert_eq!(down, Ok(5_690_831_667));
        assert!(matches!(
            parse_kib("1s", Unit::KiB, Rounding::Refuse),
            Err(SizeError::NotWhole(_))
        ));
        assert_eq!(parse_kib("1s", Unit::KiB, Rounding::Up), Ok(1));
        assert_eq!(parse_kib("100MB", Unit::KiB, Rounding::Up), Ok(97_657));
        assert_eq!(
            parse_kib("10.5", Unit::GiB, Rounding::Refuse),
            Ok(11_010_048)
        );
    }

    /// Every refusal says what is wrong.
    #[test]
    fn nonsense_is_refused() {
        use expect_test::expect;
        let refusals: Vec<String> = [
            "",
            " ",
            "GiB",
            "-100GiB",
            "1.5s",
            "what?",
            "50%",
            "1.",
            ".5",
            "1.2.3",
            "10Q",
            "8388608PiB",
            "9999999999999999999999999999999999",
        ]
        .iter()
        .map(|text| format!("{text:?}: {}", bytes(text).unwrap_err()))
        .collect();
        expect![[r#"
            "": the size is empty; give a number and a unit, like 10G
            " ": the size is empty; give a number and a unit, like 10G
            "GiB": 'GiB' is not a size: it must begin with a number, like 10G
            "-100GiB": '-100GiB' is not a size: it must begin with a number, like 10G
            "1.5s": '1.5s' is not a whole number of bytes or of the unit that is needed
            "what?": 'what?' is not a size: it must begin with a number, like 10G
            "50%": '%' is not a unit of size; known are B, s, K, kB, KiB, M, MB, MiB, G, GB, GiB, T, TB, TiB, P, PB, PiB
            "1.": '1.' is not a size: it must begin with a number, like 10G
            ".5": '.5' is not a size: it must begin with a number, like 10G
            "1.2.3": '1.2.3' is not a size: it must begin with a number, like 10G
            "10Q": 'Q' is not a unit of size; known are B, s, K, kB, KiB, M, MB, MiB, G, GB, GiB, T, TB, TiB, P, PB, PiB
            "8388608PiB": '8388608PiB' is larger than any size can be
            "9999999999999999999999999999999999": '9999999999999999999999999999999999' is larger than any size can be"#]]
        .assert_eq(&refusals.join("\n"));
    }

    /// Tables show whole numbers plainly and others with two decimals.
    #[test]
    fn sizes_are_shown_in_the_largest_unit_they_reach() {
        for (size_kib, text) in [
            (0, "0 KiB"),
            (1023, "1023 KiB"),
            (1024, "1 MiB"),
            (1536, "1.50 MiB"),
            (10 << 20, "10 GiB"),
            ((10 << 20) + 260, "10.00 GiB"),
            (5 << 40, "5 PiB"),
            (u64::MAX >> 1, "8388608.00 PiB"),
        ] {
            assert_eq!(format_kib(size_kib), text);
        }
    }

    proptest! {
        /// No text makes the parser panic.
        #[test]
        fn the_parser_never_panics(text in "\\PC*") {
            for rounding in [Rounding::Refuse, Rounding::Up, Rounding::Down] {
                let _ = parse_bytes(&text, Unit::KiB, rounding);
                let _ = parse_kib(&text, Unit::GiB, rounding);
            }
        }

        /// Texts that look like sizes do not either, and rounding up is never below rounding down.
        #[test]
        fn sizes_round_in_order(text in "[0-9]{1,33}([.][0-9]{1,33})? ?[kKmMgGtTpP]?(i?[bB])?") {
            let up = parse_kib(&text, Unit::GiB, Rounding::Up);
            let down = parse_kib(&text, Unit::GiB, Rounding::Down);
            if let (Ok(up), Ok(down)) = (up, down) {
                prop_assert!(up == down || up == down + 1);
            }
        }
    }
}
