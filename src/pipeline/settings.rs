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
    /// A fingerprint of the configuration, without its secrets.
    pub config_hash: u64,
    /// The services for callouts.
    pub services: Vec<Rc<Service>>,
    /// The issuers of public tokens, and their keys.
    pub providers: Vec<(Provider, KeySource)>,
    /// The endpoint for reference tokens, and the number of cached answers.
    pub introspection: Option<(ProviderId, IntrospectionEndpoint, usize)>,
    /// Where tokens are read from.
    pub sources: TokenSources,
    /// The clients that use tokens.
    pub consumers: ConsumerDirectory,
    /// The configuration of revocation.
    pub revocations: Revocations,
    /// How clients prove possession of the keys that tokens are bound to.
    pub bindings: Bindings,
    /// The endpoints for logout tokens and security events.
    pub signals: Signals,
    /// The keys of the transmitters of events, by position.
    pub transmitter_keys: Vec<KeySource>,
    /// The source of user info.
    pub user_info: Option<UserInfoSource>,
    /// Number of users whose data is cached.
    pub user_info_entries: usize,
    /// Approximate limit of the memory for it.
    pub user_info_bytes: usize,
    /// The identity for the services behind the gateway.
    pub minter: Minter,
    /// The rules for requests.
    pub rules: Rules,
    /// The metadata of resources, for clients without a token.
    pub resources: Resources,
    /// The form of denials.
    pub errors: ErrorSettings,
    /// Size limits.
    pub limits: Limits,
    /// Whether CORS preflights pass without a token.
    pub bypass_cors_preflight: bool,
    /// The implementation of signatures.
    pub crypto: Crypto,
    /// Whether denials are enforced.
    pub mode: Mode,
    /// Whether fields for the access log are published; the host's default if `None`.
    pub access_log_properties: Option<bool>,
    /// Whether workers share data.
    pub shared_data: SharedData,
    /// Configuration of sealed tokens, which clients hold in encrypted form only.
    pub sealed_tokens: Option<SealedTokens>,
}

/// `shared_data` in the configuration: whether the host's shared data is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SharedData {
    /// Where the host always has it.
    #[default]
    Auto,
    /// Also where it must be set up first, without which the host would trap.
    Always,
    /// Never.
    Never,
}

/// `limits` in the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The longest token accepted.
    pub max_token_bytes: usize,
    /// Number of cached tokens.
    pub token_cache_entries: usize,
    /// Approximate limit of the memory for them.
    pub token_cache_bytes: usize,
    /// The largest reply body of a service.
    pub max_reply_bytes: usize,
    /// The largest request body of a sealed login: its page may repeat it, and is searched.
    pub max_login_bytes: usize,
    /// Upper limit, in bytes, of the identity headers for services.
    pub max_identity_bytes: usize,
    /// Whether a forwarded request ends when its token does.
    pub end_streams: bool,
    /// `allow_ambiguous_paths` and `case_sensitive_paths`.
    pub paths: PathReaders,
}
