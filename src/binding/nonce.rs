//! Nonces for proofs (RFC 9449 section 9): the time, and a MAC that shows it is the
//! gateway's. Nothing is stored, so every worker and every gateway with the same key
//! recognizes them.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use crate::keys::mac_sha256;
use crate::secret::Secret;
use crate::time::UnixTime;

/// The keys for nonces: the first one creates them, all of them verify.
#[derive(Debug)]
pub struct Nonces {
    keys: Vec<Secret<String>>,
}

/// Half of SHA-256 (RFC 2104 section 5).
const MAC: usize = 16;

impl Nonces {
    /// Nonces with these keys; `None` if there are none.
    pub fn new(keys: Vec<Secret<String>>) -> Option<Self> {
        (!keys.is_empty()).then_some(Self { keys })
    }

    /// A nonce for the current time. It is the same for a second, which reveals nothing:
    /// it only contains the time.
    pub fn make(&self, now: UnixTime) -> Option<String> {
        let time = now.as_secs().to_be_bytes();
        Some(BASE64_URL_SAFE_NO_PAD.encode([&time[..], &tag(self.keys.first()?, time)?].concat()))
    }

    /// When a nonce was created; `None` if it is not one of ours.
    pub fn time_of(&self, nonce: &str) -> Option<UnixTime> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(nonce).ok()?;
        let (time, told) = bytes.split_first_chunk::<8>()?;
        // Compared by digest, so that the time it takes reveals nothing.
        let told = Sha256::digest(told);
        let is_ours = |key| tag(key, *time).is_some_and(|own| Sha256::digest(own) == told);
        self.keys.iter().any(is_ours).then(|| UnixTime::from_secs(i64::from_be_bytes(*time)))
    }
}

fn tag(key: &Secret<String>, time: [u8; 8]) -> Option<[u8; MAC]> {
    let message = [&b"gatepass dpop nonce\n"[..], &time].concat();
    mac_sha256(key.expose().as_bytes(), &message).first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_are_known_by_their_keys() {
        let key = |text: &str| Secret::new(text.to_owned());
        let nonces = |keys: &[&str]| Nonces::new(keys.iter().map(|it| key(it)).collect()).unwrap();
        let now = UnixTime::from_secs(1_800_000_000);
        let (old, new) = (nonces(&["old"]), nonces(&["new", "old"]));
        let nonce = old.make(now).unwrap();
        assert_eq!(old.time_of(&nonce), Some(now));
        assert_eq!(new.time_of(&nonce), Some(now), "a key that is being replaced");
        assert_eq!(old.time_of(&new.make(now).unwrap()), None);
        for bit in 0..nonce.len() {
            let mut other = nonce.clone().into_bytes();
            other[bit] = if other[bit] == b'A' { b'B' } else { b'A' };
            assert_eq!(old.time_of(&String::from_utf8(other).unwrap()), None, "{bit}");
        }
        let short: String = nonce.chars().skip(4).collect();
        for odd in ["", "x", &short, &format!("{nonce}AAAA"), "AAAAAAAAAAA"] {
            assert_eq!(old.time_of(odd), None, "{odd}");
        }
        assert!(Nonces::new(Vec::new()).is_none());
    }
}
