//! `cnf`: the key that a token is bound to (RFC 7800).

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use crate::json::Json;

/// The kinds of keys to which a provider's tokens may be bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Methods {
    /// The certificate of the connection: `x5t#S256` (RFC 8705 section 3.1).
    pub certificate: bool,
    /// A proof with each request: `jkt` (RFC 9449 section 6.1).
    pub proof: bool,
}

/// The keys that a token's client must prove to have; both, if the token names both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confirmation {
    /// The SHA-256 of its certificate.
    pub certificate: Option<[u8; 32]>,
    /// The thumbprint of its key.
    pub key: Option<[u8; 32]>,
}

/// Members that name a key, or what identifies one (RFC 7800 sections 3.2 to 3.5, RFC 8705
/// section 3.1, RFC 9449 section 6.1).
const KEYS: [&str; 6] = ["jwk", "jwe", "jku", "kid", "x5t#S256", "jkt"];

impl Confirmation {
    /// Nothing to prove.
    pub(super) const NONE: Self = Self { certificate: None, key: None };

    /// Reads `cnf`. `None` if it names nothing that is checked here, or another key,
    /// unless that is waived: a binding to an unchecked key has no effect. Other members
    /// are ignored.
    // RFC 7800 section 3.1: "in the absence of such requirements, all confirmation members
    // that are not understood by implementations MUST be ignored"
    pub(super) fn read(cnf: Json<'_>, methods: Methods, is_waived: bool) -> Option<Self> {
        let mut confirmation = Self::default();
        let members = match cnf.as_object() {
            Some(members) if !members.is_empty() => members,
            _ => return is_waived.then_some(confirmation),
        };
        for (name, value) in members.iter() {
            match name {
                "x5t#S256" if methods.certificate => {
                    confirmation.certificate = Some(digest(value)?);
                }
                "jkt" if methods.proof => confirmation.key = Some(digest(value)?),
                name if KEYS.contains(&name) && !is_waived => return None,
                _ => {}
            }
        }
        (is_waived || !confirmation.is_empty()).then_some(confirmation)
    }

    /// Whether there is nothing to prove.
    pub const fn is_empty(&self) -> bool {
        self.certificate.is_none() && self.key.is_none()
    }

    /// As a claim for the services behind; `None` if there is nothing to prove.
    pub fn as_claim(&self) -> Option<Value> {
        (!self.is_empty()).then(|| self.to_json())
    }

    fn to_json(&self) -> Value {
        let text = |digest: &[u8; 32]| json!(BASE64_URL_SAFE_NO_PAD.encode(digest));
        let members = [
            ("x5t#S256", self.certificate.as_ref().map(text)),
            ("jkt", self.key.as_ref().map(text)),
        ];
        let members = members.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?)));
        Value::Object(members.collect::<Map<_, _>>())
    }
}

fn digest(value: Json<'_>) -> Option<[u8; 32]> {
    BASE64_URL_SAFE_NO_PAD.decode(value.as_str()?).ok()?.try_into().ok()
}
