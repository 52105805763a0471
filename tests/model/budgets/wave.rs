//! A gateway, its callouts under way, and the budgets that they may take: of each kind by
//! itself 1,000, of which four whose clients left count as one, and 8 MiB, and as much again
//! for those above 16 KiB; one by itself always has room.

use gatepass::host::{HostCapabilities, RequestId};
use gatepass::pipeline::{CalloutId, Pipeline, Step, Waiting};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::super::decisions::Dice;
use super::super::support::{self, SEAL_KEY, START, bearer, failed, head, ok, reply, token};

/// What a request makes the gateway ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An issuer about a reference token.
    Reference,
    /// The user service about a user.
    User,
    /// A login service, with the client's body.
    Login,
}

pub const KINDS: [Kind; 3] = [Kind::Reference, Kind::User, Kind::Login];

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reference => "introspection_unavailable",
            Self::User => "user_info_unavailable",
            Self::Login => "login_unavailable",
        }
    }

    /// How many bytes a request may have that grow what is held, on both sides of the
    /// number from which a callout is large.
    const fn sizes(self) -> &'static [usize] {
        match self {
            Self::Reference => &[20, 2000, 7900],
            Self::User => &[10, 500],
            Self::Login => &[50, 10_000, 100_000, 250_000],
        }
    }

    /// The least bytes that a callout of this size holds, and the most. A token is held by
    /// itself and in the body, a user in the path and as the one who is expected.
    const fn bytes(self, size: usize) -> (usize, usize) {
        let least = match self {
            Self::Reference | Self::User => 2 * size,
            Self::Login => size,
        };
        (least, least + 200)
    }
}

/// What is under way of a kind: by the least that it may take, and by the most.
#[derive(Clone, Copy, Default)]
struct Load {
    awaited: usize,
    left: usize,
    /// Bytes of small callouts and of large ones.
    least: [usize; 2],
    most: [usize; 2],
}

impl Load {
    /// Whether there is room for another one: surely, or perhaps.
    fn has_room(&self, kind: Kind, size: usize) -> (bool, bool) {
        let (least, most) = kind.bytes(size);
        let is_large = usize::from(least > LARGE);
        let fits = |held: usize, bytes: usize| held == 0 || held + bytes <= MOST_BYTES;
        let is_one_more = self.awaited + self.left / 4 < MOST;
        (
            is_one_more && fits(self.most[is_large], most),
            is_one_more && fits(self.least[is_large], least),
        )
    }

    fn add(&mut self, open: &Open) {
        let (least, most) = open.kind.bytes(open.size);
        let is_large = usize::from(least > LARGE);
        self.least[is_large] += least;
        self.most[is_large] += most;
        *if open.waiting.is_some() { &mut self.awaited } else { &mut self.left } += 1;
    }

    fn remove(&mut self, open: &Open) {
        let (least, most) = open.kind.bytes(open.size);
        let is_large = usize::from(least > LARGE);
        self.least[is_large] -= least;
        self.most[is_large] -= most;
        *if open.waiting.is_some() { &mut self.awaited } else { &mut self.left } -= 1;
    }
}

/// A callout under way.
struct Open {
    id: CalloutId,
    kind: Kind,
    size: usize,
    user: String,
    /// `None` if the client has left.
    waiting: Option<Waiting>,
}

pub struct Burden {
    pub gateway: Pipeline,
    host: HostCapabilities,
    open: Vec<Open>,
    /// By kind.
    loads: [Load; 3],
    next: usize,
    /// By kind: how many callouts were made, and how many refused.
    pub counts: [(usize, usize); 3],
}

/// The limits of callouts under way of one kind.
const MOST: usize = 1000;
const MOST_BYTES: usize = 8 * 1024 * 1024;
const LARGE: usize = 16 * 1024;

fn configuration() -> Value {
    let small = json!(1_048_576);
    support::local([
        (
            "/providers/shop/introspection",
            json!({
                "service": "auth", "path": "/introspect", "client_id": "gate",
                "client_secret": "s3cret",
            }),
        ),
        ("/user_info", json!({"service": "users", "path": "/users/{sub}"})),
        ("/user_info/cache", json!({"max_bytes": small, "ttl_seconds": 600})),
        ("/limits", json!({"token_cache_bytes": small, "max_login_bytes": 262_144})),
        (
            "/sealed_tokens",
            json!({
                "keys": [SEAL_KEY],
                "logins": [
                    {"match": {"path": "/login"}, "service": "auth", "json": ["/access_token"]},
                ],
            }),
        ),
    ])
}

const NOW: UnixTime = UnixTime::from_secs(START);

impl Burden {
    pub fn new(host: HostCapabilities) -> Self {
        Self::of(&configuration(), host)
    }

    /// One whose provider's keys are to be fetched.
    pub fn fetching(host: HostCapabilities) -> Self {
        Self::of(&support::remote([]), host)
    }

    fn of(config: &Value, host: HostCapabilities) -> Self {
        let gateway = support::gateway(config, host);
        let loads = [Load::default(); 3];
        Self { gateway, host, open: Vec::new(), loads, next: 0, counts: [(0, 0); 3] }
    }

    /// Whether a request of a client with a token that nobody knows is one for keys.
    pub fn ask_for_keys(&mut self) -> bool {
        self.next += 1;
        let step = self.gateway.begin(
            RequestId::default(),
            bearer(&token(json!({"jti": self.next}))),
            NOW,
        );
        matches!(step, Step::Wait(..))
    }

