//! RSA (RFC 7518 sections 3.3 and 3.5): verifying, and signing by a host.

use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rsa::pkcs1::RsaPrivateKeyRef;
use rsa::pkcs1v15::Pkcs1v15Sign;
use rsa::pkcs8::der::Decode;
use rsa::pkcs8::der::asn1::{OctetStringRef, UintRef};
use rsa::pkcs8::{PrivateKeyInfoRef, SecretDocument};
use rsa::pss::Pss;
use rsa::traits::PublicKeyParts;
use rsa::{BoxedUint, RsaPublicKey};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::crypto::{Crypto, PrivateKeyInfo, PublicKeyInfo};
use super::error::{KeyError, SigningKeyError};
use super::host::HostCrypto;
use super::jwk::Jwk;
use super::{Algorithm, MAX_CANDIDATES};

/// Bits of a modulus: fewer are weak (RFC 7518 section 3.3), more cost the gateway
/// milliseconds per token, at no cost to an attacker.
// RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used with these
// algorithms." (R14)
const MODULUS_BITS: std::ops::RangeInclusive<u32> = 2048..=4096;

/// A public key.
#[derive(Clone)]
pub(super) struct RsaKey {
    key: RsaPublicKey,
    /// Big-endian, without leading zeros.
    modulus: Rc<[u8]>,
    bits: u32,
    info: PublicKeyInfo,
}

impl RsaKey {
    /// The cost of verifying a signature of this length, as a share of [`MAX_CANDIDATES`]:
    /// it grows with the square of the length, and another length is refused for nothing.
    pub(super) fn cost(&self, signature: &[u8]) -> usize {
        match self.bits {
            _ if signature.len() != self.modulus.len() => 0,
            ..=2048 => 1,
            2049..=3072 => 2,
            _ => MAX_CANDIDATES,
        }
    }

    /// Reads `n` and `e` (RFC 7518 section 6.3.1).
    ///
    /// Leading zero bytes, which the RFC forbids and Java likes to write, are accepted:
    /// they do not change the number.
    pub(super) fn from_jwk(jwk: Jwk<'_>) -> Result<Self, KeyError> {
        Self::new(&jwk.bytes("n")?, &jwk.bytes("e")?)
    }

    fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, KeyError> {
        let (modulus, exponent) = (significant(modulus), significant(exponent));
        let bits = bit_length(modulus);
        if !MODULUS_BITS.contains(&bits) {
            return Err(KeyError::ModulusSize { bits });
        }
        if modulus.last().is_none_or(|last| last & 1 == 0) {
            return Err(KeyError::ModulusEven);
        }
        // The crate requires an odd exponent from 3 to 2^33 - 1, but checks only after
        // converting; so the length is checked first.
        if exponent.len() > 5 {
            return Err(KeyError::Exponent);
        }
        let key = RsaPublicKey::new(
            BoxedUint::from_be_slice_vartime(modulus),
            BoxedUint::from_be_slice_vartime(exponent),
        );
        let key = key.map_err(|_| KeyError::Exponent)?;
        let info = PublicKeyInfo::of(&key);
        Ok(Self { key, modulus: modulus.into(), bits, info })
    }

    /// The key as a PEM block.
    pub(super) fn pem(&self) -> Option<String> {
        self.info.pem()
    }

    /// `n` and `e` in base64url.
    pub(super) fn members(&self) -> [String; 2] {
        let exponent = self.key.e().to_be_bytes_trimmed_vartime();
        [&self.modulus[..], &exponent].map(|number| BASE64_URL_SAFE_NO_PAD.encode(number))
    }

    /// Implements RFC 8017 sections 8.1.2 and 8.2.2.
    // RFC 8017 section 8.2.2 (R17)
    pub(super) fn verify(
        &self,
        crypto: &Crypto,
        algorithm: Algorithm,
        signing_input: &[u8],
        signature: &[u8],
    ) -> bool {
        // Step 1, and that the number is below the modulus (section 5.2.2); both
        // are big-endian.
        if signature.len() != self.modulus.len() || signature >= &*self.modulus {
            return false;
        }
        self.info
            .verify(crypto, algorithm, signing_input, || signature)
            .unwrap_or_else(|| self.verify_here(algorithm, signing_input, signature))
    }

