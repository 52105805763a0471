//! Selects where a signature is computed: by the host, if it passed known-answer tests,
//! or by the module.
//!
//! The seam is here and in the files of the key families: callers use a key and do not
//! know where it computes. The host gets a signature only after the module's own checks
//! of form and range, and if the host gives no answer the module computes, so both accept
//! the same signatures.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use ecdsa::elliptic_curve::pkcs8::EncodePublicKey;
use p256::pkcs8::SecretDocument;
use rsa::pkcs8::der::pem::{LineEnding, encode_string};
use sha2::{Digest, Sha256};

use super::host::{HostCrypto, HostSigningKey, HostVerifyingKey};
use super::known_answers::KNOWN_ANSWERS;
use super::{Algorithm, AlgorithmSet};

/// The algorithms that the host computes; the module computes the rest.
#[derive(Clone, Default)]
pub struct Crypto {
    host: Option<Rc<dyn HostCrypto>>,
    verifies: AlgorithmSet,
    signs: AlgorithmSet,
}

impl Crypto {
    /// Computes everything in the module.
    pub fn module() -> Self {
        Self::default()
    }

    /// Uses the host for each algorithm that it offers and for which it passes the
    /// known-answer tests. Signing by the host must be enabled separately.
    pub fn on(host: Rc<dyn HostCrypto>) -> Self {
        let offered = host.verifies().intersection(AlgorithmSet::asymmetric());
        let passed = KNOWN_ANSWERS
            .iter()
            .filter(|answer| offered.contains(answer.algorithm) && answer.is_given_by(&*host));
        let verifies: AlgorithmSet = passed.map(|answer| answer.algorithm).collect();
        // A host that gives no correct answer is not used at all.
        let host = Some(host).filter(|_| !verifies.is_empty());
        Self { host, verifies, signs: AlgorithmSet::EMPTY }
    }

    /// Lets the host also sign, with these algorithms.
    #[must_use]
    pub(super) fn signing_with(self, signs: AlgorithmSet) -> Self {
        Self { signs, ..self }
    }

    /// The algorithms whose signatures the host verifies.
    pub const fn host_verifies(&self) -> AlgorithmSet {
        self.verifies
    }

    /// The algorithms that the host signs with.
    pub const fn host_signs(&self) -> AlgorithmSet {
        self.signs
    }

    /// True if the host offers to sign with it, trusted or not.
    pub fn host_may_sign(&self, algorithm: Algorithm) -> bool {
        self.untried_signer(algorithm).is_some()
    }

    /// The host, if it is trusted to verify with this algorithm.
    fn verifier(&self, algorithm: Algorithm) -> Option<&Rc<dyn HostCrypto>> {
        self.host.as_ref().filter(|_| self.verifies.contains(algorithm))
    }

    /// The host, if it is trusted to sign with this algorithm.
    pub(super) fn signer(&self, algorithm: Algorithm) -> Option<&Rc<dyn HostCrypto>> {
        self.host.as_ref().filter(|_| self.signs.contains(algorithm))
    }

    /// The host, if it offers to sign with this algorithm, trusted or not.
    pub(super) fn untried_signer(&self, algorithm: Algorithm) -> Option<&Rc<dyn HostCrypto>> {
        self.host.as_ref().filter(|host| host.signs().contains(algorithm))
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto")
            .field("host_verifies", &self.verifies)
            .field("host_signs", &self.signs)
            .finish_non_exhaustive()
    }
}

/// The host's prepared form of a key, by algorithm.
///
/// Prepared on first use, not when the key is parsed: most keys of a set are never used,
/// and an RSA key serves six algorithms. A refusal by the host is cached too.
struct OnHost<K: ?Sized>(RefCell<Option<Prepared<K>>>);

struct Prepared<K: ?Sized> {
    /// Kept so that no other host can be mistaken for it.
    host: Rc<dyn HostCrypto>,
    keys: Vec<(Algorithm, Option<Rc<K>>)>,
}

impl<K: ?Sized> OnHost<K> {
    const fn nothing() -> Self {
        Self(RefCell::new(None))
    }

    /// The host's key for `algorithm`; created by `make` if missing.
    fn key(
        &self,
        host: &Rc<dyn HostCrypto>,
        algorithm: Algorithm,
        make: impl FnOnce() -> Option<Rc<K>>,
    ) -> Option<Rc<K>> {
        if let Some(prepared) = self.0.borrow().as_ref().filter(|it| Rc::ptr_eq(&it.host, host))
            && let Some((_, key)) = prepared.keys.iter().find(|(known, _)| *known == algorithm)
        {
            return key.clone();
        }
        let key = make();
        let mut prepared = self.0.borrow_mut();
        match prepared.as_mut().filter(|it| Rc::ptr_eq(&it.host, host)) {
            Some(prepared) => prepared.keys.push((algorithm, key.clone())),
            None => {
                let keys = vec![(algorithm, key.clone())];
                *prepared = Some(Prepared { host: Rc::clone(host), keys });
            }
        }
        key
    }
}

/// A public key in the form for hosts, encoded once, and the host's prepared form.
/// Without it, only the module verifies.
#[derive(Clone)]
pub(super) struct PublicKeyInfo(Option<Rc<Spki>>);

struct Spki {
    der: Box<[u8]>,
    keys: OnHost<dyn HostVerifyingKey>,
}

