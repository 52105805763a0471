//! Envoy: one process with a listener for each target, so that all of them have
//! the same worker, the same heap and the same upstream.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{Cpus, Process};
use crate::services;
use crate::tokens::{AUDIENCE, ISSUER, SECRET_ISSUER, Signer};

/// What to run and where.
pub struct Machine {
    pub envoy: PathBuf,
    pub module: PathBuf,
    pub directory: PathBuf,
    pub cpus: Cpus,
    pub services: services::Ports,
}

/// An Envoy to be started.
pub struct Setup<'a> {
    machine: &'a Machine,
    listeners: Vec<Value>,
}

/// A port that nobody uses at this moment.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("it is bound").port()
}

impl<'a> Setup<'a> {
    pub const fn new(machine: &'a Machine) -> Self {
        Self { machine, listeners: Vec::new() }
    }

    /// Adds a listener with these filters before the router; gives its port.
    pub fn listen(&mut self, mut filters: Vec<Value>) -> u16 {
        let port = free_port();
        filters.push(filter("router", "router.v3.Router", json!({})));
        self.listeners.push(json!({
            "name": format!("listener-{port}"),
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.\
                              http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": format!("port_{port}"),
                    "normalize_path": true,
                    "merge_slashes": true,
                    "use_remote_address": true,
                    "http_filters": filters,
                    "route_config": {"virtual_hosts": [{
                        "name": "all", "domains": ["*"],
                        "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
                    }]},
                },
            }]}],
        }));
        port
    }

    /// Adds one with Gatepass.
    pub fn gatepass(&mut self, configuration: &Value) -> u16 {
        let module = self.machine.module.clone();
        let filter = wasm(&module, self.listeners.len(), configuration);
        self.listen(vec![filter])
    }

    /// The same, with what collects bodies for it.
    pub fn gatepass_with_bodies(&mut self, configuration: &Value, bytes: usize) -> u16 {
        let module = self.machine.module.clone();
        let buffer = filter("buffer", "buffer.v3.Buffer", json!({"max_request_bytes": bytes}));
        let filter = wasm(&module, self.listeners.len(), configuration);
        self.listen(vec![filter, buffer])
    }

    /// Adds one with Gatepass as a module of Envoy's process.
    pub fn native(&mut self, configuration: &Value) -> u16 {
        let filter = native(configuration);
        self.listen(vec![filter])
    }

    /// Starts it and waits until it listens.
    pub async fn start(self, workers: usize) -> Process {
        let Machine { cpus, .. } = self.machine;
        self.start_on(workers, &[cpus.gateway]).await
    }

    pub async fn start_on(self, workers: usize, on: &[usize]) -> Process {
        let Machine { envoy, directory, cpus, services, .. } = self.machine;
        let cluster = |name: &str, port: u16| {
            json!({"name": name, "type": "STATIC", "connect_timeout": "5s",
                   "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{
                       "endpoint": {"address": {"socket_address":
                           {"address": "127.0.0.1", "port_value": port}}}}]}]}})
        };
        let admin = free_port();
        let first = self.listeners.first().map(|listener| {
            listener["address"]["socket_address"]["port_value"].as_u64().unwrap_or_default()
        });
        let config = json!({
            "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
            "static_resources": {
                "listeners": self.listeners,
                "clusters": [
                    cluster("upstream", services.upstream),
                    cluster("users", services.users),
                    cluster("enrichment", services.enrichment),
                    cluster("echo", services.echo),
                ],
            },
        });
        let path = directory.join("envoy.json");
        fs::write(&path, config.to_string()).expect("a file for Envoy's configuration");
        let mut command = Command::new(envoy);
        command.env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", native_modules());
        command.arg("--config-path").arg(path);
        command.args(["--concurrency", &workers.to_string()]);
        command.args(["--log-level", "error", "--disable-hot-restart"]);
        let log = directory.join("envoy.log");
        let mut process = Process::start(command, &log, on, &[cpus.client]);
        process.answers(first.unwrap_or_default() as u16).await;
        process
    }
}

fn filter(name: &str, kind: &str, mut config: Value) -> Value {
    config["@type"] = format!("type.googleapis.com/envoy.extensions.filters.http.{kind}").into();
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": config})
}

/// Where `make native` puts what Envoy loads.
fn native_modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/native")
}

