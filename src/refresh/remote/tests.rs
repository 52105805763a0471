//! The life cycle of a fetched key set, alone and shared between workers.

#![allow(clippy::arithmetic_side_effects)] // on seconds of the test's own

use std::cell::RefCell;
use std::collections::HashMap;

use serde_json::json;

use super::*;
use crate::callout::{CalloutFailure, Scheme, Service};

/// A host's shared data, with Envoy's versions.
#[derive(Debug, Default)]
struct MapStore(RefCell<HashMap<String, (Vec<u8>, u32)>>);

impl SharedStore for MapStore {
    fn read(&self, key: &str) -> Option<(Vec<u8>, u32)> {
        self.0.borrow().get(key).cloned()
    }

    fn write(&self, key: &str, value: &[u8], version: Option<u32>) -> bool {
        let mut entries = self.0.borrow_mut();
        let current = entries.get(key).map_or(0, |(_, version)| *version);
        if version.is_some_and(|version| version != current) {
            return false;
        }
        entries.insert(key.to_owned(), (value.to_vec(), current + 1));
        true
    }
}

fn service(name: &str) -> Rc<Service> {
    Rc::new(Service {
        name: name.into(),
        upstream: name.into(),
        authority: format!("{name}.internal"),
        scheme: Scheme::Http,
        timeout: Span::from_secs(1),
        headers: Vec::new(),
    })
}

fn endpoint(location: JwksLocation) -> JwksEndpoint {
    JwksEndpoint {
        service: service("keys"),
        location,
        cache: Span::from_secs(600),
        max_stale: Span::from_secs(3600),
        unknown_kid_cooldown: Span::from_secs(30),
    }
}

fn fixed() -> RemoteKeys {
    RemoteKeys::new(endpoint(JwksLocation::Path("/jwks".into())))
}

fn discovering() -> RemoteKeys {
    RemoteKeys::new(endpoint(JwksLocation::Discovered {
        service: service("issuer"),
        path: "/.well-known/openid-configuration".into(),
        issuer: crate::token::Issuer::parse("https://id.example").unwrap(),
    }))
}

/// A token without `kid`.
const WANTED: Wanted = Wanted::Key(None);

/// A set with the key of RFC 8037 appendix A.2 under this id.
fn jwks(kid: &str) -> String {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x}]}).to_string()
}

fn ok(body: &str) -> CalloutReply {
    CalloutReply::Answer(Answer {
        status: 200,
        cache_control: None,
        fields: crate::http::Fields::default(),
        body: body.into(),
    })
}

fn failed() -> CalloutReply {
    CalloutReply::Failed(CalloutFailure::NoReply)
}

fn at(seconds: i64) -> UnixTime {
    UnixTime::from_secs(1_800_000_000 + seconds)
}

/// A set with this key, as stored by a worker that requested it at `at`.
fn stored(kid: &str, at: UnixTime) -> StoredSet {
    let until = at.plus(Span::from_secs(600));
    StoredSet { at, until, path: None, text: jwks(kid).into() }
}

/// The path that a poll wants to fetch.
fn fetches(
    keys: &mut RemoteKeys,
    store: Option<&dyn SharedStore>,
    now: UnixTime,
) -> Option<String> {
    match keys.poll(store, 0, now) {
        Poll::Fetch(callout) => Some(callout.path),
        Poll::Idle | Poll::Adopted(_) => None,
    }
}

fn knows(keys: &RemoteKeys, kid: &str, now: UnixTime) -> bool {
    keys.current(now).is_some_and(|keys| keys.knows(kid))
}

#[test]
fn a_set_is_fetched_again_when_its_time_is_over() {
    let mut keys = fixed();
    assert_eq!(fetches(&mut keys, None, at(0)).as_deref(), Some("/jwks"), "at once");
    assert_eq!(fetches(&mut keys, None, at(1)), None, "while the reply is awaited");
    keys.settle(&ok(&jwks("1")), None, 0, at(1), at(1)).unwrap();
    assert_eq!(fetches(&mut keys, None, at(600)), None, "while it is current");
    assert_eq!(fetches(&mut keys, None, at(601)).as_deref(), Some("/jwks"));
}

