//! `examples/kubernetes` on a real Envoy: the configurations of the manifests, loaded
//! in the way that Istio and Envoy Gateway make Envoy load them.

use serde_json::Value;

use crate::gateway::{Gateway, Setup};
use crate::stack::envoy;
use crate::wire::Request;

/// The document of this kind in a manifest.
fn document(manifest: &str, kind: &str) -> Value {
    let path = envoy::directory().join("examples/kubernetes").join(manifest);
    let text = std::fs::read_to_string(path).unwrap();
    let mut documents = serde_norway::Deserializer::from_str(&text)
        .map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap());
    documents.find(|document| document["kind"] == kind).unwrap()
}

/// The bundled Envoy with the filter's configuration as text, and with clusters of the
/// names that it has for the auth and the user service.
fn setup(configuration: &Value) -> Setup {
    let text = configuration.to_string().replace('\'', "''");
    let message = "type.googleapis.com/google.protobuf.StringValue";
    let block = format!("configuration:\n  \"@type\": {message}\n  value: '{text}'");
    let clusters = [("auth", 10001), ("users", 10002)].map(|(service, port)| {
        let name = configuration["services"][service]["upstream"].as_str().unwrap();
        format!(
            "\n  - name: \"{name}\"\n    type: STATIC\n    connect_timeout: 1s\n    load_assignment:\n      \
             cluster_name: \"{name}\"\n      endpoints:\n      - lb_endpoints:\n        - endpoint: \
             {{address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}}}"
        )
    });
    Setup::bundled()
        .replace_block("configuration:", &block)
        .replace("  clusters:", &format!("  clusters:{}", clusters.concat()))
}

async fn assert_serves(gateway: &Gateway) {
    gateway.ready().await;
    let seen = gateway.get("/orders", &gateway.token("alice")).await.seen();
    assert_eq!(seen.identity()["sub"], "alice");
    assert_eq!(seen.identity()["country"], "ES");
    assert_eq!(gateway.send(Request::get("/orders")).await.outcome(), "401 token_missing");
    let keys = gateway.send(Request::get("/.well-known/gatepass/jwks.json")).await;
    assert_eq!(keys.status, 200, "{keys}");
    assert!(String::from_utf8_lossy(&keys.body).contains("\"keys\""), "{keys}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn istio() {
    let extension = document("istio.yaml", "TrafficExtension");
    let gateway = setup(&extension["spec"]["wasm"]["pluginConfig"]).start_beside_others().await;
    assert_serves(&gateway).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_gateway() {
    assert_serves_in_envoy_gateway("envoy-gateway.yaml").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_gateway_backends() {
    assert_serves_in_envoy_gateway("envoy-gateway-backends.yaml").await;
}

/// Off for the listener and on for routes, with no policy for failures.
async fn assert_serves_in_envoy_gateway(manifest: &str) {
    let policy = document(manifest, "EnvoyExtensionPolicy");
    let filter = "          - name: envoy.filters.http.wasm\n";
    let route = "- {match: {prefix: /}, route: {cluster: upstream, timeout: 15s}}";
    let on = "- match: {prefix: /}\n  route: {cluster: upstream, timeout: 15s}\n  \
              typed_per_filter_config:\n    envoy.filters.http.wasm:\n      \
              \"@type\": type.googleapis.com/envoy.config.route.v3.FilterConfig\n      config: {}";
    let setup = setup(&policy["spec"]["wasm"][0]["config"])
        .replace(filter, &format!("{filter}            disabled: true\n"))
        .replace("                failure_policy: FAIL_RELOAD\n", "")
        .replace_block(route, on);
    let gateway = setup.start_beside_others().await;
    assert_serves(&gateway).await;
    // What the manifest warns of: a route without the filter is open.
    let open = gateway.send(Request::get("/catalog").with("x-consumer-id", "forged")).await;
    assert_eq!(open.status, 200, "{open}");
    assert!(open.seen().values("x-identity-token").is_empty(), "{open}");
}
