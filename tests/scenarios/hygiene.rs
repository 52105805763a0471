//! What the client may not say: owned headers and the public token.

use serde_json::json;

use crate::host::{Head, Host, Outcome, Request, each_host};
use crate::shop::{self, assert_denied, bearer, served, token, user_reply};

/// Names that the filter owns, of each kind.
const OWNED: [&str; 9] = [
    "x-consumer-id",
    "x-consumer-username",
    "x-consumer-custom-id",
    "x-consumer-groups",
    "x-credential-identifier",
    "x-anonymous-consumer",
    "x-authenticated-groups",
    "x-identity-token",
    "x-user-country",
];

/// A head on each path that a request can leave the filter by.
fn ways() -> [(&'static str, Head); 4] {
    let preflight = Head::get("/").method("OPTIONS");
    let origin = [("origin", "https://a.example"), ("access-control-request-method", "GET")];
    [
        ("identified", Head::get("/").header("authorization", &bearer("alice"))),
        ("bypassed", Head::get("/login")),
        ("anonymous", Head::get("/catalog")),
        ("preflight", preflight.headers(origin)),
    ]
}

fn send(host: &Host, head: Head) -> Request {
    let request = host.send(head);
    if request.is_paused() {
        request.answer(user_reply("alice"));
    }
    request
}

/// What an upstream takes for this header, whatever it makes of its name.
fn as_upstream_reads(request: &Request, name: &str) -> Vec<String> {
    let Outcome::Forwarded { headers, failed_open: None } = request.outcome() else {
        panic!("{:?}", request.outcome());
    };
    let as_variable =
        |name: &str| name.to_ascii_uppercase().replace(|c: char| !c.is_alphanumeric(), "_");
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    let same = headers.into_iter().filter(|(other, _)| as_variable(other) == as_variable(name));
    same.map(|(_, value)| text(value)).collect()
}

each_host!(a_forged_header_never_arrives, |host| {
    shop::open(host, json!({}));
    for name in OWNED {
        let spellings = [
            name.to_owned(),
            name.to_ascii_uppercase(),
            name.replace('-', "_"),
            name.replacen('-', "_", 1),
            name.replace('-', "."),
            name.replacen('-', "~", 1),
        ];
        for spelling in spellings {
            for (way, head) in ways() {
                let request = send(host, head.header(&spelling, "forged"));
                if host.is_kong() && spelling.contains(['_', '.', '~']) {
                    assert_denied(&request, 400, "header_repeated");
                    continue;
                }
                let values = as_upstream_reads(&request, name);
                assert!(!values.contains(&"forged".to_owned()), "{way}: {spelling} {values:?}");
                // Kong can blank a header, not remove it.
                let said: Vec<_> = values.iter().filter(|value| !value.is_empty()).collect();
                assert!(said.len() <= 1, "{way}: {spelling} {values:?}");
                assert!(host.is_kong() || said.len() == values.len(), "{way}: {spelling}");
            }
        }
    }
});

each_host!(a_forged_header_is_replaced_by_the_truth, as built too, |host| {
    shop::open(host, json!({}));
    let head = Head::get("/").header("authorization", &bearer("alice"));
    let request = send(host, head.header("X-Consumer-Id", "root").header("X-User-Country", "XX"));
    assert_eq!(request.upstream_headers("x-consumer-id"), ["5c0c"]);
    assert_eq!(request.upstream_headers("x-user-country"), ["NL"]);
});

each_host!(a_repeated_forged_header_is_removed_on_envoy_and_refused_on_kong, as built too, |host| {
    shop::open(host, json!({}));
    for (first, second) in [
        ("x-consumer-id", "x-consumer-id"),
        ("X-Consumer-ID", "x-consumer-id"),
        ("x-consumer-id", "x_consumer_id"),
        ("x_identity_token", "X-Identity-Token"),
    ] {
        for (way, head) in ways() {
            let request = send(host, head.header(first, "forged").header(second, "forged"));
            if host.is_kong() {
                assert_denied(&request, 400, "header_repeated");
            } else {
                assert!(request.is_forwarded(), "{way}");
                for name in [first, second] {
                    let values = as_upstream_reads(&request, name);
                    assert!(!values.contains(&"forged".to_owned()), "{way}: {name} {values:?}");
                }
            }
        }
    }
});

each_host!(other_headers_pass_as_they_are, |host| {
    shop::open(host, json!({}));
    let head = Head::get("/").header("authorization", &bearer("alice"));
    let head = head.header("accept", "a").header("accept", "b").raw_header("x-odd", b"\xff\x80");
    let request = send(host, head);
    assert_eq!(request.upstream_headers("accept"), ["a", "b"]);
    assert_eq!(request.upstream_bytes("x-odd"), [b"\xff\x80"]);
});

each_host!(connection_cannot_name_an_owned_header, as built too, |host| {
    shop::open(host, json!({}));
    let head = Head::get("/login").header("connection", "keep-alive, X-Identity-Token");
    assert_eq!(host.send(head).upstream_headers("connection"), ["keep-alive"]);
});

// RFC 9110 section 5.5 (R51)
each_host!(a_byte_above_ascii_is_no_trap, as built too, |host| {
    shop::open(host, json!({}));
    let get = || Head::get("/");
    for (case, head, denied) in [
        ("in a header", get().raw_header("x-any", b"\xff"), (401, "token_missing")),
        (
            "in the token",
            get().raw_header("authorization", b"Bearer \xff"),
            (401, "token_malformed"),
        ),
        ("in the scheme", get().raw_header("authorization", b"\xff t"), (401, "token_missing")),
        ("in the path", get().raw_header(":path", b"/\xff"), (401, "token_missing")),
        ("in an owned header", get().raw_header("x-consumer-id", b"\xff"), (401, "token_missing")),
        ("in a request id", get().raw_header("x-request-id", b"\xff"), (401, "token_missing")),
        ("in a cookie", get().raw_header("cookie", b"a=\xff"), (401, "token_missing")),
    ] {
        let (status, code) = denied;
        assert_eq!(shop::denial(&host.send(head)), (status, code.to_owned()), "{case}");
    }
    served(host, "alice");
});

each_host!(two_tokens_are_refused, |host| {
    shop::open(
        host,
        json!({ "token": { "from_headers": [{ "name": "x-token" }, { "name": "x-other" }] } }),
    );
    let request = host.request([("x-token", &token("alice")), ("x-other", &token("bob"))]);
    assert_denied(&request, 400, "token_multiple");
    assert!(host.callouts().is_empty());
});

each_host!(authorization_twice_is_refused, |host| {
    shop::open(host, json!({}));
    let request =
        host.request([("authorization", &bearer("alice")), ("Authorization", &bearer("bob"))]);
    assert_eq!(request.status(), 400);
    served(host, "alice");
});

each_host!(a_token_in_a_cookie_goes_no_further, as built too, |host| {
    shop::open(host, json!({ "token": { "from_cookies": ["session"] } }));
    let cookie = format!("a=b; session={}; c=d", token("alice"));
    let request = send(host, Head::get("/").header("Cookie", &cookie));
    assert_eq!(request.upstream_headers("cookie"), ["a=b; c=d"]);
    assert_eq!(request.upstream_headers("x-consumer-username"), ["web-app"]);
    let request = send(host, Head::get("/login").header("cookie", &cookie));
    assert_eq!(request.upstream_headers("cookie"), ["a=b; c=d"]);
    let alone = format!("session={}", token("alice"));
    let request = send(host, Head::get("/").header("cookie", &alone));
    let expected: &[&str] = if host.is_kong() { &[""] } else { &[] };
    assert_eq!(request.upstream_headers("cookie"), expected);
});

each_host!(a_token_in_the_query_goes_no_further, as built too, |host| {
    shop::open(host, json!({ "token": { "from_params": ["access_token"] } }));
    for (path, expected) in [
        ("/orders?a=1&access_token=T&b=%20", "/orders?a=1&b=%20"),
        ("/orders?access_token=T", "/orders"),
        ("/login?access%5Ftoken=T&x", "/login?x"),
    ] {
        let request = send(host, Head::get(&path.replace('T', &token("alice"))));
        assert_eq!(request.upstream_headers(":path"), [expected], "{path}");
    }
});

each_host!(a_token_is_forwarded_only_if_configured, |host| {
    shop::open(host, json!({ "token": { "forward": true } }));
    let public = bearer("alice");
    let request = send(host, Head::get("/").header("authorization", &public));
    assert_eq!(request.upstream_headers("authorization"), [public]);
});

each_host!(another_scheme_is_not_ours, |host| {
    shop::open(host, json!({}));
    let request = host.send(Head::get("/login").header("authorization", "Basic dTpw"));
    assert_eq!(request.upstream_headers("authorization"), ["Basic dTpw"]);
});
