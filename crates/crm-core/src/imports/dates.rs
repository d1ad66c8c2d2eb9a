//! Days and instants in an import: ISO 8601, or the one notation that was named for the file.
use std::fmt::Write;

use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, ParseResult, TimeZone, Utc,
    format::{DelayedFormat, StrftimeItems},
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// A notation of days in strftime's terms, such as `%m/%d/%Y`; it names day, month and year, perhaps the time too.
///
/// A day or month of one digit is read as well as one of two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DateFormat {
    text: String,
    has_time: bool,
}

/// A notation from which no day can be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("“{0}” is no date format: expected strftime notation with day, month and year, such as %m/%d/%Y")]
pub struct DateFormatError(String);

impl TryFrom<String> for DateFormat {
    type Error = DateFormatError;

    fn try_from(text: String) -> Result<Self, DateFormatError> {
        const LONGEST: usize = 64;
        let short = text.len() <= LONGEST;
        if short && probes().all(|probe| reads_back(&text, &probe.date(), NaiveDate::format, NaiveDate::parse_from_str))
        {
            Ok(Self { text, has_time: false })
        } else if short
            && probes().all(|probe| reads_back(&text, &probe, NaiveDateTime::format, NaiveDateTime::parse_from_str))
        {
            Ok(Self { text, has_time: true })
        } else {
            Err(DateFormatError(super::cut(&text, LONGEST)))
        }
    }
}

impl From<DateFormat> for String {
    fn from(format: DateFormat) -> Self {
        format.text
    }
}

impl DateFormat {
    /// The notation as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn read(&self, cell: &str) -> Option<NaiveDateTime> {
        if self.has_time {
            NaiveDateTime::parse_from_str(cell, &self.text).ok()
        } else {
            NaiveDate::parse_from_str(cell, &self.text).ok().map(midnight)
        }
    }
}

/// Reads a day by the format, or as `2026-03-01` without one. `None` for anything else, and for years before 1000,
/// which are years of two digits read by a notation that wants four.
pub fn read_day(cell: &str, format: Option<&DateFormat>) -> Option<NaiveDate> {
    let day = match format {
        Some(format) => format.read(cell)?.date(),
        None => NaiveDate::parse_from_str(cell, "%Y-%m-%d").ok()?,
    };
    is_plausible(day).then_some(day)
}

/// Reads an instant: RFC 3339, or a day (midnight) or local time in `zone`, by the format or in ISO 8601 without one.
///
/// A local time that occurs twice is the earlier; one that a change of clocks left out is read with the offset that
/// held before the change (RFC 5545, 3.3.5).
pub fn read_instant(cell: &str, format: Option<&DateFormat>, zone: Tz) -> Option<DateTime<Utc>> {
    if let Ok(instant) = DateTime::parse_from_rfc3339(cell) {
        return is_plausible(instant.date_naive()).then_some(instant.to_utc());
    }
    let local = match format {
        Some(format) => format.read(cell)?,
        None => read_iso_local(cell)?,
    };
    if is_plausible(local.date()) { to_instant(local, zone) } else { None }
}

fn read_iso_local(cell: &str) -> Option<NaiveDateTime> {
    const NOTATIONS: [&str; 4] = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let with_time = NOTATIONS.iter().find_map(|notation| NaiveDateTime::parse_from_str(cell, notation).ok());
    with_time.or_else(|| NaiveDate::parse_from_str(cell, "%Y-%m-%d").ok().map(midnight))
}

fn to_instant(local: NaiveDateTime, zone: Tz) -> Option<DateTime<Utc>> {
    if let Some(instant) = zone.from_local_datetime(&local).earliest() {
        return Some(instant.to_utc());
    }
    let day_before = local.checked_sub_days(Days::new(1))?;
    let offset = zone.offset_from_local_datetime(&day_before).earliest()?.fix();
    Some(offset.from_local_datetime(&local).single()?.to_utc())
}

fn midnight(day: NaiveDate) -> NaiveDateTime {
    day.and_time(NaiveTime::MIN)
}

fn is_plausible(day: NaiveDate) -> bool {
    (1000..=9999).contains(&day.year())
}

/// Two times that no notation short of day, month and year can tell from others.
fn probes() -> impl Iterator<Item = NaiveDateTime> {
    [(2023, 11, 25, 14), (2024, 2, 3, 9)]
        .into_iter()
        .filter_map(|(year, month, day, hour)| NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(hour, 0, 0))
}

