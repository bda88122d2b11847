//! Kinds: closed sets of words that appear in requests, answers, rows and specs.
//!
//! Every kind is written upper-case as LINSTOR does and read in any case, because clients send both
//! (`"type": "satellite"` and `"SATELLITE"`).

use std::fmt;
use std::str::FromStr;

/// A word that is not one of a kind's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKind {
    /// What the word was meant to be, for example `provider kind`.
    pub what: &'static str,
    /// The word as given.
    pub given: String,
    /// The words that would have been understood.
    pub known: &'static [&'static str],
}

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is not a {}; known are {}",
            self.given.escape_debug(),
            self.what,
            self.known.join(", ")
        )
    }
}

impl std::error::Error for UnknownKind {}

macro_rules! kinds {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// Every word of this kind, as written in answers.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];
            /// Every value of this kind.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word as written in answers.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownKind;
            fn from_str(word: &str) -> Result<Self, UnknownKind> {
                $(if word.eq_ignore_ascii_case($word) { return Ok($name::$variant); })+
                Err(UnknownKind { what: $what, given: word.to_owned(), known: Self::WORDS })
            }
        }

        impl From<$name> for crate::lenient::Word {
            fn from(kind: $name) -> Self {
                std::borrow::Cow::Borrowed(kind.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

kinds! {
    /// What a node does in the cluster.
    NodeType, "node type" {
        /// Runs a controller and no satellite.
        Controller => "CONTROLLER",
        /// Runs a satellite.
        Satellite => "SATELLITE",
        /// Runs both.
        Combined => "COMBINED",
        /// Runs neither; exists for bookkeeping.
        Auxiliary => "AUXILIARY",
        /// A storage target reached over SPDK's RPC.
        RemoteSpdk => "REMOTE_SPDK",
        /// An Elastic Block Store target.
        EbsTarget => "EBS_TARGET",
    }
}

impl NodeType {
    /// Whether a satellite runs there that the controller connects to and places volumes on.
    pub const fn has_satellite(self) -> bool {
        matches!(self, NodeType::Satellite | NodeType::Combined)
    }
}

kinds! {
    /// What a backing volume of a resource holds: LINSTOR's suffix to the resource's name.
    StorageSuffix, "storage suffix" {
        /// The data.
        Data => "",
        /// DRBD's external metadata.
        DrbdMeta => ".meta",
    }
}

kinds! {
    /// What a storage pool is made of.
    ProviderKind, "provider kind" {
        /// No backing storage.
        Diskless => "DISKLESS",
        /// Thick LVM volumes in a volume group.
        Lvm => "LVM",
        /// LVM volumes in a thin pool.
        LvmThin => "LVM_THIN",
        /// ZFS volumes with a reservation.
        Zfs => "ZFS",
        /// Sparse ZFS volumes.
        ZfsThin => "ZFS_THIN",
        /// Pre-allocated files behind loop devices.
        File => "FILE",
        /// Sparse files behind loop devices.
        FileThin => "FILE_THIN",
        /// SPDK logical volumes.
        Spdk => "SPDK",
        /// SPDK on another host.
        RemoteSpdk => "REMOTE_SPDK",
        /// Elastic Block Store, the side that uses a volume.
        EbsInit => "EBS_INIT",
        /// Elastic Block Store, the side that makes a volume.
        EbsTarget => "EBS_TARGET",
        /// Windows storage spaces.
        StorageSpaces => "STORAGE_SPACES",
        /// Windows storage spaces, thin.
        StorageSpacesThin => "STORAGE_SPACES_THIN",
    }
}

impl ProviderKind {
    /// Whether volumes take space only as data is written.
    pub const fn is_thin(self) -> bool {
        matches!(
            self,
            ProviderKind::LvmThin
                | ProviderKind::ZfsThin
                | ProviderKind::FileThin
                | ProviderKind::StorageSpacesThin
                | ProviderKind::Diskless
        )
    }

    /// Whether there is a backing device at all.
    pub const fn has_backing_device(self) -> bool {
        !matches!(self, ProviderKind::Diskless)
    }

    /// Whether a new volume reads as zeros, so that replicas need no full sync.
    pub const fn new_volume_is_zero(self) -> bool {
        matches!(
            self,
            ProviderKind::LvmThin
                | ProviderKind::Zfs
                | ProviderKind::ZfsThin
                | ProviderKind::FileThin
        )
    }

    /// Whether snapshots of its volumes can be taken.
    pub const fn supports_snapshots(self) -> bool {
        matches!(
            self,
            ProviderKind::LvmThin
                | ProviderKind::Zfs
                | ProviderKind::ZfsThin
                | ProviderKind::File
                | ProviderKind::FileThin
                | ProviderKind::Spdk
                | ProviderKind::RemoteSpdk
        )
    }
}

kinds! {
    /// One level of the stack a volume is built of, top first.
    LayerKind, "layer kind" {
        /// Replication by DRBD.
        Drbd => "DRBD",
        /// NVMe over fabrics.
        Nvme => "NVME",
        /// Encryption by dm-crypt.
        Luks => "LUKS",
        /// dm-writecache.
        Writecache => "WRITECACHE",
        /// dm-cache.
        Cache => "CACHE",
        /// bcache.
        Bcache => "BCACHE",
        /// The storage pool's volume; always the lowest level.
        Storage => "STORAGE",
    }
}

kinds! {
    /// How controller and satellite talk (net interface's encryption type).
    Encryption, "satellite encryption type" {
        /// TCP.
        Plain => "PLAIN",
        /// TLS.
        Ssl => "SSL",
    }
}

kinds! {
    /// What the controller knows of its connection to a satellite.
    ConnectionStatus, "connection status" {
        /// No connection.
        Offline => "OFFLINE",
        /// Connected, not yet synchronised.
        Connected => "CONNECTED",
        /// Connected and synchronised: the only state in which a node takes part in placement.
        Online => "ONLINE",
        /// The satellite speaks another version of the protocol.
        VersionMismatch => "VERSION_MISMATCH",
        /// The satellite could not take over its configuration.
        FullSyncFailed => "FULL_SYNC_FAILED",
        /// The satellite refused the controller.
        AuthenticationError => "AUTHENTICATION_ERROR",
        /// Nothing is known yet.
        Unknown => "UNKNOWN",
        /// The satellite runs on another host than expected.
        HostnameMismatch => "HOSTNAME_MISMATCH",
        /// Another controller took the satellite over.
        OtherController => "OTHER_CONTROLLER",
        /// Authenticated.
        Authenticated => "AUTHENTICATED",
        /// The node has no net interface that is usable for the connection.
        NoStltConn => "NO_STLT_CONN",
        /// Programs that the satellite needs are missing there.
        MissingExtTools => "MISSING_EXT_TOOLS",
        /// Two nodes report the same host name.
        DuplicateUname => "DUPLICATE_UNAME",
    }
}

kinds! {
    /// Which DRBD a node's kernel has; the two cannot replicate with each other's extras.
    DrbdKind, "DRBD kind" {
        /// DRBD 9: up to 32 nodes, diskless clients, quorum.
        Drbd9 => "DRBD9",
        /// The kernel's own DRBD 8.4: two diskful replicas.
        Drbd84 => "DRBD84",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clients write kinds in any case; answers are upper-case.
    #[test]
    fn kinds_read_any_case_and_write_upper_case() {
        for kind in ProviderKind::ALL {
            let lower: ProviderKind = kind.as_str().to_ascii_lowercase().parse().unwrap();
            assert_eq!(lower, *kind);
            assert_eq!(serde_json::to_string(kind).unwrap(), format!("\"{kind}\""));
        }
    }

    /// A refusal names what was given and what would have been understood.
    #[test]
    fn an_unknown_kind_says_what_is_known() {
        let text = "lvm2".parse::<LayerKind>().unwrap_err().to_string();
        assert!(
            text.contains("'lvm2'") && text.contains("STORAGE"),
            "{text}"
        );
    }
}
