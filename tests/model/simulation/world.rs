//! The workers, all around them, and what can happen.

use std::collections::{BTreeMap, HashMap};

use gatepass::callout::CalloutReply;
use gatepass::host::HostCapabilities;
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::super::support::{self, ENVOY, KONG, START};
use super::facts::{Asker, Facts, Heard, Public};
use super::gauges::Gauges;
use super::identities::Identities;
use super::outside::{
    self, COOLDOWN_MS, Fact, ISSUERS, Outside, SLOW_MS, USERS, issuer_time, listener_of,
};
use super::signatures::Signatures;
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

/// Workers of each listener.
const WORKERS: usize = 2;

pub struct World {
    pub host: HostCapabilities,
    signatures: Signatures,
    pub store: Store,
    pub kind: Kind,
    pub workers: Vec<Worker>,
    pub outside: Outside,
    pub facts: Facts,
    identities: Identities,
    pub gauges: Gauges,
    pub tokens: Vec<Public>,
    /// What was sent to be revoked, by listener.
    pub posted: Vec<(usize, Value)>,
    /// Which key ids each worker was asked about, of which issuer and when.
    pub asked: HashMap<usize, Vec<(usize, usize, i64)>>,
    /// Milliseconds since the start, and how far the clock is from that.
    pub real: i64,
    pub offset: i64,
    pub next: usize,
    pub versions: [usize; 2],
    /// Whether requests passed once by what was known of an allowlist.
    pub was_lenient: bool,
    pub begun: usize,
    pub ended: usize,
    pub left: usize,
    pub passed: usize,
    /// How many gauges said at the end that something has an age.
    pub aged: usize,
    /// The code of the last denial, and how often there was each.
    pub last: String,
    pub codes: BTreeMap<String, usize>,
}

pub type Found = Result<(), String>;

impl World {
    pub fn new(seed: u64) -> Self {
        let kinds = [Kind::Quiet, Kind::Contended, Kind::Quiet, Kind::Colliding];
        let kind = kinds[usize::try_from(seed % 4).expect("small")];
        let mut world = Self {
            host: if seed.is_multiple_of(3) { KONG } else { ENVOY },
            signatures: Signatures::of(seed),
            store: Store::new(kind),
            kind,
            workers: Vec::new(),
            outside: Outside::new(),
            facts: Facts::default(),
            identities: Identities::new(Signatures::of(seed)),
            gauges: Gauges::default(),
            tokens: Vec::new(),
            posted: Vec::new(),
            asked: HashMap::new(),
            real: 0,
            offset: 0,
            next: 0,
            versions: [0; 2],
            was_lenient: false,
            begun: 0,
            ended: 0,
            left: 0,
            passed: 0,
            aged: 0,
            last: String::new(),
            codes: BTreeMap::new(),
        };
        world.facts.is_shared = kind == Kind::Quiet;
        world.facts.lists.clone_from(&world.outside.allowed);
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
        let version = (self.versions[listener], self.real);
        Worker::new(self.next, listener, version, (self.host, self.signatures), &self.store)
    }

    const fn clock(&self) -> i64 {
        START * 1000 + self.real + self.offset
    }

    pub const fn now(&self) -> UnixTime {
        UnixTime::from_millis(self.clock())
    }

