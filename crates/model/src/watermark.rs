//! Watermarks: how full a storage pool may be until it is warned about, left out of placement, and protected; and when it
//! will be full.
//!
//! A pool is as full as its data or, in a thin pool, its metadata: whichever is fuller. A thin pool without free
//! metadata is as unusable as one without free data.

use linstor_api::code;
use linstor_api::prop;
use linstor_api::reply::Reply;
use linstor_wire::status::PoolStatus;

use crate::StoragePool;
use crate::model::Model;

/// The time within which older growth counts for less than half, roughly: a burst must not foretell the end.
const MEMORY_SECONDS: f64 = 3600.0;
/// After how many reports of growth there is a rate.
const GROWTHS_MIN: u32 = 6;

/// A mark, in percent: the pool's own, its definition's or the controller's; none where it is not set.
fn mark(model: &Model, pool: &StoragePool, key: &str) -> Option<f64> {
    let definition = model.pool_definitions.get(&pool.name);
    let value = pool
        .props
        .get(key)
        .or_else(|| definition?.props.get(key))
        .or_else(|| model.controller.props.get(key))?;
    value
        .trim()
        .parse()
        .ok()
        .filter(|percent: &f64| percent.is_finite())
}

/// How full a pool is, in percent; none if its node has not reported it.
pub fn filled_percent(status: &PoolStatus) -> Option<f64> {
    let data = match (status.free_kib, status.total_kib) {
        (Some(free), Some(total)) if total > 0 => {
            Some(total.saturating_sub(free) as f64 * 100.0 / total as f64)
        }
        _ => None,
    };
    let metadata = status
        .metadata_permille
        .map(|permille| f64::from(permille) / 10.0);
    match (data, metadata) {
        (Some(data), Some(metadata)) => Some(data.max(metadata)),
        (data, metadata) => data.or(metadata),
    }
}

/// Whether a pool is fuller than a mark: how full it is, and the mark, in percent.
pub fn above(
    model: &Model,
    pool: &StoragePool,
    status: Option<&PoolStatus>,
    key: &str,
) -> Option<(f64, f64)> {
    let mark = mark(model, pool, key)?;
    let filled = filled_percent(status?)?;
    (filled > mark).then_some((filled, mark))
}

/// The warning that is shown with a pool.
pub fn warning(model: &Model, pool: &StoragePool, status: &PoolStatus) -> Option<Reply> {
    let (filled, mark) = above(model, pool, Some(status), prop::WATERMARK_WARN)?;
    let number = code::FAIL_NOT_ENOUGH_FREE_SPACE & code::MASK_BITS_CODE;
    let message = format!("Storage pool '{}' is {filled:.1} % full.", pool.name);
    Some(
        Reply::new(code::MASK_WARN | number, message)
            .cause(format!("{} is {mark} %.", prop::WATERMARK_WARN))
            .correction("Add space to it, or delete or move volumes.")
            .about("Node", pool.node.as_str())
            .about("StorPoolDfn", pool.name.as_str()),
    )
}

/// Refuses to create or grow a volume in a pool that is to be protected.
pub fn protect(
    model: &Model,
    pool: &StoragePool,
    status: Option<&PoolStatus>,
) -> Result<(), Reply> {
    let key = prop::WATERMARK_PROTECT;
    check(model, pool, status, (key, "new or larger volumes"))
}

/// Refuses to take a snapshot in a pool that is to take no more of them.
pub fn check_snapshot(
    model: &Model,
    pool: &StoragePool,
    status: Option<&PoolStatus>,
) -> Result<(), Reply> {
    for key in [prop::WATERMARK_SNAPSHOT, prop::WATERMARK_PROTECT] {
        check(model, pool, status, (key, "snapshots"))?;
    }
    Ok(())
}

fn check(
    model: &Model,
    pool: &StoragePool,
    status: Option<&PoolStatus>,
    (key, what): (&str, &str),
) -> Result<(), Reply> {
    let Some((filled, mark)) = above(model, pool, status, key) else {
        return Ok(());
    };
    let message = format!(
        "Storage pool '{}' on node '{}' is too full for {what}.",
        pool.name, pool.node
    );
    Err(Reply::new(code::FAIL_NOT_ENOUGH_FREE_SPACE, message)
        .cause(format!("It is {filled:.1} % full, and {key} is {mark} %."))
        .correction("Add space to it, delete or move volumes, or change the property.")
        .about("Node", pool.node.as_str())
        .about("StorPoolDfn", pool.name.as_str()))
}

