//! The settings of a gateway, from its configuration and host.

use std::rc::Rc;

use crate::bearer::TokenSources;
use crate::binding::Bindings;
use crate::callout::Service;
use crate::consumer::ConsumerDirectory;
use crate::denial::ErrorSettings;
use crate::identity::Minter;
use crate::introspection::IntrospectionEndpoint;
use crate::keys::Crypto;
use crate::refresh::KeySource;
use crate::resource::Resources;
use crate::revocation::Revocations;
use crate::rules::{PathReaders, Rules};
use crate::sealing::SealedTokens;
use crate::signals::Signals;
use crate::token::{Provider, ProviderId};
use crate::user_info::UserInfoSource;
use crate::verdict::Mode;

/// A valid configuration.
#[derive(Debug)]
pub struct Settings {
    /// The services that may be called.
    pub services: Vec<Rc<Service>>,
    /// The issuers of public tokens, and their keys.
    pub providers: Vec<(Provider, KeySource)>,
    /// The endpoint for reference tokens, and the number of cached answers.
    pub introspection: Option<(ProviderId, IntrospectionEndpoint, usize)>,
    /// Where tokens are found.
    pub sources: TokenSources,
    /// The clients that use tokens.
    pub consumers: ConsumerDirectory,
    /// Which tokens are revoked.
    pub revocations: Revocations,
    /// How clients show the keys that tokens are bound to.
    pub bindings: Bindings,
    /// What their issuers tell of logouts and events.
    pub signals: Signals,
    /// The keys of those who tell of events, by position.
    pub transmitter_keys: Vec<KeySource>,
    /// The source of user info.
    pub user_info: Option<UserInfoSource>,
    /// How many users' data is kept.
    pub user_info_entries: usize,
    /// In about how much memory.
    pub user_info_bytes: usize,
    /// The identity for the services behind.
    pub minter: Minter,
    /// The rules for requests.
    pub rules: Rules,
    /// What clients find out before they have a token.
    pub resources: Resources,
    /// How denials look.
    pub errors: ErrorSettings,
    /// Limits of size.
    pub limits: Limits,
    /// Whether CORS preflights pass without a token.
    pub bypass_cors_preflight: bool,
    /// Where signatures are computed.
    pub crypto: Crypto,
    /// Whether denials are enforced.
    pub mode: Mode,
    /// Whether fields for the access log are published; the host's default if `None`.
    pub access_log_properties: Option<bool>,
    /// Whether workers share data.
    pub shared_data: SharedData,
    /// Tokens that clients hold only sealed.
    pub sealed_tokens: Option<SealedTokens>,
}

/// `shared_data` in the configuration: whether the host's shared data is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedData {
    /// Where it is always there.
    #[default]
    Auto,
    /// Also where it has to be set up, without which the host would trap.
    Always,
    /// Nowhere.
    Never,
}

/// `limits` in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest token that is looked at.
    pub max_token_bytes: usize,
    /// How many tokens are remembered.
    pub token_cache_entries: usize,
    /// In about how much memory.
    pub token_cache_bytes: usize,
    /// The longest body of a service's reply.
    pub max_reply_bytes: usize,
    /// The most bytes of headers that services get of an identity.
    pub max_identity_bytes: usize,
    /// Whether a request that was forwarded ends with its token.
    pub end_streams: bool,
    /// `allow_ambiguous_paths` and `case_sensitive_paths`.
    pub paths: PathReaders,
}
