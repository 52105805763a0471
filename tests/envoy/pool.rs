//! Envoys that tests share.
//!
//! To start one costs seconds of processor time where it compiles the module, and a fifth of one
//! where the module is native. Most tests need none of their own: they get a listener and
//! clusters, by files that Envoy watches, beside those of others, and take them away again. What
//! is said of a whole Envoy (its log, its memory, statistics of the filter, how it starts) needs
//! `Setup::start`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::{fs, process};

use serde_norway::Value;
use tokio::sync::{Mutex as Turn, MutexGuard as TurnGuard, OnceCell};

use super::{read_stats, until};
use crate::stack::door::Door;
use crate::stack::envoy::{self, Envoy};
use crate::stack::keys;
use crate::stack::ports::Ports;

/// An Envoy that runs as long as this process, with the bundled configuration at ports
/// that nobody uses: its filter keeps the compiled module in use.
pub struct Pool {
    pub admin: u16,
    pub log: PathBuf,
    pub api_key: String,
    pub signing_key: String,
    directory: PathBuf,
    workers: u32,
    /// Whether one test has it at a time.
    is_lent: bool,
    /// By the port of the listener.
    members: Mutex<BTreeMap<u16, Member>>,
    _envoy: Envoy,
}

/// What one test has in it.
struct Member {
    listeners: Vec<Value>,
    clusters: Vec<Value>,
}

/// The pool of this many workers: tests choose one or two.
///
/// Of native modules a test has it for itself meanwhile: there the callouts of all would wait
/// for one another, and for what starts and ends, on Envoy's main thread.
pub async fn of(workers: u32) -> &'static Pool {
    static ONE: OnceCell<Pool> = OnceCell::const_new();
    static TWO: OnceCell<Pool> = OnceCell::const_new();
    let (pool, name) = match workers {
        1 => (&ONE, "1"),
        2 => (&TWO, "2"),
        _ => panic!("an Envoy of {workers} workers is nobody else's"),
    };
    if Door::chosen() == Door::Wasm {
        return pool.get_or_init(|| Pool::start(name, workers, false)).await;
    }
    let idle = idle().iter().position(|pool| pool.workers == workers);
    match idle.map(|at| self::idle().remove(at)) {
        Some(pool) => pool,
        None => {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            Box::leak(Box::new(Pool::start(&format!("native-{number}"), workers, true).await))
        }
    }
}

