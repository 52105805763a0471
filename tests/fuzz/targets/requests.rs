//! The gateway with requests, replies, ticks and clocks in any order: late and
//! duplicate replies, clients that leave, services that lie.

use arbitrary::Unstructured;
use gatepass::callout::{Callout, CalloutReply};
use gatepass::gateway::{FlightId, Step, Waiting};
use gatepass::verdict::{HeaderEdits, Verdict};
use serde_json::{Value, json};

use super::shapes::{below, one_of, rarely};
use super::support::{
    HOSTS, KEY_A, KEY_B, START, World, bearer, claims, failed, field, jwks, ok, ok_cached, remote,
    reply, with_users,
};

const USERS: [&str; 3] = ["alice", "bob", "mallory"];

struct Run {
    world: World,
    /// With the user whose token it carries; nobody for one that must not pass.
    waiting: Vec<(Option<&'static str>, Waiting)>,
    sent: Vec<(FlightId, Callout)>,
    /// Replies may come again.
    landed: Vec<FlightId>,
    begun: usize,
    ended: usize,
    left: usize,
}

impl Run {
    fn take(&mut self, user: Option<&'static str>, step: Step) {
        match step {
            Step::Await(sent, waiting) => {
                self.sent.push((sent.flight, sent.callout));
                self.waiting.push((user, waiting));
            }
            Step::Join(waiting) => {
                let flight = waiting.flight();
                assert!(self.sent.iter().any(|(sent, _)| *sent == flight), "joined nothing");
                self.waiting.push((user, waiting));
            }
            Step::Receive(_) => panic!("nobody may revoke here"),
            Step::Done(Verdict::Forward(edits)) => {
                self.ended += 1;
                self.check(user, &edits);
            }
            Step::Done(Verdict::Answer(reply)) => {
                self.ended += 1;
                assert!([400, 401, 403, 503].contains(&reply.status), "{}", reply.status);
            }
        }
    }

    fn check(&mut self, user: Option<&'static str>, edits: &HeaderEdits) {
        let text = field(edits, "x-identity-token").expect("every path needs a token");
        let now = self.world.now().as_secs();
        assert!(now < START + 3660, "accepted after its end, at {now}");
        let payload = text.split('.').nth(1).unwrap();
        let payload = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, payload);
        let identity: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
        assert_eq!(identity["sub"], user.expect("a token that nobody may have"));
        assert!(identity["exp"].as_i64().unwrap() <= START + 3600);
        if identity["enrichment"] != "none" {
            assert_eq!(identity["name"], user.unwrap(), "the data of another user");
        }
    }

    fn send(&mut self, u: &mut Unstructured<'_>) {
        self.begun += 1;
        let user = *one_of(u, &USERS);
        let claims = claims(json!({ "sub": user }));
        let (allowed, token) = match below(u, 5) {
            0 => (Some(user), KEY_B.token("b", &claims)),
            // Never published under this id.
            1 => (None, KEY_B.token("a", &claims)),
            _ => (Some(user), KEY_A.token("a", &claims)),
        };
        let step = self.world.begin(bearer(&token));
        self.take(allowed, step);
    }

    fn answer(u: &mut Unstructured<'_>, callout: &Callout) -> CalloutReply {
        let user = callout.path.strip_prefix("/users/");
        match (below(u, 10), user) {
            (0, _) => failed(),
            (1, _) => reply(500, b""),
            (2, _) => reply(200, b"["),
            (3, Some(_)) => reply(404, b""),
            (4, Some(_)) => ok(&json!({"sub": "somebody", "name": "somebody"})),
            (5, Some(user)) => ok_cached("no-store", &json!({"sub": user, "name": user})),
            (_, Some(user)) => ok(&json!({"sub": user, "name": user})),
            (3, None) => jwks(&[]),
            (4, None) => jwks(&[KEY_A.jwk("a")]),
            (5, None) => jwks(&[KEY_B.jwk("b")]),
            (_, None) => jwks(&[KEY_A.jwk("a"), KEY_B.jwk("b")]),
        }
    }

