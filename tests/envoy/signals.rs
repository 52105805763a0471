//! Logout tokens and security events at a real Envoy: they hold at every worker.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::gateway::{Gateway, Setup};
use crate::resources::transactions;
use crate::revocation::nothing_passes_after;
use crate::stack::auth::{Auth, ISSUER};
use crate::stack::keys;
use crate::wire::Request;

const LOGOUT: &str = "/.well-known/gatepass/backchannel-logout";
const EVENTS: &str = "/.well-known/gatepass/events";
const AUTHORIZATION: &str = "Bearer of-the-stream-of-events";

fn setup() -> Setup {
    let own = "                      endpoint:\n";
    let transmitter = json!({
        "issuer": ISSUER, "audiences": ["gateway"], "authorization": AUTHORIZATION,
        "remote_jwks": {"service": "auth", "path": "/.well-known/jwks.json"},
    });
    let signals = format!(
        "                      events: {{path: {EVENTS}, transmitters: [{transmitter}]}}\n{own}"
    );
    let buffered = "- match: {path: /.well-known/gatepass/revocations}";
    let more = {
        let buffer = "type.googleapis.com/envoy.extensions.filters.http.buffer.v3.BufferPerRoute";
        format!(
            "- match: {{path: {EVENTS}}}\n                route: {{cluster: upstream}}\n                \
             typed_per_filter_config: {{envoy.filters.http.buffer: {{\"@type\": {buffer}, buffer: \
             {{max_request_bytes: 262144}}}}}}\n              "
        )
    };
    Setup::bundled()
        .replace(own, &signals)
        .replace_block("feed:", "")
        .replace(buffered, &format!("{more}{buffered}"))
        .secret(AUTHORIZATION)
}

