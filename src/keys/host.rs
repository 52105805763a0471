//! The cryptography of a host, as the keys ask for it.

use super::Algorithm;

/// A hash function of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

/// A host that computes signatures faster than the module can: RSA with PKCS#1
/// v1.5 (never PSS) and ECDSA on the curves of NIST, which the key tells.
///
/// `None` says that the host did not decide, for whatever reason. ECDSA
/// signatures are in DER (RFC 3279 section 2.2.3).
pub trait HostCrypto {
    /// Whether `signature` is the key's over `message`; `key` is a
    /// SubjectPublicKeyInfo in DER (RFC 5280 section 4.1).
    fn verify(&self, hash: Hash, key: &[u8], signature: &[u8], message: &[u8]) -> Option<bool>;

    /// A signature of `message`; `key` is a PKCS#8 PrivateKeyInfo in DER.
    fn sign(&self, hash: Hash, key: &[u8], message: &[u8]) -> Option<Vec<u8>>;
}

impl Hash {
    /// The hash of an algorithm that a host may compute.
    pub(super) const fn on_host(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Rs256 | Algorithm::Es256 => Some(Self::Sha256),
            Algorithm::Rs384 | Algorithm::Es384 => Some(Self::Sha384),
            Algorithm::Rs512 | Algorithm::Es512 => Some(Self::Sha512),
            _ => None,
        }
    }
}
