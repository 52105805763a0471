//! The settings of plugins, and their requirements for requests.

use std::collections::BTreeSet;

use gatepass::config::reader::Node;
use serde_json::{Map, Value, json};

use super::issuer::{self, IssuerPlugin, Options};
use super::placeholder::{is_template, plain};
use super::{keycloak, openid_connect};
use crate::convert::need::Access;

/// The settings of a plugin.
pub(super) enum Settings {
    Jwt(Box<Jwt>),
    Acl(Acl),
    /// A plugin that takes tokens of an issuer.
    Issuer(Box<IssuerPlugin>),
    /// Another plugin.
    Other,
}

/// How a token is found and looked up. A filter does it in one way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lookup {
    key_claim_name: String,
    pub(super) secret_is_base64: bool,
    uri_param_names: Option<Vec<String>>,
    cookie_names: Option<Vec<String>>,
    header_names: Option<Vec<String>>,
}

/// The jwt plugin.
#[derive(Clone)]
pub(super) struct Jwt {
    pub(super) lookup: Lookup,
    pub(super) claims_to_verify: Option<Vec<String>>,
    pub(super) maximum_expiration: u32,
    pub(super) run_on_preflight: bool,
    pub(super) realm: Option<String>,
    pub(super) anonymous: Option<String>,
}

/// The acl plugin.
pub(super) struct Acl {
    allow: Groups,
    deny: Groups,
    /// Groups of consumer groups count as well.
    counts_consumer_groups: bool,
    /// Groups of the token count instead of the consumer's.
    pub(super) prefers_token: bool,
    pub(super) hides_groups: bool,
}

#[derive(Default)]
struct Groups {
    known: BTreeSet<String>,
    /// True if there are others with only a placeholder.
    has_unknown: bool,
}

/// Plugins that do not decide who passes: they log, measure, limit the rate,
/// change a request or answer a preflight.
const HARMLESS: [&str; 34] = [
    "ai-prompt-decorator",
    "ai-prompt-template",
    "ai-proxy",
    "ai-request-transformer",
    "ai-response-transformer",
    "acme",
    "aws-lambda",
    "azure-functions",
    "correlation-id",
    "cors",
    "datadog",
    "file-log",
    "grpc-gateway",
    "grpc-web",
    "http-log",
    "kafka-log",
    "loggly",
    "opentelemetry",
    "prometheus",
    "proxy-cache",
    "rate-limiting",
    "rate-limiting-advanced",
    "request-size-limiting",
    "request-transformer",
    "request-transformer-advanced",
    "response-ratelimiting",
    "response-transformer",
    "response-transformer-advanced",
    "standard-webhooks",
    "statsd",
    "syslog",
    "tcp-log",
    "udp-log",
    "zipkin",
];

/// True if a plugin lets every request pass. An unknown one may not.
pub(super) fn is_harmless(name: &str) -> bool {
    HARMLESS.contains(&name)
}

/// Whether a plugin looks at the consumer. One of the others has no use for it.
pub(super) fn asks_consumers(name: &str) -> bool {
    const OTHERS: [&str; 6] =
        ["acme", "correlation-id", "cors", "grpc-gateway", "grpc-web", "request-size-limiting"];
    !OTHERS.contains(&name)
}

/// Reads the `config` of a plugin, if it is one that is carried over.
pub(super) fn read(name: &str, config: Option<&Node<'_>>) -> Option<Settings> {
    match (name, config) {
        ("jwt", Some(config)) => jwt(config).map(Box::new).map(Settings::Jwt),
        ("jwt", None) => Some(Settings::Jwt(Box::default())),
        ("acl", Some(config)) => acl(config).map(Settings::Acl),
        ("acl", None) => Some(Settings::Acl(Acl {
            allow: Groups::default(),
            deny: Groups::default(),
            counts_consumer_groups: false,
            prefers_token: false,
            hides_groups: false,
        })),
        (name, Some(config)) if issuer::is_own(name) => {
            let options = Options::of(config)?;
            let plugin = match name {
                "openid-connect" => openid_connect::read(options),
                "jwt-keycloak" => keycloak::jwt_keycloak(options),
                _ => keycloak::jwt_signer(options),
            };
            Some(Settings::Issuer(Box::new(plugin)))
        }
        _ => Some(Settings::Other),
    }
}

impl Default for Jwt {
    fn default() -> Self {
        Self {
            lookup: Lookup {
                key_claim_name: "iss".to_owned(),
                secret_is_base64: false,
                uri_param_names: None,
                cookie_names: None,
                header_names: None,
            },
            claims_to_verify: None,
            maximum_expiration: 0,
            run_on_preflight: true,
            realm: None,
            anonymous: None,
        }
    }
}

