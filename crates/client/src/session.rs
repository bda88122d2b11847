//! The connection to the controller, which all requests of a command use.

use std::io::Read;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use linstor_api::job::Job;
use linstor_api::reply::Reply;
use linstor_api::secret_text::SecretText;
use rustls::ClientConfig;
use ureq::http;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};

use crate::failure::{Failure, exit};
use crate::output::progress;
use crate::passphrase;
use crate::request::{Method, Request};
use crate::tls::{Files, NotSecured, Tls};

/// A controller's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON.
    pub text: String,
}

impl Answer {
    /// Whether the controller reports an error; the body is a list of replies then.
    pub fn is_error(&self) -> bool {
        self.status >= 400
    }

    /// The replies in the body: a list, or the messages of an answer that is more than that.
    pub fn replies(&self) -> Result<Vec<Reply>, Failure> {
        #[derive(serde::Deserialize)]
        struct WithMessages {
            messages: Vec<Reply>,
        }
        let list = serde_json::from_str(&self.text);
        list.or_else(|error| match serde_json::from_str::<WithMessages>(&self.text) {
            Ok(answer) => Ok(answer.messages),
            Err(_) => Err(Failure::unexpected(format!(
                "the controller's answer (HTTP status {}) is not a list of API replies: {error}; check that \
                 --controllers names a LINSTOR controller",
                self.status
            ))),
        })
    }
}

/// An answer that is a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// The HTTP status.
    pub status: u16,
    /// The name that the controller gives the file.
    pub file_name: Option<String>,
    pub content: Vec<u8>,
}

/// Sends requests: over HTTP, or in tests to a table of answers.
pub trait Transport {
    /// Sends one request and waits for the answer.
    fn send(&mut self, request: &Request) -> Result<Answer, Failure>;

    /// Sends requests that do not depend on each other, side by side where that is possible; answers in their order.
    fn send_all(&mut self, requests: &[Request]) -> Vec<Result<Answer, Failure>> {
        requests.iter().map(|request| self.send(request)).collect()
    }

    /// Sends a request and hands its answer over in pieces as they come; an error of the controller is returned.
    fn stream(
        &mut self,
        request: &Request,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Option<Answer>, Failure> {
        let answer = self.send(request)?;
        if answer.is_error() {
            return Ok(Some(answer));
        }
        take(answer.text.as_bytes())?;
        Ok(None)
    }

    /// Sends a request whose answer is a file.
    fn download(&mut self, request: &Request) -> Result<Download, Failure> {
        let answer = self.send(request)?;
        Ok(Download {
            status: answer.status,
            file_name: None,
            content: answer.text.into_bytes(),
        })
    }

    /// The base URL of the controller in use.
    fn base(&self) -> &str;

    /// The command `curl` for a request.
    fn curl(&self, request: &Request) -> String {
        request.to_curl("", self.base())
    }
}

/// Answers every request with what a file holds.
pub struct FromFile(String);

impl FromFile {
    /// Reads an answer, or what `-m` printed: the answer in a list.
    pub fn read(name: &str) -> Result<FromFile, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("{name}: {error}"));
        let text = std::fs::read_to_string(name).map_err(|error| failed(&error))?;
        let json: serde_json::Value =
            serde_json::from_str(&text).map_err(|error| failed(&error))?;
        Ok(FromFile(match json {
            serde_json::Value::Array(list) if list.len() == 1 && list[0].is_array() => {
                list[0].to_string()
            }
            _ => text,
        }))
    }
}

impl Transport for FromFile {
    fn send(&mut self, _: &Request) -> Result<Answer, Failure> {
        Ok(Answer {
            status: 200,
            text: self.0.clone(),
        })
    }

    fn base(&self) -> &str {
        "http://localhost:3370"
    }
}

/// A user for HTTP basic authentication.
#[derive(Debug)]
pub struct Login {
    user: String,
    /// Asked for when it is needed first.
    password: Mutex<Option<SecretText>>,
}

impl Login {
    /// A user, and the password if it is known.
    pub fn new(user: String, password: Option<String>) -> Login {
        Login {
            user,
            password: Mutex::new(password.map(SecretText::new)),
        }
    }

