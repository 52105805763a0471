//! Clients that mean no good over HTTP/2: many streams, header blocks that are dear to read,
//! bodies that do not come, services that are slow, and leaving at each moment.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::contract::Service;
use crate::everything::about;
use crate::fault::Fault;
use crate::frames::{
    ACK, CONTINUATION, Coding, DATA, END_HEADERS, END_STREAM, Field, GOAWAY, HEADERS, PING,
    RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
};
use crate::gateway::Gateway;
use crate::service::reference;
use crate::tokens::{Signer, alice, encode};

/// As many streams as the bundled configuration lets a connection have.
const STREAMS: usize = 100;

/// Between two rounds of a connection.
const ROUND: Duration = Duration::from_millis(50);

/// How long who waits for an answer to come does before leaving.
const SOON: Duration = Duration::from_millis(20);

/// What a client does with a stream that it has opened.
#[derive(Clone, Copy, PartialEq)]
pub enum Then {
    Reads,
    /// RST_STREAM right behind the request.
    Resets,
    /// RST_STREAM when the gateway is waiting for a service.
    ResetsLater,
    /// A byte of the body in each round, which never is all of it.
    Drips,
    /// Waits for as long as it takes.
    Waits,
    /// Takes no byte of the answer.
    NeverReads,
    /// Ends the connection with all of its streams, a moment later each time.
    Leaves,
}

/// A kind of them.
pub struct Flood {
    pub name: &'static str,
    pub then: Then,
    /// Streams that a connection opens in a round, at most.
    pub each: usize,
    /// Whether the issuer's keys cannot be fetched meanwhile.
    pub issuer_hangs: bool,
    head: Box<Head>,
    /// Bytes of a block in a frame.
    piece: usize,
}

/// The header block of the n-th request, given whether it is the first of its connection.
type Head = dyn Fn(&Gateway, u64, bool) -> Vec<u8> + Send + Sync;

fn block(method: &str, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual =
        [(":method", method), (":scheme", "http"), (":authority", "shop.example"), (":path", path)];
    let mut block = Vec::new();
    usual.iter().chain(more).for_each(|(name, value)| Field::new(name, value).encode(&mut block));
    block
}

fn get(authorization: &str) -> Vec<u8> {
    block("GET", "/orders", &[("authorization", authorization)])
}

/// A whole page of cookies in the dynamic table, and then a byte for each time it is repeated.
fn repeated_cookies(_: &Gateway, n: u64, is_first: bool) -> Vec<u8> {
    const TIMES: usize = 13;
    let mut block = block("GET", "/orders", &[]);
    if is_first {
        let cookies = format!("n={n}; {}", "a=b; ".repeat(790));
        Field { coding: Coding::Indexed, ..Field::new("cookie", cookies) }.encode(&mut block);
    } else {
        block.extend([0x80 | 62; TIMES]);
    }
    block
}

impl Flood {
    fn new(
        name: &'static str,
        then: Then,
        head: impl Fn(&Gateway, u64) -> Vec<u8> + Send + Sync + 'static,
    ) -> Self {
        let head: Box<Head> = Box::new(move |gateway, n, _| head(gateway, n));
        Self { name, then, each: 10, issuer_hangs: false, head, piece: 16_000 }
    }

    /// What costs the gateway nothing but a denial: with this the others are compared.
    pub fn plain() -> Self {
        Self::new("no token", Then::Reads, |_, _| block("GET", "/orders", &[]))
    }

    /// Each of the others.
    pub fn all(gateway: &Gateway) -> Vec<Self> {
        let mut all = Self::by_requests(gateway);
        all.extend(Self::by_waiting());
        all
    }

