//! The keys of one issuer, looked up by key id.

use std::collections::HashMap;
use std::fmt;

use serde_json::{Map, Value};

use super::error::{Excerpt, KeyError};
use super::{
    Algorithm, AlgorithmSet, MAX_CANDIDATES, MAX_KEY_ID_BYTES, Origin, VerifyingKey, credential,
};
use crate::json;

/// The maximum number of keys in a set.
pub const MAX_KEYS: usize = 100;

/// The usable keys of a JWK Set (RFC 7517 section 5), or of credentials, at least one;
/// the default is empty and verifies nothing.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    /// Keys with an id come first, so that the limit on candidates never hides the key a
    /// token names behind keys without an id.
    keys: Vec<VerifyingKey>,
    /// The number of keys with an id.
    named: usize,
    /// Their positions by id.
    places: HashMap<String, Vec<usize>>,
    /// The ids of unusable keys, and the reasons.
    unusable: HashMap<String, KeyError>,
}

/// A skipped key of a set, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SkippedKey {
    /// Its position in `keys`, from 0.
    pub index: usize,
    /// The beginning of its `kid`, if that is a string.
    pub kid: Option<Excerpt>,
    /// The reason.
    pub reason: KeyError,
}

impl KeySet {
    /// Parses a JWK Set: an object whose `keys` is an array.
    ///
    /// An unusable key is skipped and reported: sets contain keys for other purposes and
    /// for future algorithms (RFC 7517 section 5). A set without any usable key is an
    /// error, so that it never replaces a good one.
    // RFC 7517 section 5 (R57)
    pub fn from_jwks(jwks: &Value, origin: Origin) -> Result<(Self, Vec<SkippedKey>), KeySetError> {
        Self::from_jwks_without(jwks, origin, &[])
    }