    fn verify_here(&self, algorithm: Algorithm, signing_input: &[u8], signature: &[u8]) -> bool {
        let key = &self.key;
        // `Pss::new` expects a salt as long as the hash (RFC 7518 section 3.5).
        let result = match algorithm {
            Algorithm::Rs256 => {
                key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(signing_input), signature)
            }
            Algorithm::Rs384 => {
                key.verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(signing_input), signature)
            }
            Algorithm::Rs512 => {
                key.verify(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(signing_input), signature)
            }
            Algorithm::Ps256 => {
                key.verify(Pss::<Sha256>::new(), &Sha256::digest(signing_input), signature)
            }
            Algorithm::Ps384 => {
                key.verify(Pss::<Sha384>::new(), &Sha384::digest(signing_input), signature)
            }
            Algorithm::Ps512 => {
                key.verify(Pss::<Sha512>::new(), &Sha512::digest(signing_input), signature)
            }
            _ => return false,
        };
        result.is_ok()
    }
}

/// A private key, for signing by a host. It is never used for computation here: the
/// crate's arithmetic on private keys is not constant-time (RUSTSEC-2023-0071).
pub(super) struct PrivateRsaKey {
    public: RsaKey,
    info: PrivateKeyInfo,
}

impl PrivateRsaKey {
    /// The key in the form for hosts.
    pub(super) const fn info(&self) -> &PrivateKeyInfo {
        &self.info
    }

    /// Reads `n` to `qi` (RFC 7518 section 6.3.2), of a key with two primes.
    pub(super) fn from_jwk(jwk: Jwk<'_>) -> Result<Self, SigningKeyError> {
        let public = RsaKey::from_jwk(jwk)?;
        let names = ["n", "e", "d", "p", "q", "dp", "dq", "qi"];
        let mut numbers = Vec::with_capacity(names.len());
        for name in names {
            numbers.push(jwk.bytes(name)?);
        }
        let pkcs8 = private_key_info(&numbers).ok_or(SigningKeyError::Malformed)?;
        Ok(Self { public, info: PrivateKeyInfo::new(Some(pkcs8)) })
    }

    /// Parses the contents of a PKCS#8 document.
    pub(super) fn from_pkcs8(
        document: SecretDocument,
        private_key: &[u8],
    ) -> Result<Self, SigningKeyError> {
        let key = RsaPrivateKeyRef::from_der(private_key);
        let key = key.map_err(|_| SigningKeyError::Malformed)?;
        let public = RsaKey::new(key.modulus.as_bytes(), key.public_exponent.as_bytes())?;
        Ok(Self { public, info: PrivateKeyInfo::new(Some(document)) })
    }

    pub(super) const fn public(&self) -> &RsaKey {
        &self.public
    }

    /// The host's signature.
    pub(super) fn sign_by_host(
        &self,
        host: &Rc<dyn HostCrypto>,
        algorithm: Algorithm,
        signing_input: &[u8],
    ) -> Option<Vec<u8>> {
        let signature = self.info.sign(host, algorithm, signing_input)?;
        (signature.len() == self.public.modulus.len()).then_some(signature)
    }
}

/// PKCS#8 with the numbers of RFC 8017 appendix A.1.2, in the order given there.
fn private_key_info(numbers: &[Vec<u8>]) -> Option<SecretDocument> {
    let mut numbers = numbers.iter().map(|number| UintRef::new(number).ok());
    let mut next = || numbers.next().flatten();
    let key = RsaPrivateKeyRef {
        modulus: next()?,
        public_exponent: next()?,
        private_exponent: next()?,
        prime1: next()?,
        prime2: next()?,
        exponent1: next()?,
        exponent2: next()?,
        coefficient: next()?,
        other_prime_infos: None,
    };
    let key = SecretDocument::encode_msg(&key).ok()?;
    let key = OctetStringRef::new(key.as_bytes()).ok()?;
    PrivateKeyInfoRef::new(rsa::pkcs1::ALGORITHM_ID, key).try_into().ok()
}

