//! One Envoy with a filter for each set of services that fail, told apart by the
//! address that a request comes from.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::{fs, process};

use serde_json::{Value, json};

use crate::contract::{Cell, Group, Service, cells, groups};
use crate::filter::{VANISHING, filter, filter_name};
use crate::gateway::{Gateway, Setup, yaml};
use crate::service::Services;
use crate::tokens::Signer;

/// The services whose cells are tried. Hundreds of filters that poll keep an Envoy busy:
/// each feed needs one, and the providers of the others fetch their keys again and again.
pub type Part = fn(Service) -> bool;

/// Envoy and the services around it.
pub struct Matrix {
    part: Part,
    pub gateway: Gateway,
    pub services: Services,
    pub signer: Signer,
    sources: BTreeMap<String, Ipv4Addr>,
    clusters: PathBuf,
}

impl Matrix {
    pub async fn start(part: Part) -> Self {
        let signer = Signer::es256("public");
        let services = Services::start(signer.jwk.clone());
        let mut filters: BTreeMap<String, Vec<Group>> = BTreeMap::new();
        for group in groups().filter(|group| part(group.service)) {
            filters.entry(filter_name(group)).or_default().push(group);
        }
        let sources: BTreeMap<String, Ipv4Addr> = filters
            .keys()
            .zip(1_u16..)
            .map(|(name, number)| {
                let [high, low] = number.to_be_bytes();
                (name.clone(), Ipv4Addr::new(127, 1, high, low))
            })
            .collect();
        let chains = filters.iter().map(|(name, groups)| {
            let source = json!([{"address_prefix": sources[name].to_string(), "prefix_len": 32}]);
            let mut chain = chain(&filter(groups, &signer));
            chain["name"] = json!(name);
            chain["filter_chain_match"] = json!({"source_prefix_ranges": source});
            chain
        });
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let clusters = directory.join(format!("clusters-{}.yaml", process::id()));
        offer(&clusters, services.port, &[VANISHING]);
        let any = groups().next().unwrap();
        let config = json!({
            "node": {"id": "faults", "cluster": "faults"},
            "admin": {"address": address(9901)},
            "dynamic_resources": {
                "cds_config": {"path_config_source": {"path": clusters}},
            },
            "static_resources": {
                "listeners": [{
                    "name": "public",
                    "address": address(10000),
                    "filter_chains": chains.collect::<Vec<_>>(),
                    // For whoever wants the gateway's keys.
                    "default_filter_chain": chain(&filter(&[any], &signer)),
                }],
                "clusters": [
                    static_cluster("upstream", 10003),
                    static_cluster("healthy", services.port),
                    static_cluster("faulty", services.port),
                    static_cluster("closing", services.closing_port),
                    static_cluster("late", services.late_port),
                ],
            },
        });
        let gateway = Setup::of(yaml(&config)).workers(1).start().await;
        Self { part, gateway, services, signer, sources, clusters }
    }

    pub fn groups(&self) -> impl Iterator<Item = Group> + use<> {
        let part = self.part;
        groups().filter(move |group| part(group.service))
    }

    pub fn cells(&self) -> impl Iterator<Item = Cell> + use<> {
        let part = self.part;
        cells().filter(move |cell| part(cell.group.service))
    }

    /// Where requests of this group have to come from.
    pub fn source(&self, group: Group) -> Ipv4Addr {
        self.sources[&filter_name(group)]
    }

    pub fn filters(&self) -> usize {
        self.sources.len()
    }

    /// Tells Envoy which of the clusters that are not always there are there.
    pub fn offer(&self, clusters: &[&str]) {
        offer(&self.clusters, self.services.port, clusters);
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.clusters);
    }
}

fn address(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn static_cluster(name: &str, port: u16) -> Value {
    let thresholds = json!([{
        "max_connections": 10_000, "max_pending_requests": 10_000, "max_requests": 10_000,
    }]);
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "circuit_breakers": {"thresholds": thresholds},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(port)}}]}],
        },
    })
}

/// Writes the file in which Envoy finds the clusters that are not always there. It
/// watches for files that are moved into place.
fn offer(path: &Path, port: u16, clusters: &[&str]) {
    let resource = |name: &&str| {
        let mut cluster = static_cluster(name, port);
        cluster["@type"] = json!("type.googleapis.com/envoy.config.cluster.v3.Cluster");
        cluster
    };
    let resources: Vec<_> = clusters.iter().map(resource).collect();
    let new = path.with_extension("new.yaml");
    fs::write(&new, yaml(&json!({"resources": resources}))).unwrap();
    fs::rename(&new, path).unwrap();
}

fn chain(configuration: &Value) -> Value {
    let typed = |kind: &str, mut config: Value| {
        config["@type"] = json!(format!("type.googleapis.com/{kind}"));
        config
    };
    let wasm = typed(
        "envoy.extensions.filters.http.wasm.v3.Wasm",
        json!({"config": {
            "name": "gatepass",
            "failure_policy": "FAIL_RELOAD",
            "vm_config": {
                "vm_id": "gatepass",
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": crate::stack::envoy::MODULE}},
                "environment_variables": {"host_env_keys": ["GATEPASS_SIGNING_KEY"]},
            },
            "configuration": typed(
                "google.protobuf.Struct",
                json!({"value": configuration}),
            ),
        }}),
    );
    // Holds back logins and events until their bodies are read.
    let buffer = typed(
        "envoy.extensions.filters.http.buffer.v3.Buffer",
        json!({"max_request_bytes": 65_536}),
    );
    let reads_bodies = ["/sealed_tokens", "/revocation/events"];
    let buffer = reads_bodies
        .iter()
        .any(|field| configuration.pointer(field).is_some())
        .then(|| json!({"name": "envoy.filters.http.buffer", "typed_config": buffer}));
    let router = typed("envoy.extensions.filters.http.router.v3.Router", json!({}));
    let filters = [
        Some(json!({"name": "envoy.filters.http.wasm", "typed_config": wasm})),
        buffer,
        Some(json!({"name": "envoy.filters.http.router", "typed_config": router})),
    ];
    let filters = filters.into_iter().flatten();
    let manager = typed(
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        json!({
            "stat_prefix": "public",
            "normalize_path": true,
            "http_filters": filters.collect::<Vec<_>>(),
            "route_config": {"virtual_hosts": [{
                "name": "all",
                "domains": ["*"],
                "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}],
            }]},
        }),
    );
    json!({"filters": [
        {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
    ]})
}
