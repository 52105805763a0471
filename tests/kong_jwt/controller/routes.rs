//! Single manifests, and the rules that stand for them.

use gatepass_cli::convert::{ConvertError, Converted, Selection, convert};
use serde_json::{Value, json};

use crate::keys::SECRET_32;

fn manifest(version: &str, kind: &str, name: &str, fields: &Value) -> Value {
    let mut made = json!({"apiVersion": version, "kind": kind,
        "metadata": {"name": name, "namespace": "shop"}});
    for (field, value) in fields.as_object().unwrap() {
        match made.get_mut(field).and_then(Value::as_object_mut) {
            Some(members) => members.extend(value.as_object().unwrap().clone()),
            None => made[field] = value.clone(),
        }
    }
    made
}

const OF_KONG: &str = "configuration.konghq.com/v1";
const OF_GATEWAYS: &str = "gateway.networking.k8s.io/v1";

fn around() -> Vec<Value> {
    let class = json!({"annotations": {"kubernetes.io/ingress.class": "kong"}});
    vec![
        manifest("v1", "Service", "orders", &json!({})),
        manifest("v1", "Service", "front", &json!({})),
        manifest(
            OF_KONG,
            "KongPlugin",
            "auth",
            &json!({"plugin": "jwt",
            "config": {"claims_to_verify": ["exp"]}}),
        ),
        manifest(
            OF_KONG,
            "KongPlugin",
            "staff",
            &json!({"plugin": "acl",
            "config": {"allow": ["staff"]}}),
        ),
        manifest(
            OF_KONG,
            "KongPlugin",
            "limit",
            &json!({"plugin": "rate-limiting",
            "config": {"minute": 5}}),
        ),
        manifest(
            OF_KONG,
            "KongConsumer",
            "alice",
            &json!({"metadata": class,
            "username": "alice", "credentials": ["alice-jwt"]}),
        ),
        manifest(
            "v1",
            "Secret",
            "alice-jwt",
            &json!({
            "metadata": {"labels": {"konghq.com/credential": "jwt"}},
            "stringData": {"key": "k", "secret": SECRET_32}}),
        ),
        manifest(
            OF_GATEWAYS,
            "Gateway",
            "kong",
            &json!({"spec": {"gatewayClassName": "kong",
            "listeners": [{"name": "http", "port": 80, "protocol": "HTTP"}]}}),
        ),
    ]
}

/// An Ingress for one path of a Service.
fn ingress(name: &str, annotations: &Value, path: &Value, service: &str) -> Value {
    let mut path = path.clone();
    path["backend"] = json!({"service": {"name": service, "port": {"number": 80}}});
    manifest(
        "networking.k8s.io/v1",
        "Ingress",
        name,
        &json!({
        "metadata": {"annotations": annotations},
        "spec": {"ingressClassName": "kong", "rules": [{"http": {"paths": [path]}}]}}),
    )
}

fn protected(path: &Value) -> Value {
    ingress("web", &json!({"konghq.com/plugins": "auth,staff"}), path, "orders")
}

fn route(annotations: &Value, matching: &Value) -> Value {
    manifest(
        OF_GATEWAYS,
        "HTTPRoute",
        "web",
        &json!({
        "metadata": {"annotations": annotations},
        "spec": {"parentRefs": [{"name": "kong"}], "rules": [{"matches": [matching],
            "backendRefs": [{"name": "orders", "port": 80}]}]}}),
    )
}

fn attempt(own: Vec<Value>) -> Result<Converted, ConvertError> {
    let all = own.into_iter().chain(around());
    let texts: Vec<_> = all.map(|it| it.to_string()).collect();
    convert(&texts.join("\n---\n"), &Selection::default())
}

/// The rules but the last, which lets nobody pass, and what is told.
fn rules(own: Vec<Value>) -> (Vec<Value>, String) {
    let made = attempt(own).unwrap_or_else(|error| panic!("{error}"));
    let mut rules = made.configuration["rules"].as_array().unwrap().clone();
    assert_eq!(rules.pop().unwrap(), json!({"match": {}, "requires": nobody()}));
    let told: Vec<_> = made.notes.iter().map(ToString::to_string).collect();
    (rules, told.join("\n"))
}

fn nobody() -> Value {
    json!({"groups_any": ["closed-by-convert"], "groups_none": ["closed-by-convert"]})
}

fn staff() -> Value {
    json!({"providers": ["kong"], "groups_any": ["staff"]})
}

