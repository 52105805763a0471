//! AWS-LC as the host's cryptography: every asymmetric algorithm, with keys that are
//! parsed once.

mod made_up;
mod verified;

use std::rc::Rc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256K1_SHA256_ASN1,
    ECDSA_P384_SHA384_ASN1, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1, ED25519,
    EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA256,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair, VerificationAlgorithm,
};
use gatepass::keys::{
    Algorithm, AlgorithmSet, HostCrypto, HostSigningKey, HostVerifyingKey, SigningAlgorithm,
};

pub use self::made_up::MadeUpKeys;
pub use self::verified::{VerifiesOnce, take_reused_signatures};

/// AWS-LC, in the process.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl HostCrypto for AwsLc {
    fn verifies(&self) -> AlgorithmSet {
        Algorithm::ALL.into_iter().filter(|algorithm| verification(*algorithm).is_some()).collect()
    }

    fn signs(&self) -> AlgorithmSet {
        use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256};
        [Es256, EdDsa, Rs256, Ps256, Es384].into_iter().map(Algorithm::from).collect()
    }

    fn verifying_key(&self, algorithm: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
        let key = ParsedPublicKey::new(verification(algorithm)?, spki).ok()?;
        Some(Rc::new(PublicKey(key)))
    }

    fn signing_key(&self, algorithm: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
        let rsa = |encoding| {
            let key = RsaKeyPair::from_pkcs8(pkcs8).ok()?;
            Some(Rc::new(PrivateKey::Rsa(key, encoding)))
        };
        let ecdsa = |signing| {
            let key = EcdsaKeyPair::from_pkcs8(signing, pkcs8).ok()?;
            Some(Rc::new(PrivateKey::Ecdsa(key)))
        };
        let key = match algorithm {
            Algorithm::Rs256 => rsa(&RSA_PKCS1_SHA256),
            Algorithm::Ps256 => rsa(&RSA_PSS_SHA256),
            Algorithm::Es256 => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Algorithm::Es384 => ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING),
            Algorithm::EdDsa => {
                let key = Ed25519KeyPair::from_pkcs8(pkcs8).ok()?;
                Some(Rc::new(PrivateKey::Ed25519(key)))
            }
            _ => None,
        };
        Some(key?)
    }
}

/// The verification algorithm. ECDSA signatures are in DER, the form AWS-LC uses.
fn verification(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512 => return None,
        Algorithm::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::Es256 => &ECDSA_P256_SHA256_ASN1,
        Algorithm::Es384 => &ECDSA_P384_SHA384_ASN1,
        Algorithm::Es512 => &ECDSA_P521_SHA512_ASN1,
        Algorithm::Es256K => &ECDSA_P256K1_SHA256_ASN1,
        Algorithm::EdDsa => &ED25519,
    })
}

struct PublicKey(ParsedPublicKey);

impl HostVerifyingKey for PublicKey {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        Some(self.0.verify_sig(message, signature).is_ok())
    }
}

enum PrivateKey {
    Rsa(RsaKeyPair, &'static dyn RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl HostSigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(*encoding, &random, message, &mut signature).ok()?;
                Some(signature)
            }
            Self::Ecdsa(key) => key.sign(&random, message).ok().map(|it| it.as_ref().to_vec()),
            Self::Ed25519(key) => key.try_sign(message).ok().map(|it| it.as_ref().to_vec()),
        }
    }
}