/// The number without leading zero bytes.
fn significant(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The bit length of a number without leading zero bytes.
fn bit_length(number: &[u8]) -> u32 {
    let Some(first) = number.first() else {
        return 0;
    };
    u32::try_from(number.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(8)
        .saturating_sub(first.leading_zeros())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A modulus of this many bits; not a product of two primes, which cannot be checked.
    fn modulus(bits: usize) -> Vec<u8> {
        let mut modulus = vec![0xff; bits.div_ceil(8)];
        let spare = bits.next_multiple_of(8).abs_diff(bits);
        modulus[0] >>= spare;
        modulus
    }

    fn key(modulus: &[u8], exponent: &[u8]) -> Result<RsaKey, KeyError> {
        let jwk = json!({
            "n": BASE64_URL_SAFE_NO_PAD.encode(modulus),
            "e": BASE64_URL_SAFE_NO_PAD.encode(exponent),
        });
        RsaKey::from_jwk(Jwk::new(jwk.as_object().unwrap()))
    }

    #[test]
    fn the_modulus() {
        let zero_in_front = [&[0][..], &modulus(2048)].concat();
        let mut even = modulus(2048);
        *even.last_mut().unwrap() = 0xfe;
        let size = |bits| Some(KeyError::ModulusSize { bits });
        for (case, modulus, expected) in [
            ("none", vec![], size(0)),
            ("zero", vec![0; 256], size(0)),
            ("1024 bits", modulus(1024), size(1024)),
            ("2047 bits", modulus(2047), size(2047)),
            ("2048 bits", modulus(2048), None),
            ("2049 bits", modulus(2049), None),
            ("4096 bits", modulus(4096), None),
            ("4097 bits", modulus(4097), size(4097)),
            ("16384 bits", modulus(16384), size(16384)),
            ("a zero in front", zero_in_front, None),
            ("even", even, Some(KeyError::ModulusEven)),
        ] {
            assert_eq!(key(&modulus, &[1, 0, 1]).err(), expected, "{case}");
        }
    }

    #[test]
    fn the_exponent() {
        let modulus = modulus(2048);
        for (case, exponent, usable) in [
            ("none", &[][..], false),
            ("zero", &[0], false),
            ("one", &[1], false),
            ("two", &[2], false),
            ("three", &[3], true),
            ("65537", &[1, 0, 1], true),
            ("65537 with a zero in front", &[0, 1, 0, 1], true),
            ("65536", &[1, 0, 0], false),
            ("2^33 - 1", &[1, 0xff, 0xff, 0xff, 0xff], true),
            ("2^33 + 1", &[2, 0, 0, 0, 1], false),
            ("as long as the modulus", &modulus, false),
        ] {
            let expected = (!usable).then_some(KeyError::Exponent);
            assert_eq!(key(&modulus, exponent).err(), expected, "{case}");
        }
    }

    #[test]
    fn a_signature_has_the_length_of_the_modulus() {
        // 2049 bits: one bit more than whole bytes, where PSS has one byte less.
        let key = key(&modulus(2049), &[3]).unwrap_or_else(|error| panic!("{error}"));
        for algorithm in Algorithm::ALL {
            for length in [0, 1, 255, 256, 257, 258, 512, 4096] {
                assert!(
                    !key.verify(&Crypto::module(), algorithm, b"", &vec![0; length]),
                    "{length}"
                );
                assert!(
                    !key.verify(&Crypto::module(), algorithm, b"", &vec![0xff; length]),
                    "{length}"
                );
            }
        }
    }
}
