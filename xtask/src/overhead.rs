//! What the programs add to a spawn: the part of its wall time that is neither a tool nor the kernel.
//!
//! Controller and satellites log, with `took_ms`, every program that they run, every file that they write and every batch
//! that they store. `drbdsetup events2` on each node gives the times of DRBD's own steps: the time from the end of what came
//! before on that node to such an event passed in the kernel. All guests have the host's clock. At an instant of the
//! command's wall time at which none of this happens on any node, the command line, the controller, a satellite or the
//! network between them is at work.

use std::time::Duration;

use anyhow::{Result, ensure};
use jiff::Timestamp;

use crate::cluster::{Binaries, Cluster};
use crate::lab::{Background, Exec, Lab, LabConfig, Node};
use crate::story;

/// What the measurement needs of the logs.
const LOG_FILTER: &str = "info,linstor_host=debug,linstor_controller::writer=debug";
const SPAWNS: usize = 11;
const VOLUME: &str = "20M";
const LIMIT: Duration = Duration::from_secs(60);
/// The lab writes logs back within half a second.
const LOG_DELAY: Duration = Duration::from_secs(1);
/// How much of the wall time may be the programs' own, in percent.
const GOAL_PERCENT: f64 = 10.0;
/// How many gaps of a spawn are printed.
const GAPS: usize = 8;

/// Prints the figure for the kernel of a lab.
pub fn measure(config: LabConfig, binaries: Binaries) -> Result<serde_json::Value> {
    let cluster = Cluster::start_logging(Lab::up(config)?, binaries, LOG_FILTER)?;
    let result = spawns(&cluster).inspect_err(|_| eprintln!("{}", cluster.logs()));
    let mut spawns = result?;
    cluster.lab.down()?;
    spawns.sort_by(|a, b| a.own_percent().total_cmp(&b.own_percent()));
    let median = &spawns[spawns.len() / 2];
    let (least, most) = (
        spawns[0].own_percent(),
        spawns[spawns.len() - 1].own_percent(),
    );
    let about = format!(
        "{:.0} ms wall time of the command: tools {:.0} %, files and database {:.0} %, DRBD {:.0} %; {} spawns: {least:.0} to \
         {most:.0} %",
        median.wall_ms(),
        median.percent(Kind::Tool),
        median.percent(Kind::Disk),
        median.percent(Kind::Drbd),
        spawns.len(),
    );
    let name = "spawn of a two-replica volume: neither a tool nor the kernel";
    let (value, met) = (median.own_percent(), median.own_percent() < GOAL_PERCENT);
    let word = if met { "met" } else { "MISS" };
    println!("{name}: {value:.1} % (goal {GOAL_PERCENT}, {word}); {about}");
    println!("Where it passes, in the median one:");
    median.print_gaps();
    Ok(serde_json::json!([{
        "name": name, "value": value, "unit": "%", "goal": GOAL_PERCENT, "met": met, "relative_to": about,
    }]))
}

fn spawns(cluster: &Cluster) -> Result<Vec<Spawn>> {
    story::set_up(cluster)?;
    let group = ["resource-group", "create", "fast", "--storage-pool", "pool"];
    cluster.linstor(&[&group[..], &["--place-count", "2"]].concat())?;
    cluster.linstor(&["volume-group", "create", "fast"])?;
    let mut events = Vec::new();
    for node in cluster.lab.nodes() {
        let argv = ["drbdsetup", "events2", "--timestamps", "all"];
        events.push((node, cluster.lab.spawn(node, "events", Exec::new(&argv))?));
    }
    let mut walls = Vec::new();
    for number in 0..SPAWNS {
        let name = format!("volume{number}");
        let argv = ["resource-group", "spawn-resources", "fast", &name, VOLUME];
        walls.push(wall_of(cluster, &argv)?);
        cluster.wait_up_to_date(&name, 2, LIMIT)?;
    }
    std::thread::sleep(LOG_DELAY);
    let busy = busy(cluster, &events)?;
    let spawns = walls.into_iter().map(|wall| Spawn::new(wall, &busy));
    // The first one finds nothing in any cache.
    Ok(spawns.skip(1).collect())
}

