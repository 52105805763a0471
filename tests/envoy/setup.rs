//! What a test starts: a configuration of Envoy, and the shop's services around it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::secrets::{Secrets, has_token};
use super::{Gateway, Proxy, Vms, pool};
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

/// A value as YAML, in the form whose ports [`Setup`] replaces. A JSON number keeps
/// its digits, which a YAML writer cannot print by itself.
pub fn yaml(value: &Value) -> String {
    let value: serde_norway::Value = serde_norway::from_str(&value.to_string()).expect("YAML");
    serde_norway::to_string(&value).expect("YAML")
}

/// A configuration to start Envoy with: the bundled one and changes to it.
pub struct Setup {
    config: String,
    workers: u32,
    jwks_fault: Value,
    secrets: Vec<String>,
    file: Option<(PathBuf, String)>,
    drain: Option<u32>,
}

/// The route of logins whose reply the gateway seals, which reads their bodies.
const SEALED_LOGINS: &str = "\
- match: {prefix: /login}
  route: {cluster: upstream}
  typed_per_filter_config:
    envoy.filters.http.buffer:
      \"@type\": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute
      buffer: {max_request_bytes: 262144}";

impl Setup {
    /// `envoy/envoy.yaml`, but for what changes every challenge: the tests of the shop
    /// have that, and those of bindings and resources bring their own.
    pub fn bundled() -> Self {
        let path = envoy::directory().join("envoy/envoy.yaml");
        Self::of(fs::read_to_string(path).expect("there is a bundled configuration"))
            .replace_block("binding:", "")
            .replace("                    resources:\n", "")
            .replace_block("- resource: ", "")
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

    /// Leads logins to the gateway rather than to their service.
    pub fn sealed_logins(self) -> Self {
        self.replace_block("- match: {path: /login}", SEALED_LOGINS)
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

    /// As a listener of an Envoy that other tests use too: for what needs nothing of an
    /// Envoy but that, see [`pool`].
    pub async fn start_beside_others(self) -> Gateway {
        assert!(self.file.is_none() && self.drain.is_none(), "these are for a whole Envoy");
        let pool = pool::of(self.workers).await;
        let mut ports = Ports::unused().with_one_upstream();
        ports.admin = pool.admin;
        let services = Services::start(ports, &pool.api_key, &self.jwks_fault).await;
        let config =
            ports.render(&Door::chosen().translate(&pool::with_ledger(&self.config, ports)));
        pool.join(ports.listener, &config).await;
        let vms = Vms { created: 0, active: 0, ..Vms::count(pool.admin) };
        Gateway {
            ports,
            services,
            log: pool.log.clone(),
            secrets: Mutex::new(secrets(self.secrets, &pool.api_key, &pool.signing_key)),
            vms: Some(vms),
            started: true,
            proxy: Some(Proxy::Shared(pool)),
        }
    }

    /// As [`Setup::start_refused`], as a listener that is offered to a running Envoy.
    pub async fn refused_beside_others(self) -> String {
        let (pool, _turn) = pool::refusing().await;
        let ports = Ports { admin: pool.admin, ..Ports::unused().with_one_upstream() };
        let config = ports.render(&Door::chosen().translate(&self.config));
        let log = pool.refuse(ports.listener, &config).await;
        let secrets = secrets(self.secrets, &pool.api_key, &pool.signing_key);
        if let Some(secret) = secrets.find_in(&log) {
            panic!("{secret:?} is in the log:\n{log}");
        }
        assert!(!has_token(&log), "a token is in the log:\n{log}");
        log
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
        let services = Services::start(ports, &api_key, &self.jwks_fault).await;
        let secrets = secrets(self.secrets, &api_key, &signing_key);
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
            services,
            log,
            secrets: Mutex::new(secrets),
            vms: outcome.is_ok().then(|| Vms::count(ports.admin)),
            started: outcome.is_ok(),
            proxy: Some(Proxy::Own { envoy: Box::new(envoy), config }),
        };
        (gateway, outcome)
    }
}

/// What must not be logged.
fn secrets(given: Vec<String>, api_key: &str, signing_key: &str) -> Secrets {
    let key = signing_key.lines().filter(|line| !line.contains('-')).map(str::to_owned);
    let mut secrets = Secrets::default();
    secrets.extend(given.into_iter().chain([api_key.to_owned()]).chain(key));
    secrets
}

/// The services around the gateway.
pub struct Services {
    pub auth: Auth,
    pub client: Client,
    _users: Users,
    _upstream: Upstream,
}

impl Services {
    async fn start(ports: Ports, api_key: &str, jwks_fault: &Value) -> Self {
        let auth = Auth::start(ports.bind(ports.auth).await.unwrap(), vec![ports.listener]);
        let users = Users::start(ports.bind(ports.users).await.unwrap(), api_key.to_owned());
        let trust = Arc::new(Trust::new(ports, api_key.to_owned()));
        let upstream = Upstream::start(ports.bind(ports.upstream).await.unwrap(), trust);
        let client = Client::new();
        let url = format!("http://127.0.0.1:{}/fault", ports.auth);
        client.post(&url, jwks_fault).await.unwrap();
        Self { auth, client, _users: users, _upstream: upstream }
    }
}
