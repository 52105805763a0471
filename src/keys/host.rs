//! The interface to a host's cryptography.
//!
//! A host turns the DER of a key into a key of its own, once; that key verifies or signs
//! from then on. `None` always means that the host gave no answer, for whatever reason:
//! then the module computes.
//!
//! Signatures have the form of a JWS (RFC 7518 section 3, RFC 8037 section 3.1),
//! except those of ECDSA, which are in DER (RFC 3279 section 2.2.3).

use std::rc::Rc;

use super::{Algorithm, AlgorithmSet};

/// A host that computes signatures faster than the module can.
///
/// It is used only for algorithms that it offers, and only after it passed known-answer
/// tests. Symmetric algorithms stay in the module.
pub trait HostCrypto {
    /// The algorithms whose signatures it offers to verify.
    fn verifies(&self) -> AlgorithmSet;

    /// The algorithms that it offers to sign with.
    fn signs(&self) -> AlgorithmSet;

    /// A public key prepared for verifying with `algorithm`; `spki` is a
    /// SubjectPublicKeyInfo in DER (RFC 5280 section 4.1).
    fn verifying_key(&self, algorithm: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>>;

    /// A private key prepared for signing with `algorithm`; `pkcs8` is a PrivateKeyInfo
    /// in DER (RFC 5208, and RFC 5958 with the public half for Ed25519).
    fn signing_key(&self, algorithm: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>>;
}

/// A host's form of a public key, for one algorithm.
pub trait HostVerifyingKey {
    /// True if `signature` is valid for `message`; `None` if the host gives no answer.
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool>;
}

/// A host's form of a private key, for one algorithm.
pub trait HostSigningKey {
    /// A signature of `message`.
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>>;
}
