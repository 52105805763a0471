//! What is installed in Kong: the schema by which Kong checks a configuration is
//! the one by which the filter reads it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use gatepass::config::{self, Problems};
use serde_json::{Value, json};

/// A key for tests only: the private JWK of RFC 7515 appendix A.3.1.
const SIGNING_KEY: &str = r#"{"kty":"EC","crv":"P-256",
    "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    "d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;

fn load(configuration: &Value) -> Result<(), Problems> {
    let environment = |name: &str| match name {
        "GATEPASS_SIGNING_KEY" => Some(SIGNING_KEY.to_owned()),
        "GATEPASS_SEAL_KEY" => Some(format!("{}8", "_".repeat(42))),
        _ => None,
    };
    config::load(configuration.to_string().as_bytes(), &environment, None).map(drop)
}

fn schema() -> Value {
    let metadata: Value = serde_json::from_str(include_str!("../kong/gatepass.meta.json")).unwrap();
    metadata["config_schema"].clone()
}

/// The filter's configuration in the declarative configuration of Kong.
fn example() -> Value {
    let kong: Value = serde_norway::from_str(include_str!("../kong/kong.yml")).unwrap();
    let filter = &kong["services"][0]["filter_chains"][0]["filters"][0];
    assert_eq!(filter["name"], "gatepass");
    filter["config"].clone()
}

/// A configuration in which every object that the filter reads occurs, by JSON
/// pointer.
fn everywhere() -> (Value, Vec<&'static str>) {
    let mut configuration = example();
    let provider = &mut configuration["providers"]["shop"];
    provider["required_claims"] = json!({"tenant": ["acme"]});
    let lifetimes = json!({"service": "auth", "path": "/c"});
    configuration["providers"]["found"] = json!({
        "issuer": "https://found.example", "audiences": ["a"], "discovery": lifetimes,
    });
    configuration["providers"]["inline"] = json!({
        "issuer": "https://inline.example", "audiences": ["a"],
        "local_jwks": {"keys": [{"kty": "oct", "k": "A".repeat(43)}]}, "algorithms": ["HS256"],
    });
    configuration["providers"]["legacy"] = json!({"kind": "kong_jwt"});
    let credential = json!({"key": "legacy-web", "secret": "A".repeat(32)});
    configuration["consumers"]["entries"][0]["jwt_secrets"] = json!([credential]);
    configuration["consumers"]["entries"][0]["acls"] = json!([{"group": "partners"}]);
    configuration["providers"]["shop"]["introspection"] = json!({
        "service": "auth", "path": "/i", "client_id": "g", "client_secret": "s", "cache": {},
    });
    configuration["revocation"] = json!({
        "feed": lifetimes, "allowlist": lifetimes,
        "endpoint": {"requires": {"scopes_all": ["revoke"]}},
    });
    configuration["sealed_tokens"] = json!({
        "keys": ["A".repeat(43), {"env": "GATEPASS_SEAL_KEY"}],
        "logins": [{"match": {"path": "/login"}, "service": "auth", "json": ["/access_token"]}],
    });
    configuration["consumers"]["entries"][0]["providers"] = json!(["shop", "legacy"]);
    configuration["identity_token"]["subject"] = json!("{provider}:{sub}");
    configuration["token"] = json!({"from_headers": [{"name": "authorization"}]});
    configuration["user_info"]["cache"] = json!({});
    configuration["identity_token"]["claims"] = json!({});
    configuration["claim_to_headers"] = json!([{"header": "x-a", "claim": "a"}]);
    let headers = json!([{"name": "x-a", "present": true}]);
    configuration["rules"][0] = json!({"match": {"path": "/a", "headers": headers, "mcp": {"names": ["a"]}}, "requires": {"claims": {"a": "absent"}}});
    configuration["policies"] = json!({"staff": {}});
    configuration["resources"] =
        json!([{"resource": "https://shop.example/mcp", "providers": ["shop"], "identity": {}}]);
    configuration["rules"][0]["identity"] = json!({});
    configuration["rules"][0]["requires"]["actor"] = json!({"sub": ["a"]});
    configuration["token"]["csrf"] = json!({"allowed_origins": ["https://app.example"]});
    configuration["errors"]["login_redirect"] = json!({"to": "/login"});
    configuration["limits"] = json!({});
    configuration["access_log"] = json!({});
    let objects = vec![
        "",
        "/services/auth",
        "/providers/shop",
        "/providers/shop/remote_jwks",
        "/providers/shop/introspection",
        "/providers/shop/introspection/cache",
        "/providers/found/discovery",
        "/providers/inline/local_jwks",
        "/providers/legacy",
        "/token",
        "/token/from_headers/0",
        "/token/csrf",
        "/consumers",
        "/consumers/entries/0",
        "/consumers/entries/0/jwt_secrets/0",
        "/consumers/entries/0/acls/0",
        "/user_info",
        "/user_info/cache",
        "/identity_token",
        "/identity_token/claims",
        "/identity_token/signing_keys/0",
        "/claim_to_headers/0",
        "/rules/0",
        "/rules/0/match",
        "/rules/0/match/headers/0",
        "/rules/0/match/mcp",
        "/rules/0/requires",
        "/resources/0",
        "/resources/0/identity",
        "/rules/0/identity",
        "/rules/0/requires/actor",
        "/policies/staff",
        "/revocation",
        "/revocation/feed",
        "/revocation/allowlist",
        "/revocation/endpoint",
        "/revocation/endpoint/requires",
        "/sealed_tokens",
        "/sealed_tokens/logins/0",
        "/sealed_tokens/logins/0/match",
        "/errors",
        "/errors/login_redirect",
        "/limits",
        "/access_log",
    ];
    (configuration, objects)
}

