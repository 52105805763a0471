//! Request heads that no good client sends. Whatever is answered, the gateway
//! goes on: each is followed by a good request.

use crate::gateway::{Gateway, Setup};
use crate::wire::{Request, Seen, Wrong};

/// What is sent, and what comes of it: a status, with the code when it is the
/// filter that denies.
pub type Case = (&'static str, Request, &'static str);

pub async fn check(gateway: &Gateway, cases: Vec<Case>) {
    let good = gateway.token("alice");
    let mut wrong = Wrong::default();
    for (case, request, expected) in cases {
        let answer = gateway.send(request).await;
        wrong.compare(case, expected, &answer);
        // What was let in arrives as that of a user whose token was sent, or by a rule for
        // all as nobody's.
        let seen = serde_json::from_slice(&answer.body).map(Seen);
        if let Some(seen) = seen.ok().filter(|seen| seen.0.get("headers").is_some()) {
            if seen.is_anonymous() {
                assert!(seen.values("x-identity-token").is_empty(), "{case}: {answer}");
                assert!(seen.values("x-consumer-custom-id").is_empty(), "{case}: {answer}");
            } else {
                let subject = &seen.identity()["sub"];
                assert!(*subject == "alice" || *subject == "bob", "{case}: {answer}");
                assert_eq!(seen.values("x-consumer-custom-id"), ["web"], "{case}: {answer}");
            }
            assert!(seen.values("authorization").is_empty(), "{case}: {answer}");
        }
        gateway.assert_serves_token(&good, case).await;
    }
    wrong.assert_none();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_are_no_text_do_no_harm() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    let get = |path| Request::get(path).bearer(&token);
    let bare = || Request::get("/orders");
    check(
        &gateway,
        vec![
            ("0xFF in a foreign header", get("/orders").with("x-other", b"a\xffb"), "200"),
            ("0xFF in Cookie", get("/orders").with("cookie", b"a=\xff; b=\xfe"), "200"),
            ("0xFF in Accept", get("/orders").with("accept", b"\xff"), "200"),
            ("0xFF in a forged header", get("/orders").with("x-consumer-id", b"\xff"), "200"),
            ("0xFF in X-Request-ID", get("/orders").with("x-request-id", b"\xff\xff"), "200"),
            (
                "0xFF in If-None-Match",
                Request::get("/.well-known/gatepass/jwks.json").with("if-none-match", b"\xff"),
                "200",
            ),
            ("0xFF in Connection", get("/orders").with("connection", b"\xff"), "200"),
            ("0xFF as Authorization", bare().with("authorization", b"\xff"), "401 token_missing"),
            ("0xFF as token", bare().with("authorization", b"Bearer \xff"), "401 token_malformed"),
            (
                "0xFF after a token",
                bare().with("authorization", [b"Bearer ", token.as_bytes(), b"\xff"].concat()),
                "401 token_malformed",
            ),
            ("0xFF in a name", get("/orders").with(b"x-\xff", "1"), "400"),
            ("0xFF in the path", Request::new(b"GET /\xff HTTP/1.1").bearer(&token), "400"),
            ("0xFF in the query", Request::new(b"GET /?\xff HTTP/1.1").bearer(&token), "400"),
            ("0xFF in the method", Request::new(b"G\xffT / HTTP/1.1").bearer(&token), "400"),
            (
                "0xFF in Host",
                Request::bare("GET / HTTP/1.1").with("host", b"\xff").bearer(&token),
                "400",
            ),
            ("NUL in a value", get("/orders").with("x-other", b"a\0b"), "400"),
            ("CR in a value, which Envoy drops", get("/orders").with("x-other", b"a\rb"), "200"),
            ("LF in a value", get("/orders").with("x-other", b"a\nb"), "400"),
            ("UTF-8 in a value", get("/orders").with("x-other", "é"), "200"),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_one_token_is_refused() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    let bob = gateway.token("bob");
    let get = |path| Request::get(path).bearer(&token);
    check(
        &gateway,
        vec![
            ("two different", get("/").bearer(&bob), "400 token_multiple"),
            ("the same twice", get("/").bearer(&token), "400 token_multiple"),
            (
                "another case",
                get("/").with("AUTHORIZATION", format!("bearer {token}")),
                "400 token_multiple",
            ),
            (
                "a list",
                Request::get("/").with("authorization", format!("Bearer {token}, Bearer {bob}")),
                "400 token_multiple",
            ),
            ("empty and good", get("/").with("authorization", ""), "200"),
            ("good and basic", get("/").with("authorization", "Basic YTpi"), "400 token_multiple"),
            (
                "basic and good",
                Request::get("/").with("authorization", "Basic YTpi").bearer(&token),
                "400 token_multiple",
            ),
            (
                "basic and good in a list",
                Request::get("/").with("authorization", format!("Basic YTpi, Bearer {token}")),
                "400 token_multiple",
            ),
            (
                "folded",
                Request::get("/").with("authorization", format!("Bearer\r\n {token}")),
                "200",
            ),
            (
                "two tokens",
                Request::get("/").with("authorization", format!("Bearer {token} {bob}")),
                "401 token_malformed",
            ),
            (
                "a scheme alone",
                Request::get("/").with("authorization", "Bearer"),
                "401 token_malformed",
            ),
            (
                "basic alone",
                Request::get("/").with("authorization", "Basic YTpi"),
                "401 token_missing",
            ),
            ("in the query", Request::get(&format!("/?access_token={token}")), "401 token_missing"),
        ],
    )
    .await;
    // Envoy joins the two into one value that begins with the other scheme.
    let basic_first = |path| Request::get(path).with("authorization", "Basic YTpi").bearer(&token);
    let catalog = gateway.send(basic_first("/catalog")).await;
    assert_eq!(catalog.outcome(), "400 token_multiple", "{catalog}");
    let health = gateway.send(basic_first("/health")).await.seen();
    assert!(health.values("authorization").is_empty(), "{}", health.0);
    assert!(!health.0.to_string().contains(&token), "{}", health.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_that_are_too_large_are_refused() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    let get = || Request::get("/orders").bearer(&token);
    let many =
        |count: usize| (0..count).fold(get(), |request, n| request.with(format!("x-{n}"), "1"));
    let forged =
        |count: usize| (0..count).fold(get(), |request, _| request.with("x-consumer-id", "1"));
    check(
        &gateway,
        vec![
            ("200 KB in one field", get().with("x-other", "x".repeat(200_000)), "431"),
            (
                "200 KB in 80 fields",
                (0..80).fold(get(), |r, n| r.with(format!("x-{n}"), "y".repeat(2500))),
                "431",
            ),
            ("200 KB of token", Request::get("/").bearer(&"a".repeat(200_000)), "431"),
            (
                "50 KB of token",
                Request::get("/").bearer(&"a".repeat(50_000)),
                "401 token_too_large",
            ),
            (
                "50 KB of path",
                Request::get(&format!("/{}", "a".repeat(50_000))).bearer(&token),
                "200",
            ),
            ("150 fields", many(150), "431"),
            ("80 fields", many(80), "200"),
            ("50 forged fields", forged(50), "200"),
        ],
    )
    .await;
}

/// Every name under which a service may look for what only the gateway says.
const FORGED: [&str; 11] = [
    "X-Consumer-ID",
    "x-consumer-username",
    "X-CONSUMER-CUSTOM-ID",
    "X-Consumer-Groups",
    "X-Credential-Identifier",
    "X-Anonymous-Consumer",
    "X-Authenticated-Groups",
    "X-Identity-Token",
    "x-user-country",
    "X-Consumer-ID",
    "X-User-Country",
];

/// A request that claims all of it, with the names changed.
fn forged(path: &str, spelling: impl Fn(&str) -> String) -> Request {
    let claim = |request: Request, name: &&str| request.with(spelling(name), "forged");
    FORGED.iter().fold(Request::get(path), claim)
}

/// That the upstream sees nothing forged, whatever spelling it goes by.
fn assert_not_forged(case: &str, seen: &Seen) {
    assert!(!seen.0.to_string().contains("forged"), "{case}: {}", seen.0);
    let mut names: Vec<_> = seen.names().iter().map(|name| name.replace('_', "-")).collect();
    names.retain(|name| FORGED.iter().any(|owned| owned.eq_ignore_ascii_case(name)));
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "{case}: a field twice in {:?}", seen.names());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_the_gateway_says_cannot_be_forged_on_any_path() {
    let as_is = |name: &str| name.to_owned();
    let underscores = |name: &str| name.replace('-', "_");
    let mixed = |name: &str| name.replacen('-', "_", 1).to_ascii_uppercase();

    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    for path in ["/orders", "/health", "/catalog"] {
        let seen = gateway.send(forged(path, as_is).bearer(&token)).await.seen();
        assert_not_forged(path, &seen);
        for spelling in [&underscores as &dyn Fn(&str) -> String, &mixed] {
            let answer = gateway.send(forged(path, spelling).bearer(&token)).await;
            assert_eq!(answer.outcome(), "400", "Envoy refuses underscores: {answer}");
        }
        gateway.assert_serves(path).await;
    }
    assert_not_forged("anonymous", &gateway.send(forged("/catalog", as_is)).await.seen());
    drop(gateway);

    let gateway = lax().start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    for path in ["/orders", "/health", "/catalog"] {
        for spelling in [&as_is as &dyn Fn(&str) -> String, &underscores, &mixed] {
            let seen = gateway.send(forged(path, spelling).bearer(&token)).await.seen();
            assert_not_forged(path, &seen);
            let case = if path == "/health" { 0 } else { 1 };
            assert_eq!(seen.values("x-consumer-username").len(), case, "{path}");
        }
        gateway.assert_serves(path).await;
    }
    for spelling in [&as_is as &dyn Fn(&str) -> String, &underscores, &mixed] {
        assert_not_forged("anonymous", &gateway.send(forged("/catalog", spelling)).await.seen());
    }
}

/// A client must not have a later proxy drop what the gateway says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_cannot_name_what_the_gateway_says() {
    for setup in [Setup::bundled(), lax()] {
        let gateway = setup.start_beside_others().await;
        gateway.ready().await;
        let token = gateway.token("alice");
        for value in [
            "X-Consumer-ID",
            "close, X-Consumer-ID",
            "x-identity-token,keep-alive",
            "X_Consumer_Username, x-user-country",
        ] {
            let request = Request::get("/orders").with("connection", value).bearer(&token);
            let seen = gateway.send(request).await.seen();
            assert_eq!(seen.identity()["sub"], "alice", "{value}");
            assert_eq!(seen.values("x-consumer-username"), ["web-app"], "{value}");
            assert_eq!(seen.values("x-user-country"), ["ES"], "{value}");
            let left = seen.values("connection").join(",").to_ascii_lowercase();
            assert!(!left.contains("consumer") && !left.contains("identity"), "{value}: {left}");
        }
        // Envoy itself drops what a client says is for this connection only.
        let request = Request::get("/orders").with("connection", "authorization").bearer(&token);
        assert_eq!(gateway.send(request).await.outcome(), "401 token_missing");
        gateway.assert_serves("Connection").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_envoy_without_limits_leaves_the_filter_standing() {
    let gateway = lax().start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("alice");
    let get = || Request::get("/orders").bearer(&token);
    let fields = |count: usize| (0..count).fold(get(), |r, n| r.with(format!("x-{n}"), "1"));
    let same = |count: usize| (0..count).fold(get(), |r, _| r.with("x-consumer-id", "forged"));
    check(
        &gateway,
        vec![
            ("90 fields", fields(80), "200"),
            (
                "200 KB of token",
                Request::get("/").bearer(&"a".repeat(200_000)),
                "401 token_too_large",
            ),
            (
                "200 KB of dots",
                Request::get("/").bearer(&".".repeat(200_000)),
                "401 token_too_large",
            ),
            (
                "200 KB of commas",
                Request::get("/").with("authorization", ",".repeat(200_000)),
                "401 token_missing",
            ),
            ("80 forged fields", same(80), "200"),
        ],
    )
    .await;
    // The shop's upstream reads no more than 100 fields and some 400 KB: what
    // it answers shows that the filter let them pass.
    check(
        &gateway,
        vec![
            ("2000 fields", fields(2000), "431"),
            ("200 KB in one field", get().with("x-other", "x".repeat(200_000)), "200"),
            ("2000 forged fields", same(2000), "200"),
            (
                "100 KB of path",
                Request::get(&format!("/{}", "%41".repeat(30_000))).bearer(&token),
                "400 path_ambiguous",
            ),
        ],
    )
    .await;
}

/// An Envoy that leaves everything to the filter.
pub fn lax() -> Setup {
    Setup::bundled()
        .replace("normalize_path: true", "normalize_path: false")
        .replace("merge_slashes: true", "merge_slashes: false")
        .replace("slashes_action: REJECT_REQUEST", "slashes_action: KEEP_UNCHANGED")
        .replace("underscores_action: REJECT_REQUEST", "underscores_action: ALLOW")
        .replace("max_headers_count: 100", "max_headers_count: 10000")
        .replace("max_request_headers_kb: 60", "max_request_headers_kb: 8192")
}
