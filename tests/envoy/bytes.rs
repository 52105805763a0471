//! Requests as bytes: methods, targets and fields in every form that a client can write,
//! many on one Envoy. What reaches the service is judged as it came in over
//! the wire, by a reader of its own that shares nothing with the gateway.
//!
//! A failure prints its seed and the shortest request that still shows it;
//! `GATEPASS_FUZZ_SEED` runs from there, `GATEPASS_FUZZ_SECONDS` for as long as wanted.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::block_in_place;

use crate::gateway::{Gateway, Setup};
use crate::hostile_heads::lax;

/// What the filter alone says, by the bundled configuration.
const OWNED: [&str; 8] = [
    "x-consumer-id",
    "x-consumer-username",
    "x-consumer-custom-id",
    "x-consumer-groups",
    "x-credential-identifier",
    "x-anonymous-consumer",
    "x-authenticated-groups",
    "x-identity-token",
];

/// xorshift64*
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % sides
    }

    fn one_of<'a>(&mut self, items: &[&'a str]) -> &'a str {
        items[self.roll(items.len())]
    }
}

/// The service: keeps every byte that Envoy sent it.
struct Service {
    port: u16,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&received);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                thread::spawn(move || serve(stream, &kept));
            }
        });
        Self { port, received }
    }
}

/// Reads as long as something comes, keeps it and answers.
fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Vec<u8>>>) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(_) if head_of(&bytes).is_some() => {
                kept.lock().unwrap().push(bytes);
                let answer = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes());
                return;
            }
            Err(_) => {}
        }
    }
}

/// The lines before the first empty one, and what follows.
fn head_of(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((&bytes[..end], &bytes[end + 4..]))
}

/// A name as servers of the CGI family read it.
fn read_name(name: &[u8]) -> String {
    String::from_utf8_lossy(name).trim().to_ascii_lowercase().replace('_', "-")
}

/// What is wrong with what a service received.
fn wrong(bytes: &[u8], token: &str) -> Option<String> {
    let (head, body) = head_of(bytes)?;
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let start = String::from_utf8_lossy(lines.next().unwrap_or_default()).into_owned();
    let parts: Vec<&str> = start.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return Some(format!("a start line of its own: {start:?}"));
    };
    if !method.bytes().all(|byte| byte.is_ascii_uppercase()) || !target.starts_with('/') {
        return Some(format!("an odd method or target: {start:?}"));
    }
    if bytes.windows(token.len()).any(|part| part == token.as_bytes()) {
        return Some("the public token".to_owned());
    }
    let mut identities = 0;
    // Trailers are fields too, and so is what a body could pass for.
    let after = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    for line in lines.chain(after) {
        let mut halves = line.splitn(2, |byte| *byte == b':');
        let name = read_name(halves.next().unwrap_or_default());
        let value = halves.next().unwrap_or_default();
        let is_owned = OWNED.contains(&name.as_str());
        if is_owned && value.windows(6).any(|part| part == b"forged") {
            return Some(format!("a forged {name}"));
        }
        if name == "connection" && OWNED.iter().any(|owned| read_name(value).contains(owned)) {
            return Some("an owned name in Connection".to_owned());
        }
        identities += usize::from(name == "x-identity-token" && !value.trim_ascii().is_empty());
    }
    (identities != 1).then(|| format!("{identities} identities"))
}

/// Mostly the first, so that enough arrives.
fn rarely<'a>(dice: &mut Dice, items: &[&'a str]) -> &'a str {
    if dice.roll(3) == 0 { dice.one_of(items) } else { items[0] }
}

fn spelled(dice: &mut Dice, name: &str) -> String {
    match dice.roll(9) {
        0 => name.to_ascii_uppercase(),
        1 => name.replace('-', "_"),
        2 => name.replacen('-', "_", 1),
        3 => format!("{name} "),
        4 => format!(" {name}"),
        5 => format!("x-other: 1\r\n\t{name}"),
        6 => name.replace('-', dice.one_of(&[".", "~", "!", "+", "|"])),
        _ => name.to_owned(),
    }
}

/// The lines of a request, the start line first, and what follows the head.
pub fn request(dice: &mut Dice, token: &str) -> (Vec<String>, String) {
    let methods =
        ["GET", "GET", "POST", "get", "Post", "PUT", "OPTIONS", "TRACE", "CONNECT", "X-Y"];
    let targets = [
        "/basket",
        "/basket",
        "/basket/1?a=b",
        "http://gateway.example/basket",
        "HTTP://GATEWAY.EXAMPLE/basket",
        "//basket",
        "/basket/../basket/x",
        "/%62asket/1",
        "/basket#part",
        "gateway.example:80",
        "*",
    ];
    let version = dice.one_of(&["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0"]);
    let mut lines =
        vec![format!("{} {} {version}", rarely(dice, &methods), rarely(dice, &targets))];
    lines.push("Host: gateway.example".to_owned());
    if dice.roll(5) > 0 {
        let scheme = dice.one_of(&["Bearer", "bearer", "BEARER"]);
        lines.push(format!("Authorization: {scheme} {token}"));
    }
    for _ in 0..dice.roll(4) {
        let owned = dice.one_of(&OWNED);
        lines.push(match dice.roll(10) {
            0 => format!("Connection: close, {owned}"),
            1 => format!("Cookie: shop_token={token}; a=b"),
            2 => format!("Cookie: shop_token={token}"),
            3 => "Upgrade: websocket\r\nConnection: upgrade".to_owned(),
            4 => "Host: other.example".to_owned(),
            5 => format!("Authorization: Bearer {token}"),
            6 => format!("TE: trailers\r\nTrailer: {owned}"),
            _ => format!("{}: forged", spelled(dice, owned)),
        });
    }
    let owned = dice.one_of(&OWNED);
    let body = match dice.roll(6) {
        0 => {
            lines.push("Transfer-Encoding: chunked".to_owned());
            format!("3\r\nabc\r\n0\r\n{}: forged\r\n\r\n", spelled(dice, owned))
        }
        1 => {
            lines.push("Content-Length: 3".to_owned());
            "abc".to_owned()
        }
        2 => {
            lines.push("Content-Length: 3\r\nTransfer-Encoding: chunked".to_owned());
            "0\r\n\r\n".to_owned()
        }
        _ => String::new(),
    };
    (lines, body)
}

