//! Stands in for the cryptography of a host: of Envoy's for a WebAssembly module, which is
//! RSA, and of the native modules'. Without it a configuration that signs with RS256, PS256
//! or ES384 could not be read.
//!
//! The arithmetic of the `rsa` crate on private keys is not constant in time
//! (RUSTSEC-2023-0071), so the module never uses it; here it cannot be measured over a
//! network.

use std::rc::Rc;

use gatepass::keys::{Algorithm, AlgorithmSet, HostCrypto, HostSigningKey, HostVerifyingKey};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use p384::ecdsa::signature::Signer as _;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use rsa::pss::Pss;
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// Verifies RSA with PKCS#1 v1.5, as BoringSSL does, and signs; the rest is the module's own.
pub struct RustCryptoHost {
    /// Whether it signs with all that the native modules sign with.
    pub is_native: bool,
}

enum PrivateKey {
    Rsa(Box<Key<RsaPrivateKey>>),
    P384(p384::ecdsa::SigningKey),
}

struct Key<K> {
    algorithm: Algorithm,
    key: K,
}

impl HostCrypto for RustCryptoHost {
    fn verifies(&self) -> AlgorithmSet {
        [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512].into_iter().collect()
    }

    fn signs(&self) -> AlgorithmSet {
        let others = [Algorithm::Ps256, Algorithm::Es384].into_iter().filter(|_| self.is_native);
        others.chain([Algorithm::Rs256]).collect()
    }

    fn verifying_key(&self, algorithm: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
        let key = RsaPublicKey::from_public_key_der(spki).ok()?;
        Some(Rc::new(Key { algorithm, key }))
    }

    fn signing_key(&self, algorithm: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
        Some(Rc::new(match algorithm {
            Algorithm::Es384 => {
                PrivateKey::P384(p384::ecdsa::SigningKey::from_pkcs8_der(pkcs8).ok()?)
            }
            _ => {
                let key = RsaPrivateKey::from_pkcs8_der(pkcs8).ok()?;
                PrivateKey::Rsa(Box::new(Key { algorithm, key }))
            }
        }))
    }
}

impl HostVerifyingKey for Key<RsaPublicKey> {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        let (scheme, digest) = hashed(self.algorithm, message)?;
        Some(self.key.verify(scheme, &digest, signature).is_ok())
    }
}

impl HostSigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let mut random = UnwrapErr(SysRng);
        match self {
            Self::Rsa(own) if own.algorithm == Algorithm::Ps256 => {
                // RFC 7518 section 3.5: the salt is as long as the hash.
                let scheme = Pss::<Sha256>::new();
                own.key.sign_with_rng(&mut random, scheme, &Sha256::digest(message)).ok()
            }
            Self::Rsa(own) => {
                let (scheme, digest) = hashed(own.algorithm, message)?;
                own.key.sign_with_rng(&mut random, scheme, &digest).ok()
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                Some(signature.to_der().as_bytes().to_vec())
            }
        }
    }
}

fn hashed(algorithm: Algorithm, message: &[u8]) -> Option<(Pkcs1v15Sign, Vec<u8>)> {
    Some(match algorithm {
        Algorithm::Rs256 => (Pkcs1v15Sign::new::<Sha256>(), Sha256::digest(message).to_vec()),
        Algorithm::Rs384 => (Pkcs1v15Sign::new::<Sha384>(), Sha384::digest(message).to_vec()),
        Algorithm::Rs512 => (Pkcs1v15Sign::new::<Sha512>(), Sha512::digest(message).to_vec()),
        _ => return None,
    })
}