impl PublicKeyInfo {
    pub(super) fn of(key: &impl EncodePublicKey) -> Self {
        let der = key.to_public_key_der().ok();
        Self(der.map(|der| Rc::new(Spki { der: der.as_bytes().into(), keys: OnHost::nothing() })))
    }

    /// The key as a PEM block (RFC 7468 section 13).
    pub(super) fn pem(&self) -> Option<String> {
        encode_string("PUBLIC KEY", LineEnding::LF, &self.0.as_ref()?.der).ok()
    }

    /// The host's answer, if it is trusted with the algorithm and gives one. `signature`
    /// returns the host's form of the signature.
    pub(super) fn verify<S: AsRef<[u8]>>(
        &self,
        crypto: &Crypto,
        algorithm: Algorithm,
        signing_input: &[u8],
        signature: impl FnOnce() -> S,
    ) -> Option<bool> {
        let host = crypto.verifier(algorithm)?;
        let Spki { der, keys } = &**self.0.as_ref()?;
        let key = keys.key(host, algorithm, || host.verifying_key(algorithm, der))?;
        key.verify(signing_input, signature().as_ref())
    }
}

/// A private key in the form for hosts, and the host's prepared form. Without it, only
/// the module signs.
pub(super) struct PrivateKeyInfo {
    pkcs8: Option<SecretDocument>,
    keys: OnHost<dyn HostSigningKey>,
}

impl PrivateKeyInfo {
    pub(super) const fn new(pkcs8: Option<SecretDocument>) -> Self {
        Self { pkcs8, keys: OnHost::nothing() }
    }

    /// A secret for another `purpose`, from which the key cannot be found.
    pub(super) fn derive(&self, purpose: &[u8]) -> Option<[u8; 32]> {
        let key = self.pkcs8.as_ref()?.as_bytes();
        Some(Sha256::new().chain_update(purpose).chain_update(key).finalize().into())
    }

    /// The host's signature, in the host's form. Callers check whether the host is trusted
    /// to sign.
    pub(super) fn sign(
        &self,
        host: &Rc<dyn HostCrypto>,
        algorithm: Algorithm,
        signing_input: &[u8],
    ) -> Option<Vec<u8>> {
        let pkcs8 = self.pkcs8.as_ref()?.as_bytes();
        self.keys.key(host, algorithm, || host.signing_key(algorithm, pkcs8))?.sign(signing_input)
    }
}

#[cfg(test)]
mod tests {
    use p256::NistP256;
    use p384::NistP384;
    use serde_json::{Value, json};

    use super::super::ecdsa::EcKey;
    use super::super::eddsa::EdKey;
    use super::super::jwk::Jwk;
    use super::super::rsa::RsaKey;

    /// The keys of RFC 7515 appendix A.3.1 and of RFC 7638 section 3.1 as OpenSSL writes
    /// them, one of its own on P-384, and that of RFC 8410 section 10.1.
    #[test]
    fn keys_become_pem() {
        let rsa = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR\
                   1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h\
                   4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91Cb\
                   OpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-cs\
                   FCur-kEgU8awapJzKnqDKgw";
        let members = |jwk: Value| jwk.as_object().unwrap().clone();
        for (pem, expected) in [
            (
                EcKey::<NistP256>::from_jwk(Jwk::new(&members(json!({
                    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                }))))
                .unwrap()
                .pem(),
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7\n\
                 6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n",
            ),
            (
                EcKey::<NistP384>::from_jwk(Jwk::new(&members(json!({
                    "x": "wtbWklA8WxuqkZESw11vlvU0MT3RfF5S4IH336CVSKhpWaznRyPRWzMzwRm7S5k1",
                    "y": "u4r-ZLRgRCysK9hXW4Z26hoYQmxmljd_h65UNw5iMl2OMKnF68c2DBCiZNMnYvj6",
                }))))
                .unwrap()
                .pem(),
                "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEwtbWklA8WxuqkZESw11vlvU0MT3RfF5S\n\
                 4IH336CVSKhpWaznRyPRWzMzwRm7S5k1u4r+ZLRgRCysK9hXW4Z26hoYQmxmljd/\n\
                 h65UNw5iMl2OMKnF68c2DBCiZNMnYvj6\n",
            ),
            (
                EdKey::from_jwk(Jwk::new(&members(json!({
                    "x": "Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE",
                }))))
                .unwrap()
                .pem(),
                "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n",
            ),
            (
                RsaKey::from_jwk(Jwk::new(&members(json!({"e": "AQAB", "n": rsa})))).unwrap().pem(),
                "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA0vx7agoebGcQSuuPiLJX\n\
                 ZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tS\n\
                 oc/BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ/2W+5JsGY4Hc5n9yBXArwl93lqt\n\
                 7/RN5w6Cf0h4QyQ5v+65YGjQR0/FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0\n\
                 zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt+bFTWhAI4vMQFh6WeZu0f\n\
                 M4lFd2NcRwr3XPksINHaQ+G/xBniIqbw0Ls1jF44+csFCur+kEgU8awapJzKnqDK\n\
                 gwIDAQAB\n",
            ),
        ] {
            let expected =
                format!("-----BEGIN PUBLIC KEY-----\n{expected}-----END PUBLIC KEY-----\n");
            assert_eq!(pem, Some(expected));
        }
    }
}
