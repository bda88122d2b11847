//! The real host: processes, deadlines, files, ports.

mod pipe;
mod real;
