//! A provider of kind `kong_jwt`: Kong's jwt plugin, with its options under their
//! original names, and the credentials that it identifies tokens by.
//!
//! Some options duplicate Gatepass's own: token sources, the realm, preflights, the
//! anonymous consumer. They apply to the whole filter, and each may be set in one place
//! only.

use std::rc::Rc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::identity::MinterParts;
use super::problem::Problems;
use super::reader::{Document, Node};
use super::values::{algorithm_in_build, header_name, printable, token_name};
use crate::bearer::HeaderSource;
use crate::http::HeaderName;
use crate::keys::{Algorithm, KeyError, KeySet, VerifyingKey};
use crate::refresh::KeySource;
use crate::time::Span;
use crate::token::{ClaimPath, CredentialClaim, Issuance, Methods, Provider};

/// The provider, and its options for the whole filter.
pub struct KongJwt {
    /// Its name.
    pub name: String,
    /// The checks for its tokens.
    checks: Checks,
    /// The options that are Gatepass's own under other names.
    pub plugin: PluginOptions,
}

/// Options for the whole filter; `None` if not set.
pub struct PluginOptions {
    /// Whether the secrets of credentials are in base64.
    pub secret_is_base64: bool,
    /// `token.from_headers`.
    pub headers: Option<Vec<HeaderSource>>,
    /// `token.from_cookies`.
    pub cookies: Option<Vec<String>>,
    /// `token.from_params`.
    pub params: Option<Vec<String>>,
    /// The consumer of requests without a token: `consumers.anonymous`, without a rule for
    /// it.
    pub anonymous: Option<String>,
    /// The opposite of `bypass_cors_preflight`.
    pub run_on_preflight: Option<bool>,
    /// `errors.realm`.
    pub realm: Option<String>,
}

#[derive(Clone)]
struct Checks {
    claim: CredentialClaim,
    require_expiration: bool,
    require_not_before: bool,
    max_lifetime: Option<Span>,
}

/// The algorithms of Kong's plugin.
const ALGORITHMS: [(&str, Algorithm); 13] = [
    ("HS256", Algorithm::Hs256),
    ("HS384", Algorithm::Hs384),
    ("HS512", Algorithm::Hs512),
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("ES512", Algorithm::Es512),
    ("EdDSA", Algorithm::EdDsa),
];

/// Whether a provider is of this kind.
pub fn is_kind(node: &Node<'_>) -> bool {
    node.value().get("kind").is_some_and(|kind| kind == "kong_jwt")
}

/// Reads the provider of this kind among `providers`, if there is one. The outer `None`
/// means that it is invalid.
#[allow(clippy::option_option)]
pub fn find(providers: &Node<'_>) -> Option<Option<KongJwt>> {
    let Some(members) = providers.value().as_object() else { return Some(None) };
    let of_kind = members.keys().filter_map(|name| providers.member(name).map(|node| (name, node)));
    let of_kind: Vec<_> = of_kind.filter(|(_, node)| is_kind(node)).collect();
    match of_kind.as_slice() {
        [] => Some(None),
        [(name, node)] => provider(name, node).map(Some),
        _ => providers.reject_as(
            "several providers of the kind kong_jwt",
            "one of them: its options hold for the whole filter",
        ),
    }
}

