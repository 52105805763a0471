//! Tokens in cookies, which a browser sends whoever asks it to.

use serde_json::{Value, json};

use crate::support::*;

const COOKIE: &str = "__Host-session";

fn config(csrf: Value) -> Value {
    local([
        (
            "/token",
            json!({"from_cookies": [COOKIE],
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}], "csrf": csrf}),
        ),
        ("/consumers", json!({"anonymous": "guest"})),
        (
            "/rules",
            json!([
                {"match": {"path": "/open"}, "bypass": true},
                {"match": {"path": "/guests"}, "requires": {"allow_missing": true}},
            ]),
        ),
    ])
}

fn cookie() -> String {
    format!("theme=dark; {COOKIE}={}", alice())
}

/// A page of another site has the browser post, delete or open a WebSocket.
#[test]
fn another_site_can_do_nothing_with_a_cookie() {
    let cookie = cookie();
    let forbidden = || denial(403, "origin_forbidden");
    for host in HOSTS {
        for (case, fields) in [
            ("a form", &[(":method", "POST")][..]),
            ("a script", &[(":method", "DELETE"), ("origin", "https://evil.example")]),
            ("a sandboxed frame", &[(":method", "POST"), ("origin", "null")]),
            ("a sibling", &[(":method", "PUT"), ("sec-fetch-site", "same-site")]),
            ("another site", &[(":method", "POST"), ("sec-fetch-site", "cross-site")]),
            ("a WebSocket", &[("upgrade", "websocket"), ("origin", "https://evil.example")]),
            ("a WebSocket of nobody's", &[("upgrade", "WebSocket"), ("connection", "Upgrade")]),
            ("a WebSocket over HTTP/2", &[(":method", "CONNECT"), (":protocol", "websocket")]),
            (
                "with credentials of another kind",
                &[(":method", "POST"), ("authorization", "Basic dTpw")],
            ),
            ("where no token is needed", &[(":method", "POST"), (":path", "/guests")]),
            (
                "that says it was another method",
                &[(":method", "POST"), ("x-http-method-override", "GET")],
            ),
        ] {
            let mut fields = fields.to_vec();
            fields.push(("cookie", &cookie));
            let mut world = World::new(&config(json!({})), host);
            assert_eq!(denied(world.begin(head(&fields))), forbidden(), "{case}");
            // The token being known makes no difference.
            forwarded(world.begin(head(&[("cookie", &cookie)])));
            assert_eq!(denied(world.begin(head(&fields))), forbidden(), "{case}, known");
            let step = World::new(&config(json!({"enforce": false})), host).begin(head(&fields));
            assert_eq!(field(&forwarded(step), "x-consumer-custom-id").as_deref(), Some("alice"));
        }
    }
}

#[test]
fn a_page_of_the_site_can() {
    let cookie = cookie();
    for (case, fields) in [
        ("a link from anywhere", &[("sec-fetch-site", "cross-site")][..]),
        ("a form of ours", &[(":method", "POST"), ("sec-fetch-site", "same-origin")]),
        ("an older browser", &[(":method", "POST"), ("origin", "https://shop.example")]),
        ("another port", &[(":method", "POST"), ("origin", "https://shop.example:443")]),
        ("an allowed origin", &[(":method", "POST"), ("origin", "https://app.example")]),
        ("a WebSocket", &[("upgrade", "websocket"), ("origin", "https://shop.example")]),
    ] {
        let mut fields = fields.to_vec();
        fields.push(("cookie", &cookie));
        let csrf = json!({"allowed_origins": ["https://app.example"]});
        let step = World::new(&config(csrf), ENVOY).begin(head(&fields));
        let edits = forwarded(step);
        assert_eq!(field(&edits, "x-consumer-custom-id").as_deref(), Some("alice"), "{case}");
        assert_eq!(
            edits.sanitized().rewrite,
            [("cookie".into(), b"theme=dark".to_vec())],
            "{case}"
        );
    }
}

/// What no browser sends by itself, no other site can make it send.
#[test]
fn a_bearer_token_may_come_from_anywhere() {
    let bearer = format!("Bearer {}", alice());
    let fields = [
        (":method", "POST"),
        ("authorization", bearer.as_str()),
        ("origin", "https://evil.example"),
        ("sec-fetch-site", "cross-site"),
        ("cookie", "theme=dark"),
    ];
    forwarded(World::new(&config(json!({})), ENVOY).begin(head(&fields)));
}

/// A route that needs no token looks at none, and sends none on.
#[test]
fn a_bypassed_request_carries_no_cookie_on() {
    let cookie = cookie();
    let fields = [(":method", "POST"), (":path", "/open"), ("cookie", cookie.as_str())];
    let edits = forwarded(World::new(&config(json!({})), ENVOY).begin(head(&fields)));
    assert!(edits.set().is_empty());
    assert_eq!(edits.sanitized().rewrite, [("cookie".into(), b"theme=dark".to_vec())]);
}

