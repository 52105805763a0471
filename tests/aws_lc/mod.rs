//! A host's cryptography, played by AWS-LC: BoringSSL's sibling, so that the
//! host's path can be tested without a host.

#![allow(dead_code, unreachable_pub, reason = "no test binary uses all of it")]

use std::cell::Cell;
use std::rc::Rc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1,
    ECDSA_P521_SHA512_ASN1, EcdsaKeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256, RsaKeyPair, UnparsedPublicKey,
    VerificationAlgorithm,
};
use gatepass::keys::{
    Algorithm, AlgorithmSet, Crypto, HostCrypto, HostSigningKey, HostVerifyingKey,
};

/// Does what Envoy's functions do, and counts how often it is asked.
#[derive(Clone, Default)]
pub struct AwsLc {
    pub verified: Rc<Cell<u32>>,
    pub signed: Rc<Cell<u32>>,
    /// How often a key was made ready.
    pub keys: Rc<Cell<u32>>,
}

struct Key {
    host: AwsLc,
    algorithm: Algorithm,
    der: Vec<u8>,
}

impl AwsLc {
    pub fn verify(
        &self,
        algorithm: Algorithm,
        key: &[u8],
        signature: &[u8],
        message: &[u8],
    ) -> Option<bool> {
        let algorithm: &'static dyn VerificationAlgorithm = match algorithm {
            Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Es256 => &ECDSA_P256_SHA256_ASN1,
            Algorithm::Es384 => &ECDSA_P384_SHA384_ASN1,
            Algorithm::Es512 => &ECDSA_P521_SHA512_ASN1,
            _ => return None,
        };
        self.verified.set(self.verified.get() + 1);
        Some(UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok())
    }

    pub fn sign(&self, algorithm: Algorithm, key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        self.signed.set(self.signed.get() + 1);
        let random = SystemRandom::new();
        match algorithm {
            Algorithm::Es256 => {
                let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key).ok()?;
                key.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec())
            }
            Algorithm::Rs256 => {
                let key = RsaKeyPair::from_pkcs8(key).ok()?;
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            _ => None,
        }
    }

    fn key(&self, algorithm: Algorithm, der: &[u8]) -> Rc<Key> {
        self.keys.set(self.keys.get() + 1);
        Rc::new(Key { host: self.clone(), algorithm, der: der.to_vec() })
    }
}

impl HostCrypto for AwsLc {
    fn verifies(&self) -> AlgorithmSet {
        use Algorithm::{Es256, Es384, Es512, Rs256, Rs384, Rs512};
        [Rs256, Rs384, Rs512, Es256, Es384, Es512].into_iter().collect()
    }

    fn signs(&self) -> AlgorithmSet {
        [Algorithm::Rs256, Algorithm::Es256].into_iter().collect()
    }

    fn verifying_key(&self, algorithm: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
        Some(self.key(algorithm, spki))
    }

    fn signing_key(&self, algorithm: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
        Some(self.key(algorithm, pkcs8))
    }
}

impl HostVerifyingKey for Key {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        self.host.verify(self.algorithm, &self.der, signature, message)
    }
}

impl HostSigningKey for Key {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        self.host.sign(self.algorithm, &self.der, message)
    }
}

/// Both paths: all in the module, and what a host can do in a host.
pub fn both_paths() -> [(&'static str, Crypto); 2] {
    [("module", Crypto::module()), ("host", Crypto::on(Rc::new(AwsLc::default())))]
}
