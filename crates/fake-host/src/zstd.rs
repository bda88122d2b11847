//! `zstd` from standard input to standard output. A fake frame is zstd's magic, the length, and the uncompressed bytes.

use super::args::{Args, Options};
use super::tool::{ToolOutput, ToolResult, fail, missing};

const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const HEADER_BYTES: usize = MAGIC.len() + 8;

const ZSTD: Options = Options {
    flags: &[
        "-c|--stdout",
        "-d|--decompress",
        "-q|--quiet",
        "-1",
        "-3",
        "-19",
    ],
    valued: &["-T|--threads"],
};

pub(crate) fn zstd(args: &[String], stdin: &[u8]) -> ToolResult {
    let args = Args::parse(args, &ZSTD)?;
    if !args.has("--stdout") || !args.positional().is_empty() {
        return missing("zstd without -c, or with files");
    }
    if args.has("--decompress") {
        return decompress(stdin);
    }
    let length = (stdin.len() as u64).to_le_bytes();
    Ok(ToolOutput::bytes([&MAGIC[..], &length, stdin].concat()))
}

fn decompress(frame: &[u8]) -> ToolResult {
    if frame.is_empty() {
        return fail(1, "zstd: /*stdin*\\: unexpected end of file \n");
    }
    if !frame.starts_with(&MAGIC[..frame.len().min(MAGIC.len())]) {
        return fail(1, "zstd: /*stdin*\\: unsupported format \n");
    }
    let length = frame
        .get(MAGIC.len()..HEADER_BYTES)
        .and_then(|length| length.try_into().ok());
    let (header, content) = frame.split_at(frame.len().min(HEADER_BYTES));
    if header.len() < HEADER_BYTES || length.map(u64::from_le_bytes) != Some(content.len() as u64) {
        return fail(1, "/*stdin*\\ : Read error (39) : premature end \n");
    }
    Ok(ToolOutput::bytes(content.to_vec()))
}
