//! `zfs send` and `zfs receive` of snapshots of volumes, in the format of OpenZFS on a little-endian machine: what the stream
//! has is what the blocks of a fake volume have.

use std::collections::BTreeMap;

use super::{Dataset, Kind, SNAPSHOT, Zfs, absent, settings};
use crate::args::{Args, Options};
use crate::content::{BLOCK_BYTES, Block, Blocks};
use crate::machine::set;
use crate::tool::{Stop, ToolOutput, ToolResult, fail, missing};

const RECORD: usize = 312;
const SUM_AT: usize = RECORD - 32;
const MAGIC: u64 = 0x2_f5ba_cbac;
const BEGIN: u64 = 0;
const OBJECT: u64 = 1;
const WRITE: u64 = 3;
const FREE: u64 = 4;
const END: u64 = 5;
/// The object with the data of a volume, and the one with its properties.
const DATA: u64 = 1;
const PROPERTIES: u64 = 2;
/// Where in the block of properties the first one's value is, which is the size of the volume.
const SIZE_AT: usize = 64;

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    sum: [u64; 4],
}

fn add(sum: &mut [u64; 4], bytes: &[u8]) {
    for word in bytes.as_chunks::<4>().0 {
        sum[0] = sum[0].wrapping_add(u64::from(u32::from_le_bytes(*word)));
        for index in 1..4 {
            sum[index] = sum[index].wrapping_add(sum[index - 1]);
        }
    }
}

fn words(sum: &[u64; 4]) -> Vec<u8> {
    sum.iter().flat_map(|word| word.to_le_bytes()).collect()
}

impl Writer {
    fn record(&mut self, kind: u64, members: &[(usize, u64)], payload: &[u8]) {
        let mut record = vec![0; RECORD];
        for (at, value) in [(0, kind)].iter().chain(members) {
            record[*at..*at + 8].copy_from_slice(&value.to_le_bytes());
        }
        if kind == END {
            record[8..40].copy_from_slice(&words(&self.sum));
        }
        add(&mut self.sum, &record[..SUM_AT]);
        if kind != BEGIN {
            record[SUM_AT..].copy_from_slice(&words(&self.sum));
        }
        add(&mut self.sum, &record[SUM_AT..]);
        add(&mut self.sum, payload);
        self.bytes.extend(record);
        self.bytes.extend(payload);
    }
}

const SEND: Options = Options {
    flags: &["-n", "-P"],
    valued: &["-i"],
};

pub(super) fn send(zfs: &Zfs, args: &[String]) -> ToolResult {
    let args = Args::parse(args, &SEND)?;
    let name = args.only()?;
    let Some(snapshot) = zfs
        .datasets
        .get(name)
        .filter(|of| of.kind == Kind::Snapshot)
    else {
        return absent(name);
    };
    let volume = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    let base = match args.value("-i") {
        None => None,
        Some(base) => match zfs.datasets.get(base) {
            None => return absent(base),
            Some(found) if volume(base) == volume(name) && found.taken < snapshot.taken => {
                Some(found)
            }
            Some(_) => {
                let text = format!(
                    "warning: cannot send '{name}': not an earlier snapshot from the same fs\n"
                );
                return fail(1, text);
            }
        },
    };
    let stream = stream(name, snapshot, base);
    match (args.has("-n"), args.has("-P")) {
        (true, true) => {
            let (kind, size) = (base.map_or("full", |_| "incremental"), stream.len());
            let based = args.value("-i").map_or(String::new(), |base| {
                format!("{}\t", base.split('@').nth(1).unwrap_or_default())
            });
            Ok(ToolOutput::out(format!(
                "{kind}\t{based}{name}\t{size}\nsize\t{size}\n"
            )))
        }
        (false, false) => Ok(ToolOutput::bytes(stream)),
        _ => missing("zfs send with one of -n and -P"),
    }
}

fn stream(name: &str, snapshot: &Dataset, base: Option<&Dataset>) -> Vec<u8> {
    let mut writer = Writer::default();
    let from = base.map_or(0, |base| base.guid);
    let begin = [
        (8, MAGIC),
        (16, 1),
        // The kind of data, and flags: it has records of what is free.
        (32, 3 | 4 << 32),
        (40, snapshot.guid),
        (48, from),
    ];
    let named = name.len() as u64;
    debug_assert!(named < 256, "{name}");
    writer.record(BEGIN, &begin, &[]);
    writer.record(OBJECT, &[(8, DATA)], &[]);
    let mut properties = vec![0; 512];
    properties[SIZE_AT..SIZE_AT + 8].copy_from_slice(&snapshot.size_bytes.to_le_bytes());
    writer.record(WRITE, &[(8, PROPERTIES), (32, 512)], &properties);
    let empty = Blocks::new();
    let before = base.map_or(&empty, |base| &base.blocks);
    for (number, block) in &snapshot.blocks {
        if before.get(number) != Some(block) {
            let offset = number * BLOCK_BYTES;
            writer.record(
                WRITE,
                &[(8, DATA), (24, offset), (32, BLOCK_BYTES)],
                &block.bytes(),
            );
        }
    }
    for number in before.keys() {
        if !snapshot.blocks.contains_key(number) {
            let offset = number * BLOCK_BYTES;
            writer.record(FREE, &[(8, DATA), (16, offset), (24, BLOCK_BYTES)], &[]);
        }
    }
    writer.record(END, &[], &[]);
    writer.bytes
}

