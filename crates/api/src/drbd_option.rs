//! DRBD's options: which section of a resource file they belong to, and which values they take.
//!
//! An option `x` of section `Net` is the property `DrbdOptions/Net/x` and, on the command line, `--x` and `--unset-x`.

use std::fmt;

use crate::prop;
use crate::size::{self, Rounding, SizeError, Unit};

/// The section of a resource file an option stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// `options { }`.
    Resource,
    /// `net { }`.
    Net,
    /// `disk { }`.
    Disk,
    /// `disk { }` of a connection.
    PeerDevice,
    /// `handlers { }`.
    Handlers,
}

impl Section {
    /// The namespace of its options' properties.
    pub const fn namespace(self) -> &'static str {
        match self {
            Section::Resource => prop::DRBD_RESOURCE_OPTIONS,
            Section::Net => prop::DRBD_NET_OPTIONS,
            Section::Disk => prop::DRBD_DISK_OPTIONS,
            Section::PeerDevice => prop::DRBD_PEER_DEVICE_OPTIONS,
            Section::Handlers => prop::DRBD_HANDLER_OPTIONS,
        }
    }

    /// The section of a resource file.
    pub const fn in_file(self) -> &'static str {
        match self {
            Section::Resource => "options",
            Section::Net => "net",
            Section::Disk | Section::PeerDevice => "disk",
            Section::Handlers => "handlers",
        }
    }
}

/// Which values an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Domain {
    /// `yes` or `no`.
    Boolean,
    /// Any text.
    Text,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A number from the first to the second.
    Number(u64, u64),
    /// A number from the first to the second, or one of these words.
    NumberOr(u64, u64, &'static [&'static str]),
    /// A number from the first to the second, counted in this unit; may be written with another one (`10M`).
    Size(u64, u64, Unit),
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DrbdOption {
    /// Its name in a resource file.
    pub name: &'static str,
    /// Its section.
    pub section: Section,
    /// Its values.
    pub domain: Domain,
    /// What DRBD uses while it is not set; empty when that depends.
    pub default: &'static str,
    /// The unit of its values, as drbdsetup names it; empty when it has none.
    pub unit: &'static str,
    /// DRBD 8.4 has it, too, and in a section of the same name.
    pub drbd84: bool,
}

/// Where a set of options can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Controller, resource group, resource definition: every option.
    Resource,
    /// Volume group, volume definition: options of a disk.
    Volume,
    /// Node connection, resource connection: options of a connection.
    Connection,
}

/// Why a value does not fit an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueError {
    /// It is none of these words.
    NotOneOf(String, &'static [&'static str]),
    /// It is no number in this range.
    OutOfRange(String, u64, u64),
    /// It is no size.
    Size(SizeError),
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueError::NotOneOf(given, words) => {
                write!(
                    f,
                    "'{}' is not one of {}",
                    given.escape_debug(),
                    words.join(", ")
                )
            }
            ValueError::OutOfRange(given, min, max) => {
                write!(
                    f,
                    "'{}' is no number from {min} to {max}",
                    given.escape_debug()
                )
            }
            ValueError::Size(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ValueError {}

const YES_NO: &[&str] = &["yes", "no"];

impl DrbdOption {
    /// The key of its property.
    pub fn key(&self) -> String {
        format!("{}/{}", self.section.namespace(), self.name)
    }

    /// Its name with the section of a resource file that it is in, as nodes report the ones that they do not have.
    pub fn in_file(&self) -> String {
        format!("{}/{}", self.section.in_file(), self.name)
    }

    /// Whether it can be set there.
    pub fn is_in(&self, scope: Scope) -> bool {
        match scope {
            Scope::Resource => true,
            // Whether there is a bitmap at all belongs to the volume, although DRBD keeps it per peer.
            Scope::Volume => self.section == Section::Disk || self.name == "bitmap",
            Scope::Connection => matches!(self.section, Section::Net | Section::PeerDevice),
        }
    }

    /// The value as it is stored, from the way a command line gives it: sizes may have any unit (bytes without one)
    /// and are counted in the option's own.
    pub fn parse(&self, given: &str) -> Result<String, ValueError> {
        let Domain::Size(min, max, unit) = self.domain else {
            return self.check(given);
        };
        let bytes =
            size::parse_bytes(given, Unit::Byte, Rounding::Refuse).map_err(ValueError::Size)?;
        // A little too much is cut as in LINSTOR; but "off" must not come out of a number that is not zero.
        let count = bytes / unit.bytes();
        if count == 0 && bytes > 0 {
            return Err(ValueError::Size(SizeError::NotWhole(given.to_owned())));
        }
        in_range(given, Some(count), min, max)
    }

    /// The value as it is stored, from the way it stands in a property: numbers without units, booleans in any case.
    pub fn check(&self, given: &str) -> Result<String, ValueError> {
        let not_one_of = |words| Err(ValueError::NotOneOf(given.to_owned(), words));
        match self.domain {
            Domain::Text => Ok(given.to_owned()),
            Domain::Boolean => match given.to_ascii_lowercase() {
                word if YES_NO.contains(&word.as_str()) => Ok(word),
                _ => not_one_of(YES_NO),
            },
            Domain::OneOf(words) if words.contains(&given) => Ok(given.to_owned()),
            Domain::OneOf(words) => not_one_of(words),
            Domain::NumberOr(_, _, words) if words.contains(&given) => Ok(given.to_owned()),
            Domain::Number(min, max)
            | Domain::NumberOr(min, max, _)
            | Domain::Size(min, max, _) => in_range(given, given.parse().ok(), min, max),
        }
    }
}

fn in_range(given: &str, number: Option<u64>, min: u64, max: u64) -> Result<String, ValueError> {
    match number {
        Some(number) if (min..=max).contains(&number) => Ok(number.to_string()),
        _ => Err(ValueError::OutOfRange(given.to_owned(), min, max)),
    }
}

/// The option of a property's key.
pub fn by_key(key: &str) -> Option<&'static DrbdOption> {
    let (namespace, name) = key.rsplit_once('/')?;
    ALL.iter()
        .find(|option| option.name == name && option.section.namespace() == namespace)
}

