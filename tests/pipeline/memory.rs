//! What clients and services can make the gateway remember or send is bounded in
//! bytes.

use gatepass::pipeline::Step;
use serde_json::{Value, json};

use crate::counted::held;
use crate::support::*;

fn references<const N: usize>(edits: [(&str, Value); N]) -> Value {
    let mut config = local([(
        "/providers/shop/introspection",
        json!({
            "service": "auth", "path": "/introspect", "client_id": "gate", "client_secret": "s3cret",
            "cache": {"ttl_seconds": 300, "negative_ttl_seconds": 300},
        }),
    )]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value);
    }
    config
}

/// A token of 8 kB that says nothing.
fn reference(number: usize) -> String {
    format!("{number:08}").repeat(1000)
}

/// How many of these tokens are known without asking.
fn remembered(world: &mut World, tokens: impl Iterator<Item = String>) -> usize {
    let mut known = 0;
    for token in tokens {
        match world.get(&token) {
            Step::Wait(sent, _) => {
                let now = world.now();
                world.gateway.complete(sent.id, &failed(), now).unwrap();
            }
            Step::Done(..) => known += 1,
            step => panic!("{step:?}"),
        }
    }
    known
}

#[test]
fn refused_references_have_a_small_place_of_their_own() {
    let limits = ("/limits", json!({"token_cache_bytes": 1_048_576}));
    let mut world = World::new(&references([limits]), ENVOY);
    world.forwarded(&alice());
    let step = world.get("good");
    forwarded(world.answer(step, &ok(&claims(json!({"active": true})))));
    for number in 0..1000 {
        let step = world.get(&reference(number));
        assert_eq!(
            denied(world.answer(step, &ok(&json!({"active": false})))),
            denial(401, "token_inactive")
        );
    }
    world.forwarded(&alice());
    world.forwarded("good");
    let known = remembered(&mut world, (0..1000).map(reference));
    assert!((100..=130).contains(&known), "{known} of 8 kB in 1 MiB");
}

#[test]
fn references_that_are_accepted_make_room_for_others() {
    let limits = ("/limits", json!({"token_cache_bytes": 1_048_576}));
    let mut world = World::new(&references([limits]), ENVOY);
    let jwt = field(&world.forwarded(&alice()), "x-identity-token");
    for number in 0..200 {
        let step = world.get(&format!("reference-{number}"));
        // A token of a few bytes, about which much is said.
        let said = claims(json!({"active": true, "roles": vec!["x".repeat(100); 200]}));
        forwarded(world.answer(step, &ok(&said)));
    }
    let known = remembered(&mut world, (0..200).map(|number| format!("reference-{number}")));
    assert!((10..160).contains(&known), "{known} of 8 to 33 kB in 1 MiB");
    assert_eq!(field(&world.forwarded(&alice()), "x-identity-token"), jwt, "and for no JWT");
}

#[test]
fn what_is_known_of_users_is_bounded() {
    let config = with_users([("/user_info/cache", json!({"max_bytes": 1_048_576}))]);
    let mut world = World::new(&config, ENVOY);
    let of_user = |number: usize, jti: &str| {
        token(json!({"sub": format!("user-{number}"), "jti": format!("{number} {jti}")}))
    };
    for number in 0..400 {
        let step = world.get(&of_user(number, "first"));
        let user = json!({"sub": format!("user-{number}"), "type": "x".repeat(4000)});
        forwarded(world.answer(step, &ok(&user)));
    }
    let known = remembered(&mut world, (0..400).map(|number| of_user(number, "second")));
    assert!((200..=260).contains(&known), "{known} of 4 kB in 1 MiB");
}

/// A login is a name and a password; what is large is somebody else's.
#[test]
fn large_bodies_leave_room_for_small_ones_and_one_alone_always_has_it() {
    let config = local([
        ("/limits", json!({"max_login_bytes": 16_777_216})),
        (
            "/sealed_tokens",
            json!({
                "keys": [SEAL_KEY],
                "logins": [{"match": {"path": "/login"}, "service": "auth", "json": ["/access_token"]}],
            }),
        ),
    ]);
    let login = |world: &mut World, bytes: usize| {
        let length = bytes.to_string();
        let fields = [(":method", "POST"), (":path", "/login"), ("content-length", &*length)];
        let Step::Receive(submission) = world.begin(head(&fields)) else {
            panic!("no body wanted")
        };
        let now = world.now();
        world.gateway.submit(submission, Some(vec![b'x'; bytes]), now)
    };
    let mut world = World::new(&config, ENVOY);
    let large = (0..100).take_while(|_| matches!(login(&mut world, 262_144), Step::Wait(..)));
    assert_eq!(large.count(), 32, "8 MiB");
    let small = (0..1000).take_while(|_| matches!(login(&mut world, 16_384), Step::Wait(..)));
    assert_eq!(small.count(), 512, "8 MiB");

    let mut world = World::new(&config, ENVOY);
    awaits(login(&mut world, 16_777_216));
    awaits(login(&mut world, 100));
    assert_eq!(denied(login(&mut world, 16_777_216)), denial(503, "login_unavailable"));
}

