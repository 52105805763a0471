//! Stolen and bent proofs at a real Envoy: another spelling of the request, another listener,
//! another gateway's nonce, and a request that Envoy itself sends again.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::clients::ProofKey;
use crate::gateway::{Gateway, Setup, yaml};
use crate::stack::auth::Auth;
use crate::stack::ports::Ports;
use crate::wire::{Answer, Connection, Request};

const URI: &str = "http://shop.example/orders";

fn bound_to(gateway: &Gateway, key: &ProofKey) -> String {
    let mut claims = Auth::claims("alice").unwrap();
    claims["cnf"] = key.confirmation();
    gateway.services.auth.sign(&claims)
}

/// The bundled configuration with other listeners beside its own, each with its bindings.
fn listeners(own: &Value, others: &[(u16, Value)]) -> Value {
    let mut config: Value = serde_norway::from_str(include_str!("../../envoy/envoy.yaml")).unwrap();
    let bundled = config["static_resources"]["listeners"][0].clone();
    let with = |binding: &Value| {
        let mut listener = bundled.clone();
        let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
        let filter = &mut manager["http_filters"][0]["typed_config"]["config"];
        let filter = &mut filter["configuration"]["value"];
        filter["providers"]["shop"]["binding"] = json!({ "dpop": binding });
        filter.as_object_mut().unwrap().remove("resources");
        listener
    };
    config["static_resources"]["listeners"][0] = with(own);
    for (port, binding) in others {
        let mut listener = with(binding);
        listener["name"] = json!(format!("beside-{port}"));
        listener["address"]["socket_address"]["port_value"] = json!(port);
        config["static_resources"]["listeners"].as_array_mut().unwrap().push(listener);
    }
    config
}

async fn send_to(gateway: &Gateway, port: u16, request: Request) -> Answer {
    let bytes = request.into_bytes();
    gateway.remember_tokens(&bytes);
    spawn_blocking(move || Connection::open(port).send(&bytes)).await.unwrap().expect("an answer")
}

fn with_proof(request: Request, token: &str, proof: &str) -> Request {
    request.with("authorization", format!("DPoP {token}")).with("dpop", proof)
}