    /// Lands a reply, as an adapter does it: all that wait for it go on.
    fn land(&mut self, flight: FlightId, reply: &CalloutReply) {
        self.sent.retain(|(sent, _)| *sent != flight);
        let now = self.world.now();
        let landing = self.world.gateway.land(flight, reply, now);
        assert!(landing.is_none() || !self.landed.contains(&flight), "landed twice");
        self.landed.push(flight);
        let Some(landing) = landing else { return };
        let all = std::mem::take(&mut self.waiting);
        for (user, waiting) in all {
            if waiting.flight() == flight {
                let step = self.world.gateway.resume(waiting, &landing, now);
                self.take(user, step);
            } else {
                self.waiting.push((user, waiting));
            }
        }
    }

    /// A client leaves; those who joined it ask for themselves.
    fn leave(&mut self, u: &mut Unstructured<'_>) {
        if self.waiting.is_empty() {
            return;
        }
        let (_, gone) = self.waiting.swap_remove(below(u, self.waiting.len()));
        self.left += 1;
        let flight = gone.flight();
        if rarely(u, 2) && self.waiting.iter().any(|(_, other)| other.flight() == flight) {
            // It had joined: its going concerns nobody else.
            return;
        }
        self.world.gateway.abandon(flight);
        self.sent.retain(|(sent, _)| *sent != flight);
        let now = self.world.now();
        let all = std::mem::take(&mut self.waiting);
        for (user, waiting) in all {
            if waiting.flight() == flight {
                let step = self.world.gateway.retry(waiting, now);
                self.take(user, step);
            } else {
                self.waiting.push((user, waiting));
            }
        }
    }

    fn tick(&mut self) {
        let now = self.world.now();
        let tick = self.world.gateway.tick(now);
        self.sent.extend(tick.send.into_iter().map(|sent| (sent.flight, sent.callout)));
        for flight in tick.overdue {
            self.land(flight, &failed());
        }
    }
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let mut config = with_users([
        ("/user_info/claims", json!({"name": "/name"})),
        ("/user_info/required", json!(["name"])),
        ("/user_info/failure_mode", json!(*one_of(u, &["deny", "degrade"]))),
        ("/user_info/cache/max_entries", json!(below(u, 3))),
        ("/limits", json!({ "token_cache_entries": below(u, 3) })),
    ]);
    config["providers"] = remote([])["providers"].clone();
    let world = World::new(&config, *one_of(u, &HOSTS));
    let (sent, landed, waiting) = (Vec::new(), Vec::new(), Vec::new());
    let mut run = Run { world, waiting, sent, landed, begun: 0, ended: 0, left: 0 };
    while !u.is_empty() && run.begun < 60 {
        match below(u, 8) {
            0..=2 => run.send(u),
            3 | 4 if !run.sent.is_empty() => {
                let (flight, callout) = run.sent[below(u, run.sent.len())].clone();
                let reply = Run::answer(u, &callout);
                run.land(flight, &reply);
            }
            5 if !run.landed.is_empty() => {
                let again = run.landed[below(u, run.landed.len())];
                run.land(again, &jwks(&[KEY_B.jwk("a")]));
            }
            5 => run.leave(u),
            6 => run.tick(),
            _ => {
                let jumps = [1, 100, 1000, 3000, 61_000, 700_000, -5000, 3_700_000];
                run.world.millis += one_of(u, &jumps);
            }
        }
    }
    // Every callout ends, one way or another, and then nobody waits any more.
    for _ in 0..20 {
        for (flight, _) in run.sent.clone() {
            run.land(flight, &failed());
        }
    }
    assert!(run.waiting.is_empty(), "{} wait for ever", run.waiting.len());
    assert_eq!(run.begun, run.ended + run.left, "each request ends once");
}
