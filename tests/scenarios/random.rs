//! A thousand requests in random order with everything that can happen between
//! them. The dice are the same in each run; natively the jitter of fetches is not.

use std::time::{Duration, Instant, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::FILTER;
use crate::dice::Dice;
use crate::host::{Callout, Engine, Head, Host, Outcome, Profile, Reply, Request, each_host};
use crate::shop::{self, issuer, next_issuer, remote_keys, token, user_reply};

const REQUESTS: usize = 1000;
const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];

/// What a request may come to.
#[derive(Clone, Debug)]
enum Kind {
    /// The identity of this user, or a denial.
    User(&'static str),
    /// The upstream, without identity.
    Nobody,
    /// A denial.
    Denied,
}

struct Traffic<'h> {
    host: &'h Host,
    dice: Dice,
    /// Several of each user.
    tokens: Vec<(&'static str, String)>,
    /// With the time since when they wait.
    open: Vec<(Kind, Request, u64)>,
    elapsed_ms: u64,
    sent: usize,
    ended: usize,
    reset: usize,
    forwarded: usize,
}

impl Traffic<'_> {
    fn send(&mut self) {
        self.sent += 1;
        let (sub, token) = self.dice.one_of(&self.tokens);
        let valid = || Head::get("/orders").header("authorization", &format!("Bearer {token}"));
        let (kind, head) = match self.dice.roll(16) {
            0 => (Kind::Nobody, Head::get("/login")),
            1 => (Kind::Nobody, Head::get("/catalog")),
            2 => (Kind::Denied, Head::get("/orders")),
            3 => (Kind::Denied, Head::get("/orders").header("authorization", "Bearer x.y.z")),
            4 => {
                let unknown = next_issuer().sign(&shop::claims(sub));
                (Kind::Denied, Head::get("/").header("authorization", &format!("Bearer {unknown}")))
            }
            5 => (Kind::User(sub), valid().header("X-Consumer-Id", "forged")),
            6 => {
                let twice = valid().header("x-identity-token", "forged");
                (Kind::User(sub), twice.header("X_Identity_Token", "forged"))
            }
            7 => (
                Kind::User(sub),
                (0..130).fold(valid(), |head, n| head.header(&format!("x-{n}"), "v")),
            ),
            8 => (Kind::User(sub), valid().raw_header("x-odd", b"\xff")),
            _ => (Kind::User(sub), valid()),
        };
        let request = self.host.send(head);
        self.keep(kind, request, self.elapsed_ms);
    }

    /// Looks at a request: over, or still open and then guarded.
    fn keep(&mut self, kind: Kind, request: Request, since: u64) {
        if request.is_paused() {
            assert!(shop::is_guarded(self.host, &request));
            assert!(!matches!(kind, Kind::Nobody), "nothing to wait for");
            self.open.push((kind, request, since));
            return;
        }
        self.ended += 1;
        match request.outcome() {
            Outcome::Forwarded { headers, failed_open: None } => {
                self.forwarded += 1;
                let is_forged = |value: &Vec<u8>| value == b"forged";
                assert!(!headers.iter().any(|(_, value)| is_forged(value)), "{headers:?}");
                let tokens = request.upstream_headers("x-identity-token");
                let subjects: Vec<_> = tokens.iter().map(|token| subject(token)).collect();
                match kind {
                    Kind::User(sub) => assert_eq!(subjects, [sub]),
                    Kind::Nobody => assert_eq!(subjects, [""; 0]),
                    Kind::Denied => panic!("forwarded: {headers:?}"),
                }
            }
            Outcome::Replied(reply) => {
                assert!([400, 401, 403, 431, 503].contains(&reply.status), "{reply:?}");
                assert!(!matches!(kind, Kind::Nobody), "{reply:?}");
            }
            outcome => panic!("{outcome:?}"),
        }
        request.finish();
    }

    fn look(&mut self) {
        for (kind, request, since) in std::mem::take(&mut self.open) {
            self.keep(kind, request, since);
        }
    }

    fn answer(&mut self) {
        let Some(callout) = self.dice.draw(&mut self.host.callouts()) else { return };
        let reply = match (callout.path().strip_prefix("/users/"), self.dice.roll(12)) {
            (_, 0) => Reply::failed(),
            (_, 1) => Reply::status(500),
            (_, 2) => Reply::without_status(),
            (_, 3) => Reply::ok("[").raw_header("cache-control", b"\xff"),
            (Some(_), 4) => Reply::status(404),
            (Some(_), 5) => user_reply("mallory"),
            (Some(sub), 6) => user_reply(sub).header("cache-control", "no-store"),
            (Some(sub), _) => user_reply(sub),
            (None, _) => issuer().jwks(),
        };
        callout.answer(reply);
    }