/// What a client writes and what it says in its proof: the same request in another spelling
/// passes, every other does not, whatever Envoy makes of the path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_is_for_the_request_that_it_names() {
    let gateway = Setup::of(yaml(&listeners(&json!({}), &[]))).start_beside_others().await;
    gateway.ready().await;
    let key = ProofKey::new();
    let bound = bound_to(&gateway, &key);
    for (case, line, host, method, uri, passes) in [
        ("itself", "GET /orders", "shop.example", "GET", URI, true),
        ("a query", "GET /orders?a=b", "shop.example", "GET", URI, true),
        (
            "a query in both",
            "GET /orders?a=b",
            "shop.example",
            "GET",
            "http://shop.example/orders?c#d",
            true,
        ),
        ("capitals", "GET /orders", "shop.example", "GET", "HTTP://SHOP.example/orders", true),
        ("capitals of the host", "GET /orders", "SHOP.Example", "GET", URI, true),
        ("the port of http", "GET /orders", "shop.example:80", "GET", URI, true),
        (
            "the port in the proof",
            "GET /orders",
            "shop.example",
            "GET",
            "http://shop.example:80/orders",
            true,
        ),
        ("escaped for nothing", "GET /%6frders", "shop.example", "GET", URI, true),
        (
            "escaped in the proof",
            "GET /orders",
            "shop.example",
            "GET",
            "http://shop.example/%6Frders",
            true,
        ),
        ("dots", "GET /a/../orders", "shop.example", "GET", URI, true),
        ("the whole address", "GET http://shop.example/orders", "shop.example", "GET", URI, true),
        (
            "the whole address of another",
            "GET http://evil.example/orders",
            "shop.example",
            "GET",
            URI,
            false,
        ),
        ("another host", "GET /orders", "evil.example", "GET", URI, false),
        ("the whole name of the host", "GET /orders", "shop.example.", "GET", URI, true),
        ("another port", "GET /orders", "shop.example:8080", "GET", URI, false),
        (
            "the port of https",
            "GET /orders",
            "shop.example",
            "GET",
            "http://shop.example:443/orders",
            false,
        ),
        ("another case", "GET /Orders", "shop.example", "GET", URI, false),
        ("a slash more", "GET /orders/", "shop.example", "GET", URI, false),
        ("below", "GET /orders/7", "shop.example", "GET", URI, false),
        ("a parameter", "GET /orders;a=b", "shop.example", "GET", URI, false),
        ("a null byte", "GET /orders%00", "shop.example", "GET", URI, false),
        ("an escaped slash", "GET /orders%2f", "shop.example", "GET", URI, false),
        ("an escaped query", "GET /orders%3Fa", "shop.example", "GET", URI, false),
        ("escaped twice", "GET /%256frders", "shop.example", "GET", URI, false),
        ("the path alone", "GET /orders", "shop.example", "GET", "/orders", false),
        (
            "another user",
            "GET /orders",
            "shop.example",
            "GET",
            "http://x@shop.example/orders",
            false,
        ),
        ("DELETE", "DELETE /orders", "shop.example", "GET", URI, false),
        ("POST", "POST /orders", "shop.example", "GET", URI, false),
        ("small letters", "GET /orders", "shop.example", "get", URI, false),
        ("no method", "GET /orders", "shop.example", "", URI, false),
    ] {
        let proof = key.proof(method, uri, &bound, None);
        let request = Request::bare(format!("{line} HTTP/1.1")).with("host", host);
        let request = with_proof(request, &bound, &proof);
        let answer = gateway.send(request).await;
        let outcome = answer.outcome();
        assert_eq!(outcome == "200", passes, "{case}: {answer}");
        let known = ["401 dpop_invalid", "400 path_ambiguous"].contains(&outcome.as_str());
        assert!(passes || known || answer.status == 400, "{case}: {answer}");
    }
    // Headers that name another method or address change neither.
    for (name, value) in [
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/admin"),
        ("x-rewrite-url", "/admin"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-prefix", "/admin"),
        ("forwarded", "host=evil.example;proto=https"),
    ] {
        let proof = key.proof("GET", URI, &bound, None);
        let request = with_proof(Request::get("/orders"), &bound, &proof).with(name, value);
        assert_eq!(gateway.send(request).await.outcome(), "200", "{name}");
    }
    // Two fields, whoever comes first; and a proof in another's place.
    let (good, other) = (key.proof("GET", URI, &bound, None), ProofKey::new());
    let bad = other.proof("GET", URI, &bound, None);
    for (case, proofs) in [
        ("a bad one behind", vec![good.clone(), bad.clone()]),
        ("a bad one before", vec![bad.clone(), good.clone()]),
        ("joined", vec![format!("{good}, {bad}")]),
        ("twice the same", vec![good.clone(), good.clone()]),
        ("an empty one", vec![String::new(), good.clone()]),
        ("the token", vec![bound.clone()]),
        ("nothing", vec![]),
    ] {
        let mut request = Request::get("/orders").with("authorization", format!("DPoP {bound}"));
        for proof in &proofs {
            request = request.with("DPoP", proof);
        }
        assert_eq!(gateway.send(request).await.outcome(), "401 dpop_invalid", "{case}");
    }
    // The proof as a token, and the token of another.
    let bearer = Request::get("/orders").bearer(&good);
    assert_eq!(gateway.send(bearer).await.status, 401);
    let stranger = gateway.token("bob");
    let request = with_proof(Request::get("/orders"), &stranger, &good);
    assert_eq!(gateway.send(request).await.outcome(), "401 binding_mismatch");
    let request = with_proof(Request::get("/orders"), &bound, &good);
    assert_eq!(gateway.send(request).await.outcome(), "200", "none of this used it up");
}

