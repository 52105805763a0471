//! Identity tokens as a service verifies them, each once.

use std::collections::HashMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use gatepass::host::RequestId;
use gatepass::pipeline::{Pipeline, Step};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;

use super::super::jose;
use super::super::json::Json;
use super::super::support;
use super::signatures::{Signatures, cheap};

/// What each identity token says that was seen.
pub struct Identities {
    signatures: Signatures,
    known: HashMap<String, Json>,
}

impl Identities {
    pub fn new(signatures: Signatures) -> Self {
        Self { signatures, known: HashMap::new() }
    }

    /// The claims of a token, verified with the keys that the gateway publishes.
    pub fn verified(&mut self, gateway: &mut Pipeline, token: &str, now: UnixTime) -> &Json {
        if !self.known.contains_key(token) {
            let claims = match self.signatures {
                Signatures::True => jose::verified(gateway, token, now),
                Signatures::Cheap => cheaply_verified(gateway, token, now),
            };
            self.known.insert(token.to_owned(), claims);
        }
        &self.known[token]
    }
}

fn decoded(part: &str) -> Vec<u8> {
    BASE64URL.decode(part).expect("base64url")
}

fn parsed(part: &[u8]) -> Json {
    Json::parse(std::str::from_utf8(part).expect("UTF-8"))
}

/// The claims of a token, if it is signed as the host of this run signs.
fn cheaply_verified(gateway: &mut Pipeline, token: &str, now: UnixTime) -> Json {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = parts[..] else { panic!("three parts: {token}") };
    let head = support::head(&[(":path", support::JWKS_PATH)]);
    let Step::Done(Verdict::Answer(reply), _) = gateway.begin(RequestId::default(), head, now)
    else {
        panic!("the gateway's keys");
    };
    let (header, keys) = (parsed(&decoded(header)), parsed(&reply.body));
    assert_eq!(header.get("typ").and_then(Json::text), Some("identity+jwt"));
    let mut own = keys.list("keys").iter().filter(|key| key.get("kid") == header.get("kid"));
    let public = own.next().and_then(|key| key.get("x")).and_then(Json::text).expect("its key");
    let public = decoded(public).try_into().expect("32 bytes");
    let (input, _) = token.rsplit_once('.').expect("a signature");
    let is_signed = decoded(signature) == cheap(&public, input.as_bytes());
    assert!(is_signed, "the signature of {token}");
    parsed(&decoded(payload))
}