/// Runs the command line; returns when it began and ended, by the clock of its node.
fn wall_of(cluster: &Cluster, args: &[&str]) -> Result<Span> {
    let script = r#"echo $EPOCHREALTIME; "$@" >&2; code=$?; echo $EPOCHREALTIME; exit $code"#;
    let program = cluster.program("linstor");
    let argv = [&["bash", "-c", script, "bash", &program], args].concat();
    let exec = Exec::new(&argv).timeout(LIMIT);
    let text = cluster.lab.run_ok(cluster.controller_node(), exec)?;
    let times = text.lines().map(|line| Ok(line.parse::<f64>()? * 1e3));
    match times.collect::<Result<Vec<f64>>>()?[..] {
        [begin, end] => Ok(Span { begin, end }),
        _ => anyhow::bail!("no times: {text}"),
    }
}

/// In milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy)]
struct Span {
    begin: f64,
    end: f64,
}

/// What is not the programs' own work. An instant that has several counts as the first of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Tool,
    Disk,
    Drbd,
}

#[derive(Debug, Clone)]
struct Busy {
    span: Span,
    kind: Kind,
    what: String,
}

/// What happened on all nodes.
fn busy(cluster: &Cluster, events: &[(Node, Background)]) -> Result<Vec<Busy>> {
    let mut all = Vec::new();
    for (node, events) in events {
        let mut own = Vec::new();
        for label in ["satellite", "controller"] {
            let path = cluster.lab.share().join(node.to_string());
            // Only one node has a controller.
            let log = std::fs::read_to_string(path.join(format!("{label}.log")));
            let lines = log.unwrap_or_default();
            own.extend(lines.lines().filter_map(|line| logged(*node, line)));
        }
        ensure!(!own.is_empty(), "{node} has no log lines with durations");
        let text = std::fs::read_to_string(events.log())?;
        let mut lines = text.lines().filter_map(stamped).peekable();
        ensure!(lines.peek().is_some(), "DRBD had no events on {node}");
        for (at, text) in lines {
            let before = own.iter().map(|busy| busy.span);
            if before
                .clone()
                .any(|span| span.begin <= at && at <= span.end)
            {
                continue;
            }
            let ends = before.map(|span| span.end).filter(|end| *end < at);
            if let Some(begin) = ends.reduce(f64::max) {
                own.push(Busy {
                    span: Span { begin, end: at },
                    kind: Kind::Drbd,
                    what: format!("{node}: {text}"),
                });
            }
        }
        all.extend(own);
    }
    Ok(all)
}

/// A time and what follows it.
fn stamped(line: &str) -> Option<(f64, &str)> {
    let (time, rest) = line.trim_start().split_once(' ')?;
    let time: Timestamp = time.parse().ok()?;
    Some((time.as_nanosecond() as f64 / 1e6, rest.trim_start()))
}

/// A line of a program's log, written at the end of what took the time in it.
fn logged(node: Node, line: &str) -> Option<Busy> {
    let (end, text) = stamped(line)?;
    let kind = if text.contains("command ended") || text.contains("command failed") {
        Kind::Tool
    } else if text.contains("file accessed") || text.contains("batch stored") {
        Kind::Disk
    } else {
        return None;
    };
    let (_, took) = text.split_once("took_ms=")?;
    let took: f64 = took.split_whitespace().next()?.parse().ok()?;
    let what = text.split_once(": ").map_or(text, |(_, what)| what);
    Some(Busy {
        span: Span {
            begin: end - took,
            end,
        },
        kind,
        what: format!("{node}: {what}"),
    })
}

/// One spawn: which parts of its wall time are what.
struct Spawn {
    wall: Span,
    /// In order of time; those that are the programs' own have no kind.
    parts: Vec<Part>,
}

