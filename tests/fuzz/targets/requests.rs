//! Two workers of a gateway with requests, replies, ticks and clocks in any
//! order: late and duplicate replies, clients that leave, bodies that come late
//! or never, services that lie.

use std::collections::BTreeSet;

use arbitrary::Unstructured;
use gatepass::callout::{Callout, CalloutReply};
use gatepass::host::HostCapabilities;
use gatepass::http::{LocalReply, RequestHead};
use gatepass::pipeline::{CalloutId, Step, Submission, Waiting};
use gatepass::verdict::{HeaderEdits, Verdict};
use serde_json::{Value, json};

use super::logins;
use super::shapes::{below, one_of, rarely};
use super::support::{
    HOSTS, KEY_A, KEY_B, START, Store, World, bearer, claims, failed, field, head, jwks, ok,
    ok_cached, remote, reply, sealed, with_users,
};

const USERS: [&str; 3] = ["alice", "bob", "mallory"];
const REVOCATIONS: &str = "/.well-known/gatepass/revocations";

/// What a request may come to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Forwarded as this user, or denied.
    User(&'static str),
    /// Denied.
    Nobody,
    /// Answered by the login's service, or denied.
    Login,
    /// This user revoked, or denied.
    Revocation(&'static str),
}

/// What waits, at which worker.
struct Parked<T> {
    worker: usize,
    kind: Kind,
    it: T,
}

struct Run {
    host: HostCapabilities,
    workers: Vec<World>,
    waiting: Vec<Parked<Waiting>>,
    bodies: Vec<Parked<Submission>>,
    sent: Vec<(usize, CalloutId, Callout)>,
    /// Replies may come again.
    landed: Vec<(usize, CalloutId)>,
    /// Those whom no worker may let pass any more.
    revoked: BTreeSet<&'static str>,
    /// The feed's pages that were asked for before another one came.
    overtaken: BTreeSet<(usize, CalloutId)>,
    begun: usize,
    ended: usize,
    left: usize,
}

impl Run {
    fn take(&mut self, worker: usize, kind: Kind, step: Step) {
        match step {
            Step::Wait(sent, waiting) => {
                self.sent.push((worker, sent.id, sent.callout));
                self.waiting.push(Parked { worker, kind, it: waiting });
            }
            Step::Join(waiting) => {
                let flight = waiting.callout();
                let is_it =
                    |(at, sent, _): &(usize, CalloutId, Callout)| (*at, *sent) == (worker, flight);
                assert!(self.sent.iter().any(is_it), "joined nothing");
                self.waiting.push(Parked { worker, kind, it: waiting });
            }
            Step::Receive(submission) => {
                assert!(matches!(kind, Kind::Login | Kind::Revocation(_)), "{kind:?}");
                assert_eq!(submission.is_login(), kind == Kind::Login);
                self.bodies.push(Parked { worker, kind, it: submission });
            }
            Step::Done(Verdict::Forward(edits), _) => {
                self.ended += 1;
                self.check(worker, kind, &edits);
            }
            Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
                self.ended += 1;
                self.check_answer(kind, &reply);
            }
        }
    }

    fn check(&mut self, worker: usize, kind: Kind, edits: &HeaderEdits) {
        let Kind::User(user) = kind else { panic!("{kind:?} was forwarded") };
        assert!(!self.revoked.contains(user), "{user} is revoked");
        let text = field(edits, "x-identity-token").expect("every path needs a token");
        let now = self.workers[worker].now().as_secs();
        assert!(now < START + 3660, "accepted after its end, at {now}");
        let payload = text.split('.').nth(1).unwrap();
        let payload = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, payload);
        let identity: Value = serde_json::from_slice(&payload.unwrap()).unwrap();
        assert_eq!(identity["sub"], user);
        assert!(identity["exp"].as_i64().unwrap() <= START + 3600);
        if identity["enrichment"] != "none" {
            assert_eq!(identity["name"], user, "the data of another user");
        }
    }

    fn check_answer(&mut self, kind: Kind, reply: &LocalReply) {
        match (kind, reply.status) {
            // What the service said, without its token.
            (Kind::Login, 200 | 401 | 500) => {
                assert!(!String::from_utf8_lossy(&reply.body).contains("eyJ"), "{reply:?}");
            }
            (Kind::Login, 413 | 503) => {}
            (Kind::Revocation(user), 204) => drop(self.revoked.insert(user)),
            (Kind::Revocation(_), 413) => {}
            (_, status) => assert!([400, 401, 403, 503].contains(&status), "{status}"),
        }
    }

    fn send(&mut self, u: &mut Unstructured<'_>) {
        self.begun += 1;
        let worker = below(u, self.workers.len());
        let (kind, head) = request(u);
        let step = self.workers[worker].begin(head);
        self.take(worker, kind, step);
    }

    fn answer(&mut self, u: &mut Unstructured<'_>) {
        let (worker, flight, callout) = self.sent[below(u, self.sent.len())].clone();
        let (reply, revokes) = reply_to(u, &callout);
        // A page that others overtook is asked for again, from where they ended.
        let is_overtaken = self.overtaken.contains(&(worker, flight));
        if is_page(&callout) {
            let others = self.sent.iter().filter(|(_, _, callout)| is_page(callout));
            self.overtaken.extend(others.map(|(worker, flight, _)| (*worker, *flight)));
        }
        if self.complete(worker, flight, &reply)
            && !is_overtaken
            && let Some(user) = revokes
        {
            self.revoked.insert(user);
        }
    }

    /// Lands a reply, as an adapter does it: all that wait for it go on. Whether
    /// anybody took it.
    fn complete(&mut self, worker: usize, flight: CalloutId, reply: &CalloutReply) -> bool {
        self.sent.retain(|(at, sent, _)| (*at, *sent) != (worker, flight));
        let world = &mut self.workers[worker];
        let now = world.now();
        let landing = world.gateway.complete(flight, reply, now);
        assert!(landing.is_none() || !self.landed.contains(&(worker, flight)), "landed twice");
        self.landed.push((worker, flight));
        let Some(landing) = landing else { return false };
        for Parked { worker, kind, it } in self.drain(worker, flight) {
            let step = self.workers[worker].gateway.resume(it, &landing, now);
            self.take(worker, kind, step);
        }
        true
    }

    /// Those who wait for a flight.
    fn drain(&mut self, worker: usize, flight: CalloutId) -> Vec<Parked<Waiting>> {
        let all = std::mem::take(&mut self.waiting);
        let is_due = |it: &Parked<Waiting>| it.worker == worker && it.it.callout() == flight;
        let (due, others) = all.into_iter().partition(is_due);
        self.waiting = others;
        due
    }

    /// A body comes in, or is more than the host can read.
    fn submit(&mut self, u: &mut Unstructured<'_>) {
        let Parked { worker, kind, it } = self.bodies.swap_remove(below(u, self.bodies.len()));
        let body = match kind {
            Kind::Revocation(user) => json!({"entries": [{"sub": user}]}).to_string(),
            _ => r#"{"username":"alice"}"#.to_owned(),
        };
        let body = (!rarely(u, 6)).then(|| body.into_bytes());
        let world = &mut self.workers[worker];
        let now = world.now();
        let step = world.gateway.submit(it, body, now);
        self.take(worker, kind, step);
    }

    /// A client leaves. Its callout ends with it where each request has its own.
    fn leave(&mut self, u: &mut Unstructured<'_>) {
        if !self.bodies.is_empty() && rarely(u, 2) {
            self.bodies.swap_remove(below(u, self.bodies.len()));
            self.left += 1;
            return;
        }
        if self.waiting.is_empty() {
            return;
        }
        let gone = self.waiting.swap_remove(below(u, self.waiting.len()));
        self.left += 1;
        if self.host.resumes_others {
            return;
        }
        let (worker, flight) = (gone.worker, gone.it.callout());
        self.workers[worker].gateway.abandon(flight);
        self.sent.retain(|(at, sent, _)| (*at, *sent) != (worker, flight));
        // Its reply may come all the same.
        self.landed.push((worker, flight));
    }

    fn tick(&mut self, worker: usize) {
        let world = &mut self.workers[worker];
        let now = world.now();
        let tick = world.gateway.tick(now);
        let sent = tick.send.into_iter();
        self.sent.extend(sent.map(|sent| (worker, sent.id, sent.callout)));
        for flight in tick.overdue {
            self.complete(worker, flight, &failed());
        }
    }

    /// The clock that all workers look at.
    fn pass(&mut self, millis: i64) {
        for world in &mut self.workers {
            world.millis += millis;
        }
    }
}

