//! Tokens with changed headers and claims, signed again, and changed after that.

use arbitrary::Unstructured;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use gatepass::pipeline::Step;
use gatepass::verdict::Verdict;
use serde_json::{Value, json};

use super::claims::are_acceptable;
use super::shapes::{below, bytes, change, one_of, present, rarely, written};
use super::support::{ENVOY, KEY_A, KEY_B, START, World, claims, local};

const HEADER: [&str; 12] =
    ["alg", "kid", "typ", "crit", "b64", "jwk", "jku", "x5u", "x5c", "cty", "enc", "zip"];
const CLAIMS: [&str; 10] = ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "cnf", "scope", "azp"];
const TEXTS: [&str; 24] = [
    "EdDSA",
    "Ed25519",
    "none",
    "None",
    "HS256",
    "ES256",
    "a",
    "b",
    "JWT",
    "jwt",
    "at+jwt",
    "application/at+jwt",
    "identity+jwt",
    "txntoken+jwt",
    "https://auth.example",
    "https://auth.example/",
    "https://gateway.internal",
    "shop-api",
    "shop-web",
    "services",
    "alice",
    "",
    "exp",
    "keys",
];

/// What RFC 7519 and the configuration ask for, read by somebody else.
fn is_acceptable(token: &str) -> bool {
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        return false;
    };
    let decode = |part: &str| BASE64URL.decode(part).ok();
    let object = |part: &str| serde_json::from_slice::<Value>(&decode(part)?).ok();
    let (Some(header_members), Some(claims)) = (object(header), object(payload)) else {
        return false;
    };
    // These mean something whatever they are.
    let marks = ["crit", "b64", "enc", "zip", "cty"];
    let has_none = marks.iter().all(|name| header_members.get(name).is_none());
    let (header_members, claims) = (present(header_members), present(claims));
    let input = format!("{header}.{payload}");
    let public = BASE64URL.decode(KEY_A.jwk("a")["x"].as_str().unwrap()).unwrap();
    let is_signed = decode(signature).is_some_and(|signature| {
        UnparsedPublicKey::new(&ED25519, public).verify(input.as_bytes(), &signature).is_ok()
    });
    let typ = header_members["typ"].as_str().map(str::to_ascii_lowercase);
    let typ = typ.as_deref().map(|typ| typ.strip_prefix("application/").unwrap_or(typ));
    is_signed
        && header_members.is_object()
        && (header_members["alg"] == "EdDSA" || header_members["alg"] == "Ed25519")
        && (header_members["kid"] == "a" || header_members.get("kid").is_none())
        && (matches!(typ, Some("jwt" | "at+jwt")) || header_members.get("typ").is_none())
        && has_none
        && are_acceptable(&claims)
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let mut header = json!({"alg": "EdDSA", "kid": "a", "typ": "JWT"});
    change(u, &mut header, &HEADER, &TEXTS);
    let mut payload = claims(json!({}));
    change(u, &mut payload, &CLAIMS, &TEXTS);
    let key = if rarely(u, 8) { &KEY_B } else { &KEY_A };
    let (header, payload) = (written(u, &header), written(u, &payload));
    let mut token = key.sign(&header, &payload).into_bytes();
    let good = json!({"alg": "EdDSA", "kid": "a", "typ": "JWT"}).to_string();
    let good = KEY_A.sign(good.as_bytes(), claims(json!({})).to_string().as_bytes());
    while rarely(u, 4) {
        let at = below(u, token.len() + 1);
        match below(u, 5) {
            0 => token.truncate(at),
            1 => token.insert(at, *one_of(u, b".=-_ +/\0\xFF")),
            2 => drop(token.splice(at..at, bytes(u, 8))),
            3 => token.rotate_left(at),
            _ => {
                if let Some(byte) = token.get_mut(at) {
                    *byte ^= 1 << below(u, 8);
                }
            }
        }
    }
    let value = [b"Bearer ", token.as_slice()].concat();
    let mut world = World::new(&local([]), ENVOY);
    // Twice: the second answer may come from what was remembered.
    for _ in 0..2 {
        match world.begin(super::support::head_with(&value)) {
            Step::Done(Verdict::Forward(edits), _) => {
                let text = std::str::from_utf8(token.trim_ascii()).expect("a token is text");
                assert!(is_acceptable(text), "accepted: {text}");
                let identity = world.identity(&edits);
                let end = identity["exp"].as_i64().unwrap();
                assert!(end <= START + 300, "no longer than its own life");
            }
            Step::Done(Verdict::Deny(_, reply) | Verdict::Answer(reply), _) => {
                assert!([400, 401].contains(&reply.status), "{}", reply.status);
                assert_ne!(token, good.as_bytes(), "a good token was refused");
                let body = String::from_utf8(reply.body).unwrap();
                assert!(!body.contains("eyJ"), "{body}");
            }
            step => panic!("nothing to wait for: {step:?}"),
        }
    }
}
