//! Stands in for Envoy's cryptography: RSA, without which a configuration that signs
//! with RS256 could not be read.
//!
//! The arithmetic of the `rsa` crate on private keys is not constant in time
//! (RUSTSEC-2023-0071), so the module never uses it; here it cannot be measured over a
//! network.

use std::rc::Rc;

use gatepass::keys::{Algorithm, AlgorithmSet, HostCrypto, HostSigningKey, HostVerifyingKey};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// RSA with PKCS#1 v1.5, as BoringSSL has it; the rest is the module's own.
pub struct RustCryptoHost;

struct Key<K> {
    algorithm: Algorithm,
    key: K,
}

impl HostCrypto for RustCryptoHost {
    fn verifies(&self) -> AlgorithmSet {
        [Algorithm::Rs256, Algorithm::Rs384, Algorithm::Rs512].into_iter().collect()
    }

    fn signs(&self) -> AlgorithmSet {
        Algorithm::Rs256.into()
    }

    fn verifying_key(&self, algorithm: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
        let key = RsaPublicKey::from_public_key_der(spki).ok()?;
        Some(Rc::new(Key { algorithm, key }))
    }

    fn signing_key(&self, algorithm: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
        let key = RsaPrivateKey::from_pkcs8_der(pkcs8).ok()?;
        Some(Rc::new(Key { algorithm, key }))
    }
}

impl HostVerifyingKey for Key<RsaPublicKey> {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        let (scheme, digest) = hashed(self.algorithm, message)?;
        Some(self.key.verify(scheme, &digest, signature).is_ok())
    }
}

impl HostSigningKey for Key<RsaPrivateKey> {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (scheme, digest) = hashed(self.algorithm, message)?;
        self.key.sign_with_rng(&mut UnwrapErr(SysRng), scheme, &digest).ok()
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
