//! EdDSA on Ed25519 (RFC 8037 section 3.1).

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::error::KeyError;
use super::jwk::Jwk;

/// Strictly: S below the order, R canonical and neither point of small order,
/// so nobody can make a second signature from a first.
pub(super) fn verify(key: &VerifyingKey, signing_input: &[u8], signature: &[u8]) -> bool {
    Signature::from_slice(signature)
        .is_ok_and(|signature| key.verify_strict(signing_input, &signature).is_ok())
}

/// `EdDSA`.
pub(super) fn sign(key: &SigningKey, signing_input: &[u8]) -> Vec<u8> {
    key.sign(signing_input).to_vec()
}

/// Reads `x` (RFC 8037 section 2).
///
/// A point of small order has signatures that hold for any message; one with a
/// second spelling is nothing an honest issuer writes.
pub(super) fn verifying_key(jwk: Jwk<'_>) -> Result<VerifyingKey, KeyError> {
    let bytes = jwk.array::<32>("x")?;
    let key = VerifyingKey::from_bytes(&bytes).map_err(|_| KeyError::NotOnCurve)?;
    let canonical = VerifyingKey::from(key.to_edwards());
    if key.is_weak() || canonical.as_bytes() != &bytes {
        return Err(KeyError::WeakPoint);
    }
    Ok(key)
}

/// Reads `d` (RFC 8037 section 2): a seed of 32 bytes.
pub(super) fn signing_key(jwk: Jwk<'_>) -> Result<SigningKey, KeyError> {
    Ok(SigningKey::from_bytes(&jwk.array::<32>("d")?))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;

    fn key(x: &[u8]) -> Result<VerifyingKey, KeyError> {
        let jwk = json!({"x": BASE64_URL_SAFE_NO_PAD.encode(x)});
        verifying_key(Jwk::new(jwk.as_object().unwrap()))
    }

    /// A coordinate in little endian: `low`, then `middle` 30 times, then `high`.
    fn spelled(low: u8, middle: u8, high: u8) -> [u8; 32] {
        let mut bytes = [middle; 32];
        bytes[0] = low;
        bytes[31] = high;
        bytes
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
            assert_eq!(key(&x), Err(KeyError::WeakPoint), "{case}");
        }
    }

    #[test]
    fn a_point_has_one_spelling() {
        // Above the order of the field, 2^255 - 19, there is room for 19 more.
        let mut on_curve = 0;
        for low in 0xed..=0xff {
            match key(&spelled(low, 0xff, 0x7f)) {
                Err(KeyError::WeakPoint) => on_curve += 1,
                Err(KeyError::NotOnCurve) => {}
                other => panic!("{low:#x}: {other:?}"),
            }
        }
        assert!(on_curve > 2, "{on_curve}");
    }

    #[test]
    fn a_point_has_32_bytes() {
        for found in [0, 31, 33, 64] {
            let expected = KeyError::WrongLength { member: "x", expected: 32, found };
            assert_eq!(key(&vec![9; found]), Err(expected));
        }
    }

    /// RFC 8037 appendix A.4.
    #[test]
    fn signing_is_deterministic() {
        let jwk = json!({"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"});
        let key = signing_key(Jwk::new(jwk.as_object().unwrap())).unwrap();
        let signing_input = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature = sign(&key, signing_input.as_bytes());
        assert_eq!(
            BASE64_URL_SAFE_NO_PAD.encode(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }
}
