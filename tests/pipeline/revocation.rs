//! Tokens that are valid and not accepted: revoked at the gateway, by a feed, or
//! on no allowlist.

use std::cell::Cell;
use std::rc::Rc;

use gatepass::http::LocalReply;
use gatepass::pipeline::{AnnouncementOutcome, Step, Submission};
use gatepass::shared_data::SharedStore;
use serde_json::{Value, json};

use crate::support::*;

const PATH: &str = "/.well-known/gatepass/revocations";

/// How long entries are kept after their end: as long as another gateway of the list may
/// accept their tokens.
const KEPT: i64 = 300;

/// A configuration in which clients with the scope `revoke` may revoke. Without
/// clock skew, entries end when they say.
fn config(revocation: Value) -> Value {
    local([("/revocation", revocation), ("/providers/shop/clock_skew_seconds", json!(0))])
}

fn endpoint() -> Value {
    json!({"endpoint": {"requires": {"scopes_all": ["revoke"]}}})
}

fn feed(changes: Value) -> Value {
    let mut feed = json!({"service": "auth", "path": "/revocations", "poll_seconds": 10});
    for (name, value) in changes.as_object().unwrap() {
        feed[name] = value.clone();
    }
    json!({ "feed": feed })
}

fn page(cursor: &str, entries: Value) -> gatepass::callout::CalloutReply {
    ok(&json!({"cursor": cursor, "entries": entries}))
}

fn admin() -> String {
    token(json!({"sub": "root", "scope": "revoke"}))
}

fn request(token: &str, body: &str) -> gatepass::http::RequestHead {
    let length = body.len().to_string();
    head(&[
        (":method", "POST"),
        (":path", PATH),
        ("authorization", &format!("Bearer {token}")),
        ("content-length", &length),
    ])
}

fn receives(step: Step) -> Submission {
    match step {
        Step::Receive(submission) => submission,
        other => panic!("a body expected, not {other:?}"),
    }
}

/// Sends a request to revoke; the gateway's reply.
fn submit(world: &mut World, token: &str, body: &str) -> LocalReply {
    match world.begin(request(token, body)) {
        Step::Receive(submission) => {
            assert_eq!(submission.bytes, body.len());
            let now = world.now();
            answered(world.gateway.submit(submission, Some(body.as_bytes().to_vec()), now))
        }
        step => answered(step),
    }
}

fn revoke(world: &mut World, entry: Value) {
    let body = json!({"entries": [entry]}).to_string();
    let reply = submit(world, &admin(), &body);
    assert_eq!((reply.status, reply.body.len()), (204, 0), "{reply:?}");
}

fn code(reply: &LocalReply) -> (u16, String) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    (reply.status, body["code"].as_str().unwrap().to_owned())
}

fn revoked() -> (u16, String) {
    denial(401, "token_revoked")
}

/// A worker that shares with others.
fn worker(config: &Value, store: &Store) -> World {
    World::sharing(config, ENVOY, store)
}

#[test]
fn one_request_locks_a_user_out() {
    let mut world = World::new(&config(endpoint()), ENVOY);
    let (alice, bob) = (alice(), token(json!({"sub": "bob"})));
    world.forwarded(&alice);
    world.forwarded(&bob);
    revoke(&mut world, json!({"sub": "alice"}));
    revoke(&mut world, json!({"sub": "carol", "iss": "https://auth.example"}));
    assert_eq!(world.denied(&alice), revoked(), "although cached");
    assert_eq!(world.denied(&alice), revoked(), "and again");
    assert_eq!(world.denied(&token(json!({"jti": "new"}))), revoked(), "a token not seen before");
    world.forwarded(&bob);
    let log = world.gateway.take_log();
    let lines = log.iter().filter(|event| event.name() == "revoked").map(|event| event.json());
    let said =
        lines.map(|line| [&line["subject"], &line["names"], &line["issuers"]].map(Value::clone));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [
            [json!("root"), json!(["sub alice"]), json!(["any"])],
            [json!("root"), json!(["sub carol"]), json!(["https://auth.example"])],
        ],
        "whose alice was locked out can be seen"
    );
}

#[test]
fn entries_select_by_what_a_token_says() {
    let base = json!({"jti": "t1", "sid": "s1", "azp": "web", "iat": START - 10});
    for (case, entry, changes, expected) in [
        ("its id", json!({"jti": "t1"}), json!({}), true),
        ("another id", json!({"jti": "t2"}), json!({}), false),
        ("its session", json!({"sid": "s1"}), json!({}), true),
        ("its client", json!({"client_id": "web"}), json!({}), true),
        (
            "its client by the other name",
            json!({"client_id": "app"}),
            json!({"client_id": "app"}),
            true,
        ),
        ("a user of that name", json!({"sub": "web"}), json!({}), false),
        ("issued before", json!({"sub": "alice", "issued_before": START - 9}), json!({}), true),
        ("issued then", json!({"sub": "alice", "issued_before": START - 10}), json!({}), false),
        (
            "issued nobody knows when",
            json!({"sub": "alice", "issued_before": 1}),
            json!({"iat": null}),
            true,
        ),
        ("its issuer", json!({"sub": "alice", "iss": "https://auth.example"}), json!({}), true),
        (
            "another issuer",
            json!({"sub": "alice", "iss": "https://other.example"}),
            json!({}),
            false,
        ),
        ("until later", json!({"sub": "alice", "until": START + 1}), json!({}), true),
        ("until now", json!({"sub": "alice", "until": START}), json!({}), false),
    ] {
        let mut world = World::new(&config(endpoint()), ENVOY);
        let mut all = base.clone();
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        let token = token(all);
        world.forwarded(&token);
        revoke(&mut world, entry);
        if expected {
            assert_eq!(world.denied(&token), revoked(), "{case}");
        } else {
            world.forwarded(&token);
        }
    }
}

#[test]
fn an_entry_ends_when_it_says() {
    let mut world = World::new(&config(endpoint()), ENVOY);
    let alice = alice();
    revoke(&mut world, json!({"sub": "alice", "until": START + 60}));
    revoke(&mut world, json!({"sub": "alice", "issued_before": START - 5, "until": START + 600}));
    world.pass(59);
    assert_eq!(world.denied(&alice), revoked());
    world.pass(1);
    world.forwarded(&alice);
    let older = token(json!({"iat": START - 6}));
    assert_eq!(world.denied(&older), revoked(), "the entry that goes on is not lost");
}

