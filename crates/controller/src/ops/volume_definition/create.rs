//! Creating a volume definition, and its volumes where resources exist already.

use linstor_api::flag::volume_definition as flag;
use linstor_api::kind::LayerKind;
use linstor_api::properties::Properties;
use linstor_api::reply::Reply;
use linstor_api::secret_text::SecretText;
use linstor_api::volume_definition::VolumeDefinitionCreate;
use linstor_api::{code, prop};
use linstor_model::layer::luks;
use linstor_model::name::ResourceName;
use linstor_model::resource::add_volume;
use linstor_model::{LuksKey, Props, ResourceDefinition, VolumeDefinition, layer, numbers};
use linstor_wire::Secret;
use uuid::Uuid;

use super::super::property::{self, Owner};
use super::super::reply::exists;
use super::super::{name, resource, resource_definition};
use super::{context, label};
use crate::cluster::Cluster;
use crate::transaction::{Refusal, Transaction};

/// A volume definition that is to be created.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct NewVolumeDefinition {
    pub(in super::super) number: Option<u32>,
    pub(in super::super) size_kib: i64,
    pub(in super::super) gross_size: bool,
    pub(in super::super) encrypted: bool,
    pub(in super::super) passphrase: Option<Secret>,
    pub(in super::super) minor: Option<i64>,
    pub(in super::super) props: Properties,
}

/// A size that a volume of a definition can have. DRBD's limits count where the layers are known to include it; elsewhere
/// they are checked when the first resource with DRBD is created.
pub(super) fn size(definition: &ResourceDefinition, given: i64) -> Result<u64, Refusal> {
    let replicated = definition.layer_stack.contains(&LayerKind::Drbd);
    let limits = match replicated {
        true => layer::drbd::SIZE_KIB_MIN..=layer::drbd::SIZE_KIB_MAX,
        false => 1..=u64::MAX,
    };
    if let Some(size) = u64::try_from(given)
        .ok()
        .filter(|size| limits.contains(size))
    {
        return Ok(size);
    }
    let cause = match replicated {
        true => "It is outside of the limits of DRBD.",
        false => "A volume must have a size.",
    };
    Err(Reply::new(
        code::FAIL_INVLD_VLM_SIZE,
        format!("The volume size of {given} KiB is not valid."),
    )
    .cause(cause)
    .correction(format!(
        "Use a size from {} KiB to {} KiB (1 PiB).",
        layer::drbd::SIZE_KIB_MIN,
        layer::drbd::SIZE_KIB_MAX
    ))
    .into())
}

/// Refuses while there is no master key to seal the key of an encrypted volume with.
pub(in super::super) fn check_unlocked(tx: &Transaction<'_>) -> Result<(), Refusal> {
    match tx.is_unlocked() {
        true => Ok(()),
        false => Err(luks::locked().into()),
    }
}

/// A passphrase of a user for a volume.
pub(in super::super) fn passphrase(given: &SecretText) -> Result<Secret, Refusal> {
    let text = given.reveal();
    let plain = !text.contains(|c: char| c.is_control());
    if plain && (1..=luks::PASSPHRASE_BYTES_MAX).contains(&text.len()) {
        return Ok(Secret::new(text));
    }
    let message = "The passphrase of the volume is not valid.";
    Err(Reply::new(code::FAIL_INVLD_CRYPT_PASSPHRASE, message)
        .cause("It is empty or too long, or has a line break or another control character.")
        .correction(format!(
            "Use 1 to {} bytes in one line.",
            luks::PASSPHRASE_BYTES_MAX
        ))
        .into())
}

/// Creates a volume definition, and a volume of every resource there is.
pub async fn create(
    cluster: &Cluster,
    name: String,
    request: VolumeDefinitionCreate,
) -> Vec<Reply> {
    let context = context(code::MASK_CRT, &name, None);
    let work = async {
        let (name, new) = (name::resource(&name)?, parse(request)?);
        let target = name.clone();
        let committed = cluster.commit(move |tx| {
            let number = add(tx, &target, new)?;
            tx.plan(|draft, observed, seeds| add_volume(draft, observed, seeds, &target, number))?;
            Ok(number)
        });
        let committed = committed.await?;
        let number = committed.value;
        let mut replies = committed.replies;
        let applied = resource::applied(cluster, &name, committed.generation).await;
        replies.extend(applied.replies);
        let model = cluster.model();
        for node in applied.nodes {
            if let Some(row) = model.resource(&name, &node) {
                let entry = resource::volume_entry(&model, row, number, code::CREATED, "created");
                replies.extend(entry);
            }
            let message = format!("Created volume for resource '{name}' on '{node}'");
            replies.push(Reply::new(code::MODIFIED, message));
        }
        Ok(replies)
    };
    context.run(work).await
}

