//! What the model knows: when which worker heard what, and what follows for a
//! request that passes.

use std::collections::HashMap;

use serde_json::Value;

use super::super::json::Json;
use super::outside::{
    CACHE_MS, FEED_STALE_MS, Fact, ISSUERS, MAX_STALE_MS, USER_STALE_MS, USER_TTL_MS, listener_of,
};

/// A public token, as its maker knows it.
#[derive(Clone, Debug)]
pub struct Public {
    pub text: String,
    pub issuer: usize,
    pub kid: usize,
    /// The number of the key that signed it.
    pub key: u64,
    pub sub: &'static str,
    pub jti: String,
    pub iat: i64,
    pub exp: i64,
}

/// Something that a worker heard.
#[derive(Debug)]
pub struct Heard {
    pub worker: usize,
    pub fact: Fact,
    /// What the worker's clock said when it came, and when it was asked for.
    pub clock: i64,
    pub asked_clock: i64,
    /// When it was asked for, and when it came, in real time.
    pub asked: i64,
    pub came: i64,
    /// Whether it counts if it is newer than all before it. On Kong requests fetch keys beside
    /// one another, and of those that another one is fetching only the first keys count.
    pub is_ordered: bool,
}

/// The worker that let a request pass.
pub struct Asker {
    pub worker: usize,
    /// When it started and when it looked last at what others have shared, in real time.
    pub started: i64,
    pub ticked: i64,
    /// Whether nobody passes without lists that are up to date.
    pub needs_lists: bool,
}

/// How far ahead a time may be that counts as now.
const AHEAD_MS: i64 = 1000;

/// By when a worker has looked at what others shared, if it ticks then.
const LOOK_MS: i64 = 1000;

impl Heard {
    /// Whether it may still decide something, by its age on the clock.
    fn is_within(&self, most: i64, clock: i64) -> bool {
        let counts = |then: i64| then <= clock + AHEAD_MS && clock < then + most;
        counts(self.clock) || counts(self.asked_clock)
    }
}

/// An entry that every worker of a listener must know by now.
#[derive(Debug)]
struct Revoked {
    listener: usize,
    entry: Value,
    /// The furthest that the clock came since.
    clock: i64,
}

#[derive(Default)]
pub struct Facts {
    /// Key sets by issuer.
    keys: [Vec<Heard>; 4],
    /// Users' data by the worker that heard it, and when it was so.
    users: HashMap<(usize, i64), Vec<Heard>>,
    /// Pages that end the feed, and those that end the allowlist.
    pages: [Vec<Heard>; 2],
    revoked: Vec<Revoked>,
    /// The latest version of the allowlist that was read to its end, and each of them.
    allowed: Option<usize>,
    pub lists: Vec<Vec<&'static str>>,
    /// By `jti`: the worker and the token.
    identities: HashMap<String, (usize, String)>,
    /// When the clock jumped last, in real time.
    pub jumped: i64,
    /// Whether all workers see at once what one of them has shared.
    pub is_shared: bool,
}

impl Facts {
    pub fn hear(&mut self, heard: Heard) {
        match &heard.fact {
            Fact::Keys(issuer, _) => self.keys[*issuer].push(heard),
            Fact::User(_, at) => self.users.entry((heard.worker, *at)).or_default().push(heard),
            Fact::Page(_, true) => self.pages[0].push(heard),
            Fact::Allowed(version) => {
                self.allowed = self.allowed.max(Some(*version));
                self.pages[1].push(heard);
            }
            Fact::Page(_, false) | Fact::Nothing => {}
        }
    }

    /// When an issuer's keys were heard last, by anybody.
    pub fn latest(&self, issuer: usize) -> Option<i64> {
        self.keys[issuer].iter().map(|heard| heard.came).max()
    }

    /// Whether a page at the end of a list was heard that may still count.
    fn is_read(&self, list: usize, clock: i64) -> bool {
        // The latest are the likeliest.
        self.pages[list].iter().rev().any(|heard| heard.is_within(FEED_STALE_MS, clock))
    }

    /// Notes how far the clock came.
    pub fn see(&mut self, clock: i64) {
        for revoked in &mut self.revoked {
            revoked.clock = revoked.clock.max(clock);
        }
    }

    /// Everybody must know these entries from now on. One that had ended by the
    /// clock once may be forgotten, though the clock is set back.
    pub fn revoke(&mut self, listener: usize, entries: &[Value], clock: i64) {
        for entry in entries {
            let is_it = |known: &Revoked| known.listener == listener && known.entry == *entry;
            if !self.revoked.iter().any(is_it) {
                self.revoked.push(Revoked { listener, entry: entry.clone(), clock });
            }
        }
    }

    /// Whether a token is named by an entry that everybody must know.
    fn is_revoked(&self, token: &Public) -> bool {
        self.revoked.iter().any(|revoked| {
            let ended = revoked.entry["until"].as_i64();
            revoked.listener == listener_of(token.issuer)
                && ended.is_none_or(|until| revoked.clock / 1000 < until)
                && names(&revoked.entry, token)
        })
    }

    /// Whether any entry gives a reason to call a token revoked.
    pub fn may_be_revoked(
        &self,
        token: &Public,
        feed: &[Value],
        posted: &[(usize, Value)],
    ) -> bool {
        let listener = listener_of(token.issuer);
        let posted = posted.iter().filter(|(own, _)| *own == listener).map(|(_, entry)| entry);
        let feed = if listener == 0 { feed } else { &[] };
        feed.iter().chain(posted).any(|entry| names(entry, token))
    }