#[test]
fn who_may_revoke() {
    let mut world = World::new(&config(endpoint()), ENVOY);
    let body = r#"{"entries":[{"sub":"alice"}]}"#;
    let answer = submit(&mut world, &alice(), body);
    assert_eq!(code(&answer), denial(403, "insufficient_scope"));
    assert_eq!(code(&submit(&mut world, "nonsense", body)), denial(401, "token_malformed"));
    let anonymous = head(&[(":method", "POST"), (":path", PATH), ("content-length", "2")]);
    assert_eq!(denied(world.begin(anonymous)), denial(401, "token_missing"));
    world.forwarded(&alice());
    revoke(&mut world, json!({"sub": "root"}));
    assert_eq!(code(&submit(&mut world, &admin(), body)), revoked(), "who is revoked cannot");
}

#[test]
fn the_user_service_is_asked_only_if_that_decides_who_may_revoke() {
    let mut plain = config(endpoint());
    plain["user_info"] = with_users([])["user_info"].clone();
    let mut world = World::new(&plain, ENVOY);
    receives(world.begin(request(&admin(), "{}")));
    let mut by_type = plain.clone();
    by_type["revocation"]["endpoint"]["requires"] = json!({"claims": {"type": ["staff"]}});
    for (kind, expected) in [("staff", None), ("guest", Some(denial(403, "claim_forbidden")))] {
        let mut world = World::new(&by_type, ENVOY);
        let step = world.begin(request(&admin(), "{}"));
        let step = world.answer(step, &ok(&json!({"sub": "root", "type": kind})));
        match expected {
            None => drop(receives(step)),
            Some(expected) => assert_eq!(denied(step), expected),
        }
    }
}

#[test]
fn what_is_no_request_to_revoke() {
    let mut world = World::new(&config(endpoint()), ENVOY);
    for (method, length, status) in [
        ("GET", "2", 405),
        ("PUT", "2", 405),
        ("POST", "", 411),
        ("POST", "-1", 411),
        ("POST", "999999999999999999999999", 411),
        ("POST", "262145", 413),
    ] {
        let bearer = format!("Bearer {}", admin());
        let mut fields =
            vec![(":method", method), (":path", PATH), ("authorization", bearer.as_str())];
        if !length.is_empty() {
            fields.push(("content-length", length));
        }
        let reply = answered(world.begin(head(&fields)));
        assert_eq!(reply.status, status, "{method} {length}");
        assert_eq!(reply_field(&reply, "cache-control"), Some("no-store"), "{method} {length}");
        assert_eq!(code(&reply), denial(status, "entries_invalid"), "{method} {length}");
        let media_type = reply_field(&reply, "content-type");
        assert_eq!(media_type, Some("application/problem+json"), "{method} {length}");
    }
    let bearer = format!("Bearer {}", admin());
    let empty =
        [(":method", "POST"), (":path", PATH), ("authorization", &bearer), ("content-length", "0")];
    assert_eq!(denied(world.begin(head(&empty))), denial(400, "entries_invalid"), "empty");
    for body in [
        "x",
        "[]",
        "{}",
        r#"{"entries":{}}"#,
        r#"{"entries":[],"other":1}"#,
        r#"{"entries":[{}]}"#,
        r#"{"entries":[{"sub":"alice"},{"sub":7}]}"#,
        r#"{"entries":[{"sub":"alice","sub":"bob"}]}"#,
    ] {
        let reply = submit(&mut world, &admin(), body);
        assert_eq!(code(&reply), denial(400, "entries_invalid"), "{body}");
    }
    world.forwarded(&alice());
    let unread = receives(world.begin(request(&admin(), "{}")));
    let now = world.now();
    assert_eq!(answered(world.gateway.submit(unread, None, now)).status, 413);
    assert_eq!(submit(&mut world, &admin(), r#"{"entries":[]}"#).status, 204, "nobody");
}

#[test]
fn nothing_of_the_sender_goes_on_to_an_upstream() {
    let mut world = World::new(&config(endpoint()), ENVOY);
    let submission = receives(world.begin(request(&admin(), "{}")));
    let cleared = &submission.sanitized.clear;
    assert!(cleared.iter().any(|name| name == "authorization"), "{cleared:?}");
}

#[test]
fn a_full_list_takes_no_more() {
    let mut settings = endpoint();
    settings["max_entries"] = json!(2);
    let mut world = World::new(&config(settings), ENVOY);
    revoke(&mut world, json!({"sub": "a", "until": START + 10 - KEPT}));
    revoke(&mut world, json!({"sub": "b"}));
    revoke(&mut world, json!({"sub": "b", "until": START + 10}));
    let body = r#"{"entries":[{"sub":"alice"}]}"#;
    assert_eq!(code(&submit(&mut world, &admin(), body)), denial(503, "revocation_unavailable"));
    world.forwarded(&alice());
    world.pass(10);
    assert_eq!(submit(&mut world, &admin(), body).status, 204, "an entry that ended made room");
    assert_eq!(world.denied(&alice()), revoked());
}

#[test]
fn the_identity_of_a_revoked_token_is_forgotten() {
    let mut world = World::new(&config(endpoint()), ENVOY);
    let alice = alice();
    let jti = |world: &mut World| {
        let edits = world.forwarded(&alice);
        world.identity(&edits)["jti"].clone()
    };
    let first = jti(&mut world);
    assert_eq!(jti(&mut world), first, "remembered");
    revoke(&mut world, json!({"sub": "alice", "until": START + 5}));
    assert_eq!(world.denied(&alice), revoked());
    world.pass(5);
    assert_ne!(jti(&mut world), first, "when the entry has ended");
}

#[test]
fn all_workers_know_at_once() {
    let (config, store) = (config(endpoint()), Store::default());
    let mut workers: Vec<World> = (0..3).map(|_| worker(&config, &store)).collect();
    let alice = alice();
    for worker in &mut workers {
        worker.forwarded(&alice);
    }
    revoke(&mut workers[1], json!({"sub": "alice"}));
    for worker in &mut workers {
        assert_eq!(worker.denied(&alice), revoked());
    }
    assert_eq!(worker(&config, &store).denied(&alice), revoked(), "one that starts later");
}

#[test]
fn a_shared_list_is_written_anew_when_most_of_it_ended() {
    let (config, store) = (config(endpoint()), Store::default());
    let (mut one, mut two) = (worker(&config, &store), worker(&config, &store));
    let size = |store: &Store| store.0.borrow().values().map(|(value, _)| value.len()).max();
    // How often the list was written anew stands in its second line, after its name and
    // before the length of what was moved from there.
    let rewrites = |store: &Store| {
        let values = store.0.borrow();
        let list = values.iter().find(|(key, _)| key.contains("tokens-list")).unwrap().1;
        let text = String::from_utf8_lossy(&list.0).into_owned();
        text.lines().nth(1).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap()
    };
    revoke(&mut one, json!({"sub": "alice"}));
    revoke(&mut one, json!({"sub": "carol"}));
    assert_eq!(rewrites(&store), 0, "a short one is added to");
    let mut largest = 0;
    for round in 0..11 {
        let entries: Vec<_> = (0..300)
            .map(|number| json!({"jti": format!("{round}-{number}"), "until": one.now().as_secs() + 5}))
            .collect();
        let body = json!({"entries": entries}).to_string();
        assert_eq!(submit(&mut one, &admin(), &body).status, 204);
        let ended = token(json!({"jti": format!("{round}-7"), "sub": "bob"}));
        assert_eq!(two.denied(&ended), revoked(), "{round}");
        one.pass(KEPT + 10);
        two.pass(KEPT + 10);
        one.tick(&failed());
        two.forwarded(&ended);
        largest = largest.max(size(&store).unwrap());
    }
    assert!(largest < 100_000, "{largest}");
    assert!((1..10).contains(&rewrites(&store)), "{}", rewrites(&store));
    assert_eq!(two.denied(&alice()), revoked(), "what goes on was kept");
}

/// Counts the bytes that go to the host and come from it.
#[derive(Debug)]
struct Counting(Store, Rc<Cell<usize>>);

impl SharedStore for Counting {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        let found = self.0.read(key);
        self.1.set(self.1.get() + found.as_ref().map_or(0, |(value, _)| value.len()));
        found
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        self.1.set(self.1.get() + value.len());
        self.0.write(key, value, version)
    }
}

#[test]
fn a_revocation_costs_what_it_adds() {
    let (config, store, bytes) =
        (config(endpoint()), Store::default(), Rc::<Cell<usize>>::default());
    let mut writer = World::new(&config, ENVOY);
    writer.gateway.share(Box::new(Counting(store.clone(), Rc::clone(&bytes))));
    let mut reader = World::new(&config, ENVOY);
    reader.gateway.share(Box::new(Counting(store.clone(), Rc::clone(&bytes))));
    for round in 0..20 {
        let entries: Vec<_> =
            (0..1000).map(|number| json!({"jti": format!("{round}-{number}")})).collect();
        let body = json!({ "entries": entries }).to_string();
        assert_eq!(submit(&mut writer, &admin(), &body).status, 204);
    }
    let size = |store: &Store| store.0.borrow().values().map(|(value, _)| value.len()).max();
    assert!(size(&store) > Some(500_000), "{:?}", size(&store));
    // Who starts reads everything, once.
    reader.forwarded(&alice());
    let mut dear = 0;
    for number in 0..1000 {
        bytes.set(0);
        revoke(&mut writer, json!({ "jti": format!("one-{number}") }));
        reader.forwarded(&alice());
        dear += usize::from(bytes.get() > 300_000);
    }
    assert_eq!(dear, 1, "of a thousand one finds the tail full");
    revoke(&mut writer, json!({"sub": "alice"}));
    assert_eq!(reader.denied(&alice()), revoked());
    assert_eq!(worker(&config, &store).denied(&alice()), revoked(), "one that starts later");
}

/// A store with room for so many bytes. A value that is replaced takes its own until the new
/// one is there.
#[derive(Debug)]
struct Small(Counting, usize);

impl SharedStore for Small {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.read(key)
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        let taken: usize = self.0.0.0.borrow().values().map(|(value, _)| value.len()).sum();
        taken + value.len() <= self.1 && self.0.write(key, value, version)
    }
}

