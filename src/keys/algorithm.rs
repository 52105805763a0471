//! The supported signature algorithms, by name and by kind of key.

use std::fmt;

use crate::features::{EdDsa, Es256K, Es384, Es512, LeftOut, Rsa};

/// The maximum number of keys tried for one token: each costs a verification, and the
/// sender of the token pays nothing. Fewer, if a verification costs more than one on a
/// 256-bit curve: together, at most about a millisecond in the module.
pub const MAX_CANDIDATES: usize = 4;

/// A JWS algorithm (RFC 7518 section 3.1, RFC 8037 section 3.1).
///
/// An algorithm that is not listed does not exist for this crate; above all not `none`.
///
/// To add one: a variant, its place in [`Algorithm::ALL`], its name and its
/// family here, and its arm in the `verify` of that family's file.
// RFC 8725 section 3.2: "JWT libraries SHOULD NOT consume JWTs using "none" unless
// explicitly requested by the caller." (R07)
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// ECDSA on P-521 with SHA-512.
    Es512,
    /// ECDSA on secp256k1 with SHA-256 (RFC 8812 section 3.2).
    Es256K,
    /// EdDSA; here always on Ed25519.
    EdDsa,
}

/// The kind of key an algorithm needs, by `kty` and `crv` of a JWK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `oct`: a secret that signs and verifies.
    Hmac,
    /// `RSA`.
    Rsa,
    /// `EC` on `P-256`.
    P256,
    /// `EC` on `P-384`.
    P384,
    /// `EC` on `P-521`.
    P521,
    /// `EC` on `secp256k1`.
    Secp256k1,
    /// `OKP` on `Ed25519`.
    Ed25519,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 14] = [
        Self::Hs256,
        Self::Hs384,
        Self::Hs512,
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Es256K,
        Self::EdDsa,
    ];

    /// The name in the `alg` header parameter.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::Es256K => "ES256K",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of exactly that name, compared case-sensitively (RFC 7515 section
    /// 4.1.1).
    ///
    /// `Ed25519` is the newer name of EdDSA on that curve (RFC 9864 section
    /// 2.2), which is the only one here.
    pub fn from_name(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self::EdDsa);
        }
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The kind of key it needs.
    pub const fn family(self) -> Family {
        match self {
            Self::Hs256 | Self::Hs384 | Self::Hs512 => Family::Hmac,
            Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512 => {
                Family::Rsa
            }
            Self::Es256 => Family::P256,
            Self::Es384 => Family::P384,
            Self::Es512 => Family::P521,
            Self::Es256K => Family::Secp256k1,
            Self::EdDsa => Family::Ed25519,
        }
    }

    /// Set if this build was made without it.
    pub fn left_out(self) -> Option<&'static LeftOut> {
        match self.family() {
            Family::Hmac | Family::P256 => None,
            Family::Rsa => Rsa::proof().err(),
            Family::P384 => Es384::proof().err(),
            Family::P521 => Es512::proof().err(),
            Family::Secp256k1 => Es256K::proof().err(),
            Family::Ed25519 => EdDsa::proof().err(),
        }
    }

    /// Those of this build, in the order of [`Self::ALL`].
    pub fn in_build() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|algorithm| algorithm.left_out().is_none())
    }

    /// True if the verifying key can also sign.
    pub const fn is_symmetric(self) -> bool {
        matches!(self.family(), Family::Hmac)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Family {
    /// The algorithms that use this kind of key.
    pub fn algorithms(self) -> AlgorithmSet {
        Algorithm::ALL.into_iter().filter(|algorithm| algorithm.family() == self).collect()
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hmac => "a symmetric key",
            Self::Rsa => "an RSA key",
            Self::P256 => "a P-256 key",
            Self::P384 => "a P-384 key",
            Self::P521 => "a P-521 key",
            Self::Secp256k1 => "a secp256k1 key",
            Self::Ed25519 => "an Ed25519 key",
        })
    }
}

/// An algorithm for signing.
///
/// The first two are deterministic in the module, as not every host offers trustworthy
/// randomness. The others are for hosts that sign with them: with RSA the module would
/// take 12 ms, and its arithmetic is not constant-time (RUSTSEC-2023-0071).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// EdDSA on Ed25519.
    EdDsa,
    /// RSASSA-PKCS1-v1_5 with SHA-256, by the host.
    Rs256,
    /// RSASSA-PSS with SHA-256, by the host.
    Ps256,
    /// ECDSA on P-384 with SHA-384, by the host.
    Es384,
}

impl SigningAlgorithm {
    /// True if only a host can sign with it.
    pub const fn needs_host(self) -> bool {
        match self {
            Self::Es256 | Self::EdDsa => false,
            Self::Rs256 | Self::Ps256 | Self::Es384 => true,
        }
    }
}