/// Whether a section of a file for DRBD 8.4 may have this option: one that it does not know would make it refuse the whole
/// file. There, options of peer devices are options of disks. `size` is no option of LINSTOR's, which writes it by itself.
pub fn is_in_drbd84(section: Section, name: &str) -> bool {
    if section == Section::Disk && name == "size" {
        return true;
    }
    let held = |option: &DrbdOption| {
        option.section == section
            || (section == Section::Disk && option.section == Section::PeerDevice)
    };
    ALL.iter()
        .any(|option| option.drbd84 && option.name == name && held(option))
}

macro_rules! options {
    ($($name:literal => $section:ident, $domain:expr $(, $default:literal $($unit:literal)?)? $(, in $old:tt)?;)+) => {
        /// Every option, by section and name. Those of 8.4 are what `drbdsetup-84 xml-help` lists, handlers what
        /// drbd.conf-8.4(5) does; 8.4 has `fencing` in another section, where LINSTOR's property does not put it.
        pub const ALL: &[DrbdOption] = &[
            $(DrbdOption {
                name: $name,
                section: Section::$section,
                domain: $domain,
                default: concat!($($default)?),
                unit: concat!($($($unit)?)?),
                drbd84: !stringify!($($old)?).is_empty(),
            },)+
        ];
    };
}

use Domain::{Boolean, Number, NumberOr, OneOf, Size, Text};

