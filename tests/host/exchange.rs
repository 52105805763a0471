//! Plain data that a scenario sends and receives.

use super::abi::Pairs;

/// The head of a client request.
///
/// Starts as `GET / HTTP/1.1` for `api.example`; every method replaces or adds.
#[derive(Clone, Debug)]
pub struct Head {
    pub(super) headers: Pairs,
    pub(super) has_body: bool,
    /// What comes in once the headers have passed.
    pub(super) body: Option<Vec<u8>>,
    /// What comes last; nginx drops it.
    pub(super) trailers: Pairs,
    /// Whether body and trailers come when the scenario says so.
    pub(super) by_hand: bool,
}

impl Head {
    pub fn get(path: &str) -> Self {
        let pseudo = [
            (":method", "GET"),
            (":path", path),
            (":scheme", "http"),
            (":authority", "api.example"),
        ];
        Self {
            headers: Vec::new(),
            has_body: false,
            body: None,
            trailers: Vec::new(),
            by_hand: false,
        }
        .headers(pseudo)
    }

    pub fn method(mut self, method: &str) -> Self {
        self.has_body = matches!(method, "POST" | "PUT" | "PATCH");
        self.headers([(":method", method)])
    }

    /// A POST of this.
    pub fn post(self, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref().to_vec();
        let head = self.method("POST").header("content-length", &body.len().to_string());
        Self { body: Some(body), ..head }
    }

    /// This body, whatever the headers say of it.
    pub fn body(self, body: &str) -> Self {
        Self { has_body: true, body: Some(body.as_bytes().to_vec()), ..self }
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.raw_header(name, value.as_bytes())
    }

    pub fn headers<const N: usize>(self, headers: [(&str, &str); N]) -> Self {
        headers.into_iter().fold(self, |head, (name, value)| head.header(name, value))
    }

    /// A header whose value is no text.
    pub fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        let pair = (name.to_owned(), value.to_vec());
        let pseudo = self.headers.iter_mut().find(|(old, _)| name.starts_with(':') && old == name);
        match pseudo {
            Some(old) => *old = pair,
            None => self.headers.push(pair),
        }
        self
    }

    /// Body and trailers come by [`Request::piece`](super::Request::piece) and
    /// [`Request::trailers`](super::Request::trailers), in any state.
    pub fn by_hand(self) -> Self {
        Self { by_hand: true, ..self }
    }

    /// A trailer.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push((name.to_owned(), value.as_bytes().to_vec()));
        self
    }

    /// A request without this pseudo header (a host may still add its own).
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(old, _)| old != name);
        self
    }
}

/// A callout as the filter dispatched it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub upstream: String,
    pub headers: Pairs,
    pub body: Vec<u8>,
    pub timeout_ms: u32,
}

impl Call {
    /// The first value under `name`, as text.
    pub fn header(&self, name: &str) -> Option<String> {
        first(&self.headers, name)
    }

    pub fn path(&self) -> String {
        self.header(":path").unwrap_or_default()
    }
}

/// What a called service answers.
#[derive(Clone, Debug)]
pub enum Reply {
    Response(Response),
    /// Refused, reset, timed out: the filter hears of 0 headers.
    Failed,
    /// Broken off in the body. Kong announces all of what came and gives nothing
    /// of it; Envoy says that the call failed.
    BrokenOff(Response),
}

impl Reply {
    /// 200 with a JSON body.
    pub fn ok(json: impl AsRef<[u8]>) -> Self {
        Self::status(200).header("content-type", "application/json").body(json)
    }

    pub fn status(status: u16) -> Self {
        let headers = vec![("server".to_owned(), b"stub".to_vec())];
        Self::Response(Response { status, headers, body: Vec::new(), grpc_status: None })
    }

    /// Kong: a call that failed may have headers, but never a `:status`.
    pub fn without_status() -> Self {
        Self::status(0)
    }

    pub fn failed() -> Self {
        Self::Failed
    }

    /// The same, ended within its body.
    pub fn broken_off(self) -> Self {
        match self {
            Self::Response(response) => Self::BrokenOff(response),
            other => other,
        }
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.raw_header(name, value.as_bytes())
    }

    pub fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        if let Self::Response(response) = &mut self {
            response.headers.push((name.to_owned(), value.to_vec()));
        }
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        if let Self::Response(response) = &mut self {
            response.body = body.as_ref().to_vec();
        }
        self
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub headers: Pairs,
    pub body: Vec<u8>,
    /// As the filter gave it; `None` for -1.
    pub grpc_status: Option<i32>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<String> {
        first(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// What became of a client request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing yet: it waits.
    Paused,
    /// The upstream received it with these headers.
    Forwarded {
        headers: Pairs,
        /// The filter did not decide this: why the host let it pass.
        failed_open: Option<String>,
    },
    /// The filter answered it.
    Replied(Response),
    /// The host answered it with an error of its own.
    Failed { status: u16, why: String },
}

fn first(headers: &Pairs, name: &str) -> Option<String> {
    let (_, value) = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(String::from_utf8_lossy(value).into_owned())
}
