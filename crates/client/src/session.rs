//! Talking to the controller: one connection, kept open for all requests of a command.

use std::io::Read;
use std::time::Duration;

use linstor_api::reply::Reply;
use ureq::http;

use crate::failure::{Failure, exit};
use crate::request::Request;

/// A controller's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, JSON.
    pub text: String,
}

impl Answer {
    /// Whether the request was refused; the body then is a list of replies.
    pub fn is_refusal(&self) -> bool {
        self.status >= 400
    }

    /// The replies in the body.
    pub fn replies(&self) -> Result<Vec<Reply>, Failure> {
        serde_json::from_str(&self.text).map_err(|error| {
            Failure::unexpected(format!(
                "the controller's answer (HTTP status {}) is no list of replies: {error}",
                self.status
            ))
        })
    }
}

/// Something that answers requests: a controller, or a test.
pub trait Send {
    /// Sends one request and waits for the answer.
    fn send(&mut self, request: &Request) -> Result<Answer, Failure>;

    /// The base URL of what answers.
    fn base(&self) -> &str;
}

/// How to reach the controller.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Base URLs, to be tried in order.
    pub controllers: Vec<String>,
    /// How long an answer may take, in seconds.
    pub timeout_s: u64,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Send the password without encryption.
    pub allow_insecure_auth: bool,
}

/// A session with the first controller that answers.
pub struct Session {
    agent: ureq::Agent,
    options: Options,
    /// Index of the controller in use; the ones before it could not be reached.
    current: usize,
}

/// No answer is longer than this; a list of 50,000 resources is well below.
const ANSWER_BYTES_MAX: u64 = 1 << 30;
/// A controller that does not take the connection in this time is passed over.
const CONNECT_TIMEOUT_S: u64 = 30;

impl Session {
    /// A session; nothing is sent yet.
    pub fn new(options: Options) -> Self {
        let patience = Duration::from_secs(options.timeout_s);
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A redirected POST would silently become a GET.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .allow_non_standard_methods(true)
            .timeout_connect(Some(patience.min(Duration::from_secs(CONNECT_TIMEOUT_S))))
            .timeout_recv_response(Some(patience))
            .timeout_recv_body(Some(patience))
            .user_agent(concat!("linstor-rs-client/", env!("CARGO_PKG_VERSION")))
            .proxy(None)
            .build();
        Session {
            agent: config.into(),
            options,
            current: 0,
        }
    }

    fn send_to(&self, base: &str, request: &Request) -> Result<Answer, ureq::Error> {
        let mut builder = http::Request::builder()
            .method(request.method.as_str())
            .uri(format!("{base}{}", request.path));
        if let Some((user, password)) = &self.options.login {
            let value = basic_authorization(user, password);
            builder = builder.header(http::header::AUTHORIZATION, value);
        }
        let response = match &request.body {
            Some(body) => {
                let builder = builder.header(http::header::CONTENT_TYPE, "application/json");
                self.agent.run(builder.body(body.as_str())?)
            }
            None => self.agent.run(builder.body(())?),
        }?;
        let status = response.status().as_u16();
        let mut text = String::new();
        let body = response.into_body().into_with_config();
        body.limit(ANSWER_BYTES_MAX)
            .reader()
            .read_to_string(&mut text)?;
        Ok(Answer { status, text })
    }

    fn check_login(&self, base: &str) -> Result<(), Failure> {
        let plain = !base.starts_with("https:");
        if self.options.login.is_some() && plain && !self.options.allow_insecure_auth {
            return Err(Failure::with(
                exit::CONNECTION_ERROR,
                "a password is not sent over plain HTTP; use HTTPS or --allow-insecure-auth",
            ));
        }
        Ok(())
    }
}

impl Send for Session {
    fn send(&mut self, request: &Request) -> Result<Answer, Failure> {
        let mut unreachable = Vec::new();
        for index in self.current..self.options.controllers.len() {
            let base = &self.options.controllers[index];
            self.check_login(base)?;
            match self.send_to(base, request) {
                Ok(answer) if (300..400).contains(&answer.status) => {
                    return Err(Failure::with(
                        exit::CONNECTION_ERROR,
                        format!(
                            "{base} wants to be asked over HTTPS; use https:// in --controllers"
                        ),
                    ));
                }
                Ok(answer) => {
                    self.current = index;
                    return Ok(answer);
                }
                // Nothing was sent yet, so another controller may be asked without doing anything twice.
                Err(error) if never_connected(&error) => {
                    unreachable.push(format!("Unable to connect to {base}: {error}"));
                }
                Err(ureq::Error::Timeout(_)) => {
                    return Err(Failure::with(
                        exit::CONNECTION_TIMEOUT,
                        format!(
                            "{base} did not answer within {} s; what it was asked to do may still happen",
                            self.options.timeout_s
                        ),
                    ));
                }
                Err(error) => {
                    return Err(Failure::with(
                        exit::CONNECTION_ERROR,
                        format!("Error talking to {base}: {error}"),
                    ));
                }
            }
        }
        Err(Failure::with(
            exit::CONNECTION_ERROR,
            unreachable.join("\n"),
        ))
    }

    fn base(&self) -> &str {
        &self.options.controllers[self.current]
    }
}

/// Whether the error came before anything was sent.
fn never_connected(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        ureq::Error::HostNotFound
        | ureq::Error::ConnectionFailed
        | ureq::Error::TlsRequired
        | ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => true,
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

/// The value of an `Authorization` header with a password.
fn basic_authorization(user: &str, password: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let login = format!("{user}:{password}");
    let mut text = "Basic ".to_owned();
    for chunk in login.as_bytes().chunks(3) {
        let bits = (0..3).fold(0_u32, |bits, i| {
            bits << 8 | u32::from(chunk.get(i).copied().unwrap_or(0))
        });
        for i in 0..4 {
            let index = (bits >> (18 - 6 * i)) & 63;
            text.push(if i <= chunk.len() {
                ALPHABET[index as usize] as char
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648.
    #[test]
    fn passwords_are_encoded() {
        assert_eq!(basic_authorization("f", ""), "Basic Zjo=");
        assert_eq!(basic_authorization("fo", ""), "Basic Zm86");
        assert_eq!(basic_authorization("foob", "r"), "Basic Zm9vYjpy");
        assert_eq!(basic_authorization("foo", "bars"), "Basic Zm9vOmJhcnM=");
    }
}