/// How fast a pool fills, by its node's reports.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Trend {
    /// When the last report came, in milliseconds since the Unix epoch.
    at: u64,
    used_kib: u64,
    free_kib: u64,
    kib_per_second: f64,
    /// When the first report came.
    since: u64,
    /// How many reports had more used than the one before.
    growths: u32,
}

impl Trend {
    /// With a further report; none without numbers.
    pub fn with(before: Option<Trend>, status: &PoolStatus, at: u64) -> Option<Trend> {
        let free_kib = status.free_kib?;
        let used_kib = status.total_kib?.saturating_sub(free_kib);
        let now = Trend {
            at,
            used_kib,
            free_kib,
            kib_per_second: 0.0,
            since: at,
            growths: 0,
        };
        let Some(before) = before else {
            return Some(now);
        };
        let seconds = at.saturating_sub(before.at) as f64 / 1000.0;
        if seconds < 1.0 {
            return Some(Trend { free_kib, ..before });
        }
        let measured = (used_kib as f64 - before.used_kib as f64) / seconds;
        let weight = 1.0 - (-seconds / MEMORY_SECONDS).exp();
        let kib_per_second = before.kib_per_second + weight * (measured - before.kib_per_second);
        Some(Trend {
            kib_per_second,
            since: before.since,
            growths: before.growths.saturating_add(u32::from(measured > 0.0)),
            ..now
        })
    }

    /// In how many seconds the pool is full, if it goes on like this; none if it does not fill, or was not observed for so
    /// long or so often that it can be known: a few new volumes are no rate.
    pub fn full_in_seconds(&self, now: u64) -> Option<f64> {
        let observed = self.at.saturating_sub(self.since) as f64 / 1000.0;
        if observed < MEMORY_SECONDS || self.growths < GROWTHS_MIN {
            return None;
        }
        // Without a report nothing has changed.
        let quiet = now.saturating_sub(self.at) as f64 / 1000.0;
        let rate = self.kib_per_second * (-quiet / MEMORY_SECONDS).exp();
        (rate > 1e-3).then(|| self.free_kib as f64 / rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(free: u64, metadata: Option<u32>) -> PoolStatus {
        PoolStatus {
            free_kib: Some(free),
            total_kib: Some(1000),
            metadata_permille: metadata,
            ..PoolStatus::default()
        }
    }

    /// Data or metadata, whichever is fuller.
    #[test]
    fn the_fuller_one_counts() {
        assert_eq!(filled_percent(&status(900, None)), Some(10.0));
        assert_eq!(filled_percent(&status(900, Some(955))), Some(95.5));
        assert_eq!(filled_percent(&status(0, Some(955))), Some(100.0));
        assert_eq!(filled_percent(&PoolStatus::default()), None);
    }

    /// Steady growth is foretold; a pool that does not fill has no end, and a burst is no steady growth.
    #[test]
    fn forecasts() {
        let mut trend = Trend::with(None, &status(1000, None), 0).unwrap();
        assert_eq!(trend.full_in_seconds(0), None);
        // 10 KiB each 10 minutes, for a day.
        for step in 1..=50_u64 {
            trend =
                Trend::with(Some(trend), &status(1000 - step * 10, None), step * 600_000).unwrap();
        }
        let seconds = trend.full_in_seconds(50 * 600_000).unwrap();
        let exact = 500.0 * 60.0;
        assert!((seconds - exact).abs() < exact * 0.05, "{seconds}");
        let later = trend.full_in_seconds(50 * 600_000 + 10 * 3_600_000);
        assert!(
            later.is_none_or(|later| later > seconds * 100.0),
            "{later:?}"
        );
        let burst = Trend::with(
            Trend::with(None, &status(1000, None), 0),
            &status(900, None),
            1000,
        );
        assert_eq!(burst.unwrap().full_in_seconds(1000), None);
    }
}
