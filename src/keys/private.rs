//! The private half of a signing key, by kind.

use super::crypto::PrivateKeyInfo;
use super::ecdsa::PrivateEcKey;
use super::eddsa::PrivateEdKey;
use super::rsa::PrivateRsaKey;
use super::verifying::Material;
use super::{SigningAlgorithm, VerifyingKey};
use crate::features::{EdDsa, Es384, Rsa};

pub(super) enum PrivateKey {
    Es256(PrivateEcKey<p256::NistP256>),
    Es384(Es384, PrivateEcKey<p384::NistP384>),
    Rs256(Rsa, PrivateRsaKey),
    Ps256(Rsa, PrivateRsaKey),
    EdDsa(EdDsa, PrivateEdKey),
}

impl PrivateKey {
    /// The one algorithm that it signs with.
    pub(super) const fn algorithm(&self) -> SigningAlgorithm {
        match self {
            Self::Es256(_) => SigningAlgorithm::Es256,
            Self::Es384(..) => SigningAlgorithm::Es384,
            Self::Rs256(..) => SigningAlgorithm::Rs256,
            Self::Ps256(..) => SigningAlgorithm::Ps256,
            Self::EdDsa(..) => SigningAlgorithm::EdDsa,
        }
    }

    /// The public half.
    pub(super) fn verifying_key(&self) -> VerifyingKey {
        let material = match self {
            Self::Es256(key) => Material::P256(key.public()),
            Self::Es384(has, key) => Material::P384(*has, key.public()),
            Self::Rs256(has, key) | Self::Ps256(has, key) => {
                Material::Rsa(*has, key.public().clone())
            }
            Self::EdDsa(has, key) => Material::Ed25519(*has, key.public()),
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
            Self::Es384(_, key) => ec("P-384", key.public().coordinates()),
            Self::Rs256(_, key) | Self::Ps256(_, key) => {
                let [n, e] = key.public().members();
                vec![("e", e), ("kty", "RSA".to_owned()), ("n", n)]
            }
            Self::EdDsa(_, key) => vec![
                ("crv", "Ed25519".to_owned()),
                ("kty", "OKP".to_owned()),
                ("x", key.public().coordinate()),
            ],
        }
    }

    /// The key in the form for hosts.
    pub(super) const fn info(&self) -> &PrivateKeyInfo {
        match self {
            Self::Es256(key) => key.info(),
            Self::Es384(_, key) => key.info(),
            Self::Rs256(_, key) | Self::Ps256(_, key) => key.info(),
            Self::EdDsa(_, key) => key.info(),
        }
    }

    /// The public half as a PEM block.
    pub(super) fn public_pem(&self) -> Option<String> {
        match self {
            Self::Es256(key) => key.public().pem(),
            Self::Es384(_, key) => key.public().pem(),
            Self::Rs256(_, key) | Self::Ps256(_, key) => key.public().pem(),
            Self::EdDsa(_, key) => key.public().pem(),
        }
    }
}