    /// Whether the next request asks for the password.
    fn asks(&self) -> bool {
        let known = self.password.lock();
        known.unwrap_or_else(PoisonError::into_inner).is_none()
    }

    fn header(&self) -> Result<String, Failure> {
        let known = self.password.lock();
        let mut password = known.unwrap_or_else(PoisonError::into_inner);
        if password.is_none() {
            let prompt = format!("Password of {}", self.user);
            *password = Some(passphrase::known(None, &prompt)?);
        }
        let password = password.as_ref().map_or("", SecretText::reveal);
        let both = format!("{}:{password}", self.user);
        Ok(format!("Basic {}", crate::base64::encode(both.as_bytes())))
    }
}

/// Options of a session.
#[derive(Debug)]
pub struct Options {
    /// Base URLs, to be tried in order.
    pub controllers: Vec<String>,
    /// Seconds to wait for an answer.
    pub timeout_s: u64,
    /// User and password for HTTP basic authentication.
    pub login: Option<Login>,
    /// Token of the REST API, sent if there is no password.
    pub token: Option<SecretText>,
    /// Send password and token even without TLS.
    pub allow_insecure_auth: bool,
    /// Certificates for HTTPS.
    pub files: Files,
    /// The settings of connections that are made of them.
    pub tls: Arc<ClientConfig>,
}

/// A controller of the list.
struct Controller {
    /// Its base URL as it was given.
    given: String,
    /// The base URL of HTTPS that it has sent requests to, as a controller does that serves HTTPS.
    secure: OnceLock<String>,
    /// It was asked whether it does.
    asked: OnceLock<()>,
}

impl Controller {
    fn base(&self) -> &str {
        self.secure.get().unwrap_or(&self.given)
    }

    fn is_secure(&self) -> bool {
        self.base().starts_with("https://")
    }

    /// Notes where an answer sends requests: to HTTPS of the same host, whose port is in it, as with LINSTOR's client.
    fn follow<T>(&self, answer: &http::Response<T>) {
        let header = answer.headers().get(http::header::LOCATION);
        if answer.status().is_redirection()
            && !self.is_secure()
            && let Some(location) = header.and_then(|value| value.to_str().ok())
            && let Some(secure) = secure_base(&self.given, location)
        {
            // Another thread may have noted the same.
            let _ = self.secure.set(secure);
        }
    }
}

/// An answer whose body is not read yet.
type Response = http::Response<ureq::Body>;

/// The connection to the first controller of a list that accepts one.
pub struct Session {
    agent: ureq::Agent,
    options: Options,
    controllers: Vec<Controller>,
    /// Index of the controller in use; those before it accepted no connection.
    current: usize,
}

/// Longest answer that is read; a list of 50,000 resources is well below.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// How much of an answer is read at a time when it is handed over in pieces.
const PIECE_BYTES: usize = 64 * 1024;
/// How many requests are under way at once.
const PARALLEL_MAX: usize = 16;
/// How long a controller may take to say whether it serves HTTPS.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
/// What it is asked for.
const VERSION_BYTES_MAX: u64 = 64 * 1024;
const VERSION_PATH: &str = "/v1/controller/version";
/// If a controller does not accept the connection within this time, the next one is tried.
const CONNECT_TIMEOUT_S: u64 = 30;

