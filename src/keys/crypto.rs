//! Who computes a signature: the host, where it was seen to do it right, or the
//! module.
//!
//! The seam is here and in the families' files: what is above asks a key, and
//! cannot tell who answered. A host is asked only after the module's own checks
//! of form and range, and a host that does not decide is answered for by the
//! module, so that both accept the same signatures.

use std::fmt;
use std::rc::Rc;

use ecdsa::elliptic_curve::pkcs8::EncodePublicKey;

use super::host::{Hash, HostCrypto};
use super::known_answers::KNOWN_ANSWERS;
use super::{Algorithm, AlgorithmSet};

/// Which algorithms the host computes; the module computes the rest.
#[derive(Clone, Default)]
pub struct Crypto {
    host: Option<Rc<dyn HostCrypto>>,
    verifies: AlgorithmSet,
    signs: AlgorithmSet,
}

impl Crypto {
    /// Everything in the module.
    pub fn module() -> Self {
        Self::default()
    }

    /// The host, for each algorithm of which it tells good signatures from bad
    /// ones in known cases. It does not sign yet.
    pub fn on(host: Rc<dyn HostCrypto>) -> Self {
        let passed = KNOWN_ANSWERS.iter().filter(|answer| answer.is_given_by(&*host));
        let verifies: AlgorithmSet = passed.map(|answer| answer.algorithm).collect();
        // One that gives no right answer is not asked anything again.
        let host = Some(host).filter(|_| !verifies.is_empty());
        Self { host, verifies, signs: AlgorithmSet::EMPTY }
    }

    /// The same, and the host signs with these algorithms.
    #[must_use]
    pub(super) fn signing_with(self, signs: AlgorithmSet) -> Self {
        Self { signs, ..self }
    }

    /// The algorithms whose signatures the host verifies.
    pub const fn host_verifies(&self) -> AlgorithmSet {
        self.verifies
    }

    /// The algorithms that the host signs with.
    pub const fn host_signs(&self) -> AlgorithmSet {
        self.signs
    }

    /// The host's signature, in the host's form, if it is trusted with that.
    pub(super) fn sign(
        &self,
        algorithm: Algorithm,
        pkcs8: &[u8],
        signing_input: &[u8],
    ) -> Option<Vec<u8>> {
        if !self.signs.contains(algorithm) {
            return None;
        }
        self.try_sign(algorithm, pkcs8, signing_input)
    }

    /// The host's signature, trusted or not.
    pub(super) fn try_sign(
        &self,
        algorithm: Algorithm,
        pkcs8: &[u8],
        signing_input: &[u8],
    ) -> Option<Vec<u8>> {
        self.host.as_ref()?.sign(Hash::on_host(algorithm)?, pkcs8, signing_input)
    }
}

impl fmt::Debug for Crypto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crypto")
            .field("host_verifies", &self.verifies)
            .field("host_signs", &self.signs)
            .finish_non_exhaustive()
    }
}

/// A public key as a host takes it, written once. Without it, the module alone
/// verifies.
#[derive(Clone)]
pub(super) struct PublicKeyInfo(Option<Rc<[u8]>>);

impl PublicKeyInfo {
    pub(super) fn of(key: &impl EncodePublicKey) -> Self {
        Self(key.to_public_key_der().ok().map(|document| document.as_bytes().into()))
    }

    /// The host's answer, where it is trusted with the algorithm and decides.
    /// `signature` makes the host's form of the signature.
    pub(super) fn verify<S: AsRef<[u8]>>(
        &self,
        crypto: &Crypto,
        algorithm: Algorithm,
        signing_input: &[u8],
        signature: impl FnOnce() -> S,
    ) -> Option<bool> {
        if !crypto.verifies.contains(algorithm) {
            return None;
        }
        let (host, key) = (crypto.host.as_ref()?, self.0.as_ref()?);
        host.verify(Hash::on_host(algorithm)?, key, signature().as_ref(), signing_input)
    }
}
