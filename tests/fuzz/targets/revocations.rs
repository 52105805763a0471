//! Pages of a feed and requests to revoke: what they say is read by somebody
//! else, and each token passes or not as that reader thinks.

use arbitrary::Unstructured;
use gatepass::callout::{Answer, CalloutReply};
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Map, Value, json};

use super::shapes::{below, bytes, change, one_of, present, rarely, value, written};
use super::support::{HOSTS, START, World, claims, denial, denied, head, local, token};

const PATH: &str = "/.well-known/gatepass/revocations";

/// Longer than any run: the list is never out of date.
const MAX_STALE: i64 = 80_000;
const POLL: i64 = 10;

const SELECTORS: [&str; 4] = ["jti", "sub", "sid", "client_id"];
const MEMBERS: [&str; 8] =
    ["jti", "sub", "sid", "client_id", "iss", "issued_before", "until", "unitl"];
const TEXTS: [&str; 10] =
    ["t1", "t2", "alice", "bob", "s1", "web", "app", "", "https://auth.example", "a\r\nb"];

/// An entry: mostly one that means something.
fn entry(u: &mut Unstructured<'_>) -> Value {
    let mut entry = match below(u, 9) {
        0 => json!({"jti": *one_of(u, &["t1", "t2"])}),
        1 | 2 => json!({"sub": *one_of(u, &["alice", "bob"])}),
        3 => json!({"sid": "s1"}),
        4 => json!({"client_id": *one_of(u, &["web", "app"])}),
        5 => return value(u, 2, &TEXTS),
        _ => json!({"sub": "nobody"}),
    };
    if rarely(u, 3) {
        entry["issued_before"] = json!(START as f64 + one_of(u, &[-10.0, -9.5, 0.0, 10.0]));
    }
    if rarely(u, 3) {
        entry["until"] = json!(START + one_of(u, &[-10, 0, 10, 400, 100_000]));
    }
    if rarely(u, 4) {
        let issuers = ["https://auth.example", "https://other.example"];
        entry["iss"] = json!(*one_of(u, &issuers));
    }
    if rarely(u, 6) {
        change(u, &mut entry, &MEMBERS, &TEXTS);
    }
    entry
}

fn entries(u: &mut Unstructured<'_>) -> Value {
    if rarely(u, 12) {
        return value(u, 2, &TEXTS);
    }
    (0..below(u, 4)).map(|_| entry(u)).collect()
}

/// Which claim an entry is about, if it is one.
fn selector(entry: &Value) -> Option<&'static str> {
    let members = entry.as_object()?;
    let mut named = SELECTORS.into_iter().filter(|name| members.contains_key(*name));
    let (selector, None) = (named.next()?, named.next()) else { return None };
    let is_text = |value: &Value| value.as_str().is_some_and(|it| (1..=512).contains(&it.len()));
    let is_date = |value: &Value| value.as_f64().is_some_and(|it| it.abs() <= 1e11);
    let is_fine = members.iter().all(|(name, value)| match name.as_str() {
        "iss" => is_text(value),
        "issued_before" => is_date(value) && selector != "jti",
        "until" => is_date(value),
        name => name == selector && is_text(value),
    });
    is_fine.then_some(selector)
}

/// Whether an entry is about a token with these claims.
fn is_about(entry: &Value, claims: &Value, now: f64) -> bool {
    let Some(selector) = selector(entry) else { panic!("no entry: {entry}") };
    let names: &[&str] = if selector == "client_id" { &["azp", "client_id"] } else { &[selector] };
    names.iter().any(|name| claims.get(name) == Some(&entry[selector]))
        && entry["until"].as_f64().is_none_or(|until| now < until)
        && entry["issued_before"].as_f64().is_none_or(|before| {
            claims["iat"].as_f64().is_none_or(|issued| match issued.fract() {
                // A whole second says no more.
                0.0 => issued < before.floor(),
                _ => issued < before,
            })
        })
        && entry.get("iss").is_none_or(|issuer| *issuer == claims["iss"])
}

/// How much longer than its end an entry holds: the clock skew of the provider.
const SKEW: f64 = 60.0;

/// Whether a time, or never, is no earlier than another.
fn is_as_late(one: &Value, other: &Value) -> bool {
    one.as_f64().is_none_or(|one| other.as_f64().is_some_and(|other| one >= other))
}

/// Whether an entry is about all tokens that another one is about.
fn is_about_all_of(entry: &Value, other: &Value) -> bool {
    let name = |entry: &Value| selector(entry).map(|name| (name, entry[name].clone()));
    name(entry) == name(other)
        && (entry["iss"].is_null() || entry["iss"] == other["iss"])
        && is_as_late(&entry["issued_before"], &other["issued_before"])
}

/// What is revoked, and whether the feed said so.
#[derive(Default)]
struct Revoked(Vec<(Value, bool)>);