#[test]
fn paths_of_an_ingress() {
    for (path, expected) in [
        (json!({"path": "/a", "pathType": "Prefix"}), json!({"path_prefix": "/a"})),
        (json!({"path": "//a/", "pathType": "Prefix"}), json!({"path_prefix": "/a"})),
        (json!({"path": "/", "pathType": "Prefix"}), json!({"path_prefix": "/"})),
        (json!({"pathType": "ImplementationSpecific"}), json!({"path_prefix": "/"})),
        (json!({"path": "/a/b", "pathType": "Exact"}), json!({"path": "/a/b"})),
        (json!({"path": "/a"}), json!({"path_starts_with": "/a"})),
        (json!({"path": "/~/a/b$"}), json!({"path": "/a/b"})),
        (json!({"path": r"/~/a\.b$"}), json!({"path": "/a.b"})),
    ] {
        let (rules, told) = rules(vec![protected(&path)]);
        assert_eq!(rules, [json!({"match": expected, "requires": staff()})], "{path}: {told}");
    }
    for path in ["/~/a/[bc]", "/~/a", "/~/(a|b)$"] {
        let (rules, told) = rules(vec![protected(&json!({"path": path}))]);
        assert_eq!(rules, [] as [Value; 0], "{path}");
        assert!(told.contains("Ingress shop/web to orders: its conditions"), "{told}");
    }
    // With what is below it, and a route that may be for a part of it.
    let open = ingress("open", &json!({}), &json!({"path": "/", "pathType": "Prefix"}), "front");
    let (rules, told) = rules(vec![open, protected(&json!({"path": "/~/a/[0-9]+$"}))]);
    assert_eq!(rules, [json!({"match": {"path_prefix": "/"}, "requires": staff()})]);
    assert!(
        told.contains("Ingress shop/open to front: has no jwt plugin, but may share"),
        "{told}"
    );
}

#[test]
fn annotations_of_an_ingress() {
    let path = json!({"path": "/a", "pathType": "Prefix"});
    for (annotation, value, expected, note) in [
        ("methods", "get, POST", json!({"methods": ["GET", "POST"]}), ""),
        ("strip-path", "true", json!({}), ""),
        ("host-aliases", "a.example,b.example", json!({"hosts": ["a.example", "b.example"]}), ""),
        ("protocols", "https", json!({}), "is for https only"),
        ("on-mondays", "x", json!({}), "its annotation konghq.com/on-mondays is not known: nobody"),
        ("override", "x", json!({}), "what its konghq.com/override changes is not read: nobody"),
        ("snis", "a.example", json!({}), "a rule cannot ask its konghq.com/snis: nobody"),
        (
            "rewrite",
            "/x",
            json!({}),
            "with konghq.com/rewrite many controllers leave it out: nobody",
        ),
        (
            "methods",
            "G3T",
            json!({}),
            "its konghq.com/methods has a value that is not a method: nobody",
        ),
        ("plugins", "auth,other", json!({}), "its plugin other is not in the file"),
        ("plugins", "lib:auth", json!({}), "its plugin lib:auth is of another namespace: nobody"),
    ] {
        let mut annotations = json!({"konghq.com/plugins": "auth,staff"});
        annotations[format!("konghq.com/{annotation}")] = json!(value);
        let (rules, told) = rules(vec![
            ingress("web", &annotations, &path, "orders"),
            // Another one, so that there is something to convert.
            ingress("z", &json!({"konghq.com/plugins": "auth"}), &json!({"path": "/z"}), "front"),
        ]);
        let requires =
            if note.contains("nobody") || value.contains("other") { nobody() } else { staff() };
        let mut matching = json!({"path_prefix": "/a"});
        matching.as_object_mut().unwrap().extend(expected.as_object().unwrap().clone());
        let rule = json!({"match": matching, "requires": requires});
        assert!(rules.contains(&rule), "{annotation}: {rule}\n{rules:#?}\n{told}");
        assert!(told.contains(note), "{annotation}: {told}");
    }
}