/// Services answer 431 to a request whose headers are too large.
#[test]
fn an_identity_that_services_would_refuse_is_not_sent() {
    let user = |length: usize| ok(&json!({"sub": "alice", "type": "x".repeat(length)}));
    for (length, limit, passes) in
        [(4500, 7168, true), (6000, 7168, false), (200_000, 7168, false), (200_000, 300_000, true)]
    {
        let config = with_users([("/limits", json!({"max_identity_bytes": limit}))]);
        let mut world = World::new(&config, ENVOY);
        let step = world.get(&alice());
        let step = world.answer(step, &user(length));
        if passes {
            let identity = field(&forwarded(step), "x-identity-token").unwrap();
            assert!(identity.len() < limit);
            continue;
        }
        assert_eq!(denied(step), denial(503, "identity_unavailable"), "{length}");
        let log: Vec<_> = world.gateway.take_log().iter().map(ToString::to_string).collect();
        let says = |line: &String| {
            line.contains("max_identity_bytes (7168)") && line.contains("bytes, more than")
        };
        assert!(log.iter().any(says), "{log:?}");
    }
    // The limit is for all headers together.
    let mut config = with_users([("/limits", json!({"max_identity_bytes": 7168}))]);
    config["claim_to_headers"] = json!([{"header": "x-type", "claim": ["type"], "format": "text"}]);
    let mut world = World::new(&config, ENVOY);
    let step = world.get(&alice());
    assert_eq!(denied(world.answer(step, &user(4500))), denial(503, "identity_unavailable"));
}

/// What `max_entries` costs: the manual says 0.6 kB for each in a worker, whatever the
/// entry says, and nothing beyond.
#[test]
fn a_revocation_takes_what_the_readme_says() {
    const PAGE: usize = 1000;
    const ENTRIES: usize = 20 * PAGE;
    let feed = json!({"feed": {"service": "auth", "path": "/feed"}, "max_entries": ENTRIES});
    let mut world = World::new(&local([("/revocation", feed)]), ENVOY);
    let mut took = Vec::new();
    for pages in 1..=ENTRIES / PAGE {
        let entry = |number: usize| {
            json!({
                "sub": format!("5c0c8b1e-9f0d-4a36-8d0e-{:012}", pages * PAGE + number),
                "iss": "https://auth.shop.example",
                "issued_before": START, "until": START + 86_400,
            })
        };
        let entries: Vec<_> = (0..PAGE).map(entry).collect();
        let page = ok(&json!({"cursor": pages.to_string(), "entries": entries}));
        let before = held();
        assert_eq!(world.tick(&page), 1);
        took.push(held() - before);
        world.pass(60);
    }
    let each = took.iter().sum::<usize>() / ENTRIES;
    println!("{each} bytes for each revocation");
    assert!((200..=600).contains(&each), "{each} bytes for each revocation");
}

/// The gauges of the caches; what did not change is not told again.
fn cache_bytes(world: &mut World) -> [Option<u64>; 3] {
    world.tick(&failed());
    taken(world)
}

fn taken(world: &mut World) -> [Option<u64>; 3] {
    let series = world.gateway.metrics();
    let samples = world.gateway.take_metrics();
    ["token", "introspection", "user_info"].map(|cache| {
        let label = ("cache", cache.to_owned());
        let at = series.iter().position(|series| {
            series.name == "gatepass_cache_bytes" && series.labels.contains(&label)
        });
        samples.iter().find(|(position, _)| Some(*position) == at).map(|(_, value)| *value)
    })
}

/// What a gateway's caches tell of so many users, each with a token of its own, and what
/// is given back when it ends.
fn told_and_took(config: &Value, is_reference: bool, users: usize) -> (usize, usize) {
    let mut world = World::new(config, ENVOY);
    for number in 0..users {
        let subject = format!("user-{number}");
        let mut reply = json!({"sub": subject, "address": {"country": "ES"}, "active": true});
        CLAIMS.for_each(|number| reply[format!("claim_{number}")] = json!("some text"));
        let (token, reply) = if is_reference {
            (subject, claims(reply))
        } else {
            (token(json!({"sub": subject, "jti": number.to_string()})), reply)
        };
        let step = world.get(&token);
        let waits = matches!(step, Step::Wait(..));
        forwarded(if waits { world.answer(step, &ok(&reply)) } else { step });
    }
    let told: u64 = cache_bytes(&mut world).into_iter().flatten().sum();
    let (next, before) = (gateway(config, ENVOY), held());
    world.gateway = next;
    (usize::try_from(told).unwrap(), before.saturating_sub(held()))
}

const CLAIMS: std::ops::Range<usize> = 0..30;

