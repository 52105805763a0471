//! Servers that read requests each in their own way behind the byte fuzzer: variables for
//! headers, repeated fields joined, the last or the first one, underscores for hyphens. As
//! each of them sees a request, the gateway's fields are what the gateway set, and there is
//! no second request.
//!
//! | server | reads |
//! |---|---|
//! | PHP (`php -S`) | `$_SERVER`, where all characters but letters and digits are `_`; `getallheaders()` |
//! | Python (`http.server`) | fields as they came, folded lines too |
//! | WSGI (`wsgiref`) | variables, repeated fields joined |
//! | Node.js (`http`) | joined, the first one only, and apart |

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::task::block_in_place;

use crate::bytes::{self, Dice};
use crate::frames::model::{owned_is, variable};
use crate::frames::upstream::Arrived;
use crate::gateway::{Gateway, Setup};
use crate::hostile_heads::lax;
use crate::stack::envoy;
use crate::stack::ports::Ports;

/// What starts it, before its port.
const SERVERS: [(&str, &[&str]); 4] = [
    ("php", &["php", "-S"]),
    ("python", &["python3", "show.py", "plain"]),
    ("wsgi", &["python3", "show.py", "wsgi"]),
    ("node", &["node", "show.js"]),
];

struct Server {
    name: &'static str,
    port: u16,
    shown: PathBuf,
    read: usize,
    child: Child,
}

impl Server {
    fn start(name: &'static str, command: &[&str]) -> Self {
        let port = Ports::unused().listener;
        let shown = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shown-{name}-{port}"));
        fs::write(&shown, "").unwrap();
        let (address, port_text) = (format!("127.0.0.1:{port}"), port.to_string());
        let last: &[&str] = if name == "php" { &[&address, "show.php"] } else { &[&port_text] };
        let child = Command::new(command[0])
            .args([&command[1..], last].concat())
            .current_dir(envoy::directory().join("tests/envoy/servers"))
            .env("SHOWN", &shown)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}; run `make test`"));
        let give_up = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            assert!(Instant::now() < give_up, "{name} does not listen");
            thread::sleep(Duration::from_millis(20));
        }
        Self { name, port, shown, read: 0, child }
    }

    /// What it saw since.
    fn take(&mut self) -> Vec<Arrived> {
        let text = fs::read_to_string(&self.shown).unwrap();
        let new = &text[self.read..];
        let whole = new.rfind('\n').map_or(0, |end| end + 1);
        self.read += whole;
        new[..whole].lines().map(|line| read(&serde_json::from_str(line).unwrap())).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.shown);
    }
}

/// Each field once, by the name that the most careless servers have for it.
fn read(seen: &Value) -> Arrived {
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    let fields = seen["fields"].as_array().unwrap().iter();
    let fields: BTreeSet<_> =
        fields.map(|pair| (variable(pair[0].as_str().unwrap()), bytes(&pair[1]))).collect();
    Arrived {
        method: seen["method"].as_str().unwrap().to_owned(),
        target: seen["target"].as_str().unwrap().to_owned(),
        fields: fields.into_iter().collect(),
        body: bytes(&seen["body"]),
        is_whole: true,
        ..Arrived::default()
    }
}

/// What is wrong with what a server saw.
fn wrong(arrived: &[Arrived], unseen: &mut BTreeSet<u64>, token: &str) -> Option<String> {
    for request in arrived {
        if !request.case().is_some_and(|case| unseen.remove(&case)) {
            return Some(format!("nobody sent {request:?}"));
        }
        if !request.method.bytes().all(|byte| byte.is_ascii_uppercase()) {
            return Some(format!("the method of {request:?}"));
        }
        if format!("{request:?}").contains(token) {
            return Some(format!("the public token in {request:?}"));
        }
        if let Err(what) = owned_is(Some("alice"), request) {
            return Some(format!("{what} in {request:?}"));
        }
    }
    None
}

struct Run {
    gateway: Gateway,
    servers: Vec<Server>,
    unseen: BTreeSet<u64>,
    token: String,
    number: u64,
}

