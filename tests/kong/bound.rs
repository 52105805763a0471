//! Tokens that are bound to their client, by its certificate or its key, and signals of
//! their issuers, in a real nginx.

use std::path::Path;

use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::clients::{Authority, Certificate, ProofKey};
use crate::nginx::{Caller, Nginx, Setup};
use crate::stack::auth::{Auth, ISSUER};
use crate::stack::keys;
use crate::stack::ports::Ports;
use crate::wire::{Answer, Connection, Request};

/// Files that nginx reads.
fn write(name: &str, text: &str) -> String {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    std::fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

/// The listener has TLS at this port too, and asks for certificates in this way.
fn with_tls(setup: Setup, authority: &Authority, port: u16, verify: &str) -> Setup {
    let own = authority.sign("shop.example");
    setup.server(&format!(
        "listen 127.0.0.1:{port} ssl; ssl_certificate {}; ssl_certificate_key {};
         ssl_client_certificate {}; ssl_verify_client {verify}; ssl_session_cache shared:tls:1m;",
        write(&format!("{port}.pem"), &own.pem),
        write(&format!("{port}.key"), &own.key),
        write(&format!("{port}-ca.pem"), &authority.certificate),
    ))
}

/// A port at which whoever connects is this client to the port with TLS.
fn with_client(setup: Setup, port: u16, tls: u16, certificate: Option<&Certificate>) -> Setup {
    let own = certificate.map(|own| {
        let (pem, key) = (format!("{port}.pem"), format!("{port}.key"));
        let (pem, key) = (write(&pem, &own.pem), write(&key, &own.key));
        format!("proxy_ssl_certificate {pem}; proxy_ssl_certificate_key {key};")
    });
    // Each has sessions of its own.
    setup.http(&format!(
        "upstream client-{port} {{ server 127.0.0.1:{tls}; }}
         server {{ listen 127.0.0.1:{port}; location / {{ {} proxy_pass https://client-{port};
         proxy_set_header Host $http_host; }} }}\n",
        own.unwrap_or_default()
    ))
}

fn bound_to(nginx: &Nginx, confirmation: &Value) -> String {
    let mut claims = Auth::claims("alice").unwrap();
    claims["cnf"] = confirmation.clone();
    nginx.auth.sign(&claims)
}

async fn send_to(port: u16, request: Request) -> Answer {
    let bytes = request.into_bytes();
    spawn_blocking(move || Connection::open(port).send(&bytes)).await.unwrap().expect("an answer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_passes_with_its_certificate_only() {
    let (authority, strangers) = (Authority::new("clients"), Authority::new("strangers"));
    let (own, other) = (authority.sign("alice"), authority.sign("mallory"));
    let stranger = strangers.sign("alice");
    for (caller, verify) in [
        (Caller::Kong, "optional"),
        (Caller::OpenResty, "optional"),
        // Shown, and verified by nobody.
        (Caller::Kong, "optional_no_ca"),
    ] {
        let ports = Ports::unused();
        let tls = ports.listener;
        let clients = [
            (ports.auth, Some(&own), "200"),
            (ports.users, Some(&other), "401 binding_mismatch"),
            (ports.upstream, None, "401 binding_mismatch"),
        ];
        let binding = json!({"mtls": true});
        let setup = Setup::bundled().set("/providers/shop/binding", binding).caller(caller);
        let mut setup = with_tls(setup, &authority, tls, verify);
        for (port, certificate, _) in clients {
            setup = with_client(setup, port, tls, certificate);
        }
        setup = with_client(setup, ports.admin, tls, Some(&stranger));
        let nginx = setup.start().await;
        nginx.ready().await;
        let bound = bound_to(&nginx, &json!({"x5t#S256": own.thumbprint}));
        // Sessions are resumed in the later rounds.
        for round in 0..3 {
            for (port, _, expected) in clients {
                let answer = send_to(port, Request::get("/orders").bearer(&bound)).await;
                assert_eq!(answer.outcome(), expected, "{verify}, {round}: {answer}");
                let unbound = Request::get("/orders").bearer(&nginx.token("bob"));
                assert_eq!(send_to(port, unbound).await.outcome(), "200");
            }
        }
        let answer = nginx.get("/orders", &bound).await;
        assert_eq!(answer.outcome(), "401 binding_mismatch", "without TLS");
        if verify == "optional_no_ca" {
            let to = bound_to(&nginx, &json!({"x5t#S256": stranger.thumbprint}));
            let answer = send_to(ports.admin, Request::get("/orders").bearer(&to)).await;
            assert_eq!(answer.outcome(), "401 binding_mismatch", "of another authority");
        }
    }
}

/// Behind a terminator, of which nginx takes the client's address: the connection is still
/// the terminator's, and nobody else is it by a header.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_passed_on_counts_by_the_connection() {
    let real_ip = "set_real_ip_from 0.0.0.0/0; real_ip_header X-Real-IP;";
    for (from, expected) in [("127.0.0.0/8", "200"), ("192.0.2.0/24", "401 binding_mismatch")] {
        for caller in [Caller::Kong, Caller::OpenResty] {
            let binding = json!({"mtls": {"header": "x-client-cert", "from": [from]}});
            let setup = Setup::bundled().set("/providers/shop/binding", binding);
            let nginx = setup.caller(caller).http(real_ip).start().await;
            nginx.ready().await;
            let authority = Authority::new("clients");
            let own = authority.sign("alice");
            let bound = bound_to(&nginx, &json!({"x5t#S256": own.thumbprint}));
            let escaped = own.pem.replace(' ', "%20").replace('\n', "%0A").replace('+', "%2B");
            for address in ["192.0.2.7", "198.51.100.1"] {
                let request = Request::get("/orders").bearer(&bound);
                let request = request.with("x-client-cert", &escaped).with("x-real-ip", address);
                assert_eq!(nginx.send(request).await.outcome(), expected, "{from}, {address}");
            }
            // Services may believe the header as the gateway does.
            let unbound = Request::get("/orders").bearer(&nginx.token("alice"));
            let answer = nginx.send(unbound.with("x-client-cert", &escaped)).await;
            let told = !answer.seen().values("x-client-cert").is_empty();
            assert_eq!(told, expected == "200", "{from}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_passes_with_proofs_of_its_key_only_and_each_once() {
    const URI: &str = "http://shop.example/orders";
    let dpop = json!({"dpop": {"nonce_keys": ["0123456789-a-key-of-nonces"]}});
    let nginx = Setup::bundled().workers(3).set("/providers/shop/binding", dpop).start().await;
    nginx.ready().await;
    let (key, other) = (ProofKey::new(), ProofKey::new());
    let bound = bound_to(&nginx, &key.confirmation());
    let with = |proof: &str| {
        let request = Request::get("/orders?page=2");
        request.with("authorization", format!("DPoP {bound}")).with("dpop", proof)
    };
    let asked = nginx.send(with(&key.proof("GET", URI, &bound, None))).await;
    assert_eq!(asked.outcome(), "401 dpop_invalid");
    let challenge = asked.header("www-authenticate").unwrap();
    assert!(challenge.contains("DPoP error=\"use_dpop_nonce\""), "{challenge}");
    let nonce = asked.header("dpop-nonce").unwrap();
    for _ in 0..10 {
        let good = key.proof("GET", URI, &bound, Some(nonce));
        let answer = nginx.send(with(&good)).await;
        assert_eq!(answer.seen().identity()["cnf"], key.confirmation());
        let names = answer.seen().names().join(" ");
        assert!(!names.contains("dpop") && !names.contains("authorization"), "{names}");
        let mut outcomes = nginx.send_at_once(vec![with(&good); 6]).await;
        outcomes.dedup();
        assert_eq!(outcomes, ["401 dpop_invalid"], "again, at any worker");
    }
    let stolen = with(&other.proof("GET", URI, &bound, Some(nonce)));
    assert_eq!(nginx.send(stolen).await.outcome(), "401 binding_mismatch");
    let bearer = Request::get("/orders").bearer(&bound);
    assert_eq!(nginx.send(bearer).await.outcome(), "401 binding_mismatch");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_worker_accepts_a_token_after_a_logout_or_an_event() {
    const LOGOUT: &str = "/.well-known/gatepass/backchannel-logout";
    const EVENTS: &str = "/.well-known/gatepass/events";
    let transmitter = json!({
        "issuer": ISSUER, "audiences": ["gateway"], "authorization": "Bearer of-the-stream",
        "remote_jwks": {"service": "auth", "path": "/.well-known/jwks.json"},
    });
    let revocation =
        json!({"logout_path": LOGOUT, "events": {"path": EVENTS, "transmitters": [transmitter]}});
    let nginx = Setup::bundled()
        .set("/revocation", revocation)
        .set("/providers/shop/logout", json!({"client_ids": ["web"]}))
        .workers(3)
        .start()
        .await;
    nginx.ready().await;
    // Before the events, which end what was issued until their time.
    let (alice, bob) = (nginx.token("alice"), nginx.token("bob"));
    let now = Auth::claims("alice").unwrap()["iat"].clone();
    let logout_token = nginx.auth.sign_as(
        "logout+jwt",
        &json!({
            "iss": ISSUER, "aud": "web", "sub": "alice", "iat": now, "jti": keys::random_text(),
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        }),
    );
    let set = nginx.auth.sign_as(
        "secevent+jwt",
        &json!({
            "iss": ISSUER, "aud": "gateway", "iat": now, "jti": keys::random_text(),
            "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "bob"},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}},
        }),
    );
    let logout = Request::post(LOGOUT, &format!("logout_token={logout_token}"))
        .with("content-type", "application/x-www-form-urlencoded");
    let event = Request::post(EVENTS, &set)
        .with("content-type", "application/secevent+jwt")
        .with("authorization", "Bearer of-the-stream");
    for (sub, token, request, status, again) in
        [("alice", alice, logout, 200, 400), ("bob", bob, event, 202, 202)]
    {
        for _ in 0..20 {
            assert_eq!(nginx.get("/orders", &token).await.status, 200, "{sub}");
        }
        let answer = nginx.send(request.clone()).await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{answer}");
        for _ in 0..30 {
            assert_eq!(nginx.get("/orders", &token).await.outcome(), "401 token_revoked", "{sub}");
        }
        for _ in 0..10 {
            assert_eq!(nginx.send(request.clone()).await.status, again, "{sub}");
        }
    }
    let outcome = nginx.get("/orders", &nginx.token("carol")).await.outcome();
    assert_eq!(outcome, "200", "others go on");
    for token in [logout_token, set] {
        let outcome = nginx.get("/orders", &token).await.outcome();
        assert_eq!(outcome, "401 token_type_mismatch");
    }
}