impl Revoked {
    /// Takes entries in one after the other, from the feed (from its start on) or
    /// a request.
    fn take(&mut self, entries: &[Value], is_fed: bool, from_start: bool, now: f64) {
        for entry in entries {
            let until = entry["until"].as_f64().unwrap_or(f64::INFINITY);
            if until <= now {
                let before = self.0.len();
                let is_taken_back = |(held, held_is_fed): &(Value, bool)| {
                    is_about_all_of(entry, held)
                        && !is_as_late(&entry["until"], &held["until"])
                        && (*held_is_fed || !from_start)
                };
                self.0.retain(|held| !is_taken_back(held));
                if self.0.len() < before || until + SKEW <= now {
                    continue;
                }
            }
            let covers = |one: &Value, other: &Value| {
                is_about_all_of(one, other) && is_as_late(&one["until"], &other["until"])
            };
            if self.0.iter().any(|(held, it_is)| covers(held, entry) && (is_fed || !it_is)) {
                continue;
            }
            self.0.retain(|(held, it_is)| !(covers(entry, held) && (*it_is || !is_fed)));
            self.0.push((entry.clone(), is_fed));
        }
    }
}

/// What the gateway should know by now.
struct Model {
    /// Whether the feed lists what alone may pass, and not what may not.
    allows: bool,
    /// What the allowlist says, in its order.
    fed: Vec<Value>,
    /// Whether the feed was once read to its end.
    is_complete: bool,
    revoked: Revoked,
}

impl Model {
    fn is_revoked(&self, claims: &Value, now: f64) -> bool {
        let about = |entry: &Value, now: f64| is_about(entry, claims, now);
        if self.revoked.0.iter().any(|(entry, _)| about(entry, now - SKEW)) {
            return true;
        }
        if !self.allows {
            return false;
        }
        // Of the entries for one value the last counts.
        let of = |entry: &Value| {
            let selector = selector(entry).expect("an entry");
            (selector, entry[selector].clone())
        };
        let is_last = |at: usize, entry: &Value| {
            !self.fed[at + 1..].iter().any(|later| of(later) == of(entry))
        };
        let mut last = self.fed.iter().enumerate().filter(|(at, entry)| is_last(*at, entry));
        let is_listed = last.any(|(_, entry)| is_about(entry, claims, now));
        !is_listed && (self.is_complete || !self.fed.is_empty())
    }
}

/// Whether all of a list are entries.
fn all_entries(list: &Value) -> Option<&Vec<Value>> {
    list.as_array().filter(|list| list.iter().all(|entry| selector(entry).is_some()))
}

struct Run {
    world: World,
    model: Model,
    cursor: usize,
}

impl Run {
    /// Gives the feed's next page. Whether it was taken shows in what is asked
    /// next.
    fn feed(&mut self, u: &mut Unstructured<'_>) {
        self.world.pass(POLL);
        let (sent, from_start) = self.poll();
        self.cursor += 1;
        let cursor = format!("c{}", self.cursor);
        let mut page = json!({"cursor": cursor, "entries": entries(u)});
        if rarely(u, 4) {
            page["more"] = json!(u.arbitrary::<bool>().unwrap_or_default());
        }
        if rarely(u, 6) {
            change(u, &mut page, &["cursor", "entries", "more", "next"], &TEXTS);
        }
        let body = if rarely(u, 12) { bytes(u, 100) } else { written(u, &page) };
        let status = if rarely(u, 8) { u.arbitrary().unwrap_or(200) } else { 200 };
        let is_plain = status == 200 && body == page.to_string().into_bytes();
        let read: Value = present(serde_json::from_slice(&body).unwrap_or_default());
        let answer =
            Answer { status, cache_control: None, body, fields: gatepass::http::Fields::default() };
        let now = self.world.now();
        assert!(self.world.gateway.complete(sent, &CalloutReply::Answer(answer), now).is_some());

        self.world.pass(40);
        let later = self.world.now();
        let tick = self.world.gateway.tick(later);
        let [next] = &tick.send[..] else { panic!("one request: {tick:?}") };
        let asks_for = next.callout.path.split_once("since=").map(|(_, cursor)| cursor);
        let is_taken = asks_for == Some(cursor.as_str());
        // Nobody answers that one.
        self.world.gateway.complete(next.id, &super::support::failed(), later);

        let listed = all_entries(&read["entries"]);
        let is_page = status == 200
            && read["cursor"].as_str().is_some_and(|cursor| cursor.len() <= 512)
            && read.get("more").is_none_or(Value::is_boolean)
            && listed.is_some();
        if read["cursor"] != json!(cursor) {
            // Another cursor shows in nothing: no more is said of this run.
            assert!(!is_taken);
            self.cursor = usize::MAX;
            return;
        }
        assert!(!is_taken || is_page, "taken: {read}");
        assert!(is_taken || !is_plain || !is_page, "not taken: {read}");
        if is_taken {
            let listed = listed.map(Vec::as_slice).unwrap_or_default();
            if !self.model.allows {
                self.model.revoked.take(listed, true, from_start, now.as_millis() as f64 / 1000.0);
            } else if from_start {
                // It is what it says now.
                self.model.fed = listed.to_vec();
            } else {
                self.model.fed.extend_from_slice(listed);
            }
            self.model.is_complete |= read["more"] != json!(true);
        }
    }

