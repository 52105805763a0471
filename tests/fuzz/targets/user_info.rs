//! Replies of the user-info service, and the headers that come of them.

use arbitrary::Unstructured;
use gatepass::callout::{Answer, CalloutReply};
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::shapes::{below, bytes, change, one_of, rarely, text, value, written};
use super::support::{HOSTS, World, alice, awaits, failed, with_users};

const TEXTS: [&str; 16] = [
    "alice",
    "Alice",
    "alice ",
    "bob",
    "ES",
    "a\r\nx-admin: 1",
    "a\u{85}b",
    "\u{560a}",
    "é",
    "%",
    "a,b",
    " ",
    "",
    "sub",
    "country",
    "\u{7f}",
];

fn reply(u: &mut Unstructured<'_>) -> (CalloutReply, Option<Value>) {
    if rarely(u, 30) {
        return (failed(), None);
    }
    let status = match below(u, 8) {
        0..5 => 200,
        5 => *one_of(u, &[201, 204, 299, 404, 410, 301, 500, 0, 100, 65535]),
        _ => u.arbitrary().unwrap_or(200),
    };
    let body = match below(u, 6) {
        0 => bytes(u, 300),
        1 => value(u, 4, &TEXTS).to_string().into_bytes(),
        _ => {
            let mut user = json!({"sub": "alice", "type": "gold", "address": {"country": "ES"}});
            change(u, &mut user, &["sub", "type", "address", "name", "preferred_username"], &TEXTS);
            if rarely(u, 3) {
                user["address"] = json!({ "country": text(u) });
            }
            written(u, &user)
        }
    };
    let cache_control = rarely(u, 4).then(|| {
        let known = [&b"max-age=60"[..], b"no-store", b"max-age=99999999999", b"\xFF", b"max-age="];
        let mut value = one_of(u, &known).to_vec();
        value.extend(bytes(u, 10));
        value
    });
    let object = (200..300)
        .contains(&status)
        .then(|| serde_json::from_slice::<Value>(&body).ok().filter(Value::is_object));
    (
        CalloutReply::Answer(Answer {
            status,
            cache_control,
            body,
            fields: gatepass::http::Fields::default(),
        }),
        object.flatten(),
    )
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let config = with_users([
        ("/user_info/required", json!(["country"])),
        (
            "/claim_to_headers",
            json!([
                {"header": "x-country", "claim": "country"},
                {"header": "x-type", "claim": "type",
                    "format": *one_of(u, &["text", "csv", "json", "json_base64"])},
            ]),
        ),
    ]);
    let mut world = World::new(&config, *one_of(u, &HOSTS));
    let mut is_known = false;
    for _ in 0..2 {
        let (reply, object) = reply(u);
        let step = match world.get(&alice()) {
            step @ Step::Done(..) => step,
            step => {
                let (sent, waiting) = awaits(step);
                let step = world.complete(sent.id, waiting, &reply);
                let is_about_alice = object.as_ref().is_some_and(|user| {
                    user.get("sub").is_none_or(|sub| *sub == "alice")
                        && user.pointer("/address/country").is_some_and(|it| !it.is_null())
                });
                // What was known before serves while the service fails.
                let passes = matches!(step, Step::Done(Verdict::Forward(_), _));
                assert!(!passes || is_about_alice || is_known, "{object:?}");
                is_known |= passes;
                step
            }
        };
        let Step::Done(verdict, _) = step else { panic!("a request waits once: {step:?}") };
        match verdict {
            Verdict::Forward(edits) => {
                let mut names: Vec<_> = edits.set().iter().map(|(name, _)| name.as_str()).collect();
                names.sort_unstable();
                names.dedup();
                assert_eq!(names.len(), edits.set().len(), "each once: {names:?}");
                for (name, value) in edits.set().iter() {
                    let is_fine = |byte: &u8| (0x20..0x7F).contains(byte);
                    assert!(!value.is_empty() && value.iter().all(is_fine), "{name}: {value:?}");
                    assert_eq!(value.trim_ascii(), value, "{name}");
                }
                let identity = world.identity(&edits);
                assert_eq!(identity["sub"], "alice");
                assert_eq!(identity["iss"], "https://gateway.internal");
            }
            Verdict::Answer(reply) => panic!("{reply:?}"),
            Verdict::Deny(_, reply) => assert!([403, 503].contains(&reply.status), "{reply:?}"),
        }
        world.pass([0, 5, 61, 400][below(u, 4)]);
    }
}
