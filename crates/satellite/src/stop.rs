//! Why an attempt ends before the object matches its spec, and what attempts wait for.
//!
//! An attempt does not sleep until something else has happened: it ends, and the reconciler makes the next one when the
//! condition holds or the time is up. So a newer spec never waits for an older one's peers, and what an attempt has
//! done must be recognised by the next one, as after a crash.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use linstor_wire::Key;
use linstor_wire::message::SUSPENSION_MAX;
use linstor_wire::spec::Withheld;
use tokio::time::Instant;

use crate::drbd::observed::Observed;
use crate::failure::Failure;
use crate::layers::Attempt;
use crate::shared::Shared;

/// DRBD's events show the effect of a command a little later. The attempt waits for that: to make another one costs
/// more.
const SHOWN_WITHIN: Duration = Duration::from_millis(250);

/// Why an attempt ends early.
#[derive(Debug)]
pub enum Stop {
    /// A step failed.
    Failed(Failure),
    /// Something else has to happen first.
    Waiting(Waiting),
    /// There is a newer spec.
    Superseded,
}

/// The result of a step that may have to wait.
pub type Result<T> = std::result::Result<T, Stop>;

impl<E: Into<Failure>> From<E> for Stop {
    fn from(failure: E) -> Self {
        Stop::Failed(failure.into())
    }
}

impl Stop {
    /// With more about a failure.
    #[must_use]
    pub fn map_failure(self, change: impl FnOnce(Failure) -> Failure) -> Self {
        match self {
            Stop::Failed(failure) => Stop::Failed(change(failure)),
            Stop::Waiting(_) | Stop::Superseded => self,
        }
    }
}

/// What an attempt waits for; numbers are those of volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// The first dump of DRBD's events.
    DrbdState,
    /// Disks are attached or detached.
    Disks,
    /// The resource is down in DRBD.
    Down,
    /// A peer connects that has the data.
    Peer,
    /// A peer with a disk connects and is up to date.
    Connected(u32),
    /// A resync begins.
    ResyncBegins(u32),
    /// A resync ends.
    Resync(u32),
    /// DRBD reports this many KiB for the volume.
    Size(u32, u64),
    /// The volume can be made primary.
    Promotable(u32),
    /// No process has the volume open that the satellite has written to.
    Closed,
    /// No suspension of I/O has the resource.
    Resumed,
    /// The controller sends the key of an encrypted volume; why it has not, if it said so.
    Key(Option<Withheld>),
    /// The controller sends the keys of a bucket; why it has not, if it said so.
    BucketKeys(Option<Withheld>),
    /// The content of a volume is copied.
    Copied(u32),
    /// The volumes of a snapshot are sent.
    Sent,
    /// The volumes of a snapshot are received.
    Received,
}

impl Awaited {
    /// How long without progress.
    fn limit(self) -> Duration {
        match self {
            Awaited::Disks => Duration::from_secs(3),
            Awaited::DrbdState
            | Awaited::Down
            | Awaited::Connected(_)
            | Awaited::ResyncBegins(_)
            | Awaited::Size(..) => Duration::from_secs(5),
            Awaited::Closed => Duration::from_secs(8),
            Awaited::Promotable(_) => Duration::from_secs(10),
            Awaited::Peer => Duration::from_secs(15),
            Awaited::Resync(_) => Duration::from_secs(60),
            // Ending it takes commands.
            Awaited::Resumed => SUSPENSION_MAX + Duration::from_secs(10),
            Awaited::Copied(_) => Duration::from_secs(600),
            // A thousandth of a percent of the largest volume takes that long over a slow link.
            Awaited::Sent | Awaited::Received => Duration::from_secs(2 * 3600),
            // A person's decision.
            Awaited::Key(_) | Awaited::BucketKeys(_) => Duration::from_secs(365 * 24 * 3600),
        }
    }

    /// The interval of attempts if no event reports it.
    fn retried_every(self) -> Option<Duration> {
        (self == Awaited::Closed).then_some(Duration::from_millis(500))
    }

