//! ZFS: the stream of `zfs send`, sent and received. Its checksums are looked at before ZFS has all of it.

use linstor_api::code;
use linstor_host::{Deadline, Pipe};
use linstor_wire::spec::ReceivedObject;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::receive::Receiving;
use super::send::Sending;
use super::unpack::Broken;
use super::{BUFFER, STALL};
use crate::failure::Result;
use crate::providers::SnapshotOf;
use crate::providers::zfs::received::{self, Received};
use crate::thin_stream::StreamError;
use crate::tools::zfs;
use crate::zfs_stream::Checker;

/// How much is looked at at a time, in bytes.
const PIECE_BYTES: usize = 128 * 1024;

/// Moves a stream to its end.
async fn relay(
    from: &mut (dyn AsyncRead + Send + Unpin),
    into: &mut (dyn AsyncWrite + Send + Unpin),
    mut look: impl FnMut(&[u8]) -> std::result::Result<(), StreamError> + Send,
) -> std::result::Result<(), StreamError> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece).await.map_err(StreamError::Stream)?;
        let some = &piece[..read];
        if some.is_empty() {
            return Ok(());
        }
        look(some)?;
        into.write_all(some).await.map_err(StreamError::Stream)?;
    }
}

/// Looks at a stream to its end, which goes nowhere.
pub(super) async fn verify(
    from: &mut (dyn AsyncRead + Send + Unpin),
) -> std::result::Result<(), StreamError> {
    let mut checker = Checker::default();
    relay(from, &mut tokio::io::sink(), |some| checker.feed(some)).await?;
    checker.end().map(drop)
}

impl Sending<'_> {
    /// Sends a snapshot, or what changed since another one of the same volume; both by their full names.
    pub(super) async fn send_zfs(&self, snapshot: &str, base: Option<&str>) -> Result<()> {
        let volume = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
        if let Some(base) = base.filter(|base| volume(base) != volume(snapshot)) {
            let failure = self.failed(format!(
                "The snapshot '{base}' that it is based on is of a volume that was replaced since."
            ));
            // The controller has all of it sent instead.
            return Err(failure.context(
                code::FAIL_NOT_FOUND_SNAPSHOT,
                format!("ZFS has no changes from '{base}' to '{snapshot}'."),
            ));
        }
        let machine = &self.shared.machine;
        let total = zfs::send_bytes(machine, snapshot, base).await?;
        self.progress.expect(total);
        let (mut written, mut read) = tokio::io::duplex(BUFFER);
        let pipe = Pipe::new(zfs::send(snapshot, base)).deadline(Deadline::stall(STALL));
        let host = machine.host();
        let stream = async {
            let output: &mut (dyn AsyncWrite + Send + Unpin) = &mut written;
            let ended = host.pipe(pipe, None, Some(output)).await;
            ended.map(drop).map_err(|error| self.failed(error))
        };
        let (mut into, mut plain) = tokio::io::duplex(BUFFER);
        let mut checker = Checker::default();
        let counted = async {
            let progress = self.progress;
            let moved = relay(&mut read, &mut into, |some| {
                progress.add(some.len() as u64);
                checker.feed(some)
            });
            moved.await.map_err(|error| self.failed(error))?;
            checker.end().map_err(|error| self.failed(error))?;
            // It is shut down after all was sent only: what breaks off must not be taken for the whole.
            into.shutdown().await.map_err(|error| self.failed(error))
        };
        tokio::try_join!(stream, counted, self.pack(&mut plain))?;
        Ok(())
    }
}

impl Receiving<'_> {
    /// Receives a snapshot with a volume of its own.
    pub(super) async fn receive_zfs(
        &self,
        dataset: &str,
        of: &SnapshotOf<'_>,
        objects: &[ReceivedObject],
    ) -> Result<()> {
        let storage = self.shared.storage();
        let received = Received::of(dataset, of);
        for (index, object) in objects.iter().enumerate() {
            let snapshot = received.snapshot(index, objects.len());
            let cmd = zfs::receive(&snapshot, &received.mark, index == 0);
            let pipe = Pipe::new(cmd).deadline(Deadline::stall(STALL));
            let host = self.shared.machine.host();
            let (plain, mut stream) = tokio::io::duplex(BUFFER);
            let (mut into, mut from) = tokio::io::duplex(BUFFER);
            let mut checker = Checker::default();
            let checked = async {
                relay(&mut stream, &mut into, |some| checker.feed(some)).await?;
                checker.end()?;
                let ended = into.shutdown().await;
                Ok::<(), Broken>(ended.map_err(StreamError::Stream)?)
            };
            let taken = async {
                let ended = host.pipe(pipe, Some(&mut from), None).await;
                ended.map(drop).map_err(Broken::from)
            };
            let read = async { tokio::try_join!(checked, taken).map(drop) };
            let passed = self.unpack(object, plain, read).await;
            storage.observations.zfs_unknown(dataset).await;
            passed?;
        }
        received::take_over(storage, dataset, of, self.volume.size_kib).await
    }
}
