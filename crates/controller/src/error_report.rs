//! Error reports: errors of requests. The newest ones are retained, in memory and in a file in the directory of the
//! database.

use std::collections::VecDeque;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use linstor_api::code;
use linstor_api::reply::Reply;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;

/// How many reports are kept; the oldest ones make room.
const REPORTS_MAX: usize = 1000;
/// How long a report is kept after it was last given, in milliseconds: 30 days.
const RETENTION_MS: u64 = 30 * 24 * 3600 * 1000;
/// Longest text of a report, in bytes: replies may quote what callers sent.
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Pause between two writes of the file.
const WRITE_PAUSE: Duration = Duration::from_secs(1);
/// Name of the file in the directory of the database.
pub const FILE_NAME: &str = "error-reports.json";

/// A report. The same error of the same request is one report, however often it occurs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Its id: start of the controller, node, number.
    pub id: String,
    /// When it occurred last, in milliseconds since the Unix epoch.
    pub at: u64,
    /// How often it occurred.
    pub count: u64,
    /// The controller's version.
    pub version: String,
    /// The name of its code.
    pub exception: String,
    /// What happened.
    pub message: String,
    /// The request: method and path.
    pub request: String,
    /// Cause, details and correction.
    pub explanation: String,
}

/// The reports of this controller.
#[derive(Debug, Default)]
pub struct ErrorReports {
    reports: Mutex<VecDeque<Report>>,
    changed: Notify,
}

/// Whether an error gets a report: what a caller asked for that is absent, exists or cannot be placed is part of the normal
/// course, the rest is not.
fn is_reported(ret_code: i64) -> bool {
    if ret_code == code::API_CALL_PARSE_ERROR {
        return true;
    }
    code::is_error(ret_code)
        && matches!(
            ret_code & code::MASK_BITS_CODE,
            100..=299 | 506 | 601..=699 | 988 | 998 | 999
        )
}

impl ErrorReports {
    /// The reports of a file; none where there is no file, or one that cannot be read.
    pub fn load(file: &Path) -> Self {
        let reports = match std::fs::read(file) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(file = %file.display(), %error, "error reports cannot be read");
                VecDeque::new()
            }),
            Err(_) => VecDeque::new(),
        };
        ErrorReports {
            reports: Mutex::new(reports),
            changed: Notify::new(),
        }
    }

    fn reports(&self) -> MutexGuard<'_, VecDeque<Report>> {
        self.reports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes reports of the errors of an answer, and adds their ids to it.
    pub fn add(&self, replies: &mut [Reply], request: &str, now_ms: u64) {
        for reply in replies {
            if is_reported(reply.ret_code) && reply.error_report_ids.is_empty() {
                let id = self.report(reply, request, now_ms);
                reply.error_report_ids.push(id);
            }
        }
    }

    fn report(&self, reply: &Reply, request: &str, now_ms: u64) -> String {
        let exception = match reply.ret_code {
            code::API_CALL_PARSE_ERROR => "API_CALL_PARSE_ERROR",
            ret_code => code::name(ret_code).unwrap_or("FAIL_UNKNOWN_ERROR"),
        };
        let message = bounded(&reply.message);
        let mut reports = self.reports();
        let same = |report: &Report| {
            report.request == request && report.exception == exception && report.message == message
        };
        let known = reports.iter().rposition(same);
        let report = match known.and_then(|at| reports.remove(at)) {
            Some(report) => Report {
                at: now_ms,
                count: report.count + 1,
                ..report
            },
            None => Report {
                id: new_id(&reports, now_ms),
                at: now_ms,
                count: 1,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                exception: exception.to_owned(),
                message,
                request: request.to_owned(),
                explanation: bounded(&explanation(reply)),
            },
        };
        let id = report.id.clone();
        reports.push_back(report);
        let old = now_ms.saturating_sub(RETENTION_MS);
        while reports.len() > REPORTS_MAX || reports.front().is_some_and(|first| first.at < old) {
            reports.pop_front();
        }
        drop(reports);
        self.changed.notify_one();
        id
    }

    /// The reports that meet a condition, the newest first.
    pub fn matching(&self, wanted: impl Fn(&Report) -> bool) -> Vec<Report> {
        let reports = self.reports();
        let newest_first = reports.iter().rev();
        newest_first
            .filter(|report| wanted(report))
            .cloned()
            .collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.reports().len()
    }

    /// Deletes the reports that meet a condition. Returns how many.
    pub fn delete(&self, unwanted: impl Fn(&Report) -> bool) -> usize {
        let mut reports = self.reports();
        let before = reports.len();
        reports.retain(|report| !unwanted(report));
        let deleted = before - reports.len();
        drop(reports);
        if deleted > 0 {
            self.changed.notify_one();
        }
        deleted
    }

    fn write(&self, file: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(&*self.reports()).map_err(std::io::Error::other)?;
        let new = file.with_extension("new");
        // Messages quote what callers sent.
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        options.open(&new)?.write_all(&text)?;
        std::fs::rename(&new, file)
    }
}

