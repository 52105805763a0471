//! Keys that nobody has, to check a configuration where its own are not.

use std::cell::Cell;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaKeyPair,
};
use gatepass::config::KeyMaker;
use gatepass::keys::SigningAlgorithm;

/// Makes keys by AWS-LC, for one configuration.
#[derive(Debug, Default)]
pub struct MadeUpKeys {
    /// How many RSA keys it has used.
    rsa: Cell<usize>,
}

/// RSA keys that were made, as PKCS#8: one takes a tenth of a second, in which a proxy that
/// checks configurations does nothing else.
static RSA: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

impl MadeUpKeys {
    /// One that this configuration does not have yet.
    fn rsa(&self) -> Result<Vec<u8>, Unspecified> {
        let position = self.rsa.replace(self.rsa.get().saturating_add(1));
        let mut keys = RSA.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = keys.get(position) {
            return Ok(key.clone());
        }
        let key = RsaKeyPair::generate(KeySize::Rsa2048)?;
        let key: Pkcs8V1Der<'_> = key.as_der()?;
        keys.push(key.as_ref().to_vec());
        Ok(key.as_ref().to_vec())
    }
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Result<EcdsaKeyPair, Unspecified> {
    EcdsaKeyPair::generate(algorithm)
}

fn public(key: &impl AsDer<PublicKeyX509Der<'static>>) -> Result<Vec<u8>, Unspecified> {
    Ok(key.as_der()?.as_ref().to_vec())
}

impl KeyMaker for MadeUpKeys {
    type Error = Unspecified;

    fn private_key(&self, algorithm: SigningAlgorithm) -> Result<Vec<u8>, Unspecified> {
        let key = match algorithm {
            SigningAlgorithm::Rs256 | SigningAlgorithm::Ps256 => return self.rsa(),
            SigningAlgorithm::EdDsa => Ed25519KeyPair::generate()?.to_pkcs8v1()?,
            SigningAlgorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)?.to_pkcs8v1()?,
            SigningAlgorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)?.to_pkcs8v1()?,
        };
        Ok(key.as_ref().to_vec())
    }

    fn public_key(&self, algorithm: &str) -> Result<Vec<u8>, Unspecified> {
        match algorithm {
            "EdDSA" => public(Ed25519KeyPair::generate()?.public_key()),
            "ES256" => public(ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)?.public_key()),
            "ES384" => public(ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)?.public_key()),
            "ES512" => public(ecdsa(&ECDSA_P521_SHA512_ASN1_SIGNING)?.public_key()),
            _ => {
                let key = RsaKeyPair::from_pkcs8(&self.rsa()?).map_err(|_| Unspecified)?;
                public(key.public_key())
            }
        }
    }
}
