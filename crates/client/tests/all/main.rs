//! The program: exit codes, standard output and error, environment and configuration.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

mod https;
#[path = "../../../tls/tests/common/pki.rs"]
mod pki;

/// A controller that gives every request the same answer.
struct Controller {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy)]
enum Answer {
    Json(u16, &'static str),
    /// To HTTPS at this port.
    Redirect(u16),
    Silence,
    HangUp,
    /// The beginning of an answer, after which the connection is closed.
    Torn(&'static str),
    /// After two seconds and a half; meanwhile this job goes on.
    Slow(&'static str),
}

impl Controller {
    fn start(answer: Answer) -> Controller {
        Controller::start_with(answer, None)
    }

    /// Over HTTPS, if there are settings of it.
    fn start_with(answer: Answer, tls: Option<Arc<ServerConfig>>) -> Controller {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (log, tls, stream) = (Arc::clone(&log), tls.clone(), stream.unwrap());
                thread::spawn(move || match tls {
                    Some(tls) => {
                        let connection = ServerConnection::new(tls).unwrap();
                        serve(StreamOwned::new(connection, stream), answer, &log);
                    }
                    None => serve(stream, answer, &log),
                });
            }
        });
        Controller { address, seen }
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

/// Serves one connection until the client closes it.
fn serve(stream: impl Read + Write, answer: Answer, log: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    let mut connection = "new";
    loop {
        let mut head = String::new();
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
        let (mut length, mut authorization) = (0, String::new());
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').unwrap();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().unwrap(),
                "authorization" => authorization = value.trim().to_owned(),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let request = head.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
        let body = String::from_utf8(body).unwrap();
        log.lock().unwrap().push(
            format!("{connection} {request} {body}{authorization}")
                .trim()
                .to_owned(),
        );
        connection = "same";
        let text = match answer {
            Answer::Json(status, json) => format!(
                "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{json}",
                json.len()
            ),
            Answer::Redirect(port) => format!(
                "HTTP/1.1 302 Found\r\nLocation: https://elsewhere:{port}/v1\r\nContent-Length: 0\r\n\r\n"
            ),
            Answer::Silence => {
                thread::sleep(Duration::from_secs(60));
                return;
            }
            Answer::HangUp => return,
            Answer::Torn(begun) => {
                let head = "HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n";
                let _ = reader
                    .get_mut()
                    .write_all(format!("{head}{begun}").as_bytes());
                return;
            }
            Answer::Slow(jobs) => {
                let is_question = request.starts_with("GET");
                if !is_question {
                    thread::sleep(Duration::from_millis(2500));
                }
                let json = if is_question { jobs } else { "[]" };
                format!(
                    "HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n{json}",
                    json.len()
                )
            }
        };
        let stream = reader.get_mut();
        stream.write_all(text.as_bytes()).unwrap();
        stream.flush().unwrap();
    }
}

/// An address on which nothing listens.
fn unreachable() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn linstor() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_linstor"));
    command
        .env_clear()
        .env("TZ", "UTC")
        .arg("--disable-config")
        .stdin(Stdio::null());
    command
}

fn run(controllers: &str, line: &str) -> Output {
    let mut command = linstor();
    command.arg("--controllers").arg(controllers);
    command.args(line.split_whitespace()).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

const CREATED: Answer = Answer::Json(
    201,
    r#"[{"ret_code":20709377,"message":"New node 'a' created."}]"#,
);

/// 0 and 10: the controller reports success or an error; 22: the answer cannot be parsed.
#[test]
fn the_controllers_answer_decides() {
    let good = Controller::start(CREATED);
    let output = run(&good.address, "n c a 10.0.0.1");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(stdout(&output), "SUCCESS:\n    New node 'a' created.\n");
    assert_eq!(
        good.seen(),
        [concat!(
            r#"new POST /v1/nodes {"name":"a","type":"Satellite","net_interfaces":[{"name":"default","#,
            r#""address":"10.0.0.1","satellite_port":3366,"satellite_encryption_type":"Plain","is_active":true}]}"#
        )]
    );

    let refusing = Controller::start(Answer::Json(
        500,
        r#"[{"ret_code":-4611686018427387404,"message":"Node 'a' exists"}]"#,
    ));
    let output = run(&refusing.address, "n c a 10.0.0.1");
    assert_eq!(output.status.code(), Some(10));
    assert_eq!(stdout(&output), "ERROR:\n    Node 'a' exists\n");
    assert_eq!(run(&refusing.address, "n l").status.code(), Some(10));
    assert_eq!(run(&refusing.address, "-m n l").status.code(), Some(0));

    let strange = Controller::start(Answer::Json(200, "<html></html>"));
    for line in [
        "n l",
        "n d a",
        "c v",
        "-m n d a",
        "-m n l",
        "-m --output-version v0 n l",
    ] {
        let output = run(&strange.address, line);
        assert_eq!(
            (output.status.code(), stdout(&output).as_str()),
            (Some(22), ""),
            "{line}"
        );
        assert!(stderr(&output).starts_with("Error: the controller's answer"));
    }
}

/// 2: the command line is invalid, and nothing is sent.
#[test]
fn nonsense_is_refused() {
    let controller = Controller::start(CREATED);
    for line in [
        "frobnicate",
        "n c",
        "rd c r1 -p 99999",
        "vd c r1 1X",
        "rg c g -l foo",
    ] {
        let output = run(&controller.address, line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(!stderr(&output).is_empty());
    }
    assert_eq!(run("ftp://x", "n l").status.code(), Some(2));
    assert!(controller.seen().is_empty());
    let help = run(&controller.address, "n c --help");
    assert_eq!(help.status.code(), Some(0));
}

/// 3: the object is not in the list.
#[test]
fn a_missing_object_is_told() {
    let controller = Controller::start(Answer::Json(200, "[]"));
    let output = run(&controller.address, "n i l nope");
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        stderr(&output),
        "Error: Node 'nope' not found on controller.\n"
    );
}

/// 20: no controller accepts the connection; the next one of the list is tried only if nothing was sent.
#[test]
fn controllers_are_tried_in_order() {
    let output = run(&format!("{},{}", unreachable(), unreachable()), "n l");
    assert_eq!(output.status.code(), Some(20));
    assert_eq!(stderr(&output).matches("Unable to connect to").count(), 2);

    let good = Controller::start(CREATED);
    let output = run(&format!("{},{}", unreachable(), good.address), "n d a");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));

