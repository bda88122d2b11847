//! Sizes of volumes against brute force: whatever the pools, their units, the options, DRBD's metadata and LUKS headers are, every
//! resource has room for the device, DRBD has the same size everywhere, and what was asked for fits.

use std::collections::BTreeMap;

use linstor_api::kind::{LayerKind, ProviderKind, StorageSuffix};
use linstor_api::prop as key;
use linstor_wire::spec::{ResourceSpec, Withheld};
use proptest::prelude::*;
use uuid::Uuid;

use crate::layer::luks::Keys;
use crate::master_key::{KEY_BYTES, Key};
use crate::model::RowKey;
use crate::place::fixture::{Cluster, cluster, node, pool, resource};
use crate::process::resize;
use crate::project;
use crate::resource::{NewResource, Seeds, new_resource};
use crate::{DiskKind, Observed, StoragePool};

/// A pool for one resource.
#[derive(Debug, Clone)]
struct Place {
    kind: ProviderKind,
    /// Its unit as its node reports it, if it did.
    reported_kib: Option<u64>,
    /// The property with options, and its value.
    options: (&'static str, String),
    /// What its volumes really are multiples of.
    unit_kib: u64,
    peer_slots: u32,
    external: bool,
}

fn place() -> impl Strategy<Value = Place> {
    let extents = || prop::sample::select(vec![4, 1024, 4096, 32_768]);
    // With the number of stripes that hold data, as the fake LVM and the real one have it.
    let layouts = [
        ("-i 1", 1),
        ("-i 4", 4),
        ("--stripes=3 -I 128k", 3),
        ("--type striped", 1),
        ("--type raid0", 2),
        ("--type raid1 -m 2", 1),
        ("--type mirror", 1),
        ("-m 1 -i 2", 2),
        ("--type raid4 -i 2", 2),
        ("--type=raid5", 2),
        ("--type raid5 -i 3", 3),
        ("--type raid6", 3),
        ("--type raid10 -i 3", 3),
    ];
    let layouts = prop::sample::select(layouts.to_vec());
    let lvm = (extents(), layouts).prop_map(|(extent, (line, stripes))| {
        (
            ProviderKind::Lvm,
            extent,
            "LvcreateOptions",
            line.to_owned(),
            extent * stripes,
        )
    });
    let thin = extents().prop_map(|extent| {
        let line = "-i 3".to_owned();
        (
            ProviderKind::LvmThin,
            extent,
            "LvcreateOptions",
            line,
            extent,
        )
    });
    let blocks = prop::sample::select(vec![0_u64, 4, 32, 128]);
    let defaults = prop::sample::select(vec![8_u64, 16, 64]);
    let zfs = (blocks, defaults, any::<bool>()).prop_map(|(block, default, sparse)| {
        let (line, unit) = match block {
            0 => (String::new(), default),
            block => (format!("-ovolblocksize={block}K"), block),
        };
        let kind = match sparse {
            true => ProviderKind::ZfsThin,
            false => ProviderKind::Zfs,
        };
        (kind, default, "ZfscreateOptions", line, unit)
    });
    let file = any::<bool>().prop_map(|sparse| {
        let kind = match sparse {
            true => ProviderKind::FileThin,
            false => ProviderKind::File,
        };
        (kind, 1, "LvcreateOptions", String::new(), 1)
    });
    let any_kind = prop_oneof![3 => lvm, 2 => thin, 3 => zfs, 1 => file];
    (
        any_kind,
        prop::bool::weighted(0.9),
        3_u32..32,
        prop::bool::weighted(0.2),
    )
        .prop_map(
            |((kind, pool_kib, key, line, unit_kib), is_known, peer_slots, external)| Place {
                kind,
                reported_kib: is_known.then_some(pool_kib),
                options: (key, line),
                unit_kib,
                peer_slots,
                external,
            },
        )
}

#[derive(Debug, Clone)]
enum Op {
    /// The next resource.
    Add,
    /// To this many times the size before, in hundredths.
    Grow(u64),
    /// As [`Op::Grow`]; only the first node does its part before it is withdrawn.
    Withdraw(u64),
    /// Somebody makes all backing volumes larger by so many MiB or a little more, and then DRBD.
    ByHand(u64),
    /// Options change, which matters to new volumes only.
    OtherOptions,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => Just(Op::Add),
        2 => (101_u64..300).prop_map(Op::Grow),
        2 => (101_u64..300).prop_map(Op::Withdraw),
        1 => (1_u64..20).prop_map(Op::ByHand),
        1 => Just(Op::OtherOptions),
    ]
}