options! {
    "auto-promote" => Resource, Boolean, "yes";
    "auto-promote-timeout" => Resource, Number(0, 600), "20" "1/10 seconds";
    "cpu-mask" => Resource, Text, in 84;
    "drbd8-api-compatibility" => Resource, Boolean, "no";
    "max-io-depth" => Resource, Size(4, 4294967295, Unit::Byte), "8000";
    "on-no-data-accessible" => Resource, OneOf(&["io-error", "suspend-io"]), in 84;
    "on-no-quorum" => Resource, OneOf(&["io-error", "suspend-io"]);
    "on-suspended-primary-outdated" => Resource, OneOf(&["disconnect", "force-secondary"]);
    "peer-ack-delay" => Resource, Number(1, 10000), "100" "milliseconds";
    "peer-ack-window" => Resource, Size(2048, 204800, Unit::Sector), "4096" "bytes";
    "quorum" => Resource, NumberOr(1, 32, &["off", "majority", "all"]), "off";
    "quorum-minimum-redundancy" => Resource, NumberOr(1, 32, &["off", "majority", "all"]), "off";
    "twopc-retry-timeout" => Resource, Number(1, 50), "1" "1/10 seconds";
    "twopc-timeout" => Resource, Number(50, 600), "300" "1/10 seconds";
    "after-sb-0pri" => Net, OneOf(&["disconnect", "discard-younger-primary", "discard-older-primary", "discard-zero-changes", "discard-least-changes", "discard-local", "discard-remote"]), in 84;
    "after-sb-1pri" => Net, OneOf(&["disconnect", "consensus", "discard-secondary", "call-pri-lost-after-sb", "violently-as0p"]), in 84;
    "after-sb-2pri" => Net, OneOf(&["disconnect", "call-pri-lost-after-sb", "violently-as0p"]), in 84;
    "allow-remote-read" => Net, Boolean, "yes";
    "allow-two-primaries" => Net, Boolean, "no", in 84;
    "always-asbp" => Net, Boolean, "no", in 84;
    "congestion-extents" => Net, Size(67, 65534, Unit::Byte), "1237", in 84;
    "congestion-fill" => Net, Size(0, 20971520, Unit::Sector), "0" "bytes", in 84;
    "connect-int" => Net, Number(1, 120), "10" "seconds", in 84;
    "cram-hmac-alg" => Net, Text, in 84;
    "csums-after-crash-only" => Net, Boolean, "no", in 84;
    "csums-alg" => Net, Text, in 84;
    "data-integrity-alg" => Net, Text, in 84;
    "fencing" => Net, OneOf(&["dont-care", "resource-only", "resource-and-stonith"]);
    "ko-count" => Net, Number(0, 200), "7", in 84;
    "load-balance-paths" => Net, Boolean, "no";
    "max-buffers" => Net, Size(32, 131072, Unit::Byte), "2048", in 84;
    "max-epoch-size" => Net, Number(1, 20000), "2048", in 84;
    "on-congestion" => Net, OneOf(&["block", "pull-ahead", "disconnect"]), in 84;
    "ping-int" => Net, Number(1, 120), "10" "seconds", in 84;
    "ping-timeout" => Net, Number(1, 300), "5" "1/10 seconds", in 84;
    "protocol" => Net, OneOf(&["A", "B", "C"]), in 84;
    "rcvbuf-size" => Net, Size(0, 134217728, Unit::Byte), "0" "bytes", in 84;
    "rdma-ctrl-rcvbuf-size" => Net, Number(0, 10485760), "0";
    "rdma-ctrl-sndbuf-size" => Net, Number(0, 10485760), "0";
    "rr-conflict" => Net, OneOf(&["disconnect", "call-pri-lost", "violently", "retry-connect", "auto-discard"]), in 84;
    "shared-secret" => Net, Text, in 84;
    "sndbuf-size" => Net, Size(0, 134217728, Unit::Byte), "0" "bytes", in 84;
    "socket-check-timeout" => Net, Number(0, 300), "0", in 84;
    "tcp-cork" => Net, Boolean, "yes", in 84;
    "timeout" => Net, Number(1, 600), "60" "1/10 seconds", in 84;
    "tls" => Net, Boolean, "no";
    "tls-certificate" => Net, Text;
    "tls-keyring" => Net, Text;
    "tls-privkey" => Net, Text;
    "transport" => Net, Text;
    "use-rle" => Net, Boolean, "yes", in 84;
    "verify-alg" => Net, Text, in 84;
    "al-extents" => Disk, Size(67, 65534, Unit::Byte), "1237", in 84;
    "al-updates" => Disk, Boolean, "yes", in 84;
    "block-size" => Disk, Number(512, 4096), "512";
    "disable-write-same" => Disk, Boolean, "no", in 84;
    "discard-granularity" => Disk, Number(0, 134217728), "4294967295";
    "discard-zeroes-if-aligned" => Disk, Boolean, "yes", in 84;
    "disk-barrier" => Disk, Boolean, "no", in 84;
    "disk-drain" => Disk, Boolean, "yes", in 84;
    "disk-flushes" => Disk, Boolean, "yes", in 84;
    "disk-timeout" => Disk, Number(0, 6000), "0" "1/10 seconds", in 84;
    "diskless" => Disk, Boolean, "no";
    "max-bio-size" => Disk, Number(512, 1048576), "1048576";
    "md-flushes" => Disk, Boolean, "yes", in 84;
    "on-io-error" => Disk, OneOf(&["pass_on", "call-local-io-error", "detach"]), in 84;
    "read-balancing" => Disk, OneOf(&["prefer-local", "prefer-remote", "round-robin", "least-pending", "when-congested-remote", "32K-striping", "64K-striping", "128K-striping", "256K-striping", "512K-striping", "1M-striping"]), in 84;
    "resync-after" => Disk, Text, "-1", in 84;
    "rs-discard-granularity" => Disk, Size(0, 1048576, Unit::Byte), "0" "bytes", in 84;
    "bitmap" => PeerDevice, Boolean, "yes";
    "c-delay-target" => PeerDevice, Number(1, 100), "10" "1/10 seconds", in 84;
    "c-fill-target" => PeerDevice, Size(0, 1048576, Unit::Sector), "100" "bytes", in 84;
    "c-max-rate" => PeerDevice, Size(0, 4194304, Unit::KiB), "102400" "bytes/second", in 84;
    "c-min-rate" => PeerDevice, Size(0, 4194304, Unit::KiB), "250" "bytes/second", in 84;
    "c-plan-ahead" => PeerDevice, Number(0, 300), "20" "1/10 seconds", in 84;
    "peer-tiebreaker" => PeerDevice, Boolean, "yes";
    "resync-rate" => PeerDevice, Size(1, 8388608, Unit::KiB), "250" "bytes/second", in 84;
    "resync-without-replication" => PeerDevice, Boolean, "yes";
    "after-resync-target" => Handlers, Text, in 84;
    "before-resync-source" => Handlers, Text, in 84;
    "before-resync-target" => Handlers, Text, in 84;
    "fence-peer" => Handlers, Text, in 84;
    "initial-split-brain" => Handlers, Text, in 84;
    "local-io-error" => Handlers, Text, in 84;
    "out-of-sync" => Handlers, Text, in 84;
    "pri-lost" => Handlers, Text, in 84;
    "pri-lost-after-sb" => Handlers, Text, in 84;
    "pri-on-incon-degr" => Handlers, Text, in 84;
    "quorum-lost" => Handlers, Text;
    "split-brain" => Handlers, Text, in 84;
    "unfence-peer" => Handlers, Text, in 84;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn option(name: &str) -> &'static DrbdOption {
        ALL.iter().find(|option| option.name == name).unwrap()
    }

    /// The numbers of options that LINSTOR's command line offers.
    #[test]
    fn scopes_hold_as_many_options_as_linstors() {
        let count = |scope| ALL.iter().filter(|option| option.is_in(scope)).count();
        assert_eq!(count(Scope::Resource), 91);
        assert_eq!(count(Scope::Volume), 18);
        assert_eq!(count(Scope::Connection), 47);
    }

    /// A name stands once per section, so a key names one option.
    #[test]
    fn keys_are_unique() {
        let mut keys: Vec<String> = ALL.iter().map(DrbdOption::key).collect();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), ALL.len());
        assert_eq!(option("protocol").key(), "DrbdOptions/Net/protocol");
    }

    /// Each generation of DRBD gets only what it knows, in the section where it knows it.
    #[test]
    fn options_of_drbd84_are_told_apart() {
        let count = |section| {
            let names = ALL.iter().map(|option| option.name);
            names.filter(|name| is_in_drbd84(section, name)).count()
        };
        assert_eq!(count(Section::Resource), 2);
        assert_eq!(count(Section::Net), 28);
        assert_eq!(count(Section::Disk), 19);
        assert_eq!(count(Section::Handlers), 12);
        assert!(is_in_drbd84(Section::Disk, "resync-rate"));
        assert!(!is_in_drbd84(Section::Net, "fencing"));
        assert!(!is_in_drbd84(Section::Resource, "quorum"));
        assert!(!is_in_drbd84(Section::Net, "unheard-of"));
    }

    /// Values are checked, and sizes counted in the unit DRBD expects.
    #[test]
    fn values_are_checked_and_converted() {
        assert_eq!(option("protocol").parse("C"), Ok("C".into()));
        assert!(option("protocol").parse("D").is_err());
        assert_eq!(option("allow-two-primaries").parse("Yes"), Ok("yes".into()));
        assert_eq!(option("c-max-rate").parse("100M"), Ok("102400".into()));
        assert_eq!(option("c-max-rate").parse("102400"), Ok("100".into()));
        assert_eq!(option("c-max-rate").check("100"), Ok("100".into()));
        assert!(option("c-max-rate").parse("100").is_err());
        assert_eq!(option("quorum").parse("majority"), Ok("majority".into()));
        assert_eq!(option("quorum").parse("3"), Ok("3".into()));
        assert_eq!(
            option("quorum").parse("33").unwrap_err().to_string(),
            "'33' is no number from 1 to 32"
        );
        assert_eq!(
            option("fence-peer").parse("/bin/x y"),
            Ok("/bin/x y".into())
        );
    }
}