    /// Parses a JWK Set and skips the gateway's `own` keys: its own tokens must never
    /// pass as public ones, even if a provider publishes its keys (RFC 8725 section
    /// 3.12).
    pub fn from_jwks_without(
        jwks: &Value,
        origin: Origin,
        own: &[VerifyingKey],
    ) -> Result<(Self, Vec<SkippedKey>), KeySetError> {
        let members =
            jwks.as_object().ok_or_else(|| KeySetError::NotAnObject { found: json::kind(jwks) })?;
        let entries = match members.get("keys") {
            Some(Value::Array(entries)) => entries,
            Some(other) => {
                return Err(KeySetError::KeysNotAnArray { found: Some(json::kind(other)) });
            }
            None if is_map_of_pem(members) => return Self::from_pem(members, own),
            None => return Err(KeySetError::KeysNotAnArray { found: None }),
        };
        if entries.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys { found: entries.len() });
        }

        Self::of_each(
            entries
                .iter()
                .map(|entry| (entry.get("kid").and_then(Value::as_str), key(entry, origin, own))),
        )
    }

    /// Parses certificates or public keys in PEM by their ids, as Google publishes them
    /// beside its JWK sets.
    fn from_pem(
        members: &Map<String, Value>,
        own: &[VerifyingKey],
    ) -> Result<(Self, Vec<SkippedKey>), KeySetError> {
        if members.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys { found: members.len() });
        }
        Self::of_each(members.iter().map(|(kid, pem)| {
            let read = || {
                let mut jwk = credential::jwk(pem.as_str().unwrap_or_default())?;
                if let Some(members) = jwk.as_object_mut() {
                    members.insert("kid".to_owned(), kid.as_str().into());
                }
                key(&jwk, Origin::Remote, own)
            };
            (Some(kid.as_str()), read())
        }))
    }

    fn of_each<'a>(
        entries: impl Iterator<Item = (Option<&'a str>, Result<VerifyingKey, KeyError>)>,
    ) -> Result<(Self, Vec<SkippedKey>), KeySetError> {
        let (mut keys, mut skipped, mut unusable) = (Vec::new(), Vec::new(), HashMap::new());
        for (index, (kid, read)) in entries.enumerate() {
            match read {
                Ok(key) => keys.push(key),
                Err(reason) => {
                    if let Some(kid) = kid.filter(|kid| kid.len() <= MAX_KEY_ID_BYTES) {
                        unusable.insert(kid.to_owned(), reason.clone());
                    }
                    skipped.push(SkippedKey { index, kid: kid.map(Excerpt::of), reason });
                }
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKey { skipped });
        }
        Ok((Self { unusable, ..Self::of(keys) }, skipped))
    }

    /// The keys of credentials, each with the credential's key as its id; `None`
    /// if there are none.
    pub fn from_credentials(keys: Vec<VerifyingKey>) -> Option<Self> {
        (!keys.is_empty()).then(|| Self::of(keys))
    }

    fn of(mut keys: Vec<VerifyingKey>) -> Self {
        keys.sort_by_key(|key| key.id().is_none());
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, key) in keys.iter().enumerate() {
            if let Some(id) = key.id() {
                places.entry(id.to_owned()).or_default().push(place);
            }
        }
        let named = keys.iter().filter(|key| key.id().is_some()).count();
        Self { keys, named, places, unusable: HashMap::new() }
    }

    /// The keys to try for a token with this signature: at most [`MAX_CANDIDATES`] of them
    /// cost a verification, and fewer if it is an expensive one.
    ///
    /// A key with an id is a candidate for tokens that name it and for those that name no
    /// key; a key without an id is one for every token. Ids are compared byte for byte.
    /// Two keys with the same id are both candidates: RFC 7517 section 4.5 allows that
    /// for different algorithms, and each is the issuer's.
    // RFC 7515 section 4.1.4: "Its value MUST be a case-sensitive string." (R13)
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&str>,
        algorithm: Algorithm,
        signature: &[u8],
    ) -> impl Iterator<Item = &'a VerifyingKey> {
        let (named, unnamed) = self.keys.split_at_checked(self.named).unwrap_or_default();
        let places = kid.and_then(|kid| self.places.get(kid)).map(Vec::as_slice);
        let exact = places.unwrap_or_default().iter().filter_map(|place| named.get(*place));
        let others = if kid.is_none() { named } else { &[] };
        exact.chain(others).chain(unnamed).filter(move |key| key.admits(algorithm)).scan(
            MAX_CANDIDATES,
            |budget, key| {
                *budget = budget.checked_sub(key.cost(signature))?;
                Some(key)
            },
        )
    }

    /// True if a key has this id; if not, it may be worth fetching the set again.
    pub fn knows(&self, kid: &str) -> bool {
        self.places.contains_key(kid)
    }

    /// Why the key with this id is unusable, if the set has such a key.
    pub fn unusable(&self, kid: &str) -> Option<&KeyError> {
        self.unusable.get(kid)
    }

    /// Whether the set contains this key, under any id.
    pub fn contains(&self, key: &VerifyingKey) -> bool {
        self.keys.iter().any(|known| known.is_same_as(key))
    }

    /// All algorithms that some key of the set supports.
    pub fn algorithms(&self) -> AlgorithmSet {
        self.keys.iter().fold(AlgorithmSet::EMPTY, |all, key| all.union(key.algorithms()))
    }

    /// The keys, those with an id first.
    pub fn keys(&self) -> &[VerifyingKey] {
        &self.keys
    }
}

/// Whether an object contains nothing but PEM blocks.
fn is_map_of_pem(members: &Map<String, Value>) -> bool {
    let is_pem = |value: &Value| value.as_str().is_some_and(|it| it.starts_with("-----BEGIN "));
    !members.is_empty() && members.values().all(is_pem)
}

fn key(entry: &Value, origin: Origin, own: &[VerifyingKey]) -> Result<VerifyingKey, KeyError> {
    let members: &Map<String, Value> = entry.as_object().ok_or_else(|| KeyError::WrongType {
        member: "key",
        expected: "an object",
        found: json::kind(entry),
    })?;
    let key = VerifyingKey::from_jwk(members, origin)?;
    if own.iter().any(|own| own.is_same_as(&key)) {
        return Err(KeyError::GatewaysOwn);
    }
    Ok(key)
}

