//! Identity tokens as a service verifies them: with `jsonwebtoken` and the keys
//! that the gateway publishes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepass::host::RequestId;
use gatepass::pipeline::{Pipeline, Step};
use gatepass::time::UnixTime;
use gatepass::verdict::Verdict;
use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{DecodingKey, crypto};

use super::json::Json;
use super::support;

/// The claims of an identity token.
pub fn verified(gateway: &mut Pipeline, token: &str, now: UnixTime) -> Json {
    let header = jsonwebtoken::decode_header(token).expect("a header");
    assert_eq!(header.typ.as_deref(), Some("identity+jwt"));
    let head = support::head(&[(":path", support::JWKS_PATH)]);
    let Step::Done(Verdict::Answer(reply), _) = gateway.begin(RequestId::default(), head, now)
    else {
        panic!("the gateway's keys");
    };
    let keys: JwkSet = serde_json::from_slice(&reply.body).expect("keys");
    let key = keys.find(header.kid.as_deref().expect("a kid")).expect("the key is published");
    let key = DecodingKey::from_jwk(key).expect("a key");
    let (input, signature) = token.rsplit_once('.').expect("a signature");
    let is_signed = crypto::verify(signature, input.as_bytes(), &key, header.alg).expect("verify");
    assert!(is_signed, "the signature of {token}");
    let payload = input.split_once('.').expect("a payload").1;
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    Json::parse(std::str::from_utf8(&payload).expect("UTF-8"))
}
