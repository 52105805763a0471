//! EdDSA on Ed25519 (RFC 8037 section 3.1).

use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::EncodePrivateKey as _;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::Algorithm;
use super::crypto::{Crypto, PrivateKeyInfo, PublicKeyInfo};
use super::error::{KeyError, SigningKeyError};
use super::host::HostCrypto;
use super::jwk::Jwk;

/// A public key.
#[derive(Clone)]
pub(super) struct EdKey {
    point: VerifyingKey,
    info: PublicKeyInfo,
}

impl EdKey {
    /// Parses `x` (RFC 8037 section 2).
    ///
    /// For a point of small order there are signatures that are valid for any message; a
    /// point in a non-canonical encoding does not come from an honest issuer.
    pub(super) fn from_jwk(jwk: Jwk<'_>) -> Result<Self, KeyError> {
        let bytes = jwk.array::<32>("x")?;
        let point = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotOnCurve)?;
        if point.is_weak() || !is_reduced(&bytes) {
            return Err(KeyError::WeakPoint);
        }
        Ok(Self::new(point))
    }

    fn new(point: VerifyingKey) -> Self {
        Self { point, info: PublicKeyInfo::of(&point) }
    }

    /// Verifies strictly: S is below the order, R is canonical and neither point has
    /// small order, so nobody can derive a second signature from a first.
    ///
    /// Hosts check S and compare R by its bytes; the check that R is not of small order
    /// is done here.
    // RFC 8032 section 5.1.7 (R18)
    pub(super) fn verify(
        &self,
        crypto: &Crypto,
        algorithm: Algorithm,
        signing_input: &[u8],
        signature: &[u8],
    ) -> bool {
        let Ok(signature) = Signature::from_slice(signature) else { return false };
        if has_small_order(signature.r_bytes()) {
            return false;
        }
        self.info
            .verify(crypto, algorithm, signing_input, || signature.to_bytes())
            .unwrap_or_else(|| self.point.verify_strict(signing_input, &signature).is_ok())
    }

    /// The key as a PEM block.
    pub(super) fn pem(&self) -> Option<String> {
        self.info.pem()
    }

    /// `x` in base64url.
    pub(super) fn coordinate(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.point.as_bytes())
    }
}

impl PartialEq for EdKey {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

/// Whether y is below p, which is 2^255 - 19. The other encoding that is not canonical, of
/// x = 0 with a sign, is of points of small order.
fn is_reduced([low, middle @ .., high]: &[u8; 32]) -> bool {
    *low < 0xED || high & 0x7F != 0x7F || middle.iter().any(|byte| *byte != 0xFF)
}

/// Whether a point is one of the eight of small order, in any encoding: the sign of x is
/// the highest bit.
fn has_small_order(point: &[u8; 32]) -> bool {
    let [y @ .., last] = point;
    SMALL_ORDER.iter().any(|[known @ .., known_last]| y == known && last & 0x7F == *known_last)
}

/// The y of these points, in little endian, including the two that are not reduced. A
/// test compares them with the library.
const SMALL_ORDER: [[u8; 32]; 7] = [
    spelled(0, 0, 0),
    spelled(1, 0, 0),
    [
        0x26, 0xE8, 0x95, 0x8F, 0xC2, 0xB2, 0x27, 0xB0, 0x45, 0xC3, 0xF4, 0x89, 0xF2, 0xEF, 0x98,
        0xF0, 0xD5, 0xDF, 0xAC, 0x05, 0xD3, 0xC6, 0x33, 0x39, 0xB1, 0x38, 0x02, 0x88, 0x6D, 0x53,
        0xFC, 0x05,
    ],
    [
        0xC7, 0x17, 0x6A, 0x70, 0x3D, 0x4D, 0xD8, 0x4F, 0xBA, 0x3C, 0x0B, 0x76, 0x0D, 0x10, 0x67,
        0x0F, 0x2A, 0x20, 0x53, 0xFA, 0x2C, 0x39, 0xCC, 0xC6, 0x4E, 0xC7, 0xFD, 0x77, 0x92, 0xAC,
        0x03, 0x7A,
    ],
    spelled(0xEC, 0xFF, 0x7F),
    spelled(0xED, 0xFF, 0x7F),
    spelled(0xEE, 0xFF, 0x7F),
];

/// A coordinate in little endian: `low`, then `middle` 30 times, then `high`.
const fn spelled(low: u8, middle: u8, high: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    let [first, .., last] = &mut bytes;
    (*first, *last) = (low, high);
    bytes
}

/// A private key for `EdDSA`.
pub(super) struct PrivateEdKey {
    key: SigningKey,
    info: PrivateKeyInfo,
}

impl PrivateEdKey {
    /// Parses `d` (RFC 8037 section 2), a seed of 32 bytes, and the public part, which
    /// must match it: signing with another one reveals the private key.
    pub(super) fn from_jwk(jwk: Jwk<'_>) -> Result<Self, SigningKeyError> {
        let key = Self::from(SigningKey::from_bytes(&jwk.array::<32>("d")?));
        if key.public() == EdKey::from_jwk(jwk)? {
            Ok(key)
        } else {
            Err(SigningKeyError::PublicMismatch)
        }
    }

