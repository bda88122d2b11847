//! What the controllers of two clusters say to each other while one ships a snapshot to the other: the bodies of
//! `/v1/internal/backups/*`, with the members that LINSTOR's have.
//!
//! Members that LINSTOR does not have are said only to clusters of this program, which say of themselves that they are with
//! [`HEADER`]: LINSTOR refuses members that it does not know. Members that are not known here are left unread.

use std::collections::BTreeMap;

use linstor_api::reply::Reply;
use linstor_model::backup::Meta;
use serde::{Deserialize, Serialize};

/// The header of requests and answers by which clusters of this program know each other; its value is the version of what the
/// nodes say on their connection.
pub const HEADER: &str = "linstor-rs-shipping";
/// That version.
pub const VERSION: &str = "1";
/// Path of the question for the snapshot that one can be based on.
pub const PREV_SNAP: &str = "requestPrevSnap";
/// Path of the request to receive a snapshot.
pub const SHIP: &str = "requestShip";
/// Path of the answer where it is received.
pub const RECEIVE: &str = "requestReceive";
/// Path of how it ended.
pub const DONE: &str = "requestReceiveDone";
/// Path of the request to end it.
pub const ABORT: &str = "requestPrepareAbort";

/// The version of this program as LINSTOR says its own.
pub fn own_version() -> [i32; 3] {
    let mut numbers = env!("CARGO_PKG_VERSION").split('.').map(|text| {
        let digits = text.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    });
    [(); 3].map(|()| numbers.next().unwrap_or(0))
}

/// Which snapshot there could one be based on?
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrevSnap {
    /// Version of the cluster that asks.
    pub src_version: Vec<i32>,
    /// Its identity.
    pub src_cluster_id: String,
    /// The resource definition that is to receive it.
    pub dst_rsc_name: String,
    /// The identities of the snapshots that could be the base.
    pub src_snap_dfn_uuids: Vec<String>,
    /// The node that is to receive it.
    pub dst_node_name: Option<String>,
}

/// The snapshot that one can be based on.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PrevSnapAnswer {
    /// Whether anything can be received.
    pub can_receive: bool,
    /// Its identity in the cluster that asks; none if there is none.
    pub prev_snap_uuid: Option<String>,
    /// Whether what is there has to be set back to it first.
    pub reset_data: bool,
    /// Its name in the cluster that answers.
    pub dst_base_snap_name: Option<String>,
    /// The node that has it.
    pub dst_actual_node_name: Option<String>,
    /// Why not.
    pub responses: Vec<Entry>,
}

/// A snapshot that is to be received.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Ship {
    /// Version of the cluster that sends.
    #[serde(default)]
    pub src_version: Vec<i32>,
    /// What is sent.
    pub meta_data: Box<Meta>,
    /// Name of the snapshot there.
    pub src_backup_name: String,
    /// Identity of the cluster that sends.
    pub src_cluster_id: String,
    /// Its remote that is the cluster that receives.
    #[serde(rename = "srcL2LRemoteName")]
    pub src_l2l_remote_name: String,
    /// What it calls the shipment.
    pub src_stlt_remote_name: String,
    /// The resource definition that receives it.
    pub dst_rsc_name: String,
    /// The node that receives it.
    #[serde(default)]
    pub dst_node_name: Option<String>,
    /// Its net interface.
    #[serde(default)]
    pub dst_node_net_if_name: Option<String>,
    /// Its storage pool.
    #[serde(default)]
    pub dst_stor_pool: Option<String>,
    /// Storage pools by those that it comes from.
    #[serde(default, deserialize_with = "nullable")]
    pub stor_pool_rename_map: BTreeMap<String, String>,
    /// The resource group of a new resource definition.
    #[serde(default)]
    pub dst_rsc_grp: Option<String>,
    /// Whether it is compressed.
    #[serde(default)]
    pub use_zstd: bool,
    /// Whether only the snapshot is wanted.
    #[serde(default)]
    pub download_only: bool,
    /// Whether a resource that is there is replaced.
    #[serde(default)]
    pub force_restore: bool,
    /// Whether what is there has to be set back to the base first.
    #[serde(default)]
    pub reset_data: bool,
    /// Name of the base in the cluster that receives.
    #[serde(default)]
    pub dst_base_snap_name: Option<String>,
    /// The node that has the base.
    #[serde(default)]
    pub dst_actual_node_name: Option<String>,
    /// The resource definition that it is of.
    #[serde(default)]
    pub src_rsc_name: String,
    /// Whether the resource definition is moved into the group although it has resources.
    #[serde(default)]
    pub force_rsc_grp: bool,
    /// The certificate of the node that sends, PEM. LINSTOR has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src_certificate: Option<String>,
}