impl Run {
    /// Sends it to one of the servers, and says what is wrong with what that one saw.
    fn send(&mut self, server: usize, lines: &[String], body: &str) -> Result<usize, String> {
        self.number += 1;
        self.unseen.insert(self.number);
        let mut lines = lines.to_vec();
        lines.push(format!("X-Case: {}\r\nX-Server: {}", self.number, self.servers[server].name));
        bytes::exchange(self.gateway.ports.listener, &lines, body);
        let arrived = self.servers[server].take();
        let found = wrong(&arrived, &mut self.unseen, &self.token);
        found.map_or(Ok(arrived.len()), |what| Err(what.replace(&self.token, "<token>")))
    }
}

impl Run {
    /// Without the gateway in between, the servers see what a client makes up.
    fn finds_what_is_forged(&mut self) {
        for server in &mut self.servers {
            for name in ["X-Consumer-Groups", "X_Consumer-Groups", "X.Consumer.Groups"] {
                self.number += 1;
                self.unseen.insert(self.number);
                let number = format!("X-Case: {}", self.number);
                let lines = ["GET / HTTP/1.1", "Host: a", &number, &format!("{name}: forged")];
                bytes::exchange(server.port, &lines.map(str::to_owned), "");
                let arrived = server.take();
                assert_eq!(arrived.len(), 1, "{} saw {arrived:?}", server.name);
                let found = wrong(&arrived, &mut self.unseen, &self.token).unwrap_or_default();
                assert!(found.contains("\"forged\""), "{} saw {arrived:?}: {found}", server.name);
            }
        }
    }
}

async fn start(setup: Setup) -> Run {
    let servers: Vec<_> =
        SERVERS.iter().map(|(name, command)| Server::start(name, command)).collect();
    let route = |server: &Server| {
        let name = server.name;
        format!(
            "              - {{match: {{prefix: /, headers: [{{name: x-server, string_match: \
             {{exact: {name}}}}}]}}, route: {{cluster: {name}, timeout: 5s}}}}\n"
        )
    };
    let routes: String = servers.iter().map(route).collect();
    let setup =
        setup.replace("              routes:\n", &format!("              routes:\n{routes}"));
    let setup = servers.iter().fold(setup, |setup, it| setup.service(it.name, it.port));
    let gateway = setup.start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    gateway.remember_tokens(token.as_bytes());
    Run { gateway, servers, unseen: BTreeSet::new(), token, number: 0 }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_client_writes_servers_see_what_the_gateway_says() {
    let mut run = start(lax()).await;
    block_in_place(|| run.finds_what_is_forged());
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let first = number("GATEPASS_FUZZ_SEED").unwrap_or(1);
    let until = number("GATEPASS_FUZZ_SECONDS").map(|it| Instant::now() + Duration::from_secs(it));
    let arrived = block_in_place(|| {
        let mut arrived = vec![0; run.servers.len()];
        for seed in first.. {
            if until.map_or(seed == first + 600, |until| Instant::now() >= until) {
                break;
            }
            let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            let (lines, body) = bytes::request(&mut dice, &run.token);
            let server = usize::try_from(seed).unwrap() % run.servers.len();
            match run.send(server, &lines, &body) {
                Ok(came) => arrived[server] += came,
                Err(_) => {
                    let lines =
                        bytes::shortest(lines, |lines| run.send(server, lines, &body).is_err());
                    let what = run.send(server, &lines, &body).expect_err("it still shows");
                    let sent = lines.join("\n").replace(&run.token, "<token>");
                    let name = run.servers[server].name;
                    panic!("GATEPASS_FUZZ_SEED={seed}\n{sent}\n\n{body:?}\n\n{name} saw {what}");
                }
            }
        }
        arrived
    });
    eprintln!("seen by {:?}: {arrived:?}", SERVERS.map(|(name, _)| name));
    assert!(arrived.iter().all(|seen| *seen > 10), "{arrived:?} arrived: too few to tell");
    run.gateway.assert_serves("odd bytes").await;
}
