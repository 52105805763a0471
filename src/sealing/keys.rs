//! The keys, and the format of a sealed token:
//!
//! ```text
//! gps_ base64url( version 1 | key id 4 | nonce 24 | XChaCha20-Poly1305 of the token )
//! ```

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

use crate::secret::Secret;

const PREFIX: &[u8] = b"gps_";
const VERSION: u8 = 1;
const KEY_ID: usize = 4;
const NONCE: usize = 24;
const TAG: usize = 16;

/// The context that the ciphertext is bound to, so that it is useless for any other
/// purpose of the same key.
const CONTEXT: &[u8] = b"gatepass sealed token v1";

/// Whether a token has the form of a sealed one.
pub fn is_sealed(token: &[u8]) -> bool {
    token.starts_with(PREFIX)
}

/// A key that seals tokens and opens them.
///
/// Each derived value is a hash of the secret and its purpose, so that one reveals
/// nothing about another.
#[derive(Debug)]
pub struct SealKey {
    encryption: Secret<[u8; 32]>,
    nonces: Secret<[u8; 32]>,
    id: [u8; KEY_ID],
}

/// A sealed token that none of the keys opens: forged, modified, or sealed with a key
/// that is no longer in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsealable;

/// Not 32 bytes in base64 or base64url.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSealKey;

impl SealKey {
    /// Parses a key: 32 bytes in base64 or base64url, with or without padding.
    pub fn parse(text: &str) -> Result<Self, InvalidSealKey> {
        let text = text.trim_ascii();
        let alphabet =
            if text.contains(['-', '_']) { alphabet::URL_SAFE } else { alphabet::STANDARD };
        let config = NO_PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let decoded = GeneralPurpose::new(&alphabet, config).decode(text);
        let secret = decoded.ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        Ok(Self::new(&secret.ok_or(InvalidSealKey)?))
    }

    fn new(secret: &[u8; 32]) -> Self {
        let derive = |purpose: &[u8]| -> [u8; 32] {
            Sha256::new()
                .chain_update(CONTEXT)
                .chain_update(purpose)
                .chain_update(secret)
                .finalize()
                .into()
        };
        let [a, b, c, d, ..] = derive(b" key id\0");
        Self {
            encryption: Secret::new(derive(b" encryption\0")),
            nonces: Secret::new(derive(b" nonces\0")),
            id: [a, b, c, d],
        }
    }

    /// The nonce for a token: a keyed hash of it and of `random`.
    ///
    /// Two tokens under one nonce would reveal both, and not every host has good
    /// randomness (on Kong it is the C library's `random()`). As the nonce depends on the
    /// token, two different tokens never share one, however bad `random` is; at worst it
    /// shows that one token was sealed twice. As it depends on a secret, it reveals
    /// nothing about the token.
    fn nonce(&self, random: &[u8], token: &[u8]) -> [u8; NONCE] {
        let hash = Sha256::new()
            .chain_update(self.nonces.expose())
            .chain_update(Sha256::digest(random))
            .chain_update(token)
            .finalize();
        let mut nonce = [0; NONCE];
        nonce.iter_mut().zip(hash).for_each(|(byte, hashed)| *byte = hashed);
        nonce
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.encryption.expose()))
    }
}

/// The keys: the first one seals, all of them open.
#[derive(Debug)]
pub struct SealKeys {
    first: SealKey,
    others: Vec<SealKey>,
}

/// Why keys do not make valid [`SealKeys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidSealKeys {
    /// There are none.
    None,
    /// A key is repeated, or two have the same id, so the opening key would be ambiguous.
    Repeated,
}