#[test]
fn a_reply_says_how_long_it_is_current_within_bounds() {
    for (case, header, due) in [
        ("shorter", "max-age=60", 60),
        ("too short", "max-age=1", 30),
        ("not to be stored", "no-store", 30),
        ("longer", "max-age=86400", 600),
    ] {
        let mut keys = fixed();
        assert!(fetches(&mut keys, None, at(0)).is_some());
        let cache_control = Some(header.as_bytes().to_vec());
        let answer = Answer {
            status: 200,
            cache_control,
            fields: crate::http::Fields::default(),
            body: jwks("1").into(),
        };
        keys.settle(&CalloutReply::Answer(answer), None, 0, at(0), at(0)).unwrap();
        assert_eq!(fetches(&mut keys, None, at(due - 1)), None, "{case}: before");
        assert!(fetches(&mut keys, None, at(due)).is_some(), "{case}: then");
    }
}

#[test]
fn failures_are_retried_with_growing_waits_and_take_no_keys_away() {
    let mut keys = fixed();
    assert!(fetches(&mut keys, None, at(0)).is_some());
    keys.settle(&ok(&jwks("1")), None, 0, at(0), at(0)).unwrap();
    let mut now = 600;
    for wait in [1, 2, 4, 8, 16, 30, 30] {
        assert!(fetches(&mut keys, None, at(now)).is_some(), "after {now} s");
        keys.settle(&failed(), None, 0, at(now), at(now)).unwrap_err();
        assert_eq!(fetches(&mut keys, None, at(now + wait - 1)), None, "wait of {wait} s");
        assert!(knows(&keys, "1", at(now)), "the last good set");
        now += wait;
    }
    assert!(knows(&keys, "1", at(600 + 3600 - 1)));
    assert!(!knows(&keys, "1", at(600 + 3600)), "beyond max_stale");
}

