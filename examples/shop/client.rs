//! A small HTTP client.

use std::fmt;
use std::time::Duration;

use axum::body::{self, Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

const TIMEOUT: Duration = Duration::from_secs(10);

type Error = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone)]
pub struct Client(legacy::Client<HttpConnector, Body>);

impl Client {
    pub fn new() -> Self {
        Self(legacy::Client::builder(TokioExecutor::new()).build_http())
    }

    pub async fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Reply, Error> {
        self.send(Method::GET, url, headers, None).await
    }

    pub async fn post(&self, url: &str, json: &Value) -> Result<Reply, Error> {
        self.send(Method::POST, url, &[], Some(json)).await
    }

    pub async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        json: Option<&Value>,
    ) -> Result<Reply, Error> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match json {
            None => Body::empty(),
            Some(json) => {
                request = request.header("content-type", "application/json");
                json.to_string().into()
            }
        };
        self.exchange(request.body(body)?).await
    }

    /// Sends a form. Its values are of letters that need no escape.
    pub async fn post_form(&self, url: &str, fields: &[(&str, &str)]) -> Result<Reply, Error> {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(fields.join("&").into())?;
        self.exchange(request).await
    }

    async fn exchange(&self, request: Request<Body>) -> Result<Reply, Error> {
        timeout(TIMEOUT, async {
            let (head, body) = self.0.request(request).await?.into_parts();
            let body = body::to_bytes(Body::new(body), usize::MAX).await?;
            Ok(Reply { status: head.status, headers: head.headers, body })
        })
        .await?
    }
}

pub struct Reply {
    pub status: StatusCode,
    headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    /// A field of the reply; empty without it.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub fn json<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_slice(&self.body)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, String::from_utf8_lossy(&self.body))
    }
}
