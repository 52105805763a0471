//! HMAC (RFC 7518 section 3.2), by jwt-compact's own types, which compare in
//! constant time and wipe keys on drop.

use jwt_compact::alg::{Hs256, Hs256Key, Hs384, Hs384Key, Hs512, Hs512Key};
use jwt_compact::{Algorithm as _, AlgorithmSignature as _};

use super::error::KeyError;
use super::jwk::Jwk;
use super::{Algorithm, AlgorithmSet};

/// The HMAC-SHA256 of a message; keys may have any length (RFC 2104 section 2).
pub fn mac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mac = Hs256.sign(&Hs256Key::new(key), message);
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(mac.as_bytes().iter()).for_each(|(to, from)| *to = *from);
    bytes
}

/// One secret, prepared for each hash.
#[derive(Clone)]
pub(super) struct HmacKey {
    sha256: Hs256Key,
    sha384: Hs384Key,
    sha512: Hs512Key,
}

impl HmacKey {
    /// Parses `k` and keeps the algorithms of `wanted` for which it is long enough: at
    /// least the output of the hash.
    // RFC 7518 section 3.2: "A key of the same size as the hash output (for instance, 256
    // bits for "HS256") or larger MUST be used with this algorithm." (R15)
    pub(super) fn from_jwk(
        jwk: Jwk<'_>,
        wanted: AlgorithmSet,
    ) -> Result<(Self, AlgorithmSet), KeyError> {
        let secret = jwk.bytes("k")?;
        let fitting: AlgorithmSet =
            wanted.iter().filter(|algorithm| secret.len() >= minimum(*algorithm)).collect();
        if fitting.is_empty() {
            return Err(KeyError::SecretTooShort {
                minimum: wanted.iter().map(minimum).min().unwrap_or(usize::MAX),
                found: secret.len(),
            });
        }
        let key = Self {
            sha256: Hs256Key::new(&secret),
            sha384: Hs384Key::new(&secret),
            sha512: Hs512Key::new(&secret),
        };
        Ok((key, fitting))
    }

    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        signing_input: &[u8],
        signature: &[u8],
    ) -> bool {
        match algorithm {
            Algorithm::Hs256 => matches(&Hs256, &self.sha256, signing_input, signature),
            Algorithm::Hs384 => matches(&Hs384, &self.sha384, signing_input, signature),
            Algorithm::Hs512 => matches(&Hs512, &self.sha512, signing_input, signature),
            _ => false,
        }
    }
}

/// Compares the code in constant time.
///
/// The length is checked first: jwt-compact's type panics on bytes of any other length.
// RFC 7518 section 3.2: "The comparison of the computed HMAC value to the JWS Signature
// value MUST be done in a constant-time manner to thwart timing attacks." (R19)
fn matches<A: jwt_compact::Algorithm>(
    algorithm: &A,
    key: &A::VerifyingKey,
    signing_input: &[u8],
    signature: &[u8],
) -> bool {
    if A::Signature::LENGTH.is_some_and(|length| length.get() != signature.len()) {
        return false;
    }
    A::Signature::try_from_slice(signature)
        .is_ok_and(|signature| algorithm.verify_signature(&signature, key, signing_input))
}

/// The minimum length of a secret; unattainable for anything but HMAC.
const fn minimum(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Hs256 => 32,
        Algorithm::Hs384 => 48,
        Algorithm::Hs512 => 64,
        _ => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::keys::{Family, Origin, VerifyingKey};

    fn key(bytes: usize, alg: Option<&str>) -> Result<VerifyingKey, KeyError> {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(vec![7; bytes]);
        let mut jwk = json!({"kty": "oct", "k": secret});
        if let Some(alg) = alg {
            jwk["alg"] = alg.into();
        }
        VerifyingKey::from_jwk(jwk.as_object().unwrap(), Origin::Local)
    }

    #[test]
    fn a_secret_is_as_long_as_the_hash() {
        let short = |minimum, found| Err(KeyError::SecretTooShort { minimum, found });
        for (bytes, alg, expected) in [
            (0, None, short(32, 0)),
            (31, None, short(32, 31)),
            (32, None, Ok("HS256")),
            (47, None, Ok("HS256")),
            (48, None, Ok("HS256, HS384")),
            (64, None, Ok("HS256, HS384, HS512")),
            (1000, None, Ok("HS256, HS384, HS512")),
            (1000, Some("HS384"), Ok("HS384")),
            (31, Some("HS256"), short(32, 31)),
            (47, Some("HS384"), short(48, 47)),
            (63, Some("HS512"), short(64, 63)),
        ] {
            let got = key(bytes, alg).map(|key| key.algorithms().to_string());
            assert_eq!(got, expected.map(str::to_owned), "{bytes} bytes for {alg:?}");
        }
    }

    #[test]
    fn only_hmac_has_a_minimum() {
        for algorithm in Algorithm::ALL {
            let hmac = algorithm.family() == Family::Hmac;
            assert_eq!(minimum(algorithm) < usize::MAX, hmac, "{algorithm}");
        }
    }
}