impl fmt::Display for SkippedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.index)?;
        if let Some(kid) = &self.kid {
            write!(f, " (kid {kid})")?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// Why a document is not a usable key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// It is not an object.
    NotAnObject {
        /// Its type.
        found: &'static str,
    },
    /// `keys` is absent or not an array.
    KeysNotAnArray {
        /// Its type, if present.
        found: Option<&'static str>,
    },
    /// It has more than [`MAX_KEYS`] keys.
    TooManyKeys {
        /// The number of keys.
        found: usize,
    },
    /// There are no keys, or none is usable.
    NoUsableKey {
        /// Each key and the reason why it was skipped.
        skipped: Vec<SkippedKey>,
    },
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnObject { found } => {
                write!(f, "a key set must be an object, it is {found}")
            }
            Self::KeysNotAnArray { found: Some(found) } => {
                write!(f, "\"keys\" must be an array, it is {found}")
            }
            Self::KeysNotAnArray { found: None } => f.write_str("member \"keys\" is missing"),
            Self::TooManyKeys { found } => {
                write!(f, "a key set may hold {MAX_KEYS} keys, it holds {found}")
            }
            Self::NoUsableKey { skipped } if skipped.is_empty() => {
                f.write_str("no usable key: the list of keys is empty")
            }
            Self::NoUsableKey { skipped } => {
                f.write_str("no usable key")?;
                for (key, separator) in skipped.iter().zip([": ", "; ", "; "]) {
                    write!(f, "{separator}{key}")?;
                }
                if skipped.len() > 3 {
                    f.write_str("; and more")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for KeySetError {}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn okp(members: &Value) -> Value {
        let mut jwk = json!({
            "kty": "OKP", "crv": "Ed25519",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        for (member, value) in members.as_object().unwrap() {
            jwk[member] = value.clone();
        }
        jwk
    }

    fn p256(kid: &str) -> Value {
        json!({
            "kty": "EC", "crv": "P-256", "kid": kid,
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        })
    }

    fn rsa(bits: usize) -> Value {
        let n = BASE64_URL_SAFE_NO_PAD.encode(vec![0xFF; bits / 8]);
        json!({"kty": "RSA", "n": n, "e": "AQAB"})
    }

    fn set(keys: &[Value]) -> (KeySet, Vec<SkippedKey>) {
        KeySet::from_jwks(&json!({"keys": keys}), Origin::Remote).unwrap()
    }

    // RFC 7517 section 5 (R57)
    #[test]
    fn a_bad_key_spoils_nothing() {
        let bad = [
            json!({"kty": "oct", "k": "A".repeat(86), "kid": "secret"}),
            okp(&json!({"x": "AA", "kid": "short"})),
            okp(&json!({"use": "enc"})),
            json!({"kty": "new-kty", "kid": 7}),
            json!("key"),
            json!(null),
            okp(&json!({"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"})),
        ];
        let keys = [&bad[..], &[okp(&json!({"kid": "good"}))]].concat();
        let (set, skipped) = set(&keys);
        assert_eq!(set.keys().len(), 1);
        assert!(set.knows("good"));
        assert!(!set.knows("secret"));
        let reasons: Vec<_> = skipped.iter().map(ToString::to_string).collect();
        assert_eq!(
            reasons,
            [
                r#"key 0 (kid "secret"): a symmetric key may only come from the local configuration"#,
                r#"key 1 (kid "short"): "x" must be 32 bytes, it is 1"#,
                r#"key 2: "use" must be "sig", it is "enc""#,
                r#"key 3: "kid" must be a string, it is a number"#,
                r#"key 4: "key" must be an object, it is a string"#,
                r#"key 5: "key" must be an object, it is null"#,
                r#"key 6: private member "d" is published, so anyone can sign with this key"#,
            ]
        );
    }

    #[test]
    fn what_is_no_key_set() {
        for (case, jwks, expected) in [
            ("an array", json!([]), "a key set must be an object, it is an array"),
            ("a lone key", okp(&json!({})), r#"member "keys" is missing"#),
            (
                "an object of keys",
                json!({"keys": {}}),
                r#""keys" must be an array, it is an object"#,
            ),
            ("no keys", json!({"keys": []}), "no usable key: the list of keys is empty"),
            (
                "no usable key",
                json!({"keys": [1]}),
                r#"no usable key: key 0: "key" must be an object, it is a number"#,
            ),
            (
                "too many keys",
                json!({"keys": vec![okp(&json!({})); MAX_KEYS + 1]}),
                "a key set may hold 100 keys, it holds 101",
            ),
        ] {
            let error = KeySet::from_jwks(&jwks, Origin::Remote).unwrap_err();
            assert_eq!(error.to_string(), expected, "{case}");
        }
        assert_eq!(set(&vec![okp(&json!({})); MAX_KEYS]).0.keys().len(), 100);
        for (bad, tells_of_more) in [(3, false), (4, true)] {
            let keys = vec![json!(null); bad];
            let error = KeySet::from_jwks(&json!({ "keys": keys }), Origin::Remote).unwrap_err();
            assert_eq!(error.to_string().ends_with("; and more"), tells_of_more, "{bad} keys");
        }
    }

    #[test]
    fn who_may_have_signed() {
        use Algorithm::{EdDsa, Es256, Rs256};
        let (set, _) = set(&[
            okp(&json!({})),
            okp(&json!({"kid": "a"})),
            p256("a"),
            okp(&json!({"kid": "b"})),
        ]);
        for (case, kid, algorithm, expected) in [
            ("its kid, then none", Some("a"), EdDsa, &[Some("a"), None][..]),
            ("one kid, two algorithms", Some("a"), Es256, &[Some("a")]),
            ("another kid", Some("b"), EdDsa, &[Some("b"), None]),
            ("a kid of another key", Some("b"), Es256, &[]),
            ("an unknown kid", Some("c"), EdDsa, &[None]),
            ("a kid in capitals", Some("A"), Es256, &[]),
            ("no kid", None, EdDsa, &[Some("a"), Some("b"), None]),
            ("an algorithm of no key", Some("a"), Rs256, &[]),
        ] {
            let ids: Vec<_> = set.candidates(kid, algorithm, &[]).map(VerifyingKey::id).collect();
            assert_eq!(ids, expected, "{case}");
        }
        assert_eq!(set.algorithms().to_string(), "ES256, EdDSA");
    }

    /// The cost of a forged token without `kid` must not grow with the curve, or with the
    /// modulus.
    #[test]
    fn fewer_keys_are_tried_where_each_costs_more() {
        let fixtures: Value =
            serde_json::from_str(include_str!("../../tests/fixtures/tokens.json")).unwrap();
        for (name, expected) in [("RS256", 4), ("ES256", 4), ("ES384", 2), ("ES512", 1)] {
            let algorithm = Algorithm::from_name(name).unwrap();
            let keys = fixtures["tokens"].as_array().unwrap();
            let key = keys.iter().find(|key| key["alg"] == name).unwrap()["jwk"].clone();
            let jwks = json!({"keys": vec![key; 10]});
            let (set, _) = KeySet::from_jwks(&jwks, Origin::Remote).unwrap();
            let signature = [0; 256];
            assert_eq!(set.candidates(None, algorithm, &signature).count(), expected, "{name}");
        }
        for (bits, expected) in [(2048, 4), (2056, 2), (3072, 2), (3080, 1), (4096, 1)] {
            let (set, _) = set(&vec![rsa(bits); 10]);
            let signature = vec![0; bits / 8];
            let tried = set.candidates(None, Algorithm::Ps512, &signature).count();
            assert_eq!(tried, expected, "{bits} bits");
        }
    }

    /// An issuer that changes to longer keys has both for a while.
    #[test]
    fn keys_of_another_length_cost_nothing() {
        let (set, _) = set(&[rsa(2048), rsa(3072), rsa(4096), rsa(2048)]);
        for (bits, expected) in [(2048, 4), (3072, 4), (4096, 4), (1024, 4)] {
            let signature = vec![0; bits / 8];
            let tried = set.candidates(None, Algorithm::Rs256, &signature).count();
            assert_eq!(tried, expected, "{bits} bits");
        }
    }

    #[test]
    fn few_keys_are_tried_and_the_named_one_among_them() {
        let mut keys = vec![okp(&json!({})); 10];
        keys.push(okp(&json!({"kid": "last"})));
        let (set, _) = set(&keys);
        for kid in [Some("last"), None] {
            let mut candidates = set.candidates(kid, Algorithm::EdDsa, &[]);
            assert_eq!(candidates.next().unwrap().id(), Some("last"));
            assert_eq!(candidates.count(), MAX_CANDIDATES - 1);
        }
    }
}