/// Gatepass as a module of Envoy's process.
pub fn native(configuration: &Value) -> Value {
    filter(
        "dynamic_modules",
        "dynamic_modules.v3.DynamicModuleFilter",
        json!({
            "dynamic_module_config": {"name": "gatepass_envoy"},
            "filter_name": "gatepass",
            "filter_config": {
                "@type": "type.googleapis.com/google.protobuf.StringValue",
                "value": configuration.to_string(),
            },
        }),
    )
}

/// A wasm filter in a VM of its own.
pub fn wasm(module: &Path, id: usize, configuration: &Value) -> Value {
    let configuration = json!({
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": configuration.to_string(),
    });
    filter(
        "wasm",
        "wasm.v3.Wasm",
        json!({"config": {
            "name": "bench",
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {
                "vm_id": format!("vm-{id}"),
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": module}},
            },
            "configuration": configuration,
        }}),
    )
}

/// Gatepass with what a shop needs: user info, a rule or two, an identity token
/// and a header made of a claim.
pub fn gatepass(signers: &[&Signer], identity: (&str, &str)) -> Value {
    let keys = |secret: bool| -> Vec<Value> {
        let signers = signers.iter().filter(|signer| (signer.issuer() == SECRET_ISSUER) == secret);
        signers.map(|signer| signer.jwk()).collect()
    };
    let mut providers = json!({"shop": {
        "issuer": ISSUER, "audiences": [AUDIENCE], "local_jwks": {"keys": keys(false)},
    }});
    if !keys(true).is_empty() {
        providers["secret"] = json!({
            "issuer": SECRET_ISSUER, "audiences": [AUDIENCE], "algorithms": ["HS256"],
            "local_jwks": {"keys": keys(true)},
        });
    }
    if keys(false).is_empty() {
        providers.as_object_mut().expect("an object").remove("shop");
    }
    json!({
        "services": {"users": {"upstream": "users", "authority": "users.internal", "timeout_ms": 5000}},
        "providers": providers,
        "user_info": {
            "service": "users", "path": "/users/{sub}",
            "claims": {"country": "/address/country", "customer_type": "/type",
                       "preferred_username": "/preferred_username"},
            "required": ["country"],
            "cache": {"ttl_seconds": 3600},
        },
        "identity_token": {
            "issuer": "https://gateway.shop.internal", "audiences": ["shop-services"],
            "ttl_seconds": 3600, "subject": "{sub}",
            "signing_keys": [{"algorithm": identity.0, "private_key": identity.1}],
        },
        "claim_to_headers": [{"header": "x-user-country", "claim": "country"}],
        "rules": [
            {"match": {"path_prefix": "/login"}, "bypass": true},
            {"match": {"path_prefix": "/admin"}, "requires": {"scopes_all": ["admin"]}},
        ],
    })
}

/// Envoy's own filter for JWTs, with as many headers made of claims as Gatepass
/// sets.
pub fn jwt_authn(signer: &Signer, cache: bool, claims: bool, forward_payload: bool) -> Value {
    let mut provider = json!({
        "issuer": ISSUER, "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": json!({"keys": [signer.jwk()]}).to_string()},
    });
    if cache {
        provider["jwt_cache_config"] = json!({"jwt_cache_size": 1000});
    }
    if claims {
        let headers = ["sub", "azp", "client_id", "scope", "tenant"];
        provider["claim_to_headers"] = headers
            .map(|claim| json!({"header_name": format!("x-jwt-{claim}"), "claim_name": claim}))
            .as_slice()
            .into();
    }
    if forward_payload {
        provider["forward_payload_header"] = "x-jwt-payload".into();
    }
    filter(
        "jwt_authn",
        "jwt_authn.v3.JwtAuthentication",
        json!({
            "providers": {"shop": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "shop"}}],
        }),
    )
}

/// The call to a service that does the enrichment.
pub fn ext_authz(port: u16) -> Value {
    let exact = |name: &str| json!({"exact": name});
    let headers = [
        "x-identity-token",
        "x-consumer-username",
        "x-consumer-custom-id",
        "x-credential-identifier",
        "x-user-country",
    ];
    filter(
        "ext_authz",
        "ext_authz.v3.ExtAuthz",
        json!({
            "http_service": {
                "server_uri": {"uri": format!("http://127.0.0.1:{port}"), "cluster": "enrichment", "timeout": "5s"},
                "authorization_response": {
                    "allowed_upstream_headers": {"patterns": headers.map(exact)},
                },
            },
            "allowed_headers": {"patterns": [exact("x-jwt-payload")]},
        }),
    )
}