    /// What is wrong with a request that passed with this token and identity.
    pub fn check(
        &mut self,
        asker: &Asker,
        token: &Public,
        identity: &Json,
        clock: i64,
    ) -> Result<(), String> {
        let worker = asker.worker;
        let wrong = |what: &str| Err(format!("{what}: {token:?} at {clock}, {identity}"));
        if token.exp * 1000 <= clock {
            return wrong("a token that is over passed");
        }
        if self.is_revoked(token) {
            return wrong("a revoked token passed");
        }
        let own = &self.keys[token.issuer];
        // The latest of what this worker asked for itself, or was shared before it started or
        // looked; others may know more.
        let is_known = |heard: &&Heard| {
            let has_seen = heard.came < asker.started || heard.came + LOOK_MS <= asker.ticked;
            let is_shared = self.is_shared && self.jumped < heard.asked && has_seen;
            heard.is_ordered && (heard.worker == worker || is_shared)
        };
        let latest = own.iter().filter(is_known).max_by_key(|heard| heard.asked);
        let latest = latest.filter(|latest| latest.asked > self.jumped);
        // As far as a clock tells that was set back to before the keys were heard.
        let is_newest = |heard: &Heard| {
            latest.is_none_or(|latest| {
                heard.asked >= latest.asked || latest.asked_clock < heard.asked_clock
            })
        };
        let has = |heard: &Heard| matches!(&heard.fact, Fact::Keys(_, keys) if keys.contains(&(token.kid, token.key)));
        let mut valid =
            own.iter().rev().filter(|heard| heard.is_within(CACHE_MS + MAX_STALE_MS, clock));
        if !valid.any(|heard| has(heard) && is_newest(heard)) {
            let what = "no key set of its issuer that may count now has the token's key";
            return wrong(&format!("{what}: worker {worker}, {own:#?}"));
        }
        if listener_of(token.issuer) == 0 {
            if !self.is_read(0, clock) {
                return wrong("the list of revoked tokens was not read");
            }
        } else {
            self.check_allowed(asker, token, clock).or_else(wrong)?;
        }
        self.check_user(worker, token, identity, clock).or_else(|what| wrong(&what))?;
        self.check_identity(worker, token, identity, clock).or_else(|what| wrong(&what))
    }

    /// Whether the allowlist, as it may be known now, has the user of a token.
    fn check_allowed(&self, asker: &Asker, token: &Public, clock: i64) -> Result<(), &'static str> {
        let known = self.allowed.unwrap_or(0);
        let is_listed = self.lists[known..].iter().any(|list| list.contains(&token.sub));
        if !is_listed && self.allowed.is_some() {
            return Err("a user passed that the allowlist has no more");
        }
        if asker.needs_lists && !self.is_read(1, clock) {
            return Err("the list of allowed tokens was not read");
        }
        Ok(())
    }

    fn check_user(
        &self,
        worker: usize,
        token: &Public,
        identity: &Json,
        clock: i64,
    ) -> Result<(), String> {
        let as_of = identity.get("as_of").and_then(Json::integer).ok_or("no user")?;
        let path = identity.get("path").and_then(Json::text).ok_or("no user")?;
        let expected = format!(
            "/users/{}/{}",
            ISSUERS[token.issuer].replace(':', "%3A").replace('/', "%2F"),
            token.sub
        );
        if path != expected {
            return Err(format!("another user, not {expected}"));
        }
        let most = USER_TTL_MS + USER_STALE_MS;
        let is_it = |heard: &&Heard| matches!(&heard.fact, Fact::User(known, _) if known == path);
        let mut heard = self.users.get(&(worker, as_of)).into_iter().flatten().filter(is_it);
        if heard.any(|heard| heard.is_within(most, clock)) {
            Ok(())
        } else {
            Err("the user's data is too old".to_owned())
        }
    }

    fn check_identity(
        &mut self,
        worker: usize,
        token: &Public,
        identity: &Json,
        clock: i64,
    ) -> Result<(), String> {
        let number = |name: &str| identity.get(name).and_then(Json::integer);
        let (iat, exp) = (number("iat").ok_or("no iat")?, number("exp").ok_or("no exp")?);
        if exp > token.exp || iat * 1000 > clock + AHEAD_MS || exp * 1000 <= clock {
            return Err("its times".to_owned());
        }
        if identity.get("sub").and_then(Json::text) != Some(token.sub) {
            return Err("its subject".to_owned());
        }
        let jti = identity.get("jti").and_then(Json::text).ok_or("no jti")?;
        let of = (worker, token.text.clone());
        let known = self.identities.entry(jti.to_owned()).or_insert_with(|| of.clone());
        if *known == of { Ok(()) } else { Err("its jti is another one's".to_owned()) }
    }
}

fn names(entry: &Value, token: &Public) -> bool {
    let is_named = entry["sub"] == token.sub
        || entry["jti"] == token.jti.as_str()
        || entry["client_id"] == "web";
    let is_from = entry.get("iss").is_none_or(|issuer| issuer == ISSUERS[token.issuer]);
    let is_before = entry["issued_before"].as_i64().is_none_or(|before| token.iat < before);
    is_named && is_from && is_before
}
