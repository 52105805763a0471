//! What comes after a body: it must not say what the head may not, and nothing
//! that is held back may go on with it.

use serde_json::json;

use crate::host::{Head, Host, Reply, each_host};
use crate::sealed_tokens;
use crate::shop::{self, bearer, user_reply};

const FORGED: [&str; 10] = [
    "x-consumer-id",
    "X-Consumer-Groups",
    "X-Authenticated-Groups",
    "x_identity_token",
    "x.consumer.username",
    "txn-token",
    "authorization",
    "cookie",
    "x-user-country",
    "transfer-encoding",
];

fn with_trailers(head: Head) -> Head {
    let head = FORGED.into_iter().fold(head, |head, name| head.trailer(name, "forged"));
    head.trailer("x-checksum", "stays")
}

fn expected(host: &Host) -> Vec<(String, String)> {
    // nginx drops all of them.
    let kept = [("x-checksum".to_owned(), "stays".to_owned())];
    if host.is_kong() { Vec::new() } else { kept.to_vec() }
}

each_host!(no_owned_header_and_no_token_arrives_in_a_trailer, as built too, |host| {
    shop::open(host, json!({}));
    for head in [Head::get("/login"), Head::get("/catalog")] {
        let request = host.send(with_trailers(head));
        assert_eq!(request.upstream_trailers(), expected(host));
    }
    let head = Head::get("/").header("authorization", &bearer("alice"));
    let request = host.send(with_trailers(head));
    assert!(request.is_paused(), "trailers end no wait");
    request.answer(user_reply("alice"));
    assert_eq!(request.upstream_trailers(), expected(host));
    assert_eq!(request.upstream_headers("x-consumer-id"), ["5c0c"]);
});

each_host!(a_header_that_a_rule_asks_for_is_no_trailer, |host| {
    let matches = json!({"path": "/mode", "headers": [{"name": "x-mode", "present": false}]});
    shop::open(host, json!({"rules": [{"match": matches, "bypass": true}]}));
    let request = host.send(with_trailers(Head::get("/mode")).trailer("X.Mode", "admin"));
    assert_eq!(request.upstream_trailers(), expected(host));
});

each_host!(a_login_that_ends_in_trailers_stays_held_back, as built too, |host| {
    sealed_tokens::open(host);
    let head = Head::get("/login").post(r#"{"password":"wonderland-0123456789"}"#);
    let request = host.send(head.trailer("x-checksum", "1"));
    assert!(request.is_paused(), "{:?}", request.outcome());
    request.answer(Reply::ok(json!({"access_token": shop::token("alice")}).to_string()));
    assert_eq!(request.status(), 200);
    assert!(!request.reply().text().contains(&shop::token("alice")));
    let head = Head::get("/login").trailer("x-checksum", "1");
    let request = host.send(head);
    assert!(request.is_paused());
    request.answer(Reply::status(401));
    assert_eq!(request.status(), 401);
});

each_host!(a_body_shorter_than_announced_is_answered, on Envoy, |host| {
    sealed_tokens::open(host);
    let head = Head::get("/login").method("POST").header("content-length", "40").body("{}");
    assert_eq!(host.send(head.clone().trailer("x-checksum", "1")).status(), 400);
    assert_eq!(host.send(head).status(), 400);
});
