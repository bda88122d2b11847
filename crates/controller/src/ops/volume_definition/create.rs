//! Creating a volume definition, and its volumes where resources exist already.

use linstor_api::flag::volume_definition as flag;
use linstor_api::properties::Properties;
use linstor_api::reply::Reply;
use linstor_api::volume_definition::VolumeDefinitionCreate;
use linstor_api::{code, prop};
use linstor_model::name::ResourceName;
use linstor_model::resource::add_volume;
use linstor_model::{Props, VolumeDefinition, numbers};
use uuid::Uuid;

use super::super::property::{self, Owner};
use super::super::reply::exists;
use super::super::request::Wait;
use super::super::{names, resource_definition};
use super::{context, describe};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// The largest volume: 1 PiB, DRBD's limit.
const SIZE_KIB_MAX: u64 = 1 << 40;

/// A volume definition that is to be created.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct NewVolumeDefinition {
    pub(in super::super) number: Option<u32>,
    pub(in super::super) size_kib: u64,
    pub(in super::super) gross_size: bool,
    pub(in super::super) minor: Option<i64>,
    pub(in super::super) props: Properties,
}

/// A size that a volume can have.
pub(in super::super) fn size(given: i64) -> Result<u64, Refusal> {
    let invalid = |cause: &str| {
        Reply::new(
            code::FAIL_INVLD_VLM_SIZE,
            format!("The volume size of {given} KiB is not valid."),
        )
        .cause(cause)
        .correction(format!(
            "Use a size from 4 KiB to {SIZE_KIB_MAX} KiB (1 PiB)."
        ))
        .into()
    };
    match u64::try_from(given) {
        Ok(0) | Err(_) => Err(invalid("A volume must have a size.")),
        Ok(size) if size > SIZE_KIB_MAX => Err(invalid("It is larger than a volume can be.")),
        Ok(size) if size < 4 => Err(invalid("It is smaller than the block size.")),
        Ok(size) => Ok(size),
    }
}

pub(in super::super) fn encrypted_refused() -> Refusal {
    Reply::new(
        code::FAIL_NOT_FOUND_CRYPT_KEY,
        "Encrypted volumes are not implemented yet by this controller",
    )
    .cause("There is no master key, and no layer that encrypts.")
    .correction("Leave the flag 'ENCRYPTED' and the passphrase out.")
    .into()
}

/// Creates a volume definition, and a volume of every resource there is.
pub async fn create(
    cluster: &Cluster,
    name: String,
    request: VolumeDefinitionCreate,
) -> Vec<Reply> {
    let parse = || Ok((names::resource(&name)?, parse(request)?));
    context(code::MASK_CRT, &name, None)
        .change(cluster, parse, |tx, (name, new)| {
            let number = add(tx, &name, new)?;
            if tx.resources_of(&name).next().is_some() {
                tx.plan(|draft, observed, seeds| {
                    add_volume(draft, observed, seeds, &name, number)
                })?;
            }
            Ok(Wait::Applied(vec![name]))
        })
        .await
}

fn parse(request: VolumeDefinitionCreate) -> Result<NewVolumeDefinition, Refusal> {
    let json = request.volume_definition;
    let bits = flag::ALL.bits_of(&json.flags);
    let passphrase = request
        .passphrase
        .as_deref()
        .is_some_and(|text| !text.is_empty());
    if bits & flag::ENCRYPTED != 0 || passphrase {
        return Err(encrypted_refused());
    }
    let number = json.volume_number.map(i64::from);
    Ok(NewVolumeDefinition {
        number: number.map(names::volume_number).transpose()?,
        size_kib: size(json.size_kib)?,
        gross_size: bits & flag::GROSS_SIZE != 0,
        minor: request.drbd_minor_number.map(i64::from),
        props: json.props,
    })
}

/// Adds a volume definition to a draft and returns its number.
pub(in super::super) fn add(
    tx: &mut Transaction<'_>,
    name: &ResourceName,
    new: NewVolumeDefinition,
) -> Result<u32, Refusal> {
    let definition = names::known_definition(tx, name)?.clone();
    resource_definition::check_not_deleting(tx, &definition)?;
    let number = match new.number {
        Some(number) => number,
        None => numbers::allocate_volume_number(&definition)?,
    };
    let what = describe(&definition.name, number);
    if definition.volumes.contains_key(&number) {
        return Err(exists(code::FAIL_EXISTS_VLM_DFN, &what).into());
    }
    let minor = match (new.minor, &definition.drbd) {
        (Some(minor), Some(_)) => Some(numbers::check_minor(tx, minor)?),
        (None, Some(_)) => Some(numbers::allocate_minor(tx)?),
        (_, None) => None,
    };
    let mut props = Props::new();
    let replies = property::set(Owner::VolumeDefinition, &mut props, new.props)?;
    if minor.is_some() {
        props.get_or_insert_with(prop::DRBD_CURRENT_GI.to_owned(), || day0(tx));
    }
    let uuid = tx.uuid();
    tx.reply(added(&definition.name, number, uuid));
    tx.replies(replies);
    tx.edit_resource_definition(name, |row| {
        let volume = VolumeDefinition {
            uuid,
            size_kib: new.size_kib,
            gross_size: new.gross_size,
            encrypted: false,
            props,
            minor,
            first_copy_on: None,
            initialized: false,
            file_system_on: Default::default(),
            granularity_kib: 0,
        };
        row.volumes.insert(number, volume);
    });
    Ok(number)
}

fn added(name: &ResourceName, number: u32, uuid: Uuid) -> Reply {
    let message = format!(
        "New volume definition with number '{number}' of resource definition '{name}' created."
    );
    Reply::new(code::MASK_VLM_DFN | code::MASK_CRT | code::CREATED, message)
        .about("RscDfn", name.as_str())
        .about("VlmNr", number.to_string())
        .about("UUID", uuid.to_string())
}

/// The generation id that a volume which was never written has: even, as the last bit is DRBD's mark of a primary.
fn day0(tx: &Transaction<'_>) -> String {
    let bytes = tx.random::<8>();
    format!("{:016X}", u64::from_be_bytes(bytes) & !1)
}
