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
use gatepass::keys::{Crypto, Hash, HostCrypto};

/// Does what Envoy's functions do, and counts how often it is asked.
#[derive(Default)]
pub struct AwsLc {
    pub verified: Cell<u32>,
    pub signed: Cell<u32>,
}

/// Object identifiers as they stand in a SubjectPublicKeyInfo.
const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
const P256: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07];
const P384: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x22];
const P521: &[u8] = &[0x2B, 0x81, 0x04, 0x00, 0x23];

fn names(key: &[u8], identifier: &[u8]) -> bool {
    key.windows(identifier.len()).take(40).any(|window| window == identifier)
}

impl HostCrypto for AwsLc {
    fn verify(&self, hash: Hash, key: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        let algorithm: &'static dyn VerificationAlgorithm = match hash {
            Hash::Sha256 if names(key, RSA) => &RSA_PKCS1_2048_8192_SHA256,
            Hash::Sha384 if names(key, RSA) => &RSA_PKCS1_2048_8192_SHA384,
            Hash::Sha512 if names(key, RSA) => &RSA_PKCS1_2048_8192_SHA512,
            Hash::Sha256 if names(key, P256) => &ECDSA_P256_SHA256_ASN1,
            Hash::Sha384 if names(key, P384) => &ECDSA_P384_SHA384_ASN1,
            Hash::Sha512 if names(key, P521) => &ECDSA_P521_SHA512_ASN1,
            _ => return None,
        };
        self.verified.set(self.verified.get() + 1);
        Some(UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok())
    }

    fn sign(&self, hash: Hash, key: &[u8], message: &[u8]) -> Option<Vec<u8>> {
        self.signed.set(self.signed.get() + 1);
        let random = SystemRandom::new();
        if hash != Hash::Sha256 {
            return None;
        }
        if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, key) {
            return key.sign(&random, message).ok().map(|signature| signature.as_ref().to_vec());
        }
        let key = RsaKeyPair::from_pkcs8(key).ok()?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).ok()?;
        Some(signature)
    }
}

/// Both paths: all in the module, and what a host can do in a host.
pub fn both_paths() -> [(&'static str, Crypto); 2] {
    [("module", Crypto::module()), ("host", Crypto::on(Rc::new(AwsLc::default())))]
}
