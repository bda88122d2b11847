//! The simulation: many seeds, single seeds, and scenarios in which every step fails once.

mod anomaly;
mod backup;
mod backup_anomaly;
mod backup_forced;
mod backup_luks;
mod backup_verify;
mod backup_zfs;
mod held;
mod newer;
mod seeds;