struct Part {
    span: Span,
    kind: Option<Kind>,
    /// What ended last before it.
    after: String,
}

impl Spawn {
    fn new(wall: Span, all: &[Busy]) -> Spawn {
        let during = |busy: &&Busy| busy.span.end > wall.begin && busy.span.begin < wall.end;
        let busy: Vec<&Busy> = all.iter().filter(during).collect();
        let mut edges: Vec<f64> = busy
            .iter()
            .flat_map(|busy| [busy.span.begin, busy.span.end])
            .map(|edge| edge.clamp(wall.begin, wall.end))
            .chain([wall.begin, wall.end])
            .collect();
        edges.sort_by(f64::total_cmp);
        let parts = edges
            .windows(2)
            .filter(|edge| edge[0] < edge[1])
            .map(|edge| {
                let span = Span {
                    begin: edge[0],
                    end: edge[1],
                };
                let now = busy
                    .iter()
                    .filter(|busy| busy.span.begin <= span.begin && busy.span.end >= span.end);
                let before = busy.iter().filter(|busy| busy.span.end <= span.begin);
                let last = before.max_by(|a, b| a.span.end.total_cmp(&b.span.end));
                Part {
                    span,
                    kind: now.map(|busy| busy.kind).min(),
                    after: last.map_or_else(
                        || "the command's start".to_owned(),
                        |busy| busy.what.clone(),
                    ),
                }
            });
        Spawn {
            wall,
            parts: parts.collect(),
        }
    }

    fn wall_ms(&self) -> f64 {
        self.wall.end - self.wall.begin
    }

    fn share(&self, kind: Option<Kind>) -> f64 {
        let parts = self.parts.iter().filter(|part| part.kind == kind);
        let sum: f64 = parts.map(|part| part.span.end - part.span.begin).sum();
        sum / self.wall_ms() * 100.0
    }

    fn percent(&self, kind: Kind) -> f64 {
        self.share(Some(kind))
    }

    fn own_percent(&self) -> f64 {
        self.share(None)
    }

    fn print_gaps(&self) {
        let mut gaps: Vec<&Part> = self
            .parts
            .iter()
            .filter(|part| part.kind.is_none())
            .collect();
        let length = |part: &Part| part.span.end - part.span.begin;
        gaps.sort_by(|a, b| length(b).total_cmp(&length(a)));
        for gap in gaps.into_iter().take(GAPS) {
            let (at, took) = (gap.span.begin - self.wall.begin, length(gap));
            println!("  {took:>7.1} ms at {at:>7.1} ms, after {}", gap.after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(end: &str, message: &str, took_ms: f64) -> String {
        format!(
            "2026-01-02T03:04:{end}Z DEBUG linstor_host::real::run: {message} cmd=lvs took_ms={took_ms}"
        )
    }

    /// Times of different nodes overlap and are counted once, what reaches beyond the command's time is cut off, and the rest
    /// is the programs' own.
    #[test]
    fn what_nothing_covers_is_their_own() {
        let node = Node::first(1).last().unwrap();
        let lines = [
            line("05.000", "command ended", 500.0),
            line("05.200", "file accessed", 400.0),
            line("06.000", "command failed", 200.0),
            line("05.500", "something else", 100.0),
        ];
        let busy: Vec<Busy> = lines.iter().filter_map(|line| logged(node, line)).collect();
        assert_eq!(busy.len(), 3);
        let (begin, _) = stamped("2026-01-02T03:04:04.900+00:00 x").unwrap();
        let wall = Span {
            begin,
            end: begin + 1000.0,
        };
        let spawn = Spawn::new(wall, &busy);
        let shares = [Kind::Tool, Kind::Disk].map(|kind| spawn.percent(kind).round());
        assert_eq!(shares, [20.0, 20.0]);
        assert_eq!(spawn.own_percent().round(), 60.0);
    }
}
