//! What only the native module has, and what of its configuration is its own. Nothing
//! where the door is the WebAssembly filter.

use std::fs;
use std::path::Path;
use std::process::{self, Command};

use serde_json::{Value, json};

use crate::gateway::{Setup, yaml};
use crate::stack::door::Door;
use crate::stack::envoy;
use crate::stack::keys;
use crate::wire::Request;

/// The gateway's part of the bundled configuration.
fn bundled() -> Value {
    let config = fs::read_to_string(envoy::directory().join("envoy/envoy-native.yaml")).unwrap();
    let config: Value = serde_norway::from_str(&config).unwrap();
    let manager = &config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    manager["typed_config"]["http_filters"][0]["typed_config"]["filter_config"]["value"].clone()
}

/// The file is what the tests make of that of the WebAssembly filter, but for what this
/// door does without.
#[test]
fn the_bundled_configuration_is_that_of_the_other_door() {
    let read = |name: &str| fs::read_to_string(envoy::directory().join(name)).unwrap();
    let mut native: Value = serde_norway::from_str(&read("envoy/envoy-native.yaml")).unwrap();
    let translated = Door::Native.translate(&read("envoy/envoy.yaml"));
    let mut translated: Value = serde_norway::from_str(&translated).unwrap();
    for config in [&mut native, &mut translated] {
        // Labels are labels.
        config.as_object_mut().unwrap().remove("stats_config");
        config.as_object_mut().unwrap().remove("layered_runtime");
        let listener = &mut config["static_resources"]["listeners"][0];
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        manager["http_filters"][0]["name"] = json!("gatepass");
        // Bodies that are for the gateway never go on.
        let routes = &mut manager["route_config"]["virtual_hosts"][0]["routes"];
        let routes = routes.as_array_mut().unwrap();
        let is_own = |path: &str| path.starts_with("/.well-known/gatepass/");
        routes.retain(|route| !route["match"]["path"].as_str().is_some_and(is_own));
    }
    assert_eq!(native, translated);
}

fn per_route(config: &Value) -> String {
    let kind = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3\
                .DynamicModuleFilterPerRoute";
    let text = "type.googleapis.com/google.protobuf.StringValue";
    let value = config.to_string();
    json!({
        "@type": kind,
        "dynamic_module_config": {"name": "gatepass_envoy"},
        "filter_config": {"@type": text, "value": value},
    })
    .to_string()
}

fn with_route(config: &Value) -> Setup {
    let route =
        "- {match: {path_separated_prefix: /basket}, route: {cluster: basket, timeout: 15s}}";
    let own = format!(
        "- match: {{path_separated_prefix: /basket}}\n  route: {{cluster: basket, timeout: 15s}}\n  \
         typed_per_filter_config:\n    envoy.filters.http.wasm: {}",
        per_route(config)
    );
    Setup::bundled().replace_block(route, &own)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_routes_configuration_takes_the_place_of_the_listeners_as_a_whole() {
    if Door::chosen() == Door::Wasm {
        return;
    }
    let mut config = bundled();
    config["identity_token"]["claims"] = json!({"set": {"env": "basket"}});
    config["errors"]["realm"] = json!("basket");
    config["rules"] = json!([]);
    let gateway = with_route(&config).start().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    for (path, env) in [("/orders", "demo"), ("/basket", "basket"), ("/orders", "demo")] {
        let answer = gateway.get(path, &token).await;
        assert_eq!(answer.status, 200, "{path}: {answer}");
        assert_eq!(answer.seen().identity()["env"], env, "{path}");
    }
    let denied = gateway.send(Request::get("/basket")).await;
    assert_eq!(denied.outcome(), "401 token_missing");
    assert!(denied.header("www-authenticate").unwrap().contains("realm=\"basket\""), "{denied}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_routes_configuration_with_mistakes_is_refused() {
    if Door::chosen() == Door::Wasm {
        return;
    }
    let mut config = bundled();
    config["providers"]["shop"]["algorithms"] = json!(["none"]);
    let log = with_route(&config).start_refused().await;
    assert!(log.contains("$.providers.shop.algorithms[0]"), "{log}");
}

/// What one copy is told of revocations would not hold at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_copy_of_the_module_is_refused() {
    if Door::chosen() == Door::Wasm {
        return;
    }
    let built = envoy::directory().join(Door::Native.module());
    let name = format!("gatepass_{}", process::id());
    let copy = built.with_file_name(format!("lib{name}.so"));
    fs::copy(&built, &copy).unwrap();
    let text = fs::read_to_string(envoy::directory().join("envoy/envoy-native.yaml")).unwrap();
    let mut config: Value = serde_norway::from_str(&text).unwrap();
    let manager = &mut config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
    let filters = manager["typed_config"]["http_filters"].as_array_mut().unwrap();
    let mut second = filters[0].clone();
    second["typed_config"]["dynamic_module_config"]["name"] = json!(name);
    filters.insert(1, second);
    let log = Setup::of(yaml(&config)).start_refused().await;
    fs::remove_file(&copy).unwrap();
    let expected = format!("another copy of the module, {}, ", built.display());
    assert!(log.contains(&expected), "{log}");
}

/// By what the metric says; without sharing each worker would verify by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signature_that_a_worker_verified_is_not_verified_by_the_others() {
    const REUSED: &str = "dynamicmodulescustom.gatepass_signatures_reused_total";
    if Door::chosen() == Door::Wasm {
        return;
    }
    const WORKERS: u32 = 4;
    let gateway = Setup::bundled().workers(WORKERS).start().await;
    gateway.ready().await;
    assert_eq!(gateway.stat(REUSED).await, 0, "no worker takes a known answer from another");
    let token = gateway.token("alice");
    // Each connection is some worker's, and each worker keeps what it verified.
    let rest = u64::from(WORKERS - 1);
    crate::gateway::until("every worker had the token", || async {
        gateway.assert_serves_token(&token, "requests at other workers").await;
        gateway.stat(REUSED).await >= rest
    })
    .await;
    for _ in 0..40 {
        gateway.assert_serves_token(&token, "requests at all workers").await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(gateway.stat(REUSED).await, rest, "once for each of the others");
    // What is wrong is no less wrong the second time.
    let (head, _) = token.rsplit_once('.').unwrap();
    let other = gateway.token("alice");
    let forged = format!("{head}.{}", other.rsplit_once('.').unwrap().1);
    for _ in 0..20 {
        assert_eq!(gateway.get("/orders", &forged).await.outcome(), "401 signature_invalid");
    }
    assert_eq!(gateway.stat(REUSED).await, rest);
}

/// Beside the access log's own names for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_response_code_details_are_the_code_of_the_denial() {
    if Door::chosen() == Door::Wasm {
        return;
    }
    let gateway = Setup::bundled().start().await;
    gateway.ready().await;
    assert_eq!(gateway.send(Request::get("/orders")).await.status, 401);
    crate::gateway::until("it is logged", || async {
        gateway.log().contains(" GET /orders 401 token_missing token_missing - - ")
    })
    .await;
}