fn provider(name: &str, node: &Node<'_>) -> Option<KongJwt> {
    let mut fields = node.fields()?;
    let _ = fields.node_of("kind");
    let claim =
        fields.or("key_claim_name", "iss".to_owned(), |node| node.text().map(str::to_owned));
    let secret_is_base64 = fields.or("secret_is_base64", false, Node::flag);
    let dates = [("exp", Date::Expiration), ("nbf", Date::NotBefore)];
    let to_verify = fields.or("claims_to_verify", vec![Date::Expiration], |node| {
        node.list(|item| item.one_of(&dates))
    });
    let max = fields.or("maximum_expiration", 0, |node| node.integer(0..=31_536_000));
    let params = fields.optional("uri_param_names", |node| node.list(token_name));
    let cookies = fields.optional("cookie_names", |node| node.list(token_name));
    let headers = fields.optional("header_names", |node| node.list(bearer_in));
    let anonymous = fields.optional("anonymous", printable);
    let run_on_preflight = fields.optional("run_on_preflight", Node::flag);
    let realm = fields.optional("realm", |node| node.plain_text().map(str::to_owned));
    let trust_claims = fields.or("trust_claims", false, Node::flag);
    let node = fields.node().clone();
    fields.finish()?;
    let (to_verify, max) = (to_verify?, max?);
    let (headers, cookies, params) = (headers?, cookies?, params?);
    if [
        headers.as_ref().map(Vec::len),
        cookies.as_ref().map(Vec::len),
        params.as_ref().map(Vec::len),
    ] == [Some(0); 3]
    {
        return node.reject_as(
            "no place for tokens",
            "at least one of header_names, cookie_names and uri_param_names",
        );
    }
    let require_expiration = to_verify.contains(&Date::Expiration);
    if max > 0 && !require_expiration {
        return node.reject_as("maximum_expiration without exp", "exp in claims_to_verify");
    }
    Some(KongJwt {
        name: name.to_owned(),
        checks: Checks {
            claim: CredentialClaim { name: claim?, trust_claims: trust_claims? },
            require_expiration,
            require_not_before: to_verify.contains(&Date::NotBefore),
            max_lifetime: (max > 0).then(|| Span::from_secs(max)),
        },
        plugin: PluginOptions {
            secret_is_base64: secret_is_base64?,
            headers,
            cookies,
            params,
            anonymous: anonymous?,
            run_on_preflight: run_on_preflight?,
            realm: realm?,
        },
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Date {
    Expiration,
    NotBefore,
}

impl KongJwt {
    /// The provider with its checks.
    pub fn provider(&self) -> Provider {
        let Checks { claim, require_expiration, require_not_before, max_lifetime } =
            self.checks.clone();
        Provider {
            name: self.name.clone(),
            issuance: Issuance::Credentials(claim),
            audiences: None,
            algorithms: ALGORITHMS.into_iter().map(|(_, algorithm)| algorithm).collect(),
            clock_skew: Span::from_secs(0),
            require_expiration,
            require_not_before,
            max_lifetime,
            token_types: None,
            required_claims: Vec::new(),
            accept_unbound: false,
            trusted_without_scope: false,
            subject_claims: vec![ClaimPath::dotted("sub")],
            client_claims: Rc::default(),
            methods: Methods::default(),
            names_subjects: false,
        }
    }

    /// A token's provider is looked up by `iss` first, so a credential of the same name
    /// could not be reached; nor may it have the gateway's issuer as its name.
    pub fn check_separation(
        &self,
        whole: &Node<'_>,
        credentials: &KeySet,
        providers: &[(Provider, KeySource)],
        minter: &MinterParts,
    ) {
        if self.checks.claim.name != "iss" {
            return;
        }
        let issuers = providers.iter().filter_map(|(provider, _)| provider.issuer());
        for issuer in issuers.chain([minter.issuer()]).filter(|issuer| credentials.knows(issuer)) {
            let found = format_args!("the issuer {issuer:?} as the key of a credential");
            let _: Option<()> = whole.reject_as(found, "keys that are not issuers");
        }
    }
}

impl PluginOptions {
    /// Whether it configures token sources.
    pub const fn names_sources(&self) -> bool {
        self.headers.is_some() || self.cookies.is_some() || self.params.is_some()
    }
}

fn bearer_in(node: &Node<'_>) -> Option<HeaderSource> {
    header_name(node).map(bearer)
}

/// A header that contains `Bearer` and a token.
pub fn bearer(name: HeaderName) -> HeaderSource {
    HeaderSource { name, prefix: "Bearer ".into() }
}

/// Reads a credential of Kong's jwt plugin: a key for one algorithm, whose id is the
/// credential's `key`.
pub fn credential(node: &Node<'_>, secret_is_base64: bool) -> Option<VerifyingKey> {
    let mut fields = node.fields()?;
    let key = fields.required("key", "what names the credential in a token", printable);
    let algorithm = fields.or("algorithm", Algorithm::Hs256, |node| {
        algorithm_in_build(node, node.one_of(&ALGORITHMS)?)
    });
    let secret_node = fields.node_of("secret");
    let public_node = fields.node_of("rsa_public_key");
    fields.ignored("id");
    fields.ignored("tags");
    let node = fields.node().clone();
    let known = fields.finish();
    let secret = match &secret_node {
        Some(node) => Some(node.secret()?),
        None => None,
    };
    let public = match &public_node {
        Some(node) => Some(node.secret()?),
        None => None,
    };
    known?;
    let (key, algorithm) = (key?, algorithm?);
    let made = match (algorithm.is_symmetric(), secret, public) {
        (true, _, Some(_)) => {
            let found = format!("rsa_public_key with {algorithm}");
            return node.reject_as(found, "the algorithm of the key, or no rsa_public_key");
        }
        (true, None, _) => {
            return node.reject_as(format_args!("{algorithm} without secret"), "a secret");
        }
        (true, Some(secret), None) => {
            let bytes = secret_bytes(secret.expose(), secret_is_base64);
            let Some(bytes) = bytes else {
                let node = secret_node.unwrap_or(node);
                return node.reject_as("not base64", "base64, as secret_is_base64 says");
            };
            VerifyingKey::of_secret(&key, algorithm, &bytes)
        }
        (false, _, None) => {
            let found = format!("{algorithm} without rsa_public_key");
            return node.reject_as(found, "rsa_public_key, a public key in PEM");
        }
        // Kong generates a secret for each credential, whatever its algorithm.
        (false, _, Some(public)) => VerifyingKey::of_pem(&key, algorithm, public.expose()),
    };
    match made {
        Ok(key) => Some(key),
        Err(error @ KeyError::KeyIdTooLong { .. }) => {
            node.member("key").unwrap_or(node).reject_as(error, "a shorter key")
        }
        Err(error @ KeyError::SecretTooShort { .. }) => secret_node.unwrap_or(node).reject_as(
            error,
            format_args!("a secret as long as the hash of {algorithm} (RFC 7518 section 3.2)"),
        ),
        Err(error) => public_node.unwrap_or(node).reject_as(
            error,
            format_args!("a public key for {algorithm} in PEM; EdDSA is on Ed25519, not Ed448"),
        ),
    }
}

/// Validates a single credential, an element of `jwt_secrets`: for programs that write
/// configurations.
pub fn check_credential(credential: &Value, secret_is_base64: bool) -> Result<(), Problems> {
    Document::check(credential, |node| self::credential(node, secret_is_base64))
}

/// Kong accepts either base64 alphabet, with or without padding.
fn secret_bytes(secret: &str, is_base64: bool) -> Option<Vec<u8>> {
    if !is_base64 {
        return Some(secret.as_bytes().to_vec());
    }
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let standard = secret.replace('-', "+").replace('_', "/");
    GeneralPurpose::new(&alphabet::STANDARD, config).decode(standard).ok()
}