fn parse(request: VolumeDefinitionCreate) -> Result<NewVolumeDefinition, Refusal> {
    let json = request.volume_definition;
    name::known_flags(&flag::ALL, &json.flags)?;
    let bits = flag::ALL.bits_of(&json.flags);
    let given = request.passphrase.filter(|text| !text.reveal().is_empty());
    let number = json.volume_number.map(i64::from);
    Ok(NewVolumeDefinition {
        number: number.map(name::volume_number).transpose()?,
        size_kib: json.size_kib,
        gross_size: bits & flag::GROSS_SIZE != 0,
        encrypted: bits & flag::ENCRYPTED != 0,
        passphrase: given.as_ref().map(passphrase).transpose()?,
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
    let definition = name::known_definition(tx, name)?.clone();
    resource_definition::check_not_deleting(tx, &definition)?;
    let number = match new.number {
        Some(number) => number,
        None => numbers::allocate_volume_number(&definition)?,
    };
    let refused = |Refusal(replies): Refusal| {
        let details = format!("Resource definition: {name}, Volume number: {number}");
        let marked = replies.into_iter().map(|reply| {
            reply
                .with_mask(code::MASK_VLM_DFN | code::MASK_CRT)
                .details(details.clone())
                .about("RscDfn", name.as_str())
                .about("VlmNr", number.to_string())
        });
        Refusal(marked.collect())
    };
    let names_minor = new.minor.is_some();
    let (row, replies) = row(tx, &definition, number, new).map_err(refused)?;
    tx.replies(replies);
    tx.reply(added(&definition.name, number, row.uuid));
    tx.edit_resource_definition(name, |definition| {
        definition.volumes.insert(number, row);
        if let Some(drbd) = &mut definition.drbd {
            drbd.implied &= !names_minor;
        }
    });
    Ok(number)
}

/// The row of a new volume definition, and replies about its properties.
fn row(
    tx: &mut Transaction<'_>,
    definition: &ResourceDefinition,
    number: u32,
    new: NewVolumeDefinition,
) -> Result<(VolumeDefinition, Vec<Reply>), Refusal> {
    if definition.volumes.contains_key(&number) {
        let what = label(&definition.name, number);
        return Err(exists(code::FAIL_EXISTS_VLM_DFN, &what).into());
    }
    if new.encrypted || new.passphrase.is_some() {
        check_unlocked(tx)?;
    }
    let size_kib = size(definition, new.size_kib)?;
    let names_minor = new.minor.is_some();
    let minor = match (new.minor, &definition.drbd) {
        (Some(minor), Some(_)) => Some(numbers::check_minor(tx, minor)?),
        (None, Some(_)) => Some(numbers::allocate_minor(tx, &tx.observed.foreign_minors())?),
        (_, None) => None,
    };
    let mut props = Props::new();
    let replies = property::set(Owner::VolumeDefinition, &mut props, new.props)?;
    props.get_or_insert_with(prop::DRBD_CURRENT_GI.to_owned(), || day0(tx));
    let mut row = VolumeDefinition {
        uuid: tx.uuid(),
        size_kib,
        gross_size: new.gross_size,
        // Where the layers are not chosen yet, a passphrase chooses them.
        encrypted: new.encrypted || (new.passphrase.is_some() && definition.layer_stack.is_empty()),
        props,
        minor,
        implied_minor: !names_minor,
        first_copy_on: None,
        initialized: false,
        restored: false,
        luks: None,
        file_system_on: Default::default(),
        granularity_kib: 0,
        device_kib: None,
        pinned: false,
    };
    if let Some(passphrase) = new.passphrase {
        row.luks = Some(supplied_key(tx, definition, number, &row, &passphrase)?);
    }
    Ok((row, replies))
}

/// The key of a volume that a user supplies, sealed.
pub(super) fn supplied_key(
    tx: &mut Transaction<'_>,
    definition: &ResourceDefinition,
    number: u32,
    row: &VolumeDefinition,
    passphrase: &Secret,
) -> Result<LuksKey, Refusal> {
    let options = match &row.luks {
        Some(luks) => luks.format_options.clone(),
        None => luks::format_options(tx, definition, number),
    };
    let key = tx.plan(|_, _, seeds| luks::seal(seeds, row, passphrase, true, options))?;
    Ok(key)
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