fn jwt(config: &Node<'_>) -> Option<Jwt> {
    let mut fields = config.fields()?;
    let names = |node: &Node<'_>| node.list(plain);
    let dates = [("exp", "exp"), ("nbf", "nbf")];
    let key_claim_name = fields.or("key_claim_name", "iss".to_owned(), plain);
    let secret_is_base64 = fields.or("secret_is_base64", false, Node::flag);
    let uri_param_names = fields.optional("uri_param_names", names);
    let cookie_names = fields.optional("cookie_names", names);
    let header_names = fields.optional("header_names", names);
    let claims_to_verify = fields.optional("claims_to_verify", |node| {
        node.list(|item| item.one_of(&dates).map(str::to_owned))
    });
    let maximum_expiration =
        fields.or("maximum_expiration", 0, |node| node.integer(0..=31_536_000));
    let run_on_preflight = fields.or("run_on_preflight", true, Node::flag);
    let realm = fields.optional("realm", plain);
    let anonymous = fields.optional("anonymous", plain);
    fields.finish()?;
    Some(Jwt {
        lookup: Lookup {
            key_claim_name: key_claim_name?,
            secret_is_base64: secret_is_base64?,
            uri_param_names: uri_param_names?,
            cookie_names: cookie_names?,
            header_names: header_names?,
        },
        claims_to_verify: claims_to_verify?,
        maximum_expiration: maximum_expiration?,
        run_on_preflight: run_on_preflight?,
        realm: realm?,
        anonymous: anonymous?,
    })
}

fn acl(config: &Node<'_>) -> Option<Acl> {
    let mut fields = config.fields()?;
    let allow = fields.or("allow", Groups::default(), groups);
    let deny = fields.or("deny", Groups::default(), groups);
    let hides_groups = fields.or("hide_groups_header", false, Node::flag);
    let prefers_token = fields.or("always_use_authenticated_groups", false, Node::flag);
    let counts_consumer_groups = fields.or("include_consumer_groups", false, Node::flag);
    fields.finish()?;
    let (allow, deny) = (allow?, deny?);
    if !allow.is_empty() && !deny.is_empty() {
        return config.reject_as("both allow and deny", "one of the two");
    }
    Some(Acl {
        allow,
        deny,
        counts_consumer_groups: counts_consumer_groups?,
        prefers_token: prefers_token?,
        hides_groups: hides_groups?,
    })
}

fn groups(node: &Node<'_>) -> Option<Groups> {
    let names = node.list(|item| item.text().map(str::to_owned))?;
    let (unknown, known): (Vec<_>, _) = names.into_iter().partition(|name| is_template(name));
    Some(Groups { known: known.into_iter().collect(), has_unknown: !unknown.is_empty() })
}

impl Groups {
    fn is_empty(&self) -> bool {
        self.known.is_empty() && !self.has_unknown
    }
}

impl Lookup {
    /// The options of a provider that are not the defaults.
    pub(super) fn options(&self) -> Map<String, Value> {
        let options = [
            ("key_claim_name", (self.key_claim_name != "iss").then(|| json!(self.key_claim_name))),
            ("secret_is_base64", self.secret_is_base64.then_some(Value::Bool(true))),
            ("uri_param_names", self.uri_param_names.as_ref().map(|names| json!(names))),
            ("cookie_names", self.cookie_names.as_ref().map(|names| json!(names))),
            ("header_names", self.header_names.as_ref().map(|names| json!(names))),
        ];
        let given = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given.map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

impl Acl {
    /// Requirements besides a token; an error says why no request passes.
    pub(super) fn need(&self) -> Result<Access, &'static str> {
        let Self { allow, deny, counts_consumer_groups, .. } = self;
        match () {
            () if allow.is_empty() && deny.is_empty() => Err("acl allows nobody"),
            () if deny.has_unknown => {
                Err("acl denies a group of which only a placeholder is there")
            }
            () if !deny.is_empty() && *counts_consumer_groups => {
                Err("acl denies consumer groups, which are not read")
            }
            () if !deny.is_empty() => {
                Ok(Access { groups_none: deny.known.clone(), ..Access::default() })
            }
            () if allow.known.is_empty() => {
                Err("acl allows only groups of which there are placeholders")
            }
            () => Ok(Access { groups_any: Some(allow.known.clone()), ..Access::default() }),
        }
    }

    /// True if a part of what it allows is left out.
    pub(super) const fn is_partial(&self) -> bool {
        self.allow.has_unknown || self.counts_consumer_groups
    }
}