/// What cryptsetup puts before the data of each device.
const HEADER_KIB: u64 = 16 * 1024;

/// The nodes as they are: sizes of backing volumes and of DRBD's device.
struct World {
    cluster: Cluster,
    places: Vec<Place>,
    backing: BTreeMap<usize, u64>,
    metadata: BTreeMap<usize, u64>,
    device_kib: Option<u64>,
    /// Of a LUKS header on each device; 0 without encryption.
    header_kib: u64,
}

fn name(index: usize) -> String {
    format!("n{index}")
}

/// DRBD's metadata for a device of this size: from the format, not from the code under test.
fn metadata_kib(kib: u64, peer_slots: u32) -> u64 {
    let bytes_per_peer = kib.div_ceil(4).div_ceil(64) * 8;
    let bitmaps = (bytes_per_peer * u64::from(peer_slots)).div_ceil(4096) * 4;
    bitmaps + 32 + 4
}

impl World {
    fn new(
        places: &[Place],
        size_kib: u64,
        (gross_size, exact, encrypted): (bool, bool, bool),
    ) -> World {
        let lines = places.iter().enumerate().map(|(index, place)| {
            format!("{}: data 900T {}, meta 900T LVM", name(index), place.kind)
        });
        let text: Vec<String> = lines.collect();
        let mut cluster = cluster(&text.join("\n"));
        cluster.define("res", &[1]);
        cluster.prop("res", key::ALLOW_MIXING_STOR_POOL_DRIVER, "True");
        if exact {
            cluster.prop("res", key::DRBD_EXACT_SIZE, "True");
        }
        cluster
            .draft
            .edit_resource_definition(&resource("res"), |row| {
                if encrypted {
                    row.layer_stack = vec![LayerKind::Drbd, LayerKind::Luks, LayerKind::Storage];
                }
                let volume = row.volumes.get_mut(&0).unwrap();
                volume.size_kib = size_kib;
                volume.gross_size = gross_size;
            });
        for (index, place) in places.iter().enumerate() {
            let row = cluster
                .draft
                .pool(&node(&name(index)), &pool("data"))
                .unwrap();
            let mut row = StoragePool::clone(row);
            row.granularity_kib = place.reported_kib;
            let (key, line) = &place.options;
            row.props.insert(format!("StorDriver/{key}"), line.clone());
            cluster.draft.put_storage_pool(row);
        }
        World {
            cluster,
            places: places.to_vec(),
            backing: BTreeMap::new(),
            metadata: BTreeMap::new(),
            device_kib: None,
            header_kib: if encrypted { HEADER_KIB } else { 0 },
        }
    }

    fn spec(&self, index: usize) -> ResourceSpec {
        let draft = &self.cluster.draft;
        let keys = Keys::Withheld(Withheld::Locked);
        project::resource_spec(draft, &resource("res"), &node(&name(index)), keys).unwrap()
    }

    /// What a node does about its backing volumes.
    fn apply_storage(&mut self, index: usize) {
        let spec = self.spec(index);
        let volume = &spec.volumes[0];
        let unit_kib = self.places[index].unit_kib;
        let wanted_kib = volume.data().unwrap().size_kib.div_ceil(unit_kib) * unit_kib;
        let before = self.backing.get(&index).copied();
        let now = match before {
            Some(kib) if volume.fixed_size => kib,
            before => wanted_kib.max(before.unwrap_or(0)),
        };
        self.backing.insert(index, now);
        if let Some(meta) = volume.storage.get(&StorageSuffix::DrbdMeta) {
            let before = self.metadata.get(&index).copied().unwrap_or(0);
            let now = if volume.fixed_size && before > 0 {
                before
            } else {
                before.max(meta.size_kib)
            };
            self.metadata.insert(index, now);
        }
    }

