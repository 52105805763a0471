//! Targets and methods that servers read in different ways.

use crate::gateway::Setup;
use crate::hostile_heads::{check, lax};
use crate::wire::Request;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_targets_and_methods_are_refused_or_need_a_token() {
    let gateway = Setup::bundled().start_beside_others().await;
    gateway.ready().await;
    let token = gateway.token("bob");
    let with = |line: &str| Request::new(line).bearer(&token);
    check(
        &gateway,
        vec![
            ("OPTIONS *", Request::new("OPTIONS * HTTP/1.1"), "404"),
            ("OPTIONS * with a token", with("OPTIONS * HTTP/1.1"), "404"),
            ("GET *", with("GET * HTTP/1.1"), "400"),
            (
                "CONNECT",
                Request::bare("CONNECT shop.example:443 HTTP/1.1").with("host", "shop.example:443"),
                "400 path_ambiguous",
            ),
            (
                "CONNECT with a token",
                Request::bare("CONNECT shop.example:443 HTTP/1.1")
                    .with("host", "shop.example:443")
                    .bearer(&token),
                "400 path_ambiguous",
            ),
            ("HTTP/1.0", Request::new("GET / HTTP/1.0").bearer(&token), "426"),
            ("HTTP/0.9", Request::bare("GET /"), "426"),
            ("HTTP/2.0 in words", with("GET / HTTP/2.0"), "426"),
            ("no Host", Request::bare("GET / HTTP/1.1").bearer(&token), "400"),
            ("absolute form", Request::new("GET http://shop.example/health HTTP/1.1"), "200"),
            ("absolute form without a path", with("GET http://shop.example HTTP/1.1"), "200"),
            (
                "absolute form, protected",
                Request::new("GET http://shop.example/orders HTTP/1.1"),
                "401 token_missing",
            ),
            (
                "absolute form, admin",
                with("GET http://shop.example/admin HTTP/1.1"),
                "403 insufficient_scope",
            ),
            ("no slash", with("GET orders HTTP/1.1"), "400"),
            ("empty target", with("GET  HTTP/1.1"), "400"),
            ("a question alone", with("GET ? HTTP/1.1"), "400"),
            ("a query without path", with("GET ?x=/health HTTP/1.1"), "400"),
            ("an unknown method", with("BREW /pot HTTP/1.1"), "400"),
            (
                "a bypassed path, another method",
                Request::new("DELETE /health HTTP/1.1"),
                "401 token_missing",
            ),
            ("a method in lower case", Request::new("get /health HTTP/1.1"), "400"),
            (
                "chunked and length",
                with("POST / HTTP/1.1")
                    .with("content-length", "3")
                    .with("transfer-encoding", "chunked"),
                "400",
            ),
        ],
    )
    .await;
}

/// The bundled rules: /health is open to GET, /catalog to everybody, /admin
/// needs a scope that bob does not have. No spelling of /admin gets him in, not
/// even where Envoy leaves the path as it is. The answers of the bundled Envoy
/// and of a lax one, to bob.
const SPELLINGS: [(&str, &str, &str); 31] = [
    ("/admin", DENIED, DENIED),
    ("/admin/", DENIED, DENIED),
    ("/admin/users", DENIED, DENIED),
    ("/%61dmin", DENIED, DENIED),
    ("//admin", DENIED, REFUSED),
    ("/./admin", DENIED, REFUSED),
    ("/x/../admin", DENIED, REFUSED),
    ("/health/../admin", DENIED, REFUSED),
    ("/health/%2e%2e/admin", DENIED, REFUSED),
    ("/health/.%2e/admin", DENIED, REFUSED),
    ("/health%2f..%2fadmin", "400", REFUSED),
    ("/health%5c..%5cadmin", "400", REFUSED),
    ("/health\\..\\admin", DENIED, REFUSED),
    ("/health;/../admin", DENIED, REFUSED),
    ("/health/..;/admin", DENIED, REFUSED),
    ("/health%00/../admin", "400", REFUSED),
    ("/health%0a/../admin", DENIED, REFUSED),
    ("/admin%", REFUSED, REFUSED),
    ("/admin%2", REFUSED, REFUSED),
    ("/admin%zz", REFUSED, REFUSED),
    ("/admin%2fusers", "400", REFUSED),
    ("/admin;x=1", REFUSED, REFUSED),
    ("/admin#x", "400", "400"),
    ("/health#/../admin", "400", "400"),
    ("/.;/admin", DENIED, REFUSED),
    ("/admin/.", DENIED, REFUSED),
    ("/admin//users", DENIED, REFUSED),
    ("/catalog/../admin", DENIED, REFUSED),
    ("/catalog/..%2fadmin", "400", REFUSED),
    // Another resource to every server that decodes a path once, not to others.
    ("/health/%252e%252e/admin", REFUSED, REFUSED),
    ("/health?/../admin", "200", "200"),
];
const DENIED: &str = "403 insufficient_scope";
const REFUSED: &str = "400 path_ambiguous";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_path_gets_around_its_rule() {
    for (setup, is_lax) in [(Setup::bundled(), false), (lax(), true)] {
        let gateway = setup.start_beside_others().await;
        gateway.ready().await;
        let token = gateway.token("bob");
        let case = |(path, bundled, lax): (&'static str, _, _)| {
            let expected = if is_lax { lax } else { bundled };
            (path, Request::get(path).bearer(&token), expected)
        };
        check(&gateway, SPELLINGS.into_iter().map(case).collect()).await;
        // Without a token nothing passes that is not open.
        for (path, ..) in SPELLINGS {
            let answer = gateway.send(Request::get(path)).await;
            let passed = answer.status == 200;
            assert_eq!(passed, path == "/health?/../admin", "{path}: {answer}");
        }
    }
}
