//! The keys that mint tokens.

use std::fmt;
use std::rc::Rc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value};

use super::crypto::Crypto;
use super::ecdsa::PrivateEcKey;
use super::eddsa::PrivateEdKey;
use super::error::{KeyKind, SignError, SigningKeyError};
use super::host::HostCrypto;
use super::jwk::Jwk;
use super::pasted::Pasted;
use super::private::PrivateKey;
use super::rsa::PrivateRsaKey;
use super::thumbprint;
use super::{Algorithm, SigningAlgorithm, VerifyingKey, pkcs8};
use crate::features::{EdDsa, Es384, Rsa};
use crate::json;

/// A private key and the one algorithm it signs with.
// RFC 7517 section 9.2 (R78)
pub struct SigningKey {
    private: PrivateKey,
    public: VerifyingKey,
    thumbprint: String,
}

impl SigningKey {
    /// Parses a key in a common format: a JWK, or PKCS#8 in PEM.
    pub fn parse(text: &str, algorithm: SigningAlgorithm) -> Result<Self, SigningKeyError> {
        let text = text.trim();
        if text.starts_with("-----") {
            return pkcs8::private_key(text, algorithm).map(Self::new);
        }
        let members = json::parse_object(text.as_bytes()).map_err(|error| {
            let pasted = Pasted::as_private(text).map(SigningKeyError::Pasted);
            pasted.unwrap_or(SigningKeyError::Json(error))
        })?;
        Self::from_jwk(&members, algorithm)
    }

    /// Parses a private JWK (RFC 7518 section 6.2, RFC 8037 section 2).
    ///
    /// `use`, `key_ops` and `alg` must allow signing with `algorithm`, and the public
    /// part must match the private one: otherwise the published key would verify nothing,
    /// and for Ed25519 signing with another public part reveals the private one.
    pub fn from_jwk(
        members: &Map<String, Value>,
        algorithm: SigningAlgorithm,
    ) -> Result<Self, SigningKeyError> {
        let jwk = Jwk::new(members);
        let family = jwk.family()?;
        if family != Algorithm::from(algorithm).family() {
            return Err(SigningKeyError::WrongKind { algorithm, found: KeyKind::Known(family) });
        }
        jwk.permits("sign")?;
        if let Some(found) = jwk.algorithm(family)?
            && found != algorithm.into()
        {
            return Err(SigningKeyError::WrongAlgorithm { algorithm, found });
        }
        let private = match algorithm {
            SigningAlgorithm::Es256 => PrivateKey::Es256(PrivateEcKey::from_jwk(jwk)?),
            SigningAlgorithm::Es384 => {
                PrivateKey::Es384(Es384::proof()?, PrivateEcKey::from_jwk(jwk)?)
            }
            // Signing by the host will show whether the parts match.
            SigningAlgorithm::Rs256 => {
                PrivateKey::Rs256(Rsa::proof()?, PrivateRsaKey::from_jwk(jwk)?)
            }
            SigningAlgorithm::Ps256 => {
                PrivateKey::Ps256(Rsa::proof()?, PrivateRsaKey::from_jwk(jwk)?)
            }
            SigningAlgorithm::EdDsa => {
                PrivateKey::EdDsa(EdDsa::proof()?, PrivateEdKey::from_jwk(jwk)?)
            }
        };
        Ok(Self::new(private))
    }

    fn new(private: PrivateKey) -> Self {
        let thumbprint = thumbprint::of_members(&private.public_members());
        let thumbprint = BASE64_URL_SAFE_NO_PAD.encode(thumbprint);
        Self { public: private.verifying_key(), private, thumbprint }
    }

    /// Its algorithm.
    pub const fn algorithm(&self) -> SigningAlgorithm {
        self.private.algorithm()
    }

    /// The JWK thumbprint with SHA-256, in base64url (RFC 7638 section 3): a key id
    /// derived from the key itself.
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The public half as a JWK for publication; it has no private member.
    pub fn public_jwk(&self, kid: &str) -> Value {
        let algorithm = Algorithm::from(self.algorithm()).name();
        let members = self
            .private
            .public_members()
            .into_iter()
            .chain([
                ("kid", kid.to_owned()),
                ("use", "sig".to_owned()),
                ("alg", algorithm.to_owned()),
            ])
            .map(|(member, value)| (member.to_owned(), Value::String(value)));
        Value::Object(json::object(members))
    }

    /// The public half as a PEM block (RFC 7468 section 13).
    pub fn public_pem(&self) -> Option<String> {
        self.private.public_pem()
    }

    /// A secret for another `purpose`, from which the key cannot be found.
    pub fn derive(&self, purpose: &[u8]) -> Option<[u8; 32]> {
        self.private.info().derive(purpose)
    }