    /// What makes the gateway work.
    fn by_requests(gateway: &Gateway) -> Vec<Self> {
        let good = gateway.token("alice");
        let (head, signature) = good.rsplit_once('.').expect("a token");
        let (header, _) = head.split_once('.').expect("a token");
        let (header, signature) = (header.to_owned(), signature.to_owned());
        let forged = move |_: &Gateway, n: u64| {
            let claims = encode(alice(json!({"jti": n})).to_string());
            get(&format!("Bearer {header}.{claims}.{signature}"))
        };
        let stranger = Signer::es256("made-up");
        let new_key = move |_: &Gateway, n: u64| {
            let header = json!({"kid": format!("made-up-{n}")});
            let token = stranger.token_with(header, &alice(json!({"jti": n})));
            get(&format!("Bearer {token}"))
        };
        let again = forged.clone();
        vec![
            Self::new("forged signatures", Then::Reads, forged),
            Self::new("forged signatures, reset at once", Then::Resets, again),
            Self {
                piece: 50,
                each: 2,
                ..Self::new("blocks of 50 kB in 1,000 CONTINUATIONs", Then::Reads, |_, _| {
                    block("GET", "/orders", &[("x-padding", &"x".repeat(50_000))])
                })
            },
            Self {
                head: Box::new(repeated_cookies),
                ..Self::new("50 kB of cookies by the header table", Then::Reads, |_, _| Vec::new())
            },
            Self::new("answers that nobody reads", Then::NeverReads, |_, _| {
                block("GET", "/orders", &[])
            }),
            Self {
                issuer_hangs: true,
                ..Self::new("new key ids, the issuer hangs", Then::Waits, new_key)
            },
        ]
    }

    /// Bodies for this path that do not come.
    pub fn unended(path: &'static str) -> Self {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let name = match path.starts_with("/login") {
            true => "bodies of logins that do not come",
            false => "bodies of logouts that do not come",
        };
        Self::new(name, Then::Drips, move |_, _| {
            block("POST", path, &[kind, ("content-length", "16000")])
        })
    }

    /// What makes it wait.
    fn by_waiting() -> Vec<Self> {
        let login = |fault: Fault| {
            move |_: &Gateway, n: u64| {
                let name = about(Service::Login, fault, &n.to_string());
                block("POST", &format!("/login/{name}"), &[("content-length", "0")])
            }
        };
        let made_up = |_: &Gateway, n: u64| {
            let name = about(Service::Introspection, Fault::Hang, &n.to_string());
            get(&format!("Bearer {}", reference(&name)))
        };
        let stranger = |gateway: &Gateway, n: u64| {
            let sub = about(Service::Users, Fault::Hang, &n.to_string());
            get(&format!("Bearer {}", gateway.services.auth.sign(&alice(json!({"sub": sub})))))
        };
        vec![
            Self::unended("/login/alice"),
            Self::unended("/.well-known/gatepass/backchannel-logout"),
            Self::new("logins that take 10 s", Then::Waits, login(Fault::Hang)),
            Self::new("logins whose answer drips", Then::Waits, login(Fault::Drip)),
            Self::new("made-up references, the issuer hangs", Then::Waits, made_up),
            Self::new("made-up references, reset", Then::ResetsLater, made_up),
            Self::new("users whose service hangs, reset", Then::ResetsLater, stranger),
            Self::new("users whose service hangs, who leave", Then::Leaves, stranger),
        ]
    }

    /// The frames that open a stream.
    fn open(&self, gateway: &Gateway, n: u64, stream: u32) -> Vec<u8> {
        let block = (self.head)(gateway, n, stream == 1);
        let last = if self.then == Then::Drips { 0 } else { END_STREAM };
        let mut pieces = block.chunks(self.piece).peekable();
        let (mut bytes, mut kind, mut flags) = (Vec::new(), HEADERS, last);
        while let Some(piece) = pieces.next() {
            let end = if pieces.peek().is_none() { END_HEADERS } else { 0 };
            bytes.extend(frame(kind, flags | end, stream, piece));
            (kind, flags) = (CONTINUATION, 0);
        }
        if self.then == Then::Resets {
            bytes.extend(reset(stream));
        }
        bytes
    }

    /// Clients of this kind until it is over; how many requests they made.
    pub fn run(&self, gateway: &Gateway, connections: usize, over: &AtomicBool) -> u64 {
        let made = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..connections {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        // Envoy ends connections that go too far.
                        let client = Client::open(gateway.ports.listener, self.then);
                        let _ = client.flood(gateway, self, &made, over);
                    }
                });
            }
        });
        made.into_inner()
    }
}

