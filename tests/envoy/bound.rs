//! Tokens that are bound to their client, by its certificate or its key, at a real Envoy.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};
use tokio::task::{JoinSet, spawn_blocking};

use crate::clients::{Authority, Certificate, ProofKey};
use crate::gateway::{Gateway, Setup};
use crate::stack::auth::Auth;
use crate::stack::ports::Ports;
use crate::wire::{Answer, Connection, Request};

const FILTERS: &str = "    filter_chains:\n    - filters:\n";

/// The listener with TLS, which asks clients for a certificate, or not.
fn with_tls(setup: Setup, authority: &Authority, asks: bool) -> Setup {
    let own = authority.sign("shop.example");
    let mut context = json!({"tls_certificates": [{
        "certificate_chain": {"inline_string": own.pem}, "private_key": {"inline_string": own.key},
    }]});
    if asks {
        let trusted = json!({"inline_string": authority.certificate});
        context["validation_context"] = json!({ "trusted_ca": trusted });
    }
    let socket = transport("Downstream", &context);
    setup.replace(
        FILTERS,
        &format!("    filter_chains:\n    - transport_socket: {socket}\n      filters:\n"),
    )
}

fn transport(side: &str, context: &Value) -> Value {
    let kind =
        format!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{side}TlsContext");
    let config = json!({"@type": kind, "common_tls_context": context});
    json!({"name": "envoy.transport_sockets.tls", "typed_config": config})
}

/// A port at which whoever connects is this client to the listener: without TLS in the
/// test, and with the client's certificate from there on.
fn with_client(setup: Setup, port: u16, certificate: Option<&Certificate>) -> Setup {
    let own = certificate.map(|own| {
        json!({
            "certificate_chain": {"inline_string": own.pem},
            "private_key": {"inline_string": own.key},
        })
    });
    let socket = transport("Upstream", &json!({"tls_certificates": Vec::from_iter(own)}));
    let proxy = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
    let listener = format!(
        "  listeners:\n  - name: client-{port}\n    address: {{socket_address: {{address: \
         127.0.0.1, port_value: {port}}}}}\n    filter_chains: [{{filters: [{{name: \
         envoy.filters.network.tcp_proxy, typed_config: {{\"@type\": {proxy}, stat_prefix: client, \
         cluster: client-{port}}}}}]}}]\n"
    );
    let cluster = format!(
        "  clusters:\n  - name: client-{port}\n    type: STATIC\n    connect_timeout: 1s\n    \
         transport_socket: {socket}\n    load_assignment: {{cluster_name: client-{port}, endpoints: \
         [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, \
         port_value: 10000}}}}}}}}]}}]}}\n"
    );
    setup.replace("  listeners:\n", &listener).replace("  clusters:\n", &cluster)
}

fn bound_to(gateway: &Gateway, confirmation: &Value) -> String {
    let mut claims = Auth::claims("alice").unwrap();
    claims["cnf"] = confirmation.clone();
    gateway.services.auth.sign(&claims)
}

