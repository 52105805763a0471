//! `keygen`, and what other commands do with private keys. Keys are made here only,
//! never in the module.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use gatepass::config::pem;
use gatepass::keys::{Crypto, SigningAlgorithm, SigningKey, SigningKeyError};
use getrandom::SysRng;
use getrandom::rand_core::UnwrapErr;
use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use rsa::RsaPrivateKey;
use rsa::pkcs1::{EncodeRsaPrivateKey as _, RsaPrivateKeyRef};
use rsa::pkcs8::SecretDocument;
use rsa::pkcs8::der::Decode as _;
use serde_json::{Map, Value};

use crate::arguments::{KeyAlgorithm, KeyFormat, Keygen};
use crate::failure::Failure;
use crate::{Output, system};

/// A key that was just made.
pub struct NewKey {
    members: Map<String, Value>,
    /// None of a secret.
    pkcs8: Option<SecretDocument>,
}

/// `keygen`.
pub fn run(arguments: &Keygen) -> Result<Output, Failure> {
    let key = NewKey::generate(arguments.algorithm)?;
    match (arguments.format, key.pkcs8()) {
        (KeyFormat::Jwk, _) => Ok(Output::good(key.jwk(arguments.kid.as_deref()).to_string())),
        (KeyFormat::Pem, Some(der)) => Ok(Output::good(pem("PRIVATE KEY", der))),
        (KeyFormat::Pem, None) => Err(Failure::Argument {
            name: "--format",
            found: "pem for a secret".to_owned(),
            accepted: "jwk",
        }),
    }
}

/// Reads a private key of any of the algorithms.
pub fn signing_key(file: &str, text: &str) -> Result<SigningKey, Failure> {
    use SigningAlgorithm::{EdDsa, Es256, Es384, Ps256, Rs256};
    use SigningKeyError::WrongKind;
    let read = |algorithm| SigningKey::parse(text, algorithm);
    // A key of another kind is tried as that kind; other errors are reported.
    let other = |error, algorithm| match error {
        WrongKind { .. } => read(algorithm),
        error => Err(error),
    };
    let own = if member(text, "alg").as_deref() == Some("PS256") { Ps256 } else { Rs256 };
    let others = [EdDsa, Es384, Es256].into_iter();
    let key = others.fold(read(own), |key, algorithm| key.or_else(|error| other(error, algorithm)));
    key.map_err(|cause| Failure::Key { file: file.to_owned(), cause })
}

/// The `kid` in a JWK.
pub fn own_kid(text: &str) -> Option<String> {
    member(text, "kid")
}

/// A text in a JWK.
fn member(jwk: &str, name: &str) -> Option<String> {
    let jwk: Value = serde_json::from_str(jwk).ok()?;
    jwk.get(name)?.as_str().map(str::to_owned)
}

/// All that signs; RSA by the `rsa` crate.
pub fn crypto(key: &SigningKey) -> Crypto {
    SigningKey::sign_on_host(
        Crypto::on(std::rc::Rc::new(crate::signer::RustCryptoHost { is_native: true })),
        std::iter::once(key),
    )
}

