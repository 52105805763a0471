//! Kong's plugins that take tokens of issuers: openid-connect with bearer tokens,
//! jwt-keycloak and jwt-signer.

use gatepass_cli::convert::{Converted, Selection, convert};
use serde_json::{Value, json};

use crate::support::Random;
use crate::{ISSUERS, Request, Token, chance, pick, tried};

/// openid-connect at a route, with an acl beside it.
#[derive(Clone)]
struct Plugin {
    issuer: usize,
    scopes: Option<&'static [&'static str]>,
    audiences: Option<&'static [&'static str]>,
    groups: Option<&'static [&'static str]>,
    /// The list of acl, and its group.
    acl: Option<(&'static str, &'static str)>,
}

struct Kong {
    /// Those of the routes /a and /b.
    plugins: [Option<Plugin>; 2],
    /// Whether a token's `sub` must be a consumer's name, and whether one may have none.
    mapping: Option<bool>,
    authenticated_groups: bool,
    /// acl takes these where there are some, also with a consumer.
    prefers_them: bool,
}

impl Kong {
    fn random(random: &mut Random) -> (String, Self) {
        let plugin = |random: &mut Random| Plugin {
            issuer: random.below(2),
            scopes: pick(
                random,
                &[
                    None,
                    Some(&["read"]),
                    Some(&["read", "write"]),
                    Some(&["read write"]),
                    Some(&["read write", "other"]),
                ],
            ),
            audiences: pick(random, &[None, None, Some(&["x"]), Some(&["x", "y"]), Some(&["y z"])]),
            groups: pick(random, &[None, None, Some(&["staff"]), Some(&["staff", "eu"])]),
            acl: pick(random, &[None, None, Some(("allow", "staff")), Some(("deny", "staff"))]),
        };
        let first = plugin(random);
        let second = (random.below(4) > 0).then(|| plugin(random));
        let kong = Self {
            plugins: [Some(first), second],
            mapping: pick(random, &[None, None, Some(false), Some(true)]),
            authenticated_groups: chance(random, 3),
            prefers_them: chance(random, 3),
        };
        (kong.text(), kong)
    }

    fn text(&self) -> String {
        let routes = ["a", "b"].iter().zip(&self.plugins).map(|(name, plugin)| {
            let mut plugins = Vec::new();
            if let Some(plugin) = plugin {
                let mut config = json!({
                    "issuer": format!("{}/.well-known/openid-configuration", ISSUERS[plugin.issuer].0.trim_end_matches('/')),
                    "issuers_allowed": [ISSUERS[plugin.issuer].0],
                    "auth_methods": ["bearer"], "bearer_token_param_type": ["header"],
                    "run_on_preflight": true, "ssl_verify": true, "timeout": 10000,
                });
                for (field, list) in [
                    ("scopes_required", plugin.scopes),
                    ("audience_required", plugin.audiences),
                    ("groups_required", plugin.groups),
                ] {
                    config[field] = list.map_or(Value::Null, |list| json!(list));
                }
                if let Some(is_optional) = self.mapping {
                    config["consumer_claim"] = json!(["sub"]);
                    config["consumer_optional"] = json!(is_optional);
                }
                if self.authenticated_groups {
                    config["authenticated_groups_claim"] = json!(["groups"]);
                }
                plugins.push(json!({"name": "openid-connect", "config": config}));
                if let Some((list, group)) = plugin.acl {
                    plugins.push(json!({"name": "acl", "config": {list: [group],
                        "always_use_authenticated_groups": self.prefers_them}}));
                }
            }
            json!({"name": name, "paths": [format!("/{name}")], "plugins": plugins})
        });
        json!({
            "_format_version": "3.0",
            "services": [{"name": "s", "host": "h", "routes": routes.collect::<Vec<_>>()}],
            "consumers": [{"username": "alice", "id": "a1", "acls": [{"group": "staff"}]}],
        })
        .to_string()
    }

