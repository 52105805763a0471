//! Tokens that are bound to a key of their client, which must prove possession of it: by
//! its certificate (RFC 8705) or by a proof for each request (DPoP, RFC 9449).
//!
//! Owns the check of that proof. The token itself names its key
//! ([`Confirmation`](crate::token::Confirmation)); a bound token is useless without it.

mod certificate;
mod dpop;
mod nonce;
mod target;

use std::fmt;

pub(crate) use self::certificate::forwarded_digest;
pub use self::certificate::{CertificateSource, of_hex, of_pem};
pub use self::dpop::{Dpop, Proof, ProofError, ProofOf};
pub use self::nonce::Nonces;
pub use self::target::PublicOrigin;
use crate::http::HeaderName;
use crate::network::Network;
pub use crate::seen::Lifetime;
use crate::token::{Methods, ProviderId};

/// What a client failed to prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The token is not bound, but must be.
    Unbound,
    /// Possession of the certificate to which the token is bound.
    Certificate,
    /// Possession of the token's key, with a proof for each request.
    WithoutProof,
    /// It proved another key.
    Key,
    /// A proof was sent for a token that is not bound to a key for proofs.
    NotForProofs,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unbound => {
                "the token must be bound to the client: by its certificate, or by DPoP"
            }
            Self::Certificate => "the token is bound to another client certificate",
            Self::WithoutProof => "the token is bound to a key: use the scheme DPoP with a proof",
            Self::Key => "the token is bound to another key than that of the DPoP proof",
            Self::NotForProofs => "the token is not bound to a key: use the scheme Bearer",
        })
    }
}

/// The bindings of all providers that have one.
#[derive(Debug, Default)]
pub struct Bindings(Vec<(ProviderId, Binding)>);

impl Bindings {
    /// The given bindings, each with its provider.
    pub const fn new(bindings: Vec<(ProviderId, Binding)>) -> Self {
        Self(bindings)
    }

    /// The binding of a provider.
    pub fn of(&self, provider: ProviderId) -> Option<&Binding> {
        self.0.iter().find(|(id, _)| *id == provider).map(|(_, binding)| binding)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Binding> {
        self.0.iter().map(|(_, binding)| binding)
    }

    /// The headers with certificates from TLS terminators in front, each with the peers
    /// that may send it.
    pub fn forwarded(&self) -> impl Iterator<Item = (&HeaderName, &[Network])> {
        self.iter().filter_map(|binding| match &binding.certificate {
            Some(CertificateSource::Header { name, from }) => Some((name, from.as_slice())),
            Some(CertificateSource::Connection) | None => None,
        })
    }

    /// Whether no provider has one.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether clients may use the scheme DPoP.
    pub fn take_proofs(&self) -> bool {
        self.iter().any(|binding| binding.dpop.is_some())
    }
}

/// How the clients of a provider prove possession of their keys: `binding` in the
/// configuration.
#[derive(Debug)]
pub struct Binding {
    /// The source of the client's certificate; `None` if tokens bound to one are not
    /// accepted.
    pub certificate: Option<CertificateSource>,
    /// How proofs are checked; `None` if tokens bound to a DPoP key are not accepted.
    pub dpop: Option<Dpop>,
    /// Whether an unbound token is refused.
    pub required: bool,
}

impl Binding {
    /// What the provider's tokens may be bound to.
    pub const fn methods(&self) -> Methods {
        Methods { certificate: self.certificate.is_some(), proof: self.dpop.is_some() }
    }
}