    /// A new token: of a key that is published, that was, or that never is.
    pub fn token(&mut self, issuer: usize, choice: usize, lifetime: i64) -> Public {
        let published = &self.outside.keys[issuer];
        let foreign = &self.outside.keys[issuer ^ 1];
        let from = |keys: &[(usize, u64)]| keys.get(choice / 16 % keys.len().max(1)).copied();
        let key = match choice % 16 {
            0 => from(&self.outside.withdrawn[issuer]),
            1 => from(foreign),
            2 => from(&self.outside.keys[(issuer + 2) % 4]),
            // Ids that somebody makes up, another one each time.
            3 => Some((9 + choice / 16 % 90, Outside::UNPUBLISHED)),
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
        let text = outside::signed(kid, key, &claims, self.signatures);
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
                let identity = self.identities.verified(&mut worker.gateway, &token, now);
                self.passed += 1;
                let asker = Asker {
                    worker: worker.id,
                    started: worker.started,
                    ticked: worker.ticked,
                    needs_lists: (worker.listener, worker.version) != (1, 1),
                };
                self.facts.check(&asker, &client.token, identity, clock)
            }
            Verdict::Answer(reply) if reply.status == 204 => {
                let entry = client.entry.ok_or("204 for something else")?;
                if !is_good(&entry) {
                    return Err(format!("taken as a revocation: {entry}"));
                }
                let listener = self.workers[at].listener;
                self.facts.revoke(listener, &[entry], clock);
                Ok(())
            }
            Verdict::Answer(reply) => Err(format!("answered with {}", reply.status)),
            Verdict::Deny(denial, reply) => {
                let code = denial.code().name();
                code.clone_into(&mut self.last);
                *self.codes.entry(code.to_owned()).or_default() += 1;
                let (feed, posted) = (&self.outside.feed, &self.posted);
                let has_reason = self.facts.may_be_revoked(&client.token, feed, posted);
                let is_unlisted = self.may_be_unlisted(&client.token);
                if code == "token_revoked" && !has_reason && !is_unlisted {
                    return Err(format!("nobody revoked {:?}", client.token));
                }
                if code == "key_unknown" && self.must_be_known(at, &client.token) {
                    return Err(format!("a key that is published is unknown: {:?}", client.token));
                }
                let is_refused = client.entry.as_ref().is_some_and(|entry| !is_good(entry));
                if ![401, 403, 503].contains(&reply.status) && (!is_refused || reply.status != 400)
                {
                    return Err(format!("{} {code}", reply.status));
                }
                Ok(())
            }
        }
    }

    /// Whether an allowlist gives a reason to refuse a token: one that had not its user,
    /// or, where requests pass by what is known of it, one that was read in part.
    pub fn may_be_unlisted(&self, token: &Public) -> bool {
        let lists = &self.outside.allowed;
        listener_of(token.issuer) == 1
            && (lists.iter().any(|list| !list.contains(&token.sub)) || self.was_lenient)
    }

    /// Whether a worker has no reason to refuse a token for its key: the key has been
    /// published for some time, and nobody asked for its id in vain before.
    fn must_be_known(&self, at: usize, token: &Public) -> bool {
        let key = (token.kid, token.key);
        let Some(published) = self.outside.published_for(token.issuer, key, self.real) else {
            return false;
        };
        let since = self.real - COOLDOWN_MS - SLOW_MS;
        let asked = &self.asked[&self.workers[at].id];
        let is_question = |(issuer, kid, then): &(usize, usize, i64)| {
            (*issuer, *kid) == (token.issuer, token.kid)
                && (since..=self.real - published + SLOW_MS).contains(then)
        };
        published > SLOW_MS && self.facts.jumped < since && !asked.iter().any(is_question)
    }

    /// Lands the callout at `flight` of a worker.
    pub fn complete(&mut self, at: usize, flight: usize, how: usize) -> Found {
        let (now, real) = (self.now(), self.real);
        let worker = &mut self.workers[at];
        let open = &worker.open[flight];
        let is_feed = open.callout.service.upstream == "feeds";
        let (fact, reply) = match how % 16 {
            0 => (Fact::Nothing, support::failed()),
            // A feed that says there is more, and does not go on.
            2 if is_feed && worker.listener == 0 => (Fact::Nothing, outside::stuck(&open.callout)),
            1 => (Fact::Nothing, support::reply(500, b"")),
            2 => (Fact::Nothing, support::reply(200, b"{\"keys\": [")),
            3..6 => open.then.clone(),
            _ => self.outside.answer(&open.callout, real),
        };
        let (id, listener) = (worker.id, worker.listener);
        let (asked, asked_clock) = (open.asked, open.asked_clock);
        let is_ordered = worker.host.resumes_others || !open.is_again;
        // A page is late where another one was read meanwhile, and says nothing.
        let is_late = open.pages != self.outside.pages;
        let clock = START * 1000 + self.real + self.offset;
        worker.gateway.take_log();
        let ends = worker.complete(flight, &reply, now, real, &self.outside);
        let log = worker.gateway.take_log();
        let is_taken = !log.iter().any(|line| line.to_string().contains("tokens_not_listed"));
        if is_taken || !matches!(fact, Fact::Allowed(_)) {
            let fact = fact.clone();
            let came = real;
            let heard = Heard { worker: id, fact, clock, asked_clock, asked, came, is_ordered };
            self.facts.hear(heard);
        }
        if let (Fact::Page(end, _), true, CalloutReply::Answer(_)) = (&fact, is_taken, &reply) {
            self.outside.pages += 1;
            if !is_late {
                self.facts.revoke(listener, &self.outside.feed[..*end], clock);
            }
        }
        ends.into_iter().try_for_each(|end| self.end(at, end))
    }

    /// Fails what the host or the gateway gives up, and asks for what is due.
    pub fn tick(&mut self, at: usize) -> Found {
        let (now, real) = (self.now(), self.real);
        if !self.workers[at].awaits_keys(real, self.facts.jumped) {
            self.workers[at].ticked = real;
        }
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
        let ends = self.workers[at].complete(flight, &support::failed(), now, real, &self.outside);
        ends.into_iter().try_for_each(|end| self.end(at, end))
    }

    pub fn pass(&mut self, ms: i64) {
        self.real += ms;
        self.facts.see(self.clock());
    }

    fn jump(&mut self, ms: i64) {
        self.offset += ms;
        self.facts.jumped = self.real;
        self.facts.see(self.clock());
    }

    pub fn begin(&mut self, at: usize, client: Client) -> Found {
        self.begun += 1;
        if let Some(entry) = client.entry.as_ref().filter(|entry| is_good(entry)) {
            self.posted.push((self.workers[at].listener, entry.clone()));
        }
        let (now, real) = (self.now(), self.real);
        let asked = self.asked.entry(self.workers[at].id).or_default();
        asked.push((client.token.issuer, client.token.kid, real));
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

    /// An entry that means something else than its sender thinks: it must be refused.
    fn spoilt(&self, a: usize, b: usize) -> Value {
        let mut entry = self.entry(a, b);
        match b / 16 % 3 {
            // Milliseconds, and a member that may restrict it.
            0 => entry["until"] = ((issuer_time(self.real) + 20) * 1000).into(),
            1 => entry["tenant"] = "acme".into(),
            _ => entry["unitl"] = (issuer_time(self.real) + 20).into(),
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
                    open => self.complete(at, a / 8 % open, b / (n + 1)),
                })
            }
            62 => self.twice(a, b),
            63..78 => {
                self.pass(i64::try_from(a % 1000).expect("small"));
                (0..self.workers.len()).try_for_each(|at| self.tick(at))
            }
            78 if a.is_multiple_of(3) => {
                let far = [-3_600_000, -20_000, -2000, -300, 500, 5000, 3_600_000];
                let near = [300, 500, 1500];
                self.jump(match b % 3 {
                    // As a time service sets it right.
                    0 => -self.offset,
                    1 => far[a % far.len()],
                    _ => near[a % near.len()],
                });
                Ok(())
            }
            79..82 => {
                self.outside.add_key(a % 4, b % 6, self.real);
                Ok(())
            }
            82 => {
                self.outside.withdraw(a % 4, b % 6);
                Ok(())
            }
            83 | 84 => {
                let Some((at, token)) = self.chosen(a) else { return Ok(()) };
                let entry = Some(self.entry(b, a));
                self.begin(at, Client { token, entry })
            }
            85..88 => self.hand_over(a % self.workers.len(), b, a.is_multiple_of(5)),
            88 => {
                let mut entry = self.entry(a, b);
                // Members that restrict nothing.
                match b / 32 % 4 {
                    0 => entry["reason"] = "lost".into(),
                    1 => entry["colour"] = "red".into(),
                    _ => {}
                }
                self.outside.feed.push(entry);
                Ok(())
            }
            89 => {
                let Some((at, token)) = self.chosen(a) else { return Ok(()) };
                let entry = Some(self.spoilt(b, a));
                self.begin(at, Client { token, entry })
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
                self.versions[listener] ^= 1;
                self.was_lenient |= listener == 1;
                let of_it = |at: &usize| self.workers[*at].listener == listener;
                let all: Vec<usize> = (0..self.workers.len()).filter(of_it).collect();
                all.into_iter().for_each(|at| self.replace(at));
                Ok(())
            }
            95 => self.misbehave(a),
            96 if a.is_multiple_of(3) => {
                // Now and then it is empty.
                let most = if b.is_multiple_of(5) { 0 } else { USERS.len() };
                let is_kept = |(at, _): &(usize, &&str)| a >> at & 1 == 1 || *at == b % 6;
                let users = USERS.iter().enumerate().filter(is_kept);
                let users: Vec<_> = users.map(|(_, user)| *user).take(most).collect();
                self.outside.allowed.push(users);
                self.facts.lists.clone_from(&self.outside.allowed);
                Ok(())
            }
            97 if a.is_multiple_of(4) => {
                self.outside.epoch += 1;
                Ok(())
            }
            98 if b.is_multiple_of(2) => self.overtake(a, b / 2),
            _ => Ok(()),
        }
    }

    /// The body of a request to revoke comes in, or its client has left.
    pub fn hand_over(&mut self, at: usize, which: usize, has_left: bool) -> Found {
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
    pub fn replace(&mut self, at: usize) {
        let old = &mut self.workers[at];
        self.gauges.retire(old);
        self.left += old.waiting.values().map(Vec::len).sum::<usize>() + old.submissions.len();
        let listener = old.listener;
        self.workers[at] = self.worker(listener);
    }
}

/// Whether an entry is one that an endpoint takes.
fn is_good(entry: &Value) -> bool {
    const KNOWN: [&str; 6] = ["sub", "jti", "client_id", "iss", "issued_before", "until"];
    let members = entry.as_object().expect("an object");
    members.keys().all(|name| KNOWN.contains(&name.as_str()))
        && entry["until"].as_i64().is_none_or(|until| until < START * 100)
}