    fn decides(&self, request: &Request) -> bool {
        let path = crate::normalized(request.path);
        let route = if path.starts_with("/a") {
            0
        } else if path.starts_with("/b") {
            1
        } else {
            return true;
        };
        let Some(plugin) = &self.plugins[route] else { return true };
        let Some(token) = &request.token else { return false };
        let is_alice = token.claims["sub"] == "alice";
        let has_consumer = match self.mapping {
            Some(false) if !is_alice => return false,
            Some(_) => is_alice,
            None => false,
        };
        // Without a consumer and without groups of the token acl refuses, whatever its list.
        let has_groups = self.authenticated_groups && !token.claims["groups"].is_null();
        let own = match has_consumer {
            true if !(has_groups && self.prefers_them) => Some(vec!["staff".to_owned()]),
            _ => has_groups.then(|| words(&token.claims["groups"])),
        };
        let lets_pass = |(list, group): (&str, &str)| {
            let has = |own: &Vec<String>| own.iter().any(|it| it == group);
            own.as_ref().is_some_and(|own| has(own) == (list == "allow"))
        };
        plugin.accepts(token) && plugin.acl.is_none_or(lets_pass)
    }
}

impl Plugin {
    fn accepts(&self, token: &Token) -> bool {
        let has = |claim: &str, required: Option<&[&str]>| {
            let own = words(&token.claims[claim]);
            required.is_none_or(|required| {
                required.iter().any(|all| all.split(' ').all(|it| own.iter().any(|own| own == it)))
            })
        };
        token.issuer == self.issuer
            && !token.is_expired
            && has("scope", self.scopes)
            && has("aud", self.audiences)
            && has("groups", self.groups)
    }
}