/// Whether it is received.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ShipAnswer {
    /// Whether it is.
    pub can_receive: bool,
    /// Why not.
    pub responses: Vec<Entry>,
}

/// Where a snapshot is received.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Receive {
    /// Whether it can be sent.
    pub can_receive: bool,
    /// Why not.
    pub responses: Vec<Entry>,
    /// The remote of the cluster that sends.
    pub linstor_remote_name: String,
    /// What the cluster that sends calls the shipment.
    pub stlt_remote_name: String,
    /// URL of the cluster that sends.
    pub remote_url: String,
    /// Address of the node that receives.
    pub dst_stlt_ip: String,
    /// Its TCP ports by volume, and suffix of the backing volume.
    #[serde(alias = "dstStltPort", deserialize_with = "nullable")]
    pub dst_stlt_ports: BTreeMap<String, u16>,
    /// Identity of the base in the cluster that sends.
    #[serde(alias = "srcBaseSnapDfnUuid")]
    pub src_snap_dfn_uuid: Option<String>,
    /// Whether it has to be compressed.
    pub use_zstd: bool,
    /// What the cluster that sends calls the shipment.
    pub src_stlt_remote_name: String,
    /// The certificate of the node that receives, PEM. LINSTOR has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_certificate: Option<String>,
}

/// How it ended in the cluster that receives.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Done {
    /// Errors if it has failed.
    pub responses: Vec<Entry>,
    /// The remote of the cluster that sends.
    pub linstor_remote_name: String,
    /// What the cluster that sends calls the shipment.
    pub stlt_remote_name: String,
    /// URL of the cluster that sends.
    pub remote_url: String,
}

/// Shipments that are to end.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Abort {
    /// Why.
    pub responses: Vec<Entry>,
    /// The cluster that asks.
    pub cluster_id: String,
    /// Snapshots, as the cluster that asks calls them, by resource definitions, as the one that is asked calls them.
    #[serde(deserialize_with = "nullable")]
    pub rsc_and_snap_names_to_abort: BTreeMap<String, Vec<String>>,
    /// Version of the cluster that asks.
    pub cluster_version: Vec<i32>,
}

fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A reply between controllers. LINSTOR writes it in another form there than in answers to clients.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Entry {
    /// When it was made, ISO 8601 with offset.
    pub date_time: Option<String>,
    /// The objects that it is about.
    #[serde(deserialize_with = "nullable")]
    pub obj_refs: BTreeMap<String, String>,
    /// What happened.
    pub message: Option<String>,
    /// Why.
    pub cause: Option<String>,
    /// How to correct it.
    pub correction: Option<String>,
    /// More about it.
    pub details: Option<String>,
    /// Ids of error reports.
    #[serde(deserialize_with = "nullable")]
    pub error_ids: Vec<String>,
    /// The code.
    pub return_code: i64,
    /// Whether no error report is made of it.
    pub skip_error_report: bool,
}

impl Entry {
    /// Of a reply at a moment, in milliseconds since the Unix epoch.
    pub fn new(reply: &Reply, now_ms: u64) -> Entry {
        let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
        let now = jiff::Timestamp::from_millisecond(now).unwrap_or(jiff::Timestamp::MAX);
        let refs = reply.obj_refs.iter();
        Entry {
            date_time: Some(now.to_string()),
            obj_refs: refs
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect(),
            message: Some(reply.message.clone()),
            cause: reply.cause.clone(),
            correction: reply.correction.clone(),
            details: reply.details.clone(),
            error_ids: Vec::new(),
            return_code: reply.ret_code,
            skip_error_report: false,
        }
    }

    /// As a reply of this cluster about the other one, which a remote is called by.
    pub fn reply(&self, remote: &str) -> Reply {
        let plain = |text: &str| -> String {
            let text = text.chars().take(2000);
            text.map(|c| if c.is_control() && c != '\n' { ' ' } else { c })
                .collect()
        };
        let message = plain(self.message.as_deref().unwrap_or("No reason is given."));
        let mut reply = Reply::new(self.return_code, format!("Remote '{remote}': {message}"));
        reply.cause = self.cause.as_deref().map(plain);
        reply.correction = self.correction.as_deref().map(plain);
        reply.details = self.details.as_deref().map(plain);
        reply
    }
}

