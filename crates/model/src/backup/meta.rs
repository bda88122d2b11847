//! The description of a backup: a JSON document next to the objects of its volumes.
//!
//! Members that are not known are left unread; LINSTOR itself refuses documents with some of them, so that nothing is added
//! to what it writes.

use std::collections::BTreeMap;
use std::fmt;

use linstor_api::kind::ProviderKind;
use serde::{Deserialize, Deserializer, Serialize};

use crate::master_key::linstor::MasterKey;

/// The largest description that is read, in bytes. One of 1,000 volumes with 100 properties each has less.
pub const BYTES_MAX: usize = 16 * 1024 * 1024;

/// The description of a backup. Its debug output has no properties and no keys.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The resource that it is of.
    pub rsc_name: String,
    /// The node that sent it.
    pub node_name: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub start_timestamp: i64,
    /// When it ended, in milliseconds since the Unix epoch.
    pub finish_timestamp: i64,
    /// The key of the description of the backup that it is based on; none of a full one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub based_on: Option<String>,
    /// The layers of the resource, the top one first.
    pub layer_data: Layer,
    /// The resource definition as it was.
    #[serde(default)]
    pub rsc_dfn: Definition,
    /// The resource as it was.
    #[serde(default)]
    pub rsc: Resource,
    /// The master key of the cluster that made it, for the keys of its encrypted volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub luks_info: Option<MasterKey>,
    /// The objects by number of the volume.
    #[serde(default)]
    pub backups: BTreeMap<u32, Objects>,
    /// The cluster that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Identity of the snapshot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snap_dfn_uuid: Option<String>,
}

/// Properties by their keys.
pub type Props = BTreeMap<String, String>;

/// A resource definition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// The properties of the snapshot.
    #[serde(default)]
    pub snap_dfn_props: Props,
    /// The properties that were in force for the resource definition, wherever they were set.
    #[serde(default)]
    pub rsc_dfn_props: Props,
    /// Flags as LINSTOR numbers them.
    #[serde(default)]
    pub flags: u64,
    /// The volume definitions by number.
    #[serde(default)]
    pub vlm_dfns: BTreeMap<u32, VolumeDefinition>,
}

/// A volume definition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeDefinition {
    /// Its properties in the snapshot.
    #[serde(default)]
    pub snap_vlm_dfn_props: Props,
    /// Its properties.
    #[serde(default)]
    pub vlm_dfn_props: Props,
    /// Flags as LINSTOR numbers them.
    #[serde(default)]
    pub flags: u64,
    /// Its size in KiB.
    pub size: u64,
}

/// A resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resource {
    /// Its properties in the snapshot.
    #[serde(default)]
    pub snap_props: Props,
    /// Its properties.
    #[serde(default)]
    pub rsc_props: Props,
    /// Always 0.
    #[serde(default)]
    pub flags: u64,
    /// Its volumes by number.
    #[serde(default)]
    pub vlms: BTreeMap<u32, Volume>,
}

/// A volume.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Volume {
    /// Its properties in the snapshot.
    #[serde(default)]
    pub snap_vlm_props: Props,
    /// Its properties.
    #[serde(default)]
    pub vlm_props: Props,
    /// Always 0.
    #[serde(default)]
    pub flags: u64,
}

/// A layer of the resource.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// Its kind, such as `drbd`.
    pub kind: String,
    /// The layers below.
    #[serde(default)]
    pub children: Vec<Layer>,
    /// What its backing volumes are for; empty for data.
    #[serde(default)]
    pub rsc_name_suffix: String,
    /// What only DRBD's layer has.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub drbd: Option<DrbdLayer>,
    /// Its volumes.
    #[serde(default)]
    pub volume_list: Vec<LayerVolume>,
}

/// DRBD's part of a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrbdLayer {
    /// What is the same for all resources of the definition.
    pub drbd_rsc_dfn: DrbdDefinition,
    /// Node id.
    pub node_id: u32,
    /// How many TCP ports it had. Older releases have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_count: Option<u32>,
    /// Peer slots of its metadata.
    pub peer_slots: u32,
    /// Stripes of its activity log.
    pub al_stripes: u32,
    /// Size of a stripe in KiB.
    pub al_stripe_size: u64,
    /// Flags as LINSTOR numbers them.
    pub flags: u64,
}