    pub(super) fn public(&self) -> EdKey {
        EdKey::new(self.key.verifying_key())
    }

    /// The host's signature.
    pub(super) fn sign_by_host(
        &self,
        host: &Rc<dyn HostCrypto>,
        algorithm: Algorithm,
        signing_input: &[u8],
    ) -> Option<Vec<u8>> {
        self.info.sign(host, algorithm, signing_input)
    }

    /// The key in the form for hosts.
    pub(super) const fn info(&self) -> &PrivateKeyInfo {
        &self.info
    }

    pub(super) fn sign_here(&self, signing_input: &[u8]) -> Vec<u8> {
        self.key.sign(signing_input).to_vec()
    }
}

impl From<SigningKey> for PrivateEdKey {
    fn from(key: SigningKey) -> Self {
        let info = PrivateKeyInfo::new(key.to_pkcs8_der().ok());
        Self { key, info }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn error(x: &[u8]) -> Option<KeyError> {
        let jwk = json!({"x": BASE64_URL_SAFE_NO_PAD.encode(x)});
        EdKey::from_jwk(Jwk::new(jwk.as_object().unwrap())).err()
    }

    #[test]
    fn weak_points_are_refused() {
        for (case, x) in [
            ("order 1", spelled(1, 0, 0)),
            ("order 1, the other sign", spelled(1, 0, 0x80)),
            ("order 2", spelled(0xec, 0xff, 0x7f)),
            ("order 4", spelled(0, 0, 0)),
            ("order 4, the other sign", spelled(0, 0, 0x80)),
            ("order 1, not reduced", spelled(0xee, 0xff, 0x7f)),
            ("order 4, not reduced", spelled(0xed, 0xff, 0x7f)),
        ] {
            assert_eq!(error(&x), Some(KeyError::WeakPoint), "{case}");
        }
    }

    #[test]
    fn points_that_are_not_reduced_are_refused() {
        let mut on_the_curve = 0;
        for low in 0xED..=0xFF {
            for sign in [0, 0x80] {
                let x = spelled(low, 0xFF, 0x7F | sign);
                on_the_curve += usize::from(error(&x) == Some(KeyError::WeakPoint));
                assert!(error(&x).is_some(), "{x:?}");
                // As the library would write it.
                if let Ok(point) = VerifyingKey::from_bytes(&x) {
                    assert_ne!(VerifyingKey::from(point.to_edwards()).to_bytes(), x);
                }
            }
        }
        assert!(on_the_curve > 4, "{on_the_curve}");
        // The greatest that is.
        assert!(is_reduced(&spelled(0xEC, 0xFF, 0x7F)));
        assert!(is_reduced(&spelled(0xFF, 0xFF, 0x7E)));
    }

    #[test]
    fn points_of_small_order_are_known() {
        let mut points = std::collections::HashSet::new();
        for sign in [0, 0x80] {
            for mut y in SMALL_ORDER {
                y[31] |= sign;
                assert!(has_small_order(&y), "{y:?}");
                let point = VerifyingKey::from_bytes(&y).unwrap();
                assert!(point.is_weak(), "{y:?}");
                points.insert(VerifyingKey::from(point.to_edwards()).to_bytes());
            }
        }
        assert_eq!(points.len(), 8, "all of them");
        let base = SigningKey::from_bytes(&[7; 32]).verifying_key();
        assert!(!has_small_order(base.as_bytes()));
    }

    #[test]
    fn a_point_has_one_spelling() {
        // Above the order of the field, 2^255 - 19, there is room for 19 more.
        let mut on_curve = 0;
        for low in 0xed..=0xff {
            match error(&spelled(low, 0xff, 0x7f)) {
                Some(KeyError::WeakPoint) => on_curve += 1,
                Some(KeyError::NotOnCurve) => {}
                other => panic!("{low:#x}: {other:?}"),
            }
        }
        assert!(on_curve > 2, "{on_curve}");
    }

    #[test]
    fn a_point_has_32_bytes() {
        for found in [0, 31, 33, 64] {
            let expected = KeyError::WrongLength { member: "x", expected: 32, found };
            assert_eq!(error(&vec![9; found]), Some(expected));
        }
    }

    /// RFC 8037 appendix A.4.
    #[test]
    fn signing_is_deterministic() {
        let jwk = json!({
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        });
        let key = PrivateEdKey::from_jwk(Jwk::new(jwk.as_object().unwrap()));
        let signing_input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let key = key.unwrap_or_else(|error| panic!("{error}"));
        let signature = key.sign_here(signing_input.as_bytes());
        assert_eq!(
            BASE64_URL_SAFE_NO_PAD.encode(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }
}