/// The first error among entries.
pub fn first_error(entries: &[Entry], remote: &str) -> Option<Reply> {
    let mut replies = entries.iter().map(|entry| entry.reply(remote));
    replies.find(Reply::is_error)
}

#[cfg(test)]
mod tests {
    use linstor_api::code;
    use serde_json::json;

    use super::*;

    /// As LINSTOR 1.34 says it, with a member that is read under two names and nulls in the place of what is not there.
    #[test]
    fn what_linstor_says_is_read() {
        let receive: Receive = serde_json::from_value(json!({
            "canReceive": true, "responses": [], "linstorRemoteName": "there", "stltRemoteName": "a", "remoteUrl": "http://h:1",
            "dstStltIp": "192.0.2.1", "dstStltPorts": {"0": 12000}, "srcSnapDfnUuid": null, "useZstd": true,
            "srcStltRemoteName": ".stlt;r_s_u"
        }))
        .unwrap();
        assert_eq!(receive.dst_stlt_ports["0"], 12_000);
        let other: Receive =
            serde_json::from_value(json!({"dstStltPort": {"1": 7}, "srcBaseSnapDfnUuid": "u"}))
                .unwrap();
        assert_eq!(other.dst_stlt_ports["1"], 7);
        assert_eq!(other.src_snap_dfn_uuid.as_deref(), Some("u"));
        let answer: PrevSnapAnswer = serde_json::from_value(json!({
            "canReceive": false, "prevSnapUuid": null, "resetData": false, "dstBaseSnapName": null,
            "dstActualNodeName": null, "responses": [{"dateTime": "2026-01-01T00:00:00Z", "objRefs": {}, "message": "No.",
            "cause": null, "correction": null, "details": null, "errorIds": [], "returnCode": -4611686018427387000_i64,
            "skipErrorReport": false}]
        }))
        .unwrap();
        let error = first_error(&answer.responses, "there").unwrap();
        assert_eq!(error.message, "Remote 'there': No.");
        let abort: Abort = serde_json::from_value(json!({"responses": [], "clusterId": "c",
            "rscAndSnapNamesToAbort": {"r": ["s"]}, "clusterVersion": [1, 34, 0]}))
        .unwrap();
        assert_eq!(abort.rsc_and_snap_names_to_abort["r"], ["s"]);
    }

    /// The members have LINSTOR's names, and those that it does not know are not there unless they are said.
    #[test]
    fn what_is_said_has_linstors_members() {
        let members = |value: serde_json::Value| {
            let mut members: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            members.sort();
            members
        };
        let said = serde_json::to_value(Receive::default()).unwrap();
        assert_eq!(
            members(said),
            [
                "canReceive",
                "dstStltIp",
                "dstStltPorts",
                "linstorRemoteName",
                "remoteUrl",
                "responses",
                "srcSnapDfnUuid",
                "srcStltRemoteName",
                "stltRemoteName",
                "useZstd"
            ]
        );
        let said = serde_json::to_value(PrevSnap::default()).unwrap();
        assert_eq!(
            members(said),
            [
                "dstNodeName",
                "dstRscName",
                "srcClusterId",
                "srcSnapDfnUuids",
                "srcVersion"
            ]
        );
        let reply = Reply::new(code::FAIL_UNKNOWN_ERROR, "No.").cause("Because.");
        let entry = Entry::new(&reply, 0);
        let said = serde_json::to_value(&entry).unwrap();
        assert_eq!(said["returnCode"], code::FAIL_UNKNOWN_ERROR);
        assert_eq!(said["dateTime"], "1970-01-01T00:00:00Z");
        assert_eq!(
            members(said),
            [
                "cause",
                "correction",
                "dateTime",
                "details",
                "errorIds",
                "message",
                "objRefs",
                "returnCode",
                "skipErrorReport"
            ]
        );
        let version = own_version();
        assert_eq!(
            format!("{}.{}.{}", version[0], version[1], version[2]),
            env!("CARGO_PKG_VERSION")
        );
    }
}
