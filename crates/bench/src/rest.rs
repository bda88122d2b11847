//! A client connection to the REST API: HTTP/1.1 with keep-alive, whole bodies.

use std::io::Write as _;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use flate2::write::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// How a client wants long answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// As they are.
    Plain,
    /// Compressed, as the command line and most HTTP libraries ask for.
    Gzip,
}

/// One connection.
pub struct Rest {
    sender: SendRequest<Full<Bytes>>,
}

impl Rest {
    /// Connects to a controller on this machine.
    pub async fn connect(port: u16) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(async move {
            // The connection ends with the benchmark; a broken one shows in the next request.
            let _ = connection.await;
        });
        Ok(Rest { sender })
    }

    /// Sends a request and reads the whole answer.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<(StatusCode, Bytes)> {
        let body = body.map_or(Bytes::new(), |value| Bytes::from(value.to_string()));
        let request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("host", "localhost")
            .header("content-type", "application/json")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let answer = self
            .sender
            .send_request(request)
            .await
            .with_context(|| format!("{method} {path}"))?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }

    /// Reads all that a path shows, decompressing it as it comes; returns it with the bytes that were received.
    pub async fn read(
        &mut self,
        path: &str,
        encoding: Encoding,
    ) -> anyhow::Result<(Vec<u8>, usize)> {
        let mut request = Request::get(path).header("host", "localhost");
        if encoding == Encoding::Gzip {
            request = request.header("accept-encoding", "gzip");
        }
        self.sender.ready().await?;
        let request = request.body(Full::default())?;
        let answer = self.sender.send_request(request).await.context("read")?;
        let status = answer.status();
        ensure!(status.is_success(), "GET {path} answered {status}");
        let compressed = answer.headers().get("content-encoding").is_some();
        ensure!(
            compressed == (encoding == Encoding::Gzip),
            "{encoding:?} was not respected"
        );
        let mut body = answer.into_body();
        let mut received = 0;
        let mut text = Vec::new();
        let mut decoder = GzDecoder::new(Vec::new());
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame?.into_data() else {
                continue;
            };
            received += data.len();
            if compressed {
                decoder.write_all(&data)?;
            } else {
                text.extend_from_slice(&data);
            }
        }
        if compressed {
            text = decoder.finish()?;
        }
        Ok((text, received))
    }

    /// A request that must succeed.
    pub async fn expect(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Bytes> {
        let (status, bytes) = self.call(method.clone(), path, body).await?;
        if !status.is_success() {
            let text = String::from_utf8_lossy(&bytes);
            bail!(
                "{method} {path} answered {status}: {}",
                text.chars().take(600).collect::<String>()
            );
        }
        Ok(bytes)
    }
}