impl Session {
    /// A session that connects with the first request.
    pub fn new(options: Options) -> Self {
        let patience = Duration::from_secs(options.timeout_s);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // Following a redirect would turn a POST into a GET.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .timeout_connect(Some(patience.min(Duration::from_secs(CONNECT_TIMEOUT_S))))
            .timeout_recv_response(Some(patience))
            .timeout_recv_body(Some(patience))
            .user_agent(concat!("linstor-rs-client/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .build();
        let connector = TcpConnector::default().chain(Tls(Arc::clone(&options.tls)));
        let controllers = options.controllers.iter().map(|base| Controller {
            given: base.clone(),
            secure: OnceLock::new(),
            asked: OnceLock::new(),
        });
        Session {
            agent: ureq::Agent::with_parts(config, connector, DefaultResolver::default()),
            controllers: controllers.collect(),
            options,
            current: 0,
        }
    }

    /// What authenticates requests to a base URL; nothing where it would be seen.
    fn authorization(&self, base: &str) -> Result<Option<String>, Failure> {
        let insecure = self.options.allow_insecure_auth;
        if let Some(login) = &self.options.login {
            if base.starts_with("https://") || insecure {
                return login.header().map(Some);
            }
            return Err(Failure::with(
                exit::CONNECTION_ERROR,
                format!(
                    "the password would be sent unencrypted to {base}, which serves no HTTPS; --allow-insecure-auth \
                     sends it"
                ),
            ));
        }
        let Some(token) = &self.options.token else {
            return Ok(None);
        };
        if insecure || is_private(base) {
            return Ok(Some(format!("Bearer {}", token.reveal())));
        }
        eprintln!(
            "Warning: the token of the REST API is not sent, because the connection to {base} is not encrypted; \
             --allow-insecure-auth sends it"
        );
        Ok(None)
    }

    /// Asks a controller whether it serves HTTPS before something is sent that others may not see.
    fn ask_for_https(&self, controller: &Controller, request: &Request) -> Result<(), ureq::Error> {
        let base = controller.base();
        let has_secrets = self.options.login.is_some()
            || !is_private(base) && (self.options.token.is_some() || request.body.is_some());
        if controller.is_secure() || !has_secrets || controller.asked.set(()).is_err() {
            return Ok(());
        }
        let question = http::Request::builder().uri(format!("{base}{VERSION_PATH}"));
        let question = self.agent.configure_request(question.body(())?);
        match self
            .agent
            .run(question.timeout_global(Some(ASK_TIMEOUT)).build())
        {
            Ok(answer) => {
                controller.follow(&answer);
                // Once it is read the connection serves the request.
                let body = answer.into_body().into_with_config();
                let _ = body.limit(VERSION_BYTES_MAX).read_to_vec();
            }
            Err(error) if never_connected(&error) => return Err(error),
            // Whatever is wrong, the request itself will show it.
            Err(_) => {}
        }
        Ok(())
    }

    /// Sends a request to a controller, over HTTPS where it says that it serves it: then it has not read the request.
    fn send_securely(
        &self,
        controller: &Controller,
        request: &Request,
    ) -> Result<Result<Response, ureq::Error>, Failure> {
        if let Err(error) = self.ask_for_https(controller, request) {
            return Ok(Err(error));
        }
        let before = controller.is_secure();
        let mut sent = self.send_to(controller, request, self.authorization(controller.base())?);
        if sent.is_ok() && !before && controller.is_secure() {
            sent = self.send_to(controller, request, self.authorization(controller.base())?);
        }
        Ok(sent)
    }

    fn send_to(
        &self,
        controller: &Controller,
        request: &Request,
        authorization: Option<String>,
    ) -> Result<Response, ureq::Error> {
        let base = controller.base();
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("{base}{}", request.path));
        if let Some(value) = authorization {
            builder = builder.header(http::header::AUTHORIZATION, value);
        }
        let response = match &request.body {
            Some(body) => {
                let builder = builder.header(http::header::CONTENT_TYPE, "application/json");
                self.agent.run(builder.body(body.as_str())?)
            }
            None => self.agent.run(builder.body(())?),
        }?;
        controller.follow(&response);
        Ok(response)
    }
}

/// The whole of an answer.
fn whole(response: Response) -> Result<Download, ureq::Error> {
    let status = response.status().as_u16();
    let header = response.headers().get(http::header::CONTENT_DISPOSITION);
    let file_name = header.and_then(|value| file_name(value.to_str().ok()?));
    let mut content = Vec::new();
    let body = response.into_body().into_with_config();
    body.limit(ANSWER_BYTES_MAX)
        .reader()
        .read_to_end(&mut content)?;
    Ok(Download {
        status,
        file_name,
        content,
    })
}

impl Session {
    /// Sends a request to the first controller that accepts the connection; its index is part of the result.
    fn send_to_first(&self, request: &Request) -> Result<(usize, Download), Failure> {
        let (index, response) = self.begin(request)?;
        let answer = whole(response).map_err(|error| self.lost(index, &error))?;
        Ok((index, answer))
    }