/// What a stream changes.
#[derive(Default)]
struct Changes {
    to: u64,
    from: u64,
    size_bytes: u64,
    blocks: BTreeMap<u64, Option<Block>>,
}

/// Reads a stream; `Err` has what `zfs receive` says about it.
fn parse(mut stream: &[u8]) -> Result<Changes, &'static str> {
    const SHORT: &str = "incomplete stream";
    const BAD: &str = "invalid stream (checksum mismatch)";
    let (mut changes, mut sum, mut is_first) = (Changes::default(), [0; 4], true);
    loop {
        let (record, rest) = stream.split_at_checked(RECORD).ok_or(SHORT)?;
        let number = |at: usize| {
            let bytes = record[at..at + 8].try_into().expect("it has eight bytes");
            u64::from_le_bytes(bytes)
        };
        let before = sum;
        add(&mut sum, &record[..SUM_AT]);
        if is_first != (number(0) == BEGIN && number(8) == MAGIC) {
            return Err("invalid stream (bad magic number)");
        }
        if !is_first && record[SUM_AT..] != words(&sum) {
            return Err(BAD);
        }
        add(&mut sum, &record[SUM_AT..]);
        is_first = false;
        let length = match number(0) {
            WRITE => usize::try_from(number(32)).map_err(|_| BAD)?,
            _ => 0,
        };
        let (payload, rest) = rest.split_at_checked(length).ok_or(SHORT)?;
        add(&mut sum, payload);
        match (number(0), number(8)) {
            (BEGIN, _) => (changes.to, changes.from) = (number(40), number(48)),
            (WRITE, PROPERTIES) => {
                let size = payload[SIZE_AT..SIZE_AT + 8].try_into();
                changes.size_bytes = u64::from_le_bytes(size.map_err(|_| BAD)?);
            }
            (WRITE, _) => {
                let block = number(24) / BLOCK_BYTES;
                changes.blocks.insert(block, Block::of(payload));
            }
            (FREE, _) => drop(changes.blocks.insert(number(16) / BLOCK_BYTES, None)),
            (END, _) => {
                return match record[8..40] == words(&before) && rest.is_empty() {
                    true => Ok(changes),
                    false => Err(BAD),
                };
            }
            _ => {}
        }
        stream = rest;
    }
}

const RECEIVE: Options = Options {
    flags: &["-F"],
    valued: SNAPSHOT.valued,
};

pub(crate) fn receive(zfs: &mut Zfs, args: &[String], stream: &[u8]) -> ToolResult {
    let args = Args::parse(args, &RECEIVE)?;
    let name = args.only()?;
    let Some((volume, _)) = name.split_once('@') else {
        return missing(format!("zfs receive {name}"));
    };
    let refuse = |what: &str, why: &str| -> Result<ToolOutput, Stop> {
        fail(1, format!("cannot receive {what}: {why}\n"))
    };
    let changes = match parse(stream) {
        Ok(changes) => changes,
        Err(why) => return refuse("new filesystem stream", why),
    };
    if zfs.datasets.contains_key(name) {
        return refuse("stream", &format!("destination '{name}' exists"));
    }
    let parent = volume.rsplit_once('/').map_or("", |(parent, _)| parent);
    if !zfs.datasets.contains_key(parent) {
        return refuse("new filesystem stream", "dataset does not exist");
    }
    let latest = zfs.snapshots(volume).last();
    let latest = latest.map(|(_, latest)| latest.clone());
    let mut made = match (changes.from, latest) {
        (0, _) if zfs.datasets.contains_key(volume) => {
            return refuse(
                "new filesystem stream",
                &format!("destination '{volume}' exists\nmust specify -F to overwrite it"),
            );
        }
        (0, _) => Dataset {
            kind: Kind::Volume,
            props: settings(&args)?,
            blocks: Blocks::new(),
            size_bytes: 0,
            block_size: 16 * 1024,
            thick: false,
            origin: None,
            taken: 0,
            guid: 0,
        },
        (from, Some(latest)) if from == latest.guid => Dataset {
            kind: Kind::Volume,
            props: zfs.datasets[volume].props.clone(),
            ..latest
        },
        _ => {
            let why =
                format!("most recent snapshot of {volume} does not\nmatch incremental source");
            return refuse("incremental stream", &why);
        }
    };
    made.size_bytes = changes.size_bytes;
    for (block, content) in changes.blocks {
        set(&mut made.blocks, block, content);
    }
    let room = zfs.available(volume) + zfs.datasets.get(volume).map_or(0, Dataset::written);
    if made.written() > room {
        return refuse("new filesystem stream", "out of space");
    }
    zfs.taken += 1;
    let snapshot = Dataset {
        kind: Kind::Snapshot,
        props: BTreeMap::new(),
        taken: zfs.taken,
        guid: changes.to,
        ..made.clone()
    };
    zfs.datasets.insert(volume.to_owned(), made);
    zfs.datasets.insert(name.to_owned(), snapshot);
    Ok(ToolOutput::nothing())
}
