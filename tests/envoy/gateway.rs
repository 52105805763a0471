//! A gateway under test: Envoy with the module, and the shop's services.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::stack::auth::Auth;
use crate::stack::door::Door;
use crate::stack::envoy::Envoy;
use crate::stack::ports::Ports;
use crate::wire::{Answer, Connection, Request};

#[path = "pool.rs"]
pub mod pool;
#[path = "secrets.rs"]
mod secrets;
#[path = "setup.rs"]
mod setup;

use pool::Pool;
use secrets::{Secrets, has_token};
use setup::Services;
pub use setup::{Setup, yaml};

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The Envoy that a test has.
pub enum Proxy {
    Own { envoy: Box<Envoy>, config: PathBuf },
    Shared(&'static Pool),
}

/// Everything that runs. Dropping it stops it, and checks what is promised of
/// every Envoy, whatever was done to it: no secret in its log, no filter that
/// died, no request left behind.
pub struct Gateway {
    pub ports: Ports,
    pub services: Services,
    pub log: PathBuf,
    pub secrets: Mutex<Secrets>,
    pub started: bool,
    pub vms: Option<Vms>,
    pub proxy: Option<Proxy>,
}

impl Gateway {
    /// A new token of a user of the auth service.
    pub fn token(&self, username: &str) -> String {
        self.services.auth.sign(&Auth::claims(username).expect("the user has an account"))
    }

    /// Sends a request over a connection of its own; `None` if Envoy hangs up.
    pub async fn try_send(&self, request: Request) -> Option<Answer> {
        let bytes = request.into_bytes();
        self.remember_tokens(&bytes);
        let port = self.ports.listener;
        let answer = spawn_blocking(move || Connection::open(port).send(&bytes)).await.unwrap();
        // The shop's upstream tells what it received, which is for it alone.
        if let Some(answer) = answer.as_ref().filter(|answer| answer.status != 200) {
            self.assert_silent("an answer", &answer.to_string());
        }
        answer
    }

    pub async fn send(&self, request: Request) -> Answer {
        self.try_send(request).await.expect("Envoy answers")
    }

    /// A request beside others; its outcome.
    pub fn send_beside(&self, request: Request) -> impl Future<Output = String> + use<> {
        let port = self.ports.listener;
        let bytes = request.into_bytes();
        self.remember_tokens(&bytes);
        async move {
            let answer = spawn_blocking(move || Connection::open(port).send(&bytes)).await.unwrap();
            answer.expect("an answer").outcome()
        }
    }

    /// What sends a request, again and again; its outcome.
    pub fn repeat(
        &self,
        request: Request,
    ) -> impl Fn() -> Pin<Box<dyn Future<Output = String> + Send>> + Send + use<> {
        let port = self.ports.listener;
        let bytes = Arc::new(request.into_bytes());
        self.remember_tokens(&bytes);
        move || {
            let bytes = Arc::clone(&bytes);
            Box::pin(async move {
                let send = move || Connection::open(port).send(&bytes);
                spawn_blocking(send)
                    .await
                    .unwrap()
                    .map_or("no answer".to_owned(), |it| it.outcome())
            })
        }
    }