    /// Sends a request to the first controller that accepts the connection, and returns when its answer begins.
    fn begin(&self, request: &Request) -> Result<(usize, Response), Failure> {
        let mut unreachable = Vec::new();
        for (index, controller) in self.controllers.iter().enumerate().skip(self.current) {
            let sent = self.send_securely(controller, request)?;
            let base = controller.base();
            match sent {
                Ok(answer) if answer.status().is_redirection() => {
                    return Err(Failure::with(
                        exit::CONNECTION_ERROR,
                        format!(
                            "{base} redirects requests, and not to HTTPS; check that --controllers names a LINSTOR \
                             controller"
                        ),
                    ));
                }
                Ok(answer) => return Ok((index, answer)),
                // Nothing was sent, so sending the request to the next controller cannot carry it out twice.
                Err(error) if never_connected(&error) => {
                    unreachable.push(format!("Unable to connect to {base}: {}", shown(&error)));
                }
                Err(error) => return Err(self.lost(index, &error)),
            }
        }
        unreachable.push(
            "Check that linstor-controller runs, and its address in --controllers or LS_CONTROLLERS"
                .to_owned(),
        );
        Err(Failure::with(
            exit::CONNECTION_ERROR,
            unreachable.join("\n"),
        ))
    }

    /// What the user has to know when a request was sent and its answer did not come, or not all of it.
    fn lost(&self, index: usize, error: &ureq::Error) -> Failure {
        let base = self.controllers[index].base();
        match error {
            ureq::Error::Timeout(_) => Failure::with(
                exit::CONNECTION_TIMEOUT,
                format!(
                    "{base} did not answer within {} s; the request may still be carried out. Query the state before \
                     you repeat it, or raise --timeout",
                    self.options.timeout_s
                ),
            ),
            error => Failure::with(
                exit::CONNECTION_ERROR,
                format!(
                    "The connection to {base} failed: {error}; the request may have been carried out. Query the state \
                     before you repeat it"
                ),
            ),
        }
    }

    /// The jobs of the controller; none if it does not say.
    fn jobs(&self) -> Vec<Job> {
        let answer = self.send_to_first(&Request::get(&["jobs"]));
        let answer = answer.ok().filter(|(_, answer)| answer.status == 200);
        let list = answer.and_then(|(_, answer)| serde_json::from_slice(&answer.content).ok());
        list.unwrap_or_default()
    }
}

impl Transport for Session {
    fn send(&mut self, request: &Request) -> Result<Answer, Failure> {
        self.download(request)?.answer()
    }

    fn download(&mut self, request: &Request) -> Result<Download, Failure> {
        let session = &*self;
        let send = || session.send_to_first(request);
        // Who is asked for a password has the terminal for himself.
        let asks = self.options.login.as_ref().is_some_and(Login::asks);
        let (index, answer) = match request.method {
            Method::Get | Method::Options => send()?,
            _ if asks => send()?,
            _ => progress::of_jobs(request, send, || session.jobs())?,
        };
        self.current = index;
        Ok(answer)
    }

    fn stream(
        &mut self,
        request: &Request,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<Option<Answer>, Failure> {
        let (index, response) = self.begin(request)?;
        self.current = index;
        let lost = |error: ureq::Error| self.lost(index, &error);
        if response.status().as_u16() >= 400 {
            return whole(response).map_err(lost)?.answer().map(Some);
        }
        let mut body = response.into_body().into_with_config().reader();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            match body.read(&mut piece) {
                Ok(0) => return Ok(None),
                Ok(count) => take(&piece[..count])?,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(lost(error.into())),
            }
        }
    }

    fn send_all(&mut self, requests: &[Request]) -> Vec<Result<Answer, Failure>> {
        let mut answers = Vec::new();
        for some in requests.chunks(PARALLEL_MAX) {
            let session = &*self;
            let sent = std::thread::scope(|scope| {
                let send = |request| scope.spawn(move || session.send_to_first(request));
                let threads: Vec<_> = some.iter().map(send).collect();
                let ended = threads.into_iter().map(|thread| thread.join());
                ended.collect::<Vec<_>>()
            });
            answers.extend(sent.into_iter().map(|sent| match sent {
                Ok(sent) => sent.and_then(|(_, answer)| answer.answer()),
                Err(_) => Err(Failure::unexpected("a thread that sent a request panicked")),
            }));
        }
        answers
    }