    /// The public half, to verify what was minted.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// Signs `claims` as a token in compact form, with `alg`, `kid` and `typ`
    /// in its header.
    ///
    /// The host signs if `crypto` trusts it; otherwise the module, if it can: see
    /// [`SigningAlgorithm::needs_host`].
    pub fn mint<T: Serialize>(
        &self,
        crypto: &Crypto,
        kid: &str,
        typ: &str,
        claims: &T,
    ) -> Result<String, SignError> {
        let algorithm = Algorithm::from(self.algorithm());
        let mut token = compose(&IdentityHeader { alg: algorithm.name(), kid, typ }, claims)?;
        let signing_input = token.as_bytes();
        let by_host =
            crypto.signer(algorithm).and_then(|host| self.sign_by_host(host, signing_input));
        let signature = match (by_host, &self.private) {
            (Some(signature), _) => signature,
            (None, PrivateKey::Es256(key)) => key.sign_here(signing_input),
            (None, PrivateKey::EdDsa(_, key)) => key.sign_here(signing_input),
            (None, PrivateKey::Es384(..) | PrivateKey::Rs256(..) | PrivateKey::Ps256(..)) => {
                return Err(SignError::Host);
            }
        };
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// `crypto` with its host signing with those algorithms of `keys` for which it signs
    /// correctly with each key.
    pub fn sign_on_host<'a>(
        crypto: Crypto,
        keys: impl Iterator<Item = &'a Self> + Clone,
    ) -> Crypto {
        let is_trusted = |algorithm: &Algorithm| {
            let mut of = keys.clone().filter(|key| Algorithm::from(key.algorithm()) == *algorithm);
            of.next().is_some_and(|first| {
                first.is_signed_with_by_host(&crypto)
                    && of.all(|key| key.is_signed_with_by_host(&crypto))
            })
        };
        let signs = Algorithm::ALL.into_iter().filter(is_trusted).collect();
        crypto.signing_with(signs)
    }

    /// Whether the host of `crypto` signs with this key, and the module accepts the
    /// signature.
    pub fn is_signed_with_by_host(&self, crypto: &Crypto) -> bool {
        const MESSAGE: &[u8] = b"gatepass";
        let algorithm = self.algorithm().into();
        let host = crypto.untried_signer(algorithm);
        host.and_then(|host| self.sign_by_host(host, MESSAGE)).is_some_and(|signature| {
            self.public.verify(&Crypto::module(), algorithm, MESSAGE, &signature)
        })
    }

    fn sign_by_host(&self, host: &Rc<dyn HostCrypto>, signing_input: &[u8]) -> Option<Vec<u8>> {
        let algorithm = self.algorithm().into();
        match &self.private {
            PrivateKey::Es256(key) => key.sign_by_host(host, algorithm, signing_input),
            PrivateKey::Es384(_, key) => key.sign_by_host(host, algorithm, signing_input),
            PrivateKey::Rs256(_, key) | PrivateKey::Ps256(_, key) => {
                key.sign_by_host(host, algorithm, signing_input)
            }
            PrivateKey::EdDsa(_, key) => key.sign_by_host(host, algorithm, signing_input),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .field("thumbprint", &self.thumbprint)
            .finish_non_exhaustive()
    }
}

/// The JOSE header of an identity token.
#[derive(Serialize)]
struct IdentityHeader<'a> {
    alg: &'static str,
    kid: &'a str,
    typ: &'a str,
}

/// The signing input (RFC 7515 section 5.1). Encoded as public text: jwt-compact encodes
/// in constant time, which takes three times as long.
fn compose<T: Serialize>(header: &IdentityHeader<'_>, claims: &T) -> Result<String, SignError> {
    // More than most take, so that it need not grow.
    let mut written = Vec::with_capacity(1024);
    serde_json::to_writer(&mut written, header).map_err(SignError::Claims)?;
    let header_end = written.len();
    serde_json::to_writer(&mut written, claims).map_err(SignError::Claims)?;
    let (header, claims) = written.split_at_checked(header_end).unwrap_or_default();
    // A third more, and the size of most signatures.
    let bytes = written.len();
    let mut token = String::with_capacity(bytes.saturating_add(bytes / 3).saturating_add(96));
    BASE64_URL_SAFE_NO_PAD.encode_string(header, &mut token);
    token.push('.');
    BASE64_URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    Ok(token)
}

#[cfg(test)]
mod tests {
    use jwt_compact::Claims;
    use serde_json::json;

    use super::*;

    /// RFC 7515 appendix A.3 and RFC 8037 appendix A.1.
    fn jwk(algorithm: SigningAlgorithm) -> Value {
        match algorithm {
            SigningAlgorithm::Es256 => json!({
                "kty": "EC", "crv": "P-256",
                "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
                "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
                "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
            }),
            SigningAlgorithm::EdDsa => json!({
                "kty": "OKP", "crv": "Ed25519",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            }),
            _ => panic!("tests/crypto_paths.rs has those"),
        }
    }

    fn key(algorithm: SigningAlgorithm) -> SigningKey {
        SigningKey::parse(&jwk(algorithm).to_string(), algorithm).unwrap()
    }

