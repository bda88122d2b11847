//! How a thick volume lies on physical volumes: stripes, mirrors, parity, as `lvmraid(7)` has them.

use crate::args::Args;
use crate::tool::{Stop, missing};

/// The layout of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// As `lvs -o segtype` prints it.
    pub(crate) segment_type: String,
    /// Stripes with data: a size is a multiple of so many extents.
    pub(crate) data: u64,
    /// Legs: each has a share of the data, a copy of one or parity.
    pub(crate) legs: u64,
    /// Copies of each block.
    pub(crate) copies: u64,
    /// Extents that have neither data nor parity: metadata of each leg, or a log.
    pub(crate) extra: u64,
}

impl Default for Layout {
    fn default() -> Self {
        Layout {
            segment_type: "linear".to_owned(),
            data: 1,
            legs: 1,
            copies: 1,
            extra: 0,
        }
    }
}

impl Layout {
    /// Of the options of `lvcreate`.
    pub(crate) fn of(args: &Args) -> Result<Layout, Stop> {
        let number = |name: &str| match args.value(name) {
            None => Ok(None),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => Ok(Some(number)),
                Err(_) => missing(format!("lvcreate {name} {text}")),
            },
        };
        let (stripes, mirrors) = (number("--stripes")?, number("--mirrors")?);
        let kind = match (args.value("--type"), mirrors, stripes) {
            (Some(kind), ..) => kind,
            (None, Some(1..), Some(2..)) => "raid10",
            (None, Some(1..), _) => "raid1",
            (None, _, Some(2..)) => "striped",
            (None, ..) => "linear",
        };
        let copies = mirrors.unwrap_or(1) + 1;
        let layout = |data: u64, legs: u64, copies: u64, extra: u64| Layout {
            segment_type: kind.to_owned(),
            data,
            legs,
            copies,
            extra,
        };
        Ok(match kind {
            "linear" => Layout::default(),
            "striped" => match stripes.unwrap_or(1) {
                1 => Layout::default(),
                data => layout(data, data, 1, 0),
            },
            "mirror" => layout(1, copies, copies, 1),
            "raid0" => {
                let data = stripes.unwrap_or(2);
                layout(data, data, 1, 0)
            }
            "raid1" => layout(1, copies, copies, copies),
            "raid10" => {
                let data = stripes.unwrap_or(2);
                layout(data, data * copies, copies, data * copies)
            }
            "raid4" | "raid5" => {
                let data = stripes.unwrap_or(2);
                layout(data, data + 1, 1, data + 1)
            }
            "raid6" | "raid6_zr" => {
                let data = stripes.unwrap_or(3);
                layout(data, data + 2, 1, data + 2)
            }
            other => return missing(format!("lvcreate --type {other}")),
        })
    }

    /// Extents beyond those with the data.
    pub(crate) fn overhead(&self, extents: u64) -> u64 {
        extents / self.data * self.legs - extents + self.extra
    }

    /// The letters of the volume's and the target's type in `lv_attr`.
    pub(crate) fn letters(&self) -> (char, char) {
        match self.segment_type.as_str() {
            "mirror" => ('m', 'm'),
            raid if raid.starts_with("raid") => ('r', 'r'),
            _ => ('-', '-'),
        }
    }

    fn is_raid(&self) -> bool {
        self.segment_type.starts_with("raid")
    }

    /// What `lvcreate` says about stripes before it rounds the size to extents.
    pub(crate) fn remark_on_creation(&self) -> &'static str {
        match self.data > 1 {
            true => "  Using default stripesize 64.00 KiB.\n",
            false => "",
        }
    }

    /// What LVM says when it rounds extents up to whole stripes, and about what it extends.
    pub(crate) fn remarks_on_growth(&self, extents: u64, extent_kib: u64) -> String {
        let whole = extents.next_multiple_of(self.data);
        let mut text = match self.is_raid() {
            true => self.rounded(extents, extent_kib),
            false => String::new(),
        };
        if self.copies > 1 {
            text.push_str(&format!("  Extending {} mirror images.\n", self.copies));
        } else if self.data > 1 {
            text.push_str("  Using stripesize of last segment 64.00 KiB\n");
        }
        if !self.is_raid() && whole > extents {
            text.push_str(&format!(
                "  Rounding size ({extents} extents) up to stripe boundary size for segment ({whole} extents).\n"
            ));
        }
        text
    }

    /// What LVM says when it rounds extents up to whole stripes.
    pub(crate) fn rounded(&self, extents: u64, extent_kib: u64) -> String {
        let whole = extents.next_multiple_of(self.data);
        let mib = |extents: u64| format!("{:.2} MiB", (extents * extent_kib) as f64 / 1024.0);
        match whole > extents {
            true => format!(
                "  Rounding size {} ({extents} extents) up to stripe boundary size {} ({whole} extents).\n",
                mib(extents),
                mib(whole)
            ),
            false => String::new(),
        }
    }
}
