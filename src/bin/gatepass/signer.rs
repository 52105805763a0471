//! What Envoy's cryptography does for the filter, done here: RSA, without which
//! a configuration that signs with RS256 could not even be read.
//!
//! The arithmetic of the `rsa` crate on private keys is not constant in time
//! (RUSTSEC-2023-0071), which is why the module never uses it; here nobody on
//! the network can measure it.

use gatepass::keys::{Hash, HostCrypto};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _};
use rsa::{RsaPrivateKey, RsaPublicKey};
use sha2::{Digest as _, Sha256, Sha384, Sha512};

/// RSA with PKCS#1 v1.5, as BoringSSL has it; the rest is the module's own.
pub struct Boring;

impl HostCrypto for Boring {
    fn verify(&self, hash: Hash, key: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        let key = RsaPublicKey::from_public_key_der(key).ok()?;
        let (scheme, digest) = hashed(hash, message);
        Some(key.verify(scheme, &digest, signature).is_ok())
    }

    fn sign(&self, hash: Hash, key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        let key = RsaPrivateKey::from_pkcs8_der(key).ok()?;
        let (scheme, digest) = hashed(hash, message);
        key.sign_with_rng(&mut UnwrapErr(SysRng), scheme, &digest).ok()
    }
}

fn hashed(hash: Hash, message: &[u8]) -> (Pkcs1v15Sign, Vec<u8>) {
    match hash {
        Hash::Sha256 => (Pkcs1v15Sign::new::<Sha256>(), Sha256::digest(message).to_vec()),
        Hash::Sha384 => (Pkcs1v15Sign::new::<Sha384>(), Sha384::digest(message).to_vec()),
        Hash::Sha512 => (Pkcs1v15Sign::new::<Sha512>(), Sha512::digest(message).to_vec()),
    }
}
