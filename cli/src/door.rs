//! The doors of the gateway, as the commands stand in for them.

use gatepass::host::HostCapabilities;

use crate::arguments::HostKind;
use crate::signer::RustCryptoHost;

/// A host, and how it runs the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// The WebAssembly filter in Envoy.
    EnvoyFilter,
    /// The native module in Envoy.
    EnvoyModule,
    /// The WebAssembly filter in Kong.
    KongFilter,
    /// The plugin in Kong.
    KongPlugin,
}

impl Door {
    /// The door of a host; `is_native`: whether it is Envoy's native module.
    pub const fn of(host: HostKind, is_native: bool) -> Self {
        match host {
            HostKind::Envoy if is_native => Self::EnvoyModule,
            HostKind::Envoy => Self::EnvoyFilter,
            HostKind::Kong => Self::KongPlugin,
            HostKind::KongFilter => Self::KongFilter,
        }
    }

    /// What the host can do there.
    pub const fn capabilities(self) -> HostCapabilities {
        match self {
            Self::EnvoyFilter => HostCapabilities::ENVOY,
            Self::EnvoyModule => HostCapabilities::ENVOY_NATIVE,
            Self::KongFilter => HostCapabilities::NGX_WASM,
            Self::KongPlugin => HostCapabilities::KONG_PLUGIN,
        }
    }

    /// The cryptography that it has, beside the core's own.
    pub const fn crypto(self) -> Option<RustCryptoHost> {
        match self {
            Self::EnvoyFilter => Some(RustCryptoHost { is_native: false }),
            Self::EnvoyModule | Self::KongPlugin => Some(RustCryptoHost { is_native: true }),
            Self::KongFilter => None,
        }
    }
}
