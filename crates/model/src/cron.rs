//! Times of schedules: the five fields of Unix' cron.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest expression, in bytes.
const BYTES_MAX: usize = 256;
/// The next time is at most so many years away: 29 February comes every four years, and once in eight.
const YEARS_MAX: i64 = 8;

const MONTHS: &[&str] = &[
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];
const WEEKDAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A cron expression: minute, hour, day of the month, month, day of the week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both fields of days are restricted: one of them is enough.
    any_day: bool,
}

/// A minute of the calendar, without a time zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Minute {
    /// Year.
    pub year: i64,
    /// Month, from 1.
    pub month: u32,
    /// Day of the month, from 1.
    pub day: u32,
    /// Hour.
    pub hour: u32,
    /// Minute.
    pub minute: u32,
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Cron, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("it has more than {BYTES_MAX} bytes"));
        }
        if text.trim_start().starts_with('@') {
            return Err("nicknames such as @daily are not supported".to_owned());
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(format!(
                "it has {} fields, but five are needed: minute, hour, day of the month, month, day of the week",
                fields.len()
            ));
        };
        let mut weekday_set = field("day of the week", weekdays, 0, 7, WEEKDAYS, 0)?;
        // Both 0 and 7 are Sunday.
        weekday_set |= weekday_set >> 7 & 1;
        let cron = Cron {
            text: fields.join(" "),
            minutes: field("minute", minutes, 0, 59, &[], 0)?,
            hours: field("hour", hours, 0, 23, &[], 0)?,
            days: field("day of the month", days, 1, 31, &[], 0)?,
            months: field("month", months, 1, 12, MONTHS, 1)?,
            weekdays: weekday_set,
            any_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        };
        let never = Minute {
            year: 2000,
            month: 1,
            day: 1,
            hour: 0,
            minute: 0,
        };
        match cron.next_after(never) {
            Some(_) => Ok(cron),
            None => Err("no day has this date".to_owned()),
        }
    }

    /// The expression, with single blanks.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The first minute after the given one at which it is time.
    pub fn next_after(&self, after: Minute) -> Option<Minute> {
        let Minute {
            mut year,
            mut month,
            mut day,
            ..
        } = after;
        // Of the first day only what is left of it.
        let mut earliest = Some((after.hour, after.minute));
        while year <= after.year + YEARS_MAX {
            if self.is_day(year, month, day) {
                for hour in (0..24).filter(|hour| self.hours >> hour & 1 == 1) {
                    for minute in (0..60).filter(|minute| self.minutes >> minute & 1 == 1) {
                        if earliest.is_none_or(|earliest| (hour, minute) > earliest) {
                            return Some(Minute {
                                year,
                                month,
                                day,
                                hour,
                                minute,
                            });
                        }
                    }
                }
            }
            earliest = None;
            day += 1;
            if day > days_in(year, month) {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        None
    }

    fn is_day(&self, year: i64, month: u32, day: u32) -> bool {
        let in_month = self.days >> day & 1 == 1;
        let in_week = self.weekdays >> weekday(year, month, day) & 1 == 1;
        let matches = match self.any_day {
            true => in_month || in_week,
            false => in_month && in_week,
        };
        self.months >> month & 1 == 1 && matches
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for Cron {
    type Error = String;
    fn try_from(given: String) -> Result<Self, String> {
        Cron::parse(&given)
    }
}

impl From<Cron> for String {
    fn from(cron: Cron) -> String {
        cron.text
    }
}

/// The values of a field as a set of bits. `names` stand for the numbers from `first_name` on.
fn field(
    what: &str,
    text: &str,
    min: u32,
    max: u32,
    names: &[&str],
    first_name: u32,
) -> Result<u64, String> {
    let value = |text: &str| -> Result<u32, String> {
        let name = (first_name..).zip(names);
        let mut named = name.filter(|(_, name)| name.eq_ignore_ascii_case(text));
        let number = match named.next() {
            Some((number, _)) => Some(number),
            None if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            None => None,
        };
        let shown = text.escape_debug();
        match number {
            Some(number) if (min..=max).contains(&number) => Ok(number),
            Some(_) => Err(format!(
                "the value '{shown}' of the {what} is not in the range [{min}, {max}]"
            )),
            None => Err(format!("'{shown}' is not a value of the {what}")),
        }
    };
    let mut set = 0;
    for item in text.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => {
                let number = step.parse::<u32>().ok().filter(|step| *step > 0);
                let bad = || format!("'{}' is not a step of the {what}", step.escape_debug());
                (range, Some(number.ok_or_else(bad)?))
            }
            None => (item, None),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((from, to)) => (value(from)?, value(to)?),
            None => {
                let from = value(range)?;
                (from, if step.is_some() { max } else { from })
            }
        };
        if from > to {
            return Err(format!(
                "the range '{}' of the {what} ends before it begins",
                range.escape_debug()
            ));
        }
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        for number in (from..=to).step_by(step) {
            set |= 1 << number;
        }
    }
    Ok(set)
}

fn days_in(year: i64, month: u32) -> u32 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// 0 is Sunday (Sakamoto's method).
fn weekday(year: i64, month: u32, day: u32) -> i64 {
    const OFFSETS: [i64; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
    let year = if month < 3 { year - 1 } else { year };
    let offset = OFFSETS[month as usize - 1];
    (year + year / 4 - year / 100 + year / 400 + offset + i64::from(day)).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Minute {
        let numbers: Vec<i64> = text
            .split(['-', ' ', ':'])
            .map(|part| part.parse().unwrap())
            .collect();
        let small = |index: usize| u32::try_from(numbers[index]).unwrap();
        Minute {
            year: numbers[0],
            month: small(1),
            day: small(2),
            hour: small(3),
            minute: small(4),
        }
    }

    /// The next time of each sort of field.
    #[test]
    fn the_next_time_is_found() {
        for (cron, after, next) in [
            ("0 3 * * *", "2026-11-27 02:59", "2026-11-27 03:00"),
            ("0 3 * * *", "2026-11-27 03:00", "2026-11-28 03:00"),
            ("0 */2 * * *", "2026-12-31 22:00", "2027-01-01 00:00"),
            ("30 * * * *", "2026-11-27 03:30", "2026-11-27 04:30"),
            ("5/20 8-9 * * *", "2026-11-27 08:05", "2026-11-27 08:25"),
            ("0 0 29 2 *", "2026-11-27 00:00", "2028-02-29 00:00"),
            ("0 0 29 FEB *", "2096-03-01 00:00", "2104-02-29 00:00"),
            // 27 November 2026 is a Friday.
            ("0 0 * * 7", "2026-11-27 00:00", "2026-11-29 00:00"),
            ("0 0 * * sun", "2026-11-27 00:00", "2026-11-29 00:00"),
            ("0 0 * * MON-WED", "2026-11-27 00:00", "2026-11-30 00:00"),
            ("0 0 1,15 * 6", "2026-11-27 00:00", "2026-11-28 00:00"),
            ("0 0 */10 * *", "2026-11-27 00:00", "2026-12-01 00:00"),
        ] {
            let parsed = Cron::parse(cron).unwrap();
            assert_eq!(parsed.next_after(at(after)), Some(at(next)), "{cron}");
        }
    }

    /// What is no time is refused with the reason.
    #[test]
    fn nonsense_is_refused() {
        for (cron, reason) in [
            ("nonsense", "it has 1 fields"),
            ("* * * * * *", "it has 6 fields"),
            ("@daily", "nicknames"),
            (
                "61 * * * *",
                "'61' of the minute is not in the range [0, 59]",
            ),
            ("* * 0 * *", "range [1, 31]"),
            ("* * * * MAR", "'MAR' is not a value of the day of the week"),
            ("*/0 * * * *", "'0' is not a step"),
            ("5-1 * * * *", "ends before it begins"),
            ("+1 * * * *", "'+1' is not a value"),
            (", * * * *", "'' is not a value"),
            ("0 0 30 2 *", "no day"),
            (&"*,".repeat(200), "bytes"),
        ] {
            let error = Cron::parse(cron).unwrap_err();
            assert!(error.contains(reason), "{cron}: {error}");
        }
    }
}
