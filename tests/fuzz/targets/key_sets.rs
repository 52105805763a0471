//! Key sets: bytes, and good ones with changed members.

use arbitrary::Unstructured;
use gatepass::json;
use gatepass::keys::{Algorithm, Crypto, KeySet, MAX_CANDIDATES, MAX_KEYS, Origin};
use serde_json::{Value, json};

use super::shapes::{below, bytes, change, one_of, value, written};
use super::support::{KEY_A, KEY_B};

const MEMBERS: [&str; 14] =
    ["kty", "crv", "x", "y", "n", "e", "k", "d", "kid", "use", "alg", "key_ops", "oth", "x5c"];
const TEXTS: [&str; 26] = [
    "OKP",
    "EC",
    "RSA",
    "oct",
    "Ed25519",
    "X25519",
    "P-256",
    "P-384",
    "P-521",
    "secp256k1",
    "sig",
    "enc",
    "verify",
    "sign",
    "EdDSA",
    "ES256",
    "RS256",
    "HS256",
    "none",
    "AQAB",
    "AAAA",
    "Aw",
    "",
    "a",
    "keys",
    "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
];

fn fixtures() -> Value {
    serde_json::from_str(include_str!("../../fixtures/tokens.json")).unwrap()
}

/// A good public key of some kind.
fn good(u: &mut Unstructured<'_>) -> Value {
    let fixtures = fixtures();
    let keys = fixtures["signing"].as_array().unwrap();
    let pick = below(u, keys.len() + 2);
    let mut key = match keys.get(pick) {
        Some(key) => key["jwk"].clone(),
        None => [KEY_A, KEY_B][pick - keys.len()].jwk("a"),
    };
    let members = key.as_object_mut().unwrap();
    members.retain(|name, _| !["d", "p", "q", "dp", "dq", "qi"].contains(&name.as_str()));
    key
}

pub fn run(data: &[u8]) {
    let u = &mut Unstructured::new(data);
    let text = match below(u, 4) {
        0 => bytes(u, 2000),
        1 => value(u, 4, &TEXTS).to_string().into_bytes(),
        _ => {
            let mut keys = Vec::new();
            for _ in 0..=below(u, 4) {
                let mut key = good(u);
                change(u, &mut key, &MEMBERS, &TEXTS);
                keys.push(key);
            }
            if below(u, 40) == 1 {
                keys = vec![keys[0].clone(); MAX_KEYS + below(u, 2)];
            }
            let set = json!({ "keys": keys });
            written(u, &set)
        }
    };
    let Ok(document) = json::parse(&text) else { return };
    let lenient: Value = serde_json::from_slice(&text).expect("strict JSON is JSON");
    assert_eq!(document, lenient, "both read the same");
    let Ok((set, skipped)) = KeySet::from_jwks(&document, Origin::Remote) else { return };
    let entries = document["keys"].as_array().expect("a list of keys");
    assert_eq!(set.keys().len() + skipped.len(), entries.len());
    assert!(entries.len() <= MAX_KEYS);
    for skipped in &skipped {
        assert!(!skipped.to_string().contains('\n'), "{skipped}");
    }
    for entry in entries.iter().filter(|entry| entry["kty"] == "oct" || entry.get("d").is_some()) {
        let kid = entry["kid"].as_str().unwrap_or_default();
        let is_skipped = skipped.iter().any(|key| entries[key.index] == *entry);
        assert!(is_skipped, "{kid}: a secret or a private key is used");
    }
    let algorithm = *one_of(u, &Algorithm::ALL);
    let kid = one_of(u, &[Some("a"), None, Some("")]).to_owned();
    let (input, signature) = (bytes(u, 40), bytes(u, 600));
    let candidates: Vec<_> = set.candidates(kid, algorithm, &signature).collect();
    // RSA keys for signatures of another length are refused for nothing.
    let is_rsa = algorithm.name().starts_with(['R', 'P']);
    assert!(is_rsa || candidates.len() <= MAX_CANDIDATES);
    for key in candidates {
        assert!(key.admits(algorithm) && !algorithm.is_symmetric());
        assert!(kid.is_none() || key.id().is_none() || key.id() == kid);
        assert!(!key.verify(&Crypto::module(), algorithm, &input, &signature), "by chance");
    }
}
