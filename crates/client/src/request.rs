//! Requests to the controller.

use std::fmt::Write as _;

use serde::Serialize;

/// The HTTP method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Query.
    Get,
    /// Create or act.
    Post,
    /// Modify.
    Put,
    /// Enter a passphrase.
    Patch,
    /// Delete.
    Delete,
    /// Query with a body; `query-max-volume-size` uses it.
    Options,
}

impl Method {
    /// The method that HTTP spells so; GET if it is another one.
    pub fn parse(text: &str) -> Method {
        let all = [
            Method::Post,
            Method::Put,
            Method::Patch,
            Method::Delete,
            Method::Options,
        ];
        let found = all.into_iter().find(|method| method.as_str() == text);
        found.unwrap_or(Method::Get)
    }

    /// The method as HTTP spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }
}

/// A request to the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// The body, JSON.
    pub body: Option<String>,
}

impl Request {
    /// A request without a body; the segments are the path below `/v1`.
    pub fn new(method: Method, segments: &[&str]) -> Self {
        let mut path = "/v1".to_owned();
        for segment in segments {
            path.push('/');
            encode(segment, &mut path);
        }
        Request {
            method,
            path,
            body: None,
        }
    }

    /// A `GET`.
    pub fn get(segments: &[&str]) -> Self {
        Request::new(Method::Get, segments)
    }

    /// A `POST` with a body.
    pub fn post(segments: &[&str], body: &impl Serialize) -> Self {
        Request::new(Method::Post, segments).body(body)
    }

    /// A `PUT` with a body.
    pub fn put(segments: &[&str], body: &impl Serialize) -> Self {
        Request::new(Method::Put, segments).body(body)
    }

    /// A `DELETE`.
    pub fn delete(segments: &[&str]) -> Self {
        Request::new(Method::Delete, segments)
    }

    /// Sets the body.
    pub fn body(mut self, body: &impl Serialize) -> Self {
        let text = serde_json::to_string(body).expect("the api's types always have a JSON form");
        self.body = Some(text);
        self
    }

    /// Adds one query parameter per value.
    pub fn query<S: AsRef<str>>(mut self, key: &str, values: &[S]) -> Self {
        for value in values {
            self.path
                .push(if self.path.contains('?') { '&' } else { '?' });
            self.path.push_str(key);
            self.path.push('=');
            encode(value.as_ref(), &mut self.path);
        }
        self
    }

    /// Adds a query that is already encoded.
    pub fn with_query(mut self, query: &str) -> Self {
        self.path.push('?');
        self.path.push_str(query);
        self
    }

    /// The `curl` command that sends the same request.
    pub fn to_curl(&self, options: &str, base: &str) -> String {
        let mut args = vec![
            "curl".to_owned(),
            "-X".to_owned(),
            self.method.as_str().to_owned(),
        ];
        if let Some(body) = &self.body {
            args.push("-H".to_owned());
            args.push("Content-Type: application/json".to_owned());
            args.push("-d".to_owned());
            args.push(body.clone());
        }
        let quoted: Vec<String> = args.iter().map(|arg| shell_quote(arg)).collect();
        let url = shell_quote(&format!("{base}{}", self.path));
        format!("{} {options}{url}", quoted.join(" "))
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte as char);
            }
            _ => write!(out, "%{byte:02X}").expect("writing to a string cannot fail"),
        }
    }
}

/// Quotes an argument for a POSIX shell if it has special characters.
pub fn shell_quote(arg: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(&byte);
    if !arg.is_empty() && arg.bytes().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', r#"'"'"'"#))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Special characters of names and values are encoded, so that they cannot change path or query.
    #[test]
    fn segments_and_values_are_encoded() {
        let request = Request::get(&["nodes", "a/b ?"]).query("props", &["Aux/x=ü", "y"]);
        assert_eq!(
            request.path,
            "/v1/nodes/a%2Fb%20%3F?props=Aux%2Fx%3D%C3%BC&props=y"
        );
    }

    /// The curl command can be pasted into a shell.
    #[test]
    fn curl_is_quoted() {
        let request = Request::post(&["nodes"], &serde_json::json!({"name": "it's"}));
        assert_eq!(
            request.to_curl("", "http://localhost:3370"),
            r#"curl -X POST -H 'Content-Type: application/json' -d '{"name":"it'"'"'s"}' http://localhost:3370/v1/nodes"#
        );
    }
}