/// DRBD's part of the resource definition. LINSTOR writes a port that is not known as null.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrbdDefinition {
    /// Empty for data.
    #[serde(default)]
    pub rsc_name_suffix: String,
    /// Peer slots of new metadata.
    pub peer_slots: u32,
    /// Stripes of the activity log.
    pub al_stripes: u32,
    /// Size of a stripe in KiB.
    pub al_stripe_size: u64,
    /// The TCP port.
    #[serde(default)]
    pub port: Option<u32>,
    /// The transport, such as `IP`.
    pub transport_type: String,
}

/// A volume of a layer. What it has depends on its kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LayerVolume {
    /// Its kind: `drbd`, `luks`, or that of the provider, such as `lvmThin`.
    #[serde(default)]
    pub kind: String,
    /// Its number.
    #[serde(default)]
    pub vlm_nr: u32,
    /// DRBD's part of the volume definition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drbd_vlm_dfn: Option<DrbdVolumeDefinition>,
    /// Where DRBD's external metadata was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_meta_data_stor_pool: Option<String>,
    /// The key of a LUKS header, encrypted with the master key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted_password: Option<Encrypted>,
    /// Its storage pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stor_pool_api: Option<Pool>,
    /// What it holds, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_size: Option<i64>,
    /// What it occupies, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocated_size: Option<i64>,
    /// What a snapshot of it holds, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_usable_size: Option<i64>,
    /// What its snapshot occupies, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_allocated_size: Option<i64>,
    /// Block size of a zvol, in KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extent_size: Option<i64>,
}

/// DRBD's part of a volume definition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DrbdVolumeDefinition {
    /// Empty for data.
    #[serde(default)]
    pub rsc_name_suffix: String,
    /// Number of the volume.
    pub vlm_nr: u32,
}

/// A secret, encrypted with a master key of LINSTOR, in base64. Shows as `sealed`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Encrypted(pub String);

impl fmt::Debug for Encrypted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sealed")
    }
}

/// A storage pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pool {
    /// Always `storPool`.
    #[serde(default = "stor_pool")]
    kind: String,
    /// Its name.
    #[serde(default)]
    pub stor_pool_name: String,
    /// What it is made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_provider_kind: Option<String>,
}

impl Pool {
    /// A pool.
    pub fn new(name: String, kind: ProviderKind) -> Pool {
        Pool {
            kind: stor_pool(),
            stor_pool_name: name,
            device_provider_kind: Some(kind.as_str().to_owned()),
        }
    }
}

fn stor_pool() -> String {
    "storPool".to_owned()
}

/// The objects of a volume. Some releases of LINSTOR write one without a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Objects(pub Vec<Object>);

/// The object of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Its key.
    pub name: String,
    /// When it was sent, in milliseconds since the Unix epoch.
    #[serde(default)]
    pub finished_timestamp: i64,
    /// The node that sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

impl<'de> Deserialize<'de> for Objects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Several(Vec<Object>),
            One(Object),
        }
        Ok(Objects(match Form::deserialize(deserializer)? {
            Form::Several(objects) => objects,
            Form::One(object) => vec![object],
        }))
    }
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta")
            .field("rsc_name", &self.rsc_name)
            .field("node_name", &self.node_name)
            .field("start_timestamp", &self.start_timestamp)
            .field("based_on", &self.based_on)
            .field("backups", &self.backups)
            .field("snap_dfn_uuid", &self.snap_dfn_uuid)
            .finish_non_exhaustive()
    }
}

impl Meta {
    /// Reads a description.
    ///
    /// # Errors
    ///
    /// When it is none. The text has nothing of the document in it.
    pub fn read(bytes: &[u8]) -> Result<Meta, String> {
        serde_json::from_slice(bytes).map_err(|error| {
            // The words of the error quote what was found, which may be a key.
            let (line, column) = (error.line(), error.column());
            format!("it is no description of a backup: line {line}, column {column}")
        })
    }
}

