//! The workers, all around them, and what can happen.

use std::collections::BTreeMap;

use gatepass::callout::CalloutReply;
use gatepass::gateway::HostTraits;
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::super::support::{self, ENVOY, KONG, START};
use super::super::{jose, options};
use super::facts::{Facts, Heard, Public};
use super::outside::{self, Fact, ISSUERS, Outside, issuer_time, listener_of};
use super::stores::{Kind, Store};
use super::worker::{Client, End, Worker};

/// Something that happens, to what its numbers choose among what there is then:
/// so events can be left out and the others still mean something.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub kind: usize,
    pub a: usize,
    pub b: usize,
}

const USERS: [&str; 6] = ["alice", "bob", "carol", "dave", "erin", "frank"];

/// Workers of each listener.
const WORKERS: usize = 2;

pub struct World {
    host: HostTraits,
    store: Store,
    kind: Kind,
    workers: Vec<Worker>,
    outside: Outside,
    facts: Facts,
    tokens: Vec<Public>,
    /// What was sent to be revoked, by listener.
    posted: Vec<(usize, Value)>,
    /// Milliseconds since the start, and how far the clock is from that.
    real: i64,
    offset: i64,
    next: usize,
    versions: [usize; 2],
    begun: usize,
    ended: usize,
    left: usize,
    pub passed: usize,
    /// The code of the last denial, and how often there was each.
    last: String,
    pub codes: BTreeMap<String, usize>,
}

pub type Found = Result<(), String>;

impl World {
    pub fn new(seed: u64) -> Self {
        let kinds = [Kind::Quiet, Kind::Contended, Kind::Quiet, Kind::Colliding];
        let kind = kinds[usize::try_from(seed % 4).expect("small")];
        let mut world = Self {
            host: if seed.is_multiple_of(3) { KONG } else { ENVOY },
            store: Store::new(kind),
            kind,
            workers: Vec::new(),
            outside: Outside::new(),
            facts: Facts::default(),
            tokens: Vec::new(),
            posted: Vec::new(),
            real: 0,
            offset: 0,
            next: 0,
            versions: [0; 2],
            begun: 0,
            ended: 0,
            left: 0,
            passed: 0,
            last: String::new(),
            codes: BTreeMap::new(),
        };
        world.facts.is_ordered = world.host.resumes_others;
        for listener in 0..2 {
            for _ in 0..WORKERS {
                let worker = world.worker(listener);
                world.workers.push(worker);
            }
        }
        world
    }

    fn worker(&mut self, listener: usize) -> Worker {
        self.next += 1;
        Worker::new(self.next, listener, self.versions[listener], self.host, &self.store)
    }

    const fn clock(&self) -> i64 {
        START * 1000 + self.real + self.offset
    }

