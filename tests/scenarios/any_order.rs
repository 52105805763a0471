//! Every callback in every state of a request, in random order: bodies in pieces,
//! trailers and resets between any two others, replies late and cut short.

use serde_json::json;

use crate::FILTER;
use crate::dice::Dice;
use crate::host::{Callout, Engine, Head, Host, Outcome, Profile, Reply, Request};
use crate::shop::{self, claims, issuer, remote_keys, token, user_reply};

const SEAL_KEY: &str = "YW55LW9yZGVyLS1zZWFsLWtleS0wMTIzNDU2Nzg5MDE=";
const REVOCATIONS: &str = "/.well-known/gatepass/revocations";
const BODY: &str = r#"{"entries":[{"sub":"mallory"}],"username":"alice"}"#;

fn open(profile: Profile) -> Host {
    let host = Host::new(FILTER, Engine::Native, profile);
    if host.is_kong() {
        host.with_shm_kv();
    }
    let mut patch = remote_keys();
    let login =
        json!({"match": {"path": "/session"}, "service": "auth", "json": ["/access_token"]});
    patch["sealed_tokens"] = json!({"keys": [SEAL_KEY], "logins": [login]});
    patch["shared_data"] = json!("always");
    patch["revocation"] = json!({"endpoint": {"requires": {"scopes_all": ["revoke"]}}});
    shop::open(&host, patch);
    host
}

/// One request, and whether it may go upstream.
struct Open {
    request: Request,
    passes: bool,
    came: usize,
    is_over: bool,
}

fn head(dice: &mut Dice) -> (Head, bool) {
    let mut admin = claims("root");
    admin["scope"] = json!("revoke");
    let post = |path: &str, token: &str| {
        Head::get(path).post(BODY).header("authorization", &format!("Bearer {token}"))
    };
    let user = dice.one_of(&["alice", "bob", "carol"]);
    match dice.roll(8) {
        0 => (Head::get("/session").post(BODY), false),
        1 => (post(REVOCATIONS, &issuer().sign(&admin)), false),
        2 => (post(REVOCATIONS, &token("alice")), false),
        3 => (post("/orders", "x.y.z"), false),
        4 => (Head::get("/login").post(BODY), true),
        _ => (post("/orders", &token(user)).header("x-consumer-id", "forged"), true),
    }
}

fn reply_to(callout: &Callout) -> Reply {
    let path = callout.path();
    match path.strip_prefix("/users/") {
        Some(sub) => user_reply(sub),
        None if path == "/session" => {
            Reply::ok(json!({"access_token": token("alice")}).to_string())
        }
        None => issuer().jwks(),
    }
}

/// Delivers a piece of the body; those held back come again with it.
fn piece(dice: &mut Dice, open: &mut Open) {
    let end = (open.came + 1 + dice.roll(BODY.len())).min(BODY.len());
    let is_last = end == BODY.len() && dice.roll(3) > 0;
    let from = if dice.roll(2) == 0 { 0 } else { open.came };
    let went_on = open.request.piece(&BODY.as_bytes()[from..end], is_last);
    look(open, went_on);
    open.came = end;
    open.is_over |= is_last;
}

fn look(open: &Open, went_on: Option<bool>) {
    if went_on == Some(true) {
        assert!(open.passes, "something of it went upstream");
        assert!(open.request.headers_passed().is_some(), "its body passed before its headers");
    }
}

fn check(host: &Host, open: &Open) {
    match open.request.outcome() {
        Outcome::Forwarded { headers, failed_open } => {
            assert!(open.passes && failed_open.is_none(), "{failed_open:?}");
            assert!(!headers.iter().any(|(_, value)| value == b"forged"), "{headers:?}");
        }
        Outcome::Paused if open.request.headers_passed().is_none() => {
            assert!(shop::is_guarded(host, &open.request));
        }
        Outcome::Paused => {}
        Outcome::Replied(reply) => assert!(reply.status != 500, "{reply:?}"),
        // What nginx does with a request that the gateway itself was to answer.
        Outcome::Failed { status, why } => {
            assert_eq!((host.is_kong(), status), (true, 500), "{why}")
        }
    }
}

/// One run by the bytes of a fuzzer.
pub fn fed(bytes: &[u8]) {
    let mut dice = Dice::fed(bytes);
    let profile = dice.one_of(&[Profile::Envoy, Profile::Kong]);
    run(profile, dice);
}

fn run(profile: Profile, mut dice: Dice) {
    let host = open(profile);
    let mut requests: Vec<Open> = Vec::new();
    for _ in 0..120 {
        if dice.is_over() {
            break;
        }
        let some = (!requests.is_empty()).then(|| dice.roll(requests.len()));
        match (dice.roll(12), some) {
            (0..3, _) => {
                let (head, passes) = head(&mut dice);
                let request = host.send(head.by_hand());
                requests.push(Open { request, passes, came: 0, is_over: false });
            }
            (3..6, Some(at)) if !requests[at].is_over => piece(&mut dice, &mut requests[at]),
            (6, Some(at)) if !host.is_kong() && !requests[at].is_over => {
                let went_on = requests[at].request.trailers(&[("x-consumer-id", "forged")]);
                look(&requests[at], went_on);
                requests[at].is_over = true;
            }
            (7, Some(at)) => {
                requests.swap_remove(at).request.reset();
            }
            (8..10, _) => {
                if let Some(callout) = dice.draw(&mut host.callouts()) {
                    let reply = match dice.roll(6) {
                        0 => Reply::failed(),
                        1 => reply_to(&callout).broken_off(),
                        _ => reply_to(&callout),
                    };
                    callout.answer(reply);
                }
            }
            _ => host.advance(dice.roll(300) as u64),
        }
        requests.iter().for_each(|open| check(&host, open));
    }
    requests.iter().for_each(|open| open.request.finish());
    host.advance(10_000);
    for _ in 0..5 {
        for callout in host.callouts() {
            let reply = reply_to(&callout);
            callout.answer(reply);
        }
        host.tick();
    }
    // Keys that could not be fetched are asked for again after a while.
    let is_served = (0..60).any(|_| {
        let request = shop::ask(&host, &token("dave"));
        for _ in 0..3 {
            for callout in host.callouts() {
                let reply = reply_to(&callout);
                callout.answer(reply);
            }
        }
        let is_served = request.is_forwarded();
        request.finish();
        host.advance(500);
        is_served
    });
    assert!(is_served, "{:?}", host.logs().last());
    assert_eq!(host.in_progress(), 0, "something is left");
    host.finish();
}

/// As many as there is time for with `make fuzz`. The seed is printed.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test may look at the clock")]
fn callbacks_in_any_order_native() {
    use std::time::{Duration, Instant, UNIX_EPOCH};
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds: Option<u64> = number("GATEPASS_FUZZ_SECONDS");
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let new = || seconds.map_or(1, |_| UNIX_EPOCH.elapsed().unwrap().as_secs());
    let first = number("GATEPASS_FUZZ_SEED").unwrap_or_else(new);
    let rounds = if seconds.is_some() { u64::MAX / 2 } else { 100 };
    for seed in first..first.saturating_add(rounds) {
        for profile in [Profile::Envoy, Profile::Kong] {
            println!("GATEPASS_FUZZ_SEED={seed}, {profile:?}");
            run(profile, Dice::of(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        }
        if seconds.is_some() && Instant::now() >= until {
            return;
        }
    }
}

/// What a fuzzer led by the code found worth keeping.
#[test]
fn callbacks_of_the_corpus_native() {
    crate::dice::corpus("callbacks").iter().for_each(|input| fed(input));
}
