//! `linstor drbd-proxy`: DRBD Proxy between two replicas of a resource.

use crate::define::{Arg, Command, Names, always, flag, group, modify, option, value};

const NODE_A: Arg = value("node-a", "Name of one node").of(Names::Node);
const NODE_B: Arg = value("node-b", "Name of the other node").of(Names::Node);
const RESOURCE: Arg = value("resource", "Name of the resource").of(Names::Resource);
const MODIFY: &str = "PUT resource-definitions/{resource}/drbd-proxy";

/// An option of the compression; its names on the command line and in the namespace are the same.
macro_rules! compression {
    ($name:literal, $help:literal) => {
        option(concat!("--", $name), $help).member(
            "compression_props",
            concat!("DrbdOptions/ProxyCompression/", $name),
        )
    };
}

/// An option of DRBD Proxy, and the one that removes it.
macro_rules! proxy {
    ($name:literal, $help:literal) => {
        option(concat!("--", $name), $help)
            .bytes()
            .member("override_props", concat!("DrbdOptions/Proxy/", $name))
    };
    (unset $name:literal) => {
        flag(concat!("--unset-", $name), "")
            .hidden()
            .remove(concat!("DrbdOptions/Proxy/", $name))
    };
}

pub const DRBD_PROXY: Command = group(
    "drbd-proxy proxy",
    "DRBD Proxy: buffers and compresses the replication over long distances",
    &[
        modify(
            "enable e",
            "Enable DRBD Proxy between two nodes",
            "POST resource-definitions/{resource}/drbd-proxy/enable/{node-a}/{node-b}",
            &[
                NODE_A,
                NODE_B,
                RESOURCE,
                option("--port -p", "TCP port").number().body("port"),
            ],
        ),
        modify(
            "disable d",
            "Disable DRBD Proxy between two nodes",
            "POST resource-definitions/{resource}/drbd-proxy/disable/{node-a}/{node-b}",
            &[NODE_A, NODE_B, RESOURCE],
        ),
        modify(
            "options opt",
            "Set options of DRBD Proxy; --unset-<option> removes one",
            MODIFY,
            &[
                RESOURCE,
                proxy!("memlimit", "Memory for buffers, at least 16M"),
                proxy!(unset "memlimit"),
                proxy!("read-loops", "Number of read loops"),
                proxy!(unset "read-loops"),
                proxy!("sndbuf-size", "Size of the send buffer, up to 10M"),
                proxy!(unset "sndbuf-size"),
                proxy!("rcvbuf-size", "Size of the receive buffer, up to 10M"),
                proxy!(unset "rcvbuf-size"),
                proxy!("ping-timeout", "1 to 300 tenths of a second"),
                proxy!(unset "ping-timeout"),
            ],
        ),
        group(
            "compression c",
            "Compression of DRBD Proxy; replaces the former one with its options",
            &[
                modify(
                    "none",
                    "No compression",
                    MODIFY,
                    &[RESOURCE, always("compression_type", "none")],
                ),
                modify(
                    "zlib",
                    "zlib",
                    MODIFY,
                    &[
                        RESOURCE,
                        always("compression_type", "zlib"),
                        compression!("level", "1 to 9"),
                    ],
                ),
                modify(
                    "lzma",
                    "LZMA",
                    MODIFY,
                    &[
                        RESOURCE,
                        always("compression_type", "lzma"),
                        compression!("contexts", "1 to 253"),
                        compression!("depth", "0 to 1000"),
                        compression!("dict-size", "4096 to 1610612736").bytes(),
                        compression!("fallback-to-zlib", "on or off").one_of(&["off", "on"]),
                        compression!("lc", "0 to 4"),
                        compression!("level", "0 to 9"),
                        compression!("lp", "0 to 4"),
                        compression!("mf", "Match finder")
                            .one_of(&["hc4", "hc3", "bt2", "bt3", "bt4"]),
                        compression!("mode", "fast or normal").one_of(&["fast", "normal"]),
                        compression!("nice-len", "0 to 273"),
                        compression!("numa-threshold", "0 to 253"),
                        compression!("pb", "0 to 4"),
                    ],
                ),
                modify(
                    "lz4",
                    "LZ4",
                    MODIFY,
                    &[RESOURCE, always("compression_type", "lz4")],
                ),
                modify(
                    "zstd",
                    "Zstandard",
                    MODIFY,
                    &[
                        RESOURCE,
                        always("compression_type", "zstd"),
                        compression!("level", "1 to 22"),
                    ],
                ),
            ],
        ),
    ],
);