    let closing = Controller::start(Answer::HangUp);
    let spare = Controller::start(CREATED);
    let output = run(&format!("{},{}", closing.address, spare.address), "n d a");
    assert_eq!(output.status.code(), Some(20));
    assert!(spare.seen().is_empty(), "a request may not be sent twice");
}

/// 21: the controller does not answer in time.
#[test]
fn waiting_has_an_end() {
    let slow = Controller::start(Answer::Silence);
    let output = run(&slow.address, "--timeout 1 n l");
    assert_eq!(output.status.code(), Some(21), "{}", stderr(&output));
    assert!(stderr(&output).contains("did not answer within 1 s"));
}

/// All requests of a command use one connection.
#[test]
fn a_command_uses_one_connection() {
    let controller = Controller::start(CREATED);
    let output = run(&controller.address, "r d a b r1 --keep-tiebreaker");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        controller.seen(),
        [
            "new DELETE /v1/resource-definitions/r1/resources/a?keep_tiebreaker=True",
            "same DELETE /v1/resource-definitions/r1/resources/b?keep_tiebreaker=True",
        ]
    );
}

/// A password is sent without TLS only with `--allow-insecure-auth`.
#[test]
fn passwords_need_encryption() {
    let controller = Controller::start(CREATED);
    let output = run(&controller.address, "-u me -P secret n d a");
    assert_eq!(output.status.code(), Some(20));
    let ask = "new GET /v1/controller/version";
    assert_eq!(controller.seen(), [ask], "whether it serves HTTPS");
    run(
        &controller.address,
        "-u me -P secret --allow-insecure-auth n d a",
    );
    assert_eq!(
        controller.seen()[1..],
        [ask, "same DELETE /v1/nodes/a Basic bWU6c2VjcmV0"]
    );
}

