//! The private half of a signing key, by kind.

use super::ecdsa::PrivateEcKey;
use super::eddsa::PrivateEdKey;
use super::rsa::PrivateRsaKey;
use super::verifying::Material;
use super::{SigningAlgorithm, VerifyingKey};

pub(super) enum PrivateKey {
    Es256(PrivateEcKey<p256::NistP256>),
    Es384(PrivateEcKey<p384::NistP384>),
    Rs256(PrivateRsaKey),
    Ps256(PrivateRsaKey),
    EdDsa(PrivateEdKey),
}

impl PrivateKey {
    /// The one algorithm that it signs with.
    pub(super) const fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::Es256(_) => SigningAlgorithm::Es256,
            Self::Es384(_) => SigningAlgorithm::Es384,
            Self::Rs256(_) => SigningAlgorithm::Rs256,
            Self::Ps256(_) => SigningAlgorithm::Ps256,
            Self::EdDsa(_) => SigningAlgorithm::EdDsa,
        }
    }

    /// The public half.
    pub(super) fn verifying_key(&self) -> VerifyingKey {
        let material = match self {
            Self::Es256(key) => Material::P256(key.public()),
            Self::Es384(key) => Material::P384(key.public()),
            Self::Rs256(key) | Self::Ps256(key) => Material::Rsa(key.public().clone()),
            Self::EdDsa(key) => Material::Ed25519(key.public()),
        };
        VerifyingKey::new(self.algorithm().into(), material)
    }

    /// The members in a thumbprint, in its order (RFC 7638 section 3.2, RFC 8037 section
    /// 2).
    pub(super) fn public_members(&self) -> Vec<(&'static str, String)> {
        let ec = |curve: &str, [x, y]: [String; 2]| {
            vec![("crv", curve.to_owned()), ("kty", "EC".to_owned()), ("x", x), ("y", y)]
        };
        match self {
            Self::Es256(key) => ec("P-256", key.public().coordinates()),
            Self::Es384(key) => ec("P-384", key.public().coordinates()),
            Self::Rs256(key) | Self::Ps256(key) => {
                let [n, e] = key.public().members();
                vec![("e", e), ("kty", "RSA".to_owned()), ("n", n)]
            }
            Self::EdDsa(key) => vec![
                ("crv", "Ed25519".to_owned()),
                ("kty", "OKP".to_owned()),
                ("x", key.public().coordinate()),
            ],
        }
    }

    /// The public half as a PEM block.
    pub(super) fn public_pem(&self) -> Option<String> {
        match self {
            Self::Es256(key) => key.public().pem(),
            Self::Es384(key) => key.public().pem(),
            Self::Rs256(key) | Self::Ps256(key) => key.public().pem(),
            Self::EdDsa(key) => key.public().pem(),
        }
    }
}
