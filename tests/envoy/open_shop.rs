//! The shop of `make run`, opened: for one test, or for all that share it.

use std::future::pending;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::{fs, process, thread};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{OnceCell, oneshot};
use tokio::task::spawn_blocking;

use crate::gateway::pool::{self, Pool};
use crate::stack::door::Door;
use crate::stack::ports::Ports;
use crate::stack::{Options, Stack, envoy};
use crate::wire::{Answer, Connection, Request};

/// As `make run` starts it, on other ports.
pub struct Shop {
    ports: Ports,
    both_doors: bool,
    /// The Envoy of many tests that its listeners are in.
    pool: Option<&'static Pool>,
    /// Unless others have it too.
    _own: Option<Stack>,
}

impl Drop for Shop {
    fn drop(&mut self) {
        if let Some(pool) = self.pool {
            pool.leave(self.ports.listener);
        }
    }
}

impl Shop {
    /// One that no other test has. Its Envoy is that of others where there is a module to
    /// compile: [`pool`].
    pub async fn open() -> Self {
        if Door::chosen() == Door::Native {
            return Self::open_own(false).await;
        }
        let pool = pool::of(2).await;
        let ports = Ports { admin: pool.admin, ..Ports::unused() };
        let stack = Stack::start(Options {
            ports,
            envoy: None,
            door: Door::chosen(),
            both_doors: false,
            signing_key: Some(pool.signing_key.clone()),
            users_api_key: Some(pool.api_key.clone()),
            envoy_log: None,
        });
        let stack = stack.await.unwrap();
        pool.join(ports.listener, &whole(ports)).await;
        stack.ready().await.unwrap();
        Self { ports, both_doors: false, pool: Some(pool), _own: Some(stack) }
    }

    /// One with the gateway by both doors, in an Envoy that no other test has.
    pub async fn open_both_doors() -> Self {
        Self::open_own(true).await
    }

    async fn open_own(both_doors: bool) -> Self {
        let ports = Ports::unused();
        let own = start(ports, envoy::installed(), both_doors).await;
        Self { ports, both_doors, pool: None, _own: Some(own) }
    }

    /// The one of all tests that need nothing of it but what is there when it opens, count
    /// nothing, revoke nobody and leave its services as they are: its Envoy has a module to
    /// compile.
    pub async fn shared() -> Self {
        static PORTS: OnceCell<Ports> = OnceCell::const_new();
        let ports = *PORTS.get_or_init(Self::keep_open).await;
        Self { ports, both_doors: true, pool: None, _own: None }
    }

    /// Opens one in a thread of its own, since a test takes its tasks with it when it ends.
    async fn keep_open() -> Ports {
        let (sender, opened) = oneshot::channel();
        thread::spawn(move || {
            Runtime::new().unwrap().block_on(async {
                let ports = Ports::unused();
                let _shop = start(ports, ending_with_the_tests(ports), true).await;
                sender.send(ports).unwrap();
                pending::<()>().await;
            });
        });
        opened.await.expect("the shop opens")
    }
}

/// An Envoy that ends when this process does.
fn ending_with_the_tests(ports: Ports) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shop-{}.sh", ports.listener));
    let (program, script) = (envoy::installed(), envoy::directory());
    let script = script.join("tests/envoy/while_parent_runs.sh");
    let text = format!(
        "#!/bin/sh\nPARENT={} PROGRAM='{}' exec '{}' \"$@\"\n",
        process::id(),
        program.display(),
        script.display()
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// What the shop has Envoy listen on, with revocations of its own.
fn whole(ports: Ports) -> String {
    let parse = |text: &str| -> Value { serde_norway::from_str(text).expect("YAML") };
    let bundled = fs::read_to_string(envoy::directory().join(Door::Wasm.bundled())).unwrap();
    let mut config = parse(&ports.render(&pool::with_ledger(&bundled, ports)));
    let mut more = parse(&envoy::Listeners { ports, other: None }.more().unwrap());
    for kind in ["listeners", "clusters"] {
        let all = config["static_resources"][kind].as_array_mut().expect("a list");
        all.extend(
            more["static_resources"][kind].as_array_mut().into_iter().flatten().map(Value::take),
        );
    }
    config.to_string()
}

async fn start(ports: Ports, envoy: PathBuf, both_doors: bool) -> Stack {
    let log = format!("{}/shop-{}.log", env!("CARGO_TARGET_TMPDIR"), ports.listener);
    let stack = Stack::start(Options {
        ports,
        envoy: Some(envoy),
        door: Door::chosen(),
        both_doors,
        signing_key: None,
        users_api_key: None,
        envoy_log: Some(log.into()),
    });
    let stack = stack.await.unwrap();
    stack.ready().await.unwrap();
    stack
}

impl Shop {
    pub const fn ports(&self) -> Ports {
        self.ports
    }

    /// The ports of the gateway: by the chosen door, and by the other one if it is built.
    pub fn doors(&self) -> Vec<u16> {
        let has_other = self.both_doors && Door::chosen().other().is_built();
        let other = has_other.then_some(self.ports().other);
        [self.ports().listener].into_iter().chain(other).collect()
    }

    /// How many logout tokens the gateways accepted.
    pub async fn logouts(&self) -> u64 {
        let name = "gatepass_events_total.event.logout";
        let request = Request::get(&format!("/stats?filter={name}"));
        let answer = self.send(self.ports().admin, request).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let counts = text.lines().filter_map(|line| line.rsplit(": ").next()?.parse::<u64>().ok());
        counts.sum()
    }

    pub async fn send(&self, port: u16, request: Request) -> Answer {
        let bytes = request.into_bytes();
        let answer = spawn_blocking(move || Connection::open(port).send(&bytes));
        answer.await.unwrap().expect("Envoy answers")
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(self.ports().listener, Request::get(path).bearer(token)).await
    }

    pub async fn post(&self, port: u16, path: &str, kind: &str, body: &str) -> Answer {
        self.send(port, post(path, kind, body)).await
    }

    pub async fn post_json(&self, port: u16, path: &str, body: &Value) -> Answer {
        self.post(port, path, "application/json", &body.to_string()).await
    }

    pub async fn log_in(&self, username: &str, password: &str) -> String {
        let credentials = json!({"username": username, "password": password});
        let answer = self.post_json(self.ports().listener, "/login", &credentials).await;
        answer.json()["access_token"].as_str().expect("a token").to_owned()
    }

    pub async fn alice(&self) -> String {
        self.log_in("alice", "wonderland").await
    }

    /// How often the gateway asked the user service, and how often services did.
    pub async fn user_calls(&self) -> (u64, u64) {
        let answer = self.send(self.ports().users, Request::get("/calls")).await.json();
        let count = |caller: &str| answer["by_caller"][caller].as_u64().unwrap_or(0);
        let gateway = count("gateway");
        (gateway, answer["calls"].as_u64().unwrap() - gateway)
    }
}

pub fn post(path: &str, kind: &str, body: &str) -> Request {
    Request::post(path, body).with("content-type", kind)
}
