//! Host calls that fail: each call of a scenario in each way, and some at random.
//!
//! Whatever fails, nothing passes without all its edits, nobody is answered twice,
//! the guard stays on, nothing is left of the request, and the next one is served.

use serde_json::{Value, json};

use crate::FILTER;
use crate::host::faults::{Fault, Faults};
use crate::host::{Callout, Engine, Head, Host, Outcome, Profile, Reply, Request};
use crate::shop::{self, claims, issuer, remote_keys, user_reply};

const SEAL_KEY: &str = "ZmFpbHVyZXMtLXNlYWwta2V5LTAxMjM0NTY3ODkwMTI=";
const REVOCATIONS: &str = "/.well-known/gatepass/revocations";

/// A configuration, and a request that makes the filter do something.
struct Scenario {
    name: &'static str,
    patch: fn() -> Value,
    request: fn(&str) -> Head,
    /// Whether the request may go upstream, and then with an identity.
    passes: Option<bool>,
    /// Whether each run needs a filter that has not seen anything.
    is_cold: bool,
}

fn signed(sub: &str) -> String {
    let mut claims = claims(sub);
    claims["scope"] = json!("revoke");
    issuer().sign(&claims)
}

fn with_token(path: &str, token: &str) -> Head {
    let head = Head::get(path).header("authorization", &format!("Bearer {token}"));
    head.header("x-consumer-id", "forged").header("x-user-country", "forged")
}

fn reference_tokens() -> Value {
    let introspection = json!({
        "service": "auth", "path": "/introspect", "client_id": "gateway",
        "client_secret": "failures-secret-0123456789",
    });
    json!({"providers": {"shop": {"introspection": introspection}}})
}

fn logins() -> Value {
    let login =
        json!({"match": {"path": "/session"}, "service": "auth", "json": ["/access_token"]});
    json!({"sealed_tokens": {"keys": [SEAL_KEY], "logins": [login]}})
}

fn revocations() -> Value {
    let endpoint = json!({"requires": {"scopes_all": ["revoke"]}});
    let feed = json!({"service": "auth", "path": "/feed", "poll_seconds": 1});
    json!({"shared_data": "always", "revocation": {"endpoint": endpoint, "feed": feed}})
}

fn post(path: &str, sub: &str, body: &str) -> Head {
    Head::get(path).post(body).header("authorization", &format!("Bearer {}", signed(sub)))
}

