//! `cargo xtask lab`.

use std::io::{self, IsTerminal, Read, Seek, SeekFrom, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use super::state::{self, LabDir};
use super::{Exec, HOST_ADDRESS, Lab, LabConfig, Node, TimedOut, guest, requirements};

/// Arguments of `cargo xtask lab`.
#[derive(clap::Args)]
pub struct Args {
    /// Name of the lab; several can run at once.
    #[arg(long, global = true, default_value = "default")]
    name: String,
    /// A User Mode Linux kernel instead of the package's; stored in the lab.
    #[arg(long, global = true, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Modules for that kernel, or modules that replace the package's; may be repeated, later
    /// ones take precedence; stored in the lab.
    #[arg(long, global = true, value_name = "DIR")]
    modules: Vec<PathBuf>,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Start a lab and wait until every guest answers.
    Up {
        /// Guests; they are called node1, node2, ...
        #[arg(long, default_value_t = 3)]
        nodes: u8,
        /// Empty data disks per guest: /dev/ubda, /dev/ubdb, ...
        #[arg(long, default_value_t = 1)]
        disks: u8,
        /// Size of each data disk; a sparse file, so that empty space costs nothing.
        #[arg(long, default_value = "2G", value_parser = parse_size)]
        size: u64,
        /// Memory of each guest.
        #[arg(long, default_value = "384M", value_parser = parse_size)]
        mem: u64,
        /// Replace a running lab of that name.
        #[arg(long)]
        replace: bool,
        /// Run until interrupted; the guests are killed then.
        #[arg(long)]
        foreground: bool,
    },
    /// Run a command in a guest; has the command's exit code, and kills the command when it is killed.
    Exec {
        /// Kill the command after this many seconds.
        #[arg(long, default_value_t = 120)]
        timeout: u64,
        /// Forward standard input to the command.
        #[arg(short = 'i', long)]
        stdin: bool,
        /// Working directory.
        #[arg(long, default_value = "/")]
        cwd: String,
        /// Environment variable, NAME=VALUE; may be repeated.
        #[arg(long, value_parser = parse_variable)]
        env: Vec<(String, String)>,
        /// node1, or 1.
        node: Node,
        /// Program and arguments, passed unchanged.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Start a command in the background; prints its process id and its log file.
    Spawn {
        /// The log is NODE/LABEL.log in the lab's folder.
        #[arg(long, default_value = "spawn")]
        label: String,
        /// node1, or 1.
        node: Node,
        /// Program and arguments, passed unchanged.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Run a program of the host inside the lab's network, where guests are 10.77.0.N.
    Host {
        /// Program and arguments.
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Cut the link between two nodes, or all links of one.
    Cut {
        /// One end.
        a: Node,
        /// The other end.
        b: Option<Node>,
    },
    /// Undo cuts: between two nodes, of one node, or all.
    Heal {
        /// One end.
        a: Option<Node>,
        /// The other end.
        b: Option<Node>,
    },
    /// Cut the power of nodes.
    Kill {
        /// node1, or 1.
        #[arg(required = true)]
        nodes: Vec<Node>,
    },
    /// Boot nodes again; their disks, /etc and /var/lib are preserved.
    Boot {
        /// node1, or 1.
        #[arg(required = true)]
        nodes: Vec<Node>,
    },
    /// Print the console output of a guest.
    Console {
        /// Continue to print new output.
        #[arg(short, long)]
        follow: bool,
        /// node1, or 1.
        node: Node,
    },
    /// Show this lab, and the names of the others.
    Status,
    /// Kill all guests and remove everything.
    Down,
    /// Start labs and test all commands above.
    Selftest,
}

/// Runs `cargo xtask lab`.
pub fn run(args: Args) -> Result<ExitCode> {
    let Args {
        name,
        kernel,
        modules,
        action,
    } = args;
    match action {
        Action::Up {
            nodes,
            disks,
            size: disk_bytes,
            mem,
            replace,
            foreground: owned,
        } => {
            let memory_mib = u32::try_from(mem >> 20)?;
            let config = LabConfig {
                name,
                nodes,
                disks,
                disk_bytes,
                shared_disk: false,
                memory_mib,
                kernel,
                modules,
                replace,
                owned,
            };
            up(config)?;
        }
        Action::Status => status(&name)?,
        Action::Down => Lab::down_named(&name)?,
        Action::Selftest => {
            let mut report = crate::report::Report::default();
            super::selftest::run(&name, kernel, modules, &mut report)?;
            return Ok(report.finish());
        }
        other => return run_in(&Lab::open(&name)?, other),
    }
    Ok(ExitCode::SUCCESS)
}

/// The commands for a running lab.
fn run_in(lab: &Lab, action: Action) -> Result<ExitCode> {
    match action {
        Action::Exec {
            timeout,
            stdin,
            cwd,
            env,
            node,
            command,
        } => {
            let exec = Exec::new(&command)
                .timeout(Duration::from_secs(timeout))
                .cwd(&cwd);
            let exec = env
                .iter()
                .fold(exec, |exec, (name, value)| exec.env(name, value));
            let exec = if stdin { exec.stdin(io::stdin()) } else { exec };
            return Ok(exec_here(lab, node, exec));
        }
        Action::Spawn {
            label,
            node,
            command,
        } => {
            let background = lab.spawn(node, &label, Exec::new(&command))?;
            println!("{} {}", background.pid(), background.log().display());
        }
        Action::Host { command } => {
            let (program, arguments) = command.split_first().context("an empty command")?;
            let mut command = Command::new(program);
            command.args(arguments);
            let status = lab.inside(|| command.status())?;
            return Ok(exit_code(status.with_context(|| format!("run {program}"))?));
        }
        Action::Cut { a, b: Some(b) } => lab.cut(a, b)?,
        Action::Cut { a, b: None } => lab.cut_off(a)?,
        Action::Heal {
            a: Some(a),
            b: Some(b),
        } => lab.heal(a, b)?,
        Action::Heal {
            a: Some(a),
            b: None,
        } => lab.heal_node(a)?,
        Action::Heal { a: None, b: _ } => lab.heal_all()?,
        Action::Kill { nodes } => nodes.into_iter().try_for_each(|node| lab.kill(node))?,
        Action::Boot { nodes } => lab.boot_all(&nodes)?,
        Action::Console { follow, node } => console(lab, node, follow)?,
        Action::Up { .. } | Action::Status | Action::Down | Action::Selftest => {
            unreachable!("these commands do not need a running lab")
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn up(config: LabConfig) -> Result<()> {
    let start = Instant::now();
    let lab = Lab::up(config)?;
    let seconds = start.elapsed().as_secs_f32();
    let names: Vec<String> = lab.nodes().iter().map(Node::to_string).collect();
    println!(
        "{} up in {seconds:.1} s: Linux {}",
        names.join(" "),
        lab.release()
    );
    println!("/mnt in guests is {}", lab.share().display());
    if let Some(advice) = requirements::advice() {
        println!("{advice}");
    }
    while lab.config().owned {
        std::thread::park();
    }
    Ok(())
}

/// Exit codes as of `timeout`: 124 after a timeout, 125 if there is no exit status.
fn exec_here(lab: &Lab, node: Node, exec: Exec) -> ExitCode {
    match lab.stream(node, exec, &mut io::stdout(), &mut io::stderr()) {
        Ok(status) => exit_code(status),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<TimedOut>() { 124 } else { 125 })
        }
    }
}

/// Exit code as of a shell: 128 plus the signal's number for a killed command.
fn exit_code(status: std::process::ExitStatus) -> ExitCode {
    let code = status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

fn console(lab: &Lab, node: Node, follow: bool) -> Result<()> {
    let path = lab.console(node);
    let mut file =
        std::fs::File::open(&path).with_context(|| format!("open {}", path.display()))?;
    let (mut position, mut chunk) = (0, vec![0; 64 << 10]);
    loop {
        file.seek(SeekFrom::Start(position))?;
        let count = file.read(&mut chunk)?;
        if count > 0 {
            io::stdout().write_all(&chunk[..count])?;
            position += u64::try_from(count)?;
        } else if follow && path.exists() {
            io::stdout().flush()?;
            std::thread::sleep(Duration::from_millis(200));
        } else {
            return Ok(());
        }
    }
}

fn status(name: &str) -> Result<()> {
    let dir = LabDir::of(name)?;
    match dir.load()? {
        None => println!("lab {name}: down"),
        Some(state) => {
            let config = &state.config;
            println!(
                "lab {name}: Linux {}, {} MiB per node",
                state.release, config.memory_mib
            );
            println!("folder {} (/mnt in guests)", dir.root().display());
            println!("network namespace {}, host {HOST_ADDRESS}", state.netns);
            if !state.ready {
                println!("`up` did not finish: `down` it, or `up` again");
            }
            for node in Node::first(config.nodes) {
                let power = match guest::pid(&dir, node) {
                    Some(pid) => format!("on (process {pid})"),
                    None => "off".to_owned(),
                };
                println!("{node} {} power {power}", node.address());
            }
            for (a, b) in state.cuts.iter().map(|link| link.nodes()) {
                println!("cut {a} {b}");
            }
        }
    }
    let others: Vec<String> = state::all_names()
        .into_iter()
        .filter(|lab| lab != name)
        .collect();
    if !others.is_empty() && io::stdout().is_terminal() {
        println!("other labs: {}", others.join(" "));
    }
    Ok(())
}

/// Bytes from a number with an optional K, M, G or T.
fn parse_size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        unit => bail!("unknown unit {unit}: use K, M, G or T"),
    };
    let count: u64 = digits.parse().with_context(|| {
        format!("`{text}` is not a size; give a number with an optional K, M, G or T")
    })?;
    count
        .checked_mul(1 << shift)
        .with_context(|| format!("{text} is too large"))
}

fn parse_variable(text: &str) -> Result<(String, String)> {
    let (name, value) = text.split_once('=').context("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_binary_units() {
        // As with the storage tools the lab runs: 1K is 1024 bytes.
        assert_eq!(parse_size("7").unwrap(), 7);
        assert_eq!(parse_size("2k").unwrap(), 2048);
        assert_eq!(parse_size("3G").unwrap(), 3 << 30);
        for text in ["", "G", "1X", "-1M", "99999999999T", "1 G"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn options_after_the_node_belong_to_the_command() {
        // All arguments after `--` are passed to the guest, including options and dashes.
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            args: Args,
        }
        let args = [
            "lab", "exec", "node1", "--", "ls", "--", "-l", "--name", "x",
        ];
        let program = <Program as clap::Parser>::try_parse_from(args).unwrap();
        let Action::Exec { command, .. } = program.args.action else {
            panic!("not exec")
        };
        assert_eq!(command, ["ls", "--", "-l", "--name", "x"]);
        assert_eq!(program.args.name, "default");
    }
}