/// Envoy asks for a secret, and takes up each change of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signing_key_comes_by_sds() {
    if Door::chosen() == Door::Wasm {
        return;
    }
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sds");
    fs::create_dir_all(&directory).unwrap();
    let file = directory.join("secret.yaml");
    // Envoy sees a file that takes the place of another.
    let put = |secret: Option<Value>| {
        let resources = secret.map(|secret| {
            json!({
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                "name": "gatepass-key",
                "generic_secret": {"secret": secret},
            })
        });
        let resources = json!({"resources": resources.as_slice()});
        fs::write(directory.join("next.yaml"), resources.to_string()).unwrap();
        fs::rename(directory.join("next.yaml"), &file).unwrap();
    };
    let put_pem = |pem: &str| put(Some(json!({"inline_string": pem})));
    let (first, second) = (keys::p256_pem(), keys::p256_pem());
    put(None);
    let sds = json!({"sds": {"name": "gatepass-key", "sds_config": {
        "path_config_source": {"path": file.display().to_string()},
    }}});
    let setup = Setup::bundled()
        .replace("private_key: {env: GATEPASS_SIGNING_KEY}", &format!("private_key: {sds}"))
        .replace("\nadmin:\n", "\nnode: {id: gateway, cluster: gateways}\nadmin:\n")
        .secret(&first)
        .secret(&second);
    if !gives_secrets() {
        let log = setup.start_refused().await;
        assert!(log.contains("secrets from SDS need Envoy 1.40"), "{log}");
        return;
    }
    let gateway = setup.start().await;
    let logged = async |line: &str| {
        crate::gateway::until("it is logged", || async { gateway.log().contains(line) }).await;
    };
    let token = gateway.token("alice");
    let early = gateway.get("/orders", &token).await;
    assert_eq!(early.outcome(), "503 configuration_invalid");
    assert_eq!(early.header("content-type"), Some("application/problem+json"));
    logged(" GET /orders 503 configuration_invalid configuration_invalid ").await;
    // In a file of its own, as Kubernetes mounts it.
    let put_file = |name: &str, pem: &str| {
        let path = directory.join(name);
        fs::write(&path, pem).unwrap();
        put(Some(json!({"filename": path.display().to_string()})));
    };
    put_file("first.pem", &first);
    gateway.ready().await;
    let signed = async || {
        let answer = gateway.get("/orders", &token).await;
        assert_eq!(answer.status, 200, "{answer}");
        let token = answer.seen().values("x-identity-token").concat();
        token.split('.').next().unwrap().to_owned()
    };
    let before = signed().await;
    put(Some(json!({"inline_bytes": "//79/A=="})));
    logged("$.identity_token.signing_keys[0].private_key: found a secret that is not UTF-8").await;
    assert_eq!(signed().await, before);
    put_file("second.pem", &second);
    crate::gateway::until("the new key signs", || async { signed().await != before }).await;
    put_pem(&first);
    crate::gateway::until("the old key signs", || async { signed().await == before }).await;
}

/// Whether the Envoy here gives secrets to modules, as it does from 1.40 on.
fn gives_secrets() -> bool {
    let version = Command::new(envoy::installed()).arg("--version").output().unwrap();
    !String::from_utf8_lossy(&version.stdout).contains("/1.39.")
}