#[test]
fn replies_that_are_no_key_set_take_no_keys_away() {
    let status = |status| {
        CalloutReply::Answer(Answer {
            status,
            cache_control: None,
            fields: crate::http::Fields::default(),
            body: jwks("2").into(),
        })
    };
    for (case, reply) in [
        ("no reply", failed()),
        ("a redirect", status(302)),
        ("no content", status(204)),
        ("an error", status(500)),
        ("HTML", ok("<html>")),
        ("no keys", ok(r#"{"keys": []}"#)),
        ("a member twice", ok(r#"{"keys": [], "keys": []}"#)),
        ("only a secret", ok(r#"{"keys": [{"kty": "oct", "k": "AAAA"}]}"#)),
    ] {
        let mut keys = fixed();
        assert!(fetches(&mut keys, None, at(0)).is_some());
        keys.settle(&ok(&jwks("1")), None, 0, at(0), at(0)).unwrap();
        assert!(fetches(&mut keys, None, at(600)).is_some());
        keys.settle(&reply, None, 0, at(600), at(600)).unwrap_err();
        assert!(knows(&keys, "1", at(600)), "{case}");
    }
}

#[test]
fn the_same_set_stays_the_same_object() {
    let mut keys = fixed();
    assert!(fetches(&mut keys, None, at(0)).is_some());
    keys.settle(&ok(&jwks("1")), None, 0, at(0), at(0)).unwrap();
    let first = Rc::clone(keys.current(at(0)).unwrap());
    keys.settle(&ok(&jwks("1")), None, 0, at(600), at(600)).unwrap();
    assert!(Rc::ptr_eq(&first, keys.current(at(600)).unwrap()), "unchanged");
    keys.settle(&ok(&jwks("2")), None, 0, at(1200), at(1200)).unwrap();
    assert!(!Rc::ptr_eq(&first, keys.current(at(1200)).unwrap()), "changed");
}

#[test]
fn unknown_keys_cause_one_fetch_a_cooldown() {
    let mut keys = fixed();
    assert_eq!(keys.look_for(&WANTED, at(0)), Lookup::Fetch, "no keys yet");
    keys.fetch(Some(&WANTED), at(0));
    keys.settle(&ok(&jwks("1")), None, 0, at(0), at(0)).unwrap();
    assert_eq!(keys.look_for(&WANTED, at(1)), Lookup::Fetch, "the first fetch looked for no id");
    keys.fetch(Some(&WANTED), at(1));
    keys.settle(&ok(&jwks("1")), None, 0, at(1), at(1)).unwrap();
    assert_eq!(keys.look_for(&WANTED, at(30)), Lookup::Answered);
    assert_eq!(keys.look_for(&WANTED, at(31)), Lookup::Fetch);
}

/// A client disconnected during this worker's fetch; meanwhile another worker has the
/// keys.
#[test]
fn another_workers_set_makes_up_for_a_lost_fetch() {
    let store = MapStore::default();
    let store: &dyn SharedStore = &store;
    let (mut here, mut there) = (fixed(), fixed());
    there.share(store);
    here.share(store);
    here.fetch(Some(&WANTED), at(0));
    here.abandon();
    assert!(fetches(&mut there, Some(store), at(0)).is_some());
    there.settle(&ok(&jwks("1")), Some(store), 0, at(0), at(0)).unwrap();
    assert_eq!(fetches(&mut here, Some(store), at(1)), None);
    assert!(knows(&here, "1", at(1)), "taken over");
    assert!(!here.is_abandoned());
    assert_eq!(fetches(&mut here, Some(store), at(2)), None, "nothing to make up for");
}

#[test]
fn one_worker_fetches_for_all() {
    let store = MapStore::default();
    let store: &dyn SharedStore = &store;
    let mut workers = [fixed(), fixed(), fixed()];
    workers.iter().for_each(|worker| worker.share(store));
    let fetching: Vec<_> =
        workers.iter_mut().map(|worker| fetches(worker, Some(store), at(0)).is_some()).collect();
    assert_eq!(fetching, [true, false, false]);
    workers[0].settle(&ok(&jwks("1")), Some(store), 0, at(0), at(0)).unwrap();
    for worker in &mut workers[1..] {
        assert_eq!(fetches(worker, Some(store), at(1)), None);
        assert!(knows(worker, "1", at(1)), "taken over");
    }
    // A set that one worker fetches for an unknown key soon serves all.
    workers[2].fetch(Some(&WANTED), at(100));
    workers[2].settle(&ok(&jwks("2")), Some(store), 0, at(100), at(100)).unwrap();
    assert_eq!(fetches(&mut workers[0], Some(store), at(102)), None);
    assert!(knows(&workers[0], "2", at(102)));
}

#[test]
fn a_gateways_own_key_is_not_taken_over_from_another_worker() {
    let store = MapStore::default();
    let now = UnixTime::from_secs(1_700_000_000);
    fixed().shared.publish(&store, stored("a", now), now);
    let key = || read_keys(jwks("b").as_bytes(), &[]).unwrap().0.keys().to_vec();
    let mut other = fixed();
    assert!(matches!(other.poll(Some(&store), 0, now), Poll::Adopted(_)));
    let mut own = fixed();
    own.exclude(key().into());
    assert!(matches!(own.poll(Some(&store), 0, now), Poll::Fetch(_)));
    assert!(own.settle(&ok(&jwks("a")), Some(&store), 0, now, now).is_err());
    assert!(own.current(now).is_none());
}

#[test]
fn a_worker_that_dies_with_the_lease_holds_nobody_up() {
    let store = MapStore::default();
    let store: &dyn SharedStore = &store;
    let [mut dying, mut other] = [fixed(), fixed()];
    dying.share(store);
    assert!(fetches(&mut dying, Some(store), at(0)).is_some());
    assert_eq!(fetches(&mut other, Some(store), at(1)), None, "leased");
    assert!(fetches(&mut other, Some(store), at(3)).is_some(), "the lease is over");
}

#[test]
fn a_store_that_cannot_be_trusted_is_not_used() {
    let head = |store: &MapStore, key: &str| {
        let value = store.0.borrow()[key].0.clone();
        value.split_inclusive(|byte| *byte == b'\n').next().unwrap().to_vec()
    };
    for (case, keep, rest) in [
        ("garbage", false, &b"\xff\n1\n2\n{}"[..]),
        ("what is for another", false, b"jwks {}\n{\"lease\":null,\"set\":null}\n"),
        ("a line that is no JSON", true, b"x\n"),
        (
            "a set that is none",
            true,
            b"{\"lease\":null,\"set\":[1800000000000,1800000600000,null]}\nx",
        ),
    ] {
        let store = MapStore::default();
        let mut keys = fixed();
        keys.share(&store);
        let key = store.0.borrow().keys().next().unwrap().clone();
        let head = if keep { head(&store, &key) } else { Vec::new() };
        store.write(&key, &[&head, rest].concat(), None);
        assert!(fetches(&mut keys, Some(&store), at(0)).is_some(), "{case}");
    }
    // Nor is a set from the future, as a clock set back would make it.
    let store = MapStore::default();
    let [mut ahead, mut behind] = [fixed(), fixed()];
    ahead.share(&store);
    ahead.fetch(None, at(5000));
    ahead.settle(&ok(&jwks("1")), Some(&store), 0, at(5000), at(5000)).unwrap();
    assert!(fetches(&mut behind, Some(&store), at(0)).is_some(), "from the future");
}

#[test]
fn discovery_leads_to_the_keys() {
    let document =
        json!({"issuer": "https://id.example", "jwks_uri": "https://id.example/k"}).to_string();
    let mut keys = discovering();
    let callout = keys.fetch(Some(&WANTED), at(0));
    assert_eq!(callout.service.name, "issuer");
    assert_eq!(callout.path, "/.well-known/openid-configuration");
    let fetched = keys.settle(&ok(&document), None, 0, at(0), at(0)).unwrap();
    assert!(matches!(fetched, Fetched::Location));
    assert_eq!(keys.look_for(&WANTED, at(0)), Lookup::Fetch, "the second half, at once");
    let callout = keys.fetch(Some(&WANTED), at(0));
    assert_eq!((callout.service.name.as_str(), callout.path.as_str()), ("keys", "/k"));
    keys.settle(&ok(&jwks("1")), None, 0, at(0), at(0)).unwrap();
    assert!(knows(&keys, "1", at(0)));
    assert_eq!(fetches(&mut keys, None, at(600)).as_deref(), Some("/k"), "found once");

    keys.settle(&failed(), None, 0, at(600), at(600)).unwrap_err();
    let again = fetches(&mut keys, None, at(601));
    assert_eq!(again.as_deref(), Some("/.well-known/openid-configuration"), "it may have moved");
    keys.settle(&ok("{}"), None, 0, at(601), at(601)).unwrap_err();
    assert!(knows(&keys, "1", at(601)), "a bad document takes no keys away");
}

/// A withdrawn key must not come back with a slow reply.
#[test]
fn a_slow_reply_replaces_nothing_newer() {
    let store = MapStore::default();
    let store: &dyn SharedStore = &store;
    let [mut slow, mut other, mut third] = [fixed(), fixed(), fixed()];
    slow.share(store);
    slow.fetch(Some(&WANTED), at(0));
    other.fetch(Some(&WANTED), at(5));
    other.settle(&ok(&jwks("new")), Some(store), 0, at(5), at(6)).unwrap();
    slow.settle(&ok(&jwks("old")), Some(store), 0, at(0), at(7)).unwrap();
    assert_eq!(fetches(&mut third, Some(store), at(8)), None);
    assert!(knows(&third, "new", at(8)), "in the store");
    assert_eq!(fetches(&mut slow, Some(store), at(8)), None);
    assert!(knows(&slow, "new", at(8)), "taken over");
    // Nor within a worker, where its set came from another one.
    slow.fetch(Some(&WANTED), at(10));
    other.fetch(Some(&WANTED), at(11));
    other.settle(&ok(&jwks("newer")), Some(store), 0, at(11), at(12)).unwrap();
    assert_eq!(fetches(&mut slow, Some(store), at(13)), None);
    assert!(knows(&slow, "newer", at(13)));
    slow.settle(&ok(&jwks("old")), Some(store), 0, at(10), at(14)).unwrap();
    assert!(knows(&slow, "newer", at(14)), "here");
    // The second of two concurrent fetches was faster.
    let mut alone = fixed();
    alone.fetch(Some(&WANTED), at(0));
    assert!(alone.settle_again(&ok(&jwks("new")), 0, at(1), at(2)).is_some());
    alone.settle(&ok(&jwks("old")), None, 0, at(0), at(3)).unwrap();
    assert!(knows(&alone, "new", at(3)), "side by side");
}

/// The age of a set fetched in the future is unknown.
#[test]
fn a_clock_that_is_set_back_extends_nothing() {
    const HOUR: i64 = 3600;
    let store = MapStore::default();
    for shared in [None, Some(&store as &dyn SharedStore)] {
        let mut keys = fixed();
        if let Some(store) = shared {
            keys.share(store);
        }
        assert!(fetches(&mut keys, shared, at(HOUR)).is_some());
        keys.settle(&ok(&jwks("withdrawn")), shared, 0, at(HOUR), at(HOUR)).unwrap();
        keys.fetch(Some(&WANTED), at(HOUR));
        assert!(!knows(&keys, "withdrawn", at(0)), "of unknown age");
        assert!(fetches(&mut keys, shared, at(0)).is_some(), "asked for at once");
        keys.settle(&ok(&jwks("2")), shared, 0, at(0), at(1)).unwrap();
        assert!(knows(&keys, "2", at(1)) && !knows(&keys, "withdrawn", at(1)));
        assert_eq!(
            keys.look_for(&WANTED, at(1)),
            Lookup::Fetch,
            "the cooldown is not an hour long"
        );
        // A failure, a lease and the result of a lookup last no longer.
        keys.fetch(None, at(2 * HOUR));
        keys.settle(&failed(), shared, 0, at(2 * HOUR), at(2 * HOUR)).unwrap_err();
        assert!(fetches(&mut keys, shared, at(HOUR)).is_some(), "the pause");
        assert!(fetches(&mut keys, shared, at(0)).is_some(), "the lease");
    }
    // A step of less than a second does not count: that is how clocks are corrected.
    let mut keys = fixed();
    keys.fetch(None, at(1));
    keys.settle(&ok(&jwks("1")), None, 0, at(1), at(1)).unwrap();
    assert!(knows(&keys, "1", at(0)));
}

#[test]
fn failed_fetches_of_workers_are_not_repeated_in_step() {
    let due = |jitter: u8| {
        let mut keys = fixed();
        keys.fetch(None, at(0));
        keys.settle(&failed(), None, jitter, at(0), at(0)).unwrap_err();
        let is_due = |millis: &i64| {
            let now = at(0).plus(Span::from_millis(u32::try_from(*millis).unwrap()));
            matches!(keys.poll(None, jitter, now), Poll::Fetch(_))
        };
        (0..2000).find(is_due).unwrap()
    };
    assert_eq!([due(0), due(255)], [1000, 900]);
}

#[test]
fn a_set_taken_over_is_current_for_as_long_as_its_issuer_says() {
    let store = MapStore::default();
    let store: &dyn SharedStore = &store;
    let [mut one, mut two] = [fixed(), fixed()];
    one.share(store);
    one.fetch(None, at(0));
    let answer = Answer {
        status: 200,
        cache_control: Some(b"max-age=60".to_vec()),
        fields: crate::http::Fields::default(),
        body: jwks("1").into(),
    };
    one.settle(&CalloutReply::Answer(answer), Some(store), 0, at(0), at(0)).unwrap();
    assert_eq!(fetches(&mut two, Some(store), at(1)), None);
    assert!(fetches(&mut two, Some(store), at(60)).is_some(), "not 600 s later");
}

/// Two endpoints that differ in any part share nothing.
#[test]
fn a_set_is_shared_by_those_who_fetch_it_in_the_same_way_only() {
    type Change = fn(&mut Service);
    let changes: [(&str, Change); 3] = [
        ("upstream", |it| it.upstream = "other".into()),
        ("authority", |it| it.authority = "other.internal".into()),
        ("scheme", |it| it.scheme = Scheme::Https),
    ];
    let changed = |name: &str, change: Option<Change>| {
        let mut service = Rc::unwrap_or_clone(service(name));
        change.into_iter().for_each(|change| change(&mut service));
        Rc::new(service)
    };
    let path = |service, path: &str| JwksEndpoint {
        service,
        ..endpoint(JwksLocation::Path(path.to_owned()))
    };
    let found = |keys, service, path: &str, issuer: &str| {
        let (path, issuer) = (path.to_owned(), crate::token::Issuer::parse(issuer).unwrap());
        JwksEndpoint {
            service: keys,
            ..endpoint(JwksLocation::Discovered { service, path, issuer })
        }
    };
    let same = || (service("keys"), service("issuer"));
    let mut endpoints = vec![
        ("a path".to_owned(), path(service("keys"), "/a")),
        ("another path".to_owned(), path(service("keys"), "/b")),
        ("discovery".to_owned(), found(same().0, same().1, "/a", "https://id.example")),
        ("its path".to_owned(), found(same().0, same().1, "/b", "https://id.example")),
        ("its issuer".to_owned(), found(same().0, same().1, "/a", "https://other.example")),
    ];
    for (part, change) in changes {
        let (keys, issuer) = (changed("keys", Some(change)), changed("issuer", Some(change)));
        endpoints.push((format!("{part}, a path"), path(Rc::clone(&keys), "/a")));
        let id = "https://id.example";
        endpoints.push((format!("{part}, found"), found(keys, same().1, "/a", id)));
        endpoints.push((format!("{part} of discovery"), found(same().0, issuer, "/a", id)));
    }
    for (case, endpoint) in &endpoints {
        let store = MapStore::default();
        SharedJwks::of(endpoint).publish(&store, stored("1", at(0)), at(0));
        for (other_case, other) in &endpoints {
            let is_found = SharedJwks::of(other).read(&store).is_some();
            assert_eq!(is_found, case == other_case, "{case}, {other_case}");
        }
        let mut renamed = Rc::unwrap_or_clone(Rc::clone(&endpoint.service));
        renamed.name = "by another name".into();
        renamed.timeout = Span::from_secs(9);
        let location = match &endpoint.location {
            JwksLocation::Path(path) => JwksLocation::Path(path.clone()),
            JwksLocation::Discovered { service, path, issuer } => JwksLocation::Discovered {
                service: Rc::clone(service),
                path: path.clone(),
                issuer: issuer.clone(),
            },
        };
        let renamed = JwksEndpoint { service: renamed.into(), ..self::endpoint(location) };
        assert!(SharedJwks::of(&renamed).read(&store).is_some(), "{case}: the name says nothing");
    }
}

#[test]
fn a_set_that_was_found_elsewhere_is_not_taken_over() {
    let store = MapStore::default();
    let store: &dyn SharedStore = &store;
    let document =
        json!({"issuer": "https://id.example", "jwks_uri": "https://id.example/new"}).to_string();
    let mut keys = discovering();
    keys.share(store);
    assert!(fetches(&mut keys, Some(store), at(0)).is_some());
    keys.settle(&ok(&document), Some(store), 0, at(0), at(0)).unwrap();
    let elsewhere = StoredSet { path: Some("/old".into()), ..stored("old", at(0)) };
    keys.shared.publish(store, elsewhere, at(0));
    let asked = fetches(&mut keys, Some(store), at(0));
    assert_eq!(asked.as_deref(), Some("/.well-known/openid-configuration"), "where is it?");
    assert!(!knows(&keys, "old", at(0)));
    keys.settle(&ok(&document), Some(store), 0, at(1), at(1)).unwrap();
    assert_eq!(keys.fetch(None, at(1)).path, "/new");
    keys.settle(&ok(&jwks("new")), Some(store), 0, at(1), at(1)).unwrap();
    let mut other = discovering();
    assert_eq!(fetches(&mut other, Some(store), at(2)), None);
    assert!(knows(&other, "new", at(2)));
}

#[test]
fn the_worker_with_the_lease_goes_on_to_the_keys_at_once() {
    let store = MapStore::default();
    let store: &dyn SharedStore = &store;
    let document =
        json!({"issuer": "https://id.example", "jwks_uri": "https://id.example/k"}).to_string();
    let [mut one, mut two] = [discovering(), discovering()];
    one.share(store);
    assert!(fetches(&mut one, Some(store), at(0)).is_some());
    one.settle(&ok(&document), Some(store), 0, at(0), at(0)).unwrap();
    assert_eq!(fetches(&mut two, Some(store), at(0)), None, "leased");
    assert_eq!(fetches(&mut one, Some(store), at(0)).as_deref(), Some("/k"));
}

#[test]
fn a_worker_waits_for_the_leases_of_others_only() {
    let service = |name: &str, seconds| {
        Rc::new(Service { timeout: Span::from_secs(seconds), ..service(name).as_ref().clone() })
    };
    let slow = |mut keys: RemoteKeys, issuer, jwks| {
        keys.endpoint.service = service("keys", jwks);
        if let JwksLocation::Discovered { service: place, .. } = &mut keys.endpoint.location {
            *place = service("issuer", issuer);
        }
        keys
    };
    // A lease lasts as long as its own fetch may.
    for (issuer, jwks, lease) in [(1, 20, 2), (20, 1, 21)] {
        let store = MapStore::default();
        let store: &dyn SharedStore = &store;
        let [mut one, mut two] = [0; 2].map(|_| slow(discovering(), issuer, jwks));
        one.share(store);
        let asked = fetches(&mut one, Some(store), at(0));
        one.settle(&failed(), Some(store), 0, at(0), at(0)).unwrap_err();
        assert_eq!(fetches(&mut one, Some(store), at(1)), asked, "after its pause");
        assert_eq!(fetches(&mut two, Some(store), at(lease)), None, "leased");
        assert_eq!(fetches(&mut two, Some(store), at(1 + lease)), asked);
    }
    let store = MapStore::default();
    let mut fixed = slow(fixed(), 0, 20);
    fixed.share(&store);
    assert!(fetches(&mut fixed, Some(&store), at(0)).is_some());
    fixed.settle(&failed(), Some(&store), 0, at(0), at(0)).unwrap_err();
    assert!(fetches(&mut fixed, Some(&store), at(1)).is_some());
}
