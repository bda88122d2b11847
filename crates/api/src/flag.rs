//! Flags: the REST names of an object's bits.
//!
//! A flag is named in answers when *all* its bits are set, so a flag that contains another one always shows both:
//! a tie breaker lists `DISKLESS`, `DRBD_DISKLESS` and `TIE_BREAKER`. The sets here are the bits as LINSTOR numbers
//! them; code that only reads answers looks for the names.

use crate::lenient::Word;

/// One kind's flags.
#[derive(Debug, Clone, Copy)]
pub struct FlagSet {
    /// What the flags belong to, for refusals.
    pub what: &'static str,
    /// Name and bits, in the order answers list them.
    pub flags: &'static [(&'static str, u64)],
}

impl FlagSet {
    /// The names of all flags whose bits are all set.
    pub fn names(&self, bits: u64) -> Vec<Word> {
        self.flags
            .iter()
            .filter(|(_, flag)| bits & flag == *flag)
            .map(|(name, _)| Word::Borrowed(name))
            .collect()
    }

    /// The bits of one name, in any case.
    pub fn bits(&self, name: &str) -> Option<u64> {
        let known = |(flag, _): &&(&str, u64)| flag.eq_ignore_ascii_case(name);
        self.flags.iter().find(known).map(|(_, bits)| *bits)
    }

    /// The bits of a list of names; unknown names count nothing, as in LINSTOR.
    pub fn bits_of<S: AsRef<str>>(&self, names: &[S]) -> u64 {
        let known = names.iter().filter_map(|name| self.bits(name.as_ref()));
        known.fold(0, |all, bits| all | bits)
    }

    /// The bits after a modify request, whose list sets flags and, with a leading `-`, unsets them.
    pub fn modified<S: AsRef<str>>(&self, bits: u64, changes: &[S]) -> u64 {
        changes.iter().fold(bits, |bits, change| {
            match change.as_ref().strip_prefix('-') {
                Some(name) => bits & !self.bits(name).unwrap_or(0),
                None => bits | self.bits(change.as_ref()).unwrap_or(0),
            }
        })
    }
}

/// Whether a list of names from an answer has a flag.
pub fn has<S: AsRef<str>>(names: &[S], flag: &str) -> bool {
    names.iter().any(|name| name.as_ref() == flag)
}