/// Sends it and looks at what the service received meanwhile; whether anything, or why not.
fn sent(
    gateway: &Gateway,
    service: &Service,
    lines: &[String],
    body: &str,
    token: &str,
) -> Result<bool, String> {
    service.received.lock().unwrap().clear();
    exchange(gateway.ports.listener, lines, body);
    let received = service.received.lock().unwrap();
    match received.iter().find_map(|bytes| wrong(bytes, token)) {
        Some(what) => Err(format!("{what}, in\n{}", String::from_utf8_lossy(&received[0]))),
        None => Ok(!received.is_empty()),
    }
}

/// Sends it, and waits for the head of an answer.
pub fn exchange(port: u16, lines: &[String], body: &str) {
    let bytes = format!("{}\r\nConnection: close\r\n\r\n{body}", lines.join("\r\n"));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let _ = stream.write_all(bytes.as_bytes());
    // Not to its end: Envoy leaves a connection open for a second after a refusal.
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    while head_of(&answer).is_none() {
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => answer.extend_from_slice(&buffer[..read]),
            _ => break,
        }
    }
}

/// Without each line that it does not need.
pub fn shortest(mut lines: Vec<String>, mut shows: impl FnMut(&[String]) -> bool) -> Vec<String> {
    let mut at = 1;
    while at < lines.len() {
        let mut fewer = lines.clone();
        fewer.remove(at);
        if shows(&fewer) {
            lines = fewer;
        } else {
            at += 1;
        }
    }
    lines
}

async fn run(setup: Setup) {
    let service = Service::start();
    let route =
        "- {match: {path_separated_prefix: /basket}, route: {cluster: basket, timeout: 15s}}";
    let new = "- {match: {path_separated_prefix: /basket}, route: {cluster: bytes}}";
    let gateway =
        setup.service("bytes", service.port).replace_block(route, new).start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    gateway.remember_tokens(token.as_bytes());
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("GATEPASS_FUZZ_SEED").unwrap_or(1);
    let until = number("GATEPASS_FUZZ_SECONDS").map(|it| Instant::now() + Duration::from_secs(it));
    let arrived = block_in_place(|| {
        let mut arrived = 0;
        for seed in first.. {
            if until.map_or(seed == first + 600, |until| Instant::now() >= until) {
                break;
            }
            let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let (lines, body) = request(&mut dice, &token);
            let send = |lines: &[String]| sent(&gateway, &service, lines, &body, &token);
            match send(&lines) {
                Ok(came) => arrived += u64::from(came),
                Err(_) => {
                    let lines = shortest(lines, |lines| send(lines).is_err());
                    let what = send(&lines).expect_err("it still shows");
                    let sent = lines.join("\n").replace(&token, "<token>");
                    let what = what.replace(&token, "<token>");
                    panic!(
                        "GATEPASS_FUZZ_SEED={seed}\n{sent}\n\n{body:?}\n\nThe service received {what}"
                    );
                }
            }
        }
        arrived
    });
    assert!(arrived > 60, "{arrived} arrived: too few to tell");
    gateway.assert_serves("odd bytes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_client_writes_a_service_sees_one_identity_and_nothing_forged() {
    run(Setup::bundled()).await;
}

/// By an Envoy that leaves everything to the filter.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_client_writes_through_a_lax_envoy() {
    run(lax()).await;
}

/// The reader itself.
#[test]
fn what_a_service_may_not_see_is_found() {
    let ours = "x-identity-token: eyJ.a.b\r\n";
    for (what, request, expected) in [
        ("good", format!("GET /basket HTTP/1.1\r\n{ours}\r\n"), None),
        ("none", "GET /basket HTTP/1.1\r\na: b\r\n\r\n".to_owned(), Some("0 identities")),
        (
            "two",
            format!("GET / HTTP/1.1\r\n{ours}X_Identity_Token: c\r\n\r\n"),
            Some("2 identities"),
        ),
        ("method", format!("get / HTTP/1.1\r\n{ours}\r\n"), Some("an odd method")),
        (
            "spelling",
            format!("GET / HTTP/1.1\r\n{ours}X_Consumer_ID : forged\r\n\r\n"),
            Some("a forged x-consumer-id"),
        ),
        (
            "trailer",
            format!("GET / HTTP/1.1\r\n{ours}\r\n0\r\nx-consumer-id: forged\r\n\r\n"),
            Some("a forged"),
        ),
        ("token", format!("GET /?secret HTTP/1.1\r\n{ours}\r\n"), Some("the public token")),
    ] {
        let found = wrong(request.as_bytes(), "secret");
        let is_right = match expected {
            None => found.is_none(),
            Some(text) => found.as_deref().is_some_and(|found| found.contains(text)),
        };
        assert!(is_right, "{what}: {found:?}");
    }
}
