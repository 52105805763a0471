//! The hooks of the native module for Envoy, called as Envoy calls them, on a fake one.
//!
//! What the gateway decides is tested elsewhere; here it is what the door makes of it:
//! who waits, who is woken, what is left when a stream or a configuration is destroyed
//! at any moment, and that a panic ends in its hook.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::multiple_unsafe_ops_per_block,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    unsafe_code,
    reason = "a test may fail; the fake Envoy is behind pointers"
)]

mod any_order;
mod asked;
mod by_itself;
#[path = "../pipeline/counted.rs"]
mod counted;
mod host;
mod secrets;

use host::{CONTINUE, DROP, Envoy, LOG, Request, Route, STOP, STOP_ALL};
use jsonwebtoken::{EncodingKey, Header};
use serde_json::{Value, json};

const ISSUER: &str = "https://auth.shop.example";
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

/// The private key of RFC 7515 appendix A.3.1 as PKCS#8.
const SIGNING_KEY: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjpsQnnGQmL+YBIff
H1136cspYG6+0iY7X1fCE9+E9LKhRANCAAR/zc4ncPbEXUGDy+5v20t7WAczNXvp
7xO6z248e9FURcfxRM0bvZt+hyzf7bnuufSzaV1uqQskrYpGIyiFiOWt
-----END PRIVATE KEY-----
";

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn token(subject: &str) -> String {
    let claims = json!({
        "iss": ISSUER, "aud": "shop-api", "sub": subject, "scope": "revoke",
        "iat": now() - 10, "exp": now() + 600,
    });
    let header = Header { kid: Some("a".to_owned()), ..Header::default() };
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn configuration() -> Value {
    json!({
        "services": {
            "users": {"upstream": "users", "authority": "users.internal", "scheme": "http", "timeout_ms": 500},
            "nowhere": {"upstream": "nowhere", "authority": "a", "scheme": "http", "timeout_ms": 500},
        },
        "providers": {"shop": {
            "issuer": ISSUER, "audiences": ["shop-api"], "algorithms": ["HS256"],
            "local_jwks": {"keys": [{"kty": "oct", "kid": "a", "alg": "HS256",
                "k": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY"}]},
        }},
        "user_info": {"service": "users", "path": "/users/{sub}", "claims": {"country": "/country"}},
        "identity_token": {
            "issuer": "https://gateway.shop.internal", "audiences": ["shop-services"],
            "signing_keys": [{"algorithm": "ES256", "private_key": SIGNING_KEY}],
        },
        "rules": [{"match": {"path": "/health"}, "bypass": true}],
        "revocation": {"endpoint": {"path": "/revoke", "requires": {"scopes_all": ["revoke"]}}},
    })
}

fn start() -> Envoy {
    Envoy::start(&configuration().to_string()).expect("it is valid")
}

fn bearer(subject: &str) -> String {
    format!("Bearer {}", token(subject))
}

/// A request of this user's, whose head came.
fn begin<'a>(envoy: &'a Envoy, subject: &str) -> Request<'a> {
    let authorization = bearer(subject);
    let request = envoy.open(&[("authorization", &authorization), ("x-consumer-id", "forged")]);
    assert_eq!(request.headers(true), STOP_ALL, "{:?}", request.answer());
    request
}

const ALICE: Option<(&str, &str)> = Some(("200", r#"{"sub": "alice", "country": "ES"}"#));

fn only_callout(envoy: &Envoy) -> u64 {
    let callouts = envoy.callouts();
    assert_eq!(callouts.len(), 1, "{callouts:?}");
    callouts[0].0
}

#[test]
fn a_request_waits_for_its_user_and_goes_on_with_an_identity() {
    let envoy = start();
    let request = begin(&envoy, "alice");
    assert_eq!(envoy.callouts()[0].1, "/users/alice");
    assert_eq!((request.continued(), request.status()), (0, 0));
    // It is held back until then.
    request.keep_body("body");
    envoy.reply(only_callout(&envoy), ALICE);
    assert_eq!(request.continued(), 1);
    assert!(request.values("authorization").is_empty());
    assert!(request.values("x-consumer-id").is_empty());
    assert_eq!(request.values("x-identity-token").len(), 1);
    assert_eq!(request.note("wasm.gatepass.subject").as_deref(), Some("alice"));
    assert_eq!(request.body("more", false), CONTINUE);
    assert_eq!(request.trailers(&[("x-consumer-id", "forged"), ("x-sum", "1")]), CONTINUE);
    assert_eq!(request.trailer_names(), ["x-sum"]);
    // The second one is known.
    let authorization = bearer("alice");
    let again = envoy.open(&[("authorization", &authorization)]);
    assert_eq!(again.headers(true), CONTINUE);
    assert_eq!(envoy.callouts(), []);
    envoy.run_until("it is counted", || {
        envoy.count("gatepass_requests_total allowed none") == 2
            && envoy.count("gatepass_callout_milliseconds users") == 1
    });
    assert_eq!(envoy.count("gatepass_panics_total"), 0);
}

#[test]
fn a_denial_has_its_code_as_details_and_may_end_the_stream_at_once() {
    let envoy = start();
    for ends in [true, false] {
        let request = envoy.open(&[]);
        request.leave_open(!ends);
        assert_eq!(request.headers(true), STOP);
        let answer = request.answer().unwrap();
        assert_eq!((answer.status, answer.details.as_str()), (401, "token_missing"));
        assert_eq!(request.is_over(), ends);
        assert_eq!(request.note("wasm.gatepass.code").as_deref(), Some("token_missing"));
        if !ends {
            assert_eq!(request.body("late", true), DROP);
            assert_eq!(request.trailers(&[]), STOP);
        }
    }
    let open = envoy.open(&[(":path", "/health"), ("x-identity-token", "forged")]);
    assert_eq!(open.headers(true), CONTINUE);
    assert!(open.values("x-identity-token").is_empty());
}

#[test]
fn all_who_wait_for_one_callout_go_on_whoever_leaves() {
    for leaves in 0..4 {
        let envoy = start();
        let requests: Vec<_> = (0..4).map(|_| begin(&envoy, "alice")).collect();
        let callout = only_callout(&envoy);
        requests[leaves].leave();
        envoy.reply(callout, ALICE);
        // One more leaves when it is woken already.
        requests[(leaves + 1) % 4].leave();
        for (position, request) in requests.iter().enumerate() {
            let left = position == leaves || position == (leaves + 1) % 4;
            assert_eq!(request.continued(), u32::from(!left), "{position} of {leaves}");
        }
    }
}

#[test]
fn a_callout_outlives_the_client_for_whose_sake_it_was_sent() {
    let envoy = start();
    let first = begin(&envoy, "alice");
    let callout = only_callout(&envoy);
    first.leave();
    // Nobody waits: the next request takes the reply in.
    envoy.reply(callout, ALICE);
    let authorization = bearer("alice");
    let next = envoy.open(&[("authorization", &authorization)]);
    assert_eq!(next.headers(true), CONTINUE);
    assert_eq!(envoy.callouts(), []);
}

#[test]
fn a_service_that_does_not_answer_is_503() {
    let envoy = start();
    for reply in [None, Some(("500", "")), Some(("200", "no JSON")), Some(("x", "{}"))] {
        let request = begin(&envoy, "bob");
        envoy.reply(only_callout(&envoy), reply);
        let answer = request.answer().unwrap();
        assert_eq!((answer.status, answer.details.as_str()), (503, "user_info_unavailable"));
    }
    let mut nowhere = configuration();
    nowhere["user_info"]["service"] = json!("nowhere");
    let envoy = Envoy::start(&nowhere.to_string()).unwrap();
    let request = begin(&envoy, "bob");
    assert_eq!(request.status(), 503);
}

#[test]
fn the_gateways_own_requests_are_read_here_and_kept_from_the_upstream() {
    let envoy = start();
    let body = json!({"entries": [{"sub": "mallory"}]}).to_string();
    let (first, second) = body.split_at(7);
    let length = body.len().to_string();
    let authorization = bearer("auth");
    let head = [
        (":method", "POST"),
        (":path", "/revoke"),
        ("authorization", authorization.as_str()),
        ("content-length", length.as_str()),
    ];
    // Whoever may revoke is asked for first.
    let authorized = begin(&envoy, "auth");
    envoy.reply(only_callout(&envoy), Some(("200", r#"{"sub": "auth", "country": "ES"}"#)));
    assert_eq!(authorized.continued(), 1);

    let request = envoy.open(&head);
    assert_eq!(request.headers(false), STOP);
    assert_eq!(request.body(first, false), DROP);
    assert_eq!(request.status(), 0);
    assert_eq!(request.body(second, true), DROP);
    assert_eq!((request.status(), request.continued()), (204, 0));

    for (case, end) in [("the head ends it", true), ("the body ends it", false)] {
        let short = envoy.open(&head);
        assert_eq!(short.headers(end), STOP, "{case}");
        if !end {
            assert_eq!(short.body("{", true), DROP, "{case}");
        }
        assert_eq!(short.status(), 400, "{case}");
    }
    let trailers = envoy.open(&head);
    assert_eq!(trailers.headers(false), STOP);
    assert_eq!(trailers.trailers(&[("x-a", "b")]), STOP);
    assert_eq!(trailers.status(), 400);

    // Revoked at once, for every configuration with the same providers.
    let other = start();
    for envoy in [&envoy, &other] {
        let authorization = bearer("mallory");
        let request = envoy.open(&[("authorization", &authorization)]);
        request.headers(true);
        assert_eq!(request.answer().expect("an answer").details, "token_revoked");
    }
}

/// Over HTTP/2 no field need announce a body.
#[test]
fn a_preflight_has_no_body() {
    let mut bypassing = configuration();
    bypassing["bypass_cors_preflight"] = json!(true);
    let envoy = Envoy::start(&bypassing.to_string()).unwrap();
    for (end, expected) in [(true, CONTINUE), (false, STOP)] {
        let preflight = envoy.open(&[
            (":method", "OPTIONS"),
            ("origin", "https://shop.example"),
            ("access-control-request-method", "GET"),
        ]);
        assert_eq!(preflight.headers(end), expected);
    }
}

/// Envoy would hand it over only when the request goes on, which it never does.
#[test]
fn a_body_arrives_while_the_user_is_asked_for() {
    let mut asking = configuration();
    asking["revocation"]["endpoint"]["requires"] = json!({"claims": {"country": ["ES"]}});
    asking["revocation"]["ledger"] = json!("a_body_arrives");
    let envoy = Envoy::start(&asking.to_string()).unwrap();
    let body = json!({"entries": [{"sub": "mallory"}]}).to_string();
    let (length, authorization) = (body.len().to_string(), bearer("alice"));
    let request = envoy.open(&[
        (":method", "POST"),
        (":path", "/revoke"),
        ("authorization", &authorization),
        ("content-length", &length),
    ]);
    assert_eq!(request.headers(false), STOP);
    assert_eq!(request.body(&body, false), DROP);
    // The end comes by itself.
    assert_eq!(request.body("", true), DROP);
    assert_eq!(request.answered(), None);
    envoy.reply(only_callout(&envoy), ALICE);
    assert_eq!((request.status(), request.continued()), (204, 0));
}

#[test]
fn a_route_has_its_own_configuration() {
    let envoy = start();
    let mut open = configuration();
    open["rules"] = json!([{"match": {"path_prefix": "/"}, "requires": {"allow_missing": true}}]);
    open["services"]["members"] =
        json!({"upstream": "members", "authority": "m", "scheme": "http", "timeout_ms": 500});
    open["user_info"]["service"] = json!("members");
    open["user_info"]["path"] = json!("/members/{sub}");
    let route = Route::new(&open.to_string()).unwrap();
    assert!(Route::new("{}").is_none(), "a wrong one is refused");
    let anonymous = envoy.open(&[]).on(&route);
    assert_eq!(anonymous.headers(true), CONTINUE);
    assert_eq!(envoy.open(&[]).headers(true), STOP);
    let authorization = bearer("alice");
    let alice = envoy.open(&[("authorization", &authorization)]).on(&route);
    assert_eq!(alice.headers(true), STOP_ALL);
    assert_eq!(envoy.callouts()[0].1, "/members/alice");
    let foreign = envoy.open(&[]).on_foreign();
    assert_eq!(foreign.headers(true), STOP);
    let answer = foreign.answer().unwrap();
    assert_eq!((answer.status, answer.details.as_str()), (503, "configuration_invalid"));
    let cause = "the settings of the route are those of another filter";
    assert!(LOG.with_borrow(|log| log.iter().any(|line| line.contains(cause))));
    // The route goes; its streams stay.
    drop(route);
    envoy.reply(only_callout(&envoy), ALICE);
    assert_eq!(alice.continued(), 1);
    envoy.run_until("both are counted", || {
        envoy.count("gatepass_requests_total denied token_missing") == 1
    });
}

#[test]
fn a_stream_leaves_nothing_in_whatever_state_it_ends() {
    let envoy = start();
    let authorization = bearer("auth");
    let revoking = [
        (":method", "POST"),
        (":path", "/revoke"),
        ("authorization", authorization.as_str()),
        ("content-length", "9"),
    ];
    // New.
    envoy.open(&[]).leave();
    // Waiting, before and after its callout was sent, and when the reply is there.
    begin(&envoy, "alice").leave();
    let alice = begin(&envoy, "bob");
    envoy.run();
    alice.leave();
    let carol = begin(&envoy, "carol");
    for (number, _) in envoy.callouts() {
        envoy.reply(number, None);
    }
    carol.leave();
    // Reading.
    let request = begin(&envoy, "auth");
    envoy.reply(only_callout(&envoy), Some(("200", r#"{"sub": "auth", "country": "ES"}"#)));
    assert_eq!(request.continued(), 1);
    request.leave();
    let reading = envoy.open(&revoking);
    assert_eq!(reading.headers(false), STOP);
    reading.leave();
    envoy.run();
    // The end of `envoy` looks for what is left.
}

#[test]
fn a_panic_denies_the_request_and_those_that_wait_and_the_next_one_is_served() {
    let envoy = start();
    let waiting = begin(&envoy, "alice");
    let callout = only_callout(&envoy);
    // An Envoy that says what cannot be.
    let broken = envoy.open(&[]).lying(usize::MAX);
    assert_eq!(broken.headers(true), STOP);
    let answer = broken.answer().unwrap();
    assert_eq!((answer.status, answer.details.as_str()), (500, "gatepass_panic"));
    let denied = waiting.answer().expect("it does not wait for ever");
    assert_eq!((denied.status, denied.details.as_str()), (500, "gatepass_panic"));
    assert_eq!(waiting.continued(), 0);
    // For a gateway that is no more.
    envoy.reply(callout, ALICE);
    let next = begin(&envoy, "alice");
    envoy.reply(only_callout(&envoy), ALICE);
    assert_eq!(next.continued(), 1);
    envoy.run_until("it is counted", || envoy.count("gatepass_panics_total") == 1);
    assert!(LOG.with_borrow(|log| log.iter().any(|line| line.contains("capacity overflow"))));
    let is_failure = |line: &&String| line.contains("the gateway panicked");
    let failures = LOG.with_borrow(|log| log.iter().filter(is_failure).count());
    assert_eq!(failures, 2, "one for each request that got 500");
}

#[test]
fn a_metric_that_envoy_refuses_is_logged_once_and_no_request_fails() {
    let envoy = start();
    envoy.refuse_metric("gatepass_requests_total");
    let refused = || -> Vec<String> {
        let name = |line: &String| Some(line.split_once("a value of ")?.1.to_owned());
        LOG.with_borrow(|log| log.iter().filter_map(name).collect())
    };
    for _ in 0..3 {
        assert_eq!(envoy.open(&[(":path", "/health")]).headers(true), CONTINUE);
        envoy.run_until("it is logged", || !refused().is_empty());
        envoy.ticks();
    }
    assert_eq!(refused(), ["gatepass_requests_total"]);
}

/// Their sum would be one call that took as long as all of them.
#[test]
fn calls_that_end_within_a_tick_are_recorded_one_by_one() {
    let envoy = start();
    let requests: Vec<_> = (0..4).map(|user| begin(&envoy, &format!("user-{user}"))).collect();
    for (callout, _) in envoy.callouts() {
        envoy.reply(callout, None);
    }
    assert!(requests.iter().all(|request| request.status() == 503));
    envoy.run_until("each is recorded", || envoy.count("gatepass_callout_milliseconds users") == 4);
}

#[test]
fn requests_after_a_pause_are_counted_too() {
    let envoy = start();
    for requests in 1..=3 {
        assert_eq!(envoy.open(&[]).headers(true), STOP);
        let counted = || envoy.count("gatepass_requests_total denied token_missing");
        envoy.run_until("it is counted", || counted() == requests);
        // Nobody waits, and nothing is left to count.
        envoy.ticks();
    }
}

/// Envoy has no consumers of its own.
#[test]
fn consumers_of_kong_are_refused() {
    let mut kong = configuration();
    kong["consumers"] = json!({"claim": ["azp"], "kong": "custom_id"});
    assert!(Envoy::start(&kong.to_string()).is_none());
    assert!(LOG.with_borrow(|log| log.iter().any(|line| line.contains("$.consumers.kong"))));
}

/// A configuration whose streams end with their tokens.
fn configuration_to_follow(token: &Value) -> Value {
    let mut following = configuration();
    following["limits"] = json!({"end_streams": true});
    following["providers"]["shop"]["clock_skew_seconds"] = json!(0);
    following["revocation"]["ledger"] = token["sub"].clone();
    following.as_object_mut().unwrap().remove("user_info");
    following
}

fn following(token: &Value) -> (Envoy, String) {
    let configuration = configuration_to_follow(token);
    let envoy = Envoy::start(&configuration.to_string()).expect("it is valid");
    (envoy, bearer_of(token))
}

fn bearer_of(token: &Value) -> String {
    let header = Header { kid: Some("a".to_owned()), ..Header::default() };
    let token = jsonwebtoken::encode(&header, token, &EncodingKey::from_secret(SECRET)).unwrap();
    format!("Bearer {token}")
}

/// Revokes the tokens of this user, on the listener.
fn revoke(envoy: &Envoy, subject: &str, authorization: &str) {
    let body = json!({"entries": [{"sub": subject}]}).to_string();
    let length = body.len().to_string();
    let revoke = envoy.open(&[
        (":method", "POST"),
        (":path", "/revoke"),
        ("authorization", authorization),
        ("content-length", length.as_str()),
    ]);
    assert_eq!(revoke.headers(false), STOP);
    assert_eq!(revoke.body(&body, true), DROP);
    assert_eq!(revoke.status(), 204);
}

fn claims(subject: &str, lives: u64) -> Value {
    json!({"iss": ISSUER, "aud": "shop-api", "sub": subject, "scope": "revoke",
        "iat": now() - 10, "exp": now() + lives})
}

#[test]
fn a_stream_ends_when_its_token_does_and_no_sooner() {
    let claims = claims("alice", 2);
    let (envoy, authorization) = following(&claims);
    let stream = envoy.open(&[("authorization", &authorization)]);
    let bypassed = envoy.open(&[(":path", "/health")]);
    for request in [&stream, &bypassed] {
        assert_eq!(request.headers(true), CONTINUE);
    }
    assert_eq!(stream.note("wasm.gatepass.code"), None);
    envoy.run_until("the token ends", || stream.answer().is_some());
    assert!(claims["exp"].as_u64() <= Some(now()), "too early");
    let answer = stream.answer().unwrap();
    assert_eq!((answer.status, answer.details.as_str()), (401, "token_expired"));
    assert_eq!(stream.note("wasm.gatepass.code").as_deref(), Some("token_expired"));
    assert_eq!(bypassed.answer().map(|answer| answer.status), None, "it has no token");
    envoy.run_until("it is counted", || {
        envoy.count("gatepass_streams_ended_total token_expired") == 1
            && envoy.count("gatepass_requests_total allowed none") == 1
    });
    assert!(LOG.with_borrow(|log| log.iter().any(|line| line.contains("\"stream_ended\""))));
}

#[test]
fn a_stream_ends_when_its_token_is_revoked_whatever_else_happens_there() {
    let (envoy, authorization) = following(&claims("mallory", 600));
    let [ended, left] = [(); 2].map(|()| envoy.open(&[("authorization", &authorization)]));
    for request in [&ended, &left] {
        request.leave_open(true);
        assert_eq!(request.headers(false), CONTINUE);
        assert_eq!(request.body("more", false), CONTINUE);
    }
    left.leave();
    revoke(&envoy, "mallory", &authorization);
    envoy.run_until("its stream ends", || ended.answer().is_some());
    assert_eq!(ended.answer().unwrap().details, "token_revoked");
    assert_eq!(ended.body("late", false), DROP);
    assert!(left.answer().is_none());
    envoy.run_until("it is counted", || {
        envoy.count("gatepass_streams_ended_total token_revoked") == 1
    });
}

/// A snapshot is over when its route goes, and some time after a secret of it was replaced; the
/// module then knows nothing of it but its streams.
#[test]
fn a_stream_whose_plan_is_over_ends_with_its_token_all_the_same() {
    let revoked = claims("oscar", 600);
    let (envoy, authorization) = following(&revoked);
    let route = Route::new(&configuration_to_follow(&revoked).to_string()).unwrap();
    let expiring = bearer_of(&claims("olga", 3));
    let [oscar, olga] = [&authorization, &expiring].map(|authorization| {
        let stream = envoy.open(&[("authorization", authorization)]).on(&route);
        stream.leave_open(true);
        assert_eq!(stream.headers(false), CONTINUE);
        stream
    });
    drop(route);
    // Another stream's event lets go of the gateways of that snapshot, and then the main thread.
    for _ in 0..3 {
        std::thread::sleep(std::time::Duration::from_millis(110));
        assert_eq!(envoy.open(&[]).headers(true), STOP);
        envoy.run();
    }
    assert!(oscar.answer().is_none() && olga.answer().is_none());
    revoke(&envoy, "oscar", &authorization);
    envoy.run_until("its token is revoked", || oscar.answer().is_some());
    assert_eq!(oscar.answer().unwrap().details, "token_revoked");
    envoy.run_until("its token expires", || olga.answer().is_some());
    assert_eq!(olga.answer().unwrap().details, "token_expired");
    envoy.run_until("both are counted", || {
        ["token_revoked", "token_expired"]
            .iter()
            .all(|code| envoy.count(&format!("gatepass_streams_ended_total {code}")) == 1)
    });
}

#[test]
fn a_stream_that_nobody_follows_any_more_ends() {
    let (envoy, authorization) = following(&claims("carol", 600));
    let stream = envoy.open(&[("authorization", &authorization)]);
    assert_eq!(stream.headers(true), CONTINUE);
    let broken = envoy.open(&[]).lying(usize::MAX);
    assert_eq!(broken.headers(true), STOP);
    assert_eq!(stream.answer().expect("an end").details, "gatepass_panic");
    let next = envoy.open(&[("authorization", &authorization)]);
    assert_eq!(next.headers(true), CONTINUE);
}

#[test]
fn streams_that_are_not_to_end_are_never_woken() {
    let envoy = start();
    let request = begin(&envoy, "alice");
    envoy.reply(only_callout(&envoy), ALICE);
    assert_eq!(request.continued(), 1);
    let broken = envoy.open(&[]).lying(usize::MAX);
    assert_eq!(broken.headers(true), STOP);
    envoy.run();
    assert!(request.answer().is_none(), "a panic is nothing to a request that passed");
}

#[test]
fn a_wrong_configuration_is_refused_and_says_why() {
    for (text, why) in [
        ("", "found nothing"),
        ("{", "invalid configuration"),
        ("{}", "$.providers"),
        ("[]", "an object"),
    ] {
        LOG.take();
        assert!(Envoy::start(text).is_none(), "{text}");
        let log = LOG.take().join("\n");
        assert!(log.contains(why), "{why} in {log}");
    }
}

#[test]
fn configurations_come_and_go_with_what_waits_in_them() {
    for _ in 0..10 {
        let old = start();
        let new = start();
        let waiting = begin(&old, "alice");
        let other = begin(&new, "alice");
        let callout = only_callout(&old);
        new.reply(only_callout(&new), ALICE);
        assert_eq!((waiting.continued(), other.continued()), (0, 1));
        old.reply(callout, ALICE);
        assert_eq!(waiting.continued(), 1);
        begin_and_abandon(&old);
    }
}

/// A request that waits when its configuration goes.
fn begin_and_abandon(envoy: &Envoy) {
    let request = begin(envoy, "bob");
    assert_eq!(request.continued(), 0);
}
