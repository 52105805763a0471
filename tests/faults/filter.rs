//! The configuration of a gateway with services that fail.

use serde_json::{Value, json};

use crate::contract::{Group, Service, State, Visit};
use crate::fault::{Fault, TIME_OUT};
use crate::service::{AUDIENCE, SHOP, issuer, owner};
use crate::tokens::Signer;

/// How long what is to go stale is current.
const SHORT_SECONDS: u64 = 1;
const LONG_SECONDS: u64 = 3600;

/// The same for key sets. There are many, and each is fetched again after this time.
const KEYS_SECONDS: u64 = 2;

/// The cluster of a service, by how it fails.
pub fn cluster(fault: Fault, state: State) -> &'static str {
    match (fault, state) {
        (Fault::Refused, State::Cold) => "late",
        (Fault::Refused, _) => "closing",
        (Fault::Vanished, State::Cold) => ABSENT,
        (Fault::Vanished, _) => VANISHING,
        _ => "faulty",
    }
}

/// A cluster that vanishes, and comes back.
pub const VANISHING: &str = "vanishing";
/// One that is not there until the other one comes back.
pub const ABSENT: &str = "absent";

/// Groups that one filter can have, in one name. A filter has one list of revoked
/// tokens, and none asks again for one that is current; for the others it matters only where
/// their service is and how long its answers are kept.
pub fn filter_name(group: Group) -> String {
    match group.service {
        Service::Feed if group.state != State::Warm => group.to_string(),
        service => format!("{service:?}.{}.{:?}", cluster(group.fault, group.state), group.state),
    }
}

/// The configuration of a filter. Everything but the groups' own service is
/// healthy.
pub fn filter(groups: &[Group], signer: &Signer) -> Value {
    let Group { service, fault, state } = groups[0];
    let user_info = match service {
        Service::Users => "faulty",
        _ => "healthy",
    };
    let providers = providers(groups, signer);
    let names: Vec<&String> = providers.as_object().unwrap().keys().collect();
    let mut config = json!({
        "services": {
            "faulty": {"upstream": cluster(fault, state), "timeout_ms": TIME_OUT.as_millis() as u64},
            "healthy": {"upstream": "healthy", "timeout_ms": 20_000},
        },
        "providers": providers,
        "consumers": {
            "claim": ["azp"],
            "entries": [{"key": "web", "id": "1", "username": "web", "providers": names}],
            "anonymous": "guest",
        },
        "user_info": {
            "service": user_info,
            "path": "/users/{sub}",
            "claims": {"country": "/country"},
            "required": ["country"],
            "cache": cache(service, state),
        },
        "identity_token": {
            "issuer": "https://gateway.shop.internal",
            "audiences": ["shop-services"],
            // The users of all these issuers are the same.
            "subject": "{sub}",
            "signing_keys": [
                {"algorithm": "ES256", "private_key": {"env": "GATEPASS_SIGNING_KEY"}},
            ],
        },
        "claim_to_headers": [{"header": "x-user-country", "claim": ["country"]}],
        "rules": [
            {"match": {"path_prefix": "/open"}, "bypass": true},
            {"match": {"path_prefix": "/catalog"}, "requires": {"allow_missing": true}},
        ],
    });
    if service == Service::Login {
        config["sealed_tokens"] = json!({
            "keys": ["A".repeat(43)],
            "logins": [{
                "match": {"path_prefix": "/login", "methods": ["POST"]},
                "service": "faulty", "json": ["/access_token"],
            }],
        });
    }
    if service.is_of_signals() {
        config["revocation"] = signals(groups, signer);
        if service == Service::Forward {
            config["providers"]["shop"]["logout"] = json!({"client_ids": ["web"]});
        }
    }
    if service == Service::Feed {
        let (poll, max_stale) = match state {
            State::Cold | State::Stale => (SHORT_SECONDS, LONG_SECONDS),
            State::Warm => (LONG_SECONDS - 1, LONG_SECONDS),
            State::Expired => (SHORT_SECONDS, SHORT_SECONDS + 1),
        };
        let feed = json!({
            "service": "faulty", "path": format!("/feed/{}", groups[0]),
            "poll_seconds": poll, "max_stale_seconds": max_stale,
        });
        // Of its own: one for all would change with each poll of a hundred others.
        config["revocation"] = json!({"ledger": groups[0].to_string(), "feed": feed});
    }
    config
}

