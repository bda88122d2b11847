//! Bodies of requests.

use std::fmt::Debug;

use linstor_api::lenient::Lenient;
use linstor_api::request::{BodyError, read};
use linstor_api::{
    auth_token, auto_select_filter, backup, config, encryption, external_file, job,
    key_value_store, net_interface, node, properties, query_size, remote, resource,
    resource_definition, resource_group, schedule, snapshot, storage_pool, storage_pool_definition,
    volume_definition, volume_group,
};
use linstor_fuzz::fuzz;
use serde::Serialize;
use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde_json::{Map, Value, json};

/// Asks a type for its members, which is all that it gives.
struct Members<'a>(&'a mut Vec<&'static str>);

impl<'de> Deserializer<'de> for Members<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Error::custom("not an object"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        members: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        self.0.extend(members);
        Err(Error::custom("only asked for its members"))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// Reads a type: what is read is written, and read again as the same.
fn body<T>()
where
    T: Lenient + Default + DeserializeOwned + Serialize + PartialEq + Debug,
{
    let name = std::any::type_name::<T>();
    let mut members = Vec::new();
    let _only_asked = T::deserialize(Members(&mut members));
    let values = [
        json!("text"),
        json!("1"),
        json!(1),
        json!(["a", "b"]),
        json!(true),
        json!({"Aux/a": "b"}),
        json!([{"a": 1}]),
    ];
    // Each member with each value, and all of them that are taken.
    let mut corpus = vec![
        b"{}".to_vec(),
        b"null".to_vec(),
        b"[]".to_vec(),
        b"\"text\"".to_vec(),
    ];
    let mut whole = Map::new();
    for member in members {
        for value in &values {
            let object = json!({member: value});
            let text = object.to_string().into_bytes();
            if read::<T>(&text).is_ok() {
                whole.insert(member.to_owned(), value.clone());
            }
            corpus.push(text);
        }
    }
    corpus.push(Value::Object(whole).to_string().into_bytes());
    fuzz(name, &corpus, |input| {
        let value = match read::<T>(input) {
            Ok(value) => value,
            Err(BodyError::Malformed(reason)) => return reason,
            Err(error) => return error.to_string(),
        };
        let written = serde_json::to_vec(&value).expect("what was read can be written");
        let again: T = serde_json::from_slice(&written).expect("what was written can be read");
        assert_eq!(value, again);
        String::new()
    });
}

macro_rules! targets {
    ($($name:ident: $($type:ty),+;)+) => {$(
        #[test]
        fn $name() {
            $(body::<$type>();)+
        }
    )+};
}

targets! {
    tokens: auth_token::InitAuthToken, auth_token::AuthTokenCreate, auth_token::AuthTokenModify;
    filters: auto_select_filter::AutoSelectFilter, query_size::QuerySizeInfoRequest;
    backups: backup::BackupAbort, backup::BackupCreate, backup::BackupInfoRequest, backup::BackupRestore, schedule::BackupSchedule,
        backup::BackupShip, remote::EbsRemote, remote::LinstorRemote, remote::S3Remote, schedule::Schedule, schedule::ScheduleModify;
    settings: config::ControllerConfig, properties::PropertiesModify, key_value_store::KeyValueStoreModify,
        encryption::PassphraseCreate, external_file::ExternalFile, job::JobCancel;
    nodes: node::Node, node::NodeModify, node::NodeEvacuate, node::NodeRestore, net_interface::NetInterface, remote::NodeCreateEbs;
    pools: storage_pool::StoragePool, storage_pool_definition::StoragePoolDefinition;
    groups: resource_group::ResourceGroup, resource_group::ResourceGroupModify, resource_group::ResourceGroupSpawn,
        resource_group::ResourceGroupAdjust, volume_group::VolumeGroup, volume_group::VolumeGroupModify;
    definitions: resource_definition::ResourceDefinitionCreate, resource_definition::ResourceDefinitionModify,
        volume_definition::VolumeDefinitionCreate, volume_definition::VolumeDefinitionModify;
    resources: resource::ResourceCreate, resource::ResourceModify, resource::ResourceMakeAvailable, resource::ToggleDiskRequest,
        resource::ToggleDiskDiskful;
    snapshots: snapshot::Snapshot, snapshot::SnapshotCreateMulti, snapshot::SnapshotRestore, snapshot::SnapshotRollback;
}