    /// A request, with the user that it is about.
    fn begin(&mut self, kind: Kind, size: usize) -> (Step, String) {
        self.next += 1;
        // A login says nothing of its user.
        let length = if kind == Kind::Login { 0 } else { size };
        let user = format!("{:0>length$}", self.next);
        let step = match kind {
            Kind::Reference => self.gateway.begin(RequestId::default(), bearer(&user), NOW),
            Kind::User => {
                self.gateway.begin(RequestId::default(), bearer(&token(json!({"sub": user}))), NOW)
            }
            Kind::Login => {
                let length = size.to_string();
                let post = [(":method", "POST"), (":path", "/login"), ("content-length", &*length)];
                match self.gateway.begin(RequestId::default(), head(&post), NOW) {
                    Step::Receive(login) => self.gateway.submit(login, Some(vec![b'x'; size]), NOW),
                    step => step,
                }
            }
        };
        self.gateway.take_log();
        (step, user)
    }

    /// A request; gives whether a service is asked for it.
    fn ask(&mut self, kind: Kind, size: usize) -> Result<bool, String> {
        let (has_room, may_have) = self.loads[kind as usize].has_room(kind, size);
        let (step, user) = self.begin(kind, size);
        let counts = &mut self.counts[kind as usize];
        match step {
            Step::Wait(sent, waiting) => {
                counts.0 += 1;
                let waiting = Some(waiting);
                self.push(Open { id: sent.id, kind, size, user, waiting });
                if may_have { Ok(true) } else { Err(format!("{kind:?} has no room for {size}")) }
            }
            Step::Done(Verdict::Deny(denial, reply), _)
                if (reply.status, denial.code().name()) == (503, kind.name()) =>
            {
                counts.1 += 1;
                if has_room { Err(format!("{kind:?} has room for {size}")) } else { Ok(false) }
            }
            other => Err(format!("{kind:?}, {size}: {other:?}")),
        }
    }

    /// Requests of one kind, of one size or of several, until some are refused or enough
    /// are under way; now and then a client leaves.
    pub fn wave(&mut self, dice: &mut Dice) -> Result<(), String> {
        let kind = dice.pick(&KINDS);
        let size = dice.chance(2).then(|| dice.pick(kind.sizes()));
        let leave = dice.pick(&[1, 3, 1000]);
        let mut refused = 0;
        for _ in 0..dice.pick(&[100, 700, 3000]) {
            let size = size.unwrap_or_else(|| dice.pick(kind.sizes()));
            refused += usize::from(!self.ask(kind, size)?);
            if dice.chance(leave) {
                self.leave(self.open.len() - 1);
            }
            if refused > 60 {
                break;
            }
        }
        Ok(())
    }

    /// Whatever a wave took, the other kinds have what is theirs.
    pub fn probe(&mut self, wave: usize) -> Result<(), String> {
        for kind in KINDS {
            self.ask(kind, kind.sizes()[wave % kind.sizes().len()])?;
        }
        Ok(())
    }

    fn push(&mut self, open: Open) {
        self.loads[open.kind as usize].add(&open);
        self.open.push(open);
    }

    fn leave(&mut self, at: usize) {
        let Some(open) = self.open.get_mut(at).filter(|open| open.waiting.is_some()) else {
            return;
        };
        let load = &mut self.loads[open.kind as usize];
        load.remove(open);
        open.waiting = None;
        let ends = self.gateway.abandon(open.id);
        assert_ne!(ends, self.host.resumes_others, "whether a callout ends with its client");
        if ends {
            self.open.remove(at);
        } else {
            load.add(open);
        }
    }

    /// What becomes of what is under way: answers to all, to some, or to none.
    pub fn end(&mut self, dice: &mut Dice) -> Result<(), String> {
        match dice.below(4) {
            0 => {}
            1 => {
                let left = dice.below(self.open.len() + 1);
                (0..left).rev().for_each(|at| self.leave(at));
            }
            2 => {
                let answered = dice.below(self.open.len() + 1);
                (0..answered).for_each(|_| self.answer(dice.below(5)));
            }
            _ => self.answer_all(),
        }
        let under_way = self.gateway.in_flight();
        if under_way == self.open.len() {
            return Ok(());
        }
        Err(format!("{under_way} are under way, not {}", self.open.len()))
    }

    pub fn answer_all(&mut self) {
        while !self.open.is_empty() {
            self.answer(self.open.len() % 5);
        }
    }

    /// The callout at the end of the list is answered. Most answers say much about who was asked about.
    fn answer(&mut self, how: usize) {
        let Some(open) = self.open.pop() else { return };
        self.loads[open.kind as usize].remove(&open);
        let Open { id, kind, user, waiting, .. } = open;
        let much = vec!["x".repeat(100); 80];
        let said = match (how, kind) {
            (0, _) => failed(),
            (1, Kind::Reference) => ok(&json!({"active": false})),
            (1, Kind::User) => reply(404, b""),
            (_, Kind::Reference) => {
                ok(&support::claims(json!({"active": true, "sub": user, "roles": much})))
            }
            (_, Kind::User) => ok(&json!({"sub": user, "roles": much})),
            (_, Kind::Login) => reply(401, b"{}"),
        };
        let outcome = self.gateway.complete(id, &said, NOW).expect("it is under way");
        if let Some(waiting) = waiting {
            match self.gateway.resume(waiting, &outcome, NOW) {
                // Whose a reference is, is known now.
                Step::Wait(sent, waiting) if kind == Kind::Reference => {
                    let (size, waiting) = (user.len(), Some(waiting));
                    self.push(Open { id: sent.id, kind: Kind::User, size, user, waiting });
                }
                Step::Done(..) => {}
                other => panic!("{kind:?}: {other:?}"),
            }
        }
        self.gateway.take_log();
    }
}
