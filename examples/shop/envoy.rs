//! The Envoy that loads the module.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::StartError;
use super::client::Client;
use super::door::Door;
use super::ports::Ports;
use super::script;

/// Built by `make wasm`; the bundled configuration names it.
pub const MODULE: &str = "target/wasm32-wasip1/release/gatepass.wasm";

/// Where Envoy runs: the configuration's paths are relative. A shop that was built elsewhere
/// is told, by `.ci/shop`.
pub fn directory() -> &'static Path {
    static TREE: LazyLock<PathBuf> = LazyLock::new(|| {
        env::var_os("GATEPASS_TREE").unwrap_or_else(|| env!("CARGO_WORKSPACE_DIR").into()).into()
    });
    &TREE
}

/// What the shop has Envoy listen on.
#[derive(Clone, Debug)]
pub struct Listeners {
    pub ports: Ports,
    /// The door that has a listener of its own beside that of the configuration.
    pub other: Option<Door>,
}

impl Listeners {
    /// The bundled configuration, or a copy of it with other ports.
    pub fn config(&self, door: Door) -> Result<PathBuf, StartError> {
        let bundled = directory().join(door.bundled());
        if self.ports == Ports::BUNDLED {
            return Ok(bundled);
        }
        let text = self.ports.render(&read(&bundled)?);
        let copy = directory().join(format!("target/envoy-{}.yaml", self.ports.listener));
        fs::write(&copy, text).map_err(StartError::io("write", &copy))?;
        Ok(copy)
    }

    /// What the shop has beside the bundled configuration: a listener without the filter,
    /// the switches of its page, and a listener with the gateway by the other door.
    pub fn more(&self) -> Result<String, StartError> {
        let Ports { listener, other, .. } = self.ports;
        let text = self
            .ports
            .render(include_str!("backstage.yaml"))
            .replace("{listener}", &listener.to_string())
            .replace("{other}", &other.to_string());
        let Some(door) = self.other else { return Ok(text) };
        let own = read(&directory().join(door.bundled()))?;
        let [from, to] = [Ports::BUNDLED.listener, Ports::BUNDLED.other];
        let own = self.ports.render(
            &own.replace(&format!(":{from}/"), &format!(":{to}/"))
                .replace(&format!("port_value: {from}}}"), &format!("port_value: {to}}}")),
        );
        let mut config: Value = yaml(&text);
        let mut listener = yaml(&own)["static_resources"]["listeners"][0].take();
        listener["name"] = "other".into();
        if let Some(listeners) = config["static_resources"]["listeners"].as_array_mut() {
            listeners.push(listener);
        }
        Ok(config.to_string())
    }
}

/// The bundled configuration with what the shop has beside it, for an Envoy that is started
/// elsewhere and listens on all addresses of its machine: that of `compose.yaml`.
pub fn whole() -> Result<String, StartError> {
    let listens = Listeners { ports: Ports::BUNDLED, other: None };
    let mut config = yaml(&read(&listens.config(Door::Wasm)?)?);
    let mut more = yaml(&listens.more()?);
    let listeners = &mut config["static_resources"]["listeners"];
    if let (Value::Array(listeners), Value::Array(more)) =
        (listeners, more["static_resources"]["listeners"].take())
    {
        listeners.extend(more);
        for listener in listeners {
            let address = &mut listener["address"]["socket_address"];
            let ports = [listens.ports.listener, listens.ports.backstage];
            if ports.iter().any(|port| address["port_value"] == *port) {
                address["address"] = "0.0.0.0".into();
            }
        }
    }
    Ok(format!("{config:#}"))
}

fn read(path: &Path) -> Result<String, StartError> {
    fs::read_to_string(path).map_err(StartError::io("read", path))
}

fn yaml(text: &str) -> Value {
    serde_norway::from_str(text).expect("the bundled configuration is YAML")
}

