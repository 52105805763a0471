//! What a smaller build may leave out: cargo features, all on by default.
//!
//! Each is a type here whose value proves that the build has the feature. What needs one
//! keeps its proof: without the feature the type has no value, so nothing that needs it can
//! be made, and the compiler drops the code for it. Only this file asks for features.

use std::fmt;

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $feature:literal, for $what:literal;)*) => {$(
        $(#[$doc])*
        #[cfg(feature = $feature)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name(());

        $(#[$doc])*
        #[cfg(not(feature = $feature))]
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl $name {
            /// The proof, if this build has the feature.
            #[cfg(feature = $feature)]
            pub const fn proof() -> Result<Self, &'static LeftOut> {
                Ok(Self(()))
            }

            /// The proof, if this build has the feature.
            #[cfg(not(feature = $feature))]
            pub const fn proof() -> Result<Self, &'static LeftOut> {
                Err(&LeftOut { what: $what, feature: $feature })
            }
        }
    )*

        /// All that this build was made without.
        pub fn left_out() -> impl Iterator<Item = &'static LeftOut> {
            [$($name::proof().err()),*].into_iter().flatten()
        }
    };
}

features! {
    /// RS256, RS384, RS512, PS256, PS384 and PS512.
    Rsa = "rsa", for "an RSA key";
    /// ES384.
    Es384 = "es384", for "a P-384 key";
    /// ES512.
    Es512 = "es512", for "a P-521 key";
    /// ES256K.
    Es256K = "es256k", for "a secp256k1 key";
    /// EdDSA.
    EdDsa = "eddsa", for "an Ed25519 key";
    /// `sealed_tokens` of the configuration.
    SealedTokens = "sealed_tokens", for "sealed tokens";
    /// `revocation.logout_path` and `revocation.events` of the configuration.
    Signals = "signals", for "logout tokens and security events";
}

/// What this build was made without.
#[derive(Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// In the plural if it is no key.
    pub what: &'static str,
    /// The cargo feature that has it.
    pub feature: &'static str,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, feature } = self;
        write!(f, "{what} needs the feature {feature}, which this build was made without")
    }
}
