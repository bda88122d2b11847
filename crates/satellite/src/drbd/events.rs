//! Lines of `drbdsetup events2 --statistics`, and how they change the state.
//!
//! What is not known is passed over, so that newer versions of DRBD do no harm.

use std::collections::BTreeMap;

use linstor_api::drbd_state::Quorum;

use super::status::{
    DrbdConnection, DrbdDevice, DrbdPeerVolume, DrbdResource, DrbdState, connection_key,
};

/// A line, understood.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// All that DRBD had when the stream began has been reported.
    DumpDone,
    /// Something is there, new, or different.
    Update {
        /// It is new: what was known under its name is out of date.
        fresh: bool,
        /// What it is about.
        object: Object,
        /// The line's other fields.
        fields: BTreeMap<String, String>,
    },
    /// An object was removed.
    Destroy(Object),
    /// A resource has another name.
    Rename {
        /// The name so far.
        from: String,
        /// The name from now on.
        to: String,
    },
    /// Nothing that matters here.
    Ignored,
}

/// What a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A resource.
    Resource(String),
    /// A volume's device: resource, volume.
    Device(String, u32),
    /// A connection: resource, key, name, peer's node id.
    Connection(String, String, String, u32),
    /// A volume of a connection: resource, connection's key, volume.
    PeerDevice(String, String, u32),
    /// A path of a connection: resource, connection's key, port that it listens on.
    Path(String, String, u16),
}

impl Object {
    /// The resource that it belongs to.
    pub fn resource(&self) -> &str {
        match self {
            Object::Resource(name)
            | Object::Device(name, _)
            | Object::Connection(name, ..)
            | Object::PeerDevice(name, ..)
            | Object::Path(name, ..) => name,
        }
    }
}

/// Understands a line. Never fails: what it does not know, it ignores.
pub fn parse(line: &str) -> Event {
    let mut words = line.split_whitespace();
    let (Some(action), Some(kind)) = (words.next(), words.next()) else {
        return Event::Ignored;
    };
    if action == "exists" && kind == "-" {
        return Event::DumpDone;
    }
    let fields: BTreeMap<String, String> = words
        .filter_map(|word| word.split_once(':'))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    if action == "rename" && kind == "resource" {
        return match (fields.get("name"), fields.get("new_name")) {
            (Some(from), Some(to)) => Event::Rename {
                from: from.clone(),
                to: to.clone(),
            },
            _ => Event::Ignored,
        };
    }
    let Some(object) = object(kind, &fields) else {
        return Event::Ignored;
    };
    match action {
        "exists" | "create" => Event::Update {
            fresh: true,
            object,
            fields,
        },
        "change" => Event::Update {
            fresh: false,
            object,
            fields,
        },
        "destroy" => Event::Destroy(object),
        _ => Event::Ignored,
    }
}

fn object(kind: &str, fields: &BTreeMap<String, String>) -> Option<Object> {
    let name = fields.get("name")?.clone();
    let number = |key: &str| fields.get(key).and_then(|v| v.parse::<u32>().ok());
    let peer = || {
        let peer_name = fields.get("conn-name").cloned().unwrap_or_default();
        let id = number("peer-node-id").unwrap_or(0);
        (connection_key(&peer_name, id), peer_name, id)
    };
    match kind {
        "resource" => Some(Object::Resource(name)),
        "device" => Some(Object::Device(name, number("volume")?)),
        "connection" => {
            let (key, peer_name, id) = peer();
            Some(Object::Connection(name, key, peer_name, id))
        }
        "peer-device" => Some(Object::PeerDevice(name, peer().0, number("volume")?)),
        "path" => Some(Object::Path(name, peer().0, port_of(fields.get("local")?)?)),
        _ => None,
    }
}

/// The port of an address such as `ipv4:10.0.0.1:7000` or `ipv6:[fe80::1]:7000`.
fn port_of(address: &str) -> Option<u16> {
    address.rsplit_once(':')?.1.parse().ok()
}

impl DrbdState {
    /// Applies an event. Returns the resource that it was about if anything changed.
    pub fn apply(&mut self, event: Event) -> Option<String> {
        match event {
            Event::DumpDone | Event::Ignored => None,
            Event::Rename { from, to } => {
                let resource = self.resources.remove(&from)?;
                self.resources.insert(to, resource);
                Some(from)
            }
            Event::Destroy(object) => self.destroy(object),
            Event::Update {
                fresh,
                object,
                fields,
            } => self.update(fresh, object, &fields),
        }
    }