const SCENARIOS: [Scenario; 7] = [
    Scenario {
        name: "user info",
        patch: || json!({}),
        request: |sub| with_token("/orders", &signed(sub)),
        passes: Some(true),
        is_cold: false,
    },
    Scenario {
        name: "a token in the query",
        patch: || json!({"token": {"from_params": ["jwt"]}}),
        request: |sub| Head::get(&format!("/orders?jwt={}&x=1", signed(sub))),
        passes: Some(true),
        is_cold: false,
    },
    Scenario {
        name: "keys, then user info",
        patch: remote_keys,
        request: |sub| with_token("/orders", &signed(sub)),
        passes: Some(true),
        is_cold: true,
    },
    Scenario {
        name: "a bypass",
        patch: || json!({}),
        request: |sub| with_token("/login", &signed(sub)),
        passes: Some(false),
        is_cold: false,
    },
    Scenario {
        name: "a reference token",
        patch: reference_tokens,
        request: |sub| with_token("/orders", &format!("reference-of-{sub}")),
        passes: Some(true),
        is_cold: false,
    },
    Scenario {
        name: "a login",
        patch: logins,
        request: |_| Head::get("/session").post(r#"{"username":"alice"}"#),
        passes: None,
        is_cold: false,
    },
    Scenario {
        name: "a revocation",
        patch: revocations,
        request: |sub| post(REVOCATIONS, sub, r#"{"entries":[{"sub":"mallory"}]}"#),
        passes: None,
        is_cold: false,
    },
];

fn open(profile: Profile, scenario: &Scenario) -> Host {
    let host = Host::new(FILTER, Engine::Native, profile);
    if host.is_kong() {
        host.with_shm_kv();
    }
    shop::open(&host, (scenario.patch)());
    if !scenario.is_cold {
        // On Kong the first request is when workers begin to share; what is not
        // made then stays missing, and the feed unread (503).
        let first = host.send(with_token("/orders", &signed("first")));
        answer_all(&host);
        first.finish();
    }
    host
}

fn reply_to(callout: &Callout) -> Reply {
    let path = callout.path();
    if let Some(sub) = path.strip_prefix("/users/") {
        return user_reply(sub);
    }
    match path.split('?').next() {
        Some("/jwks.json") => issuer().jwks(),
        Some("/introspect") => {
            let body = String::from_utf8_lossy(&callout.body).into_owned();
            let mut claims = claims(body.split("reference-of-").nth(1).unwrap_or("nobody"));
            claims["active"] = json!(true);
            Reply::ok(claims.to_string())
        }
        Some("/session") => Reply::ok(json!({"access_token": signed("alice")}).to_string()),
        _ => Reply::ok(r#"{"cursor":"7","entries":[]}"#),
    }
}

/// Answers whatever is asked, until nothing more is.
fn answer_all(host: &Host) {
    for _ in 0..5 {
        for callout in host.callouts() {
            // One may have ended with the request that the answer before decided.
            if host.callouts().iter().any(|open| open.is(&callout)) {
                let reply = reply_to(&callout);
                callout.answer(reply);
            }
        }
        host.tick();
    }
}

/// True if the host did not let the gateway answer or enter a request.
fn is_unreachable(hit: &[String]) -> bool {
    let is_why = |hit: &String| {
        hit.starts_with("proxy_set_effective_context")
            || hit.starts_with("proxy_send_local_response")
    };
    hit.iter().any(is_why)
}

/// What must hold of a request, whatever failed.
fn check(host: &Host, request: &Request, scenario: &Scenario, waited: bool, about: &str) {
    let hit = host.faults_hit();
    let about = format!("{}, {about}: {hit:?}", scenario.name);
    // How all public tokens begin.
    let public = signed("").split('.').next().unwrap().to_owned();
    // An nginx that is not Kong's has nothing to guard with, and a host that refuses
    // all of it cannot be helped.
    let guards = |hit: &String| hit.contains("get_property") || hit.contains("set_property");
    let is_excused = hit.len() > 1 && hit.iter().any(guards);
    let is_guarded = || is_excused || shop::is_guarded(host, request);
    let calls_of = |name: &str| hit.iter().filter(|hit| hit.starts_with(name)).count();
    // It takes no answer, neither the denial nor a bare 500, and no guard.
    let is_deaf = calls_of("proxy_send_local_response") >= 2 && is_excused;
    match request.outcome() {
        Outcome::Forwarded { .. } if is_deaf => {}
        Outcome::Forwarded { headers, failed_open } => {
            assert_eq!(failed_open, None, "{about}");
            let has_identity = scenario.passes.unwrap_or_else(|| panic!("{about}: forwarded"));
            assert!(!headers.iter().any(|(_, value)| value == b"forged"), "{about}: {headers:?}");
            let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
            let is_public = |(name, value): &&(String, Vec<u8>)| {
                name != "x-identity-token" && text(value).contains(&public)
            };
            assert_eq!(headers.iter().find(is_public), None, "{about}: the public token");
            let tokens = request.upstream_headers("x-identity-token");
            let identities = tokens.iter().filter(|token| !token.is_empty()).count();
            assert_eq!(identities, usize::from(has_identity), "{about}");
        }
        Outcome::Replied(reply) => {
            let statuses = [200, 204, 400, 401, 403, 413, 431, 500, 503];
            assert!(statuses.contains(&reply.status), "{about}: {reply:?}");
            assert!(!reply.text().contains(&public), "{about}: a public token");
            assert!(!waited || is_guarded(), "{about}: the guard came off");
        }
        // Kong's own, because of the guard.
        Outcome::Failed { status, .. } => assert!(host.is_kong() && status == 500, "{about}"),
        Outcome::Paused => {
            // What ends a callout whose reply was lost is the first tick with a time.
            let has_no_time = calls_of("proxy_get_current_time_nanoseconds") > 1;
            assert!(has_no_time || is_unreachable(&hit), "{about}: it waits for ever");
            assert!(is_guarded(), "{about}: not guarded");
        }
    }
    assert_eq!(host.take_violations(), Vec::<String>::new(), "{about}");
}

fn run(host: &Host, scenario: &Scenario, sub: &str, faults: Faults, about: &str) -> usize {
    host.with_faults(faults);
    let request = host.send((scenario.request)(sub));
    let waited = request.is_paused();
    answer_all(host);
    let calls = host.calls_counted();
    check(host, &request, scenario, waited, about);
    let hit = host.faults_hit();
    host.allow_calls();
    if request.is_paused() && !is_unreachable(&hit) {
        answer_all(host);
        assert!(!request.is_paused(), "{}, {about}: {hit:?}: it waits for ever", scenario.name);
    }
    request.finish();
    calls
}

/// Nothing is left, and a good request is served.
fn recover(host: &Host, scenario: &Scenario, sub: &str, about: &str) {
    let name = scenario.name;
    answer_all(host);
    // What failed in the background is tried again after a while.
    let mut served = false;
    for _ in 0..40 {
        let request = host.send(with_token("/orders", &signed(sub)));
        answer_all(host);
        served = request.is_forwarded();
        request.finish();
        if served {
            break;
        }
        host.advance(500);
    }
    assert!(served, "{name}, {about}: the next request is not served; {:?}", host.logs().last());
    assert_eq!(host.in_progress(), 0, "{name}, {about}: something is left");
    assert_eq!(host.take_violations(), Vec::<String>::new(), "{name}, {about}");
}

fn each_call_in_each_way(profile: Profile, scenario: &Scenario) {
    let mut host = open(profile, scenario);
    let calls = run(&host, scenario, "user-0", Faults::default(), "no fault");
    recover(&host, scenario, "next-0", "no fault");
    assert!(calls > 5, "{calls} calls");
    let mut number = 0;
    for call in 0..calls {
        for fault in Fault::all() {
            number += 1;
            if scenario.is_cold {
                host = open(profile, scenario);
            }
            let about = format!("{profile:?}, call {call}: {fault:?}");
            let faults = Faults::nth(call, fault);
            run(&host, scenario, &format!("user-{number}"), faults, &about);
            recover(&host, scenario, &format!("next-{number}"), &about);
        }
    }
}

macro_rules! each_call {
    ($($name:ident: $scenario:literal,)*) => {
        mod each_call {
            use super::*;
            $(mod $name {
                use super::*;

                #[test]
                fn native_envoy() {
                    each_call_in_each_way(Profile::Envoy, &SCENARIOS[$scenario]);
                }
                #[test]
                fn native_kong() {
                    each_call_in_each_way(Profile::Kong, &SCENARIOS[$scenario]);
                }
            })*
        }
    };
}
each_call! {
    user_info: 0,
    a_token_in_the_query: 1,
    keys_then_user_info: 2,
    a_bypass: 3,
    a_reference_token: 4,
    a_login: 5,
    a_revocation: 6,
}

/// How many bytes of a fuzzer are for one request.
const CALLS: usize = 128;

/// Some calls fail, in any way and at any time.
fn at_random(profile: Profile, seed: u64) {
    for (position, scenario) in SCENARIOS.iter().enumerate() {
        let host = open(profile, scenario);
        for round in 0..12 {
            let seed = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (position as u64 * 97 + round);
            let about = format!("GATEPASS_FUZZ_SEED={seed:#x}");
            let faults = Faults::random(seed, 2 + seed % 20);
            run(&host, scenario, &format!("user-{round}"), faults, &about);
        }
        recover(&host, scenario, "next", &format!("{seed}"));
    }
}

/// One run by the bytes of a fuzzer: of which scenario, and what becomes of each call.
pub fn fed(bytes: &[u8]) {
    let Some((first, rest)) = bytes.split_first() else { return };
    let profile = if first % 2 == 0 { Profile::Envoy } else { Profile::Kong };
    let scenario = &SCENARIOS[usize::from(first / 2) % SCENARIOS.len()];
    let host = open(profile, scenario);
    for (round, calls) in rest.chunks(CALLS).enumerate() {
        let about = format!("{profile:?}, round {round}");
        run(&host, scenario, &format!("user-{round}"), Faults::fed(calls), &about);
    }
    recover(&host, scenario, "next", &format!("{profile:?}"));
}

/// As many as there is time for with `make fuzz`.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test may look at the clock")]
fn calls_that_fail_at_random_native() {
    use std::time::{Duration, Instant, UNIX_EPOCH};
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds: Option<u64> = number("GATEPASS_FUZZ_SECONDS");
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let first = seconds.map_or(1, |_| UNIX_EPOCH.elapsed().unwrap().as_secs());
    let rounds = if seconds.is_some() { u64::MAX / 2 } else { 8 };
    for seed in first..first.saturating_add(rounds) {
        at_random(Profile::Envoy, seed);
        at_random(Profile::Kong, seed);
        if seconds.is_some() && Instant::now() >= until {
            return;
        }
    }
}

// A seed that is the same in every worker would number their tokens alike.
#[test]
fn two_workers_mint_ids_of_their_own() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let ids = [(); 2].map(|()| {
            let host = open(profile, &SCENARIOS[0]);
            let request = shop::served(&host, "alice");
            shop::identity(&host, &request)["jti"].as_str().unwrap().to_owned()
        });
        assert_ne!(ids[0], ids[1], "{profile:?}");
    }
}

/// What a fuzzer led by the code found worth keeping.
#[test]
fn host_calls_of_the_corpus_native() {
    crate::dice::corpus("host_calls").iter().for_each(|input| fed(input));
}
