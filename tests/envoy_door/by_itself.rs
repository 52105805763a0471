//! What the door does of its own accord: before any request, when Envoy tells it nothing, and
//! when what it holds is replaced.

use serde_json::{Value, json};

use crate::host::{CONTINUE, Envoy, LOG, Route, STOP, STOP_ALL};
use crate::{ALICE, bearer, begin, configuration, counted, only_callout, start};

/// The claims in what the upstream gets, which other tests verify.
fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode(token).unwrap().claims
}

#[test]
fn keys_are_fetched_before_anybody_asks() {
    let mut config = configuration();
    let shop = config["providers"]["shop"].as_object_mut().unwrap();
    shop.remove("local_jwks");
    shop.insert("remote_jwks".into(), json!({"service": "users", "path": "/keys"}));
    shop.insert("algorithms".into(), json!(["ES256"]));
    let envoy = Envoy::start(&config.to_string()).expect("it is valid");
    envoy.run_until("the keys are asked for", || {
        envoy.callouts().iter().any(|(_, path)| path == "/keys")
    });
}

/// Not only once something has happened: Prometheus misses what a new counter begins with.
#[test]
fn every_counter_is_there_from_the_start() {
    let envoy = start();
    for name in ["gatepass_panics_total", "gatepass_requests_total denied token_missing"] {
        assert_eq!(envoy.told(name), Some(0), "{name}");
    }
}

#[test]
fn a_transaction_token_says_where_its_client_is() {
    let mut config = configuration();
    config["identity_token"]["profile"] = json!("txn_token");
    config["identity_token"]["scopes"] = json!(["revoke"]);
    let envoy = Envoy::start(&config.to_string()).expect("it is valid");
    // Of one that is decided in its own hook, and of one that was woken.
    let authorization = bearer("alice");
    let open = || envoy.open(&[("authorization", &authorization)]);
    let (first, second) = (open(), open());
    assert_eq!((first.headers(true), second.headers(true)), (STOP_ALL, STOP_ALL));
    envoy.reply(only_callout(&envoy), ALICE);
    let third = open();
    assert_eq!((first.continued(), second.continued(), third.headers(true)), (1, 1, CONTINUE));
    for request in [first, second, third] {
        let [token] = &request.values("txn-token")[..] else { panic!("one token") };
        let claims = claims(token);
        assert_eq!(claims["rctx"]["req_ip"], "192.0.2.7", "{claims}");
    }
}

#[test]
fn a_head_that_envoy_does_not_tell_is_answered_with_500() {
    let envoy = start();
    let request = envoy.open(&[]).unread();
    assert_eq!(request.headers(true), STOP);
    let answer = request.answer().expect("nobody waits for ever");
    assert_eq!((answer.status, answer.details.as_str()), (500, "gatepass_headers_unread"));
    let cause = "the headers could not be read";
    assert!(LOG.with_borrow(|log| log.iter().any(|line| line.contains(cause))));
}

#[test]
fn a_head_that_comes_twice_is_answered_with_500() {
    let envoy = start();
    let request = envoy.open(&[(":path", "/health")]);
    assert_eq!((request.headers(false), request.headers(true)), (CONTINUE, STOP));
    let answer = request.answer().expect("nobody waits for ever");
    assert_eq!((answer.status, answer.details.as_str()), (500, "gatepass_headers_repeated"));
}

/// With a feed, for which requests wait until it has been read.
fn with_feed(ledger: &str) -> Envoy {
    let mut config = configuration();
    config["revocation"]["feed"] = json!({"service": "users", "path": "/feed"});
    config["revocation"]["ledger"] = json!(ledger);
    Envoy::start(&config.to_string()).expect("it is valid")
}

fn answer_feed(envoy: &Envoy) {
    let page = r#"{"cursor": "1", "entries": [{"sub": "mallory"}]}"#;
    let is_feed = |(_, path): &(u64, String)| path.starts_with("/feed");
    envoy.run_until("the feed is asked for", || envoy.callouts().iter().any(is_feed));
    for (number, _) in envoy.callouts().into_iter().filter(is_feed) {
        envoy.reply(number, Some(("200", page)));
    }
}

#[test]
fn what_the_main_thread_asks_for_is_taken_in_and_counted() {
    let envoy = with_feed("asked-for-by-the-main-thread");
    answer_feed(&envoy);
    let authorization = bearer("mallory");
    let request = envoy.open(&[("authorization", &authorization)]);
    request.headers(true);
    assert_eq!(request.answer().expect("an answer").details, "token_revoked");
    let callouts = "gatepass_callout_milliseconds users";
    envoy.run_until("it is counted", || envoy.count(callouts) == 1);
}

/// Each has a user of its own to wait for next, and one hook takes in the reply for both.
#[test]
fn two_who_waited_for_one_reply_go_on_to_their_own() {
    let envoy = with_feed("two-who-wait");
    let requests = ["alice", "bob"].map(|subject| begin(&envoy, subject));
    answer_feed(&envoy);
    for subject in ["alice", "bob"] {
        let path = format!("/users/{subject}");
        let callouts = envoy.callouts();
        let (number, _) = callouts.iter().find(|it| it.1 == path).unwrap_or_else(|| {
            panic!("nobody asks for {subject}: {callouts:?}");
        });
        envoy.reply(*number, Some(("200", &format!(r#"{{"sub": "{subject}"}}"#))));
    }
    assert_eq!(requests.map(|request| request.continued()), [1, 1]);
}

/// How much more memory this thread holds after some more rounds, which are each waited for
/// until the timer has called.
fn growth(mut round: impl FnMut()) -> usize {
    (0..3).for_each(|_| round());
    LOG.take();
    let before = counted::held();
    (0..4).for_each(|_| round());
    LOG.take();
    counted::held().saturating_sub(before)
}

/// What a gateway takes at least, which is what would be left in each round.
const GATEWAY: usize = 30_000;

#[test]
fn a_listener_that_is_replaced_leaves_nothing() {
    let grown = growth(|| {
        let envoy = start();
        assert_eq!(envoy.open(&[(":path", "/health")]).headers(true), CONTINUE);
        envoy.ticks();
    });
    assert!(grown < GATEWAY, "{grown} bytes more");
}

#[test]
fn a_route_that_is_replaced_leaves_nothing() {
    let envoy = start();
    let grown = growth(|| {
        let route = Route::new(&configuration().to_string()).unwrap();
        assert_eq!(envoy.open(&[(":path", "/health")]).on(&route).headers(true), CONTINUE);
        envoy.ticks();
        drop(route);
        // The worker's ends with its next request, and then the main thread's.
        assert_eq!(envoy.open(&[(":path", "/health")]).headers(true), CONTINUE);
        envoy.ticks();
        envoy.forget_streams();
    });
    assert!(grown < GATEWAY, "{grown} bytes more");
}
