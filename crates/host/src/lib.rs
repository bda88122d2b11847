//! The machine a satellite runs on, behind one seam.
//!
//! In reading order: [`Cmd`] says what to run and for how long, [`Output`] and [`RunError`] say what came of it,
//! [`Pipe`] is several of them in a row with a reader and a writer,
//! [`Host`] is the seam itself, and [`RealHost`] is Linux. Tests use the machines in memory of `linstor-fake-host`.
//!
//! Nothing else in the workspace starts programs: one place decides about search paths, environment, process
//! groups, deadlines and output limits.

mod cmd;
mod error;
mod host;
mod pipe;
mod real;

pub use cmd::{Cmd, CommandFailed, Deadline, Output, Stdin, Watch};
pub use error::{FileError, RunError};
pub use host::{DeviceUse, Host, LineStream, Place, PortState, StreamEvent, Uname};
pub use pipe::{
    Moved, Pipe, PipeCause, PipeError, PipeInput, PipeOutput, ProgramEnd, ProgramStatus,
    first_failure,
};
pub use real::{PROGRAM_DIRS, RealHost};