    /// The largest device that DRBD makes of a node's backing volumes: tried out, from the largest one down.
    fn room_kib(&self, index: usize) -> u64 {
        let place = &self.places[index];
        let backing_kib = self.backing[&index] - self.header_kib;
        let mut room_kib = backing_kib / 4 * 4;
        match self.metadata.get(&index) {
            None => {
                let metadata_kib = metadata_kib(backing_kib, place.peer_slots);
                while room_kib + metadata_kib > backing_kib {
                    room_kib -= 4;
                }
            }
            Some(external_kib) => {
                let external_kib = external_kib - self.header_kib;
                while metadata_kib(room_kib, place.peer_slots) > external_kib {
                    room_kib -= 4;
                }
            }
        }
        room_kib
    }

    fn pin(&self, index: usize) -> Option<u64> {
        let spec = self.spec(index);
        let options = &spec.drbd().unwrap().volumes[0].disk_options;
        let size = options.get("size")?;
        Some(size.strip_suffix('k').unwrap().parse().unwrap())
    }

    fn smallest_room(&self) -> u64 {
        let rooms = self.backing.keys().map(|index| self.room_kib(*index));
        rooms.min().unwrap()
    }

    /// Adds the next resource; false if its pool cannot be mixed with the others.
    fn add(&mut self) -> Result<bool, TestCaseError> {
        let index = self.backing.len();
        let Some(place) = self.places.get(index).cloned() else {
            return Ok(false);
        };
        self.cluster
            .draft
            .edit_resource_definition(&resource("res"), |row| {
                row.drbd.as_mut().unwrap().peer_slots = place.peer_slots;
            });
        let mut new = NewResource::new(resource("res"), node(&name(index)), DiskKind::Diskful);
        new.pool = Some(pool("data"));
        if place.external {
            let key = key::STOR_POOL_NAME_DRBD_META.to_owned();
            new.props.insert(key, "meta".to_owned());
        }
        let observed = self.cluster.observed.clone();
        let mut uuid = Uuid::nil;
        let master_key = Key::new([7; KEY_BYTES]);
        let mut seeds = Seeds {
            now_ms: 7,
            uuid: &mut uuid,
            fill: &mut |bytes| bytes.fill(7),
            master_key: Some(&master_key),
        };
        if new_resource(&mut self.cluster.draft, &observed, &mut seeds, new).is_err() {
            self.places.truncate(index);
            return Ok(false);
        }
        let before = self.backing.clone();
        (0..=index).for_each(|index| self.apply_storage(index));
        for (index, kib) in before {
            prop_assert_eq!(
                self.backing[&index],
                kib,
                "an old backing volume has changed"
            );
        }
        let (room_kib, pin) = (self.room_kib(index), self.pin(index));
        let device_kib = match self.device_kib {
            Some(kib) => kib,
            None => pin.unwrap_or(room_kib),
        };
        prop_assert!(
            room_kib >= device_kib,
            "no room: {} < {}",
            room_kib,
            device_kib
        );
        self.device_kib = Some(device_kib);
        self.report();
        Ok(true)
    }

    fn grow(&mut self, hundredths: u64, withdraw: bool) {
        let name = resource("res");
        let volume = self.cluster.draft.definitions[&name].volumes[&0].clone();
        let from = resize::Size::of(&volume);
        self.cluster.draft.edit_resource_definition(&name, |row| {
            let volume = row.volumes.get_mut(&0).unwrap();
            volume.size_kib = (volume.size_kib * hundredths).div_ceil(100);
        });
        resize::begin(&mut self.cluster.draft, &name, 0, from, 1);
        if withdraw {
            self.apply_storage(0);
            resize::withdraw(&mut self.cluster.draft, &Observed::default(), &name, 0);
            return;
        }
        (0..self.backing.len()).for_each(|index| self.apply_storage(index));
        self.device_kib = Some(match self.pin(0) {
            Some(_) => self.spec(0).volumes[0].usable_kib,
            None => self.smallest_room(),
        });
        let id = self.cluster.draft.process_of_volume(&name, 0).unwrap().id;
        self.cluster.draft.remove(&RowKey::Process(id));
        self.report();
    }

