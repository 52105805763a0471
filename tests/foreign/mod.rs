//! Envoy's foreign functions.

use gatepass::keys::Algorithm;

use crate::aws_lc::AwsLc;
use crate::host::abi::Status;

/// Envoy's `verify_signature` and `sign`, but for BoringSSL.
pub fn envoy(name: &str, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let fields = fields(arguments).ok_or(Status::BadArgument)?;
    let field = |number: u8| {
        let found = fields.iter().find(|(it, _)| *it == number);
        found.map(|(_, value)| value.as_slice()).ok_or(Status::BadArgument)
    };
    let algorithm = algorithm(field(1)?, field(2)?).ok_or(Status::BadArgument)?;
    let error = |text: &str| [&[0x12, text.len() as u8], text.as_bytes()].concat();
    let host = AwsLc::default();
    match name {
        "verify_signature" => Ok(match host.verify(algorithm, field(2)?, field(3)?, field(4)?) {
            Some(true) => vec![0x08, 0x01],
            Some(false) => error("Failed to verify digest. Error code: 0"),
            None => error("Failed to initialize digest verify."),
        }),
        "sign" => Ok(match host.sign(algorithm, field(2)?, field(3)?) {
            Some(signature) if signature.len() < 128 => {
                [&[0x08, 0x01, 0x12, signature.len() as u8], &signature[..]].concat()
            }
            Some(signature) => {
                let (low, high) = (signature.len() & 0x7F | 0x80, signature.len() >> 7);
                [&[0x08, 0x01, 0x12, low as u8, high as u8], &signature[..]].concat()
            }
            None => [&[0x1A, 4], &b"nope"[..]].concat(),
        }),
        _ => Err(Status::NotFound),
    }
}

/// What a hash and a key in DER come to.
fn algorithm(hash: &[u8], key: &[u8]) -> Option<Algorithm> {
    // Object identifiers as they stand in a key.
    const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
    let names = |identifier: &[u8]| {
        key.windows(identifier.len()).take(40).any(|window| window == identifier)
    };
    Some(match (hash, names(RSA)) {
        (b"sha256", true) => Algorithm::Rs256,
        (b"sha384", true) => Algorithm::Rs384,
        (b"sha512", true) => Algorithm::Rs512,
        (b"sha256", false) => Algorithm::Es256,
        (b"sha384", false) => Algorithm::Es384,
        (b"sha512", false) => Algorithm::Es512,
        _ => return None,
    })
}

/// The byte fields of a protobuf message.
fn fields(mut message: &[u8]) -> Option<Vec<(u8, Vec<u8>)>> {
    let mut fields = Vec::new();
    while let Some((tag, rest)) = message.split_first() {
        if tag & 7 != 2 {
            return None;
        }
        let varint = rest.iter().position(|byte| byte & 0x80 == 0)? + 1;
        let digits = rest[..varint].iter().rev();
        let length = digits.fold(0, |length, byte| length << 7 | usize::from(byte & 0x7F));
        let value = rest.get(varint..varint + length)?;
        fields.push((tag >> 3, value.to_vec()));
        message = &rest[varint + length..];
    }
    Some(fields)
}
