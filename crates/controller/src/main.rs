//! `linstor-controller`; see [`linstor_controller::program`].

use std::process::ExitCode;

fn main() -> ExitCode {
    linstor_controller::program::main(std::env::args_os(), |store| store)
}
