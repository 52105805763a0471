//! A gateway under test: Envoy with the module, and the shop's services.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::stack::StartError;
use crate::stack::auth::Auth;
use crate::stack::client::Client;
use crate::stack::door::Door;
use crate::stack::envoy::{self, Envoy};
use crate::stack::keys;
use crate::stack::ports::Ports;
use crate::stack::service::Trust;
use crate::stack::upstream::Upstream;
use crate::stack::users::Users;
use crate::wire::{Answer, Connection, Request};

/// A value as YAML, in the form whose ports [`Setup`] replaces. A JSON number keeps
/// its digits, which a YAML writer cannot print by itself.
pub fn yaml(value: &Value) -> String {
    let value: serde_norway::Value = serde_norway::from_str(&value.to_string()).expect("YAML");
    serde_norway::to_string(&value).expect("YAML")
}

/// How long anything that is waited for may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration to start Envoy with: the bundled one and changes to it.
pub struct Setup {
    config: String,
    workers: u32,
    jwks_fault: Value,
    secrets: Vec<String>,
    file: Option<(PathBuf, String)>,
    drain: Option<u32>,
}

impl Setup {
    /// `envoy/envoy.yaml` as it is.
    pub fn bundled() -> Self {
        let path = envoy::directory().join("envoy/envoy.yaml");
        Self::of(fs::read_to_string(path).expect("there is a bundled configuration"))
    }

    /// Another configuration, with the ports of the bundled one.
    pub fn of(config: String) -> Self {
        let jwks_fault = json!({"kind": "none"});
        Self { config, workers: 2, jwks_fault, secrets: Vec::new(), file: None, drain: None }
    }

    /// Puts `new` in the place of `old`, which must be there once.
    pub fn replace(mut self, old: &str, new: &str) -> Self {
        assert_eq!(self.config.matches(old).count(), 1, "{old:?} in envoy/envoy.yaml");
        self.config = self.config.replacen(old, new, 1);
        self
    }

    /// Puts `new` in the place of a whole block: the line that starts with
    /// `first`, and all lines below it that are indented deeper.
    pub fn replace_block(mut self, first: &str, new: &str) -> Self {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let lines: Vec<&str> = self.config.lines().collect();
        let start = lines.iter().position(|line| line.trim_start().starts_with(first));
        let start = start.unwrap_or_else(|| panic!("no {first:?} in envoy/envoy.yaml"));
        let depth = indent(lines[start]);
        let inside = |line: &&&str| line.trim().is_empty() || indent(line) > depth;
        let end = start + 1 + lines[start + 1..].iter().take_while(inside).count();
        let new = new.lines().map(|line| format!("{:depth$}{line}", ""));
        let before = lines[..start].iter().map(|line| (*line).to_owned());
        let after = lines[end..].iter().map(|line| (*line).to_owned());
        self.config = before.chain(new).chain(after).collect::<Vec<_>>().join("\n");
        self
    }

    /// One more service, at a port of this machine.
    pub fn service(self, name: &str, port: u16) -> Self {
        let service = format!(
            "services:\n                      {name}: {{upstream: {name}, timeout_ms: 1000}}"
        );
        let cluster = format!(
            "  clusters:\n  - name: {name}\n    type: STATIC\n    connect_timeout: 1s\n    \
             load_assignment:\n      cluster_name: {name}\n      endpoints:\n      - lb_endpoints:\n        \
             - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"
        );
        self.replace("services:", &service).replace("  clusters:", &cluster)
    }

    /// One more field of the provider.
    pub fn provider_field(self, field: &str) -> Self {
        let own = "max_lifetime_seconds: 86400";
        let fields = format!("{own}\n                        {field}");
        self.replace(own, &fields)
    }

    pub const fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// How long Envoy keeps what is replaced, in seconds.
    pub const fn drain(mut self, seconds: u32) -> Self {
        self.drain = Some(seconds);
        self
    }

    /// A file that the configuration names, with the ports of the bundled one.
    pub fn file(mut self, path: &Path, text: String) -> Self {
        self.file = Some((path.to_owned(), text));
        self
    }

    /// The JWKS endpoint fails from the start.
    pub fn jwks_fault(mut self, fault: Value) -> Self {
        self.jwks_fault = fault;
        self
    }

    /// Something in the configuration that must not be logged.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// Starts everything; Envoy must accept the configuration.
    pub async fn start(self) -> Gateway {
        let (gateway, outcome) = self.try_start().await;
        if let Err(error) = outcome {
            panic!("{error}\n{}", gateway.log());
        }
        gateway
    }

    /// Starts everything; Envoy must refuse the configuration. Gives its log.
    pub async fn start_refused(self) -> String {
        let (mut gateway, outcome) = self.try_start().await;
        gateway.started = false;
        match outcome {
            Err(StartError::EnvoyEnded(status)) => assert!(!status.success(), "{status}"),
            other => panic!("Envoy is {other:?}\n{}", gateway.log()),
        }
        gateway.log()
    }

