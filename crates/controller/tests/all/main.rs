//! The controller from outside: on a memory store, in paused time, with scripted satellites on pipes.

mod commit;
mod crash;
mod every_write;
mod fixture;
mod https;
mod keep_up;
mod killed;
mod limits;
mod link;
mod link_tls;
#[path = "../../../tls/tests/common/pki.rs"]
mod pki;
mod program;
mod satellite;
mod settle;
mod sqlite;
mod start;
mod upgrade;
