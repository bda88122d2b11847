//! The choice: the set of pools with the highest sum of scores that satisfies the rules between replicas.
//!
//! The result is that of an exhaustive search. Candidates that no rule distinguishes form a class, and of a class only
//! the best one is tried at each level: replacing it by another one never gives a better set. A branch ends when
//! even the best remaining scores cannot exceed the best sum found. The rest is limited by [`STEPS_MAX`]; a search that
//! reaches the limit returns the best set found so far, and if there is none it fails and reports the limit.

use std::collections::{BTreeMap, HashMap};

use linstor_api::kind::{DrbdKind, ProviderKind};

use super::filter::{DifferentRule, Rules, may_mix};
use super::score::Candidate;
use super::{Chosen, Want};

/// Limit of the search: visits of candidates; some milliseconds.
pub const STEPS_MAX: u32 = 2_000_000;

/// The result of a search.
#[derive(Debug)]
pub(crate) enum SearchResult {
    /// A set, in order of nodes.
    Found(Vec<Chosen>),
    /// There is no set, or none was found within the limit.
    None {
        /// The limit was reached.
        limit_reached: bool,
    },
}

/// Finds the best set of `wanted` candidates.
pub(crate) fn search(
    rules: &Rules<'_>,
    candidates: &[Candidate<'_>],
    wanted: usize,
) -> SearchResult {
    let kinds = Kinds::new(rules, candidates);
    let mut best: Option<(f64, Vec<&Candidate<'_>>)> = None;
    let mut steps = 0;
    for part in parts(rules, reduced(candidates, &kinds), wanted) {
        if part.len() < wanted {
            continue;
        }
        let mut search = Search::new(rules, part, &kinds, wanted, steps);
        search.best = best.as_ref().map(|(score, _)| *score);
        search.run(0, 0.0);
        steps = search.steps;
        if let Some(set) = search.found.take() {
            let score = search.best.unwrap_or(f64::NEG_INFINITY);
            let set = set.iter().map(|index| search.items[*index].candidate);
            best = Some((score, set.collect()));
        }
        if steps >= STEPS_MAX {
            break;
        }
    }
    let Some((_, mut set)) = best else {
        return SearchResult::None {
            limit_reached: steps >= STEPS_MAX,
        };
    };
    set.sort_by(|a, b| a.node.name.cmp(&b.node.name));
    let chosen = set.into_iter().map(|candidate| Chosen {
        node: candidate.node.name.clone(),
        pool: candidate.pool.name.clone(),
        kind: candidate.pool.kind,
        score: candidate.score,
        converts: rules.request.want == Want::Diskful
            && rules.deployed.diskless_nodes.contains(&candidate.node.name),
    });
    SearchResult::Found(chosen.collect())
}

/// Of pools of one node that no rule distinguishes only the best one.
fn reduced<'c, 'a>(candidates: &'c [Candidate<'a>], kinds: &Kinds) -> Vec<&'c Candidate<'a>> {
    let mut reduced: Vec<&Candidate<'a>> = Vec::new();
    let mut node_start = 0;
    for candidate in candidates {
        if reduced
            .last()
            .is_none_or(|last| !std::ptr::eq(last.node, candidate.node))
        {
            node_start = reduced.len();
        }
        let twin = reduced[node_start..].iter_mut().find(|other| {
            kinds.of(other) == kinds.of(candidate)
                && other.pool.shared_name == candidate.pool.shared_name
        });
        match twin {
            Some(twin) if candidate.score > twin.score => *twin = candidate,
            Some(_) => {}
            None => reduced.push(candidate),
        }
    }
    reduced
}

/// Groups of candidates that agree in everything that all replicas must have in common: the values that must be the
/// same, and the DRBD version. A set never has candidates of two groups.
fn parts<'c, 'a>(
    rules: &Rules<'a>,
    candidates: Vec<&'c Candidate<'a>>,
    wanted: usize,
) -> Vec<Vec<&'c Candidate<'a>>> {
    let mut parts: BTreeMap<(Option<DrbdKind>, Vec<&str>), Vec<&Candidate<'a>>> = BTreeMap::new();
    for candidate in candidates {
        let drbd = candidate.drbd.filter(|_| rules.request.has_drbd());
        let values = rules
            .same
            .iter()
            .map(|rule| {
                candidate
                    .node
                    .props
                    .get(rule.key)
                    .map_or("", String::as_str)
            })
            .collect();
        parts.entry((drbd, values)).or_default().push(candidate);
    }
    // The group with the highest scores first, so that the search of others ends early; among equals, names decide.
    let mut parts: Vec<(f64, Vec<&Candidate<'a>>)> = parts
        .into_values()
        .map(|part| {
            let mut scores: Vec<f64> = part.iter().map(|candidate| candidate.score).collect();
            scores.sort_unstable_by(|a, b| b.total_cmp(a));
            (scores.iter().take(wanted).sum(), part)
        })
        .collect();
    parts.sort_by(|a, b| {
        b.0.total_cmp(&a.0)
            .then_with(|| a.1[0].node.name.cmp(&b.1[0].node.name))
    });
    parts.into_iter().map(|(_, part)| part).collect()
}

/// A candidate in the search.
struct Item<'c, 'a> {
    candidate: &'c Candidate<'a>,
    /// Candidates of one class are not distinguished by any rule.
    class: usize,
    /// No other candidate of its node can be in a set together with one of its class.
    single: bool,
    node: usize,
    kind: usize,
    shared: Option<usize>,
    /// Value of each rule's property; none if the node does not have it.
    values: Vec<Option<usize>>,
}

/// Number of replicas per value of one property.
struct Tally {
    max: Option<u32>,
    counts: Vec<u32>,
    /// Values that some but fewer than `max` replicas have.
    incomplete: u32,
    /// Number of replicas that these values lack in total.
    lacking: u32,
}

impl Tally {
    fn add(&mut self, value: usize) {
        let Some(max) = self.max else { return };
        let count = self.counts[value] + 1;
        self.counts[value] = count;
        if count == 1 {
            self.incomplete += 1;
            self.lacking += max;
        }
        self.lacking -= 1;
        self.incomplete -= u32::from(count == max);
    }

    fn take(&mut self, value: usize) {
        let Some(max) = self.max else { return };
        let count = self.counts[value];
        self.counts[value] = count - 1;
        self.incomplete += u32::from(count == max);
        self.lacking += 1;
        if count == 1 {
            self.incomplete -= 1;
            self.lacking -= max;
        }
    }

    fn takes(&self, value: usize) -> bool {
        self.max.is_none_or(|max| self.counts[value] < max)
    }

    /// Whether this number of further replicas can leave at most one value incomplete.
    fn can_close(&self, remaining: u32) -> bool {
        self.max
            .is_none_or(|max| self.lacking <= remaining.saturating_add(max - 1))
    }
}

struct Search<'c, 'a> {
    items: Vec<Item<'c, 'a>>,
    /// Sum of the scores before each item.
    sums: Vec<f64>,
    wanted: usize,
    /// Which kinds can be mixed, as bits.
    compatible: Vec<u64>,
    // State.
    set: Vec<usize>,
    kinds: Vec<u64>,
    nodes: Vec<bool>,
    shared: Vec<bool>,
    tallies: Vec<Tally>,
    /// Per depth and class: the visit of that depth in which the class was tried.
    tried: Vec<Vec<u32>>,
    visits: u32,
    steps: u32,
    best: Option<f64>,
    found: Option<Vec<usize>>,
}

impl<'c, 'a> Search<'c, 'a> {
    fn new(
        rules: &Rules<'a>,
        candidates: Vec<&'c Candidate<'a>>,
        kinds: &Kinds,
        wanted: usize,
        steps: u32,
    ) -> Self {
        let mut tallies: Vec<Tally> = Vec::new();
        let mut names: Vec<HashMap<&str, usize>> = Vec::new();
        for rule in &rules.different {
            let (tally, values) = tally(rule);
            tallies.push(tally);
            names.push(values);
        }
        let items = items(rules, candidates, kinds, &mut names);
        for (tally, names) in tallies.iter_mut().zip(&names) {
            tally.counts.resize(names.len(), 0);
        }
        let mut sums = Vec::with_capacity(items.len() + 1);
        sums.push(0.0);
        for item in &items {
            sums.push(sums[sums.len() - 1] + item.candidate.score);
        }
        let count = |index: fn(&Item<'_, '_>) -> usize| {
            items.iter().map(index).max().map_or(0, |most| most + 1)
        };
        let classes = count(|item| item.class);
        let (nodes, shared) = (
            count(|item| item.node),
            count(|item| item.shared.unwrap_or(0)),
        );
        Search {
            sums,
            wanted,
            compatible: kinds.compatible.clone(),
            set: Vec::with_capacity(wanted),
            kinds: vec![0],
            nodes: vec![false; nodes],
            shared: vec![false; shared],
            tallies,
            tried: vec![vec![0; classes]; wanted],
            visits: 0,
            steps,
            best: None,
            found: None,
            items,
        }
    }

    /// Tries every candidate starting with `from` as the next one of the set.
    fn run(&mut self, from: usize, score: f64) {
        let depth = self.set.len();
        let remaining = self.wanted - depth;
        if remaining == 0 {
            self.take_set(score);
            return;
        }
        self.visits += 1;
        let visit = self.visits;
        for index in from..self.items.len() {
            let Some(last) = self.sums.get(index + remaining) else {
                break;
            };
            // Candidates are sorted by score, so these are the best remaining scores.
            let bound = score + (last - self.sums[index]);
            if self.best.is_some_and(|best| bound <= best) || self.steps >= STEPS_MAX {
                break;
            }
            self.steps += 1;
            let item = &self.items[index];
            let (class, single) = (item.class, item.single);
            if self.tried[depth][class] == visit || self.nodes[item.node] {
                continue;
            }
            let fits = self.fits(item);
            if single || !fits {
                self.tried[depth][class] = visit;
            }
            if !fits {
                continue;
            }
            let next = score + self.items[index].candidate.score;
            self.push(index);
            let left = (remaining - 1) as u32;
            if self.tallies.iter().all(|tally| tally.can_close(left)) {
                self.run(index + 1, next);
            }
            self.pop(index);
        }
    }

    fn take_set(&mut self, score: f64) {
        let closed = self
            .tallies
            .iter()
            .all(|tally| tally.max.is_none() || tally.incomplete <= 1);
        if closed && self.best.is_none_or(|best| score > best) {
            self.best = Some(score);
            self.found = Some(self.set.clone());
        }
    }

    /// Whether a candidate can be added to the set, regardless of its node: equal for all candidates of its class.
    fn fits(&self, item: &Item<'_, '_>) -> bool {
        let kinds = self.kinds[self.kinds.len() - 1];
        item.shared.is_none_or(|shared| !self.shared[shared])
            && kinds & !self.compatible[item.kind] == 0
            && self
                .tallies
                .iter()
                .zip(&item.values)
                .all(|(tally, value)| value.is_none_or(|value| tally.takes(value)))
    }

    fn push(&mut self, index: usize) {
        let item = &self.items[index];
        self.kinds
            .push(self.kinds[self.kinds.len() - 1] | 1 << item.kind);
        self.nodes[item.node] = true;
        if let Some(shared) = item.shared {
            self.shared[shared] = true;
        }
        for (tally, value) in self.tallies.iter_mut().zip(&item.values) {
            if let Some(value) = value {
                tally.add(*value);
            }
        }
        self.set.push(index);
    }

    fn pop(&mut self, index: usize) {
        let item = &self.items[index];
        self.kinds.pop();
        self.nodes[item.node] = false;
        if let Some(shared) = item.shared {
            self.shared[shared] = false;
        }
        for (tally, value) in self.tallies.iter_mut().zip(&item.values) {
            if let Some(value) = value {
                tally.take(*value);
            }
        }
        self.set.pop();
    }
}

/// A rule's count of the existing replicas, and the values known so far.
fn tally<'a>(rule: &DifferentRule<'a>) -> (Tally, HashMap<&'a str, usize>) {
    let mut tally = Tally {
        max: rule.max,
        counts: vec![0; rule.used.len()],
        incomplete: 0,
        lacking: 0,
    };
    let mut names = HashMap::new();
    for (value, count) in &rule.used {
        let index = names.len();
        names.insert(*value, index);
        // More than permitted: the value is full, and further ones need not be counted.
        for _ in 0..(*count).min(rule.max.unwrap_or(0)) {
            tally.add(index);
        }
    }
    (tally, names)
}

/// Number of storage providers, each with and without a DRBD that supports pools with different extent sizes.
const KINDS: usize = ProviderKind::ALL.len() * 2;

/// Storage providers, distinguished only if mixing rules distinguish them.
struct Kinds {
    index: [usize; KINDS],
    /// Per kind the kinds that can be mixed with it, as bits.
    compatible: Vec<u64>,
}

impl Kinds {
    fn new(rules: &Rules<'_>, candidates: &[Candidate<'_>]) -> Self {
        let mut present = [false; KINDS];
        for candidate in candidates {
            present[slot(candidate.pool.kind, candidate.mixes)] = true;
        }
        let known: Vec<(ProviderKind, bool)> = ProviderKind::ALL
            .iter()
            .flat_map(|kind| [(*kind, false), (*kind, true)])
            .filter(|(kind, mixes)| present[slot(*kind, *mixes)])
            .collect();
        let rows: Vec<u64> = known
            .iter()
            .map(|a| {
                let bits = known.iter().enumerate();
                bits.fold(0, |row, (bit, b)| {
                    row | u64::from(may_mix(*a, *b, rules.mixing_allowed)) << bit
                })
            })
            .collect();
        // Kinds that can be mixed with each other and with the same others are one kind in the search.
        let mut index = [0; KINDS];
        for (at, (kind, mixes)) in known.iter().enumerate() {
            let same = |other: &usize| rows[*other] == rows[at] && rows[at] & 1 << other != 0;
            index[slot(*kind, *mixes)] = (0..at).find(same).unwrap_or(at);
        }
        Kinds {
            index,
            compatible: rows,
        }
    }

    fn of(&self, candidate: &Candidate<'_>) -> usize {
        self.index[slot(candidate.pool.kind, candidate.mixes)]
    }
}