/// Those of native modules that no test has.
fn idle() -> MutexGuard<'static, Vec<&'static Pool>> {
    static IDLE: Mutex<Vec<&Pool>> = Mutex::new(Vec::new());
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The one for what Envoy must refuse, one configuration at a time: what it logs meanwhile
/// is about that.
pub async fn refusing() -> (&'static Pool, TurnGuard<'static, ()>) {
    static POOL: OnceCell<Pool> = OnceCell::const_new();
    static TURN: Turn<()> = Turn::const_new(());
    let turn = TURN.lock().await;
    (POOL.get_or_init(|| Pool::start("refusing", 1, false)).await, turn)
}

impl Pool {
    async fn start(name: &str, workers: u32, is_lent: bool) -> Self {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR"));
        remove_old(target);
        let directory = target.join(format!("pool-{}-{name}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let ports = Ports::unused();
        let (config, log) = (directory.join("envoy.yaml"), directory.join("log"));
        let bundled = fs::read_to_string(envoy::directory().join("envoy/envoy.yaml")).unwrap();
        let door = Door::chosen();
        let source = |kind: &str| {
            let path = directory.join(format!("{kind}.yaml"));
            fs::write(&path, "resources: []").unwrap();
            format!("{kind}_config: {{path_config_source: {{path: {}}}}}", path.display())
        };
        let dynamic = format!(
            "node: {{id: pool, cluster: tests}}\ndynamic_resources:\n  {}\n  {}\n",
            source("lds"),
            source("cds")
        );
        let text = format!("{dynamic}\n{}", ports.render(&door.translate(&bundled)));
        fs::write(&config, text).unwrap();
        let (api_key, signing_key) = (keys::random_text(), keys::p256_pem());
        let (parent, executable) = (process::id().to_string(), envoy::installed());
        let mut envoy = Envoy::start(&envoy::Options {
            executable: &envoy::directory().join("tests/envoy/while_parent_runs.sh"),
            door,
            config: &config,
            more_config: None,
            workers,
            environment: &[
                ("GATEPASS_SIGNING_KEY", &signing_key),
                ("USERS_API_KEY", &api_key),
                ("PARENT", &parent),
                ("PROGRAM", executable.to_str().expect("a path in UTF-8")),
            ],
            // A listener that was taken away is gone when its test is.
            drain: Some(1),
            log: Some(&log),
        })
        .unwrap();
        if let Err(error) = envoy.ready(ports).await {
            panic!("{error}\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        let members = Mutex::default();
        Self {
            admin: ports.admin,
            log,
            api_key,
            signing_key,
            directory,
            workers,
            is_lent,
            members,
            _envoy: envoy,
        }
    }

    /// Has Envoy serve the listeners of this configuration, and waits until it does.
    pub async fn join(&self, port: u16, config: &str) {
        for port in self.offer(port, config).await {
            until("Envoy listens", || async {
                TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
            })
            .await;
        }
    }

    /// Offers Envoy a listener that it must not take. Gives what it logs of it.
    pub async fn refuse(&self, port: u16, config: &str) -> String {
        let before = self.read_log().len();
        self.offer(port, config).await;
        let about = format!("{}:", renamed("public", port));
        let since = || self.read_log().split_off(before);
        until("Envoy refuses the listener", || async {
            let log = since();
            log.lines().any(|line| line.contains("rejected") && line.contains(&about))
        })
        .await;
        assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err(), "Envoy listens");
        self.withdraw(port);
        since()
    }

    fn read_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Has Envoy read the clusters and then the listeners of this configuration, and gives
    /// the ports of those.
    async fn offer(&self, port: u16, config: &str) -> Vec<u16> {
        let member = Member::new(port, config);
        let name = format!("upstream-{port}");
        let ports = member.ports();
        {
            let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            members.insert(port, member);
            self.write("cds", members.values().flat_map(|member| &member.clusters));
        }
        // Envoy refuses a listener with a cluster that it does not know.
        until("Envoy has the clusters", || async {
            read_stats(self.admin, "/clusters").contains(&format!("{name}::"))
        })
        .await;
        {
            let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            self.write("lds", members.values().flat_map(|member| &member.listeners));
        }
        ports
    }

    /// Takes them away, and lets another test have it.
    pub fn leave(&'static self, port: u16) {
        self.withdraw(port);
        if self.is_lent {
            idle().push(self);
        }
    }

    fn withdraw(&self, port: u16) {
        let mut members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        members.remove(&port);
        self.write("lds", members.values().flat_map(|member| &member.listeners));
        self.write("cds", members.values().flat_map(|member| &member.clusters));
    }

    /// In one step, as Envoy asks for.
    fn write<'m>(&self, kind: &str, resources: impl Iterator<Item = &'m Value>) {
        let resources: Vec<&Value> = resources.collect();
        let text = serde_norway::to_string(&BTreeMap::from([("resources", resources)])).unwrap();
        let new = self.directory.join(format!("{kind}.new"));
        fs::write(&new, text).unwrap();
        fs::rename(new, self.directory.join(format!("{kind}.yaml"))).unwrap();
    }
}

/// What earlier runs left.
fn remove_old(target: &Path) {
    for entry in fs::read_dir(target).into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let pid = name.strip_prefix("pool-").and_then(|rest| rest.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

impl Member {
    /// With names that no other has.
    fn new(port: u16, config: &str) -> Self {
        let mut config: Value = serde_norway::from_str(config).expect("YAML");
        let resources = &mut config["static_resources"];
        let names: Vec<String> = resources["clusters"]
            .as_sequence()
            .expect("clusters")
            .iter()
            .map(|cluster| cluster["name"].as_str().expect("a name").to_owned())
            .collect();
        rename(
            resources,
            &|key, value| match key {
                "cluster" | "upstream" | "cluster_name"
                    if names.iter().any(|name| name == value) =>
                {
                    true
                }
                "stat_prefix" => value == "public",
                _ => false,
            },
            port,
        );
        let mut take = |kind: &str, message: &str| -> Vec<Value> {
            let mut taken = std::mem::take(&mut resources[kind]);
            let all = taken.as_sequence_mut().expect("a list");
            for one in all.iter_mut() {
                let name = one["name"].as_str().expect("a name");
                one["name"] = renamed(name, port).into();
                let kind = format!("type.googleapis.com/envoy.config.{message}");
                one.as_mapping_mut().unwrap().insert("@type".into(), kind.into());
            }
            std::mem::take(all)
        };
        let listeners = take("listeners", "listener.v3.Listener");
        Self { listeners, clusters: take("clusters", "cluster.v3.Cluster") }
    }

    /// Where its listeners are.
    fn ports(&self) -> Vec<u16> {
        let port = |listener: &Value| listener["address"]["socket_address"]["port_value"].as_u64();
        let ports = self.listeners.iter().map(|listener| port(listener).expect("a port"));
        ports.map(|port| u16::try_from(port).expect("a port")).collect()
    }
}

/// Gateways of one Envoy share revocations, but for those with a ledger of their own.
pub fn with_ledger(config: &str, ports: Ports) -> String {
    let mut own = String::new();
    for line in config.lines() {
        own.push_str(line);
        own.push('\n');
        if line.trim() == "revocation:" {
            let depth = line.len() - line.trim_start().len() + 2;
            own.push_str(&format!("{:depth$}ledger: test-{}\n", "", ports.listener));
        }
    }
    own
}

/// A name of the bundled configuration, for the test with this listener.
pub fn renamed(name: &str, port: u16) -> String {
    format!("{name}-{port}")
}

fn rename(value: &mut Value, is_name: &impl Fn(&str, &str) -> bool, port: u16) {
    match value {
        Value::Mapping(mapping) => {
            for (key, value) in mapping.iter_mut() {
                match value.as_str() {
                    // A configuration as text.
                    Some(text) if key == "value" && text.starts_with('{') => {
                        let mut inner: Value = serde_norway::from_str(text).expect("JSON");
                        rename(&mut inner, is_name, port);
                        *value = serde_json::to_string(&inner).expect("JSON").into();
                    }
                    Some(text) if is_name(key.as_str().unwrap_or_default(), text) => {
                        *value = renamed(text, port).into();
                    }
                    _ => rename(value, is_name, port),
                }
            }
        }
        Value::Sequence(values) => {
            values.iter_mut().for_each(|value| rename(value, is_name, port));
        }
        _ => {}
    }
}
