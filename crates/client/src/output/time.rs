//! Points in time as tables show them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Milliseconds since 1970 as date and time in the local time zone; empty if they are out of range.
pub fn local(milliseconds: i64) -> String {
    in_zone(milliseconds, TimeZone::system())
}

fn in_zone(milliseconds: i64, zone: TimeZone) -> String {
    match Timestamp::from_millisecond(milliseconds) {
        Ok(time) => time
            .to_zoned(zone)
            .strftime("%Y-%m-%d %H:%M:%S")
            .to_string(),
        Err(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Times are printed to the second.
    #[test]
    fn times_have_seconds() {
        assert_eq!(
            in_zone(1_700_000_000_999, TimeZone::UTC),
            "2023-11-14 22:13:20"
        );
        assert_eq!(in_zone(i64::MAX, TimeZone::UTC), "");
    }
}
