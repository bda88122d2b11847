//! What figures are relative to: this machine's disk and memory.

use std::io::Write;
use std::path::Path;
use std::time::Instant;

use crate::figure::Samples;

/// Milliseconds that a 4 KiB append with fdatasync takes in this directory.
pub fn fdatasync_ms(directory: &Path) -> anyhow::Result<Samples> {
    let mut file = tempfile::tempfile_in(directory)?;
    let block = [7_u8; 4096];
    let mut samples = Vec::new();
    for _ in 0..200 {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        samples.push(start.elapsed().as_secs_f64() * 1e3);
    }
    Ok(Samples::new(samples))
}

/// Milliseconds that copying so many bytes in memory takes.
pub fn memory_copy_ms(bytes: usize) -> f64 {
    let source = vec![1_u8; bytes.max(1)];
    let mut target = vec![0_u8; bytes.max(1)];
    let samples = (0..9)
        .map(|_| {
            let start = Instant::now();
            target.copy_from_slice(std::hint::black_box(&source));
            std::hint::black_box(&target);
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    Samples::new(samples).percentile(50.0)
}