    /// Whether it follows from a command of the same attempt.
    fn follows_a_command(self) -> bool {
        matches!(self, Awaited::Disks | Awaited::Down | Awaited::Size(..))
    }
}

impl fmt::Display for Awaited {
    /// The end of a sentence that begins with "waiting for".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Awaited::DrbdState => f.write_str("DRBD's events"),
            Awaited::Disks => f.write_str("DRBD to attach or detach its disks"),
            Awaited::Down => f.write_str("DRBD to take it down"),
            Awaited::Peer => f.write_str("a peer that has its data"),
            Awaited::Connected(n) => {
                write!(
                    f,
                    "all replicas of volume {n} to be connected and up to date"
                )
            }
            Awaited::ResyncBegins(n) => write!(f, "the resync of volume {n} to begin"),
            Awaited::Resync(n) => write!(f, "the resync of volume {n}"),
            Awaited::Size(n, kib) => write!(f, "volume {n} to have {kib} KiB in DRBD"),
            Awaited::Promotable(n) => write!(f, "volume {n} to be up to date"),
            Awaited::Closed => f.write_str("its device to be closed"),
            Awaited::Resumed => f.write_str("the end of a suspension of its I/O"),
            Awaited::Key(why) | Awaited::BucketKeys(why) => f.write_str(match why {
                Some(Withheld::Locked) => "the master passphrase to be entered",
                Some(Withheld::PlainLink) => {
                    "an encrypted link to the controller, which is set to send no keys over a plain one"
                }
                Some(Withheld::Corrupt) => {
                    "its key, which the controller cannot open with the master key"
                }
                None => "the controller, which has its key",
            }),
            Awaited::Copied(n) => write!(f, "the data of volume {n} to be copied"),
            Awaited::Sent => f.write_str("its volumes to be sent"),
            Awaited::Received => f.write_str("its volumes to be received"),
        }
    }
}

/// Whether a condition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// It does.
    Holds,
    /// It does not; how far it is in hundredths of a percent, where that is known. A percent of a large volume takes
    /// long.
    NotYet(Option<u16>),
}

impl Check {
    /// Of what has no progress.
    pub fn of(holds: bool) -> Check {
        match holds {
            true => Check::Holds,
            false => Check::NotYet(None),
        }
    }
}

/// Asked after each event of DRBD that is about the resource, and at the end of each suspension of its I/O.
pub type Condition = Arc<dyn Fn(&Shared) -> Check + Send + Sync>;

/// A wait that has ended an attempt.
#[derive(Clone)]
pub struct Waiting {
    /// What for.
    pub what: Awaited,
    /// How far it is, in hundredths of a percent.
    pub done: Option<u16>,
    /// When the next attempt is made, whether or not the condition holds.
    pub until: Instant,
    /// Whether it is over.
    pub condition: Condition,
}

impl fmt::Debug for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting")
            .field("what", &self.what)
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

/// A wait over all attempts that it ended.
#[derive(Debug, Clone)]
pub struct Begun {
    /// When it began.
    pub since: Instant,
    /// When it last got further.
    progressed: Instant,
    done: Option<u16>,
    /// What the controller knows of it: the generation of the spec and how far it is in percent.
    pub reported: Option<(u64, Option<u8>)>,
}

impl Begun {
    fn now(done: Option<u16>) -> Begun {
        let now = Instant::now();
        Begun {
            since: now,
            progressed: now,
            done,
            reported: None,
        }
    }
}

/// Returns `true` if a condition holds. Otherwise the attempt at the object ends here; a later one gets `false` once the
/// time for it is up.
pub fn wait(
    shared: &Shared,
    key: &Key,
    what: Awaited,
    condition: impl Fn(&Shared) -> Check + Send + Sync + 'static,
) -> Result<bool> {
    let check = condition(shared);
    wait_at(shared, key, what, check, Arc::new(condition))
}

