//! A configuration that is replaced while Envoy runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::{fs, process};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::gateway::{Gateway, Setup, until, yaml};
use crate::stack::door::Door;
use crate::wire::{Connection, Request};

/// The bundled configuration, whose listeners come from a file.
struct Replaceable {
    gateway: Gateway,
    listeners: Value,
    path: PathBuf,
}

impl Replaceable {
    async fn start(drain: u32) -> Self {
        let mut config: Value =
            serde_norway::from_str(include_str!("../../envoy/envoy.yaml")).unwrap();
        let listeners = config["static_resources"]["listeners"].take();
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("listeners-{}-{count}.yaml", process::id()));
        fs::write(&path, "resources: []").unwrap();
        config["static_resources"]["listeners"] = json!([]);
        config["node"] = json!({"id": "gateway", "cluster": "gateway"});
        config["dynamic_resources"] = json!({"lds_config": {"path_config_source": {"path": path}}});
        let setup = Setup::of(yaml(&config));
        let setup = setup.workers(1).drain(drain).file(&path, resources(&listeners, "shop"));
        let gateway = setup.start().await;
        gateway.ready().await;
        Self { gateway, listeners, path }
    }

    /// Gives Envoy the listener with another realm, by which it is told apart, and
    /// waits until it answers.
    async fn replace(&self, realm: &str) {
        let new = self.path.with_extension("new.yaml");
        let text = resources(&self.listeners, realm);
        let text = Door::chosen().translate(&text);
        fs::write(&new, self.gateway.ports.render(&text)).unwrap();
        // Envoy watches for files that are moved into place.
        fs::rename(&new, &self.path).unwrap();
        let expected = format!("realm=\"{realm}\"");
        until("the new configuration answers", || async {
            let answer = self.gateway.send(Request::get("/orders")).await;
            answer.header("www-authenticate").is_some_and(|challenge| challenge.contains(&expected))
        })
        .await;
    }
}

fn resources(listeners: &Value, realm: &str) -> String {
    let mut listeners = listeners.as_array().unwrap().clone();
    for listener in &mut listeners {
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
    }
    let text = yaml(&json!({"resources": listeners}));
    let text = text.replace("timeout_ms: 500", "timeout_ms: 10000");
    text.replace("realm: shop", &format!("realm: {realm}"))
}

impl Drop for Replaceable {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_while_the_configuration_is_replaced_are_served() {
    let mut envoy = Replaceable::start(600).await;
    let gateway = &envoy.gateway;
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 4000})).await;
    let mut waiting = JoinSet::new();
    for user in ["alice", "alice", "bob"] {
        waiting.spawn(gateway.send_beside(Request::get("/orders").bearer(&gateway.token(user))));
    }
    let active = || gateway.stat("http.public.downstream_rq_active");
    until("all wait", || async { active().await == 3 }).await;
    envoy.replace("market").await;
    assert_eq!(waiting.len(), 3);
    assert!(waiting.try_join_next().is_none(), "they wait for the old one's callouts");
    while let Some(outcome) = waiting.join_next().await {
        assert_eq!(outcome.unwrap(), "200");
    }
    gateway.users_fault(json!({"kind": "none"})).await;
    gateway.assert_serves("the configuration was replaced").await;
    envoy.gateway.expect_one_more_vm();
}

/// A destroyed configuration takes its thread with it, and what waits is served by the
/// one that it came to.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_configurations_are_replaced_under_load() {
    if Door::chosen() == Door::Wasm {
        // Each would be compiled again.
        return;
    }
    let envoy = Replaceable::start(1).await;
    let gateway = &envoy.gateway;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for user in ["alice", "bob"] {
        // With each answer the user is asked for anew.
        let tokens: Vec<String> = (0..50).map(|_| gateway.token(user)).collect();
        let requests: Vec<_> = tokens
            .iter()
            .map(|token| gateway.repeat(Request::get("/orders").bearer(token)))
            .collect();
        let stop = Arc::clone(&stop);
        load.spawn(async move {
            let mut outcomes = Vec::new();
            for send in requests.iter().cycle() {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                outcomes.push(send().await);
            }
            outcomes
        });
    }
    for number in 0..10 {
        envoy.replace(&format!("realm-{number}")).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut count = 0;
    while let Some(outcomes) = load.join_next().await {
        let outcomes = outcomes.unwrap();
        count += outcomes.len();
        assert!(outcomes.iter().all(|outcome| outcome == "200"), "{outcomes:?}");
    }
    assert!(count > 50, "{count} requests");
    until("the old ones are gone", || async { gateway.threads("gatepass") == 1 }).await;
    gateway.assert_serves("ten configurations were replaced").await;
}

/// Envoy destroys what was replaced on the thread that had it last, which is a worker's
/// where a request was all that still used it; what is under way for it is the main
/// thread's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_is_replaced_while_callouts_are_under_way() {
    if Door::chosen() == Door::Wasm {
        // Each would be compiled again.
        return;
    }
    let mut config: Value = serde_norway::from_str(include_str!("../../envoy/envoy.yaml")).unwrap();
    let listener = &mut config["static_resources"]["listeners"][0];
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    let filter = &mut manager["http_filters"][0];
    let mut resource = filter.take();
    let path = format!("filter-{}.yaml", process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(path);
    *filter = json!({"name": resource["name"], "config_discovery": {
        "config_source": {"path_config_source": {"path": path}},
        "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3\
                       .DynamicModuleFilter"],
    }});
    resource["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
    config["node"] = json!({"id": "gateway", "cluster": "gateway"});
    let text = yaml(&json!({"resources": [resource]}));
    let setup = Setup::of(yaml(&config)).workers(2).file(&path, text.clone());
    let gateway = setup.start().await;
    gateway.ready().await;
    let requests = ["alice", "bob", "carol"].map(|user| {
        let request = Request::get("/orders").bearer(&gateway.token(user)).into_bytes();
        gateway.remember_tokens(&request);
        request
    });
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 400})).await;
    for number in 0..20 {
        let mut leaving = Vec::new();
        for request in &requests {
            let mut connection = Connection::open(gateway.ports.listener);
            connection.write(request);
            leaving.push(connection);
        }
        until("they wait", || async {
            gateway.stat("http.public.downstream_rq_active").await == 3
        })
        .await;
        let realm = format!("realm-{number}");
        let text = text.replace("realm: shop", &format!("realm: {realm}"));
        let new = path.with_extension("new.yaml");
        fs::write(&new, gateway.ports.render(&Door::chosen().translate(&text))).unwrap();
        fs::rename(&new, &path).unwrap();
        until("the new configuration answers", || async {
            let answer = gateway.send(Request::get("/orders")).await;
            answer.header("www-authenticate").is_some_and(|challenge| challenge.contains(&realm))
        })
        .await;
        leaving.into_iter().for_each(Connection::reset);
    }
    gateway.users_fault(json!({"kind": "none"})).await;
    until("the old ones are gone", || async { gateway.threads("gatepass") == 1 }).await;
    gateway.assert_serves("twenty filters were replaced").await;
    let _ = fs::remove_file(&path);
}