    fn base(&self) -> &str {
        self.controllers[self.current].base()
    }

    fn curl(&self, request: &Request) -> String {
        request.to_curl(&self.options.files.curl(), self.base())
    }
}

impl Download {
    fn answer(self) -> Result<Answer, Failure> {
        let text = String::from_utf8(self.content);
        let text = text.map_err(|_| Failure::unexpected("the controller's answer is not UTF-8"))?;
        Ok(Answer {
            status: self.status,
            text,
        })
    }
}

/// The name in `attachment; filename = "x"`, without directories: the controller does not choose where a file goes.
fn file_name(disposition: &str) -> Option<String> {
    let mut parts = disposition
        .split(';')
        .filter_map(|part| part.split_once('='));
    let (_, name) = parts.find(|(key, _)| key.trim().eq_ignore_ascii_case("filename"))?;
    let name = name.trim().trim_matches('"').rsplit('/').next()?;
    (!name.is_empty() && !name.starts_with('.')).then(|| name.to_owned())
}

/// The base URL of HTTPS at the host of another one, if a location is of HTTPS.
fn secure_base(given: &str, location: &str) -> Option<String> {
    let location: http::Uri = location.parse().ok()?;
    let given: http::Uri = given.parse().ok()?;
    let port = location.port_u16().unwrap_or(443);
    (location.scheme_str() == Some("https"))
        .then(|| Some(format!("https://{}:{port}", given.host()?)))?
}

/// Whether nobody else reads what is sent: it is encrypted, or does not leave this machine.
fn is_private(base: &str) -> bool {
    let Some(plain) = base.strip_prefix("http://") else {
        return base.starts_with("https://");
    };
    let host = match plain.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => plain.split([':', '/']).next().unwrap_or(plain),
    };
    let address = host.parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// An error without what the library puts before it.
fn shown(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Other(error) => error.to_string(),
        error => error.to_string(),
    }
}

/// Whether the error occurred before anything was sent.
fn never_connected(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::TlsRequired
        | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => true,
        ureq::Error::Other(error) => error.is::<NotSecured>(),
        ureq::Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::HostUnreachable
                | ErrorKind::NetworkUnreachable
                | ErrorKind::AddrNotAvailable
        ),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token is sent unencrypted to this machine alone.
    #[test]
    fn tokens_stay_private() {
        for base in [
            "https://a:3371",
            "http://localhost:3370",
            "http://127.0.0.9:3370",
            "http://[::1]:3370",
        ] {
            assert!(is_private(base), "{base}");
        }
        for base in [
            "http://a:3370",
            "http://10.0.0.1:3370",
            "http://127.0.0.1.example:1",
            "http://localhost.a",
        ] {
            assert!(!is_private(base), "{base}");
        }
    }

    /// Only the port of a redirect counts, so that nobody is sent to another host.
    #[test]
    fn redirects_lead_to_https() {
        for (given, location, expected) in [
            (
                "http://a:3370",
                "https://a:3371/v1/nodes",
                Some("https://a:3371"),
            ),
            (
                "http://[::1]:3370",
                "https://evil:1/",
                Some("https://[::1]:1"),
            ),
            ("http://a:80", "https://a/v1/x?y=z", Some("https://a:443")),
            ("http://a:80", "http://a:81/", None),
            ("http://a:80", "/v1/nodes", None),
        ] {
            assert_eq!(
                secure_base(given, location).as_deref(),
                expected,
                "{location}"
            );
        }
    }

    /// The name of a download is that of a file in the directory that the user chose.
    #[test]
    fn names_of_downloads() {
        for (header, expected) in [
            ("attachment; filename = sos.tar.gz", Some("sos.tar.gz")),
            ("attachment; filename=\"../../etc/x\"", Some("x")),
            ("attachment; filename=..", None),
            ("inline", None),
        ] {
            assert_eq!(file_name(header).as_deref(), expected, "{header}");
        }
    }
}
