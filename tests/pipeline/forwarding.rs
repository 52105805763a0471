//! What issuers told one proxy is handed on to the service of the feed.

use gatepass::callout::CalloutReply;
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use crate::signals::{
    CAEP, EVENTS, LOGOUT, config, error_of, event_claims, event_token, logout_token, post, revoked,
    send,
};
use crate::support::*;

fn forwarding() -> Value {
    let mut config = config("both");
    let forward = json!({"service": "auth", "path": "/revoked"});
    put(&mut config, "/revocation/events/forward", forward);
    config
}

fn event(world: &mut World, changes: Value) -> Step {
    let event = format!("{CAEP}session-revoked");
    let body = event_token(&event_claims(&event, json!({}), changes));
    send(world, post(EVENTS, "application/secevent+jwt", &body, "Bearer of-the-stream"), &body)
}

fn logout(world: &mut World) -> Step {
    let body = format!("logout_token={}", logout_token(json!({})));
    send(world, post(LOGOUT, "application/x-www-form-urlencoded", &body, ""), &body)
}

fn no_content() -> CalloutReply {
    reply(204, b"")
}

/// It holds here at once, and the sender hears of it when the service has it.
#[test]
fn others_learn_what_one_is_told() {
    for (kind, status) in [("events", 202), ("logout", 200)] {
        for host in HOSTS {
            let mut world = World::new(&forwarding(), host);
            let token = token(json!({"iat": START - 5, "sid": "s1"}));
            world.forwarded(&token);
            let step =
                if kind == "events" { event(&mut world, json!({})) } else { logout(&mut world) };
            let (sent, waiting) = awaits(step);
            assert_eq!(world.denied(&token), revoked(), "{kind}: while the service is told");
            assert_eq!((sent.callout.method, sent.callout.path.as_str()), ("POST", "/revoked"));
            let head = sent.callout.head();
            assert!(head.contains(&("content-type", "application/json")), "{head:?}");
            let body: Value = serde_json::from_slice(sent.callout.body()).unwrap();
            let entries = body["entries"].as_array().unwrap();
            assert_eq!(entries[0]["sub"], "alice", "{kind}: {entries:?}");
            assert_eq!(entries[0]["iss"], "https://auth.example");
            assert_eq!(entries[0]["issued_before"], json!((START + 1) as f64));
            let answer = answered(world.complete(sent.id, waiting, &no_content()));
            assert_eq!((answer.status, answer.body.len()), (status, 0), "{kind}");
            let log = logged(&mut world.gateway);
            assert_eq!(log.matches(r#""event":"revoked""#).count(), 1, "{kind}: {log}");
            let metrics = world.gateway.take_metrics();
            let series = world.gateway.metrics();
            let counted =
                metrics.iter().filter(|(at, _)| series[*at].name == "gatepass_events_total");
            assert_eq!(counted.map(|(_, count)| count).sum::<u64>(), 1, "{kind}");
            // What was handed on holds in a gateway that gets it from the feed.
            let mut fed = config("both");
            put(&mut fed, "/revocation/feed", json!({"service": "auth", "path": "/feed"}));
            let mut other = World::new(&fed, host);
            other.tick(&ok(&json!({"cursor": "1", "entries": []})));
            other.forwarded(&token);
            other.pass(60);
            other.tick(&ok(&json!({"cursor": "2", "entries": entries})));
            assert_eq!(other.denied(&token), revoked(), "{kind}");
        }
    }
}

/// The sender is not told that all is well, and says it again; here it holds.
#[test]
fn what_was_not_handed_on_is_said_again() {
    for (case, reply) in [
        ("no answer", failed()),
        ("an error", reply(500, b"")),
        ("a redirect", reply(302, b"")),
        ("refused", reply(400, b"{}")),
    ] {
        let mut world = World::new(&forwarding(), ENVOY);
        let token = token(json!({"iat": START - 5, "sid": "s1"}));
        let step = event(&mut world, json!({}));
        let step = world.answer(step, &reply);
        let text = "the revocation is in force here, but could not be passed on: send it again";
        let Step::Done(Verdict::Deny(denial, answer), _) = step else { panic!("{case}: {step:?}") };
        assert_eq!(denial.code().name(), "revocation_unavailable", "{case}");
        assert_eq!(denial.to_string(), text, "{case}");
        assert_eq!(error_of(&answer, "err"), (503, "temporarily_unavailable".into()), "{case}");
        assert_eq!(world.denied(&token), revoked(), "{case}");
        let step = logout(&mut world);
        let answer = answered(world.answer(step, &reply));
        assert_eq!(error_of(&answer, "error"), (400, "temporarily_unavailable".into()), "{case}");
        let told = String::from_utf8_lossy(&answer.body);
        assert!(told.contains(&format!("revocation_unavailable: {text}")), "{case}: {told}");
        let log = logged(&mut world.gateway);
        assert!(log.contains(r#""event":"revocation_not_forwarded""#), "{case}: {log}");
        // Again, and now it works.
        for (step, status) in [(event(&mut world, json!({})), 202), (logout(&mut world), 200)] {
            assert_eq!(answered(world.answer(step, &no_content())).status, status, "{case}");
        }
    }
}

#[test]
fn nothing_is_handed_on_that_revokes_nothing() {
    let mut world = World::new(&forwarding(), ENVOY);
    let verification = "https://schemas.openid.net/secevent/ssf/event-type/verification";
    let subject = json!({"sub_id": {"format": "opaque", "id": "stream"}});
    let body = event_token(&event_claims(verification, json!({}), subject));
    let head = post(EVENTS, "application/secevent+jwt", &body, "Bearer of-the-stream");
    assert_eq!(answered(send(&mut world, head, &body)).status, 202);
    assert_eq!(world.gateway.in_flight(), 0);
}

/// Alone it is for logouts.
#[test]
fn without_transmitters_logouts_are_handed_on() {
    let mut config = config("both");
    let forward = json!({"forward": {"service": "auth", "path": "/revoked"}});
    put(&mut config, "/revocation/events", forward);
    let mut world = World::new(&config, ENVOY);
    let step = logout(&mut world);
    assert_eq!(answered(world.answer(step, &no_content())).status, 200);
    let step = event(&mut world, json!({}));
    assert_eq!(denied(step), denial(401, "token_malformed"), "a path like any other");
}

/// How much is known, and how old it is.
#[test]
fn the_ledger_is_measured() {
    let gauges = |world: &mut World| {
        let series = world.gateway.metrics();
        let samples = world.gateway.take_metrics();
        let value = |name: &str| {
            let at = series.iter().position(|series| series.name == name)?;
            samples.iter().rev().find(|(position, _)| *position == at).map(|(_, value)| *value)
        };
        (value("gatepass_revocation_entries"), value("gatepass_revocation_age_seconds"))
    };
    let mut world = World::new(&config("both"), ENVOY);
    world.tick(&failed());
    assert_eq!(gauges(&mut world), (Some(0), None), "no feed, no age");
    answered(logout(&mut world));
    world.tick(&failed());
    assert_eq!(gauges(&mut world).0, Some(2), "sub and sid");
    let mut config = config("both");
    put(&mut config, "/revocation/feed", json!({"service": "auth", "path": "/feed"}));
    let mut world = World::new(&config, ENVOY);
    world.tick(&failed());
    world.pass(40);
    world.tick(&failed());
    assert_eq!(gauges(&mut world), (Some(0), Some(40)), "never read, since the start");
    world.pass(60);
    world.tick(&ok(&json!({"cursor": "1", "entries": [{"sub": "bob"}, {"sid": "s"}]})));
    world.pass(3);
    world.tick(&failed());
    assert_eq!(gauges(&mut world), (Some(2), Some(3)));
    world.gateway.retire();
    assert_eq!(gauges(&mut world).1, Some(0), "nobody is to be paged for it");
}
