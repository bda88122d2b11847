//! The `linstor` command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(linstor_client::run(std::env::args_os().collect()))
}
