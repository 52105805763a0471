//! What an issuer says of a reference token (RFC 7662), and for how long that is
//! kept.

use arbitrary::Unstructured;
use gatepass::callout::{Answer, CalloutReply};
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::claims::are_acceptable;
use super::shapes::{below, bytes, change, one_of, present, rarely, value, written};
use super::support::{HOSTS, START, World, claims, failed, field, local};

const REFERENCE: &str = "tGzv3JOkF0XG5Qx2TlKWIA";

/// How long answers are kept, in seconds.
const TTL: i64 = 30;
const NEGATIVE_TTL: i64 = 5;

const MEMBERS: [&str; 11] =
    ["active", "iss", "aud", "sub", "exp", "nbf", "iat", "cnf", "scope", "token_type", "username"];
const TEXTS: [&str; 12] = [
    "true",
    "active",
    "https://auth.example",
    "https://auth.example/",
    "https://gateway.internal",
    "shop-api",
    "services",
    "alice",
    "",
    "a\r\nb",
    "sub",
    "bearer",
];

/// What a reply says, as somebody else reads it.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Nothing,
    Inactive,
    Active(Value),
}

impl Said {
    fn read(status: u16, body: &[u8]) -> Self {
        let object = serde_json::from_slice::<Value>(body).ok().filter(Value::is_object);
        let object = object.map(present);
        match object.filter(|_| status == 200) {
            Some(object) if object["active"] == json!(true) => Self::Active(object),
            Some(object) if object["active"] == json!(false) => Self::Inactive,
            _ => Self::Nothing,
        }
    }

    /// Whether a token of which this is said may pass.
    fn may_pass(&self, requires_issuer: bool) -> bool {
        let Self::Active(claims) = self else { return false };
        let mut claims = claims.clone();
        if !requires_issuer && claims.get("iss").is_none() {
            claims["iss"] = json!("https://auth.example");
        }
        are_acceptable(&claims)
    }
}

fn good() -> Value {
    claims(json!({"active": true}))
}

fn reply(u: &mut Unstructured<'_>) -> (CalloutReply, Said, bool) {
    if rarely(u, 20) {
        return (failed(), Said::Nothing, false);
    }
    let status = if rarely(u, 5) { u.arbitrary().unwrap_or(200) } else { 200 };
    let mut object = good();
    let body = match below(u, 6) {
        0 => bytes(u, 300),
        1 => value(u, 4, &TEXTS).to_string().into_bytes(),
        2 => br#"{"active":false}"#.to_vec(),
        _ => {
            change(u, &mut object, &MEMBERS, &TEXTS);
            written(u, &object)
        }
    };
    let is_good = status == 200 && body == good().to_string().into_bytes();
    let said = Said::read(status, &body);
    let cache_control = rarely(u, 4).then(|| b"no-store".to_vec());
    let answer = Answer { status, cache_control, body, fields: gatepass::http::Fields::default() };
    (CalloutReply::Answer(answer), said, is_good)
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let requires_issuer = !rarely(u, 3);
    let config = local([(
        "/providers/shop/introspection",
        json!({
            "service": "auth", "path": "/introspect",
            "client_id": "gate", "client_secret": "a secret of the gateway's own",
            "require_issuer": requires_issuer,
            "cache": {"ttl_seconds": TTL, "negative_ttl_seconds": NEGATIVE_TTL, "max_entries": 2},
        }),
    )]);
    let mut world = World::new(&config, *one_of(u, &HOSTS));
    // What was decided last, and when.
    let mut known: Option<(bool, i64)> = None;
    for _ in 0..5 {
        if rarely(u, 4) {
            // Others come and go, and may push this one out.
            let other = *one_of(u, &["another-reference", "one-more-reference"]);
            let _ = world.get(other);
        }
        let now = world.now().as_secs();
        let (step, said) = match world.get(REFERENCE) {
            step @ Step::Done(..) => {
                let (passes, at) = known.expect("what is known was said");
                let kept = if passes { TTL } else { NEGATIVE_TTL };
                assert!((at..at + kept).contains(&now), "kept from {at} to {now}");
                assert_eq!(matches!(step, Step::Done(Verdict::Forward(_), _)), passes);
                (step, None)
            }
            step => {
                let (reply, said, is_good) = reply(u);
                let step = world.answer(step, &reply);
                let passes = matches!(step, Step::Done(Verdict::Forward(_), _));
                assert!(!passes || said.may_pass(requires_issuer), "{said:?}");
                assert!(passes || !is_good || now != START, "a good one was refused: {step:?}");
                known = (said != Said::Nothing).then_some((passes, now));
                (step, Some(said))
            }
        };
        match step {
            Step::Done(Verdict::Forward(edits), _) => {
                let text = field(&edits, "x-identity-token").expect("an identity token");
                let identity = world.verify_identity(&text);
                assert!(identity.get("active").is_none(), "the answer's own member");
                assert!(identity["exp"].as_i64().unwrap() <= now + 300);
                if let Some(Said::Active(claims)) = said {
                    assert_eq!(identity["sub"], claims["sub"]);
                }
            }
            Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
                // What says nothing of the token says nothing against it. What
                // another reader takes for an answer may be none here.
                assert!([401, 503].contains(&reply.status), "{}", reply.status);
                if said == Some(Said::Nothing) {
                    assert_eq!(reply.status, 503);
                }
                if reply.status == 503 {
                    known = None;
                }
            }
            step => panic!("a request waits once: {step:?}"),
        }
        world.pass([0, 4, 5, 29, 30, 400, -100][below(u, 7)]);
    }
}
