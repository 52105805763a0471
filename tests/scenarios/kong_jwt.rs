//! Consumers of Kong's jwt plugin, on every host; what the plugin does row by row
//! is in `tests/kong_jwt`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use serde_json::{Value, json};

use crate::host::{Head, each_host};
use crate::shop::{self, START, identity};

/// 32 characters, as Kong makes them up.
const SECRET: &str = "c2NlbmFyaW8tc2VjcmV0LTAxMjM0NTY3";

fn token(key: &str) -> String {
    let claims = json!({ "iss": key, "exp": START + 3600, "sub": "ceo" });
    let encode = |part: Value| BASE64URL.encode(part.to_string());
    let input = format!("{}.{}", encode(json!({ "alg": "HS256" })), encode(claims));
    let signature =
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes()), input.as_bytes());
    format!("{input}.{}", BASE64URL.encode(signature))
}

fn plugin() -> Value {
    json!({
        "providers": { "legacy": { "kind": "kong_jwt", "claims_to_verify": ["exp"] } },
        "consumers": { "entries": [{
            "id": "a1", "username": "acme", "acls": [{ "group": "partners" }],
            "jwt_secrets": [{ "key": "acme-key", "secret": SECRET }],
        }] },
        "user_info": null, "claim_to_headers": null,
        "identity_token": { "subject": "{provider}:{sub}" },
        "errors": { "realm": null, "format": "kong" },
    })
}

each_host!(a_consumer_of_kongs_plugin_gets_through, |host| {
    shop::open(host, plugin());
    let head = Head::get("/")
        .header("authorization", &format!("Bearer {}", token("acme-key")))
        .header("x-consumer-username", "root");
    let request = host.send(head);
    assert!(request.is_forwarded(), "{:?}", request.outcome());
    for (name, value) in [
        ("x-consumer-id", "a1"),
        ("x-consumer-username", "acme"),
        ("x-consumer-groups", "partners"),
        ("x-credential-identifier", "acme-key"),
    ] {
        assert_eq!(request.upstream_headers(name), [value], "{name}");
    }
    let claims = identity(host, &request);
    assert_eq!(claims["sub"], "legacy:acme-key", "the credential, not whom its holder names");
    assert_eq!(claims["consumer"]["username"], "acme");
});

each_host!(a_token_in_the_query_is_taken_and_goes_no_further, |host| {
    shop::open(host, plugin());
    let request = host.send(Head::get(&format!("/a?jwt={}&b=c", token("acme-key"))));
    assert!(request.is_forwarded(), "{:?}", request.outcome());
    assert_eq!(request.upstream_headers(":path"), ["/a?b=c"]);
});

each_host!(denials_are_the_plugins, |host| {
    shop::open(host, plugin());
    for (token, body, challenge) in [
        (None, r#"{"message":"Unauthorized"}"#, "Bearer"),
        (
            Some(token("nobody")),
            r#"{"message":"No credentials found for given 'iss'"}"#,
            r#"Bearer error="invalid_token""#,
        ),
    ] {
        let head = Head::get("/");
        let request = host.send(match token {
            Some(token) => head.header("authorization", &format!("Bearer {token}")),
            None => head,
        });
        let reply = request.reply();
        assert_eq!(reply.status, 401);
        assert_eq!(String::from_utf8_lossy(&reply.body).trim_end(), body);
        assert_eq!(reply.header("www-authenticate").as_deref(), Some(challenge));
    }
});