fn logout_token(gateway: &Gateway, changes: &Value) -> String {
    let mut claims = json!({
        "iss": ISSUER, "aud": "web", "sub": "alice", "iat": Auth::claims("alice").unwrap()["iat"],
        "jti": keys::random_text(),
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    gateway.services.auth.sign_as("logout+jwt", &claims)
}

fn logout(token: &str) -> Request {
    Request::post(LOGOUT, &format!("logout_token={token}"))
        .with("content-type", "application/x-www-form-urlencoded")
}

fn event_token(gateway: &Gateway, sub: &str) -> String {
    let claims = json!({
        "iss": ISSUER, "aud": "gateway", "iat": Auth::claims("alice").unwrap()["iat"],
        "jti": keys::random_text(), "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": sub},
        "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}},
    });
    gateway.services.auth.sign_as("secevent+jwt", &claims)
}

fn event(token: &str) -> Request {
    Request::post(EVENTS, token)
        .with("content-type", "application/secevent+jwt")
        .with("authorization", AUTHORIZATION)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_accepted_after_the_logout() {
    let gateway = setup().start_beside_others().await;
    gateway.ready().await;
    // Issued before the logout, which ends what there is at its time.
    let access_token = gateway.token("alice");
    let token = logout_token(&gateway, &json!({}));
    nothing_passes_after(&gateway, &access_token, logout(&token), 200).await;
    // At every worker it was received before.
    for _ in 0..20 {
        let answer = gateway.send(logout(&token)).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    // And is no token for anything else, nor is one that says it is an access token.
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    for (typ, sub) in [("logout+jwt", "bob"), ("JWT", "bob"), ("at+jwt", "bob")] {
        let mut claims = Auth::claims(sub).unwrap();
        claims["events"] = events.clone();
        let token = gateway.services.auth.sign_as(typ, &claims);
        assert_eq!(gateway.get("/orders", &token).await.outcome(), "401 token_type_mismatch");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_accepted_after_the_event() {
    let gateway = setup().start_beside_others().await;
    gateway.ready().await;
    let access_token = gateway.token("alice");
    let token = event_token(&gateway, "alice");
    nothing_passes_after(&gateway, &access_token, event(&token), 202).await;
    for _ in 0..4 {
        assert_eq!(gateway.send(event(&token)).await.status, 202, "it comes again");
    }
    let forged = Request::post(EVENTS, &token)
        .with("content-type", "application/secevent+jwt")
        .with("authorization", "Bearer of-nobody");
    let answer = gateway.send(forged).await;
    assert_eq!((answer.status, &answer.json()["err"]), (400, &json!("authentication_failed")));
    assert_eq!(gateway.get("/orders", &token).await.outcome(), "401 token_type_mismatch");
}

/// They were taken in before the event, and go on after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_meanwhile_do_not_pass() {
    let gateway = Arc::new(
        setup().replace("timeout_ms: 500", "timeout_ms: 9000").start_beside_others().await,
    );
    gateway.ready().await;
    // Long enough for a machine that is busy.
    gateway.users_fault(json!({"kind": "slow", "delay_ms": 3000})).await;
    for (sub, status) in [("alice", 202), ("bob", 200)] {
        let calls = gateway.user_calls(sub).await;
        let token = gateway.token(sub);
        let waiting: Vec<_> = (0..6)
            .map(|_| tokio::spawn(gateway.send_beside(Request::get("/orders").bearer(&token))))
            .collect();
        crate::gateway::until("the user service is asked", || async {
            gateway.user_calls(sub).await > calls
        })
        .await;
        // It ends what there is when it is made.
        let end = match sub {
            "alice" => event(&event_token(&gateway, sub)),
            _ => logout(&logout_token(&gateway, &json!({"sub": sub}))),
        };
        assert_eq!(gateway.send(end).await.status, status, "{sub}");
        for outcome in waiting {
            assert_eq!(outcome.await.unwrap(), "401 token_revoked", "{sub}");
        }
    }
}

/// What a service got before is as old as the access token that it was made for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_ends_the_transactions_that_services_continue() {
    let gateway = transactions("127.0.0.0/8").start_beside_others().await;
    gateway.ready().await;
    let mut claims = Auth::claims("alice").unwrap();
    let now = claims["iat"].as_i64().unwrap();
    claims["iat"] = json!(now - 20);
    let old = gateway.services.auth.sign(&claims);
    let begin = async |token: &str| {
        gateway.get("/orders/7", token).await.seen().values("txn-token")[0].to_owned()
    };
    let resume = async |transaction: &str| {
        let request = Request::get("/basket").with("Txn-Token", transaction);
        gateway.send(request).await.outcome()
    };
    let (before, new) = (begin(&old).await, begin(&gateway.token("alice")).await);
    assert_eq!(resume(&before).await, "200");
    let token = logout_token(&gateway, &json!({"iat": now - 10}));
    assert_eq!(gateway.send(logout(&token)).await.status, 200);
    assert_eq!(resume(&before).await, "401 token_revoked");
    assert_eq!(resume(&new).await, "200");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_never_sees_a_signal() {
    let gateway = setup().workers(1).start_beside_others().await;
    gateway.ready().await;
    let stat = "cluster.upstream.upstream_rq_total";
    let before = gateway.stat(stat).await;
    let (token, set) = (logout_token(&gateway, &json!({})), event_token(&gateway, "alice"));
    for (case, request, expected) in [
        ("a logout", logout(&token), 200),
        ("an event", event(&set), 202),
        ("no form", Request::post(LOGOUT, &token), 400),
        ("no event", event("x"), 400),
        ("no token", logout("").with("x-a", "b"), 400),
        (
            "empty",
            { Request::post(LOGOUT, "").with("content-type", "application/x-www-form-urlencoded") },
            400,
        ),
        ("an empty event", event(""), 400),
        ("GET", Request::get(LOGOUT), 405),
        ("GET of events", Request::get(EVENTS), 405),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, expected, "{case}: {answer}");
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{case}: {answer}");
    }
    // In pieces.
    let bytes = logout(&logout_token(&gateway, &json!({"sub": "carol"}))).into_bytes();
    gateway.remember_tokens(&bytes);
    let (head, rest) = bytes.split_at(bytes.len() - 5);
    let mut connection = crate::wire::Connection::open(gateway.ports.listener);
    connection.write(head);
    sleep(Duration::from_millis(200)).await;
    connection.write(rest);
    assert_eq!(connection.read_answer().unwrap().status, 200);
    assert_eq!(gateway.stat(stat).await, before);
}

/// Forms and bodies as no issuer sends them, tokens in each other's place, and another
/// provider's word about a user: none revokes anything, and each is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_signals_revoke_nothing() {
    let gateway = setup().start_beside_others().await;
    gateway.ready().await;
    let access_token = gateway.token("alice");
    let good = || logout_token(&gateway, &json!({}));
    let form = |kind: &str, body: String| Request::post(LOGOUT, &body).with("content-type", kind);
    let urlencoded = |body: String| form("application/x-www-form-urlencoded", body);
    let parts = format!(
        "--x\r\ncontent-disposition: form-data; name=\"logout_token\"\r\n\r\n{}\r\n--x--\r\n",
        good()
    );
    let as_type = |typ: &str, changes: Value| {
        let mut claims = json!({
            "iss": ISSUER, "aud": "web", "sub": "alice", "iat": Auth::claims("alice").unwrap()["iat"],
            "jti": keys::random_text(),
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        gateway.services.auth.sign_as(typ, &claims)
    };
    let unsigned = {
        let token = good();
        let payload = token.split('.').nth(1).unwrap().to_owned();
        // {"alg":"none","typ":"logout+jwt"}
        format!("eyJhbGciOiJub25lIiwidHlwIjoibG9nb3V0K2p3dCJ9.{payload}.")
    };
    let set = event_token(&gateway, "alice");
    let about = |subject: Value| {
        gateway.services.auth.sign_as(
            "secevent+jwt",
            &json!({
                "iss": ISSUER, "aud": ["x", "gateway"], "jti": keys::random_text(),
                "iat": Auth::claims("alice").unwrap()["iat"], "sub_id": subject,
                "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}},
            }),
        )
    };
    let nested = |depth: usize| format!("{}{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    for (case, request, expected) in [
        ("in parts", form("multipart/form-data; boundary=x", parts), 400),
        ("as text", form("text/plain", format!("logout_token={}", good())), 400),
        ("as JSON", form("application/json", json!({"logout_token": good()}).to_string()), 400),
        ("as a token", form("application/logout+jwt", good()), 400),
        ("two", urlencoded(format!("logout_token={}&logout_token={}", good(), good())), 400),
        ("two spellings", urlencoded(format!("logout_token={}&logout%5ftoken=x", good())), 400),
        (
            "two types",
            urlencoded(format!("logout_token={}", good())).with("content-type", "a/b"),
            400,
        ),
        ("another name", urlencoded(format!("LOGOUT_TOKEN={}", good())), 400),
        ("UTF-16", urlencoded("\0l\0o\0g\0o\0u\0t".to_owned()), 400),
        ("an access token", urlencoded(format!("logout_token={access_token}")), 400),
        ("an event", urlencoded(format!("logout_token={set}")), 400),
        ("unsigned", urlencoded(format!("logout_token={unsigned}")), 400),
        ("typ of an access token", logout(&as_type("at+jwt", json!({}))), 400),
        ("typ of a proof", logout(&as_type("dpop+jwt", json!({}))), 400),
        ("another client", logout(&as_type("logout+jwt", json!({"aud": "shop-api"}))), 400),
        ("clients, none of ours", logout(&as_type("logout+jwt", json!({"aud": ["x", "y"]}))), 400),
        ("no client", logout(&as_type("logout+jwt", json!({"aud": []}))), 400),
        ("a nonce", logout(&as_type("logout+jwt", json!({"nonce": "n"}))), 400),
        (
            "another issuer",
            logout(&as_type("logout+jwt", json!({"iss": "https://else.example"}))),
            400,
        ),
        ("nobody", logout(&as_type("logout+jwt", json!({"sub": null}))), 400),
        (
            "nested events",
            logout(&as_type(
                "logout+jwt",
                json!({"events": {"x": {
            "http://schemas.openid.net/event/backchannel-logout": {}}}}),
            )),
            400,
        ),
        (
            "a list of events",
            logout(&as_type(
                "logout+jwt",
                json!({"events": [
            "http://schemas.openid.net/event/backchannel-logout"]}),
            )),
            400,
        ),
        ("tomorrow's", logout(&as_type("logout+jwt", json!({"iat": 4_000_000_000_u64}))), 400),
        ("60 kB", urlencoded(format!("logout_token={}", "a".repeat(60_000))), 400),
        ("60 kB beside it", urlencoded(format!("x={}&logout_token=x", "a".repeat(60_000))), 400),
        ("deep", urlencoded(format!("logout_token={}", nested(8_000))), 400),
        ("too much", urlencoded(format!("logout_token={}", "a".repeat(70_000))), 413),
        ("events: an access token", event(&access_token), 400),
        ("events: a logout", event(&good()), 400),
        ("events: 60 kB", event(&"a".repeat(60_000)), 400),
        ("events: too much", event(&"a".repeat(70_000)), 413),
        (
            "events: as a form",
            Request::post(EVENTS, &set)
                .with("authorization", AUTHORIZATION)
                .with("content-type", "application/x-www-form-urlencoded"),
            400,
        ),
        (
            "events: of another issuer's user",
            event(&about(json!({"format": "iss_sub",
            "iss": "https://else.example", "sub": "alice"}))),
            400,
        ),
        ("events: of nobody", event(&about(json!({"format": "iss_sub", "iss": ISSUER}))), 400),
        ("events: a device", event(&about(json!({"format": "did", "url": "did:x:alice"}))), 400),
        ("events: twice authorized", event(&set).with("authorization", AUTHORIZATION), 400),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, expected, "{case}: {answer}");
        assert!(!answer.to_string().contains("alice"), "{case}: {answer}");
        let outcome = gateway.get("/orders", &access_token).await.outcome();
        assert_eq!(outcome, "200", "{case}");
    }
    // What no token is for, by any header; and a good one still counts, with a charset.
    for (token, code) in [
        (&set, "token_type_mismatch"),
        (&good(), "token_type_mismatch"),
        (&unsigned, "token_malformed"),
    ] {
        assert_eq!(gateway.get("/orders", token).await.outcome(), format!("401 {code}"));
    }
    let body = format!("state=x&logout_token={}", good());
    let last = form("Application/X-WWW-Form-Urlencoded ; charset=\"utf-8\"", body);
    assert_eq!(gateway.send(last).await.status, 200);
    assert_eq!(gateway.get("/orders", &access_token).await.outcome(), "401 token_revoked");
}
