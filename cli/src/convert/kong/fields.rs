//! The fields that entities have besides those that decide.

use gatepass::config::reader::Node;
use serde_json::Value;

use super::plugins;

pub(super) const OF_SERVICES: [&str; 19] = [
    "retries",
    "protocol",
    "host",
    "port",
    "path",
    "url",
    "connect_timeout",
    "write_timeout",
    "read_timeout",
    "tags",
    "client_certificate",
    "tls_verify",
    "tls_verify_depth",
    "tls_sans",
    "ca_certificates",
    "filter_chains",
    "created_at",
    "updated_at",
    "ws_id",
];

pub(super) const OF_ROUTES: [&str; 11] = [
    "https_redirect_status_code",
    "strip_path",
    "path_handling",
    "preserve_host",
    "tags",
    "request_buffering",
    "response_buffering",
    "filter_chains",
    "created_at",
    "updated_at",
    "ws_id",
];

pub(super) const OF_PLUGINS: [&str; 7] =
    ["id", "instance_name", "protocols", "tags", "created_at", "updated_at", "ws_id"];

pub(super) const OF_CONSUMERS: [&str; 9] = [
    "id",
    "username",
    "custom_id",
    "jwt_secrets",
    "acls",
    "plugins",
    "tags",
    "created_at",
    "updated_at",
];

/// Entities that decide nothing here, or only with plugins that are not carried
/// over either.
pub(super) const OTHER_ENTITIES: [&str; 24] = [
    "upstreams",
    "targets",
    "certificates",
    "ca_certificates",
    "snis",
    "vaults",
    "keys",
    "key_sets",
    "filter_chains",
    "consumer_groups",
    "consumer_group_consumers",
    "consumer_group_plugins",
    "keyauth_credentials",
    "basicauth_credentials",
    "hmacauth_credentials",
    "oauth2_credentials",
    "oauth2_tokens",
    "oauth2_authorization_codes",
    "mtls_auth_credentials",
    "acme_storage",
    "licenses",
    "parameters",
    "partials",
    "custom_entities",
];

/// decK's defaults for entities: those that decide which route a request takes
/// would have to be put into each.
pub(super) fn info(node: &Node<'_>) -> Option<()> {
    let Some(defaults) = node.member("defaults") else { return Some(()) };
    let members = defaults.value().as_object().into_iter().flatten();
    let harmless = |(name, value): (&String, &Value)| match name.as_str() {
        "service" => value.get("enabled").is_none(),
        "route" => {
            let fields = value.as_object().into_iter().flatten();
            fields.into_iter().all(|(field, _)| OF_ROUTES.contains(&field.as_str()))
        }
        "upstream" | "target" => true,
        _ => false,
    };
    if members.into_iter().all(harmless) {
        Some(())
    } else {
        defaults.reject("defaults that choose no routes and set no plugins")
    }
}

/// Plugins of consumer groups are refused where they decide: the members of groups are
/// not read.
pub(super) fn no_decisions(node: &Node<'_>, field: &str) -> Option<()> {
    let refuse = |node: &Node<'_>| match node.member("name") {
        Some(name) if name.value().as_str().is_none_or(|name| !plugins::is_harmless(name)) => {
            name.reject("a plugin that lets everybody pass")
        }
        _ => Some(()),
    };
    match field {
        "consumer_group_plugins" => node.list(refuse).map(|_| ()),
        "consumer_groups" => {
            let groups = node.list(|group| match group.member("plugins") {
                Some(plugins) => plugins.list(refuse).map(|_| ()),
                None => Some(()),
            });
            groups.map(|_| ())
        }
        _ => Some(()),
    }
}
