//! Private keys in PKCS#8.

use p256::pkcs8::{AssociatedOid, PrivateKeyInfoRef, SecretDocument};

use super::ecdsa::PrivateEcKey;
use super::error::{KeyKind, SigningKeyError};
use super::pasted::Pasted;
use super::private::PrivateKey;
use super::rsa::PrivateRsaKey;
use super::spki::{EC, ED25519, RSA};
use super::{Algorithm, Family, SigningAlgorithm};
use crate::features::{EdDsa, Es384, Rsa};

/// Parses PKCS#8 in PEM (RFC 5958, RFC 8410 section 7).
pub(super) fn private_key(
    text: &str,
    algorithm: SigningAlgorithm,
) -> Result<PrivateKey, SigningKeyError> {
    let document = match SecretDocument::from_pem(text) {
        Ok(("PRIVATE KEY", document)) => document,
        _ => {
            let pasted = Pasted::as_private(text).map(SigningKeyError::Pasted);
            return Err(pasted.unwrap_or(SigningKeyError::Malformed));
        }
    };
    let info =
        PrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| SigningKeyError::Malformed)?;
    let found = kind(&info);
    if found != KeyKind::Known(Algorithm::from(algorithm).family()) {
        return Err(SigningKeyError::WrongKind { algorithm, found });
    }
    match algorithm {
        SigningAlgorithm::Es256 => p256::SecretKey::try_from(info)
            .map(|key| PrivateKey::Es256(PrivateEcKey::new(key)))
            .map_err(|_| SigningKeyError::Malformed),
        SigningAlgorithm::Es384 => {
            let has = Es384::proof()?;
            p384::SecretKey::try_from(info)
                .map(|key| PrivateKey::Es384(has, PrivateEcKey::new(key)))
                .map_err(|_| SigningKeyError::Malformed)
        }
        SigningAlgorithm::Rs256 => Ok(PrivateKey::Rs256(Rsa::proof()?, rsa(&document, &info)?)),
        SigningAlgorithm::Ps256 => Ok(PrivateKey::Ps256(Rsa::proof()?, rsa(&document, &info)?)),
        SigningAlgorithm::EdDsa => {
            let has = EdDsa::proof()?;
            ed25519_dalek::SigningKey::try_from(info)
                .map(|key| PrivateKey::EdDsa(has, key.into()))
                .map_err(|_| SigningKeyError::Malformed)
        }
    }
}

fn rsa(
    document: &SecretDocument,
    info: &PrivateKeyInfoRef<'_>,
) -> Result<PrivateRsaKey, SigningKeyError> {
    PrivateRsaKey::from_pkcs8(document.clone(), info.private_key.as_bytes())
}

/// The kind of key, by its object identifiers.
fn kind(info: &PrivateKeyInfoRef<'_>) -> KeyKind {
    match info.algorithm.oid {
        RSA => KeyKind::Known(Family::Rsa),
        ED25519 => KeyKind::Known(Family::Ed25519),
        EC => match info.algorithm.parameters_oid() {
            Ok(p256::NistP256::OID) => KeyKind::Known(Family::P256),
            Ok(p384::NistP384::OID) => KeyKind::Known(Family::P384),
            Ok(p521::NistP521::OID) => KeyKind::Known(Family::P521),
            Ok(k256::Secp256k1::OID) => KeyKind::Known(Family::Secp256k1),
            _ => KeyKind::OtherCurve,
        },
        _ => KeyKind::Other,
    }
}