    fn destroy(&mut self, object: Object) -> Option<String> {
        let name = object.resource().to_owned();
        let gone = match object {
            Object::Resource(name) => self.resources.remove(&name).is_some(),
            Object::Device(name, volume) => self
                .resources
                .get_mut(&name)
                .is_some_and(|r| r.devices.remove(&volume).is_some()),
            Object::Connection(name, key, ..) => self
                .resources
                .get_mut(&name)
                .is_some_and(|r| r.connections.remove(&key).is_some()),
            Object::PeerDevice(name, key, volume) => self
                .resources
                .get_mut(&name)
                .and_then(|r| r.connections.get_mut(&key))
                .is_some_and(|c| c.volumes.remove(&volume).is_some()),
            Object::Path(name, key, port) => self
                .resources
                .get_mut(&name)
                .and_then(|r| r.connections.get_mut(&key))
                .is_some_and(|c| c.ports.remove(&port)),
        };
        gone.then_some(name)
    }

    fn update(
        &mut self,
        fresh: bool,
        object: Object,
        fields: &BTreeMap<String, String>,
    ) -> Option<String> {
        let name = object.resource().to_owned();
        // Events of a resource that DRBD has not announced are left-overs of one that is going away.
        let announces = fresh && matches!(object, Object::Resource(_));
        if !announces && !self.resources.contains_key(&name) {
            return None;
        }
        let resource = self.resources.entry(name.clone()).or_default();
        let before = resource.clone();
        match object {
            Object::Resource(_) => update_resource(resource, fields),
            Object::Device(_, volume) => {
                update_device(resource.devices.entry(volume).or_default(), fields);
            }
            Object::Connection(_, key, peer_name, id) => {
                let connection = resource.connections.entry(key).or_default();
                connection.name = peer_name;
                connection.peer_node_id = id;
                update_connection(connection, fields);
            }
            Object::PeerDevice(_, key, volume) => {
                let connection = resource.connections.entry(key).or_default();
                update_peer_volume(connection.volumes.entry(volume).or_default(), fields);
            }
            Object::Path(_, key, port) => {
                // A path without its connection is a left-over of one that is going away.
                if let Some(connection) = resource.connections.get_mut(&key) {
                    connection.ports.insert(port);
                }
            }
        }
        (announces || *resource != before).then_some(name)
    }
}

fn set<T: for<'a> From<&'a str>>(target: &mut T, fields: &BTreeMap<String, String>, key: &str) {
    if let Some(value) = fields.get(key) {
        *target = T::from(value);
    }
}

fn yes_no(fields: &BTreeMap<String, String>, key: &str) -> Option<bool> {
    match fields.get(key).map(String::as_str) {
        Some("yes") => Some(true),
        Some("no") => Some(false),
        _ => None,
    }
}

fn update_resource(resource: &mut DrbdResource, fields: &BTreeMap<String, String>) {
    set(&mut resource.role, fields, "role");
    set(&mut resource.suspended, fields, "suspended");
    resource.may_promote = yes_no(fields, "may_promote").or(resource.may_promote);
    resource.promotion_score = fields
        .get("promotion_score")
        .and_then(|v| v.parse().ok())
        .or(resource.promotion_score);
}

fn update_device(device: &mut DrbdDevice, fields: &BTreeMap<String, String>) {
    set(&mut device.disk, fields, "disk");
    if let Some(minor) = fields.get("minor").and_then(|v| v.parse().ok()) {
        device.minor = minor;
    }
    device.client = yes_no(fields, "client").or(device.client);
    if let Some(quorum) = fields.get("quorum") {
        device.quorum = Some(Quorum::from(quorum.as_str()));
    }
    device.size_kib = fields
        .get("size")
        .and_then(|v| v.parse().ok())
        .or(device.size_kib);
}

fn update_connection(connection: &mut DrbdConnection, fields: &BTreeMap<String, String>) {
    set(&mut connection.state, fields, "connection");
    // DRBD 8.4 has no paths of their own.
    connection
        .ports
        .extend(fields.get("local").and_then(|address| port_of(address)));
    set(&mut connection.role, fields, "role");
}

fn update_peer_volume(volume: &mut DrbdPeerVolume, fields: &BTreeMap<String, String>) {
    let replication = volume.replication.clone();
    set(&mut volume.replication, fields, "replication");
    set(&mut volume.disk, fields, "peer-disk");
    volume.out_of_sync_kib = fields
        .get("out-of-sync")
        .and_then(|v| v.parse().ok())
        .or(volume.out_of_sync_kib);
    let done = fields
        .get("done")
        .and_then(|v| v.parse::<f64>().ok())
        .filter(|v| v.is_finite());
    volume.done = match done {
        Some(done) => Some(done),
        // The percentage belongs to one resync only.
        None if volume.replication != replication => None,
        None => volume.done,
    };
}

