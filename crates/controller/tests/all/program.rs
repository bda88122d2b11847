//! The real program in a process of its own, and calls to it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

const START_MAX: Duration = Duration::from_secs(30);
/// How the program ends when its port is taken.
const EXIT_NETWORK: i32 = 20;

/// A running program.
pub struct Program {
    child: Child,
    port: u16,
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended long ago.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody uses now, and that no other test is given: a program that could not have it would be taken for the
/// other test's, which answers there.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        if GIVEN.lock().unwrap().insert(port) {
            return port;
        }
    }
}

impl Program {
    /// The shipped program on a directory of its own.
    pub fn start(directory: &Path) -> Program {
        let program = Program::spawn(directory, |arguments| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_linstor-controller"));
            command.args(arguments);
            command
        });
        program.expect("the controller answers")
    }

    /// Starts what `command` makes of the program's arguments; the exit status if it ends before its first answer.
    pub fn spawn(
        directory: &Path,
        command: impl Fn(&[String]) -> Command,
    ) -> Result<Program, ExitStatus> {
        loop {
            match Program::try_spawn(directory, &command) {
                // Somebody else was faster to take the port.
                Err(status) if status.code() == Some(EXIT_NETWORK) => {}
                done => return done,
            }
        }
    }

    fn try_spawn(
        directory: &Path,
        command: impl Fn(&[String]) -> Command,
    ) -> Result<Program, ExitStatus> {
        let (port, directory) = (free_port(), directory.display().to_string());
        let words = [
            "--config-directory",
            &directory,
            "--controller-directory",
            &directory,
            "--rest-bind",
            &format!("127.0.0.1:{port}"),
        ];
        let child = command(&words.map(str::to_owned))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut program = Program { child, port };
        let deadline = Instant::now() + START_MAX;
        while program.call("GET", "/v1/controller/version", "").is_none() {
            if let Some(status) = program.child.try_wait().unwrap() {
                return Err(status);
            }
            assert!(Instant::now() < deadline, "the controller does not answer");
            thread::sleep(Duration::from_millis(10));
        }
        Ok(program)
    }

    /// See [`call`].
    pub fn call(&self, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
        call(self.port, method, path, body)
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// How it ended, which it must do soon.
    pub fn ended(mut self) -> ExitStatus {
        let deadline = Instant::now() + START_MAX;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the controller does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Status and body of a request; none when the connection breaks before the answer is whole. HTTP/1.0, so that the body
/// comes in one piece.
pub fn call(port: u16, method: &str, path: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    let (_, body) = answer.split_once("\r\n\r\n")?;
    Some((status, body.to_owned()))
}