    /// GET with a token.
    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Request::get(path).bearer(token)).await
    }

    /// A request with a token that was never seen is answered as ever.
    pub async fn assert_serves(&self, after: &str) {
        self.assert_serves_token(&self.token("alice"), after).await;
    }

    /// A request with a good token of alice's is answered as ever.
    pub async fn assert_serves_token(&self, token: &str, after: &str) {
        let answer = self.get("/orders", token).await;
        assert_eq!(answer.status, 200, "after {after}: {answer}");
        assert_eq!(answer.seen().identity()["sub"], "alice", "after {after}");
    }

    /// Waits until every worker has the auth service's keys. One of them, or
    /// Envoy's main thread, which has a VM too, fetches for all; the others take
    /// them over at a tick, which shows nowhere.
    pub async fn ready(&self) {
        until("somebody fetched the keys", || async {
            self.read(self.ports.auth, "/calls").await["jwks_served"].as_u64() > Some(0)
        })
        .await;
        sleep(Duration::from_millis(500)).await;
    }

    /// Envoy tried a new configuration in a VM of its own.
    pub fn expect_one_more_vm(&mut self) {
        if let (Some(vms), Door::Wasm) = (&mut self.vms, Door::chosen()) {
            vms.created += 1;
        }
    }

    pub async fn users_fault(&self, fault: Value) {
        self.post(self.ports.users, "/fault", &fault).await;
    }

    pub async fn jwks_fault(&self, fault: Value) {
        self.post(self.ports.auth, "/fault", &fault).await;
    }

    /// How often the user-info service was asked about a user.
    pub async fn user_calls(&self, username: &str) -> u64 {
        self.read(self.ports.users, "/calls").await["by_subject"][username].as_u64().unwrap_or(0)
    }

    /// How often the JWKS was fetched.
    pub async fn jwks_calls(&self) -> u64 {
        self.read(self.ports.auth, "/calls").await["jwks"].as_u64().unwrap()
    }

    /// One of Envoy's statistics.
    pub async fn stat(&self, name: &str) -> u64 {
        let name = &self.name_of_stat(name);
        let stats = self.read(self.ports.admin, &format!("/stats?format=json&filter={name}")).await;
        let stats = stats["stats"].as_array().unwrap().clone();
        let found = stats.iter().find(|stat| stat["name"] == *name);
        found.and_then(|stat| stat["value"].as_u64()).unwrap_or(0)
    }

    /// Of an Envoy that others have too, with the names of this test's clusters and
    /// connections; what the filter counts in it cannot be told apart.
    pub fn name_of_stat(&self, name: &str) -> String {
        let Some(Proxy::Shared(_)) = self.proxy else { return name.to_owned() };
        // Of a listener, by its port, which is no other's.
        if name.starts_with("listener.") {
            return name.to_owned();
        }
        let parts: Vec<&str> = name.splitn(3, '.').collect();
        let [kind @ ("cluster" | "http"), of, rest] = parts[..] else {
            panic!("{name} is of all tests that share this Envoy")
        };
        format!("{kind}.{}.{rest}", pool::renamed(of, self.ports.listener))
    }

    /// The Envoy that no other test has.
    const fn own(&self) -> Option<&Envoy> {
        match &self.proxy {
            Some(Proxy::Own { envoy, .. }) => Some(envoy),
            _ => None,
        }
    }

    /// The memory that Envoy has in use, with everything in it.
    pub fn resident_mib(&self) -> f64 {
        let pid = self.own().and_then(Envoy::pid).expect("Envoy runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.trim().strip_suffix(" kB")).expect("a size");
        kib.parse::<f64>().expect("a number") / 1024.0
    }

    /// How many threads Envoy has of this name.
    pub fn threads(&self, name: &str) -> usize {
        let pid = self.own().and_then(Envoy::pid).expect("Envoy runs");
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("Linux").flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|comm| comm.trim() == name).count()
    }

    pub async fn read(&self, port: u16, path: &str) -> Value {
        let reply =
            self.services.client.get(&format!("http://127.0.0.1:{port}{path}"), &[]).await.unwrap();
        reply.json().unwrap_or_else(|_| panic!("{reply}"))
    }

    pub async fn post(&self, port: u16, path: &str, body: &Value) {
        let url = format!("http://127.0.0.1:{port}{path}");
        let reply = self.services.client.post(&url, body).await.unwrap();
        assert!(reply.status.is_success(), "{reply}");
    }

    /// What Envoy wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// What Envoy logged of calls to this test's clusters.
    pub fn log_of_calls(&self) -> String {
        let log = self.log();
        let Some(Proxy::Shared(_)) = self.proxy else { return log };
        let own = format!("-{}\"", self.ports.listener);
        log.lines().filter(|line| line.contains(&own)).collect::<Vec<_>>().join("\n")
    }

    /// What a cluster is called in this test's Envoy.
    pub fn cluster(&self, name: &str) -> String {
        match self.proxy {
            Some(Proxy::Shared(_)) => pool::renamed(name, self.ports.listener),
            _ => name.to_owned(),
        }
    }

    /// Notes what must not be logged.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets.lock().unwrap().insert(secret);
    }

    /// Notes whatever looks like a token, whole and in parts.
    pub fn remember_tokens(&self, bytes: &[u8]) {
        let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
        let mut secrets = self.secrets.lock().unwrap();
        for run in bytes.split(|byte| !is_token(byte)) {
            let run = str::from_utf8(run).expect("ASCII");
            if run.len() >= 40 && run.contains('.') {
                let parts = run.split('.').skip(1).filter(|part| part.len() >= 16);
                secrets.extend(parts.map(str::to_owned));
            }
        }
    }

    /// Looks for every secret and every part of a token that was used so far,
    /// and for whatever else looks like a token.
    fn assert_silent(&self, place: &str, text: &str) {
        if let Some(secret) = self.secrets.lock().unwrap().find_in(text) {
            panic!("{secret:?} is in {place}:\n{text}");
        }
        assert!(!has_token(text), "a token that the gateway made is in {place}:\n{text}");
    }

    fn check_log(&self) {
        let log = self.log();
        self.assert_silent("the log", &log);
        for sign in ["panicked", "RuntimeError", "in-VM backtrace", "[critical]", "host_error"] {
            assert!(!self.started || !log.contains(sign), "{sign:?} is in the log:\n{log}");
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- Envoy's log\n{}\n---", self.log());
            if let Some(Proxy::Shared(pool)) = self.proxy {
                pool.leave(self.ports.listener);
            }
            return;
        }
        let is_shared = matches!(self.proxy, Some(Proxy::Shared(_)));
        let mut vms = self.started.then(|| Vms::count(self.ports.admin));
        if is_shared && let Some(vms) = &mut vms {
            // The listeners of others come and go, and each is tried in a VM of its own.
            (vms.created, vms.active) = (0, 0);
        }
        if self.started {
            self.assert_silent("a metric", &read_stats(self.ports.admin, "/stats"));
        }
        let proxy = self.proxy.take();
        if let Some(Proxy::Shared(pool)) = proxy {
            pool.leave(self.ports.listener);
            self.check_log();
            assert_eq!(vms, self.vms, "a filter died: {}", self.log());
        } else if let Some(Proxy::Own { envoy, config }) = proxy {
            drop(envoy);
            self.check_log();
            assert_eq!(vms, self.vms, "a filter died: {}", self.log());
            let _ = [self.log.clone(), config].map(fs::remove_file);
        }
    }
}

