//! Notifications from issuers about sessions and accounts: logout tokens (OpenID Connect
//! Back-Channel Logout 1.0) and security events (RFC 8417, Shared Signals).
//!
//! Owns the parsing and checking of such tokens, and their effect. They are never
//! accepted as public tokens (see [`EVENTS_CLAIM`](crate::token::EVENTS_CLAIM)); their
//! revocations go into the list of [`revocation`](crate::revocation).

mod error;
mod events;
mod form;
mod forward;
mod logout;
mod subject;

pub use self::error::SignalError;
pub use self::events::{EventsEndpoint, Received, Transmitter};
pub use self::form::{FormError, logout_token_of};
pub use self::forward::{Forward, ForwardError};
pub use self::logout::{LogoutReceiver, Logouts};
pub use self::subject::RevokeBy;

/// The largest body of a request to one of the endpoints, far above what issuers send.
/// Anybody may send one, and it is read before its signature can be checked.
pub const MAX_BYTES: usize = 65_536;

/// The endpoints of a configuration; by default there are none.
#[derive(Debug, Default)]
pub struct Signals {
    /// The endpoint for logout tokens.
    pub logouts: Option<Logouts>,
    /// The endpoint for security events.
    pub events: Option<EventsEndpoint>,
    /// Where both are forwarded to, for other proxies.
    pub forward: Option<Forward>,
}

/// An endpoint for signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalKind {
    /// Logout tokens, in a form.
    Logout,
    /// Security events, as the body.
    Events,
}

impl Signals {
    /// The endpoint at a path, compared byte for byte.
    pub fn at(&self, path: &[u8]) -> Option<SignalKind> {
        let is_own = |own: &str| own.as_bytes() == path;
        let logouts = self.logouts.as_ref().map(|logouts| logouts.path.as_str());
        let events = self.events.as_ref().map(|events| events.path.as_str());
        if logouts.is_some_and(is_own) {
            Some(SignalKind::Logout)
        } else {
            events.is_some_and(is_own).then_some(SignalKind::Events)
        }
    }

    /// Whether there is an endpoint.
    pub const fn is_empty(&self) -> bool {
        self.logouts.is_none() && self.events.is_none()
    }

    /// The labels for counts of them.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        let logout = self.logouts.iter().map(|_| logout::KIND);
        logout.chain(self.events.iter().flat_map(|_| events::KINDS))
    }

    /// The names of the transmitters.
    pub fn transmitters(&self) -> impl Iterator<Item = &str> {
        let transmitters = self.events.iter().flat_map(|events| &events.transmitters);
        transmitters.map(|transmitter| transmitter.issuer.as_str())
    }
}