/// A proof counts once at a proxy, whatever listener it comes to; and a nonce is that of the
/// gateway that made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proof_counts_once_at_all_listeners() {
    let spare = Ports::unused();
    let (long, asking, other) = (spare.listener, spare.auth, spare.users);
    let others = [
        (long, json!({"max_age_seconds": 600})),
        (asking, json!({"nonce_keys": ["0123456789-a-key-of-nonces"]})),
        (other, json!({"nonce_keys": ["another-0123456789-key-of-nonces"]})),
    ];
    let config = listeners(&json!({}), &others);
    let setup = Setup::of(yaml(&config)).secret("0123456789-a-key-of-nonces");
    let gateway = setup.workers(2).start_beside_others().await;
    gateway.ready().await;
    let key = ProofKey::new();
    let bound = bound_to(&gateway, &key);
    let request = |nonce: Option<&str>| {
        let proof = key.proof("GET", URI, &bound, nonce);
        with_proof(Request::get("/orders"), &bound, &proof)
    };
    let own = gateway.ports.listener;
    for (first, second) in [(own, long), (long, own)] {
        let good = request(None);
        assert_eq!(send_to(&gateway, first, good.clone()).await.outcome(), "200");
        for _ in 0..8 {
            for port in [first, second] {
                let outcome = send_to(&gateway, port, good.clone()).await.outcome();
                assert_eq!(outcome, "401 dpop_invalid");
            }
        }
    }
    let nonce_of = |answer: &Answer| answer.header("dpop-nonce").expect("a nonce").to_owned();
    let nonce = nonce_of(&send_to(&gateway, asking, request(None)).await);
    for (case, nonce) in [
        ("another gateway's", nonce.clone()),
        ("half of one", nonce[..nonce.len() / 2].to_owned()),
        ("made up", BASE64URL.encode([7; 24])),
        ("empty", String::new()),
    ] {
        let answer = send_to(&gateway, other, request(Some(&nonce))).await;
        assert_eq!(answer.outcome(), "401 dpop_invalid", "{case}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"use_dpop_nonce\""), "{case}: {challenge}");
        assert_ne!(nonce_of(&answer), nonce, "{case}");
    }
    // With a nonce at the one that asks, and never again at those that do not.
    let good = request(Some(&nonce));
    assert_eq!(send_to(&gateway, asking, good.clone()).await.outcome(), "200");
    for port in [asking, other, own, long] {
        let outcome = send_to(&gateway, port, good.clone()).await.outcome();
        assert_eq!(outcome, "401 dpop_invalid");
    }
}

/// Envoy sends a redirected request through the filters again: without its token and its
/// proof, which were taken from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_internal_redirect_needs_a_proof_of_its_own() {
    let port = Ports::unused().listener;
    let mut config = listeners(&json!({}), &[]);
    let manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3\
                   .HttpConnectionManager";
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let resources = &mut config["static_resources"];
    resources["listeners"].as_array_mut().unwrap().push(json!({
        "name": "redirects",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": manager, "stat_prefix": "redirects",
                "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{
                    "match": {"prefix": "/"},
                    "redirect": {"path_redirect": "/orders", "response_code": "FOUND"},
                }]}]},
            },
        }]}],
    }));
    resources["clusters"].as_array_mut().unwrap().push(json!({
        "name": "redirects", "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "redirects", "endpoints": [{"lb_endpoints": [{"endpoint":
            {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]},
    }));
    let own = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
    let routes = own["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().unwrap();
    routes.insert(0, json!({
        "match": {"path": "/jump"},
        "route": {"cluster": "redirects",
            "internal_redirect_policy": {"max_internal_redirects": 1, "redirect_response_codes": [302]}},
    }));
    let gateway = Setup::of(yaml(&config)).start_beside_others().await;
    gateway.ready().await;
    let key = ProofKey::new();
    let bound = bound_to(&gateway, &key);
    let jump = "http://shop.example/jump";
    let proof = key.proof("GET", jump, &bound, None);
    let answer = gateway.send(with_proof(Request::get("/jump"), &bound, &proof)).await;
    assert_eq!(answer.outcome(), "401 token_missing", "{answer}");
    let answer = gateway.get("/jump", &gateway.token("bob")).await;
    assert_eq!(answer.outcome(), "401 token_missing", "{answer}");
}