fn is_page(callout: &Callout) -> bool {
    callout.path.starts_with("/revocations")
}

/// Somebody's request.
fn request(u: &mut Unstructured<'_>) -> (Kind, RequestHead) {
    let user = *one_of(u, &USERS);
    let token = |key: &super::support::IssuerKey, kid| {
        key.token(kid, &claims(json!({"sub": user, "scope": "revoke"})))
    };
    match below(u, 12) {
        0 => (Kind::User(user), bearer(&token(&KEY_B, "b"))),
        // Never published under this id.
        1 => (Kind::Nobody, bearer(&token(&KEY_B, "a"))),
        2 | 3 => (Kind::User(user), bearer(&format!("reference-of-{user}"))),
        4 => (Kind::Nobody, bearer("reference-of-nobody")),
        5 | 6 => (Kind::User(user), bearer(&sealed(&token(&KEY_A, "a")))),
        7 => (Kind::Nobody, bearer(&sealed(&token(&KEY_A, "a")).replace("gps_A", "gps_B"))),
        8 => {
            let post = [(":method", "POST"), (":path", "/login"), ("content-length", "20")];
            let get = [(":path", "/login")];
            (Kind::Login, head(if rarely(u, 2) { &post } else { &get }))
        }
        9 => {
            let token = format!("Bearer {}", token(&KEY_A, "a"));
            let whom = *one_of(u, &USERS);
            let post = [
                (":method", "POST"),
                (":path", REVOCATIONS),
                ("content-length", "20"),
                ("authorization", &*token),
            ];
            (Kind::Revocation(whom), head(&post))
        }
        _ => (Kind::User(user), bearer(&token(&KEY_A, "a"))),
    }
}

