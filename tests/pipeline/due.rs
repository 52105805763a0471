//! When the gateway wants to be asked again: a door may sleep until then.

use gatepass::callout::CalloutReply;
use gatepass::time::{Span, UnixTime};
use serde_json::{Value, json};

use crate::support::{ENVOY, KEY_A, START, failed, gateway, ok, remote, reply};

/// A provider whose keys are fetched, and a feed of revoked tokens.
fn configuration() -> Value {
    remote([(
        "/revocation",
        json!({"feed": {"service": "auth", "path": "/revoked", "poll_seconds": 7}}),
    )])
}

/// What a service says to its callout of this number; `None`: it never answers.
fn answer(path: &str, number: usize) -> Option<CalloutReply> {
    match number % 5 {
        0 => None,
        1 | 2 => Some(reply(503, b"")),
        _ if path.starts_with("/revoked") => Some(ok(&json!({"entries": [], "cursor": "1"}))),
        _ => Some(ok(&json!({"keys": [KEY_A.jwk("a")]}))),
    }
}

/// What is sent in an hour, and when, by a door that asks every 100 ms or, if it
/// `sleeps`, only when the gateway is due. The clock is set back once.
fn sent_by(sleeps: bool) -> (Vec<(i64, String)>, usize) {
    let mut gateway = gateway(&configuration(), ENVOY);
    let (mut sent, mut ticks) = (Vec::new(), 0);
    let mut due = UnixTime::from_secs(START);
    for step in 0..36_000 {
        let set_back = if step > 20_000 { 500_000 } else { 0 };
        let now = UnixTime::from_millis(START * 1000 + step * 100 - set_back);
        // A door notices that the clock was set back.
        if sleeps && now < due && step != 20_001 {
            continue;
        }
        ticks += 1;
        let tick = gateway.tick(now);
        for id in tick.overdue {
            gateway.complete(id, &failed(), now);
        }
        for dispatch in tick.send {
            let path = dispatch.callout.path;
            if let Some(reply) = answer(&path, sent.len()) {
                gateway.complete(dispatch.id, &reply, now);
            }
            sent.push((step, path));
        }
        due = gateway.due_at(now);
        assert!(due >= now && due <= now.plus(Span::from_secs(1)), "{due} at {now}");
    }
    (sent, ticks)
}

#[test]
fn a_door_may_sleep_until_the_gateway_is_due() {
    let (expected, all) = sent_by(false);
    let (sent, ticks) = sent_by(true);
    assert!(sent.len() > 300, "{}", sent.len());
    assert_eq!(sent, expected);
    assert!(ticks < all / 5, "it slept: {ticks} of {all}");
}