    fn by_hand(&mut self, mib: u64) {
        for (index, kib) in &mut self.backing {
            let unit_kib = self.places[*index].unit_kib;
            *kib += (mib * 1024).div_ceil(unit_kib) * unit_kib;
        }
        self.device_kib = self.device_kib.max(Some(self.smallest_room()));
        self.report();
    }

    /// Whether DRBD takes whatever there is room for.
    fn is_simple(&self) -> bool {
        self.pin(0).is_none() && self.metadata.is_empty()
    }

    /// Nodes report their sizes.
    fn report(&mut self) {
        let name_of = resource("res");
        for (index, backing_kib) in self.backing.clone() {
            let draft = &self.cluster.draft;
            let row = draft.resource(&name_of, &node(&name(index))).unwrap();
            let sizes = (Some(backing_kib), self.device_kib);
            let definition = &draft.definitions[&name_of];
            if let Some(kib) = super::learned_kib(definition, 0, row, sizes) {
                super::learn(&mut self.cluster.draft, &name_of, 0, kib);
            }
        }
    }

    fn check(&self, exact: bool) -> Result<(), TestCaseError> {
        let Some(device_kib) = self.device_kib else {
            return Ok(());
        };
        let definition = &self.cluster.draft.definitions[&resource("res")];
        let volume = &definition.volumes[&0];
        let rooms: Vec<u64> = self
            .backing
            .keys()
            .map(|index| self.room_kib(*index))
            .collect();
        for room_kib in &rooms {
            prop_assert!(*room_kib >= device_kib, "{:?} {}", rooms, device_kib);
        }
        match (exact, volume.gross_size) {
            (true, false) => prop_assert_eq!(device_kib, volume.size_kib),
            (_, false) => prop_assert!(device_kib >= volume.size_kib),
            (_, true) => {
                let mut backing = self.backing.values();
                prop_assert!(backing.all(|kib| *kib >= volume.size_kib));
            }
        }
        let differ = rooms.iter().any(|room_kib| *room_kib != device_kib);
        for index in self.backing.keys() {
            let pin = self.pin(*index);
            prop_assert!(
                pin.is_none() || pin == Some(device_kib),
                "{:?} {}",
                pin,
                device_kib
            );
            let unknown = self.places.iter().any(|place| place.reported_kib.is_none());
            let is_needed = differ && self.backing.len() > 1 && !unknown;
            prop_assert!(!is_needed || pin.is_some(), "{:?} {}", rooms, device_kib);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn sizes_hold(
        places in prop::collection::vec(place(), 1..4),
        ops in prop::collection::vec(op(), 1..7),
        size_kib in 100_u64..3_000_000,
        gross_size in prop::bool::weighted(0.2),
        exact in prop::bool::weighted(0.2),
        encrypted in prop::bool::weighted(0.3),
    ) {
        let size_kib = if gross_size { size_kib + 100_000 } else { size_kib };
        let exact = exact && !gross_size;
        let mut world = World::new(&places, size_kib, (gross_size, exact, encrypted));
        for op in std::iter::once(Op::Add).chain(ops) {
            match op {
                Op::Add => drop(world.add()?),
                Op::Grow(hundredths) if !exact => world.grow(hundredths, false),
                Op::Withdraw(hundredths) if !exact => world.grow(hundredths, true),
                Op::ByHand(mib) if !exact && world.is_simple() => world.by_hand(mib),
                Op::Grow(_) | Op::Withdraw(_) | Op::ByHand(_) => {}
                Op::OtherOptions => drop(world.cluster.prop("res", "StorDriver/LvcreateOptions", "-i 7")),
            }
            world.check(exact)?;
        }
    }
}