#[test]
fn what_nobody_passes_and_why() {
    let path = json!({"path": "/a", "pathType": "Prefix"});
    let web = |change: &dyn Fn(&mut Value)| {
        let mut made = protected(&path);
        change(&mut made);
        made
    };
    let from_secret = manifest(
        OF_KONG,
        "KongPlugin",
        "hidden",
        &json!({"plugin": "acl",
        "config": {"allow": ["staff"]}, "configFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}),
    );
    let for_bob = manifest(
        OF_KONG,
        "KongConsumer",
        "bob",
        &json!({"username": "bob",
        "metadata": {"annotations": {"kubernetes.io/ingress.class": "kong",
            "konghq.com/plugins": "staff"}}}),
    );
    for (case, others, own, note) in [
        (
            "no class",
            vec![],
            web(&|it| drop(it["spec"].as_object_mut().unwrap().remove("ingressClassName"))),
            "it names no class",
        ),
        (
            "no Service",
            vec![],
            ingress("web", &json!({"konghq.com/plugins": "auth"}), &path, "gone"),
            "its Service gone is not in the file",
        ),
        (
            "a resource",
            vec![],
            web(&|it| {
                it["spec"]["rules"][0]["http"]["paths"][0]["backend"] = json!({"resource": {}})
            }),
            "it leads to something else than a Service",
        ),
        (
            "options in a Secret",
            vec![from_secret],
            ingress("web", &json!({"konghq.com/plugins": "auth,hidden"}), &path, "orders"),
            "its plugin hidden (acl) has options in a Secret",
        ),
        ("for some consumers", vec![for_bob], web(&|_| ()), "(acl) is for some consumers only"),
    ] {
        let open =
            ingress("z", &json!({"konghq.com/plugins": "auth"}), &json!({"path": "/z"}), "front");
        let (rules, told) = rules([vec![own, open], others].concat());
        let rule = json!({"match": {"path_prefix": "/a"}, "requires": nobody()});
        assert!(rules.contains(&rule), "{case}: {rules:#?}\n{told}");
        assert!(told.contains(note), "{case}: {told}");
    }
    // Of another controller.
    let other = web(&|it| it["spec"]["ingressClassName"] = json!("nginx"));
    let error = attempt(vec![other]).unwrap_err().to_string();
    assert!(error.contains("no plugin that can be carried over"), "{error}");
}

#[test]
fn plugins_of_services_and_of_all() {
    let named = json!({"metadata": {"annotations": {"konghq.com/plugins": "auth,staff"}}});
    let service = manifest("v1", "Service", "closed", &named);
    let path = json!({"path": "/a", "pathType": "Prefix"});
    let own = ingress("web", &json!({"konghq.com/plugins": "limit"}), &path, "closed");
    let (made, _) = rules(vec![service, own.clone()]);
    assert_eq!(made, [json!({"match": {"path_prefix": "/a"}, "requires": staff()})]);
    let mut global = manifest(
        OF_KONG,
        "KongClusterPlugin",
        "all",
        &json!({"plugin": "jwt",
        "metadata": {"labels": {"global": "true"}}}),
    );
    let web = ingress("web", &json!({"konghq.com/plugins": "staff"}), &path, "front");
    let error = attempt(vec![global.clone(), web.clone()]).unwrap_err().to_string();
    assert!(
        error.contains("KongClusterPlugin all: is for all routes, and has no annotation"),
        "{error}"
    );
    global["metadata"]["annotations"] = json!({"kubernetes.io/ingress.class": "kong"});
    let (made, _) = rules(vec![global, web]);
    assert_eq!(made, [json!({"match": {"path_prefix": "/a"}, "requires": staff()})]);
}

#[test]
fn http_routes() {
    let named = json!({"konghq.com/plugins": "auth,staff"});
    for (matching, expected) in [
        (json!({"path": {"value": "/a"}}), json!({"path_prefix": "/a"})),
        (json!({"path": {"type": "Exact", "value": "/a"}}), json!({"path": "/a"})),
        (json!({"method": "GET"}), json!({"path_prefix": "/", "methods": ["GET"]})),
    ] {
        let (rules, told) = rules(vec![route(&named, &matching)]);
        assert_eq!(rules, [json!({"match": expected, "requires": staff()})], "{matching}: {told}");
    }
    for (matching, note) in [
        (
            json!({"headers": [{"name": "x", "value": "1"}]}),
            "HTTPRoute shop/web rules[0]: its cond",
        ),
        (json!({"path": {"type": "RegularExpression", "value": "/a.*"}}), "its conditions"),
        (json!({"queryParams": [{"name": "x", "value": "1"}]}), "its queryParams"),
        (json!({"cookies": [{"name": "x"}]}), "its match has cookies, which is not known"),
        (json!({"path": {"value": "/a/"}}), "is read by controllers in several ways"),
    ] {
        let (rules, told) = rules(vec![route(&named, &matching)]);
        assert!(rules.iter().all(|rule| rule["requires"] == nobody()), "{matching}: {rules:#?}");
        assert!(told.contains(note), "{matching}: {told}");
    }
    let mut elsewhere = route(&json!({}), &json!({"path": {"value": "/a"}}));
    elsewhere["spec"]["parentRefs"] = json!([{"name": "unknown"}]);
    let web = protected(&json!({"path": "/", "pathType": "Prefix"}));
    let (made, told) = rules(vec![elsewhere, web.clone()]);
    assert_eq!(made[0], json!({"match": {"path_prefix": "/a"}, "requires": nobody()}));
    assert!(told.contains("its Gateway shop/unknown is not in the file: nobody passes"), "{told}");
    let mut grpc = route(&json!({}), &json!({}));
    grpc["kind"] = json!("GRPCRoute");
    let error = attempt(vec![grpc, web]).unwrap_err().to_string();
    assert!(error.contains("GRPCRoute shop/web: is not converted: leave it out"), "{error}");
}
