//! Many filter chains in one Envoy: which one a connection gets is told by the
//! address that it is made to, all of which are this machine's.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde_json::{Map, Value, json};

use crate::gateway::{Gateway, Setup, yaml};
use crate::stack::envoy;
use crate::wire::{Answer, Connection, Request};

/// The address of the chain at this position.
fn address(position: usize) -> Ipv4Addr {
    let [high, low] = u16::try_from(position).expect("not so many").to_be_bytes();
    Ipv4Addr::new(127, 1, high, low)
}

/// Sends a request to one of the chains; `None` if Envoy hangs up.
pub fn send(gateway: &Gateway, chain: usize, request: Request) -> Option<Answer> {
    let bytes = request.into_bytes();
    gateway.remember_tokens(&bytes);
    let address = SocketAddrV4::new(address(chain), gateway.ports.listener);
    Connection::to(address).send(&bytes)
}

/// An Envoy with a chain of HTTP filters at each position, the router left out,
/// and `more` fields of the connection manager.
pub fn envoy(chains: &[Vec<Value>], more: &Value) -> Setup {
    let chains: Vec<Value> = chains
        .iter()
        .enumerate()
        .map(|(position, filters)| chain(position, filters, more))
        .collect();
    let endpoint = json!({"endpoint": {"address": socket("127.0.0.1", 10003)}});
    let config = json!({
        "admin": {"address": socket("127.0.0.1", 9901)},
        "static_resources": {
            "listeners": [{
                "name": "public",
                "address": socket("0.0.0.0", 10000),
                "filter_chains": chains,
            }],
            "clusters": [{
                "name": "upstream",
                "type": "STATIC",
                "load_assignment": {
                    "cluster_name": "upstream",
                    "endpoints": [{"lb_endpoints": [endpoint]}],
                },
            }],
        },
    });
    Setup::of(yaml(&config))
}

fn socket(address: &str, port: u16) -> Value {
    json!({"socket_address": {"address": address, "port_value": port}})
}

fn chain(position: usize, filters: &[Value], more: &Value) -> Value {
    let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "upstream"}});
    let host = json!({"name": "all", "domains": ["*"], "routes": [route]});
    let router = filter("router", "router.v3.Router", json!({}));
    let mut manager = Map::new();
    let kind = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    manager.insert("@type".to_owned(), json!(kind));
    manager.insert("stat_prefix".to_owned(), json!("public"));
    manager.insert("http_filters".to_owned(), json!([filters, &[router]].concat()));
    manager.insert("route_config".to_owned(), json!({"name": "all", "virtual_hosts": [host]}));
    manager.extend(more.as_object().expect("fields").clone());
    json!({
        "name": format!("chain-{position}"),
        "filter_chain_match": {
            "prefix_ranges": [{"address_prefix": address(position).to_string(), "prefix_len": 32}],
        },
        "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }],
    })
}

/// One of Envoy's HTTP filters.
pub fn filter(name: &str, kind: &str, config: Value) -> Value {
    let mut typed = Map::new();
    let kind = format!("type.googleapis.com/envoy.extensions.filters.http.{kind}");
    typed.insert("@type".to_owned(), json!(kind));
    typed.extend(config.as_object().expect("fields").clone());
    json!({"name": format!("envoy.filters.http.{name}"), "typed_config": typed})
}

/// Gatepass with this configuration. All of them share a VM for each worker.
pub fn gatepass(configuration: &Value) -> Value {
    let text = json!({
        "@type": "type.googleapis.com/google.protobuf.StringValue",
        "value": configuration.to_string(),
    });
    let config = json!({
        "name": "gatepass",
        "failure_policy": "FAIL_RELOAD",
        "vm_config": {
            "vm_id": "gatepass",
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": envoy::MODULE}},
            "environment_variables": {"host_env_keys": ["GATEPASS_SIGNING_KEY"]},
        },
        "configuration": text,
    });
    filter("wasm", "wasm.v3.Wasm", json!({ "config": config }))
}
