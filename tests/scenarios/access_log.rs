//! What the host's access log may print, and by which id a request is found
//! again.

use serde_json::{Value, json};

use crate::host::{Head, Host, Profile, Request, each_host};
use crate::shop::{self, ask, bearer, issuer, served, token, user_reply};

/// On, also where it is not the default.
fn open(host: &Host, mut patch: Value) {
    patch["access_log"] = json!({ "properties": true });
    shop::open(host, patch);
}

/// Consumer, subject and code as the access log finds them.
fn noted(host: &Host, request: &Request) -> [Option<String>; 3] {
    ["consumer", "subject", "code"].map(|name| match host.profile() {
        Profile::Envoy => request.property(&format!("gatepass.{name}")),
        Profile::Kong => request.property(&format!("kong.ctx.shared.gatepass_{name}")),
    })
}

fn assert_noted(host: &Host, request: &Request, expected: [&str; 3]) {
    let noted = noted(host, request).map(Option::unwrap_or_default);
    assert_eq!(noted, expected, "empty for none");
}

each_host!(whose_request_it_was_is_noted, as built too, |host| {
    open(host, json!({}));
    assert_noted(host, &served(host, "alice"), ["web", "alice", ""]);
    let known = token("bob");
    ask(host, &known).answer(user_reply("bob"));
    assert_noted(host, &ask(host, &known), ["web", "bob", ""]);
    assert_noted(host, &host.send(Head::get("/login")), ["", "", ""]);
    assert_noted(host, &host.send(Head::get("/catalog")), ["", "", ""]);
    assert_noted(host, &host.send(Head::get(shop::JWKS_PATH)), ["", "", ""]);
});

each_host!(a_denial_is_noted_with_what_is_known, |host| {
    open(host, json!({}));
    assert_noted(host, &host.request([]), ["", "", "token_missing"]);
    // Nobody vouches for what a token says that was not verified.
    let mut claims = shop::claims("root");
    claims["exp"] = json!(shop::START - 61);
    assert_noted(host, &ask(host, &issuer().sign(&claims)), ["", "", "token_expired"]);
    let head = Head::get("/admin").header("authorization", &bearer("alice"));
    assert_noted(host, &host.send(head), ["web", "alice", "insufficient_scope"]);
});

each_host!(shadow_mode_notes_the_code, |host| {
    open(host, json!({ "mode": "shadow" }));
    let head = Head::get("/admin").header("authorization", &bearer("alice"));
    assert_noted(host, &host.send(head), ["web", "alice", "insufficient_scope"]);
});

each_host!(a_note_stays_one_word, |host| {
    open(host, json!({ "user_info": null, "claim_to_headers": null }));
    for (sub, expected) in [
        ("a\" 200 \"forged", "a%22%20200%20%22forged".to_owned()),
        ("é", "%C3%A9".to_owned()),
        (&"x".repeat(500), "x".repeat(126)),
    ] {
        assert_noted(host, &ask(host, &token(sub)), ["web", &expected, ""]);
    }
});

each_host!(notes_can_be_left_out, |host| {
    shop::open(host, json!({ "access_log": { "properties": false } }));
    assert_eq!(noted(host, &served(host, "alice")), [None, None, None]);
    assert_eq!(noted(host, &host.request([])), [None, None, None]);
});

each_host!(notes_are_the_default_on_envoy_alone, |host| {
    shop::open(host, json!({}));
    let code = noted(host, &host.request([]))[2].take();
    assert_eq!(code.is_some(), !host.is_kong());
});

fn logged_id(host: &Host) -> Value {
    let line = host.logs().into_iter().rfind(|line| line.text.contains("\"denied\"")).unwrap();
    serde_json::from_str::<Value>(&line.text).unwrap()["request_id"].take()
}

each_host!(a_denial_is_logged_with_the_hosts_id, |host| {
    shop::open(host, json!({}));
    host.request([("x-request-id", "id-of-the-header")]);
    let kongs = |id: &Value| id.as_str().is_some_and(|id| id.len() == 32);
    let id = logged_id(host);
    // Kong has an id of its own; a client may send any other.
    assert!(if host.is_kong() { kongs(&id) } else { id == "id-of-the-header" }, "{id}");
    host.request([]);
    let id = logged_id(host);
    assert!(if host.is_kong() { kongs(&id) } else { id.is_null() }, "{id}");
});

each_host!(an_id_cannot_forge_a_line, as built too, |host| {
    shop::open(host, json!({}));
    let id = format!("a\"}}{}", "x".repeat(300));
    host.send(Head::get("/").raw_header("x-request-id", b"\xff\x80\"}"));
    assert!(logged_id(host).is_string());
    host.request([("x-request-id", &id)]);
    assert!(logged_id(host).as_str().unwrap().len() <= 64);
    let lines = host.logs();
    assert!(lines.len() >= 2, "{} lines", lines.len());
    assert!(lines.iter().all(|line| !line.text.contains('\n') && line.text.len() < 1000));
});

each_host!(a_request_that_cannot_be_listed_is_logged_with_its_id, on Kong, |host| {
    shop::open(host, json!({}));
    host.send((0..100).fold(Head::get("/"), |head, n| head.header(&format!("x-{n}"), "1")));
    assert_eq!(logged_id(host).as_str().map(str::len), Some(32));
});
