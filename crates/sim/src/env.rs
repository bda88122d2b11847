//! The environment of a seed: its clock runs across restarts of the controller, its random numbers come from the seed.

use std::sync::{Arc, Mutex, PoisonError};

use linstor_controller::env::Env;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

/// Time at which every simulation begins, in milliseconds since the Unix epoch.
const START_MS: u64 = 1_700_000_000_000;

/// Clock and random numbers of a seed. Clones share both.
#[derive(Debug, Clone)]
pub struct SimEnv {
    start: Instant,
    rng: Arc<Mutex<StdRng>>,
}

impl SimEnv {
    /// An environment whose clock starts now.
    pub fn new(seed: u64) -> Self {
        SimEnv {
            start: Instant::now(),
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
        }
    }
}

impl Env for SimEnv {
    fn now_ms(&self) -> u64 {
        let elapsed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        START_MS.saturating_add(elapsed)
    }

    fn fill(&self, bytes: &mut [u8]) {
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        rng.fill(bytes);
    }
}