/// A sibling host can set cookies for its whole domain, and a shorter-lived page
/// one for a path: the request then has two of the name.
#[test]
fn a_tossed_cookie_is_never_preferred() {
    let (own, tossed) = (alice(), token(json!({"sub": "mallory"})));
    let two = format!("{COOKIE}={tossed}; {COOKIE}={own}");
    for (case, fields, expected) in [
        ("in one field", &[("cookie", two.as_str())][..], "token_multiple"),
        (
            "in two fields",
            &[("cookie", &format!("{COOKIE}={own}")), ("cookie", &format!("{COOKIE}={tossed}"))],
            "token_multiple",
        ),
        (
            "with a space in its name",
            &[("cookie", &format!("{COOKIE} ={tossed}; {COOKIE}={own}"))],
            "token_multiple",
        ),
        ("quoted", &[("cookie", &format!("{COOKIE}=\"{own}\""))], "token_malformed"),
        (
            "beside a header",
            &[
                ("cookie", &format!("{COOKIE}={tossed}")),
                ("authorization", &format!("Bearer {own}")),
            ],
            "token_multiple",
        ),
        ("in another case", &[("cookie", &format!("__host-SESSION={own}"))], "token_missing"),
        ("without its prefix", &[("cookie", &format!("session={own}"))], "token_missing"),
    ] {
        let step = World::new(&config(json!({})), ENVOY).begin(head(fields));
        assert_eq!(denied(step).1, expected, "{case}");
    }
}

/// The gateway's own endpoint is no exception.
#[test]
fn another_site_revokes_nothing() {
    let mut config = config(json!({}));
    let endpoint = json!({"path": "/revoke", "requires": {"claims": {"sub": ["alice"]}}});
    config["revocation"] = json!({"endpoint": endpoint});
    let cookie = cookie();
    let fields = [(":method", "POST"), (":path", "/revoke"), ("cookie", cookie.as_str())];
    let from = |site| [&fields[..], &[("sec-fetch-site", site)]].concat();
    let mut world = World::new(&config, ENVOY);
    let step = world.begin(head(&from("cross-site")));
    assert_eq!(denied(step), denial(403, "origin_forbidden"));
    let reply = answered(world.begin(head(&from("same-origin"))));
    assert_eq!(reply.status, 411, "as far as the length");
}

/// A browser sends what it has: what is over must not stand in the way of what
/// is not.
#[test]
fn a_cookie_that_has_ended_is_no_dead_end() {
    let good = alice();
    let over = token(json!({"exp": START - 600}));
    let just_over = token(json!({"exp": START}));
    let bearer = format!("Bearer {good}");
    let config = config(json!({}));
    for (case, cookies, authorization) in [
        ("ended, good", format!("{COOKIE}={over}; {COOKIE}={good}"), None),
        ("good, ended", format!("{COOKIE}={good}; a=b; {COOKIE}={just_over}"), None),
        ("two ended", format!("{COOKIE}={over}; {COOKIE}={good}; {COOKIE}={over}"), None),
        ("empty, good", format!("{COOKIE}=; {COOKIE}={good}"), None),
        ("empty, and a header", format!("{COOKIE}="), Some(&bearer)),
        ("ended, and a header", format!("{COOKIE}={over}"), Some(&bearer)),
    ] {
        for host in HOSTS {
            let mut fields = vec![("cookie", cookies.as_str())];
            fields.extend(authorization.map(|value| ("authorization", value.as_str())));
            let mut world = World::new(&config, host);
            let edits = forwarded(world.begin(head(&fields)));
            assert_eq!(world.identity(&edits)["sub"], "alice", "{case}");
            let seen = upstream(world.host, &head(&fields), &edits);
            assert!(!seen.iter().any(|(_, value)| value.contains(COOKIE)), "{case}: {seen:?}");
        }
    }
    for (case, cookies, expected) in [
        ("ended alone", format!("{COOKIE}={over}"), denial(401, "token_expired")),
        ("ended twice", format!("{COOKIE}={over}; {COOKIE}={over}"), denial(401, "token_expired")),
        ("empty alone", format!("{COOKIE}="), denial(401, "token_missing")),
        (
            "one that cannot be read",
            format!("{COOKIE}=x; {COOKIE}={good}"),
            denial(400, "token_multiple"),
        ),
        ("two users'", format!("{COOKIE}={good}; {COOKIE}={good}"), denial(400, "token_multiple")),
    ] {
        let step = World::new(&config, ENVOY).begin(head(&[("cookie", &cookies)]));
        assert_eq!(denied(step), expected, "{case}");
    }
    // It is still a cookie, whatever is beside it.
    let cookies = format!("{COOKIE}={over}; {COOKIE}={good}");
    let fields =
        [(":method", "POST"), ("cookie", cookies.as_str()), ("authorization", "Basic dTpw")];
    let step = World::new(&config, ENVOY).begin(head(&fields));
    assert_eq!(denied(step), denial(403, "origin_forbidden"));
}