impl SealKeys {
    /// These keys.
    pub fn new(keys: Vec<SealKey>) -> Result<Self, InvalidSealKeys> {
        let is_repeated =
            |key: &SealKey| keys.iter().filter(|other| other.id == key.id).count() > 1;
        if keys.iter().any(is_repeated) {
            return Err(InvalidSealKeys::Repeated);
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(InvalidSealKeys::None)?;
        Ok(Self { first, others: keys.collect() })
    }

    /// Seals a token. `random` should differ for each call; if it does not, the only
    /// effect is that a token sealed twice is recognizable as such.
    ///
    /// `None` for a token that is already sealed: it could not be opened again.
    pub fn seal(&self, token: &[u8], random: &[u8]) -> Option<String> {
        if is_sealed(token) {
            return None;
        }
        let key = &self.first;
        let nonce = key.nonce(random, token);
        let payload = Payload { msg: token, aad: CONTEXT };
        let ciphertext = key.cipher().encrypt(&XNonce::from(nonce), payload).ok()?;
        let bytes = [&[VERSION][..], &key.id, &nonce, &ciphertext].concat();
        let mut sealed = String::from_utf8_lossy(PREFIX).into_owned();
        BASE64_URL_SAFE_NO_PAD.encode_string(bytes, &mut sealed);
        Some(sealed)
    }

    /// Opens a sealed token.
    ///
    /// A sealed token has only one encoding: decoding is strict, and every bit is either
    /// compared or authenticated.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Unsealable> {
        let text = sealed.strip_prefix(PREFIX).ok_or(Unsealable)?;
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| Unsealable)?;
        let (version, bytes) = bytes.split_first().ok_or(Unsealable)?;
        let (id, bytes) = bytes.split_first_chunk::<KEY_ID>().ok_or(Unsealable)?;
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE>().ok_or(Unsealable)?;
        if *version != VERSION || ciphertext.len() <= TAG {
            return Err(Unsealable);
        }
        let mut keys = std::iter::once(&self.first).chain(&self.others);
        let key = keys.find(|key| key.id == *id).ok_or(Unsealable)?;
        let payload = Payload { msg: ciphertext, aad: CONTEXT };
        let token = key.cipher().decrypt(&XNonce::from(*nonce), payload);
        // A token inside a sealed one must be a token, not another envelope.
        token.ok().filter(|token| !is_sealed(token)).ok_or(Unsealable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const NEW: &str = "__________________________________________8";
    const TOKEN: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";

    /// Made by other code, in Python with libsodium's XChaCha20-Poly1305, from the
    /// description at the top of this file and in [`SealKey`].
    const KNOWN: &str = "gps_AdAfnRm5e8x8PGFpf39qxQLRcErfg4SXy-tLr71eUReslEHhoN15eDzh0M_MP_rzw1_l1AeCLbevIPm8Dze6C24SvHEMqSgb7ofKZ1oqEiBoWWEObchAp4nUOEz6RCMIJnoQ";

    fn keys(texts: &[&str]) -> SealKeys {
        SealKeys::new(texts.iter().map(|text| SealKey::parse(text).unwrap()).collect()).unwrap()
    }

    fn decoded(sealed: impl AsRef<[u8]>) -> Vec<u8> {
        BASE64_URL_SAFE_NO_PAD.decode(&sealed.as_ref()[4..]).unwrap()
    }

    #[test]
    fn what_is_sealed_can_be_opened() {
        for token in [&b"x"[..], TOKEN, &[b'a'; 8192]] {
            let sealed = keys(&[OLD]).seal(token, b"random").unwrap();
            assert!(sealed.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            assert_eq!(keys(&[OLD]).open(sealed.as_bytes()).unwrap(), token);
        }
    }

    #[test]
    fn a_token_that_other_code_sealed() {
        assert_eq!(keys(&[OLD]).open(KNOWN.as_bytes()).unwrap(), TOKEN);
        assert_eq!(keys(&[OLD]).seal(TOKEN, b"random").unwrap(), KNOWN);
    }

    #[test]
    fn nothing_of_the_token_shows() {
        let sealed = keys(&[OLD]).seal(TOKEN, b"random").unwrap();
        let bytes = decoded(&sealed);
        for seen in [sealed.as_bytes(), &bytes] {
            for part in TOKEN.windows(6) {
                assert!(!seen.windows(6).any(|window| window == part));
            }
        }
    }

    #[test]
    fn every_changed_bit_is_noticed() {
        let keys = keys(&[OLD, NEW]);
        let sealed = keys.seal(TOKEN, b"random").unwrap().into_bytes();
        for position in 0..sealed.len() {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[position] ^= 1 << bit;
                assert_eq!(keys.open(&changed), Err(Unsealable), "bit {bit} of {position}");
            }
        }
        let bytes = decoded(&sealed);
        for position in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[position] ^= 1 << bit;
                let text = format!("gps_{}", BASE64_URL_SAFE_NO_PAD.encode(changed));
                assert_eq!(keys.open(text.as_bytes()), Err(Unsealable), "bit {bit} of {position}");
            }
        }
    }

    #[test]
    fn every_cut_is_noticed() {
        let keys = keys(&[OLD]);
        let sealed = keys.seal(TOKEN, b"random").unwrap().into_bytes();
        for length in 0..sealed.len() {
            assert_eq!(keys.open(&sealed[..length]), Err(Unsealable), "the first {length} bytes");
        }
        for start in 1..sealed.len() {
            assert_eq!(keys.open(&sealed[start..]), Err(Unsealable), "from byte {start} on");
        }
        for more in ["A", "AA", "AAA", "AAAA", "=", "==", ".", " ", "\n", "\0"] {
            let longer = [&sealed[..], more.as_bytes()].concat();
            assert_eq!(keys.open(&longer), Err(Unsealable), "and {more:?}");
        }
        for inner in 0..TAG {
            let bytes = vec![VERSION; 1 + KEY_ID + NONCE + inner];
            let text = format!("gps_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
            assert_eq!(keys.open(text.as_bytes()), Err(Unsealable));
        }
    }

    #[test]
    fn other_keys_open_nothing() {
        let sealed = keys(&[OLD]).seal(TOKEN, b"random").unwrap();
        assert_eq!(keys(&[NEW]).open(sealed.as_bytes()), Err(Unsealable));
        // Nor if the key id claims that it is theirs.
        let mut bytes = decoded(&sealed);
        bytes[1..5].copy_from_slice(&SealKey::parse(NEW).unwrap().id);
        let text = format!("gps_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(keys(&[NEW]).open(text.as_bytes()), Err(Unsealable));
    }

    #[test]
    fn keys_are_changed_without_a_token_lost() {
        let (before, during, after) = (keys(&[OLD]), keys(&[NEW, OLD]), keys(&[NEW]));
        let old = before.seal(TOKEN, b"1").unwrap();
        let new = during.seal(TOKEN, b"2").unwrap();
        assert_eq!(during.open(old.as_bytes()).unwrap(), TOKEN);
        assert_eq!(during.open(new.as_bytes()).unwrap(), TOKEN);
        assert_eq!(after.open(new.as_bytes()).unwrap(), TOKEN);
        assert_eq!(after.open(old.as_bytes()), Err(Unsealable));
        assert_eq!(before.open(new.as_bytes()), Err(Unsealable));
    }

    #[test]
    fn bad_randomness_never_makes_two_tokens_share_a_nonce() {
        let keys = keys(&[OLD]);
        let nonce = |token: &[u8], random: &[u8]| {
            let sealed = keys.seal(token, random).unwrap();
            decoded(&sealed)[5..29].to_vec()
        };
        assert_ne!(nonce(b"token-a", b""), nonce(b"token-b", b""));
        assert_ne!(nonce(b"token-a", b"1"), nonce(b"token-a", b"2"));
        assert_ne!(nonce(b"ba", b"a"), nonce(b"a", b"ab"), "where one ends counts");
    }

    #[test]
    fn sealed_tokens_are_not_sealed_again() {
        let keys = keys(&[OLD]);
        let sealed = keys.seal(TOKEN, b"1").unwrap();
        assert_eq!(keys.seal(sealed.as_bytes(), b"2"), None);
        // Made with the right key, in violation of the rule.
        let key = &keys.first;
        let nonce = [7; NONCE];
        let payload = Payload { msg: sealed.as_bytes(), aad: CONTEXT };
        let ciphertext = key.cipher().encrypt(&XNonce::from(nonce), payload).unwrap();
        let bytes = [&[VERSION][..], &key.id, &nonce, &ciphertext].concat();
        let nested = format!("gps_{}", BASE64_URL_SAFE_NO_PAD.encode(bytes));
        assert_eq!(keys.open(nested.as_bytes()), Err(Unsealable));
    }

    #[test]
    fn keys_by_their_form() {
        for (case, text, accepted) in [
            ("base64", OLD, true),
            ("without padding", OLD.trim_end_matches('='), true),
            ("base64url", NEW, true),
            ("a line break after it", &format!("{OLD}\n"), true),
            ("31 bytes", &"A".repeat(42), false),
            ("33 bytes", &"A".repeat(44), false),
            ("nothing", "", false),
            ("hex", &"0f".repeat(32), false),
            ("words", "correct horse battery staple", false),
            ("both alphabets", &format!("-+{}", "A".repeat(41)), false),
        ] {
            assert_eq!(SealKey::parse(text).is_ok(), accepted, "{case}");
        }
        let parse = |text| SealKey::parse(text).unwrap();
        assert_eq!(SealKeys::new(vec![]).unwrap_err(), InvalidSealKeys::None);
        let twice = SealKeys::new(vec![parse(OLD), parse(NEW), parse(OLD)]);
        assert_eq!(twice.unwrap_err(), InvalidSealKeys::Repeated);
        let shown = format!("{:?}", parse(OLD));
        assert!(shown.contains("encryption: [secret], nonces: [secret]"), "{shown}");
    }
}