/// Envoy's statistics, over a plain connection: this runs where nothing can be
/// awaited.
pub fn read_stats(admin: u16, path: &str) -> String {
    let request = Request::get(path).with("connection", "close").into_bytes();
    let answer = Connection::open(admin).send(&request).expect("Envoy answers");
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// What Envoy counts of the VMs it runs filters in.
#[derive(Debug, PartialEq)]
pub struct Vms {
    pub active: u64,
    pub created: u64,
    pub reloads: u64,
}

impl Vms {
    /// Of the native module, which has none, how often it panicked.
    pub fn count(admin: u16) -> Self {
        let native = Door::chosen() == Door::Native;
        let filter = if native { "gatepass_panics_total" } else { "wasm" };
        let stats = read_stats(admin, &format!("/stats?filter={filter}"));
        let stat = |name: &str| {
            let mut lines = stats.lines().filter_map(|line| line.split_once(": "));
            let found = lines.find(|(other, _)| *other == name);
            found.unwrap_or_else(|| panic!("no {name} in {stats}")).1.parse().unwrap()
        };
        if native {
            let reloads = stat("dynamicmodulescustom.gatepass_panics_total");
            return Self { active: 0, created: 0, reloads };
        }
        Self {
            active: stat("wasm.envoy.wasm.runtime.v8.active"),
            created: stat("wasm.envoy.wasm.runtime.v8.created"),
            reloads: stat("wasm.gatepass.vm_reload"),
        }
    }

    /// How many were started anew until later.
    pub fn restarts_until(&self, later: &Self) -> u64 {
        (later.created - self.created).max(later.reloads - self.reloads)
    }
}

/// Waits until something is so.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let give_up = Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(Instant::now() < give_up, "waited in vain until {what}");
        sleep(Duration::from_millis(10)).await;
    }
}
