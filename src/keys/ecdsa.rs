//! ECDSA on its four curves (RFC 7518 section 3.4, RFC 8812 section 3.2).

use std::cell::{Cell, OnceCell};
use std::ops::Add;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ecdsa::der::{MaxOverhead, MaxSize};
use ecdsa::elliptic_curve::array::ArraySize;
use ecdsa::elliptic_curve::array::typenum::Unsigned;
use ecdsa::elliptic_curve::pkcs8::AssociatedOid;
use ecdsa::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use ecdsa::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, SecretKey};
use ecdsa::signature::{Signer, Verifier};
use ecdsa::{DigestAlgorithm, EcdsaCurve, Signature, SignatureSize, SigningKey};
use p256::NistP256;
use p256::pkcs8::EncodePrivateKey;
use sha2::Digest as _;

use super::Algorithm;
use super::crypto::{Crypto, PrivateKeyInfo, PublicKeyInfo};
use super::error::{KeyError, SigningKeyError};
use super::host::HostCrypto;
use super::jwk::Jwk;
use super::multiples::{Curve, Multiples};

/// A public key on the curve `C`, which determines the hash too.
#[derive(Clone)]
pub(super) struct EcKey<C: EcdsaCurve + CurveArithmetic> {
    point: ecdsa::VerifyingKey<C>,
    tables: Rc<Tables<C>>,
    info: PublicKeyInfo,
}

/// Computed when the module verifies for the second time: that takes as long as a
/// verification and a half, and keys of proofs come once.
struct Tables<C: CurveArithmetic> {
    is_used: Cell<bool>,
    multiples: OnceCell<Multiples<C>>,
}

impl<C> EcKey<C>
where
    C: Curve + DigestAlgorithm + AssociatedOid,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
    SignatureSize<C>: ArraySize,
    MaxSize<C>: ArraySize,
    <FieldBytesSize<C> as Add>::Output: Add<MaxOverhead> + ArraySize,
{
    /// Parses `x` and `y` (RFC 7518 section 6.2.1): full-length coordinates of a point on
    /// the curve.
    pub(super) fn from_jwk(jwk: Jwk<'_>) -> Result<Self, KeyError> {
        // SEC 1 section 2.3.3: a 4, then both coordinates.
        let mut point = vec![4];
        for member in ["x", "y"] {
            point.extend(jwk.sized(member, FieldBytesSize::<C>::USIZE)?);
        }
        let point = ecdsa::VerifyingKey::from_sec1_bytes(&point);
        point.map(Self::new).map_err(|_| KeyError::NotOnCurve)
    }

    fn new(point: ecdsa::VerifyingKey<C>) -> Self {
        let info = PublicKeyInfo::of(&ecdsa::elliptic_curve::PublicKey::<C>::from(point));
        let tables = Tables { is_used: Cell::new(false), multiples: OnceCell::new() };
        Self { point, tables: Rc::new(tables), info }
    }

    /// R and S must have full length and be in `1..n`. Both halves of the range of S are
    /// valid in a JWS, so a token's text does not identify it uniquely.
    // RFC 7518 section 3.4: "The octet sequence representations MUST NOT be shortened to
    // omit any leading zero octets contained in the values." (R16)
    pub(super) fn verify(
        &self,
        crypto: &Crypto,
        algorithm: Algorithm,
        signing_input: &[u8],
        signature: &[u8],
    ) -> bool {
        let Ok(signature) = Signature::<C>::from_slice(signature) else { return false };
        self.info
            .verify(crypto, algorithm, signing_input, || signature.to_der())
            .unwrap_or_else(|| self.verify_here(signing_input, &signature))
    }

    fn verify_here(&self, signing_input: &[u8], signature: &Signature<C>) -> bool {
        if !self.tables.is_used.replace(true) {
            // The secp256k1 crate accepts only the lower half of S, because of Bitcoin.
            let low = C::NORMALIZE_S.then(|| signature.normalize_s());
            return self.point.verify(signing_input, low.as_ref().unwrap_or(signature)).is_ok();
        }
        let point = || self.point.as_affine().to_owned().into();
        let multiples = self.tables.multiples.get_or_init(|| Multiples::of(point()));
        multiples.verify(&C::Digest::digest(signing_input), signature)
    }

    /// The key as a PEM block.
    pub(super) fn pem(&self) -> Option<String> {
        self.info.pem()
    }

    /// `x` and `y` in base64url.
    pub(super) fn coordinates(&self) -> [String; 2] {
        let point = self.point.to_sec1_point(false);
        [point.x(), point.y()].map(|coordinate| {
            coordinate.map(|bytes| BASE64_URL_SAFE_NO_PAD.encode(bytes)).unwrap_or_default()
        })
    }
}

