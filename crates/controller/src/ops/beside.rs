//! Reading one sorted map beside a walk over another one.

use std::cmp::Ordering;

use imbl::OrdMap;
use imbl::ordmap::RangedIter;
use imbl::shared_ptr::DefaultSharedPtr;

/// How many entries are passed over before the next one is searched for from the root.
const STEPS_MAX: usize = 8;

/// A map whose entries are asked for in the order of their keys, as long lists do: most of the time the next entry is
/// the one that is wanted, and to search for each from the root would cost a dozen comparisons, most of them with keys
/// that are in no cache.
pub(super) struct Beside<'a, K, V> {
    map: &'a OrdMap<K, V>,
    rest: RangedIter<'a, K, V, DefaultSharedPtr>,
    next: Option<(&'a K, &'a V)>,
}

impl<'a, K: Ord, V> Beside<'a, K, V> {
    pub(super) fn new(map: &'a OrdMap<K, V>) -> Self {
        let rest = map.range(..);
        // Where the walk begins is known when it is asked for the first time.
        let next = None;
        Beside { map, rest, next }
    }

    /// The entry with this key, which is not before the one asked for last.
    pub(super) fn find(&mut self, key: &K) -> Option<&'a V> {
        for _ in 0..STEPS_MAX {
            let Some((found, value)) = self.next else {
                break;
            };
            match found.cmp(key) {
                Ordering::Less => self.next = self.rest.next(),
                Ordering::Equal => return Some(value),
                Ordering::Greater => return None,
            }
        }
        self.rest = self.map.range(key..);
        self.next = self.rest.next();
        self.next
            .filter(|(found, _)| *found == key)
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is skipped, repeated or missing, it finds what a search finds.
    #[test]
    fn finds_what_is_there() {
        let map: OrdMap<u32, u32> = (0_u32..2_000)
            .filter(|n| n % 3 != 0)
            .map(|n| (n, n + 1))
            .collect();
        for step in [0, 1, 2, 7, 50, 2_500] {
            let mut beside = Beside::new(&map);
            let mut key = 0;
            for _ in 0..3_000 {
                assert_eq!(beside.find(&key), map.get(&key), "{key} by steps of {step}");
                key += step;
            }
        }
    }
}