async fn send_to(gateway: &Gateway, port: u16, request: Request) -> Answer {
    let bytes = request.into_bytes();
    gateway.remember_tokens(&bytes);
    spawn_blocking(move || Connection::open(port).send(&bytes)).await.unwrap().expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_passes_with_its_certificate_only() {
    let authority = Authority::new("clients");
    let (own, other) = (authority.sign("alice"), authority.sign("mallory"));
    let ports = Ports::unused();
    let clients = [(ports.listener, Some(&own)), (ports.auth, Some(&other)), (ports.users, None)];
    let mut setup = Setup::bundled().provider_field("binding: {mtls: true}");
    setup = with_tls(setup, &authority, true);
    for (port, certificate) in clients {
        setup = with_client(setup, port, certificate);
    }
    let gateway = setup.start_beside_others().await;
    gateway.ready().await;
    let bound = bound_to(&gateway, &json!({"x5t#S256": own.thumbprint}));
    let get = |token: &str| Request::get("/orders").bearer(token);
    // Refused before it is known and after.
    for round in ["unknown", "known"] {
        for (case, (port, _), expected) in [
            ("another's", clients[1], "401 binding_mismatch"),
            ("none", clients[2], "401 binding_mismatch"),
            ("its own", clients[0], "200"),
        ] {
            let answer = send_to(&gateway, port, get(&bound)).await;
            assert_eq!(answer.outcome(), expected, "{case}, {round}");
        }
    }
    let answer = send_to(&gateway, clients[0].0, get(&bound)).await;
    // The upstream has no TLS to fetch the keys with, so it did not verify this.
    let seen = answer.seen();
    let payload = seen.values("x-identity-token")[0].split('.').nth(1).unwrap();
    let identity: Value = serde_json::from_slice(&BASE64URL.decode(payload).unwrap()).unwrap();
    assert_eq!(identity["cnf"], json!({"x5t#S256": own.thumbprint}));
    let denied = send_to(&gateway, clients[2].0, get(&bound)).await;
    let challenge = denied.header("www-authenticate").unwrap();
    assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    for (port, _) in clients {
        let answer = send_to(&gateway, port, get(&gateway.token("bob"))).await;
        assert_eq!(answer.status, 200, "one that is not bound: {answer}");
    }
    // Many that wait for one reply, in whose callback they go on.
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 200})).await;
    let mut claims = Auth::claims("carol").unwrap();
    claims["cnf"] = json!({"x5t#S256": own.thumbprint});
    let carol = gateway.services.auth.sign(&claims);
    let bytes = Arc::new(get(&carol).into_bytes());
    gateway.remember_tokens(&bytes);
    let mut sent = JoinSet::new();
    for number in 0..16 {
        let (bytes, (port, _)) = (Arc::clone(&bytes), clients[number % 2]);
        sent.spawn_blocking(move || {
            (number, Connection::open(port).send(&bytes).unwrap().outcome())
        });
    }
    for (number, outcome) in sent.join_all().await {
        let expected = if number % 2 == 0 { "200" } else { "401 binding_mismatch" };
        assert_eq!(outcome, expected, "{number}");
    }
}

/// A listener that asks for none sees none, whatever the client would show.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_validation_context_no_certificate_is_seen() {
    let authority = Authority::new("clients");
    let own = authority.sign("alice");
    let port = Ports::unused().listener;
    let setup = Setup::bundled().workers(1).provider_field("binding: {mtls: true}");
    let gateway = with_client(with_tls(setup, &authority, false), port, Some(&own))
        .start_beside_others()
        .await;
    gateway.ready().await;
    let bound = bound_to(&gateway, &json!({"x5t#S256": own.thumbprint}));
    let answer = send_to(&gateway, port, Request::get("/orders").bearer(&bound)).await;
    assert_eq!(answer.outcome(), "401 binding_mismatch");
}

/// Envoy's address is that of the connection (`use_remote_address`), so that nobody is
/// the terminator by a header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_passed_on_counts_from_the_terminator_only() {
    for (from, expected) in [("127.0.0.0/8", "200"), ("192.0.2.0/24", "401 binding_mismatch")] {
        let binding = format!("binding: {{mtls: {{header: client-cert-hash, from: [{from}]}}}}");
        let gateway =
            Setup::bundled().workers(1).provider_field(&binding).start_beside_others().await;
        gateway.ready().await;
        let thumbprint = BASE64URL.encode([7; 32]);
        let bound = bound_to(&gateway, &json!({"x5t#S256": thumbprint}));
        let get = || Request::get("/orders").bearer(&bound);
        let passed_on = format!("Hash={}", "07".repeat(32));
        for forwarded in [None, Some("192.0.2.7"), Some("10.0.0.1, 192.0.2.7")] {
            let request = get().with("client-cert-hash", &passed_on);
            let request = match forwarded {
                Some(forwarded) => request.with("x-forwarded-for", forwarded),
                None => request,
            };
            let answer = gateway.send(request).await;
            assert_eq!(answer.outcome(), expected, "{from}, {forwarded:?}");
        }
        let twice = get().with("client-cert-hash", &passed_on).with("client-cert-hash", &passed_on);
        assert_eq!(gateway.send(twice).await.outcome(), "401 binding_mismatch", "twice");
        assert_eq!(gateway.send(get()).await.outcome(), "401 binding_mismatch", "none");
        // Services may believe the header as the gateway does.
        let unbound = gateway.token("alice");
        let request = Request::get("/orders").bearer(&unbound);
        let answer = gateway.send(request.with("Client-Cert-Hash", &passed_on)).await;
        let told = !answer.seen().values("client-cert-hash").is_empty();
        assert_eq!(told, expected == "200", "{from}: {answer}");
    }
}