fn slot(kind: ProviderKind, mixes: bool) -> usize {
    kind as usize * 2 + usize::from(mixes)
}

/// Candidates for the search: sorted by score, with their classes.
fn items<'c, 'a>(
    rules: &Rules<'a>,
    candidates: Vec<&'c Candidate<'a>>,
    kinds: &Kinds,
    names: &mut [HashMap<&'a str, usize>],
) -> Vec<Item<'c, 'a>> {
    let mut shared_names: HashMap<&str, usize> = HashMap::new();
    let mut items: Vec<Item<'c, 'a>> = Vec::with_capacity(candidates.len());
    let mut node = 0;
    for candidate in candidates {
        let new_node = items
            .last()
            .is_none_or(|last| !std::ptr::eq(last.candidate.node, candidate.node));
        node += usize::from(new_node && !items.is_empty());
        let kind = kinds.of(candidate);
        let shared = candidate.pool.shared_name.as_deref().map(|name| {
            let next = shared_names.len();
            *shared_names.entry(name).or_insert(next)
        });
        let values = if new_node {
            values_of(rules, candidate, names)
        } else {
            items[items.len() - 1].values.clone()
        };
        items.push(Item {
            candidate,
            class: 0,
            single: true,
            node,
            kind,
            shared,
            values,
        });
    }
    mark_rivals(&mut items, &kinds.compatible);
    items.sort_by(|a, b| {
        b.candidate
            .score
            .total_cmp(&a.candidate.score)
            .then_with(|| a.node.cmp(&b.node))
            .then_with(|| a.candidate.pool.name.cmp(&b.candidate.pool.name))
    });
    let mut classes = HashMap::new();
    for item in &mut items {
        let next: usize = classes.len();
        let key = (item.kind, item.shared, item.values.clone());
        item.class = *classes.entry(key).or_insert(next);
    }
    items
}

fn values_of<'a>(
    rules: &Rules<'a>,
    candidate: &Candidate<'a>,
    names: &mut [HashMap<&'a str, usize>],
) -> Vec<Option<usize>> {
    let pairs = rules.different.iter().zip(names);
    pairs
        .map(|(rule, names)| {
            rule.max?;
            let value = candidate.node.props.get(rule.key)?.as_str();
            let next = names.len();
            Some(*names.entry(value).or_insert(next))
        })
        .collect()
}

/// Marks the candidates whose node has another candidate that could be in a set together with one of their class.
fn mark_rivals(items: &mut [Item<'_, '_>], compatible: &[u64]) {
    let mut start = 0;
    while start < items.len() {
        let node = items[start].node;
        let len = items[start..]
            .iter()
            .take_while(|item| item.node == node)
            .count();
        let mates: Vec<usize> = items[start..start + len]
            .iter()
            .map(|item| item.kind)
            .collect();
        for (at, item) in items[start..start + len].iter_mut().enumerate() {
            let row = compatible[item.kind];
            item.single = !mates
                .iter()
                .enumerate()
                .any(|(other, kind)| other != at && row & 1 << kind != 0);
        }
        start += len;
    }
}