    /// A client leaves, unless it has waited so long that it will see the end: a
    /// request that is forgotten has to be there at the end.
    fn leave(&mut self) {
        let recent = self.open.iter().filter(|(.., since)| self.elapsed_ms - since < 400);
        let mut recent: Vec<_> = recent.map(|(_, request, _)| request.clone()).collect();
        let Some(request) = self.dice.draw(&mut recent) else { return };
        self.open.retain(|(_, open, _)| *open != request);
        let mut callouts: Vec<Callout> = request.callouts();
        request.reset();
        self.reset += 1;
        if let Some(late) = self.dice.draw(&mut callouts) {
            late.deliver_late(issuer().jwks());
        }
    }

    fn step(&mut self) {
        match self.dice.roll(20) {
            0..8 => self.send(),
            8..10 => self.answer(),
            10..12 => self.leave(),
            12 => self.host.tick(),
            13..19 => {
                let ms = self.dice.roll(200) as u64;
                self.elapsed_ms += ms;
                self.host.advance(ms);
            }
            _ if self.dice.roll(8) > 0 => {}
            _ => self.host.set_now(shop::START + self.dice.roll(3000) as u64),
        }
        self.look();
    }
}

/// Who an identity token is about; nobody if it is a header that was blanked.
fn subject(token: &str) -> String {
    let payload = token.split('.').nth(1).expect("a JWS");
    let claims: Value =
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims["sub"].as_str().unwrap().to_owned()
}

fn traffic(host: &Host, requests: usize, seed: u64, patch: Value) {
    shop::open(host, patch);
    let tokens = USERS.iter().flat_map(|sub| [*sub, *sub].map(|sub| (sub, token(sub)))).collect();
    let mut traffic = Traffic {
        host,
        dice: Dice::of(seed),
        tokens,
        open: Vec::new(),
        elapsed_ms: 0,
        sent: 0,
        ended: 0,
        reset: 0,
        forwarded: 0,
    };
    while traffic.sent < requests {
        traffic.step();
    }
    // Every callout is answered or times out, and then nothing waits any more.
    host.advance(10_000);
    traffic.look();
    assert!(traffic.open.is_empty(), "{} still wait", traffic.open.len());
    assert_eq!(traffic.ended + traffic.reset, requests);
    assert!(traffic.forwarded > requests / 5, "{} were forwarded", traffic.forwarded);
    assert!(traffic.reset >= requests / 200, "{} were reset", traffic.reset);
    // But for the keys, which are fetched again and again.
    assert!(host.callouts().iter().all(|callout| callout.path() == "/jwks.json"));
}

/// Everything ends soon, so that most requests have to wait.
fn restless() -> Value {
    let cache = json!({
        "ttl_seconds": 1, "negative_ttl_seconds": 1, "stale_if_error_seconds": 1, "max_entries": 3,
    });
    json!({ "user_info": { "cache": cache }, "limits": { "token_cache_entries": 5 } })
}

each_host!(a_thousand_requests_end_once_each, |host| {
    traffic(host, REQUESTS, 0x5EED, restless());
});

/// Fewer of them on the built module each time.
#[test]
fn some_requests_end_once_each_as_built() {
    for profile in [Profile::Envoy, Profile::Kong] {
        let host = Host::new(FILTER, Engine::Module, profile);
        traffic(&host, 200, 0x5EED, restless());
        host.finish();
    }
}

each_host!(a_thousand_requests_with_keys_that_come_and_go, |host| {
    let mut patch = remote_keys();
    let keys = &mut patch["providers"]["shop"]["remote_jwks"];
    keys["cache_seconds"] = json!(6);
    keys["max_stale_seconds"] = json!(6);
    keys["unknown_kid_cooldown_seconds"] = json!(1);
    patch["user_info"] = restless()["user_info"].clone();
    traffic(host, REQUESTS, 0xB00C, patch);
});

/// Other orders of events: a few of them, or as many as there is time for (`make
/// fuzz`). The dice are printed when one fails; `GATEPASS_FUZZ_SEED` throws them
/// again.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test may look at the clock")]
fn thousands_of_requests_in_other_orders() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds: Option<u64> = number("GATEPASS_FUZZ_SECONDS");
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(0));
    let new = || seconds.map_or(1, |_| UNIX_EPOCH.elapsed().unwrap().as_secs());
    let first = number("GATEPASS_FUZZ_SEED").unwrap_or_else(new);
    for seed in first.. {
        for profile in [Profile::Envoy, Profile::Kong] {
            println!("GATEPASS_FUZZ_SEED={seed}, {profile:?}");
            let host = Host::new(FILTER, Engine::Native, profile);
            traffic(&host, REQUESTS, seed.wrapping_mul(0x9E37_79B9_7F4A_7C15), restless());
            host.finish();
        }
        if Instant::now() >= until {
            println!("{} thousand requests", (seed - first + 1) * 2);
            return;
        }
    }
}
