//! The `linstor` command line.
fn main() {}
