//! How far requests come: what `explain` and whoever reads a trace is told.

use gatepass::event::Stage;
use gatepass::http::RequestHead;
use gatepass::pipeline::Step;
use serde_json::{Value, json};

use crate::support::*;

/// The stage that a request is at, whether it waits, passes or is denied.
fn stage(step: &Step) -> Stage {
    match step {
        Step::Wait(_, waiting) | Step::Join(waiting) => waiting.trace().stage,
        Step::Receive(submission) => submission.trace().stage,
        Step::Done(_, trace) => trace.stage,
    }
}

fn get(path: &str, token: Option<&str>) -> RequestHead {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let fields = [(":path", path)].into_iter();
    head(&fields.chain(bearer.as_deref().map(|it| ("authorization", it))).collect::<Vec<_>>())
}

#[test]
fn without_a_callout() {
    let config = local([
        (
            "/rules",
            json!([
                {"match": {"path": "/open"}, "bypass": true},
                {"match": {"path": "/shop"}, "requires": {"allow_missing": true}},
                {"match": {"path": "/admin"}, "requires": {"scopes_any": ["admin"]}},
            ]),
        ),
        ("/consumers", json!({"entries": [{"key": "web"}]})),
    ]);
    let (alice, old) = (alice(), token(json!({"exp": START - 3600})));
    let nobody = token(json!({"azp": "nobody"}));
    for (path, token, expected) in [
        (JWKS_PATH, None, Stage::Head),
        ("/open", None, Stage::Rule),
        ("/a//b", None, Stage::Rule),
        ("/shop", None, Stage::Token),
        ("/", None, Stage::Token),
        ("/", Some(&old), Stage::Verify),
        ("/", Some(&nobody), Stage::Consumer),
        ("/admin", Some(&alice), Stage::Authorize),
        ("/", Some(&alice), Stage::Mint),
    ] {
        for host in HOSTS {
            let mut world = World::new(&config, host);
            // What is cached the second time is told alike.
            for _ in 0..2 {
                let step = world.begin(get(path, token.map(String::as_str)));
                assert_eq!(stage(&step), expected, "{path}");
            }
        }
    }
}

#[test]
fn with_a_user_service() {
    let rules = json!([{"match": {}, "requires": {"claims": {"type": ["premium"]}}}]);
    let config = with_users([("/rules", rules)]);
    let user = |kind: &str| ok(&json!({"sub": "alice", "type": kind}));
    for (reply, expected) in [
        (ok(&json!({"sub": "mallory"})), Stage::UserInfo),
        (user("basic"), Stage::AuthorizeUser),
        (user("premium"), Stage::Mint),
    ] {
        for host in HOSTS {
            let mut world = World::new(&config, host);
            let step = world.get(&alice());
            assert_eq!(stage(&step), Stage::UserInfo);
            let step = world.answer(step, &reply);
            assert_eq!(stage(&step), expected);
        }
    }
    // A claim that the service is asked by is missed there, any other before.
    let asked = with_users([("/user_info/path", json!("/users/{tenant}"))]);
    let needed = local([("/providers/shop/required_claims", json!({"tenant": ["acme"]}))]);
    for (config, expected) in [(asked, Stage::UserInfo), (needed, Stage::Verify)] {
        let step = World::new(&config, ENVOY).get(&alice());
        assert_eq!(stage(&step), expected);
        denied(step);
    }
}

#[test]
fn with_a_list_of_revoked_tokens() {
    let feed: Value = json!({"feed": {"service": "auth", "path": "/revoked"}});
    for host in HOSTS {
        let mut world = World::new(&local([("/revocation", feed.clone())]), host);
        let step = world.get(&alice());
        assert_eq!(stage(&step), Stage::Revocation);
        let revoked = json!({"cursor": "1", "entries": [{"sub": "alice"}]});
        let step = world.answer(step, &ok(&revoked));
        assert_eq!(stage(&step), Stage::Revocation);
        denied(step);
    }
}
