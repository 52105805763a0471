//! Tokens that are bound to their client, at every host.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use jsonwebtoken::jwk::ThumbprintHash;
use jsonwebtoken::{Algorithm, Header};
use serde_json::{Value, json};

use crate::host::{Head, Host, Request, each_host};
use crate::shop::{
    self, START, assert_denied, claims, identity, issuer, next_issuer, token, user_reply,
};

const DIGEST: &str = "0707070707070707070707070707070707070707070707070707070707070707";

fn open(host: &Host, binding: Value) {
    if host.is_kong() {
        host.with_shm_kv();
    }
    let settings = json!({"shared_data": "always", "providers": {"shop": {"binding": binding}}});
    shop::open(host, settings);
}

/// Alice's token with a `cnf`.
fn bound(confirmation: Value) -> String {
    let mut claims = claims("alice");
    claims["cnf"] = confirmation;
    issuer().sign(&claims)
}

/// The key of the client, which signs its proofs.
fn own_key() -> jsonwebtoken::jwk::Jwk {
    let mut jwk: jsonwebtoken::jwk::Jwk = serde_json::from_value(next_issuer().jwk()).unwrap();
    jwk.common = Default::default();
    jwk
}

fn proof(token: &str, id: &str) -> String {
    let mut header = Header::new(Algorithm::ES256);
    header.typ = Some("dpop+jwt".to_owned());
    header.jwk = Some(own_key());
    next_issuer().sign_as(
        &header,
        &json!({
            "jti": id, "htm": "GET", "htu": "https://shop.example/api", "iat": START,
            "ath": BASE64URL.encode(digest(&SHA256, token.as_bytes())),
        }),
    )
}

fn ask(host: &Host, token: &str, proof: &str) -> Request {
    let head = Head::get("/api").header("authorization", &format!("DPoP {token}"));
    host.send(head.header("dpop", proof))
}

each_host!(a_proof_counts_once_and_goes_no_further, |host| {
    open(host, json!({"dpop": {"public_origin": "https://shop.example"}}));
    let key = own_key().thumbprint(ThumbprintHash::SHA256).unwrap();
    let token = bound(json!({"jkt": key}));
    let first = ask(host, &token, &proof(&token, "1"));
    assert!(first.is_paused(), "{:?}", first.outcome());
    // While it waits its proof is used already, and waits for the same answer no more.
    assert_denied(&ask(host, &token, &proof(&token, "1")), 401, "dpop_invalid");
    first.answer(user_reply("alice"));
    assert!(first.is_forwarded(), "{:?}", first.outcome());
    for name in ["dpop", "authorization"] {
        let values = first.upstream_headers(name);
        assert!(values.iter().all(String::is_empty), "{name}: {values:?}");
    }
    assert_eq!(identity(host, &first)["cnf"]["jkt"], key);
    assert_denied(&ask(host, &token, &proof(&token, "1")), 401, "dpop_invalid");
    assert!(ask(host, &token, &proof(&token, "2")).is_forwarded());
    assert_denied(&shop::ask(host, &token), 401, "binding_mismatch");
    let unbound = shop::token("alice");
    assert_denied(&ask(host, &unbound, &proof(&unbound, "3")), 401, "binding_mismatch");
    let missing = host.request([("authorization", &format!("DPoP {token}"))]);
    assert_denied(&missing, 401, "dpop_invalid");
    let challenge = missing.reply().header("www-authenticate").unwrap();
    assert!(challenge.contains("DPoP error=\"invalid_dpop_proof\""), "{challenge}");
});

each_host!(a_certificate_of_the_connection, |host| {
    open(host, json!({"mtls": true}));
    let bound = bound(json!({"x5t#S256": BASE64URL.encode([7; 32])}));
    assert_denied(&shop::ask(host, &bound), 401, "binding_mismatch");
    host.set_property("connection.sha256_peer_certificate_digest", DIGEST);
    let request = shop::ask(host, &bound);
    if host.is_kong() {
        // Its filters see no certificates.
        assert_denied(&request, 401, "binding_mismatch");
        return;
    }
    assert!(request.is_paused(), "{:?}", request.outcome());
    // Known by then, and sent without the certificate.
    request.answer(user_reply("alice"));
    assert!(request.is_forwarded());
    for other in ["08", "", "é", "07"].map(|part| part.repeat(31)) {
        host.set_property("connection.sha256_peer_certificate_digest", &other);
        assert_denied(&shop::ask(host, &bound), 401, "binding_mismatch");
    }
    assert!(shop::ask(host, &token("alice")).is_forwarded(), "one that is not bound");
});

each_host!(a_certificate_that_is_passed_on, |host| {
    open(host, json!({"mtls": {"header": "x-client-cert", "from": ["127.0.0.0/8"]}}));
    if !host.is_kong() {
        host.set_property("source.address", "127.0.0.1:5000");
    }
    let bound = bound(json!({"x5t#S256": BASE64URL.encode([7; 32])}));
    let with = |value: &str| {
        let head = Head::get("/api").header("authorization", &format!("Bearer {bound}"));
        host.send(head.header("x-client-cert", value))
    };
    let request = with(&format!("Hash={DIGEST}"));
    request.answer(user_reply("alice"));
    assert!(request.is_forwarded(), "{:?}", request.outcome());
    assert_denied(&with("Hash=08"), 401, "binding_mismatch");
    assert_denied(&shop::ask(host, &bound), 401, "binding_mismatch");
    // The connection is another's, whatever headers say of the client.
    let (name, address) = match host.is_kong() {
        true => ("ngx.realip_remote_addr", "192.0.2.7"),
        false => ("source.address", "192.0.2.7:5000"),
    };
    let unbound = token("alice");
    let told = |value: &str| {
        let head = Head::get("/api").header("authorization", &format!("Bearer {unbound}"));
        let request = host.send(head.header("x-client-cert", value));
        assert!(request.is_forwarded(), "{:?}", request.outcome());
        request.upstream_headers("x-client-cert").concat()
    };
    assert_eq!(told("Hash=07"), "Hash=07", "the terminator's");
    host.set_property(name, address);
    assert_denied(&with(&format!("Hash={DIGEST}")), 401, "binding_mismatch");
    // Services believe it as the gateway does.
    assert_eq!(told("Hash=07"), "", "anybody's");
});
