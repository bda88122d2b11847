//! The machine a satellite runs on, behind one interface.
//!
//! In reading order: [`Cmd`] is a command with its deadline, [`Output`] and [`RunError`] are its results,
//! [`Pipe`] is several commands, each reading the output of the one before it, between a reader and a writer,
//! [`Host`] is the interface, and [`RealHost`] is Linux. Tests use the machines in memory of `linstor-fake-host`.
//!
//! Nothing else in the workspace starts programs: search path, environment, process groups, deadlines and output
//! limits are defined here alone.

mod cmd;
mod error;
mod host;
mod pipe;
mod real;

pub use cmd::{Cmd, CommandFailed, Deadline, Output, Stdin, Watch};
pub use error::{FileError, RunError};
pub use host::{
    DeviceUse, FileId, FileUsage, Host, LineStream, Place, PortState, StreamEvent, Uname,
};
pub use pipe::{
    Moved, Pipe, PipeCause, PipeError, PipeInput, PipeOutput, ProgramEnd, ProgramStatus,
    first_failure,
};
pub use real::{PROGRAM_DIRS, RealHost};
