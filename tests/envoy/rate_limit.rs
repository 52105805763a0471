//! Envoy's own rate limiter, by consumer: the filter that
//! `examples/operations/README.md` shows, as it stands there.

use std::fs;

use crate::gateway::{Gateway, Setup};
use crate::stack::envoy;
use crate::wire::Request;

/// What a consumer may send in a minute, by the example.
const LIMIT: usize = 100;

/// The bundled configuration with the example's filter before the router.
fn setup() -> Setup {
    let path = envoy::directory().join("examples/operations/README.md");
    let readme = fs::read_to_string(path).unwrap();
    let (_, rest) = readme.split_once("\n```yaml rate-limit\n").expect("the example");
    let (example, _) = rest.split_once("\n```").expect("its end");
    let router = "          - name: envoy.filters.http.router";
    let indented: String = example.lines().map(|line| format!("          {line}\n")).collect();
    Setup::bundled().replace(router, &format!("{indented}{router}"))
}

async fn statuses(gateway: &Gateway, request: &Request, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(gateway.send(request.clone()).await.status);
    }
    statuses
}

/// How many requests pass until one is answered 429. The bucket fills drop by drop
/// meanwhile, so on a slow machine some more than are in it.
async fn until_refused(gateway: &Gateway, request: &Request) -> usize {
    for passed in 0..3 * LIMIT {
        match gateway.send(request.clone()).await.status {
            200 => {}
            429 => return passed,
            status => panic!("{status}"),
        }
    }
    panic!("no limit")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_over_the_limit_is_answered_429_and_others_are_not() {
    let gateway = setup().workers(2).start_beside_others().await;
    gateway.ready().await;
    let web = Request::get("/orders").bearer(&gateway.token("alice"));
    let partner = Request::get("/orders").bearer(&gateway.token("carol"));
    assert!(until_refused(&gateway, &web).await >= LIMIT);
    assert_eq!(statuses(&gateway, &partner, 3).await, [200; 3], "another consumer");
    // Another user and token of the same application.
    let other = Request::get("/orders").bearer(&gateway.token("bob"));
    assert!(until_refused(&gateway, &other).await < LIMIT / 2, "one bucket for all its users");
    // Nobody leaves the own bucket by saying so.
    let forged = web.clone().with("x-consumer-username", "partner-app");
    assert!(until_refused(&gateway, &forged).await < LIMIT / 2);
    // Requests that are denied cost nobody anything, nor do bypassed ones.
    let bad = Request::get("/orders").bearer("a.b.c");
    assert_eq!(statuses(&gateway, &bad, 3).await, [401; 3]);
    assert_eq!(statuses(&gateway, &Request::get("/health"), 3).await, [200; 3]);
    assert!(until_refused(&gateway, &partner).await >= LIMIT - 3);
}

/// As the page says for a configuration without consumers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_consumers_each_user_has_a_bucket_by_credential_identifier() {
    let by_credential = setup().replace("x-consumer-username", "x-credential-identifier");
    let without = by_credential.replace_block("consumers:", "").workers(2);
    let gateway = without.start_beside_others().await;
    gateway.ready().await;
    let alice = Request::get("/orders").bearer(&gateway.token("alice"));
    let carol = Request::get("/orders").bearer(&gateway.token("carol"));
    assert!(until_refused(&gateway, &alice).await >= LIMIT);
    assert_eq!(statuses(&gateway, &carol, 3).await, [200; 3], "another user");
    let again = Request::get("/orders").bearer(&gateway.token("alice"));
    assert!(until_refused(&gateway, &again).await < LIMIT / 2, "another token of the same user");
    let forged = alice.with("x-credential-identifier", "carol");
    assert!(until_refused(&gateway, &forged).await < LIMIT / 2);
}

/// The bucket for requests without a consumer is for those alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_take_nothing_from_requests_without_one() {
    let small = "token_bucket: {max_tokens: 2, tokens_per_fill: 2, fill_interval: 60s}";
    let default = "token_bucket: {max_tokens: 1000, tokens_per_fill: 1000, fill_interval: 1s}";
    let gateway = setup().replace(default, small).start_beside_others().await;
    gateway.ready().await;
    let web = Request::get("/orders").bearer(&gateway.token("alice"));
    assert_eq!(statuses(&gateway, &web, 10).await, [200; 10]);
    let bypassed = until_refused(&gateway, &Request::get("/health")).await;
    assert!((2..LIMIT).contains(&bypassed), "{bypassed}");
    assert_eq!(statuses(&gateway, &web, 1).await, [200]);
}