impl Layer {
    /// The layers that are storage, this one and those below.
    pub fn storage(&self) -> Vec<&Layer> {
        let mut found: Vec<&Layer> = self.children.iter().flat_map(Layer::storage).collect();
        if self.kind == "storage" {
            found.push(self);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"rscName":"myres","nodeName":"alpha","startTimestamp":1743170939000,
        "finishTimestamp":1743170999000,"basedOn":"myres_back_20250327_150859.meta",
        "layerData":{"kind":"drbd","rscNameSuffix":"","drbdRscDfn":{"rscNameSuffix":"","peerSlots":7,"alStripes":1,
          "alStripeSize":32,"port":null,"transportType":"IP"},"nodeId":0,"portCount":1,"peerSlots":7,"alStripes":1,
          "alStripeSize":32,"flags":0,"volumeList":[{"kind":"drbd","vlmNr":0,"drbdVlmDfn":{"rscNameSuffix":"","vlmNr":0}}],
          "children":[{"kind":"luks","rscNameSuffix":"","volumeList":[{"kind":"luks","vlmNr":0,"encryptedPassword":"c2VhbGVk"}],
           "children":[{"kind":"storage","children":[],"rscNameSuffix":"","volumeList":[
             {"kind":"lvmThin","vlmNr":0,"storPoolApi":{"kind":"storPool","storPoolName":"pool","deviceProviderKind":"LVM_THIN"},
              "usableSize":1048576,"allocatedSize":1048576,"snapshotUsableSize":1048576,"snapshotAllocatedSize":204800}]}]}]},
        "rscDfn":{"snapDfnProps":{"SequenceNumber":"1"},"rscDfnProps":{"a":"b"},"flags":0,
          "vlmDfns":{"0":{"snapVlmDfnProps":{},"vlmDfnProps":{},"flags":0,"size":1048576}}},
        "rsc":{"snapProps":{},"rscProps":{},"flags":0,"vlms":{"0":{"snapVlmProps":{},"vlmProps":{},"flags":0}}},
        "luksInfo":{"masterPassword":"bWFzdGVy","masterCryptHash":"aGFzaA==","masterCryptSalt":"c2FsdA=="},
        "backups":{"0":[{"name":"myres_00000_back_20250328_150859","finishedTimestamp":1743170998000,"node":"alpha"}]},
        "clusterId":"c","snapDfnUuid":"u"}"#;

    /// A document of LINSTOR is read and written again as it was; debug output has no sealed key.
    #[test]
    fn documents_are_read_and_written_alike() {
        let meta = Meta::read(DOCUMENT.as_bytes()).unwrap();
        let value: serde_json::Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(serde_json::to_value(&meta).unwrap(), value);
        let storage = meta.layer_data.storage();
        let volume = &storage[0].volume_list[0];
        assert_eq!(volume.snapshot_allocated_size, Some(204_800));
        assert_eq!(
            volume.stor_pool_api.as_ref().unwrap().stor_pool_name,
            "pool"
        );
        let shown = format!("{meta:?} {:?} {:?}", meta.luks_info, meta.layer_data);
        for secret in ["bWFzdGVy", "c2VhbGVk", "aGFzaA"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    /// Other releases write an object of a volume without a list, and members that nobody knows.
    #[test]
    fn other_forms_are_read() {
        let short = r#"{"rscName":"r","nodeName":"n","startTimestamp":1,"finishTimestamp":2,"another":{},
            "layerData":{"kind":"storage","children":[],"rscNameSuffix":"","volumeList":[]},
            "backups":{"1":{"name":"r_00001_back_20250328_150859","finishedTimestamp":3}}}"#;
        let meta = Meta::read(short.as_bytes()).unwrap();
        assert_eq!(meta.backups[&1].0[0].finished_timestamp, 3);
    }

    /// What is none is refused, without quoting it.
    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "{}",
            "null",
            "[]",
            "c2VhbGVk",
            r#"{"rscName":{"c2VhbGVk":1}}"#,
        ] {
            let error = Meta::read(bad.as_bytes()).unwrap_err();
            assert!(!error.contains("c2VhbGVk"), "{error}");
        }
    }
}