/// Adds entries until there is no room for more; returns how many there was room for.
fn fill(world: &mut World, name: &str) -> usize {
    let until = world.now().as_secs() + 5 - KEPT;
    for round in 0..100 {
        let entries: Vec<_> = (0..100)
            .map(|n| json!({"jti": format!("{name}-{round}-{n}"), "until": until}))
            .collect();
        let reply = submit(world, &admin(), &json!({ "entries": entries }).to_string());
        if reply.status != 204 {
            assert_eq!(code(&reply), denial(503, "revocation_unavailable"));
            let body: Value = serde_json::from_slice(&reply.body).unwrap();
            let detail = "no room for these entries: the data that workers share is full";
            assert_eq!(body["detail"], detail);
            return round * 100;
        }
    }
    panic!("it is never full");
}

#[test]
fn a_full_store_refuses_at_once_and_has_room_again_when_entries_end() {
    const ROOM: usize = 300_000;
    let (config, store, bytes) =
        (config(endpoint()), Store::default(), Rc::<Cell<usize>>::default());
    let mut worlds = [(); 2].map(|()| {
        let mut world = World::new(&config, ENVOY);
        let counting = Counting(store.clone(), Rc::clone(&bytes));
        world.gateway.share(Box::new(Small(counting, ROOM)));
        world
    });
    let first = fill(&mut worlds[0], "first");
    assert!(first > 2000, "{first}");
    for world in &mut worlds {
        bytes.set(0);
        let entries: Vec<_> = (0..100).map(|n| json!({"jti": format!("more-{n}")})).collect();
        let body = json!({ "entries": entries }).to_string();
        assert_eq!(submit(world, &admin(), &body).status, 503);
        assert!(bytes.get() < 10 * ROOM, "{} bytes moved in vain", bytes.get());
    }
    // Whoever writes next, it is as if nothing had ever been there.
    for round in 0..4 {
        worlds.iter_mut().for_each(|world| world.pass(10));
        let again = fill(&mut worlds[round % 2], &round.to_string());
        assert!(again >= first - 200, "{again} of {first} in round {round}");
    }
}

/// Gateways that share a list may have room for different numbers of entries.
#[test]
fn who_has_less_room_writes_the_list_with_all_entries() {
    let store = Store::default();
    let config = |max_entries: u64| {
        let mut revocation = endpoint();
        revocation["max_entries"] = json!(max_entries);
        config(revocation)
    };
    let (mut large, mut small) = (worker(&config(1000), &store), worker(&config(50), &store));
    let add = |world: &mut World, round: usize, count: usize| {
        let until = world.now().as_secs() + 5 - KEPT;
        let entries: Vec<_> =
            (0..count).map(|n| json!({"jti": format!("{round}-{n}"), "until": until})).collect();
        let body = json!({ "entries": entries }).to_string();
        assert_eq!(submit(world, &admin(), &body).status, 204, "{round}");
    };
    add(&mut large, 1000, 50);
    small.forwarded(&token(json!({"sub": "bob"})));
    revoke(&mut large, json!({"sub": "alice"}));
    assert_eq!(small.denied(&alice()), revoked());
    for round in 0..60 {
        [&mut large, &mut small].into_iter().for_each(|world| world.pass(10));
        add(&mut small, round, 45);
    }
    let size = store.0.borrow().values().map(|(value, _)| value.len()).max();
    assert!(size < Some(100_000), "it was written anew: {size:?}");
    assert_eq!(worker(&config(1000), &store).denied(&alice()), revoked());
    assert_eq!(large.denied(&alice()), revoked());
    assert_eq!(small.denied(&alice()), revoked());
}