    /// The request that is due, and whether it asks from the start.
    fn poll(&mut self) -> (gatepass::pipeline::CalloutId, bool) {
        for _ in 0..10 {
            let now = self.world.now();
            let tick = self.world.gateway.tick(now);
            if let [sent] = &tick.send[..] {
                return (sent.id, !sent.callout.path.contains("since="));
            }
            self.world.pass(POLL);
        }
        panic!("the feed is not asked")
    }

    /// Sends a request to revoke.
    fn submit(&mut self, u: &mut Unstructured<'_>) {
        let mut object = json!({ "entries": entries(u) });
        if rarely(u, 8) {
            change(u, &mut object, &["entries", "more", "cursor"], &TEXTS);
        }
        let body = if rarely(u, 12) { bytes(u, 100) } else { written(u, &object) };
        let scope = if rarely(u, 5) { "read" } else { "revoke" };
        let sender = token(json!({"sub": "root", "scope": scope, "iat": START}));
        let length = body.len().to_string();
        let request = head(&[
            (":method", "POST"),
            (":path", PATH),
            ("authorization", &format!("Bearer {sender}")),
            ("content-length", &length),
        ]);
        let read: Value = present(serde_json::from_slice(&body).unwrap_or_default());
        let is_plain = body == object.to_string().into_bytes();
        let step = match self.world.begin(request) {
            Step::Receive(submission) => {
                assert_eq!((scope, submission.bytes), ("revoke", body.len()));
                let now = self.world.now();
                let step = self.world.gateway.submit(submission, Some(body), now);
                let Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) = step else {
                    panic!("{step:?}")
                };
                let is_known =
                    |members: &Map<String, Value>| members.keys().all(|name| name == "entries");
                let listed = all_entries(&read["entries"]);
                let listed = listed.filter(|_| read.as_object().is_some_and(is_known));
                if reply.status == 204 {
                    let listed = listed.unwrap_or_else(|| panic!("taken: {read}"));
                    self.model.revoked.take(listed, false, false, now.as_millis() as f64 / 1000.0);
                } else {
                    assert_eq!(reply.status, 400);
                    assert!(!is_plain || listed.is_none(), "not taken: {read}");
                }
                return;
            }
            step => step,
        };
        // Empty, of no length, from somebody who may not, or from somebody locked out.
        let Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) = step else {
            panic!("{step:?}")
        };
        assert!([400, 401, 403, 411].contains(&reply.status), "{}", reply.status);
    }

    fn check(&mut self, u: &mut Unstructured<'_>, tokens: &[(Value, String)]) {
        let (claims, token) = one_of(u, tokens);
        let now = self.world.millis as f64 / 1000.0;
        let step = self.world.get(token);
        let passes = matches!(step, Step::Done(Verdict::Forward(_), _));
        assert_eq!(passes, !self.model.is_revoked(claims, now), "{claims} by {:?}", self.model.fed);
        if !passes {
            assert_eq!(denied(step), denial(401, "token_revoked"));
        }
    }
}

/// Tokens that differ in what entries select by.
fn tokens() -> Vec<(Value, String)> {
    [
        json!({"jti": "t1", "sid": "s1", "iat": START - 10}),
        json!({"jti": "t2", "sub": "bob", "azp": "app", "iat": START}),
        json!({"sub": "alice", "client_id": "app", "iat": null}),
        json!({"sub": "nobody", "azp": "t1", "sid": "alice"}),
    ]
    .into_iter()
    .map(|changes| {
        let claims = claims(changes.clone());
        let exp = json!(START + MAX_STALE);
        let mut claims = claims;
        claims["exp"] = exp.clone();
        let mut changes = changes;
        changes["exp"] = exp;
        (claims, token(changes))
    })
    .collect()
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let allows = rarely(u, 3);
    let list = if allows { "allowlist" } else { "feed" };
    let config = local([(
        "/revocation",
        json!({
            list: {
                "service": "auth", "path": "/list",
                "poll_seconds": POLL, "max_stale_seconds": MAX_STALE,
            },
            "endpoint": {"path": PATH, "requires": {"scopes_all": ["revoke"]}},
            "failure_mode": "allow",
        }),
    )]);
    let world = World::new(&config, *one_of(u, &HOSTS));
    let model = Model { allows, fed: Vec::new(), is_complete: false, revoked: Revoked::default() };
    let mut run = Run { world, model, cursor: 0 };
    let tokens = tokens();
    for _ in 0..12 {
        match below(u, 4) {
            0 => run.feed(u),
            1 => run.submit(u),
            _ => run.check(u, &tokens),
        }
        if u.is_empty() || run.cursor == usize::MAX {
            break;
        }
    }
    if run.cursor != usize::MAX {
        for token in &tokens {
            run.check(u, std::slice::from_ref(token));
        }
    }
}