fn reset(stream: u32) -> Vec<u8> {
    const CANCEL: u32 = 8;
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

/// One connection.
struct Client {
    stream: TcpStream,
    received: Vec<u8>,
    next: u32,
    open: Vec<(u32, Instant)>,
}

impl Client {
    fn open(port: u16, then: Then) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("Envoy listens");
        stream.set_read_timeout(Some(Duration::from_millis(2))).expect("a time");
        stream.set_write_timeout(Some(Duration::from_secs(5))).expect("a time");
        let window: u32 = if then == Then::NeverReads { 0 } else { 1 << 30 };
        let opening = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(SETTINGS, 0, 0, &[&[0, 4], &window.to_be_bytes()[..]].concat()),
            frame(WINDOW_UPDATE, 0, 0, &(1_u32 << 30).to_be_bytes()),
        ];
        let mut client = Self { stream, received: Vec::new(), next: 1, open: Vec::new() };
        let _ = client.stream.write_all(&opening.concat());
        client
    }

    /// Opens streams round by round, until it is over or Envoy has had enough.
    fn flood(
        mut self,
        gateway: &Gateway,
        flood: &Flood,
        made: &AtomicU64,
        over: &AtomicBool,
    ) -> std::io::Result<()> {
        while !over.load(Ordering::Relaxed) {
            let mut bytes = Vec::new();
            if flood.then == Then::Drips {
                self.open.iter().for_each(|(it, _)| bytes.extend(frame(DATA, 0, *it, b"a")));
            }
            if flood.then == Then::ResetsLater {
                let gone = self.open.extract_if(.., |(_, since)| since.elapsed() > SOON);
                gone.for_each(|(stream, _)| bytes.extend(reset(stream)));
            }
            for _ in 0..flood.each.min(STREAMS.saturating_sub(self.open.len())) {
                let n = made.fetch_add(1, Ordering::Relaxed);
                bytes.extend(flood.open(gateway, n, self.next));
                if flood.then != Then::Resets {
                    self.open.push((self.next, Instant::now()));
                }
                self.next += 2;
            }
            self.stream.write_all(&bytes)?;
            if flood.then == Then::Leaves {
                thread::sleep(Duration::from_millis(made.load(Ordering::Relaxed) % 31));
                drop(self);
                // Or there would be more good tokens than a worker can verify.
                thread::sleep(ROUND);
                return Ok(());
            }
            let began = Instant::now();
            while began.elapsed() < ROUND {
                self.read()?;
            }
        }
        Ok(())
    }

    /// Takes in what has come.
    fn read(&mut self) -> std::io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(ErrorKind::ConnectionReset.into()),
            Ok(read) => self.received.extend(&buffer[..read]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        let mut replies = Vec::new();
        let mut rest = &self.received[..];
        while let Some([a, b, c, kind, flags, stream @ ..]) = rest.first_chunk::<9>() {
            let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some(payload) = rest.get(9..9 + length) else { break };
            let stream = u32::from_be_bytes(*stream);
            match *kind {
                GOAWAY => return Err(ErrorKind::ConnectionAborted.into()),
                SETTINGS if flags & ACK == 0 => replies.extend(frame(SETTINGS, ACK, 0, &[])),
                PING if flags & ACK == 0 => replies.extend(frame(PING, ACK, 0, payload)),
                RST_STREAM => self.open.retain(|(open, _)| *open != stream),
                HEADERS | DATA if flags & END_STREAM != 0 => {
                    self.open.retain(|(open, _)| *open != stream);
                }
                _ => {}
            }
            rest = &rest[9 + length..];
        }
        self.received = rest.to_vec();
        self.stream.write_all(&replies)
    }
}
