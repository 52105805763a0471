//! Signatures that cost next to nothing, so that a million events are about who says what and
//! when, not about curves. A host offers them to the gateways as its own of Ed25519; what a
//! gateway tries a host with, it computes truly. Some of the seeds have none of this: see
//! [`Signatures::of`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use gatepass::keys::{Algorithm, AlgorithmSet, HostCrypto, HostSigningKey, HostVerifyingKey};

/// How the signatures of a run are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signatures {
    /// By Ed25519, which the gateways compute themselves.
    True,
    /// By a host that all trust.
    Cheap,
}

impl Signatures {
    /// One seed in sixteen has true ones.
    pub const fn of(seed: u64) -> Self {
        if seed.is_multiple_of(16) { Self::True } else { Self::Cheap }
    }

    /// The host's cryptography, if there is any.
    pub fn host(self) -> Option<Rc<dyn HostCrypto>> {
        (self == Self::Cheap).then(|| Rc::new(Host) as Rc<dyn HostCrypto>)
    }

    /// The signature by the key with this number.
    pub fn sign(self, number: u64, message: &[u8]) -> [u8; 64] {
        match self {
            Self::True => secret(number).sign(message).to_bytes(),
            Self::Cheap => cheap(&public(number), message),
        }
    }
}

fn secret(number: u64) -> SigningKey {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    SigningKey::from_bytes(&seed)
}

/// The public half of the key with this number.
pub fn public(number: u64) -> [u8; 32] {
    thread_local! {
        static KNOWN: RefCell<HashMap<u64, [u8; 32]>> = RefCell::default();
    }
    let make = || secret(number).verifying_key().to_bytes();
    KNOWN.with_borrow_mut(|known| *known.entry(number).or_insert_with(make))
}

/// What stands for the signature of a message by the key with this public half.
pub fn cheap(public: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let mut hasher = DefaultHasher::new();
    hasher.write(public);
    hasher.write(message);
    let mut signature = [0; 64];
    for part in signature.chunks_exact_mut(8) {
        hasher.write_u8(0);
        part.copy_from_slice(&hasher.finish().to_be_bytes());
    }
    signature
}

/// What a gateway tries a host with, as it is and changed.
const TRIALS: [&[u8]; 2] = [b"gatepass", b"gatepasS"];

/// A message, and its signature.
type Trial = (Vec<u8>, Vec<u8>);

struct Host;

struct PublicKey([u8; 32]);

struct PrivateKey(SigningKey);

/// The last 32 bytes of a key in DER: the public half.
fn last(der: &[u8]) -> Option<[u8; 32]> {
    der.last_chunk::<32>().copied()
}

impl HostCrypto for Host {
    fn verifies(&self) -> AlgorithmSet {
        Algorithm::EdDsa.into()
    }

    fn signs(&self) -> AlgorithmSet {
        Algorithm::EdDsa.into()
    }

    fn verifying_key(&self, _: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
        Some(Rc::new(PublicKey(last(spki)?)))
    }

    fn signing_key(&self, _: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
        // RFC 8410 section 7: the seed begins after 16 bytes.
        let seed = pkcs8.get(16..48)?.try_into().ok()?;
        Some(Rc::new(PrivateKey(SigningKey::from_bytes(&seed))))
    }
}

impl HostVerifyingKey for PublicKey {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        if !TRIALS.contains(&message) {
            return Some(signature == cheap(&self.0, message));
        }
        // The same four of each worker that starts.
        thread_local! {
            static KNOWN: RefCell<HashMap<Trial, bool>> = RefCell::default();
        }
        let verify = || {
            let key = VerifyingKey::from_bytes(&self.0).expect("a key");
            let signature = Signature::from_slice(signature).expect("64 bytes");
            key.verify_strict(message, &signature).is_ok()
        };
        let trial = (message.to_vec(), signature.to_vec());
        KNOWN.with_borrow_mut(|known| Some(*known.entry(trial).or_insert_with(verify)))
    }
}

impl HostSigningKey for PrivateKey {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        if TRIALS.contains(&message) {
            return Some(self.0.sign(message).to_vec());
        }
        Some(cheap(&self.0.verifying_key().to_bytes(), message).to_vec())
    }
}