fn words(value: &Value) -> Vec<String> {
    let texts: Vec<&str> = match value {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    texts.into_iter().map(str::to_owned).collect()
}

#[test]
fn nothing_passes_that_openid_connect_refuses() {
    let seen = tried(Kong::random, Kong::decides);
    if seen.is_full {
        assert!(seen.opened > 400 && seen.closed > 1_500, "it proves something");
    }
}

fn converted(plugin: &Value) -> Converted {
    let text = json!({
        "_format_version": "3.0",
        "services": [{"name": "s", "host": "h", "plugins": [plugin],
            "routes": [{"name": "r", "paths": ["/a"]}]}],
        "consumers": [{"username": "web", "custom_id": "c-web", "id": "1"}],
    });
    convert(&text.to_string(), &Selection::default())
        .unwrap_or_else(|error| panic!("{error} {plugin}"))
}

#[test]
fn jwt_keycloak_as_in_its_documentation() {
    let made = converted(&json!({"name": "jwt-keycloak", "config": {
        "allowed_iss": ["https://sso.example/auth/realms/shop"], "algorithm": "RS256",
        "maximum_expiration": 3600, "realm_roles": ["admin", "my%-role", "a-b"],
        "consumer_match": true, "consumer_match_claim_custom_id": true, "run_on_preflight": true,
        "iss_key_grace_period": 10, "client_roles": null,
    }}));
    let configuration = &made.configuration;
    assert_eq!(
        configuration["providers"]["sso.example"],
        json!({
            "issuer": "https://sso.example/auth/realms/shop", "allow_any_audience": true,
            "algorithms": ["RS256"], "clock_skew_seconds": 0, "max_lifetime_seconds": 3600,
            "discovery": {"service": "sso-example",
                "path": "/auth/realms/shop/.well-known/openid-configuration"},
        })
    );
    assert_eq!(configuration["services"]["sso-example"]["upstream"], "sso.example:443");
    assert_eq!(
        configuration["rules"][0]["requires"],
        json!({"claims": {"/realm_access/roles": ["admin", "my-role"]}})
    );
    assert_eq!(
        configuration["consumers"],
        json!({"claim": ["azp"], "entries": [
            {"key": "c-web", "username": "web", "custom_id": "c-web", "id": "1"}]})
    );
    assert_eq!(configuration["token"], json!({"forward": true, "from_params": ["jwt"]}));
}

#[test]
fn what_closes_a_route() {
    let closed = |plugin: Value| {
        let made = converted(&plugin);
        let rules = made.configuration["rules"].to_string();
        assert!(rules.contains("closed-by-convert"), "{plugin} {rules}");
        made.notes.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let issuer = "https://a.example";
    for (case, plugin, expected) in [
        (
            "no bearer tokens",
            json!({"name": "openid-connect", "config": {"issuer": issuer, "auth_methods": ["session"]}}),
            "it takes no bearer tokens",
        ),
        (
            "an option that may refuse",
            json!({"name": "openid-connect", "config": {"issuer": issuer, "auth_methods": ["bearer"],
                "proof_of_possession_dpop": "strict"}}),
            "its proof_of_possession_dpop may refuse requests, and is not known",
        ),
        (
            "roles by the client of the token",
            json!({"name": "jwt-keycloak", "config": {"allowed_iss": [issuer], "roles": ["admin"]}}),
            "one kind is asked, by plain names",
        ),
        (
            "two tokens",
            json!({"name": "jwt-signer", "config": {"access_token_jwks_uri": "https://a.example/keys",
                "access_token_issuers_allowed": [issuer], "channel_token_jwks_uri": "https://b.example/keys"}}),
            "its channel_token_jwks_uri may refuse requests",
        ),
    ] {
        let told = closed(plugin);
        assert!(told.iter().any(|note| note.contains(expected)), "{case}: {told:#?}");
    }
    // Who issued a token is not asked, so that there is nothing to convert.
    let text = json!({"_format_version": "3.0", "routes": [{"name": "r", "plugins": [
        {"name": "jwt-signer", "config": {"access_token_jwks_uri": "https://a.example/keys"}}]}]});
    let error = convert(&text.to_string(), &Selection::default()).unwrap_err().to_string();
    assert!(error.contains("give it access_token_issuers_allowed first"), "{error}");
    // Nor is there where a token needs a consumer, and no consumer is in the file.
    let text = json!({"_format_version": "3.0", "routes": [{"name": "r", "plugins": [
        {"name": "openid-connect", "config": {"issuer": issuer, "auth_methods": ["bearer"],
            "consumer_claim": ["azp"]}}]}]});
    let error = convert(&text.to_string(), &Selection::default()).unwrap_err().to_string();
    assert!(error.contains("a token needs one"), "{error}");
}

/// Whose groups count depends on the token, so that no rule can ask for them.
#[test]
fn groups_of_the_token_before_those_of_its_consumer() {
    for (prefers_them, closes) in [(false, false), (true, true)] {
        let text = json!({
            "_format_version": "3.0",
            "services": [{"name": "s", "host": "h", "routes": [{"name": "r", "paths": ["/a"]}],
                "plugins": [
                    {"name": "openid-connect", "config": {"issuer": "https://a.example",
                        "auth_methods": ["bearer"], "consumer_claim": ["sub"],
                        "authenticated_groups_claim": ["groups"]}},
                    {"name": "acl", "config": {"allow": ["staff"],
                        "always_use_authenticated_groups": prefers_them}},
                ]}],
            "consumers": [{"username": "web", "id": "1", "acls": [{"group": "staff"}]}],
        });
        let made = convert(&text.to_string(), &Selection::default()).unwrap();
        let rules = made.configuration["rules"].to_string();
        assert_eq!(rules.contains("closed-by-convert"), closes, "{rules}");
    }
}

/// A consumer whose name is a placeholder is not found here, and its plugins are the
/// consumer's own.
#[test]
fn a_consumer_without_a_known_name() {
    let text = |is_optional: bool, plugin: &str| {
        json!({
            "_format_version": "3.0",
            "services": [{"name": "s", "host": "h", "routes": [{"name": "r", "paths": ["/a"]}],
                "plugins": [{"name": "openid-connect", "config": {"issuer": "https://a.example",
                    "auth_methods": ["bearer"], "consumer_claim": ["sub"],
                    "consumer_optional": is_optional}}]}],
            "consumers": [{"username": "web", "id": "1"},
                {"username": "${{ env \"DECK_NAME\" }}", "plugins": [{"name": plugin}]}],
        })
        .to_string()
    };
    for (is_optional, plugin) in
        [(false, "request-termination"), (true, "http-log"), (false, "http-log")]
    {
        let made = convert(&text(is_optional, plugin), &Selection::default()).unwrap();
        let told = made.notes.iter().filter(|note| note.is_change);
        let told: Vec<_> = told.map(ToString::to_string).collect();
        assert!(told.iter().any(|note| note.contains("is left out")), "{plugin}: {told:#?}");
    }
    let error = convert(&text(true, "request-termination"), &Selection::default()).unwrap_err();
    assert!(error.to_string().contains("its request-termination may refuse"), "{error}");
}
