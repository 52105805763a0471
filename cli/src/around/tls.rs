//! How Envoy reaches the clusters of the gateway's services: with TLS or without, and whose
//! certificates it accepts.

use std::net::IpAddr;

use serde_json::Value;

use super::Notes;
use crate::document::step;
use crate::located::{Located, get};

/// Looks at the cluster of each service that the file has.
pub(super) fn look(resources: &Value, place: &str, located: &Located, notes: &mut Notes) {
    let clusters = get(resources, "clusters").and_then(Value::as_array);
    let named = |name: &str| {
        let mut all = clusters.into_iter().flatten().enumerate();
        all.find(|(_, it)| get(it, "name").and_then(Value::as_str) == Some(name))
    };
    let services = located.value.get("services").and_then(Value::as_object);
    let mut seen = Vec::new();
    for (name, service) in services.into_iter().flatten() {
        let Some(upstream) = service.get("upstream").and_then(Value::as_str) else { continue };
        let Some((at, cluster)) = named(upstream) else { continue };
        let path = step(&step(&located.path, "services"), name);
        let contexts = contexts(cluster);
        of_service(service, &path, upstream, is_plain(cluster), &contexts, notes);
        if !seen.contains(&at) {
            seen.push(at);
            let place = step(&format!("{}[{at}]", step(place, "clusters")), "transport_socket");
            let is_matched = finds(cluster, "auto_san_validation");
            if let Some(text) = contexts.iter().find_map(|it| unverified(it, is_matched)) {
                notes.warn(&place, text);
            }
            if !finds(cluster, "auto_sni")
                && contexts.iter().any(|it| is_nameless(it))
                && let Some(host) = host(cluster)
            {
                let text = format!(
                    "Envoy sends no server name (SNI) in the TLS handshake here, and a server of \
                     several names answers with the certificate of another, or not at all: set \
                     sni: {host}"
                );
                notes.warn(&place, text);
            }
        }
    }
}

/// What a service says of its cluster.
fn of_service(
    service: &Value,
    path: &str,
    upstream: &str,
    is_plain: bool,
    contexts: &[&Value],
    notes: &mut Notes,
) {
    if is_plain && service.get("scheme").is_some_and(|scheme| scheme == "https") {
        let text = format!(
            "the cluster {upstream:?} has no transport_socket, so that calls go out without TLS: \
             Envoy uses TLS by its cluster, whatever scheme says"
        );
        notes.warn(&step(path, "scheme"), text);
    }
    let sni = contexts.iter().find_map(|context| get(context, "sni")?.as_str());
    if let Some(sni) = sni.filter(|sni| !sni.is_empty() && *sni != upstream)
        && service.get("authority").is_none_or(Value::is_null)
    {
        let text = format!(
            "without authority, Host is {upstream:?}, and the service may not know that name; its \
             cluster's sni is {sni:?}: set authority: {sni}"
        );
        notes.warn(path, text);
    }
}

/// Whether a cluster has no TLS at all. What another kind of socket does is not known.
fn is_plain(cluster: &Value) -> bool {
    let is_raw = |socket: &Value| {
        let name = get(socket, "name").and_then(Value::as_str);
        name == Some("envoy.transport_sockets.raw_buffer")
    };
    get(cluster, "transport_socket_matches").is_none()
        && get(cluster, "transport_socket").is_none_or(|it| it.is_null() || is_raw(it))
}

/// Whether TLS has no name for the server.
fn is_nameless(context: &Value) -> bool {
    let sni = get(context, "sni").and_then(Value::as_str).unwrap_or_default();
    sni.is_empty() && get(context, "auto_host_sni") != Some(&Value::Bool(true))
}

/// The name at which a cluster's servers are: others are found by address, and may have none.
fn host(cluster: &Value) -> Option<&str> {
    let kind = get(cluster, "type").and_then(Value::as_str)?;
    let address = get(cluster, "load_assignment").and_then(address)?;
    (kind.ends_with("_DNS") && address.parse::<IpAddr>().is_err()).then_some(address)
}

/// The first address below.
fn address(value: &Value) -> Option<&str> {
    let own = get(value, "socket_address").and_then(|it| get(it, "address")?.as_str());
    own.or_else(|| match value {
        Value::Object(members) => members.values().find_map(address),
        Value::Array(items) => items.iter().find_map(address),
        _ => None,
    })
}