fn wait_at(
    shared: &Shared,
    key: &Key,
    what: Awaited,
    check: Check,
    condition: Condition,
) -> Result<bool> {
    let mut state = shared.state();
    let tracked = state.objects.get_mut(key);
    let Check::NotYet(done) = check else {
        tracked.map(|tracked| tracked.waits.remove(&what));
        return Ok(true);
    };
    let Some(tracked) = tracked else {
        return Err(Stop::Superseded);
    };
    let begun = tracked.waits.entry(what);
    let begun = begun.or_insert_with(|| Begun::now(done));
    let now = Instant::now();
    if done != begun.done {
        (begun.done, begun.progressed) = (done, now);
    }
    let mut until = begun.progressed + what.limit();
    if until <= now {
        return Ok(false);
    }
    if let Some(pause) = what.retried_every() {
        until = until.min(now + pause);
    }
    Err(Stop::Waiting(Waiting {
        what,
        done,
        until,
        condition,
    }))
}

impl Attempt<'_> {
    /// Returns `true` if a condition holds. Otherwise the attempt ends here; a later one gets `false` once the
    /// time for it is up.
    pub async fn wait(
        &self,
        what: Awaited,
        condition: impl Fn(&Shared) -> Check + Send + Sync + 'static,
    ) -> Result<bool> {
        let mut check = condition(self.shared);
        if check != Check::Holds && what.follows_a_command() {
            let holds = |_: &Observed| condition(self.shared) == Check::Holds;
            let observed_drbd = &self.shared.observed_drbd;
            observed_drbd
                .wait(&self.spec.name, SHOWN_WITHIN, holds)
                .await;
            check = condition(self.shared);
        }
        wait_at(self.shared, self.key, what, check, Arc::new(condition))
    }

    /// As [`Attempt::wait`], for what DRBD's events show of the resource.
    pub async fn wait_for_drbd(
        &self,
        what: Awaited,
        holds: impl Fn(&Observed) -> bool + Send + Sync + 'static,
    ) -> Result<bool> {
        let name = self.spec.name.clone();
        let condition = move |shared: &Shared| Check::of(holds(&shared.observed_drbd.get(&name)));
        self.wait(what, condition).await
    }

    /// Counts the time of a wait from now on, unless it has begun: what is done before it may end the attempt, too.
    pub fn begin_wait(&self, what: Awaited) {
        if let Some(tracked) = self.shared.state().objects.get_mut(self.key) {
            let begun = tracked.waits.entry(what);
            begun.or_insert_with(|| Begun::now(None));
        }
    }

    /// Whether an earlier attempt at the same spec has begun a wait that is not over.
    pub fn has_begun(&self, what: Awaited) -> bool {
        let state = self.shared.state();
        let tracked = state.objects.get(self.key);
        tracked.is_some_and(|tracked| tracked.waits.contains_key(&what))
    }

    /// A wait is over.
    pub fn end_wait(&self, what: Awaited) {
        if let Some(tracked) = self.shared.state().objects.get_mut(self.key) {
            tracked.waits.remove(&what);
        }
    }

    /// Ends the attempt if there is a newer spec. Called where nothing is half done that is not noted.
    pub fn go_on(&self) -> Result<()> {
        let state = self.shared.state();
        let tracked = state.objects.get(self.key);
        match tracked.is_some_and(|tracked| tracked.version == self.version) {
            true => Ok(()),
            false => Err(Stop::Superseded),
        }
    }

    /// Waits for the end of a suspension of the resource's I/O: to activate or grow a logical volume resumes it.
    pub async fn resumed(&self) -> Result<()> {
        let key = self.key.clone();
        let condition = move |shared: &Shared| Check::of(!shared.suspensions.hold(&key));
        if self.wait(Awaited::Resumed, condition).await? {
            return Ok(());
        }
        let name = &self.spec.name;
        Err(Failure::new(
            linstor_api::code::FAIL_IN_USE,
            format!("I/O of resource '{name}' is suspended on this node."),
        )
        .cause("A resource is not changed while its I/O is suspended.")
        .correction("The satellite changes it when its I/O is resumed.")
        .about("RscDfn", name.as_str())
        .into())
    }
}