    const fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.clock())
    }

    /// A new token: of a key that is published, that was, or that never is.
    fn token(&mut self, issuer: usize, choice: usize, lifetime: i64) -> Public {
        let published = &self.outside.keys[issuer];
        let foreign = &self.outside.keys[issuer ^ 1];
        let from = |keys: &[(usize, u64)]| keys.get(choice / 16 % keys.len().max(1)).copied();
        let key = match choice % 16 {
            0 => from(&self.outside.withdrawn[issuer]),
            1 => from(foreign),
            2 => from(&self.outside.keys[(issuer + 2) % 4]),
            3 => Some((9, self.outside.unpublished())),
            _ => from(published),
        };
        let (kid, key) = key.or_else(|| from(published)).unwrap_or((0, 0));
        self.next += 1;
        let (iat, jti) = (issuer_time(self.real), format!("t{}", self.next));
        let sub = USERS[choice / 64 % USERS.len()];
        let claims = json!({
            "iss": ISSUERS[issuer], "aud": "api", "sub": sub, "jti": jti, "iat": iat,
            "exp": iat + lifetime, "scope": "admin", "azp": "web",
        });
        let text = outside::signed(kid, key, &claims);
        Public { text, issuer, kid, key, sub, jti, iat, exp: iat + lifetime }
    }

    fn end(&mut self, at: usize, end: End) -> Found {
        self.ended += 1;
        let (client, verdict) = end;
        let clock = self.clock();
        match verdict {
            Verdict::Forward(edits) => {
                let token = support::field(&edits, "x-identity-token").ok_or("no identity")?;
                let now = self.now();
                let worker = &mut self.workers[at];
                let identity = jose::verified(&mut worker.gateway, &token, now);
                self.passed += 1;
                self.facts.check(worker.id, &client.token, &identity, clock)
            }
            Verdict::Answer(reply) if reply.status == 204 => {
                let entry = client.entry.ok_or("204 for something else")?;
                let listener = self.workers[at].listener;
                self.facts.revoke(listener, &[entry], clock);
                Ok(())
            }
            Verdict::Answer(reply) => {
                let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                let code = body["code"].as_str().unwrap_or_default();
                code.clone_into(&mut self.last);
                *self.codes.entry(code.to_owned()).or_default() += 1;
                let (feed, posted) = (&self.outside.feed, &self.posted);
                let has_reason = self.facts.may_be_revoked(&client.token, feed, posted);
                if code == "token_revoked" && !has_reason {
                    return Err(format!("nobody revoked {:?}", client.token));
                }
                if ![401, 403, 503].contains(&reply.status) {
                    return Err(format!("{} {code}", reply.status));
                }
                Ok(())
            }
        }
    }

    /// Lands the callout at `flight` of a worker.
    fn land(&mut self, at: usize, flight: usize, how: usize) -> Found {
        let (now, real) = (self.now(), self.real);
        let worker = &mut self.workers[at];
        let open = &worker.open[flight];
        let (fact, reply) = match how % 16 {
            0 => (Fact::Nothing, support::failed()),
            1 => (Fact::Nothing, support::reply(500, b"")),
            2 => (Fact::Nothing, support::reply(200, b"{\"keys\": [")),
            3..6 => open.then.clone(),
            _ => self.outside.answer(&open.callout, real),
        };
        let (id, listener) = (worker.id, worker.listener);
        let (asked, asked_clock) = (open.asked, open.asked_clock);
        let clock = START * 1000 + self.real + self.offset;
        self.facts.hear(Heard { worker: id, fact: fact.clone(), clock, asked_clock, asked });
        worker.gateway.take_log();
        let ends = worker.land(flight, &reply, now, real, &self.outside);
        let log = worker.gateway.take_log();
        let is_taken = !log.iter().any(|line| line.text.contains("tokens_not_listed"));
        if let (Fact::Page(end, _), true, CalloutReply::Answer(_)) = (&fact, is_taken, &reply) {
            self.facts.revoke(listener, &self.outside.feed[..*end], clock);
        }
        ends.into_iter().try_for_each(|end| self.end(at, end))
    }

    /// Fails what the host or the gateway gives up, and asks for what is due.
    fn tick(&mut self, at: usize) -> Found {
        let (now, real) = (self.now(), self.real);
        let tick = self.workers[at].gateway.tick(now);
        for sent in tick.send {
            let worker = &mut self.workers[at];
            let place = format!("{}{}", sent.callout.service.upstream, sent.callout.path);
            let times = worker.asked.entry(place).or_default();
            times.retain(|then| real - then < 900);
            times.push(real);
            if times.len() > 3 && real - self.facts.jumped > 900 {
                return Err(format!("{} is asked without a pause", sent.callout.path));
            }
            worker.send(sent, now, real, &self.outside);
        }
        for flight in tick.overdue {
            let open = &self.workers[at].open;
            if let Some(position) = open.iter().position(|open| open.flight == flight) {
                self.fail(at, position)?;
            }
        }
        Ok(())
    }

    fn fail(&mut self, at: usize, flight: usize) -> Found {
        let (now, real) = (self.now(), self.real);
        let ends = self.workers[at].land(flight, &support::failed(), now, real, &self.outside);
        ends.into_iter().try_for_each(|end| self.end(at, end))
    }

    fn pass(&mut self, ms: i64) {
        self.real += ms;
        self.facts.see(self.clock());
    }

    fn jump(&mut self, ms: i64) {
        if ms < 0 && !options::CLOCKS_SET_BACK {
            return;
        }
        self.offset += ms;
        self.facts.jumped = self.real;
        self.facts.see(self.clock());
    }

    fn begin(&mut self, at: usize, client: Client) -> Found {
        self.begun += 1;
        if let Some(entry) = &client.entry {
            self.posted.push((self.workers[at].listener, entry.clone()));
        }
        let (now, real) = (self.now(), self.real);
        match self.workers[at].begin(client, now, real, &self.outside) {
            Some(end) => self.end(at, end),
            None => Ok(()),
        }
    }

    fn entry(&self, a: usize, b: usize) -> Value {
        let user = USERS[b % USERS.len()];
        let mut entry = match a % 8 {
            0 => json!({"sub": user}),
            1 => json!({"sub": user, "issued_before": issuer_time(self.real)}),
            _ if !self.tokens.is_empty() => {
                json!({"jti": self.tokens[b % self.tokens.len()].jti})
            }
            _ => json!({"jti": "t1"}),
        };
        if entry.get("sub").is_some() && !b.is_multiple_of(8) || b.is_multiple_of(3) {
            entry["until"] = (issuer_time(self.real) + 20).into();
        }
        if b.is_multiple_of(5) {
            entry["iss"] = ISSUERS[b % 4].into();
        }
        entry
    }

    /// A worker and a token that is good there, if there are any.
    fn chosen(&self, a: usize) -> Option<(usize, Public)> {
        let at = a % self.workers.len();
        let listener = self.workers[at].listener;
        let own = self.tokens.iter().filter(|token| listener_of(token.issuer) == listener);
        let own: Vec<&Public> = own.collect();
        let token = own.get(a / 8 % own.len().max(1))?;
        Some((at, (*token).clone()))
    }

    pub fn happen(&mut self, Event { kind, a, b }: Event) -> Found {
        match kind {
            0..30 => {
                let Some((at, token)) = self.chosen(a) else { return Ok(()) };
                self.begin(at, Client { token, entry: None })
            }
            30..40 => {
                let token = self.token(a % 4, b, [3, 30, 300][b / 7 % 3]);
                if self.tokens.len() > 24 {
                    self.tokens.remove(0);
                }
                self.tokens.push(token);
                Ok(())
            }
            40..62 => {
                let at = a % self.workers.len();
                (0..=b / 64 % 3).try_for_each(|n| match self.workers[at].open.len() {
                    0 => Ok(()),
                    open => self.land(at, a / 8 % open, b / (n + 1)),
                })
            }
            62 => self.twice(a, b),
            63..78 => {
                self.pass(i64::try_from(a % 1000).expect("small"));
                (0..self.workers.len()).try_for_each(|at| self.tick(at))
            }
            78 => {
                let far = [-3_600_000, -20_000, -2000, -300, 500, 5000, 3_600_000];
                let near = [300, 500, 1500];
                self.jump(match b % 3 {
                    // As a time service sets it right.
                    0 => -self.offset,
                    1 if options::CLOCKS_SET_BACK => far[a % far.len()],
                    _ => near[a % near.len()],
                });
                Ok(())
            }
            79..82 => {
                self.outside.add_key(a % 4, b % 3);
                Ok(())
            }
            82 => {
                self.outside.withdraw(a % 4, b % 3);
                Ok(())
            }
            83 | 84 => {
                let Some((at, token)) = self.chosen(a) else { return Ok(()) };
                let entry = Some(self.entry(b, a));
                self.begin(at, Client { token, entry })
            }
            85..88 => self.hand_over(a % self.workers.len(), b, a.is_multiple_of(5)),
            88 => {
                let entry = self.entry(a, b);
                self.outside.feed.push(entry);
                Ok(())
            }
            90..93 => {
                let at = a % self.workers.len();
                let before: usize = self.workers[at].waiting.values().map(Vec::len).sum();
                self.workers[at].leave(b);
                let after: usize = self.workers[at].waiting.values().map(Vec::len).sum();
                self.left += before - after;
                Ok(())
            }
            93 => {
                let at = a % self.workers.len();
                self.replace(at);
                Ok(())
            }
            94 if b.is_multiple_of(4) => {
                let listener = a % 2;
                if options::LEDGERS_BY_PROVIDERS {
                    self.versions[listener] ^= 1;
                }
                let of_it = |at: &usize| self.workers[*at].listener == listener;
                let all: Vec<usize> = (0..self.workers.len()).filter(of_it).collect();
                all.into_iter().for_each(|at| self.replace(at));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A reply comes again.
    fn twice(&mut self, a: usize, b: usize) -> Found {
        let (now, at) = (self.now(), a % self.workers.len());
        let worker = &mut self.workers[at];
        let Some(flight) = worker.closed.get(b % worker.closed.len().max(1)) else { return Ok(()) };
        match worker.gateway.land(*flight, &support::failed(), now) {
            Some(_) => Err("a reply that came again was taken".to_owned()),
            None => Ok(()),
        }
    }

    /// The body of a request to revoke comes in, or its client has left.
    fn hand_over(&mut self, at: usize, which: usize, has_left: bool) -> Found {
        let (now, real) = (self.now(), self.real);
        let worker = &mut self.workers[at];
        if worker.submissions.is_empty() {
            return Ok(());
        }
        let which = which % worker.submissions.len();
        if has_left {
            worker.submissions.swap_remove(which);
            self.left += 1;
            return Ok(());
        }
        match worker.submit(which, now, real, &self.outside) {
            Some(end) => self.end(at, end),
            None => Ok(()),
        }
    }

    /// A worker dies, with all that it holds, and another one takes its place.
    fn replace(&mut self, at: usize) {
        let old = &self.workers[at];
        self.left += old.waiting.values().map(Vec::len).sum::<usize>() + old.submissions.len();
        let listener = old.listener;
        self.workers[at] = self.worker(listener);
    }

    /// Everything under way comes to its end.
    pub fn drain(&mut self, how: usize) -> Found {
        for _ in 0..100 {
            for at in 0..self.workers.len() {
                while !self.workers[at].open.is_empty() {
                    self.land(at, 0, how)?;
                }
                while !self.workers[at].submissions.is_empty() {
                    self.hand_over(at, 0, false)?;
                }
            }
        }
        for worker in &self.workers {
            if worker.gateway.in_flight() + worker.waiting.len() + worker.open.len() > 0 {
                return Err(format!("{} are left", worker.gateway.in_flight()));
            }
        }
        if self.begun != self.ended + self.left {
            return Err(format!("{} of {} had a verdict", self.ended, self.begun - self.left));
        }
        Ok(())
    }

    /// Once the services are well again, so is everybody.
    pub fn recover(&mut self) -> Found {
        for issuer in 0..4 {
            if self.outside.keys[issuer].is_empty() {
                self.outside.add_key(issuer, 0);
            }
        }
        for _ in 0..80 {
            self.pass(1000);
            for at in 0..self.workers.len() {
                self.tick(at)?;
            }
            self.drain(15)?;
        }
        for at in 0..self.workers.len() {
            let listener = self.workers[at].listener;
            for issuer in [2 * listener, 2 * listener + 1] {
                // An entry may name the users, and the token must be of the clock's time.
                if self.offset != 0 || self.kind == Kind::Colliding {
                    continue;
                }
                let token = self.token(issuer, 5, 300);
                let feed = &self.outside.feed;
                if self.facts.may_be_revoked(&token, feed, &self.posted) {
                    continue;
                }
                let before = self.passed;
                self.begin(at, Client { token, entry: None })?;
                self.drain(15)?;
                if self.passed == before {
                    return Err(format!(
                        "not served: {} at {at}, {:?}",
                        ISSUERS[issuer], self.last
                    ));
                }
            }
        }
        Ok(())
    }
}