/// Gateways that share a list may accept tokens for different times after their `exp`.
#[test]
fn who_needs_an_entry_no_more_does_not_write_the_list_without_it() {
    let store = Store::default();
    let config = |skew: u64| {
        let mut revocation = endpoint();
        revocation["ledger"] = json!("shop");
        local([("/revocation", revocation), ("/providers/shop/clock_skew_seconds", json!(skew))])
    };
    let (strict, lenient) = (config(0), config(300));
    let mut writer = worker(&strict, &store);
    let ended = token(json!({"sub": "alice", "exp": START + 5}));
    revoke(&mut writer, json!({"sub": "alice", "until": START + 5}));
    let longest = || store.0.borrow().values().map(|(value, _)| value.len()).max().unwrap_or(0);
    writer.pass(10);
    let add = |world: &mut World, name: &str, count: usize| {
        let until = world.now().as_secs() + 5 - KEPT;
        let entries: Vec<_> =
            (0..count).map(|n| json!({"jti": format!("{name}{n}"), "until": until})).collect();
        let body = json!({ "entries": entries }).to_string();
        assert_eq!(submit(world, &admin(), &body).status, 204, "{name}");
    };
    let mut lines = 0;
    while longest() < 58_000 {
        add(&mut writer, &format!("{lines}-"), 50);
        lines += 50;
        assert!(lines < 5000, "entries that another gateway needs are not kept");
    }
    writer.pass(10);
    add(&mut writer, &"x".repeat(300), 30);
    assert!(longest() < 30_000, "it was written anew: {}", longest());
    let mut reader = worker(&lenient, &store);
    reader.pass(20);
    assert_eq!(reader.denied(&ended), revoked());
}

#[test]
fn a_list_that_the_host_lost_is_not_taken_for_an_empty_one() {
    let (config, store) = (config(endpoint()), Store::default());
    let mut one = worker(&config, &store);
    for sub in ["alice", "carol"] {
        revoke(&mut one, json!({ "sub": sub }));
    }
    assert_eq!(one.denied(&alice()), revoked());
    let lose = |what: &str| store.0.borrow_mut().retain(|key, _| !key.contains(what));
    lose("tokens-list");
    let mut two = worker(&config, &store);
    let unavailable = denial(503, "revocation_unavailable");
    assert_eq!(two.denied(&alice()), unavailable, "one that starts later");
    let body = json!({"entries": [{"sub": "bob"}]}).to_string();
    let reply = submit(&mut one, &admin(), &body);
    assert_eq!(code(&reply), unavailable);
    let problem: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(problem["detail"], "the revocation could not be stored: send it again");
    assert_eq!(one.denied(&alice()), revoked(), "one that knows");
    one.forwarded(&token(json!({"sub": "bob"})));
    // With its state: who starts cannot know that there was a list, who knows it keeps it.
    lose("tokens-");
    let mut three = worker(&config, &store);
    revoke(&mut three, json!({"sub": "bob"}));
    assert_eq!(one.denied(&token(json!({"sub": "bob"}))), revoked());
    assert_eq!(one.denied(&alice()), revoked());
}

#[test]
fn a_feed_is_read_from_where_it_was_left() {
    let mut world = World::new(&config(feed(json!({}))), ENVOY);
    let now = world.now();
    let tick = world.gateway.tick(now);
    assert_eq!(tick.send[0].callout.path, "/revocations");
    let reply = page("a&1", json!([{"sub": "alice"}]));
    world.gateway.complete(tick.send[0].id, &reply, now).unwrap();
    assert_eq!(world.denied(&alice()), revoked());
    assert_eq!(world.gateway.tick(now).send.len(), 0, "not due");
    world.pass(10);
    let now = world.now();
    let tick = world.gateway.tick(now);
    assert_eq!(tick.send[0].callout.path, "/revocations?since=a%261");
    world.gateway.complete(tick.send[0].id, &page("2", json!([])), now).unwrap();
    assert_eq!(world.denied(&alice()), revoked(), "entries stay");
}

#[test]
fn pages_are_read_one_after_the_other() {
    let mut world = World::new(&config(feed(json!({}))), ENVOY);
    let more = ok(&json!({"cursor": "1", "entries": [{"sub": "a"}], "more": true}));
    assert_eq!(world.tick(&more), 1);
    assert_eq!(world.tick(&page("2", json!([{"sub": "alice"}]))), 1, "at once");
    assert_eq!(world.tick(&failed()), 0);
    assert_eq!(world.denied(&alice()), revoked());
}

#[test]
fn a_request_waits_until_it_is_known_who_is_revoked() {
    let mut world = World::new(&config(feed(json!({}))), ENVOY);
    let (sent, first) = awaits(world.get(&alice()));
    let second = joins(world.get(&token(json!({"sub": "bob"}))));
    let now = world.now();
    let landing = world.gateway.complete(sent.id, &page("1", json!([{"sub": "alice"}])), now);
    let landing = landing.unwrap();
    assert_eq!(denied(world.gateway.resume(first, &landing, now)), revoked());
    forwarded(world.gateway.resume(second, &landing, now));
    // Where one cannot resume another, each asks for itself.
    let mut world = World::new(&config(feed(json!({}))), KONG);
    awaits(world.get(&alice()));
    awaits(world.get(&alice()));
}

#[test]
fn without_a_feed_that_can_be_relied_on() {
    for (mode, cold, stale) in [("deny", true, true), ("allow", false, false)] {
        let mut settings = feed(json!({"max_stale_seconds": 300}));
        settings["failure_mode"] = json!(mode);
        let mut world = World::new(&config(settings), ENVOY);
        let unavailable = denial(503, "revocation_unavailable");
        assert_eq!(world.tick(&failed()), 1);
        if cold {
            assert_eq!(world.denied(&alice()), unavailable);
            assert_eq!(world.denied("nonsense"), unavailable, "no worse than before");
        } else {
            world.forwarded(&alice());
        }
        world.pass(60);
        assert_eq!(world.tick(&page("1", json!([{"sub": "bob"}]))), 1);
        for _ in 0..29 {
            world.pass(10);
            world.tick(&reply(500, b""));
            world.forwarded(&alice());
        }
        world.pass(10);
        world.tick(&failed());
        if stale {
            assert_eq!(world.denied(&alice()), unavailable);
        } else {
            world.forwarded(&alice());
        }
        assert_eq!(world.denied(&token(json!({"sub": "bob"}))).0, if stale { 503 } else { 401 });
    }
}

