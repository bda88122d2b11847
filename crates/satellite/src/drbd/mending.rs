//! When connections and disks that DRBD gave up are set up again, and when a disk is left alone that failed each time.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

/// The time between two attempts to set up a connection again, and to attach a disk whose attachment failed.
const INTERVAL: Duration = Duration::from_secs(60);
/// Pauses after the first, second... time that a disk was attached again and then failed. After the last one it is left
/// alone.
const PAUSES_S: [u64; 5] = [60, 120, 300, 600, 1800];
/// A disk that was in use for this long after it was attached again is as good as one that never failed.
const PROVEN: Duration = Duration::from_secs(3600);

/// What DRBD gave up of a resource, and what was done about it.
#[derive(Debug, Default)]
pub struct Mending {
    /// Volumes whose metadata was made, or found again on a disk that is to come back: to attach them repairs nothing.
    planned: BTreeSet<u32>,
    reconnected: Option<Instant>,
    reattached: Option<Instant>,
    /// How often in a row a disk was attached again, as far as DRBD accepted it.
    attached_again: usize,
    given_up: bool,
}

/// Whether a disk that DRBD gave up is attached again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attach {
    /// Now.
    Now,
    /// After a pause.
    Later,
    /// Not before the order to skip the disk came and was withdrawn.
    Never,
}

impl Mending {
    /// The disk of a volume is to be attached, not because it failed.
    pub fn plan(&mut self, volume: u32) {
        self.planned.insert(volume);
    }

    /// Whether the disk of a volume is to be attached, not because it failed.
    pub fn is_planned(&self, volume: u32) -> bool {
        self.planned.contains(&volume)
    }

    /// DRBD has accepted the configuration; `again` if a disk that it had given up was attached.
    pub fn accepted(&mut self, again: bool) {
        self.planned.clear();
        self.attached_again += usize::from(again);
    }

    /// Whether a connection is set up again now. Counts as done if so.
    pub fn may_connect(&mut self) -> bool {
        let may = self.reconnected.is_none_or(|at| at.elapsed() >= INTERVAL);
        if may {
            self.reconnected = Some(Instant::now());
        }
        may
    }

    /// Whether a disk is attached again. Counts as tried if it is.
    pub fn may_attach(&mut self) -> Attach {
        if self.reattached.is_some_and(|at| at.elapsed() >= PROVEN) && !self.given_up {
            self.attached_again = 0;
        }
        if self.attached_again >= PAUSES_S.len() {
            self.given_up = true;
        }
        if self.given_up {
            return Attach::Never;
        }
        if self.attach_at().is_some_and(|at| at > Instant::now()) {
            return Attach::Later;
        }
        self.reattached = Some(Instant::now());
        Attach::Now
    }

    /// A disk failed so often that it is not attached any more.
    pub fn has_given_up(&self) -> bool {
        self.given_up
    }

    /// When something may be set up again, if that is still to come.
    pub fn next(&self) -> Option<Instant> {
        let connect = self.reconnected.map(|at| at + INTERVAL);
        let all = [connect, self.attach_at().filter(|_| !self.given_up)];
        let now = Instant::now();
        all.into_iter().flatten().filter(|at| *at > now).min()
    }

    fn attach_at(&self) -> Option<Instant> {
        let pause = PAUSES_S[self.attached_again.clamp(1, PAUSES_S.len()) - 1];
        Some(self.reattached? + Duration::from_secs(pause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(seconds: u64) {
        tokio::time::advance(Duration::from_secs(seconds)).await;
    }

    /// A disk that fails after each time it was attached is attached after longer and longer pauses, then never.
    #[tokio::test(start_paused = true)]
    async fn a_disk_that_fails_again_and_again_is_left_alone() {
        let mut mending = Mending::default();
        for pause in PAUSES_S {
            assert_eq!(mending.may_attach(), Attach::Now);
            mending.accepted(true);
            if mending.attached_again == PAUSES_S.len() {
                break;
            }
            pass(pause - 1).await;
            assert_eq!(mending.may_attach(), Attach::Later, "{pause}");
            pass(1).await;
        }
        assert!(!mending.has_given_up());
        assert_eq!(mending.may_attach(), Attach::Never);
        pass(1_000_000).await;
        assert_eq!(mending.may_attach(), Attach::Never);
        assert!(mending.has_given_up());
        assert_eq!(mending.next(), None);
    }

    /// One that worked for long after it was attached again begins anew; one that cannot be attached is tried once a
    /// minute.
    #[tokio::test(start_paused = true)]
    async fn a_good_disk_is_soon_attached() {
        let mut mending = Mending::default();
        for _ in 0..20 {
            assert_eq!(mending.may_attach(), Attach::Now);
            mending.accepted(true);
            pass(PROVEN.as_secs()).await;
        }
        for _ in 0..20 {
            assert_eq!(mending.may_attach(), Attach::Now);
            pass(59).await;
            assert_eq!(mending.may_attach(), Attach::Later);
            pass(PROVEN.as_secs()).await;
        }
    }

    /// A connection that was set up again uses up nothing of a disk's, and the other way round.
    #[tokio::test(start_paused = true)]
    async fn connections_and_disks_are_apart() {
        let mut mending = Mending::default();
        assert!(mending.may_connect());
        assert_eq!(mending.may_attach(), Attach::Now);
        assert!(!mending.may_connect());
        pass(60).await;
        assert!(mending.may_connect());
    }
}