impl From<SigningAlgorithm> for Algorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::Es256 => Self::Es256,
            SigningAlgorithm::EdDsa => Self::EdDsa,
            SigningAlgorithm::Rs256 => Self::Rs256,
            SigningAlgorithm::Ps256 => Self::Ps256,
            SigningAlgorithm::Es384 => Self::Es384,
        }
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Algorithm::from(*self).fmt(f)
    }
}

/// A set of algorithms, such as those of an issuer or a key.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct AlgorithmSet(u32);

impl AlgorithmSet {
    /// No algorithm.
    pub const EMPTY: Self = Self(0);

    /// Every algorithm of this build whose verifier cannot sign.
    pub fn asymmetric() -> Self {
        Algorithm::in_build().filter(|algorithm| !algorithm.is_symmetric()).collect()
    }

    /// Whether `algorithm` is in the set.
    pub const fn contains(self, algorithm: Algorithm) -> bool {
        self.0 & bit(algorithm) != 0
    }

    /// Adds `algorithm`; no effect if already present.
    pub const fn insert(&mut self, algorithm: Algorithm) {
        self.0 |= bit(algorithm);
    }

    /// Whether the set is empty.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The intersection.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The union.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The algorithms, in the order of [`Algorithm::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL.into_iter().filter(move |algorithm| self.contains(*algorithm))
    }
}

/// The bit of an algorithm in the set: its discriminant, far below 32.
const fn bit(algorithm: Algorithm) -> u32 {
    1_u32.wrapping_shl(algorithm as u32)
}

impl From<Algorithm> for AlgorithmSet {
    fn from(algorithm: Algorithm) -> Self {
        Self(bit(algorithm))
    }
}

impl FromIterator<Algorithm> for AlgorithmSet {
    fn from_iter<I: IntoIterator<Item = Algorithm>>(algorithms: I) -> Self {
        algorithms.into_iter().fold(Self::EMPTY, |set, algorithm| set.union(algorithm.into()))
    }
}

impl fmt::Display for AlgorithmSet {
    /// The names, as in `RS256, ES256`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for algorithm in self.iter() {
            write!(f, "{separator}{algorithm}")?;
            separator = ", ";
        }
        Ok(())
    }
}

impl fmt::Debug for AlgorithmSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_exact() {
        for algorithm in Algorithm::ALL {
            assert_eq!(Algorithm::from_name(algorithm.name()), Some(algorithm));
        }
        assert_eq!(Algorithm::from_name("Ed25519"), Some(Algorithm::EdDsa));
        for (case, name) in [
            ("none", "none"),
            ("None", "None"),
            ("nothing", ""),
            ("lower case", "rs256"),
            ("mixed case", "EDDSA"),
            ("a space after", "RS256 "),
            ("a NUL after", "RS256\0"),
            ("an encryption algorithm", "RSA-OAEP"),
            ("a hash nobody uses", "RS224"),
            ("a misprint of RFC 7520", "ES521"),
            ("a curve of EdDSA that is not here", "Ed448"),
            ("the curve in lower case", "ed25519"),
        ] {
            assert_eq!(Algorithm::from_name(name), None, "{case}");
        }
    }

    #[test]
    fn each_algorithm_has_its_own_place_in_a_set() {
        for one in Algorithm::ALL {
            let set = AlgorithmSet::from(one);
            for other in Algorithm::ALL {
                assert_eq!(set.contains(other), one == other, "{one} and {other}");
            }
        }
        let all: AlgorithmSet = Algorithm::ALL.into_iter().collect();
        assert!(all.iter().eq(Algorithm::ALL));
    }

    #[test]
    fn sets_read_as_lists() {
        let mut set = AlgorithmSet::EMPTY;
        assert_eq!(set.to_string(), "");
        assert!(set.is_empty());
        set.insert(Algorithm::Es256);
        set.insert(Algorithm::Rs256);
        set.insert(Algorithm::Es256);
        assert_eq!(set.to_string(), "RS256, ES256");
        assert_eq!(
            AlgorithmSet::asymmetric().to_string(),
            "RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, ES256K, EdDSA"
        );
    }

    #[test]
    fn families_divide_the_algorithms() {
        let families = [
            Family::Hmac,
            Family::Rsa,
            Family::P256,
            Family::P384,
            Family::P521,
            Family::Secp256k1,
            Family::Ed25519,
        ];
        for algorithm in Algorithm::ALL {
            let homes = families.map(|family| family.algorithms().contains(algorithm));
            assert_eq!(homes.iter().filter(|home| **home).count(), 1, "{algorithm}");
        }
    }
}