/// A reply of the service that a callout is for, and whom it revokes if it is
/// taken.
fn reply_to(u: &mut Unstructured<'_>, callout: &Callout) -> (CalloutReply, Option<&'static str>) {
    match below(u, 10) {
        0 => return (failed(), None),
        1 => return (reply(500, b""), None),
        2 => return (reply(200, b"["), None),
        _ => {}
    }
    let way = below(u, 6);
    let reply = match callout.path.split('?').next().unwrap_or_default() {
        "/introspect" => {
            let form = callout.body.as_ref().unwrap().expose();
            let user = USERS.into_iter().find(|user| form.ends_with(user.as_bytes()));
            match (way, user) {
                (0, _) | (_, None) => ok(&json!({"active": false})),
                (1, Some(_)) => ok(&json!({"active": "true", "sub": "mallory"})),
                (_, Some(user)) => ok(&claims(json!({"active": true, "sub": user}))),
            }
        }
        "/revocations" => {
            let user = (way == 0).then(|| *one_of(u, &USERS));
            let entries: Vec<_> = user.iter().map(|user| json!({ "sub": user })).collect();
            let more = way == 1;
            let page =
                json!({"cursor": format!("c{}", below(u, 4)), "entries": entries, "more": more});
            return (ok(&page), user);
        }
        "/login" => match way {
            0 => reply(401, b"{}"),
            1 => ok(&json!({"jwt": KEY_A.token("a", &claims(json!({})))})),
            _ => ok(&json!({"access_token": KEY_A.token("a", &claims(json!({})))})),
        },
        "/jwks.json" => match way {
            0 => jwks(&[]),
            1 => jwks(&[KEY_A.jwk("a")]),
            2 => jwks(&[KEY_B.jwk("b")]),
            _ => jwks(&[KEY_A.jwk("a"), KEY_B.jwk("b")]),
        },
        path => {
            let user = path.strip_prefix("/users/").expect("a service of ours");
            match way {
                0 => reply(404, b""),
                1 => ok(&json!({"sub": "somebody", "name": "somebody"})),
                2 => ok_cached("no-store", &json!({"sub": user, "name": user})),
                _ => ok(&json!({"sub": user, "name": user})),
            }
        }
    };
    (reply, None)
}

fn config(u: &mut Unstructured<'_>) -> Value {
    let mut config = with_users([
        ("/user_info/claims", json!({"name": "/name"})),
        ("/user_info/required", json!(["name"])),
        ("/user_info/failure_mode", json!(*one_of(u, &["deny", "degrade"]))),
        ("/user_info/cache/max_entries", json!(below(u, 3))),
        ("/limits", json!({ "token_cache_entries": below(u, 3) })),
        (
            "/revocation",
            json!({
                "feed": {"service": "auth", "path": "/revocations"},
                "endpoint": {"path": REVOCATIONS, "requires": {"scopes_all": ["revoke"]}},
                "failure_mode": *one_of(u, &["deny", "allow"]),
            }),
        ),
        ("/sealed_tokens", logins::config()["sealed_tokens"].clone()),
    ]);
    config["providers"] = remote([])["providers"].clone();
    config["providers"]["shop"]["introspection"] = json!({
        "service": "auth", "path": "/introspect", "client_id": "gate", "client_secret": "s3cret",
        "cache": {"max_entries": 1 + below(u, 2)},
    });
    config
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let config = config(u);
    let host = *one_of(u, &HOSTS);
    let store = Store::default();
    let worker = |_| World::sharing(&config, host, &store);
    let mut run = Run {
        host,
        workers: (0..2).map(worker).collect(),
        waiting: Vec::new(),
        bodies: Vec::new(),
        sent: Vec::new(),
        landed: Vec::new(),
        revoked: BTreeSet::new(),
        overtaken: BTreeSet::new(),
        begun: 0,
        ended: 0,
        left: 0,
    };
    while !u.is_empty() && run.begun < 60 {
        match below(u, 9) {
            0..=2 => run.send(u),
            3 | 4 if !run.sent.is_empty() => run.answer(u),
            5 if !run.landed.is_empty() => {
                let (worker, again) = run.landed[below(u, run.landed.len())];
                run.complete(worker, again, &jwks(&[KEY_B.jwk("a")]));
            }
            5 => run.leave(u),
            6 => run.tick(below(u, 2)),
            7 if !run.bodies.is_empty() => run.submit(u),
            _ => {
                let jumps = [1, 100, 1000, 3000, 61_000, 700_000, -5000, 3_700_000];
                run.pass(*one_of(u, &jumps));
            }
        }
    }
    // Every callout ends, one way or another, and then nobody waits any more.
    for _ in 0..20 {
        for (worker, flight, _) in run.sent.clone() {
            run.complete(worker, flight, &failed());
        }
    }
    // Some bodies never come.
    run.left += run.bodies.len();
    assert!(run.waiting.is_empty(), "{} wait for ever", run.waiting.len());
    assert_eq!(run.begun, run.ended + run.left, "each request ends once");
}
