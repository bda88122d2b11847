//! DRBD's states, in DRBD's own words: what `drbdsetup` prints is what goes over the link and into REST answers.
//!
//! Text becomes a state in one place, where it is read. A word that this build does not know is kept as it is, so that a
//! newer DRBD does no harm.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word that this build does not know.
            Other(String),
        }

        impl $name {
            /// DRBD's word.
            pub fn as_str(&self) -> &str {
                match self {
                    $($name::$variant => $word,)+
                    $name::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => $name::$variant,)+
                    other => $name::Other(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                word(deserializer)
            }
        }
    };
}

/// Reads a word without a copy of it.
fn word<'de, D: Deserializer<'de>, T: for<'a> From<&'a str>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Visitor<T>(std::marker::PhantomData<T>);

    impl<T: for<'a> From<&'a str>> serde::de::Visitor<'_> for Visitor<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a state of DRBD")
        }

        fn visit_str<E>(self, word: &str) -> Result<T, E> {
            Ok(T::from(word))
        }
    }

    deserializer.deserialize_str(Visitor(std::marker::PhantomData))
}

states! {
    /// State of a local or a peer's disk.
    DiskState {
        /// No disk is attached.
        Diskless => "Diskless",
        /// Its metadata is being read.
        Attaching => "Attaching",
        /// It is being detached.
        Detaching => "Detaching",
        /// It reported an I/O error and will be detached.
        Failed => "Failed",
        /// Attached while connected; the peers decide on its state.
        Negotiating => "Negotiating",
        /// Its data is not usable without a resync.
        Inconsistent => "Inconsistent",
        /// Its data is consistent and known to be old.
        Outdated => "Outdated",
        /// Not known, as the peer is not connected.
        #[default]
        Unknown => "DUnknown",
        /// Its data is consistent; whether it is current shows with the next connection.
        Consistent => "Consistent",
        /// Its data is current.
        UpToDate => "UpToDate",
    }
}

states! {
    /// State of the connection to a peer.
    ConnectionState {
        /// Given up or never begun; somebody has to ask for it.
        StandAlone => "StandAlone",
        /// On its way to [`ConnectionState::StandAlone`].
        Disconnecting => "Disconnecting",
        /// Before the first attempt to connect.
        #[default]
        Unconnected => "Unconnected",
        /// The peer did not answer in time.
        Timeout => "Timeout",
        /// The connection was closed by the other side.
        BrokenPipe => "BrokenPipe",
        /// The network failed.
        NetworkFailure => "NetworkFailure",
        /// The peer sent what the protocol does not allow.
        ProtocolError => "ProtocolError",
        /// The peer closes the connection.
        TearDown => "TearDown",
        /// DRBD waits for the peer.
        Connecting => "Connecting",
        /// Connected.
        Connected => "Connected",
    }
}

states! {
    /// State of the replication of a volume with a peer.
    ReplicationState {
        /// Not connected.
        #[default]
        Off => "Off",
        /// Every write is replicated.
        Established => "Established",
        /// A full resync to the peer begins.
        StartingSyncS => "StartingSyncS",
        /// A full resync from the peer begins.
        StartingSyncT => "StartingSyncT",
        /// The bitmap is being sent.
        WfBitMapS => "WFBitMapS",
        /// The bitmap is being received.
        WfBitMapT => "WFBitMapT",
        /// Waits for the id of the resync.
        WfSyncUuid => "WFSyncUUID",
        /// The peer is synchronised from this node.
        SyncSource => "SyncSource",
        /// This node is synchronised from the peer.
        SyncTarget => "SyncTarget",
        /// Verified, this node being the source.
        VerifyS => "VerifyS",
        /// Verified, this node being the target.
        VerifyT => "VerifyT",
        /// As [`ReplicationState::SyncSource`], but paused.
        PausedSyncS => "PausedSyncS",
        /// As [`ReplicationState::SyncTarget`], but paused.
        PausedSyncT => "PausedSyncT",
        /// Writes are not replicated, as the link is congested.
        Ahead => "Ahead",
        /// The peer does not replicate its writes, as the link is congested.
        Behind => "Behind",
    }
}

impl ReplicationState {
    /// Whether a resync or a verification runs.
    pub fn is_syncing(&self) -> bool {
        use ReplicationState::{SyncSource, SyncTarget, VerifyS, VerifyT};
        matches!(self, SyncSource | SyncTarget | VerifyS | VerifyT)
    }
}

states! {
    /// Role of a resource on a node.
    Role {
        /// Not known, as the peer is not connected.
        #[default]
        Unknown => "Unknown",
        /// May be opened for writing.
        Primary => "Primary",
        /// May not.
        Secondary => "Secondary",
    }
}

states! {
    /// Whether enough nodes with a vote are connected.
    Quorum {
        /// They are.
        #[default]
        Present => "yes",
        /// They are not: I/O is suspended or fails.
        Lost => "no",
    }
}

states! {
    /// Why I/O is suspended.
    SuspendReason {
        /// `drbdadm suspend-io`.
        #[default]
        User => "user",
        /// No up-to-date data can be reached.
        NoData => "no-data",
        /// The peer is being fenced.
        Fencing => "fencing",
        /// Quorum is lost.
        Quorum => "quorum",
    }
}

/// Why I/O is suspended; without a reason it is not. Written as DRBD does: `no`, or reasons with commas between.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Suspension(BTreeSet<SuspendReason>);

impl Suspension {
    /// Whether I/O is suspended.
    pub fn is_suspended(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether somebody asked for it (`suspend-io`).
    pub fn is_by_user(&self) -> bool {
        self.0.contains(&SuspendReason::User)
    }

    /// The reasons.
    pub fn reasons(&self) -> impl Iterator<Item = &SuspendReason> {
        self.0.iter()
    }
}

impl From<&str> for Suspension {
    fn from(word: &str) -> Self {
        let reasons = word.split(',').filter(|r| !r.is_empty() && *r != "no");
        Suspension(reasons.map(SuspendReason::from).collect())
    }
}

impl fmt::Display for Suspension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.is_suspended() {
            return f.write_str("no");
        }
        for (at, reason) in self.0.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}{reason}")?;
        }
        Ok(())
    }
}

impl Serialize for Suspension {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Suspension {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        word(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known and unknown words come out as they went in.
    #[test]
    fn states_are_drbds_words() {
        let json = r#"["UpToDate","DUnknown","Rebuilding"]"#;
        let states: Vec<DiskState> = serde_json::from_str(json).unwrap();
        let other = DiskState::Other("Rebuilding".to_owned());
        assert_eq!(states, [DiskState::UpToDate, DiskState::Unknown, other]);
        assert_eq!(serde_json::to_string(&states).unwrap(), json);
    }

    /// I/O can be suspended for several reasons at once.
    #[test]
    fn suspensions_are_read() {
        let both = Suspension::from("user,quorum");
        let expected = [SuspendReason::User, SuspendReason::Quorum];
        assert!(both.is_suspended() && both.reasons().eq(&expected));
        assert_eq!(both.to_string(), "user,quorum");
        assert!(!Suspension::from("no").is_suspended() && !Suspension::from("").is_suspended());
        assert_eq!(Suspension::default().to_string(), "no");
    }
}
