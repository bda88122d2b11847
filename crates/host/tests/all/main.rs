//! The real host: processes, deadlines, files, ports.

mod real;