/// The limits in bytes are of what the caches take: a worker needs no more.
#[test]
fn the_caches_take_what_they_tell() {
    let few = json!({"country": "/address/country"});
    let many = CLAIMS.map(|it| (format!("claim_{it}"), json!(format!("/claim_{it}")))).collect();
    let users = |claims: Value| with_users([("/user_info/claims", claims)]);
    for (what, config) in [
        ("tokens", local([])),
        ("tokens, few claims of users", users(few)),
        ("tokens, many claims of users", users(many)),
        ("reference tokens", references([])),
    ] {
        let is_reference = what == "reference tokens";
        let (_, empty) = told_and_took(&config, is_reference, 0);
        let (told, took) = told_and_took(&config, is_reference, 1000);
        let (told, took) = (told / 1000, (took - empty) / 1000);
        println!("{what}: {took} bytes each, told {told}");
        // More is told of claims that are dropped, and of users: what is known of them counts
        // in its cache and in the identity made of it.
        assert!((took * 9 / 10..took * 2).contains(&told), "{what}: {took}, told {told}");
    }
}

/// The claims of a user's token.
type Claims<'a> = &'a dyn Fn(usize) -> Value;

/// Neither what tokens grant nor the headers that services get are the same for many users,
/// if an issuer or a client sees to it.
#[test]
fn tokens_that_share_nothing_take_no_more_than_they_tell() {
    const USERS: usize = 100;
    let list = |number: usize| (0..100).map(|it| format!("{number}-{it}")).collect::<Vec<_>>();
    let audiences = |number: usize| {
        let others = list(number).into_iter();
        json!({"aud": others.chain(["shop-api".to_owned()]).collect::<Vec<_>>()})
    };
    let scopes = |number: usize| json!({"scope": list(number).join(" ")});
    let clients = |number: usize| json!({"azp": format!("{number:01000}")});
    let names = |number: usize| match number % 2 {
        0 => json!({}),
        _ => json!({"preferred_username": "user"}),
    };
    let nothing = |_: usize| json!({});
    let rule = |service: usize| {
        let identity = json!({"header": format!("x-service-{service}")});
        json!({"match": {"path": format!("/{service}")}, "identity": identity})
    };
    let rules = (0..8).map(rule).collect::<Vec<_>>();
    let bound = ("/identity_token/scopes", json!(["read"]));
    let cases: [(&str, Value, Claims<'_>); 5] = [
        ("audiences", local([]), &audiences),
        ("scopes", local([bound]), &scopes),
        ("clients", local([]), &clients),
        ("headers that are not always there", local([]), &names),
        ("a header for each service", local([("/rules", json!(rules))]), &nothing),
    ];
    for (what, config, changes) in cases {
        let measure = |users: usize| {
            let mut world = World::new(&config, ENVOY);
            for number in 0..users {
                let mut claims = changes(number);
                claims["sub"] = json!(format!("user-{number}"));
                let bearer = format!("Bearer {}", token(claims));
                for service in 0..8 {
                    let path = format!("/{service}");
                    let step = world.begin(head(&[(":path", &path), ("authorization", &bearer)]));
                    forwarded(step);
                }
            }
            let told: u64 = cache_bytes(&mut world).into_iter().flatten().sum();
            let (next, before) = (gateway(&config, ENVOY), held());
            world.gateway = next;
            (usize::try_from(told).unwrap(), before.saturating_sub(held()))
        };
        let ((_, empty), (told, took)) = (measure(0), measure(USERS));
        let (told, took) = (told / USERS, took.saturating_sub(empty) / USERS);
        println!("{what}: {took} bytes each, told {told}");
        assert!((took * 9 / 10..took * 2).contains(&told), "{what}: {took}, told {told}");
    }
}

#[test]
fn the_caches_are_measured() {
    let mut world = World::new(&with_users([]), ENVOY);
    assert_eq!(cache_bytes(&mut world), [Some(0); 3]);
    let step = world.get(&alice());
    forwarded(world.answer(step, &ok(&json!({"sub": "alice"}))));
    let [token, introspection, user_info] = cache_bytes(&mut world);
    assert!(token.is_some_and(|bytes| (800..2000).contains(&bytes)), "{token:?}");
    assert!(user_info.is_some_and(|bytes| (100..1000).contains(&bytes)), "{user_info:?}");
    assert_eq!(introspection, None, "not used");
    world.gateway.retire();
    let [token, _, user_info] = taken(&mut world);
    assert_eq!((token, user_info), (Some(0), Some(0)), "nothing is left of a retired gateway");

    let mut world = World::new(&references([]), ENVOY);
    cache_bytes(&mut world);
    let step = world.get("opaque");
    forwarded(world.answer(step, &ok(&claims(json!({"active": true})))));
    let [token, introspection, user_info] = cache_bytes(&mut world);
    assert!(introspection.is_some_and(|bytes| bytes > 500), "{introspection:?}");
    assert_eq!((token, user_info), (None, None));
}
