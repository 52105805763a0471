//! Logout tokens and security events at a real Envoy: they hold at every worker.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::gateway::{Gateway, Setup};
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
    let gateway = setup().start().await;
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
    let gateway = setup().start().await;
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
    let gateway = Arc::new(setup().replace("timeout_ms: 500", "timeout_ms: 9000").start().await);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstream_never_sees_a_signal() {
    let gateway = setup().workers(1).start().await;
    gateway.ready().await;
    let stat = "cluster.upstream.upstream_rq_total";
    let before = gateway.stat(stat).await;
    let (token, set) = (logout_token(&gateway, &json!({})), event_token(&gateway, "alice"));
    for (case, request, expected) in [
        ("a logout", logout(&token), 200),
        ("an event", event(&set), 202),
        ("no form", Request::post(LOGOUT, &token), 400),
        ("no event", event("x"), 400),
        ("empty", logout("").with("x-a", "b"), 400),
        ("GET", Request::get(LOGOUT), 405),
        ("GET of events", Request::get(EVENTS), 405),
    ] {
        let answer = gateway.send(request).await;
        assert_eq!(answer.status, expected, "{case}: {answer}");
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
