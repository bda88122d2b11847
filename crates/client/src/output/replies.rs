//! The controller's replies as text.

use linstor_api::code;
use linstor_api::reply::Reply;

use super::color::Color;
use crate::failure::exit;

/// The replies as text blocks, in LINSTOR's form.
pub fn render(replies: &[Reply], color: bool) -> String {
    replies.iter().map(|reply| one(reply, color)).collect()
}

/// The exit code of a command with these replies.
pub fn exit_code(replies: &[Reply], warn_as_error: bool) -> u8 {
    let bad =
        |reply: &Reply| reply.is_error() || (warn_as_error && code::is_warning(reply.ret_code));
    if replies.iter().any(bad) {
        exit::API_ERROR
    } else {
        exit::OK
    }
}

fn one(reply: &Reply, color: bool) -> String {
    let (title, paint) = if reply.is_error() {
        ("ERROR:\n", Color::Red)
    } else if code::is_warning(reply.ret_code) {
        ("WARNING:\n", Color::Yellow)
    } else if code::is_info(reply.ret_code) {
        ("INFO:\n", Color::Blue)
    } else {
        ("SUCCESS:\n", Color::Green)
    };
    let mut out = paint.paint(title, color);
    let parts = [
        ("Cause", reply.cause.as_deref()),
        ("Correction", reply.correction.as_deref()),
        ("Details", reply.details.as_deref()),
    ];
    let given = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    if !reply.message.is_empty() {
        if parts.iter().any(|(_, text)| given(*text)) {
            out.push_str("Description:\n");
        }
        indent(&mut out, &reply.message);
    }
    for (title, text) in parts {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            out.push_str(title);
            out.push_str(":\n");
            indent(&mut out, text);
        }
    }
    if !reply.error_report_ids.is_empty() {
        out.push_str("Show reports:\n");
        let ids = reply.error_report_ids.join(" ");
        indent(&mut out, &format!("linstor error-reports show {ids}"));
    }
    out
}

fn indent(out: &mut String, text: &str) {
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push_str("    ");
        out.push_str(line);
        out.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn sample() -> Vec<Reply> {
        let mut error = Reply::new(code::FAIL_IN_USE, "Resource 'r' is in use.\nReally.")
            .cause("It is open on node 'a'.")
            .details("Node: 'alpha'")
            .correction("Close it.");
        error.error_report_ids = vec!["5F-1".to_owned(), "5F-2".to_owned()];
        vec![
            Reply::new(code::CREATED, "New node 'alpha' created."),
            Reply::new(code::INFO_NOOP, "Nothing to do."),
            Reply::new(code::WARN_NOT_CONNECTED, "No connection.").details("Trying."),
            error,
        ]
    }

    /// Replies are printed as the blocks of LINSTOR's command line.
    #[test]
    fn replies_are_blocks() {
        expect![[r#"
            SUCCESS:
                New node 'alpha' created.
            INFO:
                Nothing to do.
            WARNING:
            Description:
                No connection.
            Details:
                Trying.
            ERROR:
            Description:
                Resource 'r' is in use.
                Really.
            Cause:
                It is open on node 'a'.
            Correction:
                Close it.
            Details:
                Node: 'alpha'
            Show reports:
                linstor error-reports show 5F-1 5F-2
        "#]]
        .assert_eq(&render(&sample(), false));
        assert!(render(&sample(), true).starts_with("\x1b[1;32mSUCCESS:\n\x1b[0m"));
    }

    /// Errors set the exit code, warnings only with `--warn-as-error`.
    #[test]
    fn errors_have_an_exit_code() {
        let all = sample();
        assert_eq!(exit_code(&all, false), exit::API_ERROR);
        assert_eq!(exit_code(&all[..3], false), exit::OK);
        assert_eq!(exit_code(&all[..3], true), exit::API_ERROR);
        assert_eq!(exit_code(&[], true), exit::OK);
    }
}