    #[test]
    fn thumbprints() {
        // RFC 8037 appendix A.3.
        assert_eq!(
            key(SigningAlgorithm::EdDsa).thumbprint(),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
        // By jwcrypto.
        assert_eq!(
            key(SigningAlgorithm::Es256).thumbprint(),
            "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
        );
    }

    #[test]
    fn what_is_published_is_public() {
        for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::EdDsa] {
            let mut expected = jwk(algorithm);
            expected.as_object_mut().unwrap().remove("d");
            expected["kid"] = "one".into();
            expected["use"] = "sig".into();
            expected["alg"] = algorithm.to_string().into();
            assert_eq!(key(algorithm).public_jwk("one"), expected);
        }
    }

    #[test]
    fn each_key_and_purpose_has_a_secret_of_its_own() {
        let (one, other) = (key(SigningAlgorithm::Es256), key(SigningAlgorithm::EdDsa));
        assert_eq!(one.derive(b"a"), key(SigningAlgorithm::Es256).derive(b"a"));
        assert!(one.derive(b"a").is_some() && other.derive(b"a").is_some());
        assert_ne!(one.derive(b"a"), other.derive(b"a"));
        assert_ne!(one.derive(b"a"), one.derive(b"b"));
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(
            format!("{:?}", key(SigningAlgorithm::EdDsa)),
            "SigningKey { algorithm: EdDsa, \
             thumbprint: \"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k\", .. }"
        );
    }

    #[test]
    fn what_cannot_sign() {
        use SigningAlgorithm::{EdDsa, Es256, Rs256};
        // The key of RFC 8032 section 7.1, test 2.
        let other_okp = "PUAXw-hDiVqStwqnTRt-vJyYLM8uxJaMwM1V8Sr0Zgw";
        let zero = "A".repeat(43);
        for (case, algorithm, members, expected) in [
            (
                "the key of the other algorithm",
                EdDsa,
                jwk(Es256),
                "EdDSA needs an Ed25519 key, this is a P-256 key",
            ),
            (
                "a symmetric key",
                Es256,
                json!({"kty": "oct", "k": "AA"}),
                "ES256 needs a P-256 key, this is a symmetric key",
            ),
            (
                "an RSA key",
                EdDsa,
                json!({"kty": "RSA"}),
                "EdDSA needs an Ed25519 key, this is an RSA key",
            ),
            ("only a public key", Es256, json!({"d": null}), r#"member "d" is missing"#),
            ("no public part", EdDsa, json!({"x": null}), r#"member "x" is missing"#),
            ("for encryption", Es256, json!({"use": "enc"}), r#""use" must be "sig", it is "enc""#),
            (
                "only to verify",
                EdDsa,
                json!({"key_ops": ["verify"]}),
                r#""key_ops" does not contain "sign""#,
            ),
            (
                "for another algorithm",
                Es256,
                json!({"alg": "ES384"}),
                r#""alg" is ES384, which needs a P-384 key, but this is a P-256 key"#,
            ),
            (
                "for another algorithm of its family",
                Rs256,
                json!({"kty": "RSA", "alg": "PS256"}),
                r#""alg" is PS256, it is to sign with RS256"#,
            ),
            ("zero", Es256, json!({"d": zero}), "not a well-formed private key"),
            (
                "above the order",
                Es256,
                json!({"d": "_".repeat(42) + "8"}),
                "not a well-formed private key",
            ),
            ("a short key", EdDsa, json!({"d": "AA"}), r#""d" must be 32 bytes, it is 1"#),
            (
                "no point",
                Es256,
                json!({"x": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}),
                "the point is not on the curve",
            ),
            (
                "another public key, Ed25519",
                EdDsa,
                json!({"x": other_okp}),
                "the public part of the JWK does not belong to its private part",
            ),
            (
                "another private key, P-256",
                Es256,
                json!({"d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}),
                "the public part of the JWK does not belong to its private part",
            ),
        ] {
            let mut jwk = if algorithm == Rs256 { json!({}) } else { jwk(algorithm) };
            let target = jwk.as_object_mut().unwrap();
            for (member, value) in members.as_object().unwrap() {
                target.insert(member.clone(), value.clone());
            }
            target.retain(|_, value| !value.is_null());
            let error = SigningKey::from_jwk(target, algorithm).unwrap_err();
            assert_eq!(error.to_string(), expected, "{case}");
        }
        for (case, text) in [
            ("nothing", ""),
            ("a password", "hunter2"),
            ("a JSON string", r#""hunter2""#),
            ("a member twice", r#"{"kty":"EC","kty":"OKP"}"#),
        ] {
            let error = SigningKey::parse(text, Es256).unwrap_err().to_string();
            assert!(error.starts_with("neither a PEM"), "{case}: {error}");
            assert!(!error.contains("hunter2"), "{case}: {error}");
        }
    }

    #[test]
    fn claims_must_be_an_object() {
        let error = key(SigningAlgorithm::EdDsa)
            .mint(&Crypto::module(), "one", "int+jwt", &Claims::new("text"))
            .unwrap_err();
        assert!(error.to_string().contains("claims"), "{error}");
    }
}
