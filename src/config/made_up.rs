//! Made-up secrets in the place of those that are not here: so that a configuration can be
//! checked where it is made, and only what needs a secret itself waits for the host.
//!
//! Most secrets are text, for which [`MADE_UP`] will do. Keys have to be of the kind that the
//! field beside them says; a [`KeyMaker`] makes them anew each time.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::reader::is_env;
use crate::keys::{Algorithm, SigningAlgorithm};

/// A value for any secret that is text: also a secret of 64 bytes in base64url, long enough
/// for HS512.
pub const MADE_UP: &str =
    "made-up-by-gatepass-check-made-up-by-gatepass-check-made-up-by-gatepass-check-made-upA";

/// The made-up value of a variable; none if no environment can have one of this name.
pub fn made_up(name: &str) -> Option<String> {
    let is_possible = !name.is_empty() && !name.contains(|c: char| c == '=' || c.is_control());
    is_possible.then(|| MADE_UP.to_owned())
}

/// Whether a value is `{env: NAME}` with a name that a variable can have.
pub fn is_variable(value: &Value) -> bool {
    let members = value.as_object().filter(|members| is_env(members));
    let name = members.and_then(|members| members.get("env")?.as_str());
    name.and_then(made_up).is_some()
}

/// Makes keys that nobody has.
pub trait KeyMaker {
    /// Why it cannot.
    type Error;

    /// A private key, as PKCS#8.
    fn private_key(&self, algorithm: SigningAlgorithm) -> Result<Vec<u8>, Self::Error>;

    /// A public key for an algorithm of `kong_jwt`, as SubjectPublicKeyInfo: RSA for every
    /// name that is none.
    fn public_key(&self, algorithm: &str) -> Result<Vec<u8>, Self::Error>;
}

/// Puts made-up keys in the place of those that are not here, as `is_missing` says. For other
/// secrets, [`made_up`] is to be the environment.
pub fn make_up_keys<M: KeyMaker>(
    value: &mut Value,
    is_missing: fn(&Value) -> bool,
    maker: &M,
) -> Result<(), M::Error> {
    match value {
        Value::Array(items) => {
            items.iter_mut().try_for_each(|item| make_up_keys(item, is_missing, maker))
        }
        Value::Object(members) => {
            let algorithm = members.get("algorithm").and_then(Value::as_str).map(str::to_owned);
            let algorithm = algorithm.as_deref().unwrap_or_default();
            members.iter_mut().try_for_each(|(name, member)| {
                match name.as_str() {
                    "private_key" if is_missing(member) => {
                        let key = maker.private_key(signing_algorithm(algorithm))?;
                        *member = pem("PRIVATE KEY", &key).into();
                    }
                    "rsa_public_key" if is_missing(member) => {
                        *member = pem("PUBLIC KEY", &maker.public_key(algorithm)?).into();
                    }
                    "sealed_tokens" => seal_keys(member, is_missing),
                    _ => make_up_keys(member, is_missing, maker)?,
                }
                Ok(())
            })
        }
        _ => Ok(()),
    }
}

/// One that exists: otherwise only the problem of `algorithm` is to be reported.
fn signing_algorithm(name: &str) -> SigningAlgorithm {
    use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256};
    let mut all = [EdDsa, Rs256, Ps256, Es384].into_iter();
    all.find(|it| Algorithm::from(*it).name() == name).unwrap_or(Es256)
}

/// 32 bytes for each key, none of them twice.
fn seal_keys(sealed_tokens: &mut Value, is_missing: fn(&Value) -> bool) {
    let keys = sealed_tokens.get_mut("keys").and_then(Value::as_array_mut);
    for (number, key) in (0u8..).zip(keys.into_iter().flatten()) {
        if is_missing(key) {
            *key = BASE64_STANDARD.encode([number; 32]).into();
        }
    }
}

/// PEM (RFC 7468).
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
