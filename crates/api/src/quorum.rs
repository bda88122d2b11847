//! The quorum of a resource and its votes. An addition to LINSTOR's API.

use crate::lenient::object;

object! {
    /// Answer of `GET /v1/resource-definitions/{name}/quorum`.
    pub struct QuorumReport {
        /// Name of the resource definition.
        pub resource_definition: String,
        /// The value of DRBD's option `quorum` that the nodes have.
        pub quorum: String,
        /// `linstor` while the controller sets it, `user` where a property does.
        pub set_by: String,
        /// Why the quorum is as it is.
        pub reason: String,
        /// Why there is a tie breaker, or none.
        pub tie_breaker: String,
        /// How many nodes with a disk one side of a broken connection needs; absent without quorum.
        pub disks_needed: Option<u32>,
        /// How many nodes may fail at the same time; absent without quorum.
        pub failures_allowed: Option<u32>,
        /// One entry for each resource.
        pub votes: Vec<Vote>,
    }

    /// Whether and how a node votes.
    pub struct Vote {
        /// Name of the node.
        pub node_name: String,
        /// `DISKFUL`, `DRBD_DISKLESS`, `TIE_BREAKER` or `DRBD_CLIENT`.
        pub kind: String,
        /// `disk`: counts for the majority; `tie`: decides between two halves of the disks; `none`.
        pub vote: String,
        /// Whether the node is online.
        pub online: bool,
        /// Whether the node reports that a volume has lost its quorum.
        pub quorum_lost: bool,
        /// Why it does not vote.
        pub reason: Option<String>,
    }
}