#[cfg(test)]
mod tests {
    use linstor_api::drbd_state::{ConnectionState, ReplicationState};

    use super::*;

    fn feed(lines: &str) -> DrbdState {
        let mut state = DrbdState::default();
        for line in lines.lines() {
            state.apply(parse(line));
        }
        state
    }

    const DUMP_84: &str = "\
exists resource name:t2 role:Secondary suspended:no write-ordering:flush
exists connection name:t2 peer-node-id:0 conn-name:peer connection:Connected role:Secondary congested:no
exists device name:t2 volume:0 minor:1011 disk:UpToDate size:102360 read:106456 written:4096 al-writes:2
exists peer-device name:t2 peer-node-id:0 conn-name:peer volume:0 replication:Established peer-disk:UpToDate resync-suspended:no received:0 sent:106456 out-of-sync:0
exists -";

    /// The dump of a DRBD 8.4 with one connected resource.
    #[test]
    fn a_dump_becomes_state() {
        let state = feed(DUMP_84);
        let t2 = &state.resources["t2"];
        assert_eq!(t2.devices[&0].minor, 1011);
        assert_eq!(t2.devices[&0].size_kib, Some(102_360));
        assert!(t2.is_up_to_date(0) && t2.has_up_to_date_peer(0) && !t2.is_syncing());
        assert_eq!(t2.connections["peer"].state, ConnectionState::Connected);
    }

    /// A change touches only what it names, and a destroy takes everything below along.
    #[test]
    fn changes_and_destroys() {
        let mut state = feed(DUMP_84);
        let line = "change connection name:t2 peer-node-id:0 conn-name:peer connection:NetworkFailure role:Unknown";
        assert_eq!(state.apply(parse(line)), Some("t2".into()));
        assert_eq!(state.apply(parse(line)), None, "nothing changed");
        assert!(!state.resources["t2"].has_up_to_date_peer(0));
        assert_eq!(
            state.apply(parse("destroy resource name:t2")),
            Some("t2".into())
        );
        assert!(state.resources.is_empty());
        let late = "change device name:t2 volume:0 minor:1011 disk:Diskless";
        assert_eq!(
            state.apply(parse(late)),
            None,
            "a late event revives nothing"
        );
    }

    /// DRBD 9 has more of it.
    #[test]
    fn drbd9_tells_promotion_and_client() {
        let state = feed(
            "exists resource name:r role:Primary suspended:quorum force-io-failures:no may_promote:no promotion_score:10101\n\
             exists device name:r volume:0 minor:1000 backing_dev:none disk:Diskless client:yes quorum:yes\n\
             exists connection name:r peer-node-id:1 conn-name:node2 local:ipv4:10.0.0.1:7000 connection:Connected role:Secondary\n\
             exists peer-device name:r peer-node-id:1 conn-name:node2 volume:0 replication:SyncTarget peer-disk:UpToDate done:42.50",
        );
        let r = &state.resources["r"];
        assert_eq!(r.promotion_score, Some(10101));
        assert_eq!(r.devices[&0].client, Some(true));
        assert_eq!(r.connections["node2"].volumes[&0].done, Some(42.5));
        assert!(r.is_syncing());
    }

    /// A stream of DRBD 9.2: a dump, a resource that comes up and meets its peer, and loses it.
    #[test]
    fn a_stream_of_drbd9() {
        let state = feed(include_str!("fixtures/events2-drbd9.txt"));
        assert_eq!(state.resources.len(), 2);
        let t1 = &state.resources["t1"];
        assert_eq!(
            (t1.role.as_str(), t1.may_promote),
            ("Secondary", Some(true))
        );
        assert_eq!(t1.promotion_score, Some(10101));
        assert_eq!(t1.devices[&0].size_kib, Some(102_340));
        assert_eq!(t1.devices[&0].quorum, Some(Quorum::Present));
        assert_eq!(t1.connections["node2"].state, ConnectionState::TearDown);
        assert_eq!(
            t1.connections["node2"].volumes[&0].replication,
            ReplicationState::Off
        );
        assert_eq!(t1.connections["node3"].state, ConnectionState::StandAlone);
        assert!(t1.is_up_to_date(0) && !t1.has_up_to_date_peer(0));
    }

    proptest::proptest! {
        /// Whatever the program prints, nothing panics.
        #[test]
        fn never_panics(lines in proptest::collection::vec("(exists|create|change|destroy|rename)? ?(resource|device|connection|peer-device|-)? ?[a-z:0-9. -]{0,60}", 0..20)) {
            feed(&lines.join("\n"));
        }
    }
}