/// The start of a controller, the controller's number among nodes, and the number of the report.
fn new_id(reports: &VecDeque<Report>, now_ms: u64) -> String {
    // Not a counter of its own: ids are unique among what is kept, across restarts too.
    let last = reports
        .iter()
        .filter_map(|report| report.id.rsplit('-').next()?.parse().ok());
    let next: u32 = last.max().map_or(0, |last: u32| (last + 1) % 1_000_000);
    let seconds = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
    format!("{seconds:08X}-00000-{next:06}")
}

fn explanation(reply: &Reply) -> String {
    let parts = [
        ("Cause", &reply.cause),
        ("Details", &reply.details),
        ("Correction", &reply.correction),
    ];
    let lines = parts
        .into_iter()
        .filter_map(|(title, text)| Some(format!("{title}: {}\n", text.as_ref()?)));
    lines.collect()
}

fn bounded(text: &str) -> String {
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Writes the file whenever reports were added or deleted.
pub async fn run(cluster: Cluster, file: PathBuf, shutdown: CancellationToken) {
    loop {
        let ended = tokio::select! {
            biased;
            // Cancel-safe: a flag.
            () = shutdown.cancelled() => true,
            // Cancel-safe: a missed notice is stored.
            () = cluster.shared.error_reports.changed.notified() => false,
        };
        let (handle, to) = (cluster.clone(), file.clone());
        let write = move || handle.shared.error_reports.write(&to);
        match tokio::task::spawn_blocking(write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "error reports cannot be stored"),
            Err(error) => tracing::warn!(%error, "error reports were not stored"),
        }
        if ended {
            return;
        }
        tokio::time::sleep(WRITE_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn refused(reports: &ErrorReports, message: &str, at: u64) -> String {
        let mut replies = [Reply::new(code::FAIL_INVLD_PROP, message).cause("a cause")];
        reports.add(&mut replies, "PUT /v1/nodes/a", at);
        replies[0].error_report_ids[0].clone()
    }

    /// The same error is one report; ids are unique; the oldest ones are dropped, and those past their retention.
    #[test]
    fn reports_are_counted_and_bounded() {
        let reports = ErrorReports::default();
        let first = refused(&reports, "one", 1000);
        assert_eq!(refused(&reports, "one", 2000), first);
        let second = refused(&reports, "two", 3000);
        assert_ne!(second, first);
        let kept = reports.matching(|_| true);
        let counts: Vec<_> = kept.iter().map(|r| (r.message.as_str(), r.count)).collect();
        assert_eq!(counts, [("two", 1), ("one", 2)]);
        for number in 0..REPORTS_MAX {
            refused(&reports, &format!("flood {number}"), 4000);
        }
        assert_eq!(reports.matching(|_| true).len(), REPORTS_MAX);
        assert!(reports.matching(|report| report.id == first).is_empty());
        refused(&reports, "later", 5000 + RETENTION_MS);
        assert_eq!(reports.matching(|_| true).len(), 1);
    }

    /// Refusals because an object is absent or exists already have no report.
    #[test]
    fn normal_refusals_have_no_report() {
        let reports = ErrorReports::default();
        let codes = [
            code::FAIL_NOT_FOUND_NODE,
            code::FAIL_EXISTS_NODE,
            code::CREATED,
        ];
        let mut replies = codes.map(|ret_code| Reply::new(ret_code, "x"));
        reports.add(&mut replies, "GET /", 1);
        assert!(reports.matching(|_| true).is_empty());
    }

    /// Reports survive a restart; a file that is none is no reason not to start.
    #[test]
    fn reports_are_stored() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(FILE_NAME);
        let reports = ErrorReports::load(&file);
        let id = refused(&reports, "one", 1000);
        reports.write(&file).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "only its owner reads it");
        let again = ErrorReports::load(&file);
        assert_eq!(again.matching(|report| report.id == id).len(), 1);
        std::fs::write(&file, "nonsense").unwrap();
        assert!(ErrorReports::load(&file).matching(|_| true).is_empty());
    }
}
