//! ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4).

use std::borrow::Cow;
use std::num::NonZeroUsize;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jwt_compact::AlgorithmSignature;
use p256::Sec1Point;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};

use super::error::KeyError;
use super::jwk::Jwk;

/// `ES256`.
pub(super) struct Es256;

impl jwt_compact::Algorithm for Es256 {
    type SigningKey = SigningKey;
    type VerifyingKey = VerifyingKey;
    type Signature = Es256Signature;

    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("ES256")
    }

    /// Deterministic (RFC 6979): the hosts offer no randomness to trust, and a
    /// nonce that repeats gives the key away.
    fn sign(&self, key: &SigningKey, message: &[u8]) -> Es256Signature {
        Es256Signature(key.sign(message))
    }

    fn verify_signature(
        &self,
        Es256Signature(signature): &Es256Signature,
        key: &VerifyingKey,
        message: &[u8],
    ) -> bool {
        key.verify(message, signature).is_ok()
    }
}

/// R and S, each 32 bytes and in `1..n`; both halves of the range of S are
/// valid in a JWS, so a token text is no unique name for a token.
pub(super) struct Es256Signature(Signature);

impl AlgorithmSignature for Es256Signature {
    const LENGTH: Option<NonZeroUsize> = NonZeroUsize::new(64);

    fn try_from_slice(bytes: &[u8]) -> anyhow::Result<Self> {
        Signature::from_slice(bytes).map(Self).map_err(anyhow::Error::msg)
    }

    fn as_bytes(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.to_bytes().to_vec())
    }
}

/// Reads `x` and `y` (RFC 7518 section 6.2.1): whole coordinates of a point on
/// the curve.
pub(super) fn verifying_key(jwk: Jwk<'_>) -> Result<VerifyingKey, KeyError> {
    let x = jwk.array::<32>("x")?;
    let y = jwk.array::<32>("y")?;
    let point = Sec1Point::from_affine_coordinates(&x.into(), &y.into(), false);
    VerifyingKey::from_sec1_point(&point).map_err(|_| KeyError::NotOnCurve)
}

/// Reads `d` (RFC 7518 section 6.2.2); `None` if it is not in `1..n`.
pub(super) fn signing_key(jwk: Jwk<'_>) -> Result<Option<SigningKey>, KeyError> {
    let scalar = jwk.array::<32>("d")?;
    Ok(SigningKey::from_bytes(&scalar.into()).ok())
}

/// `x` and `y` in base64url.
pub(super) fn coordinates(key: &VerifyingKey) -> [String; 2] {
    let point = key.to_sec1_point(false);
    [point.x(), point.y()].map(|coordinate| {
        coordinate.map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use jwt_compact::Algorithm as _;
    use serde_json::{Value, json};

    use super::*;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn error(jwk: &Value) -> Option<KeyError> {
        verifying_key(Jwk::new(jwk.as_object().unwrap())).err()
    }

    #[test]
    fn the_point() {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let x = BASE64_URL_SAFE_NO_PAD.decode(X).unwrap();
        let length = |member, found| KeyError::WrongLength { member, expected: 32, found };
        // The order of the field, so that (p, y) is (0, y) spelled otherwise.
        let p = [&[0xff; 4][..], &[0, 0, 0, 1], &[0; 12], &[0xff; 12]].concat();
        let y_at_zero = "ZkhceA4vg9ckM71dhKBrtlQcKvMdrocXKL-FahdPk_Q";
        for (case, jwk, expected) in [
            ("right", json!({"x": X, "y": Y}), None),
            ("turned around", json!({"x": Y, "y": X}), Some(KeyError::NotOnCurve)),
            (
                "infinity",
                json!({"x": encode(&[0; 32]), "y": encode(&[0; 32])}),
                Some(KeyError::NotOnCurve),
            ),
            ("zero as x", json!({"x": encode(&[0; 32]), "y": y_at_zero}), None),
            ("not reduced", json!({"x": encode(&p), "y": y_at_zero}), Some(KeyError::NotOnCurve)),
            ("a byte short", json!({"x": encode(&x[1..]), "y": Y}), Some(length("x", 31))),
            (
                "a zero in front",
                json!({"x": X, "y": encode(&[&[0], &x[..]].concat())}),
                Some(length("y", 33)),
            ),
            ("empty", json!({"x": "", "y": Y}), Some(length("x", 0))),
            (
                "padded",
                json!({"x": format!("{X}="), "y": Y}),
                Some(KeyError::NotBase64Url { member: "x" }),
            ),
            (
                "unused bits",
                json!({"x": X, "y": Y.replace("5a0", "5a1")}),
                Some(KeyError::NotBase64Url { member: "y" }),
            ),
            (
                "plain base64",
                json!({"x": X, "y": Y.replace('_', "/")}),
                Some(KeyError::NotBase64Url { member: "y" }),
            ),
            ("absent", json!({"x": X}), Some(KeyError::Missing { member: "y" })),
        ] {
            assert_eq!(error(&jwk), expected, "{case}");
        }
    }

    /// RFC 6979 appendix A.2.5.
    #[test]
    fn signing_is_deterministic() {
        let d = "ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE";
        let jwk = json!({"d": d});
        let key = signing_key(Jwk::new(jwk.as_object().unwrap()));
        let signature = Es256.sign(&key.unwrap().unwrap(), b"sample");
        assert_eq!(
            format!("{:X}", signature.0),
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716\
             F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
        );
    }
}
