//! What the promises about resources and identities are attacked with from outside: by
//! clients, by an issuer that is not honest, by a service inside. Written from the
//! manual, not from the code.

use serde_json::{Value, json};

use crate::support::*;

const MCP: &str = "https://shop.example/mcp";

fn shop(edits: &[(&str, Value)]) -> Value {
    let mut config = local([
        ("/resources", json!([{"resource": MCP, "scopes": ["catalog.read"]}])),
        (
            "/rules",
            json!([{"match": {"path_prefix": "/mcp/orders"},
                "requires": {"scopes_all": ["orders.write"]}}]),
        ),
    ]);
    for (pointer, value) in edits {
        put(&mut config, pointer, value.clone());
    }
    config
}

/// A resource is what its address leads to, however that is spelled: a token for the rest
/// of the host is refused there.
#[test]
fn an_address_spelled_in_another_way_is_the_same_resource() {
    let elsewhere = format!("Bearer {}", token(json!({"aud": "shop-api"})));
    for host in
        ["shop.example", "SHOP.EXAMPLE", "shop.example:443", "shop.example.", "shop.example.:8443"]
    {
        for path in [
            "/mcp",
            "/mcp/",
            "/mcp/x",
            "/mcp?x",
            "/mcp//x",
            "/./mcp",
            "/x/../mcp",
            "/%6dcp",
            "/MCP",
            "/mcp;a",
            "/mcp%2fx",
            "/mcp\\x",
        ] {
            let mut world = World::new(&shop(&[]), ENVOY);
            let step = world.begin(head(&[
                (":path", path),
                (":authority", host),
                ("authorization", &elsewhere),
            ]));
            let (status, code) = denied(step);
            assert!(matches!(status, 400 | 401), "{host}{path}: {status} {code}");
        }
    }
}

/// Clients search the whole challenge for parameters.
#[test]
fn an_issuer_cannot_write_a_parameter_of_the_challenge() {
    let mut world = World::new(&shop(&[]), ENVOY);
    for scope in [
        "resource_metadata=https://evil.example/",
        "x error=invalid_token",
        "scope=admin",
        "a\",resource_metadata=\"https://evil.example/",
    ] {
        for claims in [
            json!({"aud": MCP, "scope": scope}),
            json!({"aud": MCP, "scp": [scope]}),
            json!({"aud": format!("resource_metadata={scope}")}),
            json!({"aud": MCP, "iss": "https://auth.example?resource_metadata=x"}),
        ] {
            let bearer = format!("Bearer {}", token(claims.clone()));
            let step = world.begin(head(&[(":path", "/mcp/orders"), ("authorization", &bearer)]));
            let reply = answered(step);
            let challenge = reply_field(&reply, "www-authenticate").unwrap();
            assert!(!challenge.contains("evil"), "{claims}: {challenge}");
            for name in ["realm", "error", "scope", "resource_metadata"] {
                let count = challenge.matches(&format!("{name}=")).count();
                assert!(count <= 1, "{claims}: {challenge}");
            }
        }
    }
}

/// A token in a URL ends up in logs: it counts for a resource where somebody asked for
/// that, and Kong's default for its plugin is nobody's wish.
#[test]
fn no_token_in_a_query_unless_it_is_named() {
    let text = token(json!({"aud": MCP}));
    for (edits, parameter, is_taken) in [
        (vec![], "access_token", false),
        (vec![], "jwt", false),
        (vec![("/token", json!({"from_params": ["access_token"]}))], "access_token", true),
    ] {
        let mut world = World::new(&shop(&edits), ENVOY);
        let step = world.begin(head(&[(":path", &format!("/mcp?{parameter}={text}"))]));
        match is_taken {
            true => drop(forwarded(step)),
            false => assert_eq!(denied(step), denial(401, "token_missing"), "{parameter}"),
        }
        let path = "/.well-known/oauth-protected-resource/mcp";
        let document = answered(world.begin(head(&[(":path", path)]))).body;
        let document: Value = serde_json::from_slice(&document).unwrap();
        let methods = document["bearer_methods_supported"].as_array().cloned().unwrap_or_default();
        assert_eq!(methods.contains(&json!("query")), is_taken, "{document}");
    }
}

/// A provider that the resource does not name issues no tokens for it, whatever they say.
#[test]
fn another_provider_is_none_of_the_resources() {
    let other = json!({"issuer": "https://other.example", "audiences": ["shop-api"],
        "local_jwks": {"keys": [KEY_B.jwk("b")]}});
    let config = shop(&[
        ("/providers/other", other),
        ("/identity_token/subject", json!("{provider}:{sub}")),
        ("/resources/0/providers", json!(["shop"])),
    ]);
    let mut world = World::new(&config, ENVOY);
    let claims = claims(json!({"iss": "https://other.example", "aud": [MCP, "shop-api"]}));
    let bearer = format!("Bearer {}", KEY_B.token("b", &claims));
    for path in ["/api", "/mcp", "/api", "/mcp"] {
        let step = world.begin(head(&[(":path", path), ("authorization", &bearer)]));
        match path {
            "/mcp" => assert_eq!(denied(step), denial(401, "issuer_unknown")),
            _ => drop(forwarded(step)),
        }
    }
}
