//! Signatures that one worker verified, for the other workers of the process.

use std::collections::HashSet;
use std::mem;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use aws_lc_rs::digest::{Context, SHA256};
use gatepass::keys::{Algorithm, AlgorithmSet, HostCrypto, HostSigningKey, HostVerifyingKey};

/// The signatures of a generation; of the one before as many are remembered. Both take at most
/// 5 MB.
const GENERATION: usize = 32_768;

static OF_PROCESS: LazyLock<Verified> = LazyLock::new(|| Verified::of(GENERATION));

/// Cryptography by which the workers of a process verify each signature once, not once each.
///
/// Whether a signature is that of a key over a message never changes, so that is all that is
/// remembered, and only if it is. Whether the key still counts, and the token, is up to each
/// gateway, every time.
#[derive(Clone, Copy, Debug)]
pub struct VerifiesOnce<C>(pub C);

/// How many signatures did not have to be verified again since the last call, in the whole
/// process.
pub fn take_reused_signatures() -> u64 {
    OF_PROCESS.reused.swap(0, Ordering::Relaxed)
}

impl<C: HostCrypto> HostCrypto for VerifiesOnce<C> {
    fn verifies(&self) -> AlgorithmSet {
        self.0.verifies()
    }

    fn signs(&self) -> AlgorithmSet {
        self.0.signs()
    }

    fn verifying_key(&self, algorithm: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
        let key = self.0.verifying_key(algorithm, spki)?;
        let id = digest_of([algorithm.name().as_bytes(), spki]);
        Some(Rc::new(Key { key, id, verified: &OF_PROCESS }))
    }

    fn signing_key(&self, algorithm: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
        self.0.signing_key(algorithm, pkcs8)
    }
}

struct Key<'a> {
    key: Rc<dyn HostVerifyingKey>,
    /// The digest of the algorithm and the key.
    id: Digest,
    verified: &'a Verified,
}

impl HostVerifyingKey for Key<'_> {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        // What is signed of a token has a dot (RFC 7515 section 5.1). What has none is a
        // known answer, by which a worker tests the library: from memory it would test nothing.
        if !message.contains(&b'.') {
            return self.key.verify(message, signature);
        }
        let digest = digest_of([&self.id, signature, message]);
        if self.verified.contains(&digest) {
            self.verified.reused.fetch_add(1, Ordering::Relaxed);
            return Some(true);
        }
        let is_valid = self.key.verify(message, signature)?;
        if is_valid {
            self.verified.insert(digest);
        }
        Some(is_valid)
    }
}

type Digest = [u8; 32];

/// The digest of these parts, none of which can pass for a part of another.
fn digest_of<const N: usize>(parts: [&[u8]; N]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// Digests of valid signatures, by how recently they were added.
struct Verified {
    generations: Mutex<[HashSet<Digest>; 2]>,
    most: usize,
    /// How often one was found since this was last read.
    reused: AtomicU64,
}

impl Verified {
    fn of(most: usize) -> Self {
        Self { generations: Mutex::default(), most, reused: AtomicU64::new(0) }
    }

    fn contains(&self, digest: &Digest) -> bool {
        let generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.iter().any(|generation| generation.contains(digest))
    }

    fn insert(&self, digest: Digest) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [current, before] = &mut *generations;
        current.insert(digest);
        if current.len() >= self.most {
            mem::swap(current, before);
            // Its memory is used again.
            current.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;
    use crate::AwsLc;

    /// Takes `good` as the signature of everything, and counts.
    #[derive(Default)]
    struct Counting(Cell<usize>);

    impl HostVerifyingKey for Counting {
        fn verify(&self, _: &[u8], signature: &[u8]) -> Option<bool> {
            self.0.update(|count| count.saturating_add(1));
            match signature {
                b"good" => Some(true),
                b"unknown" => None,
                _ => Some(false),
            }
        }
    }

    /// How often a key of this id verifies by itself.
    fn verifications(verified: &Verified, id: u8, asked: &[(&str, &str, Option<bool>)]) -> usize {
        let counting = Rc::new(Counting::default());
        let key = Key { key: counting.clone(), id: [id; 32], verified };
        for (message, signature, expected) in asked {
            let found = key.verify(message.as_bytes(), signature.as_bytes());
            assert_eq!(found, *expected, "{message} {signature}");
        }
        counting.0.get()
    }

    #[test]
    fn a_worker_does_not_verify_what_another_did() {
        let verified = Verified::of(8);
        let good = [("a.b", "good", Some(true))];
        assert_eq!(verifications(&verified, 1, &good), 1);
        let by_another = thread::scope(|scope| {
            scope.spawn(|| verifications(&verified, 1, &good)).join().expect("it ends")
        });
        assert_eq!((by_another, verified.reused.load(Ordering::Relaxed)), (0, 1));
        assert_eq!(verifications(&verified, 2, &good), 1, "of another key");
        let others = [
            ("a.c", "good", Some(true)),
            ("a.b", "bad", Some(false)),
            ("a.b", "bad", Some(false)),
            ("a.bgood", "", Some(false)),
            ("", "gooda.b", Some(false)),
            ("a.b", "unknown", None),
            ("a.b", "unknown", None),
            // A known answer.
            ("ab", "good", Some(true)),
            ("ab", "good", Some(true)),
        ];
        assert_eq!(verifications(&verified, 1, &others), others.len(), "nothing else counts");
        assert_eq!(verified.reused.load(Ordering::Relaxed), 1);
    }

    /// For any other the gateway would fall back on its own code, which is slower.
    #[test]
    fn it_has_every_algorithm_of_the_library() {
        let own = VerifiesOnce(AwsLc);
        assert_eq!((own.verifies(), own.signs()), (AwsLc.verifies(), AwsLc.signs()));
        assert!(
            own.verifies().contains(Algorithm::Es256) && own.signs().contains(Algorithm::Es256)
        );
    }

    #[test]
    fn the_latest_are_remembered() {
        let verified = Verified::of(4);
        let of = |number: u8| digest_of([&[number]]);
        for number in 0..100 {
            verified.insert(of(number));
            let kept = (0..=number).filter(|known| verified.contains(&of(*known))).count();
            assert!(kept < 8 && (kept >= 4 || kept == usize::from(number) + 1), "{number}: {kept}");
            assert!(verified.contains(&of(number)));
        }
    }
}