/// The Envoy to test with: `$ENVOY`, else what `.ci/install-envoy` installs.
pub fn installed() -> PathBuf {
    let door = Door::chosen();
    let (module, target) = (door.module(), door.target());
    assert!(
        door.is_built(),
        "{module} is missing: run `make test`, or `{target}` before `cargo test`"
    );
    if let Some(path) = env::var_os("ENVOY") {
        return path.into();
    }
    let script = fs::read_to_string(directory().join(".ci/install-envoy")).unwrap_or_default();
    let version = script::version(&script, "version");
    let library = directory().join(format!("target/envoy-{version}/lib"));
    let pythons = fs::read_dir(library).into_iter().flatten().flatten();
    let mut found = pythons.map(|python| python.path().join("site-packages/envoy/_bin/envoy"));
    found.find(|path| path.exists()).unwrap_or_else(|| {
        panic!("no Envoy {version}: run `make test`, or `.ci/install-envoy` before `cargo test`")
    })
}

pub struct Options<'a> {
    pub executable: &'a Path,
    pub door: Door,
    pub config: &'a Path,
    /// Merged into `config`.
    pub more_config: Option<&'a str>,
    pub workers: u32,
    pub environment: &'a [(&'a str, &'a str)],
    /// How long what is replaced is kept, in seconds; ten minutes unless given.
    pub drain: Option<u32>,
    /// Where it writes; to this process's output unless given.
    pub log: Option<&'a Path>,
}

/// A running Envoy, killed when dropped.
pub struct Envoy(Child);

impl Envoy {
    pub fn start(options: &Options<'_>) -> Result<Self, StartError> {
        let mut command = Command::new(options.executable);
        if let Some(path) = options.log {
            let file = File::create(path).map_err(StartError::io("write", path))?;
            let both = file.try_clone().map_err(StartError::io("write", path))?;
            command.stdout(Stdio::from(file)).stderr(Stdio::from(both));
        }
        if let Some(drain) = options.drain {
            command.args(["--drain-time-s", &drain.to_string()]);
        }
        if let Some(yaml) = options.more_config {
            command.args(["--config-yaml", yaml]);
        }
        command
            .arg("--config-path")
            .arg(options.config)
            .args(["--concurrency", &options.workers.to_string()])
            .args(["--log-level", "warning"])
            .args(["--component-log-level", "wasm:info,dynamic_modules:info"])
            // Or it writes its access log every ten seconds.
            .args(["--file-flush-interval-msec", "100"])
            // Or two of them on one machine meet in shared memory.
            .arg("--disable-hot-restart")
            .envs(options.door.environment().iter().copied())
            .envs(options.environment.iter().copied())
            .current_dir(directory())
            // Ctrl-C at the terminal is for this process, which ends Envoy.
            .process_group(0)
            .spawn()
            .map(Self)
            .map_err(StartError::io("start", options.executable))
    }

    /// Its process, unless it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.0.id()
    }

    /// Waits until every worker listens.
    pub async fn ready(&mut self, ports: Ports) -> Result<(), StartError> {
        let client = Client::new();
        let url = format!("http://127.0.0.1:{}/ready", ports.admin);
        // Compiling the module takes Envoy some seconds.
        let give_up = Instant::now() + Duration::from_secs(120);
        loop {
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(StartError::EnvoyEnded(status));
            }
            if let Ok(reply) = client.get(&url, &[]).await
                && reply.status.is_success()
            {
                return Ok(());
            }
            if Instant::now() > give_up {
                return Err(StartError::EnvoyNotReady);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until Envoy ends by itself, which it should not.
    pub async fn ended(&mut self) -> StartError {
        match self.0.wait().await {
            Ok(status) => StartError::EnvoyEnded(status),
            Err(error) => StartError::io("watch", Path::new("envoy"))(error),
        }
    }
}

impl Drop for Envoy {
    /// Returns when Envoy is gone and its ports are free.
    fn drop(&mut self) {
        if self.0.start_kill().is_err() {
            return;
        }
        for _ in 0..1000 {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}