impl<C: EcdsaCurve + CurveArithmetic> PartialEq for EcKey<C> {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

/// A private key on the curve `C`.
pub(super) struct PrivateEcKey<C: EcdsaCurve + CurveArithmetic> {
    key: SigningKey<C>,
    info: PrivateKeyInfo,
}

impl<C> PrivateEcKey<C>
where
    C: Curve + DigestAlgorithm + AssociatedOid,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
    SignatureSize<C>: ArraySize,
    MaxSize<C>: ArraySize,
    <FieldBytesSize<C> as Add>::Output: Add<MaxOverhead> + ArraySize,
{
    /// Parses `d` (RFC 7518 section 6.2.2), which is in `1..n`, and the public part,
    /// which must match it.
    pub(super) fn from_jwk(jwk: Jwk<'_>) -> Result<Self, SigningKeyError> {
        let scalar = jwk.sized("d", FieldBytesSize::<C>::USIZE)?;
        let key = SecretKey::from_slice(&scalar).map_err(|_| SigningKeyError::Malformed)?;
        let key = Self::new(key);
        if key.public() == EcKey::from_jwk(jwk)? {
            Ok(key)
        } else {
            Err(SigningKeyError::PublicMismatch)
        }
    }

    pub(super) fn new(key: SecretKey<C>) -> Self {
        let info = PrivateKeyInfo::new(key.to_pkcs8_der().ok());
        Self { key: key.into(), info }
    }

    pub(super) fn public(&self) -> EcKey<C> {
        EcKey::new(*self.key.verifying_key())
    }

    /// The host's signature, converted to the form of a JWS.
    pub(super) fn sign_by_host(
        &self,
        host: &Rc<dyn HostCrypto>,
        algorithm: Algorithm,
        signing_input: &[u8],
    ) -> Option<Vec<u8>> {
        let signature = self.info.sign(host, algorithm, signing_input)?;
        let signature = Signature::<C>::from_der(&signature).ok()?;
        Some(signature.to_bytes().to_vec())
    }

    /// The key in the form for hosts.
    pub(super) const fn info(&self) -> &PrivateKeyInfo {
        &self.info
    }
}

impl PrivateEcKey<NistP256> {
    /// Deterministic (RFC 6979): not every host offers the module trustworthy randomness,
    /// and a repeated nonce reveals the key.
    // RFC 6979 section 3 (R79)
    pub(super) fn sign_here(&self, signing_input: &[u8]) -> Vec<u8> {
        let signature: Signature<NistP256> = self.key.sign(signing_input);
        signature.to_bytes().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
    const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

    fn error(jwk: &Value) -> Option<KeyError> {
        EcKey::<NistP256>::from_jwk(Jwk::new(jwk.as_object().unwrap())).err()
    }

    #[test]
    fn the_point() {
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let x = BASE64_URL_SAFE_NO_PAD.decode(X).unwrap();
        let length = |member, found| KeyError::WrongLength { member, expected: 32, found };
        // The order of the field, so that (p, y) is another spelling of (0, y).
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
    // RFC 6979 section 3 (R79)
    #[test]
    fn signing_is_deterministic() {
        let d = "ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE";
        let x = "YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y";
        let y = "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk";
        let jwk = json!({"x": x, "y": y, "d": d});
        let key = PrivateEcKey::<NistP256>::from_jwk(Jwk::new(jwk.as_object().unwrap()));
        let signature = key.unwrap_or_else(|error| panic!("{error}")).sign_here(b"sample");
        let hex: String = signature.iter().map(|byte| format!("{byte:02X}")).collect();
        assert_eq!(
            hex,
            "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716\
             F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
        );
    }
}