macro_rules! flags {
    ($(#[$doc:meta])* $module:ident, $what:literal { $($(#[$fdoc:meta])* $name:ident = $bits:expr,)+ }) => {
        $(#[$doc])*
        pub mod $module {
            use super::FlagSet;

            $($(#[$fdoc])* pub const $name: u64 = $bits;)+

            /// Every flag of this kind.
            pub const ALL: FlagSet = FlagSet { what: $what, flags: &[$((stringify!($name), $name),)+] };
        }
    };
}

flags! {
    /// Flags of a node.
    node, "node flag" {
        /// The node is being deleted.
        DELETE = 1,
        /// The node was evicted after it was offline for too long.
        EVICTED = DELETE | 2,
        /// The node's resources are being moved elsewhere.
        EVACUATE = 4,
        /// Debugging aid of LINSTOR: the node's reports are ignored.
        QIGNORE = 0x1_0000,
    }
}

flags! {
    /// Flags of a resource.
    resource, "resource flag" {
        /// Reserved by LINSTOR.
        CLEAN = 1,
        /// The resource is being deleted.
        DELETE = 1 << 1,
        /// The resource has no disk; the specific flags below contain this one.
        DISKLESS = 1 << 2,
        /// A disk shall be added.
        DISK_ADD_REQUESTED = 1 << 3,
        /// A disk is being added.
        DISK_ADDING = 1 << 4,
        /// The disk shall be removed.
        DISK_REMOVE_REQUESTED = 1 << 5,
        /// The disk is being removed.
        DISK_REMOVING = 1 << 6,
        /// Diskless by DRBD.
        DRBD_DISKLESS = DISKLESS | 1 << 8,
        /// Diskless, and only there for a quorum vote.
        TIE_BREAKER = DRBD_DISKLESS | 1 << 7,
        /// Diskless by NVMe over fabrics.
        NVME_INITIATOR = DISKLESS | 1 << 9,
        /// Taken down, data kept.
        INACTIVE = 1 << 10,
        /// Being activated.
        REACTIVATE = 1 << 11,
        /// Taken down for good.
        INACTIVE_PERMANENTLY = INACTIVE | 1 << 12,
        /// Waits for the data of a backup.
        BACKUP_RESTORE = 1 << 13,
        /// On an evicted node.
        EVICTED = INACTIVE | 1 << 14,
        /// Was inactive already when the node was evicted.
        INACTIVE_BEFORE_EVICTION = 1 << 15,
        /// Is being restored from a snapshot.
        RESTORE_FROM_SNAPSHOT = 1 << 16,
        /// Is being moved elsewhere.
        EVACUATE = 1 << 17,
        /// DRBD is being taken down before the resource is deleted.
        DRBD_DELETE = 1 << 18,
        /// Being taken down, data kept.
        INACTIVATING = 1 << 19,
        /// Diskless by EBS.
        EBS_INITIATOR = DISKLESS | 1 << 20,
        /// Made diskful because it was in use without a disk for too long.
        AUTO_DISKFUL = 1 << 21,
    }
}

flags! {
    /// Flags of a resource definition.
    resource_definition, "resource definition flag" {
        /// It is being deleted.
        DELETE = 1,
        /// It is being restored into.
        RESTORE_TARGET = 2,
        /// It is being cloned into.
        CLONING = 4,
        /// Cloning into it failed.
        FAILED = 8,
    }
}

flags! {
    /// Flags of a volume definition.
    volume_definition, "volume definition flag" {
        /// It is being deleted.
        DELETE = 1,
        /// Its volumes are encrypted.
        ENCRYPTED = 2,
        /// Its volumes are being resized.
        RESIZE = 4,
        /// Its size includes DRBD's metadata.
        GROSS_SIZE = 8,
        /// Its volumes are being made smaller.
        RESIZE_SHRINK = RESIZE | 16,
        /// One of its volumes has been through its first DRBD start.
        DRBD_INITIALIZED = 32,
    }
}

flags! {
    /// Flags of a volume.
    volume, "volume flag" {
        /// It is being deleted.
        DELETE = 2,
        /// Its storage is being resized.
        RESIZE = 4,
        /// Its DRBD device is being resized.
        DRBD_RESIZE = 8,
        /// It shall be cloned.
        CLONING_START = 16,
        /// It is being cloned.
        CLONING = 32,
        /// It has been cloned.
        CLONING_FINISHED = 64,
        /// Its DRBD device is being taken down.
        DRBD_DELETE = 128,
    }
}

flags! {
    /// Flags of a volume group.
    volume_group, "volume group flag" {
        /// Sizes of spawned volume definitions include DRBD's metadata.
        GROSS_SIZE = 1,
    }
}

flags! {
    /// Flags of the DRBD layer of a resource (`layer_object.drbd.flags`).
    drbd_resource, "DRBD resource flag" {
        /// Reserved by LINSTOR.
        CLEAN = 1,
        /// It is being deleted.
        DELETE = 1 << 1,
        /// It has no disk.
        DISKLESS = 1 << 2,
        /// A disk shall be added.
        DISK_ADD_REQUESTED = 1 << 3,
        /// A disk is being added.
        DISK_ADDING = 1 << 4,
        /// The disk shall be removed.
        DISK_REMOVE_REQUESTED = 1 << 5,
        /// The disk is being removed.
        DISK_REMOVING = 1 << 6,
        /// It has been up once.
        INITIALIZED = 1 << 7,
        /// Its data came from a backup.
        FROM_BACKUP = 1 << 8,
        /// Its metadata shall be written anew.
        FORCE_NEW_METADATA = 1 << 9,
        /// Its data shall be fetched from a peer.
        INVALIDATE = 1 << 10,
        /// Diskless without a vote in the quorum.
        CLIENT = 1 << 11,
    }
}

flags! {
    /// Flags of a snapshot definition.
    snapshot_definition, "snapshot definition flag" {
        /// It was taken on all nodes.
        SUCCESSFUL = 1,
        /// It could not be taken on some node.
        FAILED_DEPLOYMENT = 2,
        /// A node went away while it was taken.
        FAILED_DISCONNECT = 4,
        /// It is being deleted.
        DELETE = 8,
        /// It was taken by the clock.
        AUTO_SNAPSHOT = 1 << 8,
        /// It was taken before a rollback.
        SAFETY_SNAPSHOT = 1 << 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A flag that contains others shows all of them.
    #[test]
    fn composite_flags_show_their_parts() {
        assert_eq!(
            resource::ALL.names(resource::TIE_BREAKER),
            ["DISKLESS", "DRBD_DISKLESS", "TIE_BREAKER"]
        );
        assert_eq!(
            resource::ALL.names(resource::EVICTED),
            ["INACTIVE", "EVICTED"]
        );
        assert_eq!(node::ALL.names(node::EVICTED), ["DELETE", "EVICTED"]);
        assert_eq!(resource::ALL.names(1 << 7), Vec::<Word>::new());
    }

    /// Names are read in any case, and a minus unsets.
    #[test]
    fn a_minus_unsets() {
        let flags = volume_definition::ALL;
        let gross = flags.modified(0, &["gross_size"]);
        assert_eq!(gross, volume_definition::GROSS_SIZE);
        assert_eq!(flags.modified(gross, &["-GROSS_SIZE", "unknown"]), 0);
        assert_eq!(
            resource::ALL.bits_of(&["drbd_diskless", "INACTIVE"]),
            resource::DRBD_DISKLESS | resource::INACTIVE
        );
    }

    /// The numbers that a LINSTOR database holds.
    #[test]
    fn bits_are_linstors() {
        assert_eq!(resource::DRBD_DISKLESS, 4 | 256);
        assert_eq!(resource::TIE_BREAKER, 4 | 256 | 128);
        assert_eq!(resource::AUTO_DISKFUL, 0x20_0000);
        assert_eq!(drbd_resource::CLIENT, 2048);
    }
}