/// Options can be set by environment and configuration.
#[test]
fn options_come_from_environment_and_configuration() {
    let controller = Controller::start(Answer::Json(200, r#"{"a":"b"}"#));
    let output = linstor()
        .env("LS_CONTROLLERS", &controller.address)
        .env("LS_CLIENT_MACHINE_READABLE", "")
        .args(["c", "lp"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("[\n  [\n"));

    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join(".config/linstor");
    std::fs::create_dir_all(&directory).unwrap();
    let text = format!("[global]\ncontrollers = {}\n", controller.address);
    std::fs::write(directory.join("linstor-client.conf"), text).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_linstor"))
        .env_clear()
        .env("HOME", home.path())
        .args(["c", "lp"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("| a   | b     |"));
}

/// `--curl` sends nothing.
#[test]
fn curl_is_only_shown() {
    let controller = Controller::start(CREATED);
    let output = run(&controller.address, "--curl rd c r1");
    let expected = format!(
        "curl -X POST -H 'Content-Type: application/json' -d '{}' http://{}/v1/resource-definitions\n",
        r#"{"resource_definition":{"name":"r1"}}"#, controller.address
    );
    assert_eq!(stdout(&output), expected);
    assert!(controller.seen().is_empty());
}

/// Times are shown in the local time zone, tables without a terminal in ASCII and without colours.
#[test]
fn a_list_as_scripts_get_it() {
    let controller = Controller::start(Answer::Json(
        200,
        r#"[{"name":"res1","node_name":"a","create_timestamp":1700000000000,"layer_object":{"type":"STORAGE"},
            "volumes":[{"volume_number":0,"layer_data_list":[{"type":"STORAGE"}]}]}]"#,
    ));
    let output = run(&controller.address, "r l");
    expect_test::expect![[r#"
        +-------------------------------------------------------------------------------+
        | ResourceName | Node | Layers  | Usage | Conns |   State | CreatedOn           |
        |===============================================================================|
        | res1         | a    | STORAGE |       | Ok    | Created | 2023-11-14 22:13:20 |
        +-------------------------------------------------------------------------------+
    "#]]
    .assert_eq(&stdout(&output));
}

/// Without a command, commands are read from standard input; all use one connection.
#[test]
fn commands_come_from_standard_input() {
    let controller = Controller::start(Answer::Json(200, r#"{"a":"b"}"#));
    let mut child = linstor()
        .args(["--controllers", &controller.address, "-m", "interactive"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let input = "c lp\n\nlinstor c lp\ninteractive\nfrobnicate\nexit\nc lp\n";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "the last command's code");
    assert_eq!(
        controller.seen(),
        [
            "new GET /v1/controller/properties",
            "same GET /v1/controller/properties"
        ]
    );
}

/// A pipe that its reader closed is not reported.
#[test]
fn a_closed_pipe_is_not_reported() {
    let controller = Controller::start(Answer::Json(200, r#"{"a":"b"}"#));
    for options in [&["-V"][..], &["-m"], &[]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = linstor()
            .args(["--controllers", &controller.address])
            .args(options)
            .args(["c", "lp"])
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(stderr(&output), "");
    }
}

/// A controller that dies in the middle of its answer: a sentence, 20, and nothing that looks whole.
#[test]
fn a_torn_answer_is_told() {
    let controller = Controller::start(Answer::Torn(r#"[{"name":"a","type":"SATELLITE"},"#));
    for line in ["n l", "-m n l", "n d a", "-m n d a", "c v"] {
        let output = run(&controller.address, line);
        assert_eq!(
            output.status.code(),
            Some(20),
            "{line}: {}",
            stdout(&output)
        );
        let said = stderr(&output);
        assert!(
            said.starts_with("Error: The connection to") && said.lines().count() == 1,
            "{said}"
        );
        assert!(!stdout(&output).ends_with("]\n"), "{line}");
    }
}

/// A list for scripts is printed as it comes: the memory it takes does not grow with it.
#[test]
fn long_lists_need_no_memory() {
    static ROWS: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let rows = ROWS.get_or_init(|| {
        let row = format!(
            r#"{{"name":"res","node_name":"a","props":{{"x":"{}"}}}}"#,
            "y".repeat(900)
        );
        format!("[{}]", vec![row; 60_000].join(","))
    });
    let controller = Controller::start(Answer::Json(200, rows));
    let mut child = linstor()
        .args(["--controllers", &controller.address, "-m", "r", "l"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut read, mut piece) = (0, vec![0; 1 << 20]);
    // It has most of the list behind it and cannot end before the rest is read.
    while read < rows.len() - (4 << 20) {
        read += out.read(&mut piece).unwrap();
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak_kib = peak.unwrap().trim().trim_end_matches(" kB");
    assert!(
        peak_kib.parse::<u64>().unwrap() < 40 * 1024,
        "{peak_kib} KiB for {read} bytes"
    );
    std::io::copy(&mut out, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// While a command waits, a terminal shows the job that it has begun and how far that is; nothing else does.
#[test]
fn a_terminal_shows_what_goes_on() {
    let controller = Controller::start(Answer::Slow(
        r#"[{"id":"1","kind":"evacuation","phase":"moving","percent":50,"obj_refs":{"Node":"b"}},
            {"id":"2","kind":"resource-toggle-disk","phase":"resync","percent":40,"obj_refs":{"RscDfn":"web","Node":"a"}}]"#,
    ));
    let line = "resource toggle-disk a web -s pool";
    let quiet = run(&controller.address, line);
    assert_eq!(
        (quiet.status.code(), stderr(&quiet).as_str()),
        (Some(0), "")
    );
    let terminal = nix::pty::openpty(None, None).unwrap();
    let mut child = linstor()
        .args(["--controllers", &controller.address])
        .args(line.split(' '))
        .stdout(Stdio::null())
        .stderr(terminal.slave)
        .spawn()
        .unwrap();
    let mut shown = Vec::new();
    let mut piece = [0; 4096];
    let mut reader = std::fs::File::from(terminal.master);
    // The terminal ends with an error once nobody has its other side.
    while let Ok(count @ 1..) = reader.read(&mut piece) {
        shown.extend_from_slice(&piece[..count]);
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let shown = String::from_utf8_lossy(&shown);
    assert!(
        shown.contains("resource-toggle-disk, resync [############------------------] 40%"),
        "{shown:?}"
    );
    assert!(
        !shown.contains("evacuation") && shown.ends_with("\r\x1b[K"),
        "{shown:?}"
    );
}

/// Completion scripts have all commands.
#[test]
fn shells_complete() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run("localhost", &format!("completion {shell}"));
        assert_eq!(output.status.code(), Some(0));
        assert!(stdout(&output).contains("linstor complete"), "{shell}");
    }
}

/// Commands, options, values and names of the controller complete a word.
#[test]
fn words_are_completed() {
    let names = r#"[{"name":"alpha","resource_name":"web"},{"name":"beta","resource_name":"db"}]"#;
    let controller = Controller::start(Answer::Json(200, names));
    for (line, expected) in [
        ("no", "node node-connection"),
        (
            "node cr",
            "create create-ebs-target create-remote-spdk-target",
        ),
        ("n l --nod", "--nodes"),
        ("node delete a", "alpha"),
        ("resource create ", "alpha beta"),
        ("node list -n ", "alpha beta"),
        ("snapshot delete web ", "alpha"),
        ("controller set-log-level ", "DEBUG ERROR INFO TRACE WARN"),
        ("completion z", "zsh"),
        ("node delete x", ""),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let output = linstor()
            .args(["--controllers", &controller.address, "complete", "--"])
            .args(words)
            .output()
            .unwrap();
        let text = stdout(&output);
        let found: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split('\t').next())
            .collect();
        assert_eq!(found.join(" "), expected, "{line}: {}", stderr(&output));
    }
    // Without a controller there are no names, and no error that would fill the user's line.
    let output = run(&unreachable(), "complete -- node delete a");
    assert_eq!(
        (output.status.code(), stdout(&output).as_str()),
        (Some(0), "")
    );
}

/// A transaction sends the resources of all its commands with one request.
#[test]
fn a_transaction_is_one_request() {
    let controller = Controller::start(CREATED);
    let mut child = linstor()
        .args(["--controllers", &controller.address])
        .args([
            "resource",
            "create-transactional",
            "begin",
            "--terminate-on-error",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let input =
        "resource create a web\nresource create b web\nresource create-transactional commit\n";
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let seen = controller.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert!(
        seen[0].contains(r#""node_name":"a""#) && seen[0].contains(r#""node_name":"b""#),
        "{seen:?}"
    );
    let output = run(&controller.address, "resource create-transactional commit");
    assert_eq!(output.status.code(), Some(2));
}

/// A list can be shown from a file, with some of its columns.
#[test]
fn lists_come_from_files() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        &file,
        r#"[[{"name":"a","type":"SATELLITE","connection_status":"ONLINE"}]]"#,
    )
    .unwrap();
    let path = file.path().display().to_string();
    let output = run(
        &unreachable(),
        &format!("node list --from-file {path} -o state,node"),
    );
    assert_eq!(
        stdout(&output).lines().nth(3),
        Some("| Online | a    |"),
        "{}",
        stderr(&output)
    );
    let output = run(
        &unreachable(),
        &format!("node list --from-file {path} --output nosuch"),
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("there are Node, NodeType"),
        "{}",
        stderr(&output)
    );
}

/// An interrupt in the middle of a wait ends with 130, and a sentence on what goes on.
#[test]
fn an_interrupt_says_what_goes_on() {
    let controller = Controller::start(Answer::Silence);
    let child = linstor()
        .args(["--controllers", &controller.address, "node", "delete", "a"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id().to_string();
    while controller.seen().is_empty() {
        thread::sleep(Duration::from_millis(20));
    }
    Command::new("kill").args(["-INT", &id]).status().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        stderr(&output).contains("the controller continues"),
        "{}",
        stderr(&output)
    );
}