/// Its `UpstreamTlsContext`s, in whatever other socket.
fn contexts(cluster: &Value) -> Vec<&Value> {
    fn within<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
        let typ = value.get("@type").and_then(Value::as_str).unwrap_or_default();
        match value {
            Value::Object(_) if typ.ends_with(".UpstreamTlsContext") => found.push(value),
            Value::Object(members) => members.values().for_each(|it| within(it, found)),
            Value::Array(items) => items.iter().for_each(|it| within(it, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for field in ["transport_socket", "transport_socket_matches"] {
        get(cluster, field).iter().for_each(|socket| within(socket, &mut found));
    }
    found
}

/// What it does not verify of certificates; `None` too where that is elsewhere.
/// `is_matched`: whether their names are compared by the cluster.
fn unverified(context: &Value, is_matched: bool) -> Option<&'static str> {
    const NOTHING: &str = "Envoy accepts every certificate here, and the gateway whatever keys or \
                           answers come with it: set a validation_context with trusted_ca and \
                           match_typed_subject_alt_names";
    const ISSUER: &str = "Envoy accepts every certificate of these authorities here, whoever's it \
                          is: set match_typed_subject_alt_names to the name of the service";
    const ELSEWHERE: [&str; 3] = [
        "validation_context_sds_secret_config",
        "validation_context_certificate_provider",
        "validation_context_certificate_provider_instance",
    ];
    let common = get(context, "common_tls_context");
    let combined = common.and_then(|it| get(it, "combined_validation_context"));
    let is_elsewhere = |it: Option<&Value>| {
        it.is_some_and(|it| ELSEWHERE.iter().any(|field| get(it, field).is_some()))
    };
    if is_elsewhere(common) || is_elsewhere(combined) {
        return None;
    }
    let validation = common.and_then(|it| get(it, "validation_context"));
    let validation =
        validation.or_else(|| combined.and_then(|it| get(it, "default_validation_context")));
    let has = |fields: &[&str]| {
        let own = |field: &&str| validation.and_then(|it| get(it, field));
        fields.iter().filter_map(own).any(|value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            _ => true,
        })
    };
    let trust = validation.and_then(|it| get(it, "trust_chain_verification"));
    let accepts_all = trust.is_some_and(|it| it == "ACCEPT_UNTRUSTED");
    let is_pinned =
        has(&["verify_certificate_hash", "verify_certificate_spki", "custom_validator_config"]);
    let has_names = |field: &&str| {
        let names = validation.and_then(|it| get(it, field)).and_then(Value::as_array);
        names.is_some_and(|names| !names.is_empty() && !names.iter().any(is_any_name))
    };
    let is_named = is_matched
        || get(context, "auto_sni_san_validation") == Some(&Value::Bool(true))
        || ["match_typed_subject_alt_names", "match_subject_alt_names"].iter().any(has_names);
    match () {
        () if is_pinned => None,
        () if accepts_all => Some(NOTHING),
        () if !has(&["trusted_ca", "system_root_certs", "ca_certificate_provider_instance"]) => {
            Some(NOTHING)
        }
        () if !is_named => Some(ISSUER),
        () => None,
    }
}

/// Whether a matcher of a certificate's name says nothing of it: one of a list is enough.
fn is_any_name(matcher: &Value) -> bool {
    // The typed kind has it in a field.
    let matcher = get(matcher, "matcher").unwrap_or(matcher);
    let has = |field: &str, is_any: fn(&str) -> bool| {
        get(matcher, field).and_then(Value::as_str).is_some_and(is_any)
    };
    let regex = get(matcher, "safe_regex").and_then(|it| get(it, "regex")?.as_str());
    ["prefix", "suffix", "contains"].iter().any(|field| has(field, str::is_empty))
        || regex.is_some_and(is_any_text)
}

/// Whether a regular expression has no letter or digit that a name must have: `.*`, or
/// `[^/]+\..+`.
fn is_any_text(regex: &str) -> bool {
    let (mut is_escaped, mut within) = (false, None);
    for char in regex.chars() {
        let closes = within == Some(char);
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if closes => within = None,
            _ if within.is_some() => {}
            // Any of a class, and how often.
            '[' => within = Some(']'),
            '{' => within = Some('}'),
            char if char.is_alphanumeric() => return false,
            _ => {}
        }
    }
    true
}

/// Whether a flag is set anywhere below.
fn finds(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => {
            get(value, name) == Some(&Value::Bool(true))
                || members.values().any(|below| finds(below, name))
        }
        Value::Array(items) => items.iter().any(|item| finds(item, name)),
        _ => false,
    }
}
