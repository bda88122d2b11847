//! What a controller takes from the world besides its network: the time and randomness.
//!
//! Everything else gets them from here, so that a simulation with the same seed takes the same course.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::{OsRng, StdRng};
use rand::{Rng, RngCore, SeedableRng, TryRngCore};
use uuid::Uuid;

/// Time and randomness.
pub trait Env: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> u64;

    /// Fills a buffer with random bytes that cannot be predicted.
    fn fill(&self, bytes: &mut [u8]);

    /// A random (version 4) UUID.
    fn uuid(&self) -> Uuid {
        let mut bytes = [0; 16];
        self.fill(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid()
    }

    /// Half of a duration up to all of it, so that what failed together does not return together.
    fn jittered(&self, full: Duration) -> Duration {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        let part = f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX);
        full.mul_f64(0.5 + part / 2.0)
    }
}

/// The real world.
#[derive(Debug, Default)]
pub struct RealEnv;

impl Env for RealEnv {
    fn now_ms(&self) -> u64 {
        // A clock before 1970 is a broken clock; zero is as good as any other answer.
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
    }

    fn fill(&self, bytes: &mut [u8]) {
        // The kernel's generator cannot fail once the machine is up, and a controller without secrets must not go on.
        OsRng.unwrap_err().fill_bytes(bytes);
    }
}

/// A world that is the same for the same seed; its time is the runtime's, which tests can pause.
#[derive(Debug)]
pub struct SeededEnv {
    start: tokio::time::Instant,
    rng: Mutex<StdRng>,
}

/// When a seeded world begins, in milliseconds since the Unix epoch.
const SEEDED_START_MS: u64 = 1_700_000_000_000;

impl SeededEnv {
    /// A world whose time begins now.
    pub fn new(seed: u64) -> Self {
        SeededEnv {
            start: tokio::time::Instant::now(),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }
}

impl Env for SeededEnv {
    fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        SEEDED_START_MS.saturating_add(elapsed)
    }

    fn fill(&self, bytes: &mut [u8]) {
        self.rng
            .lock()
            .expect("no code panics while it holds this lock")
            .fill(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same seed gives the same values, and the time is the runtime's.
    #[tokio::test(start_paused = true)]
    async fn a_seeded_world_repeats_itself() {
        let (a, b) = (SeededEnv::new(7), SeededEnv::new(7));
        assert_eq!(a.uuid(), b.uuid());
        assert_eq!(a.uuid().get_version_num(), 4);
        let before = a.now_ms();
        tokio::time::advance(Duration::from_millis(1500)).await;
        assert_eq!(a.now_ms(), before + 1500);
    }

    /// A jittered duration is between half of it and all of it.
    #[test]
    fn jitter_stays_in_its_bounds() {
        let full = Duration::from_secs(10);
        for _ in 0..100 {
            let some = RealEnv.jittered(full);
            assert!(some >= full / 2 && some <= full, "{some:?}");
        }
    }
}
