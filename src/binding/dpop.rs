//! Proofs of possession (RFC 9449): one for each request, signed with the key that the
//! token is bound to.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::nonce::Nonces;
use super::target::{PublicOrigin, is_target};
use crate::http::RequestHead;
use crate::json::Json;
use crate::keys::{Algorithm, AlgorithmSet, Crypto, Origin, VerifyingKey, jwk_thumbprint};
use crate::seen::Lifetime;
use crate::time::{Span, UnixTime};
use crate::token::{TokenError, Untrusted, numeric_date, text_of};

/// The settings for proofs: `binding.dpop` in the configuration.
#[derive(Debug)]
pub struct Dpop {
    /// The nonces that proofs must contain, if required.
    pub nonces: Option<Nonces>,
    /// The maximum age of a proof.
    pub max_age: Span,
    /// How far a client's clock may be ahead.
    pub clock_skew: Span,
    /// What clients see, any of these; what the host sees where there is none.
    pub origins: Vec<PublicOrigin>,
}

/// The request and token that a proof is for.
#[derive(Clone, Copy, Debug)]
pub struct ProofOf<'a> {
    /// The request.
    pub head: &'a RequestHead,
    /// The token, as the client sent it.
    pub token: &'a [u8],
    /// The thumbprint of the key that the token is bound to.
    pub key: &'a [u8; 32],
}

/// A valid proof, unless it is a replay.
#[derive(Debug, PartialEq, Eq)]
pub struct Proof {
    /// Its `jti`.
    pub id: String,
    /// How long it could be used again, at any gateway of the proxy.
    pub lifetime: Lifetime,
}

/// Why a proof is not accepted. Contains nothing of the proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofError {
    /// There is none.
    Missing,
    /// There is more than one.
    Several,
    /// It is not a JWT.
    Unreadable(TokenError),
    /// Its `typ` is not `dpop+jwt`.
    Type,
    /// Its algorithm is symmetric, none, or unknown.
    Algorithm,
    /// A claim is missing or malformed; the claim.
    Claim(&'static str),
    /// It is for another method.
    Method,
    /// It is for another URI.
    Target,
    /// It is for another token.
    Token,
    /// Its nonce is missing, unknown or expired.
    Nonce,
    /// It is too old, or from the future.
    Time,
    /// Its `jwk` is not a public key, or too weak.
    Key,
    /// Its key is not the one that the token is bound to.
    AnotherKey,
    /// Its signature does not match its key.
    Signature,
    /// It was seen before.
    Repeated,
    /// It is unknown whether it was seen before.
    Unknown,
}

impl fmt::Display for ProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "a DPoP proof is needed",
            Self::Several => "there is more than one DPoP proof",
            Self::Unreadable(_) => "the DPoP proof is not a signed JWT",
            Self::Type => "the type of the DPoP proof is not dpop+jwt",
            Self::Algorithm => "the algorithm of the DPoP proof is not accepted",
            Self::Claim(claim) => {
                return write!(f, "the claim {claim} of the DPoP proof is missing or malformed");
            }
            Self::Method => "the DPoP proof is for another method",
            Self::Target => "the DPoP proof is for another URI",
            Self::Token => "the DPoP proof is for another token",
            Self::Nonce => "the DPoP proof needs the nonce of this reply",
            Self::Time => "the DPoP proof is too old or from the future",
            Self::Key => "the key of the DPoP proof is not an acceptable public key",
            Self::AnotherKey => "the key of the DPoP proof is not the one of the token",
            Self::Signature => "the signature of the DPoP proof is not valid",
            Self::Repeated => "the DPoP proof was used before",
            Self::Unknown => "whether the DPoP proof was used before is not known",
        })
    }
}

/// The longest proof: one with a 4096-bit RSA key takes less than half of it.
const MAX_BYTES: usize = 8192;

impl Dpop {
    /// The most that `max_age` may be, in seconds.
    pub const LONGEST_AGE: u32 = 600;

    const LONGEST: Span = Span::from_secs(Self::LONGEST_AGE);

    /// The algorithms that proofs may be signed with.
    pub fn algorithms() -> AlgorithmSet {
        AlgorithmSet::asymmetric()
    }

