//! A service that reads HTTP/1 byte by byte, and shares nothing with those who write it.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// A request as a service got it.
#[derive(Clone, Default)]
pub struct Arrived {
    pub method: String,
    pub target: String,
    /// Names as they came; values without spaces around them.
    pub fields: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, Vec<u8>)>,
    /// Whether its end came.
    pub is_whole: bool,
    /// What a reader of HTTP/1 would not take.
    pub wrong: Option<String>,
}

impl fmt::Debug for Arrived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.method, self.target)?;
        for (name, value) in &self.fields {
            writeln!(f, "{name}: {}", value.escape_ascii())?;
        }
        writeln!(f, "\n{}", self.body.escape_ascii())?;
        for (name, value) in &self.trailers {
            writeln!(f, "{name}: {}", value.escape_ascii())?;
        }
        write!(f, "{}", if self.is_whole { "(its end)" } else { "(broken off)" })
    }
}

impl Arrived {
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let same = self.fields.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_slice())
    }

    /// Which case it says that it is.
    pub fn case(&self) -> Option<u64> {
        let mut values = self.values("x-case");
        let value = values.next().filter(|_| values.next().is_none())?;
        str::from_utf8(value).ok()?.parse().ok()
    }
}

/// The service, and what it got.
pub struct Upstream {
    pub port: u16,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Upstream {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let arrived = Arc::<Mutex<Vec<Arrived>>>::default();
        let kept = Arc::clone(&arrived);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || {
                    let mut connection = Connection { stream, received: Vec::new() };
                    while let Some(request) = connection.read_request() {
                        let is_over = !request.is_whole || request.wrong.is_some();
                        kept.lock().unwrap().push(request);
                        if is_over {
                            return;
                        }
                        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        let _ = connection.stream.write_all(answer);
                    }
                });
            }
        });
        Self { port, arrived }
    }

    pub fn take(&self) -> Vec<Arrived> {
        std::mem::take(&mut self.arrived.lock().unwrap())
    }
}

struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// The next request on it, or what there is of one; `None` at its end.
    fn read_request(&mut self) -> Option<Arrived> {
        let mut request = Arrived::default();
        let Some(head) = self.read_until(b"\r\n\r\n") else {
            if self.received.is_empty() {
                return None;
            }
            let rest = std::mem::take(&mut self.received);
            request.wrong = Some(format!("bytes of no request: {}", rest.escape_ascii()));
            return Some(request);
        };
        if let Err(wrong) = read_head(&head, &mut request) {
            request.wrong = Some(wrong);
            return Some(request);
        }
        request.is_whole = match framing(&request) {
            Ok(Framing::None) => true,
            Ok(Framing::Length(length)) => self.read_exactly(length, &mut request.body),
            Ok(Framing::Chunked) => self.read_chunks(&mut request),
            Err(wrong) => {
                request.wrong = Some(wrong);
                true
            }
        };
        Some(request)
    }

    fn read_more(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(read @ 1..) => {
                self.received.extend(&buffer[..read]);
                true
            }
            _ => false,
        }
    }

    /// Everything before `end`.
    fn read_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            let found = self.received.windows(end.len()).position(|window| window == end);
            if let Some(at) = found {
                let before = self.received.drain(..at).collect();
                self.received.drain(..end.len());
                return Some(before);
            }
            if !self.read_more() {
                return None;
            }
        }
    }

    /// Whether that many came.
    fn read_exactly(&mut self, length: usize, into: &mut Vec<u8>) -> bool {
        while self.received.len() < length {
            if !self.read_more() {
                into.append(&mut self.received);
                return false;
            }
        }
        into.extend(self.received.drain(..length));
        true
    }

    fn read_chunks(&mut self, request: &mut Arrived) -> bool {
        loop {
            let Some(line) = self.read_until(b"\r\n") else { return false };
            let size = str::from_utf8(&line).ok().filter(|text| {
                !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
            let Some(size) = size.and_then(|text| usize::from_str_radix(text, 16).ok()) else {
                request.wrong = Some(format!("a chunk size of its own: {}", line.escape_ascii()));
                return true;
            };
            if size == 0 {
                return self.read_trailers(request);
            }
            let mut end = Vec::new();
            if !self.read_exactly(size, &mut request.body) || !self.read_exactly(2, &mut end) {
                return false;
            }
            if end != b"\r\n" {
                request.wrong = Some("a chunk that goes on".to_owned());
                return true;
            }
        }
    }

    fn read_trailers(&mut self, request: &mut Arrived) -> bool {
        loop {
            match self.read_until(b"\r\n") {
                None => return false,
                Some(line) if line.is_empty() => return true,
                Some(line) => match read_field(&line) {
                    Ok(field) => request.trailers.push(field),
                    Err(wrong) => {
                        request.wrong = Some(wrong);
                        return true;
                    }
                },
            }
        }
    }
}

fn read_head(head: &[u8], request: &mut Arrived) -> Result<(), String> {
    let mut rest = head;
    let mut next = || {
        let end = rest.windows(2).position(|two| two == b"\r\n");
        let line = &rest[..end.unwrap_or(rest.len())];
        let is_there = !rest.is_empty();
        rest = end.map_or(&[][..], |end| &rest[end + 2..]);
        is_there.then_some(line)
    };
    let line = String::from_utf8_lossy(next().unwrap_or_default()).into_owned();
    let parts: Vec<&str> = line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Err(format!("a start line of its own: {line:?}"));
    };
    if target.contains(|character: char| character.is_control()) {
        return Err(format!("an odd target: {line:?}"));
    }
    (request.method, request.target) = (method.to_owned(), target.to_owned());
    while let Some(line) = next() {
        request.fields.push(read_field(line)?);
    }
    Ok(())
}

fn read_field(line: &[u8]) -> Result<(String, Vec<u8>), String> {
    let odd = || format!("an odd line: {}", line.escape_ascii());
    let colon = line.iter().position(|byte| *byte == b':').ok_or_else(odd)?;
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let name = &line[..colon];
    let value = line[colon + 1..].trim_ascii();
    let is_good = !name.is_empty()
        && name.iter().all(is_token)
        && !value.iter().any(|byte| b"\r\n\0".contains(byte));
    let name = is_good.then(|| String::from_utf8_lossy(name).into_owned()).ok_or_else(odd)?;
    Ok((name, value.to_vec()))
}

enum Framing {
    None,
    Length(usize),
    Chunked,
}

/// How long the body is: one way to say it, or servers differ.
fn framing(request: &Arrived) -> Result<Framing, String> {
    let lengths: Vec<&[u8]> = request.values("content-length").collect();
    let codings: Vec<&[u8]> = request.values("transfer-encoding").collect();
    match (&lengths[..], &codings[..]) {
        ([], []) => Ok(Framing::None),
        ([length], []) if !length.is_empty() && length.iter().all(u8::is_ascii_digit) => {
            let text = String::from_utf8_lossy(length);
            text.parse().map(Framing::Length).map_err(|_| format!("a length of {text}"))
        }
        ([], [b"chunked"]) => Ok(Framing::Chunked),
        _ => Err(format!("a framing of its own: {:?}", request.fields)),
    }
}