/// How long the user service's answers are kept.
fn cache(service: Service, state: State) -> Value {
    let (ttl, stale) = match (service, state) {
        (Service::Users, State::Stale) => (SHORT_SECONDS, LONG_SECONDS),
        (Service::Users, State::Expired) => (SHORT_SECONDS, 0),
        _ => (LONG_SECONDS, 0),
    };
    json!({"ttl_seconds": ttl, "stale_if_error_seconds": stale})
}

fn providers(groups: &[Group], signer: &Signer) -> Value {
    let Group { service, state, .. } = groups[0];
    let provider = |group: Group| json!({"issuer": issuer(group), "audiences": [AUDIENCE], "clock_skew_seconds": 0});
    if service.is_of_keys() {
        let providers = groups.iter().map(|group| {
            let (kind, keys) = keys(*group);
            let mut provider = provider(*group);
            provider[kind] = keys;
            (group.fault.name(), provider)
        });
        return providers.collect::<serde_json::Map<_, _>>().into();
    }
    let mut shop = provider(groups[0]);
    assert_eq!(shop["issuer"], SHOP);
    shop["local_jwks"] = json!({"keys": [signer.jwk]});
    if service == Service::Introspection {
        let ttl = if state == State::Stale { SHORT_SECONDS } else { LONG_SECONDS };
        shop["introspection"] = json!({
            "service": "faulty", "path": "/introspect",
            "client_id": "gateway", "client_secret": "a-secret-of-the-gateway",
            "cache": {"ttl_seconds": ttl},
        });
    }
    json!({"shop": shop})
}

/// Where the keys of a group's issuer or transmitter are, and how they are found.
fn keys(group: Group) -> (&'static str, Value) {
    let (cache, max_stale) = match group.state {
        State::Cold | State::Warm => (LONG_SECONDS, LONG_SECONDS),
        State::Stale => (KEYS_SECONDS, LONG_SECONDS),
        State::Expired => (KEYS_SECONDS, 0),
    };
    let mut keys = json!({"cache_seconds": cache, "max_stale_seconds": max_stale});
    let (kind, service, jwks_service) = match group.service {
        Service::Discovery | Service::EventDiscovery => ("discovery", "faulty", Some("healthy")),
        Service::DiscoveredKeys | Service::DiscoveredEventKeys => {
            ("discovery", "healthy", Some("faulty"))
        }
        _ => ("remote_jwks", "faulty", None),
    };
    let path = if kind == "discovery" { kind } else { "keys" };
    keys["service"] = json!(service);
    keys["path"] = json!(format!("/{path}/{group}"));
    if let Some(service) = jwks_service {
        keys["jwks_service"] = json!(service);
    }
    (kind, keys)
}

/// Who tells of logouts and events, and who else is told.
fn signals(groups: &[Group], signer: &Signer) -> Value {
    let of_group = |group: &Group| json!({"issuer": owner(*group), "audiences": [AUDIENCE], "provider": "shop"});
    if groups[0].service == Service::Forward {
        // One for all: the path of the service is too.
        let mut transmitter = of_group(&groups[0]);
        transmitter["issuer"] = json!(SHOP);
        transmitter["local_jwks"] = json!({"keys": [signer.jwk]});
        let forward = json!({"service": "faulty", "path": "/forward"});
        return json!({
            "logout_path": Visit::Logout.path(),
            "events": {"transmitters": [transmitter], "forward": forward},
        });
    }
    let transmitters = groups.iter().map(|group| {
        let (kind, keys) = keys(*group);
        let mut transmitter = of_group(group);
        transmitter[kind] = keys;
        transmitter
    });
    json!({"events": {"transmitters": transmitters.collect::<Vec<_>>()}})
}
