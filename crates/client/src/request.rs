//! A request to the controller, before it is sent.

use std::fmt::Write as _;

use serde::Serialize;

/// A request's method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Ask.
    Get,
    /// Create or act.
    Post,
    /// Modify.
    Put,
    /// Delete.
    Delete,
    /// Ask with a body; one old query of LINSTOR has it.
    Options,
}

impl Method {
    /// The method's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
        }
    }
}

/// A request to the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub method: Method,
    /// On what: path and query, percent-encoded.
    pub path: String,
    /// With what: JSON.
    pub body: Option<String>,
}

impl Request {
    /// A request on the object below `/v1` that the segments lead to.
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

    /// With a body.
    pub fn body(mut self, body: &impl Serialize) -> Self {
        let text = serde_json::to_string(body).expect("the api's types always have a JSON form");
        self.body = Some(text);
        self
    }

    /// With one query parameter per value.
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

    /// The `curl` command that sends the same request.
    pub fn to_curl(&self, base: &str) -> String {
        let mut words = vec![
            "curl".to_owned(),
            "-X".to_owned(),
            self.method.as_str().to_owned(),
        ];
        if let Some(body) = &self.body {
            words.push("-H".to_owned());
            words.push("Content-Type: application/json".to_owned());
            words.push("-d".to_owned());
            words.push(body.clone());
        }
        words.push(format!("{base}{}", self.path));
        let quoted: Vec<String> = words.iter().map(|word| shell_quote(word)).collect();
        quoted.join(" ")
    }
}

/// Percent-encodes everything but what is unreserved in URLs.
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

/// Quotes a word for a POSIX shell, if it needs it.
fn shell_quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"@%+=:,./-_".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r#"'"'"'"#))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names and values cannot break out of their place in the URL.
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
            request.to_curl("http://localhost:3370"),
            r#"curl -X POST -H 'Content-Type: application/json' -d '{"name":"it'"'"'s"}' http://localhost:3370/v1/nodes"#
        );
    }
}
