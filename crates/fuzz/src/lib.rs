//! Fuzzing of decoders on stable Rust: inputs that were good are changed at random, and what a decoder had not answered before
//! becomes an input to be changed, too.
//!
//! `tests/all` has a target for each decoder. Without settings each one takes a fixed number of inputs from a fixed seed, so that a
//! run repeats. `FUZZ_SECONDS=600` lets each target run so long from a seed of the time, which is printed; `FUZZ_SEED=7` sets the seed.

use std::collections::HashSet;
use std::env;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// Inputs of a target when no time is set.
const INPUTS: u64 = 4000;
/// Inputs that a target keeps to change them further.
const POOL_MAX: usize = 2000;
/// Longest input, in bytes.
const BYTES_MAX: usize = 64 * 1024;
/// Changes of one input.
const CHANGES_MAX: usize = 6;

/// What is at the edge of something.
const PIECES: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1e999",
    "-0.0",
    "0.1",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "\"\"",
    "[]",
    "{}",
    "[[]]",
    "{\"a\":{}}",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "\n",
    " ",
    "\t",
    "\0",
    "ä",
    "\u{feff}",
    "\u{202e}",
    "/",
    "../",
    "%",
    "%00",
    "'",
    ";",
    ",",
    ":",
    "=",
    "-",
    "--",
    "*",
    "KiB",
    "99%",
    "∞",
];

/// Runs a decoder on changed inputs. It returns its answer, which is compared with earlier ones only, and panics when the answer is
/// wrong.
///
/// # Panics
///
/// When the decoder panics, with the input.
pub fn fuzz<T: Debug>(target: &str, corpus: &[Vec<u8>], decode: impl Fn(&[u8]) -> T) {
    let seconds = env::var("FUZZ_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = env::var("FUZZ_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| match seconds {
        Some(_) => now(),
        None => 1,
    });
    let mut rng = StdRng::seed_from_u64(seed);
    let mut pool = corpus.to_vec();
    assert!(!pool.is_empty(), "{target} has no inputs");
    let mut seen = HashSet::new();
    let begun = Instant::now();
    let mut inputs = 0;
    let runs_on = |inputs| match seconds {
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
        None => inputs < INPUTS,
    };
    while runs_on(inputs) {
        let input = match pool.get(inputs as usize) {
            // What is good first, as it is.
            Some(input) if (inputs as usize) < corpus.len() => input.clone(),
            _ => changed(&mut rng, &pool),
        };
        inputs += 1;
        let answer = catch_unwind(AssertUnwindSafe(|| decode(&input)));
        let answer = answer.unwrap_or_else(|_| {
            let shown = String::from_utf8_lossy(&input);
            panic!("{target}, seed {seed}: panic at input {inputs}: {shown:?}");
        });
        if seen.insert(kind_of(&answer)) && pool.len() < POOL_MAX {
            pool.push(input);
        }
    }
    let (took, answers) = (begun.elapsed(), seen.len());
    println!("{target}: {inputs} inputs in {took:.1?}, seed {seed}, {answers} kinds of answers");
}

fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(1, |since| since.as_secs())
}

/// Answers that differ in digits alone are of one kind.
fn kind_of(answer: &impl Debug) -> u64 {
    let mut hasher = DefaultHasher::new();
    for c in format!("{answer:?}")
        .chars()
        .filter(|c| !c.is_ascii_digit())
    {
        c.hash(&mut hasher);
    }
    hasher.finish()
}

fn changed(rng: &mut StdRng, pool: &[Vec<u8>]) -> Vec<u8> {
    let mut input = pool.choose(rng).cloned().unwrap_or_default();
    for _ in 0..rng.random_range(1..=CHANGES_MAX) {
        let at = rng.random_range(0..=input.len());
        let end = (at + rng.random_range(0..=16)).min(input.len());
        match rng.random_range(0..9) {
            0 => drop(input.drain(at..end)),
            1 => input.truncate(at),
            2 => {
                let part = input[at..end].to_vec();
                input.splice(at..at, part);
            }
            3 => {
                let piece = PIECES.choose(rng).copied().unwrap_or_default();
                input.splice(at..at, piece.bytes());
            }
            // A value of JSON or a word of a line becomes another one.
            4 | 5 => {
                let piece = PIECES.choose(rng).copied().unwrap_or_default();
                let is_end = |byte: &u8| b",:]}\" \n=".contains(byte);
                let begin = input[..at]
                    .iter()
                    .rposition(is_end)
                    .map_or(0, |found| found + 1);
                let end = input[at..]
                    .iter()
                    .position(is_end)
                    .map_or(input.len(), |found| at + found);
                input.splice(begin..end, piece.bytes());
            }
            6 => {
                let other = pool.choose(rng).cloned().unwrap_or_default();
                let from = rng.random_range(0..=other.len());
                input.splice(at..end, other[from..].iter().copied());
            }
            7 => input.insert(at, rng.random()),
            _ => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
    }
    input.truncate(BYTES_MAX);
    input
}
