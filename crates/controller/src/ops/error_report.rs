//! Error reports: list, show, delete.

use linstor_api::code;
use linstor_api::error_report::{ErrorReport as Json, ErrorReportFilter as Filter};
use linstor_api::reply::Reply;

use crate::cluster::Cluster;
use crate::error_report::Report;

/// The name under which the controller's reports are listed.
pub const NODE: &str = "Controller";

/// Whether a filter leaves a report; what it does not name is no condition. The controller is the node `Controller`.
fn meets(filter: &Filter, report: &Report) -> bool {
    let at = i64::try_from(report.at).unwrap_or(i64::MAX);
    let is = |given: &Option<String>, value: &str| given.as_ref().is_none_or(|g| g == value);
    (filter.nodes.is_empty()
        || filter
            .nodes
            .iter()
            .any(|node| node.eq_ignore_ascii_case(NODE)))
        && filter.since.is_none_or(|since| at >= since)
        && filter.to.is_none_or(|to| at <= to)
        && (filter.ids.is_empty() || filter.ids.contains(&report.id))
        && is(&filter.exception, &report.exception)
        && is(&filter.version, &report.version)
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
        .matching(|report| meets(filter, report));
    reports
        .into_iter()
        .map(|report| show(report, with_text))
        .collect()
}

/// Deletes the reports that a filter names; none when it names nothing.
pub fn delete(cluster: &Cluster, filter: &Filter) -> Vec<Reply> {
    let deleted = match *filter == Filter::default() {
        true => 0,
        false => cluster
            .shared
            .error_reports
            .delete(|report| meets(filter, report)),
    };
    vec![match deleted {
        0 => Reply::new(code::INFO_NOOP, "No error reports deleted."),
        number => Reply::new(code::DELETED, format!("{number} error report(s) deleted.")),
    }]
}