const URI: &str = "http://shop.example/orders";
const NONCE_KEY: &str = "0123456789-a-key-of-nonces";

fn with_proof(token: &str, proof: &str) -> Request {
    Request::get("/orders?page=2")
        .with("authorization", format!("DPoP {token}"))
        .with("dpop", proof)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_passes_with_proofs_of_its_key_only_and_each_once() {
    let dpop = format!("binding: {{dpop: {{nonce_keys: [{NONCE_KEY}]}}}}");
    let gateway =
        Setup::bundled().provider_field(&dpop).secret(NONCE_KEY).start_beside_others().await;
    gateway.ready().await;
    let (key, other) = (ProofKey::new(), ProofKey::new());
    let bound = bound_to(&gateway, &key.confirmation());
    let asked = gateway.send(with_proof(&bound, &key.proof("GET", URI, &bound, None))).await;
    assert_eq!(asked.outcome(), "401 dpop_invalid");
    assert_eq!(asked.header("cache-control"), Some("no-store"));
    let challenge = asked.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer realm=\"shop\", DPoP error=\"use_dpop_nonce\""),
        "{challenge}"
    );
    let nonce = asked.header("dpop-nonce").unwrap();
    let good = key.proof("GET", URI, &bound, Some(nonce));
    let answer = gateway.send(with_proof(&bound, &good)).await;
    assert_eq!(answer.seen().identity()["cnf"], key.confirmation());
    let names = answer.seen().names().join(" ");
    assert!(!names.contains("dpop") && !names.contains("authorization"), "{names}");
    for _ in 0..20 {
        let answer = gateway.send(with_proof(&bound, &good)).await;
        assert_eq!(answer.outcome(), "401 dpop_invalid", "again, at any worker");
    }
    let unbound = gateway.token("bob");
    let proof =
        |key: &ProofKey, method, uri, token: &str| key.proof(method, uri, token, Some(nonce));
    for (case, request, expected) in [
        ("as bearer", Request::get("/orders").bearer(&bound), "401 binding_mismatch"),
        (
            "another key",
            with_proof(&bound, &proof(&other, "GET", URI, &bound)),
            "401 binding_mismatch",
        ),
        (
            "a token that is not bound",
            with_proof(&unbound, &proof(&key, "GET", URI, &unbound)),
            "401 binding_mismatch",
        ),
        (
            "another method",
            with_proof(&bound, &proof(&key, "POST", URI, &bound)),
            "401 dpop_invalid",
        ),
        (
            "another URI",
            with_proof(&bound, &proof(&key, "GET", "http://shop.example/", &bound)),
            "401 dpop_invalid",
        ),
        (
            "with TLS, as it is not",
            with_proof(&bound, &proof(&key, "GET", "https://shop.example/orders", &bound)),
            "401 dpop_invalid",
        ),
        (
            "another token",
            with_proof(&bound, &proof(&key, "GET", URI, &unbound)),
            "401 dpop_invalid",
        ),
        (
            "two",
            with_proof(&bound, &proof(&key, "GET", URI, &bound))
                .with("dpop", proof(&key, "GET", URI, &bound)),
            "401 dpop_invalid",
        ),
    ] {
        assert_eq!(gateway.send(request).await.outcome(), expected, "{case}");
    }
    // One proof many times at once, at both workers.
    for _ in 0..5 {
        let request = with_proof(&bound, &proof(&key, "GET", URI, &bound));
        let mut sent = JoinSet::new();
        for _ in 0..8 {
            sent.spawn(gateway.send_beside(request.clone()));
        }
        let mut outcomes = sent.join_all().await;
        outcomes.sort();
        assert_eq!(outcomes[0], "200");
        assert_eq!(outcomes[1..], ["401 dpop_invalid"; 7]);
    }
}
