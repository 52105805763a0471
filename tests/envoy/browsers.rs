//! Browsers: tokens in cookies, other sites, preflights and WebSockets.

use serde_json::json;

use crate::gateway::{Gateway, Setup};
use crate::hostile_heads::Case;
use crate::wire::{Request, Wrong};

const FORBIDDEN: &str = "403 origin_forbidden";

/// The bundled Envoy, with WebSockets.
fn with_websockets() -> Setup {
    let name = "stat_prefix: public";
    let upgrades = "stat_prefix: public\n          upgrade_configs: [{upgrade_type: websocket}]";
    Setup::bundled().replace(name, upgrades)
}

async fn compare(gateway: &Gateway, cases: Vec<Case>) {
    let mut wrong = Wrong::default();
    for (case, request, expected) in cases {
        wrong.compare(case, expected, &gateway.send(request).await);
    }
    wrong.assert_none();
}

fn post(path: &str) -> Request {
    Request::new(format!("POST {path} HTTP/1.1")).with("content-length", "0")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cookie_from_the_login_is_used_by_the_site_alone() {
    let gateway = with_websockets().start_beside_others().await;
    gateway.ready().await;
    let body = json!({"username": "alice", "password": "wonderland"}).to_string();
    let login = Request::post("/login", &body).with("content-type", "application/json");
    let answer = gateway.send(login).await;
    let cookie = answer.header("set-cookie").expect("the login sets a cookie").to_owned();
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.split("; ").any(|other| other == attribute), "{attribute} in {cookie}");
    }
    let session = cookie.split(';').next().unwrap().to_owned();
    let get = || Request::get("/orders").with("cookie", &session);
    let posts = || post("/orders").with("cookie", &session);
    let opens = || get().with("connection", "Upgrade").with("upgrade", "websocket");
    let bearer = gateway.token("alice");
    compare(
        &gateway,
        vec![
            ("a page", get(), "200"),
            ("a link from another site", get().with("sec-fetch-site", "cross-site"), "200"),
            ("a form of the site", posts().with("sec-fetch-site", "same-origin"), "200"),
            ("an older browser", posts().with("origin", "https://shop.example"), "200"),
            ("a form of another site", posts().with("sec-fetch-site", "cross-site"), FORBIDDEN),
            ("a form of a sibling", posts().with("sec-fetch-site", "same-site"), FORBIDDEN),
            ("from another origin", posts().with("origin", "https://evil.example"), FORBIDDEN),
            ("from a namesake", posts().with("origin", "https://shop.example.evil"), FORBIDDEN),
            ("from a sandbox", posts().with("origin", "null"), FORBIDDEN),
            ("from nowhere", posts(), FORBIDDEN),
            (
                "from two places",
                posts().with("origin", "https://shop.example").with("origin", "https://evil"),
                FORBIDDEN,
            ),
            (
                "speaking of another host",
                posts()
                    .with("origin", "https://evil.example")
                    .with("x-forwarded-host", "evil.example"),
                FORBIDDEN,
            ),
            (
                "a WebSocket of another site",
                opens().with("origin", "https://evil.example"),
                FORBIDDEN,
            ),
            ("a WebSocket of nobody's", opens(), FORBIDDEN),
            ("a WebSocket of the site", opens().with("origin", "https://shop.example"), "200"),
            (
                "a bearer token from anywhere",
                post("/orders").bearer(&bearer).with("origin", "https://evil.example"),
                "200",
            ),
            ("both", get().bearer(&bearer), "400 token_multiple"),
            ("twice", get().with("cookie", &session), "400 token_multiple"),
            (
                "tossed",
                Request::get("/orders").with("cookie", format!("__Host-session=x; {session}")),
                "400 token_multiple",
            ),
            (
                "with a space",
                Request::get("/orders").with("cookie", format!("__Host-session =x; {session}")),
                "400 token_multiple",
            ),
            (
                "in another case",
                Request::get("/orders").with("cookie", session.to_ascii_lowercase()),
                "401 token_missing",
            ),
            (
                "where anonymous may come",
                Request::get("/catalog").with("cookie", "__Host-session=a.b.c"),
                "401 token_malformed",
            ),
        ],
    )
    .await;
    let answer = gateway.send(get().with("cookie", "theme=dark")).await;
    assert_eq!(answer.seen().values("cookie"), ["theme=dark"], "the token goes no further");
    assert_eq!(answer.seen().identity()["sub"], "alice");

    // In the other forms of denials.
    let grpc = posts().with("content-type", "application/grpc").with("te", "trailers");
    let answer = gateway.send(grpc).await;
    assert_eq!((answer.status, answer.header("grpc-status")), (200, Some("7")), "{answer}");
    assert_eq!(answer.header("grpc-message"), Some("origin_forbidden"));
    let answer = gateway.send(posts()).await;
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let page = posts().with("accept", "text/html");
    assert_eq!(gateway.send(page).await.outcome(), FORBIDDEN, "logging in would not help");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_origins_may_be_allowed() {
    let token = "token: {from_cookies: [session], csrf: {allowed_origins: [https://app.example]}}";
    let gateway = Setup::bundled()
        .replace_block("token:", token)
        .replace_block("errors:", "errors: {realm: shop, format: kong}")
        .start_beside_others()
        .await;
    gateway.ready().await;
    let session = format!("session={}", gateway.token("alice"));
    let from = |origin: &str| {
        post("/orders")
            .with("cookie", &session)
            .with("sec-fetch-site", "cross-site")
            .with("origin", origin)
    };
    assert_eq!(gateway.send(from("https://app.example")).await.status, 200);
    let answer = gateway.send(from("https://evil.example")).await;
    let message = json!({"message": "You cannot consume this service"});
    assert_eq!((answer.status, answer.json()), (403, message));
}

/// A preflight passes without a token and without an identity; nothing that only
/// looks like one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preflight_passes_without_identity() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let ask = |method: &str| Request::new(format!("{method} /orders HTTP/1.1"));
    let session = format!("__Host-session={}", gateway.token("alice"));
    let preflight = ask("OPTIONS")
        .with("origin", "https://app.example")
        .with("access-control-request-method", "DELETE");
    let answer = gateway.send(preflight.clone().with("cookie", &session)).await;
    assert!(answer.seen().is_anonymous());
    assert_eq!(answer.seen().values("cookie"), [""; 0], "the token goes no further");
    let origin = ("origin", "https://app.example");
    let method = ("access-control-request-method", "DELETE");
    compare(
        &gateway,
        vec![
            ("a preflight", preflight, "200"),
            ("no method", ask("OPTIONS").with(origin.0, origin.1), "401 token_missing"),
            ("no origin", ask("OPTIONS").with(method.0, method.1), "401 token_missing"),
            (
                "another method",
                ask("DELETE").with(origin.0, origin.1).with(method.0, method.1),
                "401 token_missing",
            ),
            (
                "said to be one",
                ask("GET")
                    .with(origin.0, origin.1)
                    .with(method.0, method.1)
                    .with("x-http-method-override", "OPTIONS"),
                "401 token_missing",
            ),
        ],
    )
    .await;
}
