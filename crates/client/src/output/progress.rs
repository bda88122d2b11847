//! The progress of what a command waits for, on a terminal.

use std::io::{IsTerminal, Write, stderr};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use linstor_api::job::Job;

use crate::interrupt::{self, Waiting};
use crate::request::Request;

/// What is answered sooner needs no progress.
const SOON: Duration = Duration::from_secs(1);

/// Width of a bar in characters.
const BAR_CHARS: usize = 30;

/// One line on standard error, written again and again; nothing if that is not a terminal.
pub struct Progress {
    label: String,
    begin: Instant,
    terminal: bool,
    _waiting: Waiting,
}

impl Progress {
    /// The label says what goes on; `goes_on` is printed if the user interrupts the command.
    pub fn begin(label: String, goes_on: String) -> Progress {
        Progress {
            label,
            begin: Instant::now(),
            terminal: stderr().is_terminal(),
            _waiting: interrupt::waiting(goes_on),
        }
    }

    /// Seconds since the beginning.
    pub fn seconds(&self) -> u64 {
        self.begin.elapsed().as_secs()
    }

    /// Shows how much is done, if that is known.
    pub fn show(&mut self, percent: Option<f64>) {
        self.draw(&self.label, percent);
    }

    /// Shows how far the job is that concerns what is waited for; the jobs are asked for only on a terminal.
    pub fn show_job(&mut self, concerns: impl Fn(&Job) -> bool, jobs: impl FnOnce() -> Vec<Job>) {
        if !self.terminal {
            return;
        }
        match jobs().iter().find(|job| concerns(job)) {
            Some(job) => self.draw(&format!("{}, {}", job.kind, job.phase), job.percent),
            None => self.show(None),
        }
    }

    fn draw(&self, label: &str, percent: Option<f64>) {
        if self.terminal {
            let line = line(label, percent, self.seconds());
            // There is nobody to report a failure to.
            let _ = write!(stderr(), "\r{line}\x1b[K").and_then(|()| stderr().flush());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

/// Sends a request that changes something, and shows meanwhile how far the job is that it has begun.
pub fn of_jobs<T: Send>(
    request: &Request,
    send: impl FnOnce() -> T + Send,
    jobs: impl Fn() -> Vec<Job>,
) -> T {
    if !stderr().is_terminal() {
        return send();
    }
    std::thread::scope(|scope| {
        let (sender, answer) = mpsc::channel();
        let sending = scope.spawn(move || drop(sender.send(send())));
        let label = "Waiting for the controller".to_owned();
        let mut progress = Progress::begin(label, interrupt::GOES_ON.to_owned());
        loop {
            match answer.recv_timeout(SOON) {
                Ok(answer) => return answer,
                Err(RecvTimeoutError::Timeout) => {
                    progress.show_job(|job| concerns(job, request), &jobs);
                }
                Err(RecvTimeoutError::Disconnected) => match sending.join() {
                    Err(panic) => std::panic::resume_unwind(panic),
                    Ok(()) => unreachable!("it sends before it ends"),
                },
            }
        }
    })
}

/// Whether a job works on an object that a request names, in its path or its body.
fn concerns(job: &Job, request: &Request) -> bool {
    let body = request.body.as_deref().unwrap_or_default();
    let path = request.path.split('?').next().unwrap_or_default();
    let named = |name: &String| {
        path.split('/').any(|part| part == name) || body.contains(&format!("\"{name}\""))
    };
    job.obj_refs.values().any(named)
}

fn line(label: &str, percent: Option<f64>, seconds: u64) -> String {
    let time = format!("{}:{:02}", seconds / 60, seconds % 60);
    match percent {
        Some(percent) => {
            let percent = percent.clamp(0.0, 100.0);
            let full = (percent / 100.0 * BAR_CHARS as f64) as usize;
            let bar = format!("{}{}", "#".repeat(full), "-".repeat(BAR_CHARS - full));
            format!("{label} [{bar}] {percent:.0}% {time}")
        }
        None => format!(
            "{label} {} {time}",
            ['|', '/', '-', '\\'][(seconds % 4) as usize]
        ),
    }
}

#[cfg(test)]
mod tests {
    use linstor_api::job::Job;

    use crate::request::Request;

    /// The job of a request is one about an object that it names.
    #[test]
    fn jobs_of_requests() {
        let job: Job =
            serde_json::from_str(r#"{"id":"1","obj_refs":{"RscDfn":"web","Node":"a"}}"#).unwrap();
        for (path, body, expected) in [
            (&["resource-definitions", "web"][..], "{}", true),
            (&["resource-definitions", "webs"], "{}", false),
            (&["nodes", "a", "evacuate"], "{}", true),
            (&["remotes", "s3", "backups"], r#"{"rsc_name":"web"}"#, true),
            (
                &["remotes", "s3", "backups"],
                r#"{"rsc_name":"web2"}"#,
                false,
            ),
        ] {
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let request = Request::post(path, &body);
            assert_eq!(super::concerns(&job, &request), expected, "{request:?}");
        }
    }

    /// A bar where it is known how much is done, otherwise a sign of life.
    #[test]
    fn lines() {
        let half = super::line("Sync", Some(50.0), 61);
        assert_eq!(half, "Sync [###############---------------] 50% 1:01");
        assert!(super::line("Sync", Some(200.0), 0).contains("100%"));
        assert_eq!(super::line("Sync", None, 5), "Sync / 0:05");
    }
}