/// The fields that the filter reads in an object: it lists them when it finds
/// one that it does not know.
fn fields_read(configuration: &Value, object: &str) -> BTreeSet<String> {
    let mut configuration = configuration.clone();
    configuration.pointer_mut(object).expect(object)["surplus"] = json!(1);
    let Problems(problems) = load(&configuration).expect_err(object);
    let accepted: Vec<_> = problems
        .iter()
        .filter(|problem| problem.path.ends_with(".surplus"))
        .filter_map(|problem| problem.accepted.strip_prefix("only the fields "))
        .collect();
    assert_eq!(accepted.len(), 1, "{object}: {problems:?}");
    accepted[0].split(", ").map(str::to_owned).collect()
}

/// The fields that the schema has for an object, and whether it allows others.
fn fields_in_schema(object: &str) -> (BTreeSet<String>, bool) {
    let schema = schema();
    let mut node = &schema;
    for step in object.split('/').skip(1) {
        node = match (&node["properties"][step], &node["items"], &node["additionalProperties"]) {
            (named @ Value::Object(_), ..) => named,
            (_, items @ Value::Object(_), _) => items,
            (.., free @ Value::Object(_)) => free,
            _ => panic!("{object}: the schema has nothing for {step}"),
        };
        // Providers are of two kinds.
        if let (Value::Array(kinds), "legacy") = (&node["oneOf"], step) {
            node = &kinds[1];
        } else if let (Value::Array(kinds), true) = (&node["oneOf"], object.starts_with("/prov")) {
            node = &kinds[0];
        }
    }
    let fields = node["properties"].as_object().unwrap().keys().cloned().collect();
    (fields, node["additionalProperties"] != json!(false))
}

#[test]
fn kong_accepts_the_fields_that_the_filter_reads_and_no_others() {
    let (configuration, objects) = everywhere();
    load(&configuration).expect("the configuration itself");
    for object in objects {
        let (fields, takes_others) = fields_in_schema(object);
        let read = fields_read(&configuration, object);
        assert_eq!(fields, read, "{object}");
        assert!(!takes_others, "{object} takes unknown fields");
    }
}