impl NewKey {
    /// Makes one.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, Failure> {
        match algorithm {
            KeyAlgorithm::Es256 => loop {
                // Almost every number of 32 bytes is a key.
                if let Ok(key) = p256::SecretKey::from_slice(&system::random::<32>()?) {
                    return Self::p256(&key);
                }
            },
            KeyAlgorithm::EdDsa => Self::ed25519(&system::random()?),
            KeyAlgorithm::Es384 => loop {
                if let Ok(key) = p384::SecretKey::from_slice(&system::random::<48>()?) {
                    return Self::p384(&key);
                }
            },
            KeyAlgorithm::Rs256 => Self::rsa("RS256", SigningAlgorithm::Rs256),
            KeyAlgorithm::Ps256 => Self::rsa("PS256", SigningAlgorithm::Ps256),
            KeyAlgorithm::Hs256 => Ok(Self::secret("HS256", &system::random::<32>()?)),
            KeyAlgorithm::Hs384 => Ok(Self::secret("HS384", &system::random::<48>()?)),
            KeyAlgorithm::Hs512 => Ok(Self::secret("HS512", &system::random::<64>()?)),
        }
    }

    /// The key as a JWK, with `kid` or its thumbprint.
    pub fn jwk(&self, kid: Option<&str>) -> Value {
        let mut members = self.members.clone();
        if let Some(kid) = kid {
            members.insert("kid".to_owned(), kid.into());
        }
        Value::Object(members)
    }

    /// The key as PKCS#8; none of a secret.
    pub fn pkcs8(&self) -> Option<&[u8]> {
        self.pkcs8.as_ref().map(SecretDocument::as_bytes)
    }

    fn p256(key: &p256::SecretKey) -> Result<Self, Failure> {
        use p256::elliptic_curve::sec1::ToSec1Point as _;
        let point = key.public_key().to_sec1_point(false);
        let (Some(x), Some(y)) = (point.x(), point.y()) else { return Err(Failure::Random) };
        let members = [("kty", "EC".to_owned()), ("crv", "P-256".to_owned())];
        let numbers = [("x", &x[..]), ("y", &y[..]), ("d", &key.to_bytes()[..])];
        Self::new("ES256", SigningAlgorithm::Es256, members, &numbers, key.to_pkcs8_der().ok())
    }

    fn p384(key: &p384::SecretKey) -> Result<Self, Failure> {
        use p384::elliptic_curve::sec1::ToSec1Point as _;
        let point = key.public_key().to_sec1_point(false);
        let (Some(x), Some(y)) = (point.x(), point.y()) else { return Err(Failure::Random) };
        let members = [("kty", "EC".to_owned()), ("crv", "P-384".to_owned())];
        let numbers = [("x", &x[..]), ("y", &y[..]), ("d", &key.to_bytes()[..])];
        Self::new("ES384", SigningAlgorithm::Es384, members, &numbers, key.to_pkcs8_der().ok())
    }

    fn ed25519(seed: &[u8; 32]) -> Result<Self, Failure> {
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        let members = [("kty", "OKP".to_owned()), ("crv", "Ed25519".to_owned())];
        let public = key.verifying_key();
        let numbers = [("x", &public.as_bytes()[..]), ("d", &seed[..])];
        // RFC 8410 section 7, without the public key: OpenSSL's form.
        let mut der = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20".to_vec();
        der.extend_from_slice(seed);
        let document = SecretDocument::try_from(der).ok();
        Self::new("EdDSA", SigningAlgorithm::EdDsa, members, &numbers, document)
    }

    fn rsa(name: &str, algorithm: SigningAlgorithm) -> Result<Self, Failure> {
        let key = RsaPrivateKey::new(&mut UnwrapErr(SysRng), 2048).map_err(|_| Failure::Random)?;
        let pkcs1 = key.to_pkcs1_der().map_err(|_| Failure::Random)?;
        let parts = RsaPrivateKeyRef::from_der(pkcs1.as_bytes()).map_err(|_| Failure::Random)?;
        let numbers = [
            ("n", parts.modulus.as_bytes()),
            ("e", parts.public_exponent.as_bytes()),
            ("d", parts.private_exponent.as_bytes()),
            ("p", parts.prime1.as_bytes()),
            ("q", parts.prime2.as_bytes()),
            ("dp", parts.exponent1.as_bytes()),
            ("dq", parts.exponent2.as_bytes()),
            ("qi", parts.coefficient.as_bytes()),
        ];
        let members = [("kty", "RSA".to_owned())];
        let document = key.to_pkcs8_der().ok();
        Self::new(name, algorithm, members, &numbers, document)
    }

    fn secret(name: &str, secret: &[u8]) -> Self {
        let secret = BASE64_URL_SAFE_NO_PAD.encode(secret);
        let jwk = [("kty", "oct"), ("k", secret.as_str()), ("alg", name)];
        let members = jwk.map(|(member, value)| (member.to_owned(), Value::from(value)));
        Self { members: Map::from_iter(members), pkcs8: None }
    }

    fn new<const N: usize>(
        name: &str,
        algorithm: SigningAlgorithm,
        texts: [(&str, String); N],
        numbers: &[(&str, &[u8])],
        pkcs8: Option<SecretDocument>,
    ) -> Result<Self, Failure> {
        let numbers =
            numbers.iter().map(|(member, bytes)| (*member, BASE64_URL_SAFE_NO_PAD.encode(bytes)));
        let all = texts.into_iter().chain(numbers).chain([("alg", name.to_owned())]);
        let mut members: Map<String, Value> =
            all.map(|(member, value)| (member.to_owned(), Value::String(value))).collect();
        // Read as the filter will, which also tells the thumbprint.
        let key = SigningKey::from_jwk(&members, algorithm)
            .map_err(|cause| Failure::Key { file: "new key".to_owned(), cause })?;
        members.insert("kid".to_owned(), key.thumbprint().into());
        Ok(Self { members, pkcs8 })
    }
}

/// The public half of a new key for `algorithm`, as SubjectPublicKeyInfo.
pub fn public_key(algorithm: &str) -> Result<Vec<u8>, Failure> {
    let der = match algorithm {
        "ES256" => p256::SecretKey::from_slice(&small::<32>()?)
            .ok()
            .and_then(|key| key.public_key().to_public_key_der().ok()),
        "ES384" => p384::SecretKey::from_slice(&small::<48>()?)
            .ok()
            .and_then(|key| key.public_key().to_public_key_der().ok()),
        "ES512" => p521::SecretKey::from_slice(&small::<66>()?)
            .ok()
            .and_then(|key| key.public_key().to_public_key_der().ok()),
        "EdDSA" => {
            let key = ed25519_dalek::SigningKey::from_bytes(&system::random()?);
            key.verifying_key().to_public_key_der().ok()
        }
        _ => {
            let key = RsaPrivateKey::new(&mut UnwrapErr(SysRng), 2048);
            key.ok().and_then(|key| key.to_public_key().to_public_key_der().ok())
        }
    };
    der.map(|der| der.as_bytes().to_vec()).ok_or(Failure::Random)
}

/// A random number that is below the order of every curve, for made-up keys.
fn small<const N: usize>() -> Result<[u8; N], Failure> {
    let mut number = system::random()?;
    number.iter_mut().take(2).for_each(|byte| *byte = 0);
    Ok(number)
}