    async fn try_start(self) -> (Gateway, Result<(), StartError>) {
        // One service for all paths: it tells what it received.
        let ports = Ports::unused().with_one_upstream();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let config = directory.join(format!("envoy-{}.yaml", ports.listener));
        let log = directory.join(format!("envoy-{}.log", ports.listener));
        let written = [(config.clone(), self.config)].into_iter().chain(self.file);
        let door = Door::chosen();
        for (path, text) in written {
            fs::write(&path, ports.render(&door.translate(&text)))
                .expect("the directory can be written");
        }

        let (api_key, signing_key) = (keys::random_text(), keys::p256_pem());
        let auth = Auth::start(ports.bind(ports.auth).await.unwrap(), ports.listener);
        let users = Users::start(ports.bind(ports.users).await.unwrap(), api_key.clone());
        let trust = Arc::new(Trust::new(ports, api_key.clone()));
        let upstream = Upstream::start(ports.bind(ports.upstream).await.unwrap(), trust);
        let client = Client::new();
        let url = format!("http://127.0.0.1:{}/fault", ports.auth);
        client.post(&url, &self.jwks_fault).await.unwrap();

        let mut secrets: BTreeSet<String> = self.secrets.into_iter().collect();
        secrets.insert(api_key.clone());
        secrets.extend(signing_key.lines().filter(|line| !line.contains('-')).map(str::to_owned));
        let mut envoy = Envoy::start(&envoy::Options {
            executable: &envoy::installed(),
            door,
            config: &config,
            more_config: None,
            workers: self.workers,
            environment: &[("GATEPASS_SIGNING_KEY", &signing_key), ("USERS_API_KEY", &api_key)],
            drain: self.drain,
            log: Some(&log),
        })
        .unwrap();
        let outcome = envoy.ready(ports).await;
        let gateway = Gateway {
            ports,
            auth,
            client,
            log,
            secrets: Mutex::new(secrets),
            vms: outcome.is_ok().then(|| Vms::count(ports.admin)),
            started: outcome.is_ok(),
            config,
            envoy: Some(envoy),
            _users: users,
            _upstream: upstream,
        };
        (gateway, outcome)
    }
}

/// Everything that runs. Dropping it stops it, and checks what is promised of
/// every Envoy, whatever was done to it: no secret in its log, no filter that
/// died, no request left behind.
pub struct Gateway {
    pub ports: Ports,
    pub auth: Auth,
    client: Client,
    log: PathBuf,
    secrets: Mutex<BTreeSet<String>>,
    config: PathBuf,
    started: bool,
    vms: Option<Vms>,
    envoy: Option<Envoy>,
    _users: Users,
    _upstream: Upstream,
}

impl Gateway {
    /// A new token of a user of the auth service.
    pub fn token(&self, username: &str) -> String {
        self.auth.sign(&Auth::claims(username).expect("the user has an account"))
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
        let stats = self.read(self.ports.admin, &format!("/stats?format=json&filter={name}")).await;
        let stats = stats["stats"].as_array().unwrap().clone();
        let found = stats.iter().find(|stat| stat["name"] == name);
        found.and_then(|stat| stat["value"].as_u64()).unwrap_or(0)
    }

    /// The memory that Envoy has in use, with everything in it.
    pub fn resident_mib(&self) -> f64 {
        let pid = self.envoy.as_ref().and_then(Envoy::pid).expect("Envoy runs");
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|text| text.trim().strip_suffix(" kB")).expect("a size");
        kib.parse::<f64>().expect("a number") / 1024.0
    }

    /// How many threads Envoy has of this name.
    pub fn threads(&self, name: &str) -> usize {
        let pid = self.envoy.as_ref().and_then(Envoy::pid).expect("Envoy runs");
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("Linux").flatten();
        let names = tasks.filter_map(|task| fs::read_to_string(task.path().join("comm")).ok());
        names.filter(|comm| comm.trim() == name).count()
    }

    pub async fn read(&self, port: u16, path: &str) -> Value {
        let reply = self.client.get(&format!("http://127.0.0.1:{port}{path}"), &[]).await.unwrap();
        reply.json().unwrap_or_else(|_| panic!("{reply}"))
    }

    pub async fn post(&self, port: u16, path: &str, body: &Value) {
        let url = format!("http://127.0.0.1:{port}{path}");
        let reply = self.client.post(&url, body).await.unwrap();
        assert!(reply.status.is_success(), "{reply}");
    }

    /// What Envoy wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Notes what must not be logged.
    pub fn keep_secret(&self, secret: &str) {
        self.secrets.lock().unwrap().insert(secret.to_owned());
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
        for secret in self.secrets.lock().unwrap().iter() {
            assert!(!text.contains(secret), "{secret:?} is in {place}:\n{text}");
        }
        assert!(!text.contains("eyJ"), "a token that the gateway made is in {place}:\n{text}");
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
            return;
        }
        let vms = self.started.then(|| Vms::count(self.ports.admin));
        if self.started {
            self.assert_silent("a metric", &read_stats(self.ports.admin, "/stats"));
        }
        drop(self.envoy.take());
        self.check_log();
        assert_eq!(vms, self.vms, "a filter died: {}", self.log());
        for file in [&self.log, &self.config] {
            let _ = fs::remove_file(file);
        }
    }
}

/// Envoy's statistics, over a plain connection: this runs where nothing can be
/// awaited.
fn read_stats(admin: u16, path: &str) -> String {
    let request = Request::get(path).with("connection", "close").into_bytes();
    let answer = Connection::open(admin).send(&request).expect("Envoy answers");
    String::from_utf8_lossy(&answer.body).into_owned()
}

/// What Envoy counts of the VMs it runs filters in.
#[derive(Debug, PartialEq)]
pub struct Vms {
    active: u64,
    created: u64,
    reloads: u64,
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
