//! How Envoy reaches the clusters of the gateway's services: with TLS or without, and whose
//! certificates it accepts.

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
    let is_named = is_matched
        || get(context, "auto_sni_san_validation") == Some(&Value::Bool(true))
        || has(&["match_typed_subject_alt_names", "match_subject_alt_names"]);
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
