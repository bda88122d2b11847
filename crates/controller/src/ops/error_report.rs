//! Error reports: list, show, delete.

use linstor_api::code;
use linstor_api::error_report::{ErrorReport as Json, ErrorReportDelete};
use linstor_api::reply::Reply;

use crate::cluster::Cluster;
use crate::error_report::Report;

/// The name under which the controller's reports are listed.
const NODE: &str = "Controller";

/// Which reports are wanted; what is not given is no condition.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of these nodes; the controller is called `Controller`.
    pub nodes: Vec<String>,
    /// Not older, in milliseconds since the Unix epoch.
    pub since: Option<i64>,
    /// Not newer, likewise.
    pub to: Option<i64>,
    /// With one of these ids.
    pub ids: Vec<String>,
    /// With this name of a code.
    pub exception: Option<String>,
    /// Of this version of the controller.
    pub version: Option<String>,
}

impl Filter {
    /// Of a request that deletes reports.
    pub fn of(request: ErrorReportDelete) -> Self {
        Filter {
            nodes: request.nodes,
            since: request.since,
            to: request.to,
            ids: request.ids,
            exception: request.exception,
            version: request.version,
        }
    }

    fn is_empty(&self) -> bool {
        self.nodes.is_empty()
            && self.ids.is_empty()
            && (self.since, self.to) == (None, None)
            && (&self.exception, &self.version) == (&None, &None)
    }

    fn meets(&self, report: &Report) -> bool {
        let at = i64::try_from(report.at).unwrap_or(i64::MAX);
        let is = |given: &Option<String>, value: &str| given.as_ref().is_none_or(|g| g == value);
        (self.nodes.is_empty()
            || self
                .nodes
                .iter()
                .any(|node| node.eq_ignore_ascii_case(NODE)))
            && self.since.is_none_or(|since| at >= since)
            && self.to.is_none_or(|to| at <= to)
            && (self.ids.is_empty() || self.ids.contains(&report.id))
            && is(&self.exception, &report.exception)
            && is(&self.version, &report.version)
    }
}

fn show(report: Report, with_text: bool) -> Json {
    let text = with_text.then(|| text(&report));
    Json {
        node_name: Some(NODE.to_owned()),
        error_time: i64::try_from(report.at).unwrap_or(i64::MAX),
        filename: Some(format!("ErrorReport-{}.log", report.id)),
        text,
        module: Some("CONTROLLER".to_owned()),
        version: Some(report.version),
        peer: Some(report.request),
        exception: Some(report.exception),
        exception_message: Some(report.message),
    }
}

/// The report for a person.
pub fn text(report: &Report) -> String {
    let at = i64::try_from(report.at).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::MAX);
    format!(
        "ERROR REPORT {}\n\nlinstor-controller {}\nLast time: {time}\nHow often: {}\nRequest: {}\nCode: {}\n\n{}\n\n{}",
        report.id,
        report.version,
        report.count,
        report.request,
        report.exception,
        report.message,
        report.explanation
    )
}

/// The reports that a filter leaves, the newest first.
pub fn list(cluster: &Cluster, filter: &Filter, with_text: bool) -> Vec<Json> {
    let reports = cluster
        .shared
        .error_reports
        .matching(|report| filter.meets(report));
    reports
        .into_iter()
        .map(|report| show(report, with_text))
        .collect()
}

/// Deletes the reports that a filter names; none when it names nothing.
pub fn delete(cluster: &Cluster, filter: &Filter) -> Vec<Reply> {
    let deleted = match filter.is_empty() {
        true => 0,
        false => cluster
            .shared
            .error_reports
            .delete(|report| filter.meets(report)),
    };
    vec![match deleted {
        0 => Reply::new(code::INFO_NOOP, "No error reports deleted."),
        number => Reply::new(code::DELETED, format!("{number} error report(s) deleted.")),
    }]
}
