//! HTTP/1 as bytes: what well-behaved clients never send must be sent too.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::time::Duration;

use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A request, written as it is given.
#[derive(Clone)]
pub struct Request {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Request {
    pub fn get(target: &str) -> Self {
        Self::new(format!("GET {target} HTTP/1.1"))
    }

    /// A request line and the one field that it needs.
    pub fn new(line: impl AsRef<[u8]>) -> Self {
        Self::bare(line).with("host", "shop.example")
    }

    /// A request line.
    pub fn bare(line: impl AsRef<[u8]>) -> Self {
        Self { head: [line.as_ref(), b"\r\n"].concat(), body: Vec::new() }
    }

    pub fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_ref(), b": ", value.as_ref(), b"\r\n"] {
            self.head.extend(part);
        }
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", format!("Bearer {token}"))
    }

    /// A POST of this.
    pub fn post(target: &str, body: &str) -> Self {
        Self::new(format!("POST {target} HTTP/1.1")).with_body(body)
    }

    pub fn with_body(self, body: &str) -> Self {
        let request = self.with("content-length", body.len().to_string());
        Self { body: body.as_bytes().to_vec(), ..request }
    }

    pub fn into_bytes(mut self) -> Vec<u8> {
        self.head.extend(b"\r\n");
        self.head.extend(self.body);
        self.head
    }
}

/// Keeps the port of a service that is gone, without an answer: the service of another test
/// could be given it.
pub async fn hold(port: u16) -> TcpListener {
    loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(silent) => return silent,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

/// A connection to Envoy.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    pub fn open(port: u16) -> Self {
        Self::to(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
    }

    pub fn to(address: SocketAddrV4) -> Self {
        let stream = TcpStream::connect(address).expect("Envoy listens");
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, received: Vec::new() }
    }

    /// Sends without waiting for an answer.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("Envoy reads");
    }

    /// Leaves at once: an RST instead of a FIN.
    pub fn reset(self) {
        self.stream.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(self.stream).unwrap();
        stream.set_zero_linger().unwrap();
    }

    /// The answer to what is sent; `None` if the connection ends instead.
    pub fn send(&mut self, bytes: &[u8]) -> Option<Answer> {
        let mut writer = self.stream.try_clone().unwrap();
        std::thread::scope(|scope| {
            // Envoy may answer, and hang up, before it has read everything.
            scope.spawn(move || writer.write_all(bytes));
            self.read_answer()
        })
    }

    pub fn read_answer(&mut self) -> Option<Answer> {
        let head_end = loop {
            let end = self.received.windows(4).position(|window| window == b"\r\n\r\n");
            match end {
                Some(end) => break end,
                None if self.read_more() => {}
                None => return None,
            }
        };
        let head = String::from_utf8_lossy(&self.received[..head_end]).into_owned();
        self.received.drain(..head_end + 4);
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let headers = lines
            .map(|line| line.split_once(':').expect("a field"))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let status = status.parse().expect("a status");
        let mut answer = Answer { status, headers, body: Vec::new() };
        answer.body = self.read_body(&answer);
        Some(answer)
    }

    fn read_body(&mut self, answer: &Answer) -> Vec<u8> {
        if matches!(answer.status, 204 | 304) || answer.status < 200 {
            return Vec::new();
        }
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().expect("a length");
            while self.received.len() < length {
                assert!(self.read_more(), "the body ends early: {answer}");
            }
            return self.received.drain(..length).collect();
        }
        if answer.header("transfer-encoding") == Some("chunked") {
            return self.read_chunks();
        }
        while self.read_more() {}
        std::mem::take(&mut self.received)
    }

    fn read_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let Some(end) = self.received.windows(2).position(|window| window == b"\r\n") else {
                assert!(self.read_more(), "the chunks end early");
                continue;
            };
            let size = str::from_utf8(&self.received[..end]).unwrap();
            let size = usize::from_str_radix(size, 16).expect("a chunk size");
            while self.received.len() < end + 2 + size + 2 {
                assert!(self.read_more(), "the chunk ends early");
            }
            body.extend(&self.received[end + 2..end + 2 + size]);
            self.received.drain(..end + 2 + size + 2);
            if size == 0 {
                return body;
            }
        }
    }

    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => false,
            Ok(count) => {
                self.received.extend(&buffer[..count]);
                true
            }
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            // A machine that was stopped and goes on.
            Err(error) if error.kind() == ErrorKind::Interrupted => true,
            Err(error) => panic!("no answer: {error}"),
        }
    }
}

pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self}"))
    }

    /// `401 token_expired`; the status alone when Envoy itself answers.
    pub fn outcome(&self) -> String {
        let body = serde_json::from_slice::<Value>(&self.body).unwrap_or_default();
        match body["code"].as_str() {
            Some(code) => format!("{} {code}", self.status),
            None => self.status.to_string(),
        }
    }

    /// What the upstream says it received.
    pub fn seen(&self) -> Seen {
        assert_eq!(self.status, 200, "{self}");
        Seen(self.json())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, String::from_utf8_lossy(&self.body))
    }
}

/// The cases of a table that went wrong, all of which are worth seeing.
#[derive(Default)]
pub struct Wrong(Vec<String>);

impl Wrong {
    pub fn compare(&mut self, case: &str, expected: &str, answer: &Answer) {
        if answer.outcome() != expected {
            self.0.push(format!("{case}: expected {expected}, got {answer}"));
        }
    }

    pub fn assert_none(self) {
        assert!(self.0.is_empty(), "{}", self.0.join("\n"));
    }
}

/// A request as it reached the upstream.
pub struct Seen(pub Value);

impl Seen {
    /// The values of a field; nothing but its exact name counts, in lower case.
    pub fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.0["headers"].as_array().expect("the upstream lists fields");
        let same = fields.iter().filter(|field| field[0] == name);
        same.map(|field| field[1].as_str().unwrap()).collect()
    }

    /// Every field name.
    pub fn names(&self) -> Vec<&str> {
        let fields = self.0["headers"].as_array().expect("the upstream lists fields");
        fields.iter().map(|field| field[0].as_str().unwrap()).collect()
    }

    pub fn path(&self) -> &str {
        self.0["path"].as_str().unwrap()
    }

    /// The claims of the identity token, which the upstream verified with the
    /// gateway's JWKS.
    pub fn identity(&self) -> &Value {
        assert_eq!(self.0["identity"]["verified"], true, "{}", self.0);
        &self.0["identity"]["claims"]
    }

    pub fn is_anonymous(&self) -> bool {
        self.0["identity"].is_null()
    }
}