/// Whether a value written in the notation is read as the same value.
fn reads_back<T: PartialEq>(
    notation: &str,
    probe: &T,
    format: for<'n> fn(&T, &'n str) -> DelayedFormat<StrftimeItems<'n>>,
    parse: fn(&str, &str) -> ParseResult<T>,
) -> bool {
    let mut text = String::new();
    // Writing fails where the notation names what the value lacks; `to_string` would panic.
    let is_written = write!(text, "{}", format(probe, notation)).is_ok();
    is_written && parse(&text, notation).is_ok_and(|read| read == *probe)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn format(text: &str) -> Option<DateFormat> {
        (!text.is_empty()).then(|| DateFormat::try_from(text.to_owned()).unwrap())
    }

    #[test]
    fn a_format_must_give_the_day_back() {
        for text in ["%m/%d/%Y", "%d.%m.%y", "%F", "%D", "%d %b %Y", "%-d/%-m/%Y", "%Y%m%d", "%m/%d/%Y %H:%M", "%c"] {
            assert!(DateFormat::try_from(text.to_owned()).is_ok(), "{text}");
        }
        for text in ["", "%", "%Q", "%m/%d", "%Y", "%H:%M", "MM/DD/YYYY", "%+", "%s%Q", "%d/%d/%Y", &"%F".repeat(40)] {
            assert!(DateFormat::try_from(text.to_owned()).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<DateFormat>("\"MM/DD\"").unwrap_err().to_string().contains("strftime"));
        assert_eq!(serde_json::to_string(&format("%m/%d/%Y")).unwrap(), "\"%m/%d/%Y\"");
    }

    #[test]
    fn days_are_read_by_the_format_alone() {
        let cases = [
            ("2026-03-01", "", Some("2026-03-01")),
            ("2026-3-1", "", Some("2026-03-01")),
            ("3/1/2017", "%m/%d/%Y", Some("2017-03-01")),
            ("03/01/2017", "%m/%d/%Y", Some("2017-03-01")),
            ("3/1/2017", "%d/%m/%Y", Some("2017-01-03")),
            ("1.3.17", "%d.%m.%y", Some("2017-03-01")),
            ("2/29/2024", "%m/%d/%Y", Some("2024-02-29")),
            ("3/1/2017 14:30", "%m/%d/%Y %H:%M", Some("2017-03-01")),
            ("1 Mar 2017", "%d %b %Y", Some("2017-03-01")),
            ("2/29/2023", "%m/%d/%Y", None),
            ("25/10/2016", "%m/%d/%Y", None),
            ("3/1/17", "%m/%d/%Y", None),
            ("2017-03-01", "%m/%d/%Y", None),
            ("3/1/2017", "", None),
            ("3/1/2017 14:30", "%m/%d/%Y", None),
            ("0001-01-01", "", None),
            ("2026-03-01T00:00:00Z", "", None),
            ("yesterday", "", None),
        ];
        for (cell, notation, wanted) in cases {
            let found = read_day(cell, format(notation).as_ref()).map(|day| day.to_string());
            assert_eq!(found.as_deref(), wanted, "{cell} {notation}");
        }
    }

    #[test]
    fn instants_without_an_offset_are_local() {
        let cases = [
            ("2026-03-01T10:00:00+02:00", "", Tz::UTC, Some("2026-03-01T08:00:00+00:00")),
            ("2026-03-01T10:00:00Z", "%m/%d/%Y", Tz::UTC, Some("2026-03-01T10:00:00+00:00")),
            ("2026-03-01", "", Tz::Europe__Berlin, Some("2026-02-28T23:00:00+00:00")),
            ("2026-07-01 09:30:15", "", Tz::Europe__Berlin, Some("2026-07-01T07:30:15+00:00")),
            ("2026-07-01T09:30", "", Tz::America__New_York, Some("2026-07-01T13:30:00+00:00")),
            ("3/1/2017", "%m/%d/%Y", Tz::America__New_York, Some("2017-03-01T05:00:00+00:00")),
            ("3/1/2017 14:30", "%m/%d/%Y %H:%M", Tz::UTC, Some("2017-03-01T14:30:00+00:00")),
            // Twice: the earlier. Left out: by the offset before, also where midnight or a whole day is missing.
            ("2026-10-25 02:30", "", Tz::Europe__Berlin, Some("2026-10-25T00:30:00+00:00")),
            ("2026-03-29 02:30", "", Tz::Europe__Berlin, Some("2026-03-29T01:30:00+00:00")),
            ("2018-11-04", "", Tz::America__Sao_Paulo, Some("2018-11-04T03:00:00+00:00")),
            ("2011-12-30", "", Tz::Pacific__Apia, Some("2011-12-30T10:00:00+00:00")),
            ("3/1/2017", "", Tz::UTC, None),
            ("2026-13-01", "", Tz::UTC, None),
            ("0001-01-01T00:00:00Z", "", Tz::UTC, None),
        ];
        for (cell, notation, zone, wanted) in cases {
            let found = read_instant(cell, format(notation).as_ref(), zone).map(|instant| instant.to_rfc3339());
            assert_eq!(found.as_deref(), wanted, "{cell} {notation} {zone}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(notation in "(%[a-zA-Z%:.+#-]|[/. ]|\\PC){0,6}", cell in "[-+0-9/:. TZ]{0,30}") {
            let format = DateFormat::try_from(notation).ok();
            if let Some(day) = read_day(&cell, format.as_ref()) {
                prop_assert!((1000..=9999).contains(&day.year()));
            }
            read_instant(&cell, format.as_ref(), Tz::Pacific__Apia);
        }
    }
}
