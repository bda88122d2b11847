//! Reads an object of a backup to its end, and writes nothing.

use std::io;
use std::sync::atomic::AtomicU64;

use async_trait::async_trait;
use linstor_api::code;
use linstor_api::reply::Reply;
use linstor_host::PipeCause;
use linstor_s3::DownloadError;
use linstor_wire::question::{StreamKind, VerifiedObject};

use super::unpack::{Broken, unpack};
use super::{BUFFER, open, zfs};
use crate::failure::{Failure, Result};
use crate::shared::Shared;
use crate::thin_stream::{self, Target};

/// What is wrong with an object; nothing of one that is whole.
///
/// # Errors
///
/// Why that is not known.
pub async fn verify(shared: &Shared, wanted: &VerifiedObject) -> Result<Vec<Reply>> {
    let key = &wanted.object.key;
    let message = format!("Object '{key}' was not verified.");
    let failed =
        |cause: String| Failure::new(code::FAIL_UNKNOWN_ERROR, message.clone()).cause(cause);
    let bucket = open(&wanted.bucket).map_err(|error| failed(error.to_string()))?;
    let (plain, mut stream) = tokio::io::duplex(BUFFER);
    let read = async {
        match wanted.kind {
            StreamKind::Thin => {
                let bytes = wanted.volume_kib.saturating_mul(1024);
                thin_stream::receive(&mut stream, bytes, &mut Nowhere).await?;
            }
            StreamKind::Zfs => zfs::verify(&mut stream).await?,
        }
        Ok::<(), Broken>(())
    };
    let host = shared.machine.host();
    let received = AtomicU64::new(0);
    let unpacked = unpack(host, &bucket, &wanted.object, &received, plain, read).await;
    let Err(broken) = unpacked else {
        return Ok(Vec::new());
    };
    match &broken {
        Broken::Download(DownloadError::Store(error)) if !error.is_not_found() => {
            return Err(failed(error.to_string()).correction(error.correction()));
        }
        Broken::Program(error)
            if matches!(error.cause, PipeCause::Run(_) | PipeCause::TimedOut { .. }) =>
        {
            return Err(failed(error.to_string()));
        }
        Broken::Download(_) | Broken::Program(_) | Broken::Stream(_) => {}
    }
    let message = format!("Object '{key}' is damaged.");
    let reply = Reply::new(code::FAIL_INVLD_BACKUP_CONFIG, message).cause(broken.to_string());
    Ok(vec![reply.correction(
        "Make a full backup, and delete this one with those that are based on it.",
    )])
}

/// What is read goes nowhere.
struct Nowhere;

#[async_trait]
impl Target for Nowhere {
    async fn write(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    async fn discard(&mut self, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }
}