    /// Their names for a challenge, including both names of EdDSA (RFC 9864).
    pub fn algorithm_names() -> String {
        let algorithms = Self::algorithms();
        let ed25519 = algorithms.contains(Algorithm::EdDsa).then_some("Ed25519");
        let names = algorithms.iter().map(Algorithm::name).chain(ed25519);
        names.collect::<Vec<_>>().join(" ")
    }

    /// Checks the proof of a request (RFC 9449 section 4.3), except for replay. Cheap
    /// checks come first, the signature last: a proof for another request or with another
    /// key is not worth cryptography.
    // RFC 9449 section 4.3 (R84)
    pub fn check(
        &self,
        of: ProofOf<'_>,
        crypto: &Crypto,
        now: UnixTime,
    ) -> Result<Proof, ProofError> {
        let mut values = of.head.values("dpop");
        let text = values.next().ok_or(ProofError::Missing)?;
        // Hosts may join fields of the same name.
        if values.next().is_some() || text.contains(&b',') {
            return Err(ProofError::Several);
        }
        let proof = Untrusted::parse(text, MAX_BYTES).map_err(ProofError::Unreadable)?;
        if proof.media_type().as_deref() != Some("dpop+jwt") {
            return Err(ProofError::Type);
        }
        let algorithm = Algorithm::from_name(proof.algorithm_name());
        let algorithm = algorithm.filter(|it| Self::algorithms().contains(*it));
        let algorithm = algorithm.ok_or(ProofError::Algorithm)?;
        let claims = proof.unverified_claims();
        let claim = |name| text_of(claims, name).ok_or(ProofError::Claim(name));
        let (id, method, target) = (claim("jti")?, claim("htm")?, claim("htu")?);
        if method.as_bytes() != of.head.method() {
            return Err(ProofError::Method);
        }
        if !is_target(target, of.head, &self.origins) {
            return Err(ProofError::Target);
        }
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(of.token));
        if claim("ath")? != digest {
            return Err(ProofError::Token);
        }
        let issued = numeric_date(claims, "iat").ok().flatten().ok_or(ProofError::Claim("iat"))?;
        let lifetime = self.lifetime(issued, claims.get("nonce"), now)?;
        let jwk = proof.header_parameter("jwk").and_then(Value::as_object);
        let jwk = jwk.ok_or(ProofError::Key)?;
        if jwk_thumbprint(jwk).as_ref() != Some(of.key) {
            return Err(ProofError::AnotherKey);
        }
        // A secret or private key must not be sent by anybody.
        let key = VerifyingKey::from_jwk(jwk, Origin::Remote).map_err(|_| ProofError::Key)?;
        if !key.verify(crypto, algorithm, proof.signing_input(), proof.signature()) {
            return Err(ProofError::Signature);
        }
        Ok(Proof { id: id.to_owned(), lifetime })
    }

    /// Checks the time of a proof, and returns how long to remember it. Its time is that of
    /// its nonce where nonces are required, since this gateway's own clock made that;
    /// otherwise its `iat`.
    ///
    /// `earliest` depends on the proof alone, so that it is the same each time the proof is
    /// used. `until` is later than the proof is accepted here: another gateway of the proxy
    /// may go by the other of the two times, and accept older proofs. A nonce that cannot be
    /// read here may have been made just now.
    fn lifetime(
        &self,
        issued: UnixTime,
        nonce: Option<Json<'_>>,
        now: UnixTime,
    ) -> Result<Lifetime, ProofError> {
        let (from, error) = match &self.nonces {
            Some(nonces) => {
                let made = nonce.and_then(Json::as_str).and_then(|it| nonces.time_of(it));
                (made.ok_or(ProofError::Nonce)?, ProofError::Nonce)
            }
            None => (issued, ProofError::Time),
        };
        let is_timely = from.minus(self.clock_skew) <= now && now < from.plus(self.max_age);
        // An `iat` further in the future does not make the proof remembered any longer.
        let last = now.max(from).max(issued.min(now.plus(Self::LONGEST)));
        if !is_timely {
            return Err(error);
        }
        Ok(Lifetime {
            earliest: from.plus(Self::LONGEST),
            until: last.plus(Self::LONGEST),
            all_until: now.plus(Self::LONGEST).plus(Self::LONGEST),
        })
    }
}
