//! What a gateway is made of: a configuration, and a host.

use std::net::IpAddr;
use std::rc::Rc;

use crate::callout::Service;
use crate::consumer::ConsumerDirectory;
use crate::denial::ErrorSettings;
use crate::identity::Minter;
use crate::introspection::IntrospectionEndpoint;
use crate::keys::Crypto;
use crate::refresh::KeySource;
use crate::revocation::Revocations;
use crate::rules::Rules;
use crate::sealing::SealedTokens;
use crate::token::{Provider, ProviderId, TokenSources};
use crate::user_info::UserInfoSource;
use crate::verdict::Mode;

/// What a valid configuration comes to.
#[derive(Debug)]
pub struct Settings {
    /// The services that may be called.
    pub services: Vec<Rc<Service>>,
    /// Who may issue public tokens, and their keys.
    pub providers: Vec<(Provider, KeySource)>,
    /// Whom to ask about reference tokens, and how many answers are kept.
    pub introspection: Option<(ProviderId, IntrospectionEndpoint, usize)>,
    /// Where tokens are found.
    pub sources: TokenSources,
    /// Who uses them.
    pub consumers: ConsumerDirectory,
    /// Which tokens are revoked.
    pub revocations: Revocations,
    /// What is asked about their users.
    pub user_info: Option<UserInfoSource>,
    /// How many users' data is kept.
    pub user_info_entries: usize,
    /// In about how much memory.
    pub user_info_bytes: usize,
    /// What is told to the services behind.
    pub minter: Minter,
    /// What each request needs.
    pub rules: Rules,
    /// How denials look.
    pub errors: ErrorSettings,
    /// Limits of size.
    pub limits: Limits,
    /// Whether CORS preflights pass without a token.
    pub bypass_cors_preflight: bool,
    /// Who computes signatures.
    pub crypto: Crypto,
    /// What becomes of requests that are to be denied.
    pub mode: Mode,
    /// Whether the access log is told what it may print; as the host likes it
    /// if `None`.
    pub access_log_properties: Option<bool>,
    /// Whether workers share what they learn.
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
    /// Whether paths that servers read differently may pass where all readings
    /// come to the same rule.
    pub allow_ambiguous_paths: bool,
}

/// What a host can do, where hosts differ in what it means for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostTraits {
    /// Whether it can remove header fields, however often they occur; else only
    /// the first of a name can be overwritten.
    pub removes_headers: bool,
    /// Whether one request's callback can resume another request.
    pub resumes_others: bool,
    /// Whether a reply of the filter can have several fields of one name; else
    /// only the last of them is sent.
    pub repeats_reply_fields: bool,
    /// Whether `X-Forwarded-For` and `X-Forwarded-Proto`, as the filter sees
    /// them, are the host's own; else they are what the client sent.
    pub writes_forwarded: bool,
    /// Whether it gives the reply to a gRPC call the HTTP status 200 itself, and
    /// keeps the reply's own for filters that made gRPC of something else.
    pub frames_grpc_replies: bool,
}

impl HostTraits {
    /// Envoy.
    pub const ENVOY: Self = Self {
        removes_headers: true,
        resumes_others: true,
        repeats_reply_fields: true,
        writes_forwarded: true,
        frames_grpc_replies: true,
    };

    /// ngx_wasm_module, as Kong has it.
    pub const NGX_WASM: Self = Self {
        removes_headers: false,
        resumes_others: false,
        repeats_reply_fields: false,
        writes_forwarded: false,
        frames_grpc_replies: false,
    };
}

/// What the host knows of the request that is being decided, and its head does
/// not say or says as the client wants it. Asked only when it is needed.
pub trait HostFacts: std::fmt::Debug {
    /// The id under which the host logs the request, if that is not the head's
    /// `x-request-id`.
    fn request_id(&self) -> Option<Vec<u8>>;

    /// The client's address, behind the proxies that the host trusts.
    fn client_address(&self) -> Option<IpAddr>;
}