#[test]
fn what_is_no_page_is_a_failure() {
    for (case, answer) in [
        ("500", reply(500, br#"{"cursor":"1","entries":[]}"#)),
        ("no JSON", reply(200, b"x")),
        ("no cursor", ok(&json!({"entries": []}))),
        ("a cursor that is no text", ok(&json!({"cursor": 1, "entries": []}))),
        ("no entries", ok(&json!({"cursor": "1"}))),
        ("one that cannot be read", page("1", json!([{"sub": "bob"}, {"sub": 7}]))),
        ("more than true", ok(&json!({"cursor": "1", "entries": [], "more": 1}))),
    ] {
        let mut world = World::new(&config(feed(json!({}))), ENVOY);
        world.tick(&answer);
        assert_eq!(world.denied(&alice()), denial(503, "revocation_unavailable"), "{case}");
        let log = world.gateway.take_log();
        assert!(log.iter().any(|line| line.to_string().contains("tokens_not_listed")), "{case}");
    }
    let mut settings = feed(json!({}));
    settings["max_entries"] = json!(1);
    let mut world = World::new(&config(settings), ENVOY);
    world.tick(&page("1", json!([{"sub": "a"}, {"sub": "b"}])));
    assert_eq!(world.denied(&alice()), denial(503, "revocation_unavailable"), "too many");
}

#[test]
fn one_worker_reads_the_feed_for_all() {
    let (config, store) = (config(feed(json!({}))), Store::default());
    let (mut one, mut two) = (worker(&config, &store), worker(&config, &store));
    let now = one.now();
    let tick = one.gateway.tick(now);
    assert_eq!((tick.send.len(), two.gateway.tick(now).send.len()), (1, 0), "a lease");
    one.gateway.complete(tick.send[0].id, &page("1", json!([{"sub": "alice"}])), now).unwrap();
    assert_eq!(two.denied(&alice()), revoked());
    two.forwarded(&token(json!({"sub": "bob"})));
    for _ in 0..20 {
        one.pass(5);
        two.pass(5);
        let answer = page("1", json!([]));
        let asked = two.tick(&answer) + one.tick(&answer);
        assert!(asked <= 1, "{asked}");
        two.forwarded(&token(json!({"sub": "bob"})));
    }
    // The one that held the lease went away: another one takes over.
    one.pass(11);
    two.pass(11);
    let now = one.now();
    assert_eq!(one.gateway.tick(now).send.len(), 1);
    two.pass(3);
    assert_eq!(two.tick(&page("2", json!([]))), 1);
}

#[test]
fn a_worker_waits_for_the_leases_of_others_only() {
    let mut config = config(feed(json!({})));
    config["services"]["auth"]["timeout_ms"] = json!(20_000);
    let store = Store::default();
    let (mut one, mut two) = (worker(&config, &store), worker(&config, &store));
    assert_eq!(one.tick(&reply(500, b"")), 1);
    for world in [&mut one, &mut two] {
        world.pass(1);
    }
    assert_eq!(two.tick(&reply(500, b"")), 0, "leased");
    assert_eq!(one.tick(&reply(500, b"")), 1, "after its pause");
}

#[test]
fn workers_ask_when_it_is_time_and_not_before() {
    let (config, store) = (config(feed(json!({}))), Store::default());
    let (mut one, mut two) = (worker(&config, &store), worker(&config, &store));
    assert_eq!(one.tick(&page("1", json!([]))), 1);
    two.pass(9);
    assert_eq!(two.tick(&page("2", json!([]))), 0, "the other one's poll is new");
    two.pass(1);
    assert_eq!(two.tick(&page("2", json!([]))), 1, "ten seconds later");
    // Who asks has time to answer, and no longer.
    one.pass(20);
    two.pass(10);
    let now = one.now();
    assert_eq!(one.gateway.tick(now).send.len(), 1);
    two.pass(1);
    assert_eq!(two.tick(&page("3", json!([]))), 0, "the other one may still be answered");
    two.pass(1);
    assert_eq!(two.tick(&page("3", json!([]))), 1, "it is not");
}

#[test]
fn entries_are_taken_all_or_none() {
    let mut settings = endpoint();
    settings["max_entries"] = json!(2);
    let mut world = World::new(&config(settings), ENVOY);
    revoke(&mut world, json!({"sub": "bob"}));
    let body = r#"{"entries":[{"sub":"alice"},{"sub":"carol"}]}"#;
    assert_eq!(code(&submit(&mut world, &admin(), body)), denial(503, "revocation_unavailable"));
    world.forwarded(&alice());
    revoke(&mut world, json!({"sub": "alice"}));
    assert_eq!(world.denied(&alice()), revoked());
}

/// `max_entries` limits what is added at a gateway. What was added at another one, or before
/// the limit was lowered, locks nobody out.
#[test]
fn what_others_added_counts_whatever_the_room_here() {
    let roomy = config(endpoint());
    let mut settings = endpoint();
    settings["max_entries"] = json!(1);
    let (narrow, store) = (config(settings), Store::default());
    let (mut one, mut two) = (worker(&roomy, &store), worker(&narrow, &store));
    let (bob, carol) = (token(json!({"sub": "bob"})), token(json!({"sub": "carol"})));
    for sub in ["alice", "carol"] {
        revoke(&mut one, json!({ "sub": sub }));
    }
    for world in [&mut two, &mut worker(&narrow, &store)] {
        assert_eq!(world.denied(&alice()), revoked());
        assert_eq!(world.denied(&carol), revoked());
        world.forwarded(&bob);
    }
    let reply = submit(&mut two, &admin(), r#"{"entries":[{"sub":"bob"}]}"#);
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(code(&reply), denial(503, "revocation_unavailable"));
    assert!(text.contains("revocation.max_entries is 1"), "{text}");
    revoke(&mut two, json!({"sub": "carol", "until": START - 10}));
    one.forwarded(&carol);
    assert_eq!(submit(&mut two, &admin(), r#"{"entries":[{"sub":"alice"}]}"#).status, 204, "known");
}

#[test]
fn an_odd_store_is_worse_for_nobody() {
    let (config, store) = (config(feed(json!({}))), Store::default());
    let mut world = worker(&config, &store);
    for (value, _) in store.0.borrow_mut().values_mut() {
        *value = b"another filter's".to_vec();
    }
    assert_eq!(world.tick(&page("1", json!([{"sub": "alice"}]))), 1);
    assert_eq!(world.denied(&alice()), denial(503, "revocation_unavailable"), "not told to others");
}

#[test]
fn only_what_is_on_the_allowlist_passes() {
    let settings =
        json!({"allowlist": {"service": "auth", "path": "/allowed", "poll_seconds": 10}});
    let mut world = World::new(&config(settings), ENVOY);
    assert_eq!(world.tick(&page("1", json!([{"client_id": "web", "until": START + 15}]))), 1);
    let stranger = token(json!({"azp": "stranger"}));
    world.forwarded(&alice());
    assert_eq!(world.denied(&stranger), revoked());
    world.pass(10);
    world.tick(&page("2", json!([{"jti": "t1"}])));
    world.forwarded(&token(json!({"azp": "stranger", "jti": "t1"})));
    world.forwarded(&alice());
    world.pass(5);
    assert_eq!(world.denied(&alice()), revoked(), "an entry ends, for tokens in the cache too");
    world.pass(5);
    world.tick(&page("3", json!([{"jti": "t1", "until": START}])));
    let denied = world.denied(&token(json!({"azp": "stranger", "jti": "t1"})));
    assert_eq!(denied, revoked(), "and can be taken back");
}

#[test]
fn an_allowlist_counts_once_something_was_read() {
    let in_part = json!({"cursor": "1", "entries": [{"sub": "bob"}], "more": true});
    for (case, answer, passes) in [
        ("never read", failed(), true),
        ("empty", page("1", json!([])), false),
        ("read in part", ok(&in_part), false),
    ] {
        let list = json!({"service": "auth", "path": "/allowed"});
        let settings = json!({"allowlist": list, "failure_mode": "allow"});
        let mut world = World::new(&config(settings), ENVOY);
        world.tick(&answer);
        let step = world.get(&alice());
        let is_forwarded = matches!(step, Step::Done(gatepass::verdict::Verdict::Forward(_), _));
        assert_eq!(is_forwarded, passes, "{case}: {step:?}");
    }
}

#[test]
fn reference_tokens_are_revoked_too() {
    let mut config = config(endpoint());
    config["providers"]["shop"]["introspection"] = json!({
        "service": "auth", "path": "/introspect", "client_id": "g", "client_secret": "s",
    });
    let mut world = World::new(&config, ENVOY);
    let mut answer = claims(json!({}));
    answer["active"] = json!(true);
    let step = world.get("reference");
    forwarded(world.answer(step, &ok(&answer)));
    world.forwarded("reference");
    revoke(&mut world, json!({"sub": "alice"}));
    assert_eq!(world.denied("reference"), revoked());
}

#[test]
fn requests_without_a_token_need_no_list() {
    let mut config = config(feed(json!({})));
    config["rules"] = json!([{"match": {"path": "/health"}, "bypass": true}]);
    let mut world = World::new(&config, ENVOY);
    world.tick(&failed());
    forwarded(world.begin(head(&[(":path", "/health")])));
    assert_eq!(denied(world.begin(head(&[]))), denial(401, "token_missing"));
}

/// A token is accepted beyond its `exp` for the clock skew, and what names it holds
/// for as long.
#[test]
fn an_entry_outlives_the_token_that_it_ends_with() {
    let patch = [("/revocation", endpoint()), ("/providers/shop/clock_skew_seconds", json!(45))];
    let mut world = World::new(&local(patch), ENVOY);
    let short = token(json!({"jti": "t1", "exp": START + 30}));
    world.forwarded(&short);
    revoke(&mut world, json!({"jti": "t1", "until": START + 30}));
    for pass in [30, 40, 4] {
        assert_eq!(world.denied(&short), revoked(), "at {}", world.now());
        world.pass(pass);
        if pass == 40 {
            // So does an entry that comes in only now.
            let body = json!({"entries": [{"jti": "t2", "until": START + 30}]}).to_string();
            assert_eq!(submit(&mut world, &admin(), &body).status, 204);
            let other = token(json!({"jti": "t2", "exp": START + 30}));
            assert_eq!(world.denied(&other), revoked());
        }
    }
    assert_eq!(world.denied(&short), revoked(), "the last second");
    world.pass(1);
    assert_eq!(world.denied(&short), denial(401, "token_expired"));
}

#[test]
fn an_allowlist_that_was_loaded_and_is_empty_allows_nobody() {
    let list = json!({"service": "auth", "path": "/allowed", "max_stale_seconds": 300});
    let settings = config(json!({"allowlist": list, "failure_mode": "allow"}));
    let store = Store::default();
    let mut world = worker(&settings, &store);
    world.tick(&page("1", json!([])));
    assert_eq!(world.denied(&alice()), revoked());
    world.pass(1000);
    world.tick(&failed());
    assert_eq!(world.denied(&alice()), revoked(), "what is known is that nobody is allowed");
    let mut later = worker(&settings, &store);
    later.pass(1000);
    assert_eq!(later.denied(&alice()), revoked(), "a worker that starts later");
}

#[test]
fn a_clock_set_back_stops_no_polling() {
    for store in [None, Some(Store::default())] {
        let settings = config(feed(json!({})));
        let mut world = match &store {
            Some(store) => worker(&settings, store),
            None => World::new(&settings, ENVOY),
        };
        let alice = token(json!({"iat": null}));
        assert_eq!(world.tick(&page("1", json!([]))), 1);
        world.forwarded(&alice);
        world.pass(-3600);
        awaits(world.get(&alice));
        let now = world.now();
        let asked = world.gateway.tick(now).send;
        assert!(asked.is_empty(), "the request asked already");
        world.millis += 3000;
        let now = world.now();
        for flight in world.gateway.tick(now).overdue {
            drop(world.gateway.complete(flight, &failed(), now));
        }
        world.pass(2);
        assert_eq!(world.tick(&page("2", json!([{"sub": "alice"}]))), 1, "not an hour later");
        assert_eq!(world.denied(&alice), revoked());
        world.pass(10);
        assert_eq!(world.tick(&page("3", json!([]))), 1, "and so on");
    }
}

#[test]
fn who_logs_out_can_log_in_within_the_second() {
    let mut world = World::new(&config(endpoint()), ENVOY);
    revoke(&mut world, json!({"sub": "alice", "issued_before": START as f64 - 9.6}));
    assert_eq!(world.denied(&token(json!({"iat": START - 11}))), revoked());
    world.forwarded(&token(json!({"iat": START - 10})));
}

#[test]
fn times_in_milliseconds_lock_nobody_out() {
    let mut world = World::new(&config(endpoint()), ENVOY);
    for member in ["until", "issued_before"] {
        let entry = json!({"sub": "alice", (member): 1_795_864_624_537_i64});
        let reply = submit(&mut world, &admin(), &json!({"entries": [entry]}).to_string());
        assert_eq!(code(&reply), denial(400, "entries_invalid"), "{member}");
        let detail = String::from_utf8(reply.body).unwrap();
        assert!(detail.contains("milliseconds"), "{detail}");
    }
    world.forwarded(&alice());
}

#[test]
fn a_revocation_can_be_taken_back() {
    for shared in [false, true] {
        let (settings, store) = (config(endpoint()), Store::default());
        let mut workers: Vec<World> = match shared {
            true => (0..2).map(|_| worker(&settings, &store)).collect(),
            false => vec![World::new(&settings, ENVOY)],
        };
        let alice = alice();
        for _ in 0..2 {
            workers.iter_mut().for_each(|world| drop(world.forwarded(&alice)));
            revoke(&mut workers[0], json!({"sub": "alice"}));
            revoke(
                &mut workers[0],
                json!({"sub": "alice", "issued_before": START, "until": START + 60}),
            );
            for world in &mut workers {
                assert_eq!(world.denied(&alice), revoked());
            }
            revoke(&mut workers[0], json!({"sub": "alice", "until": START - 1}));
        }
        let log = workers[0].gateway.take_log();
        assert!(log.iter().any(|line| line.to_string().contains(r#""taken_back":1"#)), "{log:?}");
        let mut later = if shared { worker(&settings, &store) } else { workers.remove(0) };
        later.forwarded(&alice);
    }
}

#[test]
fn a_feed_takes_back_what_it_said() {
    let mut world = World::new(&config(feed(json!({}))), ENVOY);
    world.tick(&page("1", json!([{"sub": "alice"}])));
    assert_eq!(world.denied(&alice()), revoked());
    world.pass(10);
    world.tick(&page("2", json!([{"sub": "alice", "until": 0}])));
    world.forwarded(&alice());
}

/// The issuer's word on one user is not about another issuer's.
#[test]
fn an_entry_for_one_issuer_keeps_that_of_another() {
    let mut world = World::new(&config(endpoint()), ENVOY);
    revoke(&mut world, json!({"sub": "alice", "iss": "https://auth.example"}));
    revoke(&mut world, json!({"sub": "alice", "iss": "https://other.example"}));
    assert_eq!(world.denied(&alice()), revoked());
}

fn paths(world: &mut World, reply: &gatepass::callout::CalloutReply) -> Vec<String> {
    let now = world.now();
    let sent = world.gateway.tick(now).send;
    for sent in &sent {
        assert!(world.gateway.complete(sent.id, reply, now).is_some());
    }
    sent.into_iter().map(|sent| sent.callout.path).collect()
}

fn causes(world: &mut World) -> Vec<String> {
    let lines = world.gateway.take_log().into_iter();
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(&line.to_string()).ok());
    lines.filter_map(|line| line["cause"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_feed_that_goes_round_in_circles_is_a_failure() {
    let more = |cursor: &str, sub: &str| {
        ok(&json!({"cursor": cursor, "entries": [{"sub": sub}], "more": true}))
    };
    for (case, cursors) in [("stands still", &["a"][..]), ("a longer way", &["a", "b", "c"])] {
        let mut world = World::new(&config(feed(json!({}))), ENVOY);
        for cursor in cursors {
            assert_eq!(world.tick(&more(cursor, "bob")), 1);
        }
        assert_eq!(world.tick(&more("a", "alice")), 1);
        let log = causes(&mut world);
        assert!(
            log.iter().any(|cause| cause.contains("repeats an earlier one")),
            "{case}: {log:?}"
        );
        assert_eq!(world.tick(&failed()), 0, "{case}: a pause");
        world.pass(1);
        assert_eq!(world.tick(&page("d", json!([]))), 1, "{case}");
        assert_eq!(world.denied(&alice()), revoked(), "{case}: what it said counts");
    }
}

#[test]
fn a_cursor_that_a_feed_has_forgotten_is_given_up() {
    for status in [400, 410] {
        let mut world = World::new(&config(feed(json!({}))), ENVOY);
        world.tick(&page("7", json!([{"sub": "alice"}])));
        world.pass(10);
        assert_eq!(paths(&mut world, &reply(status, b"")), ["/revocations?since=7"]);
        assert!(causes(&mut world)[0].contains("from its start"));
        assert_eq!(world.denied(&alice()), revoked(), "meanwhile");
        let anew = page("1", json!([{"sub": "bob"}]));
        assert_eq!(paths(&mut world, &anew), ["/revocations"], "at once");
        assert_eq!(world.denied(&alice()), revoked(), "nothing is given back");
        assert_eq!(world.denied(&token(json!({"sub": "bob"}))), revoked());
        world.pass(10);
        assert_eq!(paths(&mut world, &page("2", json!([]))), ["/revocations?since=1"]);
        // One that knows none of its own cursors is a failure like any other.
        let mut world = World::new(&config(feed(json!({}))), ENVOY);
        let first = ok(&json!({"cursor": "1", "entries": [], "more": true}));
        assert_eq!(paths(&mut world, &first).len(), 1);
        assert_eq!(paths(&mut world, &reply(status, b"")).len(), 1);
        assert_eq!(paths(&mut world, &first), ["/revocations"]);
        assert_eq!(paths(&mut world, &reply(status, b"")), ["/revocations?since=1"]);
        assert_eq!(paths(&mut world, &first), [""; 0], "a pause");
    }
    let mut world = World::new(&config(feed(json!({}))), ENVOY);
    assert_eq!(paths(&mut world, &reply(410, b"")), ["/revocations"]);
    assert_eq!(paths(&mut world, &reply(410, b"")), [""; 0], "there was no cursor to forget");
}

#[test]
fn a_feed_that_counts_from_its_start_again_is_read_from_there() {
    let store = Store::default();
    let settings = config(feed(json!({})));
    let (mut world, mut other) = (worker(&settings, &store), worker(&settings, &store));
    world.tick(&page("1000", json!([{"sub": "bob"}])));
    world.pass(10);
    other.pass(10);
    assert_eq!(paths(&mut world, &page("3", json!([]))), ["/revocations?since=1000"]);
    let anew = page("3", json!([{"sub": "alice"}]));
    assert_eq!(paths(&mut other, &anew), ["/revocations"], "whichever worker it is");
    for world in [&mut world, &mut other] {
        assert_eq!(world.denied(&alice()), revoked());
        assert_eq!(world.denied(&token(json!({"sub": "bob"}))), revoked());
    }
    world.pass(10);
    assert_eq!(paths(&mut world, &page("20", json!([]))), ["/revocations?since=3"]);
    world.pass(10);
    assert_eq!(paths(&mut world, &page("100", json!([]))), ["/revocations?since=20"], "numbers");
}

/// What the proxy was told since must not go when a feed repeats its history.
#[test]
fn a_feed_that_is_read_anew_takes_back_only_its_own() {
    let mut settings = feed(json!({}));
    settings["endpoint"] = endpoint()["endpoint"].clone();
    let mut world = World::new(&config(settings), ENVOY);
    let history = json!([{"sub": "alice"}, {"sub": "alice", "until": START - 100}]);
    world.tick(&page("2", history.clone()));
    world.forwarded(&alice());
    revoke(&mut world, json!({"sub": "alice"}));
    world.pass(10);
    world.tick(&reply(410, b""));
    world.tick(&page("2", history));
    assert_eq!(world.denied(&alice()), revoked());
    world.pass(10);
    world.tick(&page("3", json!([{"sub": "alice", "until": START}])));
    world.forwarded(&alice());
}

#[test]
fn an_allowlist_that_is_read_anew_is_what_it_says_now() {
    for shared in [None, Some(Store::default())] {
        let list = json!({"service": "auth", "path": "/allowed"});
        let settings = config(json!({"allowlist": list}));
        let mut world = match &shared {
            Some(store) => worker(&settings, store),
            None => World::new(&settings, ENVOY),
        };
        let bob = token(json!({"sub": "bob"}));
        world.tick(&page("5", json!([{"sub": "alice"}])));
        world.forwarded(&alice());
        world.pass(10);
        world.tick(&reply(410, b""));
        world.forwarded(&alice());
        let first = ok(&json!({"cursor": "1", "entries": [{"sub": "bob"}], "more": true}));
        world.tick(&first);
        awaits(world.get(&bob));
        let now = world.now();
        world.millis += 5000;
        let later = world.now();
        for flight in world.gateway.tick(later).overdue {
            drop(world.gateway.complete(flight, &page("2", json!([])), now));
        }
        world.forwarded(&bob);
        assert_eq!(world.denied(&alice()), revoked());
    }
}

#[test]
fn a_reply_that_comes_late_takes_nothing_back() {
    for host in [ENVOY, KONG] {
        let list = json!({"service": "auth", "path": "/allowed"});
        let store = Store::default();
        let settings = config(json!({"allowlist": list}));
        let (mut slow, mut fast) = (worker(&settings, &store), worker(&settings, &store));
        slow.gateway = gateway(&settings, host);
        slow.gateway.share(Box::new(store.clone()));
        let (sent, waiting) = awaits(slow.get(&alice()));
        for world in [&mut slow, &mut fast] {
            world.pass(1);
        }
        fast.pass(2);
        fast.tick(&page("5", json!([{"sub": "alice"}])));
        fast.pass(10);
        fast.tick(&page("6", json!([{"sub": "alice", "until": 0}])));
        slow.pass(12);
        let late = page("5", json!([{"sub": "alice"}]));
        assert_eq!(denied(slow.complete(sent.id, waiting, &late)), revoked());
        assert_eq!(fast.denied(&alice()), revoked());
        fast.pass(10);
        assert_eq!(paths(&mut fast, &page("7", json!([]))), ["/allowed?since=6"]);
    }
}

#[test]
fn members_that_a_feed_adds_are_notes() {
    let entry = json!({"sub": "alice", "reason": "left", "x-ticket": 7});
    let mut world = World::new(&config(feed(json!({}))), ENVOY);
    world.tick(&page("1", json!([entry.clone()])));
    let log = world.gateway.take_log();
    assert!(log.iter().any(|line| line.to_string().contains("entry_member_ignored")), "{log:?}");
    assert_eq!(world.denied(&alice()), revoked());
    world.forwarded(&token(json!({"sub": "bob"})));
    for (list, entry, passes) in [
        ("feed", json!({"sub": "alice", "tenant": "acme"}), false),
        ("allowlist", json!({"sub": "alice", "note": "x"}), true),
        ("allowlist", json!({"sub": "alice", "network": "10.0.0.0/8"}), false),
    ] {
        let list = json!({(list): {"service": "auth", "path": "/list"}});
        let mut world = World::new(&config(list), ENVOY);
        world.tick(&page("1", json!([entry])));
        if passes {
            world.forwarded(&alice());
        } else {
            assert_eq!(world.denied(&alice()), denial(503, "revocation_unavailable"), "{entry}");
        }
    }
    let mut world = World::new(&config(endpoint()), ENVOY);
    let body = json!({"entries": [entry]}).to_string();
    assert_eq!(code(&submit(&mut world, &admin(), &body)), denial(400, "entries_invalid"));
}

/// What could not be made when the filter started is made later.
#[test]
fn a_store_that_failed_at_the_start_is_used_later() {
    for lost in ["tokens-list", "tokens-state", "tokens-"] {
        let store = Store::default();
        let settings = config(feed(json!({})));
        let (mut one, mut two) = (worker(&settings, &store), worker(&settings, &store));
        store.0.borrow_mut().retain(|key, _| !key.contains(lost));
        for _ in 0..3 {
            one.tick(&page("1", json!([{"sub": "alice"}])));
            one.pass(10);
            two.pass(10);
        }
        one.tick(&page("1", json!([])));
        assert_eq!(one.denied(&alice()), revoked(), "{lost}");
        assert_eq!(two.denied(&alice()), revoked(), "{lost}");
    }
}

/// What one node was told applies on the others, in its order; what they cannot read is
/// not taken for another gateway's.
#[test]
fn other_nodes_hear_of_revocations() {
    let (mut one, mut two) =
        (World::new(&config(endpoint()), ENVOY), World::new(&config(endpoint()), ENVOY));
    one.gateway.announce_revocations();
    for subject in ["alice", "bob"] {
        revoke(&mut one, json!({ "sub": subject }));
    }
    let texts: Vec<String> = std::iter::from_fn(|| one.gateway.take_announcement()).collect();
    let entries = |text: &String| serde_json::from_str::<Value>(text).unwrap()["entries"].clone();
    let subjects: Vec<_> = texts.iter().map(|text| entries(text)[0]["sub"].clone()).collect();
    assert_eq!(subjects, ["alice", "bob"]);
    let now = two.now();
    let with = |member: &str, value: Value| {
        let mut announced: Value = serde_json::from_str(&texts[0]).unwrap();
        announced[member] = value;
        announced.to_string()
    };
    for (case, text, expected) in [
        (
            "entries of a later version",
            with("entries", json!([{"device": "d1"}])),
            AnnouncementOutcome::Failed,
        ),
        (
            "one of two of a later version",
            with("entries", json!([{"sub": "alice"}, {"sub": "bob", "device": "d1"}])),
            AnnouncementOutcome::Failed,
        ),
        ("no list", with("entries", json!("alice")), AnnouncementOutcome::Failed),
        ("no entries", with("entries", Value::Null), AnnouncementOutcome::Failed),
        ("another gateway", with("gateway", json!("another")), AnnouncementOutcome::Foreign),
        ("no gateway", with("gateway", Value::Null), AnnouncementOutcome::Foreign),
        ("no JSON", "alice".to_owned(), AnnouncementOutcome::Foreign),
    ] {
        assert_eq!(two.gateway.apply_announcement(text.as_bytes(), now), expected, "{case}");
    }
    let alice = alice();
    two.forwarded(&alice);
    for text in &texts {
        assert_eq!(
            two.gateway.apply_announcement(text.as_bytes(), now),
            AnnouncementOutcome::Applied
        );
    }
    assert_eq!(two.denied(&alice), revoked());
    assert_eq!(two.denied(&token(json!({"sub": "bob"}))), revoked());
}
