//! Logouts and security events, at every host.

use serde_json::{Value, json};

use crate::host::{Head, Host, each_host};
use crate::shop::{self, ISSUER, START, ask, assert_denied, claims, issuer, served, token};

const LOGOUT: &str = "/.well-known/gatepass/backchannel-logout";
const EVENTS: &str = "/.well-known/gatepass/events";

fn settings() -> Value {
    json!({
        "shared_data": "always",
        "providers": {"shop": {"logout": {"client_ids": ["web"]}}},
        "revocation": {
            "logout_path": LOGOUT,
            "events": {"transmitters": [{
                "issuer": ISSUER, "audiences": ["gateway"],
                "local_jwks": {"keys": [issuer().jwk()]}, "authorization": "Bearer stream",
            }]},
        },
    })
}

fn open(host: &Host) {
    if host.is_kong() {
        host.with_shm_kv();
    }
    shop::open(host, settings());
}

fn logout(sub: &str) -> Head {
    let token = issuer().sign(&json!({
        "iss": ISSUER, "aud": "web", "sub": sub, "iat": START, "jti": sub,
        "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
    }));
    let head = Head::get(LOGOUT).header("content-type", "application/x-www-form-urlencoded");
    head.post(format!("logout_token={token}"))
}

fn event(sub: &str, authorization: &str) -> Head {
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::ES256);
    header.typ = Some("secevent+jwt".to_owned());
    let token = issuer().sign_as(
        &header,
        &json!({
            "iss": ISSUER, "aud": "gateway", "iat": START, "jti": sub,
            "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": sub},
            "events": {"https://schemas.openid.net/secevent/caep/event-type/session-revoked": {}},
        }),
    );
    let head = Head::get(EVENTS).header("content-type", "application/secevent+jwt");
    head.header("authorization", authorization).post(token)
}

each_host!(a_logout_is_the_end_of_the_session, |host| {
    open(host);
    served(host, "alice");
    served(host, "bob");
    let request = host.send(logout("alice"));
    assert_eq!((request.status(), request.reply().body), (200, Vec::new()));
    assert_denied(&ask(host, &token("alice")), 401, "token_revoked");
    assert!(ask(host, &token("bob")).is_forwarded());
    let again = host.send(logout("alice"));
    assert_eq!(again.status(), 400);
    let body: Value = serde_json::from_slice(&again.reply().body).unwrap();
    assert_eq!(body["error"], "invalid_request");
    assert!(host.logged(r#""by":"logout""#));
    host.tick();
    assert_eq!(host.metric("gatepass_events_total.event.logout"), 1);
});

// Without the buffer filter, whatever the body is for.
each_host!(who_answers_for_the_gateway_is_told_apart_in_the_log, by proxy_wasm, |host| {
    open(host);
    if host.is_kong() {
        return;
    }
    for (path, head) in [(LOGOUT, logout("alice")), (EVENTS, event("alice", "Bearer stream"))] {
        let request = host.send(head.by_hand());
        assert!(!request.respond(200, "via_upstream"));
        assert_denied(&request, 503, "configuration_invalid");
        shop::assert_not_awaited(host, "POST", path);
    }
});

each_host!(an_event_is_the_end_of_the_session, |host| {
    open(host);
    served(host, "alice");
    served(host, "bob");
    let wrong = host.send(event("alice", "Bearer other"));
    let body: Value = serde_json::from_slice(&wrong.reply().body).unwrap();
    assert_eq!((wrong.status(), &body["err"]), (400, &json!("authentication_failed")));
    assert!(ask(host, &token("alice")).is_forwarded());
    let request = host.send(event("alice", "Bearer stream"));
    assert_eq!((request.status(), request.reply().body), (202, Vec::new()));
    assert_denied(&ask(host, &token("alice")), 401, "token_revoked");
    assert!(ask(host, &token("bob")).is_forwarded());
    host.tick();
    assert_eq!(host.metric("gatepass_events_total.event.session-revoked"), 1);
});

each_host!(what_tells_of_an_event_is_no_token, |host| {
    open(host);
    let mut claims = claims("alice");
    claims["events"] = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    assert_denied(&ask(host, &issuer().sign(&claims)), 401, "token_type_mismatch");
});
