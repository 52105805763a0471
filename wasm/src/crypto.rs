//! Envoy's cryptography (BoringSSL), called through its foreign functions
//! `verify_signature` and `sign`.
//!
//! Their arguments and results are protobuf messages of a few byte fields
//! (source/extensions/common/wasm/ext/verify_signature.proto and sign.proto in
//! Envoy), written and read here by hand.

use std::rc::Rc;

use gatepass::keys::{Algorithm, AlgorithmSet, HostCrypto, HostSigningKey, HostVerifyingKey};

use crate::abi;

/// Only for a host known to be Envoy: on another the calls may trap.
pub(crate) struct EnvoyCrypto;

/// Envoy keeps no keys: each call passes the key again, and the hash.
struct EnvoyKey {
    hash: &'static [u8],
    der: Box<[u8]>,
}

/// The response of `verify_signature` to a valid signature: `result` is true, and
/// `error` empty.
const TRUE: &[u8] = &[0x08, 0x01];

/// The beginning of `error` for a bad signature. Any other error, such as one about the
/// key, means that nothing was verified.
const BAD_SIGNATURE: &[u8] = b"Failed to verify";

impl HostCrypto for EnvoyCrypto {
    /// RSA with PKCS#1 v1.5, never PSS, and ECDSA on the NIST curves.
    fn verifies(&self) -> AlgorithmSet {
        use Algorithm::{Es256, Es384, Es512, Rs256, Rs384, Rs512};
        [Rs256, Rs384, Rs512, Es256, Es384, Es512].into_iter().collect()
    }

    fn signs(&self) -> AlgorithmSet {
        [Algorithm::Rs256, Algorithm::Es256].into_iter().collect()
    }

    fn verifying_key(&self, algorithm: Algorithm, spki: &[u8]) -> Option<Rc<dyn HostVerifyingKey>> {
        Some(Rc::new(EnvoyKey::new(algorithm, spki)?))
    }

    fn signing_key(&self, algorithm: Algorithm, pkcs8: &[u8]) -> Option<Rc<dyn HostSigningKey>> {
        Some(Rc::new(EnvoyKey::new(algorithm, pkcs8)?))
    }
}

impl EnvoyKey {
    fn new(algorithm: Algorithm, der: &[u8]) -> Option<Self> {
        let hash: &[u8] = match algorithm {
            Algorithm::Rs256 | Algorithm::Es256 => b"sha256",
            Algorithm::Rs384 | Algorithm::Es384 => b"sha384",
            Algorithm::Rs512 | Algorithm::Es512 => b"sha512",
            _ => return None,
        };
        Some(Self { hash, der: der.into() })
    }
}

impl HostVerifyingKey for EnvoyKey {
    fn verify(&self, message: &[u8], signature: &[u8]) -> Option<bool> {
        let fields = [(1, self.hash), (2, &self.der), (3, signature), (4, message)];
        match call("verify_signature", &fields)?.as_slice() {
            TRUE => Some(true),
            // `result` is false and therefore omitted; `error` is shorter than 128 bytes.
            [0x12, _, error @ ..] if error.starts_with(BAD_SIGNATURE) => Some(false),
            _ => None,
        }
    }
}

impl HostSigningKey for EnvoyKey {
    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let result = call("sign", &[(1, self.hash), (2, &self.der), (3, message)])?;
        let (length, signature) = length(result.strip_prefix(TRUE)?.strip_prefix(&[0x12])?)?;
        // Nothing after it: `error` is empty.
        (signature.len() == length).then(|| signature.to_vec())
    }
}

/// Calls a function with a message of these fields.
fn call(function: &str, fields: &[(u8, &[u8])]) -> Option<Vec<u8>> {
    abi::call_foreign_function(function, &message(fields)).ok()
}

/// A protobuf message of byte fields, numbered below 16.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut message = Vec::with_capacity(1024);
    for (number, value) in fields {
        // Wire type 2: a length, then that many bytes.
        message.push(number.wrapping_shl(3) | 2);
        let mut length = value.len();
        while length > 0x7F {
            message.push(0x80 | (length & 0x7F) as u8);
            length >>= 7;
        }
        message.push(length as u8);
        message.extend_from_slice(value);
    }
    message
}

/// A protobuf length below 2^14, and the bytes after it.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [length @ ..=0x7F, rest @ ..] => Some((usize::from(*length), rest)),
        [low, high @ ..=0x7F, rest @ ..] => {
            Some((usize::from(low & 0x7F) | usize::from(*high) << 7, rest))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_protobuf() {
        for (case, fields, expected) in [
            ("empty", vec![(1, &b""[..])], vec![0x0A, 0]),
            (
                "two fields",
                vec![(1, &b"ab"[..]), (4, b"c")],
                vec![0x0A, 2, b'a', b'b', 0x22, 1, b'c'],
            ),
            ("127 bytes", vec![(2, &[7; 127][..])], [&[0x12, 0x7F][..], &[7; 127]].concat()),
            ("128 bytes", vec![(2, &[7; 128][..])], [&[0x12, 0x80, 1][..], &[7; 128]].concat()),
            ("300 bytes", vec![(3, &[7; 300][..])], [&[0x1A, 0xAC, 2][..], &[7; 300]].concat()),
            (
                "2^14 bytes",
                vec![(3, &[7; 16384][..])],
                [&[0x1A, 0x80, 0x80, 1][..], &[7; 16384]].concat(),
            ),
        ] {
            assert_eq!(message(&fields), expected, "{case}");
        }
    }

    #[test]
    fn lengths() {
        for (bytes, expected) in [
            (&[][..], None),
            (&[0], Some(0)),
            (&[0x7F], Some(127)),
            (&[0x80], None),
            (&[0x80, 1], Some(128)),
            (&[0xFF, 0x7F], Some(16383)),
            (&[0x80, 0x80, 1], None),
        ] {
            assert_eq!(length(bytes).map(|(length, _)| length), expected, "{bytes:?}");
        }
    }
}