#[test]
fn the_example_is_accepted_by_kong_and_by_the_filter() {
    let validator = jsonschema::draft4::new(&schema()).expect("a schema of draft 4");
    let (configuration, _) = everywhere();
    for configuration in [example(), configuration] {
        let errors: Vec<_> = validator.iter_errors(&configuration).map(|e| e.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
        load(&configuration).unwrap();
    }
}

#[test]
fn kong_refuses_what_the_filter_would_refuse() {
    let validator = jsonschema::draft4::new(&schema()).expect("a schema of draft 4");
    for (case, pointer, field, value) in [
        ("a misspelt field", "/user_info", "failure_mod", json!("deny")),
        ("a word of no meaning", "/user_info", "failure_mode", json!("ignore")),
        ("a time-out of none", "/services/auth", "timeout_ms", json!(0)),
        ("a list that is none", "/providers/shop", "audiences", json!("shop-api")),
        ("an unknown algorithm", "/providers/shop", "algorithms", json!(["none"])),
        ("a path without a slash", "/identity_token", "jwks_path", json!("jwks.json")),
        (
            "an origin with a path",
            "",
            "token",
            json!({"csrf": {"allowed_origins": ["https://a.example/"]}}),
        ),
        (
            "a word of no meaning for a claim",
            "",
            "policies",
            json!({"staff": {"claims": {"act": "there"}}}),
        ),
        ("an unknown kind", "/providers/shop", "kind", json!("oauth2")),
        ("an issuer of Kong's plugin", "/providers/shop", "kind", json!("kong_jwt")),
        (
            "a date that is none",
            "/providers",
            "legacy",
            json!({
                "kind": "kong_jwt", "claims_to_verify": ["iat"],
            }),
        ),
        ("a consumer without a name", "/consumers/entries/0", "key", Value::Null),
        ("a secret that is a number", "/user_info", "headers", json!({"x-api-key": 7})),
    ] {
        let mut configuration = example();
        configuration.pointer_mut(pointer).unwrap()[field] = value;
        assert!(!validator.is_valid(&configuration), "{case}: Kong accepts it");
        assert!(load(&configuration).is_err(), "{case}: the filter accepts it");
    }
}

#[test]
fn kong_knows_the_words_that_the_filter_knows() {
    let (configuration, _) = everywhere();
    let schema = schema();
    for (pointer, in_schema) in [
        ("/services/auth/scheme", "/properties/services/additionalProperties/properties/scheme"),
        (
            "/providers/shop/algorithms/0",
            "/properties/providers/additionalProperties/oneOf/0/properties/algorithms/items",
        ),
        (
            "/consumers/entries/0/jwt_secrets/0/algorithm",
            "/properties/consumers/properties/entries/items/properties/jwt_secrets/items\
             /properties/algorithm",
        ),
        (
            "/providers/legacy/claims_to_verify/0",
            "/properties/providers/additionalProperties/oneOf/1/properties/claims_to_verify/items",
        ),
        ("/user_info/failure_mode", "/properties/user_info/properties/failure_mode"),
        ("/claim_to_headers/0/format", "/properties/claim_to_headers/items/properties/format"),
        ("/errors/format", "/properties/errors/properties/format"),
        ("/mode", "/properties/mode"),
        ("/shared_data", "/properties/shared_data"),
        ("/revocation/failure_mode", "/properties/revocation/properties/failure_mode"),
        ("/identity_token/profile", "/properties/identity_token/properties/profile"),
    ] {
        let mut configuration = configuration.clone();
        configuration["providers"]["shop"]["algorithms"] = json!(["RS256"]);
        configuration["providers"]["legacy"]["claims_to_verify"] = json!(["exp"]);
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match configuration.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[0] = json!("?"),
            object => object[name] = json!("?"),
        }
        let Problems(problems) = load(&configuration).expect_err(pointer);
        let known: BTreeSet<_> = problems[0].accepted.split(" | ").collect();
        let words = schema.pointer(in_schema).expect(in_schema)["enum"].as_array().unwrap();
        let words: BTreeSet<_> = words.iter().map(|word| word.as_str().unwrap()).collect();
        // Another name for EdDSA on Ed25519 (RFC 9864), not listed in messages.
        let words: BTreeSet<_> = words.into_iter().filter(|word| *word != "Ed25519").collect();
        assert_eq!(words, known, "{pointer}");
    }
}
